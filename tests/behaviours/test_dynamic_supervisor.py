"""DynamicSupervisor: children on demand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.behaviours import ChildSpec, DynamicSupervisor, Supervisor, gen, start
from pynode.errors import AlreadyStarted, CallExit, ChildError, StartError, StartIgnored
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import Pid, atom
from pynode.testing import eventually

from .helpers import DEADLINE, Echo, is_clean, reason_of_death
from .supervised import Clients, Noted, reports, waiting
from .test_supervisor import Declining, Flaky, alive, stubborn


@pytest.fixture
def clients(runtime: Runtime) -> Clients:
    return Clients(runtime)


async def test_children_come_and_go(runtime: Runtime, clients: Clients) -> None:
    ask = clients.supervisor
    notes: list[Any] = []
    top = await start(runtime, DynamicSupervisor, name="many", max_children=3)
    assert await ask.which_children("many") == []
    one = await ask.start_dynamic_child(top, (Noted, notes, "one"))
    two = await ask.start_child(top, (Noted, notes, "two"))  # the other word means the same here
    three = await ask.start_dynamic_child(top, ChildSpec(DynamicSupervisor, shutdown=1))
    with pytest.raises(StartError) as full:
        await ask.start_dynamic_child(top, Echo)
    assert full.value.reason == atom.max_children
    assert [child.pid for child in await ask.which_children(top)] == [one, two, three]
    assert {child.id for child in await ask.which_children(top)} == {atom.undefined}
    assert await ask.count_children(top) == (3, 3, 1, 2)
    await ask.terminate_child(top, one)
    assert notes[-1] == ("ended", "one", atom.shutdown)
    for absent in (one, runtime.main.pid):
        with pytest.raises(ChildError) as refused:
            await ask.terminate_child(top, absent)
        assert refused.value.reason == atom.not_found
    with pytest.raises(StartIgnored):
        await ask.start_dynamic_child(top, Declining)
    await start(runtime, Echo, name="echo")
    with pytest.raises(AlreadyStarted):
        await ask.start_dynamic_child(top, ChildSpec(Echo, name="echo"))
    with pytest.raises(StartError) as wrong:
        await ask.start_dynamic_child(top, ChildSpec.mfa("m", "f", [1]))
    assert wrong.value.reason == (atom.undef, [(atom.m, atom.f, [1], [])])
    significant = ChildSpec(Echo, significant=True, restart="transient")
    with pytest.raises(StartError) as wrong:
        await ask.start_dynamic_child(top, significant)
    assert wrong.value.reason == (atom.invalid_significant, True)
    await gen.stop(runtime.main, top)
    assert notes[-1] == ("ended", "two", atom.shutdown)
    assert not runtime.is_alive(three)
    assert is_clean(runtime.main)


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("reason", [atom.normal, (atom.shutdown, 1), atom.crash], ids=repr)
async def test_restarts(runtime: Runtime, clients: Clients, restart: str, reason: Any) -> None:
    top = await start(runtime, DynamicSupervisor)
    pid = await clients.supervisor.start_dynamic_child(top, ChildSpec(waiting, restart=restart))
    runtime.send(runtime.main, pid, reason)
    await reason_of_death(runtime, pid)
    found = await clients.supervisor.which_children(top)
    if restart == "permanent" or (restart == "transient" and reason == atom.crash):
        assert len(found) == 1
        assert found[0].pid != pid
    else:
        assert found == []


async def test_a_restart_that_fails_is_tried_again(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    allowed = asyncio.Event()
    tries: list[Any] = []
    allowed.set()
    top = await start(runtime, DynamicSupervisor, max_restarts=60, max_seconds=60)
    pid = await clients.supervisor.start_dynamic_child(top, (Flaky, allowed, tries))
    other = await clients.supervisor.start_dynamic_child(top, Echo)
    allowed.clear()
    gen.cast(runtime.main, pid, atom.crash)
    async with asyncio.timeout(DEADLINE):
        while len(tries) < 3:
            await clients.supervisor.count_children(top)
    counts = await clients.supervisor.count_children(top)
    children = await clients.supervisor.which_children(top)
    assert counts == (2, 1, 0, 2)
    assert [child.child for child in children] == [atom.restarting, other]
    allowed.set()
    await eventually(lambda: _all_run(clients, top))
    contexts = [report["errorContext"] for report in reports(caplog)]
    assert contexts[:2] == [atom.child_terminated, atom.start_error]
    # A child that is being restarted can be given up; and too many restarts end it all.
    allowed.clear()
    pid = next(c.child for c in await clients.supervisor.which_children(top) if c.pid != other)
    gen.cast(runtime.main, pid, atom.crash)
    await reason_of_death(runtime, pid)
    assert await reason_of_death(runtime, top) in (atom.shutdown, atom.noproc)
    assert not runtime.is_alive(other)


async def _all_run(clients: Clients, top: Pid) -> bool:
    return all(child.pid for child in await clients.supervisor.which_children(top))


async def test_arguments_before_those_of_each_child(runtime: Runtime, clients: Clients) -> None:
    notes: list[Any] = []
    top = await start(runtime, DynamicSupervisor, extra_arguments=[notes])
    pid = await clients.supervisor.start_dynamic_child(top, (Noted, "a"))
    gen.cast(runtime.main, pid, atom.crash)
    await eventually(lambda: len(notes) == 3)
    assert notes == [("started", "a"), ("ended", "a", atom.crash), ("started", "a")]


async def test_all_are_ended_at_once_each_within_its_time(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    async def slow(process: Process) -> None:
        process.trap_exit = True
        await process.receive()
        going.release()
        await all_are_going.wait()  # that would be for ever, were they ended one by one

    going, all_are_going = asyncio.Semaphore(0), asyncio.Event()

    async def watch() -> None:
        for _ in range(20):
            await going.acquire()
        all_are_going.set()

    top = await start(runtime, DynamicSupervisor)
    for _ in range(20):
        await clients.supervisor.start_dynamic_child(top, ChildSpec(slow, restart="temporary"))
    brutal = ChildSpec(stubborn, shutdown="brutal_kill")
    quick = ChildSpec(stubborn, shutdown=0.02)
    pids = [await clients.supervisor.start_dynamic_child(top, spec) for spec in (brutal, quick)]
    await asyncio.sleep(0)
    watching = asyncio.create_task(watch())
    await gen.stop(runtime.main, top)
    await watching
    assert not any(runtime.is_alive(pid) for pid in pids)
    (report,) = reports(caplog)
    assert (report["errorContext"], report["reason"]) == (atom.shutdown_error, atom.killed)
    assert report["offender"]["pid"] == pids[1]


async def test_simple_children_that_end_badly_are_reported_together(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    spec = ChildSpec(stubborn, shutdown=0.02)
    top = await start(runtime, Supervisor, [spec], strategy="simple_one_for_one")
    for _ in range(3):
        await clients.supervisor.start_child_with(top, [])
    await asyncio.sleep(0)
    await gen.stop(runtime.main, top)
    (report,) = reports(caplog)
    assert report["offender"]["nb_children"] == 3


async def test_many_children(runtime: Runtime, clients: Clients) -> None:
    top = await start(runtime, DynamicSupervisor)
    process = runtime.local(top)
    assert process is not None
    for _ in range(2000):
        await clients.supervisor.start_dynamic_child(top, waiting)
    assert len(alive(runtime)) == 2001
    await gen.stop(runtime.main, top)
    assert alive(runtime) == []


async def test_options(runtime: Runtime, clients: Clients) -> None:
    class Few(DynamicSupervisor, max_restarts=9, module="Elixir.Few"):
        def init(self, most: int) -> None:  # type: ignore[override]
            self.max_children = most

    top = await start(runtime, Few, 0)
    with pytest.raises(StartError):
        await clients.supervisor.start_dynamic_child(top, Echo)
    for option, word, value in (
        ("strategy", "strategy", atom.one_for_all),
        ("max_children", "max_children", -1),
        ("extra_arguments", "extra_arguments", 7),
    ):
        given = "one_for_all" if option == "strategy" else value
        options: Any = {option: given}
        with pytest.raises(StartError) as wrong:
            await start(runtime, DynamicSupervisor, **options)
        assert wrong.value.reason == (atom.supervisor_data, (atom(f"invalid_{word}"), value))
    # It ignores casts, as Elixir's does, and knows no children by name.
    gen.cast(runtime.main, top, atom.hello)
    with pytest.raises(CallExit) as failed:
        await clients.supervisor.restart_child(top, "x")
    assert failed.value.reason[0] == atom.function_clause
