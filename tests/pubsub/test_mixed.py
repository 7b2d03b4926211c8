"""Each role in either language, with a real Elixir on the other side."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from pynode import Node
from pynode.pubsub import Publisher, Subscriber, SubscriptionManager
from pynode.terms import Pid, atom, charlist, elixir
from pynode.testing import Beam, eventually, names

pytestmark = pytest.mark.beam

MANAGER = charlist("manager")
PYTHON, ELIXIR = charlist("subs_python"), charlist("subs_elixir")
FIND = 'manager = :global.whereis_name(~c"manager")'


@pytest.fixture
def ex(beam: Callable[..., Beam]) -> Beam:
    return beam("ex", project="elixir_side")


@pytest.fixture
async def node(ex: Beam, py_node: Callable[..., Node]) -> AsyncGenerator[Node]:
    async with py_node("py") as node:
        await node.connect(ex.name)
        yield node


class Printed:
    """What Python's subscriber printed, waited for."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    async def line(self, line: str) -> None:
        def came() -> bool:
            self._text += self._capsys.readouterr().out
            return line in self._text.splitlines()

        await eventually(came, message=f"printed {line!r}")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    return Printed(capsys)


async def subscribed(node: Node, manager: Pid, *expected: list[int]) -> None:
    async def settled() -> bool:
        found = await Publisher.subscribers(manager, node=node)
        return sorted(found) == sorted(expected)

    await eventually(settled)


async def python_manager(node: Node, ex: Beam) -> Pid:
    publisher: Pid = await node.start(Publisher)
    assert await node.global_.register_name(MANAGER, publisher)
    await eventually(lambda: names(ex) == [MANAGER])
    await ex.aeval(FIND)
    return publisher


async def elixir_manager(node: Node, ex: Beam) -> Pid:
    manager: Pid = await ex.aeval("{:ok, manager} = Publisher.start(); manager")
    assert await ex.aeval(':global.register_name(~c"manager", manager)') == atom.yes
    await eventually(lambda: names(node) == [MANAGER])
    assert await node.global_.whereis_name(MANAGER) == manager
    return manager


@pytest.fixture(params=["python", "elixir"])
async def manager(request: pytest.FixtureRequest, node: Node, ex: Beam) -> Pid:
    make = python_manager if request.param == "python" else elixir_manager
    return await make(node, ex)


async def test_subscribe_notify_and_unsubscribe(
    node: Node, ex: Beam, manager: Pid, printed: Printed
) -> None:
    subscriber = await node.start(Subscriber)
    Publisher.subscribe(manager, PYTHON, subscriber, node=node)
    await ex.aeval("{:ok, subscriber} = Subscriber.start()")
    await ex.aeval('Publisher.subscribe(manager, ~c"subs_elixir", subscriber)')
    await subscribed(node, manager, PYTHON, ELIXIR)
    assert await ex.aeval("Publisher.subscribers(manager) |> map_size()") == 2

    Publisher.notify(manager, "from python", node=node)
    await printed.line("I have received: 'from python'")
    await ex.await_line("I have received: 'from python'")
    assert await ex.aeval('Publisher.notify(manager, "from elixir")') == atom.ok
    await printed.line("I have received: 'from elixir'")
    await ex.await_line("I have published: 'from elixir'")
    await ex.await_line("I have received: 'from elixir'")

    # Each unsubscribes the other's.
    await ex.aeval('Publisher.unsubscribe(manager, ~c"subs_python")')
    await subscribed(node, manager, ELIXIR)
    Publisher.unsubscribe(manager, ELIXIR, node=node)
    await subscribed(node, manager)


async def test_a_subscriber_that_dies_is_forgotten(node: Node, ex: Beam, manager: Pid) -> None:
    subscriber = await node.start(Subscriber)
    Publisher.subscribe(manager, PYTHON, subscriber, node=node)
    await ex.aeval("{:ok, subscriber} = Subscriber.start()")
    await ex.aeval('Publisher.subscribe(manager, ~c"subs_elixir", subscriber)')
    await subscribed(node, manager, PYTHON, ELIXIR)
    node.exit(subscriber, atom.kill)
    await subscribed(node, manager, ELIXIR)
    await ex.aeval("Process.exit(subscriber, :kill)")
    await subscribed(node, manager)


async def test_the_subscribers_of_a_node_that_is_lost_are_forgotten(node: Node, ex: Beam) -> None:
    manager = await python_manager(node, ex)
    await ex.aeval("{:ok, subscriber} = Subscriber.start()")
    await ex.aeval('Publisher.subscribe(manager, ~c"subs_elixir", subscriber)')
    await subscribed(node, manager, ELIXIR)
    ex.kill()
    await subscribed(node, manager)


async def test_the_other_way_round(ex: Beam, py_node: Callable[..., Node]) -> None:
    async with py_node("py") as node:
        await node.connect(ex.name)
        manager = await elixir_manager(node, ex)
        subscriber = await node.start(Subscriber)
        Publisher.subscribe(manager, PYTHON, subscriber, node=node)
        await subscribed(node, manager, PYTHON)
    await eventually(lambda: ex.eval("Publisher.subscribers(manager)") == {})


async def test_gen_event_functions_on_a_python_subscriber(
    node: Node, ex: Beam, printed: Printed
) -> None:
    subscriber = await node.start(Subscriber)
    await ex.aeval("s = pid", pid=subscriber)
    assert await ex.aeval("GenEvent.which_handlers(s)") == [elixir("Subscriber")]
    assert await ex.aeval('GenEvent.notify(s, "plain")') == atom.ok
    assert await ex.aeval('GenEvent.sync_notify(s, "in step")') == atom.ok
    await printed.line("I have received: 'plain'")
    await printed.line("I have received: 'in step'")
    refused = await ex.aeval("GenEvent.call(s, Subscriber, :what?)")
    assert refused == (atom.error, atom.unknown_call)
    assert await ex.aeval("GenEvent.stop(s)") == atom.ok
    assert not node.runtime.is_alive(subscriber)


async def test_elixir_uses_a_python_subscription_manager(node: Node, ex: Beam) -> None:
    agent = await node.start(SubscriptionManager)
    await ex.aeval("a = agent; me = self()", agent=agent)
    assert await ex.aeval("SubscriptionManager.get_all(a)") == {}
    assert await ex.aeval('SubscriptionManager.put(a, ~c"x", me)') == atom.ok
    assert await ex.aeval('SubscriptionManager.get(a, ~c"x") == me') is True
    assert await ex.aeval('SubscriptionManager.get_all(a) == %{~c"x" => me}') is True
    assert await ex.aeval('SubscriptionManager.delete(a, ~c"x")') == atom.ok
    assert await ex.aeval('SubscriptionManager.get(a, ~c"x")') is None


async def test_python_uses_an_elixir_subscription_manager(node: Node, ex: Beam) -> None:
    agent = await ex.aeval("{:ok, agent} = SubscriptionManager.start(); agent")
    me = node.main.pid
    await SubscriptionManager.put(agent, PYTHON, me, node=node)
    assert await SubscriptionManager.get(agent, PYTHON, node=node) == me
    found = await SubscriptionManager.get_all(agent, node=node)
    assert list(found.items()) == [(PYTHON, me)]
    await SubscriptionManager.delete(agent, PYTHON, node=node)
    assert await SubscriptionManager.get_all(agent, node=node) == {}
