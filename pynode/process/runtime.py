"""The runtime: all processes of one node, and the signals between them and to other nodes.

Everything here is synchronous and happens in the order of the calls; only waiting (a receive, a
call's reply, :meth:`Runtime.drain`, :meth:`Runtime.stop`) is async.  All of it belongs on the
loop's thread, :meth:`Runtime.call_threadsafe` excepted.

The first argument of a signal is the :class:`~pynode.process.process.Process` that acts; most
programs use the module functions of :mod:`pynode.process.current`, which fill it in.  A process
that has ended cannot act: :class:`pynode.errors.ProcessDead`, or :class:`pynode.errors.NodeDown`
once the node has stopped.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any, Final

from pynode.config import Limits
from pynode.errors import CallExit, NoConnection, NodeDown
from pynode.forked import keep_in, problem
from pynode.policy import Policy, default_policy
from pynode.process._choice import InboundMessages, OutboundMessages
from pynode.process._core import stepping
from pynode.process.blocking import Marshal, Threads
from pynode.process.calls import CallSlot, ReasonSlot
from pynode.process.deaths import Deaths
from pynode.process.delivery import Dest
from pynode.process.inbound import Inbound
from pynode.process.links import Links
from pynode.process.monitors import Alias, Monitors
from pynode.process.names import Names, as_atom
from pynode.process.nodes import NODE_TYPES, Nodes, Subscription
from pynode.process.process import Process, current_process
from pynode.process.resolver import Resolver
from pynode.process.router import Router
from pynode.process.scheduler import Scheduler
from pynode.process.signals import Signals
from pynode.process.spawn import PendingSpawn, Spawning
from pynode.process.spawn_options import SpawnOptions, own_options
from pynode.process.spawned import name_of_mfa
from pynode.process.stopping import Stopping
from pynode.process.timers import TimerHeap
from pynode.process.user_timers import UserTimers
from pynode.process.words import BADOPT, LEFT_BEHIND, NOTSUP, SPAWN_REPLY
from pynode.shown import shown
from pynode.telemetry import Telemetry
from pynode.terms import Atom, Pid, Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pynode.dist.control import Control
    from pynode.dist.seam import Outbound, Payload, Peer
    from pynode.process.body import Body, CoroutineFunction

__all__ = ["Dest", "Runtime"]

_MAX_ID: Final = (1 << 28) - 1
_MAX_SERIAL: Final = (1 << 32) - 1
#: A node that loses its name this often forgets what it was called first.
_MAX_FORMER: Final = 1000
_LEFT_BEHIND: Final = Atom("left_behind")
_NO_NETWORK: Final = Atom("no_network")


class Runtime(Signals):
    """All processes of one node.

    Args:
        node_name: the node's full name.
        creation: what distinguishes this life of the node; part of every pid and reference.
        loop: the event loop; by default the running one.  The runtime is made on its thread.
        limits: see :class:`pynode.config.Limits`.
        telemetry: the node's counters and hooks.
        policy: asked before a peer's signal has an effect, see :mod:`pynode.policy`.
    """

    def __init__(
        self,
        node_name: Atom,
        creation: int,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        limits: Limits | None = None,
        telemetry: Telemetry | None = None,
        policy: Policy = default_policy,
    ) -> None:
        self.node_name = node_name
        self.creation = creation
        self.former = {}
        self.loop: Final = asyncio.get_running_loop() if loop is None else loop
        self.limits: Final = Limits() if limits is None else limits
        self.telemetry: Final = Telemetry() if telemetry is None else telemetry
        self.policy = policy
        self.thread_id = threading.get_ident()
        #: What servers see as ``self.node``; set by the node that owns this runtime.
        self.node: Any = None
        #: Name resolvers of ``via`` tuples, by module name.
        self.via: dict[str, Any] = {}
        #: What other nodes may run here.
        self.resolver = Resolver()
        #: The context that the runtime's own callbacks run in.
        self.context: Final = contextvars.Context()
        #: The group leader of processes spawned from outside any process; None: ``main``.
        self.default_group_leader: Pid | None = None
        self.stopped = False
        #: What is said to whoever acts after that.
        self.gone_because = "the node has stopped"
        #: Processes that serve the others, and so outlive them at the stop.
        self.system: set[Process] = set()
        self._table: dict[int, Process] = {} if stepping is None else stepping.Table()
        self._last_id = 0
        self._serial = 0
        self._last_ref = 0
        self._main: Process | None = None
        #: While a node goes down: why there was no connection, where that is known.
        self.down_cause: Exception | None = None
        #: Active aliases, calls under way among them.
        self.aliases: dict[Reference, Alias | CallSlot] = {}
        self.timers = TimerHeap(self.loop)
        self.scheduler = Scheduler(self)
        self.names = Names(self)
        self.deaths = Deaths(self)
        self.links = Links(self)
        self.monitors = Monitors(self)
        self.nodes = Nodes(self)
        self.router = Router(self)
        self.user_timers = UserTimers(self)
        self.marshal = Marshal(self)
        #: For the plain functions that other nodes run here.
        self.threads = Threads(self.scheduler, self.limits.threads)
        self.spawning = Spawning(self)
        self.inbound = Inbound(self)
        self.quick = None
        #: The compiled way in of plain messages; None: they come through :meth:`control`.
        self.messages = None if InboundMessages is None else InboundMessages(self)
        self._stopping = Stopping(self)
        keep_in(self)

    def attach(self, outbound: Outbound) -> None:
        """Give the way to other nodes; until then they are all unreachable."""
        self.router.outbound = outbound
        gathers = getattr(outbound, "gathers", None)
        if OutboundMessages is not None and gathers is not None:
            self.quick = OutboundMessages(self.router, gathers)

    def rename(self, node_name: Atom, creation: int) -> None:
        """Go by another name, while no other node is connected.

        Every process keeps its number and has a new :attr:`Process.pid`.  Pids and references
        made before go on meaning the same processes, aliases and monitors to this node; other
        nodes cannot know them.
        """
        self.former[self.node_name, self.creation] = None
        self.former.pop((node_name, creation), None)
        if len(self.former) > _MAX_FORMER:
            del self.former[next(iter(self.former))]
        self.node_name, self.creation = node_name, creation
        for process in self._table.values():
            process.pid = self.renewed(process.pid)
            process.group_leader = self.renewed(process.group_leader)
            self.links.renew(process)
        if self.default_group_leader is not None:
            self.default_group_leader = self.renewed(self.default_group_leader)

    # ------------------------------------------------------------------ processes

    def is_main(self, process: Process) -> bool:
        """Return whether ``process`` is :attr:`main`."""
        return process is self._main

    @property
    def main(self) -> Process:
        """The process that speaks for code outside any process; has no body, never ends by itself.

        Should an exit signal end it, the next use makes another one.

        Raises:
            NodeDown: the node has stopped.
        """
        if self._main is None or not self._main.alive:
            self._main = self.spawn(None)
        return self._main

    def spawn(
        self,
        body: CoroutineFunction | Body | None,
        *args: Any,
        name: Atom | str | None = None,
        link_to: Pid | None = None,
        monitor_by: Pid | None = None,
        trap_exit: bool = False,
        text: bool = False,
        group_leader: Pid | None = None,
    ) -> Process:
        """Make a process and return it; it begins to run in a later turn.

        Since nothing of it runs before this function's caller awaits, a link or a monitor made
        right after the spawn misses nothing.

        Args:
            body: ``async def body(process, *args)``; or a :class:`~pynode.process.body.Body`; or
                None for a process that only receives, by whoever awaits its ``receive``.
            args: for the coroutine function; handed over as they are, not copied.
            name: register it under this name.
            link_to: a process of this node to be linked with from the first moment.
            monitor_by: a process of this node that gets DOWN.
            trap_exit: see :attr:`Process.trap_exit`.
            text: see :attr:`Process.text`.
            group_leader: by default that of the current process.

        Raises:
            NameError_: ``name`` is taken or cannot be a name; no process was made.
            NodeDown: the node has stopped.
            TypeError: ``body`` is nothing of the kind.  A function that is called and returns no
                coroutine ends its process with a TypeError that says so.
        """
        if self.stopped:
            raise NodeDown(self.gone_because)
        if body is not None and not callable(body) and not hasattr(body, "message"):
            raise TypeError(
                f"what a process runs is async def function(process, ...), not {shown(body)!r}"
            )
        if name is not None:
            name = self.names.free(name)
        pid = self._new_pid()
        if group_leader is None:
            group_leader = self._inherited_leader(pid)
        context = self.scheduler.base_context()
        process = Process(self, pid, body, args, context, group_leader)
        process.trap_exit = trap_exit
        process.text = text
        self._table[pid.id] = process
        if name is not None:
            self.names.register(name, pid)
        if link_to is not None:
            other = self.local(link_to)
            if other is not None:
                self.links.join(process, other)
        if monitor_by is not None:
            other = self.local(monitor_by)
            if other is not None:
                self.monitor(other, pid)
        if body is not None:
            self.scheduler.ready(process)
        return process

    def _inherited_leader(self, pid: Pid) -> Pid:
        parent = self.current()
        if parent is not None:
            return parent.group_leader
        if self.default_group_leader is not None:
            return self.default_group_leader
        return pid if self._main is None else self._main.pid

    def _new_pid(self) -> Pid:
        while True:
            self._last_id += 1
            if self._last_id > _MAX_ID:
                self._last_id = 1
                self._serial = (self._serial + 1) & _MAX_SERIAL
            if self._last_id not in self._table:
                return Pid(self.node_name, self._last_id, self._serial, self.creation)

    def current(self) -> Process | None:
        """Return the current process, if it is one of this runtime."""
        process = current_process()
        return process if process is not None and process.runtime is self else None

    def processes(self) -> list[Process]:
        """Return all live processes, the oldest first (``processes/0``)."""
        return list(self._table.values())

    def is_alive(self, pid: Pid) -> bool:
        """Return whether ``pid`` is a live process of this node (``is_process_alive/1``).

        Raises:
            ValueError: ``pid`` is of another node.
        """
        if not self.is_own(pid):
            raise ValueError(f"{pid!r} is not of this node")
        return self.local(pid) is not None

    def process_info(self, pid: Pid) -> dict[str, Any] | None:
        """Return facts about a process of this node, None if it has ended."""
        process = self.local(pid)
        if process is None:
            return None
        mailbox = process.mailbox
        return {
            "registered_name": process.name,
            "trap_exit": process.trap_exit,
            "group_leader": process.group_leader,
            "links": []
            if process.links is None
            else [p for p, s in process.links.items() if not s],
            "monitors": [m.target for m in (process.monitors or {}).values()],
            "monitored_by": [w.watcher for w in (process.watchers or {}).values()],
            "message_queue_len": 0 if mailbox is None else mailbox.total(),
            "messages": [] if mailbox is None else mailbox.messages(),
            "dictionary": _dictionary_of(process),
        }

    def forget(self, process: Process) -> None:
        """Take a process that ends out of everything that finds processes."""
        self._table.pop(process.pid.id, None)
        self.names.forget(process)
        extra = process.rare
        if extra is not None:
            for ref in extra.aliases:
                self.aliases.pop(ref, None)
            for ref in extra.calls:
                self.aliases.pop(ref, None)
        self.gone()

    def gone(self) -> None:
        """A process, or the coroutine of a dead one, has ended."""
        self._stopping.check()

    # ------------------------------------------------------------------ names

    def register(self, name: Atom | str, pid: Pid) -> None:
        """Register a process of this node (``register/2``).  Freed when it ends.

        Raises:
            NameError_: the name is taken, or is ``undefined``; or the process has a name, has
                ended, or is not of this node.
        """
        self.names.register(name, pid)

    def unregister(self, name: Atom | str) -> None:
        """Free a name (``unregister/1``).

        Raises:
            NameError_: it is not registered.
        """
        self.names.unregister(name)

    def whereis(self, name: Atom | str) -> Pid | None:
        """Return the pid registered as ``name`` on this node, or None (``whereis/1``)."""
        process = self.names.find(as_atom(name))
        return None if process is None else process.pid

    def registered(self) -> list[Atom]:
        """Return all registered names (``registered/0``)."""
        return self.names.all()

    # ------------------------------------------------------------------ timers

    def send_after(
        self, process: Process, seconds: float, dest: Pid | Atom | str, message: Any
    ) -> Reference:
        """Send ``message`` to ``dest`` in ``seconds``, and return the timer (``send_after/3``).

        ``dest`` is a pid of this node, whose end cancels the timer, or a name, looked up when the
        time comes; nobody there is no error.

        Raises:
            ValueError: a pid of another node.
            EncodeError: ``message`` is no term.
            ProcessDead: ``process`` has ended.
        """
        return self._start_timer(process, seconds, dest, message, wrapped=False)

    def start_timer(
        self, process: Process, seconds: float, dest: Pid | Atom | str, message: Any
    ) -> Reference:
        """Like :meth:`send_after`, with ``{timeout, Timer, message}`` (``start_timer/3``)."""
        return self._start_timer(process, seconds, dest, message, wrapped=True)

    def _start_timer(
        self, process: Process, seconds: float, dest: Any, message: Any, *, wrapped: bool
    ) -> Reference:
        if not process.alive:
            raise self.refusal(process)
        target = dest if type(dest) is Pid else as_atom(dest)
        return self.user_timers.start(seconds, target, message, wrapped=wrapped)

    def cancel_timer(self, ref: Reference) -> float | None:
        """Cancel a timer; return the seconds that were left, None if it is over or unknown."""
        return self.user_timers.cancel(ref)

    def read_timer(self, ref: Reference) -> float | None:
        """Return the seconds left of a timer, None if it is over or unknown."""
        return self.user_timers.read(ref)

    # ------------------------------------------------------------------ nodes

    def monitor_node(self, process: Process, node: Atom | str, flag: bool = True) -> None:
        """Have one ``{nodedown, Node}`` sent when the node is lost (``monitor_node/2``).

        Connects where there is no connection; if that fails, the message comes.  Calls count:
        two give two messages, and each takes one ``flag=False`` to undo.
        """
        if not process.alive:
            raise self.refusal(process)
        self.nodes.monitor_node(process, as_atom(node), flag)

    def monitor_nodes(
        self,
        process: Process,
        flag: bool = True,
        *,
        node_type: str | None = None,
        nodedown_reason: bool = False,
        info: bool = False,
    ) -> None:
        """Have ``{nodeup, Node}`` and ``{nodedown, Node}`` sent (``net_kernel:monitor_nodes/2``).

        A nodeup comes before any signal over that connection, a nodedown after all.  Each call
        with ``flag`` subscribes once more; one without ends those with the same options.

        Args:
            process: who is told.
            flag: subscribe, or end.
            node_type: "visible", "hidden" or "all"; None is visible.
            nodedown_reason: add ``{nodedown_reason, Reason}`` to the info list.
            info: ``{nodeup, Node, InfoList}``; implied by the two options before, and the list
                has ``{node_type, Type}`` if that option was given.

        Raises:
            ValueError: ``node_type`` is none of these.
        """
        if not process.alive:
            raise self.refusal(process)
        if node_type is not None and node_type not in NODE_TYPES:
            raise ValueError(f"node_type is one of {', '.join(NODE_TYPES)}, not {node_type!r}")
        info = info or nodedown_reason or node_type is not None
        self.nodes.monitor_nodes(process, flag, Subscription(node_type, nodedown_reason, info))

    def unreachable(self, node: Atom) -> None:
        """There is no way to other nodes: report the loss of ``node`` in a later turn."""
        self.loop.call_soon(self.nodes.down, node, _NO_NETWORK, context=self.context)

    # ------------------------------------------------------------------ spawning elsewhere

    def spawn_request(
        self,
        process: Process,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any],
        *,
        link: bool = False,
        monitor: bool = False,
        options: Sequence[Any] = (),
        tag: Any = SPAWN_REPLY,
    ) -> Reference:
        """Ask a node to spawn ``module:function(*args)`` (``spawn_request/5``).

        ``process`` gets ``{spawn_reply, ReqId, ok, Pid}``, or ``{spawn_reply, ReqId, error,
        Reason}`` with ``noconnection``, ``notsup``, ``badopt`` or ``system_limit``; before any
        signal of the new process.

        Args:
            process: who asks; the new process gets its group leader.
            node: any node, this one too.
            module, function, args: what it runs; a function that does not exist ends it with
                ``undef``.
            link, monitor: made together with the process; the returned reference is that of the
                monitor.
            options: as in Erlang, such as ``("priority", "high")``, ``("monitor", [("tag", T),
                ("alias", "demonitor")])``, ``("reply", "error_only")``, ``("reply_tag", T)``.
            tag: what stands in the message for ``spawn_reply``.

        Raises:
            EncodeError: an argument is no term.
            PeerBusy: too much is waiting for that node.
        """
        pending = self._request(process, options, link=link, monitor=monitor)
        if tag != SPAWN_REPLY:
            pending.options.reply_tag = tag
        self._ask(pending, node, module, function, args)
        return pending.ref

    async def spawn_remote(
        self,
        process: Process,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any],
        *,
        link: bool = False,
        monitor: bool = False,
        options: Sequence[Any] = (),
    ) -> tuple[Pid, Reference]:
        """Like :meth:`spawn_request`, and wait for the pid; also return the reference.

        A request whose wait is cancelled is abandoned: a link that it makes ends the new process
        with ``abandoned``.

        Raises:
            NoConnection: ``noconnection``.
            CallExit: another reason.
            EncodeError: an argument is no term.
        """
        pending = self._request(process, options, link=link, monitor=monitor)
        pending.silent = True
        self._ask(pending, node, module, function, args)
        return await self.spawning.wait(pending), pending.ref

    async def spawn_there(
        self,
        process: Process,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any],
        *,
        link: bool = False,
        monitor: bool = False,
        options: Sequence[Any] = (),
    ) -> tuple[Pid, Reference | None]:
        """Spawn as ``spawn_opt/5`` does: like :meth:`spawn_remote`, but a pid comes always.

        Where the node cannot be reached, or spawns for nobody, that is the pid of a process of
        this node, linked and monitored as asked, which ends with ``noconnection`` or ``notsup``;
        a warning tells of it.

        Returns:
            the pid, and the reference of the monitor, None without one.

        Raises:
            ValueError: ``badopt``: an option that is none.
            CallExit: another reason, such as ``system_limit``.
            EncodeError: an argument is no term.
            PeerBusy: too much is waiting for that node.
        """
        pending = self._request(process, options, link=link, monitor=monitor)
        pending.silent = True
        self._ask(pending, node, module, function, args)
        try:
            pid = await self.spawning.wait(pending)
        except CallExit as error:
            if error.reason == BADOPT:
                text = f"badopt: {node} does not take these options: {options!r}"
                raise ValueError(text) from None
            if not isinstance(error, NoConnection) and error.reason != NOTSUP:
                raise
            where = f"{name_of_mfa(module, function, len(args))} on {node}"
            pid = self.spawning.crasher(pending, error.reason, where)
        return pid, pending.ref if pending.options.monitor else None

    def open_spawn(
        self,
        process: Process,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any],
        *,
        text: bool = False,
    ) -> ReasonSlot:
        """Spawn with a monitor, and return a slot for the exit reason: erpc's way to call.

        ``await slot.wait(timeout)`` returns the reason of the DOWN; ``noconnection`` and a
        refused request raise.  Close it always.
        """
        pending = self._request(process, monitor=True)
        pending.slot = slot = ReasonSlot(process, pending.ref, (None, as_atom(node)), text=text)
        process.extra.calls[slot.ref] = slot
        try:
            self._ask(pending, node, module, function, args)
        except BaseException:
            slot.close()
            raise
        return slot

    def spawn_request_abandon(self, process: Process, ref: Reference) -> bool:
        """Give up a request; True if its answer had not come (``spawn_request_abandon/1``).

        No message will come.  A link that the other node makes ends the new process with
        ``abandoned``; without a link it goes on.
        """
        return self.spawning.abandon(process, ref)

    def _request(
        self,
        process: Process,
        options: Sequence[Any] = (),
        *,
        link: bool = False,
        monitor: bool = False,
    ) -> PendingSpawn:
        if not process.alive:
            raise self.refusal(process)
        first = [word for word, asked in (("monitor", monitor), ("link", link)) if asked]
        found = own_options((*first, *options)) if first or options else SpawnOptions()
        return PendingSpawn(process, self.make_ref(), found)

    def _ask(
        self,
        pending: PendingSpawn,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any],
    ) -> None:
        self.spawning.request(
            pending, as_atom(node), as_atom(module), as_atom(function), list(args)
        )

    # ------------------------------------------------------------------ the sink of signals

    def peer_up(self, peer: Peer) -> None:
        """A connection is established; see :class:`pynode.dist.seam.SignalSink`."""
        self.nodes.up(peer)

    def control(self, peer: Peer, message: Control, payload: Payload | None) -> None:
        """One signal, in the order of arrival; nothing once the node has stopped.

        Raises:
            FrameError: it breaks the protocol; costs the connection.
            DecodeError: its payload is no term, or one beyond the limits; costs the connection.
        """
        if not self.stopped:
            self.inbound.control(peer, message, payload)

    def peer_down(
        self, node: Atom, peer: Peer | None, reason: Any, cause: Exception | None = None
    ) -> None:
        """A connection is lost, or an automatic one failed: exits, downs, then nodedowns."""
        outer, self.down_cause = self.down_cause, cause
        try:
            self.nodes.down(node, reason)
        finally:
            self.down_cause = outer
        self.router.peer_gone(node)

    def peer_drained(self, node: Atom) -> None:
        """A peer is not busy any more: what it held goes on."""
        self.router.peer_drained(node)

    def batch_begin(self) -> None:
        """Whom the signals wake from now on, :meth:`batch_end` runs."""
        self.scheduler.batching = True

    def batch_end(self) -> None:
        """Run what a batch of inbound signals has made ready, in place, for one turn's budget."""
        self.scheduler.drain()

    # ------------------------------------------------------------------ waiting for peers

    async def drain(self, dest: Pid | Atom | str) -> None:
        """Wait until the node of ``dest`` (a pid, or a node's name) is not busy any more.

        Returns at once if it is not, and also when the connection is lost.
        """
        node = dest.node if type(dest) is Pid else as_atom(dest)
        await self.router.drained(node)

    # ------------------------------------------------------------------ threads, start and stop

    def call_threadsafe(
        self, process: Process, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Call a method of the runtime from another thread, as ``process``; return its result.

        Waits until the loop has made the call; the calls of one thread are made in their order.
        What the call raises is raised here.  If a busy peer holds ``process`` afterwards, waits
        for that too.  :func:`pynode.process.current.send` and its siblings do this by themselves.

        Raises:
            NodeDown: the node stopped before the call was made.
        """
        return self.marshal.call(process, function, args, kwargs)

    async def stop(self, timeout: float | None = 5.0) -> None:
        """End all processes; afterwards nothing of the runtime is left on the loop.

        Every process gets an exit signal ``shutdown`` from :attr:`main` (a server that traps
        exits takes it for its parent's).  Those that live after ``timeout`` seconds are killed;
        coroutines that swallow that are closed.  None waits for ever.  May be called from any
        task, a process's own included, and again; a cancelled caller stops waiting, the stop
        goes on.  Threads of blocking processes end after the callback that they are in.
        """
        await self._stopping.stop(timeout)

    def left_behind(self, pid: int) -> None:
        """In a forked child: nothing of it runs here, and whatever is asked of it is refused."""
        self.stopped = True
        self.gone_because = problem(str(self.node_name), pid)
        self.marshal.left_behind()
        self.timers.close()
        self.scheduler.left_behind()
        for process in self.processes():
            process.alive = False
            process.exit_reason = LEFT_BEHIND
            self._table.pop(process.pid.id, None)
        self.aliases.clear()

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopping.begun

    def pending(self) -> dict[str, int]:
        """Return how many things of each kind the runtime holds: for tests, and the curious."""
        return {
            "aliases": len(self.aliases),
            "processes": len(self._table),
            "timers": len(self.timers),
            "waits": len(self.marshal.tasks),
            "zombies": len(self.deaths.zombies),
        }


def _dictionary_of(process: Process) -> dict[Any, Any]:
    """Return the process dictionary, of a server with what proc_lib puts into it."""
    of_body: Callable[[], dict[Any, Any]] | None = getattr(process.body, "dictionary", None)
    if of_body is not None:
        return dict(of_body())
    return {} if process.rare is None else dict(process.dictionary)
