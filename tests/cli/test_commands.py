"""The parts of the commands: names of their own, and the proof that a message was read."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import pytest

from pynode import GenServer, Node, atom
from pynode.cli.commands import Failure, _read, own_name
from pynode.errors import ConfigError

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
