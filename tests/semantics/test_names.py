"""Registered names: one process each, one name each, freed by the end."""

from __future__ import annotations

import pytest

from pynode.terms import Atom, atom
from tests.semantics.sides import Acting, Badarg, Pair, nothing_more

NAME = Atom("a_name")


async def test_registered_and_found(pair: Pair, a: Acting, b: Acting) -> None:
    await b.do("register", NAME)
    assert await b.do("whereis", NAME) == b.pid
    await a.do("send", (NAME, pair.b.node), atom.hello)
    assert await b.next() == atom.hello


async def test_a_name_is_taken_once(pair: Pair, b: Acting) -> None:
    await b.do("register", NAME)
    other = await pair.b.make()
    with pytest.raises(Badarg):
        await other.do("register", NAME)


async def test_a_process_has_one_name(b: Acting) -> None:
    await b.do("register", NAME)
    with pytest.raises(Badarg):
        await b.do("register", Atom("another_name"))


async def test_undefined_is_no_name(b: Acting) -> None:
    with pytest.raises(Badarg):
        await b.do("register", atom.undefined)


async def test_freed_by_the_end(pair: Pair, a: Acting, b: Acting) -> None:
    await b.do("register", NAME)
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.bye)
    assert (await a.next())[1] == ref
    other = await pair.b.make()
    assert await other.do("whereis", NAME) == atom.undefined
    await other.do("register", NAME)


async def test_unregistered(pair: Pair, a: Acting, b: Acting) -> None:
    await b.do("register", NAME)
    await b.do("unregister", NAME)
    assert await b.do("whereis", NAME) == atom.undefined
    await a.do("send", (NAME, pair.b.node), atom.dropped)
    await nothing_more(a, b)
    with pytest.raises(Badarg):
        await b.do("unregister", NAME)


async def test_to_a_missing_local_name_raises(a: Acting) -> None:
    with pytest.raises(Badarg):
        await a.do("send", Atom("nobody_here"), atom.hello)


async def test_to_a_missing_name_of_a_node_is_nothing(pair: Pair, a: Acting) -> None:
    await a.do("send", (Atom("nobody_here"), pair.b.node), atom.hello)
    await a.do("send", (Atom("nobody_here"), pair.a.node), atom.hello)
    await nothing_more(a, a)
