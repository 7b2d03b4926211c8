"""Spawning between two Python nodes, by the words of a node, of a process and of a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pynode import (
    EncodeError,
    Exit,
    ExportFun,
    Exports,
    Node,
    Pid,
    elixir,
    puts,
    self_,
    send,
    spawn,
    spawn_link,
    spawn_monitor,
    spawn_opt,
    wait,
)
from pynode.process.process import Process
from pynode.terms import Atom, atom
from pynode.testing import eventually, receives

HELLO = elixir("Hello")
DEADLINE = 10.0

hello = Exports(HELLO)


@hello.export
def world() -> None:
    puts("hello world")


@hello.export
async def tell(to: Pid, term: Any = None) -> None:
    send(to, (self_(), term))


@hello.export
async def leave(reason: Any) -> None:
    raise Exit(reason)


@contextlib.asynccontextmanager
async def two(py_node: Any) -> AsyncIterator[tuple[Node, Node]]:
    async with py_node() as node, py_node(expose=[hello]) as other:
        await node.connect(other.name)
        yield node, other


async def test_the_words_of_a_node(py_node: Any) -> None:
    async with two(py_node) as (node, other):
        me = node.main.pid
        for where in (other, node):
            if where is node:
                node.expose(hello)  # the own node is asked in the same words
            there = where.name
            pid = await node.spawn(there, HELLO, "tell", [me, 1])
            assert pid.node == there
            await receives(node.main, (pid, 1))
            pid = await node.spawn(str(there), "Elixir.Hello", atom.tell, (me,))
            await receives(node.main, (pid, None))
            node.main.trap_exit = True
            pid = await node.spawn_link(there, HELLO, "leave", [atom.bye])
            await receives(node.main, (atom.EXIT, pid, atom.bye))
            pid, ref = await node.spawn_monitor(there, HELLO, "leave", [(1, b"x")])
            await receives(node.main, (atom.DOWN, ref, atom.process, pid, (1, b"x")))
            pid, ref = await node.spawn_monitor(there, ExportFun("Elixir.Hello", "nobody", 0))
            undef: Any = (atom.undef, [(HELLO, atom.nobody, [], [])])
            await receives(node.main, (atom.DOWN, ref, atom.process, pid, undef))
            found = await node.spawn_opt(there, HELLO, "leave", [atom.bye], ["monitor", "link"])
            assert isinstance(found, tuple)
            await receives(node.main, (atom.EXIT, found[0], atom.bye))
            await receives(node.main, (atom.DOWN, found[1], atom.process, found[0], atom.bye))
            bare = await node.spawn_opt(there, ExportFun("Elixir.Hello", "world", 0), [])
            assert isinstance(bare, Pid)
            ref = node.spawn_request(there, HELLO, "tell", [me], ["monitor"])
            _, got, _, pid = await node.main.receive(timeout=DEADLINE)
            assert got == ref
            await receives(node.main, (pid, None))
            await receives(node.main, (atom.DOWN, ref, atom.process, pid, atom.normal))
            assert not node.spawn_request_abandon(ref)


async def test_the_output_comes_out_where_it_was_spawned(
    py_node: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with two(py_node) as (node, other):
        written: list[str] = []
        other.services.user.write = written.append
        await node.spawn_link(other.name, HELLO, "world")
        await eventually(lambda: capsys.readouterr().out == "hello world\n")
        assert written == []


async def test_the_words_of_a_process(py_node: Any) -> None:
    async with two(py_node) as (node, other):
        there, main = other.name, node.main.pid
        parents: list[Any] = []

        async def body(process: Process) -> None:
            pid = await spawn(there, HELLO, "tell", [process.pid, 1])
            assert await process.receive(timeout=DEADLINE) == (pid, 1)
            await spawn_link(there, HELLO, "leave", [atom.normal])
            pid, ref = await spawn_monitor(there, HELLO, "leave", [atom.bye])
            down = (atom.DOWN, ref, atom.process, pid, atom.bye)
            assert await process.receive(timeout=DEADLINE) == down
            found = await spawn_opt(there, HELLO, "leave", [atom.bye], ["monitor"])
            assert isinstance(found, tuple)
            assert (await process.receive(timeout=DEADLINE))[1] == found[1]
            await process.run_blocking(in_a_thread)

        def in_a_thread() -> None:
            parents.append(wait(spawn(there, HELLO, "tell", [main, 2])))

        _, ref = node.spawn_monitor(body)
        told = await node.main.receive(lambda m: m[1] == 2, timeout=DEADLINE)
        down = await node.main.receive(timeout=DEADLINE)
        assert (down[1], down[4]) == (ref, atom.normal)
        assert parents == [told[0]]


async def test_what_cannot_be_asked(py_node: Any) -> None:
    async with two(py_node) as (node, other):
        there = other.name
        with pytest.raises(TypeError, match="code cannot be sent"):
            await node.spawn(there, lambda: None)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="code cannot be sent"):
            await node.spawn(there, "m", "f", "args", 3)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="spawn_opt"):
            await node.spawn(there, "m", "f", [], name="x")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="options are a list"):
            node.spawn_request(there, "m", "f", [], "link")
        with pytest.raises(TypeError, match="one list of options"):
            await node.spawn_opt(there, "m", "f", [], [], [])  # type: ignore[call-overload]
        with pytest.raises(EncodeError):
            await node.spawn(there, "m", "f", [object()])
        with pytest.raises(ValueError, match="badopt"):
            await node.spawn_opt(there, "m", "f", [], ["zz"])
        with pytest.raises(ValueError, match="badopt"):
            await node.spawn_opt(there, "m", "f", [], [("reply", "perhaps")])


async def test_a_wait_that_is_cancelled_abandons_the_request(py_node: Any) -> None:
    async with two(py_node) as (node, other):
        task = asyncio.ensure_future(node.spawn_link(other.name, HELLO, "tell", [node.main.pid]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await node.ping(other.name)
        assert not node.main.links


async def test_exposing_at_any_time(py_node: Any) -> None:
    made: Node = py_node()
    got: list[Any] = []

    @made.expose("early")
    def note(*args: Any) -> None:
        got.append((threading.current_thread() is threading.main_thread(), *args))

    @made.expose("early", name="quick", arity=1, blocking=False)
    def other_name(*args: Any) -> None:
        note(*args)

    async with py_node() as node, made as other:

        async def ended(*what: Any) -> Any:
            _, ref = await node.spawn_monitor(other.name, *what)
            return (await node.main.receive(lambda m: m[1] == ref, timeout=DEADLINE))[4]

        assert await ended("early", "note", [1, 2]) == atom.normal
        assert await ended("early", "quick", [3]) == atom.normal
        assert got == [(False, 1, 2), (True, 3)]
        assert (await ended("early", "quick", []))[0] == atom.undef
        assert (await ended("late", "f"))[0] == atom.undef
        mapping = {"f": lambda: None}
        assert other.expose("late", mapping) is mapping
        assert other.expose(hello) is hello
        other.expose("late", {"text": lambda *args: got.append(args)}, text=True)
        assert await ended("late", "text", ["é", b"\xff", [b"x"]]) == atom.normal
        assert got.pop() == ("é", b"\xff", ["x"])
        assert await ended("late", "f") == atom.normal
        assert await ended(HELLO, "leave", [atom.bye]) == atom.bye
        other.withdraw("late", "f")
        other.withdraw(HELLO)
        assert (await ended("late", "f"))[0] == atom.undef
        assert (await ended(HELLO, "leave", [atom.bye]))[0] == atom.undef
        assert await node.erpc.call(other.name, "erlang", "node") == other.name


async def test_two_nodes_expose_apart(py_node: Any) -> None:
    async with py_node(expose={"m": {"f": lambda: 1}}) as one, py_node() as two_:
        assert await two_.erpc.call(one.name, "m", "f") == 1
        _, ref = await one.spawn_monitor(two_.name, "m", "f")
        down = await one.main.receive(timeout=DEADLINE)
        assert (down[1], down[4][0]) == (ref, atom.undef)


def test_a_node_in_a_thread(cluster: Any) -> None:
    options = {"cookie": cluster.cookie, "epmd_port": cluster.epmd_port}
    with (
        Node.in_thread("there@localhost", expose=[hello], **options) as there,
        Node.in_thread("here@localhost", **options) as here,
    ):
        pid = here.spawn(there.name, HELLO, "tell", [here.main.pid, 7])
        assert here.receive(timeout=DEADLINE) == (pid, 7)
        pid, ref = here.spawn_monitor(there.name, HELLO, "leave", [atom.bye])
        assert here.receive(timeout=DEADLINE) == (atom.DOWN, ref, atom.process, pid, atom.bye)
        found = here.spawn_opt(there.name, HELLO, "leave", [atom.bye], ["monitor"])
        assert isinstance(found, tuple)
        assert here.receive(timeout=DEADLINE)[1] == found[1]
        ref = here.spawn_request(there.name, HELLO, "leave", [atom.bye])
        assert here.receive(timeout=DEADLINE)[:3] == (atom.spawn_reply, ref, atom.ok)
        assert not here.spawn_request_abandon(ref)
        there.withdraw(HELLO)
        there.expose("m", {"f": lambda: None})
        assert here.spawn_link(there.name, "m", "f").node == Atom("there@localhost")
        pid, ref = here.spawn_monitor(there.name, HELLO, "leave", [atom.bye])
        assert here.receive(lambda m: m[1] == ref, timeout=DEADLINE)[4][0] == atom.undef
