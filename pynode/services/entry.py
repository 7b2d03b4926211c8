"""erpc's entry: the functions that a spawn request of ``erpc`` or ``rpc`` names.

A call is a spawned and monitored process that ends with its result as the reason:
``{Ref, return, Value}``, ``{Ref, throw, Reason}``, ``{Ref, exit, Reason}`` or
``{Ref, error, Reason, Stack}``.

Source: erpc.erl, ``execute_call/4``, ``execute_cast/3``.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pynode.errors import EncodeError
from pynode.process.reasons import crash_reason
from pynode.process.spawned import report_crash
from pynode.shown import shown

from .evaluate import ERROR, Outcome, evaluate

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["execute_call", "execute_cast", "report"]

logger = logging.getLogger("pynode.services")


async def execute_call(process: Process, ref: Any, module: Any, function: Any, args: Any) -> None:
    """End ``process``, which runs this, with the result of the call; does not return."""
    outcome = await evaluate(process, module, function, args)
    # A signal rather than Exit: this end is an answer, and no crash for the log.
    process.trap_exit = False
    runtime = process.runtime
    try:
        runtime.exit(process, process.pid, _answer(ref, outcome))
    except EncodeError as error:  # a value that is a term, but not inside of another
        outcome = Outcome(ERROR, *crash_reason(error.with_traceback(None)))
        runtime.exit(process, process.pid, _answer(ref, outcome))


def _answer(ref: Any, outcome: Outcome) -> Any:
    kind, value, stack = outcome
    return (ref, kind, value, list(stack)) if kind == ERROR else (ref, kind, value)


async def execute_cast(process: Process, module: Any, function: Any, args: Any) -> None:
    """Run a function whose result nobody waits for.

    A failure is logged, here and, as the emulator does it, on the node of the group leader.
    """
    outcome = await evaluate(process, module, function, args)
    if report(outcome, module, function):
        with suppress(EncodeError):
            report_crash(process, (outcome.value, list(outcome.stack)))


def report(outcome: Outcome, module: Any, function: Any) -> bool:
    """Log the outcome of a cast if it is an error; return whether it is."""
    kind, value, stack = outcome
    if kind == ERROR:
        logger.error(
            "cast of %s:%s failed: %r %r",
            shown(module),
            shown(function),
            shown(value),
            shown(list(stack)),
        )
    return kind == ERROR
