"""OTP's behaviours: servers, event managers, agents, and the clients of all three."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynode._lazy import lazy

if TYPE_CHECKING:
    from pynode.behaviours import gen, statem
    from pynode.behaviours.agent import Agent
    from pynode.behaviours.child_spec import ChildSpec
    from pynode.behaviours.functions import FunctionRefused, map_functions
    from pynode.behaviours.gen import Caller
    from pynode.behaviours.gen_event import GenEventHandler, GenEventManager
    from pynode.behaviours.gen_server import GenServer
    from pynode.behaviours.gen_statem import GenStatem
    from pynode.behaviours.names import NameResolver
    from pynode.behaviours.partition_supervisor import PartitionSupervisor
    from pynode.behaviours.proc_lib import ServerStart, init_ack, init_fail
    from pynode.behaviours.requests import Answer, Request, Requests
    from pynode.behaviours.starting import start
    from pynode.behaviours.supervisor import DynamicSupervisor, Supervisor
    from pynode.behaviours.task import Task, TaskExit, TaskOk
    from pynode.behaviours.task_supervisor import TaskSupervisor

__all__ = [
    "Agent",
    "Answer",
    "Caller",
    "ChildSpec",
    "DynamicSupervisor",
    "FunctionRefused",
    "GenEventHandler",
    "GenEventManager",
    "GenServer",
    "GenStatem",
    "NameResolver",
    "PartitionSupervisor",
    "Request",
    "Requests",
    "ServerStart",
    "Supervisor",
    "Task",
    "TaskExit",
    "TaskOk",
    "TaskSupervisor",
    "gen",
    "init_ack",
    "init_fail",
    "map_functions",
    "start",
    "statem",
]

# Few programs use all of them.
_HOMES = {
    "agent": ("Agent",),
    "child_spec": ("ChildSpec",),
    "functions": (
        "FunctionRefused",
        "map_functions",
    ),
    "gen": ("Caller",),
    "gen_event": (
        "GenEventHandler",
        "GenEventManager",
    ),
    "gen_server": ("GenServer",),
    "gen_statem": ("GenStatem",),
    "names": ("NameResolver",),
    "partition_supervisor": ("PartitionSupervisor",),
    "proc_lib": (
        "ServerStart",
        "init_ack",
        "init_fail",
    ),
    "requests": (
        "Answer",
        "Request",
        "Requests",
    ),
    "starting": ("start",),
    "supervisor": (
        "DynamicSupervisor",
        "Supervisor",
    ),
    "task": (
        "Task",
        "TaskExit",
        "TaskOk",
    ),
    "task_supervisor": ("TaskSupervisor",),
}

if not TYPE_CHECKING:  # for type checkers there are just the names above
    __getattr__, __dir__ = lazy(__name__, _HOMES, submodules=("gen", "statem"))
