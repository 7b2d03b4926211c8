"""Staying awake: a short wait for an answer does not put the loop to sleep.

A loop that sleeps in the kernel is woken some 20 to 50 us after its bytes have come, and falling
asleep and waking cost the processor as much as a dozen turns of the loop.  Where messages go to
and fro one at a time (a program that calls a server, a server that is called) that is most of
the time of a call.  The schedulers of a BEAM wait busily for it (``+sbwt``); so do we: after a
write, the loop is turned over and over for ``Timeouts.busy_wait`` seconds, or until the next
write.  Each of its turns runs everything else that is ready, polls every socket, and lets other
threads in, as any turn does.

Only where it pays: the last writes must have been answered within that time, :data:`LEAST` in a
row.  A wait in vain puts an end to it, and each time it takes twice as many quick answers to begin
again, until they come in long rows; so what is lost to waits in vain stays far below what is won.
A peer that only sends, or is only sent to, is no reason to stay awake; nor is there one on a
machine with a single processor, which the other side needs.
"""

from __future__ import annotations

import asyncio
import os
from time import perf_counter
from typing import Final

__all__ = ["Awake"]

#: So many quick answers in a row begin it, at first and once it has paid for long.
LEAST: Final = 8
#: So many begin it at last, after many waits in vain.
MOST: Final = 1024
#: A row this many times as long as it took to begin is a long one.
LONG: Final = 4


def _processors() -> int:
    """Return on how many processors this process may run."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


class Awake:
    """What keeps one net's loop awake; :meth:`wrote` and :meth:`read` tell it what goes on."""

    __slots__ = ("_asked", "_handle", "_loop", "_needed", "_quick", "_seconds", "_until", "_wanted")

    def __init__(self, seconds: float | None) -> None:
        """Make one that waits for ``seconds`` after each write; 0 and None: never."""
        self._loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]  # from start on
        self._wanted = (seconds or 0.0) if _processors() > 1 else 0.0
        self._seconds = 0.0
        #: The next turn, while awake; else None.
        self._handle: asyncio.Handle | None = None
        #: Something was written, and nothing was read since.
        self._asked = False
        #: An answer until then is quick; the loop stays awake until then.
        self._until = 0.0
        #: Quick answers in a row, and how many it takes to begin.
        self._quick = 0
        self._needed = LEAST

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep ``loop`` awake from now on."""
        self._loop = loop
        self._seconds = self._wanted

    @property
    def awake(self) -> bool:
        """Whether the loop is kept from sleeping now."""
        return self._handle is not None

    def wrote(self) -> None:
        """Something went to a peer: stay awake for the answer, if answers have come quickly."""
        self._asked = True
        self._until = perf_counter() + self._seconds
        if self._quick >= self._needed and self._handle is None:
            self._handle = self._loop.call_soon(self._turn)

    def read(self) -> None:
        """Something came from a peer."""
        if not self._asked:
            return
        self._asked = False
        if perf_counter() < self._until:
            self._quick += 1
            if self._quick >= LONG * self._needed:
                self._needed = LEAST
        else:
            self._quick = 0

    def _turn(self) -> None:
        self._handle = None  # first: where an interrupt comes in here, this was the last turn
        if perf_counter() < self._until:
            self._handle = self._loop.call_soon(self._turn)
        elif self._asked:  # in vain
            self._quick = 0
            self._needed = min(self._needed * 2, MOST)

    def stop(self) -> None:
        """Let the loop sleep."""
        self._seconds = self._until = 0.0
        self._quick = 0
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()
