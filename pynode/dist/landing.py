"""Fragments that are received where they will lie.

While a large message comes, what comes next is known: the rest of a fragment, and then, each with
a head of :data:`HEAD_BYTES` in front of it, the next ones.  So the kernel is asked to put the bytes
of many fragments behind one another into the memory that was reserved for the message, and the
heads aside, in one call.  What came otherwise than foreseen, a frame in between or the last
fragment, is taken out again and goes the way of all frames: nothing is believed that was not
compared.
"""

from __future__ import annotations

from typing import Final

from pynode.dist.assembly import FRAGMENT_BYTES, InSequence
from pynode.dist.fragments import Reassembly
from pynode.dist.framing import FrameReader
from pynode.dist.header import CONTINUE_HEAD, FRAGMENT_CONTINUE, VERSION

__all__ = ["Landing"]

HEAD_BYTES: Final = CONTINUE_HEAD.size
_FRAMING_BYTES: Final = HEAD_BYTES - 4
#: Fragments that one read can bring.
_AHEAD: Final = 16
#: With less room than this left, it is not worth the while.
_LEAST_BYTES: Final = 2 * FRAGMENT_BYTES


class Landing:
    """The large message that is under way alone, as long as it goes on; of one connection."""

    __slots__ = (
        "_buffers",
        "_entry",
        "_frames",
        "_got",
        "_headed",
        "_heads",
        "_parts",
        "_sequence",
        "_size",
    )

    def __init__(self, frames: FrameReader, parts: Reassembly) -> None:
        self._frames = frames
        self._parts = parts
        #: The message of which the unfinished frame is here; None: the FrameReader has it.
        self._entry: InSequence | None = None
        self._sequence = 0
        self._heads = memoryview(bytearray(HEAD_BYTES * (_AHEAD + 1)))
        #: Bytes that came of the next head; HEAD_BYTES: and ``_got`` of the ``_size`` behind it.
        self._headed = 0
        self._got = 0
        self._size = 0
        self._buffers: list[memoryview] = []

    @property
    def active(self) -> bool:
        """True: what is received into :meth:`buffers` is to be told to :meth:`filled`."""
        return self._entry is not None

    def buffers(self) -> list[memoryview] | None:
        """Return what is to be filled, in this order; None: nothing large is under way.

        The list is emptied by :meth:`filled`; nobody may hold what was in it.
        """
        entry = self._entry or self._begun()
        if entry is None:
            return None
        view, position = entry.room()
        if view is None or len(view) - position < max(self._size, _LEAST_BYTES):
            self.give_back()
            return None
        buffers = self._buffers
        buffers.clear()
        end = len(view)
        size = self._size
        heads = self._heads
        begin = self._headed
        if begin == HEAD_BYTES:
            buffers.append(view[position + self._got : position + size])
            position += size
        while position + size <= end and begin < len(heads):
            following = begin - begin % HEAD_BYTES + HEAD_BYTES
            buffers.append(heads[begin:following])
            buffers.append(view[position : position + size])
            position += size
            begin = following
        return buffers

    def _begun(self) -> InSequence | None:
        """Take over from the FrameReader; None: another frame has begun, or nothing is large."""
        under_way = self._parts.under_way()
        if under_way is None:
            return None
        self._sequence, entry = under_way
        view, position = entry.room()
        if view is None or len(view) - position < _LEAST_BYTES or entry.left < 2:
            return None
        unfinished = self._frames.take_unfinished()
        size = entry.last_bytes
        if len(unfinished) >= 4:
            size = int.from_bytes(unfinished[:4], "big") - _FRAMING_BYTES
        headed = min(len(unfinished), HEAD_BYTES)
        self._size = size
        if (
            not FRAGMENT_BYTES // 2 <= size <= len(view) - position
            or unfinished[:headed] != self._expected(entry)[:headed]
        ):
            self._frames.put_back(unfinished)
            return None
        self._entry = entry
        self._headed = headed
        self._heads[:headed] = unfinished[:headed]
        self._got = len(unfinished) - headed
        view[position : position + self._got] = unfinished[headed:]
        return entry

    def _expected(self, entry: InSequence) -> bytes:
        """Return the head of the next fragment; empty where it is the last."""
        if entry.left < 2:
            return b""
        length = _FRAMING_BYTES + self._size
        return CONTINUE_HEAD.pack(length, VERSION, FRAGMENT_CONTINUE, self._sequence, entry.left)

    def filled(self, count: int) -> tuple[int, bytes]:
        """Take ``count`` bytes that came; return how many fragments are whole, and what is none.

        The latter is to go the way of all frames.

        Raises:
            FrameError: above a limit.
        """
        entry = self._entry
        if entry is None:
            raise RuntimeError("nothing was asked for")
        heads = self._heads
        whole = begin = index = 0
        rest = b""
        while count:
            if self._headed < HEAD_BYTES:
                came = min(count, HEAD_BYTES - self._headed)
                self._headed += came
                count -= came
                index += 1
                if self._headed < HEAD_BYTES:
                    break
                if heads[begin : begin + HEAD_BYTES] != self._expected(entry):
                    rest = self._taken_out(begin, index, count)
                    break
            came = min(count, self._size - self._got)
            self._got += came
            count -= came
            if self._got < self._size:
                break
            index += 1
            begin += HEAD_BYTES
            whole += 1
            self._got = self._headed = 0
            self._parts.landed(entry, self._size)
        if begin:
            heads[: self._headed] = heads[begin : begin + self._headed]
        self._buffers.clear()
        return whole, rest

    def _taken_out(self, begin: int, index: int, count: int) -> bytes:
        """Return the head that is none, and the ``count`` bytes from buffer ``index`` on."""
        pieces = [bytes(self._heads[begin : begin + HEAD_BYTES])]
        for buffer in self._buffers[index:]:
            piece = bytes(buffer[:count])
            pieces.append(piece)
            count -= len(piece)
        self._clear()
        return b"".join(pieces)

    def give_back(self) -> None:
        """Leave the unfinished frame to the FrameReader."""
        entry = self._entry
        if entry is None:
            return
        unfinished = bytes(self._heads[: self._headed])
        view, position = entry.room()
        if view is not None:
            unfinished += view[position : position + self._got]
        self._clear()
        self._frames.put_back(unfinished)

    def _clear(self) -> None:
        self._entry = None
        self._headed = self._got = 0

    def clear(self) -> None:
        """Forget everything."""
        self._clear()
        self._buffers.clear()
