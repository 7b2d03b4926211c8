"""Agents of either language, asked by the other one."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.behaviours import Agent, map_functions
from pynode.behaviours.clients import AgentClient
from pynode.errors import CallExit
from pynode.node import Node
from pynode.terms import ExportFun, Pid, TermMap, atom, charlist
from pynode.testing import Beam, eventually


def caught(code: str) -> str:
    return f"try do {code} catch :exit, {{reason, _}} -> {{:exited, reason}} end"


async def agent_of(node: Node, **options: Any) -> Pid:
    found: Pid = await node.start(Agent, TermMap, functions=map_functions(), **options)
    return found


async def test_elixir_uses_a_python_agent(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await agent_of(node, name="agent")

        async def run(code: str) -> Any:
            return await ex.aeval(code, a=pid, n=node.name)

        assert await run('Agent.update(a, Map, :put, [~c"one", self()])') == atom.ok
        assert await run('Agent.get(a, Map, :get, [~c"one"]) == self()') is True
        assert await run("Agent.get({:agent, n}, Map, :get, [:absent, 7])") == 7
        assert await run("Agent.cast(a, Map, :put, [1, :int])") == atom.ok
        assert await run("Agent.update(a, Map, :put, [1.0, :float])") == atom.ok
        assert await run("Agent.get(a, &map_size/1)") == 3
        assert await run('Agent.get(a, &Function.identity/1) |> Map.delete(~c"one")') == TermMap(
            [(1, atom.int), (1.0, atom.float)]
        )
        assert await run("Agent.get_and_update(a, Map, :pop, [1])") == atom.int
        assert await run("Agent.get(a, &Map.keys/1)") == [charlist("one"), 1.0]
        assert await run("Agent.get(a, &Map.values/1) |> length()") == 2
        assert (1.0, atom.float) in await run("Agent.get(a, &Map.to_list/1)")
        assert await run("Agent.update(a, Map, :delete, [1.0])") == atom.ok
        assert await run("Agent.get(a, Map, :has_key?, [1.0])") is False
        assert await run("Agent.stop(a)") == atom.ok
        assert not node.runtime.is_alive(pid)


async def test_closures_are_refused_with_a_reason_and_the_state_stays(
    beam: Any, py_node: Any
) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await agent_of(node)

        async def run(code: str) -> Any:
            return await ex.aeval(caught(code), a=pid)

        assert await run("Agent.update(a, Map, :put, [:k, 1])") == atom.ok
        for code in (
            "Agent.get(a, fn state -> state end)",
            "Agent.update(a, & &1)",
            "Agent.get_and_update(a, fn s -> {s, s} end, :infinity)",
        ):
            exited, (why, text) = await run(code)
            assert (exited, why) == (atom.exited, atom.closure_refused)
            assert b"&Mod.fun/arity" in text
        undefined: Any = (atom.exited, (atom.undef, [(atom("Elixir.Map"), atom.nonsense, 2, [])]))
        assert await run("Agent.get(a, Map, :nonsense, [1])") == undefined
        assert await run("Agent.cast(a, fn _ -> :lost end)") == atom.ok
        assert await run("Agent.get(a, &Function.identity/1)") == {atom.k: 1}
        server = node.runtime.local(pid)
        await eventually(lambda: not server.watchers)
        exited, reason = await run("Agent.get(a, Map, :fetch!, [:absent])")
        assert reason[0][:2] == (atom.python_error, atom.KeyError)
        assert not node.runtime.is_alive(pid)


async def test_exposed_functions_are_known_to_every_agent(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        node.runtime.resolver.expose(lambda state, by: state * by, module="Elixir.Kernel", name="*")
        pid = await node.start(Agent, 6)
        assert await ex.aeval("Agent.get(a, Kernel, :*, [7])", a=pid) == 42


async def test_python_uses_an_agent_of_elixir(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    theirs = await ex.aeval("{:ok, a} = Agent.start(Map, :new, []); a")
    async with py_node() as node:
        await node.connect(ex.name)
        client = AgentClient(node.actor)
        await client.update(theirs, ("Elixir.Map", "put", [charlist("one"), node.main.pid]))
        client.cast(theirs, ("Elixir.Map", "put", [b"two", 2]))
        assert await client.get(theirs, ExportFun("erlang", "map_size", 1)) == 2
        everything = await client.get(theirs, ExportFun("Elixir.Function", "identity", 1))
        assert everything == TermMap([(charlist("one"), node.main.pid), (b"two", 2)])
        assert await client.get_and_update(theirs, ("Elixir.Map", "pop", [b"two"])) == 2
        text = await client.get(theirs, ("Elixir.Map", "get", [1, b"none"]), text=True)
        assert text == "none"
        with pytest.raises(TypeError, match="callable"):
            await client.get(theirs, len)
        with pytest.raises(CallExit) as error:
            await client.get(theirs, ("Elixir.Map", "fetch!", [b"absent"]))
        assert error.value.reason[0][0] == atom.badkey
