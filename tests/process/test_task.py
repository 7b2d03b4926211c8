"""Stepped coroutines, as asyncio's users meet them."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
from typing import Any

import pytest

from pynode.process import Process, ProcessTask, Runtime
from pynode.process.current import current_process, self_
from pynode.terms import atom
from tests.process.wire import until

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


async def run(runtime: Runtime, body: Any, *args: Any) -> Any:
    """Run a coroutine function as a process, and return or raise its outcome."""
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def whole(process: Process) -> None:
        try:
            done.set_result(await body(process, *args))
        except BaseException as error:
            done.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    runtime.spawn(whole)
    async with asyncio.timeout(10):
        return await done


async def test_foreign_awaitables(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        first = await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))
        second = await asyncio.wait_for(asyncio.sleep(0, 3), 1)
        event = asyncio.Event()
        asyncio.get_running_loop().call_soon(event.set)
        await event.wait()
        async with asyncio.TaskGroup() as group:
            third = group.create_task(asyncio.sleep(0, 4))
        return first, second, third.result()

    assert await run(runtime, body) == ([1, 2], 3, 4)


async def test_timeout(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await process.receive()
        async with asyncio.timeout(1):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert await run(runtime, body) == 0


async def test_task_group_that_fails_cancels_its_parent(runtime: Runtime) -> None:
    async def fail() -> None:
        raise ValueError("child")

    async def body(process: Process) -> Any:
        with pytest.raises(ExceptionGroup):
            await together(process)
        return "alive"

    async def together(process: Process) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await process.receive()

    assert await run(runtime, body) == "alive"


async def test_the_task_that_libraries_see(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        task: Any = asyncio.current_task()
        assert type(task) is ProcessTask
        assert all(task is not other for other in asyncio.all_tasks())
        assert not task.done()
        assert not task.cancelled()
        assert task.get_loop() is asyncio.get_running_loop()
        assert task.get_context() is process.context
        assert task.get_name() == repr(process.pid)
        task.set_name("other")
        assert task.get_name() == "other"
        assert inspect.iscoroutine(task.get_coro())
        assert task.get_stack()
        assert "ProcessTask" in repr(task)
        for ask in (task.result, task.exception):
            with pytest.raises(asyncio.InvalidStateError):
                ask()
        assert task.remove_done_callback(print) == 0
        task.add_done_callback(called.append)
        task.add_done_callback(print)
        assert task.remove_done_callback(print) == 1
        assert task.uncancel() == 0
        return task

    called: list[Any] = []
    task = await run(runtime, body)
    await until(lambda: called)
    assert called == [task]
    assert task.done()
    assert task.result() is None
    assert task.exception() is None
    assert not task.cancel()
    assert task.get_stack() == []
    task.add_done_callback(called.append)
    await asyncio.sleep(0)
    assert called == [task, task]


async def test_outcomes_of_a_task(runtime: Runtime) -> None:
    async def fail(process: Process) -> None:
        tasks.append(asyncio.current_task())
        raise ValueError("x")

    async def cancelled(process: Process) -> None:
        task: Any = asyncio.current_task()
        tasks.append(task)
        task.cancel()
        await asyncio.sleep(0)

    tasks: list[Any] = []
    first, second = runtime.spawn(fail), runtime.spawn(cancelled)
    await until(lambda: not (first.alive or second.alive))
    assert type(tasks[0].exception()) is ValueError
    with pytest.raises(ValueError, match="x"):
        tasks[0].result()
    assert tasks[1].cancelled()
    with pytest.raises(asyncio.CancelledError):
        tasks[1].exception()
    assert second.exit_reason[0] == (atom.python_error, atom.CancelledError, b"")


async def test_cancel_while_waiting_for_a_message_and_for_a_future(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        task: Any = asyncio.current_task()
        for wait in (process.receive, asyncio.Event().wait):
            asyncio.get_running_loop().call_soon(task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await wait()
            assert task.cancelling() == 1
            assert task.uncancel() == 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(10)  # cancelled before it waits
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await process.receive()
        return "alive"

    assert await run(runtime, body) == "alive"


async def test_a_future_that_failed_while_the_cancel_was_on_its_way(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        task: Any = asyncio.current_task()
        future = asyncio.get_running_loop().create_future()

        def both() -> None:
            future.set_exception(ValueError("never seen"))
            task.cancel()

        asyncio.get_running_loop().call_soon(both)
        with pytest.raises(asyncio.CancelledError):
            await future
        return "alive"

    assert await run(runtime, body) == "alive"


async def test_what_asyncio_cannot_wait_for(runtime: Runtime) -> None:
    class Odd:
        def __await__(self) -> Any:
            yield "odd"

    async def body(process: Process) -> Any:
        with pytest.raises(RuntimeError, match="odd"):
            await Odd()
        other = asyncio.new_event_loop()
        try:
            with pytest.raises(RuntimeError, match="another event loop"):
                await other.create_future()
        finally:
            other.close()
        return "alive"

    assert await run(runtime, body) == "alive"


async def test_each_process_has_its_own_context(runtime: Runtime) -> None:
    async def body(process: Process, value: str) -> Any:
        assert VARIABLE.get() == "outer"
        VARIABLE.set(value)
        await asyncio.sleep(0.001)
        task = asyncio.create_task(child())
        return VARIABLE.get(), current_process() is process, self_() == process.pid, await task

    async def child() -> Any:
        return VARIABLE.get(), self_()

    VARIABLE.set("outer")
    outcomes = await asyncio.gather(*(run(runtime, body, name) for name in ("one", "two")))
    for name, outcome in zip(("one", "two"), outcomes, strict=True):
        assert outcome[:3] == (name, True, True)
        assert outcome[3][0] == name
    assert VARIABLE.get() == "outer"
    assert current_process() is None


async def test_in_debug_mode(runtime: Runtime) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    await test_foreign_awaitables(runtime)
    await test_timeout(runtime)
    loop.set_debug(False)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of 3.12")
async def test_with_eager_tasks(runtime: Runtime) -> None:
    factory: Any = getattr(asyncio, "eager_task_factory", None)
    asyncio.get_running_loop().set_task_factory(factory)

    async def child() -> Any:
        process = current_process()
        assert process is not None
        return await process.receive(timeout=10)

    async def body(process: Process) -> Any:
        task = asyncio.create_task(child())  # begins in the middle of a step
        runtime.send(process, process.pid, atom.hello)
        return await task

    assert await run(runtime, body) == atom.hello
    await test_foreign_awaitables(runtime)
    asyncio.get_running_loop().set_task_factory(None)


async def test_receive_from_tasks_of_a_process(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        waits = [asyncio.create_task(process.receive()) for _ in range(3)]
        await asyncio.sleep(0)
        for number in range(3):
            runtime.send(process, process.pid, number)
        return await asyncio.gather(*waits)

    assert await run(runtime, body) == [0, 1, 2]


async def test_one_process_awaits_another(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        asyncio.get_running_loop().call_soon(runtime.send, runtime.main, runtime.main.pid, 1)
        return await runtime.main.receive(timeout=10)

    assert await run(runtime, body) == 1


async def test_a_cancel_during_sleep_0_steps_once(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        tasks.append(asyncio.current_task())
        runtime.spawn(cancel)  # runs in this very turn, before the round that sleep(0) waits for
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        # Written in Python, a future notices a step that it has not asked for.
        future: Any = asyncio.futures._PyFuture(loop=runtime.loop)  # type: ignore[attr-defined]
        asyncio.get_running_loop().call_later(0.001, future.set_result, 1)
        return await future

    async def cancel(process: Process) -> None:
        tasks[0].cancel()

    tasks: list[Any] = []
    assert await run(runtime, body) == 1
