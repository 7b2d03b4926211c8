"""What waits to be written: small messages gathered, large ones in fragments by turns.

Order: the signals of one sender leave as they came.  A large message does not hold up those of
other senders: after each of its fragments whatever else waits has a turn, and several large ones
take turns.  Signals that their own sender sent after a large one wait for its last fragment.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, TypeAlias

from pynode.dist._choice import Gather
from pynode.dist.fragments import FRAGMENT_BYTES, OutSequence, sequence_bytes
from pynode.dist.header import FRAME_HEAD, HEADER, VERSION
from pynode.errors import EncodeError
from pynode.etf.pieces import Encoded, Pieces
from pynode.terms.identifiers import Pid

__all__ = ["Outbox"]

#: Small frames are joined into pieces of about this.
GATHER_BYTES: Final = 64 * 1024
#: A payload from this size on is not copied into such a piece.
COPY_BYTES: Final = 16 * 1024
_LONGEST: Final = 0xFFFF_FFFF

Buffer: TypeAlias = bytes | memoryview


class _Gather:
    """Small frames, joined as they come."""

    __slots__ = ("_pieces", "shut", "used")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.used = 0
        self.shut = True

    def add(self, piece: bytes) -> None:
        """Put a piece of a frame behind the others."""
        self._pieces.append(piece)
        self.used += len(piece)

    def take(self) -> bytes:
        """Return everything, and begin anew."""
        joined = b"".join(self._pieces)
        self.clear()
        return joined

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()
        self.used = 0


class Outbox:
    """Signals in, pieces of whole frames out."""

    __slots__ = (
        "_active",
        "_fragments",
        "_headers",
        "_number",
        "_of_sender",
        "_ready",
        "_shut",
        "more_frames",
        "waiting_bytes",
        "gather",
    )

    def __init__(self, *, headers: bool, fragments: bool) -> None:
        """``headers``: frames have a distribution header, else pass-through."""
        self._headers = headers
        self._fragments = fragments
        #: How many more frames than signals there are: of large ones, the fragments.
        self.more_frames = 0
        #: Bytes that wait beside what is gathered.
        self.waiting_bytes = 0
        #: Where small frames are joined.  The compiled one takes messages itself while it is not
        #: ``shut``: in the middle of a large message, its sender's have to wait for it.
        self.gather: Any = _Gather() if Gather is None else Gather()
        self._shut = False
        # Behind one another: joined small frames, pieces that are one frame, sequences that have
        # not begun.  All of it comes before what is gathered.
        self._ready: deque[bytes | tuple[bytes, ...] | OutSequence] = deque()
        self._active: deque[OutSequence] = deque()  # sequences that have begun
        self._of_sender: dict[Pid, OutSequence] = {}  # all sequences
        self._number = 0
        self._reshut()

    @property
    def queued_bytes(self) -> int:
        """Bytes not yet given out, framing included."""
        used: int = self.gather.used
        return self.waiting_bytes + used

    def shut(self, flag: bool) -> None:
        """Say whether the owner wants every signal to come by :meth:`put`."""
        self._shut = flag
        self._reshut()

    def _reshut(self) -> None:
        self.gather.shut = self._shut or bool(self._of_sender) or not self._headers

    def put(self, sender: Pid, control: bytes, payload: Encoded | None) -> None:
        """Queue one signal.

        Raises:
            EncodeError: too long for a frame, where fragments are not agreed.
        """
        if self._of_sender:
            sequence = self._of_sender.get(sender)
            if sequence is not None:
                sequence.backlog.append((control, payload))
                self.waiting_bytes += self._wire_bytes(control, payload)
                return
        if not self._headers:
            self._put_passing(control, payload)
        elif payload is None:
            size = len(control)
            self.gather.add(FRAME_HEAD.pack(3 + size, VERSION, HEADER, 0) + control)
            self._bound()
        else:
            size = len(control) + len(payload)
            if size > FRAGMENT_BYTES and self._fragments:
                self.waiting_bytes += sequence_bytes(len(control), len(payload))
                self._begin(sender, control, payload)
                return
            if size > _LONGEST - 3:
                raise EncodeError(f"a message of {size} bytes to a peer that takes no fragments")
            head = FRAME_HEAD.pack(3 + size, VERSION, HEADER, 0) + control
            self._put_frame(head, payload)

    def take(self, max_bytes: int) -> list[Buffer]:
        """Return pieces of whole frames, in order: at least one frame if any waits.

        No further frame is begun once ``max_bytes`` are reached.
        """
        if not self.waiting_bytes:  # nothing but small frames
            return [self.gather.take()] if self.gather.used else []
        pieces: list[Buffer] = []
        size = 0
        while size < max_bytes:
            before = size
            if not self._ready:
                self.seal()
            if self._ready:
                size += self._take_ready(pieces)
            if self._active and size < max_bytes:
                size += self._take_fragment(pieces)
            if size == before and not self._active:
                break
        self.waiting_bytes -= size
        return pieces

    def clear(self) -> None:
        """Forget everything that waits."""
        self._ready.clear()
        self._active.clear()
        self._of_sender.clear()
        self.gather.clear()
        self.waiting_bytes = 0
        self._reshut()

    # ------------------------------------------------------------------ in

    def _bound(self) -> None:
        if self.gather.used >= GATHER_BYTES:
            self.seal()

    def seal(self) -> None:
        """Join what was gathered, so that something else can come behind it."""
        gather = self.gather
        if gather.used:
            self.waiting_bytes += gather.used
            self._ready.append(gather.take())

    def _begin(self, sender: Pid, control: bytes, payload: Encoded) -> None:
        """Put a sequence behind everything that its sender has sent before."""
        self.seal()
        self._number += 1
        self.more_frames -= 1
        sequence = OutSequence(sender, self._number, control, payload)
        self._of_sender[sender] = sequence
        self._reshut()
        self._ready.append(sequence)

    def _put_passing(self, control: bytes, payload: Encoded | None) -> None:
        size = 2 + len(control) + (0 if payload is None else 1 + len(payload))
        if size > _LONGEST:
            raise EncodeError(f"a message of {size} bytes to a peer that takes no fragments")
        head = size.to_bytes(4, "big") + b"p\x83" + control
        if payload is None:
            self.gather.add(head)
            self._bound()
        else:
            self._put_frame(head + b"\x83", payload)

    def _put_frame(self, head: bytes, payload: Encoded) -> None:
        """Put a whole frame behind everything."""
        if isinstance(payload, Pieces):
            rest = payload.pieces
        elif len(payload) < COPY_BYTES:
            self.gather.add(head)
            self.gather.add(payload)
            self._bound()
            return
        else:
            rest = (payload,)
        self.seal()
        self.waiting_bytes += len(head) + len(payload)
        self._ready.append((head, *rest))

    def _wire_bytes(self, control: bytes, payload: Encoded | None) -> int:
        """Return what ``put`` adds to ``queued_bytes``, where fragments are agreed."""
        size = len(control) + len(payload or b"")
        if size > FRAGMENT_BYTES and payload is not None:
            return sequence_bytes(len(control), len(payload))
        return size + 7

    # ------------------------------------------------------------------ out

    def _take_ready(self, pieces: list[Buffer]) -> int:
        item = self._ready.popleft()
        if isinstance(item, OutSequence):
            self._active.append(item)
            return 0
        if isinstance(item, bytes):
            pieces.append(item)
            return len(item)
        pieces += item
        return sum(map(len, item))

    def _take_fragment(self, pieces: list[Buffer]) -> int:
        sequence = self._active.popleft()
        self.more_frames += 1
        size, parts = sequence.next_fragment()
        pieces += parts
        if sequence.left:
            self._active.append(sequence)
        else:
            self._finish(sequence)
        return size

    def _finish(self, sequence: OutSequence) -> None:
        """Let go what the sender of a sequence sent since, up to its next large message."""
        sender, backlog = sequence.sender, sequence.backlog
        del self._of_sender[sender]
        while backlog:
            control, payload = backlog.popleft()
            self.waiting_bytes -= self._wire_bytes(control, payload)
            self.put(sender, control, payload)
            following = self._of_sender.get(sender)
            if following is not None:
                following.backlog = backlog
                return
        self._reshut()
