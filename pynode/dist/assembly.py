"""The memory in which an incoming message in fragments gathers.

A message is large because of a binary, as a rule, and the first fragment shows it.  The content of
that binary gathers in what will be the bytes object, so that decoding does not copy it again; what
is before and behind it gathers elsewhere (:class:`Hole` says where it belongs).

Memory is not given for what is only announced: what is reserved are addresses, which the system
backs as they are written to, and no more of them than the peer may fill.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from pynode.dist._choice import Place
from pynode.dist.control import AnyAtom, Control

__all__ = ["FRAGMENT_BYTES", "Hole", "InSequence", "find_binary"]

#: Control message and payload together above this go out in fragments of this, as OTP's do.
FRAGMENT_BYTES: Final = 64 * 1024
#: For a message of so many bytes as its first fragment says, memory is reserved at once.
_RESERVE_FROM_BYTES: Final = 4 * 1024 * 1024
_RESERVE_TO_BYTES: Final = 1024 * 1024 * 1024
#: The same for a binary.
_BINARY_FROM_BYTES: Final = 1024 * 1024
#: Terms before the binary that are looked at.
_TERMS: Final = 256

_BINARY: Final = 109
_NEW_REFERENCE: Final = 90
#: By tag: what stands before the terms it holds, if any; or all of it.
_FIXED: Final = {97: 2, 98: 5, 70: 9, 106: 1, 82: 2, 104: 2, 105: 5, 108: 5, 116: 5}
#: By tag: what the length is read with, and how much there is beside that.
_COUNTED: Final = {
    **dict.fromkeys((119, 115), (struct.Struct(">xB"), 2)),
    **dict.fromkeys((118, 100, 107), (struct.Struct(">xH"), 3)),
    110: (struct.Struct(">xB"), 3),
    111: (struct.Struct(">xI"), 6),
    _BINARY: (struct.Struct(">xI"), 5),
}
#: By tag: what stands before the name of its node, and behind it.
_OF_NODE: Final = {88: (1, 12), 89: (1, 8), 120: (1, 12)}
_count: Final = struct.Struct(">xH")


class Hole(NamedTuple):
    """A large binary that lies aside: its content belongs at ``offset`` of the other bytes."""

    offset: int
    binary: bytes


class _Rest:
    """Bytes behind one another: in memory reserved for them, or where there is none, that grows."""

    __slots__ = ("grown", "placed_bytes", "view")

    def __init__(self) -> None:
        self.view: memoryview | None = None
        self.placed_bytes = 0
        self.grown = bytearray()

    def add(self, data: bytes | memoryview) -> None:
        """Put ``data`` behind the rest."""
        end = self.placed_bytes + len(data)
        if self.view is None or end > len(self.view):
            if self.view is not None:  # fragments larger than OTP makes them
                self.grown += self.view[: self.placed_bytes]
                self.view = None
            self.grown += data
        else:
            self.view[self.placed_bytes : end] = data
            self.placed_bytes = end

    def whole(self) -> memoryview:
        """Return everything."""
        return memoryview(self.grown) if self.view is None else self.view[: self.placed_bytes]


class InSequence:
    """What has come of a sequence, and what is to come."""

    __slots__ = (
        "_binary",
        "_filled_bytes",
        "_hole_at",
        "_rest",
        "_view",
        "atoms",
        "held_bytes",
        "last_bytes",
        "left",
        "message",
        "reserved_bytes",
    )

    def __init__(self, message: Control | None, atoms: tuple[AnyAtom, ...], left: int) -> None:
        self.message = message
        self.atoms = atoms
        #: Fragments to come.
        self.left = left
        self.held_bytes = 0
        self.reserved_bytes = 0
        #: Of the fragment before; at first, what OTP makes them.
        self.last_bytes = FRAGMENT_BYTES
        self._rest = _Rest()
        self._hole_at = 0
        #: The memory of the binary; and as long as it is not full, a view of it.
        self._binary: Any = None
        self._view: memoryview | None = None
        self._filled_bytes = 0

    def begin(self, data: bytes | memoryview, may_reserve_bytes: int) -> None:
        """Take the first part, and reserve memory for what it announces."""
        size = (self.left + 1) * FRAGMENT_BYTES
        if size <= min(_RESERVE_TO_BYTES, may_reserve_bytes):
            size -= self._reserve_binary(data, size)
            if size >= _RESERVE_FROM_BYTES:
                self._rest.view = _reserve(size)
            if self._rest.view is not None:
                self.reserved_bytes += size
        if self._view is None:
            self.add(data)
        else:
            self._rest.add(data[: self._hole_at])
            self.add(data[self._hole_at :])

    def _reserve_binary(self, data: bytes | memoryview, most: int) -> int:
        if Place is None or most < _BINARY_FROM_BYTES:
            return 0
        found = find_binary(data)
        if found is None:
            return 0
        at, size = found
        if not _BINARY_FROM_BYTES <= size <= most:
            return 0
        try:
            self._binary = Place(size)
        except MemoryError:
            return 0
        self._view = memoryview(self._binary)
        self._hole_at = at
        self.reserved_bytes = size
        return size

    def add(self, data: bytes | memoryview) -> None:
        """Put ``data`` behind the rest."""
        self.last_bytes = len(data)
        if self._view is not None:
            begin = self._filled_bytes
            part = data[: len(self._view) - begin]
            self._view[begin : begin + len(part)] = part
            data = data[len(part) :]
            self._fill(len(part))
        if data:
            self._rest.add(data)

    def room(self) -> tuple[memoryview | None, int]:
        """Return where the next bytes are to be put, and from where on; None: with :meth:`add`."""
        if self._view is not None:
            return self._view, self._filled_bytes
        return self._rest.view, self._rest.placed_bytes

    def landed(self, size: int) -> None:
        """Count ``size`` bytes that were put there."""
        self.last_bytes = size
        if self._view is None:
            self._rest.placed_bytes += size
        else:
            self._fill(size)

    def _fill(self, size: int) -> None:
        self._filled_bytes += size
        if self._view is not None and self._filled_bytes == len(self._view):
            self._view.release()
            self._view = None

    def whole(self) -> tuple[memoryview, Hole | None]:
        """Return everything."""
        hole = None
        if self._view is not None:  # there is less than was announced
            self._rest.add(self._view[: self._filled_bytes])
        elif self._binary is not None:
            hole = Hole(self._hole_at, self._binary.take())
        return self._rest.whole(), hole


def _reserve(size: int) -> memoryview | None:
    """Return memory for a large message: addresses alone, in huge pages as they are written to.

    None where the system has none of it.
    """
    import mmap  # few programs need it

    try:
        place = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        place.madvise(mmap.MADV_HUGEPAGE)
    except (AttributeError, OSError):
        return None
    return memoryview(place)


def find_binary(data: bytes | memoryview) -> tuple[int, int] | None:
    """Return where the content of the first binary begins that is not all in ``data``; its size.

    None where there is none, or it is not easily found.  What is said here is not believed: the
    decoder reads the same terms, and compares.
    """
    position = 0
    try:
        for _ in range(_TERMS):
            tag = data[position]
            fixed = _FIXED.get(tag)
            if fixed is not None:
                position += fixed
            elif tag in _COUNTED:
                reader, beside = _COUNTED[tag]
                (count,) = reader.unpack_from(data, position)
                if tag == _BINARY and count > len(data) - position - beside:
                    return position + beside, count
                position += beside + count
            elif tag in _OF_NODE:
                before, behind = _OF_NODE[tag]
                position = _node_end(data, position + before) + behind
            elif tag == _NEW_REFERENCE:
                (count,) = _count.unpack_from(data, position)
                position = _node_end(data, position + 3) + 4 + 4 * count
            else:
                return None
    except (IndexError, struct.error):
        pass
    return None


def _node_end(data: bytes | memoryview, position: int) -> int:
    """Return where an atom ends."""
    tag = data[position]
    if tag == 82:
        return position + 2
    reader, beside = _COUNTED[119 if tag in (115, 119) else 118]
    return position + beside + int(reader.unpack_from(data, position)[0])
