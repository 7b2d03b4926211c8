"""The node: its parts, joined, and the words a program speaks to them with.

Nothing is done here: :class:`Node` makes the network, the runtime and the services, hands each
the other's half of the seam, and passes calls on.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, overload

from pynode import behaviours
from pynode.behaviours.words import CALL_TIMEOUT, GEN_CALL, GEN_CAST, NORMAL
from pynode.client_words import ClientWords
from pynode.config import (
    NO_NAME,
    Limits,
    NodeConfig,
    Timeouts,
    TlsConfig,
    find_cookie,
    find_dist_port,
    find_epmd_listen,
    find_epmd_port,
    full_name,
    has_long_host,
    nameless_host,
)
from pynode.errors import CallExit, ConfigError, NodeDown
from pynode.forked import keep_in, problem
from pynode.options import check_options
from pynode.policy import Policy, default_policy
from pynode.process.resolver import Resolver
from pynode.process.shared import CURRENT
from pynode.spawning import SpawnWords
from pynode.telemetry import Telemetry
from pynode.terms import Atom, Pid, Reference

if TYPE_CHECKING:
    from pathlib import Path

    from pynode.behaviours.names import ServerName, ServerRef
    from pynode.discovery import Discovery, Strategy
    from pynode.dist.seam import Peer
    from pynode.net import Net
    from pynode.process.delivery import Dest
    from pynode.process.process import Process
    from pynode.process.resolver import Exports
    from pynode.process.runtime import Runtime
    from pynode.services import Services
    from pynode.services.erpc import Erpc
    from pynode.services.global_ import Global
    from pynode.services.io.api import Io
    from pynode.services.net_adm import NetAdm
    from pynode.services.pg import Pg
    from pynode.services.rpc import Rpc
    from pynode.thread import NodeThread

__all__ = ["Node"]

P = ParamSpec("P")


class _Start:
    """``await Node.start(name, ...)`` starts a node, ``await node.start(Server, ...)`` a server.

    The one word of OTP for both; which is meant shows in what it is asked of.
    """

    @overload
    def __get__(
        self, node: None, owner: type[Node]
    ) -> Callable[..., Coroutine[Any, Any, Node]]: ...
    @overload
    def __get__(self, node: Node, owner: type[Node]) -> Callable[..., Coroutine[Any, Any, Pid]]: ...
    def __get__(self, node: Node | None, owner: type[Node]) -> Callable[..., Any]:
        return owner._started if node is None else node._start_server


class Node(ClientWords, SpawnWords):
    """A node of an Erlang cluster, living on the event loop it is started on.

    ::

        async with Node("py@myhost", cookie="pubsub") as node:
            await node.connect("node1@myhost")

    or ``node = await Node.start(...)`` and later ``await node.stop()``, in the same task or in
    another one.  ``with Node.in_thread(...)`` gives it a thread and a loop of its own.  Any
    number of nodes may live in one interpreter.  One object is started once.

    Methods that send speak as the current process where they are called in one of this node, and
    as :attr:`main` elsewhere.  Sends, links and monitors may be called from any thread; the rest
    belongs on the loop's.

    Args:
        name: ``"py"``, ``"py@host"``; a host with a dot in it makes it a node with long names,
            which can only connect to such.  None, ``"undefined"`` or ``"undefined@host"``: the
            first node that it connects to gives it a name, as with ``erl -sname undefined``.
            Such a node is hidden, does not listen, and is called ``nonode@nohost`` until
            :meth:`connect` or :meth:`ping` has connected it; signals alone do not.  When the
            connection that named it is lost, so are the name and all its other connections; its
            processes live on.
        cookie: the secret shared with the other nodes; None: ``cookie_file``, the environment
            variable ``PYNODE_COOKIE``, or ``~/.erlang.cookie``, whose mode is checked.
        hidden: connect to whom it is told to and stay out of ``nodes()``, ``:global`` and the
            mesh.
        long_names: None: by the name.
        listen: address to listen on; None: where the host of the name resolves.
        port: port to listen on; 0: any; None: the environment variable ``ERL_DIST_PORT`` (see
            ``epmd``), else any.
        epmd: False: neither register with an EPMD nor ask one, the equivalent of ``erl
            -start_epmd false -erl_epmd_port PORT``; all nodes listen on ``port`` then, or on
            ``peer_port``.  None: so if ``ERL_DIST_PORT`` is set, which release tools turn into
            those arguments, and which then is the port of this node and of the others.
        peer_port: the port on which every other node listens, whatever an EPMD says; with
            ``port=0`` this node itself listens elsewhere, where nobody will look for it.
        tls: certificates, for a cluster that speaks TLS (``erl -proto_dist inet_tls``): every node
            has it, or none.
        epmd_port: None: the environment variable ``ERL_EPMD_PORT``, or 4369.
        start_epmd: start an embedded EPMD where none runs.
        connect_all: take part in the full mesh of ``:global``.
        prevent_overlapping_partitions: as kernel's parameter of this name.
        start_pg: start the default scope of :attr:`pg` with the node; else its first use does.
        cookies: other cookies for single peers, by node name.
        net_ticktime: seconds; peers silent for this long (give or take a quarter) are given up.
        timeouts, limits: see :mod:`pynode.config`.
        policy: what peers may do here, see :mod:`pynode.policy`.
        expose: functions that other nodes may run here: ``{module: object}`` or a list of
            :class:`Exports`; see :meth:`expose`.
        shell: answer ``iex --remsh`` and ``erl -remsh`` with a Python prompt.  True, or a mapping
            of names that are there beside ``node`` and the words of a process; it is read at the
            beginning of each session.  Whoever has the cookie may then run any Python here, as
            the user of this program; without it, no peer runs more than what was exposed.  See
            :mod:`pynode.services.shell`.
        introspection: answer ``erlang:process_info/2`` and what else ``observer``, ``etop``,
            ``c:i`` and their like ask of a node.  Whoever has the cookie then sees names, pids,
            mailboxes, process dictionaries and the states of servers, unless ``policy`` denies it
            (:func:`pynode.policy.is_introspection`).  See :mod:`pynode.services.introspection`.

    Raises:
        ConfigError: an option cannot be used.
        TypeError: an option is not of the type that it takes.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        cookie: str | bytes | None = None,
        cookie_file: str | Path | None = None,
        hidden: bool = False,
        long_names: bool | None = None,
        listen: str | None = None,
        port: int | None = None,
        epmd: bool | None = None,
        peer_port: int | None = None,
        tls: TlsConfig | None = None,
        epmd_port: int | None = None,
        start_epmd: bool = True,
        connect_all: bool = True,
        prevent_overlapping_partitions: bool = True,
        start_pg: bool = False,
        cookies: dict[str, str | bytes] | None = None,
        net_ticktime: float | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        policy: Policy = default_policy,
        expose: Mapping[Any, Any] | Iterable[Exports] = (),
        shell: bool | Mapping[str, Any] = False,
        introspection: bool = False,
    ) -> None:
        check_options(locals())
        host = nameless_host(name, long_names=long_names)
        if host is not None and (listen is not None or port):
            raise ConfigError("a node that gets its name from its first peer does not listen")
        name = full_name(str(name), long_names=long_names) if host is None else host
        timeouts = timeouts or Timeouts()
        if net_ticktime is not None:
            timeouts = timeouts.replace(net_ticktime=net_ticktime)
        if not timeouts.net_ticktime > 0:
            raise ConfigError(f"net_ticktime is a positive number of seconds, not {net_ticktime}")
        listen_port, uses_epmd, peers_port = _ports(port, epmd, peer_port)
        self.config: Final = NodeConfig(
            name=name,
            cookie=find_cookie(cookie, file=cookie_file),
            hidden=hidden or host is not None,
            long_names=has_long_host(name),
            listen=listen,
            port=listen_port,
            epmd=uses_epmd,
            peer_port=peers_port,
            tls=tls,
            epmd_port=find_epmd_port() if epmd_port is None else epmd_port,
            start_epmd=start_epmd,
            epmd_listen=find_epmd_listen(),
            connect_all=connect_all,
            prevent_overlapping_partitions=prevent_overlapping_partitions,
            start_pg=start_pg,
            cookies={str(peer): find_cookie(own) for peer, own in (cookies or {}).items()},
            timeouts=timeouts,
            limits=limits or Limits(),
        )
        self._name = Atom(NO_NAME if host is not None else name)
        self.telemetry: Final = Telemetry()
        self._policy = policy
        self._resolver = Resolver()
        self._expose_all(expose)
        self._shell = shell
        self._introspection = introspection
        self._net: Net | None = None
        self._runtime: Runtime | None = None
        self._services: Services | None = None
        #: The compiled way of what is plain to other nodes, while the node runs.
        self._quick: Any = None
        self._discoveries: list[Discovery] = []
        self._stopping: asyncio.Task[None] | None = None
        #: In a forked child, the process that the node lives in.
        self._left_in: int | None = None

    def __repr__(self) -> str:
        if self._left_in is not None:
            state = f"in process {self._left_in}"
        elif self._stopping is not None:
            state = "stopped"
        else:
            state = "running" if self._services is not None else "not started"
        return f"<Node {self.name} {state}>"

    @property
    def name(self) -> Atom:
        """The node's name, as in pids and messages."""
        return self._name

    # ------------------------------------------------------------------ start and stop

    start = _Start()

    @classmethod
    async def _started(cls, name: str | None = None, **options: Any) -> Node:
        """Make a node and start it; the options are those of :class:`Node`.

        Raises:
            ConfigError: an option cannot be used, or the address cannot be listened on.
            NameTakenError: EPMD has a node of this name.
            EpmdError: no EPMD, and none can be started.
        """
        node = cls(name, **options)
        await node._start()
        return node

    async def _start(self) -> None:
        if self._left_in is not None:
            raise self._not_running()
        if self._net is not None:
            raise NodeDown(f"{self.name} was started before; a Node object is started once")
        # Late, for whoever imports the package and starts no node.
        from pynode.dist.flags import offered
        from pynode.net import Net
        from pynode.process.runtime import Runtime
        from pynode.services import Services

        keep_in(self)
        config = self.config
        self._net = net = Net(config, offered(hidden=config.hidden), telemetry=self.telemetry)
        try:
            await net.start()
            # Until the next await nothing can connect, so the two halves meet before any signal.
            self._runtime = runtime = Runtime(
                self.name,
                net.creation,
                limits=config.limits,
                telemetry=self.telemetry,
                policy=self._policy,
            )
            runtime.node = self
            slow = config.timeouts.slow
            runtime.scheduler.slow = math.inf if slow is None else slow
            runtime.resolver = self._resolver
            runtime.attach(net)
            net.attach(runtime)
            net.on_name = self._renamed
            services = Services(runtime, net, config)
            services.start()
            if self._introspection:
                services.introspect()
            if self._shell is not False:
                services.shell.enable({} if self._shell is True else self._shell)
            self._services = services
            self._quick = runtime.quick
        except BaseException:
            await self._tear_down()
            raise

    def left_behind(self, pid: int) -> None:
        """In a forked child: refuse every use; the node goes on in ``pid``."""
        self._left_in = pid
        self._services = self._quick = None

    def _not_running(self) -> NodeDown:
        if self._left_in is not None:
            return NodeDown(problem(str(self.name), self._left_in))
        return NodeDown(f"{self.name} is not running")

    def _renamed(self, name: Atom, creation: int) -> None:
        self._name = name
        if self._runtime is not None:
            self._runtime.rename(name, creation)
        if self._services is not None:
            self._services.renamed()

    async def stop(self) -> None:
        """Leave the cluster: end all processes, close all connections at once, free the name.

        Processes end with reason ``shutdown``; what they, and everybody before, sent is handed
        to the network first, within ``Timeouts.stop``.  May be called again, and from any task of
        the loop; every call returns when the node is down.  Cancelled, it still leaves in good
        order, which ``Timeouts.stop`` bounds, and raises the cancellation after that.  In a
        forked child it does nothing: the node is the parent's.
        """
        if self._left_in is not None:
            return
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(
                self._tear_down(), name=f"pynode stop of {self.name}", context=Context()
            )
        cancelled: asyncio.CancelledError | None = None
        while not self._stopping.done():
            try:
                await asyncio.shield(self._stopping)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        self._stopping.result()

    async def _tear_down(self) -> None:
        services, self._services = self._services, None  # nothing new begins
        self._quick = None
        for discovery in self._discoveries:
            await discovery.stop()
        if services is not None:
            await services.stop()
        if self._runtime is not None:
            await self._runtime.stop(self.config.timeouts.stop)
        if self._net is not None:
            await self._net.flush(self.config.timeouts.stop)
            await self._net.stop()

    async def __aenter__(self) -> Node:
        await self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @classmethod
    def in_thread(cls, name: str | None = None, **options: Any) -> NodeThread:
        """Return a node on a thread of its own, for ``with``; the options are the node's.

        The node goes on ticking and serving while the program computes.
        """
        from pynode.thread import NodeThread  # late, as few programs have no loop

        return NodeThread(lambda: cls(name, **options))

    # ------------------------------------------------------------------ the parts

    @property
    def runtime(self) -> Runtime:
        """The processes.

        Raises:
            NodeDown: the node is not running.
        """
        if self._runtime is None or self._services is None:
            raise self._not_running()
        return self._runtime

    @property
    def net(self) -> Net:
        """The connections.

        Raises:
            NodeDown: the node is not running.
        """
        if self._net is None or self._services is None:
            raise self._not_running()
        return self._net

    @property
    def services(self) -> Services:
        """The processes that every node has.

        Raises:
            NodeDown: the node is not running.
        """
        if self._services is None:
            raise self._not_running()
        return self._services

    @property
    def global_(self) -> Global:
        """The names of the cluster (``:global``)."""
        return self.services.global_

    @property
    def io(self) -> Io:
        """Writing to and reading from devices, as Elixir's ``IO`` and Erlang's ``io`` do it."""
        return self.services.io

    @property
    def pg(self) -> Pg:
        """Groups of processes (``:pg``)."""
        return self.services.pg

    @property
    def rpc(self) -> Rpc:
        """Calls of functions on other nodes, as ``:rpc`` has them."""
        return self.services.rpc

    @property
    def erpc(self) -> Erpc:
        """Calls of functions on other nodes, as ``:erpc`` has them."""
        return self.services.erpc

    @property
    def net_adm(self) -> NetAdm:
        """Who is registered at which EPMD, as ``:net_adm`` has it."""
        return self.services.net_adm

    @property
    def main(self) -> Process:
        """The process that speaks for code outside any process; ``await node.main.receive()``."""
        return self.runtime.main

    @property
    def creation(self) -> int:
        """What tells this life of the node from others of the same name."""
        return self.runtime.creation

    def actor(self) -> Process:
        """Return the process that acts: the current one, if it is of this node, or ``main``."""
        quick = self._quick
        if quick is not None and (acting := quick.actor()) is not None:
            found: Process = acting
            return found
        process: Process | None = CURRENT.get(None)
        if process is not None and process.runtime is self._runtime:
            return process
        return self.main

    def _act(
        self,
        method: Callable[Concatenate[Process, P], Any],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Any:
        process = self.actor()
        runtime = process.runtime
        if threading.get_ident() == runtime.thread_id:
            return method(process, *args, **kwargs)
        return runtime.call_threadsafe(process, method, process, *args, **kwargs)

    # ------------------------------------------------------------------ other nodes

    async def connect(self, node: Atom | str) -> None:
        """Connect to ``node``; at once where there is a connection.

        Sending to a node connects by itself; this is for those who want to know.

        Raises:
            ConnectError: its children name the cause.
        """
        await self.net.connect(str(node))

    def disconnect(self, node: Atom | str) -> bool:
        """Close the connection to ``node``; False if there was none (``disconnect_node/1``).

        Links and monitors to it end with ``noconnection`` before this returns.
        """
        return self.net.disconnect(str(node))

    async def ping(self, node: Atom | str) -> bool:
        """Return whether ``node`` answers (``net_adm:ping/1``); connects where needed."""
        return await self.services.ping(Atom(str(node)))

    def nodes(self, kind: str | Iterable[str] = "visible") -> list[Atom]:
        """Return other nodes by what they are to this one (``nodes/1``), each once.

        Args:
            kind: "visible", "hidden", "connected" (both), "this" (this node itself), or "known"
                (this one and all that are, were, or are just being connected); or several.

        Raises:
            ValueError: another kind.
        """
        found: dict[Atom, None] = {}
        for each in [kind] if isinstance(kind, str) else kind:
            found |= dict.fromkeys(self._nodes_of(each))
        return list(found)

    def _nodes_of(self, kind: str) -> list[Atom]:
        peers: Iterable[Peer] = self.net.peers()
        match kind:
            case "visible" | "hidden":
                return [peer.name for peer in peers if peer.hidden == (kind == "hidden")]
            case "connected":
                return [peer.name for peer in peers]
            case "this":
                return [self.name]
            case "known":
                return [self.name, *self.net.known()]
        raise ValueError(f"kind is visible, hidden, connected, this or known, not {kind!r}")

    def discover(self, *strategies: Strategy, interval: float | None = 5.0) -> Discovery:
        """Look for nodes and connect to them, every ``interval`` seconds until the node stops.

        The strategies are those of :mod:`pynode.discovery`, or the program's own.

        Args:
            strategies: where to look; all are asked in each round.
            interval: seconds from the end of a round to the next; None: one round.

        Raises:
            NodeDown: the node is not running.
        """
        from pynode.discovery import Discovery

        discovery = Discovery(self.net, strategies, interval=interval)
        self._discoveries.append(discovery)
        return discovery

    def set_cookie(self, node: Atom | str, cookie: str | bytes) -> None:
        """Use ``cookie`` with ``node`` from the next connection on (``set_cookie/2``)."""
        self.net.set_cookie(str(node), find_cookie(cookie))

    def allow(self, nodes: Iterable[Atom | str]) -> None:
        """Connect with ``nodes`` only, and those of earlier calls (``net_kernel:allow/1``).

        Without a call, any node that has the cookie may connect.  ``"host"`` stands for all nodes
        of a host, ``"name@"`` for that name on any.  Connections that are up stay.
        """
        self.net.allow.update(map(str, nodes))

    def allowed(self) -> list[str]:
        """Return what :meth:`allow` was given, sorted; empty: all nodes (``allowed/0``)."""
        return sorted(self.net.allow)

    @property
    def net_ticktime(self) -> float:
        """The tick time in seconds; while it is being changed, what it is changed to."""
        return self.net.ticker.seconds

    def set_net_ticktime(
        self, seconds: float, transition: float = 60.0
    ) -> Atom | tuple[Atom, float]:
        """Change ``net_ticktime`` while connected (``net_kernel:set_net_ticktime/2``).

        Every node of the cluster needs the same change, within ``transition`` seconds: for so
        long this node ticks at the shorter pace, and gives silent peers up by the longer one.
        It does not tell the others.  A BEAM is told by ``net_kernel:set_net_ticktime`` there
        (``node.rpc`` will do); a Python node lets no BEAM do it by rpc unless it exposes this.

        Returns:
            ``atom.change_initiated``; ``atom.unchanged`` if that is the tick time already; or
            ``(atom.ongoing_change_to, seconds)``, and nothing is changed, during a transition.

        Raises:
            ValueError: not a positive tick time, or a negative transition.
        """
        return self.services.net_kernel.set_net_ticktime(seconds, transition)

    def monitor_nodes(self, flag: bool = True, **options: Any) -> None:
        """Have ``{nodeup, Node}`` and ``{nodedown, Node}`` sent to the acting process.

        The options are those of :meth:`Runtime.monitor_nodes`.
        """
        self._act(self.runtime.monitor_nodes, flag, **options)

    def monitor_node(self, node: Atom | str, flag: bool = True) -> None:
        """Have ``{nodedown, Node}`` sent to the acting process (``monitor_node/2``)."""
        self._act(self.runtime.monitor_node, node, flag)

    # ------------------------------------------------------------------ processes

    async def _start_server(
        self,
        server: Any,
        *args: Any,
        name: ServerName | None = None,
        link: bool = False,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Pid:
        """Start ``server(*args, **kwargs)``, wait for its ``init``, and return its pid.

        Args:
            server: a class: :class:`GenServer`, :class:`GenStatem`, :class:`Agent`,
                :class:`Supervisor`, :class:`GenEventManager`, or :class:`GenEventHandler` (a
                manager with that handler).
            name: local, ``("global", name)``, or ``("via", module, name)``.
            link: link it to the acting process.
            timeout: seconds for ``init``; None for ever.
            kwargs: for ``init``, and ``sys_debug``, see :func:`pynode.behaviours.starting.start`.

        Raises:
            AlreadyStarted: the name is taken.
            StartIgnored: ``init`` declined.
            StartError: ``init`` failed, or took too long.
        """
        from pynode.behaviours.starting import start as start_server

        return await start_server(
            self.runtime,
            server,
            *args,
            name=name,
            link_to=self.actor().pid if link else None,
            timeout=timeout,
            **kwargs,
        )

    def send(self, dest: Dest, message: Any, *, priority: bool = False) -> None:
        """Send ``message`` to a pid, a name, ``(name, node)`` or an alias; never waits.

        See :meth:`Runtime.send` for order, loss, errors, and ``priority``.
        """
        quick = self._quick
        if priority or quick is None or not quick.speak(dest, message):
            self._act(self.runtime.send, dest, message, priority=priority)

    def exit(self, to: Pid | Reference, reason: Any, *, priority: bool = False) -> None:
        """Send an exit signal (``exit/2,3``); see :meth:`Runtime.exit`."""
        self._act(self.runtime.exit, to, reason, priority=priority)

    def link(self, to: Pid) -> None:
        """Link the acting process to ``to``."""
        self._act(self.runtime.link, to)

    def unlink(self, to: Pid) -> None:
        """Take the link to ``to`` away."""
        self._act(self.runtime.unlink, to)

    def monitor(self, target: Any, **options: Any) -> Reference:
        """Watch a pid, a name or ``(name, node)``; options of :meth:`Runtime.monitor`."""
        found: Reference = self._act(self.runtime.monitor, target, **options)
        return found

    def demonitor(self, ref: Reference, *, flush: bool = False, info: bool = False) -> bool:
        """End a monitor (``demonitor/2``)."""
        return bool(self._act(self.runtime.demonitor, ref, flush=flush, info=info))

    async def drain(self, dest: Pid | Atom | str) -> None:
        """Wait until the node of ``dest`` takes signals again without delay."""
        await self.runtime.drain(dest)

    def register(self, name: Atom | str, pid: Pid) -> None:
        """Register a process of this node under a local name (``register/2``)."""
        self.runtime.register(name, pid)

    def unregister(self, name: Atom | str) -> None:
        """Free a local name (``unregister/1``)."""
        self.runtime.unregister(name)

    def whereis(self, name: Atom | str) -> Pid | None:
        """Return the process of a local name, or None (``whereis/1``)."""
        return self.runtime.whereis(name)

    def registered(self) -> list[Atom]:
        """Return all local names (``registered/0``)."""
        return self.runtime.registered()

    def make_ref(self) -> Reference:
        """Return a new reference (``make_ref/0``)."""
        return self.runtime.make_ref()

    # ------------------------------------------------------------------ gen

    async def call(
        self,
        server: ServerRef,
        request: Any,
        *,
        timeout: float | None = CALL_TIMEOUT,
        text: bool = False,
    ) -> Any:
        """Call a GenServer on any node, and return its reply; see :func:`gen.call`."""
        quick = self._quick
        if quick is not None and type(server) is Pid:  # as gen.call() does it, with less between
            try:
                waiting = quick.call_as_whoever(GEN_CALL, server, request, timeout, text)
                if waiting is not None:
                    return await waiting
            except CallExit as error:
                raise behaviours.gen.failed_call(error, server, request, timeout) from None
        return await behaviours.gen.call(self.actor(), server, request, timeout, text=text)

    def cast(self, server: ServerRef, request: Any) -> None:
        """Cast to a GenServer on any node; nobody there is no error."""
        quick = self._quick
        if quick is not None and type(server) is Pid and quick.speak(server, (GEN_CAST, request)):
            return
        process = self.actor()
        runtime = process.runtime
        if threading.get_ident() == runtime.thread_id:
            behaviours.gen.cast(process, server, request)
        else:
            runtime.call_threadsafe(process, behaviours.gen.cast, process, server, request)

    async def stop_server(
        self, server: ServerRef, reason: Any = NORMAL, *, timeout: float | None = None
    ) -> None:
        """Stop a server with ``reason``, and wait for its end (``gen_server:stop/3``)."""
        await behaviours.gen.stop(self.actor(), server, reason, timeout)


def _ports(
    port: int | None, epmd: bool | None, peer_port: int | None
) -> tuple[int, bool, int | None]:
    """Settle the options of these names among themselves and with ``ERL_DIST_PORT``."""
    everybody_s = find_dist_port() if epmd is None else None
    if everybody_s is not None:
        port, epmd, peer_port = _or(port, everybody_s), False, _or(peer_port, everybody_s)
    if epmd is False and peer_port is None:
        peer_port = port or None
        if peer_port is None:
            raise ConfigError(
                "without EPMD the ports are agreed upon: epmd=False needs port=, "
                "and peer_port= where the other nodes listen on another one"
            )
    for value in (port, peer_port):
        if value is not None and not 0 <= value < 65536:
            raise ConfigError(f"{value} is no port")
    return port or 0, epmd is not False, peer_port


def _or(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given
