from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from pynode.errors import CallExit, NodeDown
from pynode.process import Process, Runtime
from pynode.terms import atom
from tests.process.test_process import Recording, waiting
from tests.process.wire import until


async def test_everybody_gets_shutdown(runtime: Runtime) -> None:
    main = runtime.main
    server = Recording()
    plain, body = runtime.spawn(waiting), runtime.spawn(server)
    await asyncio.sleep(0)
    await runtime.stop(5)
    assert plain.exit_reason == body.exit_reason == main.exit_reason == atom.shutdown
    assert server.notes[-1] == ("terminated", atom.shutdown)
    assert runtime.stopped
    assert not any(runtime.pending().values())
    await runtime.stop(5)


async def test_who_traps_has_until_the_timeout(runtime: Runtime) -> None:
    async def polite(process: Process) -> None:
        message = await process.receive()
        await asyncio.sleep(0.001)
        notes.append(message)

    notes: list[Any] = []
    main = runtime.main.pid
    process = runtime.spawn(polite, trap_exit=True)
    deaf = runtime.spawn(None, trap_exit=True)
    await runtime.stop(0.05)
    assert notes == [(atom.EXIT, main, atom.shutdown)]
    assert process.exit_reason == atom.normal
    assert deaf.exit_reason == atom.killed


async def test_who_swallows_is_closed(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn(process: Process, wait: Any) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await wait()

    async def refusing(process: Process) -> None:
        while len(notes) < 3:
            try:
                await asyncio.sleep(60)
            except BaseException as error:
                notes.append(type(error))

    async def parked(process: Process) -> None:
        await stubborn(process, process.receive)

    notes: list[type[BaseException]] = []
    runtime.spawn(stubborn, asyncio.Event().wait)
    runtime.spawn(parked)
    process = runtime.spawn(refusing)
    await asyncio.sleep(0)
    await runtime.stop(0)
    assert notes == [asyncio.CancelledError, GeneratorExit]
    [record] = caplog.records
    assert repr(process) in record.getMessage()
    assert "does not end" in record.getMessage()


async def test_who_swallows_all_does_not_go_on_for_ever(runtime: Runtime) -> None:
    """As when the interpreter closes the coroutine of a process that is gone."""

    async def stubborn() -> None:
        while len(notes) < 2:
            try:
                await process.receive()
            except BaseException as error:
                notes.append(type(error))

    notes: list[type[BaseException]] = []
    process = runtime.spawn(waiting)
    runtime.exit(runtime.main, process.pid, atom.kill)
    await until(lambda: not process.alive)
    coroutine = stubborn()
    coroutine.send(None)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        coroutine.close()
    coroutine.close()
    assert notes == [GeneratorExit, GeneratorExit]


async def test_a_process_stops_its_own_node(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        try:
            await runtime.stop(1)
        finally:
            notes.append("stopped")

    notes: list[str] = []
    runtime.spawn(body)
    await until(lambda: notes)
    await runtime.stop()
    assert runtime.stopped


async def test_a_cancelled_stop_goes_on(runtime: Runtime) -> None:
    deaf = runtime.spawn(None, trap_exit=True)
    task = asyncio.create_task(runtime.stop(0.01))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await runtime.stop()
    assert not deaf.alive


async def test_timers_and_calls_end_with_it(runtime: Runtime) -> None:
    main = runtime.main
    runtime.send_after(main, 60, main.pid, 1)
    runtime.send_after(main, 60, "name", 1)
    slot = runtime.open_call(main, runtime.spawn(None, trap_exit=True).pid)
    task = asyncio.create_task(slot.wait(60))
    await asyncio.sleep(0)
    await runtime.stop(0)
    with pytest.raises(CallExit):  # the server went first
        await task
    with pytest.raises(NodeDown):
        runtime.send(main, main.pid, 1)


async def test_waits_of_threads_end_with_it(runtime: Runtime) -> None:
    from pynode.process import current

    async def stubborn() -> None:
        while not notes:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                notes.append("again")

    async def body(process: Process) -> None:
        await process.run_blocking(lambda: current.wait(stubborn()))

    notes: list[str] = []
    runtime.spawn(body)
    await until(lambda: runtime.marshal.tasks)
    await runtime.stop(0)
    assert notes == ["again"]
