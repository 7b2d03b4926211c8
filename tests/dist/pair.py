"""Two machines joined in memory, and the nodes and terms that the tests use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pynode import etf
from pynode.config import Limits
from pynode.dist.connection import Connection, OnControl
from pynode.dist.control import Control
from pynode.dist.flags import offered
from pynode.dist.handshake import (
    DigestAccepted,
    Established,
    Handshake,
    HandshakeEvent,
    NameReceived,
    Status,
    StatusReceived,
)
from pynode.dist.local import LocalNode
from pynode.dist.seam import Payload, Peer
from pynode.terms import Atom, Pid, Reference

ALL_FLAGS = offered(hidden=False)
A = LocalNode("a@here", 11, ALL_FLAGS)
B = LocalNode("b@here", 12, ALL_FLAGS)
NODE_A = Atom("a@here")
NODE_B = Atom("b@here")

Signal = tuple[Control, Any]


def pid_a(number: int = 1, creation: int = 11) -> Pid:
    return Pid(NODE_A, number, 0, creation)


def pid_b(number: int = 1, creation: int = 12) -> Pid:
    return Pid(NODE_B, number, 0, creation)


def ref_a(*words: int) -> Reference:
    return Reference(NODE_A, 11, words or (1, 2, 3))


class HandshakePair:
    """A dialling and an accepting machine; the owner's decisions are given beforehand."""

    def __init__(
        self,
        a: LocalNode = A,
        b: LocalNode = B,
        *,
        cookies: tuple[bytes, bytes] = (b"c", b"c"),
        status: Status = Status.OK,
        alive: bool = True,
        named: str = "",
        length_bytes: int = 2,
    ) -> None:
        self.dialler = Handshake.dial(a, b.name, cookies[0], 0xA, length_bytes=length_bytes)
        self.acceptor = Handshake.accept(b, 0xFFFFFFFB, length_bytes=length_bytes)
        self.cookie = cookies[1]
        self.status = status
        self.alive = alive
        self.named = named
        self.events: list[tuple[str, HandshakeEvent]] = []
        self.record: list[tuple[str, bytes]] = []

    def established(self) -> tuple[Peer, Peer]:
        """Return the peer as the dialler sees it, and as the acceptor does."""
        by_side = {
            side: event.peer for side, event in self.events if isinstance(event, Established)
        }
        return by_side["dial"], by_side["accept"]

    def run(self, cut: int | None = None) -> None:
        """Carry bytes until both are silent, in portions of ``cut`` bytes."""
        while True:
            moved = False
            for source, target in (
                (self.dialler, self.acceptor),
                (self.acceptor, self.dialler),
            ):
                data = source.data_to_send()
                if data:
                    moved = True
                    self.record.append((source.role, data))
                    step = cut or len(data)
                    for i in range(0, len(data), step):
                        self.decide(target, target.receive_data(data[i : i + step]))
            if not moved:
                return

    def decide(self, machine: Handshake, events: list[HandshakeEvent]) -> None:
        queue = list(events)
        while queue:
            event = queue.pop(0)
            self.events.append((machine.role, event))
            if isinstance(event, NameReceived):
                machine.use_cookie(self.cookie)
                if event.wants_name:
                    queue += machine.send_named(self.named, 77)
                else:
                    queue += machine.send_status(self.status)
            elif isinstance(event, StatusReceived) and event.status is Status.ALIVE:
                queue += machine.answer_alive(self.alive)
            elif isinstance(event, DigestAccepted):
                queue += machine.send_ack()


class ConnectionPair:
    """Two connections whose bytes cross in memory."""

    def __init__(self, flags: int = ALL_FLAGS, limits: Limits | None = None) -> None:
        self.a = Connection(A, Peer(NODE_B, 12, flags, hidden=False), limits)
        self.b = Connection(B, Peer(NODE_A, 11, flags, hidden=False), limits)
        self.at_a: list[Signal] = []
        self.at_b: list[Signal] = []

    def send(self, message: Control, *term: Any, sender: Pid | None = None) -> bool:
        """Send from a to b."""
        payload = etf.encode_payload(term[0]) if term else None
        return self.a.send(sender or pid_a(), message, payload)

    def stream(self, max_bytes: int = 65536) -> bytes:
        """Return everything that waits at a."""
        return b"".join(drain(self.a, max_bytes))

    def carry(self, max_bytes: int = 65536) -> list[Signal]:
        """Bring what waits at a to b, and return what b got of it."""
        before = len(self.at_b)
        for piece in drain(self.a, max_bytes):
            self.b.receive_data(piece, collector(self.at_b))
        return self.at_b[before:]


def drain(connection: Connection, max_bytes: int = 65536) -> Iterable[bytes | memoryview]:
    while pieces := connection.data_to_send(max_bytes):
        yield from pieces


def collector(into: list[Signal]) -> Callable[[Control, Payload | None], None]:
    """Return an on_control that decodes payloads at once."""

    def on_control(message: Control, payload: Payload | None) -> None:
        into.append((message, decoded(payload)))

    return on_control


def decoded(payload: Payload | None) -> Any:
    if payload is None:
        return None
    data = payload.joined()
    term, end = etf.decode_payload(data, payload.offset, payload.atoms)
    assert end == len(data)
    return term


def land(connection: Connection, data: bytes, most: int, on_control: OnControl) -> int:
    """Have ``data`` received in portions of ``most`` bytes, where the connection wants it.

    Return how much of it was received in place.
    """
    position = in_place = 0
    while position < len(data) and not connection.closed:
        portion = data[position : position + most]
        buffers = connection.get_buffers()
        if buffers is None:
            position += len(portion)
            connection.receive_data(portion, on_control)
            continue
        count = 0
        for buffer in buffers:
            part = portion[count : count + len(buffer)]
            buffer[: len(part)] = part
            count += len(part)
        del buffer  # nobody may hold it
        position += count
        in_place += count
        connection.buffers_filled(count, on_control)
    return in_place


def receive(connection: Connection, data: bytes) -> list[Signal]:
    got: list[Signal] = []
    connection.receive_data(data, collector(got))
    return got


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body
