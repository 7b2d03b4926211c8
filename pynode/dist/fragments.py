"""Messages in fragments: gathered on the way in, cut on the way out.

A sequence begins with a fragment that holds the whole control message and says how many
fragments there are; the others follow, counted down to 1, with anything else in between.

Source: "Distribution Protocol", section "Protocol between Connected Nodes", "Fragmented
Distribution Messages"; ``erts_net_message`` in ``dist.c``.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from pynode.config import Limits
from pynode.dist.assembly import FRAGMENT_BYTES, Hole, InSequence
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

#: Memory is reserved for so many sequences at once: a single byte may take a huge page.
_RESERVED: Final = 8


class Whole(NamedTuple):
    """A reassembled message: what its first fragment said, and the payload."""

    message: Control | None
    atoms: tuple[AnyAtom, ...]
    payload: bytes | memoryview
    hole: Hole | None = None


class Reassembly:
    """The unfinished incoming sequences of one connection."""

    __slots__ = ("_held_bytes", "_limits", "_reserved", "_reserved_bytes", "sequences")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: By their number; always the same dict.
        self.sequences: dict[int, InSequence] = {}
        self._held_bytes = 0
        #: Of the sequences that memory was reserved for: how many, and how much.
        self._reserved = 0
        self._reserved_bytes = 0

    def __len__(self) -> int:
        return len(self.sequences)

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
        if sequence in self.sequences:
            raise FrameError(f"sequence {sequence} begins again before its end")
        if fragments == 1:
            return Whole(message, atoms, data)
        if len(self.sequences) >= self._limits.pending_fragments:
            raise FrameError(f"more than {len(self.sequences)} unfinished sequences")
        entry = self.sequences[sequence] = InSequence(message, atoms, fragments - 1)
        self._hold(entry, len(data) + overhead_bytes)
        entry.begin(data, self._may_reserve_bytes())
        self._reserved += entry.reserved_bytes > 0
        self._reserved_bytes += entry.reserved_bytes
        return None

    def go_on(self, sequence: int, fragment: int, data: bytes | memoryview) -> Whole | None:
        """Take fragment number ``fragment`` of a sequence; return the message if it was the last.

        Raises:
            FrameError: an unknown sequence, not its next fragment, or above a limit.
        """
        entry = self.sequences.get(sequence)
        if entry is None:
            raise FrameError(f"fragment {fragment} of sequence {sequence}, which did not begin")
        if entry.left != fragment:
            raise FrameError(f"fragment {fragment} where {entry.left} is next")
        self._hold(entry, len(data))
        entry.add(data)
        if fragment > 1:
            entry.left = fragment - 1
            return None
        del self.sequences[sequence]
        self._held_bytes -= entry.held_bytes
        self._reserved -= entry.reserved_bytes > 0
        self._reserved_bytes -= entry.reserved_bytes
        payload, hole = entry.whole()
        return Whole(entry.message, entry.atoms, payload, hole)

    def under_way(self) -> tuple[int, InSequence] | None:
        """Return the sequence that is unfinished, if it is one alone."""
        if len(self.sequences) != 1:
            return None
        for found in self.sequences.items():
            return found
        return None

    def landed(self, entry: InSequence, size: int) -> None:
        """Count a fragment of ``size`` bytes, not the last, that was put where it belongs.

        Raises:
            FrameError: above a limit.
        """
        self._hold(entry, size)
        entry.landed(size)
        entry.left -= 1

    def clear(self) -> None:
        """Forget the unfinished sequences."""
        self.sequences.clear()
        self._held_bytes = self._reserved = self._reserved_bytes = 0

    def _may_reserve_bytes(self) -> int:
        limits = self._limits
        if self._reserved >= _RESERVED:
            return 0
        return min(limits.term_bytes, limits.fragment_bytes - self._reserved_bytes)

    def _hold(self, entry: InSequence, size: int) -> None:
        """Count ``size`` bytes, unless they are too many."""
        if entry.held_bytes + size > self._limits.term_bytes:
            raise FrameError(f"a fragmented message of more than {self._limits.term_bytes} bytes")
        if self._held_bytes + size > self._limits.fragment_bytes:
            raise FrameError(f"fragments of more than {self._limits.fragment_bytes} bytes")
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
