"""Task.Supervisor: tasks as children of a supervisor, asked for from any node.

::

    await node.start(TaskSupervisor, name="tasks")
    task = await node.task_supervisor.async_("tasks", fetch, url)
    page = await task.await_()
    there = await node.task_supervisor.async_(("Tasks", other), ("Elixir.Enum", "sum"), [1, 2])

The requests are Elixir's, the same in 1.14 to 1.20, so an Elixir node can use a supervisor of
this one (``Task.Supervisor.async({:tasks, node}, Mod, :fun, args)``, ``async_nolink``,
``async_stream``, ``start_child``), with functions that the program has exposed, and the other way
round.  A closure of Elixir's cannot run here: such a task ends with
``{closure_refused, Text}``; a capture of a named function can.  Policy is asked about a function
of another node's as about a spawn.

Source: Elixir's ``Task.Supervisor`` and ``Task.Supervised`` (1.14, 1.18, 1.20).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.behaviours import gen
from pynode.behaviours.child_spec import BadSpec, ChildSpec, from_fields
from pynode.behaviours.functions import may_run
from pynode.behaviours.names import ServerRef
from pynode.behaviours.supervisor import DynamicSupervisor, SupervisorBody
from pynode.behaviours.supervisor_client import local_body, which_children
from pynode.behaviours.task import (
    CALLERS,
    Outcome,
    PythonCall,
    StreamOptions,
    Task,
    callers_of,
    describe,
    named,
    stream,
)
from pynode.behaviours.words import DOWN, ERROR, INITIAL_CALL, OK, SHUTDOWN, TIMEOUT
from pynode.errors import Exit, FunctionClause, StartError
from pynode.process.spawned import Target, call_exposed, meant_by
from pynode.process.words import NOTSUP, UNDEF
from pynode.terms import Atom, ExportFun, Pid, Reference

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "TaskSupervisor",
    "async_",
    "async_nolink",
    "async_stream",
    "async_stream_nolink",
    "children",
    "start_child",
]

#: Seconds that a task waits to be told what it is to run, as Elixir's does.
_PATIENCE: Final = 5.0
_START_TASK: Final = Atom("start_task")
_MONITOR: Final = Atom("monitor")
_TEMPORARY: Final = Atom("temporary")
_SUPERVISED: Final = Atom("Elixir.Task.Supervised")
_FIELDS: Final = ("start", "restart", "shutdown", "modules")


class TaskSupervisor(DynamicSupervisor, module="Elixir.Task.Supervisor"):
    """A supervisor of tasks; options as :class:`DynamicSupervisor` has them."""

    async def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        """Answer ``{start_task, Args, Restart, Shutdown}`` and a supervisor's requests."""
        if type(request) is tuple and len(request) == 4 and request[0] == _START_TASK:
            return await self._start_task(*request[1:], asker=caller.pid)
        return await super().handle_call(request, caller)

    async def _start_task(self, args: Any, restart: Any, shutdown: Any, *, asker: Pid) -> Any:
        if type(args) is not list or len(args) not in (2, 3) or _pid_of(args[0]) is None:
            raise FunctionClause((_START_TASK, args, restart, shutdown))
        if len(args) == 3:
            args = [args[0], args[1], self._lent(args[2])]
            call = args[2]
            if not isinstance(call, PythonCall) and not self._may_call(asker, call):
                return (ERROR, NOTSUP)
        start: Any = (_SUPERVISED, Atom("start_link"), [])
        fields = (start, restart or _TEMPORARY, 5000 if shutdown is None else shutdown)
        try:
            spec = from_fields(dict(zip(_FIELDS, (*fields, [_SUPERVISED]), strict=True)))
        except BadSpec as bad:
            return (ERROR, bad.reason)
        spec.target = _Supervised
        spec.args = tuple(args)
        return await self._kids.start_spec(spec)

    def _may_call(self, asker: Pid, mfa: Any) -> bool:
        target = _target(mfa)
        return self._may_run(asker, target.module, target.function, target.arity)


def _pid_of(owner: Any) -> Pid | None:
    """Return the pid in ``{Node, NameOrPid, Pid}``."""
    if type(owner) is tuple and len(owner) == 3 and type(owner[2]) is Pid:
        return owner[2]
    return None


def _target(mfa: Any) -> Target:
    """Return what ``{M, F, Args}`` means."""
    if type(mfa) is tuple and len(mfa) == 3:
        return meant_by(Target(*mfa))
    return meant_by(Target(None, None, mfa))


class _Supervised:
    """How the tasks of a supervisor are started."""

    _module: ClassVar[Atom] = _SUPERVISED

    @classmethod
    async def _start_child(cls, process: Process, spec: ChildSpec, args: tuple[Any, ...]) -> Pid:
        owner = _pid_of(args[0])
        assert owner is not None  # noqa: S101
        begin = _answering(process, owner) if len(args) == 2 else _silent(process, *args[1:])
        return process.runtime.spawn(begin, link_to=process.pid).pid


def _silent(parent: Process, callers: Any, call: Any) -> Callable[[Process], Any]:
    """Return the body of a task that nobody waits for."""

    def begin(task: Process) -> Coroutine[Any, Any, Any]:
        describe(task, parent, _mfa_of(call), callers)
        return named(_run(task, call), _name_of(call))

    return begin


def _answering(parent: Process, owner: Pid) -> Callable[[Process], Any]:
    """Return the body of a task that waits for its owner's word what to run, and answers it.

    It ends if the owner does meanwhile, or says nothing.
    """

    def begin(task: Process) -> Coroutine[Any, Any, Any]:
        describe(task, parent, (_SUPERVISED, Atom("reply"), 2), [])
        return named(run(task), "Task.Supervised.reply")

    async def run(task: Process) -> None:
        runtime = task.runtime
        watch = runtime.monitor(task, owner)

        def is_word(message: Any) -> bool:
            return type(message) is tuple and (
                (len(message) == 5 and message[0] == owner)
                or (len(message) == 5 and message[0] == DOWN and message[1] == watch)
            )

        try:
            message = await task.receive(is_word, timeout=_PATIENCE)
        except TimeoutError:
            raise Exit(TIMEOUT) from None
        if message[0] == DOWN:
            raise Exit((SHUTDOWN, message[4]))
        runtime.demonitor(task, watch, flush=True)
        _, ref, reply_to, callers, call = message
        task.dictionary[INITIAL_CALL] = _mfa_of(call)
        task.dictionary[CALLERS] = callers
        if task.task is not None:
            running: Any = task.task.get_coro()
            running.__qualname__ = _name_of(call)
        if isinstance(call, PythonCall):
            value = await call.run(task)
            owner_process = runtime.local(owner)
            if owner_process is not None and ref in runtime.aliases:
                runtime.put(owner_process, (ref, value))
            return
        target = _target(call)
        mfa = target.module, target.function, target.arity
        if target.reason is None and not may_run(runtime, owner, mfa):
            raise Exit(NOTSUP)
        value = await _call(task, target)
        if isinstance(reply_to, Pid | Reference):
            runtime.send(task, reply_to, (ref, value))

    return begin


async def _run(task: Process, call: Any) -> Any:
    return (
        await call.run(task) if isinstance(call, PythonCall) else await _call(task, _target(call))
    )


async def _call(task: Process, target: Target) -> Any:
    """Call an exposed function as ``task``."""
    if target.reason is not None:
        raise Exit(target.reason)
    exposed = task.runtime.resolver.entry(target.module, target.function, target.arity)
    if exposed is None:
        raise Exit((UNDEF, [(target.module, target.function, target.args, [])]))
    return await call_exposed(task, exposed, target.args)


def _mfa_of(call: Any) -> Any:
    if isinstance(call, PythonCall):
        return call.mfa
    target = _target(call)
    return (target.module, target.function, target.arity)


def _name_of(call: Any) -> str:
    if isinstance(call, PythonCall):
        return call.name
    target = _target(call)
    return f"{target.module}:{target.function}/{target.arity}"


# --------------------------------------------------------------------------- client

Function = Callable[..., Any] | ExportFun | tuple[Any, Any]
"""A Python function (supervisors of this node), an ExportFun, or ``(module, function)``."""


async def async_(
    process: Process,
    supervisor: ServerRef,
    function: Function,
    /,
    *args: Any,
    shutdown: float | str | None = 5.0,
    **kwargs: Any,
) -> Task:
    """Run ``function(*args)`` as a child of ``supervisor``, linked to the acting process too.

    Args:
        supervisor: a TaskSupervisor of this node, or a Task.Supervisor of any.
        function: of a supervisor of another node: ``(module, function)`` or an ExportFun.
        shutdown: seconds for its end when the supervisor ends; "brutal_kill".

    Raises:
        StartError: ``max_children``; ``notsup``, the other node's policy forbids it.
        NoProcess, NoConnection: there is no such supervisor.
        TypeError: a Python function for a supervisor of another node.
    """
    call = PythonCall(function, args, kwargs)  # type: ignore[arg-type]
    return await _supervised(process, supervisor, call, linked=True, shutdown=shutdown)


async def async_nolink(
    process: Process,
    supervisor: ServerRef,
    function: Function,
    /,
    *args: Any,
    shutdown: float | str | None = 5.0,
    **kwargs: Any,
) -> Task:
    """Like :func:`async_`, not linked: its crash is seen where it is awaited, and only there."""
    call = PythonCall(function, args, kwargs)  # type: ignore[arg-type]
    return await _supervised(process, supervisor, call, linked=False, shutdown=shutdown)


async def start_child(
    process: Process,
    supervisor: ServerRef,
    function: Function,
    /,
    *args: Any,
    restart: str = "temporary",
    shutdown: float | str | None = 5.0,
    **kwargs: Any,
) -> Pid:
    """Run ``function(*args)`` as a child of ``supervisor`` for its effects; return its pid.

    Args:
        restart: "temporary", or "transient" or "permanent": it is run again.

    Raises:
        StartError: ``max_children``; ``notsup``.
    """
    call = PythonCall(function, args, kwargs)  # type: ignore[arg-type]
    body = await local_body(process, supervisor)
    what: Any = _sent(call, body)
    if body is not None and isinstance(what, PythonCall):
        what = process.runtime.make_ref()
        body.lent[what] = call
    try:
        arguments = [_owner(process), callers_of(process), what]
        return await _start(process, supervisor, arguments, restart, shutdown)
    finally:
        if body is not None and type(what) is Reference:
            body.lent.pop(what, None)


def async_stream(
    process: Process,
    /,
    supervisor: ServerRef,
    function: Function,
    items: Iterable[Any] | AsyncIterable[Any],
    *args: Any,
    shutdown: float | str | None = 5.0,
    **options: Any,
) -> AsyncIterator[Outcome]:
    """Yield the outcomes of ``function(item, *args)`` for each item, each a child and linked.

    Options and errors as :func:`pynode.behaviours.task.async_stream` has them.
    """
    return _stream(process, supervisor, function, items, args, shutdown, options, linked=True)


def async_stream_nolink(
    process: Process,
    /,
    supervisor: ServerRef,
    function: Function,
    items: Iterable[Any] | AsyncIterable[Any],
    *args: Any,
    shutdown: float | str | None = 5.0,
    **options: Any,
) -> AsyncIterator[Outcome]:
    """Like :func:`async_stream`, not linked: a crash is a ``TaskExit`` and nothing more."""
    return _stream(process, supervisor, function, items, args, shutdown, options, linked=False)


async def children(process: Process, supervisor: ServerRef) -> list[Pid]:
    """Return the pids of the tasks of a supervisor."""
    found = await which_children(process, supervisor)
    return [child.pid for child in found if child.pid is not None]


def _stream(
    process: Process,
    supervisor: ServerRef,
    function: Any,
    items: Any,
    args: tuple[Any, ...],
    shutdown: float | str | None,
    options: dict[str, Any],
    *,
    linked: bool,
) -> AsyncIterator[Outcome]:
    checked = StreamOptions(**options).checked()

    async def begin(item: Any) -> Task:
        call = PythonCall(function, (item, *args), {})
        return await _supervised(process, supervisor, call, linked=linked, shutdown=shutdown)

    return stream(process, begin, items, checked)


async def _supervised(
    process: Process,
    supervisor: ServerRef,
    call: PythonCall,
    *,
    linked: bool,
    shutdown: float | str | None,
) -> Task:
    runtime = process.runtime
    what = _sent(call, await local_body(process, supervisor))
    arguments = [_owner(process), _MONITOR]
    pid = await _start(process, supervisor, arguments, "temporary", shutdown)
    if linked and process is not runtime.main:
        runtime.link(process, pid)
    ref = runtime.monitor(process, pid, alias="demonitor")
    task = Task(process, pid, ref)
    callers = callers_of(process)
    if isinstance(what, PythonCall):
        child = runtime.local(pid)
        if child is not None:
            runtime.put(child, (process.pid, ref, ref, callers, what.telling(task)))
    else:
        runtime.send(process, pid, (process.pid, ref, ref, callers, what))
    return task


def _owner(process: Process) -> tuple[Any, Any, Any]:
    name = process.pid if process.name is None else process.name
    return (process.runtime.node_name, name, process.pid)


def _sent(call: PythonCall, body: SupervisorBody | None) -> Any:
    """Return ``{M, F, Args}`` of a named function, or the call itself for a supervisor here."""
    function: Any = call.function
    if type(function) is ExportFun:
        function = (Atom(str(function.module)), Atom(str(function.function)))
    if type(function) is tuple:
        if call.kwargs:
            raise TypeError("a function of another node has no arguments by keyword")
        module, name = (Atom(part) if isinstance(part, str) else part for part in function)
        return (module, name, list(call.args))
    if body is None:
        raise TypeError(
            f"{function!r} cannot be sent to another node; name the function there: "
            '("Elixir.Enum", "sum")'
        )
    return call


async def _start(
    process: Process, supervisor: ServerRef, args: Any, restart: str, shutdown: float | str | None
) -> Pid:
    time: Any
    if shutdown is None:
        time = Atom("infinity")
    else:
        time = Atom(shutdown) if isinstance(shutdown, str) else round(shutdown * 1000)
    request = (_START_TASK, args, Atom(restart), time)
    answer = await gen.call(process, supervisor, request, None)
    if type(answer) is tuple and answer[0] == OK:
        pid: Pid = answer[1]
        return pid
    raise StartError(answer[1] if type(answer) is tuple and len(answer) == 2 else answer)
