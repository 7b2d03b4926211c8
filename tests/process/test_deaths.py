"""Dead for everyone at once, whatever the coroutine does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.errors import Exit, ProcessDead
from pynode.process import Process, Runtime
from pynode.process.shared import ZOMBIE_AWAITS
from pynode.terms import Atom, atom
from tests.process.test_process import DEADLINE, Recording, gone
from tests.process.wire import until


async def test_kill_is_at_once_for_everyone(runtime: Runtime) -> None:
    async def stubborn(process: Process) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed.append(1)

    swallowed: list[int] = []
    main = runtime.main
    process = runtime.spawn(stubborn, name="stubborn", trap_exit=True)
    linked = runtime.spawn(None, link_to=process.pid)
    ref = runtime.monitor(main, process.pid)
    alias = runtime.alias(process)
    await asyncio.sleep(0)
    runtime.exit(main, process.pid, atom.kill)
    assert not process.alive
    assert runtime.whereis("stubborn") is None
    assert linked.exit_reason == atom.killed
    assert alias not in runtime.aliases
    assert main.mailbox is not None
    assert main.mailbox.messages() == [(atom.DOWN, ref, atom.process, process.pid, atom.killed)]
    runtime.spawn(None, name="stubborn")
    await until(lambda: swallowed)
    assert process in runtime.deaths.zombies


async def test_clean_up_may_await_and_may_not_act(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        try:
            await process.receive()
        finally:
            await asyncio.sleep(0.001)
            with pytest.raises(ProcessDead):
                runtime.send(process, runtime.main.pid, 1)
            notes.append("cleaned")

    notes: list[Any] = []
    process = runtime.spawn(body)
    await asyncio.sleep(0)
    runtime.exit(runtime.main, process.pid, atom.bye)
    await gone(runtime, process)
    assert notes == ["cleaned"]


async def test_before_its_first_turn(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        raise AssertionError("must not run")

    function, server = runtime.spawn(body), runtime.spawn(Recording())
    for process in (function, server):
        runtime.exit(runtime.main, process.pid, atom.kill)
    await asyncio.sleep(0)
    assert server.body.notes == [("terminated", atom.killed)]  # type: ignore[union-attr]


async def test_ending_oneself_does_not_return(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        try:
            runtime.exit(process, process.pid, atom.enough)
        finally:
            notes.append("unwound")
        notes.append("went on")

    class Server(Recording):
        def message(self, process: Process, message: Any) -> Any:
            runtime.exit(process, process.pid, atom.enough)
            notes.append("went on")

    notes: list[Any] = []
    function, server = runtime.spawn(body), runtime.spawn(Server())
    runtime.send(runtime.main, server.pid, 1)
    await gone(runtime, function, server)
    assert notes == ["unwound"]
    assert (function.exit_reason, server.exit_reason) == (atom.enough, atom.enough)


async def test_ending_oneself_and_then_returning_a_coroutine(runtime: Runtime) -> None:
    class Server(Recording):
        def message(self, process: Process, message: Any) -> Any:
            try:
                runtime.exit(process, process.pid, atom.enough)
            except asyncio.CancelledError:
                return self.late(process)

        async def late(self, process: Process) -> None:
            self.notes.append("late")
            await process.receive()

    server = Server()
    process = runtime.spawn(server)
    runtime.send(runtime.main, process.pid, 1)
    await gone(runtime, process)
    assert "late" not in server.notes


async def test_swallowing_at_the_runtimes_awaits_ends_parked(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        while True:
            try:
                await process.receive()
            except asyncio.CancelledError:
                swallowed.append(1)

    swallowed: list[int] = []
    process = runtime.spawn(body)
    await asyncio.sleep(0)
    runtime.exit(runtime.main, process.pid, atom.kill)
    for _ in range(10 * ZOMBIE_AWAITS):
        await asyncio.sleep(0)
    assert len(swallowed) == ZOMBIE_AWAITS + 1
    assert process in runtime.deaths.zombies


async def test_a_failing_clean_up_is_told_once(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(process: Process) -> None:
        try:
            await process.receive()
        finally:
            raise ValueError("in the clean-up")

    class Server(Recording):
        def message(self, process: Process, message: Any) -> Any:
            try:
                runtime.exit(process, process.pid, atom.enough)
            finally:
                raise ValueError("after the end")

    one, two = runtime.spawn(body), runtime.spawn(Server())
    await asyncio.sleep(0)
    runtime.exit(runtime.main, one.pid, atom.bye)
    runtime.send(runtime.main, two.pid, 1)
    await gone(runtime, one, two)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert all("clean-up" in record.getMessage() for record in caplog.records)


async def test_ending_while_a_child_task_works(runtime: Runtime) -> None:
    async def child() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            notes.append("child")

    async def body(process: Process) -> None:
        await asyncio.gather(child(), child())

    notes: list[str] = []
    process = runtime.spawn(body)
    await asyncio.sleep(0.001)
    runtime.exit(runtime.main, process.pid, atom.bye)
    await gone(runtime, process)
    assert notes == ["child", "child"]


async def test_a_chain_of_exits_needs_no_stack(runtime: Runtime) -> None:
    processes = [runtime.spawn(None)]
    for _ in range(20_000):
        processes.append(runtime.spawn(None, link_to=processes[-1].pid))
    runtime.exit(runtime.main, processes[0].pid, atom.bye)
    assert all(process.exit_reason == atom.bye for process in processes)


async def test_a_chain_of_messages_needs_no_stack(runtime: Runtime) -> None:

    done = asyncio.Event()

    class Bouncer(Recording):
        def message(self, process: Process, message: Any) -> Any:
            if message == 0:
                done.set()
            else:
                runtime.send(process, Atom("b" if process.name == Atom("a") else "a"), message - 1)

    runtime.spawn(Bouncer(), name="a")
    runtime.spawn(Bouncer(), name="b")
    runtime.send(runtime.main, "a", 20_000)
    async with asyncio.timeout(DEADLINE):
        await done.wait()


async def test_exits_of_terminated_are_worked_off(runtime: Runtime) -> None:
    class Chain(Recording):
        def terminated(self, process: Process, reason: Any) -> None:
            runtime.exit(runtime.main, next_one.pid, atom.kill)
            alive.append(next_one.alive)

    alive: list[bool] = []
    next_one = runtime.spawn(None)
    process = runtime.spawn(Chain())
    runtime.exit(runtime.main, process.pid, atom.bye)
    assert alive == [False]


@pytest.mark.parametrize("error", [Exit(1), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_whatever_terminated_raises_everybody_is_told(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    class Failing(Recording):
        def terminated(self, process: Process, reason: Any) -> None:
            runtime.exit(runtime.main, next_one.pid, atom.kill)
            raise error

    next_one = runtime.spawn(None)
    process = runtime.spawn(Failing())
    ref = runtime.monitor(runtime.main, next_one.pid)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            runtime.exit(runtime.main, process.pid, atom.bye)
    else:
        runtime.exit(runtime.main, process.pid, atom.bye)
        assert "terminated" in caplog.text
    assert (await runtime.main.receive(timeout=0))[1] == ref
