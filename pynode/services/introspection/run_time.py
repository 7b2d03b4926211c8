"""How long each process runs, measured while somebody wants to know.

Nothing is measured before: the scheduler tells of turns only while a :class:`RunTimes` is started,
when they end.  A blocking callback's time is the processor
time of its thread, where the system tells it (Linux).

The turns of one process between two looks are told as one, which lasts as long as they did
together and ends when the last of them did.  So what is kept and told is bounded by the number
of processes, however often they run.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

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
        self.started = False
        #: How many seconds each has run since the last look, and when it stopped.
        self._spent: dict[Process, tuple[float, int]] = {}
        #: The processor time of each thread at the last look.
        self._threads: dict[threading.Thread, int] = {}

    def start(self) -> None:
        """Begin to measure, with the turns that end from now on."""
        if not self.started:
            self.started = True
            self._runtime.scheduler.on_turn = self._turn
            self._thread_times()  # what was before is not told

    def stop(self) -> None:
        """End it, and forget what was measured."""
        self._runtime.scheduler.on_turn = None
        self.started = False
        self._spent = {}
        self._threads = {}

    def _turn(self, process: Process, seconds: float) -> None:
        before = self._spent.get(process)
        ran = seconds if before is None else before[0] + seconds
        self._spent[process] = ran, time.time_ns()

    def look(self) -> list[Turn]:
        """Return who has run since the last look, for how long."""
        spent, self._spent = self._spent, {}
        turns = [Turn(process, end - int(ran * 1e9), end) for process, (ran, end) in spent.items()]
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
