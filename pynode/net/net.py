"""The node's network: who is connected, who is being connected, and the signals between.

:class:`Net` implements :class:`pynode.dist.seam.Outbound` and calls a
:class:`pynode.dist.seam.SignalSink`.  For each other node there is at most one entry, which is
connected (``link``), being connected (``attempt``, ours or the peer's), or both while a peer that
we believe alive says that it is a new one (``contender``).  All changes are synchronous and
happen on the loop; see :class:`_Entry` for the rules.

What the sink may rely on:

- ``peer_up`` comes before the first signal of a connection, ``peer_down`` after the last one,
  once each; a peer that comes back is down before it is up.
- Signals submitted while a connection is being made are sent first, in the order of submission.
- A signal that was taken and not sent when the connection is lost is dropped, and ``peer_down``
  is the notice of it; where no connection could be made, ``peer`` is None in it.
- The sink may call back (``submit``, ``disconnect``) from within any of its methods.

Source: ``net_kernel.erl`` (``accept_pending``, ``up_pending_nodedown``), ``dist_util.erl``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from pynode.config import NO_NAME as _NO_NAME, NodeConfig, TlsConfig
from pynode.dist.control import Control
from pynode.dist.handshake import Established, Handshake, Status
from pynode.dist.local import LocalNode
from pynode.dist.seam import Peer, Pressure, SignalSink
from pynode.errors import (
    ConnectError,
    ConnectionAborted,
    CookieError,
    FlagError,
    HandshakeError,
    NodeDown,
    NodeNameError,
    PeerBusy,
    TlsError,
)
from pynode.etf.pieces import Encoded
from pynode.forked import keep_in
from pynode.net.addresses import (
    Endpoint,
    listen_addresses,
)
from pynode.net.awake import Awake
from pynode.net.channel import Channel, Receiver
from pynode.net.dialling import Dialling
from pynode.net.epmd_server import EpmdServer
from pynode.net.handshaking import Attempt, Dial, Reception
from pynode.net.link import Link
from pynode.net.listening import Listening
from pynode.net.naming import SMALL_CREATION, InventedNames, Naming, new_creation
from pynode.net.registering import Registering
from pynode.net.ticker import TickChange, Ticker
from pynode.telemetry import Telemetry
from pynode.terms.atom import Atom
from pynode.terms.identifiers import Pid

__all__ = ["NO_NAME", "Net"]

_log = logging.getLogger("pynode.net")

CONNECTION_CLOSED: Final = Atom("connection_closed")
DISCONNECT: Final = Atom("disconnect")
NET_TICK_TIMEOUT: Final = Atom("net_tick_timeout")
SETUP_FAILED: Final = Atom("connection_setup_failed")
STOPPED: Final = Atom("net_kernel_terminated")
#: What a node is called that has no name.
NO_NAME: Final = Atom(_NO_NAME)

#: How many nodes are remembered that have been connected.
MAX_SEEN: Final = 10_000
#: What a waiting signal counts beside its payload, in bytes.
_SIGNAL_BYTES: Final = 64
#: Refusals that point at a mistake in somebody's set-up, and deserve a warning.
_LOUD: Final = (CookieError, FlagError, HandshakeError, NodeNameError, TlsError)


MakeChannel: TypeAlias = Callable[[socket.socket, Receiver, str | None], Channel]


class _Entry:
    """What is known of one other node while it is connected or being connected."""

    __slots__ = (
        "attempt",
        "automatic",
        "busy",
        "contender",
        "dialled",
        "link",
        "name",
        "queue",
        "queue_bytes",
        "waiting",
    )

    def __init__(self, name: Atom) -> None:
        self.name = name
        self.link: Link | None = None
        #: The attempt that owns the entry while there is no link.
        self.attempt: Attempt | None = None
        #: The peer's new attempt while there is still a link (OTP's ``up_pending``).
        self.contender: Reception | None = None
        self.waiting: list[asyncio.Future[Peer]] = []
        self.queue: list[tuple[Pid, Control, Encoded | None]] = []
        self.queue_bytes = 0
        #: A signal or a monitor asked for the connection, so its failure is a ``peer_down``.
        self.automatic = False
        self.busy = False
        #: Our own attempt has taken the place of a peer's that failed.
        self.dialled = False


class Net:
    """Dialling, listening, EPMD, ticks and the links of one node."""

    def __init__(
        self,
        config: NodeConfig,
        local_flags: int,
        sink: SignalSink | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Make one; nothing is opened before :meth:`start`.

        Args:
            config: the node's settings.
            local_flags: the capabilities to offer (:func:`pynode.dist.flags.offered`).
            sink: what takes the signals; None: :meth:`attach` says it, before the first await
                after :meth:`start`.
            telemetry: what counts; None: counters of its own.
        """
        self.config = config
        self.sink: SignalSink = None  # type: ignore[assignment]  # until attached
        self.telemetry = telemetry or Telemetry()
        self.local = LocalNode(config.name, config.creation or 0, local_flags, config.long_names)
        #: Called when a node without a name of its own is given one by its first peer, before
        #: the ``peer_up``, and when it has lost it (``nonode@nohost``, 0), after all ``peer_down``.
        self.on_name: Callable[[Atom, int], object] = lambda name, creation: None
        #: The names, hosts (``"host"``) and name parts (``"name@"``) that may connect and be
        #: connected to; empty: all (``net_kernel:allow/1``).
        self.allow: set[str] = set()
        #: Makes the channel of a socket, to a host or (None) from a peer; None: TLS is not wanted.
        self.tls: MakeChannel | None = None if config.tls is None else self._tls(config.tls)
        self.length_bytes = 2 if config.tls is None else 4
        self.ticker = Ticker(config.timeouts.net_ticktime, self._tick, self._tick_only)
        self.awake = Awake(config.timeouts.busy_wait)
        self.loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]  # from start on
        self.port = 0
        self.running = False
        self._cookies = dict(config.cookies)
        self._entries: dict[Atom, _Entry] = {}
        self._links: dict[Atom, Link] = {}
        #: Where the compiled way out writes, by node.
        self.gathers: dict[Atom, Any] = {}
        #: Who has been connected in this life of the node, the latest last.
        self._seen: dict[Atom, None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listening = Listening(self)
        self._registering = Registering(self)
        #: Links with signals that gather, until the end of a read or of the loop's turn.
        self._unwritten: list[Link] = []
        self._flush_armed = False
        self._hurried = False
        #: A read is being handled, and :meth:`flush_all` follows it.
        self.gathering = False
        #: The names of peers that had none of their own.
        self._invented = InventedNames()
        self.naming = Naming(self)
        self.dialling = Dialling(self)
        #: Nodes that were not dialled for a signal, for want of a name or with too many before
        #: them; they are to go down.
        self._refused: dict[Atom, None] = {}
        if sink is not None:
            self.attach(sink)

    def _tls(self, config: TlsConfig) -> MakeChannel:
        """Read the certificates, and return what puts TLS on a socket."""
        from pynode.net.tls import TlsChannel, tls_contexts  # loads OpenSSL

        contexts = tls_contexts(config)
        return lambda sock, receiver, host: TlsChannel(self.loop, sock, receiver, contexts, host)

    def attach(self, sink: SignalSink) -> None:
        """Say what takes the signals."""
        self.sink = sink

    # ------------------------------------------------------------------ start and stop

    @property
    def creation(self) -> int:
        """This life of the node, as every identifier it makes carries it; 0 before the start."""
        return self.local.creation

    @property
    def dynamic(self) -> bool:
        """True if this node gets its name from its first peer (``-sname undefined``)."""
        return "@" not in self.config.name

    @property
    def nameless(self) -> bool:
        """True while this node waits for such a name."""
        return "@" not in self.local.name

    @property
    def epmd(self) -> EpmdServer | None:
        """The embedded EPMD, where this node started one."""
        return self._registering.server

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where this node listens; empty where it does not."""
        listeners = self._listening.listeners
        return [Endpoint(int(sock.family), sock.getsockname()[0]) for sock in listeners]

    async def start(self) -> None:
        """Listen, register with EPMD (starting one where none answers), accept connections.

        A node that gets its name from its first peer does none of this: it only connects.
        Cancelled or failing, it leaves nothing open.

        Raises:
            ConfigError: the address or the port cannot be listened on.
            HostError: ``listen`` does not resolve.
            NodeNameError: the name has characters beyond Latin-1, which no handshake carries.
            EpmdError: EPMD does not answer, and none may or can be started.
            NameTakenError: EPMD has a node of this name.
            ConnectTimeout: EPMD did not answer in time.
            NodeDown: stopped meanwhile.
        """
        if self.running:
            return
        self.loop = asyncio.get_running_loop()
        keep_in(self, self.loop)
        config = self.config
        Handshake.accept(self.local, 0)  # a name that cannot be written there is refused here
        if self.dynamic:
            self.running = True
            self.ticker.start(self.loop)
            self.awake.start(self.loop)
            return
        try:
            endpoints = await listen_addresses(
                self.loop,
                config.name,
                config.listen,
                timeout=config.timeouts.setup,
                tls=config.tls is not None,
            )
            self.port = self._listening.open(endpoints)
            given = await self._registering.register(endpoints, self.port) if config.epmd else 0
            if not self._listening.listeners:
                raise NodeDown(f"{config.name} was stopped while it was starting")
        except BaseException:
            await self.stop()
            raise
        creation = config.creation or given
        if creation <= SMALL_CREATION:  # from an EPMD of old, or none
            creation = new_creation()
        self.local = LocalNode(config.name, creation, self.local.flags, config.long_names)
        self.running = True
        self._listening.resume()
        self.ticker.start(self.loop)
        self.awake.start(self.loop)

    async def flush(self, timeout: float | None) -> None:
        """Wait until the kernel has all that is queued for connected peers, ``timeout`` s at most.

        A peer that does not read in that time loses what is left; what waits for a connection
        that is still being made is not waited for.
        """
        links = [link for link in self._links.values() if link.queued_bytes]
        if links:
            waiting = [self.own_task(link.drained(), "pynode net flush") for link in links]
            await asyncio.wait(waiting, timeout=timeout)
            for task in waiting:
                task.cancel()

    async def stop(self) -> None:
        """Close everything at once, and wait until no task of this net is left.

        Every link goes down in one synchronous go (``peer_down`` for each follows), pending
        connects fail with ConnectionAborted, the name is given up at EPMD, and an embedded EPMD
        ends.  May be called again, and in another task than :meth:`start`.
        """
        self.running = False
        self._refused.clear()
        self._listening.pause()
        self.ticker.stop()
        self.awake.stop()
        self.disconnect_all(STOPPED)
        self._listening.close()
        registration = self._registering.close()
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            if registration is not None:
                await registration.closed()

    def left_behind(self, pid: int) -> None:
        """In a forked child: forget everything; the connections are those of ``pid``."""
        self.running = False
        self.ticker.stop()
        self.awake.stop()
        self._listening.left_behind()
        self._registering.left_behind()
        for table in (self._entries, self._links, self.gathers, self._unwritten, self._refused):
            table.clear()

    def own_task(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task that :meth:`stop` ends."""
        task = self.loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ------------------------------------------------------------------ settings that may change

    def cookie_of(self, node: str) -> bytes:
        """Return the cookie for ``node``: its own, or everybody's."""
        return self._cookies.get(node, self.config.cookie)

    def set_cookie(self, node: str, cookie: bytes | None) -> None:
        """Use ``cookie`` with ``node`` from the next handshake on; None: everybody's again."""
        if cookie is None:
            self._cookies.pop(node, None)
        else:
            self._cookies[node] = cookie

    def set_net_ticktime(self, seconds: float, transition: float = 60.0) -> TickChange:
        """Change the tick time; the peers' has to be changed as well, within ``transition`` s.

        Raises:
            ValueError: not a positive tick time, or a negative transition.
        """
        return self.ticker.change(seconds, transition)

    def is_allowed(self, node: str) -> bool:
        """Tell whether :attr:`allow` has ``node``, its host, or its part before the ``@``."""
        if not self.allow:
            return True
        alive, at, host = node.partition("@")
        if not at:  # a dialler that wants a name has a host alone
            return alive in self.allow
        return node in self.allow or host in self.allow or f"{alive}@" in self.allow

    # ------------------------------------------------------------------ questions

    def peers(self) -> list[Peer]:
        """Return the connected peers, hidden ones among them, in the order they came."""
        return [link.peer for link in self._links.values()]

    def known(self) -> list[Atom]:
        """Return the nodes that are or were connected in this life, or are being connected.

        Of those that are gone the latest :data:`MAX_SEEN` are remembered.
        """
        return list(dict.fromkeys([*self._seen, *self._entries]))

    def _remember(self, node: Atom) -> None:
        self._seen.pop(node, None)
        self._seen[node] = None
        if len(self._seen) > MAX_SEEN:
            gone = next((name for name in self._seen if name not in self._links), None)
            if gone is not None:
                del self._seen[gone]

    def peer(self, node: Atom | str) -> Peer | None:
        """Return the peer of that name if it is connected."""
        link = self._links.get(_atom(node))
        return None if link is None else link.peer

    def is_connecting(self, node: Atom | str) -> bool:
        """Tell whether a connection to ``node`` is being made, by us or by it."""
        entry = self._entries.get(_atom(node))
        return entry is not None and entry.link is None

    def agreed_flags(self, node: Atom) -> int:
        """Return the flags of the connection to ``node``; 0 where there is none."""
        link = self._links.get(node)
        return 0 if link is None else link.peer.flags

    def queued_bytes(self, node: Atom | str) -> int:
        """Return how much waits to be sent to ``node``."""
        entry = self._entries.get(_atom(node))
        if entry is None:
            return 0
        return entry.queue_bytes if entry.link is None else entry.link.queued_bytes

    def counters(self) -> dict[str, int]:
        """Return the counters of :class:`Telemetry`, those of the live links included."""
        total = self.telemetry.snapshot()
        for link in self._links.values():
            for name, value in link.counters().items():
                total[name] += value
        return total

    # ------------------------------------------------------------------ the sink's half

    def submit(
        self, node: Atom, sender: Pid, message: Control, payload: Encoded | None = None
    ) -> Pressure:
        """Queue a signal to ``node``, connecting first where there is no connection.

        See :meth:`pynode.dist.seam.Outbound.submit`.  Before the start and after the stop the
        signal is dropped, as to a node that cannot be reached.

        Raises:
            PeerBusy: above ``Limits.peer_queue_bytes``; nothing was queued.
        """
        link = self._links.get(node)
        if link is not None:
            return link.submit(sender, message, payload)
        if not self.running:
            return Pressure.CLEAR
        return self._submit_waiting(node, sender, message, payload)

    def flush_soon(self, link: Link) -> None:
        """Have ``link`` flushed at the end of the read that is being handled, or of the turn."""
        if link.flush_scheduled:
            return
        if not self.gathering and not self._flush_armed:
            self._arm_flush()
        self._unwritten.append(link)
        link.flush_scheduled = True  # not before: see _arm_flush()

    def _arm_flush(self) -> None:
        self.loop.call_soon(self._turn_over)
        # Not before: after an interrupt in call_soon() nothing would be written any more.
        self._flush_armed = True

    def _turn_over(self) -> None:
        self._flush_armed = False
        self._hurried = False
        self.flush_all()

    def flush_all(self) -> None:
        """Write what has gathered."""
        self.gathering = False
        unwritten = self._unwritten
        if unwritten:
            self.awake.wrote()
        try:
            while unwritten:
                unwritten.pop().flush()
        finally:
            if unwritten and not self._flush_armed:  # the sink failed in the middle
                self._arm_flush()

    def hurry(self) -> None:
        """Write now what has gathered, once in a turn: further hurries of it go together."""
        if self._flush_armed and not self._hurried and not self.gathering:
            self._hurried = True
            for link in self._unwritten:
                link.write()

    def _submit_waiting(
        self, node: Atom, sender: Pid, message: Control, payload: Encoded | None
    ) -> Pressure:
        if self.nameless:
            self._refuse(node)
            return Pressure.CLEAR
        entry = self._entries.get(node)
        limits = self.config.limits
        size = _SIGNAL_BYTES + (0 if payload is None else len(payload))
        if entry is not None and entry.queue_bytes + size > limits.peer_queue_bytes:
            raise PeerBusy(str(node), entry.queue_bytes)
        if entry is None and self._is_too_many(node):
            return Pressure.CLEAR
        entry = self._entry_for(node)
        entry.automatic = True
        entry.queue.append((sender, message, payload))
        entry.queue_bytes += size
        if entry.queue_bytes <= limits.peer_high_water_bytes:
            return Pressure.CLEAR
        entry.busy = True
        return Pressure.BUSY

    def request_connect(self, node: Atom) -> None:
        """Begin to connect without a signal to send; a failure is a ``peer_down``."""
        if not self.running or node in self._links:
            return
        if self.nameless:
            self._refuse(node)
        elif node in self._entries or not self._is_too_many(node):
            self._entry_for(node).automatic = True

    def _is_too_many(self, node: Atom) -> bool:
        """Have ``node`` go down if too many others wait to be dialled."""
        error = self.dialling.refusal(str(node))
        if error is None:
            return False
        self.telemetry.connections_failed += 1
        if self.telemetry.hooks:
            self.telemetry.emit("connect_failed", node=node, error=error)
        self._refuse(node)
        return True

    def _entry_for(self, node: Atom, *, wanted: bool = False) -> _Entry:
        """Return the entry of ``node``, dialling it where nothing is under way."""
        entry = self._entries.get(node)
        if entry is None:
            entry = self._entries[node] = _Entry(node)
            entry.attempt = Dial(self, str(node), wanted=wanted)
        elif wanted and isinstance(entry.attempt, Dial):
            self.dialling.hurry(entry.attempt)
        return entry

    # ------------------------------------------------------------------ connect and disconnect

    async def connect(self, node: Atom | str, *, automatic: bool = False) -> Peer:
        """Return the peer of that name, connecting where there is no connection.

        An attempt that is under way, whoever began it, is joined.  Cancelling one who waits
        leaves the attempt to the others, and to itself.

        Args:
            node: its name.
            automatic: another node has named it, not the program: see :mod:`pynode.net.dialling`.

        Raises:
            NodeDown: this node is not running.
            ConnectError: a child for each cause, see :mod:`pynode.errors`; itself, where too many
                nodes wait to be dialled (``automatic``).
        """
        if not self.running:
            raise NodeDown(f"{self.config.name} is not running")
        try:
            name = _atom(node)
        except ValueError as error:
            raise NodeNameError(str(node), str(error)) from error
        link = self._links.get(name)
        if link is not None:
            return link.peer
        if automatic and name not in self._entries:
            refusal = self.dialling.refusal(str(name))
            if refusal is not None:
                raise refusal
        entry = self._entry_for(name, wanted=not automatic)
        waiter: asyncio.Future[Peer] = self.loop.create_future()
        entry.waiting.append(waiter)
        try:
            return await waiter
        finally:
            if waiter in entry.waiting:
                entry.waiting.remove(waiter)

    def disconnect(self, node: Atom | str, reason: Any = DISCONNECT) -> bool:
        """End the connection to ``node``, or the attempt to make one; False: there is neither.

        Synchronous: ``peer_down`` has been called when it returns.  What the kernel takes at
        once of the signals that wait is still sent.
        """
        entry = self._entries.get(_atom(node))
        if entry is None:
            return False
        self._close([entry], reason)
        return True

    def disconnect_all(self, reason: Any = DISCONNECT) -> None:
        """End every connection and attempt: all sockets first, then the ``peer_down`` of each.

        Closing the visible connections of a mesh one by one makes ``global`` of the others drop
        more connections than ours (prevention of overlapping partitions); at once, it does not.
        """
        self._close(list(self._entries.values()), reason)

    def _close(self, entries: list[_Entry], reason: Any) -> None:
        for entry in entries:
            for attempt in (entry.attempt, entry.contender):
                if attempt is not None:
                    attempt.abort()
                    self._listening.over(attempt)
            if entry.link is not None:
                entry.link.end(flush=True)
            self._entries.pop(entry.name, None)
            self._links.pop(entry.name, None)
            self.gathers.pop(entry.name, None)
        for entry in entries:
            if entry.link is not None:
                self._tell_down(entry.link, reason)
            else:
                problem = "the connection was given up by this node"
                self._tell_failed(entry, ConnectionAborted(str(entry.name), problem))

    async def drain(self, node: Atom | str) -> None:
        """Wait until everything submitted for ``node`` is with the kernel, or lost."""
        name = _atom(node)
        entry = self._entries.get(name)
        if entry is not None and entry.link is None and entry.attempt is not None:
            try:
                await self.connect(name, automatic=True)
            except ConnectError:
                return
        link = self._links.get(name)
        if link is not None:
            await link.drained()

    def pause_reading(self, node: Atom | str) -> None:
        """Read nothing more from ``node``; its silence does not count meanwhile."""
        link = self._links.get(_atom(node))
        if link is not None:
            link.pause()

    def resume_reading(self, node: Atom | str) -> None:
        """Read from ``node`` again."""
        link = self._links.get(_atom(node))
        if link is not None:
            link.resume()

    # ------------------------------------------------------------------ who owns a name

    def _is_current(self, attempt: Attempt) -> bool:
        """Answer ``alive``: True if no connection of ours is up, and this attempt still counts."""
        entry = self._entries.get(Atom(attempt.node))
        return entry is not None and entry.link is None and entry.attempt is attempt

    def _take_name(self, reception: Reception) -> Status:
        """Decide about the name of an incoming connection.

        Of several that bear one name the latest counts: a node makes one attempt at a time, and
        nobody has proved anything yet.  OTP lets the first one count (a ``nok``, and a close where
        there is a link); who has no cookie could then keep a node out by its name.
        """
        name = Atom(reception.node)
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(name)
            entry.attempt = reception
            return Status.OK
        if entry.link is not None:
            self._give_way(entry.contender)
            entry.contender = reception
            return Status.ALIVE
        former = entry.attempt
        ours = isinstance(former, Dial)
        if ours and self.config.name > reception.node:
            return Status.NOK
        entry.attempt = reception
        self._give_way(former)
        return Status.OK_SIMULTANEOUS if ours else Status.OK

    def _give_way(self, former: Attempt | None) -> None:
        if former is not None:
            former.abort()
            self._listening.over(former)

    def _name_for(self, host: str, reception: Reception) -> tuple[str, int]:
        """Invent a name at ``host`` for a peer that has none, and keep it for ``reception``."""
        name, creation = self._invented.invent(host, self._entries)
        entry = self._entries[Atom(name)] = _Entry(Atom(name))
        entry.attempt = reception
        return name, creation

    def _replace_connection(self, reception: Reception) -> None:
        """A peer that we had a connection to has proved to be a new one: the old one is dead."""
        entry = self._entries.get(Atom(reception.node))
        if entry is not None and entry.link is not None and entry.contender is reception:
            self._link_lost(entry.link)

    # ------------------------------------------------------------------ outcomes of attempts

    def _attempt_established(
        self, attempt: Attempt, channel: Channel, local: LocalNode, event: Established
    ) -> None:
        peer = event.peer
        self._listening.over(attempt)
        self.dialling.over(attempt)
        entry = self._entries.get(peer.name)
        if entry is None or entry.attempt is not attempt:
            channel.close()  # cannot happen while an attempt that loses its place is aborted
            return
        peer.address = channel.peer_address()
        self._tell_refusals()
        try:
            link = Link(self, channel, local, peer)
        except Exception as problem:  # whoever waits must not wait for ever
            channel.close()
            error = ConnectError(str(peer.name), f"the connection could not be set up: {problem!r}")
            self._attempt_failed(attempt, error)
            raise
        if self.nameless:
            self._take_name_of_ours(local, link)
        entry.attempt = None
        entry.link = link
        self._links[peer.name] = link
        if link.gather is not None:
            self.gathers[peer.name] = link.gather
        self._remember(peer.name)
        self.telemetry.connections_up += 1
        self._send_waiting(entry, link)
        try:
            self._tell_up(attempt, peer)
        except BaseException as problem:  # of those who are told; no connection is left half made
            self._link_broken(link, problem)
            raise
        finally:
            waiting, entry.waiting = entry.waiting, []
            if self._links.get(peer.name) is link:
                for waiter in waiting:
                    if not waiter.done():
                        waiter.set_result(peer)
            else:
                gone = "the connection was given up as soon as it was made"
                self._fail(waiting, ConnectionAborted(str(peer.name), gone))
        if not channel.closed:
            channel.bytes_in += len(event.rest)  # counted with the handshake's, and forgotten
            link.data_received(event.rest)

    def _tell_up(self, attempt: Attempt, peer: Peer) -> None:
        self.sink.peer_up(peer)
        if self.telemetry.hooks:
            self.telemetry.emit(
                "node_up",
                node=peer.name,
                hidden=peer.hidden,
                incoming=isinstance(attempt, Reception),
                seconds=self.loop.time() - attempt.started,
            )

    def _send_waiting(self, entry: _Entry, link: Link) -> None:
        queue, entry.queue = entry.queue, []
        link.busy, entry.busy = entry.busy, False
        entry.queue_bytes = 0
        entry.automatic = False
        for sender, message, payload in queue:
            link.take(sender, message, payload)
        link.schedule_flush()

    def _attempt_failed(self, attempt: Attempt, error: ConnectError) -> None:
        self._listening.over(attempt)
        try:
            if isinstance(attempt, Reception):
                self._tell_refused(attempt, error)
        finally:
            self._failed(attempt, error)

    def _failed(self, attempt: Attempt, error: ConnectError) -> None:
        entry = self._entries.get(Atom(attempt.node)) if attempt.node else None
        if entry is None:
            return
        if entry.contender is attempt:
            entry.contender = None
        elif entry.attempt is attempt:
            if isinstance(attempt, Reception) and self._dial_instead(entry):
                return
            entry.attempt = None
            del self._entries[entry.name]
            if isinstance(attempt, Dial) or entry.waiting or entry.automatic:
                self._tell_failed(entry, error)

    def _dial_instead(self, entry: _Entry) -> bool:
        """Whoever waits joined an attempt of one who only said that name: make our own, once."""
        if entry.dialled or not (entry.waiting or entry.automatic) or not self.running:
            return False
        entry.dialled = True
        entry.attempt = Dial(self, str(entry.name), wanted=bool(entry.waiting))
        return True

    def _tell_refused(self, reception: Reception, error: ConnectError) -> None:
        if isinstance(error, ConnectionAborted) and reception.node in ("", self.config.name):
            level = logging.DEBUG  # somebody looked whether the port is open
        else:
            level = logging.WARNING if isinstance(error, _LOUD) else logging.INFO
        self.telemetry.refused += 1
        address = reception.address
        _log.log(level, "a connection from %s was not accepted: %s", address, _printable(error))
        if self.telemetry.hooks:
            self.telemetry.emit(
                "refused", address=reception.address, node=reception.node or None, error=error
            )

    def _tell_failed(self, entry: _Entry, error: ConnectError) -> None:
        """Tell everybody who waits for ``entry``, which is out of the table already."""
        self.telemetry.connections_failed += 1
        try:
            if self.telemetry.hooks:
                self.telemetry.emit("connect_failed", node=entry.name, error=error)
            if not entry.waiting and entry.automatic:
                level = logging.WARNING if isinstance(error, _LOUD) else logging.DEBUG
                _log.log(level, "no connection: %s", _printable(error))
        finally:
            self._release(entry, error)

    def _release(self, entry: _Entry, error: ConnectError) -> None:
        entry.queue.clear()
        entry.queue_bytes = 0
        if entry.automatic:
            self.sink.peer_down(entry.name, None, SETUP_FAILED, _copy(error))
        if entry.busy:
            self.sink.peer_drained(entry.name)
        waiting, entry.waiting = entry.waiting, []
        self._fail(waiting, error)

    def _fail(self, waiting: list[asyncio.Future[Peer]], error: ConnectError) -> None:
        for index, waiter in enumerate(waiting):
            if not waiter.done():
                # One exception object must not be raised in several tasks.
                waiter.set_exception(error if index == 0 else _copy(error))

    # ------------------------------------------------------------------ ends of links

    def _link_broken(self, link: Link, error: BaseException) -> None:
        if link.channel.closed:
            return
        try:  # a handler of the program's may fail; the connection is lost all the same
            _log.error("the connection to %s is closed: %s", link.peer.name, _printable(error))
        finally:
            self._link_lost(link)

    def _link_lost(self, link: Link, reason: Any = CONNECTION_CLOSED) -> None:
        name = link.peer.name
        link.end(flush=False)
        if self._links.get(name) is not link:
            return
        del self._links[name]
        self.gathers.pop(name, None)
        entry = self._entries[name]
        entry.link = None
        if entry.contender is not None:
            entry.attempt, entry.contender = entry.contender, None
        else:
            del self._entries[name]
        self._tell_down(link, reason)

    def _tell_down(self, link: Link, reason: Any) -> None:
        peer = link.peer
        telemetry = self.telemetry
        telemetry.connections_down += 1
        for name, value in link.counters().items():
            setattr(telemetry, name, getattr(telemetry, name) + value)
        if peer.dynamic:
            self._invented.free_again(peer)
        if telemetry.hooks:
            telemetry.emit("node_down", node=peer.name, reason=reason)
        self.sink.peer_down(peer.name, peer, reason)
        link.gone()
        if link is self.naming.giver:
            self._lose_name()

    # ------------------------------------------------------------------ a name from a peer

    def _take_name_of_ours(self, given: LocalNode, link: Link) -> None:
        flags = self.local.flags
        self.local = LocalNode(given.name, given.creation, flags, given.long_names)
        self.naming.named_by(link)
        self.on_name(Atom(given.name), given.creation)

    def _lose_name(self) -> None:
        """Who gave the name may give it to somebody else now: no connection can keep it."""
        self.naming.giver = None
        self.disconnect_all(STOPPED)
        self.local = LocalNode(self.config.name, 0, self.local.flags, self.local.long_names)
        self.on_name(NO_NAME, 0)

    def _refuse(self, node: Atom) -> None:
        """Have ``node`` go down, once whoever submits has noted what is to end with it.

        A signal has been encoded by then, and the pids in it say a name that is none.
        """
        if not self._refused:
            self.loop.call_soon(self._tell_refusals)
        self._refused[node] = None

    def _tell_refusals(self) -> None:
        refused, self._refused = self._refused, {}
        for node in refused:
            self.sink.peer_down(node, None, SETUP_FAILED)

    # ------------------------------------------------------------------ ticks

    def _tick(self) -> None:
        for link in list(self._links.values()):
            if link.channel.closed or link.tick():
                continue
            name = link.peer.name
            _log.warning("%s does not respond: the connection is closed", name)
            if self.telemetry.hooks:
                self.telemetry.emit("tick_timeout", node=name)
            self._link_lost(link, NET_TICK_TIMEOUT)

    def _tick_only(self) -> None:
        for link in list(self._links.values()):
            if not link.channel.closed:
                link.extra_tick()


def _atom(node: Atom | str) -> Atom:
    return node if isinstance(node, Atom) else Atom(node)


def _printable(error: BaseException) -> str:
    """Return the text of an error on one line: it may quote what a stranger sent."""
    text = str(error) or type(error).__name__
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _copy(error: ConnectError) -> ConnectError:
    copy = type(error)(error.node, error.problem)
    copy.__cause__ = error.__cause__
    return copy
