"""Asyncio tasks that a batch of signals wakes go on at its end, and not before."""

from __future__ import annotations

import asyncio
import contextvars
import time
from typing import Any

from pynode.process import Runtime
from pynode.process.task import TaskFuture


async def later(call: Any) -> None:
    """Run ``call`` as a callback of the loop, outside any task."""
    done = asyncio.get_running_loop().create_future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    asyncio.get_running_loop().call_soon(run)
    await done


async def test_a_task_goes_on_at_the_end_of_the_batch(runtime: Runtime) -> None:
    got: list[Any] = []

    async def wait() -> None:
        got.append(await runtime.main.receive())
        got.append(await runtime.main.receive())

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)

    def batch() -> None:
        runtime.batch_begin()
        runtime.tell(runtime.main, 1)
        runtime.tell(runtime.main, 2)
        assert got == []
        runtime.batch_end()
        assert got == [1, 2]

    await later(batch)
    await task


async def test_a_cancelled_task_loses_nothing(runtime: Runtime) -> None:
    task = asyncio.create_task(runtime.main.receive())
    await asyncio.sleep(0)

    def batch() -> None:
        runtime.batch_begin()
        runtime.tell(runtime.main, "kept")
        task.cancel()
        runtime.batch_end()

    await later(batch)
    await asyncio.wait([task])
    assert task.cancelled()
    assert await runtime.main.receive(timeout=0) == "kept"


async def test_a_task_that_waits_for_ever_more_gives_way(runtime: Runtime) -> None:
    """Tasks that use the budget up leave the others to the loop's next round."""
    runtime.scheduler.budget = 0.0
    ran: list[int] = []

    async def wait(number: int) -> None:
        process = runtime.spawn(None)
        waiting[number] = process
        await process.receive()
        ran.append(number)
        time.sleep(0.001)  # noqa: ASYNC251

    waiting: dict[int, Any] = {}
    tasks = [asyncio.create_task(wait(number)) for number in range(3)]
    await asyncio.sleep(0)

    def batch() -> None:
        runtime.batch_begin()
        for process in waiting.values():
            runtime.tell(process, "go")
        runtime.batch_end()
        assert ran == [0]

    await later(batch)
    await asyncio.gather(*tasks)
    assert ran == [0, 1, 2]


async def test_a_batch_within_a_task_steps_no_other(runtime: Runtime) -> None:
    task = asyncio.create_task(runtime.main.receive())
    await asyncio.sleep(0)
    runtime.batch_begin()
    runtime.tell(runtime.main, 1)
    runtime.batch_end()
    assert not task.done()
    assert await task == 1


async def test_the_future_of_a_task_is_a_future() -> None:
    loop = asyncio.get_running_loop()
    future = TaskFuture(loop)
    told: list[str] = []

    def first(_: object) -> None:
        told.append("first")

    future.add_done_callback(first, context=contextvars.copy_context())
    assert future.remove_done_callback(first) == 1
    future.add_done_callback(lambda _: told.append("second"))
    future.step()
    future.step()
    await asyncio.sleep(0)
    assert told == ["second"]
    late = TaskFuture(loop)
    late.set_result(None)
    await asyncio.wait_for(late, 1)
    assert TaskFuture(loop).cancel()
