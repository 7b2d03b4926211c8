"""The parts of the commands: names of their own, and the proof that a message was read."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable
from typing import TypeAlias

import pytest

from pynode import GenServer, Node, Process, atom, charlist
from pynode.cli.commands import Failure, _read, own_name, ping, publish, subscriber
from pynode.cli.parser import Options
from pynode.errors import ConfigError
from pynode.pubsub import Publisher
from pynode.testing import Cluster, eventually

MakeOptions: TypeAlias = Callable[..., Options]
HOST = socket.gethostname().partition(".")[0]


@pytest.mark.parametrize(
    ("name", "peers", "short", "expected"),
    [
        ("py", [], False, f"py@{HOST}"),
        ("py", ["node1@other"], False, f"py@{HOST}"),
        ("py", ["node1@localhost"], False, f"py@{HOST}"),
        ("py", ["node1@localhost"], True, "py@localhost"),
        ("py@here", ["node1@localhost"], True, "py@here"),
        ("py@1.2.3.4", ["node1@127.0.0.1"], False, "py@1.2.3.4"),
        ("py", ["node1@127.0.0.1"], True, "py@127.0.0.1"),
        ("py", ["node1@::1"], True, "py@::1"),
        ("py", ["node1@no-such-host.invalid"], True, "py@127.0.0.1"),
    ],
)
def test_own_name(name: str, peers: list[str], short: bool, expected: str) -> None:
    assert own_name(name, "ping", peers, short=short) == expected


def test_made_up_names_differ() -> None:
    one, two = (own_name(None, "ping", ["a@localhost"], short=True) for _ in range(2))
    assert re.fullmatch(r"ping-[0-9a-f]{8}@localhost", one)
    assert one != two
    role = own_name(None, "publisher", ["a@localhost"], short=False)
    assert re.fullmatch(r"publisher-[0-9a-f]{8}@localhost", role)


def test_a_long_name_that_this_host_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: "plain")
    with pytest.raises(ConfigError, match="long names"):
        own_name("py", "publisher", ["node1@10.0.0.1"], short=False)


class Sink(GenServer):
    """Keeps what it is cast."""

    def init(self) -> None:
        self.seen: list[object] = []

    def handle_cast(self, request: object) -> None:
        self.seen.append(request)

    def handle_call(self, request: object, caller: object) -> object:
        return self.seen


async def test_read(py_node: Callable[..., Node]) -> None:
    async with py_node() as here, py_node() as there:
        sink = await there.start(Sink)
        watched = here.monitor(sink)
        here.cast(sink, b"x" * 200_000)
        await _read(here, sink, watched)
        assert await there.call(sink, atom.seen) == [b"x" * 200_000]


async def test_read_by_nobody(py_node: Callable[..., Node]) -> None:
    async with py_node() as here, py_node() as there:
        sink = await there.start(Sink)
        await there.stop_server(sink)
        watched = here.monitor(sink)
        here.cast(sink, b"x")
        with pytest.raises(Failure, match="gone: noproc"):
            await _read(here, sink, watched)


async def test_a_connection_lost_and_made_again_is_no_success(
    py_node: Callable[..., Node],
) -> None:
    async with py_node() as here, py_node() as there:
        sink = await there.start(Sink)
        await here.connect(there.name)
        watched = here.monitor(sink)
        here.cast(sink, b"x")
        here.disconnect(there.name)
        with pytest.raises(Failure, match="gone: noconnection"):
            await _read(here, sink, watched)


async def test_a_node_that_went_is_no_success(py_node: Callable[..., Node]) -> None:
    async with py_node() as here:
        async with py_node() as there:
            sink = await there.start(Sink)
            watched = here.monitor(sink)
            await here.connect(there.name)
        with pytest.raises(Failure, match="did not read it"):
            await _read(here, sink, watched)


# --------------------------------------------------------------------------- whole commands


@pytest.fixture
def options(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> MakeOptions:
    """``options("ping", node=...)``: a command line of the test's cluster."""
    monkeypatch.setenv("ERL_EPMD_PORT", str(cluster.epmd_port))
    return lambda command, **fields: Options(command=command, cookie=cluster.cookie, **fields)


async def test_a_publisher_that_ends_over_the_message_is_no_success(
    py_node: Callable[..., Node], options: MakeOptions
) -> None:
    async def reads_once(process: Process) -> None:
        await process.receive()

    async with py_node() as there:
        manager = there.spawn(reads_once)
        assert await there.global_.register_name(charlist("manager"), manager)
        with pytest.raises(Failure, match="gone: normal"):
            await publish(options("publish", message="x", connect=[str(there.name)]))


async def test_a_node_that_does_not_say_yes_is_a_pang(
    py_node: Callable[..., Node], options: MakeOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    async with py_node() as there:
        there.unregister("net_kernel")
        assert await ping(options("ping", node=str(there.name))) == 1
    assert capsys.readouterr().out == "pang\n"


class Eager(GenServer):
    """A publisher that publishes to whoever subscribes, at once."""

    def handle_cast(self, request: object) -> None:
        match request:
            case (atom.subscribe, _, pid):
                self.node.send(pid, (atom.notify, b"at once"))


async def test_ready_is_the_first_line(
    py_node: Callable[..., Node], options: MakeOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though a message is here before the publisher's node has confirmed the subscription."""
    async with py_node() as there:
        assert await there.global_.register_name(charlist("manager"), await there.start(Eager))
        role = asyncio.create_task(subscriber(options("subscriber", connect=[str(there.name)])))
        printed = ""

        def came() -> bool:
            nonlocal printed
            printed += capsys.readouterr().out
            return printed.count("\n") == 2

        await eventually(came)
        role.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await role
    ready, received = printed.splitlines()
    assert ready.startswith("ready subscriber-")
    assert received == "I have received: 'at once'"


async def test_as_is_the_name_of_the_subscription(
    py_node: Callable[..., Node], options: MakeOptions
) -> None:
    async with py_node() as there:
        publisher = await there.start(Publisher)
        assert await there.global_.register_name(charlist("boss"), publisher)
        line = options("subscriber", connect=[str(there.name)], manager="boss", as_name="me")
        role = asyncio.create_task(subscriber(line))

        async def subscribed() -> bool:
            return list(await Publisher.subscribers(publisher, node=there)) == [charlist("me")]

        await eventually(subscribed)
        role.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await role
