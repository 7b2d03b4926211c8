"""Exit signals: what ends whom, and with what."""

from __future__ import annotations

import pytest

from pynode.terms import atom
from tests.semantics.sides import Acting, nothing_more


async def test_a_reason_ends(a: Acting, b: Acting) -> None:
    ref = await a.do("monitor", b.pid)
    await a.do("exit", b.pid, (atom.because, [1, 2]))
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, (atom.because, [1, 2]))


async def test_normal_from_another_is_ignored(a: Acting, b: Acting) -> None:
    await a.do("exit", b.pid, atom.normal)
    await nothing_more(a, b)


async def test_normal_to_oneself_ends(a: Acting, b: Acting) -> None:
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("exit", b.pid, atom.normal)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.normal)


async def test_to_oneself_does_not_return(a: Acting, b: Acting) -> None:
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("exit", b.pid, atom.enough)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.enough)


@pytest.mark.parametrize("reason", ["normal", "shutdown", "anything"])
async def test_trapped_it_is_a_message(a: Acting, b: Acting, reason: str) -> None:
    await b.do("trap_exit", True)
    await a.do("exit", b.pid, atom(reason))
    assert await b.next() == (atom.EXIT, a.pid, atom(reason))


async def test_trapped_from_oneself_it_is_a_message(a: Acting, b: Acting) -> None:
    await b.do("trap_exit", True)
    for reason in (atom.normal, atom.other):
        await b.do("exit", b.pid, reason)
        assert await b.next() == (atom.EXIT, b.pid, reason)


async def test_kill_cannot_be_trapped(a: Acting, b: Acting) -> None:
    await b.do("trap_exit", True)
    ref = await a.do("monitor", b.pid)
    await a.do("exit", b.pid, atom.kill)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.killed)


async def test_killed_is_a_reason_like_others(a: Acting, b: Acting) -> None:
    await b.do("trap_exit", True)
    await a.do("exit", b.pid, atom.killed)
    assert await b.next() == (atom.EXIT, a.pid, atom.killed)


async def test_kill_over_a_link_can_be_trapped(a: Acting, b: Acting) -> None:
    await a.do("trap_exit", True)
    await a.do("link", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.kill)
    assert await a.next() == (atom.EXIT, b.pid, atom.kill)


async def test_untrapped_again(a: Acting, b: Acting) -> None:
    await b.do("trap_exit", True)
    await b.do("trap_exit", False)
    ref = await a.do("monitor", b.pid)
    await a.do("exit", b.pid, atom.out)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.out)
