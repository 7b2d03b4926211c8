"""What both implementations of the process core share; imports nothing of the package."""

from __future__ import annotations

import contextvars
from typing import Any, Final

__all__ = ["BATCH", "BUDGET", "CURRENT", "NOTHING", "SLOW", "ZOMBIE_AWAITS"]

#: The process that runs, or that started the task that runs.
CURRENT: Final[contextvars.ContextVar[Any]] = contextvars.ContextVar("pynode_process")

#: Messages a body takes before the next process has its turn.
BATCH: Final = 64
#: Seconds of one turn.
BUDGET: Final = 0.003
#: A callback or step that holds the loop longer than this many seconds is named in a warning.
SLOW: Final = 0.1

#: How often a dead process's coroutine is given CancelledError at an await of the runtime, before
#: it is left parked: enough for any clean-up, too few for a loop that swallows it to burn a core.
ZOMBIE_AWAITS: Final = 16


class _Nothing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "NOTHING"


#: No message, where None is one.
NOTHING: Final = _Nothing()
