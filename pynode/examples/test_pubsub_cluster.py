"""Testing a cluster of Elixir and Python nodes: the Publisher and its Subscribers.

Run it with ``pytest --pyargs pynode.examples.test_pubsub_cluster``, or copy it and put your own
project in the place of ``elixir_side``.  The guide to it is ``pynode/guides/testing.md``.

The tests need no plugin for async tests: each has a ``main`` that ``asyncio.run`` runs.  With
pytest-asyncio or anyio, make the test itself async and leave that out.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.pubsub import Publisher, Subscriber
from pynode.terms import charlist
from pynode.testing import Beam, eventually, names

MANAGER = charlist("manager")
SUBS_ELIXIR, SUBS_PYTHON = charlist("subs_elixir"), charlist("subs_python")


@pytest.fixture
def elixir(beam: Any) -> Beam:
    """A real Elixir node, with the project compiled and on its code path."""
    node: Beam = beam("elixir", project="elixir_side")
    return node


def subscribe(elixir: Beam) -> None:
    """What a person would type into iex."""
    elixir.eval('manager = :global.whereis_name(~c"manager")')
    elixir.eval("{:ok, subscriber} = Subscriber.start()")
    elixir.eval('Publisher.subscribe(manager, ~c"subs_elixir", subscriber)')


def test_elixir_hears_what_python_publishes(elixir: Beam, py_node: Any) -> None:
    async def main() -> None:
        async with py_node() as node:
            manager = await node.start(Publisher)
            await node.connect(elixir.name)
            await node.global_.register_name(MANAGER, manager)
            await eventually(lambda: names(elixir) == [MANAGER])
            subscribe(elixir)
            await subscribed(node, manager, [SUBS_ELIXIR])

            Publisher.notify(manager, "Hello !!", node=node)
            assert await elixir.await_line("received") == "I have received: 'Hello !!'"

    asyncio.run(main())


def test_python_hears_what_elixir_publishes(
    elixir: Beam, py_node: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    elixir.eval("{:ok, manager} = Publisher.start()")
    elixir.eval(':global.register_name(~c"manager", manager)')

    async def main() -> None:
        async with py_node() as node:
            await node.connect(elixir.name)
            manager = await eventually(lambda: node.global_.whereis_name(MANAGER))
            subscriber = await node.start(Subscriber)
            Publisher.subscribe(manager, SUBS_PYTHON, subscriber, node=node)
            # Without this, what Elixir sends could overtake what Python sent.
            await subscribed(node, manager, [SUBS_PYTHON])

            # aeval, not eval: the publisher's node is to talk to a node in this event loop.
            await elixir.aeval('Publisher.notify(manager, "Hello !!")')
            await eventually(lambda: "I have received: 'Hello !!'" in capsys.readouterr().out)

    asyncio.run(main())


def test_a_subscriber_is_forgotten_when_the_network_fails(
    beam: Any, py_node: Any, faults: Any
) -> None:
    elixir = beam("elixir", project="elixir_side", epmd=faults)

    async def main() -> None:
        async with py_node(epmd=faults) as node:
            manager = await node.start(Publisher)
            await node.connect(elixir.name)
            await node.global_.register_name(MANAGER, manager)
            await eventually(lambda: names(elixir) == [MANAGER])
            subscribe(elixir)
            await subscribed(node, manager, [SUBS_ELIXIR])

            faults.link(node, elixir).cut()
            await subscribed(node, manager, [])

    asyncio.run(main())


async def subscribed(node: Any, manager: Any, expected: list[Any]) -> None:
    """Wait until the publisher has exactly these subscribers."""

    async def settled() -> bool:
        return list(await Publisher.subscribers(manager, node=node)) == expected

    await eventually(settled)
