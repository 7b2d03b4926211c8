"""The incoming atom cache: 2048 slots that the peer fills and refers to.

Each direction of a connection has a cache of its own; ours of outgoing headers stays empty, since
it gains nothing here (the references of a header are decoded by the peer faster than we would
look them up).

Source: "External Term Format", section "Distribution Header".
"""

from __future__ import annotations

from typing import Final

from pynode.dist.control import AnyAtom
from pynode.errors import FrameError
from pynode.terms.atom import Atom

__all__ = ["SLOTS", "AtomCache", "atom_of_text"]

SLOTS: Final = 2048
_SPECIAL: Final[dict[str, AnyAtom]] = {"true": True, "false": False, "nil": None}
_HEADERS_REMEMBERED: Final = 1024


def atom_of_text(text: bytes, offset: int = 0) -> AnyAtom:
    """Return the atom of a UTF-8 text.

    Raises:
        FrameError: no UTF-8, or over 255 characters.
    """
    try:
        name = text.decode()
    except UnicodeDecodeError:
        raise FrameError(f"an atom that is not UTF-8: {text[:32]!r}", offset) from None
    if name in _SPECIAL:
        return _SPECIAL[name]
    if len(name) > 255:
        raise FrameError(f"an atom of {len(name)} characters", offset)
    return Atom(name)


class AtomCache:
    """What the peer has put into its slots so far."""

    __slots__ = ("_slots", "seen")

    def __init__(self) -> None:
        self._slots: list[AnyAtom | _Empty] = [_EMPTY] * SLOTS
        #: Headers without a new entry, as bytes, with what they mean; emptied at each new entry.
        #: A sender repeats its headers, so that most cost one look-up.
        self.seen: dict[bytes, tuple[AnyAtom, ...]] = {}

    def read(self, frame: bytes | memoryview, offset: int) -> tuple[tuple[AnyAtom, ...], int]:
        """Read the references of a header, whose count is at ``offset``.

        Returns:
            What ATOM_CACHE_REF 0, 1, ... mean in this frame, and where its terms begin.

        Raises:
            FrameError: cut short, an empty slot, or a text that is no atom.
        """
        if offset >= len(frame):
            raise FrameError("the header is cut short", offset)
        count = frame[offset]
        if not count:
            return (), offset + 1
        indexes = offset + 2 + count // 2
        raw = bytes(frame[offset : indexes + count])
        known = self.seen.get(raw)
        if known is not None:
            return known, indexes + count
        return self._read_entries(frame, offset, count)

    def _read_entries(
        self, frame: bytes | memoryview, offset: int, count: int
    ) -> tuple[tuple[AnyAtom, ...], int]:
        flags = offset + 1
        position = flags + 1 + count // 2
        end = len(frame)
        if position > end:
            raise FrameError("the header is cut short", end)
        length_bytes = 2 if _nibble(frame, flags, count) & 1 else 1
        new = False
        atoms: list[AnyAtom] = []
        for i in range(count):
            if position >= end:
                raise FrameError("the header is cut short", end)
            nibble = _nibble(frame, flags, i)
            slot = (nibble & 7) << 8 | frame[position]
            position += 1
            if nibble & 8:
                start = position + length_bytes
                length = int.from_bytes(frame[position:start], "big")
                position = start + length
                if position > end:
                    raise FrameError("an atom of the header is cut short", end)
                text = bytes(frame[start:position])
                self._slots[slot] = atom_of_text(text, start)
                new = True
            entry = self._slots[slot]
            if isinstance(entry, _Empty):
                raise FrameError(f"the header refers to the empty slot {slot}", position - 1)
            atoms.append(entry)
        meaning = tuple(atoms)
        if new or len(self.seen) >= _HEADERS_REMEMBERED:
            self.seen.clear()
        if not new:
            self.seen[bytes(frame[offset:position])] = meaning
        return meaning, position


class _Empty:
    __slots__ = ()


_EMPTY: Final = _Empty()


def _nibble(frame: bytes | memoryview, flags: int, index: int) -> int:
    """Return the flags of reference ``index``: low nibble first."""
    return frame[flags + index // 2] >> (index % 2 * 4) & 15
