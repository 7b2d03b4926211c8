"""Handshakes on sockets: the machine of ``dist`` with bytes, a deadline and a decision.

A :class:`Dial` finds its peer (host, EPMD, port) and connects; a :class:`Reception` is a socket
that somebody connected.  From the socket on both are the same: callbacks, no task, so that what a
node decides about a name is decided in the order in which the names arrived.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import TYPE_CHECKING, Any, Final

from pynode.dist.epmd import DISTRIBUTION_HIGHEST
from pynode.dist.handshake import (
    DigestAccepted,
    Established,
    Handshake,
    HandshakeEvent,
    NameReceived,
    Status,
    StatusReceived,
)
from pynode.dist.local import split_name
from pynode.errors import (
    ConnectError,
    ConnectionAborted,
    ConnectTimeout,
    FlagError,
    HostError,
    NodeNameError,
    NotAllowed,
    PortClosed,
    TlsError,
)
from pynode.net.addresses import Endpoint, resolve
from pynode.net.channel import Channel, TlsFault, connect_socket
from pynode.net.epmd_client import look_up

if TYPE_CHECKING:
    from pynode.net.net import Net

__all__ = ["Attempt", "Dial", "Reception"]

_STATUS_WAIT: Final = "its own attempt was to come (status nok), and did not"
#: How long to wait for a peer's own attempt, in seconds, before it is asked again.
NOK_PATIENCE: Final = 1.0


class Attempt:
    """One handshake under way; over when it is established, fails, or is aborted."""

    __slots__ = ("_deadline", "channel", "handshake", "net", "node", "over", "since", "started")

    def __init__(self, net: Net, node: str) -> None:
        self.net = net
        #: The peer's name; "" while an incoming one has not told it.
        self.node = node
        self.started = net.loop.time()
        #: When the step under way began.
        self.since = self.started
        self.channel: Channel | None = None
        self.handshake: Handshake | None = None
        self.over = False
        self._deadline: asyncio.TimerHandle | None = None

    def _begin(self, sock: socket.socket, handshake: Handshake, host: str | None = None) -> None:
        """Speak on ``sock``: to the node on ``host``, or to one that has connected."""
        self.handshake = handshake
        if self.net.tls is None:
            self.channel = Channel(self.net.loop, sock, self)
        else:
            self.channel = self.net.tls(sock, self, host)
        self._write()
        self._rearm()

    def abort(self) -> None:
        """End it without a word: its place was taken, or the node stops."""
        self.over = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.channel is not None:
            self.channel.close()

    def _fail(self, error: ConnectError) -> None:
        if not self.over:
            self.abort()
            self.net._attempt_failed(self, error)

    # ------------------------------------------------------------------ bytes and time

    def data_received(self, data: bytes) -> None:
        """Feed the machine."""
        assert self.handshake is not None  # noqa: S101
        self._proceed(self.handshake.receive_data, data)

    def buffers_filled(self, count: int) -> None:
        """Never asked for."""

    def connection_lost(self, error: OSError | None) -> None:
        """Let the machine say what a close means at this step."""
        assert self.handshake is not None  # noqa: S101
        if isinstance(error, TlsFault):
            self._fail(TlsError(self.node, str(error)))
            return
        try:
            self.handshake.receive_eof()
        except ConnectError as cause:
            self._fail(cause)

    def output_flushed(self) -> None:
        """A handshake's messages are small; nothing waits for them."""

    def _write(self) -> None:
        assert self.handshake is not None  # noqa: S101
        assert self.channel is not None  # noqa: S101
        data = self.handshake.data_to_send()
        if data:
            self.channel.write([data])

    def _proceed(self, verb: Any, *arguments: Any) -> None:
        """Call a verb of the machine, write what it says, and act on its events."""
        handshake = self.handshake
        assert handshake is not None  # noqa: S101
        before = handshake.state
        try:
            events = verb(*arguments)
        except ConnectError as error:
            self._write()
            self._fail(error)
            return
        self._write()
        if handshake.state is not before:
            self._rearm()
        for event in events:
            if self.over:
                return
            self._handle(event)
        if handshake.closed and not self.over:
            self._fail(ConnectionAborted(self.node, "refused in the handshake"))

    def _handle(self, event: HandshakeEvent) -> None:
        raise NotImplementedError

    def _established(self, event: Established) -> None:
        assert self.channel is not None  # noqa: S101
        assert self.handshake is not None  # noqa: S101
        self.over = True
        if self._deadline is not None:
            self._deadline.cancel()
        self.net._attempt_established(self, self.channel, self.handshake.local, event)

    def _rearm(self) -> None:
        """Begin the deadline of the next step."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.since = self.net.loop.time()
        timeout = self.net.config.timeouts.setup
        if timeout is not None and not self.over:
            self._deadline = self.net.loop.call_later(timeout, self._expire)

    def _expire(self) -> None:
        assert self.handshake is not None  # noqa: S101
        seconds = self.net.config.timeouts.setup
        awaited = self.handshake.state.value
        self._fail(ConnectTimeout(self.node, f"{awaited} did not come within {seconds} s"))


class Dial(Attempt):
    """An attempt of our own: a task until the socket is connected, then callbacks.

    After the status ``nok`` the peer's own attempt is awaited, and takes this one's place.  A
    peer may say nok and have none: what it took for one was an earlier connection of ours that
    it had not yet found dead.  So it is asked again every :data:`NOK_PATIENCE`; where its own
    attempt is real, that only brings another nok.
    """

    __slots__ = ("_give_up", "_refused", "_task", "wanted")

    def __init__(self, net: Net, node: str, *, wanted: bool = False) -> None:
        super().__init__(net, node)
        #: The program itself asks for it.
        self.wanted = wanted
        #: The peer said nok, and when that is no longer believed.
        self._refused = False
        self._give_up: float | None = None
        self._start()

    def _start(self) -> None:
        net = self.net
        self._task = net.own_task(self._run(), f"pynode-dial {net.config.name} to {self.node}")

    def abort(self) -> None:
        """End it without a word."""
        super().abort()
        self.net.naming.over(self)
        self.net.dialling.over(self)
        if self._task is not asyncio.current_task(self.net.loop):
            self._task.cancel()

    async def _run(self) -> None:
        # Whoever makes this object has to know it first, under an eager task factory too.
        await asyncio.sleep(0)
        try:
            await self.net.naming.turn(self)
            await self.net.dialling.turn(self)
            sock = await self._connect()
        except ConnectError as error:
            self._fail(error)
            return
        except Exception as error:
            # A fault of ours; whoever waits must not wait for ever.
            self._fail(ConnectError(self.node, f"unexpected: {error!r}"))
            raise
        net = self.net
        try:
            handshake = Handshake.dial(
                net.local,
                self.node,
                net.cookie_of(self.node),
                secrets.randbits(32),
                length_bytes=net.length_bytes,
            )
        except ConnectError as error:
            sock.close()
            self._fail(error)
            return
        self._begin(sock, handshake, (split_name(self.node) or ("", ""))[1])

    async def _connect(self) -> socket.socket:
        """Find the peer's host, ask its EPMD, connect to its port."""
        net, node = self.net, self.node
        # The machine checks the name too; here it is refused before anything is looked up.
        Handshake.dial(net.local, node, b"", 0)
        if not net.is_allowed(node):
            raise NotAllowed(node, "it is not among the nodes that this node allows")
        alive, host = split_name(node) or ("", "")
        setup = net.config.timeouts.setup
        endpoints = await resolve(net.loop, host, node=node, timeout=setup)
        failure: ConnectError | None = None
        for endpoint in endpoints:
            try:
                return await self._connect_at(endpoint, alive)
            except ConnectError as error:
                # The first address, an IPv4 one where there is any, is the one a BEAM would
                # use, and its error the one to tell.
                failure = failure or error
        assert failure is not None  # noqa: S101
        raise failure

    async def _connect_at(self, endpoint: Endpoint, alive: str) -> socket.socket:
        net, node = self.net, self.node
        config = net.config
        if config.peer_port is not None:
            port, by_whom = config.peer_port, "the port of all nodes here"
        else:
            entry = await look_up(
                net.loop,
                endpoint,
                config.epmd_port,
                alive,
                node=node,
                timeout=config.timeouts.epmd,
            )
            if not entry.lowest <= DISTRIBUTION_HIGHEST <= entry.highest:
                versions = f"{entry.lowest} to {entry.highest}"
                problem = f"it speaks versions {versions} of the handshake (EPMD says), and not 6"
                raise FlagError(node, f"{problem}: HANDSHAKE_23 is missing")
            port, by_whom = entry.port, "which EPMD names"
        where = f"port {port} of {endpoint}"
        try:
            async with asyncio.timeout(config.timeouts.setup):
                return await connect_socket(net.loop, endpoint.family, endpoint.at(port))
        except ConnectionError as error:
            problem = f"{where}, {by_whom}, refuses the connection"
            raise PortClosed(node, problem) from error
        except TimeoutError as error:
            if error.errno is not None:
                raise PortClosed(node, f"{where} does not answer: {error.strerror}") from error
            seconds = config.timeouts.setup
            problem = f"{where} did not accept within {seconds} s"
            raise ConnectTimeout(node, problem) from None
        except OSError as error:
            raise HostError(node, f"{where} cannot be reached: {error.strerror}") from error

    def _handle(self, event: HandshakeEvent) -> None:
        assert self.handshake is not None  # noqa: S101
        assert self.channel is not None  # noqa: S101
        if isinstance(event, Established):
            self._established(event)
        elif isinstance(event, StatusReceived):
            if event.status is Status.ALIVE:
                self._proceed(self.handshake.answer_alive, self.net._is_current(self))
            elif event.status is Status.NOK:
                # It closes its end now, and that means nothing: what counts is its own attempt.
                self.channel.pause()
                self._await_theirs()

    def _await_theirs(self) -> None:
        """Begin to wait for the peer's own attempt; :meth:`_expire` asks again, or gives up."""
        loop, setup = self.net.loop, self.net.config.timeouts.setup
        if self._deadline is not None:
            self._deadline.cancel()
        if self._give_up is None and setup is not None:
            self._give_up = loop.time() + setup
        self._refused = True
        patience = NOK_PATIENCE if setup is None else min(NOK_PATIENCE, setup / 4)
        self._deadline = loop.call_later(patience, self._expire)

    def _expire(self) -> None:
        if not self._refused:
            super()._expire()
            return
        assert self.channel is not None  # noqa: S101
        if self._give_up is not None and self.net.loop.time() >= self._give_up:
            seconds = self.net.config.timeouts.setup
            self._fail(ConnectTimeout(self.node, f"{_STATUS_WAIT} within {seconds} s"))
            return
        self._refused = False
        self.channel.close()
        self._start()


class Reception(Attempt):
    """An attempt of a peer."""

    __slots__ = ("address", "creation")

    def __init__(self, net: Net, sock: socket.socket, address: Any) -> None:
        super().__init__(net, "")
        self.address = address
        #: The creation given to a peer that wanted a name.
        self.creation = 0
        self._begin(
            sock, Handshake.accept(net.local, secrets.randbits(32), length_bytes=net.length_bytes)
        )

    def _handle(self, event: HandshakeEvent) -> None:
        assert self.handshake is not None  # noqa: S101
        if isinstance(event, Established):
            self._established(event)
        elif isinstance(event, NameReceived):
            self._decide(event)
        elif isinstance(event, DigestAccepted):
            self.net._replace_connection(self)
            self._proceed(self.handshake.send_ack)

    def _decide(self, event: NameReceived) -> None:
        """Answer the name as ``net_kernel`` does (``accept_pending``)."""
        assert self.handshake is not None  # noqa: S101
        net, handshake = self.net, self.handshake
        self.node = event.name
        if not net.is_allowed(event.name):
            error: ConnectError = NotAllowed(event.name, "it is not among the nodes we allow")
            self._refuse(Status.NOT_ALLOWED, error)
            return
        if event.wants_name:
            self.node, self.creation = net._name_for(event.name, self)
            handshake.use_cookie(net.cookie_of(self.node))
            self._proceed(handshake.send_named, self.node, self.creation)
            return
        if event.name == net.config.name:
            self._refuse(Status.NOK, NodeNameError(event.name, "it bears this node's own name"))
            return
        status = net._take_name(self)
        if status is Status.NOK:
            problem = "our own attempt to connect to it is ahead (simultaneous connect)"
            self._refuse(status, ConnectionAborted(self.node, problem))
        else:
            handshake.use_cookie(net.cookie_of(self.node))
            self._proceed(handshake.send_status, status)

    def give_way(self) -> None:
        """Others wait for its place, and it has not gone on for a while."""
        assert self.handshake is not None  # noqa: S101
        problem = f"{self.handshake.state.value} did not come, and other handshakes were waiting"
        self._fail(ConnectTimeout(self.node, problem))

    def _refuse(self, status: Status, error: ConnectError) -> None:
        assert self.handshake is not None  # noqa: S101
        self.handshake.send_status(status)
        self._write()
        self._fail(error)
