"""The run queue: which process goes on next, and for how long.

Everything that runs in a process runs from here: the step of a coroutine, the callback of a
body.  One turn lasts until the queue is empty or the time budget is used up; then the loop gets
its turn, so that ticks, sockets and other tasks are not starved.  A process with many messages
gives way after :data:`BATCH` of them.  Nothing is run from within something that runs, so chains
of messages and of exits need no stack.
"""

from __future__ import annotations

import contextvars
import logging
from asyncio import current_task
from collections import deque
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from pynode.errors import Exit
from pynode.process._core import stepping
from pynode.process.body import cannot_run
from pynode.process.reasons import log_crash, log_zombie, name_of, reason_of
from pynode.process.shared import BATCH, BUDGET, SLOW
from pynode.process.task import ProcessTask, TaskFuture
from pynode.process.words import NORMAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["BATCH", "BUDGET", "SLOW", "Scheduler"]

_log = logging.getLogger("pynode.process")


class _Core:
    """The queue, and what is run from it."""

    __slots__ = (
        "_armed",
        "_call_soon",
        "_queue",
        "_runtime",
        "_woken",
        "batching",
        "budget",
        "current",
        "deadline",
        "loop",
        "on_turn",
        "running",
        "slow",
    )

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.loop = runtime.loop
        self._queue: deque[Process] = deque()
        #: What asyncio tasks wait on that a batch of signals has decided.
        self._woken: deque[TaskFuture] = deque()
        #: A batch of signals is coming in; :meth:`drain` follows it.
        self.batching = False
        self._call_soon = runtime.loop.call_soon
        self._armed = False
        self.running = False
        self.budget = BUDGET
        self.slow = SLOW
        #: When the turn under way has used its budget up, on the clock of ``time.monotonic``.
        self.deadline = 0.0
        #: The process that runs at this moment.
        self.current: Process | None = None
        #: Called with each process and the seconds of its turn, while somebody measures.
        self.on_turn: Callable[[Process, float], object] | None = None

    def ready(self, process: Process) -> None:
        """Give ``process`` a turn.  Idempotent while it waits for it."""
        if process.ready:
            return
        process.ready = True
        self._queue.append(process)
        if not self._armed and not self.running and not self.batching:
            self._arm()

    def wake(self, future: TaskFuture) -> None:
        """Let the task that waits on ``future`` go on: at the end of a batch, or soon."""
        if self.batching:
            self._woken.append(future)
        elif not future.done():
            future.set_result(None)

    def left_behind(self) -> None:
        """In a forked child: run nothing more."""
        self._queue.clear()
        self._woken.clear()

    def _arm(self) -> None:
        try:
            self._call_soon(self._turn, context=self._runtime.context)
        except KeyboardInterrupt:  # a turn that has nothing to do is no harm; none at all would be
            self._call_soon(self._turn, context=self._runtime.context)
            self._armed = True
            raise
        self._armed = True

    def _turn(self) -> None:
        self._armed = False
        self.run()

    def drain(self) -> None:
        """End a batch: run a turn now, if no asyncio task is in the middle of a step."""
        self.batching = False
        if self._queue or self._woken:
            if not self.running and current_task(self.loop) is None:
                self.run()
                return
            while self._woken:
                self.wake(self._woken.popleft())
            if self._queue and not self.running and not self._armed:
                self._arm()

    def run(self) -> None:
        """Run until the queue is empty or the budget is used up."""
        if self.running:
            return
        self.running = True
        queue = self._queue
        now = monotonic()
        self.deadline = deadline = now + self.budget
        try:
            if self._woken:
                now = self._step_tasks()
            while queue:
                process = queue.popleft()
                process.ready = False
                self.current = process
                then = now
                now = self._run_process(process, now)
                if self.on_turn is not None:
                    self.on_turn(process, now - then)
                if now > deadline:
                    break
        finally:
            self.current = None
            self.running = False
            if self._woken:
                for future in self._woken:
                    if not future.done():
                        future.set_result(None)
                self._woken.clear()
            if queue and not self._armed:
                self._arm()

    def _step_tasks(self) -> float:
        """Step the asyncio tasks that a batch has woken; the rest, if any, comes soon."""
        woken, deadline = self._woken, self.deadline
        while True:
            woken.popleft().step()
            now = monotonic()
            if not woken or now > deadline:
                return now

    def _run_process(self, process: Process, now: float) -> float:
        """Give ``process`` its turn, begun at ``now``; return when it ended."""
        task = process.task
        if task is not None:
            if not task.runnable:
                return now
            now = self._step(process, task, now)
            if process.task is not None or not process.alive:
                return now
        elif not process.alive:
            return now
        begin = process.begin
        if begin is not None:
            process.begin = None
            process.own_context()
            now = self._call(process, begin[0], (process, *begin[1]), now)
            if process.body is None and process.task is None:
                self._runtime.deaths.end(process, NORMAL)
        if process.body is None:
            return now
        return self._messages(process, now)

    def _messages(self, process: Process, now: float) -> float:
        """Give the body its messages, one after the other."""
        call = process.body.message  # type: ignore[union-attr]
        deadline = self.deadline
        for _ in range(BATCH):
            if process.task is not None or not process.alive or process.held_by is not None:
                return now
            mailbox = process.mailbox
            if not mailbox:
                if process.receivers is None:
                    process.mailbox = None  # an idle process is as small as can be
                return now
            now = self._call(process, call, (process, mailbox.take(process.receivers)), now)
            if now > deadline:
                break
        self.ready(process)
        return now

    def _call(self, process: Process, callback: Any, args: tuple[Any, ...], now: float) -> float:
        """Run a callback of the body, and the first step of the coroutine it may return."""
        try:
            coro = process.context.run(callback, *args)
        except BaseException as error:
            self._raised(process, error, callback)
            return monotonic()
        then = now
        now = monotonic()
        if now - then > self.slow:
            self._warn(process, callback, now - then)
        return now if coro is None else self._begin_task(process, coro, callback, now)

    def _begin_task(self, process: Process, coro: Any, callback: Any, now: float) -> float:
        if type(coro) is not CoroutineType:
            problem = cannot_run(process, callback, coro)
            if problem is not None:
                self._raised(process, problem, callback)
                return now
        if not process.alive:  # it ended itself in the callback, and none of this has begun
            coro.close()
            return now
        process.task = task = ProcessTask(process, coro)
        return self._step(process, task, now)

    def _step(self, process: Process, task: ProcessTask, now: float) -> float:
        """Step the coroutine; when it has ended, draw the consequences."""
        finished = task.step()
        then = now
        now = monotonic()
        if now - then > self.slow:
            self._warn(process, task.get_coro(), now - then)
        if not finished:
            return now
        process.task = None
        error = task.error
        if not process.alive:
            self._runtime.deaths.zombie_ended(process)
            if error is not None:
                self._zombie_raised(process, error)
        elif error is not None:
            self._raised(process, error, task.get_coro())
        elif process.body is None:
            self._runtime.deaths.end(process, NORMAL)
        return now

    def base_context(self) -> contextvars.Context:
        """Return a context with the variables of the current one, for a new process."""
        return contextvars.copy_context()

    if TYPE_CHECKING:  # what Scheduler has

        def _raised(self, process: Process, error: BaseException, where: Any) -> None: ...
        def _zombie_raised(self, process: Process, error: BaseException) -> None: ...
        def _warn(self, process: Process, callback: Any, seconds: float) -> None: ...


if not TYPE_CHECKING and stepping is not None:
    _Core = stepping.SchedulerCore


class Scheduler(_Core):
    """The run queue of one runtime."""

    __slots__ = ()

    def _raised(self, process: Process, error: BaseException, where: Any) -> None:
        if isinstance(error, Exit):
            self._exited(process, error, where)
        else:
            self._crashed(process, error, where)

    def _exited(self, process: Process, error: Exit, where: Any) -> None:
        if process.alive:
            reason = reason_of(error)
            self._end(process, error, reason, where)

    def _crashed(self, process: Process, error: BaseException, where: Any) -> None:
        if process.alive:
            reason = reason_of(error)
            self._end(process, error, reason, where)
        else:
            self._zombie_raised(process, error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error

    def _end(self, process: Process, error: BaseException, reason: Any, where: Any) -> None:
        try:
            log_crash(process, error, reason, where)
        finally:  # a logging handler of the program's may fail; the process has ended all the same
            self._runtime.deaths.end(process, reason)

    def _zombie_raised(self, process: Process, error: BaseException) -> None:
        """What a dead process's clean-up raises is told once; being told to go is no news."""
        log_zombie(process, error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error

    def _warn(self, process: Process, callback: Any, seconds: float) -> None:
        name = name_of(process, callback)
        cure = _cure(process, name)
        _log.warning("%s in %r held the event loop for %.3f s%s", name, process, seconds, cure)


def _cure(process: Process, name: str) -> str:
    """Return what its author can do about a callback that holds the loop."""
    own = getattr(process.body, "cure", None)
    if own is not None:
        return f"; {own}"
    if "/" in name:  # as only functions are called that other nodes run
        return "; exposed as a plain function without blocking=False, it runs in a thread"
    if process.body is None:
        return "; what computes for long goes into a thread: await process.run_blocking(function)"
    return ""
