"""Nothing keeps what has ended, and a context that somebody else is in harms nobody else."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from pynode.process import Runtime
from pynode.process.process import Process
from pynode.terms import Atom


async def _settle(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_who_waits_keeps_none_of_those_before_it(runtime: Runtime) -> None:
    born: list[weakref.ref[Process]] = []
    arrived = asyncio.Event()

    async def generation(process: Process, left: int) -> None:
        born.append(weakref.ref(process))
        if left:
            runtime.spawn(generation, left - 1)
            runtime.spawn(brief)  # they inherit the same
        else:
            arrived.set()
            await process.receive()

    async def brief(process: Process) -> None:
        pass

    runtime.spawn(generation, 50)
    async with asyncio.timeout(20):
        await arrived.wait()
    await asyncio.sleep(0)
    gc.collect()
    assert sum(process() is not None for process in born) == 1


async def test_a_child_has_its_parents_variables_but_is_not_its_parent(runtime: Runtime) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[tuple[str, bool]] = []

    async def child(process: Process) -> None:
        seen.append((variable.get(), runtime.current() is process))
        await process.receive()
        seen.append((variable.get(), runtime.current() is process))
        variable.set("the child's")

    async def parent(process: Process) -> None:
        for value in ("one", "one", "two"):
            variable.set(value)
            children.append(runtime.spawn(child))
        await process.receive()
        seen.append((variable.get(), runtime.current() is process))

    children: list[Process] = []
    first = runtime.spawn(parent)
    await _settle(lambda: len(seen) == 3)
    assert seen == [("one", True), ("one", True), ("two", True)]
    del seen[:]
    for process in (*children, first):
        runtime.tell(process, "go on")
    await _settle(lambda: len(seen) == 4)
    assert seen == [("one", True), ("one", True), ("two", True), ("two", True)]


class _Body:
    label = "body"

    def start(self, process: Process) -> None:
        pass

    def message(self, process: Process, message: Any) -> None:
        pass

    def terminated(self, process: Process, reason: Any) -> None:
        pass


@pytest.mark.parametrize("where", ["begin", "step", "message"])
async def test_a_context_that_is_entered_elsewhere(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    async def waits(process: Process) -> None:
        await process.receive()

    body: Any = _Body() if where == "message" else waits
    process = runtime.spawn(body)
    context = process.context
    if where != "begin":
        await _settle(lambda: process.begin is None)
    finished = asyncio.Event()

    def meanwhile() -> None:
        runtime.tell(process, 1)
        runtime.scheduler.run()

    def in_between() -> None:
        try:
            context.run(meanwhile)
        finally:
            finished.set()

    with caplog.at_level(logging.CRITICAL, "pynode.process"):
        asyncio.get_running_loop().call_soon(in_between, context=contextvars.Context())
        async with asyncio.timeout(20):
            await finished.wait()
    assert not process.alive
    assert "already entered" in str(process.exit_reason)
    assert asyncio.current_task() is not None
    # Everybody else goes on.
    other = runtime.spawn(waits)
    await _settle(lambda: other.begin is None)
    runtime.tell(other, 1)
    await _settle(lambda: not other.alive)
    assert other.exit_reason == Atom("normal")


async def test_an_interrupt_while_the_next_turn_is_asked_for(
    make_runtime: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop: Any = asyncio.get_running_loop()
    call_soon = loop.call_soon
    interrupts: list[BaseException] = []

    def interrupted(callback: Any, *args: Any, context: Any = None) -> Any:
        if interrupts:
            raise interrupts.pop()
        return call_soon(callback, *args, context=context)

    monkeypatch.setattr(loop, "call_soon", interrupted)
    runtime = make_runtime()
    first = runtime.spawn(_waits)
    await _settle(lambda: first.begin is None)
    interrupts.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        runtime.tell(first, 1)
    await _settle(lambda: not first.alive)  # no other process has to come to its help
    second = runtime.spawn(_waits)
    runtime.tell(second, 2)
    await _settle(lambda: not second.alive)


def test_an_interrupt_at_the_end_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is interrupted, asyncio is not left with a current task: it would run no other."""
    loop: Any = asyncio.new_event_loop()
    call_soon = loop.call_soon
    interrupts: list[BaseException] = []

    def interrupted(callback: Any, *args: Any, context: Any = None) -> Any:
        if interrupts and getattr(callback, "__name__", "") == "_turn":
            raise interrupts.pop()
        return call_soon(callback, *args, context=context)

    monkeypatch.setattr(loop, "call_soon", interrupted)
    runtime = Runtime(Atom("here@host"), 7, loop=loop)
    processes = [runtime.spawn(_waits_twice) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0.001))
    runtime.scheduler.budget = 0.0
    for process in processes:
        runtime.tell(process, 1)
    call_soon(interrupts.append, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(60))
    assert not interrupts
    assert asyncio.current_task(loop) is None
    for process in processes:
        runtime.tell(process, 2)
    loop.run_until_complete(_settle(lambda: not any(process.alive for process in processes)))
    loop.run_until_complete(runtime.stop(0))
    for task in asyncio.all_tasks(loop):  # the sleep of 60 s
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


async def test_a_task_that_somebody_has_left(make_runtime: Callable[..., Runtime]) -> None:
    """A program that meddles with asyncio's current task gets an error, and no more."""
    runtime = make_runtime()
    loop = asyncio.get_running_loop()
    problems: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))

    async def meddles(process: Process) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.tasks._leave_task(loop, task)
        await process.receive()

    for _ in range(20):
        runtime.spawn(meddles)
        await asyncio.sleep(0)
        gc.collect()
    said = [str(each["exception"]) for each in problems]
    assert all("current task" in each or "leave task" in each for each in said)  # from 3.14 on
    assert problems
    other = runtime.spawn(_waits)
    runtime.tell(other, 1)
    await _settle(lambda: not other.alive)


async def _waits(process: Process) -> None:
    await process.receive()


async def _waits_twice(process: Process) -> None:
    await process.receive()
    await process.receive()


async def _waits_for_a_while(process: Process) -> None:
    await process.receive(timeout=1000)


async def _keeps_a_receive(process: Process) -> None:
    process.dictionary["later"] = process.receive()
    await process.receive()


@pytest.mark.parametrize("body", [_waits, _waits_for_a_while, _keeps_a_receive])
def test_a_runtime_that_is_given_up_with_its_loop_is_collected(body: Any) -> None:
    async def main() -> weakref.ref[Process]:
        runtime = Runtime(Atom("here@host"), 7)
        process = runtime.spawn(body)
        await _settle(lambda: process.begin is None)
        return weakref.ref(process)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nobody awaits the one that is kept
        process = asyncio.run(main())
        gc.collect()
        assert process() is None
