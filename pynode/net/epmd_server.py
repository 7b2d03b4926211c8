"""An EPMD inside this process, for hosts where none runs.

It is a whole one: BEAMs register with it and look names up in it, ``epmd -names`` reads it.  It
lives as long as the node that started it.  When that node stops, every node that was registered
notices (its connection closes) and goes on trying, BEAMs and Python nodes alike, every 2 s; a
Python node that then finds no EPMD starts one, so the names are back within 3 s as long as one
Python node that may start one is left.  Connections between nodes are not touched by any of this.

It listens on loopback, on the addresses of its node, and on those of the host's own name, since
that is where nodes of this host are looked up; ``NodeConfig.epmd_listen`` says otherwise.  A node
that listens on loopback alone does not open its host: its EPMD then answers this host only.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Final

from pynode.dist.epmd import MAX_REQUEST_BYTES, parse_request
from pynode.dist.epmd_registry import Registry
from pynode.errors import ProtocolError
from pynode.net.addresses import Endpoint, bind_listeners, is_local_peer
from pynode.net.channel import Channel

__all__ = ["EpmdServer"]

_log = logging.getLogger("pynode.net")
#: A connection that has not asked by then is closed (epmd's ``-packet_timeout``), in seconds.
PACKET_TIMEOUT: Final = 60.0
#: Connections without a name; the oldest gives way to the next.
MAX_ASKING: Final = 256


class EpmdServer:
    """A running EPMD; :meth:`start` binds, :meth:`stop` closes everything at once."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        relaxed_command_check: bool = False,
        local_only: bool = False,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Make one.

        Args:
            loop: the loop it runs on.
            relaxed_command_check: allow ``epmd -kill`` and ``-stop`` (OTP's option of that name).
            local_only: answer connections from this host alone.
            on_end: called when it ends by ``epmd -kill``, after everything is closed.
        """
        self._loop = loop
        self._local_only = local_only
        self._relaxed = relaxed_command_check
        self._on_end = on_end
        self._listeners: list[socket.socket] = []
        self._clients: dict[int, _Client] = {}
        self._next_number = 0
        self.registry = Registry(0, relaxed_command_check=relaxed_command_check)

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the start."""
        return self.registry.port

    @property
    def running(self) -> bool:
        """True between start and stop."""
        return bool(self._listeners)

    def start(self, endpoints: list[Endpoint], port: int) -> None:
        """Listen on ``port`` of ``endpoints``; those beyond the first that fail are left out.

        Raises:
            OSError: the first cannot be had; with ``errno.EADDRINUSE``, an EPMD runs already.
        """
        self._listeners = bind_listeners(endpoints[:1], port)
        self.registry.port = self._listeners[0].getsockname()[1]
        for endpoint in endpoints[1:]:
            try:
                self._listeners += bind_listeners([endpoint], self.registry.port)
            except OSError as error:
                _log.info("the embedded EPMD does not listen on %s: %s", endpoint, error)
        self._listen()

    def _listen(self) -> None:
        for listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def stop(self) -> None:
        """Close the listening sockets and every connection, now."""
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        for client in list(self._clients.values()):
            client.close()

    def addresses(self) -> list[str]:
        """Return the addresses it listens on."""
        return [listener.getsockname()[0] for listener in self._listeners]

    # ------------------------------------------------------------------ connections

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            _log.error("the embedded EPMD cannot accept, trying again in 1 s: %s", error)
            for each in self._listeners:
                self._loop.remove_reader(each.fileno())
            self._loop.call_later(1.0, self._listen)
            return
        local = is_local_peer(sock)
        if self._local_only and not local:
            sock.close()
            return
        sock.setblocking(False)
        asking = [client for client in self._clients.values() if not client.kept]
        if len(asking) >= MAX_ASKING:
            asking[0].close()
        self._next_number += 1
        self._clients[self._next_number] = _Client(self, self._next_number, sock, local)

    def _forget(self, client: _Client) -> None:
        self._clients.pop(client.number, None)
        self.registry.unregister(client.number)

    def _asked(self, client: _Client, body: bytes) -> None:
        try:
            request = parse_request(body)
        except ProtocolError as error:
            _log.debug("the embedded EPMD was asked nonsense: %s", error)
            client.close()
            return
        answer = self.registry.answer(
            request, client.number, local=client.local, now=int(time.time())
        )
        client.answer(answer.data, keep=answer.keep)
        if answer.stop is not None and answer.stop in self._clients:
            self._clients[answer.stop].close()
        if answer.end:
            self.stop()
            if self._on_end is not None:
                self._on_end()


class _Client:
    """One connection to the server: a question, or the life of a registered name."""

    __slots__ = ("_buffer", "_channel", "_deadline", "_server", "kept", "local", "number")

    def __init__(self, server: EpmdServer, number: int, sock: socket.socket, local: bool) -> None:
        self._server = server
        self.number = number
        self.local = local
        self.kept = False
        self._buffer = b""
        loop = server._loop
        self._deadline: asyncio.TimerHandle | None = loop.call_later(PACKET_TIMEOUT, self.close)
        self._channel = Channel(loop, sock, self)

    def data_received(self, data: bytes) -> None:
        if self.kept:
            self.close()  # a registered node has nothing more to say
            return
        self._buffer += data
        if len(self._buffer) < 2:
            return
        size = int.from_bytes(self._buffer[:2], "big")
        if not 0 < size <= MAX_REQUEST_BYTES or len(self._buffer) > size + 2:
            self.close()
        elif len(self._buffer) == size + 2:
            self._server._asked(self, self._buffer[2:])

    def answer(self, data: bytes, *, keep: bool) -> None:
        """Write ``data``; close behind it unless the connection is kept."""
        self._channel.write([data])
        if keep:
            self.kept = True
            self._stop_deadline()
        elif not self._channel.blocked:
            self.close()
        else:
            self._channel.pause()  # until the last byte is out, or the deadline

    def output_flushed(self) -> None:
        if not self.kept:
            self.close()

    def buffers_filled(self, count: int) -> None:
        """Never asked for."""

    def connection_lost(self, error: OSError | None) -> None:
        self._stop_deadline()
        self._server._forget(self)

    def close(self) -> None:
        self._channel.close()
        self._stop_deadline()
        self._server._forget(self)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
