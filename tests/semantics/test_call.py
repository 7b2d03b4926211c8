"""Calls and casts: one answer each, or the reason why there is none."""

from __future__ import annotations

from typing import Any

from pynode.terms import Atom, atom
from tests.semantics.sides import Acting, Pair, nothing_more

CALL, CAST = Atom("$gen_call"), Atom("$gen_cast")
NOBODY = Atom("nobody_of_that_name")


async def asked(server: Acting, request: Any) -> Any:
    """Return whom the next message of ``server``, a call, came from."""
    word, caller, term = await server.next()
    assert (word, term) == (CALL, request)
    return caller


async def test_answered(a: Acting, b: Acting) -> None:
    answer = a.call(b.pid, (atom.request, 1))
    caller = await asked(b, (atom.request, 1))
    assert caller[0] == a.pid
    await b.do("reply", caller, [b"answer"])
    assert await answer == (atom.ok, [b"answer"])


async def test_by_name(pair: Pair, a: Acting, b: Acting) -> None:
    await b.do("register", Atom("call_b"))
    answer = a.call((Atom("call_b"), pair.b.node), 1)
    await b.do("reply", await asked(b, 1), 2)
    assert await answer == (atom.ok, 2)


async def test_what_was_sent_before_comes_before(a: Acting, b: Acting) -> None:
    await a.do("send", b.pid, 1)
    await a.do("cast", b.pid, 2)
    answer = a.call(b.pid, 3)
    assert await b.next() == 1
    assert await b.next() == (CAST, 2)
    await b.do("reply", await asked(b, 3), 4)
    assert await answer == (atom.ok, 4)


async def test_answered_by_another_process(pair: Pair, a: Acting, b: Acting) -> None:
    other = await pair.a.make()
    answer = a.call(b.pid, 1)
    await b.do("send", other.pid, await asked(b, 1))
    await other.do("reply", await other.next(), atom.from_other)
    assert await answer == (atom.ok, atom.from_other)


async def test_a_second_answer_is_dropped(a: Acting, b: Acting) -> None:
    answer = a.call(b.pid, 1)
    caller = await asked(b, 1)
    await b.do("reply", caller, atom.first)
    assert await answer == (atom.ok, atom.first)  # before that OTP would let the second one in
    await b.do("reply", caller, atom.second)
    await nothing_more(b, a)


async def test_a_late_answer_is_dropped(a: Acting, b: Acting) -> None:
    answer = a.call(b.pid, 1, 20)
    caller = await asked(b, 1)
    assert await answer == (atom.exited, atom.timeout)
    await b.do("reply", caller, atom.late)
    await nothing_more(b, a)


async def test_nothing_is_left_of_an_answered_call(a: Acting, b: Acting) -> None:
    answer = a.call(b.pid, 1)
    await b.do("reply", await asked(b, 1), 2)
    assert await answer == (atom.ok, 2)
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.bye)
    assert await a.kept() == []


async def test_the_server_ends_before_it_answers(pair: Pair, a: Acting) -> None:
    for reason in (atom.normal, atom.shutdown, (atom.my, [b"reason"])):
        server = await pair.b.make()
        answer = a.call(server.pid, 1)
        await asked(server, 1)
        server.begin("stop", reason)
        assert await answer == (atom.exited, reason)


async def test_nobody_there(pair: Pair, a: Acting, b: Acting) -> None:
    noproc = (atom.exited, atom.noproc)
    assert await a.call((NOBODY, pair.b.node), 1) == noproc
    assert await a.call(pair.b.stale(b.pid), 1) == noproc
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert (await a.next())[1] == ref
    assert await a.call(b.pid, 1) == noproc


async def test_casts_to_nobody_are_lost_in_silence(pair: Pair, a: Acting, b: Acting) -> None:
    assert await a.do("cast", (NOBODY, pair.b.node), 1) == atom.ok
    assert await a.do("cast", pair.b.stale(b.pid), 1) == atom.ok
    await nothing_more(a, b)


async def test_calling_oneself(a: Acting) -> None:
    assert await a.call(a.pid, 1) == (atom.exited, atom.calling_self)


async def test_the_connection_is_lost_before_the_answer(apart: Pair, a: Acting, b: Acting) -> None:
    assert apart.cut is not None
    answer = a.call(b.pid, 1)
    caller = await asked(b, 1)
    await apart.cut()
    assert await answer == (atom.exited, (atom.nodedown, apart.b.node))
    await b.do("reply", caller, atom.late)
    await nothing_more(b, a)
