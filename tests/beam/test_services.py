"""What a BEAM asks of a node's services, and what is asked of a BEAM's: ping, erpc, rpc, I/O."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.errors import CallTimeout, NoConnection, RemoteError
from pynode.policy import Action, Deny, default_policy
from pynode.terms import Atom, atom, charlist
from pynode.testing import eventually

# --------------------------------------------------------------------------- ping


async def test_ping_both_ways(beam: Any, py_node: Any) -> None:
    ex = beam(language="erlang")
    async with py_node() as node:
        assert await ex.arpc("net_adm", "ping", [node.name]) == atom.pong
        assert await node.ping(ex.name)
        assert await node.ping(node.name)
        assert not await node.ping("nobody@localhost")
        assert ex.name in node.nodes()


async def test_a_hidden_node_is_pinged_and_pings(beam: Any, py_node: Any) -> None:
    ex = beam(language="erlang")
    async with py_node(hidden=True) as node:
        assert await node.ping(ex.name)
        assert await ex.arpc("net_adm", "ping", [node.name]) == atom.pong
        assert await ex.arpc("erlang", "nodes") == []


# --------------------------------------------------------------------------- called by a BEAM


async def test_a_beam_calls_what_is_exposed_and_nothing_else(beam: Any, py_node: Any) -> None:
    ex = beam(language="erlang")

    async def slow_double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    def thrower(what: Any) -> None:
        raise RemoteError("throw", what)

    async with py_node() as node:
        resolver = node.runtime.resolver
        resolver.expose(slow_double, module="calc", name="double")
        resolver.expose(thrower, module="calc")
        call = "erpc:call(Node, M, F, A)."
        assert await ex.aeval(call, Node=node.name, M=atom.calc, F=atom.double, A=[21]) == 42
        caught = "(fun() -> try erpc:call(Node, M, F, A) catch C:R -> {C, R} end end)()."
        result = await ex.aeval(caught, Node=node.name, M=atom.calc, F=atom.thrower, A=[b"x"])
        assert result == (atom.throw, b"x")
        result = await ex.aeval(caught, Node=node.name, M=atom.os, F=atom.cmd, A=[charlist("id")])
        undef: list[Any] = [(atom.os, atom.cmd, [charlist("id")], [])]
        assert result == (atom.error, (atom.exception, atom.undef, undef))
        result = await ex.aeval(caught, Node=node.name, M=atom.calc, F=atom.double, A=[atom.x])
        match result:
            case (atom.error, (atom.exception, (atom.python_error, atom.TypeError, _), stack)):
                assert stack
            case _:
                pytest.fail(repr(result))
        assert await ex.arpc("rpc", "call", [node.name, atom.calc, atom.double, [4]]) == 8
        block = [node.name, atom.calc, atom.double, [5]]
        assert await ex.arpc("rpc", "block_call", block) == 10
        match await ex.arpc("rpc", "block_call", [node.name, atom.calc, atom.none, []]):
            case (atom.badrpc, (atom.EXIT, (atom.undef, _))):
                pass
            case other:
                pytest.fail(repr(other))


async def test_a_beam_casts(beam: Any, py_node: Any) -> None:
    ex = beam(language="erlang")
    got: list[Any] = []
    async with py_node() as node:
        node.runtime.resolver.expose(got.append, module="calc", name="note", arity=1)
        await ex.aeval("erpc:cast(Node, calc, note, [1]).", Node=node.name)
        await ex.aeval("rpc:cast(Node, calc, note, [2]).", Node=node.name)
        await eventually(lambda: sorted(got) == [1, 2])


async def test_an_answer_is_no_crash_in_the_log(
    beam: Any, py_node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ex = beam(language="erlang")
    async with py_node() as node:
        assert await ex.arpc("rpc", "call", [node.name, atom.erlang, atom.node, []]) == node.name
        await ex.arpc("rpc", "call", [node.name, atom.erlang, atom.halt, []])
    assert not [record for record in caplog.records if record.name == "pynode.process"]


async def test_policy_is_asked_about_the_function_that_erpc_calls(beam: Any, py_node: Any) -> None:
    ex = beam(language="erlang")

    def policy(peer: Any, action: Action, target: Any) -> Any:
        if action is Action.SPAWN and target == (atom.calc, atom.double, 1):
            return Deny("not that one")
        return default_policy(peer, action, target)

    async with py_node(policy=policy) as node:
        node.runtime.resolver.expose(lambda n: 2 * n, module="calc", name="double")
        caught = "(fun() -> try erpc:call(Node, M, F, A) catch C:R -> {C, R} end end)()."
        result = await ex.aeval(caught, Node=node.name, M=atom.calc, F=atom.double, A=[1])
        assert result == (atom.error, (atom.erpc, atom.notsup))
        assert await ex.aeval(caught, Node=node.name, M=atom.erlang, F=atom.node, A=[]) == node.name
        match await ex.arpc("rpc", "block_call", [node.name, atom.calc, atom.double, [1]]):
            case (atom.badrpc, atom.notsup):
                pass
            case other:
                pytest.fail(repr(other))


async def test_sbcast_and_block_call_reach_rex(beam: Any, py_node: Any) -> None:
    ex = beam(language="erlang")
    async with py_node() as node:
        node.runtime.register("box", node.main.pid)
        nodes = [node.name]
        assert await ex.arpc("rpc", "sbcast", [nodes, atom.box, b"all"]) == ([node.name], [])
        assert await node.main.receive(lambda message: message == b"all") == b"all"
        result = await ex.arpc("rpc", "sbcast", [nodes, atom.nobody, b"all"])
        assert result == ([], [node.name])


# --------------------------------------------------------------------------- calls to a BEAM


async def test_calls_to_a_beam(beam: Any, py_node: Any) -> None:
    ex = beam(language="erlang")
    async with py_node() as node:
        assert await node.erpc.call(ex.name, "lists", "sum", [[1, 2, 3]]) == 6
        assert await node.rpc.call(ex.name, "erlang", "node") == ex.name
        assert await node.rpc.call(ex.name, "erlang", "list_to_binary", ["x" and [120]]) == b"x"
        text = await node.rpc.call(ex.name, "erlang", "list_to_binary", [[120]], text=True)
        assert text == "x"
        with pytest.raises(RemoteError) as caught:
            await node.erpc.call(ex.name, "erlang", "throw", [b"ball"])
        assert (caught.value.kind, caught.value.reason) == ("throw", b"ball")
        assert await node.rpc.call(ex.name, "erlang", "throw", [b"ball"]) == b"ball"
        with pytest.raises(RemoteError) as caught:
            await node.erpc.call(ex.name, "erlang", "exit", [atom.gone])
        assert (caught.value.kind, caught.value.reason) == ("exit", atom.gone)
        with pytest.raises(RemoteError) as caught:
            await node.erpc.call(ex.name, "nowhere", "none", [1])
        assert (caught.value.kind, caught.value.reason) == ("error", atom.undef)
        assert caught.value.stack[0][:2] == (atom.nowhere, atom.none)
        assert str(caught.value) == f"error on {ex.name}: undefined function nowhere:none/1"
        with pytest.raises(CallTimeout, match="sleep"):
            await node.erpc.call(ex.name, "timer", "sleep", [60_000], timeout=0.05)
        with pytest.raises(NoConnection, match="nobody@localhost") as lost:
            await node.rpc.call("nobody@localhost", "erlang", "node")
        here = [atom("nobody@localhost"), atom.erlang, atom.node, []]
        assert lost.value.call == (atom.erpc, atom.call, here)


async def test_calls_between_python_nodes_and_to_oneself(py_node: Any) -> None:
    async with py_node() as node, py_node() as other:
        other.runtime.resolver.expose(lambda *args: list(args), module="calc", name="args")
        assert await node.rpc.call(other.name, "calc", "args", [1, b"b"]) == [1, b"b"]
        assert await other.rpc.call(other.name, "calc", "args", []) == []
        got: list[Any] = []
        other.runtime.resolver.expose(got.append, module="calc", name="note", arity=1)
        node.erpc.cast(other.name, "calc", "note", [1])
        other.erpc.cast(other.name, "calc", "note", [2])
        await eventually(lambda: sorted(got) == [1, 2])


async def test_a_cast_leaves_nothing_in_the_mailbox(beam: Any, py_node: Any) -> None:
    ex = beam(language="erlang")
    async with py_node() as node:
        await ex.aeval("register(test, self()).")
        node.rpc.cast(ex.name, "erlang", "send", [atom.test, b"cast"])
        code = "receive X -> X after 5000 -> none end."
        assert await ex.aeval(code) == b"cast"
        assert await node.ping(ex.name)
        with pytest.raises(TimeoutError):
            await node.main.receive(timeout=0)


# --------------------------------------------------------------------------- absent names


async def test_monitors_of_absent_names_answer_at_once(beam: Any, py_node: Any) -> None:
    ex = beam(language="erlang")
    async with py_node() as node:
        code = "gen_server:multi_call([Node], absent, hello)."
        assert await ex.aeval(code, Node=node.name, timeout=5) == ([], [Atom(str(node.name))])
