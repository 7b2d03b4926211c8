"""Timers: one heap and one timer of the loop for all receives, calls and ``send_after``.

A ``call_later`` per receive or call costs more than the receive itself; an entry in this heap
costs a push, and a cancelled entry nothing until it comes up or until half of the heap is
cancelled ones.  Times are seconds of :func:`time.monotonic`.
"""

from __future__ import annotations

import contextvars
import heapq
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from pynode.process import _choice

if TYPE_CHECKING:
    import asyncio

__all__ = ["Timer", "TimerHeap"]

_COMPACT_FROM: Final = 64


class Timer:
    """One pending call of a function."""

    __slots__ = ("_heap", "args", "callback", "when")

    def __init__(
        self, heap: TimerHeap, when: float, callback: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self._heap = heap
        self.when = when
        self.callback: Callable[..., object] | None = callback
        self.args = args

    @property
    def left(self) -> float:
        """Seconds until it fires; 0 if it is due or over."""
        return max(0.0, self.when - monotonic())

    def cancel(self) -> bool:
        """Cancel, and return whether it was still to come."""
        if self.callback is None:
            return False
        self.callback = None
        self.args = ()
        self._heap.cancelled()
        return True


class TimerHeap:
    """All timers of one runtime."""

    __slots__ = ("_cancelled", "_context", "_entries", "_handle", "_loop", "_number", "_wake_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: Not that of whoever asks for a timer, which would be kept alive by it.
        self._context = contextvars.Context()
        self._entries: list[tuple[float, int, Timer]] = []
        self._number = 0
        self._cancelled = 0
        self._handle: asyncio.TimerHandle | None = None
        self._wake_at = 0.0

    def after(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call ``callback(*args)`` on the loop in ``seconds``; ties keep the order of creation."""
        timer = Timer(self, monotonic() + max(0.0, seconds), callback, args)
        self._number += 1
        heapq.heappush(self._entries, (timer.when, self._number, timer))
        if self._handle is None or timer.when < self._wake_at:
            self._arm(self._entries[0][0])
        return timer

    def cancelled(self) -> None:
        """Count a cancelled entry, and clean the heap when half of it is such."""
        self._cancelled += 1
        if self._cancelled > _COMPACT_FROM and self._cancelled * 2 > len(self._entries):
            self._entries = [entry for entry in self._entries if entry[2].callback is not None]
            heapq.heapify(self._entries)
            self._cancelled = 0

    def close(self) -> None:
        """Forget all timers; none fires any more."""
        for _, _, timer in self._entries:
            timer.callback = None  # cancelling it later changes no count
        self._entries.clear()
        self._cancelled = 0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def __len__(self) -> int:
        """Return how many timers are to come."""
        return len(self._entries) - self._cancelled

    def _arm(self, when: float) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()
        self._wake_at = when
        # Interrupted in here, the next timer arms for all.
        self._handle = self._loop.call_later(
            max(0.0, when - monotonic()), self._fire, context=self._context
        )

    def _fire(self) -> None:
        self._handle = None
        # The loop's clock may run a tick ahead of ours: what is due within it fires now, lest
        # the loop is asked for a delay of nothing again and again.
        now = monotonic() + 1e-4
        try:
            while self._entries and self._entries[0][0] <= now:
                self._fire_first()
        finally:  # a callback may be interrupted, and the loop go on
            if self._entries and self._handle is None:
                self._arm(self._entries[0][0])

    def _fire_first(self) -> None:
        timer = heapq.heappop(self._entries)[2]
        callback = timer.callback
        if callback is None:
            self._cancelled -= 1
            return
        timer.callback = None
        args, timer.args = timer.args, ()
        try:
            callback(*args)
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": "a timer of the runtime failed", "exception": error}
            )


#: In Python, whether or not there is a compiled one.
PureTimerHeap: Final = TimerHeap
if not TYPE_CHECKING and _choice.TimerHeap is not None:
    TimerHeap = _choice.TimerHeap
