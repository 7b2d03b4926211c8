"""Running a function that another node asks for, with the result in Erlang's classes.

Only what the resolver knows is run: the built-in functions of :mod:`.functions` and what the
program has exposed.  Anything else is ``undef``, as on a BEAM without that module.

Source: erpc.erl, ``execute_call``; rpc.erl, ``execute_call``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.errors import CallExit, EncodeError, Exit, RemoteError
from pynode.process.reasons import crash_reason
from pynode.process.spawned import Target, call_exposed, meant_by, name_of_mfa
from pynode.terms import Atom, atom, copy_term

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["ERROR", "EXIT", "RETURN", "THROW", "Outcome", "applied", "evaluate"]

_log = logging.getLogger("pynode.process")

RETURN: Final = atom("return")
THROW: Final = atom.throw
EXIT: Final = atom("exit")
ERROR: Final = atom.error

_ERPC: Final = atom.erpc
#: Through which a call comes, in a thread too.
_OWN_MODULES: Final = frozenset(
    (
        __name__,
        "pynode.process.spawned",
        "pynode.process.process",
        "pynode.terms.rebuild",  # of a result that is no term
        "pynode.process.blocking",
        "asyncio.futures",
    )
)


class Outcome(NamedTuple):
    """How a call ended: ``return``, ``throw``, ``exit`` or ``error``.

    ``value`` is what was returned, thrown, exited with, or the reason of the error; ``stack`` the
    stack trace of an error.
    """

    kind: Atom
    value: Any
    stack: Any = ()


async def evaluate(process: Process, module: Any, function: Any, args: Any) -> Outcome:
    """Call ``module:function(*args)`` as ``process``, which runs this.

    ``erlang:apply/2,3`` is the function that it is to apply; which funs can be run here says
    :func:`pynode.process.spawned.meant_by`.  Cancellation goes through; everything else that the
    function raises is an outcome.  :class:`RemoteError` of kind ``throw`` is a throw.
    """
    called = applied(module, function, args)
    if isinstance(called, Outcome):
        return called
    module, function, args = called
    exposed = process.runtime.resolver.entry(module, function, len(args))
    if exposed is None or module == _ERPC:  # a call in a call, which policy would not see
        stack, hint = process.runtime.resolver.undef(module, function, args)
        if hint and process.runtime.spawning.records.admits(_log, "calls of other nodes"):
            what = name_of_mfa(module, function, len(args))
            _log.warning("%r was to call %s, which is not here: %s", process, what, hint)
        return Outcome(ERROR, atom.undef, stack)
    try:
        value = await call_exposed(process, exposed, args)
        return Outcome(RETURN, copy_term(value))
    except Exit as error:
        return _term(EXIT, error.reason)
    except CallExit as error:
        return _term(EXIT, crash_reason(error))
    except RemoteError as error:
        kinds = {"throw": THROW, "exit": EXIT}
        return _term(kinds.get(error.kind, ERROR), error.reason, error.stack)
    except Exception as error:
        reason, stack = crash_reason(_trimmed(error))
        return Outcome(ERROR, reason, [*stack, (module, function, len(args), [])])


def applied(module: Any, function: Any, args: Any) -> Outcome | tuple[Any, Any, list[Any]]:
    """Return the function that is meant, or the error that applying it is."""
    target = meant_by(Target(module, function, args))
    if target.reason is None:
        return target.module, target.function, target.args
    match target.reason:
        case (reason, list() as stack):
            return Outcome(ERROR, reason, stack)
    return Outcome(ERROR, target.reason, [(module, function, args, [])])


def _trimmed(error: Exception) -> Exception:
    """Take what is ours off the traceback: as in OTP, it begins with the function itself."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OWN_MODULES:
        trace = trace.tb_next
    return error.with_traceback(trace)


def _term(kind: Atom, value: Any, stack: Any = ()) -> Outcome:
    try:
        return Outcome(kind, copy_term(value), copy_term(list(stack)))
    except EncodeError as error:
        reason, trace = crash_reason(error)
        return Outcome(ERROR, reason, trace)
