"""The compiled core beside the pure one, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import weakref
from typing import Any

import pytest

from pynode import atom
from pynode.process import Process, Runtime
from pynode.process._core import stepping
from pynode.process.current import current_process
from pynode.process.mailbox import NOTHING, Mailbox, PureMailbox

compiled = pytest.mark.skipif(stepping is None, reason="the core is compiled")


class _Seen:
    def __init__(self) -> None:
        self.seen = 0


@pytest.mark.parametrize("seed", range(20))
def test_mailboxes_agree(seed: int) -> None:
    """Whatever is done to both, both answer the same and hold the same."""
    dice = random.Random(seed)
    boxes: tuple[Any, Any] = (PureMailbox(), Mailbox())
    receivers: tuple[list[Any], list[Any]] = ([_Seen(), _Seen()], [_Seen(), _Seen()])
    for number in range(400):
        what = dice.randrange(7)
        wanted, which = dice.randrange(12), dice.randrange(3)
        answers: list[Any] = []
        for box, waiting in zip(boxes, receivers, strict=True):
            if what <= 2:
                box.append((number, dice_of(number)))
                answers.append(None)
            elif what == 3:
                box.push_priority((number, dice_of(number)), waiting)
                answers.append(None)
            elif what == 4:
                answers.append(box.take(waiting) if box else None)
            elif what == 5:
                box.drop(_of(wanted), waiting)
                answers.append(None)
            else:
                found = box.find(
                    _of(wanted),
                    waiting,
                    None if which == 2 else waiting[which],
                )
                answers.append(None if found is NOTHING else found)
        assert answers[0] == answers[1]
        assert boxes[0].messages() == boxes[1].messages()
        assert boxes[0].priority == boxes[1].priority
        assert (len(boxes[0]), boxes[0].total()) == (len(boxes[1]), boxes[1].total())
        assert [one.seen for one in receivers[0]] == [one.seen for one in receivers[1]]


def _of(wanted: int) -> Any:
    return lambda message: message[1] == wanted


def dice_of(number: int) -> int:
    return number * 7919 % 12


@compiled
@pytest.mark.parametrize("seed", range(5))
async def test_the_table_is_a_dict(runtime: Runtime, seed: int) -> None:
    dice = random.Random(seed)
    table, beside = stepping.Table(), {}
    made = [runtime.spawn(None) for _ in range(300)]
    for _ in range(3000):
        process = dice.choice(made)
        number = process.pid.id
        if dice.random() < 0.5:
            table[number] = process
            beside[number] = process
        else:
            assert table.pop(number, None) is beside.pop(number, None)
        other = dice.choice(made).pid.id
        assert table.get(other) is beside.get(other)
        assert (other in table, len(table)) == (other in beside, len(beside))
    assert table.values() == [beside[number] for number in sorted(beside)]
    table.clear()
    assert len(table) == 0
    assert table.values() == []


async def _wait(process: Process) -> None:
    await process.receive(lambda message: message == atom.stop)


async def _until(runtime: Runtime, count: int) -> None:
    async with asyncio.timeout(60):
        while len(runtime.processes()) != count or runtime.pending()["zombies"]:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_processes_leave_nothing_behind(runtime: Runtime) -> None:
    """Those that are told to stop, and those that are killed: no object stays."""

    async def some() -> None:
        pids = [runtime.spawn(_wait).pid for _ in range(1000)]
        await asyncio.sleep(0)
        for pid in pids[::2]:
            runtime.send(runtime.main, pid, atom.other)
            runtime.send(runtime.main, pid, atom.stop)
        for pid in pids[1::2]:
            runtime.exit(runtime.main, pid, atom.kill)
        await _until(runtime, 1)

    _ = runtime.main
    await some()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(3):
        await some()
    gc.collect()
    assert len(gc.get_objects()) < before + 100


@compiled
async def test_a_waiting_process_is_three_objects(runtime: Runtime) -> None:
    """The process, its coroutine and its match: each collection goes through all of them."""
    _ = runtime.main
    gc.collect()
    before = len(gc.get_objects())
    pids = [stepping.spawn_function(runtime, _wait, ()) for _ in range(1000)]
    processes = [process for pid in pids if (process := runtime.local(pid)) is not None]
    async with asyncio.timeout(10):
        while not all(process.receivers for process in processes):  # noqa: ASYNC110
            await asyncio.sleep(0)
    gc.collect()
    assert len(gc.get_objects()) - before < 3100


VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


async def test_each_process_has_its_own_variables(runtime: Runtime) -> None:
    """Though the context is shared until one is set, in the first turn or later."""

    async def body(process: Process, number: int, late: bool) -> None:
        assert VARIABLE.get() == 7
        if late:
            await process.receive()
        token = VARIABLE.set(number)
        await process.receive()
        assert VARIABLE.get() == number
        VARIABLE.reset(token)
        assert VARIABLE.get() == 7
        await process.receive()
        assert VARIABLE.get() == 7
        current: Any = asyncio.current_task()
        assert current is process.task
        passed.append(number)

    passed: list[int] = []
    VARIABLE.set(7)
    processes = [runtime.spawn(body, number, number % 2 == 0) for number in range(20)]
    VARIABLE.set(8)
    for _ in range(3):
        await asyncio.sleep(0)
        for process in processes:
            runtime.send(runtime.main, process.pid, atom.go)
    await _until(runtime, 1)
    assert sorted(passed) == list(range(20))


async def test_variables_that_are_only_set(runtime: Runtime) -> None:
    """Without a token that would hold the context; in any turn; by some of many, in one run."""

    async def body(process: Process, number: int, first: int) -> None:
        for turn in range(30):
            assert VARIABLE.get() == (first if turn <= number else number)
            assert current_process() is process
            if turn == number:
                VARIABLE.set(number)
            await process.receive()
        passed.append(number)

    passed: list[int] = []
    VARIABLE.set(7)
    processes = []
    for number in range(25):
        VARIABLE.set(7 + number % 3 // 2)
        processes.append(runtime.spawn(body, number, VARIABLE.get()))
    for _ in range(30):
        await asyncio.sleep(0)
        for process in processes:
            runtime.send(runtime.main, process.pid, atom.go)
    await _until(runtime, 1)
    assert sorted(passed) == list(range(25))


async def test_an_idle_server_that_is_killed_is_gone(runtime: Runtime) -> None:
    """Whatever the run in which it was stepped last has lent it is not kept for the next."""

    class Idle:
        def start(self, process: Process) -> None:
            pass

        def message(self, process: Process, message: Any) -> None:
            assert current_process() is process

        def terminated(self, process: Process, reason: Any) -> None:
            pass

    _ = runtime.main
    for turns in range(12):
        process = runtime.spawn(Idle())
        for _ in range(turns):
            await asyncio.sleep(0)
            runtime.send(runtime.main, process.pid, atom.go)
        await asyncio.sleep(0)
        pid, gone = process.pid, weakref.ref(process)
        del process
        runtime.exit(runtime.main, pid, atom.kill)
        gc.collect()
        assert gone() is None


async def test_a_receive_is_awaited_once(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        receiving = process.receive()
        assert await receiving == 1
        with pytest.raises(RuntimeError, match="already awaited"):
            await receiving
        with pytest.warns(RuntimeWarning, match=r"Process.receive' was never awaited"):
            process.receive()  # type: ignore[unused-coroutine]
        done.append(True)

    done: list[bool] = []
    process = runtime.spawn(body)
    runtime.send(runtime.main, process.pid, 1)
    await _until(runtime, 1)
    assert done == [True]


async def test_a_receive_that_is_cancelled_leaves_its_message(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await process.receive(lambda message: message == 2)
        got.append(await process.receive())
        task = asyncio.create_task(process.receive())
        got.append(await asyncio.wait_for(task, 10))

    got: list[Any] = []
    process = runtime.spawn(body)
    runtime.send(runtime.main, process.pid, 1)
    async with asyncio.timeout(10):
        while not got:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    runtime.send(runtime.main, process.pid, 2)
    await _until(runtime, 1)
    assert got == [1, 2]
