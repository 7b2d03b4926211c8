"""Spawning through ``spawn_request``: the reply first, then what becomes of the process."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.terms import Atom, ExportFun, Pid, atom
from tests.semantics.sides import Acting, Badarg, Pair, nothing_more

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


async def test_the_number_of_arguments_counts(pair: Pair, a: Acting) -> None:
    mfa = (SEMANTICS, Atom("wait"), [1])
    await spawn(a, pair.b.node, mfa, atom.monitor)
    word, [frame] = (await a.next())[4]
    # What a Python node has to say beside it, which arities there are, goes where OTP has a place.
    assert (word, frame[:3]) == (atom.undef, mfa)
    assert [key for key, _ in frame[3]] in ([], [atom.error_info])


async def test_apply_of_a_named_function(pair: Pair, a: Acting) -> None:
    fun = ExportFun("semantics", "tell", 2)
    for mfa in (
        (atom.erlang, atom.apply, [fun, [a.pid, atom.hello]]),
        (atom.erlang, atom.apply, [SEMANTICS, atom.tell, [a.pid, atom.hello]]),
    ):
        _, _, pid = await spawn(a, pair.b.node, mfa)
        assert await a.next() == (pid, atom.hello)


async def test_apply_of_what_is_no_function(pair: Pair, a: Acting) -> None:
    fun = ExportFun("semantics", "tell", 2)
    stack: Any = [(atom.erlang, atom.apply, 2, [])]
    for what, reason in ((7, (atom.badfun, 7)), (fun, (atom.badarity, (fun, [])))):
        await spawn(a, pair.b.node, (atom.erlang, atom.apply, [what, []]), atom.monitor)
        assert (await a.next())[4] == (reason, stack)


async def test_a_tag_for_the_down(pair: Pair, a: Acting) -> None:
    options = (atom.monitor, [(atom.tag, (atom.gone, 1))])
    ref, _, pid = await spawn(a, pair.b.node, WAIT, options)
    await a.do("send", pid, (atom.stop, atom.bye))
    assert await a.next() == ((atom.gone, 1), ref, atom.process, pid, atom.bye)


async def test_the_monitor_is_an_alias(pair: Pair, a: Acting, b: Acting) -> None:
    options = (atom.monitor, [(atom.alias, atom.reply_demonitor)])
    ref, _, pid = await spawn(a, pair.b.node, WAIT, options)
    await b.do("send", ref, atom.one)
    await b.do("send", ref, atom.two)
    assert await a.next() == atom.one
    await a.do("send", pid, (atom.stop, atom.bye))
    await nothing_more(b, a)
    last = await a.do("monitor", pid)
    assert (await a.next())[1] == last


async def test_a_monitor_asked_for_twice_is_one(pair: Pair, a: Acting) -> None:
    ref, _, pid = await spawn(a, pair.b.node, WAIT, atom.monitor, (atom.monitor, []))
    await a.do("send", pid, (atom.stop, atom.bye))
    assert await a.next() == (atom.DOWN, ref, atom.process, pid, atom.bye)
    last = await a.do("monitor", pid)
    assert (await a.next())[1] == last


async def test_which_replies_come(pair: Pair, a: Acting) -> None:
    bad = (Atom("no_such_option"), 1)
    tell = (SEMANTICS, Atom("tell"), [a.pid, atom.hello])
    for when, good_one, bad_one in (
        ("yes", True, True), ("no", False, False),
        ("error_only", False, True), ("success_only", True, False),
    ):  # fmt: skip
        reply = (Atom("reply"), Atom(when))
        ref = await a.do("spawn_request", pair.b.node, *tell, [reply])
        if good_one:
            assert (await a.next())[:3] == (atom.spawn_reply, ref, atom.ok)
        assert (await a.next())[1] == atom.hello
        ref = await a.do("spawn_request", pair.b.node, *tell, [reply, bad])
        if bad_one:
            assert await a.next() == (atom.spawn_reply, ref, atom.error, atom.badopt)
    ref = await a.do("spawn_request", pair.b.node, *tell, [(Atom("reply_tag"), [1])])
    assert (await a.next())[:3] == ([1], ref, atom.ok)
    assert (await a.next())[1] == atom.hello


async def test_options_that_are_none(pair: Pair, a: Acting) -> None:
    for option in (
        (Atom("reply"), Atom("perhaps")),
        (atom.monitor, [atom.x]),
        (atom.monitor, atom.x),
        (atom.monitor, [(atom.alias, atom.x)]),
    ):
        _, word, reason = await spawn(a, pair.b.node, WAIT, option)
        assert (word, reason) == (atom.error, atom.badopt)
        with pytest.raises(Badarg):
            await a.do("spawn_opt", pair.b.node, *WAIT, [option])


async def test_what_is_answered_cannot_be_abandoned(pair: Pair, a: Acting) -> None:
    ref = await a.do("spawn_request", pair.b.node, *WAIT, [])
    await a.next()
    assert await a.do("spawn_request_abandon", ref) is False


async def test_spawn_opt_returns_the_pid(pair: Pair, a: Acting) -> None:
    pid = await a.do("spawn_opt", pair.b.node, *WAIT, [atom.link])
    assert await a.do("links") == [pid]
    pid, ref = await a.do("spawn_opt", pair.b.node, *WAIT, [atom.monitor])
    await a.do("send", pid, (atom.stop, atom.bye))
    assert await a.next() == (atom.DOWN, ref, atom.process, pid, atom.bye)
    with pytest.raises(Badarg):
        await a.do("spawn_opt", pair.b.node, *WAIT, [(Atom("no_such_option"), 1)])


async def test_spawn_opt_on_an_unreachable_node(pair: Pair, a: Acting) -> None:
    await a.do("trap_exit", True)
    options = [atom.link, atom.monitor]
    pid, ref = await a.do("spawn_opt", Atom("nobody@nowhere"), *WAIT, options)
    assert pid.node == pair.a.node
    assert await a.next() == (atom.EXIT, pid, atom.noconnection)
    assert await a.next() == (atom.DOWN, ref, atom.process, pid, atom.noconnection)


async def test_an_unreachable_node_is_noconnection(a: Acting) -> None:
    _, word, reason = await spawn(a, Atom("nobody@nowhere"), WAIT)
    assert (word, reason) == (atom.error, atom.noconnection)


async def test_the_group_leader_goes_along(pair: Pair, a: Acting, b: Acting) -> None:
    await a.do("set_leader", b.pid, a.pid)
    await a.do("send", b.pid, atom.after)
    assert await b.next() == atom.after
    assert await b.do("leader") == a.pid
