"""What goes wrong is told to whoever did it, and harms nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pynode import EncodeError, Node, atom
from pynode.terms import Pid

PyNode = Callable[..., Node]


@pytest.mark.parametrize("no_term", [object(), float("nan"), {1: {2, 3}}, [b"x" * 100_000, print]])
async def test_a_term_that_cannot_be_encoded_raises_in_the_sender(
    py_node: PyNode, no_term: Any
) -> None:
    """By every way to another node; what is sent before and after it arrives."""
    async with py_node() as here, py_node() as there:
        there.register("main", there.main.pid)
        to: Pid = there.main.pid
        named = ("main", there.name)
        alias = there.main.runtime.alias(there.main)
        here.send(to, (1, b"x" * 200_000))
        for dest in (to, named, alias):
            with pytest.raises(EncodeError):
                here.send(dest, no_term)
        with pytest.raises(EncodeError):
            here.cast(named, no_term)
        with pytest.raises(EncodeError):
            here.exit(to, no_term)
        with pytest.raises(EncodeError):
            await here.call(named, no_term)
        here.send(named, 2)
        assert (await there.main.receive(timeout=10))[0] == 1
        assert await there.main.receive(timeout=10) == 2
        assert here.net.counters()["connections_up"] == 1
        assert here.net.counters()["connections_down"] == 0
        assert not here.main.monitors


async def test_a_term_that_cannot_be_encoded_before_there_is_a_connection(py_node: PyNode) -> None:
    async with py_node() as here, py_node() as there:
        there.register("main", there.main.pid)
        named = ("main", there.name)
        with pytest.raises(EncodeError):
            here.send(named, print)
        assert not here.net.is_connecting(there.name)
        here.send(named, atom.first)
        assert await there.main.receive(timeout=10) == atom.first
