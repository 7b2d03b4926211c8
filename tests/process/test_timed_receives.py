"""Receives with a time-out, in a process's own coroutine: what comes first, and what it leaves."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from pynode.process import Process, Runtime
from pynode.terms import atom
from tests.process.test_task import run
from tests.process.wire import until


def _ours() -> int:
    """Return how many objects of this package, and coroutines, there are."""
    gc.collect()
    kinds = [type(each) for each in gc.get_objects()]
    return sum("pynode." in str(kind) or kind.__name__ == "coroutine" for kind in kinds)


async def test_what_comes_first(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        def later(message: Any) -> None:
            runtime.send(process, process.pid, message)

        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await process.receive(timeout=0)
        with pytest.raises(TimeoutError):
            await process.receive(timeout=-1)
        with pytest.raises(TimeoutError):
            await process.receive(timeout=0.001)
        later(1)
        found = [await process.receive(timeout=0), len(runtime.timers)]
        loop.call_soon(later, 2)
        found += [await process.receive(timeout=60), len(runtime.timers)]
        # One that is refused neither ends nor prolongs the wait, and stays.
        loop.call_soon(later, 3)
        with pytest.raises(TimeoutError):
            await process.receive(lambda message: message == 4, timeout=0.02)
        found += [await process.receive(timeout=60), len(runtime.timers)]
        loop.call_soon(later, b"text")
        found.append(await process.receive(timeout=60, text=True))
        return found

    assert await run(runtime, body) == [1, 0, 2, 0, 3, 0, "text"]
    assert len(runtime.timers) == 0


async def test_a_match_that_raises_and_a_cancelled_wait(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        loop = asyncio.get_running_loop()
        loop.call_soon(runtime.send, process, process.pid, 1)
        with pytest.raises(ZeroDivisionError):
            await process.receive(lambda message: 1 // 0, timeout=60)
        timers = [len(runtime.timers)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await process.receive(lambda message: message == 2, timeout=60)
        timers.append(len(runtime.timers))
        # The coroutine of a receive may be a task's, which is not the process's own.
        task = asyncio.ensure_future(process.receive(lambda message: message == 2, timeout=0.001))
        with pytest.raises(TimeoutError):
            await task
        return timers, await process.receive(timeout=0)

    assert await run(runtime, body) == ([0, 0], 1)
    assert len(runtime.timers) == 0


async def test_round_after_round_nothing_stays(runtime: Runtime) -> None:
    """Time-outs, messages and ends at the same time: each receive has one outcome, and one timer.

    The time-out of one receive never ends the next.
    """
    outcomes: list[Any] = []
    _ = runtime.main

    async def body(process: Process, number: int) -> None:
        for turn in range(6):
            seconds = 60 if (turn + number) % 3 else 0.0001 * (number % 7)
            try:
                outcomes.append(await process.receive(timeout=seconds))
            except TimeoutError:
                assert seconds < 1
                outcomes.append(None)

    async def some() -> list[weakref.ref[Process]]:
        processes = [runtime.spawn(body, number) for number in range(60)]
        gone = [weakref.ref(process) for process in processes]
        for turn in range(8):
            for process in processes:
                runtime.send(runtime.main, process.pid, turn)
            await asyncio.sleep(0.0003)
            if turn == 3:
                for process in processes[::4]:
                    runtime.exit(runtime.main, process.pid, atom.kill)
        await until(lambda: len(runtime.processes()) == 1)
        return gone

    await some()
    before = _ours()
    for _ in range(5):
        gone = await some()
        assert len(runtime.timers) == 0
        after = _ours()
        assert not any(each() for each in gone)
        outcomes.clear()
        assert after <= before + 70  # so many timers that were cancelled may lie in the heap


async def test_one_that_ends_while_it_waits(runtime: Runtime) -> None:
    seen: list[Any] = []

    async def body(process: Process) -> None:
        try:
            await process.receive(timeout=60)
        except asyncio.CancelledError:
            seen.append(len(runtime.timers))
            raise

    process = runtime.spawn(body)
    await until(lambda: process.receivers is not None)
    assert len(runtime.timers) == 1
    runtime.exit(runtime.main, process.pid, atom.kill)
    await until(lambda: bool(seen))
    assert len(runtime.timers) == 0
    assert seen == [0]


async def test_the_heap_may_fail(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps the timer from being set ends that receive, and none that follows."""
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def interrupted(*args: Any, **options: Any) -> Any:
        call_later(*args, **options)
        monkeypatch.undo()
        raise RuntimeError("interrupted")

    async def body(process: Process) -> Any:
        monkeypatch.setattr(loop, "call_later", interrupted)
        with pytest.raises(RuntimeError, match="interrupted"):
            await process.receive(timeout=0.001)
        loop.call_later(0.02, runtime.send, process, process.pid, 1)
        return await process.receive(timeout=60)

    assert await run(runtime, body) == 1
