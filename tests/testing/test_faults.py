"""The fault network: between sockets, and between BEAM nodes."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any

import pytest

from pynode.dist import epmd as messages
from pynode.terms import atom
from pynode.testing import Beam, FaultNetwork

StartBeam = Callable[..., Beam]


@pytest.fixture
def network() -> Generator[FaultNetwork]:
    with FaultNetwork() as network:
        yield network


@pytest.fixture
def sockets() -> Generator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Ends:
    """Nodes ``a`` and ``b`` played by sockets: what ``a`` dialled, and what ``b`` accepted."""

    def __init__(self, network: FaultNetwork, sockets: ExitStack) -> None:
        self._sockets = sockets
        self.listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.listener.settimeout(5)
        self.port_of_a = network.port_for_new_node()
        register(sockets, self.port_of_a, "a", 1)
        register(sockets, network.port_for_new_node(), "b", self.listener.getsockname()[1])
        self.dial()

    def dial(self) -> None:
        entry = look_up(self.port_of_a, "b")
        assert entry is not None
        self.a = self._sockets.enter_context(socket.create_connection(("127.0.0.1", entry.port)))
        self.a.settimeout(5)
        self.b = self._sockets.enter_context(self.listener.accept()[0])
        self.b.settimeout(5)


@pytest.fixture
def ends(network: FaultNetwork, sockets: ExitStack) -> Ends:
    return Ends(network, sockets)


def register(sockets: ExitStack, epmd_port: int, name: str, port: int) -> int:
    """Register for as long as ``sockets`` is open; return the creation."""
    kept = sockets.enter_context(socket.create_connection(("127.0.0.1", epmd_port)))
    request = messages.AliveRequest(messages.NodeEntry(name, port))
    kept.sendall(messages.encode_request(request))
    reply = messages.parse_alive_reply(kept.recv(100))
    assert reply is not None
    return reply.creation if reply.result == 0 else -1


def look_up(epmd_port: int, name: str) -> messages.NodeEntry | None:
    with socket.create_connection(("127.0.0.1", epmd_port)) as asking:
        asking.sendall(messages.encode_request(messages.PortRequest(name)))
        return messages.parse_port_reply(b"".join(iter(lambda: asking.recv(4096), b"")))


def is_closed(end: socket.socket) -> bool:
    try:
        return end.recv(1) == b""
    except ConnectionError:
        return True


def test_the_views_know_all_nodes(network: FaultNetwork, sockets: ExitStack) -> None:
    one, two = network.port_for_new_node(), network.port_for_new_node()
    assert look_up(one, "b") is None
    first = register(sockets, one, "a", 11)
    second = register(sockets, two, "b", 22)
    assert 0 < first < second
    assert register(sockets, network.port_for_new_node(), "a", 33) == -1
    with socket.create_connection(("127.0.0.1", one)) as asking:
        asking.sendall(messages.encode_request(messages.NamesRequest()))
        reply = messages.parse_names_reply(b"".join(iter(lambda: asking.recv(4096), b"")))
    assert reply == (one, [("a", 11), ("b", 22)])
    entry = look_up(one, "b")
    assert entry is not None
    assert entry.port not in (11, 22)  # a's way to b is a proxy


def test_bytes_pass_both_ways_and_so_does_the_end(ends: Ends) -> None:
    ends.a.sendall(b"there")
    assert ends.b.recv(100) == b"there"
    ends.b.sendall(b"back")
    assert ends.a.recv(100) == b"back"
    ends.a.close()
    assert is_closed(ends.b)


def test_cut(network: FaultNetwork, ends: Ends) -> None:
    link = network.link("a@host", "b")
    assert link is network.link("b", "a")
    link.cut()
    assert is_closed(ends.a)
    assert is_closed(ends.b)
    entry = look_up(ends.port_of_a, "b")
    assert entry is not None
    with socket.create_connection(("127.0.0.1", entry.port)) as refused:
        assert is_closed(refused)
    link.restore()
    ends.dial()
    ends.a.sendall(b"again")
    assert ends.b.recv(100) == b"again"


def test_close_is_for_once(network: FaultNetwork, ends: Ends) -> None:
    network.link("a", "b").close()
    assert is_closed(ends.a)
    ends.dial()
    ends.b.sendall(b"again")
    assert ends.a.recv(100) == b"again"
    assert network.link("a", "b").connections_made == 2


def test_stall_one_way_loses_nothing(network: FaultNetwork, ends: Ends) -> None:
    link = network.link("a", "b")
    link.stall(towards="b")
    ends.a.sendall(b"held")
    ends.b.sendall(b"flows")
    assert ends.a.recv(100) == b"flows"
    ends.b.settimeout(0.1)
    with pytest.raises(TimeoutError):
        ends.b.recv(100)
    link.restore()
    ends.b.settimeout(5)
    assert ends.b.recv(100) == b"held"


def test_delay_keeps_the_order_and_does_not_add_up(network: FaultNetwork, ends: Ends) -> None:
    network.link("a", "b").delay(0.2)
    start = time.monotonic()
    for n in range(20):
        ends.a.sendall(struct.pack(">I", n))
        time.sleep(0.005)  # so that they travel as pieces of their own
    received = b""
    while len(received) < 80:
        received += ends.b.recv(100)
    assert received == b"".join(struct.pack(">I", n) for n in range(20))
    assert time.monotonic() - start >= 0.2


def test_drop_one_way(network: FaultNetwork, ends: Ends) -> None:
    link = network.link("a", "b")
    link.drop(towards="a")
    ends.b.sendall(b"lost")
    ends.a.sendall(b"arrives")
    assert ends.b.recv(100) == b"arrives"
    ends.a.settimeout(0.1)
    with pytest.raises(TimeoutError):
        ends.a.recv(100)
    link.restore()  # a stream with a hole in it cannot go on
    ends.a.settimeout(5)
    assert is_closed(ends.a)
    assert is_closed(ends.b)


def test_the_end_of_the_stream_is_dropped_too(network: FaultNetwork, ends: Ends) -> None:
    network.link("a", "b").drop()
    ends.a.close()
    ends.b.settimeout(0.1)
    with pytest.raises(TimeoutError):
        ends.b.recv(100)


def test_isolate(network: FaultNetwork, ends: Ends) -> None:
    network.isolate("b")
    assert is_closed(ends.a)
    network.restore()
    ends.dial()


def test_wrong_use(network: FaultNetwork) -> None:
    with pytest.raises(ValueError, match="no link to itself"):
        network.link("a", "a@host")
    with pytest.raises(ValueError, match="c is not an end of"):
        network.link("a", "b").stall(towards="c")
    with pytest.raises(RuntimeError, match="not started"):
        FaultNetwork().link("a", "b").cut()


@pytest.mark.beam
def test_between_beams(beam: StartBeam, faults: FaultNetwork) -> None:
    a = beam("a", epmd=faults, language="erlang")
    b = beam("b", epmd=faults, language="erlang")
    a.eval("net_kernel:monitor_nodes(true)")
    assert a.rpc("net_adm", "ping", [b.name]) == atom.pong
    link = faults.link(a, b)
    assert link.connections_made == 1
    link.cut()
    assert a.eval("receive {nodedown, Down} -> Down end") == b.name
    assert b.rpc("net_adm", "ping", [a.name]) == atom.pang
    link.restore()
    assert b.rpc("net_adm", "ping", [a.name]) == atom.pong
    assert a.eval("receive {nodeup, Up} -> Up end") == b.name

    b.eval("register(echo, spawn(fun F() -> receive {P, M} -> P ! M, F() end end))")
    ask: Any = "{echo, B} ! {self(), N}, receive N -> N after T -> silence end"
    link.stall(towards=b)
    assert a.eval(ask, B=b.name, N=1, T=200) == atom.silence
    link.restore()
    assert a.eval("receive 1 -> 1 end") == 1
