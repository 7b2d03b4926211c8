"""Processes, mailboxes, links, monitors, aliases, names, timers: the signals of one node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynode._lazy import lazy

if TYPE_CHECKING:
    from pynode.process._core import spawn_function
    from pynode.process.body import Body, CoroutineFunction
    from pynode.process.calls import CallSlot
    from pynode.process.process import Process, current_process
    from pynode.process.runtime import Runtime
    from pynode.process.task import ProcessTask, Waiter

__all__ = [
    "Body",
    "CallSlot",
    "CoroutineFunction",
    "Process",
    "ProcessTask",
    "Runtime",
    "Waiter",
    "current_process",
    "spawn_function",
]

# A node imports the room when it is made: who imports the node's class may never make one.
_HOMES = {
    "_core": ("spawn_function",),
    "body": (
        "Body",
        "CoroutineFunction",
    ),
    "calls": ("CallSlot",),
    "process": (
        "Process",
        "current_process",
    ),
    "runtime": ("Runtime",),
    "task": (
        "ProcessTask",
        "Waiter",
    ),
}

if not TYPE_CHECKING:  # for type checkers there are just the names above
    __getattr__, __dir__ = lazy(__name__, _HOMES)
