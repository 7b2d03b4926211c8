"""What a process that another node has asked for runs, and what it ends with.

The request names a function.  ``erlang:apply/2,3`` and ``proc_lib:init_p/3,5``, which
``spawn(Node, Fun)`` and ``proc_lib:spawn(Node, ...)`` ask for, are taken apart to the function
they mean (:func:`meant_by`).  What does not lead to a function of this node ends the process at
once, with the reason that a BEAM has for it, or ``{{closure_refused, Text}, Stack}``.

As on a BEAM, a process that ends with an exception writes one ERROR record, and one that ends by
:class:`pynode.errors.Exit` writes none, unless ``proc_lib`` started it.  The record goes to the
node of the group leader as well, where whoever asked for the process looks for it.

Source: ``erts_internal:dist_spawn_init/1``; proc_lib.erl; logger.erl, what the emulator logs.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.errors import EncodeError, Exit, PeerBusy, RemoteError
from pynode.process.closures import ClosureRefused, read_closure
from pynode.process.reasons import is_clean, log_crash, reason_of, stack
from pynode.process.words import ERROR, UNDEF
from pynode.shown import shown
from pynode.terms import Atom, ExportFun, OpaqueFun, copy_term, to_text

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.resolver import Exposed

__all__ = [
    "Spawned",
    "Target",
    "asked_of",
    "call_exposed",
    "meant_by",
    "name_of_mfa",
    "report_crash",
]

_log = logging.getLogger("pynode.process")

_ERLANG: Final = Atom("erlang")
_APPLY_ATOM: Final = Atom("apply")
_APPLY: Final = (_ERLANG, _APPLY_ATOM)
_INIT_P: Final = (Atom("proc_lib"), Atom("init_p"))
_BADARG: Final = Atom("badarg")
_BADARITY: Final = Atom("badarity")
_BADFUN: Final = Atom("badfun")
_NOCATCH: Final = Atom("nocatch")
_REFUSED: Final = Atom("closure_refused")
_LOGGER_PROXY: Final = Atom("logger_proxy")
_OWN_MODULES: Final = (
    __name__,
    "pynode.process.process",
    "pynode.process.blocking",
    "asyncio.futures",
)
_FORMAT: Final = [ord(c) for c in "Error in process ~p on node ~p with exit value:~n~p~n"]


class Target(NamedTuple):
    """What a request means, once ``apply`` and ``init_p`` are taken apart."""

    module: Any
    function: Any
    args: Any
    ancestors: Any = None
    """Those of a process of ``proc_lib``; None: it is none."""
    reason: Any = None
    """What the process ends with at once; None: it runs the function."""

    @property
    def arity(self) -> int:
        """The number of arguments; -1 where they are no list."""
        return len(self.args) if type(self.args) is list else -1


def meant_by(target: Target) -> Target:
    """Take ``apply`` and ``init_p`` apart; a closure that applies a closure is refused."""
    read = False
    while True:
        module, function, args, ancestors, _ = target
        if type(args) is not list or not (_is_atom(module) and _is_atom(function)):
            return target._replace(reason=_badarg(module, function, args))
        called = module, function
        if called == _APPLY and len(args) == 3:
            target = Target(args[0], args[1], args[2], ancestors)
        elif called == _APPLY and len(args) == 2:
            target = _applied(target, *args, again=read)
            read = read or type(args[0]) is OpaqueFun
        elif called == _INIT_P and len(args) == 5:
            target = Target(args[2], args[3], args[4], _ancestors(args))
        elif called == _INIT_P and len(args) == 3:
            ancestors = _ancestors(args)
            target = _applied(target, args[2], [], again=read)._replace(ancestors=ancestors)
            read = read or type(args[2]) is OpaqueFun
        else:
            return target
        if target.reason is not None:
            return target


def _applied(target: Target, fun: Any, args: Any, *, again: bool) -> Target:
    """Return what ``apply(Fun, Args)`` means; ``again``: a closure has been read already."""
    if type(fun) is not ExportFun and type(fun) is not OpaqueFun:
        return target._replace(reason=((_BADFUN, fun), [(*_APPLY, 2, [])]))
    if type(args) is not list:
        return target._replace(reason=_badarg(fun, args))
    if len(args) != fun.arity:
        return target._replace(reason=((_BADARITY, (fun, args)), [(*_APPLY, 2, [])]))
    if type(fun) is ExportFun:
        return Target(fun.module, fun.function, args, target.ancestors)
    try:
        if again:  # what each reads is copied: many of them would be slow
            raise ClosureRefused("a closure that applies a closure cannot run in a Python node")
        return Target(*read_closure(fun), target.ancestors)
    except ClosureRefused as refused:
        return target._replace(reason=((_REFUSED, refused.text), [(*_APPLY, 2, [])]))


def _badarg(*args: Any) -> Any:
    return _BADARG, [(*_APPLY, list(args), [])]


def _ancestors(args: list[Any]) -> list[Any]:
    return [args[0], *(args[1] if type(args[1]) is list else [])]


def _is_atom(value: Any) -> bool:
    return type(value) is Atom or value is None or type(value) is bool


#: erpc's entry: where in its arguments the module that it is to call stands.
_ENTRIES: Final = {
    (Atom("erpc"), Atom("execute_call"), 4): 1,
    (Atom("erpc"), Atom("execute_cast"), 3): 0,
}


def asked_of(target: Target) -> tuple[Any, Any, int] | None:
    """Return what policy is asked about, None where nothing is going to run.

    Of a call of erpc, that is the function that it calls.
    """
    while target.reason is None:
        at = _ENTRIES.get((target.module, target.function, target.arity))
        if at is None:
            return target.module, target.function, target.arity
        target = meant_by(Target(*target.args[at:]))
    return None


def name_of_mfa(module: Any, function: Any, arity: int) -> str:
    """Write ``M:F/A``, an Elixir module's as ``Hello.world/0``."""
    module, function = (_word(part) for part in (module, function))
    if module.startswith("Elixir."):
        return f"{module[7:]}.{function}/{arity}"
    return f"{module}:{function}/{arity}"


def _word(part: Any) -> str:
    if part is None or type(part) is bool:
        return {None: "nil", True: "true", False: "false"}[part]
    if isinstance(part, str | Atom):
        return str(part)
    return repr(shown(part))  # what a peer sent in the place of an atom, at any length


class Spawned:
    """The body of a process that another node has asked for; named after what it runs."""

    def __init__(self, target: Target, exposed: Exposed | None) -> None:
        self._target = target
        self._exposed = exposed
        #: What the records of crashes and of slow callbacks name.
        asked = asked_of(target) or (target.module, target.function, target.arity)
        self.__qualname__ = name_of_mfa(*asked)

    def __call__(self, process: Process) -> Coroutine[Any, Any, None]:
        """Begin to run."""
        coroutine: Any = self._run(process)
        coroutine.__qualname__ = self.__qualname__
        return coroutine  # type: ignore[no-any-return]

    async def _run(self, process: Process) -> None:
        module, function, args, ancestors, reason = self._target
        hint = ""
        if reason is None and self._exposed is None:
            trace, hint = process.runtime.resolver.undef(module, function, args)
            reason = (UNDEF, trace)
        if reason is not None or self._exposed is None:
            if _is_logged(process):
                text = f"; {hint}" if hint else ""
                what = self.__qualname__
                _log.error("%r crashed in %s: %r%s", process, what, shown(reason), text)
            _end(process, reason, report=True)
            return
        try:
            await call_exposed(process, self._exposed, args)
        except Exit as error:
            self._exited(process, error, logged=ancestors is not None)
        except Exception as error:
            self._crashed(process, _trimmed(error))

    def _exited(self, process: Process, error: Exit, *, logged: bool) -> None:
        if not process.alive:
            return
        try:
            reason = copy_term(error.reason)
        except EncodeError:  # what it ends with is not what it said: that has to be told
            reason, logged = reason_of(error), True
        if logged and not is_clean(reason) and _is_logged(process):
            log_crash(process, error, reason, self)
        _end(process, reason, report=logged and not is_clean(reason))

    def _crashed(self, process: Process, error: Exception) -> None:
        if not process.alive:
            raise error
        reason = _reason_of_remote(error) if isinstance(error, RemoteError) else reason_of(error)
        if _is_logged(process):
            log_crash(process, error, reason, self)
        _end(process, reason, report=True)


def _is_logged(process: Process) -> bool:
    """Whether one more record is written: peers cause as many as they like."""
    return process.runtime.spawning.records.admits(_log, "processes that other nodes have spawned")


def _trimmed(error: Exception) -> Exception:
    """Take what is ours off the traceback: it begins with the function itself."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OWN_MODULES:
        trace = trace.tb_next
    return error.with_traceback(trace)


def _reason_of_remote(error: RemoteError) -> Any:
    """Return the reason for an exception that stands for one of Erlang's classes."""
    try:
        if error.kind == "exit":
            return copy_term(error.reason)
        reason = (_NOCATCH, error.reason) if error.kind == "throw" else error.reason
        return copy_term((reason, list(error.stack or stack(error.__traceback__))))
    except EncodeError as problem:
        return reason_of(problem)


def _end(process: Process, reason: Any, *, report: bool) -> None:
    if not process.alive:
        return
    if report:
        report_crash(process, reason)
    process.runtime.deaths.end(process, reason)


def report_crash(process: Process, reason: Any) -> None:
    """Tell the logger of the group leader's node, while that is connected, as the emulator does.

    ``{log, error, Format, [Pid, Node, Reason], Meta}`` to ``logger_proxy`` there.
    """
    runtime, leader = process.runtime, process.group_leader
    remote = None if runtime.is_own(leader) else runtime.nodes.find(leader.node)
    if remote is None or remote.peer is None:
        return
    meta = {
        Atom("pid"): process.pid,
        Atom("gl"): leader,
        Atom("time"): time.time_ns() // 1000,
        Atom("error_logger"): {Atom("tag"): ERROR, Atom("emulator"): True},
    }
    event = (Atom("log"), ERROR, _FORMAT, [process.pid, runtime.node_name, reason], meta)
    with contextlib.suppress(PeerBusy):
        runtime.send(process, (_LOGGER_PROXY, leader.node), event)


async def call_exposed(process: Process, exposed: Exposed, args: list[Any]) -> Any:
    """Call a function as ``process``, which runs this, and return or raise its outcome.

    A blocking one runs in the process's thread, which may have to wait for
    :attr:`pynode.config.Limits.threads`.
    """
    if exposed.text:
        args = to_text(args)
    if exposed.blocking:
        await process.runtime.threads.give_worker(process)
        result = await process.run_blocking(exposed.function, *args)
    else:
        result = exposed.function(*args)
    if inspect.isawaitable(result):
        return await result
    return result
