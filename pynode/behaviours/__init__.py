"""OTP's behaviours: servers, event managers, agents, and the clients of all three."""

from pynode.behaviours import statem
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
from pynode.behaviours.start import start
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
    "init_ack",
    "init_fail",
    "map_functions",
    "start",
    "statem",
]
