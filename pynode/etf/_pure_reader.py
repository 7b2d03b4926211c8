"""The careful reader of terms, in Python: any depth, all limits, and the errors.

It goes down with a stack of its own.  ``pos`` stands on the tag of the term being read, so it is
the offset of any error.  Each length is compared with what is left before it is believed.

Source: "External Term Format"; ``dec_term`` in the emulator's ``external.c``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from pynode.config import Limits
from pynode.errors import DecodeError
from pynode.etf._pure_leaves import (
    LEAVES,
    RUN_FROM,
    RUNS,
    open_fun,
    open_record,
    read_run,
    text_of,
    uint_at,
    unknown,
)
from pynode.terms.compound import ImproperList, Record
from pynode.terms.rebuild import make_map

__all__ = ["read_carefully"]


def read_carefully(
    data: bytes, offset: int, atoms: Sequence[Any], text: bool, limits: Limits
) -> tuple[Any, int]:
    """Return the term whose tag is at ``offset``, and where it ends.

    Raises:
        DecodeError: the bytes are no term, or one beyond the limits; with the offset.
    """
    reader = _Reader(data, offset, atoms, text, limits)
    try:
        return reader.read(), reader.pos
    except (IndexError, struct.error):
        raise DecodeError("truncated", min(reader.pos, len(data))) from None
    except MemoryError:
        raise DecodeError("more than fits in memory", reader.pos) from None


class _Container:
    """One that is being read: what it holds so far, how many terms are left, what makes it."""

    __slots__ = ("build", "items", "left")

    def __init__(self, left: int, build: Callable[[list[Any]], Any]) -> None:
        self.left = left
        self.build = build
        self.items: list[Any] = []


class _Reader:
    """The cursor, and what is left of the limits."""

    __slots__ = ("atoms", "budget", "data", "depth", "known", "max_depth", "pos", "text")

    def __init__(
        self, data: bytes, pos: int, atoms: Sequence[Any], text: bool, limits: Limits
    ) -> None:
        self.data = data
        self.pos = pos
        self.atoms = atoms
        self.text = text
        self.depth = 0
        self.max_depth = limits.depth
        self.budget = limits.elements
        self.known: dict[int, bytes] = {}  # what make_map() remembers

    def read(self) -> Any:
        """Read one term, and leave ``pos`` behind it."""
        stack: list[_Container] = []
        now = _Container(1, _first)
        while True:
            if now.left:
                now.left -= 1
                opened = self.read_into(now.items)
                if opened is not None:
                    stack.append(now)
                    now = opened
            elif now.build is not _list or self.ends(now):
                value = now.build(now.items)
                if not stack:
                    return value
                now = stack.pop()
                now.items.append(value)
                self.depth -= 1

    def read_into(self, items: list[Any]) -> _Container | None:
        """Read one term, or what a container begins with: it is returned."""
        tag = self.data[self.pos]
        leaf = LEAVES.get(tag)
        if leaf is None:
            opener = _OPENERS.get(tag)
            if opener is None:
                raise DecodeError(unknown(tag), self.pos)
            return opener(self, items)
        found, end = leaf(self.data, self.pos, self.atoms)
        if tag == 107:
            self.spend(len(found))
        elif self.text and (tag == 109 or tag == 77):
            found = text_of(found)
        items.append(found)
        self.pos = end
        return None

    def spend(self, count: int) -> None:
        """Take ``count`` elements off what the limit leaves."""
        self.budget -= count
        if self.budget < 0:
            raise DecodeError("more elements than Limits.elements", self.pos)

    def expect(self, count: int, end: int) -> None:
        """Refuse more terms than there are bytes from ``end`` on."""
        if count > len(self.data) - end:
            raise DecodeError("truncated", self.pos)
        self.spend(count)

    def open(self, count: int, end: int, build: Callable[[list[Any]], Any]) -> _Container:
        """Go into a container of ``count`` terms, of which the first is at ``end``."""
        self.expect(count, end)
        if self.depth >= self.max_depth:
            raise DecodeError("nested deeper than Limits.depth", self.pos)
        self.depth += 1
        self.pos = end
        return _Container(count, build)

    def open_or_make(
        self, items: list[Any], count: int, end: int, build: Callable[[Any], Any]
    ) -> _Container | None:
        """Go into a container, or make it at once where there is nothing in it."""
        if count:
            return self.open(count, end, build)
        items.append(build(()))
        self.pos = end
        return None

    def open_small_tuple(self, items: list[Any]) -> _Container | None:
        return self.open_or_make(items, self.data[self.pos + 1], self.pos + 2, tuple)

    def open_large_tuple(self, items: list[Any]) -> _Container | None:
        return self.open_or_make(items, uint_at(self.data, self.pos + 1)[0], self.pos + 5, tuple)

    def open_list(self, items: list[Any]) -> _Container | None:
        start = self.pos + 5
        opened = self.open(uint_at(self.data, self.pos + 1)[0], start, _list)
        if opened.left >= RUN_FROM and self.data[start] in RUNS:
            self.pos = read_run(self.data, start, opened.left, opened.items)
            opened.left -= len(opened.items)
        return opened

    def ends(self, now: _Container) -> bool:
        """Read the end of a list; False: there is more of it, or a tail."""
        tag = self.data[self.pos]
        if tag == 106:
            self.pos += 1
            return True
        if tag == 108:  # The list goes on: nothing is nested, nothing copied.
            now.left = uint_at(self.data, self.pos + 1)[0]
            self.expect(now.left, self.pos + 5)
            self.pos += 5
            return False
        if tag == 107:
            string: list[Any] = []
            self.read_into(string)
            now.items += string[0]
            return True
        now.left = 1
        now.build = _improper
        return False

    def open_map(self, items: list[Any]) -> _Container | None:
        start = self.pos
        count = 2 * uint_at(self.data, start + 1)[0]

        def build(pairs: list[Any]) -> Any:
            found = make_map(pairs, self.known)
            if found is None:
                raise DecodeError("two keys of a map are one term", start)
            return found

        return self.open_or_make(items, count, start + 5, build)

    def open_fun(self, items: list[Any]) -> _Container | None:
        count, end, build = open_fun(self.data, self.pos, self.atoms)
        return self.open_or_make(items, count, end, build)

    def open_record(self, items: list[Any]) -> _Container | None:
        names, exported, module, name, end = open_record(
            self.data, self.pos, self.atoms, self.budget
        )

        def build(values: list[Any]) -> Record:
            return Record(module, name, exported, zip(names, values, strict=True))

        return self.open_or_make(items, len(names), end, build)


def _first(items: list[Any]) -> Any:
    return items[0]


def _list(items: list[Any]) -> Any:
    return items


def _improper(items: list[Any]) -> Any:
    tail = items.pop()
    return ImproperList(items, tail) if items else tail


_OPENERS: Final[dict[int, Callable[[_Reader, list[Any]], _Container | None]]] = {
    67: _Reader.open_record,
    104: _Reader.open_small_tuple,
    105: _Reader.open_large_tuple,
    108: _Reader.open_list,
    112: _Reader.open_fun,
    116: _Reader.open_map,
}
