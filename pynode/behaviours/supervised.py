"""One child of a supervisor: how it is started, how it is ended, what is reported of it.

All of this runs in the supervisor's process, which traps exits and is linked to its children.

Source: stdlib's ``supervisor`` (``do_start_child``, ``shutdown``, ``report_error``).
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.child_spec import BRUTAL_KILL, ChildSpec, Mfa, Starter
from pynode.behaviours.names import give_name
from pynode.behaviours.starting import start
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import (
    ALREADY_STARTED,
    ERROR,
    EXIT,
    IGNORE,
    KILL,
    NOPROC,
    NORMAL,
    OK,
    SHUTDOWN,
    UNDEF,
    UNDEFINED,
)
from pynode.errors import (
    AlreadyStarted,
    CallExit,
    Exit,
    Ignore,
    NameError_,
    StartError,
    StartIgnored,
)
from pynode.process.reasons import reason_of
from pynode.shown import shown
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "NO_INFO",
    "Child",
    "Intensity",
    "Reports",
    "launch",
    "shut_down",
    "wait_for_end",
]

_log = logging.getLogger("pynode.process")
_KILLED: Final = Atom("killed")
_UNLINKED: Final = Atom("child_process_unlinked")
_CHILD: Final = Atom("child")
_RESTARTING: Final = Atom("restarting")


class _NoInfo:
    __slots__ = ()


#: A child started with ``{ok, Pid}``, not ``{ok, Pid, Info}``.
NO_INFO: Final[Any] = _NoInfo()


class Child:
    """A child: its spec, and what has become of it."""

    __slots__ = ("extra", "pid", "restarting", "spec")

    def __init__(
        self, spec: ChildSpec, pid: Pid | None = None, extra: tuple[Any, ...] = ()
    ) -> None:
        self.spec = spec
        #: The live process; the last one while it is being restarted; None where there is none.
        self.pid = pid
        #: It did not start, and is tried again.
        self.restarting = False
        #: Arguments of its own, behind those of the spec.
        self.extra = extra

    @property
    def id(self) -> Any:
        """The id in its spec."""
        return self.spec.id

    @property
    def is_running(self) -> bool:
        """Whether it has a process."""
        return self.pid is not None and not self.restarting

    @property
    def is_temporary(self) -> bool:
        """Whether it is never started again."""
        return self.spec.restart == "temporary"

    def state_term(self) -> Any:
        """Return ``Pid | undefined | restarting``."""
        if self.restarting:
            return _RESTARTING
        return UNDEFINED if self.pid is None else self.pid

    def pid_term(self) -> Any:
        """Return ``Pid | undefined | {restarting, Pid | undefined}``, as reports have it."""
        pid = UNDEFINED if self.pid is None else self.pid
        return (_RESTARTING, pid) if self.restarting else pid

    def record(self) -> tuple[Any, ...]:
        """Return supervisor's record ``#child{}``, which ``{error, {Reason, Child}}`` has."""
        spec = self.spec
        return (
            _CHILD,
            self.pid_term(),
            term_or_repr(spec.id),
            spec.start_term(self.extra),
            Atom(spec.restart),
            spec.significant,
            spec.shutdown_term(),
            Atom(spec.type),
            spec.modules,
        )


# --------------------------------------------------------------------------- starting


async def launch(
    process: Process, spec: ChildSpec, extra: Iterable[Any] = (), *, caught: bool = True
) -> tuple[Pid | None, Any]:
    """Start a child linked to ``process``; return ``(pid, NO_INFO | Info)``, no pid for ignore.

    ``caught``: what a start function raises is told as ``{'EXIT', Reason}``.

    Raises:
        StartError: it did not start.
    """
    target = spec.target
    args = (*spec.args, *extra)
    try:
        if isinstance(target, Mfa):
            return await _by_name(process, spec, target, args, caught)
        if isinstance(target, Starter):
            return await _by_function(process, target.function, args, spec.kwargs, caught)
        if hasattr(target, "_make_body"):
            return await _server(process, target, args, spec), NO_INFO
        if hasattr(target, "_start_child"):
            return await target._start_child(process, spec, args), NO_INFO
        return await _function(process, target, args, spec), NO_INFO
    except (Ignore, StartIgnored):
        return None, NO_INFO
    except NameError_ as error:
        failure = StartError(_checked(reason_of(error)))
        failure.__cause__ = error
    except StartError as error:
        failure = error
    failures = getattr(process.body, "failures", None)
    if failures is not None:
        failures.append(failure)
    raise failure


async def _server(process: Process, server: Any, args: Iterable[Any], spec: ChildSpec) -> Pid:
    name = getattr(server, "server_name", None) if spec.name is None else spec.name
    return await start(
        process.runtime,
        server,
        *args,
        name=name,
        link_to=process.pid,
        timeout=spec.start_timeout,
        **spec.kwargs,
    )


async def _function(process: Process, function: Any, args: Iterable[Any], spec: ChildSpec) -> Pid:
    runtime = process.runtime
    name = spec.name
    if type(name) is not tuple:
        holder = None if name is None else runtime.whereis(name)
        if holder is not None:
            raise AlreadyStarted((ALREADY_STARTED, holder), holder)
        return runtime.spawn(_run(function, spec.kwargs), *args, name=name, link_to=process.pid).pid
    ready: Any = runtime.loop.create_future()
    child = runtime.spawn(_run(function, spec.kwargs, ready), *args, link_to=process.pid)
    try:
        await give_name(child, name)
    except BaseException:
        if process.alive:
            runtime.unlink(process, child.pid)
            runtime.exit(process, child.pid, KILL)
        raise
    ready.set_result(None)
    return child.pid


def _run(function: Any, kwargs: dict[str, Any], ready: Any = None) -> Any:
    """Return what to spawn; it goes by the name of the function."""
    if not kwargs and ready is None:
        return function

    def run(process: Process, *args: Any) -> Any:
        if ready is None:
            return function(process, *args, **kwargs)
        return when_named(process, *args)

    async def when_named(process: Process, *args: Any) -> None:
        await ready
        await function(process, *args, **kwargs)

    run.__qualname__ = when_named.__qualname__ = getattr(function, "__qualname__", "child")
    return run


async def _by_name(
    process: Process, spec: ChildSpec, mfa: Mfa, args: tuple[Any, ...], caught: bool
) -> tuple[Pid | None, Any]:
    entry = process.runtime.resolver.entry(mfa.module, mfa.function, len(args))
    if entry is None:
        reason: Any = (UNDEF, [(mfa.module, mfa.function, list(args), [])])
        raise StartError((EXIT, reason) if caught else reason)
    if hasattr(entry.function, "_make_body"):
        return await _server(process, entry.function, args, spec), NO_INFO
    function: Callable[..., Any] = entry.function
    if entry.blocking:

        async def in_thread(*args: Any, **kwargs: Any) -> Any:
            return await process.run_blocking(entry.function, *args)

        function = in_thread
    return await _by_function(process, function, args, spec.kwargs, caught)


async def _by_function(
    process: Process,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    caught: bool,
) -> tuple[Pid | None, Any]:
    try:
        result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            result = await result
    except (Ignore, StartError):
        raise
    except (Exception, Exit) as error:
        reason = reason_of(error)
        raise StartError((EXIT, reason) if caught else reason) from error
    found = _started(result)
    if found[0] is not None:
        process.runtime.link(process, found[0])
    return found


def _started(result: Any) -> tuple[Pid | None, Any]:
    """Read what a start function returned."""
    if type(result) is Pid:
        return result, NO_INFO
    if result is None or (type(result) is Atom and result == IGNORE):
        return None, NO_INFO
    if type(result) is tuple and len(result) in (2, 3):
        if result[0] == OK and type(result[1]) is Pid:
            return result[1], result[2] if len(result) == 3 else NO_INFO
        if result[0] == ERROR and len(result) == 2:
            raise StartError(_checked(result[1]))
    raise StartError(_checked(result))


def _checked(reason: Any) -> Any:
    return term_or_repr(reason)


# --------------------------------------------------------------------------- ending


async def shut_down(process: Process, child: Child) -> Any:
    """End a child as its spec says; return None, or the reason that is to be reported."""
    pid = child.pid
    assert pid is not None  # noqa: S101
    spec = child.spec
    runtime = process.runtime
    with runtime.open_call(process, pid) as slot:
        runtime.exit(process, pid, KILL if spec.shutdown == BRUTAL_KILL else SHUTDOWN)
        timer = None
        if isinstance(spec.shutdown, int | float):
            timer = runtime.timers.after(spec.shutdown, lambda: _kill(process, pid))
        try:
            reason = await wait_for_end(process, pid, slot)
        finally:
            if timer is not None:
                timer.cancel()
    return None if is_expected(spec, reason) else reason


def _kill(process: Process, pid: Pid) -> None:
    if process.alive:
        process.runtime.exit(process, pid, KILL)


async def wait_for_end(process: Process, pid: Pid, slot: Awaitable[Any]) -> Any:
    """Return the reason with which a child has ended, and leave no EXIT of it behind."""
    try:
        await slot
    except CallExit as down:
        reason = down.reason
    else:
        reason = NORMAL  # a reply that nobody asked for; its DOWN is not awaited any more
    linked = process.links is not None and pid in process.links
    if reason != NOPROC:
        process.runtime.unlink(process, pid)
    # An end before the monitor: the EXIT that says how is there, or sure to come over the link.
    patience = None if reason == NOPROC and linked else 0
    try:
        message = await process.receive(lambda message: _is_exit(message, pid), timeout=patience)
    except TimeoutError:
        return _UNLINKED if reason == NOPROC else reason
    return message[2] if reason == NOPROC else reason


def _is_exit(message: Any, pid: Pid) -> bool:
    return (
        type(message) is tuple
        and len(message) == 3
        and type(message[0]) is Atom
        and message[0] == EXIT
        and message[1] == pid
    )


def is_expected(spec: ChildSpec, reason: Any) -> bool:
    """Return whether a child that was told to end may end with ``reason``, unreported."""
    if type(reason) is Atom:
        if reason == (_KILLED if spec.shutdown == BRUTAL_KILL else SHUTDOWN):
            return True
        return spec.restart != "permanent" and reason in (NORMAL, SHUTDOWN)
    return spec.restart != "permanent" and is_shutdown(reason)


def is_shutdown(reason: Any) -> bool:
    """Return whether ``reason`` is ``{shutdown, _}``."""
    return type(reason) is tuple and len(reason) == 2 and bool(reason[0] == SHUTDOWN)


def is_orderly(reason: Any) -> bool:
    """Return whether a transient child that ended with ``reason`` is not restarted."""
    if type(reason) is Atom:
        return reason in (NORMAL, SHUTDOWN)
    return is_shutdown(reason)


# --------------------------------------------------------------------------- restarts


class Intensity:
    """How many restarts there were in the last seconds, and whether one more is too many."""

    __slots__ = ("_times", "limit", "period")

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._times: deque[float] = deque()

    def add(self) -> bool:
        """Count a restart; False if it is one too many."""
        now = monotonic()
        times = self._times
        while times and times[0] < now - self.period:
            times.popleft()
        if len(times) >= self.limit:
            return False
        times.append(now)
        return True


# --------------------------------------------------------------------------- reports


class Reports:
    """What supervisor reports, one log record each, its facts as the dict ``record.report``."""

    __slots__ = ("name",)

    def __init__(self, name: Any) -> None:
        #: ``{local, Name}``, ``{global, Name}``, ``{via, Module, Name}`` or ``{Pid, Module}``.
        self.name = name

    def error(self, context: str, reason: Any, child: Child, pids: list[Pid] | None = None) -> None:
        """Report ``start_error``, ``child_terminated``, ``shutdown_error`` or ``shutdown``."""
        offender = _offender(child, pids)
        report = {
            "label": (Atom("supervisor"), Atom(context)),
            "supervisor": self.name,
            "errorContext": Atom(context),
            "reason": reason,
            "offender": offender,
        }
        _log.error(
            "supervisor %r: %s: %r, of %s",
            shown(self.name),
            context,
            shown(reason),
            _text(offender),
            extra={"report": report},
        )

    def progress(self, child: Child, *, asked: bool = False) -> None:
        """Tell that a child has started; ``asked``: by ``start_child`` or ``restart_child``."""
        level = logging.DEBUG if asked else logging.INFO
        if _log.isEnabledFor(level):
            offender = _offender(child, None)
            report = {
                "label": (Atom("supervisor"), Atom("progress")),
                "supervisor": self.name,
                "started": offender,
            }
            _log.log(
                level,
                "supervisor %r started %s",
                shown(self.name),
                _text(offender),
                extra={"report": report},
            )


def _offender(child: Child, pids: list[Pid] | None) -> dict[str, Any]:
    spec = child.spec
    who = {"pid": child.pid_term()} if pids is None else {"nb_children": len(pids)}
    return who | {
        "id": term_or_repr(spec.id),
        "mfargs": spec.start_term(child.extra),
        "restart_type": Atom(spec.restart),
        "significant": spec.significant,
        "shutdown": spec.shutdown_term(),
        "child_type": Atom(spec.type),
    }


def _text(offender: dict[str, Any]) -> str:
    return ", ".join(f"{key} {shown(offender[key])!r}" for key in list(offender)[:3])
