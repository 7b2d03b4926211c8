"""Terms in log records and in the texts of errors: short, and never a failure of their own.

What a peer sent may be nested deeper than ``repr`` can go (RecursionError, which
:mod:`logging` lets through), hold an integer of more digits than Python writes (ValueError), or
be a hundred megabytes long.  ``logger.warning("unexpected message %r", shown(message))`` writes
the beginning of all of these, and what ``repr(message)`` writes where that is short.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

__all__ = ["Shown", "cut", "shown"]

#: Nesting, elements of one container, and characters of one leaf and of the whole that are shown.
_DEPTH: Final = 12
_ELEMENTS: Final = 50
_LEAF_CHARACTERS: Final = 400
_CHARACTERS: Final = 4000
#: Integers below this have fewer digits than Python's least limit on writing them (640).
_INTEGER_BITS: Final = 2048
_MORE: Final = "..."


class Shown:
    """What stands for a term in a text; the text is made when it is asked for."""

    __slots__ = ("_term",)

    def __init__(self, term: Any) -> None:
        self._term = term

    def __repr__(self) -> str:
        return _Writer().text(self._term)


def shown(term: Any) -> Shown:
    """Return ``term`` as it can safely be formatted, by ``%r``, ``%s`` and in f-strings.

    A class of containers is shown by its parts if it has a method ``_shown_parts`` that returns
    the text before them, the parts (or, as pairs, key and value), and the text behind.
    """
    return Shown(term)


def cut(text: str) -> str:
    """Return the beginning of ``text``, as much of it as of a term is shown."""
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + _MORE


class _Writer:
    """One text under way."""

    __slots__ = ("_left", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._left = _CHARACTERS

    def text(self, term: Any) -> str:
        self._write(term, 0)
        return "".join(self._pieces)

    def _put(self, text: str) -> None:
        self._pieces.append(text)
        self._left -= len(text)

    def _write(self, term: Any, depth: int) -> None:
        kind = type(term)
        if self._left <= 0:
            self._put(_MORE)
        elif kind is tuple:
            file = _file_of(term)
            if file is not None:
                self._put(f"({term[0]!r}, charlist({_leaf(file)}))")
                return
            self._container("(", term, ",)" if len(term) == 1 else ")", depth)
        elif kind is list:
            self._container("[", term, "]", depth)
        elif kind is dict:
            self._map("{", term.items(), "}", depth)
        elif hasattr(kind, "_shown_parts"):
            before, parts, behind = term._shown_parts()
            self._container(before, parts, behind, depth)
        else:
            self._put(_leaf(term))

    def _container(self, before: str, parts: Iterable[Any], behind: str, depth: int) -> None:
        self._put(before)
        for index, part in enumerate(islice(parts, _ELEMENTS + 1)):
            if index:
                self._put(", ")
            if self._is_enough(index, depth):
                break
            self._write(part, depth + 1)
        self._put(behind)

    def _map(self, before: str, items: Iterable[Any], behind: str, depth: int) -> None:
        self._put(before)
        for index, (key, value) in enumerate(islice(items, _ELEMENTS + 1)):
            if index:
                self._put(", ")
            if self._is_enough(index, depth):
                break
            self._write(key, depth + 1)
            self._put(": ")
            self._write(value, depth + 1)
        self._put(behind)

    def _is_enough(self, index: int, depth: int) -> bool:
        if index < _ELEMENTS and depth < _DEPTH and self._left > 0:
            return False
        self._put(_MORE)
        return True


def _file_of(term: tuple[Any, ...]) -> str | None:
    """Return the path in a ``{file, Charlist}`` of a stack trace: numbers are no help there."""
    if len(term) != 2 or type(term[1]) is not list or type(term[0]).__name__ != "Atom":
        return None
    if repr(term[0]) != "atom.file":
        return None
    path = term[1]
    if not path or not all(type(each) is int and 0x20 <= each < 0x110000 for each in path):
        return None
    return "".join(map(chr, path))


def _leaf(term: Any) -> str:
    kind = type(term)
    if kind is int and term.bit_length() > _INTEGER_BITS:
        return f"<an integer of {term.bit_length()} bits>"
    if kind is bytes or kind is str:
        if len(term) > _LEAF_CHARACTERS:
            return f"{term[:_LEAF_CHARACTERS]!r}{_MORE}"
        return repr(term)
    try:
        text = repr(term)
    except Exception:  # an object of the program's, whose repr is at fault
        return f"<{kind.__name__}>"
    return text if len(text) <= _LEAF_CHARACTERS else text[:_LEAF_CHARACTERS] + _MORE
