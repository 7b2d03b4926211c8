"""Phoenix.PubSub among Python nodes: subscribers, broadcasts, dispatchers, ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from pynode.behaviours import GenServer
from pynode.errors import AlreadyStarted, EncodeError, NameError_, NodeDown, PeerBusy
from pynode.node import Node
from pynode.phoenix import PubSub
from pynode.phoenix.names import SCOPE, groups
from pynode.process.process import Process
from pynode.terms import Pid, atom, elixir
from pynode.testing import eventually, receives

NAME = "MyApp.PubSub"
TOPIC = "rooms:1"


async def live(process: Process) -> None:
    """The body of a process that lives until it is told to stop."""
    await process.receive(lambda message: message == atom.stop)


@pytest.fixture
async def node(py_node: Any) -> AsyncGenerator[Node]:
    async with py_node() as started:
        yield started


@pytest.fixture
async def pair(py_node: Any) -> AsyncGenerator[tuple[Node, Node]]:
    async with py_node() as one, py_node() as two:
        await one.connect(two.name)
        yield one, two


async def met(*nodes: Node, pool_size: int = 1, name: str = NAME) -> None:
    """Wait until every node sees a worker of each in every group."""

    def all_met() -> bool:
        return all(
            len(node.pg.get_members(group, SCOPE)) == len(nodes)
            for node in nodes
            for group in groups(elixir(name), pool_size)
        )

    await eventually(all_met)


async def nothing_for(node: Node) -> None:
    """What was sent by the acting process has arrived: and ``main`` got nothing of it."""
    node.send(node.main.pid, atom.last)
    assert await node.main.receive(timeout=10) == atom.last


# --------------------------------------------------------------------------- made and stopped


async def test_a_name_is_taken_until_it_is_stopped(node: Node) -> None:
    with PubSub(node, NAME, pool_size=2) as pubsub:
        assert pubsub.name == elixir(NAME)
        assert pubsub.node_name == node.name
        assert node.pg.which_scopes() == [SCOPE]
        with pytest.raises(NameError_):
            PubSub(node, NAME)
        with PubSub(node, "my_pubsub"):
            assert len(node.pg.which_groups(SCOPE)) == 3
    assert node.pg.which_groups(SCOPE) == []
    assert "stopped" in repr(pubsub)
    pubsub.stop()
    with PubSub(node, NAME) as again:
        assert "stopped" not in repr(again)


async def test_no_part_of_a_pool_is_left_when_it_cannot_be_made(node: Node) -> None:
    taken = groups(elixir(NAME), 2)[1]
    node.spawn(live, name=taken)
    with pytest.raises(NameError_):
        PubSub(node, NAME, 2)
    assert node.whereis(groups(elixir(NAME), 1)[0]) is None
    assert node.pg.which_groups(SCOPE) == []


async def test_what_cannot_be_made(node: Node, py_node: Any) -> None:
    for size, broadcasting in ((0, None), (0, 0), (1, 2), (1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            PubSub(node, NAME, size, broadcast_pool_size=broadcasting)
    with pytest.raises(TypeError):
        PubSub(node, b"MyApp")  # type: ignore[arg-type]
    with pytest.raises(NodeDown):
        PubSub(py_node(), NAME)
    node.spawn(live, name=SCOPE)
    with pytest.raises(AlreadyStarted):
        PubSub(node, NAME)


async def test_a_stopped_one_refuses(node: Node) -> None:
    pubsub = PubSub(node, NAME)
    pid = node.spawn(live)
    pubsub.subscribe(TOPIC, pid)
    pubsub.stop()
    assert pubsub.subscribers(TOPIC) == []
    for use in (
        lambda: pubsub.subscribe(TOPIC),
        lambda: pubsub.messages(TOPIC),
        lambda: pubsub.broadcast(TOPIC, 1),
        lambda: pubsub.broadcast_from(pid, TOPIC, 1),
        lambda: pubsub.local_broadcast(TOPIC, 1),
        lambda: pubsub.local_broadcast_from(pid, TOPIC, 1),
        lambda: pubsub.direct_broadcast(node.name, TOPIC, 1),
    ):
        with pytest.raises(NodeDown):
            use()
    pubsub.unsubscribe(TOPIC, pid)
    assert node.runtime.is_alive(pid)


async def test_it_ends_with_its_node(py_node: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with py_node() as node:
        pubsub = PubSub(node, NAME, 2)
        messages = pubsub.messages(TOPIC)
        pubsub.subscribe(TOPIC, print)

        async def read() -> list[Any]:
            return [message async for message in messages]

        reading = asyncio.create_task(read())
        pubsub.local_broadcast(TOPIC, 1)
        await eventually(lambda: not messages._process.mailbox)
    assert await reading == [1]
    pubsub.stop()
    messages.close()
    assert not caplog.records


async def test_a_stopped_one_sends_nothing(pair: tuple[Node, Node]) -> None:
    one, two = pair
    with PubSub(two, NAME) as there:
        there.subscribe(TOPIC)
        here = PubSub(one, NAME)
        await met(one, two)
        here.stop()
        for broadcast in (here.broadcast, lambda *args: here.direct_broadcast(two.name, *args)):
            with pytest.raises(NodeDown):
                broadcast(TOPIC, 1)
        one.send((there._groups[0], two.name), (atom.forward_to_local, b"rooms:1", 2, atom.x))
        assert await two.main.receive(timeout=10) == 2


# --------------------------------------------------------------------------- subscribers


async def test_a_process_subscribes(node: Node) -> None:
    with PubSub(node, NAME) as pubsub:

        async def subscriber(process: Process) -> None:
            assert pubsub.subscribe(TOPIC) == process.pid
            node.send(node.main.pid, atom.ready)
            node.send(node.main.pid, (atom.got, await process.receive()))

        pid = node.spawn(subscriber)
        await receives(node.main, atom.ready)
        assert pubsub.subscribers(TOPIC) == [(pid, None)]
        pubsub.broadcast(b"rooms:1", {"a": "text"})
        await receives(node.main, (atom.got, {b"a": b"text"}))
        await eventually(lambda: pubsub.subscribers(TOPIC) == [])  # it has ended
        assert not pubsub._monitors


async def test_main_subscribes_twice_and_unsubscribes_once(node: Node) -> None:
    with PubSub(node, NAME) as pubsub:
        for _ in range(2):
            assert pubsub.subscribe(TOPIC) == node.main.pid
        pubsub.subscribe("other", node.main.pid)
        pubsub.broadcast(TOPIC, 1)
        pubsub.broadcast("other", 2)
        pubsub.broadcast("nobody's", 3)
        assert [await node.main.receive(timeout=10) for _ in range(3)] == [1, 1, 2]
        pubsub.unsubscribe(TOPIC)
        pubsub.unsubscribe(TOPIC)
        pubsub.broadcast(TOPIC, 1)
        pubsub.broadcast("other", 2)
        assert await node.main.receive(timeout=10) == 2
        pubsub.unsubscribe("other", node.main.pid)
        pubsub.broadcast("other", 2)
        await nothing_for(node)
        assert not pubsub._monitors
        watched = pubsub._workers[0].process.monitors
        assert watched is not None
        assert list(watched) == [pubsub._scope_monitor]


async def test_what_cannot_subscribe(node: Node) -> None:
    with PubSub(node, NAME) as pubsub:
        with pytest.raises(ValueError, match="not of this node"):
            pubsub.subscribe(TOPIC, Pid(atom("other@h"), 1, 0, 1))
        with pytest.raises(TypeError, match="a pid or a function"):
            pubsub.subscribe(TOPIC, 1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="topic"):
            pubsub.subscribe(atom.rooms)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="comes from a pid"):
            pubsub.broadcast_from(None, TOPIC, 1)  # type: ignore[arg-type]
        assert pubsub.subscribers(TOPIC) == []


async def test_a_function_subscribes(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    got: list[Any] = []

    def plain(message: Any) -> None:
        if message == atom.bad:
            raise ValueError("no")
        got.append(message)

    with PubSub(node, NAME) as pubsub:
        pid = pubsub.subscribe(TOPIC, plain, text=True)
        assert pubsub.subscribe("other", pid) == pid
        for message in (b"one", atom.bad, b"two"):
            pubsub.broadcast(TOPIC, message)
        pubsub.broadcast("other", b"three")
        await eventually(lambda: len(got) == 3)
        assert got == ["one", "two", "three"]
        assert "failed on atom.bad" in caplog.text
        pubsub.unsubscribe(TOPIC, pid)
        assert node.runtime.is_alive(pid)
        pubsub.unsubscribe("other", pid)
        assert not node.runtime.is_alive(pid)
        assert not pubsub._own


async def test_an_async_function_gets_one_message_at_a_time(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Any] = []
    gate = asyncio.Event()

    async def slow(message: Any) -> None:
        got.append((atom.begin, message))
        await gate.wait()
        if message == 1:
            raise ValueError("no")
        got.append((atom.end, message))

    with PubSub(node, NAME) as pubsub:
        pubsub.subscribe(TOPIC, slow)
        for number in range(3):
            pubsub.broadcast(TOPIC, number)
        await eventually(lambda: got)
        assert got == [(atom.begin, 0)]
        gate.set()
        await eventually(lambda: len(got) == 5)
        assert [number for _, number in got] == [0, 0, 1, 2, 2]
        assert "failed on 1" in caplog.text


@pytest.mark.parametrize("plain", [True, False])
async def test_a_function_that_unsubscribes_itself_finishes_first(node: Node, plain: bool) -> None:
    got: list[Any] = []

    def once(message: Any) -> None:
        pubsub.unsubscribe(TOPIC, pid)
        got.append(message)

    async def once_later(message: Any) -> None:
        pubsub.unsubscribe(TOPIC, pid)
        await asyncio.sleep(0)
        got.append(message)

    with PubSub(node, NAME) as pubsub:
        pid = pubsub.subscribe(TOPIC, once if plain else once_later)
        for number in range(3):
            pubsub.broadcast(TOPIC, number)
        await eventually(lambda: not node.runtime.is_alive(pid))
        assert got == [0]


async def test_a_function_whose_task_unsubscribes_it_ends_too(node: Node) -> None:
    tasks: list[Any] = []

    async def unsubscribe(message: Any) -> None:
        await gate.wait()
        pubsub.unsubscribe(TOPIC, pid)

    def begin(message: Any) -> None:
        tasks.append(asyncio.create_task(unsubscribe(message)))

    gate = asyncio.Event()
    with PubSub(node, NAME) as pubsub:
        pid = pubsub.subscribe(TOPIC, begin)
        pubsub.broadcast(TOPIC, 1)
        await eventually(lambda: tasks)
        assert node.runtime.is_alive(pid)
        gate.set()
        await tasks[0]
        assert not node.runtime.is_alive(pid)


async def test_an_iterator_of_messages(node: Node) -> None:
    with PubSub(node, NAME) as pubsub:
        with pubsub.messages(TOPIC, "other", text=True, metadata=1) as messages:
            assert pubsub.subscribers("other") == [(messages.pid, 1)]
            pubsub.broadcast(TOPIC, b"one")
            pubsub.broadcast("other", b"two")
            pubsub.unsubscribe(TOPIC, messages.pid)
            pubsub.unsubscribe("other", messages.pid)
            pubsub.broadcast(TOPIC, b"no")
            pubsub.subscribe("third", messages.pid)
            pubsub.broadcast("third", b"three")
            got = []
            async for message in messages:
                got.append(message)
                if len(got) == 3:
                    break
            assert got == ["one", "two", "three"]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(messages), 0)
            pubsub.broadcast("third", b"four")
            assert await anext(messages) == "four"
        assert pubsub.subscribers("third") == []
        assert not node.runtime.is_alive(messages.pid)
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
        assert not pubsub._own
        assert not pubsub._monitors


@pytest.mark.parametrize("topics", [[TOPIC], []])
async def test_the_stop_ends_a_wait(node: Node, topics: list[str]) -> None:
    with PubSub(node, NAME) as pubsub:
        messages = pubsub.messages(*topics)

        async def read() -> list[Any]:
            return [message async for message in messages]

        reading = asyncio.create_task(read())
        pubsub.broadcast(TOPIC, 1)
        await eventually(lambda: messages._process.receivers)
        await eventually(lambda: not messages._process.mailbox)
    assert await asyncio.wait_for(reading, 10) == [1 for _ in topics]


# --------------------------------------------------------------------------- broadcasts


async def test_broadcasts_reach_both_nodes_in_order(pair: tuple[Node, Node]) -> None:
    one, two = pair
    with PubSub(one, NAME) as here, PubSub(two, NAME) as there:
        await met(one, two)
        here.subscribe(TOPIC)
        there.subscribe(TOPIC)
        for number in range(50):
            here.broadcast(TOPIC, number)
        for node in pair:
            assert [await node.main.receive(timeout=10) for _ in range(50)] == list(range(50))


async def test_broadcast_from_leaves_one_out(pair: tuple[Node, Node]) -> None:
    one, two = pair
    with PubSub(one, NAME) as here, PubSub(two, NAME) as there:
        await met(one, two)
        here.subscribe(TOPIC)
        there.subscribe(TOPIC)
        here.broadcast_from(one.main.pid, TOPIC, 1)
        await receives(two.main, 1)
        await nothing_for(one)
        here.local_broadcast_from(one.main.pid, TOPIC, 2)
        await nothing_for(one)
        here.local_broadcast(TOPIC, 3)
        await receives(one.main, 3)
        here.direct_broadcast(two.name, TOPIC, 4)
        here.direct_broadcast(str(one.name), TOPIC, 5)
        assert await two.main.receive(timeout=10) == 4
        assert await one.main.receive(timeout=10) == 5


async def test_a_direct_broadcast_to_nobody(node: Node) -> None:
    with PubSub(node, NAME) as pubsub:
        pubsub.direct_broadcast("nobody@localhost", TOPIC, 1)


async def test_pools(pair: tuple[Node, Node]) -> None:
    """Each process broadcasts through one member; all of them deliver."""
    one, two = pair
    with PubSub(one, NAME, 3) as here, PubSub(two, NAME, 3) as there:
        await met(one, two, pool_size=3)
        there.subscribe(TOPIC)
        taken: set[Pid] = set()
        for worker in there._workers:
            spy(worker, taken)

        async def broadcaster(process: Process) -> None:
            for number in range(3):
                here.broadcast(TOPIC, (process.pid, number))

        pids = [one.spawn(broadcaster) for _ in range(6)]
        got: dict[Pid, list[int]] = {pid: [] for pid in pids}
        for _ in range(18):
            pid, number = await two.main.receive(timeout=10)
            got[pid].append(number)
        assert all(numbers == [0, 1, 2] for numbers in got.values())
        assert taken == {worker.process.pid for worker in there._workers}


def spy(worker: Any, taken: set[Pid]) -> None:
    forwarded = worker._forwarded

    def note(process: Process, *rest: Any) -> None:
        taken.add(process.pid)
        forwarded(process, *rest)

    worker._forwarded = note


async def test_a_smaller_broadcast_pool(pair: tuple[Node, Node]) -> None:
    one, two = pair
    with PubSub(one, NAME, 4, broadcast_pool_size=1) as here, PubSub(two, NAME) as there:
        await met(one, two)
        there.subscribe(TOPIC)
        for number in range(4):
            pid = one.runtime.spawn(None)
            pid.own_context().run(here.broadcast, TOPIC, number)
        assert {await two.main.receive(timeout=10) for _ in range(4)} == {0, 1, 2, 3}


async def test_what_is_no_term_goes_nowhere(pair: tuple[Node, Node]) -> None:
    one, two = pair
    with PubSub(one, NAME) as here, PubSub(two, NAME) as there:
        for broadcast in (here.broadcast, here.local_broadcast):  # to nobody
            with pytest.raises(EncodeError):
                broadcast(TOPIC, object())
        await met(one, two)
        here.subscribe(TOPIC)
        there.subscribe(TOPIC)
        for broadcast in (here.broadcast, here.local_broadcast):
            with pytest.raises(EncodeError):
                broadcast(TOPIC, object())
        with pytest.raises(EncodeError):
            here.direct_broadcast(two.name, TOPIC, object())
        here.broadcast(TOPIC, 1)
        for node in pair:
            assert await node.main.receive(timeout=10) == 1


async def test_one_busy_node_does_not_keep_a_message_from_the_others(
    py_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with py_node() as one, py_node() as two, py_node() as three:
        await one.connect(two.name)
        await one.connect(three.name)
        with PubSub(one, NAME) as here, PubSub(two, NAME) as there, PubSub(three, NAME) as last:
            await met(one, two, three)
            send = one.runtime.send

            def refuse(process: Process, dest: Any, message: Any, **options: Any) -> None:
                if getattr(dest, "node", None) == busy:
                    raise PeerBusy(busy.name, 1)
                send(process, dest, message, **options)

            for pubsub in (here, there, last):
                pubsub.subscribe(TOPIC)
            monkeypatch.setattr(one.runtime, "send", refuse)
            for busy, other in ((two.name, three), (three.name, two)):
                with pytest.raises(PeerBusy):
                    here.broadcast(TOPIC, (atom.not_to, busy))
                await receives(one.main, (atom.not_to, busy))
                await receives(other.main, (atom.not_to, busy))


# --------------------------------------------------------------------------- dispatchers


async def test_dispatchers(pair: tuple[Node, Node]) -> None:
    one, two = pair
    calls: list[Any] = []

    def dispatch(entries: Any, from_: Any, message: Any) -> None:
        calls.append((entries, from_, message))

    options: dict[str, Any] = {"dispatchers": {"MyApp.Fastlane": dispatch}}
    with PubSub(one, NAME, **options) as here, PubSub(two, NAME, **options) as there:
        await met(one, two)
        here.subscribe(TOPIC, metadata=b"here")
        there.subscribe(TOPIC, metadata={"there": 1})
        here.broadcast_from(one.main.pid, TOPIC, 1, dispatcher="MyApp.Fastlane")
        assert calls == [([(one.main.pid, b"here")], one.main.pid, 1)]
        await eventually(lambda: len(calls) == 2)
        assert calls[1] == ([(two.main.pid, {"there": 1})], None, 1)
        here.broadcast("nobody's", 1, dispatcher="MyApp.Fastlane")
        here.broadcast(TOPIC, atom.done)
        await receives(two.main, atom.done)
        assert len(calls) == 2


async def test_an_unknown_dispatcher_is_warned_of_once(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    with PubSub(node, NAME) as pubsub:
        pubsub.subscribe(TOPIC)
        for number in range(2):
            pubsub.broadcast(TOPIC, number, dispatcher="MyApp.Unknown")
            pubsub.broadcast(TOPIC, number, dispatcher="Phoenix.Channel.Server")
            pubsub.direct_broadcast(node.name, TOPIC, number, dispatcher=atom.unknown)
        assert sorted([await node.main.receive(timeout=10) for _ in range(6)]) == [0] * 3 + [1] * 3
        assert [record.args[1] for record in caplog.records if isinstance(record.args, tuple)] == [
            elixir("MyApp.Unknown"),
            atom.unknown,
        ]
        for number in range(200):
            pubsub.broadcast(TOPIC, 0, dispatcher=f"Made.Up{number}")
        assert len(caplog.records) == 100


async def test_a_dispatcher_that_fails(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    def fail(entries: Any, from_: Any, message: Any) -> None:
        raise ValueError("no")

    with PubSub(node, NAME, dispatchers={"Bad": fail}) as pubsub:
        pubsub.subscribe(TOPIC)
        with pytest.raises(ValueError, match="no"):
            pubsub.broadcast(TOPIC, 1, dispatcher="Bad")
        pubsub.direct_broadcast(node.name, TOPIC, 1, dispatcher="Bad")
        pubsub.direct_broadcast(node.name, TOPIC, 2)
        assert await node.main.receive(timeout=10) == 2
        assert "could not handle" in caplog.text


# --------------------------------------------------------------------------- bad input, ends


async def test_no_message_ends_a_worker(pair: tuple[Node, Node]) -> None:
    one, two = pair
    with PubSub(one, NAME) as here:
        here.subscribe(TOPIC)
        worker = here._workers[0].process.pid
        forward = atom.forward_to_local
        for message in (
            atom.hello,
            (),
            (forward,),
            (forward, atom.rooms, 1, elixir("Phoenix.PubSub")),
            (forward, b"rooms:1", 1, b"Phoenix.PubSub"),
            (forward, b"rooms:1", 1, True),
            (forward, [1], 1, atom.x),
            (atom.DOWN, two.make_ref(), atom.process, one.main.pid, 1),
            (atom.DOWN, 1, 2, 3, 4),
            (atom("$gen_call"), (two.main.pid, 1), atom.x),
        ):
            two.send(worker, message)
        two.send(worker, (forward, b"rooms:1", atom.last, elixir("Phoenix.PubSub")))
        assert await one.main.receive(timeout=10) == atom.last
        assert here._workers[0].process.pid == worker


@pytest.mark.parametrize("victim", [0, 1, "scope"])
async def test_what_is_killed_is_started_again(
    pair: tuple[Node, Node], victim: int | str, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair
    with PubSub(one, NAME, 2) as here, PubSub(two, NAME, 2) as there, PubSub(one, "Other") as other:
        await met(one, two, pool_size=2)
        pid = one.spawn(live)
        here.subscribe(TOPIC, pid)
        here.subscribe(TOPIC)
        other.subscribe(TOPIC)
        before = [worker.process.pid for worker in here._workers]
        dead = one.whereis(SCOPE) if victim == "scope" else before[int(victim)]
        assert dead is not None
        two.exit(dead, atom.kill)
        await eventually(lambda: not one.runtime.is_alive(dead))
        await met(one, two, pool_size=2)
        await eventually(
            lambda: (
                [worker.process.pid for worker in here._workers] != before
                and one.pg.get_members(other._groups[0], SCOPE)
            )
        )
        await met(one, two, pool_size=2)
        there.broadcast(TOPIC, 1)
        await receives(one.main, 1)
        one.send(pid, atom.stop)  # and who is subscribed is still watched
        await eventually(lambda: here.subscribers(TOPIC) == [(one.main.pid, None)])
    assert one.pg.which_local_groups(SCOPE) == []
    assert all(process.alive for process in one.runtime.system)
    assert not caplog.records


# --------------------------------------------------------------------------- from threads


class Room(GenServer, blocking=True):
    def init(self, pubsub: PubSub) -> None:
        self.pubsub = pubsub
        assert pubsub.subscribe(TOPIC) == self.pid

    def handle_call(self, request: Any, caller: Any) -> Any:
        self.pubsub.broadcast_from(self.pid, TOPIC, request)
        self.pubsub.local_broadcast(TOPIC, request, dispatcher="Here")
        return self.pubsub.subscribers(TOPIC)

    def handle_info(self, message: Any) -> None:
        self.pubsub.unsubscribe(TOPIC)
        self.pubsub.local_broadcast(TOPIC, (atom.room_got, message))


async def test_a_blocking_server(node: Node) -> None:
    threads: set[int] = set()

    def dispatch(entries: Any, from_: Any, message: Any) -> None:
        threads.add(threading.get_ident())

    with PubSub(node, NAME, dispatchers={"Here": dispatch}) as pubsub:
        pubsub.subscribe(TOPIC)
        room = await node.start(Room, pubsub)
        assert await node.call(room, atom.hello) == [(node.main.pid, None), (room, None)]
        assert threads == {threading.get_ident()}  # all of it is the loop's
        await receives(node.main, atom.hello)
        pubsub.broadcast_from(node.main.pid, TOPIC, 1)
        await receives(node.main, (atom.room_got, 1))
        assert pubsub.subscribers(TOPIC) == [(node.main.pid, None)]


async def test_what_ends_with_the_node_may_still_broadcast(py_node: Any) -> None:
    async with py_node() as two, py_node() as one:
        await one.connect(two.name)
        with PubSub(two, NAME) as there:
            there.subscribe(TOPIC)
            here = PubSub(one, NAME)
            workers = [worker.process.pid for worker in here._workers]
            await met(one, two)

            async def last_words(process: Process) -> None:
                process.trap_exit = True
                await process.receive()
                assert [worker.process.pid for worker in here._workers] == workers
                here.broadcast(TOPIC, atom.bye)

            one.spawn(last_words)
            await one.stop()
            assert await two.main.receive(timeout=10) == atom.bye
