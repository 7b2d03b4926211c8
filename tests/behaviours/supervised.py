"""Children and clients that the tests of supervisors share."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.behaviours import GenServer, gen
from pynode.behaviours.clients import (
    Gen,
    PartitionClient,
    SupervisorClient,
    TaskClient,
    TaskSupervisorClient,
)
from pynode.errors import Exit
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import Pid, atom

from .helpers import DEADLINE


class Clients:
    """The namespaces of a node, for a runtime without one."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.supervisor = SupervisorClient(lambda: runtime.main)
        self.task = TaskClient(lambda: runtime.main)
        self.tasks = TaskSupervisorClient(lambda: runtime.main)
        self.partitions = PartitionClient(lambda: runtime.main)
        self.gen = Gen(lambda: runtime.main)

    async def pids(self, supervisor: Any) -> dict[Any, Any]:
        """The children in start order: pid, or ``restarting`` or ``undefined``."""
        found = await self.supervisor.which_children(supervisor)
        return {child.id: child.child for child in reversed(found)}

    async def restarted(self, supervisor: Any, before: dict[Any, Any]) -> dict[Any, Any]:
        """Wait until every child has a live process, and return who is new."""
        async with asyncio.timeout(DEADLINE):
            while True:
                now = await self.pids(supervisor)
                if now != before and all(type(pid) is Pid for pid in now.values()):
                    return {name: pid for name, pid in now.items() if before.get(name) != pid}


def reports(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What supervisors reported."""
    found = [getattr(record, "report", {}) for record in caplog.records]
    return [each for each in found if "supervisor" in each]


class Noted(GenServer):
    """Notes its start and its end."""

    def init(self, notes: list[Any], name: str) -> None:
        self.notes, self.label = notes, name
        self.trap_exit = True
        notes.append(("started", name))

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        if request == atom.crash:
            raise Exit(atom.crash)
        return request

    def handle_cast(self, request: Any) -> None:
        raise Exit(request)

    def terminate(self, reason: Any) -> None:
        self.notes.append(("ended", self.label, reason))


async def waiting(process: Process, *args: Any, **kwargs: Any) -> None:
    """A bare child: ends with the reason that it is sent."""
    raise Exit(await process.receive())
