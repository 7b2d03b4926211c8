"""What the tests of behaviours share."""

from __future__ import annotations

import asyncio
from typing import Any

from pynode.behaviours import GenServer, gen
from pynode.errors import NO_REPLY, CallExit
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import Pid, atom

DEADLINE = 5.0


async def reason_of_death(runtime: Runtime, pid: Pid) -> Any:
    """Wait until ``pid`` has ended; ``noproc`` if it had before."""
    with runtime.open_call(runtime.main, pid) as slot:
        try:
            await slot.wait(DEADLINE)
        except CallExit as error:
            return error.reason
    raise AssertionError("a reply to a call that was never sent")


def receive(process: Process, **options: Any) -> Any:
    return asyncio.wait_for(process.receive(**options), DEADLINE)


def is_clean(process: Process) -> bool:
    """No monitors, aliases or calls are left, and nothing in the mailbox."""
    extra = process.rare
    return (
        not process.monitors
        and not process.mailbox
        and (extra is None or (not extra.calls and not extra.aliases))
    )


class Echo(GenServer):
    """Answers with what it was asked, and keeps what it was told."""

    def init(self) -> None:
        self.seen: list[Any] = []

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        if request == atom.seen:
            return self.seen
        return request

    def handle_cast(self, request: Any) -> None:
        self.seen.append(("cast", request))

    def handle_info(self, message: Any) -> None:
        self.seen.append(("info", message))


class Silent(GenServer):
    """Never answers."""

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        self.caller = caller
        return NO_REPLY
