"""Task: a function in a process of its own, whose result is fetched later.

::

    task = Task.async_(fetch, url)          # linked to the process that asks
    page = await task.await_(timeout=10)

    async for outcome in Task.async_stream(fetch, urls, max_concurrency=8):
        match outcome:
            case TaskOk(page): ...
            case TaskExit(reason): ...

A coroutine function runs on the loop; any other function in a thread of the task's process.  In
both the task is the current process.  Arguments and results are Python values, not copied.

The task is linked to its owner: either's end by a crash ends the other.  ``node.main``, which
speaks for code outside any process, is linked to none: there a crash is raised where the task is
awaited.  The result comes as a message ``{Ref, Result}``, followed by the task's ``'DOWN'``, with
``task.ref``; a server that does not await its task gets both in ``handle_info``.

``'$callers'`` in the process dictionary has the owner, its owner, ...

Source: Elixir's ``Task`` and ``Task.Supervised`` (1.14 to 1.20).
"""

from __future__ import annotations

import inspect
import os
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
)
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from pynode.behaviours.gen import DEFAULT_TIMEOUT, call_exit, milliseconds
from pynode.behaviours.names import give_name
from pynode.behaviours.words import (
    ANCESTORS,
    DOWN,
    INITIAL_CALL,
    KILL,
    NOCONNECTION,
    NODEDOWN,
    SHUTDOWN,
    TIMEOUT,
)
from pynode.errors import CallExit, CallTimeout
from pynode.process.current import act
from pynode.process.process import current_process
from pynode.process.timeouts import check_timeout
from pynode.terms import Atom, Pid, Reference

if TYPE_CHECKING:
    from pynode.behaviours.child_spec import ChildSpec
    from pynode.process.process import Process

__all__ = ["PythonCall", "Task", "TaskExit", "TaskOk", "async_", "callers_of", "start_task"]

CALLERS: Final = Atom("$callers")
BRUTAL_KILL: Final = "brutal_kill"
_KILLED: Final = Atom("killed")
_TASK: Final = Atom("Elixir.Task")


class TaskOk(NamedTuple):
    """What a task returned (``{ok, Value}``)."""

    value: Any

    def result(self) -> Any:
        """Return it."""
        return self.value


class TaskExit(NamedTuple):
    """What a task ended with instead (``{exit, Reason}``)."""

    reason: Any

    def result(self) -> Any:
        """Raise :class:`CallExit`."""
        raise call_exit(self.reason)


Outcome = TaskOk | TaskExit


class PythonCall(NamedTuple):
    """A call of a function of this program."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    task: Task | None = None
    """Whom to leave with what it raises."""

    def telling(self, task: Task) -> PythonCall:
        """Return this call, which leaves what it raises with ``task``."""
        return self._replace(task=task)

    @property
    def name(self) -> str:
        """What log records call it."""
        return str(getattr(self.function, "__qualname__", None) or repr(self.function))

    @property
    def mfa(self) -> tuple[Any, Any, int]:
        """``{Module, Function, Arity}``."""
        module = getattr(self.function, "__module__", None) or "python"
        return Atom(str(module)[-255:]), Atom(self.name[-255:]), len(self.args)

    async def run(self, process: Process) -> Any:
        """Call it, as ``process``."""
        call = partial(self.function, *self.args, **self.kwargs)
        try:
            if inspect.iscoroutinefunction(self.function):
                return await call()
            result = await process.run_blocking(call)
            return await result if inspect.isawaitable(result) else result
        except BaseException as error:
            if self.task is not None:
                self.task.error = error
            raise


class Task:
    """A task under way; made by :meth:`async_` and its siblings.

    ``pid`` is its process, ``ref`` marks its messages, ``owner`` the process that may ask for
    its result.
    """

    __slots__ = ("_answer", "_owner", "error", "pid", "ref")

    _child_restart: ClassVar[str] = "temporary"
    _module: ClassVar[Atom] = _TASK

    def __init__(self, owner: Process, pid: Pid | None, ref: Reference) -> None:
        self._owner = owner
        #: None of one that is completed from the start.
        self.pid: Any = pid
        self.ref = ref
        #: What the function raised, where it is of this program.
        self.error: BaseException | None = None
        self._answer: Outcome | None = None

    def __repr__(self) -> str:
        return f"<Task {self.pid!r}>"

    @property
    def owner(self) -> Pid:
        """The process that asked for it."""
        return self._owner.pid

    # ----------------------------------------------------------------- making

    @staticmethod
    def async_(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Task:
        """Run ``function(*args)`` in a process linked to the current one; return its task.

        Outside any process use ``node.task.async_``.
        """
        made: Task = act(async_, function, *args, **kwargs)
        return made

    @staticmethod
    def start(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Pid:
        """Run ``function(*args)`` in a process for its effects; return its pid."""
        pid: Pid = act(start, function, *args, **kwargs)
        return pid

    @staticmethod
    def start_link(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Pid:
        """Like :meth:`start`, linked to the current process."""
        pid: Pid = act(start_link, function, *args, **kwargs)
        return pid

    @staticmethod
    def completed(value: Any) -> Task:
        """Return a task that has the result ``value`` already, and no process."""
        made: Task = act(completed, value)
        return made

    @staticmethod
    def async_stream(
        function: Callable[..., Any], items: Iterable[Any] | AsyncIterable[Any], **options: Any
    ) -> AsyncIterator[Outcome]:
        """Run ``function(item)`` for each item, several at once; see :func:`async_stream`."""
        made: AsyncIterator[Outcome] = act(async_stream, function, items, **options)
        return made

    @staticmethod
    async def await_many(
        tasks: Iterable[Task], timeout: float | None = DEFAULT_TIMEOUT
    ) -> list[Any]:
        """Return the results of all, in their order.

        Raises:
            CallExit: the first that ended without one.
            CallTimeout: they were not all there within ``timeout`` seconds.
        """
        check_timeout(timeout)
        given = list(tasks)
        outcomes = await Task.yield_many(given, timeout)
        for task, outcome in outcomes:
            if isinstance(outcome, TaskExit):
                raise task._failure(outcome.reason, "await_many", timeout)
        for task, outcome in outcomes:
            if outcome is None:
                raise CallTimeout(TIMEOUT, task._called("await_many", timeout))
        return [outcome.value for _, outcome in outcomes if isinstance(outcome, TaskOk)]

    @staticmethod
    async def yield_many(
        tasks: Iterable[Task],
        timeout: float | None = DEFAULT_TIMEOUT,
        *,
        limit: int | None = None,
        on_timeout: str = "nothing",
    ) -> list[tuple[Task, Outcome | None]]:
        """Wait for tasks, and return each with its outcome; None for one that still runs.

        Args:
            timeout: seconds for all together; None: for ever.
            limit: stop waiting when this many are done.
            on_timeout: what becomes of the others: "nothing", "ignore" or "kill_task".

        Raises:
            ValueError: another ``on_timeout``.
        """
        check_timeout(timeout)
        if on_timeout not in ("nothing", "ignore", "kill_task"):
            raise ValueError(f"on_timeout is nothing, ignore or kill_task, not {on_timeout!r}")
        given = list(tasks)
        wanted = len(given) if limit is None else min(limit, len(given))
        found: dict[Reference, Outcome] = {}
        waiting: dict[Reference, Task] = {}
        for task in given:
            task._check_owner()
            if task._answer is not None:
                found[task.ref] = task._answer
            else:
                waiting[task.ref] = task
        loop = given[0]._owner.runtime.loop if given else None
        deadline = None if timeout is None or loop is None else loop.time() + timeout
        while waiting and len(found) < wanted:
            left = None if deadline is None or loop is None else max(0.0, deadline - loop.time())
            message = await _next_of(given[0]._owner, waiting, left)
            if message is None:
                break
            task = waiting.pop(_ref_in(message))
            found[task.ref] = task._take(message)
        for task in waiting.values():
            if on_timeout == "ignore":
                task.ignore()
            elif on_timeout == "kill_task":
                await task.shutdown(BRUTAL_KILL)
        return [(task, found.get(task.ref)) for task in given]

    # ----------------------------------------------------------------- asking

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.await_().__await__()

    async def await_(self, timeout: float | None = DEFAULT_TIMEOUT) -> Any:
        """Return the result.  Cancelling loses nothing; the result can be asked for again.

        Raises:
            CallTimeout: not within ``timeout`` seconds; a later result is dropped.
            CallExit: the task ended without one; its exception is the ``__cause__``.
            RuntimeError: this is not the owner.
        """
        check_timeout(timeout)
        outcome = await self.yield_(timeout)
        if outcome is None:
            self._forget()
            raise CallTimeout(TIMEOUT, self._called("await", timeout))
        if isinstance(outcome, TaskExit):
            raise self._failure(outcome.reason, "await", timeout)
        return outcome.value

    async def yield_(self, timeout: float | None = DEFAULT_TIMEOUT) -> Outcome | None:
        """Return the outcome, None if there is none within ``timeout`` seconds; ask again then.

        Raises:
            RuntimeError: this is not the owner.
        """
        check_timeout(timeout)
        self._check_owner()
        if self._answer is None:
            message = await _next_of(self._owner, {self.ref: self}, timeout)
            if message is not None:
                self._take(message)
        return self._answer

    async def shutdown(self, timeout: float | str | None = DEFAULT_TIMEOUT) -> Outcome | None:
        """Unlink and end the task, and return its outcome; None if it had none.

        Args:
            timeout: seconds that it has for its end, then it is killed; None: for ever;
                "brutal_kill": it is killed at once.
        """
        brutal = timeout == BRUTAL_KILL
        if not brutal:
            check_timeout(timeout)
        self._check_owner()
        pid, owner = self.pid, self._owner
        if pid is None or self._answer is not None:
            return self._answer
        runtime = owner.runtime
        mine = False
        runtime.unlink(owner, pid)
        with runtime.open_call(owner, pid) as slot:
            runtime.exit(owner, pid, KILL if brutal else SHUTDOWN)
            timer = None
            if isinstance(timeout, int | float):
                timer = runtime.timers.after(timeout, partial(_kill, owner, pid))
            try:
                await slot
            except CallExit as down:
                expected = _KILLED if brutal else SHUTDOWN
                reason = down.reason
                mine = type(reason) is Atom and reason == expected
            finally:
                if timer is not None:
                    timer.cancel()
        message = await _next_of(owner, {self.ref: self}, 0)
        if message is None or (mine and len(message) != 2):
            self._forget()
            return None
        return self._take(message)

    def ignore(self) -> Outcome | None:
        """Let the task go on by itself: unlinked, its result dropped; return one that is here."""
        self._check_owner()
        if self.pid is None or self._answer is not None:
            return self._answer
        mailbox = self._owner.mailbox
        for message in [] if mailbox is None else mailbox.messages():
            if _ref_in(message) == self.ref:
                mailbox_drop(self._owner, self.ref)
                return self._take(message)
        self._owner.runtime.unlink(self._owner, self.pid)
        self._forget()
        return None

    # ----------------------------------------------------------------- parts

    def _check_owner(self) -> None:
        me = current_process()
        runtime = self._owner.runtime
        if me is None or me.runtime is not runtime:
            me = runtime.main
        if me is not self._owner:
            raise RuntimeError(
                f"{self!r} can be asked by its owner {self._owner!r} only, and this is {me!r}"
            )

    def _take(self, message: Any) -> Outcome:
        """Take the message that ends the task."""
        if len(message) == 2:
            self._owner.runtime.demonitor(self._owner, self.ref, flush=True)
            self._answer = TaskOk(message[1])
        else:
            reason = message[4]
            if type(reason) is Atom and reason == NOCONNECTION and self.pid is not None:
                reason = (NODEDOWN, self.pid.node)
            self._owner.runtime.drop_alias(self.ref)
            self._answer = TaskExit(reason)
        return self._answer

    def _forget(self) -> None:
        """Drop what may still come."""
        self._owner.runtime.demonitor(self._owner, self.ref, flush=True)
        mailbox_drop(self._owner, self.ref)

    def _called(self, function: str, timeout: float | None) -> Any:
        return (_TASK, Atom(function), [self.pid, milliseconds(timeout)])

    def _failure(self, reason: Any, function: str, timeout: float | None) -> CallExit:
        error = call_exit(reason, self._called(function, timeout))
        error.__cause__ = self.error
        return error

    # ----------------------------------------------------------------- as a child

    @classmethod
    async def _start_child(cls, process: Process, spec: ChildSpec, args: tuple[Any, ...]) -> Pid:
        """Start ``args[0](*args[1:])`` as a child of the supervisor ``process``."""
        call = PythonCall(args[0], args[1:], spec.kwargs)
        pid = start_task(process, call, callers_of(process), link=True)
        if spec.name is not None:
            child = process.runtime.local(pid)
            if child is not None:
                await give_name(child, spec.name)
        return pid


def _kill(owner: Process, pid: Pid) -> None:
    if owner.alive:
        owner.runtime.exit(owner, pid, KILL)


def mailbox_drop(process: Process, ref: Reference) -> None:
    """Remove the message of a task from the mailbox, should it be there."""
    if process.mailbox is not None:
        process.mailbox.drop(lambda message: _ref_in(message) == ref, process.receivers)


def _ref_in(message: Any) -> Any:
    """Return the reference of a task's reply or DOWN, None of any other message."""
    if type(message) is tuple:
        if len(message) == 2 and type(message[0]) is Reference:
            return message[0]
        if len(message) == 5 and type(message[0]) is Atom and message[0] == DOWN:
            return message[1]
    return None


async def _next_of(
    owner: Process, tasks: dict[Reference, Any], timeout: float | None
) -> tuple[Any, ...] | None:
    """Receive the next reply or DOWN of one of ``tasks``; None: not within ``timeout``."""
    try:
        message: tuple[Any, ...] = await owner.receive(
            lambda message: _ref_in(message) in tasks, timeout=timeout
        )
    except TimeoutError:
        return None
    return message


# --------------------------------------------------------------------------- as any process


def callers_of(process: Process) -> list[Any]:
    """Return ``'$callers'`` for a task of ``process``."""
    known = [] if process.rare is None else process.dictionary.get(CALLERS, [])
    return [process.pid, *known]


def start_task(process: Process, call: PythonCall, callers: list[Any], *, link: bool) -> Pid:
    """Run ``call`` in a process that answers nobody."""

    def begin(task: Process) -> Coroutine[Any, Any, Any]:
        describe(task, process, call.mfa, callers)
        return named(call.run(task), call.name)

    return process.runtime.spawn(begin, link_to=process.pid if link else None).pid


def named(running: Any, name: str) -> Coroutine[Any, Any, Any]:
    """Give a coroutine the name by which log records call it."""
    running.__qualname__ = name
    return running  # type: ignore[no-any-return]


def describe(task: Process, parent: Process, mfa: Any, callers: list[Any]) -> None:
    """Write into the process dictionary whose task this is."""
    above = [] if parent.rare is None else parent.dictionary.get(ANCESTORS, [])
    task.dictionary[ANCESTORS] = [parent.pid if parent.name is None else parent.name, *above]
    task.dictionary[INITIAL_CALL] = mfa
    task.dictionary[CALLERS] = callers


def async_(process: Process, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Task:
    """Run ``function(*args)`` in a process linked to the acting one; see :meth:`Task.async_`."""
    return _async(process, PythonCall(function, args, kwargs), linked=True)


def _async(process: Process, call: PythonCall, *, linked: bool) -> Task:
    runtime = process.runtime
    linked = linked and process is not runtime.main

    async def run(child: Process) -> None:
        value = await call.telling(task).run(child)
        if child.alive and task.ref in runtime.aliases:
            runtime.put(process, (task.ref, value))

    def begin(child: Process) -> Coroutine[Any, Any, Any]:
        describe(child, process, call.mfa, callers)
        return named(run(child), call.name)

    callers = callers_of(process)
    child = runtime.spawn(begin, link_to=process.pid if linked else None)
    # Nothing of it runs before this function has returned, so nothing is missed.
    ref = runtime.monitor(process, child.pid, alias="demonitor")
    task = Task(process, child.pid, ref)
    return task


def start(process: Process, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pid:
    """Run ``function(*args)`` in a process, for its effects."""
    return start_task(process, PythonCall(function, args, kwargs), callers_of(process), link=False)


def start_link(process: Process, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pid:
    """Run ``function(*args)`` in a process linked to the acting one, for its effects."""
    return start_task(process, PythonCall(function, args, kwargs), callers_of(process), link=True)


def completed(process: Process, value: Any) -> Task:
    """Return a task of the acting process that has its result."""
    task = Task(process, None, process.runtime.make_ref())
    task._answer = TaskOk(value)
    return task


# --------------------------------------------------------------------------- many


class StreamOptions(NamedTuple):
    """How a stream of tasks goes about it; see :func:`async_stream`."""

    max_concurrency: int | None = None
    ordered: bool = True
    timeout: float | None = DEFAULT_TIMEOUT
    on_timeout: str = "exit"
    zip_input_on_exit: bool = False

    def checked(self) -> StreamOptions:
        """Return these options, the default number of tasks filled in.

        Raises:
            TypeError, ValueError: one of them is none.
        """
        most = self.max_concurrency or (os.cpu_count() or 1)
        if type(most) is not int or most < 1 or self.max_concurrency == 0:
            raise ValueError(f"max_concurrency is a number above 0, not {self.max_concurrency!r}")
        if self.on_timeout not in ("exit", "kill_task"):
            raise ValueError(f"on_timeout is exit or kill_task, not {self.on_timeout!r}")
        check_timeout(self.timeout)
        return self._replace(max_concurrency=most)


def async_stream(
    process: Process,
    /,
    function: Callable[..., Any],
    items: Iterable[Any] | AsyncIterable[Any],
    **options: Any,
) -> AsyncIterator[Outcome]:
    """Yield :class:`TaskOk` or :class:`TaskExit` for ``function(item)`` of each item.

    The tasks are linked to the owner, so a crash ends it unless it traps exits or is
    ``node.main``.  Closing the iterator (``aclose``, or leaving a loop that is the last to use
    it) kills what still runs; so does the end of the owner.

    Args:
        items: any iterable, also an async one; the next is taken when there is room for a task.
        max_concurrency: tasks at a time; default: the number of processors.
        ordered: outcomes in the order of the items, else as they come.
        timeout: seconds for each task; None: for ever.
        on_timeout: "exit" raises CallTimeout; "kill_task" kills that task, whose outcome is
            ``TaskExit(timeout)``.
        zip_input_on_exit: the reason of a TaskExit is ``(item, reason)``.

    Raises:
        ValueError, TypeError: an option is none.
    """
    checked = StreamOptions(**options).checked()

    async def begin(item: Any) -> Task:
        return _async(process, PythonCall(function, (item,), {}), linked=True)

    return stream(process, begin, items, checked)


class _Running(NamedTuple):
    task: Task
    position: int
    item: Any
    deadline: float | None


async def stream(
    owner: Process,
    begin: Callable[[Any], Awaitable[Task]],
    items: Iterable[Any] | AsyncIterable[Any],
    options: StreamOptions,
) -> AsyncIterator[Outcome]:
    """Yield the outcomes of ``begin(item)`` for each item."""
    loop = owner.runtime.loop
    running: dict[Reference, _Running] = {}
    outcomes: dict[int, Outcome] = {}
    source = _iterate(items)
    begun = delivered = 0
    exhausted = False
    try:
        while True:
            while not exhausted and len(running) < (options.max_concurrency or 1):
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    exhausted = True
                    break
                task = await begin(item)
                deadline = None if options.timeout is None else loop.time() + options.timeout
                running[task.ref] = _Running(task, begun, item, deadline)
                begun += 1
            if not running:
                return
            position, outcome = await _next_outcome(owner, running, options)
            if not options.ordered:
                yield outcome
                continue
            outcomes[position] = outcome
            while delivered in outcomes:
                yield outcomes.pop(delivered)
                delivered += 1
    finally:
        if owner.alive:
            for each in running.values():
                _give_up(each.task)


async def _next_outcome(
    owner: Process, running: dict[Reference, _Running], options: StreamOptions
) -> tuple[int, Outcome]:
    """Wait for the next task that is over, take it out of ``running``."""
    loop = owner.runtime.loop
    while True:
        first = next(iter(running.values()))  # all have the same time, so the oldest
        left = None if first.deadline is None else max(0.0, first.deadline - loop.time())
        message = await _next_of(owner, running, left)
        if message is not None:
            each = running.pop(_ref_in(message))
            return each.position, _zipped(each.task._take(message), each.item, options)
        if options.on_timeout == "exit":
            timeout = milliseconds(options.timeout)
            called = (Atom("Elixir.Task.Supervised"), Atom("stream"), [timeout])
            raise CallTimeout(TIMEOUT, called)
        del running[first.task.ref]
        _give_up(first.task)
        return first.position, _zipped(TaskExit(TIMEOUT), first.item, options)


def _zipped(outcome: Outcome, item: Any, options: StreamOptions) -> Outcome:
    if isinstance(outcome, TaskExit) and options.zip_input_on_exit:
        return TaskExit((item, outcome.reason))
    return outcome


def _give_up(task: Task) -> None:
    """Unlink and kill a task, and drop its messages."""
    owner = task._owner
    if task.pid is not None:
        owner.runtime.unlink(owner, task.pid)
        owner.runtime.exit(owner, task.pid, KILL)
    task._forget()


async def _iterate(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
