"""Publisher, Subscriber and SubscriptionManager without any BEAM."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from pynode import Node
from pynode.errors import NoProcess
from pynode.pubsub import Publisher, Subscriber, SubscriptionManager
from pynode.pubsub.wording import spoken
from pynode.terms import Pid, atom, charlist
from pynode.testing import eventually, names, receives

PyNode = Callable[..., Node]

ONE, TWO = charlist("one"), charlist("two")


@pytest.fixture
async def node(py_node: PyNode) -> AsyncGenerator[Node]:
    async with py_node() as node:
        yield node


@pytest.fixture
async def publisher(node: Node) -> Pid:
    pid: Pid = await node.start(Publisher)
    return pid


async def collector(process: Any, main: Pid) -> None:
    """Stand in for an event manager: pass everything on."""
    async for message in process:
        process.runtime.send(process, main, (process.pid, message))


async def test_it_notifies_every_subscriber_as_gen_event_does_and_says_so(
    node: Node, publisher: Pid, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (node.spawn(collector, node.main.pid) for _ in range(2))
    Publisher.subscribe(publisher, ONE, first, node=node)
    Publisher.subscribe(publisher, TWO, second, node=node)
    Publisher.notify(publisher, "Hello !!", node=node)
    for pid in (first, second):
        await receives(node.main, (pid, (atom.notify, b"Hello !!")))
    assert capsys.readouterr().out == "I have published: 'Hello !!'\n"


async def test_a_subscriber_prints_what_it_receives(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    subscriber = await node.start(Subscriber)
    for event in ("Hello ÿ", charlist("chars"), atom.name, (1, atom.b), b"\xff"):
        node.send(subscriber, (atom.notify, event))
    await node.stop_server(subscriber)
    assert capsys.readouterr().out.splitlines() == [
        f"I have received: '{text}'" for text in ("Hello ÿ", "chars", "name", "{1, :b}", "<<255>>")
    ]


async def test_it_knows_its_subscribers_by_name(node: Node, publisher: Pid) -> None:
    first, second = (node.spawn(collector, node.main.pid) for _ in range(2))
    assert await Publisher.subscribers(publisher, node=node) == {}
    Publisher.subscribe(publisher, ONE, first, node=node)
    Publisher.subscribe(publisher, TWO, second, node=node)
    found = await Publisher.subscribers(publisher, node=node)
    assert sorted(found.items()) == [(ONE, first), (TWO, second)]
    Publisher.unsubscribe(publisher, ONE, node=node)
    Publisher.unsubscribe(publisher, charlist("never was"), node=node)
    assert list((await Publisher.subscribers(publisher, node=node)).items()) == [(TWO, second)]


async def test_it_forgets_a_subscriber_that_dies_under_each_of_its_names(
    node: Node, publisher: Pid
) -> None:
    first, second = (node.spawn(collector, node.main.pid) for _ in range(2))
    for name, pid in ((ONE, first), (TWO, first), (charlist("three"), second)):
        Publisher.subscribe(publisher, name, pid, node=node)
    assert len(await Publisher.subscribers(publisher, node=node)) == 3
    node.exit(first, atom.kill)

    async def only_the_second() -> bool:
        found = await Publisher.subscribers(publisher, node=node)
        return list(found.items()) == [(charlist("three"), second)]

    await eventually(only_the_second)


async def test_a_name_that_is_given_anew_is_not_lost_with_its_first_bearer(
    node: Node, publisher: Pid
) -> None:
    first, second = (node.spawn(collector, node.main.pid) for _ in range(2))
    Publisher.subscribe(publisher, ONE, first, node=node)
    Publisher.subscribe(publisher, ONE, second, node=node)
    await Publisher.subscribers(publisher, node=node)
    process = node.runtime.local(publisher)
    assert process is not None
    assert process.monitors is not None
    assert len(process.monitors) == 1  # the first bearer is not watched any more
    ref = node.monitor(first)
    node.exit(first, atom.kill)
    await receives(node.main, lambda m: m[:2] == (atom.DOWN, ref))
    assert list((await Publisher.subscribers(publisher, node=node)).items()) == [(ONE, second)]


async def test_the_subscription_manager(node: Node) -> None:
    agent = await node.start(SubscriptionManager)
    me = node.main.pid
    assert await SubscriptionManager.get_all(agent, node=node) == {}
    assert await SubscriptionManager.get(agent, ONE, node=node) is None
    await SubscriptionManager.put(agent, ONE, me, node=node)
    assert await SubscriptionManager.get(agent, ONE, node=node) == me
    assert list((await SubscriptionManager.get_all(agent, node=node)).items()) == [(ONE, me)]
    await SubscriptionManager.delete(agent, ONE, node=node)
    await SubscriptionManager.delete(agent, ONE, node=node)
    assert await SubscriptionManager.get_all(agent, node=node) == {}


async def test_the_publisher_and_its_agent_go_together(node: Node, publisher: Pid) -> None:
    process = node.runtime.local(publisher)
    assert process is not None
    assert process.links is not None
    (agent,) = process.links
    assert await SubscriptionManager.get_all(agent, node=node) == {}
    await node.stop_server(publisher, atom.shutdown)
    await eventually(lambda: not node.runtime.is_alive(agent))
    with pytest.raises(NoProcess):
        await Publisher.subscribers(publisher, node=node)


async def test_the_functions_speak_as_the_current_process(node: Node, publisher: Pid) -> None:
    async def subscribing(process: Any) -> None:
        Publisher.subscribe(publisher, ONE, process.pid)
        assert len(await Publisher.subscribers(publisher)) == 1
        Publisher.unsubscribe(publisher, ONE)
        process.runtime.send(process, node.main.pid, await Publisher.subscribers(publisher))

    node.spawn(subscribing)
    await receives(node.main, {})


async def test_wrong_use(publisher: Pid, node: Node) -> None:
    with pytest.raises(RuntimeError, match="pass node="):
        Publisher.notify(publisher, "Hello !!")
    spellings = re.escape("charlist('one'), atom('one') or b'one'")
    with pytest.raises(TypeError, match=spellings):
        Publisher.subscribe(publisher, "one", publisher, node=node)
    with pytest.raises(TypeError, match=spellings):
        Publisher.unsubscribe(publisher, "one", node=node)


async def test_across_two_python_nodes(
    node: Node, publisher: Pid, py_node: PyNode, capsys: pytest.CaptureFixture[str]
) -> None:
    await node.global_.register_name(charlist("manager"), publisher)
    async with py_node() as other:
        await other.connect(node.name)
        await eventually(lambda: names(other) == [charlist("manager")])
        manager = await other.global_.whereis_name(charlist("manager"))
        assert manager == publisher
        subscriber = await other.start(Subscriber)
        Publisher.subscribe(manager, TWO, subscriber, node=other)
        assert await Publisher.subscribers(manager, node=other)
        Publisher.notify(manager, "from afar", node=other)
        printed = ""

        def received() -> bool:
            nonlocal printed
            printed += capsys.readouterr().out
            return "I have received: 'from afar'\n" in printed

        await eventually(received)

    async def nobody() -> bool:
        return not await Publisher.subscribers(publisher, node=node)

    await eventually(nobody)


def test_spoken() -> None:
    assert [spoken(x) for x in ("a", b"a", [97], atom.a, 1, [], [b"a", [98]])] == [
        "a",
        "a",
        "a",
        "a",
        "1",
        "",
        "ab",
    ]
    assert spoken([atom.a]) == "[:a]"
