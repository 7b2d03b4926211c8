"""The pairs over which the list of semantics runs.

The same tests for two processes of one runtime, of two runtimes that are joined in memory, of
two Python nodes, of Python and a BEAM either way round, and of two BEAMs, which proves the list.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import pytest

from pynode.node import Node
from pynode.process import Runtime
from pynode.terms import Atom, Pid, atom, charlist
from pynode.testing import Beam, Cluster, Release
from pynode.testing.errors import BeamMissing
from tests.process.wire import Wire
from tests.semantics.actor import expose, expose_erpc
from tests.semantics.sides import DEADLINE, Acting, Hand, Pair, Side, python_side, stale

_WITH_BEAM = ("python_beam", "beam_python", "beam_beam")


class _Nodes:
    """A cluster and two BEAMs for all tests of the run, started with the first that needs them."""

    def __init__(self) -> None:
        self.cluster = Cluster(near=Path(__file__).parent)
        _ = self.cluster.epmd_port  # starts it
        self.missing: str | None = None

    def beams(self) -> list[Beam]:
        if not self.cluster.beams:
            code = _compiled(Path(__file__).with_name("semantics.erl"))
            for _ in range(2):
                beam = self.cluster.beam(language="erlang", hidden=True)
                beam.rpc("code", "load_binary", [atom.semantics, charlist("semantics.beam"), code])
        return self.cluster.beams


def _compiled(source: Path) -> bytes:
    """Compile with the machine's own Erlang: not every release has a compiler, all load this."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(Release().command("erlc", "-o", folder, str(source)), check=True)
        return Path(folder, source.stem).with_suffix(".beam").read_bytes()


_nodes: list[_Nodes] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # Before any fixture, so that what belongs to the run is not taken for a leak of one test.
    kind = getattr(item, "callspec", None)
    if kind is None or kind.params.get("pair") not in (*_WITH_BEAM, "two_nodes"):
        return
    if not _nodes:
        _nodes.append(_Nodes())
    nodes = _nodes[0]
    if kind.params["pair"] in _WITH_BEAM and nodes.missing is None:
        try:
            nodes.beams()
        except BeamMissing as error:
            nodes.missing = str(error)
    if nodes.missing is not None:
        pytest.skip(nodes.missing)


def pytest_unconfigure() -> None:
    while _nodes:
        _nodes.pop().cluster.close()


@pytest.fixture(
    params=[
        "one_runtime",
        "two_runtimes",
        *(pytest.param(kind, marks=pytest.mark.beam) for kind in ("two_nodes", *_WITH_BEAM)),
    ]
)
async def pair(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """Two sides, together or apart."""
    async with _PAIRS[request.param]() as made:
        yield made


@contextlib.asynccontextmanager
async def _one_runtime() -> AsyncIterator[Pair]:
    here = Runtime(Atom("a@host"), 101)
    expose(here)
    expose_erpc(here)
    side = python_side(here, Hand(here.main))
    yield Pair(side, side, None)
    await here.stop(0)


@contextlib.asynccontextmanager
async def _two_runtimes() -> AsyncIterator[Pair]:
    here, there = Runtime(Atom("a@host"), 101), Runtime(Atom("b@host"), 102)
    for runtime in (here, there):
        expose(runtime)
        expose_erpc(runtime)
    hand = Hand(here.main)
    wire = Wire(here, there)

    async def cut() -> None:
        wire.cut()
        await asyncio.sleep(0)

    yield Pair(python_side(here, hand), python_side(there, hand), cut)
    await asyncio.gather(here.stop(0), there.stop(0))


@contextlib.asynccontextmanager
async def _python_node() -> AsyncIterator[Node]:
    async with _nodes[0].cluster.py_node(hidden=True) as node:
        expose(node.runtime)
        yield node
        for process in node.runtime.processes():
            if process.trap_exit:
                node.exit(process.pid, Atom("kill"))


@contextlib.asynccontextmanager
async def _two_nodes() -> AsyncIterator[Pair]:
    async with _python_node() as here, _python_node() as there:
        hand = Hand(here.main)

        async def cut() -> None:
            here.disconnect(there.name)

        yield Pair(python_side(here.runtime, hand), python_side(there.runtime, hand), cut)


@contextlib.asynccontextmanager
async def _beam_side(beam: Beam, hand: Hand) -> AsyncIterator[Side]:
    made: list[Pid] = []

    async def make() -> Acting:
        made.append(await beam.aeval("semantics:start()"))
        return Acting(hand, made[-1])

    yield Side(beam.name, make, stale)
    await beam.aeval("[exit(Pid, kill) || Pid <- Pids]", Pids=made)


async def _lost(beam: Beam, other: Atom) -> None:
    """Wait until ``beam`` has seen the end of its connection too."""
    async with asyncio.timeout(DEADLINE):
        while await beam.aeval("lists:member(N, nodes(connected))", N=other):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def _python_beam() -> AsyncIterator[Pair]:
    beam = _nodes[0].beams()[0]
    async with _python_node() as node:
        hand = Hand(node.main)

        async def cut() -> None:
            node.disconnect(beam.name)
            await _lost(beam, node.name)

        async with _beam_side(beam, hand) as side:
            yield Pair(python_side(node.runtime, hand), side, cut)


@contextlib.asynccontextmanager
async def _beam_python() -> AsyncIterator[Pair]:
    async with _python_beam() as turned:
        yield Pair(turned.b, turned.a, turned.cut)


@contextlib.asynccontextmanager
async def _beam_beam() -> AsyncIterator[Pair]:
    one, two = _nodes[0].beams()
    async with _python_node() as node:
        hand = Hand(node.main)

        async def cut() -> None:
            await one.aeval("erlang:disconnect_node(N)", N=two.name)
            await _lost(two, one.name)

        async with _beam_side(one, hand) as a, _beam_side(two, hand) as b:
            yield Pair(a, b, cut)


_PAIRS: dict[str, Callable[[], contextlib.AbstractAsyncContextManager[Pair]]] = {
    "one_runtime": _one_runtime,
    "two_runtimes": _two_runtimes,
    "two_nodes": _two_nodes,
    "python_beam": _python_beam,
    "beam_python": _beam_python,
    "beam_beam": _beam_beam,
}


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
