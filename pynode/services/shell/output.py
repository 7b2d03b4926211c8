"""What a session writes, on its way to the client's terminal.

Text is collected and sent in pieces, one request at a time: the next piece goes when the terminal
has taken the last, so the node holds what is not printed yet, and no more than the limits here.
"""

from __future__ import annotations

import asyncio
import threading
import time
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
#: Characters of one part at the most.
PART: Final = 4 * 1024
#: Above these many parts a thread that writes waits.
HIGH_WATER: Final = 2048
#: Above these what the loop's own code writes is dropped, for it cannot wait.
HARD_LIMIT: Final = 16 * 1024
#: How long a thread waits before it looks again, in seconds.
_LOOK: Final = 0.02


class Output:
    """The text of one session; :meth:`write` may be called from any thread.

    Without locks: a thread that is interrupted could keep one, and the loop would wait for it.
    """

    def __init__(self, process: Process, device: Pid) -> None:
        self._process = process
        self._device = device
        self._loop = process.runtime.loop
        self._thread = process.runtime.thread_id
        self._parts: deque[str] = deque()
        self._dropped = 0
        #: A piece is under way, or about to go; the loop's alone.
        self._armed = False
        self._idle = asyncio.Event()
        self.closed = False

    def write(self, text: str) -> None:
        """Send ``text`` soon, after what was written before.

        In a thread this waits while the terminal is far behind; on the loop it never waits, and
        what goes beyond a hard limit is dropped, with a note of how much.
        """
        if not text or self.closed:
            return
        # Half of a surrogate pair is no text to Erlang.
        text = text.encode("utf-8", "backslashreplace").decode()
        if threading.get_ident() == self._thread:
            self._write_on_loop(text)
            return
        for at in range(0, len(text), PART):
            while len(self._parts) > HIGH_WATER and not self.closed:
                time.sleep(_LOOK)
            self._parts.append(text[at : at + PART])
            if not self._armed:
                try:
                    self._loop.call_soon_threadsafe(self._arm)
                except RuntimeError:  # the loop is closed; nobody reads any more
                    self.closed = True

    def _write_on_loop(self, text: str) -> None:
        if self._dropped or len(self._parts) > HARD_LIMIT:
            self._dropped += len(text)
            return
        self._parts += [text[at : at + PART] for at in range(0, len(text), PART)]
        self._arm()

    def discard(self) -> None:
        """Drop what has not been sent."""
        self._parts.clear()
        self._dropped = 0

    def close(self) -> None:
        """Drop what has not been sent, and all that is written from now on.  On the loop."""
        self.closed = True
        self.discard()
        self._idle.set()

    async def drain(self) -> None:
        """Wait until the terminal has taken all that was written before."""
        self._arm()
        while self._armed and not self.closed:
            self._idle.clear()
            await self._idle.wait()

    # ------------------------------------------------------------------ on the loop

    def _arm(self) -> None:
        """Begin to send, where nothing is under way."""
        if not self._armed and self._parts and not self.closed:
            self._armed = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        piece = self._next_piece()
        if not piece:
            self._armed = False
            self._idle.set()
            self._arm()  # for what a thread has written meanwhile, and takes for seen
            return
        what = (atom.put_chars, atom.unicode, piece.encode())
        try:
            slot = client.request(self._process, self._device, what)
        except PynodeError:  # the process has ended, or the device's node is far too slow
            self.close()
            return
        slot.add_done_callback(self._sent)

    def _next_piece(self) -> str:
        taken: list[str] = []
        size = 0
        while self._parts and size + len(self._parts[0]) <= PIECE:
            taken.append(self._parts.popleft())
            size += len(taken[-1])
        if not taken and self._dropped:
            taken.append(f"\n... {self._dropped} characters were dropped here ...\n")
            self._dropped = 0
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
