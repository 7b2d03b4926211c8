"""Timers: sent when due, cancelled, read."""

from __future__ import annotations

import pytest

from pynode.terms import Atom, atom
from tests.semantics.sides import Acting, Badarg, nothing_more

LONG = 600_000


async def test_sent_when_due(a: Acting) -> None:
    await a.do("send_after", 5, a.pid, atom.due)
    assert await a.next() == atom.due


async def test_wrapped(a: Acting) -> None:
    ref = await a.do("start_timer", 1, a.pid, atom.due)
    assert await a.next() == (atom.timeout, ref, atom.due)


async def test_the_shorter_is_first(a: Acting) -> None:
    await a.do("send_after", 60, a.pid, atom.second)
    await a.do("send_after", 1, a.pid, atom.first)
    assert [await a.next(), await a.next()] == [atom.first, atom.second]


async def test_by_name_when_due(a: Acting) -> None:
    await a.do("send_after", 20, Atom("timed"), atom.due)
    await a.do("register", Atom("timed"))
    assert await a.next() == atom.due


async def test_to_a_name_that_nobody_has(a: Acting) -> None:
    await a.do("send_after", 1, Atom("nobody_here"), atom.lost)
    await a.do("send_after", 2, a.pid, atom.due)
    assert await a.next() == atom.due


async def test_cancelled(a: Acting) -> None:
    ref = await a.do("send_after", LONG, a.pid, atom.due)
    assert 0 < await a.do("read_timer", ref) <= LONG
    assert 0 < await a.do("cancel_timer", ref) <= LONG
    assert await a.do("cancel_timer", ref) is False
    assert await a.do("read_timer", ref) is False
    await nothing_more(a, a)


async def test_over(a: Acting) -> None:
    ref = await a.do("send_after", 1, a.pid, atom.due)
    assert await a.next() == atom.due
    assert await a.do("read_timer", ref) is False
    assert await a.do("cancel_timer", ref) is False


async def test_the_end_of_the_receiver_cancels(a: Acting, b: Acting) -> None:
    if a.pid.node != b.pid.node:
        with pytest.raises(Badarg):
            await a.do("send_after", LONG, b.pid, atom.due)
        return
    ref = await a.do("send_after", LONG, b.pid, atom.due)
    down = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert (await a.next())[1] == down
    assert await a.do("read_timer", ref) is False
