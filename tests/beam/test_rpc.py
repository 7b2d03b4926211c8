"""rpc and erpc between Python and a BEAM, both ways."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pynode.config import Limits
from pynode.errors import (
    NO_REPLY,
    CallExit,
    CallTimeout,
    NoConnection,
    NoProcess,
    RemoteError,
)
from pynode.process.current import exit_signal, self_
from pynode.services import described
from pynode.terms import Atom, ExportFun, OpaqueFun, atom, charlist
from pynode.testing import eventually

NOWHERE = Atom("nobody@localhost")

MODULE = """
    defmodule RpcT.Error do
      defexception [:code]
      def message(error), do: "code #{error.code}, café"
    end

    defmodule RpcT do
      def failing(code), do: raise(RpcT.Error, code: code)
      def clause(:a), do: 1
      def match(x), do: :ok = x
      def call_nobody, do: GenServer.call(:nobody_here, :x)
      def square(x, plus), do: x * x + plus
      def leader, do: Process.group_leader()
      def closure(x), do: fn y -> {x, y, node()} end
      def tell(name, x), do: send(name, {:told, node(), x})

      def stay(to) do
        send(to, {:staying, self()})
        Process.sleep(:infinity)
      end

      def serve do
        pid = spawn(fn -> Process.register(self(), :srv); loop() end)
        Process.sleep(1)
        pid
      end

      defp loop do
        receive do
          {from, x} -> send(from, {:srv, node(), x}); loop()
        end
      end
    end
"""


@pytest.fixture
async def elixir_(beam: Any) -> Any:
    ex = beam()
    await ex.aeval(MODULE)
    return ex


# --------------------------------------------------------------------------- from Python

T = "Elixir.RpcT"

#: What is called; the name of the exception; the beginning of its message; the first stack line.
ERRORS: list[Any] = [
    ((T, "failing", [7]), "RpcT.Error", "code 7, caf\u00e9", "RpcT.failing/1 ("),
    (
        (T, "clause", [atom.b]),
        "FunctionClauseError",
        "no function clause matching",
        "RpcT.clause/1",
    ),
    ((T, "match", [1]), "MatchError", "no match of right hand side value:", "RpcT.match/1"),
    (
        ("erlang", "+", [atom.a, 1]),
        "ArithmeticError",
        "bad argument in arithmetic expr",
        "erlang:+",
    ),
    (("erlang", "binary_to_atom", [7]), "ArgumentError", "errors were found", "erlang:binary_to_"),
    (
        ("erlang", "error", [(atom.my, 1)]),
        "ErlangError",
        "Erlang error: {:my, 1}",
        "erlang:error/1",
    ),
    (
        ("lists", "none", []),
        "UndefinedFunctionError",
        "function :lists.none/0 is und",
        "lists:none/0",
    ),
    (("Elixir.No", "f", [1]), "UndefinedFunctionError", "function No.f/1 is undefined", "No.f/1"),
]


async def test_an_elixir_exception_in_python(elixir_: Any, py_node: Any) -> None:
    async with py_node() as node:
        where = elixir_.name
        for call, name, message, frame in ERRORS:
            with pytest.raises(RemoteError) as caught:
                await node.erpc.call(where, *call, timeout=20)
            error = caught.value
            assert (error.kind, error.exception, error.node) == ("error", name, where)
            assert error.message.startswith(message)
            assert str(error).startswith(f"{name} on {where}: {message}")
            assert not str(error).endswith("\n")
            [note] = error.__notes__
            assert note.splitlines()[1].startswith(f"  {frame}")
            for key in (
                node.rpc.async_call(where, *call),
                node.erpc.send_request(where, *call),
            ):
                with pytest.raises(RemoteError) as caught:
                    await key.receive_response(20)
                assert str(caught.value) == str(error)
            with pytest.raises(RemoteError) as caught:
                await node.rpc.block_call(where, *call)
            assert str(caught.value) == str(error)
            [result] = await node.erpc.multicall([where], *call)
            assert str(result.error) == str(error)
        with pytest.raises(RemoteError) as caught:
            await node.erpc.call(where, T, "call_nobody")
        assert (caught.value.kind, caught.value.exception) == ("exit", None)
        assert "GenServer.call(:nobody_here, :x, 5000)" in caught.value.message
        assert "no process: the process is not alive" in str(caught.value)
        struct = (await node.rpc.call(where, "Elixir.ArgumentError", "exception", ["oops"]),)
        with pytest.raises(RemoteError, match=r"^ArgumentError on \S+: oops"):
            await node.rpc.call(where, "erlang", "error", struct)


async def test_an_erlang_error_in_python(beam: Any, py_node: Any) -> None:
    er = beam(language="erlang")
    wanted = [
        (("erlang", "+", [atom.a, 1]), "error on {}: an error occurred when evaluating an arith"),
        (("erlang", "list_to_atom", [7]), "error on {}: bad argument: argument 1: not a list"),
        (("nowhere", "none", [1]), "error on {}: undefined function nowhere:none/1"),
        (("erlang", "error", [(atom.my, 1)]), "error on {}: {{my,1}}"),
        (("erlang", "exit", [atom.gone]), "exit on {}: gone"),
        (("erlang", "throw", [atom.ball]), "throw on {}: atom.ball"),
    ]
    async with py_node() as node:
        for call, text in wanted:
            with pytest.raises(RemoteError) as caught:
                await node.erpc.call(er.name, *call)
            assert str(caught.value).startswith(text.format(er.name))
            assert caught.value.exception is None


async def test_the_words_of_an_error_are_not_waited_for_in_vain(
    elixir_: Any, py_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for them is that of the call; without them it is the error all the same."""
    async with py_node() as node:
        loop, where = asyncio.get_running_loop(), elixir_.name
        await elixir_.aeval("""
            defmodule RpcT.Slow do
              defexception [:x]
              def message(_), do: Process.sleep(:infinity)
            end
            defmodule RpcT.Raise do
              def slow, do: raise(RpcT.Slow)
            end
        """)
        begun = loop.time()
        call = (where, "Elixir.RpcT.Raise", "slow")
        results: Any = await asyncio.gather(
            node.erpc.call(*call, timeout=1),
            node.erpc.send_request(*call).wait_response(1),
            node.erpc.multicall([where], *call[1:], timeout=1),
            return_exceptions=True,
        )
        assert loop.time() - begun < 4
        for error in (*results[:2], results[2][0].error):
            assert isinstance(error, RemoteError)
            assert error.exception == "RpcT.Slow"
        monkeypatch.setattr(described, "LONGEST", 0.1)
        for key in (node.erpc.send_request(*call), node.rpc.async_call(*call)):
            with pytest.raises(RemoteError, match=r"RpcT\.Slow"):
                await key.wait_response()
        with pytest.raises(RemoteError, match=r"RpcT\.Slow"):
            await node.rpc.call(*call)


async def test_calls_of_several_nodes(elixir_: Any, beam: Any, py_node: Any) -> None:
    er = beam(language="erlang")
    async with py_node() as node:
        await node.connect(elixir_.name)
        await node.connect(er.name)
        nodes = [er.name, NOWHERE, node.name, elixir_.name]
        found = await node.erpc.multicall(nodes, "erlang", "node", timeout=30)
        assert [one.value for one in found] == [er.name, None, node.name, elixir_.name]
        assert [type(one.error) for one in found if one.error] == [NoConnection]
        result = await node.rpc.multicall(nodes, "erlang", "node", timeout=30)
        assert result == ([er.name, node.name, elixir_.name], [NOWHERE])
        results, bad = await node.rpc.multicall(None, T, "square", [2, 3])
        assert bad == []
        errors = [str(one) for one in results if one != 7]
        assert len(results) == 3
        assert any("undefined function 'Elixir.RpcT':square/2" in text for text in errors)
        late = await node.rpc.multicall([er.name, elixir_.name], "timer", "sleep", [60_000],
                                        timeout=0.2)  # fmt: skip
        assert late == ([], [er.name, elixir_.name])

        # The functions that are dealt out run on all of them, so Python has them too.
        await er.arpc("code", "load_binary", await elixir_.aeval("""
            {:module, name, binary, _} =
              defmodule RpcT.Both, do: def(square(x, plus), do: x * x + plus)
            [name, ~c"both", binary]
        """))  # fmt: skip
        both = "Elixir.RpcT.Both"
        node.runtime.resolver.expose(lambda x, plus: x * x + plus, module=both, name="square")
        assert await node.rpc.pmap((both, "square"), [1], range(6)) == [1, 2, 5, 10, 17, 26]
        calls: list[Any] = [("erlang", "node", [])] * 3
        assert set(await node.rpc.parallel_eval(calls)) == {node.name, er.name, elixir_.name}


async def test_more_than_a_queue_holds_is_dealt_out(beam: Any, py_node: Any) -> None:
    er = beam(language="erlang")
    limits = Limits(
        peer_low_water_bytes=1 << 17, peer_high_water_bytes=1 << 18, peer_queue_bytes=1 << 20
    )
    async with py_node(limits=limits) as node:
        await node.connect(er.name)
        node.runtime.resolver.expose(len, module="erlang", name="byte_size", arity=1)
        data = bytes(400_000)
        assert await node.rpc.pmap(("erlang", "byte_size"), [], [data] * 80) == [400_000] * 80


async def test_a_stopped_node_holds_up_its_own_calls_alone(beam: Any, py_node: Any) -> None:
    er = beam(language="erlang")
    limits = Limits(peer_low_water_bytes=1 << 17, peer_high_water_bytes=1 << 18)
    async with py_node(limits=limits) as node, py_node(hidden=True) as other:
        await node.connect(er.name)
        await node.connect(other.name)
        other.runtime.resolver.expose(len, module="m", name="size", arity=1)
        er.pause()
        try:
            for _ in range(16):
                node.send(("nobody", er.name), bytes(1 << 20))
                await asyncio.sleep(0)
            assert node.runtime.router.is_busy(er.name)
            assert await node.rpc.call(other.name, "m", "size", [b"123"], timeout=20) == 3
            with pytest.raises(CallTimeout):
                await node.rpc.call(er.name, "erlang", "node", timeout=0.01)
            with pytest.raises(CallTimeout):
                await node.call(("init", er.name), 1, timeout=0.01)
            with pytest.raises(TimeoutError):
                await node.main.receive(timeout=0.01)
        finally:
            er.resume()
        assert await node.rpc.call(er.name, "erlang", "node", timeout=20) == er.name


async def test_messages_to_several_nodes(elixir_: Any, py_node: Any) -> None:
    async with py_node() as node:
        where = elixir_.name
        await node.connect(where)
        await elixir_.aeval("Process.register(self(), :box)")
        node.register("box", node.main.pid)
        assert await node.rpc.sbcast(None, "box", 1) == ([node.name, where], [])
        nodes = [where, NOWHERE]
        assert await node.rpc.sbcast(nodes, "nobody_here", 1) == ([], nodes)
        node.rpc.abcast(None, "box", 2)
        node.rpc.eval_everywhere([where, NOWHERE], T, "tell", [atom.box, 3])
        node.rpc.cast(where, ExportFun(T, "tell", 2), [atom.box, 4])
        node.erpc.multicast([where], T, "tell", [atom.box, 5])
        node.erpc.cast(where, T, "none", [])
        code = """
            for _ <- 1..5 do
              receive do
                {:told, _, x} -> x
                x -> x
              after 10_000 -> :none
              end
            end
        """
        got = await elixir_.aeval(code)
        assert sorted(got, key=repr) == [1, 2, 3, 4, 5]
        assert [await node.main.receive(timeout=10) for _ in range(2)] == [1, 2]
        await elixir_.arpc(T, "serve", [])
        assert await node.rpc.server_call(where, "srv", atom.srv, 7, timeout=20) == 7
        assert await node.rpc.multi_server_call([where, NOWHERE], "srv", 8) == ([8], [NOWHERE])
        with pytest.raises(NoProcess):
            await node.rpc.server_call(where, "nobody_here", atom.srv, 7)


async def test_results_fetched_later(elixir_: Any, py_node: Any) -> None:
    async with py_node() as node:
        where = elixir_.name
        key = node.rpc.async_call(where, T, "square", [3, 1])
        assert await node.rpc.yield_(key) == 10
        key = node.rpc.async_call(where, T, "stay", [node.main.pid])
        assert await node.rpc.nb_yield(key) is NO_REPLY
        _, staying = await node.main.receive(timeout=10)
        node.exit(staying, atom.kill)
        with pytest.raises(CallExit) as caught:
            await node.rpc.nb_yield(key, 20)
        assert caught.value.reason == (atom.signal, atom.killed)
        collection = node.erpc.reqids_new()
        for number in range(4):
            node.erpc.send_request(where, T, "square", [number, 0], label=number,
                                   collection=collection)  # fmt: skip
        answers = {}
        while (answer := await node.erpc.receive_response(collection, 20)) is not None:
            answers[answer.label] = answer.result()
        assert answers == {0: 0, 1: 1, 2: 4, 3: 9}


async def test_calls_that_find_no_end(elixir_: Any, py_node: Any) -> None:
    async with py_node() as node:
        where, me = elixir_.name, node.main
        assert await node.rpc.block_call(where, T, "leader") == me.group_leader
        fun = await node.rpc.call(where, T, "closure", [1])
        assert isinstance(fun, OpaqueFun)
        assert await node.erpc.call(where, fun, [2]) == (1, 2, where)
        with pytest.raises(CallTimeout):
            await node.rpc.call(where, T, "stay", [me.pid], timeout=0.2)
        with pytest.raises(CallTimeout):
            await node.rpc.block_call(where, "timer", "sleep", [500], timeout=0.1)
        shell = await elixir_.aeval("self()")
        assert await node.rpc.pinfo(shell, "trap_exit") in (True, False)
        facts = await node.rpc.pinfo(shell, ["status", "message_queue_len"])
        assert facts["status"] in (atom.waiting, atom.running, atom.runnable)
        assert "links" in await node.rpc.pinfo(shell)
        assert await node.rpc.pinfo(await elixir_.aeval("spawn(fn -> :ok end)"), "links") is None
        with pytest.raises(RemoteError, match="ArgumentError"):
            await node.rpc.pinfo(shell, "nothing")

        # The node is lost in the middle.
        _, first = await me.receive(timeout=10)
        assert first.node == where
        waiting = [
            asyncio.ensure_future(node.erpc.call(where, T, "stay", [me.pid])),
            asyncio.ensure_future(node.rpc.multicall([where], T, "stay", [me.pid])),
            asyncio.ensure_future(node.rpc.yield_(node.rpc.async_call(where, T, "stay", [me.pid]))),
            asyncio.ensure_future(node.rpc.block_call(where, T, "stay", [me.pid])),
        ]
        for _ in waiting:
            await me.receive(timeout=10)
        elixir_.kill()
        call, multicall, later, blocked = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in (call, later, blocked)] == [NoConnection] * 3
        assert multicall == ([], [where])


# --------------------------------------------------------------------------- into Python


def fail(text: bytes) -> None:
    raise ValueError(text.decode())


async def suicide() -> None:
    exit_signal(self_(), atom.kill)
    await asyncio.sleep(60)


@pytest.fixture
async def node(py_node: Any) -> AsyncIterator[Any]:
    """A node with some functions; what ``note`` was told is in ``node.noted``."""
    async with py_node() as made:
        noted: list[Any] = []
        resolver = made.runtime.resolver
        for name, function in {
            "square": lambda x, plus: x * x + plus,
            "fail": fail,
            "suicide": suicide,
            "stay": lambda: asyncio.sleep(60),
            "thing": lambda: object(),
            "zero": lambda: 1 // 0,
        }.items():
            resolver.expose(function, module="t", name=name)
        resolver.expose(noted.append, module="t", name="note", arity=1)
        made.noted = noted
        yield made


async def test_elixir_calls(beam: Any, node: Any) -> None:
    ex = beam()
    results = await ex.aeval(
        """
        [
          :rpc.call(n, :t, :square, [3, 1]),
          :rpc.call(n, :t, :square, [3, 1], 10_000),
          :rpc.block_call(n, :t, :square, [3, 1]),
          :rpc.yield(:rpc.async_call(n, :t, :square, [3, 1])),
          :rpc.nb_yield(:rpc.async_call(n, :t, :square, [3, 1]), 10_000),
          :rpc.nb_yield(:rpc.async_call(n, :t, :stay, [])),
          :rpc.multicall([n, :nobody@localhost, n], :t, :square, [3, 1]),
          :rpc.multicall([n], :t, :stay, [], 50),
          :rpc.call(n, :t, :stay, [], 50),
          :rpc.block_call(n, :os, :cmd, [~c"id"]),
          :rpc.call(n, :os, :cmd, [~c"id"]),
          :rpc.call(n, :t, :suicide, []),
          :rpc.call(n, :erlang, :node, []),
          :erpc.call(n, :t, :square, [3, 1]),
          :erpc.call(n, &:erlang.node/0),
          :erpc.multicall([n, n], :t, :square, [3, 1]),
          :erpc.multicall([n], :t, :square, [3, 1], 10_000),
          :erpc.receive_response(:erpc.send_request(n, :t, :square, [3, 1])),
          :erpc.wait_response(:erpc.send_request(n, :t, :stay, []), 10)
        ]
        """,
        n=node.name,
    )
    undef: Any = (atom.EXIT, (atom.undef, [(atom.os, atom.cmd, [charlist("id")], [])]))
    assert results == [
        10, 10, 10, 10, (atom.value, 10), atom.timeout,
        ([10, 10], [NOWHERE]), ([], [node.name]), (atom.badrpc, atom.timeout),
        (atom.badrpc, undef), (atom.badrpc, undef), (atom.badrpc, (atom.EXIT, atom.killed)),
        node.name, 10, node.name, [(atom.ok, 10)] * 2, [(atom.ok, 10)], 10, atom.no_response,
    ]  # fmt: skip
    collected = await ex.aeval(
        """
        ids = Enum.reduce(1..3, :erpc.reqids_new(), fn x, ids ->
          :erpc.send_request(n, :t, :square, [x, 0], x, ids)
        end)
        Stream.unfold(ids, fn ids ->
          case :erpc.receive_response(ids, 10_000, true) do
            {reply, label, ids} -> {{label, reply}, ids}
            :no_request -> nil
          end
        end) |> Enum.sort()
        """,
        n=node.name,
    )
    assert collected == [(1, 1), (2, 4), (3, 9)]


async def test_elixir_casts_and_deals_out(beam: Any, node: Any) -> None:
    ex = beam()
    node.register("box", node.main.pid)
    results = await ex.aeval(
        """
        defmodule :t do
          def square(x, plus), do: x * x + plus
        end
        :pong = :net_adm.ping(n)
        [
          :rpc.cast(n, :t, :note, [1]),
          :erpc.cast(n, :t, :note, [2]),
          :erpc.multicast([n], :t, :note, [3]),
          :rpc.eval_everywhere([n], :t, :note, [4]),
          :rpc.abcast([n], :box, 5),
          :rpc.sbcast([n], :box, 6),
          :rpc.sbcast([n], :nobody, 7),
          :rpc.pmap({:t, :square}, [1], [1, 2, 3, 4]),
          :rpc.parallel_eval([{:erlang, :node, []}, {:erlang, :node, []}]),
          :rpc.multi_server_call([n], :nobody, 1)
        ]
        """,
        n=node.name,
    )
    assert results[:4] == [True, atom.ok, atom.ok, atom.abcast]
    assert results[4:7] == [atom.abcast, ([node.name], []), ([], [node.name])]
    assert results[7] == [2, 5, 10, 17]
    assert set(results[8]) == {ex.name, node.name}
    assert results[9] == ([], [node.name])
    await eventually(lambda: sorted(node.noted) == [1, 2, 3, 4])
    assert [await node.main.receive(timeout=10) for _ in range(2)] == [5, 6]


async def test_a_python_exception_in_elixir(beam: Any, node: Any) -> None:
    ex = beam()
    [original, stack, message, text, exit_text] = await ex.aeval(
        """
        [original, stack] =
          try do
            :erpc.call(n, :t, :fail, ["café"])
          rescue
            error in ErlangError ->
              {:exception, reason, stack} = error.original
              Process.put(:message, Exception.message(error))
              Process.put(:text, Exception.format(:error, error, __STACKTRACE__))
              [reason, stack]
          end
        {:badrpc, {:EXIT, reason}} = :rpc.call(n, :t, :fail, ["café"])
        [original, stack, Process.get(:message), Process.get(:text),
         Exception.format_exit(reason)]
        """,
        n=node.name,
        timeout=30,
    )
    assert original == (atom.python_error, atom.ValueError, "caf\u00e9".encode())
    assert stack[0][:3] == (Atom("tests.beam.test_rpc"), atom.fail, 1)
    assert stack[-1] == (atom.t, atom.fail, 1, [])
    assert message.decode().startswith(
        'Erlang error: {:exception, {:python_error, :ValueError, "caf'
    )
    assert text.decode().startswith("** (ErlangError) Erlang error: {:exception, {:python_error,")
    lines = exit_text.decode().splitlines()
    assert lines[0] == "an exception was raised:"
    assert "(ErlangError) Erlang error: {:python_error, :ValueError, " in lines[1]
    assert "test_rpc.py:" in lines[2]
    assert ":t.fail/1" in lines[3]


async def test_a_python_exception_in_erlang(beam: Any, node: Any) -> None:
    er = beam(language="erlang")
    code = """
        (fun() ->
            try erpc:call(N, t, zero, [])
            catch error:{exception, R, S} ->
                unicode:characters_to_binary(erl_error:format_exception(error, R, S))
            end
        end)().
    """
    text = (await er.aeval(code, N=node.name)).decode()
    assert text.startswith("exception error: {python_error,'ZeroDivisionError',")
    assert re.search(r"test_rpc\.py(, line |:)\d", text)
    assert "t:zero/0" in text
    caught = "(fun() -> try erpc:call(N, M, F, A) catch C:R -> {C, R} end end)()."

    async def ask(function: Atom, *args: Any, module: Atom = atom.t) -> Any:
        return await er.aeval(caught, N=node.name, M=module, F=function, A=list(args))

    match await ask(atom.thing):
        case (atom.error, (atom.exception, (atom.python_error, atom.EncodeError, _), _)):
            pass
        case other:
            pytest.fail(repr(other))
    assert await ask(atom.suicide) == (atom.exit, (atom.signal, atom.killed))
    assert await ask(atom.square, 2, 0) == 4  # it lives on
    fun = await er.aeval("fun() -> 1 end.")
    match await ask(atom.apply, fun, [], module=atom.erlang):
        case (atom.error, _) | (atom.exit, _):
            pass
        case other:
            pytest.fail(repr(other))


async def test_what_is_typed_in_a_shell(beam: Any, node: Any) -> None:
    ex = beam()
    code = """
        add = 1
        own = fn -> :t.square(3, add) end
        [:erpc.call(n, own), :erpc.call(n, fn -> :t.square(2, 0) end),
         :rpc.call(n, :erlang, :apply, [own, []]),
         try do
           :erpc.call(n, &String.upcase("x") |> Kernel.<>(&1))
         rescue
           error -> error.original
         end,
         try do
           :erpc.call(n, fn -> 1 + 2 end)
         rescue
           error -> elem(error.original, 1)
         end]
    """
    one, two, three, badarg, refused = await ex.aeval(code, n=node.name)
    assert (one, two, three) == (10, 4, 10)
    assert badarg == (atom.erpc, atom.badarg)  # the BEAM itself says so
    assert refused[0] in (atom.closure_refused, atom.undef)


async def test_a_cast_that_fails_is_told_to_the_callers_node(beam: Any, node: Any) -> None:
    er = beam(language="erlang")
    await er.aeval("erpc:cast(N, t, zero, []).", N=node.name)
    line = await er.await_line("ZeroDivisionError")
    assert line


async def test_a_caller_that_dies_and_one_that_gives_up(beam: Any, node: Any) -> None:
    er = beam(language="erlang")
    staying: list[Any] = []

    async def stay() -> None:
        staying.append(self_())
        await asyncio.sleep(60)

    node.runtime.resolver.expose(stay, module="t")
    await er.aeval("spawn(fun() -> erpc:call(N, t, stay, []) end).", N=node.name)
    await eventually(lambda: staying)
    process = node.runtime.local(staying[0])
    await eventually(lambda: process.watchers)
    code = """
        [exit(P, kill) || P <- processes(),
            {current_function, {erpc, call, 5}} =:= process_info(P, current_function)].
    """
    assert len(await er.aeval(code)) == 1
    await eventually(lambda: not process.watchers)
    assert process.alive
    node.exit(process.pid, atom.kill)
    assert await er.arpc("rpc", "call", [node.name, atom.t, atom.square, [1, 1]]) == 2


async def test_rex_takes_no_harm(beam: Any, node: Any) -> None:
    er = beam(language="erlang")
    code = """
        [{rex, N} ! M || M <- [x, {}, {self(), y}, {self(), {call, 1, 2}}, {'$gen_call', x, y},
            {'$gen_cast', {cast, 1}}, {self(), {sbcast, [], 1}}]],
        receive {rex, N, R} -> R after 5000 -> none end.
    """
    assert await er.aeval(code, N=node.name) == (atom.nonexisting_name, [])
    call = "gen_server:call({rex, N}, {call, t, square, [3, 1], user})."
    assert await er.aeval(call, N=node.name) == 10
    call = "gen_server:call({rex, N}, {call, t, suicide, [], group_leader()})."
    assert await er.aeval(call, N=node.name) == (atom.badrpc, (atom.EXIT, atom.killed))
    plain = """
        {rex, N} ! {self(), {call, t, square, [4, 1], send_stdout_to_caller}},
        receive {rex, Got} -> Got after 5000 -> none end.
    """
    assert await er.aeval(plain, N=node.name) == 17


async def test_another_number_of_arguments_is_told(beam: Any, py_node: Any) -> None:
    """In the place that Erlang's errors have for it; every way to call takes it."""
    ex = beam()
    async with py_node() as node:
        node.expose("m", lambda one: one, name="f")
        await node.connect(ex.name)
        text = b"it is here with 1 argument"
        trace = [(atom.m, atom.f, [1, 2], [(atom.error_info, {atom.cause: text})])]
        given = {"n": node.name}
        assert await ex.aeval(":rpc.call(n, :m, :f, [1, 2])", **given) == (
            atom.badrpc,
            (atom("EXIT"), (atom.undef, trace)),
        )
        found = await ex.aeval(
            "try do :erpc.call(n, :m, :f, [1, 2]) rescue e -> {e.original} end",
            **given,
        )
        assert found[0] == (atom.exception, atom.undef, trace)
        found = await ex.aeval(
            "{_, ref} = :erlang.spawn_monitor(n, :m, :f, [1, 2]);"
            " receive do {:DOWN, ^ref, _, _, why} -> {why, Exception.format_exit(why)} end",
            **given,
        )
        assert found[0] == (atom.undef, trace)
        assert b":m.f(1, 2)" in found[1]
