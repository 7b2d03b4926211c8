"""Threads of blocking processes, and the current process in them and elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest

from pynode.dist.seam import Pressure
from pynode.errors import EncodeError, NameError_, NodeDown, ProcessDead
from pynode.process import Process, Runtime, current
from pynode.terms import Atom, atom
from tests.process.test_inbound import FAR, THERE
from tests.process.test_process import DEADLINE, gone
from tests.process.test_task import run
from tests.process.wire import Recorder, until

VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE")


async def in_thread(runtime: Runtime, function: Any, *args: Any) -> Any:
    async def body(process: Process) -> Any:
        return await process.run_blocking(function, *args)

    return await run(runtime, body)


async def test_runs_in_a_thread_of_its_own_as_the_process(runtime: Runtime) -> None:
    def function(number: int) -> Any:
        before = VARIABLE.get(0)
        VARIABLE.set(number)
        return threading.current_thread().name, current.self_(), before

    async def body(process: Process) -> Any:
        VARIABLE.set(1)
        outcomes = [await process.run_blocking(function, number) for number in (2, 3)]
        return process.pid, outcomes, VARIABLE.get()

    pid, outcomes, value = await run(runtime, body)
    assert outcomes == [(f"pynode {pid!r}", pid, 1), (f"pynode {pid!r}", pid, 2)]
    assert value == 1


@pytest.mark.parametrize("error", [ValueError("x"), StopIteration(), asyncio.CancelledError()])
async def test_what_it_raises_is_raised(runtime: Runtime, error: BaseException) -> None:
    def function() -> None:
        raise error

    async def body(process: Process) -> Any:
        try:
            await process.run_blocking(function)
        except BaseException as raised:
            return raised

    raised = await run(runtime, body)
    assert type(raised) is (RuntimeError if isinstance(error, StopIteration) else type(error))


async def test_signals_from_the_thread_keep_their_order(runtime: Runtime) -> None:
    def function(main: Any) -> None:
        for number in range(100):
            current.send(main, number)

    await in_thread(runtime, function, runtime.main.pid)
    assert [await runtime.main.receive(timeout=0) for _ in range(100)] == list(range(100))


async def test_errors_from_the_loop_are_raised_in_the_thread(runtime: Runtime) -> None:
    def function() -> Any:
        with pytest.raises(EncodeError):
            current.send(current.self_(), object())
        with pytest.raises(NameError_):
            current.send("nobody", 1)
        return "done"

    assert await in_thread(runtime, function) == "done"


def every_function(main: Any) -> None:
    """All functions of ``current`` but those that wait."""
    me = current.self_()
    current.send(me, 1)
    current.register("myself")
    assert current.whereis("myself") == me
    current.unregister("myself")
    current.link(main)
    current.unlink(main)
    ref = current.monitor(main)
    assert current.demonitor(ref, info=True)
    alias = current.alias()
    assert current.unalias(alias)
    timer = current.send_after(60, me, 1)
    assert current.read_timer(timer)
    assert current.cancel_timer(timer)
    assert current.cancel_timer(current.start_timer(60, me, 1))
    current.monitor_node(FAR)
    current.monitor_nodes(node_type="all")
    child = current.spawn(never)
    linked = current.spawn_link(never)
    watched, ref = current.spawn_monitor(never)
    for pid in (child, linked, watched):
        current.exit_signal(pid, atom.normal)
        current.unlink(pid)
        current.exit_signal(pid, atom.kill)
    assert current.demonitor(ref, info=True) is False


async def never(process: Process) -> None:
    await process.receive(lambda _: False)


async def test_every_function_in_a_coroutine_and_in_a_thread(
    runtime: Runtime, out: Recorder
) -> None:
    async def body(process: Process, main: Any) -> Any:
        every_function(main)
        await current.drain(FAR)
        return await current.receive(timeout=0)

    main = runtime.main.pid
    assert await run(runtime, body, main) == 1
    await in_thread(runtime, every_function, main)


async def test_outside_any_process(runtime: Runtime) -> None:
    for act in (
        current.process,
        current.self_,
        lambda: current.send("x", 1),
        lambda: current.link(THERE),
        lambda: current.wait(asyncio.sleep),  # type: ignore[arg-type]
    ):
        with pytest.raises(RuntimeError, match=r"node\.send"):
            act()
    assert runtime.current() is None


# --------------------------------------------------------------------------- waiting


async def test_wait_awaits_on_the_loop_as_the_process(runtime: Runtime) -> None:
    def function() -> Any:
        me = current.self_()
        current.send(me, atom.hello)
        message = current.wait(current.receive(timeout=DEADLINE))
        slept = current.wait(asyncio.sleep(0.001, "slept"))
        with pytest.raises(TimeoutError):
            current.wait(current.receive(timeout=0.001))
        return message, slept, current.wait(who()) == me

    async def who() -> Any:
        return current.self_()

    assert await in_thread(runtime, function) == (atom.hello, "slept", True)
    assert runtime.marshal.tasks == {}


async def test_wait_on_the_loops_own_thread_is_refused(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        coroutine = asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="await"):
            current.wait(coroutine)
        with pytest.raises(RuntimeError, match="await"):
            runtime.call_threadsafe(process, print)

    await run(runtime, body)


async def test_a_busy_peer_holds_the_thread(runtime: Runtime, out: Recorder) -> None:
    def function() -> None:
        current.send(THERE, 1)
        notes.append("went on")

    notes: list[str] = []
    out.pressure = Pressure.BUSY
    task = asyncio.create_task(in_thread(runtime, function))
    await until(lambda: runtime.marshal.tasks)
    assert notes == []
    runtime.peer_drained(FAR)
    await task
    assert notes == ["went on"]


# --------------------------------------------------------------------------- ends


async def test_the_end_while_the_thread_waits(runtime: Runtime) -> None:
    def function() -> None:
        try:
            current.wait(asyncio.sleep(60))
        except asyncio.CancelledError:
            try:
                current.send(current.self_(), 1)
            except ProcessDead:
                notes.append("refused")
        ended.set()

    async def body(process: Process) -> None:
        await process.run_blocking(function)

    notes: list[str] = []
    ended = threading.Event()
    process = runtime.spawn(body)
    await until(lambda: runtime.marshal.tasks)
    runtime.exit(runtime.main, process.pid, atom.kill)
    await until(ended.is_set)
    await gone(runtime, process)
    assert notes == ["refused"]


async def test_the_end_while_the_thread_computes(runtime: Runtime) -> None:
    def function() -> None:
        started.set()
        go_on.wait(DEADLINE)
        notes.append("computed")

    async def body(process: Process) -> None:
        await asyncio.gather(process.run_blocking(function), process.run_blocking(function))

    notes: list[str] = []
    started, go_on = threading.Event(), threading.Event()
    process = runtime.spawn(body)
    await until(started.is_set)
    assert process.rare is not None
    worker = process.rare.worker
    assert worker is not None
    runtime.exit(runtime.main, process.pid, atom.kill)
    assert not process.alive
    await gone(runtime, process)
    go_on.set()
    await until(lambda: not worker.thread.is_alive())
    await asyncio.sleep(0)
    assert notes == ["computed"]  # what was still in the queue did not run
    with pytest.raises(ProcessDead):
        await process.run_blocking(function)


async def test_calls_are_refused_once_the_node_has_stopped(runtime: Runtime) -> None:
    def function() -> None:
        started.set()
        go_on.wait(DEADLINE)
        try:
            current.send(current.self_(), 1)
        except NodeDown:
            notes.append("refused")
        ended.set()

    async def body(process: Process) -> None:
        await process.run_blocking(function)

    notes: list[str] = []
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    runtime.spawn(body)
    await until(started.is_set)
    await runtime.stop(0)
    go_on.set()
    await until(ended.is_set)
    assert notes == ["refused"]


async def test_a_call_that_waits_while_the_node_stops(runtime: Runtime) -> None:
    def function() -> None:
        asking.set()
        try:
            current.send(current.self_(), 1)
        except NodeDown:
            notes.append("refused")
        ended.set()

    async def body(process: Process) -> None:
        await process.run_blocking(function)

    notes: list[str] = []
    asking, ended = threading.Event(), threading.Event()
    runtime.spawn(body)
    await asyncio.sleep(0)
    asking.wait(DEADLINE)
    while not runtime.marshal._queue:
        time.sleep(0)  # noqa: ASYNC251 - the loop must not turn: the call stays in the queue
    runtime.marshal.close()
    await until(ended.is_set)
    assert notes == ["refused"]


def test_a_thread_that_outlives_its_loop() -> None:
    def function() -> None:
        started.set()
        go_on.wait(DEADLINE)

    async def main() -> Any:
        runtime = Runtime(Atom("here@host"), 7)

        async def body(process: Process) -> None:
            await process.run_blocking(function)

        process = runtime.spawn(body)
        await until(started.is_set)
        assert process.rare is not None
        worker = process.rare.worker
        await runtime.stop(0)
        return worker

    started, go_on = threading.Event(), threading.Event()
    worker = asyncio.run(main())
    go_on.set()
    worker.thread.join(DEADLINE)
    assert not worker.thread.is_alive()


async def test_each_thread_acts_as_its_own_process(runtime: Runtime) -> None:
    def function() -> Any:
        ready.wait(DEADLINE)
        return current.self_(), current.wait(who()), current.act(lambda process: process.pid)

    async def who() -> Any:
        return current.self_()

    async def body(process: Process) -> Any:
        return process.pid, await process.run_blocking(function)

    ready = threading.Barrier(4)
    for pid, told in await asyncio.gather(*(run(runtime, body) for _ in range(4))):
        assert told == (pid, pid, pid)


async def test_a_wait_that_comes_after_the_end(runtime: Runtime) -> None:
    def function() -> None:
        started.set()
        go_on.wait(DEADLINE)
        try:
            current.wait(asyncio.sleep(60))
        except asyncio.CancelledError:
            notes.append("cancelled")
        ended.set()

    async def body(process: Process) -> None:
        await process.run_blocking(function)

    notes: list[str] = []
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    process = runtime.spawn(body)
    await until(started.is_set)
    runtime.exit(runtime.main, process.pid, atom.kill)
    go_on.set()
    await until(ended.is_set)
    assert notes == ["cancelled"]
