"""Assertions that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from pynode import Node
from pynode.terms import atom, charlist
from pynode.testing import Beam, eventually, members, names, receives


async def test_eventually_returns_the_first_true_value() -> None:
    values = iter([0, None, 7, 8])
    assert await eventually(lambda: next(values)) == 7


async def test_eventually_takes_async_conditions_and_assertions() -> None:
    tries = 0

    async def third() -> bool:
        nonlocal tries
        tries += 1
        assert tries == 3
        return True

    assert await eventually(third) is True


async def test_eventually_says_what_it_last_saw() -> None:
    numbers = [1, 2]
    known: dict[str, int] = {}
    with pytest.raises(AssertionError, match=r"lambda: sum\(numbers\) == 4.*\(last: False\)"):
        await eventually(lambda: sum(numbers) == 4, timeout=0.05)
    with pytest.raises(AssertionError, match=r"the sum is right \(last: KeyError\('a'\)\)"):
        await eventually(lambda: known["a"], timeout=0.05, message="the sum is right")


async def test_eventually_lets_other_errors_through() -> None:
    with pytest.raises(ZeroDivisionError):
        await eventually(lambda: 1 / 0)


async def test_receives(py_node: Callable[..., Node]) -> None:
    async with py_node() as node:
        node.send(node.main.pid, (atom.other, 0))
        node.send(node.main.pid, (atom.wanted, 1))
        assert await receives(node.main, (atom.wanted, ANY)) == (atom.wanted, 1)
        assert await receives(node.main, lambda message: message[1] == 0) == (atom.other, 0)
        node.send(node.main.pid, atom.noise)
        with pytest.raises(AssertionError, match=r"nothing like atom\.signal .*atom\.noise"):
            await receives(node.main, atom.signal, timeout=0.05)


@pytest.mark.beam
async def test_names_of_both_kinds_of_node(
    beam: Callable[..., Beam], py_node: Callable[..., Node]
) -> None:
    ex: Any = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        await node.global_.register_name(charlist("b"), node.main.pid)
        await asyncio.to_thread(ex.eval, ":global.register_name(:a, self())")
        for one in (ex, node):
            await eventually(lambda one=one: names(one) == [atom.a, charlist("b")])


@pytest.mark.beam
def test_members(beam: Callable[..., Beam]) -> None:
    node = beam(language="erlang")
    node.eval("{ok, _} = pg:start_link(), ok = pg:join(workers, self())")
    node.eval("{ok, _} = pg:start_link(other), ok = pg:join(other, {a, 1}, [self(), self()])")
    me = node.eval("self()")
    assert members(node, atom.workers) == [me]
    assert members(node, (atom.a, 1), scope=atom.other) == [me, me]
    assert members(node, atom.nobody) == []
