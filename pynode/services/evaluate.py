"""Running a function that another node asks for, with the result in Erlang's classes.

Only what the resolver knows is run: the built-in functions of :mod:`.functions` and what the
program has exposed.  Anything else is ``undef``, as on a BEAM without that module.

Source: erpc.erl, ``execute_call``; rpc.erl, ``execute_call``.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.errors import CallExit, EncodeError, Exit, RemoteError
from pynode.process.reasons import crash_reason
from pynode.terms import Atom, atom, copy_term

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["ERROR", "EXIT", "RETURN", "THROW", "Outcome", "evaluate"]

RETURN: Final = atom("return")
THROW: Final = atom.throw
EXIT: Final = atom("exit")
ERROR: Final = atom.error


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

    Cancellation goes through; everything else that the function raises is an outcome.
    :class:`RemoteError` of kind ``throw`` is a throw.
    """
    if not isinstance(args, list):
        return Outcome(ERROR, atom.badarg, [(module, function, args, [])])
    exposed = process.runtime.resolver.entry(module, function, len(args))
    if exposed is None:
        return Outcome(ERROR, atom.undef, [(module, function, args, [])])
    try:
        if exposed.blocking:
            value = await process.run_blocking(exposed.function, *args)
        else:
            value = exposed.function(*args)
            if inspect.isawaitable(value):
                value = await value
        return Outcome(RETURN, copy_term(value))
    except Exit as error:
        return _term(EXIT, error.reason)
    except CallExit as error:
        return _term(EXIT, error.reason)
    except RemoteError as error:
        kinds = {"throw": THROW, "exit": EXIT}
        return _term(kinds.get(error.kind, ERROR), error.reason, error.stack)
    except Exception as error:
        reason, stack = crash_reason(error)
        return Outcome(ERROR, reason, stack)


def _term(kind: Atom, value: Any, stack: Any = ()) -> Outcome:
    try:
        return Outcome(kind, copy_term(value), copy_term(list(stack)))
    except EncodeError as error:
        reason, trace = crash_reason(error)
        return Outcome(ERROR, reason, trace)
