"""Aliases: four ways to end."""

from __future__ import annotations

import pytest

from pynode.terms import Atom, atom
from tests.semantics.sides import Acting, nothing_more

MODES = ["explicit_unalias", "demonitor", "reply_demonitor"]


async def test_plain(a: Acting, b: Acting) -> None:
    alias = await a.do("alias", [])
    await b.do("send", alias, 1)
    await b.do("send", alias, 2)
    assert [await a.next(), await a.next()] == [1, 2]
    assert await a.do("unalias", alias) is True
    assert await a.do("unalias", alias) is False
    await b.do("send", alias, 3)
    await nothing_more(b, a)


async def test_reply_ends_with_the_first_message(a: Acting, b: Acting) -> None:
    alias = await a.do("alias", [atom.reply])
    await b.do("send", alias, 1)
    await b.do("send", alias, 2)
    assert await a.next() == 1
    await nothing_more(b, a)
    assert await a.do("unalias", alias) is False


async def test_alias_and_pid_are_one_order(a: Acting, b: Acting) -> None:
    alias = await a.do("alias", [])
    for number in range(10):
        await b.do("send", alias if number % 2 else a.pid, number)
    assert [await a.next() for _ in range(10)] == list(range(10))


async def test_ends_with_its_process(a: Acting, b: Acting) -> None:
    alias = await a.do("alias", [])
    ref = await b.do("monitor", a.pid)
    await nothing_more(b, a)
    a.begin("stop", atom.bye)
    assert (await b.next())[1] == ref
    await b.do("send", alias, atom.hello)
    await nothing_more(b, b)


async def test_only_its_owner_ends_it(a: Acting, b: Acting) -> None:
    alias = await a.do("alias", [])
    assert await b.do("unalias", alias) is False
    await b.do("send", alias, atom.still)
    assert await a.next() == atom.still


@pytest.mark.parametrize("mode", MODES)
async def test_of_a_monitor_it_gets_messages_and_the_down(a: Acting, b: Acting, mode: str) -> None:
    ref = await a.do("monitor_alias", b.pid, Atom(mode))
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.bye)


@pytest.mark.parametrize("mode", MODES)
async def test_of_a_monitor_after_the_first_message(a: Acting, b: Acting, mode: str) -> None:
    ref = await a.do("monitor_alias", b.pid, Atom(mode))
    await b.do("send", ref, 1)
    await b.do("send", ref, 2)
    assert await a.next() == 1
    if mode != "reply_demonitor":
        assert await a.next() == 2
    await nothing_more(b, a)
    assert await a.do("demonitor", ref, [atom.info]) is (mode != "reply_demonitor")


@pytest.mark.parametrize("mode", MODES)
async def test_of_a_monitor_after_demonitor(a: Acting, b: Acting, mode: str) -> None:
    ref = await a.do("monitor_alias", b.pid, Atom(mode))
    assert await a.do("demonitor", ref, [atom.info]) is True
    await b.do("send", ref, atom.late)
    if mode == "explicit_unalias":
        assert await a.next() == atom.late
    await nothing_more(b, a)
    assert await a.do("unalias", ref) is (mode == "explicit_unalias")


@pytest.mark.parametrize("mode", MODES)
async def test_of_a_monitor_after_the_down(a: Acting, b: Acting, mode: str) -> None:
    ref = await a.do("monitor_alias", b.pid, Atom(mode))
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert (await a.next())[1] == ref
    assert await a.do("unalias", ref) is (mode == "explicit_unalias")


@pytest.mark.parametrize("mode", MODES)
async def test_of_a_monitor_unalias_leaves_the_monitor(a: Acting, b: Acting, mode: str) -> None:
    ref = await a.do("monitor_alias", b.pid, Atom(mode))
    assert await a.do("unalias", ref) is True
    await b.do("send", ref, atom.dropped)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert (await a.next())[:2] == (atom.DOWN, ref)
