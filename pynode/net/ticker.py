"""The clock of the ticks, and how it changes its pace.

Four times per tick time the links are asked for a tick, and a silent peer is given up
(:meth:`pynode.net.link.Link.tick`).  All nodes of a cluster need the same tick time, and cannot
change it in one moment: during the transition a node ticks at the shorter of the two paces, and
gives nobody up before the longer one says so.

Source: ``net_kernel.erl`` (``new_ticktime``, ``aux_ticker``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final

from pynode.net.link import TICKS_PER_TICKTIME

__all__ = ["TickChange", "Ticker"]


class TickChange(Enum):
    """What a wish for another tick time has led to."""

    UNCHANGED = "unchanged"
    INITIATED = "change_initiated"
    ONGOING = "ongoing_change_to"
    """Not to the wish: an earlier change is under way, and goes on."""


class Ticker:
    """Calls ``tick`` four times per tick time, and ``extra`` besides while the pace changes.

    Args:
        seconds: the tick time.
        tick: is to tick, and to give silent peers up.
        extra: is only to tick.
    """

    def __init__(
        self, seconds: float, tick: Callable[[], object], extra: Callable[[], object]
    ) -> None:
        #: The tick time; during a transition, the one that it leads to.
        self.seconds = seconds
        #: True during a transition.
        self.changing = False
        self._pace = seconds
        self._extra_pace = seconds
        self._tick: Final = tick
        self._extra: Final = extra
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._extra_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to tick."""
        self._loop = loop
        self._schedule(loop)

    def stop(self) -> None:
        """Tick no more."""
        self._loop = None
        for timer in (self._timer, self._extra_timer, self._end_timer):
            if timer is not None:
                timer.cancel()

    def change(self, seconds: float, transition: float) -> TickChange:
        """Go over to another tick time within ``transition`` seconds.

        Raises:
            ValueError: not a positive tick time, or a negative transition.
        """
        if not 0 < seconds < float("inf"):
            raise ValueError("net_ticktime is a positive number of seconds")
        if not 0 <= transition < float("inf"):
            raise ValueError("a transition takes a number of seconds, or 0")
        if self.changing:
            return TickChange.ONGOING
        if seconds == self.seconds:
            return TickChange.UNCHANGED
        former, self.seconds = self.seconds, seconds
        if self._loop is None:
            self._pace = seconds
            return TickChange.INITIATED
        self.changing = True
        self._end_timer = self._loop.call_later(transition, self._end)
        self._extra_pace = min(former, seconds)
        self._extra_now()
        if seconds > former:
            self._set_pace(seconds)
        return TickChange.INITIATED

    def _end(self) -> None:
        self.changing = False
        if self._extra_timer is not None:
            self._extra_timer.cancel()
        self._extra()
        if self._pace != self.seconds:
            self._set_pace(self.seconds)

    def _set_pace(self, seconds: float) -> None:
        self._pace = seconds
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None:
            self._schedule(self._loop)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self._pace / TICKS_PER_TICKTIME, self._ticked)

    def _ticked(self) -> None:
        # Readers that are ready run before timers in a turn of the loop: a peer that spoke while
        # this thread was busy with something else has been heard by now.
        if self._loop is not None:
            self._schedule(self._loop)
            self._tick()

    def _extra_now(self) -> None:
        if self._loop is not None:
            pause = self._extra_pace / TICKS_PER_TICKTIME
            self._extra_timer = self._loop.call_later(pause, self._extra_now)
            self._extra()
