"""``blocking=True``: a server's callbacks in a thread of their own.

The body sees callbacks that return coroutines; each hands the real callback to the thread of the
process and waits for it, so the order and the one-at-a-time rule are the body's as ever.  In the
thread the process is the current one: ``send``, ``cast`` and their siblings work, and
``wait(call(...))`` waits for what is async.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynode.process.process import Process

__all__ = ["InThread", "in_thread"]


class InThread:
    """Stands in for a server: its ``callbacks`` as coroutine functions."""

    def __init__(self, server: object, process: Process, callbacks: tuple[str, ...]) -> None:
        for name in callbacks:
            setattr(self, name, in_thread(process, getattr(server, name)))


def in_thread(process: Process, callback: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``callback`` as a coroutine function that runs it in the thread of ``process``."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        return await process.run_blocking(partial(callback, *args, **kwargs))

    return run
