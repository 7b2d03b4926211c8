"""Processes, mailboxes, links, monitors, aliases, names, timers: the signals of one node."""

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
]
