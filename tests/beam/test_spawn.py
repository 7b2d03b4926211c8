"""Spawning across nodes with a real BEAM: into Python, out of Python, and what is printed where."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from pynode import Exit, ExportFun, Exports, Node, Pid, elixir, puts, self_, send
from pynode.dist import control as c
from pynode.process.spawn import PendingSpawn
from pynode.process.spawn_options import SpawnOptions, wanted
from pynode.terms import Atom, atom
from pynode.testing import Beam, eventually

HELLO = elixir("Hello")
DEADLINE = 15.0

hello = Exports(HELLO)


@hello.export
def world() -> None:
    assert threading.current_thread() is not threading.main_thread()
    puts("hello world")


@hello.export
def tell(to: Pid, *terms: Any) -> None:
    send(to, (atom.told, self_(), list(terms)))


@hello.export(name="exit")
async def end(reason: Any) -> None:
    raise Exit(reason)


@hello.export
def crash(text: bytes) -> None:
    raise ValueError(text.decode())


@hello.export(blocking=False)
def quick(to: Pid) -> None:
    send(to, threading.current_thread() is threading.main_thread())


async def run(ex: Beam, source: str, node: Node, **bindings: Any) -> Any:
    return await ex.aeval(source, n=node.name, **bindings, timeout=30)


# --------------------------------------------------------------------------- into Python


async def test_elixir_spawns_what_is_exposed(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node(expose=[hello]) as node:
        await node.connect(ex.name)
        got = "receive do {:told, ^pid, terms} -> terms after 9000 -> :nothing end"
        me = "me = self(); pid = "
        for spawned in (
            "Node.spawn(n, Hello, :tell, [me, 1, :a])",
            "Node.spawn_link(n, Hello, :tell, [me, 1, :a])",
            "elem(Node.spawn_monitor(n, Hello, :tell, [me, 1, :a]), 0)",
            ":erlang.spawn_opt(n, Hello, :tell, [me, 1, :a], [:link, priority: :low])",
            ":proc_lib.spawn(n, Hello, :tell, [me, 1, :a])",
            ":proc_lib.spawn(n, fn -> Hello.tell(me, 1, :a) end)",
            "Node.spawn_link(n, fn -> Hello.tell(me, 1, :a) end)",
            "Node.spawn(n, fn -> apply(Hello, :tell, [me, 1, :a]) end)",
            ":erlang.spawn_opt(n, fn -> Hello.tell(me, 1, :a) end, [:monitor]) |> elem(0)",
        ):
            assert await run(ex, f"{me}{spawned}; {got}", node) == [1, atom.a], spawned
        literals = """[-3, 2.5, "x" <> "é", ~c"abc", [1, 2 | :t], {:a, nil, true, {}}, [b: [c: 2]],
            %{1 => 2, 1.0 => %{a: 1}}, [], ?a, <<1, 2>>, &Hello.world/0, :"x y"]"""
        source = f"{me}Node.spawn(n, fn -> Hello.tell(me, {literals}) end); {got} == [{literals}]"
        assert await run(ex, source, node) is True
        assert await run(ex, "Node.spawn(n, Hello, :quick, [self()]); receive do x -> x end", node)


async def test_what_is_printed_comes_out_where_it_was_spawned(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node(expose=[hello]) as node:
        await node.connect(ex.name)
        ways = ["fn -> Hello.world end", "fn -> Hello.world() end", "&Hello.world/0"]
        for count, fun in enumerate(ways, 1):
            assert type(await run(ex, f"Node.spawn_link(n, {fun})", node)) is Pid
            await eventually(lambda count=count: ex.output.count("hello world") == count)


async def test_how_it_ends(beam: Any, py_node: Any, caplog: pytest.LogCaptureFixture) -> None:
    ex: Beam = beam()
    source = """
        {pid, ref} = Node.spawn_monitor(n, m, f, a)
        receive do {:DOWN, ^ref, :process, ^pid, reason} -> reason after 9000 -> :nothing end
    """

    async with py_node(expose=[hello]) as node:
        await node.connect(ex.name)

        async def ended(f: str, *args: Any, m: Atom = HELLO) -> Any:
            return await run(ex, source, node, m=m, f=Atom(f), a=list(args))

        assert await ended("tell", node.main.pid, 1) == atom.normal
        assert await ended("exit", (atom.my, [1])) == (atom.my, [1])
        assert await ended("exit", atom.kill) == atom.kill
        assert caplog.records == []  # a process may end with any reason: nothing of it is logged
        word, [frame] = await ended("world", 1)
        assert (word, frame[:3]) == (atom.undef, (HELLO, atom.world, [1]))
        cmd: Any = (atom.undef, [(atom.os, atom.cmd, [b"id"], [])])
        assert await ended("cmd", b"id", m=atom.os) == cmd
        (kind, name, text), stack = await ended("crash", "oops")
        assert (kind, name, text) == (atom.python_error, atom.ValueError, b"oops")
        assert stack[0][:3] == (Atom(__name__), Atom("crash"), 1)
        assert [r.getMessage().partition("crashed in ")[2][:13] for r in caplog.records] == [
            "Hello.world/1",
            "os:cmd/1: (at",
            "Hello.crash/1",
        ]
        # A BEAM's own report of a process of another node comes to the node of the group leader.
        assert await ex.await_line("oops", timeout=DEADLINE)
        linked = """
            Process.flag(:trap_exit, true)
            pid = Node.spawn_link(n, Hello, :exit, [:bye])
            receive do {:EXIT, ^pid, reason} -> reason after 9000 -> :nothing end
        """
        assert await run(ex, linked, node) == atom.bye
        both = """
            Process.flag(:trap_exit, true)
            ref = :erlang.spawn_request(n, Hello, :exit, [:bye],
                [:link, {:reply_tag, :mine}, monitor: [tag: {:gone, 1}]])
            for _ <- 1..3, do: (receive do m -> m after 9000 -> :nothing end)
        """
        (mine, ref, ok, pid), exited, down = await run(ex, both, node)
        assert (mine, ok) == (atom.mine, atom.ok)
        assert exited == (atom.EXIT, pid, atom.bye)
        assert down == ((atom.gone, 1), ref, atom.process, pid, atom.bye)
        badopt = "try do :erlang.spawn_opt(n, Hello, :world, [], [:zz]) rescue e -> e end"
        assert (await run(ex, badopt, node))[Atom("__struct__")] == elixir("ArgumentError")


async def test_closures_that_cannot_run(
    beam: Any, py_node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ex: Beam = beam()
    source = """
        {{pid, ref}} = Node.spawn_monitor(n, {})
        receive do {{:DOWN, ^ref, :process, ^pid, reason}} -> reason after 9000 -> :nothing end
    """
    ran: list[Any] = []
    async with py_node(expose={HELLO: {"world": lambda *args: ran.append(args)}}) as node:
        await node.connect(ex.name)
        for fun, why in (
            ("fn -> 1 + 1 end", b"its body is not one call"),
            ("fn -> Hello.world; Hello.world end", b"its body is more than one call"),
            ("fn -> Hello.world(self()) end", b"not a literal, but has a call"),
            ("fn -> Hello.world(fn -> 1 end) end", b"a closure"),
            ('fn -> Hello.world("#{n}") end', b"not a literal"),
            ("(fn f -> fn -> f.(1) end end).(&IO.puts/1)", b"not one call"),
        ):
            (reason, text), stack = await run(ex, source.format(fun), node)
            assert (reason, stack) == (atom.closure_refused, [(*APPLY, 2, [])])
            assert why in text, fun
            assert b"&Mod.fun/arity" in text
        compiled = "defmodule Compiled do def fun, do: fn -> Hello.world end end; "
        (reason, text), _ = await run(ex, compiled + source.format("Compiled.fun()"), node)
        assert reason == atom.closure_refused
        assert b"a closure of Elixir.Compiled is code of the node that made it" in text
        reason = await run(ex, source.format("fn -> IO.puts(1) end"), node)
        assert reason == (atom.undef, [(elixir("IO"), atom.puts, [1], [])])
        assert ran == []
        assert "its body is not one call" in caplog.records[0].getMessage()


async def test_funs_of_the_shells(beam: Any, py_node: Any) -> None:
    """iex, ``elixir -e`` and erl's shell each send their own form of the same fun."""
    ex: Beam = beam()
    got: list[Any] = []

    def note(term: Any) -> None:
        got.append(term)
        puts("hello world")

    async with py_node(expose={HELLO: {"note": note}, "hello": {"note": note}}) as node:
        name, cookie = node.name, node.config.cookie.decode()
        elixirs = f"""x = :some; {{_, r}} = Node.spawn_monitor(:"{name}", fn -> \
            Hello.note({{:it, x, "s"}}) end); receive do {{:DOWN, ^r, _, _, _}} -> \
            IO.puts("that was all"); System.halt(0) end\n""".replace("\\\n", "")
        erlangs = f"""X = some, {{_, R}} = spawn_monitor('{name}', fun() ->
            hello:note({{it, X, <<"s">>}}) end), receive {{'DOWN', R, _, _, _}} ->
            io:put_chars("that was all\n"), halt() end.\n"""
        for program, words, typed in (
            ("iex", ("--sname", "one@localhost", "--cookie", cookie), elixirs),
            ("elixir", ("--sname", "two@localhost", "--cookie", cookie, "-e", elixirs), ""),
            ("erl", ("-sname", "three@localhost", "-setcookie", cookie), erlangs),
        ):
            written = await _shell(ex, program, words, typed)
            assert got == [(atom.it, atom.some, b"s")], written
            assert written.count("hello world") == 1, written
            got.clear()


async def _shell(ex: Beam, program: str, words: tuple[str, ...], typed: str) -> str:
    """Type into a shell, and return what it wrote until it ended."""
    process = await asyncio.create_subprocess_exec(
        *ex.release.command(program, *words),
        env=dict(os.environ, ERL_EPMD_PORT=str(ex.epmd_port), TERM="dumb"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        written, _ = await asyncio.wait_for(process.communicate(typed.encode()), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return written.decode()


# --------------------------------------------------------------------------- out of Python


async def test_python_spawns_on_a_beam(
    beam: Any, py_node: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ex: Beam = beam()
    there, lists = ex.name, atom.lists
    async with py_node() as node:
        mine = node.runtime.spawn(None, trap_exit=True)

        async def next_() -> Any:
            return await mine.receive(timeout=DEADLINE)

        async def as_mine(function: Any, *args: Any) -> Any:
            task = mine.own_context().run(asyncio.ensure_future, function(*args))
            return await task

        pid = await node.spawn(there, "Elixir.IO", "puts", ["hello world"])
        assert pid.node == there
        await eventually(lambda: "hello world" in capsys.readouterr().out)
        pid = await as_mine(node.spawn_link, there, "erlang", "exit", [atom.bye])
        assert await next_() == (atom.EXIT, pid, atom.bye)
        pid, ref = await as_mine(node.spawn_monitor, there, "erlang", "exit", [(1, b"x")])
        assert await next_() == (atom.DOWN, ref, atom.process, pid, (1, b"x"))
        pid, ref = await as_mine(node.spawn_monitor, there, ExportFun("erlang", "node", 0))
        assert await next_() == (atom.DOWN, ref, atom.process, pid, atom.normal)
        pid, ref = await as_mine(node.spawn_monitor, there, "no", "such", [1])
        undef: Any = (atom.undef, [(atom.no, atom.such, [1], [])])
        assert (await next_())[4] == undef
        options: list[Any] = ["link", ("monitor", [("tag", atom.my), ("alias", "reply_demonitor")])]
        options += [("priority", "high"), ("min_heap_size", 4000)]
        pid, ref = await as_mine(node.spawn_opt, there, "timer", "sleep", [atom.infinity], options)
        assert await ex.aeval("Process.info(p, :priority)", p=pid) == (atom.priority, atom.high)
        assert await ex.aeval("Process.info(p, :links)", p=pid) == (atom.links, [mine.pid])
        node.runtime.exit(mine, pid, atom.bye)
        assert await next_() == (atom.EXIT, pid, atom.bye)
        assert await next_() == (atom.my, ref, atom.process, pid, atom.bye)
        with pytest.raises(ValueError, match="badopt"):
            await node.spawn_opt(there, lists, atom.seq, [1, 2], ["zz"])
        assert mine.mailbox is None or not mine.mailbox.total()


async def test_spawn_requests_of_python(beam: Any, py_node: Any) -> None:
    ex: Beam = beam(language="erlang")
    async with py_node() as node:

        async def reply() -> Any:
            return await node.main.receive(timeout=DEADLINE)

        ref = node.spawn_request(ex.name, "erlang", "node")
        assert (await reply())[:3] == (atom.spawn_reply, ref, atom.ok)
        ref = node.spawn_request(ex.name, "erlang", "node", [], [("reply_tag", (1, 2))])
        assert (await reply())[:3] == ((1, 2), ref, atom.ok)
        ref = node.spawn_request(ex.name, "erlang", "node", [], ["zz"])
        assert await reply() == (atom.spawn_reply, ref, atom.error, atom.badopt)
        node.spawn_request(ex.name, "erlang", "node", [], [("reply", "no")])
        node.spawn_request(ex.name, "erlang", "node", [], [("reply", "error_only")])
        ref = node.spawn_request(ex.name, "erlang", "node", [], [("reply", "success_only")])
        assert (await reply())[:3] == (atom.spawn_reply, ref, atom.ok)
        ref = node.spawn_request(ex.name, "erlang", "node", [], ["zz", ("reply", "error_only")])
        assert await reply() == (atom.spawn_reply, ref, atom.error, atom.badopt)
        sleep: Any = (ex.name, "timer", "sleep", [60_000])
        ref = node.spawn_request(*sleep, ["link"])
        assert node.spawn_request_abandon(ref)
        assert not node.spawn_request_abandon(ref)
        fun = ExportFun("erlang", "node", 0)
        ref = node.spawn_request(ex.name, fun, ["monitor"])
        _, _, _, pid = await reply()
        assert await reply() == (atom.DOWN, ref, atom.process, pid, atom.normal)
        assert node.runtime.process_info(node.main.pid)["links"] == []


async def test_a_node_that_cannot_be_reached(
    py_node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with py_node() as node:
        pid, ref = await node.spawn_monitor("nobody@localhost", "m", "f", [])
        assert pid.node == node.name
        down = (atom.DOWN, ref, atom.process, pid, atom.noconnection)
        assert await node.main.receive(timeout=DEADLINE) == down
        assert "cannot spawn m:f/0 on nobody@localhost: noconnection" in caplog.text
        node.main.trap_exit = True
        pid = await node.spawn_link("nobody@localhost", "m", "f", [])
        assert await node.main.receive(timeout=DEADLINE) == (atom.EXIT, pid, atom.noconnection)


OPTIONS: list[Any] = [
    [atom.link, atom.link],
    [atom.monitor, (atom.monitor, [])],
    [(atom.monitor, [atom.x])],
    [(atom.monitor, [(atom.tag, 1), (atom.alias, atom.demonitor)])],
    [(atom.monitor, [(atom.alias, atom.x)])],
    [(atom.monitor, 1)],
    [(atom.link, 1)],
    *([(atom.priority, value)] for value in (atom.max, atom.low, atom.zz, 1)),
    *([(atom.min_heap_size, value)] for value in (0, 4000, -1, 1 << 70, atom.x, True)),
    *([(atom.min_bin_vheap_size, value)] for value in (5, -5)),
    *([(atom.fullsweep_after, value)] for value in (0, -1, 70000, True)),
    *([(atom.max_heap_size, value)] for value in (0, 1, 100_000, -1, atom.x)),
    *(
        [(atom.max_heap_size, value)]
        for value in (
            {atom.size: 100_000, atom.kill: True, atom.error_logger: False, atom.zz: 1},
            {atom.size: 1},
            {atom.kill: True},
            {atom.size: 100_000, atom.kill: 1},
            {},
        )
    ),
    [(atom.max_heap_size, 300), (atom.min_heap_size, 400)],
    *([(atom.message_queue_data, value)] for value in (atom.on_heap, atom.off_heap, atom.x)),
    *([(atom.scheduler, value)] for value in (1, 0, atom.x)),
    [(atom.reply, atom.no)],
    [(atom.reply_tag, 1)],
    [atom.zz],
    [(atom.zz, 1)],
    [(atom.priority, atom.low, 1)],
    [1],
    [[]],
    [(atom.priority, atom.zz), (atom.priority, atom.low)],
]


async def test_options_are_refused_where_a_beam_refuses_them(beam: Any, py_node: Any) -> None:
    ex: Beam = beam(language="erlang")
    options = list(OPTIONS)
    if ex.otp_release >= 27:
        options += [[(atom.async_dist, value)] for value in (True, False, atom.x)]
    if ex.otp_release >= 29:
        options += [[(name, value)] for name in (atom.link, atom.monitor)
                    for value in ([], [atom.priority], [atom.x])]  # fmt: skip
    async with py_node() as node:
        await node.connect(ex.name)
        for given in options:
            assert (wanted(given) is not None) == await _takes(node, ex, given), given


async def _takes(node: Node, ex: Beam, options: list[Any]) -> bool:
    runtime, main = node.runtime, node.main
    pending = PendingSpawn(main, runtime.make_ref(), SpawnOptions())
    pending.options.wire = options
    runtime.spawning.request(pending, ex.name, atom.erlang, atom.node, [])
    reply = await main.receive(timeout=DEADLINE)
    assert reply[:2] == (atom.spawn_reply, pending.ref)
    assert reply[2] == atom.ok or reply[3] == atom.badopt
    return bool(reply[2] == atom.ok)


APPLY = (atom.erlang, atom.apply)
_ME = Pid(Atom("x@y"), 1, 0, 4)
WRONG: list[Any] = [
    ((atom.m, atom.f, 1), [1, 2]),
    ((atom.m, atom.f, 2), [1]),
    ((atom.m, atom.f, -1), []),
    ((True, atom.f, 0), []),
    ((*APPLY, 2), [ExportFun("m", "f", 1), []]),
    ((*APPLY, 2), [ExportFun("m", "f", 0), []]),
    ((*APPLY, 2), [1, []]),
    ((*APPLY, 2), [(atom.m, atom.f), []]),
    ((*APPLY, 3), [atom.m, atom.f, [1]]),
    ((atom.m, atom.f, 1), atom.x),
    ((*APPLY, 2), [ExportFun("m", "f", 0), atom.x]),
    ((*APPLY, 3), [atom.m, atom.f, atom.x]),
    ((*APPLY, 3), [1, atom.f, []]),
]


async def test_bad_requests_end_as_on_a_beam(
    beam: Any, py_node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ex: Beam = beam(language="erlang")
    async with py_node() as node, py_node() as other:
        for mfa, args in WRONG:
            reasons = [await _ended(node, where, mfa, args) for where in (ex.name, other.name)]
            if type(reasons[0]) is tuple and reasons[0][0] == atom.badarg:
                # Its stack says more on a BEAM.
                reasons = [(why, [stack[0][:3]]) for why, stack in reasons]
            assert reasons[0] == reasons[1], (mfa, args)


async def _ended(node: Node, where: Atom, mfa: Any, args: Any) -> Any:
    runtime, main = node.runtime, node.main
    pending = PendingSpawn(main, runtime.make_ref(), SpawnOptions())
    pending.options.monitor = True
    request = c.SpawnRequest(pending.ref, main.pid, main.group_leader, mfa, [atom.monitor])
    runtime.router.send(main, where, request, args)
    runtime.nodes.remote(where).spawns[pending.ref] = pending
    assert (await main.receive(timeout=DEADLINE))[:2] == (atom.spawn_reply, pending.ref)
    down = await main.receive(timeout=DEADLINE)
    assert down[1] == pending.ref
    return down[4]
