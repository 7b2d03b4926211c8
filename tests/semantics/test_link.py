"""Links: made once, symmetric, taken away from either side."""

from __future__ import annotations

from pynode.terms import atom
from tests.semantics.sides import Acting, Pair, nothing_more


async def test_both_sides_know_it(a: Acting, b: Acting) -> None:
    await a.do("link", b.pid)
    await a.do("send", b.pid, atom.after)
    assert await b.next() == atom.after
    assert await a.do("links") == [b.pid]
    assert await b.do("links") == [a.pid]


async def test_twice_is_once(a: Acting, b: Acting) -> None:
    await a.do("trap_exit", True)
    await a.do("link", b.pid)
    await b.do("link", a.pid)
    await a.do("link", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert await a.next() == (atom.EXIT, b.pid, atom.bye)
    await nothing_more(a, a)


async def test_the_end_of_one_ends_the_other(pair: Pair, a: Acting, b: Acting) -> None:
    watcher = await pair.a.make()
    ref = await watcher.do("monitor", a.pid)
    await a.do("link", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.together)
    assert await watcher.next() == (atom.DOWN, ref, atom.process, a.pid, atom.together)


async def test_the_end_of_the_one_that_linked_ends_the_other(
    pair: Pair, a: Acting, b: Acting
) -> None:
    watcher = await pair.b.make()
    ref = await watcher.do("monitor", b.pid)
    await a.do("link", b.pid)
    await nothing_more(b, a)
    a.begin("stop", atom.together)
    assert await watcher.next() == (atom.DOWN, ref, atom.process, b.pid, atom.together)


async def test_normal_ends_nobody(a: Acting, b: Acting) -> None:
    await a.do("link", b.pid)
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.normal)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.normal)
    assert await a.do("links") == []


async def test_trapped_normal_is_a_message(a: Acting, b: Acting) -> None:
    await a.do("trap_exit", True)
    await a.do("link", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.normal)
    assert await a.next() == (atom.EXIT, b.pid, atom.normal)


async def test_an_exit_comes_before_the_down(a: Acting, b: Acting) -> None:
    await a.do("trap_exit", True)
    ref = await a.do("monitor", b.pid)
    await a.do("link", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert await a.next() == (atom.EXIT, b.pid, atom.bye)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.bye)


async def test_to_the_dead_is_noproc(a: Acting, b: Acting) -> None:
    await a.do("trap_exit", True)
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.normal)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.normal)
    await a.do("link", b.pid)
    assert await a.next() == (atom.EXIT, b.pid, atom.noproc)
    assert await a.do("links") == []


async def test_to_a_stale_pid_is_noproc(pair: Pair, a: Acting, b: Acting) -> None:
    await a.do("trap_exit", True)
    stale = pair.b.stale(b.pid)
    await a.do("link", stale)
    assert await a.next() == (atom.EXIT, stale, atom.noproc)
    assert await b.do("links") == []


async def test_to_oneself_is_nothing(a: Acting) -> None:
    await a.do("link", a.pid)
    assert await a.do("links") == []


async def test_unlinked_from_the_side_that_linked(a: Acting, b: Acting) -> None:
    await a.do("link", b.pid)
    await a.do("unlink", b.pid)
    await a.do("send", b.pid, atom.after)
    assert await b.next() == atom.after
    assert await a.do("links") == []
    assert await b.do("links") == []


async def test_unlinked_from_the_other_side(a: Acting, b: Acting) -> None:
    await a.do("link", b.pid)
    await a.do("send", b.pid, atom.linked)
    assert await b.next() == atom.linked
    await b.do("unlink", a.pid)
    await b.do("send", a.pid, atom.after)
    assert await a.next() == atom.after
    assert await a.do("links") == []
    assert await b.do("links") == []


async def test_after_unlink_no_exit_comes(a: Acting, b: Acting) -> None:
    await a.do("trap_exit", True)
    await a.do("link", b.pid)
    await a.do("unlink", b.pid)
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.bye)


async def test_linked_again_after_unlink(a: Acting, b: Acting) -> None:
    await a.do("trap_exit", True)
    await a.do("link", b.pid)
    await a.do("unlink", b.pid)
    await a.do("link", b.pid)
    await a.do("send", b.pid, atom.after)
    assert await b.next() == atom.after
    assert await a.do("links") == [b.pid]
    assert await b.do("links") == [a.pid]
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert await a.next() == (atom.EXIT, b.pid, atom.bye)


async def test_unlinking_what_was_never_linked_is_nothing(a: Acting, b: Acting) -> None:
    await a.do("unlink", b.pid)
    await nothing_more(a, b)


async def test_both_sides_agree_however_links_and_unlinks_cross(a: Acting, b: Acting) -> None:
    for _ in range(20):
        a.begin("link", b.pid)
        b.begin("link", a.pid)
        b.begin("unlink", a.pid)
        a.begin("unlink", b.pid)
    a.begin("link", b.pid)
    for _ in range(2):
        await a.do("send", b.pid, atom.round)
        assert await b.next() == atom.round
        await b.do("send", a.pid, atom.round)
        assert await a.next() == atom.round
    assert await a.do("links") in ([], [b.pid])
    assert bool(await a.do("links")) == bool(await b.do("links"))


async def test_a_lost_connection_is_noconnection(apart: Pair, a: Acting, b: Acting) -> None:
    await a.do("trap_exit", True)
    await b.do("trap_exit", True)
    await a.do("link", b.pid)
    await nothing_more(a, b)  # the connection is up, and the link made
    assert apart.cut is not None
    await apart.cut()
    assert await a.next() == (atom.EXIT, b.pid, atom.noconnection)
    assert await b.next() == (atom.EXIT, a.pid, atom.noconnection)
    assert await a.do("links") == []


async def test_an_unlink_under_way_is_done_when_the_connection_is_lost(
    apart: Pair, a: Acting, b: Acting
) -> None:
    await nothing_more(a, b)  # the connection is up
    await a.do("trap_exit", True)
    await a.do("link", b.pid)
    await a.do("unlink", b.pid)
    assert apart.cut is not None
    await apart.cut()
    await nothing_more(a, a)
    assert await a.do("links") == []
