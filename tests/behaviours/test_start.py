"""Starting: names, init's outcomes, who learns of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.behaviours import GenEventHandler, GenServer, gen, start, sys
from pynode.errors import AlreadyStarted, Exit, Ignore, StartError, StartIgnored, Stop
from pynode.process.runtime import Runtime
from pynode.terms import atom

from .helpers import Echo, receive
from .test_gen_client import Table


class Picky(GenServer):
    def init(self, outcome: Any, *, note: str = "") -> None:
        self.note = note
        if isinstance(outcome, BaseException):
            raise outcome


class PickyLater(GenServer):
    async def init(self, outcome: Any) -> None:
        await asyncio.sleep(0)
        if isinstance(outcome, BaseException):
            raise outcome


@pytest.fixture
def table(runtime: Runtime) -> Table:
    made = Table()
    runtime.via["global"] = made
    return made


NAMES = pytest.mark.parametrize("name", ["picky", ("global", b"picky")], ids=["local", "global"])
KINDS = pytest.mark.parametrize("kind", [Picky, PickyLater])


@NAMES
@KINDS
async def test_a_started_server_has_its_name(
    runtime: Runtime, table: Table, name: Any, kind: Any
) -> None:
    pid = await start(runtime, kind, None, name=name)
    with pytest.raises(AlreadyStarted) as caught:
        await start(runtime, kind, None, name=name)
    assert caught.value.pid == pid
    assert caught.value.reason == (atom.already_started, pid)
    assert len(runtime.processes()) == 1
    await gen.stop(runtime.main, name)


@NAMES
@KINDS
@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Stop(atom.no), atom.no),
        (Stop(atom.normal), atom.normal),
        (Exit((atom.no, 1)), (atom.no, 1)),
        (ValueError("no"), None),
    ],
    ids=["stop", "stop normal", "exit", "error"],
)
async def test_an_init_that_fails_frees_the_name_before_it_is_told(
    runtime: Runtime, table: Table, name: Any, kind: Any, outcome: Any, reason: Any
) -> None:
    parent = runtime.spawn(None, trap_exit=True)
    with pytest.raises(StartError) as caught:
        await start(runtime, kind, outcome, name=name, link_to=parent.pid)
    if reason is None:
        assert caught.value.reason[0] == (atom.python_error, atom.ValueError, b"no")
    else:
        assert caught.value.reason == reason
    assert table.names == {}
    assert runtime.whereis("picky") is None
    tag, _, exit_reason = await receive(parent)
    assert (tag, exit_reason) == (atom.EXIT, caught.value.reason)
    await start(runtime, kind, None, name=name)


@NAMES
@KINDS
async def test_ignore(runtime: Runtime, table: Table, name: Any, kind: Any) -> None:
    parent = runtime.spawn(None, trap_exit=True)
    with pytest.raises(StartIgnored):
        await start(runtime, kind, Ignore(), name=name, link_to=parent.pid)
    assert table.names == {}
    assert runtime.whereis("picky") is None
    assert (await receive(parent))[2] == atom.normal


async def test_keyword_arguments_reach_init(runtime: Runtime) -> None:
    pid = await start(runtime, Picky, None, note="x")
    process = runtime.local(pid)
    assert process is not None
    assert process.body.instance.note == "x"  # type: ignore[union-attr]


class Endless(GenServer):
    async def init(self) -> None:
        await asyncio.Event().wait()


async def test_a_deadline_for_init(runtime: Runtime) -> None:
    parent = runtime.spawn(None, trap_exit=True)
    with pytest.raises(StartError) as caught:
        await start(runtime, Endless, name="endless", timeout=0.001, link_to=parent.pid)
    assert caught.value.reason == atom.timeout
    assert runtime.whereis("endless") is None
    assert runtime.processes() == [parent]
    assert not parent.mailbox


async def test_cancelling_a_start_kills_what_was_started(runtime: Runtime) -> None:
    task = asyncio.create_task(start(runtime, Endless, name="endless"))
    await asyncio.sleep(0.001)
    assert runtime.whereis("endless") is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runtime.processes() == []


async def test_killed_in_init_the_start_fails(runtime: Runtime) -> None:
    task = asyncio.create_task(start(runtime, Endless, name="endless"))
    await asyncio.sleep(0.001)
    pid = runtime.whereis("endless")
    assert pid is not None
    runtime.exit(runtime.main, pid, atom.kill)
    with pytest.raises(StartError) as caught:
        await task
    assert caught.value.reason == atom.killed


async def test_proc_libs_acknowledgement(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Echo, ack_to=main.pid)
    assert await receive(main) == (atom.ack, pid, (atom.ok, pid))
    with pytest.raises(StartError):
        await start(runtime, Picky, Stop(atom.no), ack_to=main.pid)
    assert (await receive(main))[2] == (atom.error, atom.no)
    with pytest.raises(StartIgnored):
        await start(runtime, Picky, Ignore(), ack_to=main.pid)
    assert (await receive(main))[2] == atom.ignore


async def test_a_linked_parent_and_its_server_die_together(runtime: Runtime) -> None:
    parent = runtime.spawn(None)
    pid = await start(runtime, Echo, link_to=parent.pid)
    runtime.exit(runtime.main, parent.pid, atom.away)
    await asyncio.sleep(0)
    assert not runtime.is_alive(pid)


async def test_a_server_starts_another_one(runtime: Runtime) -> None:
    class Boss(GenServer):
        async def init(self) -> None:
            self.child = await start(self.process.runtime, Echo, link_to=self.pid)

        async def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            return await gen.call(self.process, self.child, request)

    boss = await start(runtime, Boss)
    assert await gen.call(runtime.main, boss, 5) == 5


async def test_killed_in_init_nothing_is_acknowledged(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    task = asyncio.create_task(start(runtime, Endless, name="endless", ack_to=main.pid))
    await asyncio.sleep(0.001)
    pid = runtime.whereis("endless")
    assert pid is not None
    runtime.exit(main, pid, atom.kill)
    with pytest.raises(StartError):
        await task
    assert not main.mailbox
    assert not caplog.records


async def test_the_stop_of_the_node_ends_servers_that_trap(runtime: Runtime) -> None:
    ended: list[Any] = []

    class Trapper(GenServer):
        def init(self) -> None:
            self.trap_exit = True

        def terminate(self, reason: Any) -> None:
            ended.append(reason)

    class Handler(GenEventHandler, dialect="erlang"):
        def terminate(self, argument: Any) -> None:
            ended.append(argument)

    linked = runtime.spawn(None)
    await start(runtime, Trapper)
    await start(runtime, Trapper, link_to=linked.pid)
    await start(runtime, Handler)
    suspended = await start(runtime, Trapper)
    await sys.suspend(runtime.main, suspended)
    await runtime.stop(None)
    assert ended == [atom.shutdown, atom.stop, atom.shutdown, atom.shutdown]


@pytest.mark.parametrize(
    "returned", [(atom.stop, atom.why), atom.ignore, (atom.ok, {}), 5], ids=repr
)
@pytest.mark.parametrize("kind", ["plain", "async", "blocking"])
async def test_init_that_returns_something_fails_the_start(
    runtime: Runtime, kind: str, returned: Any
) -> None:
    class Plain(GenServer):
        def init(self) -> Any:
            return returned

    class Async(GenServer):
        async def init(self) -> Any:
            return returned

    class Blocking(GenServer, blocking=True):
        def init(self) -> Any:
            return returned

    server = {"plain": Plain, "async": Async, "blocking": Blocking}[kind]
    with pytest.raises(StartError) as caught:
        await start(runtime, server, name="returns")
    assert caught.value.reason == (atom.bad_return_value, returned)
    assert "raises Stop(reason) or Ignore" in str(caught.value.__cause__)
    assert runtime.whereis("returns") is None


async def test_init_of_an_event_handler_that_returns_something_fails(runtime: Runtime) -> None:
    class Returns(GenEventHandler):
        def init(self, *args: Any) -> Any:
            return (atom.ok, 1)

    with pytest.raises(StartError) as caught:
        await start(runtime, Returns)
    assert caught.value.reason == (atom.bad_return_value, (atom.ok, 1))
