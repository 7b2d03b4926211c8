"""sys between the languages; what differs between the releases."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pynode.behaviours import Agent, GenEventHandler, GenServer, gen
from pynode.behaviours.clients import Sys
from pynode.errors import CallExit, NoProcess
from pynode.terms import ExportFun, Pid, atom, identical
from pynode.testing import Beam
from tests.beam.compiled import load
from tests.beam.meshes import erl
from tests.beam.sys_twins import MODULES, Handler as Handler_, Machine, Server as Server_, expose


class Server(GenServer):
    def init(self) -> None:
        self.count = 1

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        self.count += 1
        return self.count


class Handler(GenEventHandler):
    def init(self, *args: Any) -> None:
        self.count = 1


async def test_a_beam_looks_into_python_servers(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)

        async def run(code: str, pid: Pid) -> Any:
            return await ex.aeval(code, p=pid)

        agent = await node.start(Agent, lambda: (atom.ok, 5))
        # The state is itself {ok, _}: a reply in the form of another release would show.
        assert await run(":sys.get_state(p)", agent) == (atom.ok, 5)
        node.runtime.resolver.expose(lambda state: 7, module="test", name="seven")
        assert await run(":sys.replace_state(p, &:test.seven/1)", agent) == 7
        assert await run(":sys.get_state(p)", agent) == 7
        caught = "try do {} rescue e in ErlangError -> e.original end"
        closure = caught.format(":sys.replace_state(p, fn s -> s end)")
        failed, _, (_, (why, _)) = await run(closure, agent)
        assert (failed, why) == (atom.callback_failed, atom.closure_refused)
        assert await run(":sys.get_state(p)", agent) == 7

        server = await node.start(Server, name="server")
        assert await run(":sys.get_state(p)", server) == {atom.count: 1}
        assert await ex.aeval(":sys.get_state({:server, n})", n=node.name) == {atom.count: 1}
        handler = await node.start(Handler)
        state = [(atom.Handler, atom.Handler, {atom.count: 1})]
        assert await run(":sys.get_state(p)", handler) == state
        for pid, module in ((server, atom.gen_server), (handler, atom.gen_event)):
            assert await run(":sys.suspend(p)", pid) == atom.ok
            status = await run(":sys.get_status(p)", pid)
            assert status[:3] == (atom.status, pid, (atom.module, module))
            assert status[3][1] == atom.suspended
            assert await run(":sys.change_code(p, Handler, :undefined, [])", pid) == atom.ok
            assert await run(":sys.resume(p)", pid) == atom.ok
            assert await run(":sys.statistics(p, true)", pid) == atom.ok
            ok, numbers = await run(":sys.statistics(p, :get)", pid)
            assert (ok, dict(numbers)[atom.messages_in]) == (atom.ok, 0)
            assert await run(":sys.log(p, true)", pid) == atom.ok
            assert await run(":sys.log(p, :get)", pid) == (atom.ok, [])
            assert await run(":sys.trace(p, true)", pid) == atom.ok
            assert await run(":sys.no_debug(p)", pid) == atom.ok
            down = """
            ref = Process.monitor(p)
            :ok = :sys.terminate(p, :shutdown)
            receive do {:DOWN, ^ref, _, _, reason} -> reason after 5000 -> :none end
            """
            assert await run(down, pid) == atom.shutdown


async def test_a_suspended_server_keeps_a_beams_calls(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        server = await node.start(Server)
        code = """
        :sys.suspend(p)
        timed_out = try do GenServer.call(p, :x, 20) catch :exit, {:timeout, _} -> :timeout end
        request = :gen_server.send_request(p, :x)
        :sys.resume(p)
        {timed_out, :gen_server.receive_response(request, 5000)}
        """
        assert await ex.aeval(code, p=server) == (atom.timeout, (atom.reply, 3))


@pytest.mark.parametrize("state", ["5", "{:ok, 5}", "{:error, :x}", "%{a: 1}"])
async def test_python_looks_into_servers_of_a_beam(beam: Any, py_node: Any, state: str) -> None:
    ex: Beam = beam()
    theirs = await ex.aeval(f"{{:ok, a}} = Agent.start(fn -> {state} end); a")
    async with py_node() as node:
        await node.connect(ex.name)
        client = Sys(node.actor)
        expected = await ex.aeval(state)
        assert await client.get_state(theirs) == expected
        same = ExportFun("Elixir.Function", "identity", 1)
        assert await client.replace_state(theirs, same) == expected
        await client.suspend(theirs)
        status = await client.get_status(theirs)
        assert status[3][1] == atom.suspended
        await client.resume(theirs)
        with node.runtime.open_call(node.main, theirs) as slot:
            await client.terminate(theirs, atom.shutdown)
            with pytest.raises(CallExit) as caught:
                await slot.wait(10)
        assert caught.value.reason == atom.shutdown
        with pytest.raises(NoProcess):
            await client.get_state(theirs)


async def test_sys_finds_the_same_in_both_languages(beam: Any, py_node: Any) -> None:
    """Each behaviour in Erlang and in Python, asked everything: the same answers."""
    ex = erl(beam)
    for source in MODULES:
        await load(ex, source)
    async with py_node() as node:
        await node.connect(ex.name)
        expose(node, ("watcher", ex.name))
        for server in (Server_, Machine, Handler_):
            name = server.__name__.lower()
            theirs = await ex.shell().aeval(f"sys_probe:probe(sys_probe:start({name}), {name}).")
            pid = await node.start(server, name=name)
            ours = await ex.shell().aeval(f"sys_probe:probe(Pid, {name}).", Pid=pid)
            for (word, one), (_, other) in zip(map(_said, theirs), map(_said, ours), strict=True):
                assert identical(one, other), f"{name}, {word}: BEAM {one!r}, Python {other!r}"


def _said(answer: Any) -> tuple[str, Any]:
    """Return the word and the answer of a probe, without what no two processes share."""
    word, value = answer if isinstance(answer, tuple) else ("cast", answer)
    if isinstance(value, bytes):
        return str(word), re.sub(rb"(#Pid)?<[0-9a-z@.]+>", b"PID", value)
    return str(word), value


async def test_a_state_of_another_python_node(py_node: Any) -> None:
    """Two Python nodes tell a state ``{ok, X}`` from ``X`` as well."""
    async with py_node() as one, py_node() as other:
        await one.connect(other.name)
        agent = await other.start(Agent, lambda: (atom.ok, 5), name="agent")
        client = Sys(one.actor)
        assert await client.get_state(agent) == (atom.ok, 5)
        assert await client.get_state(("agent", other.name)) == (atom.ok, 5)
        other.runtime.resolver.expose(lambda state: 7, module="test", name="seven")
        assert await client.replace_state(agent, ExportFun("test", "seven", 1)) == 7
