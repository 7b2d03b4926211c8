"""The end of a runtime: everything is told to go, then made to."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pynode.process.words import KILLED, SHUTDOWN

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime
    from pynode.terms import Pid

__all__ = ["Stopping"]

_log = logging.getLogger("pynode.process")


class Stopping:
    """Stops a runtime, once, in a task of its own.

    Its own task, because a process that stops its node is ended by that, and the stop must not
    end with it.
    """

    __slots__ = ("_bosses", "_event", "_runtime", "_task")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        #: Supervisors, each with the processes that it ends itself, in its own order.
        self._bosses: dict[Process, list[Pid]] = {}
        self._task: asyncio.Task[None] | None = None
        #: Set at each end of a process or of a zombie, while a stop waits for them.
        self._event: asyncio.Event | None = None

    @property
    def begun(self) -> bool:
        """Whether the stop has begun."""
        return self._task is not None

    def check(self) -> None:
        """Something has ended."""
        if self._event is not None:
            self._event.set()

    async def stop(self, timeout: float | None) -> None:
        """See :meth:`Runtime.stop`."""
        if self._task is None:
            runtime = self._runtime
            self._task = runtime.loop.create_task(
                self._stop(timeout),
                name=f"pynode stop of {runtime.node_name}",
                context=runtime.context.copy(),
            )
        await asyncio.shield(self._task)

    async def _stop(self, timeout: float | None) -> None:
        runtime = self._runtime
        self._event = asyncio.Event()
        main = runtime.main
        spared = runtime.system | {main}
        processes = runtime.processes()
        self._bosses = _bosses(processes)
        charges = {pid for wards in self._bosses.values() for pid in wards}
        for process in reversed(processes):
            if process not in spared and process.pid not in charges:
                runtime.deaths.exit_signal(process, main.pid, SHUTDOWN, by_link=False)
        try:
            async with asyncio.timeout(timeout):
                await self._until_only(spared)
        except TimeoutError:
            pass
        self._kill(spared)
        await self._last_words()
        for process in list(runtime.deaths.zombies):
            self._abandon(process)
        waits = list(runtime.marshal.tasks)
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def _until_only(self, spared: set[Process]) -> None:
        runtime = self._runtime
        while runtime.deaths.zombies or not spared.issuperset(runtime.processes()):
            await self._next_end()
            self._tell_orphans()

    def _tell_orphans(self) -> None:
        """Tell those whose supervisor has ended without ending them."""
        runtime = self._runtime
        for boss in [boss for boss in self._bosses if not boss.alive]:
            for pid in reversed(self._bosses.pop(boss)):
                process = runtime.local(pid)
                if process is not None:
                    main = runtime.main.pid
                    runtime.deaths.exit_signal(process, main, SHUTDOWN, by_link=False)

    async def _next_end(self) -> None:
        event = self._event
        assert event is not None  # noqa: S101
        event.clear()
        await event.wait()

    def _kill(self, spared: set[Process]) -> None:
        """End whoever still lives, the spared ones too, and refuse everything from here on."""
        runtime = self._runtime
        runtime.stopped = True
        for process in reversed(runtime.processes()):
            runtime.deaths.end(process, SHUTDOWN if process in spared else KILLED)
        runtime.timers.close()
        runtime.marshal.close()

    async def _last_words(self) -> None:
        """Let the killed ones' coroutines unwind: a few rounds of the loop, no more."""
        for _ in range(_ROUNDS):
            if not self._runtime.deaths.zombies:
                return
            await asyncio.sleep(0)

    def _abandon(self, process: Process) -> None:
        task, process.task = process.task, None
        self._runtime.deaths.zombies.discard(process)
        if task is not None and not task.abandon():
            _log.warning("%r does not end: %r", process, task, exc_info=task.error)


_ROUNDS = 10


def _bosses(processes: list[Process]) -> dict[Process, list[Pid]]:
    """Return those whose body has a method ``wards``, with what it returns."""
    found = {}
    for process in processes:
        wards = getattr(process.body, "wards", None)
        if wards is not None:
            found[process] = wards()
    return found
