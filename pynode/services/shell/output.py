"""What a session writes, on its way to the client's terminal.

Text is collected and sent in pieces, one request at a time: the next piece goes when the terminal
has taken the last, so the node holds what is not printed yet, and no more than the limits here.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from pynode.errors import DeviceError, ProcessDead, PynodeError
from pynode.services.io import client
from pynode.terms import atom

if TYPE_CHECKING:
    from pynode.process.calls import CallSlot
    from pynode.process.process import Process
    from pynode.terms import Pid

__all__ = ["Output"]

#: Characters of one request.
PIECE: Final = 32 * 1024
#: Above these many characters a thread that writes waits.
HIGH_WATER: Final = 1024 * 1024
#: Above these what the loop's own code writes is dropped, for it cannot wait.
HARD_LIMIT: Final = 16 * 1024 * 1024


class Output:
    """The text of one session; :meth:`write` may be called from any thread."""

    def __init__(self, process: Process, device: Pid) -> None:
        self._process = process
        self._device = device
        self._loop = process.runtime.loop
        self._thread = process.runtime.thread_id
        self._changed = threading.Condition()
        self._parts: deque[str] = deque()
        self._size = 0
        self._dropped = 0
        #: A piece is under way, or about to go.
        self._armed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.closed = False

    def write(self, text: str) -> None:
        """Send ``text`` soon, after what was written before.

        In a thread this waits while the terminal is far behind; on the loop it never waits, and
        what goes beyond a hard limit is dropped, with a note of how much.
        """
        if not text:
            return
        # Half of a surrogate pair is no text to Erlang.
        text = text.encode("utf-8", "backslashreplace").decode()
        waits = threading.get_ident() != self._thread
        with self._changed:
            while waits and self._size > HIGH_WATER and not self.closed:
                self._changed.wait()
            if self.closed:
                return
            if self._size > HARD_LIMIT:
                self._dropped += len(text)
                return
            if self._dropped:
                note = f"\n... {self._dropped} characters were dropped here ...\n"
                self._parts.append(note)
                self._size += len(note)
                self._dropped = 0
            self._parts += [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
            self._size += len(text)
            if self._armed:
                return
            self._armed = True
        if waits:
            try:
                self._loop.call_soon_threadsafe(self._send)
            except RuntimeError:
                self.close()  # the loop is closed; nobody reads any more
        else:
            self._loop.call_soon(self._send)

    def discard(self) -> None:
        """Drop what has not been sent."""
        with self._changed:
            self._parts.clear()
            self._size = self._dropped = 0
            self._changed.notify_all()

    def close(self) -> None:
        """Drop what has not been sent, and all that is written from now on."""
        with self._changed:
            self.closed = True
        self.discard()
        if threading.get_ident() == self._thread:
            self._idle.set()

    async def drain(self) -> None:
        """Wait until the terminal has taken all that was written before."""
        while self._armed and not self.closed:
            self._idle.clear()
            await self._idle.wait()

    # ------------------------------------------------------------------ on the loop

    def _send(self) -> None:
        piece = self._next_piece()
        if not piece:
            self._idle.set()
            return
        what = (atom.put_chars, atom.unicode, piece.encode())
        try:
            slot = client.request(self._process, self._device, what)
        except PynodeError:  # the process has ended, or the device's node is far too slow
            self.close()
            return
        slot.add_done_callback(self._sent)

    def _next_piece(self) -> str:
        with self._changed:
            taken: list[str] = []
            size = 0
            while self._parts and size + len(self._parts[0]) <= PIECE:
                taken.append(self._parts.popleft())
                size += len(taken[-1])
            self._size -= size
            self._changed.notify_all()
            self._armed = bool(taken)
            return "".join(taken)

    def _sent(self, slot: CallSlot) -> None:
        try:
            slot.result()
        except DeviceError as error:
            if error.down is not None:  # nobody is there; what else went wrong is for this piece
                self.close()
        except (RuntimeError, ProcessDead):
            self.close()
        # In a turn of its own: a device on this node may answer at once, and again.
        self._loop.call_soon(self._send)
