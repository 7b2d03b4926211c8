"""The timeouts of a state machine: one of each kind, and the queue of those of 0.

Source: ``gen_statem:loop_timeouts*``; where releases differ (a timeout of 0 that waits, started
again with a time) that of OTP 27 and later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pynode.terms import Reference, TermMap, identical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pynode.behaviours.statem import Timer
    from pynode.process.process import Process

__all__ = ["Timers"]


class Timers:
    """See the module.  A kind is ``timeout``, ``state_timeout`` or ``{timeout, Name}``."""

    __slots__ = ("_running", "_stale", "_zeros")

    def __init__(self) -> None:
        #: kind -> [timer, None for one of 0; content]
        self._running: TermMap = TermMap()
        #: Kinds of 0 that are due, in order.
        self._zeros: list[Any] = []
        #: Timers cancelled too late: their messages are still to come, and mean nothing.
        self._stale: set[Reference] = set()

    def fired(self, timer: Reference, kind: Any) -> tuple[Any, Any] | Literal[False] | None:
        """Return the event that a timer's message is; False: none any more; None: not ours."""
        if timer in self._stale:
            self._stale.discard(timer)
            return False
        entry = self._running.get(kind)
        if entry is None or entry[0] != timer:
            return None
        del self._running[kind]
        return kind, entry[1]

    def next_zero(self) -> tuple[Any, Any] | None:
        """Return the next timeout of 0 as an event."""
        if not self._zeros:
            return None
        kind = self._zeros.pop(0)
        return kind, self._running.pop(kind)[1]

    def cancel(self, process: Process, kind: Any) -> None:
        """Stop the timeout of ``kind``, if there is one."""
        if not self._running:
            return
        entry = self._running.pop(kind, None)
        if entry is None:
            return
        if entry[0] is None:
            self._zeros = [each for each in self._zeros if not identical(each, kind)]
        elif process.runtime.cancel_timer(entry[0]) is None:
            self._stale.add(entry[0])

    def start(self, process: Process, timers: Iterable[Timer]) -> list[Timer]:
        """Start, change or stop timeouts; return those that were started.

        Of several of one kind the last counts.  Those of 0 come in the order they were given in.
        """
        seen: TermMap = TermMap()
        zeros: list[Any] = []
        started: list[Timer] = []
        for timer in reversed(list(timers)):
            kind = timer.kind
            if kind in seen:
                continue
            seen[kind] = True
            if timer.updates and kind in self._running:
                self._running[kind][1] = timer.content
                continue
            self.cancel(process, kind)
            if timer.updates or timer.seconds == 0:
                self._running[kind] = [None, timer.content]
                zeros.append(kind)
            elif timer.seconds is not None:
                self._running[kind] = [self._begin(process, timer), timer.content]
            if timer.seconds is not None:
                started.append(timer)
        self._zeros += reversed(zeros)
        return started

    def _begin(self, process: Process, timer: Timer) -> Reference:
        runtime = process.runtime
        seconds = timer.seconds or 0.0
        if timer.absolute:
            seconds = max(0.0, seconds - runtime.loop.time())
        return runtime.start_timer(process, seconds, process.pid, timer.kind)

    def terms(self) -> list[tuple[Any, Any]]:
        """Return ``[{Kind, Content}]``."""
        return [(kind, entry[1]) for kind, entry in self._running.items()]
