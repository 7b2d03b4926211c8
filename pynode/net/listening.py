"""The door of a node: its listening sockets, and the handshakes of those who knock."""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any, Final

from pynode.net.addresses import Endpoint, node_listeners
from pynode.net.handshaking import Attempt, Reception

if TYPE_CHECKING:
    from pynode.net.net import Net

__all__ = ["Listening"]

_log = logging.getLogger("pynode.net")

#: Seconds in which a peer has to go on with its handshake when others wait for its place.
HANDSHAKE_PATIENCE: Final = 0.5
#: Seconds until connections are accepted again, after one that could not be.
ACCEPT_AGAIN: Final = 1.0


class Listening:
    """Accepts connections, and keeps the handshakes under way within their number."""

    def __init__(self, net: Net) -> None:
        self._net = net
        #: Those of the node; none before :meth:`open` and after :meth:`close`.
        self.listeners: list[socket.socket] = []
        #: Handshakes that peers began, and that are not over.
        self.receptions: set[Reception] = set()
        self.accepting = False

    def open(self, endpoints: list[Endpoint]) -> int:
        """Listen, and return the port; nobody is accepted yet.

        Raises:
            ConfigError: the address or the port cannot be listened on.
        """
        config = self._net.config
        self.listeners = node_listeners(config.name, endpoints, config.port)
        port: int = self.listeners[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Listen no more, and end the handshakes under way without a word."""
        self.pause()
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()
        for reception in list(self.receptions):
            reception.abort()
        self.receptions.clear()

    def left_behind(self) -> None:
        """In a forked child: forget the door, which is closed already."""
        self.accepting = False
        self.listeners.clear()
        self.receptions.clear()

    def resume(self) -> None:
        """Accept connections while the node runs."""
        if not self.accepting and self._net.running:
            self.accepting = True
            for listener in self.listeners:
                self._net.loop.add_reader(listener.fileno(), self._accept, listener)

    def pause(self) -> None:
        """Leave further connections in the backlog."""
        if self.accepting:
            self.accepting = False
            for listener in self.listeners:
                self._net.loop.remove_reader(listener.fileno())

    def over(self, attempt: Attempt) -> None:
        """An attempt has ended one way or the other; a peer's gives its place to the next."""
        if isinstance(attempt, Reception):
            self.receptions.discard(attempt)
            self.resume()

    def _pause_for(self, seconds: float) -> None:
        self.pause()
        self._net.loop.call_later(seconds, self.resume)

    def _accept(self, listener: socket.socket) -> None:
        wait = self._make_room()
        if wait:
            self._pause_for(wait)
            return
        try:
            sock, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            # Out of descriptors or memory: the connection stays in the backlog, and the socket
            # readable; trying at every turn would only burn the time to recover in.
            _log.error("cannot accept connections, trying again in %g s: %s", ACCEPT_AGAIN, error)
            self._pause_for(ACCEPT_AGAIN)
            return
        self._greet(sock, address)

    def _greet(self, sock: socket.socket, address: Any) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # gone already; its handshake will find out
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.receptions.add(Reception(self._net, sock, address))

    def _make_room(self) -> float:
        """Return in how many seconds one more handshake may begin; 0: now.

        With all places taken, the one whose peer has been silent for longest gives way, else a
        stranger who opens connections and says nothing would keep everybody out.
        """
        if len(self.receptions) < self._net.config.limits.handshakes:
            return 0
        slowest = min(self.receptions, key=lambda reception: reception.since)
        left = slowest.since + HANDSHAKE_PATIENCE - self._net.loop.time()
        if left > 0:
            return left
        slowest.give_way()
        return 0
