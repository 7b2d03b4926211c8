"""Two ways out for a runtime without a network: one that records, one that joins two runtimes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pynode.dist.connection import Connection
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.local import LocalNode
from pynode.dist.seam import Payload, Peer, Pressure
from pynode.errors import PeerBusy
from pynode.etf import decode_payload, encode_payload
from pynode.etf.pieces import Encoded
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.dist.control import Control
    from pynode.process import Runtime

NO_TERM = object()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


class Submitted(NamedTuple):
    """A signal that went out, with its payload decoded."""

    node: Atom
    sender: Pid
    message: Any
    term: Any


class Recorder:
    """An Outbound that keeps what it is given, and says what it is told to say."""

    def __init__(self) -> None:
        self.sent: list[Submitted] = []
        self.asked: list[Atom] = []
        self.disconnected: list[tuple[Atom, Any]] = []
        self.flags = OUR_FLAGS
        self.pressure = Pressure.CLEAR
        self.full = False

    def submit(
        self, node: Atom, sender: Pid, message: Control, payload: Encoded | None = None
    ) -> Pressure:
        if self.full:
            raise PeerBusy(node.name, 1)
        term = NO_TERM if payload is None else decode_payload(payload, 0)[0]
        self.sent.append(Submitted(node, sender, message, term))
        return self.pressure

    def hurry(self) -> None:
        """Everything is written soon."""

    def agreed_flags(self, node: Atom) -> int:
        return self.flags

    def request_connect(self, node: Atom) -> None:
        self.asked.append(node)

    def disconnect(self, node: Atom, reason: Any) -> bool:
        self.disconnected.append((node, reason))
        return True

    def sent_messages(self) -> list[Any]:
        return [one.message for one in self.sent]

    def take(self) -> list[Any]:
        """Return what was sent since, as ``(message, term)``, or the bare message."""
        sent, self.sent = self.sent, []
        return [one.message if one.term is NO_TERM else (one.message, one.term) for one in sent]


def payload(term: Any) -> Payload:
    return Payload(encode_payload(term), 0, ())


class End:
    """One runtime's way out over a :class:`Wire`."""

    def __init__(self, wire: Wire, runtime: Runtime, hidden: bool) -> None:
        self.wire = wire
        self.runtime = runtime
        self.hidden = hidden
        self.other: End
        self.peer: Peer | None = None
        self.connection: Connection | None = None
        self.scheduled = False

    def submit(
        self, node: Atom, sender: Pid, message: Control, payload: Encoded | None = None
    ) -> Pressure:
        self.request_connect(node)
        if self.connection is None or node != self.other.runtime.node_name:
            return Pressure.CLEAR
        self.connection.send(sender, message, payload)
        if not self.scheduled:
            self.scheduled = True
            self.runtime.loop.call_soon(self._flush)
        return Pressure.CLEAR

    def hurry(self) -> None:
        """Everything is written soon."""

    def agreed_flags(self, node: Atom) -> int:
        return 0 if self.peer is None else self.peer.flags

    def request_connect(self, node: Atom) -> None:
        if node != self.other.runtime.node_name or self.wire.closed:
            failed = Atom("setup_failed")
            self.runtime.loop.call_soon(self.runtime.peer_down, node, None, failed)
        elif self.connection is None:
            self.wire.connect()

    def disconnect(self, node: Atom, reason: Any) -> bool:
        connected = self.connection is not None
        self.wire.cut()
        return connected

    def open(self) -> None:
        """Begin a connection."""
        there = self.other.runtime
        peer = Peer(there.node_name, there.creation, self.wire.flags, hidden=self.hidden)
        here = LocalNode(str(self.runtime.node_name), self.runtime.creation, self.wire.flags)
        self.peer, self.connection = peer, Connection(here, peer)
        self.runtime.peer_up(peer)

    def _flush(self) -> None:
        self.scheduled = False
        other = self.other
        if self.connection is None or other.connection is None or other.peer is None:
            return
        peer = other.peer

        def on_control(message: Control, payload: Payload | None) -> None:
            other.runtime.control(peer, message, payload)

        other.runtime.batch_begin()
        while self.connection is not None and self.connection.queued_bytes:
            for piece in self.connection.data_to_send():
                if other.connection is not None:
                    other.connection.receive_data(piece, on_control)
        other.runtime.batch_end()


class Wire:
    """Joins two runtimes through the distribution's own encoding, without a socket."""

    def __init__(
        self, left: Runtime, right: Runtime, *, flags: int = OUR_FLAGS, hidden: bool = False
    ) -> None:
        self.flags = flags
        self.closed = False
        self.left = End(self, left, hidden)
        self.right = End(self, right, hidden)
        self.left.other, self.right.other = self.right, self.left
        left.attach(self.left)
        right.attach(self.right)

    def connect(self) -> None:
        self.left.open()
        self.right.open()

    def cut(self) -> None:
        """Lose the connection, and whatever is on it."""
        for end in (self.left, self.right):
            peer, end.peer, end.connection = end.peer, None, None
            if peer is not None:
                end.runtime.peer_down(peer.name, peer, Atom("connection_closed"))
