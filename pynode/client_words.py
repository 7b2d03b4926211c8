"""What a :class:`pynode.Node` has to do with behaviours: their clients, for which it is a base."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynode.behaviours import clients
    from pynode.process.process import Process

__all__ = ["ClientWords"]


class ClientWords:
    """The clients of behaviours, as whoever acts.

    They are made, and imported, when they are first asked for: few programs use all of them.
    """

    if TYPE_CHECKING:  # what the node has

        def actor(self) -> Process: ...  # noqa: D102

    @cached_property
    def gen_server(self) -> clients.Gen:
        """gen_server's client."""
        from pynode.behaviours.clients import Gen

        return Gen(self.actor)

    @cached_property
    def gen_event(self) -> clients.GenEvent:
        """GenEvent's and gen_event's client."""
        from pynode.behaviours.clients import GenEvent

        return GenEvent(self.actor)

    @cached_property
    def gen_statem(self) -> clients.Statem:
        """gen_statem's client."""
        from pynode.behaviours.clients import Statem

        return Statem(self.actor)

    @cached_property
    def agent(self) -> clients.AgentClient:
        """Agent's client."""
        from pynode.behaviours.clients import AgentClient

        return AgentClient(self.actor)

    @cached_property
    def supervisor(self) -> clients.SupervisorClient:
        """What to ask supervisors."""
        from pynode.behaviours.clients import SupervisorClient

        return SupervisorClient(self.actor)

    @cached_property
    def partition_supervisor(self) -> clients.PartitionClient:
        """What to ask partition supervisors."""
        from pynode.behaviours.clients import PartitionClient

        return PartitionClient(self.actor)

    @cached_property
    def task(self) -> clients.TaskClient:
        """Tasks of one's own."""
        from pynode.behaviours.clients import TaskClient

        return TaskClient(self.actor)

    @cached_property
    def task_supervisor(self) -> clients.TaskSupervisorClient:
        """Tasks of a supervisor."""
        from pynode.behaviours.clients import TaskSupervisorClient

        return TaskSupervisorClient(self.actor)

    @cached_property
    def proc_lib(self) -> clients.ProcLib:
        """Processes that say when they have begun."""
        from pynode.behaviours.clients import ProcLib

        return ProcLib(self.actor)

    @cached_property
    def sys(self) -> clients.Sys:
        """sys's client."""
        from pynode.behaviours.clients import Sys

        return Sys(self.actor)
