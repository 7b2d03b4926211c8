"""Stepping a coroutine without an asyncio task, in a way that asyncio's users do not notice.

A :class:`ProcessTask` drives one coroutine of a process: the runtime's scheduler calls
:meth:`~ProcessTask.step`, and whatever the coroutine then yields says what it waits for:

- a :class:`Waiter`: something of the runtime's own (a message, a reply, a peer's queue);
- a future that is ready to be awaited: any foreign awaitable, by the protocol that
  :class:`asyncio.Task` has (``_asyncio_future_blocking``);
- None: ``asyncio.sleep(0)``, one round of the loop.

While it runs, :func:`asyncio.current_task` is the ProcessTask (``_enter_task`` and
``_leave_task``, which asyncio keeps for tasks of third parties), so :func:`asyncio.timeout`,
:class:`asyncio.TaskGroup`, ``create_task``, anyio and aiohttp work inside a process.  It is not
in :func:`asyncio.all_tasks`, for nobody but the runtime may cancel all processes.
"""

from __future__ import annotations

import asyncio
import types
from asyncio import CancelledError
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

from pynode.process._core import stepping
from pynode.process.shared import ZOMBIE_AWAITS

if TYPE_CHECKING:
    import contextvars

    from pynode.process.process import Process
    from pynode.process.scheduler import Scheduler

__all__ = ["ProcessTask", "TaskFuture", "Waiter"]


class _Core:
    """What the scheduler does with a coroutine."""

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_cancel_message",
        "_cancels",
        "_coro",
        "_fut_waiter",
        "_must_cancel",
        "_name",
        "_soon",
        "_throw",
        "_waiter",
        "_zombie_awaits",
        "error",
        "finished",
        "process",
        "result_",
        "runnable",
        "stepping",
    )

    def __init__(self, process: Process, coro: Coroutine[Any, Any, Any]) -> None:
        self.process: Final = process
        self._coro = coro
        self._fut_waiter: Any = None
        self._waiter: Waiter | None = None
        self._must_cancel = False
        self._soon = False
        self._cancel_message: Any = None
        self._cancels = 0
        self._throw: BaseException | None = None
        self._callbacks: list[tuple[Callable[[Any], object], Any]] | None = None
        self._name: str | None = None
        self._zombie_awaits = 0
        #: The next turn of the process may step.
        self.runnable = True
        self.stepping = False
        self.finished = False
        self.result_: Any = None
        self.error: BaseException | None = None

    def step(self) -> bool:
        """Run to the next await that waits, and return whether the coroutine has ended.

        Never raises: how it ended is in ``result_`` and ``error``.
        """
        self.runnable = False
        self._fut_waiter = None
        self._waiter = None
        error = self._throw
        self._throw = None
        if self._must_cancel:
            self._must_cancel = False
            error = CancelledError() if error is None else error
        process = self.process
        loop = process.runtime.loop
        _enter_task(loop, self)  # type: ignore[arg-type]
        self.stepping = True
        yielded: Any = None
        try:
            if error is None:
                yielded = process.context.run(self._coro.send, None)
            else:
                yielded = process.context.run(self._coro.throw, error)
        except StopIteration as stop:
            self.result_ = stop.value
            self.finished = True
        except BaseException as raised:
            self.error = raised
            self.finished = True
        finally:
            self.stepping = False
            _leave_task(loop, self)  # type: ignore[arg-type]
        if not self.finished:
            self._wait_for(yielded)
            return False
        if self._callbacks:
            for callback, context in self._callbacks:
                loop.call_soon(callback, self, context=context)
            self._callbacks = None
        return True

    def _wait_for(self, yielded: Any) -> None:
        if isinstance(yielded, Waiter):
            self._waiter = yielded
            if self._must_cancel:
                self.make_runnable()
        elif yielded is None:
            self._soon = True
            self.process.runtime.loop.call_soon(self._next_round)
        elif getattr(yielded, "_asyncio_future_blocking", None):
            self._wait_for_future(yielded)
        else:
            self._throw = RuntimeError(
                f"a coroutine of {self.process!r} awaited what asyncio cannot wait for: {yielded!r}"
            )
            self.make_runnable()

    def _next_round(self) -> None:
        self._soon = False
        self.make_runnable()

    def _wait_for_future(self, future: Any) -> None:
        future._asyncio_future_blocking = False
        runtime = self.process.runtime
        if future.get_loop() is not runtime.loop:
            self._throw = RuntimeError(f"{future!r} belongs to another event loop")
            self.make_runnable()
            return
        future.add_done_callback(self._future_done, context=runtime.context)
        self._fut_waiter = future
        if self._must_cancel and future.cancel(msg=self._cancel_message):
            self._must_cancel = False

    def _future_done(self, future: Any) -> None:
        if self._fut_waiter is future:
            if not future.cancelled():
                future.exception()  # marks it as retrieved, should we be cancelled before
            self.make_runnable()

    def make_runnable(self) -> None:
        """Have the coroutine stepped in one of the next turns."""
        if not self.finished and not self.runnable:
            self.runnable = True
            self.process.runtime.scheduler.ready(self.process)

    def abandon(self) -> bool:
        """Close a coroutine that will not be stepped any more; False if it refuses."""
        if self._fut_waiter is not None:
            self._fut_waiter.remove_done_callback(self._future_done)
            self._fut_waiter = None
        self._waiter = None
        self.finished = True
        self.runnable = False
        try:
            self.process.context.run(self._coro.close)
        except BaseException as error:
            self.error = error
            return False
        return True

    def interrupt(self, msg: Any = None) -> None:
        """Cancel without counting it among :meth:`cancelling`."""
        if self._fut_waiter is not None and self._fut_waiter.cancel(msg=msg):
            return
        self._must_cancel = True
        self._cancel_message = msg
        if not self.stepping and not self._soon:  # it is going to be stepped, and only once
            self.make_runnable()


if not TYPE_CHECKING and stepping is not None:
    _Core = stepping.TaskCore


class ProcessTask(_Core):
    """One coroutine of a process while it is under way; what ``asyncio.current_task()`` is there.

    The methods are those of :class:`asyncio.Task` that libraries call.  Cancelling it throws
    :class:`asyncio.CancelledError` into the callback, not an exit signal at the process.
    """

    __slots__ = ()

    def cancel(self, msg: Any = None) -> bool:
        """Throw :class:`asyncio.CancelledError` into the coroutine at its next await."""
        if self.finished:
            return False
        self._cancels += 1
        self.interrupt(msg)
        return True

    def cancelling(self) -> int:
        """Return the number of :meth:`cancel` calls not taken back."""
        return self._cancels

    def uncancel(self) -> int:
        """Take one :meth:`cancel` back, and return how many are left."""
        if self._cancels > 0:
            self._cancels -= 1
            if self._cancels == 0 and self.process.alive:
                self._must_cancel = False
        return self._cancels

    def cancelled(self) -> bool:
        """Return whether it ended by CancelledError."""
        return isinstance(self.error, CancelledError)

    def done(self) -> bool:
        """Return whether the coroutine has ended."""
        return self.finished

    def result(self) -> Any:
        """Return or raise what the coroutine ended with."""
        if not self.finished:
            raise asyncio.InvalidStateError("Result is not set.")
        if self.error is not None:
            raise self.error
        return self.result_

    def exception(self) -> BaseException | None:
        """Return what the coroutine raised."""
        if not self.finished:
            raise asyncio.InvalidStateError("Exception is not set.")
        if isinstance(self.error, CancelledError):
            raise self.error
        return self.error

    def add_done_callback(
        self, fn: Callable[[Any], object], *, context: contextvars.Context | None = None
    ) -> None:
        """Call ``fn(self)`` soon after the end."""
        if self.finished:
            self.process.runtime.loop.call_soon(fn, self, context=context)
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append((fn, context))

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        """Forget ``fn``, and return how often it was there."""
        if not self._callbacks:
            return 0
        kept = [entry for entry in self._callbacks if entry[0] != fn]
        removed = len(self._callbacks) - len(kept)
        self._callbacks = kept
        return removed

    def get_coro(self) -> Coroutine[Any, Any, Any]:
        """Return the coroutine."""
        return self._coro

    def get_context(self) -> contextvars.Context:
        """Return the context of the process."""
        return self.process.context

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the runtime."""
        return self.process.runtime.loop

    def get_name(self) -> str:
        """Return the name, by default the process's pid."""
        return self._name if self._name is not None else repr(self.process.pid)

    def set_name(self, value: object) -> None:
        """Set the name."""
        self._name = str(value)

    def get_stack(self, *, limit: int | None = None) -> list[types.FrameType]:
        """Return the frame at which the coroutine stands, innermost last."""
        frame = getattr(self._coro, "cr_frame", None)
        return [] if frame is None else [frame]

    def __repr__(self) -> str:
        name = getattr(self._coro, "__qualname__", repr(self._coro))
        return f"<ProcessTask {name} of {self.process!r}>"


class TaskFuture(asyncio.Future[None]):
    """What an asyncio task waits on for something of the runtime's.

    A future has its task stepped in the next round of the loop; :meth:`step` does it at once,
    which saves a round (and a write of its own) for each reply that a task waits for.
    """

    __slots__ = ("_context", "_resume")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._resume: Callable[[Any], object] | None = None
        self._context: contextvars.Context | None = None

    def add_done_callback(
        self, fn: Callable[[Any], object], /, *, context: contextvars.Context | None = None
    ) -> None:
        """As a future has it; the first one can be called by :meth:`step`."""
        if self._resume is None and context is not None and not self.done():
            self._resume = fn
            self._context = context
        else:
            super().add_done_callback(fn, context=context)

    def remove_done_callback(self, fn: Callable[[Any], object], /) -> int:
        """As a future has it."""
        removed = super().remove_done_callback(fn)
        if self._resume == fn:
            self._resume = self._context = None
            removed += 1
        return removed

    def cancel(self, msg: Any = None) -> bool:
        """As a future has it."""
        cancelled = super().cancel(msg=msg)
        if cancelled:
            self._resume_soon()
        return cancelled

    def set_result(self, result: None, /) -> None:
        """As a future has it."""
        super().set_result(result)
        self._resume_soon()

    def _resume_soon(self) -> None:
        resume, self._resume = self._resume, None
        if resume is not None:
            self.get_loop().call_soon(resume, self, context=self._context)

    def step(self) -> None:
        """Become done, and step the task that waits now.

        To be called where no task is in the middle of a step: by callbacks of the loop.
        """
        if self.done():
            return
        super().set_result(None)
        resume, self._resume = self._resume, None
        if resume is not None:
            self._context.run(resume, self)  # type: ignore[union-attr]


class Waiter:
    """A place to wait for a :meth:`wake`, in a stepped process and in any asyncio task alike.

    Made by whoever is going to wait, and awaited by nobody else; waking it before or twice does no
    harm.  A wake may be for nothing: check, :meth:`rearm`, and wait again.
    """

    __slots__ = ("_future", "_scheduler", "_task", "_woken", "_yielded")

    def __init__(self, scheduler: Scheduler) -> None:
        self._woken = False
        self._yielded = False
        loop = scheduler.loop
        task = asyncio.current_task(loop)
        self._scheduler = scheduler
        self._task: ProcessTask | None = None
        self._future: TaskFuture | None = None
        if isinstance(task, ProcessTask):
            self._task = task
        else:
            self._future = TaskFuture(loop)

    def wake(self) -> None:
        """Let the one that waits go on."""
        if self._woken:
            return
        self._woken = True
        task = self._task
        if task is None:
            self._scheduler.wake(self._future)  # type: ignore[arg-type]
        elif task._waiter is self:
            task._waiter = None
            task.make_runnable()

    def rearm(self) -> None:
        """Make it good for another wait of the same waiting party."""
        self._woken = False
        self._yielded = False
        if self._task is None:
            self._future = TaskFuture(self._scheduler.loop)

    # What is awaited in a stepped process is the waiter itself, as an iterator that yields itself
    # once: a generator for it would be the largest part of a process that waits.

    def __await__(self) -> Generator[Any, Any, None]:
        task = self._task
        if task is None:
            return self._future.__await__()  # type: ignore[union-attr]
        if not task.process.alive:
            return _as_zombie(self, task)
        return self  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Waiter:
        if self._woken or self._yielded:
            self._yielded = False
            raise StopIteration
        self._yielded = True
        return self


def _as_zombie(waiter: Waiter, task: ProcessTask) -> Generator[Any, None, None]:
    """Nothing reaches a dead process: cancel its coroutine again, in the end let it lie."""
    if task._zombie_awaits < ZOMBIE_AWAITS:
        task._zombie_awaits += 1
        yield None  # a coroutine that swallows this in a loop must not hold the others up
        raise CancelledError
    while True:
        yield waiter


if not TYPE_CHECKING and stepping is not None:
    Waiter = stepping.Waiter
    stepping.bind(task=ProcessTask, future=TaskFuture)
