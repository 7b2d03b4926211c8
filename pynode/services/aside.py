"""Work with a mailbox of its own, for who must not have answers in his."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pynode.errors import ProcessDead
from pynode.terms import atom

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["aside"]

T = TypeVar("T")


async def aside(
    process: Process, function: Callable[..., Awaitable[T]], *args: Any, **options: Any
) -> T:
    """Run ``function(helper, *args, **options)`` in a process ``helper``; return its value.

    It has the group leader of ``process``.  If the wait is cancelled, so that ``process`` does
    not want the value any more, the helper ends.

    Raises:
        ProcessDead: the helper was ended from outside.
        What ``function`` raises.
    """
    runtime = process.runtime
    outcome = runtime.loop.create_future()

    async def work(helper: Process) -> None:
        try:
            value = await function(helper, *args, **options)
        except Exception as error:
            if not outcome.done():
                outcome.set_exception(error)
        else:
            if not outcome.done():
                outcome.set_result(value)

    def ended(helper: Process) -> None:
        if not outcome.done():
            outcome.set_exception(ProcessDead(helper.pid, helper.exit_reason))

    helper = runtime.spawn(work, group_leader=process.group_leader)
    helper.extra.on_death[work] = ended
    try:
        value: T = await outcome
    finally:
        outcome.cancel()
        if helper.alive:
            runtime.exit(helper, helper.pid, atom.kill)
    return value
