"""gen as a client: whom a call reaches, how it ends, what it leaves behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.behaviours import GenServer, gen, start
from pynode.errors import (
    NO_REPLY,
    CallExit,
    CallingSelf,
    CallTimeout,
    EncodeError,
    NameError_,
    NoConnection,
    NoProcess,
    Stop,
)
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import Atom, Pid, atom
from pynode.testing import eventually

from .helpers import Echo, Silent, is_clean, receive

HERE = "py@test"


class Table:
    """A via module: a table of names."""

    def __init__(self) -> None:
        self.names: dict[Any, Pid] = {}

    def lookup(self, name: Any) -> Pid | None:
        return self.names.get(name)

    async def whereis_name(self, name: Any) -> Pid | None:
        await asyncio.sleep(0)
        return self.names.get(name)

    async def register_name(self, name: Any, pid: Pid) -> bool:
        await asyncio.sleep(0)
        return self.names.setdefault(name, pid) == pid

    async def unregister_name(self, name: Any) -> None:
        self.names.pop(name, None)


@pytest.fixture
def table(runtime: Runtime) -> Table:
    made = Table()
    runtime.via["global"] = made
    runtime.via["Elixir.Registry"] = made
    return made


DESTS = [
    "echo",
    atom.echo,
    ("echo", HERE),
    (atom.echo, atom(HERE)),
    ("global", b"name"),
    (Atom("global"), b"name"),
    ("via", "Elixir.Registry", b"name"),
    (atom.via, Atom("Elixir.Registry"), b"name"),
]


@pytest.mark.parametrize("dest", DESTS, ids=repr)
async def test_whom_a_server_reference_means(runtime: Runtime, table: Table, dest: Any) -> None:
    pid = await start(runtime, Echo, name="echo")
    table.names[b"name"] = pid
    main = runtime.main
    assert await gen.call(main, dest, 1) == 1
    gen.cast(main, dest, 2)
    assert await gen.call(main, pid, atom.seen) == [(b"cast", 2)]
    await gen.stop(main, dest)
    assert not runtime.is_alive(pid)
    assert is_clean(main)


@pytest.mark.parametrize("dest", DESTS, ids=repr)
async def test_a_name_that_nobody_has(runtime: Runtime, table: Table, dest: Any) -> None:
    main = runtime.main
    with pytest.raises(NoProcess) as caught:
        await gen.call(main, dest, 1)
    assert caught.value.reason == atom.noproc
    assert caught.value.call == (atom.gen_server, atom.call, [dest, 1, 5000])
    gen.cast(main, dest, 1)
    with pytest.raises(NoProcess):
        await gen.stop(main, dest)
    assert is_clean(main)


@pytest.mark.parametrize("dest", [1, None, (1, 2), ("a",), ["a"]])
async def test_what_is_no_server_reference(runtime: Runtime, dest: Any) -> None:
    with pytest.raises(TypeError):
        await gen.call(runtime.main, dest, 1)
    with pytest.raises(TypeError):
        gen.cast(runtime.main, dest, 1)


async def test_an_unknown_via_module_is_named(runtime: Runtime) -> None:
    with pytest.raises(NameError_, match=r"Elixir\.Nowhere"):
        await gen.call(runtime.main, ("via", "Elixir.Nowhere", 1), 1)


async def test_a_dead_pid(runtime: Runtime) -> None:
    pid = await start(runtime, Echo)
    await gen.stop(runtime.main, pid)
    with pytest.raises(NoProcess):
        await gen.call(runtime.main, pid, 1)
    assert is_clean(runtime.main)


async def test_no_connection_reads_as_nodedown(runtime: Runtime) -> None:
    away = atom("away@test")
    for dest in (Pid(away, 1, 0, 3), ("name", "away@test")):
        with pytest.raises(NoConnection) as caught:
            await gen.call(runtime.main, dest, 1)
        assert caught.value.reason == (atom.nodedown, away)
    assert is_clean(runtime.main)


async def test_the_owner_of_a_global_name_on_a_lost_node_is_noproc(
    runtime: Runtime, table: Table
) -> None:
    table.names[b"name"] = Pid(atom("away@test"), 1, 0, 3)
    with pytest.raises(NoProcess):
        await gen.call(runtime.main, ("global", b"name"), 1)


async def test_a_timeout_leaves_nothing_behind(runtime: Runtime) -> None:
    class Late(GenServer):
        def init(self) -> None:
            self.callers: list[gen.Caller] = []

        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            self.callers.append(caller)
            return NO_REPLY

        def handle_cast(self, request: Any) -> None:
            for caller in self.callers:
                caller.reply(atom.late)

    pid = await start(runtime, Late)
    main = runtime.main
    with pytest.raises(CallTimeout) as caught:
        await gen.call(main, pid, atom.x, timeout=0.01)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.call == (atom.gen_server, atom.call, [pid, atom.x, 10])
    server = runtime.local(pid)
    assert server is not None
    assert is_clean(main)  # before the reply and the end of the server could clear up
    assert not server.watchers
    gen.cast(main, pid, atom.answer)
    await gen.stop(main, pid)
    assert is_clean(main)


async def test_cancelling_a_call_leaves_nothing_behind(runtime: Runtime) -> None:
    pid = await start(runtime, Silent)
    task = asyncio.create_task(gen.call(runtime.main, pid, 1, timeout=None))
    server = runtime.local(pid)
    assert server is not None
    await eventually(lambda: hasattr(server.body.server, "caller"))  # type: ignore[union-attr]
    assert not is_clean(runtime.main)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_clean(runtime.main)  # before the reply, which would end what is left of the call
    assert not server.watchers
    server.body.server.caller.reply(1)  # type: ignore[union-attr]
    assert is_clean(runtime.main)


async def test_cancelling_before_the_name_is_known(runtime: Runtime, table: Table) -> None:
    task = asyncio.create_task(gen.call(runtime.main, ("global", b"x"), 1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_clean(runtime.main)


async def test_a_request_that_is_no_term_raises_here_and_sends_nothing(runtime: Runtime) -> None:
    pid = await start(runtime, Echo)
    with pytest.raises(EncodeError):
        await gen.call(runtime.main, pid, object())
    with pytest.raises(EncodeError):
        gen.cast(runtime.main, pid, object())
    assert await gen.call(runtime.main, pid, atom.seen) == []
    assert is_clean(runtime.main)


async def test_calling_oneself(runtime: Runtime) -> None:
    errors: list[Exception] = []

    class Odd(GenServer):
        async def handle_cast(self, request: Any) -> None:
            for dest in (self.pid, "odd"):
                try:
                    await gen.call(self.process, dest, 1)
                except CallingSelf as error:
                    errors.append(error)

    pid = await start(runtime, Odd, name="odd")
    gen.cast(runtime.main, pid, 1)
    await gen.stop(runtime.main, pid)
    assert len(errors) == 2


async def test_servers_call_each_other(runtime: Runtime) -> None:
    class Relay(GenServer):
        def init(self, to: Pid) -> None:
            self.to = to

        async def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            return (atom.relayed, await gen.call(self.process, self.to, request))

    echo = await start(runtime, Echo)
    one = await start(runtime, Relay, echo)
    two = await start(runtime, Relay, one)
    assert await gen.call(runtime.main, two, 7) == (atom.relayed, (atom.relayed, 7))


async def test_a_process_calls_from_its_coroutine(runtime: Runtime) -> None:
    echo = await start(runtime, Echo)

    async def body(process: Process, to: Pid) -> None:
        runtime.send(process, to, (atom.got, await gen.call(process, echo, 5)))

    runtime.spawn(body, runtime.main.pid)
    assert await receive(runtime.main) == (atom.got, 5)


async def test_multi_call(runtime: Runtime) -> None:
    await start(runtime, Echo, name="echo")
    nodes: list[Any] = ["away@test", HERE, atom("gone@test")]
    replies, bad = await gen.multi_call(runtime.main, nodes, "echo", 3, timeout=1)
    assert replies == [(atom(HERE), 3)]
    assert bad == [atom("away@test"), atom("gone@test")]
    assert await gen.multi_call(runtime.main, [HERE], "nobody", 3) == ([], [atom(HERE)])
    assert is_clean(runtime.main)


async def test_multi_call_has_one_deadline_for_all(runtime: Runtime) -> None:
    await start(runtime, Silent, name="silent")
    replies, bad = await gen.multi_call(runtime.main, [HERE, "x@test"], "silent", 3, timeout=0.01)
    assert replies == []
    assert set(bad) == {atom(HERE), atom("x@test")}
    assert is_clean(runtime.main)


async def test_abcast(runtime: Runtime) -> None:
    pid = await start(runtime, Echo, name="echo")
    gen.abcast(runtime.main, ["away@test", HERE], "echo", 3)
    gen.abcast(runtime.main, [HERE], "nobody", 3)
    assert await gen.call(runtime.main, pid, atom.seen) == [(b"cast", 3)]


async def test_stop_with_a_reason(runtime: Runtime) -> None:
    pid = await start(runtime, Echo)
    await gen.stop(runtime.main, pid, (atom.shutdown, 1), timeout=5)
    assert not runtime.is_alive(pid)
    with pytest.raises(NoProcess):
        await gen.stop(runtime.main, pid)
    assert is_clean(runtime.main)


async def test_stop_of_a_server_that_ends_with_another_reason(runtime: Runtime) -> None:
    class Defiant(GenServer):
        def terminate(self, reason: Any) -> None:
            raise Stop(atom.my_own)

    pid = await start(runtime, Defiant)
    with pytest.raises(CallExit) as caught:
        await gen.stop(runtime.main, pid)
    assert caught.value.reason == atom.my_own
    assert is_clean(runtime.main)


async def test_stop_has_a_deadline(runtime: Runtime) -> None:
    class Deaf(GenServer):
        async def terminate(self, reason: Any) -> None:
            await asyncio.Event().wait()

    pid = await start(runtime, Deaf)
    with pytest.raises(CallTimeout):
        await gen.stop(runtime.main, pid, timeout=0.01)
    assert is_clean(runtime.main)
    runtime.exit(runtime.main, pid, atom.kill)
