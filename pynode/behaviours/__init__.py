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
from pynode.behaviours.requests import Answer, Request, Requests
from pynode.behaviours.start import start
from pynode.behaviours.supervisor import DynamicSupervisor, Supervisor

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
    "Request",
    "Requests",
    "Supervisor",
    "map_functions",
    "start",
    "statem",
]
