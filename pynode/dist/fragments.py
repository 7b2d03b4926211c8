"""Messages in fragments: gathered on the way in, cut on the way out.

A sequence begins with a fragment that holds the whole control message and says how many
fragments there are; the others follow, counted down to 1, with anything else in between.

Source: "Distribution Protocol", section "Protocol between Connected Nodes", "Fragmented
Distribution Messages"; ``erts_net_message`` in ``dist.c``.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from pynode.config import Limits
from pynode.dist.control import AnyAtom, Control
from pynode.dist.header import (
    CONTINUE_HEAD,
    FRAGMENT_CONTINUE,
    FRAGMENT_START,
    START_HEAD,
    VERSION,
)
from pynode.errors import FrameError
from pynode.etf.pieces import Encoded, Pieces
from pynode.terms.identifiers import Pid

__all__ = ["FRAGMENT_BYTES", "OutSequence", "Reassembly", "Whole", "sequence_bytes"]

#: Control message and payload together above this go out in fragments of this, as OTP's do.
FRAGMENT_BYTES: Final = 64 * 1024
#: For a message of so many bytes as its first fragment says, memory is reserved at once.
_RESERVE_FROM_BYTES: Final = 4 * 1024 * 1024
_RESERVE_TO_BYTES: Final = 1024 * 1024 * 1024
#: For so many at once: a single byte may take a huge page.
_RESERVED: Final = 8


class Whole(NamedTuple):
    """A reassembled message: what its first fragment said, and the payload."""

    message: Control | None
    atoms: tuple[AnyAtom, ...]
    payload: bytes | memoryview


class _InSequence:
    __slots__ = (
        "atoms",
        "held_bytes",
        "left",
        "message",
        "payload",
        "place",
        "placed_bytes",
        "reserved_bytes",
    )

    def __init__(
        self, message: Control | None, atoms: tuple[AnyAtom, ...], left: int, place: Any
    ) -> None:
        self.message = message
        self.atoms = atoms
        self.left = left
        self.held_bytes = 0
        #: What has come: the front of ``place`` where one was reserved, and then the rest of it.
        self.place = place
        self.reserved_bytes = 0 if place is None else len(place)
        self.placed_bytes = 0
        self.payload = bytearray()

    def add(self, data: bytes | memoryview) -> None:
        """Put ``data`` behind the rest."""
        end = self.placed_bytes + len(data)
        if self.place is None or end > len(self.place):
            if self.placed_bytes:  # fragments larger than OTP makes them
                self.payload += memoryview(self.place)[: self.placed_bytes]
                self.placed_bytes = 0
            self.place = None
            self.payload += data
        else:
            self.place[self.placed_bytes : end] = data
            self.placed_bytes = end

    def whole(self) -> memoryview:
        """Return everything."""
        if self.place is None:
            return memoryview(self.payload)
        return memoryview(self.place)[: self.placed_bytes]


def _reserve(size: int) -> Any:
    """Return memory for a large message: addresses alone, in huge pages as they are written to.

    None where the system has none of it.
    """
    import mmap  # few programs need it

    try:
        place = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        place.madvise(mmap.MADV_HUGEPAGE)
    except (AttributeError, OSError):
        return None
    return place


class Reassembly:
    """The unfinished incoming sequences of one connection."""

    __slots__ = ("_held_bytes", "_limits", "_reserved", "_reserved_bytes", "_sequences")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sequences: dict[int, _InSequence] = {}
        self._held_bytes = 0
        #: Of the sequences that memory was reserved for: how many, and how much.
        self._reserved = 0
        self._reserved_bytes = 0

    def __len__(self) -> int:
        return len(self._sequences)

    def start(
        self,
        sequence: int,
        fragments: int,
        message: Control | None,
        atoms: tuple[AnyAtom, ...],
        data: bytes | memoryview,
        overhead_bytes: int = 0,
    ) -> Whole | None:
        """Take the first of ``fragments`` fragments; ``data`` is what follows the control message.

        ``overhead_bytes``, the length of what stood before ``data``, counts towards the limits
        too: a control message can be large.

        Raises:
            FrameError: no fragments, a sequence under way already, or above a limit.
        """
        if fragments < 1:
            raise FrameError("a sequence of no fragments")
        if sequence in self._sequences:
            raise FrameError(f"sequence {sequence} begins again before its end")
        if fragments == 1:
            return Whole(message, atoms, data)
        if len(self._sequences) >= self._limits.pending_fragments:
            raise FrameError(f"more than {len(self._sequences)} unfinished sequences")
        place = self._place(fragments)
        entry = self._sequences[sequence] = _InSequence(message, atoms, fragments - 1, place)
        self._add(entry, data, overhead_bytes)
        return None

    def go_on(self, sequence: int, fragment: int, data: bytes | memoryview) -> Whole | None:
        """Take fragment number ``fragment`` of a sequence; return the message if it was the last.

        Raises:
            FrameError: an unknown sequence, not its next fragment, or above a limit.
        """
        entry = self._sequences.get(sequence)
        if entry is None:
            raise FrameError(f"fragment {fragment} of sequence {sequence}, which did not begin")
        if entry.left != fragment:
            raise FrameError(f"fragment {fragment} where {entry.left} is next")
        self._add(entry, data)
        if fragment > 1:
            entry.left = fragment - 1
            return None
        del self._sequences[sequence]
        self._held_bytes -= entry.held_bytes
        if entry.reserved_bytes:
            self._reserved -= 1
            self._reserved_bytes -= entry.reserved_bytes
        return Whole(entry.message, entry.atoms, entry.whole())

    def clear(self) -> None:
        """Forget the unfinished sequences."""
        self._sequences.clear()
        self._held_bytes = self._reserved = self._reserved_bytes = 0

    def _place(self, fragments: int) -> Any:
        """Return memory for a message of so many fragments if it is large and may come whole."""
        size = fragments * FRAGMENT_BYTES
        room = min(self._limits.term_bytes, self._limits.fragment_bytes - self._reserved_bytes)
        if not _RESERVE_FROM_BYTES <= size <= min(room, _RESERVE_TO_BYTES):
            return None
        if self._reserved >= _RESERVED:
            return None
        place = _reserve(size)
        if place is not None:
            self._reserved += 1
            self._reserved_bytes += size
        return place

    def _add(self, entry: _InSequence, data: bytes | memoryview, overhead_bytes: int = 0) -> None:
        size = len(data) + overhead_bytes
        if entry.held_bytes + size > self._limits.term_bytes:
            raise FrameError(f"a fragmented message of more than {self._limits.term_bytes} bytes")
        if self._held_bytes + size > self._limits.fragment_bytes:
            raise FrameError(f"fragments of more than {self._limits.fragment_bytes} bytes")
        entry.add(data)
        entry.held_bytes += size
        self._held_bytes += size


class OutSequence:
    """One message going out in fragments, and what its sender sent since."""

    __slots__ = ("_control", "_first", "_number", "_pieces", "backlog", "left", "sender")

    def __init__(
        self, sender: Pid, number: int, control: bytes, payload: Encoded
    ) -> None:
        """``number`` names the sequence; not 0, which OTP takes for a whole message."""
        self.sender = sender
        #: Fragments still to come; 0: done.
        self.left, self._first = _plan(len(control), len(payload))
        #: Later signals of the same sender, control and payload.
        self.backlog: deque[tuple[bytes, Encoded | None]] = deque()
        self._number = number
        self._control: bytes | None = control
        pieces = payload.pieces if isinstance(payload, Pieces) else (payload,)
        self._pieces: deque[memoryview] = deque(memoryview(piece) for piece in pieces)

    def next_fragment(self) -> tuple[int, list[bytes | memoryview]]:
        """Return the next frame: its size, and its pieces that are to be written in order."""
        left = self.left
        self.left = left - 1
        control, self._control = self._control, None
        if control is None:
            size, parts = self._next(FRAGMENT_BYTES)
            length = CONTINUE_HEAD.size - 4 + size
            head = CONTINUE_HEAD.pack(length, VERSION, FRAGMENT_CONTINUE, self._number, left)
        else:
            size, parts = self._next(self._first)
            length = START_HEAD.size - 4 + len(control) + size
            head = START_HEAD.pack(length, VERSION, FRAGMENT_START, self._number, left, 0)
            head += control
        parts[0] = head
        return len(head) + size, parts

    def _next(self, most: int) -> tuple[int, list[bytes | memoryview]]:
        """Return the next ``most`` bytes of the payload, as far as there are any; room first."""
        pieces = self._pieces
        size = 0
        parts: list[bytes | memoryview] = [b""]
        while pieces and size < most:
            first = pieces[0]
            part = first[: most - size]
            if len(part) == len(first):
                pieces.popleft()
            else:
                pieces[0] = first[len(part) :]
            if part:
                parts.append(part)
                size += len(part)
        return size, parts


def _plan(control_bytes: int, payload_bytes: int) -> tuple[int, int]:
    """Return the number of fragments, and the bytes of the payload that the first takes."""
    first = min(max(0, FRAGMENT_BYTES - control_bytes), payload_bytes)
    return 1 - (first - payload_bytes) // FRAGMENT_BYTES, first


def sequence_bytes(control_bytes: int, payload_bytes: int) -> int:
    """Return what a message takes on the wire in fragments."""
    count, _ = _plan(control_bytes, payload_bytes)
    return START_HEAD.size + (count - 1) * CONTINUE_HEAD.size + control_bytes + payload_bytes
