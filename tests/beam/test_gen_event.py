"""Event managers of either language, used by Elixir's GenEvent, Erlang's gen_event and Python."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.behaviours import GenEventHandler, GenEventManager
from pynode.behaviours.clients import GenEvent
from pynode.errors import CallExit, NoProcess, RemoveHandler, Stop, SwapHandler
from pynode.node import Node
from pynode.terms import Pid, atom, elixir
from pynode.testing import Beam

KEEPER = elixir("Keeper")
OTHER = elixir("Other")

ELIXIR_HANDLER = """
defmodule Keeper do
  def init(:refuse), do: {:error, :refused}
  def init(arg), do: {:ok, {arg, []}}
  def handle_event(:crash, _), do: raise("crash")
  def handle_event(:leave, _), do: :remove_handler
  def handle_event(event, {arg, events}), do: {:ok, {arg, [event | events]}}
  def handle_call(:events, {_, events} = s), do: {:ok, Enum.reverse(events), s}
  def handle_call(:arg, {arg, _} = s), do: {:ok, arg, s}
  def handle_info(message, {arg, events}), do: {:ok, {arg, [{:info, message} | events]}}
  def terminate(arg, _), do: {:ended, arg}
  def code_change(_, s, _), do: {:ok, s}
end
"""


class Keeper(GenEventHandler, module="Elixir.Keeper"):
    def init(self, argument: Any = None) -> None:
        if argument == atom.refuse:
            raise Stop(atom.refused)
        self.argument = argument
        self.events: list[Any] = []

    def handle_event(self, event: Any) -> None:
        match event:
            case atom.crash:
                raise ValueError("event")
            case atom.leave:
                raise RemoveHandler
            case atom.swap:
                raise SwapHandler(atom.going, Other, atom.coming)
        self.events.append(event)

    def handle_info(self, message: Any) -> None:
        self.events.append((atom.info, message))

    def handle_call(self, request: Any) -> Any:
        match request:
            case atom.events:
                return self.events
            case atom.arg:
                return self.argument
            case atom.crash:
                raise ValueError("call")
            case atom.leave:
                raise RemoveHandler(atom.bye)
        return atom.unknown

    def terminate(self, argument: Any) -> Any:
        return (atom.ended, argument)


class Other(Keeper, module="Elixir.Other"):
    pass


async def manager(node: Node, *handlers: Any, dialect: str = "elixir") -> Pid:
    found: Pid = await node.start(GenEventManager, handlers, known=[Keeper, Other], dialect=dialect)
    return found


def elixir_calls(ex: Beam, pid: Pid) -> Any:
    async def run(code: str) -> Any:
        return await ex.aeval(f"import GenEvent; {code}", m=pid)

    return run


# --------------------------------------------------------------------------- Elixir's GenEvent


async def test_genevent_to_a_python_manager(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        run = elixir_calls(ex, await manager(node))
        assert await run("add_handler(m, Keeper, 1)") == atom.ok
        assert await run("add_handler(m, Keeper, 1)") == (atom.error, atom.already_present)
        assert await run("add_handler(m, {Keeper, :id}, 2)") == atom.ok
        assert await run("add_handler(m, Other, :refuse)") == (atom.error, atom.refused)
        tag, (undef, _) = await run("add_handler(m, Nobody, 1)")
        assert (tag, undef) == (atom.error, atom.undef)
        assert await run("which_handlers(m)") == [(KEEPER, atom.id), KEEPER]
        assert await run("notify(m, 1)") == atom.ok
        assert await run("sync_notify(m, 2)") == atom.ok
        assert await run("ack_notify(m, 3)") == atom.ok
        await run("send(m, :hello)")
        assert await run("call(m, Keeper, :events)") == [1, 2, 3, (atom.info, atom.hello)]
        assert await run("call(m, {Keeper, :id}, :arg)") == 2
        assert await run("call(m, Other, :arg)") == (atom.error, atom.not_found)
        assert await run("remove_handler(m, {Keeper, :id}, 9)") == (atom.ended, 9)
        assert await run("remove_handler(m, {Keeper, :id}, 9)") == (atom.error, atom.not_found)
        assert await run("swap_handler(m, Keeper, :a, {Other, 5}, :b)") == atom.ok
        assert await run("which_handlers(m)") == [(OTHER, 5)]
        argument = await run("call(m, {Other, 5}, :arg)")
        assert argument == (atom.b, (atom.ended, atom.a))
        assert await run("call(m, {Other, 5}, :leave)") == atom.bye
        assert await run("which_handlers(m)") == []
        assert await run("stop(m)") == atom.ok


async def test_genevent_watching_handlers_that_fail(beam: Any, py_node: Any) -> None:
    ex = beam()
    received = "receive do x -> x after 5000 -> :none end"
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await manager(node)
        run = elixir_calls(ex, pid)
        me = await ex.aeval("self()")
        exit_ = atom.gen_event_EXIT
        assert await run("add_mon_handler(m, Keeper, 1)") == atom.ok
        await run("remove_handler(m, Keeper, 1)")
        assert await ex.aeval(received) == (exit_, KEEPER, atom.normal)
        assert await run("add_mon_handler(m, {Keeper, 2}, 1)") == atom.ok
        await run("notify(m, :crash)")
        _, name, reason = await ex.aeval(received)
        assert name == (KEEPER, 2)
        assert reason[0] == (atom.python_error, atom.ValueError, b"event")
        assert await run("add_mon_handler(m, Keeper, 1)") == atom.ok
        assert await run("swap_mon_handler(m, Keeper, 1, Other, 2)") == atom.ok
        assert await ex.aeval(received) == (exit_, KEEPER, (atom.swapped, OTHER, me))
        await run("notify(m, :leave)")
        assert await ex.aeval(received) == (exit_, OTHER, atom.normal)
        assert await run("add_mon_handler(m, Keeper, 1)") == atom.ok
        tag, reason = await run("call(m, Keeper, :crash)")
        assert tag == atom.error
        assert await ex.aeval(received) == (exit_, KEEPER, reason)
        code = "spawn(fn -> add_mon_handler(m, Keeper, 1); exit(:away) end)"
        await run(code)
        await receives_none(ex, run)
        assert await run("add_mon_handler(m, Keeper, 1)") == atom.ok
        assert await run("stop(m, :shutdown)") == atom.ok
        assert await ex.aeval(received) == (exit_, KEEPER, atom.shutdown)


async def receives_none(ex: Beam, run: Any) -> None:
    """The handler of a process that ended is gone, and the manager is there."""
    for _ in range(200):
        if await run("which_handlers(m)") == []:
            return
    raise AssertionError("the handler outlived its watcher")


async def test_genevent_stream_is_refused_with_the_reason(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        run = elixir_calls(ex, await manager(node))
        text = await run("try do Enum.take(stream(m), 1) rescue e -> Exception.message(e) end")
        assert b"stream_not_supported" in text
        assert b"Python" in text


async def test_genevent_errors(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await manager(node, Keeper)
        await node.stop_server(pid)
        run = elixir_calls(ex, pid)
        assert await run("notify(m, 1)") == atom.ok
        for code in ("sync_notify(m, 1)", "call(m, Keeper, 1)", "which_handlers(m)"):
            assert await run(f"try do {code} catch :exit, _ -> :exited end") == atom.exited
        name = await node.start(Keeper, name="keeper")
        assert name
        code = "GenEvent.sync_notify({:keeper, n}, 1); GenEvent.call({:keeper, n}, Keeper, :events)"
        assert await ex.aeval(code, n=node.name) == [1]


# --------------------------------------------------------------------------- Erlang's gen_event


@pytest.mark.parametrize("dialect", ["elixir", "erlang"])
async def test_gen_event_to_a_python_manager(beam: Any, py_node: Any, dialect: str) -> None:
    erl = beam(language="erlang")
    async with py_node() as node:
        await node.connect(erl.name)
        pid = await manager(node, dialect=dialect)

        async def run(code: str) -> Any:
            return await erl.aeval(f"gen_event:{code}.", M=pid, K=KEEPER, O=OTHER)

        strict = dialect == "erlang"
        assert await run("add_handler(M, K, 1)") == atom.ok
        twice = await run("add_handler(M, K, 1)")
        assert twice == (atom.ok if strict else (atom.error, atom.already_present))
        assert await run("notify(M, 1)") == atom.ok
        assert await run("sync_notify(M, 2)") == atom.ok
        assert await run("call(M, K, events)") == [1, 2]
        assert await run("call(M, K, events, 1000)") == [1, 2]
        absent = await run("call(M, O, events)")
        assert absent == (atom.error, atom.bad_module if strict else atom.not_found)
        absent = await run("delete_handler(M, O, 1)")
        assert absent == (atom.error, atom.module_not_found if strict else atom.not_found)
        assert await run("delete_handler(M, K, 7)") == (atom.ended, 7)
        if strict:
            assert await run("delete_handler(M, K, 8)") == (atom.ended, 8)
        assert await run("add_sup_handler(M, {K, x}, 1)") == atom.ok
        assert await run("swap_handler(M, {{K, x}, a}, {O, b})") == atom.ok
        watched_by = await erl.aeval("self().") if strict else None
        gone = await erl.aeval("receive X -> X after 5000 -> none end.")
        name = (KEEPER, atom.x)
        assert gone == (atom.gen_event_EXIT, name, (atom.swapped, OTHER, watched_by))
        assert await run("call(M, O, arg)") == (atom.b, (atom.ended, atom.a))
        assert await run("swap_sup_handler(M, {O, a}, {K, b})") == atom.ok
        if strict:
            await erl.aeval("receive Y -> Y after 5000 -> none end.")
        assert await run("which_handlers(M)") == [KEEPER]
        assert await run("sync_notify(M, crash)") == atom.ok
        _, _, reason = await erl.aeval("receive Z -> Z after 5000 -> none end.")
        reason = reason[1] if strict else reason
        assert reason[0] == (atom.python_error, atom.ValueError, b"event")
        assert await run("send_request(M, K, events)")
        code = "R = gen_event:send_request(M, K, events), gen_event:receive_response(R, 5000)."
        answer = await erl.aeval(code, M=pid, K=KEEPER)
        assert answer == absent_call(strict)
        assert await erl.aeval("unlink(M), gen_event:stop(M).", M=pid) == atom.ok


def absent_call(strict: bool) -> Any:
    return (atom.error, atom.bad_module if strict else atom.not_found)


async def test_the_supervisor_of_a_handler(beam: Any, py_node: Any) -> None:
    erl = beam(language="erlang")
    async with py_node() as node:
        await node.connect(erl.name)
        pid = await manager(node, dialect="erlang")
        code = """
        Me = self(),
        S = spawn(fun() -> ok = gen_event:add_sup_handler(M, K, 1), Me ! added,
                           receive stop -> exit(away) end end),
        receive added -> S ! stop end.
        """
        await erl.aeval(code, M=pid, K=KEEPER)

        async def run(code: str) -> Any:
            return await erl.aeval(code, M=pid)

        await receives_none(erl, lambda _: run("gen_event:which_handlers(M)."))
        assert node.runtime.is_alive(pid)


# --------------------------------------------------------------------------- Python as the client


@pytest.mark.parametrize("kind", ["GenEvent.start([])", ":gen_event.start()"])
async def test_python_uses_managers_of_a_beam(beam: Any, py_node: Any, kind: str) -> None:
    ex = beam()
    theirs = await ex.aeval(f"{ELIXIR_HANDLER}; {{:ok, pid}} = {kind}; pid")
    genevent = kind.startswith("GenEvent")
    async with py_node() as node:
        await node.connect(ex.name)
        client = GenEvent(node.actor)
        assert await client.add_handler(theirs, "Elixir.Keeper", 1) == atom.ok
        assert await client.add_handler(theirs, (KEEPER, b"id"), 2) == atom.ok
        refused = await client.add_handler(theirs, (KEEPER, 3), atom.refuse)
        assert refused == (atom.error, atom.refused)
        assert await client.which_handlers(theirs) == [(KEEPER, b"id"), KEEPER]
        client.notify(theirs, 1)
        await client.sync_notify(theirs, 2)
        if genevent:
            await client.ack_notify(theirs, 3)
        else:
            client.notify(theirs, 3)
        assert await client.call(theirs, KEEPER, atom.events) == [1, 2, 3]
        assert await client.call(theirs, (KEEPER, b"id"), atom.arg) == 2
        absent = await client.call(theirs, OTHER, 1)
        assert absent == (atom.error, atom.not_found if genevent else atom.bad_module)
        assert await client.delete_handler(theirs, (KEEPER, b"id"), 4) == (atom.ended, 4)
        assert await client.swap_handler(theirs, (KEEPER, 5), ((KEEPER, 6), 7)) == atom.ok
        found = await client.call(theirs, (KEEPER, 6), atom.arg)
        assert found == (7, (atom.ended, 5))
        add = client.add_mon_handler if genevent else client.add_sup_handler
        assert await add(theirs, KEEPER, 1) == atom.ok
        await client.sync_notify(theirs, atom.crash)
        gone = await node.main.receive(timeout=10)
        assert gone[:2] == (atom.gen_event_EXIT, KEEPER)
        with pytest.raises(TypeError):
            await client.add_handler(theirs, Keeper, 1)
        node.main.trap_exit = True
        await client.stop(theirs)
        with pytest.raises(NoProcess):
            await client.sync_notify(theirs, 1)
        with pytest.raises(CallExit) as caught:
            await client.call(theirs, KEEPER, 1)
        assert caught.value.call[:2] == (atom.gen_event, atom.call)
