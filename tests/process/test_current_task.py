"""Who asyncio takes for the current task: the coroutine stepped, and nobody between two steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pynode.process import Process, ProcessTask, Runtime
from pynode.terms import atom
from tests.process.wire import until

Seen = list[tuple[str, Any]]


def note(seen: Seen, where: str) -> None:
    seen.append((where, asyncio.current_task()))


class Server:
    """A body that notes who is the current task in each of its callbacks."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def start(self, process: Process) -> None:
        note(self.seen, "start")

    def message(self, process: Process, message: Any) -> Any:
        note(self.seen, "message")
        return self.later(message) if message == atom.later else None

    async def later(self, message: Any) -> None:
        await asyncio.sleep(0)
        note(self.seen, "coroutine")

    def terminated(self, process: Process, reason: Any) -> None:
        note(self.seen, "terminated")


class Handler(logging.Handler):
    """Notes who is the current task when something is logged."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        note(self.seen, "log")


@pytest.fixture
def logged() -> Iterator[Seen]:
    """What is noted when something is logged."""
    seen: Seen = []
    log, handler = logging.getLogger("pynode.process"), Handler(seen)
    log.addHandler(handler)
    yield seen
    log.removeHandler(handler)


async def echo(process: Process, seen: Seen) -> None:
    async for _ in process:
        note(seen, "echo")


async def test_callbacks_between_steps_have_none(runtime: Runtime) -> None:
    seen: Seen = []
    for _ in range(3):
        runtime.spawn(echo, seen)
        runtime.spawn(Server(seen))
    everybody = runtime.processes()
    for message in (atom.plain, atom.later, atom.plain):
        for process in everybody:
            runtime.send(runtime.main, process.pid, message)
    await until(lambda: len(seen) == 3 * (3 + 4 + 1))
    for process in everybody:
        runtime.exit(runtime.main, process.pid, atom.kill)
    assert [task for where, task in seen if where == "terminated"] == 3 * [asyncio.current_task()]
    assert all(isinstance(task, ProcessTask) for where, task in seen if where == "echo")
    assert all(isinstance(task, ProcessTask) for where, task in seen if where == "coroutine")
    others = [task for where, task in seen if where in ("start", "message")]
    assert others == (3 * 4) * [None]


async def test_what_follows_a_step_has_none(runtime: Runtime, logged: Seen) -> None:
    """The end of a linked process, a process that crashes, what measures, and the loop's next."""
    seen = logged

    async def ends(process: Process) -> None:
        runtime.link(process, runtime.spawn(Server(seen)).pid)
        await process.receive()
        raise ValueError("told")

    process = runtime.spawn(ends)
    other = runtime.spawn(echo, seen)
    await until(lambda: len(seen) == 1)
    runtime.scheduler.on_turn = lambda process, seconds: note(seen, "turn")
    try:
        runtime.send(runtime.main, other.pid, atom.go)
        runtime.send(runtime.main, process.pid, atom.go)
        asyncio.get_running_loop().call_soon(note, seen, "loop")
        await until(lambda: not process.alive and len(seen) >= 7)
    finally:
        runtime.scheduler.on_turn = None
    words = [where for where, _ in seen]
    assert words == ["start", "echo", "turn", "log", "terminated", "turn", "loop"]
    assert [task for where, task in seen if where != "echo"] == 6 * [None]


@pytest.mark.parametrize("slow", [False, True])
async def test_each_has_its_own(
    runtime: Runtime, slow: bool, logged: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    """Who keeps the current task keeps one of that process, also in the steps that follow."""
    kept: list[tuple[Process, Any, Any]] = []

    async def keeps(process: Process, times: int) -> None:
        for _ in range(times):
            await process.receive()
            kept.append((process, asyncio.current_task(), process.task))

    async def does_not(process: Process) -> None:
        for _ in range(4):
            await process.receive()

    group = [runtime.spawn(keeps, 4), runtime.spawn(does_not), runtime.spawn(keeps, 4)]
    if slow:
        runtime.scheduler.slow = 1e-9  # the warnings are in between as well
    for _ in range(4):
        for process in group:
            runtime.send(runtime.main, process.pid, atom.go)
        await asyncio.sleep(0)
    await until(lambda: not any(process.alive for process in group))
    assert len(kept) == 8
    assert all(task is own and task.process is process for process, task, own in kept)
    assert len({id(task) for _, task, _ in kept}) == 2
    assert all(task.done() for _, task, _ in kept)
    assert ("held the event loop" in caplog.text) is slow
    assert bool(logged) is slow
    assert all(task is None for _, task in logged)
