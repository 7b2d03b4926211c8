"""Monitors: one DOWN each, by pid or by name."""

from __future__ import annotations

import pytest

from pynode.terms import Atom, atom
from tests.semantics.sides import Acting, Badarg, Pair, nothing_more


async def test_the_reason_of_the_end(a: Acting, b: Acting) -> None:
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", (atom.because, b"x"))
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, (atom.because, b"x"))


async def test_two_monitors_two_downs(a: Acting, b: Acting) -> None:
    refs = {await a.do("monitor", b.pid), await a.do("monitor", b.pid)}
    await nothing_more(a, b)
    b.begin("stop", atom.normal)
    assert {(await a.next())[1] for _ in range(2)} == refs
    await nothing_more(a, a)


async def test_the_dead_are_noproc(a: Acting, b: Acting) -> None:
    first = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert (await a.next())[1] == first
    ref = await a.do("monitor", b.pid)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.noproc)


async def test_a_stale_pid_is_noproc(pair: Pair, a: Acting, b: Acting) -> None:
    stale = pair.b.stale(b.pid)
    ref = await a.do("monitor", stale)
    assert await a.next() == (atom.DOWN, ref, atom.process, stale, atom.noproc)


async def test_oneself_is_never_told(a: Acting) -> None:
    ref = await a.do("monitor", a.pid)
    assert await a.do("demonitor", ref, [atom.info]) is False


async def test_by_name(pair: Pair, a: Acting, b: Acting) -> None:
    await b.do("register", Atom("watched"))
    name = (Atom("watched"), pair.b.node)
    ref = await a.do("monitor", name)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert await a.next() == (atom.DOWN, ref, atom.process, name, atom.bye)


async def test_by_a_name_that_is_not_registered(pair: Pair, a: Acting) -> None:
    name = (Atom("nobody_here"), pair.b.node)
    ref = await a.do("monitor", name)
    assert await a.next() == (atom.DOWN, ref, atom.process, name, atom.noproc)


async def test_by_a_local_name(pair: Pair, a: Acting) -> None:
    ref = await a.do("monitor", Atom("nobody_here"))
    name = (Atom("nobody_here"), pair.a.node)
    assert await a.next() == (atom.DOWN, ref, atom.process, name, atom.noproc)


async def test_a_name_is_looked_up_once(pair: Pair, a: Acting, b: Acting) -> None:
    await b.do("register", Atom("moving"))
    name = (Atom("moving"), pair.b.node)
    ref = await a.do("monitor", name)
    await a.do("send", b.pid, atom.there)
    assert await b.next() == atom.there
    await b.do("unregister", Atom("moving"))
    other = await pair.b.make()
    await other.do("register", Atom("moving"))
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert await a.next() == (atom.DOWN, ref, atom.process, name, atom.bye)


async def test_demonitor(a: Acting, b: Acting) -> None:
    ref = await a.do("monitor", b.pid)
    assert await a.do("demonitor", ref, [atom.info]) is True
    assert await a.do("demonitor", ref, [atom.info]) is False
    assert await a.do("demonitor", ref, []) is True
    last = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert (await a.next())[1] == last


async def test_demonitor_leaves_a_down_that_is_there(a: Acting, b: Acting) -> None:
    ref = await a.do("monitor", Atom("nobody_here"))
    assert await a.do("demonitor", ref, []) is True
    assert (await a.next())[1] == ref


async def test_demonitor_of_another_process_is_nothing(a: Acting, b: Acting) -> None:
    ref = await a.do("monitor", b.pid)
    if a.pid.node == b.pid.node:
        assert await b.do("demonitor", ref, [atom.info]) is False
    else:
        with pytest.raises(Badarg):
            await b.do("demonitor", ref, [])
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert (await a.next())[1] == ref


async def test_a_lost_connection_is_noconnection(apart: Pair, a: Acting, b: Acting) -> None:
    await b.do("register", Atom("far"))
    by_pid = await a.do("monitor", b.pid)
    by_name = await a.do("monitor", (Atom("far"), apart.b.node))
    gone = await a.do("monitor", b.pid)
    await a.do("demonitor", gone, [])
    await nothing_more(a, b)  # the connection is up
    assert apart.cut is not None
    await apart.cut()
    downs = {(await a.next())[1:] for _ in range(2)}
    assert downs == {
        (by_pid, atom.process, b.pid, atom.noconnection),
        (by_name, atom.process, (Atom("far"), apart.b.node), atom.noconnection),
    }
    await nothing_more(a, a)


async def test_the_other_side_forgets_monitors_of_a_lost_connection(
    apart: Pair, a: Acting, b: Acting
) -> None:
    await a.do("monitor", b.pid)
    await nothing_more(a, b)  # the connection is up now, and the monitor set
    assert apart.cut is not None
    await apart.cut()
    assert (await a.next())[4] == atom.noconnection
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    ref = await a.do("monitor", b.pid)
    message = await a.next()
    assert message[1] == ref
    assert message[4] in (atom.noproc, atom.bye)


async def test_an_unreachable_node_is_noconnection(a: Acting) -> None:
    name = (Atom("x"), Atom("nobody@nowhere"))
    ref = await a.do("monitor", name)
    assert await a.next() == (atom.DOWN, ref, atom.process, name, atom.noconnection)


async def test_monitor_node(apart: Pair, a: Acting, b: Acting) -> None:
    await a.do("monitor_node", apart.b.node, True)
    await a.do("monitor_node", apart.b.node, True)
    await a.do("monitor_node", apart.b.node, True)
    await a.do("monitor_node", apart.b.node, False)
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)  # the connection is up
    assert apart.cut is not None
    await apart.cut()
    # A BEAM may tell of the node before it tells of the process.
    messages = [(await a.next())[:2] for _ in range(3)]
    assert messages.count((atom.nodedown, apart.b.node)) == 2
    assert (atom.DOWN, ref) in messages
    await nothing_more(a, a)


async def test_monitor_node_of_an_unreachable_node(a: Acting) -> None:
    await a.do("monitor_node", Atom("nobody@nowhere"), True)
    assert await a.next() == (atom.nodedown, Atom("nobody@nowhere"))
