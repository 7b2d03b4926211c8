"""A match function that acts on its own mailbox, or ends its own process, in the middle of a scan.

Nothing is lost, nothing comes twice, the order stays; but for what was dropped on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from pynode.errors import CallExit, Exit, ProcessDead
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import atom

DEADLINE = 10.0


class Scan:
    """Receives of one process, with a match that acts once on the way."""

    def __init__(self, runtime: Runtime, seed: int) -> None:
        self.runtime = runtime
        self.rng = random.Random(seed)
        self.process = runtime.spawn(None)
        self.process.trap_exit = True
        self.expected: list[Any] = []
        self.dropped: set[Any] = set()
        self.monitors: list[Any] = []
        self.number = 0

    def send(self) -> None:
        self.number += 1
        self.runtime.send(self.runtime.main, self.process.pid, self.number)

    def drop_a_monitor(self) -> None:
        """``demonitor(Ref, [flush])`` of one whose DOWN may be here, looked at or not."""
        dead = self.runtime.spawn(None)
        ref = self.runtime.monitor(self.process, dead.pid)
        if self.rng.random() < 0.7:
            self.runtime.exit(self.runtime.main, dead.pid, atom.kill)
        self.monitors.append(ref)

    def act(self) -> None:
        runtime, process = self.runtime, self.process
        action = self.rng.choice(["send", "flush", "flush", "link", "priority", "drop", "none"])
        if action == "send":
            self.send()
        elif action == "flush" and self.monitors:
            ref = self.monitors.pop(self.rng.randrange(len(self.monitors)))
            self.dropped.add(ref)
            runtime.demonitor(process, ref, flush=True)
        elif action == "link":
            other = runtime.spawn(None)
            runtime.link(process, other.pid)
            runtime.unlink(process, other.pid)
        elif action == "priority":
            self.number += 1
            runtime.put(process, self.number)
        elif action == "drop" and process.mailbox is not None:
            process.mailbox.drop(lambda message: message == -1, process.receivers)

    async def receive(self) -> Any:
        wanted = self.rng.choice([None, "some", "odd", "fails"])
        if wanted is None:
            return await self.process.receive(timeout=0)
        calls = 0

        def match(message: Any) -> bool:
            nonlocal calls
            calls += 1
            if self.rng.random() < 0.3 and calls < 50:
                self.act()
            if wanted == "fails" and self.rng.random() < 0.1:
                raise ZeroDivisionError
            if wanted == "odd":
                return type(message) is int and message % 2 == 1
            return self.rng.random() < 0.3

        return await self.process.receive(match, timeout=0)


def content(process: Process) -> list[Any]:
    return [] if process.mailbox is None else process.mailbox.messages()


@pytest.mark.parametrize("seed", range(60))
async def test_nothing_is_lost_in_a_scan(runtime: Runtime, seed: int) -> None:
    scan = Scan(runtime, seed)
    taken: list[Any] = []
    for _ in range(60):
        for _ in range(scan.rng.randrange(3)):
            scan.send()
        if scan.rng.random() < 0.4:
            scan.drop_a_monitor()
        with contextlib.suppress(TimeoutError, ZeroDivisionError):
            taken.append(await scan.receive())
        left = content(scan.process)
        numbers = [message for message in left if type(message) is int]
        assert numbers == sorted(numbers)
        everything = [message for message in taken + left if type(message) is int]
        assert sorted(everything) == list(range(1, scan.number + 1))
        downs = [message[1] for message in left if type(message) is tuple]
        assert len(set(downs)) == len(downs)
        assert not scan.dropped & set(downs)


@pytest.mark.parametrize("seen_before", [True, False])
@pytest.mark.parametrize("earlier", [True, False])
async def test_what_is_dropped_in_the_middle_of_a_scan(
    runtime: Runtime, seen_before: bool, earlier: bool
) -> None:
    """``demonitor(Ref, [flush])`` in a match: the DOWN is not seen again, in this scan or later."""
    process, main = runtime.spawn(None), runtime.main
    dead = runtime.spawn(None)
    ref = runtime.monitor(process, dead.pid)
    runtime.send(main, process.pid, atom.before)
    runtime.exit(main, dead.pid, atom.kill)
    runtime.send(main, process.pid, atom.after)
    if seen_before:
        with pytest.raises(TimeoutError):
            await process.receive(lambda message: False, timeout=0)
    looked_at: list[Any] = []

    def match(message: Any) -> bool:
        looked_at.append(message)
        if earlier or type(message) is tuple:
            runtime.demonitor(process, ref, flush=True)
        return bool(message == atom.after)

    assert await process.receive(match, timeout=0) == atom.after
    assert [each for each in looked_at if type(each) is not tuple] == [atom.before, atom.after]
    assert len(looked_at) == (2 if earlier else 3)
    assert content(process) == [atom.before]


async def test_a_receive_inside_of_a_match_is_refused(runtime: Runtime) -> None:
    process, main = runtime.spawn(None), runtime.main
    for number in (1, 2, 3):
        runtime.send(main, process.pid, number)

    def match(message: Any) -> bool:
        inner: Any = process.receive(lambda message: True, timeout=0).__await__()
        try:
            next(inner)
        finally:
            inner.close()
        return True

    with pytest.raises(RuntimeError, match="cannot receive from the mailbox"):
        await process.receive(match, timeout=0)
    assert content(process) == [1, 2, 3]
    assert await process.receive(timeout=0) == 1


ENDS: dict[str, Callable[[Runtime, Process], object]] = {
    "kill": lambda runtime, process: runtime.exit(process, process.pid, atom.kill),
    "exit": lambda runtime, process: runtime.exit(process, process.pid, atom.odd),
    "by another": lambda runtime, process: runtime.exit(runtime.main, process.pid, atom.kill),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("accepts", [True, False])
async def test_the_end_of_ones_own_process(
    runtime: Runtime, end: str, waits: bool, accepts: bool
) -> None:
    seen: list[Any] = []
    after: list[Any] = []

    async def body(process: Process) -> None:
        def match(message: Any) -> bool:
            seen.append(message)
            if message == 2:
                ENDS[end](runtime, process)
                return accepts
            return False

        try:
            after.append(await process.receive(match))
        except BaseException as error:
            after.append(type(error))
            raise
        await process.receive()  # nothing goes on in a dead process
        after.append("alive")

    process = runtime.spawn(body)
    if waits:
        while process.begin is not None:  # noqa: ASYNC110
            await asyncio.sleep(0)
    for number in (1, 2, 3):
        runtime.send(runtime.main, process.pid, number)
    with runtime.open_call(runtime.main, process.pid) as slot, pytest.raises(CallExit) as caught:
        await slot.wait(DEADLINE)
    assert caught.value.reason == (atom.odd if end == "exit" else atom.killed)
    async with asyncio.timeout(DEADLINE):
        while not after:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert "alive" not in after
    assert seen[:2] == [1, 2]
    assert process.mailbox is None or content(process) in ([], [1, 3], [1, 2, 3])


async def test_an_exit_that_a_match_raises(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        def match(message: Any) -> bool:
            raise Exit(atom.odd)

        await process.receive(match)

    process = runtime.spawn(body)
    runtime.send(runtime.main, process.pid, 1)
    with runtime.open_call(runtime.main, process.pid) as slot, pytest.raises(CallExit) as caught:
        await slot.wait(DEADLINE)
    assert caught.value.reason == atom.odd


async def test_a_task_that_receives_for_a_process_that_its_match_ends(runtime: Runtime) -> None:
    process = runtime.spawn(None)

    def match(message: Any) -> bool:
        runtime.exit(runtime.main, process.pid, atom.kill)
        return False

    task = asyncio.create_task(process.receive(match))
    await asyncio.sleep(0)
    runtime.send(runtime.main, process.pid, 1)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(ProcessDead):
            await task
