"""Task: awaiting, yielding, ending, many; under a supervisor too."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from pynode.behaviours import (
    GenServer,
    Supervisor,
    Task,
    TaskExit,
    TaskOk,
    TaskSupervisor,
    gen,
    start,
)
from pynode.errors import CallExit, CallTimeout, Exit, StartError
from pynode.process.current import process as current, self_
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import ExportFun, atom, elixir
from pynode.testing import eventually

from .helpers import DEADLINE, is_clean, reason_of_death
from .supervised import Clients, reports
from .test_supervisor import alive


@pytest.fixture
def clients(runtime: Runtime) -> Clients:
    return Clients(runtime)


async def double(x: Any) -> Any:
    await asyncio.sleep(0)
    return x * 2


def thread_of(*args: Any, **kwargs: Any) -> Any:
    return threading.current_thread().name, self_(), args, kwargs


async def fail() -> None:
    raise ValueError("no")


async def forever() -> None:
    await asyncio.sleep(3600)


async def run(runtime: Runtime, body: Any, **options: Any) -> Any:
    """Run ``body`` as a process to its end, and return what it returned."""
    outcome: asyncio.Future[Any] = runtime.loop.create_future()

    async def whole(process: Process) -> None:
        try:
            outcome.set_result(await body(process))
        except BaseException as error:
            if not outcome.done():
                outcome.set_exception(
                    RuntimeError("cancelled")
                    if isinstance(error, asyncio.CancelledError)
                    else error
                )
            raise

    process = runtime.spawn(whole, **options)
    try:
        return await asyncio.wait_for(outcome, DEADLINE)
    finally:
        await eventually(lambda: not process.alive)


async def test_awaiting(runtime: Runtime, clients: Clients) -> None:
    value = object()  # any Python value, not a term and not a copy
    task = clients.task.async_(asyncio.sleep, 0, value)
    assert await task is value
    assert await task.await_() is value
    name, pid, args, kwargs = await clients.task.async_(thread_of, 1, key=2)
    assert (pid.node, args, kwargs) == (runtime.node_name, (1,), {"key": 2})
    assert name != threading.current_thread().name
    assert await clients.task.async_(lambda: double(4)) == 8
    assert await clients.task.completed(value) is value
    with pytest.raises(CallExit) as failed:
        await clients.task.async_(fail)
    assert failed.value.reason[0] == (atom.python_error, atom.ValueError, b"no")
    assert failed.value.call[:2] == (elixir("Task"), atom("await"))
    assert isinstance(failed.value.__cause__, ValueError)
    assert runtime.main.alive
    assert is_clean(runtime.main)


async def test_in_a_process_a_crash_is_the_owners_too(runtime: Runtime) -> None:
    async def careless(process: Process) -> None:
        await Task.async_(fail)

    with pytest.raises(RuntimeError, match="cancelled"):
        await run(runtime, careless)

    async def trapping(process: Process) -> Any:
        with pytest.raises(CallExit):
            await Task.async_(fail)
        assert (await process.receive())[0] == atom.EXIT
        tasks.append(Task.async_(forever))
        raise Exit(atom.over)

    tasks: list[Task] = []
    with pytest.raises(Exit):
        await run(runtime, trapping, trap_exit=True)
    await eventually(lambda: not runtime.is_alive(tasks[0].pid))  # with its owner


async def test_timeouts(runtime: Runtime, clients: Clients) -> None:
    go = asyncio.Event()

    async def wait() -> int:
        await go.wait()
        return 1

    task = clients.task.async_(wait)
    assert await task.yield_(0) is None
    assert await task.yield_(0.01) is None
    cancelled = asyncio.create_task(task.await_(None))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    late = clients.task.async_(wait)
    with pytest.raises(CallTimeout):
        await late.await_(0.01)
    go.set()
    assert await task.yield_() == TaskOk(1)
    await eventually(lambda: len(runtime.processes()) == 1)
    assert is_clean(runtime.main)  # the late answer went nowhere


async def test_only_the_owner_may_ask(runtime: Runtime, clients: Clients) -> None:
    task = clients.task.async_(double, 1)

    async def other(process: Process) -> None:
        for ask in (task.await_, task.shutdown):
            with pytest.raises(RuntimeError, match="owner"):
                await ask()
        with pytest.raises(RuntimeError, match="owner"):
            task.ignore()

    await run(runtime, other)
    assert task.owner == runtime.main.pid
    assert await task == 2


async def test_the_messages_of_a_task_that_a_server_does_not_await(runtime: Runtime) -> None:
    class Server(GenServer):
        def init(self) -> None:
            self.seen: list[Any] = []
            self.task = Task.async_(double, 21)

        def handle_info(self, message: Any) -> None:
            self.seen.append(message)

        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            return (self.task.ref, self.task.pid, self.seen)

    pid = await start(runtime, Server)
    while len((found := await gen.call(runtime.main, pid, atom.seen))[2]) < 2:
        pass
    ref, task, seen = found
    assert seen == [(ref, 42), (atom.DOWN, ref, atom.process, task, atom.normal)]


async def test_shutdown(runtime: Runtime, clients: Clients) -> None:
    async def stubborn() -> None:
        current().trap_exit = True
        await current().receive()
        await forever()

    async def answers() -> int:
        current().trap_exit = True
        await current().receive()
        return 7

    async def body(process: Process) -> list[Any]:
        outcomes: list[Any] = []
        for function, timeout in (
            (forever, 5),
            (forever, "brutal_kill"),
            (stubborn, 0.02),
            (answers, None),
        ):
            task = Task.async_(function)
            await asyncio.sleep(0)
            outcomes.append(await task.shutdown(timeout))
        done = Task.async_(double, 1)
        await eventually(lambda: not runtime.is_alive(done.pid))
        return [*outcomes, await done.shutdown(), await done.shutdown(), is_clean(process)]

    assert await run(runtime, body) == [
        None, None, TaskExit(atom.killed), TaskOk(7), TaskOk(2), TaskOk(2), True,
    ]  # fmt: skip


async def test_ignore(runtime: Runtime) -> None:
    async def body(process: Process) -> Any:
        task = Task.async_(forever)
        assert task.ignore() is None
        done = Task.async_(double, 1)
        await eventually(lambda: not runtime.is_alive(done.pid))
        assert done.ignore() == TaskOk(2)
        assert is_clean(process)
        return task.pid

    pid = await run(runtime, body)
    assert runtime.is_alive(pid)  # unlinked: it goes on without its owner


async def test_many(runtime: Runtime, clients: Clients) -> None:
    tasks = [clients.task.async_(double, number) for number in range(5)]
    assert await Task.await_many(tasks) == [0, 2, 4, 6, 8]
    assert await Task.await_many([]) == []
    slow = clients.task.async_(forever)
    bad = clients.task.async_(fail)
    quick = clients.task.async_(double, 3)
    found = await Task.yield_many([slow, quick, bad], limit=2)
    assert [task for task, _ in found] == [slow, quick, bad]
    assert found[0][1] is None
    assert found[1][1] == TaskOk(6)
    assert isinstance(found[2][1], TaskExit)
    with pytest.raises(CallExit):
        found[2][1].result()
    with pytest.raises(CallExit):
        await Task.await_many([quick, bad])
    with pytest.raises(CallTimeout):
        await Task.await_many([quick, slow], 0.01)
    assert await Task.yield_many([slow], 0.01, on_timeout="kill_task") == [(slow, None)]
    assert not runtime.is_alive(slow.pid)
    left = clients.task.async_(forever)
    assert await Task.yield_many([left], 0, on_timeout="ignore") == [(left, None)]
    assert runtime.is_alive(left.pid)
    with pytest.raises(ValueError, match="on_timeout"):
        await Task.yield_many([], on_timeout="die")
    assert is_clean(runtime.main)


async def test_start_and_start_link(runtime: Runtime, clients: Clients) -> None:
    seen: list[Any] = []

    async def note() -> None:
        seen.append(dict(current().dictionary))
        seen.append(current().links)

    async def body(process: Process) -> Any:
        alone = Task.start(note)
        linked = Task.start_link(note)
        await eventually(lambda: len(seen) == 4)
        return process.pid, alone, linked

    pid, alone, linked = await run(runtime, body, name="owner")
    assert seen[0] == seen[2]
    assert seen[0] == {
        atom("$ancestors"): [atom.owner],
        atom("$callers"): [pid],
        atom("$initial_call"): (atom(__name__), atom(note.__qualname__), 0),
    }
    assert seen[1] is None
    assert list(seen[3]) == [pid]
    assert alone != linked


async def test_callers_of_callers(runtime: Runtime) -> None:
    async def inner() -> Any:
        return current().dictionary[atom("$callers")]

    async def outer() -> Any:
        return self_(), await Task.async_(inner)

    async def body(process: Process) -> Any:
        return process.pid, await Task.async_(outer)

    owner, (middle, callers) = await run(runtime, body)
    assert callers == [middle, owner]


# --------------------------------------------------------------------------- streams


async def test_a_stream_keeps_order_and_bounds(runtime: Runtime, clients: Clients) -> None:
    running = most = 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10 - number):
            await asyncio.sleep(0)
        running -= 1
        return number

    stream = clients.task.async_stream(work, range(10), max_concurrency=3)
    assert [outcome async for outcome in stream] == [TaskOk(number) for number in range(10)]
    assert most == 3

    async def items() -> Any:
        for number in (9, 5, 1):
            yield number
            await asyncio.sleep(0)

    stream = clients.task.async_stream(work, items(), max_concurrency=3, ordered=False)
    assert {outcome.result() async for outcome in stream} == {1, 5, 9}
    assert [each async for each in clients.task.async_stream(work, [])] == []
    assert is_clean(runtime.main)


async def test_a_stream_of_which_some_fail_or_are_late(runtime: Runtime, clients: Clients) -> None:
    async def work(what: str) -> str:
        if what == "bad":
            raise Exit(atom.bad)
        if what == "slow":
            await forever()
        return what

    items = ["a", "bad", "slow", "b"]
    options: Any = {"timeout": 0.05, "max_concurrency": 2}
    stream = clients.task.async_stream(work, items, on_timeout="kill_task", **options)
    assert [each async for each in stream] == [
        TaskOk("a"), TaskExit(atom.bad), TaskExit(atom.timeout), TaskOk("b"),
    ]  # fmt: skip
    stream = clients.task.async_stream(
        work, items, on_timeout="kill_task", zip_input_on_exit=True, ordered=False, **options
    )
    found = [each async for each in stream]
    assert TaskExit(("slow", atom.timeout)) in found
    assert TaskExit(("bad", atom.bad)) in found
    with pytest.raises(CallTimeout):
        [each async for each in clients.task.async_stream(work, items, **options)]
    await eventually(lambda: len(runtime.processes()) == 1)
    assert is_clean(runtime.main)


async def test_a_stream_that_is_left_kills_what_still_runs(
    runtime: Runtime, clients: Clients
) -> None:
    stream: Any = clients.task.async_stream(asyncio.sleep, [0, 3600, 3600], max_concurrency=3)
    assert await anext(stream) == TaskOk(None)
    assert len(runtime.processes()) == 3
    await stream.aclose()
    assert len(runtime.processes()) == 1
    assert is_clean(runtime.main)

    def broken() -> Any:
        yield 3600
        raise KeyError("items")

    with pytest.raises(KeyError):
        [each async for each in clients.task.async_stream(asyncio.sleep, broken())]
    assert len(runtime.processes()) == 1


@pytest.mark.parametrize(
    "options",
    [{"max_concurrency": 0}, {"max_concurrency": 1.5}, {"on_timeout": "x"}, {"timeout": -1}],
    ids=repr,
)
async def test_options_of_a_stream(clients: Clients, options: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        clients.task.async_stream(double, [], **options)


# --------------------------------------------------------------------------- under a supervisor


async def test_tasks_of_a_supervisor(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    await start(runtime, TaskSupervisor, name="tasks", max_children=2)
    value = object()
    task = await clients.tasks.async_("tasks", asyncio.sleep, 0, value)
    assert await task is value
    assert (await (await clients.tasks.async_("tasks", thread_of, 1, key=2)))[2:] == (
        (1,), {"key": 2},
    )  # fmt: skip
    watching = await clients.tasks.async_("tasks", lambda: dict(current().monitors or {}))
    assert await watching == {}  # its owner it has stopped watching
    task = await clients.tasks.async_nolink("tasks", fail)
    with pytest.raises(CallExit) as failed:
        await task
    assert isinstance(failed.value.__cause__, ValueError)
    assert reports(caplog)[-1]["errorContext"] == atom.child_terminated
    assert "crashed in fail" in caplog.text
    pids = [await clients.tasks.start_child("tasks", forever) for _ in range(2)]
    assert await clients.tasks.children("tasks") == pids
    for ask in (clients.tasks.async_, clients.tasks.start_child):
        with pytest.raises(StartError) as full:
            await ask("tasks", forever)
        assert full.value.reason == atom.max_children
    await clients.tasks.terminate_child("tasks", pids[0])
    stream = clients.tasks.async_stream("tasks", double, range(3), max_concurrency=1)
    assert [each async for each in stream] == [TaskOk(0), TaskOk(2), TaskOk(4)]
    stream = clients.tasks.async_stream_nolink("tasks", fail, [1], max_concurrency=1)
    (outcome,) = [each async for each in stream]
    assert isinstance(outcome, TaskExit)
    runtime.resolver.expose(double, module="m")
    task = await clients.tasks.async_("tasks", ("m", "double"), 4)
    assert await task == 8
    task = await clients.tasks.async_nolink("tasks", ExportFun("m", "none", 0))
    assert await task.yield_() == TaskExit((atom.undef, [(atom.m, atom.none, [], [])]))
    with pytest.raises(TypeError, match="keyword"):
        _ = await clients.tasks.async_("tasks", ("m", "double"), x=1)
    await clients.tasks.stop("tasks")
    assert not runtime.is_alive(pids[1])
    assert is_clean(runtime.main)


async def test_a_supervised_task_is_linked_to_its_owner_unless_told(runtime: Runtime) -> None:
    await start(runtime, TaskSupervisor, name="tasks")
    clients = Clients(runtime)
    client = type(clients.tasks)(current)

    async def careless(process: Process) -> None:
        task = await client.async_("tasks", fail)
        await task

    with pytest.raises(RuntimeError, match="cancelled"):
        await run(runtime, careless)

    async def careful(process: Process) -> Any:
        return await (await client.async_nolink("tasks", fail)).yield_()

    assert isinstance(await run(runtime, careful), TaskExit)


async def test_a_permanent_task_is_run_again(runtime: Runtime, clients: Clients) -> None:
    runs: list[int] = []

    async def note(number: int) -> None:
        runs.append(number)

    top = await start(runtime, TaskSupervisor, max_restarts=3)
    await clients.tasks.start_child(top, note, 7, restart="permanent")
    assert await reason_of_death(runtime, top) in (atom.shutdown, atom.noproc)
    assert runs == [7] * 4


async def test_a_task_as_a_child(runtime: Runtime, clients: Clients) -> None:
    runs: list[Any] = []

    def work(number: int) -> None:
        time.sleep(0.001)
        runs.append((number, current().dictionary[atom("$ancestors")]))

    top = await start(runtime, Supervisor, [(Task, work, 1)], name="top")
    await eventually(lambda: runs == [(1, [atom.top])])
    await eventually(lambda: len(alive(runtime)) == 1)
    assert await clients.supervisor.which_children(top) == []  # temporary: gone for good


@pytest.mark.parametrize(
    "args", [[], [1], [(1, 2, 3), atom.monitor], [atom.x, [], (atom.m, atom.f, [])]], ids=repr
)
async def test_requests_that_are_none(runtime: Runtime, args: Any) -> None:
    top = await start(runtime, TaskSupervisor)
    with pytest.raises(CallExit) as failed:
        await gen.call(runtime.main, top, (atom.start_task, args, atom.temporary, 5000))
    assert failed.value.reason[0] == atom.function_clause


async def test_what_a_waiting_task_is_told(
    runtime: Runtime, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pynode.behaviours.task_supervisor._PATIENCE", 0.05)
    top = await start(runtime, TaskSupervisor)
    main = runtime.main
    ask = (atom.start_task, [(runtime.node_name, main.pid, main.pid), atom.monitor], None, None)

    async def new() -> Any:
        return (await gen.call(main, top, ask))[1]

    assert await reason_of_death(runtime, await new()) == atom.timeout
    ref = runtime.make_ref()
    pid = await new()
    runtime.send(main, pid, (main.pid, ref, main.pid, [], (atom.erlang, atom.apply, [7, []])))
    reason = await reason_of_death(runtime, pid)
    assert reason[0] == (atom.badfun, 7)
    runtime.resolver.expose(double, module="m")
    pid = await new()
    runtime.send(main, pid, (main.pid, ref, main.pid, [], (atom.m, atom.double, [4])))
    assert await main.receive(timeout=DEADLINE) == (ref, 8)
    pid = await new()
    runtime.send(main, pid, (main.pid, ref, atom.nobody, [], (atom.m, atom.double, [4])))
    assert await reason_of_death(runtime, pid) == atom.normal
    pid = await new()
    runtime.send(main, pid, (main.pid, ref, main.pid, [], 17))
    assert await reason_of_death(runtime, pid) not in (atom.normal, atom.timeout)
    answer = await gen.call(main, top, (atom.start_task, ask[1], atom.often, 5000))
    assert answer == (atom.error, (atom.invalid_restart_type, atom.often))
