"""Python's servers by every kind of name that Elixir and Erlang give them, to the last function."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.behaviours import Agent, GenEventHandler, GenEventManager, GenServer, map_functions
from pynode.terms import TermMap, atom, elixir
from pynode.testing import eventually

#: How each kind of reference is spelled over there; ``n`` is the name of the Python node.
SPELLINGS = {
    "pid": "pid",
    "name": "{:server, n}",
    "global": '{:global, "server"}',
    "via": '{:via, :global, "server"}',
}
KINDS = pytest.mark.parametrize("kind", list(SPELLINGS))


class Echo(GenServer):
    def init(self) -> None:
        self.seen: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case atom.seen:
                return self.seen
            case _:
                return request

    def handle_cast(self, request: Any) -> None:
        self.seen.append(request)


class Keeper(GenEventHandler, module="Elixir.Keeper"):
    def init(self, argument: Any = None) -> None:
        self.argument = argument
        self.events: list[Any] = []

    def handle_event(self, event: Any) -> None:
        self.events.append(event)

    def handle_call(self, request: Any) -> Any:
        return self.events if request == atom.events else self.argument

    def terminate(self, argument: Any) -> Any:
        return (atom.ended, argument)


async def everywhere(ex: Any, node: Any, server: Any, kind: str, *args: Any, **options: Any) -> Any:
    """Start ``server`` under the kind of name, and return what evaluates code that calls it."""
    name = {"name": "server", "global": ("global", b"server"), "via": ("global", b"server")}
    pid = await node.start(server, *args, name=name.get(kind), **options)
    if kind in ("global", "via"):

        async def known() -> bool:
            return bool(await ex.aeval(':global.whereis_name("server")') == pid)

        await eventually(known)

    async def run(code: str) -> Any:
        return await ex.aeval(f"s = {SPELLINGS[kind]}; {code}", pid=pid, n=node.name)

    return pid, run


@KINDS
async def test_gen_server(beam: Any, py_node: Any, kind: str) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid, run = await everywhere(ex, node, Echo, kind)
        assert await run("GenServer.call(s, 1)") == 1
        assert await run("GenServer.call(s, 2, :infinity)") == 2
        assert await run("GenServer.cast(s, 3)") == atom.ok
        assert await run(":gen_server.call(s, 4)") == 4
        assert await run(":gen_server.call(s, 5, 5000)") == 5
        assert await run(":gen_server.cast(s, 6)") == atom.ok
        assert await run("GenServer.call(s, :seen)") == [3, 6]
        request = ":gen_server.send_request(s, 7)"
        assert await run(f":gen_server.receive_response({request}, 5000)") == (atom.reply, 7)
        assert await run(f":gen_server.wait_response({request}, 5000)") == (atom.reply, 7)
        assert await run(f"""
            r = {request}
            receive do m -> :gen_server.check_response(m, r) after 5000 -> :none end
        """) == (atom.reply, 7)
        assert await run("GenServer.stop(s, :shutdown, 5000)") == atom.ok
        assert not node.runtime.is_alive(pid)


async def test_collections_of_requests(beam: Any, py_node: Any) -> None:
    """gen_server:reqids_new and what goes with it, of OTP 25 and later."""
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        _, run = await everywhere(ex, node, Echo, "pid")
        collect = (
            "Enum.reduce(1..5, :gen_server.reqids_new(), &:gen_server.send_request(s, &1, &1, &2))"
        )
        for take in ("receive_response", "wait_response"):
            assert await run(f"""
                Enum.map_reduce(1..5, {collect}, fn _, ids ->
                  {{{{:reply, reply}}, label, ids}} = :gen_server.{take}(ids, 5000, true)
                  {{reply == label, ids}}
                end) |> then(fn {{all, ids}} -> {{all, :gen_server.reqids_size(ids)}} end)
            """) == ([True] * 5, 0)
        assert await run(f"""
            ids = {collect}
            {{all, ids}} = Enum.map_reduce(1..5, ids, fn _, ids ->
              m = receive do m -> m after 5000 -> :none end
              {{{{:reply, reply}}, label, ids}} = :gen_server.check_response(m, ids, true)
              {{reply == label, ids}}
            end)
            {{all, :gen_server.reqids_to_list(ids), :gen_server.check_response(:other, ids, true)}}
        """) == ([True] * 5, [], atom.no_request)


@KINDS
async def test_gen_event(beam: Any, py_node: Any, kind: str) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid, run = await everywhere(
            ex, node, GenEventManager, kind, [], known=[Keeper], dialect="elixir"
        )
        assert await run("GenEvent.add_handler(s, Keeper, 1)") == atom.ok
        assert await run("GenEvent.add_mon_handler(s, {Keeper, 2}, 2)") == atom.ok
        for verb, number in (("notify", 1), ("sync_notify", 2), ("ack_notify", 3)):
            assert await run(f"GenEvent.{verb}(s, {number})") == atom.ok
        assert await run("GenEvent.call(s, Keeper, :events)") == [1, 2, 3]
        assert await run("GenEvent.call(s, {Keeper, 2}, :events, :infinity)") == [1, 2, 3]
        keeper = elixir("Keeper")
        assert await run("GenEvent.which_handlers(s)") == [(keeper, 2), keeper]
        swap = "GenEvent.swap_mon_handler(s, {Keeper, 2}, 1, {Keeper, 3}, 2)"
        assert await run(swap) == atom.ok
        assert (
            await run("receive do x -> elem(x, 0) after 5000 -> :none end") == atom.gen_event_EXIT
        )
        assert await run("GenEvent.swap_handler(s, {Keeper, 3}, 1, {Keeper, 4}, 2)") == atom.ok
        assert await run("GenEvent.remove_handler(s, {Keeper, 4}, 5)") == (atom.ended, 5)
        # Erlang's module, with the same manager.
        assert await run(":gen_event.notify(s, 4)") == atom.ok
        assert await run(":gen_event.sync_notify(s, 5)") == atom.ok
        assert await run(":gen_event.call(s, Keeper, :events)") == [1, 2, 3, 4, 5]
        assert await run(":gen_event.which_handlers(s)") == [keeper]
        for take in ("receive_response", "wait_response"):
            code = f":gen_event.{take}(:gen_event.send_request(s, Keeper, :arg), 5000)"
            assert await run(code) == (atom.reply, 1)
        assert await run("""
            ids = :gen_event.send_request(s, Keeper, :arg, :label, :gen_event.reqids_new())
            {answer, label, ids} = :gen_event.receive_response(ids, 5000, true)
            {answer, label, :gen_event.reqids_size(ids)}
        """) == ((atom.reply, 1), atom.label, 0)
        assert await run(":gen_event.delete_handler(s, Keeper, 6)") == (atom.ended, 6)
        assert await run("GenEvent.stop(s, :shutdown, 5000)") == atom.ok
        assert not node.runtime.is_alive(pid)


@KINDS
async def test_agent(beam: Any, py_node: Any, kind: str) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid, run = await everywhere(ex, node, Agent, kind, TermMap, functions=map_functions())
        assert await run("Agent.update(s, Map, :put, [:a, 1])") == atom.ok
        assert await run("Agent.update(s, Map, :put, [:b, 2], :infinity)") == atom.ok
        assert await run("Agent.cast(s, Map, :put, [:c, 3])") == atom.ok
        assert await run("Agent.get(s, Map, :get, [:c])") == 3
        assert await run("Agent.get(s, Map, :get, [:c], 5000)") == 3
        assert await run("Agent.get(s, &Function.identity/1, 5000)") == TermMap(
            [(atom.a, 1), (atom.b, 2), (atom.c, 3)]
        )
        assert await run("Agent.get_and_update(s, Map, :pop, [:a])") == 1
        assert await run("Agent.get_and_update(s, Map, :pop, [:b], 5000)") == 2
        assert await run("Agent.get(s, &map_size/1)") == 1
        closure = "try do Agent.update(s, fn x -> x end) catch :exit, {why, _} -> why end"
        assert (await run(closure))[0] == atom.closure_refused
        assert await run("Agent.stop(s, :shutdown, 5000)") == atom.ok
        assert not node.runtime.is_alive(pid)
