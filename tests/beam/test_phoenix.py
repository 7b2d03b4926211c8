"""Phoenix.PubSub on BEAM nodes and Python ones.

The BEAM's side is the stand-in of elixir_side, on ``:pg`` and with Phoenix's messages, since
the real one is on no disk that a test may count on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from pynode.node import Node
from pynode.phoenix import PubSub
from pynode.phoenix.names import SCOPE, groups
from pynode.process.process import Process
from pynode.terms import Atom, atom, elixir
from pynode.testing import Beam, BeamMissing, Release, eventually, receives

NAME = elixir("MyApp.PubSub")
TOPIC = b"rooms:1"
STAND_IN = elixir("ElixirSide.PubSubStandIn")
PAIRS = [("host", "trixie"), ("trixie", "forky")]


@pytest.fixture(params=PAIRS, ids="-".join)
def two_releases(request: pytest.FixtureRequest, beam: Any) -> list[Beam]:
    """A node of each of two releases."""
    try:
        releases = [Release.find(name, near=request.path.parent) for name in request.param]
    except BeamMissing as error:
        pytest.skip(str(error))
    return [ex(beam, release=release) for release in releases]


def ex(beam: Callable[..., Beam], **options: Any) -> Beam:
    return beam(project="elixir_side", **options)


async def started(node: Beam, pool_size: int = 1) -> None:
    """Start the PubSub there, with the shell of the node as a subscriber."""
    code = "{:ok, _} = ElixirSide.PubSubStandIn.start(name, pool_size: size)"
    await node.aeval(code, name=NAME, size=pool_size)
    code = "ElixirSide.PubSubStandIn.subscribe(name, topic, :there)"
    assert await node.aeval(code, name=NAME, topic=TOPIC) == atom.ok


async def met(*nodes: Beam | Node, pool_size: int = 1) -> None:
    """Wait until every node sees a worker of each in every group."""

    async def all_met() -> bool:
        for group in groups(NAME, pool_size):
            for node in nodes:
                if isinstance(node, Beam):
                    found = await node.arpc("pg", "get_members", [SCOPE, group])
                else:
                    found = node.pg.get_members(group, SCOPE)
                if Counter(pid.node for pid in found) != Counter(node.name for node in nodes):
                    return False
        return True

    await eventually(all_met)


async def got(node: Beam, count: int = 1) -> list[Any]:
    """Return the next messages of the node's shell."""
    code = "for _ <- 1..count, do: (receive do m -> m after 5_000 -> :nothing end)"
    messages: list[Any] = await node.aeval(code, count=count)
    return messages


async def call(node: Beam, function: str, *args: Any) -> None:
    """Call the stand-in in the node's shell."""
    code = "apply(module, function, args)"
    done = await node.aeval(code, module=STAND_IN, function=Atom(function), args=list(args))
    assert done == atom.ok


# --------------------------------------------------------------------------- one BEAM


@pytest.mark.parametrize("pool_size", [1, 4])
async def test_broadcasts_both_ways(beam: Any, py_node: Any, pool_size: int) -> None:
    there = ex(beam)
    await started(there, pool_size)
    async with py_node() as node:
        with PubSub(node, "MyApp.PubSub", pool_size) as pubsub:
            await node.connect(there.name)
            await met(there, node, pool_size=pool_size)
            pubsub.subscribe("rooms:1")
            for number in range(20):
                pubsub.broadcast("rooms:1", (atom.number, number, "text"))
            expected = [(atom.number, number, b"text") for number in range(20)]
            assert await got(there, 20) == expected
            assert [await node.main.receive(timeout=10) for _ in range(20)] == expected

            async def broadcaster(process: Process, number: int) -> None:
                pubsub.broadcast("rooms:1", number)

            for number in range(8):
                node.spawn(broadcaster, number)
            assert sorted(await got(there, 8)) == list(range(8))
            for _ in range(8):
                await node.main.receive(timeout=10)

            code = (
                "for n <- 1..30, do: Task.await(Task.async(fn -> "
                "for i <- 1..2, do: ElixirSide.PubSubStandIn.broadcast(name, topic, {n, i}) end))"
            )
            await there.aeval(code, name=NAME, topic=TOPIC)
            messages = [await node.main.receive(timeout=10) for _ in range(60)]
            for number in range(1, 31):
                assert [i for n, i in messages if n == number] == [1, 2]


async def test_all_but_one_on_one_node_only_and_directly(beam: Any, py_node: Any) -> None:
    there = ex(beam)
    await started(there)
    async with py_node() as node:
        with PubSub(node, NAME) as pubsub:
            await node.connect(there.name)
            await met(there, node)
            pubsub.subscribe(TOPIC)
            me, shell = node.main.pid, await there.aeval("self()")

            pubsub.broadcast_from(me, TOPIC, 1)
            await call(there, "broadcast_from", NAME, shell, TOPIC, 2)
            pubsub.local_broadcast(TOPIC, 3)
            await call(there, "direct_broadcast", node.name, NAME, TOPIC, 4)
            pubsub.direct_broadcast(there.name, TOPIC, 5)
            assert await got(there, 2) == [1, 5]
            first = [await node.main.receive(timeout=10) for _ in range(3)]
            assert sorted(first) == [2, 3, 4]

            await call(there, "unsubscribe", NAME, TOPIC)
            pubsub.unsubscribe(TOPIC)
            pubsub.broadcast(TOPIC, 6)
            await call(there, "broadcast", NAME, TOPIC, 7)
            await call(there, "subscribe", NAME, b"last")
            pubsub.subscribe("last")
            pubsub.broadcast("last", 8)
            await call(there, "broadcast", NAME, b"last", 9)
            assert await got(there, 2) in ([8, 9], [9, 8])
            assert {await node.main.receive(timeout=10) for _ in range(2)} == {8, 9}


async def test_dispatchers_of_both_sides(beam: Any, py_node: Any) -> None:
    there, labelled = ex(beam), elixir("ElixirSide.PubSubStandIn.Labelled")
    await started(there)
    calls: list[Any] = []

    def dispatch(entries: Any, from_: Any, message: Any) -> None:
        calls.append((entries, from_, message))

    async with py_node() as node:
        with PubSub(node, NAME, dispatchers={labelled: dispatch}) as pubsub:
            await node.connect(there.name)
            await met(there, node)
            pubsub.subscribe(TOPIC, metadata=b"here")
            await call(there, "broadcast", NAME, TOPIC, 1, labelled)
            await eventually(lambda: calls == [([(node.main.pid, b"here")], None, 1)])
            assert await got(there) == [(atom.labelled, atom.there, atom.none, 1)]
            pubsub.broadcast(TOPIC, 2, dispatcher="ElixirSide.PubSubStandIn.Labelled")
            assert calls[1:] == [([(node.main.pid, b"here")], None, 2)]
            assert await got(there) == [(atom.labelled, atom.there, atom.none, 2)]


async def test_what_an_endpoint_broadcasts(beam: Any, py_node: Any) -> None:
    """A struct, and the dispatcher of channels: an application's most usual broadcast."""
    there = ex(beam)
    await started(there)
    messages: list[Any] = []
    async with py_node() as node:
        with PubSub(node, NAME) as pubsub:
            await node.connect(there.name)
            await met(there, node)
            pubsub.subscribe(TOPIC, messages.append, text=True)
            code = (
                "defmodule Phoenix.Channel.Server do\n"
                "  def dispatch(entries, _, message), do: "
                "for({pid, _} <- entries, do: send(pid, message))\n"
                "end\n"
                "broadcast = %{__struct__: Phoenix.Socket.Broadcast, topic: topic, "
                'event: "new_msg", payload: %{"body" => "hello"}}\n'
                "ElixirSide.PubSubStandIn.broadcast(name, topic, broadcast, Phoenix.Channel.Server)"
            )
            await there.aeval(code, name=NAME, topic=TOPIC)
            expected = {
                atom("__struct__"): elixir("Phoenix.Socket.Broadcast"),
                atom.topic: "rooms:1",
                atom.event: "new_msg",
                atom.payload: {"body": "hello"},
            }
            await eventually(lambda: messages == [expected])
            assert len(await got(there)) == 1
            pubsub.broadcast(TOPIC, expected, dispatcher="Phoenix.Channel.Server")
            (received,) = await got(there)
            assert received[atom.payload] == {b"body": b"hello"}


async def test_nodes_that_come_and_go(beam: Any, py_node: Any) -> None:
    there = ex(beam)
    await started(there)
    async with py_node() as node:
        await node.connect(there.name)
        pubsub = PubSub(node, NAME)
        await met(there, node)
        pubsub.stop()
        await met(there)
        with PubSub(node, NAME) as pubsub:
            await met(there, node)
            pubsub.subscribe(TOPIC)
            there.kill()
            await eventually(lambda: not node.nodes())
            await met(node)
            pubsub.broadcast(TOPIC, 1)
            await receives(node.main, 1)
            there.start()
            await started(there)
            await node.connect(there.name)
            await met(there, node)
            pubsub.broadcast(TOPIC, 2)
            assert await got(there) == [2]


# --------------------------------------------------------------------------- two releases


async def test_two_releases_and_two_python_nodes(two_releases: list[Beam], py_node: Any) -> None:
    for there in two_releases:
        await started(there, 2)
    async with py_node() as one, py_node() as two:
        with PubSub(one, NAME, 2) as first, PubSub(two, NAME, 2) as second:
            for node in (one, two):
                await node.connect(two_releases[0].name)
                await node.connect(two_releases[1].name)
            await one.connect(two.name)
            await met(*two_releases, one, two, pool_size=2)
            first.subscribe(TOPIC)
            second.subscribe(TOPIC)
            first.broadcast(TOPIC, one.name)
            second.broadcast(TOPIC, two.name)
            for there in two_releases:
                await call(there, "broadcast", NAME, TOPIC, there.name)
            everybody = {one.name, two.name, *(there.name for there in two_releases)}
            for there in two_releases:
                assert set(await got(there, 4)) == everybody
            for node in (one, two):
                assert {await node.main.receive(timeout=10) for _ in range(4)} == everybody
