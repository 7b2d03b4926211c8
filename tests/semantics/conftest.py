"""The pairs over which the list of semantics runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from pynode.process import Runtime
from pynode.terms import Atom
from tests.process.wire import Wire
from tests.semantics.actor import expose
from tests.semantics.sides import Acting, Hand, Pair, python_side


@pytest.fixture(params=["one_runtime", "two_runtimes"])
async def pair(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """Two sides, together or apart."""
    here = Runtime(Atom("a@host"), 101)
    expose(here)
    hand = Hand(here.main)
    if request.param == "one_runtime":
        side = python_side(here, hand)
        yield Pair(side, side, None)
        await here.stop(0)
        return
    there = Runtime(Atom("b@host"), 102)
    expose(there)
    wire = Wire(here, there)

    async def cut() -> None:
        wire.cut()
        await asyncio.sleep(0)

    yield Pair(python_side(here, hand), python_side(there, hand), cut)
    await asyncio.gather(here.stop(0), there.stop(0))


@pytest.fixture
def apart(pair: Pair) -> Pair:
    """The pair, where it is two nodes."""
    if pair.cut is None:
        pytest.skip("one node has no connection to lose")
    return pair


@pytest.fixture
async def a(pair: Pair) -> Acting:
    """An actor on the first side."""
    return await pair.a.make()


@pytest.fixture
async def b(pair: Pair) -> Acting:
    """An actor on the second side."""
    return await pair.b.make()
