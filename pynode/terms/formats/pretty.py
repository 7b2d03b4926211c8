"""``~p``: a term over as many lines as it takes, strings as strings.

A container that fits in what is left of the line is written there.  Else its elements go below
each other; those that cannot be broken share lines.  Elements of a tagged tuple stand below the
second one, or if that would bring them beyond the middle of the line, at four columns, or at one.

Source: io_lib_pretty.erl, ``pp`` and ``cind``, whose bounds these are.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from .measure import Kind, Measure, Part
from .settings import DEFAULT, Settings

__all__ = ["print_term"]

#: A step that may ask for others, and gets their results; run by :func:`_run`, not by recursion.
Step = Generator[Any, Any, Any]

_LIST: Final = Kind.LIST
_CONTAINERS: Final = {
    Kind.LIST: ("[", "]"),
    Kind.TUPLE: ("{", "}"),
    Kind.TAGGED: ("{", "}"),
}


def print_term(
    term: Any,
    depth: int = -1,
    *,
    column: int = 1,
    width: int = 80,
    latin1: bool = False,
    strings: bool = True,
    order: str | None = None,
    settings: Settings = DEFAULT,
) -> str:
    """Return ``term`` as ``~p`` writes it.

    Args:
        depth: how deep and how far into its containers, then ``...``; below 0 all.
        column: where its first character stands, from 1.
        width: of a line; 0 writes it all on one.
        latin1: only Latin-1 is printable, ``~p`` against ``~tp``.
        strings: False writes every string as the list it is, ``~lp``.
        order: "ordered" or "reversed" for maps by the order of their keys, ``~kp``.
        settings: see :class:`Settings`.

    Raises:
        EncodeError: it is no term.
        FormatError: the text is too long.
        NotHere: it has an integer that takes too long to write.
    """
    if depth == 0:
        return "..."
    column = max(column, 1)
    measure = Measure(latin1=latin1, strings=strings, order=order, settings=settings)
    part = measure.part(term, depth)
    if part.kind is Kind.TEXT or width == 0 or part.length < width - column:
        return _line(part)
    page = _Page(width, part.length, settings)
    page.tag_indent = page.find_tag_indent(part, column)
    _run(page.put(part, column, column - 1, 0, 0))
    return "".join(page.out)


def _run(step: Step) -> Any:
    stack = [step]
    result: Any = None
    while stack:
        try:
            asked = stack[-1].send(result)
        except StopIteration as stop:
            stack.pop()
            result = stop.value
        else:
            stack.append(asked)
            result = None
    return result


# --------------------------------------------------------------------------- on one line


def _line(part: Part) -> str:
    """Write a part on one line."""
    out: list[str] = []
    pending: list[Part | str] = [part]
    while pending:
        item = pending.pop()
        if type(item) is str:
            out.append(item)
        elif isinstance(item, Part):
            children = _inline(item)
            children.reverse()
            pending += children
    return "".join(out)


def _inline(part: Part) -> list[Part | str]:
    kind = part.kind
    if kind is Kind.TEXT or kind is Kind.BYTES or kind is Kind.DOTS:
        return [part.text]
    if kind is Kind.PAIR:
        return [part.parts[0], " => ", part.parts[1]]
    if kind is Kind.FIELD:
        return [part.text, " = ", part.parts[0]]
    if kind is Kind.RECORD:
        opening, closing = part.text + "{", "}"
    elif kind is Kind.MAP:
        opening, closing = "#{", "}"
    else:
        opening, closing = _CONTAINERS[kind]
    children: list[Part | str] = [opening]
    for at, inner in enumerate(part.parts):
        if at:
            children.append(",")
        children.append(inner)
    if part.tail is not None:
        if part.parts:
            children.append("|" if kind is _LIST else ",")
        children.append(part.tail)
    children.append(closing)
    return children


# --------------------------------------------------------------------------- on many


class _NoGoodIndentError(Exception):
    """With this indentation the text would go too far to the right."""


class _Page:
    """The text of one term under way.

    In all of the methods, ``column`` is where the part begins, ``indent`` the spaces that begin a
    line of it, ``last`` the brackets that will follow it at once, ``written`` the characters that
    the line has beside its indentation.
    """

    def __init__(self, width: int, most: int, settings: Settings) -> None:
        self.out: list[str] = []
        self._settings = settings
        self._characters = most
        #: How far the elements of a tagged tuple are indented; below 0 as far as its second.
        self.tag_indent = 1
        self._width = width
        self._most = most

    def find_tag_indent(self, part: Part, column: int) -> int:
        """Return the first indentation with which the text stays in the left half."""
        for indent in (-1, 4):
            try:
                _run(self._try(part, column, indent, 0, 0))
            except _NoGoodIndentError:
                continue
            return indent
        return 1

    def _fits(self, length: int, column: int, last: int, written: int) -> bool:
        return length < self._width - column - last and length + written + last <= self._most

    def _goes_on(self, part: Part, flat: bool, column: int, last: int, written: int) -> bool:
        """Whether a further element, behind a comma, has room on the line."""
        length = 1 + part.length
        if last == 0:
            room = length + 1 < self._width - column and written + length + 1 <= self._most
        else:
            room = length < self._width - column - last and written + length + last <= self._most
        return room and flat

    def _tail_goes_on(self, part: Part, column: int, last: int, written: int) -> bool:
        last += 1
        return (
            part.length + 1 < self._width - column - last
            and part.length + 1 + written + last <= self._most
            and part.is_text
        )

    def _break(self, indent: int) -> None:
        # Of a term nested deeply, most is indentation.
        self._characters += indent
        self._settings.check(self._characters)
        self.out.append("\n" + " " * indent)

    # ------------------------------------------------------------------ writing

    def put(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        """Write a part."""
        kind, out = part.kind, self.out
        if self._fits(part.length, column, last, written):
            out.append(_line(part))
        elif kind is Kind.TAGGED:
            out.append("{")
            yield self._put_tagged(part, column, indent, last, written + 1)
            out.append("}")
        elif kind in _CONTAINERS:
            opening, closing = _CONTAINERS[kind]
            out.append(opening)
            yield self._put_elements(part, 0, column + 1, indent + 1, last, written + 1)
            out.append(closing)
        elif kind is Kind.MAP:
            out.append("#{")
            yield self._put_pairs(part, column + 2, indent + 2, last, written + 1)
            out.append("}")
        elif kind is Kind.RECORD:
            out.append(part.text + "{")
            written += len(part.text) + 1
            yield self._put_fields(part, column, indent, last, written)
            out.append("}")
        elif kind is Kind.BYTES:
            self._put_bytes(part.text, column + 2, indent + 2, last, written)
        else:
            out.append(part.text)

    def _put_tagged(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        tag = part.parts[0]
        self.out.append(tag.text)
        beside = tag.length + 2
        if 0 < self.tag_indent < beside:
            column, indent = column + self.tag_indent, indent + self.tag_indent
            at = column - self.tag_indent + beside
            yield self._put_rest(part, 1, column, at, indent, last, written + tag.length)
            return
        self.out.append(",")
        column, indent = column + beside, indent + beside
        yield self._put_elements(part, 1, column, indent, last, written + tag.length + 1)

    def _put_elements(
        self, part: Part, begin: int, column: int, indent: int, last: int, written: int
    ) -> Step:
        if begin == len(part.parts):
            self.out.append("...")
            return
        depth = _brackets_after(part, begin, last)
        took = yield self._put_element(part.parts[begin], column, indent, depth, written)
        at, written = column + took, written + took
        yield self._put_rest(part, begin + 1, column, at, indent, last, written)

    def _put_element(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        if part.is_text and self._fits(part.length, column, last, written):
            self.out.append(part.text)
            return part.length
        yield self.put(part, column, indent, last, written)
        return self._width

    def _put_rest(
        self, part: Part, begin: int, column: int, at: int, indent: int, last: int, written: int
    ) -> Step:
        """Write the elements from ``begin`` on, the line having come to ``at``."""
        out = self.out
        for index in range(begin, len(part.parts)):
            inner = part.parts[index]
            after = _brackets_after(part, index, last)
            if self._goes_on(inner, inner.is_text, at, after, written):
                out.append("," + inner.text)
                at, written = at + 1 + inner.length, written + 1 + inner.length
            else:
                out.append(",")
                self._break(indent)
                took = yield self._put_element(inner, column, indent, after, 0)
                at, written = column + took, took
        tail = part.tail
        if tail is None:
            return
        separator = "|" if part.kind is _LIST else ","
        if tail.kind is Kind.DOTS:
            out.append(separator + "...")
        elif self._tail_goes_on(tail, at, last, written):
            out.append(separator + tail.text)
        else:
            out.append(separator)
            self._break(indent)
            yield self.put(tail, column, indent, last + 1, 0)

    def _put_pairs(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        at = column
        for index, pair in enumerate(part.parts):
            after = _brackets_after(part, index, last)
            if index == 0:
                took = yield self._put_pair(pair, column, indent, after, written)
                at, written = column + took, took
            elif self._goes_on(pair, pair.is_flat, at, after, written):
                self.out.append("," + _line(pair))
                at, written = at + 1 + pair.length, written + 1 + pair.length
            else:
                self.out.append(",")
                self._break(indent)
                took = yield self._put_pair(pair, column, indent, after, 0)
                at, written = column + took, took
        if part.tail is not None:
            self.out.append(",...")

    def _put_pair(self, pair: Part, column: int, indent: int, last: int, written: int) -> Step:
        if self._fits(pair.length, column, last, written):
            self.out.append(_line(pair))
            return pair.length if pair.is_flat else self._width
        key, value = pair.parts
        inner = _value_indent(self.tag_indent)
        yield self.put(key, column, indent, last, written)
        self.out.append(" =>")
        self._break(indent + inner)
        yield self.put(value, column + inner, indent + inner, last, 0)
        return self._width

    def _put_fields(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        if not part.parts:
            self.out.append("" if part.tail is None else "...")
            return
        column, indent, written = self._beside(len(part.text) + 1, column, indent, written)
        at = column
        for index, field in enumerate(part.parts):
            after = _brackets_after(part, index, last)
            if index == 0:
                took = yield self._put_field(field, column, indent, after, written)
                at, written = column + took, written + took
            elif self._goes_on(field, field.is_flat, at, after, written):
                self.out.append("," + _line(field))
                at, written = at + 1 + field.length, written + 1 + field.length
            else:
                self.out.append(",")
                self._break(indent)
                took = yield self._put_field(field, column, indent, after, 0)
                at, written = column + took, took
        if part.tail is not None:
            self.out.append(",...")

    def _put_field(self, field: Part, column: int, indent: int, last: int, written: int) -> Step:
        if self._fits(field.length, column, last, written):
            self.out.append(_line(field))
            return field.length if field.is_flat else self._width
        size = len(field.text) + 3
        self.out.append(field.text + (" =" if 0 < self.tag_indent < size else " = "))
        column, indent, written = self._beside(size, column, indent, written + size)
        yield self.put(field.parts[0], column, indent, last, written)
        return self._width

    def _beside(self, size: int, column: int, indent: int, written: int) -> tuple[int, int, int]:
        """Go on beside a name of ``size``, or on a line of its own."""
        if 0 < self.tag_indent < size:
            indent += self.tag_indent
            self._break(indent)
            return column + self.tag_indent, indent, 0
        return column + size, indent + size, written

    def _put_bytes(self, text: str, column: int, indent: int, last: int, written: int) -> None:
        most = max(8, min(self._width - column, self._most - 4 - written) - last)
        out, room = self.out, most
        numbers = text[2:-2].split(",")
        out.append("<<")
        for number in numbers[:-1]:
            size = len(number) + 1
            if size > room:
                self._break(indent)
                room = most
            out.append(number + ",")
            room -= size
        if len(numbers[-1]) > room:
            self._break(indent)
        out.append(numbers[-1] + ">>")

    # ------------------------------------------------------------------ trying an indentation

    def _try(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        """Go through a part as :meth:`put` would with ``indent`` for tagged tuples."""
        kind = part.kind
        if self._fits(part.length, column, last, written):
            return
        if kind is Kind.TAGGED:
            yield self._try_tagged(part, column, indent, last, written + 1)
        elif kind in _CONTAINERS:
            yield self._try_elements(part, 0, column + 1, indent, last, written + 1)
        elif kind is Kind.MAP:
            yield self._try_pairs(part, column + 2, indent, last, written + 2)
        elif kind is Kind.RECORD:
            yield self._try_fields(part, column, indent, last, written + len(part.text) + 1)

    def _try_tagged(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        size = part.parts[0].length
        beside = size + 2
        at = column + beside
        if 0 < indent < beside:
            column += indent
            if self._most + column > self._width and column > self._width // 2:
                raise _NoGoodIndentError
            yield self._try_rest(part, 1, column, at, indent, last, written + size)
        elif self._most + at < self._width or at < self._width // 2:
            yield self._try_elements(part, 1, at, indent, last, written + size + 1)
        else:
            raise _NoGoodIndentError

    def _try_elements(
        self, part: Part, begin: int, column: int, indent: int, last: int, written: int
    ) -> Step:
        if begin == len(part.parts):
            return
        depth = _brackets_after(part, begin, last)
        took = yield self._try_element(part.parts[begin], column, indent, depth, written)
        at, written = column + took, written + took
        yield self._try_rest(part, begin + 1, column, at, indent, last, written)

    def _try_element(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        if part.is_text and self._fits(part.length, column, last, written):
            return part.length
        yield self._try(part, column, indent, last, written)
        return self._width

    def _try_rest(
        self, part: Part, begin: int, column: int, at: int, indent: int, last: int, written: int
    ) -> Step:
        for index in range(begin, len(part.parts)):
            inner = part.parts[index]
            after = _brackets_after(part, index, last)
            if self._goes_on(inner, inner.is_text, at, after, written):
                at, written = at + 1 + inner.length, written + 1 + inner.length
            else:
                took = yield self._try_element(inner, column, indent, after, 0)
                at, written = column + took, took
        tail = part.tail
        if tail is None or tail.kind is Kind.DOTS or self._tail_goes_on(tail, at, last, written):
            return
        yield self._try(tail, at, indent, last + 1, 0)

    def _try_pairs(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        at = column
        for index, pair in enumerate(part.parts):
            after = _brackets_after(part, index, last)
            if index == 0:
                took = yield self._try_pair(pair, column, indent, after, written)
                at, written = column + took, written + took
            elif self._goes_on(pair, pair.is_flat, at, after, written):
                at, written = at + 1 + pair.length, written + 1 + pair.length
            else:
                took = yield self._try_pair(pair, column, indent, after, 0)
                at, written = column + took, took

    def _try_pair(self, pair: Part, column: int, indent: int, last: int, written: int) -> Step:
        if self._fits(pair.length, column, last, written):
            return pair.length if pair.is_flat else self._width
        key, value = pair.parts
        yield self._try(key, column, indent, last, written)
        yield self._try(value, column + _value_indent(indent), indent, last, 0)
        return self._width

    def _try_fields(self, part: Part, column: int, indent: int, last: int, written: int) -> Step:
        if not part.parts:
            return
        column, written = self._try_beside(len(part.text) + 1, column, indent, written)
        at = column
        for index, field in enumerate(part.parts):
            after = _brackets_after(part, index, last)
            if index == 0:
                took = yield self._try_field(field, column, indent, after, written)
                at, written = column + took, written + took
            elif self._goes_on(field, field.is_flat, at, after, written):
                at, written = at + 1 + field.length, written + 1 + field.length
            else:
                took = yield self._try_field(field, column, indent, after, 0)
                at, written = column + took, took

    def _try_field(self, field: Part, column: int, indent: int, last: int, written: int) -> Step:
        if self._fits(field.length, column, last, written):
            return field.length if field.is_flat else self._width
        size = len(field.text) + 3
        column, written = self._try_beside(size, column, indent, written + size)
        yield self._try(field.parts[0], column, indent, last, written)
        return self._width

    def _try_beside(self, size: int, column: int, indent: int, written: int) -> tuple[int, int]:
        below = 0 < indent < size
        column += indent if below else size
        if self._most + column > self._width and column > self._width // 2:
            raise _NoGoodIndentError
        return column, 0 if below else written


def _brackets_after(part: Part, index: int, last: int) -> int:
    """Return the brackets that follow the element ``index`` at once: 0 where another one does."""
    return 0 if index + 1 < len(part.parts) else last + 1


def _value_indent(tag_indent: int) -> int:
    return tag_indent if tag_indent > 0 else 4
