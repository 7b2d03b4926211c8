"""GenServers of either language, called from the other one."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pynode.behaviours import GenServer, Requests, gen
from pynode.behaviours.requests import send_request
from pynode.errors import (
    NO_REPLY,
    AlreadyStarted,
    CallExit,
    CallTimeout,
    Exit,
    FunctionClause,
    NoConnection,
    NoProcess,
    StartError,
    StartIgnored,
    Stop,
)
from pynode.node import Node
from pynode.terms import Pid, atom, elixir, identical
from pynode.testing import Beam, eventually
from tests.beam.compiled import load
from tests.beam.meshes import erl
from tests.beam.server_twins import DRIVER as ENDS_DRIVER, SERVER as ENDS, Ends

GLOBAL = atom("global")

ELIXIR_SERVER = """
defmodule Counter do
  use GenServer
  def init(:refuse), do: {:stop, :refused}
  def init(count), do: {:ok, count}
  def handle_call(:bump, _from, count), do: {:reply, count + 1, count + 1}
  def handle_call(:seen, _from, count), do: {:reply, count, count}
  def handle_call({:echo, term}, _from, count), do: {:reply, term, count}
  def handle_call(:silent, _from, count), do: {:noreply, count}
  def handle_call({:stop, reason}, _from, count), do: {:stop, reason, count}
  def handle_call({:late, ms}, from, count) do
    Process.send_after(self(), {:reply, from}, ms)
    {:noreply, count}
  end
  def handle_cast({:add, n}, count), do: {:noreply, count + n}
  def handle_info({:reply, from}, count) do
    GenServer.reply(from, :late)
    {:noreply, count}
  end
end
{:ok, counter} = GenServer.start(Counter, 10, name: :counter)
counter
"""


class Counter(GenServer):
    count: int
    waiting: gen.Caller

    def init(self, first: int) -> None:
        self.count = first

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        match request:
            case atom.bump:
                self.count += 1
                return self.count
            case (atom.echo, term):
                return term
            case atom.later:
                self.waiting = caller
                return NO_REPLY
            case atom.now:
                self.waiting.reply(atom.at_last)
                return atom.ok
            case atom.pass_on:
                return caller.term
            case (atom.stop, reason):
                raise Stop(reason, reply=atom.bye)
            case (atom.exit, reason):
                raise Exit(reason)
            case atom.crash:
                raise ValueError("caf\xe9")
            case _:
                raise FunctionClause(request)

    def handle_cast(self, request: Any) -> None:
        self.count += request


async def elixir_counter(ex: Beam) -> Pid:
    found: Pid = await ex.aeval(ELIXIR_SERVER)
    return found


async def caught_exit(ex: Beam, code: str, **bindings: Any) -> Any:
    """Evaluate, and return the reason it exits with."""
    return await ex.aeval(
        f"try do {code} catch :exit, reason -> reason else x -> {{:no_exit, x}} end", **bindings
    )


def watched(node: Node, pid: Pid) -> bool:
    process = node.runtime.local(pid)
    return process is not None and bool(process.watchers)


# --------------------------------------------------------------------------- Elixir calls Python


async def test_elixir_calls_and_casts(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await node.start(Counter, 10, name="counter")
        here = node.name
        assert await ex.aeval("GenServer.call(pid, :bump)", pid=pid) == 11
        assert await ex.aeval("GenServer.call({:counter, node}, :bump)", node=here) == 12
        assert await ex.aeval(":gen_server.call(pid, :bump, :infinity)", pid=pid) == 13
        assert await ex.aeval("GenServer.cast(pid, 7)", pid=pid) == atom.ok
        assert await ex.aeval("GenServer.cast({:counter, node}, 10)", node=here) == atom.ok
        assert await ex.aeval("GenServer.call(pid, :bump)", pid=pid) == 31
        term = [1, 1.5, None, True, (atom.a, b"b"), {b"k": [atom.v]}]
        assert await ex.aeval("GenServer.call(pid, {:echo, t})", pid=pid, t=term) == term
        await eventually(lambda: not watched(node, pid))


async def test_a_reply_given_later_and_one_given_by_elixir(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await node.start(Counter, 0)
        waiting = asyncio.create_task(ex.aeval("GenServer.call(pid, :later)", pid=pid))
        server = node.runtime.local(pid)
        await eventually(lambda: hasattr(server.body.instance, "waiting"))
        assert await ex.shell().aeval("GenServer.call(pid, :now)", pid=pid) == atom.ok
        assert await waiting == atom.at_last
        # A From that travels: somebody else answers.
        code = """
        me = self()
        spawn(fn -> send(me, {:got, GenServer.call(pid, :later)}) end)
        """
        await ex.aeval(code, pid=pid)
        await eventually(lambda: watched(node, pid))
        await ex.aeval("GenServer.call(pid, :now)", pid=pid)
        assert await ex.aeval("receive do x -> x after 5000 -> :none end") == (
            atom.got,
            atom.at_last,
        )


async def test_a_global_name_from_the_start(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await node.start(Counter, 0, name=("global", b"counter"))

        async def known() -> bool:
            return bool(await ex.aeval(':global.whereis_name("counter")') == pid)

        await eventually(known)
        assert await ex.aeval('GenServer.call({:global, "counter"}, :bump)') == 1
        # Of one process, so that the call comes after the cast.
        code = "GenServer.cast(name, 1); GenServer.call(name, :bump)"
        assert await ex.aeval(code, name=(GLOBAL, b"counter")) == 3
        assert await node.call(("global", b"counter"), atom.bump) == 4
        with pytest.raises(AlreadyStarted) as caught:
            await node.start(Counter, 0, name=("global", b"counter"))
        assert caught.value.pid == pid
        assert await ex.aeval('GenServer.stop({:global, "counter"})') == atom.ok
        await node.start(Counter, 0, name=("global", b"counter"))


async def test_names_that_nobody_has_are_noproc_at_once(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        reason = await caught_exit(
            ex, "GenServer.call({:nobody, node}, 1, :infinity)", node=node.name
        )
        assert reason[0] == atom.noproc
        dead = await node.start(Counter, 0)
        await node.stop_server(dead)
        reason = await caught_exit(ex, "GenServer.call(pid, 1, :infinity)", pid=dead)
        assert reason[0] == atom.noproc
        code = "GenServer.multi_call([node(), node], :nobody, 1)"
        replies, bad = await ex.aeval(code, node=node.name)
        assert replies == []
        assert set(bad) == {ex.name, node.name}


async def test_how_a_server_ends_is_seen_by_elixir(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)

        async def fresh() -> Pid:
            pid: Pid = await node.start(Counter, 0)
            return pid

        pid = await fresh()
        code = """
        ref = Process.monitor(pid)
        reply = GenServer.call(pid, {:stop, {:shutdown, 1}})
        receive do {:DOWN, ^ref, _, _, reason} -> {reply, reason} after 5000 -> :none end
        """
        assert await ex.aeval(code, pid=pid) == (atom.bye, (atom.shutdown, 1))
        reason = await caught_exit(ex, "GenServer.call(pid, {:exit, :enough})", pid=await fresh())
        assert reason[0] == atom.enough
        pid = await fresh()
        reason = await caught_exit(ex, "GenServer.call(pid, :nonsense)", pid=pid)
        assert reason[0][0] == atom.function_clause
        assert reason[1][:2] == (elixir("GenServer"), atom.call)


async def test_elixirs_formatter_prints_the_python_stack(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await node.start(Counter, 0)
        code = "GenServer.call(pid, :crash)"
        text = await ex.aeval(
            f"try do {code} catch :exit, reason -> Exception.format_exit(reason) end",
            pid=pid,
            text=True,
        )
        assert "ValueError" in text
        assert "café" in text
        assert "test_gen_server.py:" in text
        assert '"Counter.handle_call"/3' in text


async def test_stop_from_elixir_and_erlang(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid: Any = None
        for code in (
            "GenServer.stop(pid)",
            "GenServer.stop(pid, :shutdown, 5000)",
            ":gen_server.stop(pid, {:shutdown, :x}, :infinity)",
            ":proc_lib.stop(pid)",
        ):
            pid = await node.start(Counter, 0)
            assert await ex.aeval(code, pid=pid) == atom.ok
            assert not node.runtime.is_alive(pid)
        assert await caught_exit(ex, "GenServer.stop(pid)", pid=pid) in (
            atom.noproc,
            (atom.noproc, (elixir("GenServer"), atom.stop, [pid, atom.normal, atom.infinity])),
        )


async def test_multi_call_and_send_request_from_elixir(beam: Any, py_node: Any) -> None:
    ex = beam()
    await elixir_counter(ex)
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await node.start(Counter, 100, name="counter")
        for code in (
            "GenServer.multi_call([node(), n], :counter, :bump, 5000)",
            "GenServer.multi_call([node(), n], :counter, :bump)",
        ):
            replies, bad = await ex.aeval(code, n=node.name)
            assert bad == []
            assert {name for name, _ in replies} == {ex.name, node.name}
        code = """
        requests = for n <- 1..3, do: :gen_server.send_request(pid, {:echo, n})
        for r <- requests, do: :gen_server.receive_response(r, 5000)
        """
        assert await ex.aeval(code, pid=pid) == [(atom.reply, n) for n in (1, 2, 3)]
        await eventually(lambda: not watched(node, pid))


async def test_a_thousand_calls_leave_nothing(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await node.start(Counter, 0)
        code = "for _ <- 1..1000, do: GenServer.call(pid, :bump)"
        assert await ex.aeval(code, pid=pid) == list(range(1, 1001))
        code = "for n <- 1..1000, do: GenServer.cast(pid, n)"
        await ex.aeval(code, pid=pid)
        assert await ex.aeval("GenServer.call(pid, :bump)", pid=pid) == 501501
        await eventually(lambda: not watched(node, pid))


async def test_text_and_blocking_servers_answer_elixir(beam: Any, py_node: Any) -> None:
    class Words(GenServer, text=True, blocking=True):
        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            assert isinstance(request, str)
            return request.upper()

    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        pid = await node.start(Words)
        assert await ex.aeval('GenServer.call(pid, "café")', pid=pid, text=True) == "CAFÉ"


# --------------------------------------------------------------------------- Python calls Elixir


async def test_python_calls_by_every_kind_of_name(beam: Any, py_node: Any) -> None:
    ex = beam()
    pid = await elixir_counter(ex)
    await ex.aeval(':global.register_name(~c"counter", counter)')
    async with py_node() as node:
        await node.connect(ex.name)
        assert await node.call(pid, atom.bump) == 11
        assert await node.call(("counter", ex.name), atom.bump) == 12
        assert await node.call(("counter", str(ex.name)), atom.bump) == 13
        charlist = [ord(c) for c in "counter"]

        async def known() -> bool:
            return bool(node.global_.lookup(charlist) == pid)

        await eventually(known)
        assert await node.call(("global", charlist), atom.bump) == 14
        assert await node.call(("via", "global", charlist), atom.bump) == 15
        node.cast(("global", charlist), (atom.add, 5))
        node.cast(("counter", ex.name), (atom.add, 5))
        node.cast(pid, (atom.add, 5))
        assert await node.call(pid, atom.seen) == 30
        text = await node.call(pid, (atom.echo, [b"caf\xc3\xa9", b"\xff"]), text=True)
        assert text == ["café", b"\xff"]


async def test_python_sees_how_a_call_ends(beam: Any, py_node: Any) -> None:
    ex = beam()
    pid = await elixir_counter(ex)
    async with py_node() as node:
        await node.connect(ex.name)
        with pytest.raises(NoProcess):
            await node.call(("nobody", ex.name), 1)
        with pytest.raises(CallTimeout):
            await node.call(pid, atom.silent, timeout=0.01)
        with pytest.raises(CallTimeout):
            await node.call(pid, (atom.late, 30), timeout=0.001)
        assert await node.call(pid, (atom.late, 1)) == atom.late
        with pytest.raises(CallExit) as caught:
            await node.call(pid, (atom.stop, (atom.my, b"reason")))
        assert caught.value.reason == (atom.my, b"reason")
        with pytest.raises(NoProcess):
            await node.call(pid, 1)
        assert node.main.mailbox is None or node.main.mailbox.total() == 0
        assert not node.main.monitors


async def test_a_failed_call_says_what_the_server_raised(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        await ex.aeval("""
            defmodule Raiser do
              use GenServer
              def init(_), do: {:ok, nil}
              def handle_call(:raise, _, _), do: raise(ArgumentError, "bad é")
              def handle_call(:badarith, _, _), do: :erlang.error(:badarith)
            end
            for n <- [:r1, :r2], do: {:ok, _} = GenServer.start(Raiser, nil, name: n)
        """)
        with pytest.raises(CallExit) as caught:
            await node.call(("r1", ex.name), atom("raise"))
        assert str(caught.value).startswith(
            f"ArgumentError on {ex.name}: bad \xe9, in gen_server:call(('r1', "
        )
        [note] = caught.value.__notes__
        assert note.startswith(f"stack on {ex.name}:\n  Raiser.handle_call/3 (")
        with pytest.raises(CallExit) as caught:
            await node.call(("r2", ex.name), atom.badarith)
        assert str(caught.value).startswith(f"error on {ex.name}: atom.badarith in (")
        assert caught.value.reason[0] == atom.badarith


async def test_calls_in_flight_when_the_node_goes_down(beam: Any, py_node: Any) -> None:
    ex = beam()
    pid = await elixir_counter(ex)
    async with py_node() as node:
        await node.connect(ex.name)
        calls = [
            asyncio.create_task(node.call(dest, atom.silent, timeout=None))
            for dest in (pid, ("counter", ex.name), pid)
        ]
        many = asyncio.create_task(gen.multi_call(node.main, [ex.name], "counter", atom.silent))
        request = send_request(node.main, pid, atom.silent)
        await node.call(pid, atom.bump)  # the others are there
        ex.kill()
        for call in calls:
            with pytest.raises(NoConnection) as caught:
                await call
            assert caught.value.reason == (atom.nodedown, ex.name)
        assert await many == ([], [ex.name])
        with pytest.raises(NoConnection):
            await request.receive_response(10)
        assert not node.main.monitors


async def test_python_stops_multi_calls_and_requests(beam: Any, py_node: Any) -> None:
    ex = beam()
    pid = await elixir_counter(ex)
    async with py_node() as node:
        await node.connect(ex.name)
        await node.start(Counter, 0, name="counter")
        replies, bad = await gen.multi_call(
            node.main, [ex.name, node.name, "nowhere@localhost"], "counter", atom.bump, 10
        )
        assert replies == [(ex.name, 11), (node.name, 1)]
        assert bad == [atom("nowhere@localhost")]
        gen.abcast(node.main, [ex.name, node.name], "nobody", 1)
        requests = Requests()
        for number in range(5):
            send_request(node.main, pid, (atom.echo, number), label=number, collection=requests)
        while (answer := await requests.receive_response(10)) is not None:
            assert answer.result() == answer.label
        await node.stop_server(pid, atom.shutdown, timeout=10)
        with pytest.raises(NoProcess):
            await node.stop_server(("counter", ex.name))


# --------------------------------------------------------------------------- either language

REASONS = (atom.normal, atom.shutdown, (atom.shutdown, 1), atom.odd, (atom.a, atom.b))
CONTINUE = atom("continue")


def endings() -> list[tuple[Any, Any, Any]]:
    """Return how a server begins, and what is then done to it."""
    acts: list[Any] = [
        (atom.call, atom.later),
        (atom.exit, atom.kill),
        (atom.wait, (atom.timeout, 20)),
    ]
    for reason in REASONS:
        acts += [(atom.stop, reason), (atom.exit, reason)]
        for how in (atom.call, atom.cast, atom.info):
            acts += [(how, (atom.stop, reason)), (how, (atom.exit, reason))]
            acts.append((how, (CONTINUE, (atom.do, (atom.stop, reason)))))
        acts.append((atom.call, (atom.stop, reason, atom.bye)))
    for how in (atom.call, atom.cast, atom.info):
        acts += [(how, atom.crash), (how, atom.rubbish), (how, atom.hello)]
        acts += [(how, (CONTINUE, 1)), (how, (CONTINUE, (atom.do, atom.crash)))]
    found = [(trap, atom.ok, act) for act in acts for trap in (False, True)]
    begins: list[Any] = [atom.ignore, (CONTINUE, 2), (CONTINUE, (atom.do, atom.crash))]
    begins += [(word, reason) for word in (atom.stop, atom.exit) for reason in REASONS]
    return found + [(False, begin, (atom.call, atom.hello)) for begin in begins]


async def test_servers_of_either_language_end_alike(
    beam: Any, py_node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Which callbacks run, what the caller gets, and with what reason the process ends."""
    caplog.set_level(logging.CRITICAL, "pynode.process")
    ex = erl(beam)
    await load(ex, ENDS)
    await load(ex, ENDS_DRIVER)
    await ex.aeval("logger:set_primary_config(level, none).")
    async with py_node() as node:
        await node.connect(ex.name)
        cases = endings()
        theirs = await ex.aeval("ends_driver:alone(Cases).", Cases=cases, timeout=60)
        pids = await ex.aeval("ends_driver:waiting(Count).", Count=len(cases))
        run = []
        for told, (trap, begin, act) in zip(pids, cases, strict=True):
            pid: Any
            try:
                pid = await node.start(Ends, told, trap, begin)
            except StartIgnored:
                pid = atom.ignore
            except StartError as error:
                pid = (atom.error, error.reason)
            run.append((told, pid, act))
        ours = await ex.aeval("ends_driver:run(Run).", Run=run, timeout=60)
        for case, one, other in zip(cases, theirs, ours, strict=True):
            assert identical(one, other), f"{case!r}: BEAM {one!r}, Python {other!r}"
