"""How long each process runs, measured while somebody wants to know.

Nothing is measured before: the scheduler is made to say when it changes from one process to
another only while a :class:`RunTimes` is started.  A blocking callback's time is the processor
time of its thread, where the system tells it (Linux).

The turns of one process between two looks are told as one, which lasts as long as they did
together and ends when the last of them did.  So what is kept and told is bounded by the number
of processes, however often they run.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime
    from pynode.process.scheduler import Scheduler

__all__ = ["RunTimes", "Turn"]

#: Seconds of one tick of the processor times in ``/proc``.
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


class Turn(NamedTuple):
    """One process has run from ``begin_ns`` to ``end_ns``, on the clock of ``time.time_ns``."""

    process: Process
    begin_ns: int
    end_ns: int


class RunTimes:
    """The run times of one runtime's processes; on the loop's thread."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._usual: type[Scheduler] | None = None
        #: Who runs, and since when, on the clock of ``time.monotonic_ns``.
        self._running: Process | None = None
        self._since_ns = 0
        #: How long each has run since the last look, and when it stopped.
        self._spent: dict[Process, tuple[int, int]] = {}
        #: The processor time of each thread at the last look.
        self._threads: dict[threading.Thread, int] = {}

    @property
    def started(self) -> bool:
        """True while it measures."""
        return self._usual is not None

    def start(self) -> None:
        """Begin to measure."""
        if self._usual is not None:
            return
        scheduler = self._runtime.scheduler
        self._running, self._since_ns = scheduler.current, time.monotonic_ns()
        self._usual = type(scheduler)
        scheduler.__class__ = self._telling(self._usual)
        self._thread_times()  # what was before is not told

    def stop(self) -> None:
        """End it, and forget what was measured."""
        if self._usual is not None:
            self._runtime.scheduler.__class__ = self._usual
            self._usual = self._running = None
            self._spent = {}
            self._threads = {}

    def _telling(self, usual: type[Scheduler]) -> Any:
        """Return the scheduler's class with a ``current`` that tells when it changes."""
        slot = vars(usual)["current"]
        get, put = slot.__get__, slot.__set__
        clock = time.monotonic_ns

        def change(scheduler: Scheduler, process: Process | None) -> None:
            now, before = clock(), self._running
            if before is not None:
                spent = self._spent.get(before)
                ran = now - self._since_ns
                self._spent[before] = (ran if spent is None else spent[0] + ran), now
            self._running, self._since_ns = process, now
            put(scheduler, process)

        words = {"__slots__": (), "current": property(get, change)}
        return type(usual.__name__, (usual,), words)

    def look(self) -> list[Turn]:
        """Return who has run since the last look, for how long."""
        if self._running is not None:  # the one that looks, in its own turn
            self._runtime.scheduler.current = self._running
        spent, self._spent = self._spent, {}
        to_wall = time.time_ns() - time.monotonic_ns()
        turns = [
            Turn(process, end - ran + to_wall, end + to_wall)
            for process, (ran, end) in spent.items()
        ]
        now = time.time_ns()
        return turns + [Turn(process, now - ran, now) for process, ran in self._thread_times()]

    def _thread_times(self) -> list[tuple[Process, int]]:
        """Return the processes whose threads have computed since the last look, and the ns."""
        if threading.active_count() == 1:
            self._threads.clear()
            return []
        before, self._threads = self._threads, {}
        found = []
        for process in self._runtime.processes():
            worker = None if process.rare is None else process.rare.worker
            if worker is None:
                continue
            total = _processor_ns(worker.thread)
            if total is None:
                continue
            self._threads[worker.thread] = total
            ran = total - before.get(worker.thread, 0)  # a new thread's is all since the last look
            if ran > 0:
                found.append((process, ran))
        return found


def _processor_ns(thread: threading.Thread) -> int | None:
    """Return the processor time of a thread; None where the system does not tell, or it is over."""
    try:
        with open(f"/proc/self/task/{thread.native_id}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int((int(fields[11]) + int(fields[12])) * _TICK * 1e9)
    except (OSError, ValueError, IndexError):
        return None
