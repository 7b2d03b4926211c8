"""Threads of blocking processes, and the way from such a thread to the loop.

A process that computes for long has a :class:`Worker`: a thread of its own in which one callable
after the other runs, as that process.  The module functions of :mod:`pynode.process.current`
work there: they are marshalled to the loop by :class:`Marshal`, in order, and what they return
or raise comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pynode.errors import NodeDown
from pynode.process.task import Waiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pynode.process.process import Process
    from pynode.process.runtime import Runtime
    from pynode.process.scheduler import Scheduler
    from pynode.terms import Atom

__all__ = ["Marshal", "Threads", "Worker"]

T = TypeVar("T")


class _Request:
    """One call that a thread waits for."""

    __slots__ = (
        "args",
        "context",
        "done",
        "error",
        "function",
        "kwargs",
        "pressed",
        "process",
        "result",
        "settled",
    )

    def __init__(
        self,
        process: Process,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.process = process
        self.function = function
        self.args = args
        self.kwargs = kwargs
        # Several threads' requests are served in one go, each in the context of its own thread.
        self.context = contextvars.copy_context()
        # Not an Event: a thread that is interrupted in one may keep its lock, and hold the loop up.
        self.done = threading.Lock()
        self.done.acquire()
        self.settled = False
        #: The busy node that it sent to as the main process.
        self.pressed: Atom | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self, result: Any, error: BaseException | None) -> None:
        """Let the thread go on."""
        self.result = result
        self.error = error
        self.settled = True
        self.done.release()


class Marshal:
    """Calls from other threads, made on the loop in the order in which they were asked for."""

    __slots__ = ("_closed", "_lock", "_queue", "_runtime", "tasks")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._queue: deque[_Request] = deque()
        self._lock = threading.Lock()
        self._closed = False
        #: Awaitables that threads wait for; owned by the runtime.
        self.tasks: dict[asyncio.Task[Any], _Request] = {}

    def call(
        self,
        process: Process,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """See :meth:`Runtime.call_threadsafe`."""
        request = _Request(process, function, args, kwargs)
        result = self._ask(request)
        if process.held_by is not None or request.pressed is not None:
            self.wait(process, self._runtime.router.released(process, request.pressed))
        return result

    def wait(self, process: Process, awaitable: Awaitable[T]) -> T:
        """Await ``awaitable`` on the loop, as ``process``, and return its result here."""
        request = _Request(process, self._begin, (), {})
        request.args = (request, awaitable)
        try:
            return self._ask(request)  # type: ignore[no-any-return]
        finally:
            if asyncio.iscoroutine(awaitable):
                awaitable.close()  # where it was refused, or cancelled before it began

    def _ask(self, request: _Request) -> Any:
        if self._closed:
            raise NodeDown(self._runtime.gone_because)
        if threading.get_ident() == self._runtime.thread_id:
            raise RuntimeError("on the loop's own thread, await instead of waiting for the loop")
        with self._lock:
            if self._closed:
                raise NodeDown(self._runtime.gone_because)
            if not self._queue:  # before it has one: an interrupt may come in between
                self._runtime.loop.call_soon_threadsafe(self._serve)
            self._queue.append(request)
        request.done.acquire()
        if request.error is not None:
            raise request.error
        return request.result

    def _serve(self) -> None:
        """Make the calls that are waiting."""
        while True:
            with self._lock:
                if not self._queue:
                    return
                request = self._queue[0]
            router = self._runtime.router
            router.pressed = None
            try:
                result = request.context.run(request.function, *request.args, **request.kwargs)
            except BaseException as error:
                request.settle(None, error)
            else:
                request.pressed = router.pressed
                if result is not _PENDING:
                    request.settle(result, None)
            with self._lock:
                if not self._queue:
                    return  # closed meanwhile
                self._queue.popleft()

    def _begin(self, request: _Request, awaitable: Awaitable[Any]) -> Any:
        if not request.process.alive:
            raise asyncio.CancelledError

        async def run() -> Any:
            return await awaitable

        name = f"pynode wait of {request.process.pid!r}"
        task = self._runtime.loop.create_task(run(), name=name)
        self.tasks[task] = request
        task.add_done_callback(self._ended)
        return _PENDING

    def _ended(self, task: asyncio.Task[Any]) -> None:
        request = self.tasks.pop(task)
        if task.cancelled():
            request.settle(None, asyncio.CancelledError())
        else:
            error = task.exception()
            request.settle(None if error is not None else task.result(), error)

    def cancel(self, process: Process) -> None:
        """Cancel what the thread of a process that ended waits for."""
        for task, request in list(self.tasks.items()):
            if request.process is process:
                task.cancel()

    def left_behind(self) -> None:
        """In a forked child: refuse every call; another thread may have had the lock."""
        self._lock = threading.Lock()
        self._closed = True
        self._queue.clear()

    def close(self) -> None:
        """Refuse further calls, and those not made yet."""
        with self._lock:
            self._closed = True
            waiting = list(self._queue)
            self._queue.clear()
        for request in waiting:
            if not request.settled:
                request.settle(None, NodeDown(self._runtime.gone_because))


class _Pending:
    __slots__ = ()


_PENDING: Final = _Pending()


class Threads:
    """How many of the threads that other nodes can have started may be there at once.

    A thread counts until it has ended, which may be long after its process: no thread can be
    stopped.
    """

    __slots__ = ("_most", "_scheduler", "_waiting", "count")

    def __init__(self, scheduler: Scheduler, most: int) -> None:
        self._scheduler = scheduler
        self._most = most
        self._waiting: deque[Waiter] = deque()
        self.count = 0

    async def give_worker(self, process: Process) -> None:
        """Give ``process`` its thread, when there may be one more; first come, first served."""
        if process.extra.worker is not None:
            return
        if self.count >= self._most or self._waiting:
            waiter = Waiter(self._scheduler)
            self._waiting.append(waiter)
            try:
                while self.count >= self._most or self._waiting[0] is not waiter:
                    await waiter
                    waiter.rearm()
            finally:
                self._waiting.remove(waiter)
                if self._waiting:
                    self._waiting[0].wake()  # looks for itself whether there is room
        self.count += 1
        process.extra.worker = Worker(process, self._ended)

    def _ended(self) -> None:
        self.count -= 1
        if self._waiting:
            self._waiting[0].wake()


class Worker:
    """The thread of one process.  Started with the first callable, ended with the process.

    ``ended`` is called on the loop when the thread has.
    """

    __slots__ = ("_context", "_ended", "_process", "_queue", "_thread")

    def __init__(self, process: Process, ended: Callable[[], None] | None = None) -> None:
        self._process = process
        self._ended = ended
        # A context cannot be entered by two threads, and the loop enters the process's own.
        self._context = process.own_context().copy()
        from queue import SimpleQueue  # late: few programs block

        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._main, name=f"pynode {process.pid!r}", daemon=True
        )
        self._thread.start()

    def submit(self, function: Callable[..., T], args: tuple[Any, ...]) -> asyncio.Future[T]:
        """Run ``function(*args)`` after what was submitted before; return its future."""
        future: asyncio.Future[T] = self._process.runtime.loop.create_future()
        self._queue.put((future, function, args))
        return future

    def close(self) -> None:
        """Let the thread end after the callable that it is in."""
        self._queue.put(None)
        self._process.runtime.marshal.cancel(self._process)

    @property
    def thread(self) -> threading.Thread:
        """The thread."""
        return self._thread

    def _main(self) -> None:
        try:
            self._work()
        finally:
            if self._ended is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._process.runtime.loop.call_soon_threadsafe(self._ended)

    def _work(self) -> None:
        loop = self._process.runtime.loop
        while True:
            item = self._queue.get()
            if item is None:
                return
            future, function, args = item
            result: Any = None
            error: BaseException | None = None
            try:
                if self._process.alive:
                    result = self._context.run(function, *args)
                else:
                    error = asyncio.CancelledError()
            except BaseException as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                return  # the loop is closed; nobody waits any more
            del item, future, function, args, result, error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return  # the process was told to go meanwhile
    if error is None:
        future.set_result(result)
    elif isinstance(error, asyncio.CancelledError):
        future.cancel()
    elif isinstance(error, StopIteration):
        future.set_exception(RuntimeError("StopIteration left a blocking callback"))
    else:
        future.set_exception(error)
