"""A term taken apart for ``~p``: what is written as one piece, and how long everything is.

The first of two passes, so that the second can tell what fits on a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

from pynode.errors import EncodeError
from pynode.terms.compound import ImproperList, Record

from .characters import LATIN1, UNICODE, escaped, length, list_text
from .leaves import BINARIES, atom_name, bits_of, write_atom, write_bytes, write_leaf
from .order import pairs_of
from .settings import Settings

__all__ = ["DOTS", "Kind", "Measure", "Part"]


class Kind(Enum):
    """What a part is."""

    TEXT = "text"
    DOTS = "dots"
    BYTES = "bytes"
    LIST = "list"
    TUPLE = "tuple"
    TAGGED = "tagged tuple"
    MAP = "map"
    PAIR = "pair"
    RECORD = "record"
    FIELD = "field"


class Part:
    """One piece of the text.

    ``parts`` are the elements of a list or tuple, the pairs of a map, key and value of a pair, the
    fields of a record, the value of a field; ``tail`` what ends a list that does not end well, or
    the dots.  ``text`` is a piece without parts, and the name of a record or a field.
    """

    __slots__ = ("kind", "length", "parts", "tail", "text")

    def __init__(self, kind: Kind, text: str = "", size: int = 0) -> None:
        self.kind = kind
        self.text = text
        self.parts: list[Part] = []
        self.tail: Part | None = None
        self.length = size

    @property
    def is_text(self) -> bool:
        """Whether it may stand beside others on a line: nothing of it can be broken."""
        return self.kind is Kind.TEXT

    @property
    def is_flat(self) -> bool:
        """The same of a pair or a field: whether all its parts are."""
        return all(part.kind is Kind.TEXT for part in self.parts)

    def sum_up(self) -> None:
        """Compute the length, when those of the parts are known."""
        total = sum(part.length for part in self.parts) + max(len(self.parts) - 1, 0)
        if self.tail is not None:
            total += self.tail.length + (1 if self.parts else 0)
        self.length = total + _AROUND[self.kind] + length(self.text)


DOTS: Final = Part(Kind.DOTS, "...", 3)

#: Characters of the brackets, beside the name of a record; of a pair, the arrow without the
#: comma that is counted between two parts; of a field, the equals sign.
_AROUND: Final = {
    Kind.LIST: 2,
    Kind.TUPLE: 2,
    Kind.TAGGED: 2,
    Kind.MAP: 3,
    Kind.PAIR: 3,
    Kind.RECORD: 2,
    Kind.FIELD: 3,
}


class Measure:
    """Takes terms apart."""

    def __init__(
        self, *, latin1: bool, strings: bool, order: str | None, settings: Settings
    ) -> None:
        self._latin1 = latin1
        self._strings = strings
        self._order = order
        self._settings = settings
        self._pending: list[tuple[Any, int, Part, bool]] = []

    def part(self, term: Any, depth: int) -> Part:
        """Return ``term`` as a part, its own parts measured."""
        holder = Part(Kind.LIST)
        opened: list[Part] = []
        self._pending = [(term, depth, holder, False)]
        while self._pending:
            value, left, parent, is_tail = self._pending.pop()
            part = self._begin(value, left)
            if part.kind is not Kind.TEXT and part.kind is not Kind.BYTES:
                opened.append(part)
            if is_tail:
                parent.tail = part
            else:
                parent.parts.append(part)
        # Parents were opened before their parts.
        for part in reversed(opened):
            for inner in part.parts:
                if inner.kind is Kind.PAIR or inner.kind is Kind.FIELD:
                    inner.sum_up()
            part.sum_up()
        return holder.parts[0]

    def _begin(self, value: Any, depth: int) -> Part:
        """Make the part of ``value``; its parts are put off."""
        text = write_leaf(value, self._settings, latin1=self._latin1 and _is_atom(value))
        if text is not None:
            return _text(text)
        kind = type(value)
        if isinstance(value, BINARIES):
            return self._binary(value, depth)
        if kind is tuple:
            return self._tuple(value, depth)
        if kind is ImproperList:
            return self._elements(Part(Kind.LIST), value.elements, depth, (value.tail,))
        if kind is Record:
            return self._record(value, depth)
        if isinstance(value, list):
            return self._list(value, depth)
        pairs = pairs_of(value, self._order)
        if pairs is None:
            raise EncodeError(f"a value of type {kind.__name__} is no Erlang term")
        return self._map(pairs, depth)

    # ------------------------------------------------------------------ containers

    def _put_off(self, items: list[tuple[Any, int, Part, bool]]) -> None:
        """Have these looked at, in order."""
        items.reverse()
        self._pending += items

    def _elements(
        self, part: Part, items: Iterable[Any], depth: int, tail: tuple[Any] | None = None
    ) -> Part:
        """What comes later in a list or a tuple may be less deep."""
        wanted: list[tuple[Any, int, Part, bool]] = []
        for item in items:
            if depth == 1:
                part.tail = DOTS
                break
            depth -= 1
            wanted.append((item, depth, part, False))
        else:
            if tail is not None and depth == 1:
                part.tail = DOTS
            elif tail is not None:
                wanted.append((tail[0], depth - 1, part, True))
        self._put_off(wanted)
        return part

    def _list(self, value: list[Any], depth: int) -> Part:
        if not value:
            return _text("[]")
        if self._strings and depth != 1:
            text = list_text(value)
            if text is not None and self._printable().fullmatch(text):
                return _text(escaped(text, '"'))
        return self._elements(Part(Kind.LIST), value, depth)

    def _printable(self) -> Any:
        return LATIN1 if self._latin1 or not self._settings.unicode else UNICODE

    def _tuple(self, value: tuple[Any, ...], depth: int) -> Part:
        if not value:
            return _text("{}")
        if depth == 1:
            return _text("{...}")
        tagged = len(value) > 1 and _is_atom(value[0])
        return self._elements(Part(Kind.TAGGED if tagged else Kind.TUPLE), value, depth)

    def _map(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> Part:
        pairs = list(pairs)
        if not pairs:
            return _text("#{}")
        if depth == 1:
            return _text("#{...}")
        part = Part(Kind.MAP)
        wanted: list[tuple[Any, int, Part, bool]] = []
        left, inner = depth, depth - 1
        for key, value in pairs:
            if left == 1:
                part.tail = DOTS
                break
            left -= 1
            pair = Part(Kind.PAIR)
            part.parts.append(pair)
            wanted += ((key, inner, pair, False), (value, inner, pair, False))
        self._put_off(wanted)
        return part

    def _record(self, value: Record, depth: int) -> Part:
        def name(atom: Any) -> str:
            return write_atom(atom_name(atom) or "", latin1=self._latin1)

        head = f"#{name(value.module)}:{name(value.name)}"
        if depth == 1:
            return _text(head + "{...}")
        part = Part(Kind.RECORD, head)
        depth -= 1
        wanted: list[tuple[Any, int, Part, bool]] = []
        for field, item in value.fields:
            if depth == 1:
                part.tail = DOTS
                break
            depth -= 1
            inner = Part(Kind.FIELD, name(field))
            part.parts.append(inner)
            wanted.append((item, depth, inner, False))
        self._put_off(wanted)
        return part

    # ------------------------------------------------------------------ binaries

    def _binary(self, value: Any, depth: int) -> Part:
        data, bits = bits_of(value)
        if not data:
            return _text("<<>>")
        if depth == 1:
            return _text("<<...>>")
        if self._strings and bits == 8:
            text = self._binary_text(data, depth - 1)
            if text is not None:
                return _text(text)
        written = write_bytes(data, bits, depth)
        return Part(Kind.BYTES, written, len(written))

    def _binary_text(self, data: bytes, depth: int) -> str | None:
        """Return a binary as ``<<"text">>``, or its beginning; None where it is no text.

        Each level of depth is worth four characters.
        """
        most = min(4 * depth, len(data)) if depth >= 0 else len(data)
        if most == 0:
            return None
        if not self._latin1:
            head = _leading_text(data, most)
            if head is not None:
                pattern = UNICODE if self._settings.unicode else LATIN1
                found = pattern.match(head)
                good = found[0] if found is not None else ""
                size = len(good.encode())
                end = "" if size == len(good) else "/utf8"
                if size == len(data):
                    return f"<<{escaped(good, _QUOTE)}{end}>>"
                if depth > 0 and len(good) >= depth:
                    return f"<<{escaped(good, _QUOTE)}{end}...>>"
                return None
        found = LATIN1.match(data[:most].decode("latin-1"))
        good = found[0] if found is not None else ""
        if len(good) == len(data):
            return f"<<{escaped(good, _QUOTE)}>>"
        if len(good) == most or (depth > 0 and len(good) >= depth):
            return f"<<{escaped(good, _QUOTE)}...>>"
        return None


_QUOTE: Final = '"'


def _leading_text(data: bytes, most: int) -> str | None:
    """Return the first ``most`` characters, fewer at the end; None if they are no UTF-8."""
    try:
        return data.decode()[:most]
    except UnicodeDecodeError as error:
        head = data[: error.start].decode()
        return head[:most] if len(head) >= most else None


def _is_atom(value: Any) -> bool:
    return atom_name(value) is not None


def _text(text: str) -> Part:
    return Part(Kind.TEXT, text, length(text))
