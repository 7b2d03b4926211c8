"""Spawning through ``spawn_request``: the reply first, then what becomes of the process."""

from __future__ import annotations

from typing import Any

from pynode.terms import Atom, Pid, atom
from tests.semantics.sides import Acting, Pair, nothing_more

SEMANTICS = Atom("semantics")
WAIT: tuple[Any, Any, Any] = (SEMANTICS, Atom("wait"), [])


async def spawn(a: Acting, node: Atom, mfa: tuple[Any, Any, Any], *options: Any) -> Any:
    ref = await a.do("spawn_request", node, *mfa, list(options))
    reply = await a.next()
    assert reply[:2] == (atom.spawn_reply, ref)
    return ref, *reply[2:]


async def test_runs_and_has_a_pid(pair: Pair, a: Acting) -> None:
    mfa = (SEMANTICS, Atom("tell"), [a.pid, atom.hello])
    _, word, pid = await spawn(a, pair.b.node, mfa)
    assert word == atom.ok
    assert type(pid) is Pid
    assert pid.node == pair.b.node
    assert await a.next() == (pid, atom.hello)


async def test_with_a_monitor(pair: Pair, a: Acting) -> None:
    ref, _, pid = await spawn(a, pair.b.node, WAIT, atom.monitor)
    await a.do("send", pid, (atom.stop, atom.bye))
    assert await a.next() == (atom.DOWN, ref, atom.process, pid, atom.bye)


async def test_with_a_link(pair: Pair, a: Acting) -> None:
    await a.do("trap_exit", True)
    _, _, pid = await spawn(a, pair.b.node, WAIT, atom.link)
    assert await a.do("links") == [pid]
    await a.do("send", pid, (atom.stop, atom.bye))
    assert await a.next() == (atom.EXIT, pid, atom.bye)


async def test_a_link_works_both_ways(pair: Pair, a: Acting) -> None:
    watcher = await pair.b.make()
    _, _, pid = await spawn(a, pair.b.node, WAIT, atom.link)
    ref = await watcher.do("monitor", pid)
    await watcher.do("ping")
    a.begin("stop", atom.together)
    assert await watcher.next() == (atom.DOWN, ref, atom.process, pid, atom.together)


async def test_exit_then_down(pair: Pair, a: Acting) -> None:
    await a.do("trap_exit", True)
    ref, _, pid = await spawn(a, pair.b.node, WAIT, atom.link, atom.monitor)
    await a.do("send", pid, (atom.stop, atom.bye))
    assert await a.next() == (atom.EXIT, pid, atom.bye)
    assert await a.next() == (atom.DOWN, ref, atom.process, pid, atom.bye)


async def test_the_monitor_can_be_taken_away(pair: Pair, a: Acting) -> None:
    ref, _, pid = await spawn(a, pair.b.node, WAIT, atom.monitor)
    assert await a.do("demonitor", ref, [atom.info]) is True
    last = await a.do("monitor", pid)
    await a.do("send", pid, (atom.stop, atom.bye))
    assert (await a.next())[1] == last
    await nothing_more(a, a)


async def test_a_missing_function_is_undef(pair: Pair, a: Acting) -> None:
    mfa = (Atom("no_such_module"), Atom("f"), [1, 2])
    ref, word, pid = await spawn(a, pair.b.node, mfa, atom.monitor)
    assert word == atom.ok
    down = await a.next()
    assert down[:4] == (atom.DOWN, ref, atom.process, pid)
    assert down[4] == (atom.undef, [(*mfa, [])])


async def test_an_unknown_option_is_badopt(pair: Pair, a: Acting) -> None:
    _, word, reason = await spawn(a, pair.b.node, WAIT, (Atom("no_such_option"), 1))
    assert (word, reason) == (atom.error, atom.badopt)


async def test_options_of_a_heap_are_accepted(pair: Pair, a: Acting) -> None:
    options = [(atom.priority, atom.high), (atom.min_heap_size, 4000), atom.monitor]
    _, word, _ = await spawn(a, pair.b.node, WAIT, *options)
    assert word == atom.ok


async def test_an_unreachable_node_is_noconnection(a: Acting) -> None:
    _, word, reason = await spawn(a, Atom("nobody@nowhere"), WAIT)
    assert (word, reason) == (atom.error, atom.noconnection)


async def test_the_group_leader_goes_along(pair: Pair, a: Acting, b: Acting) -> None:
    await a.do("set_leader", b.pid, a.pid)
    await a.do("send", b.pid, atom.after)
    assert await b.next() == atom.after
    assert await b.do("leader") == a.pid
