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
from pynode.dist import control as c
from pynode.errors import NameError_, NodeDown, ProcessDead
from pynode.policy import Policy, default_policy
from pynode.process.blocking import Marshal
from pynode.process.calls import CallSlot
from pynode.process.deaths import Deaths
from pynode.process.links import Links
from pynode.process.mailbox import Mailbox
from pynode.process.monitors import ALIAS_MODES, Alias, Monitor, Monitors
from pynode.process.names import Names, as_atom
from pynode.process.nodes import NODE_TYPES, Nodes, Subscription
from pynode.process.process import Process, current_process
from pynode.process.router import Router
from pynode.process.scheduler import Scheduler
from pynode.process.timers import TimerHeap
from pynode.process.user_timers import UserTimers
from pynode.process.words import DOWN
from pynode.telemetry import Telemetry
from pynode.terms import Atom, ImproperList, Pid, Reference, copy_term, to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynode.dist.seam import Outbound
    from pynode.process.body import Body, CoroutineFunction

__all__ = ["Dest", "Runtime"]

#: Where a message goes: a pid, a local name, ``(name, node)``, or an alias.
Dest = Pid | Atom | str | tuple[Atom | str, Atom | str] | Reference

_MAX_ID: Final = (1 << 28) - 1
_MAX_SERIAL: Final = (1 << 32) - 1


class Runtime:
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
        self.node_name: Final = node_name
        self.creation: Final = creation
        self.loop: Final = asyncio.get_running_loop() if loop is None else loop
        self.limits: Final = Limits() if limits is None else limits
        self.telemetry: Final = Telemetry() if telemetry is None else telemetry
        self.policy = policy
        self.thread_id = threading.get_ident()
        #: What servers see as ``self.node``; set by the node that owns this runtime.
        self.node: Any = None
        #: Name resolvers of ``via`` tuples, by module name.
        self.via: dict[str, Any] = {}
        #: The context that the runtime's own callbacks run in.
        self.context: Final = contextvars.Context()
        #: The group leader of processes spawned from outside any process; None: ``main``.
        self.default_group_leader: Pid | None = None
        self.stopped = False
        self._table: dict[int, Process] = {}
        self._last_id = 0
        self._serial = 0
        self._last_ref = 0
        self._main: Process | None = None
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

    def attach(self, outbound: Outbound) -> None:
        """Give the way to other nodes; until then they are all unreachable."""
        self.router.outbound = outbound

    # ------------------------------------------------------------------ processes

    @property
    def main(self) -> Process:
        """The process that speaks for code outside any process; has no body, never ends by itself.

        Should an exit signal end it, the next use makes another one.
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
        """
        if self.stopped:
            raise NodeDown("the node has stopped")
        if name is not None:
            name = self.names.free(name)
        pid = self._new_pid()
        if group_leader is None:
            group_leader = self._inherited_leader(pid)
        process = Process(self, pid, body, args, contextvars.copy_context(), group_leader)
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
        parent = current_process()
        if parent is not None and parent.runtime is self:
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

    def make_ref(self) -> Reference:
        """Return a reference that is unique in the life of the node (``make_ref/0``)."""
        self._last_ref = number = self._last_ref + 1
        words = (number & 0x3FFFF, (number >> 18) & 0xFFFFFFFF, number >> 50)
        return Reference(self.node_name, self.creation, words)

    def local(self, pid: Pid) -> Process | None:
        """Return the live process of this node that ``pid`` means, None for any other pid.

        A pid of an earlier life of the node, which has another creation, means nobody.
        """
        process = self._table.get(pid.id)
        if process is not None and (process.pid is pid or process.pid == pid):
            return process
        return None

    def processes(self) -> list[Process]:
        """Return all live processes, the oldest first (``processes/0``)."""
        return list(self._table.values())

    def is_alive(self, pid: Pid) -> bool:
        """Return whether ``pid`` is a live process of this node (``is_process_alive/1``).

        Raises:
            ValueError: ``pid`` is of another node.
        """
        if pid.node != self.node_name:
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
            "links": [] if process.links is None else [p for p, s in process.links.items() if not s],
            "monitors": [m.target for m in (process.monitors or {}).values()],
            "monitored_by": [w.watcher for w in (process.watchers or {}).values()],
            "message_queue_len": 0 if mailbox is None else mailbox.total(),
            "messages": [] if mailbox is None else mailbox.messages(),
            "dictionary": {} if process.peek_extra is None else dict(process.dictionary),
        }

    def forget(self, process: Process) -> None:
        """Take a process that ends out of everything that finds processes."""
        self._table.pop(process.pid.id, None)
        self.names.forget(process)
        extra = process.peek_extra
        if extra is not None:
            for ref in extra.aliases:
                self.aliases.pop(ref, None)
            for ref in extra.calls:
                self.aliases.pop(ref, None)

    # ------------------------------------------------------------------ messages

    def send(self, process: Process, dest: Dest, message: Any, *, priority: bool = False) -> None:
        """Send ``message``; never waits, and never fails for want of a receiver.

        Messages of one process to one other arrive in the order of the sends.  ``message`` is
        copied by the rules of values before this returns.  If the receiver's node is busy,
        ``process`` is held at its next await of the runtime.

        Args:
            process: the sender.
            dest: a pid, a name of this node, ``(name, node)``, or an alias.
            message: a term.
            priority: where ``dest`` is an alias made with ``priority``, put the message before
                the ordinary ones (OTP 28); elsewhere without effect.

        Raises:
            NameError_: a name that is not registered on this node (badarg in Erlang).  With
                ``(name, node)`` a missing name is no error.
            EncodeError: ``message`` is no term; nothing was sent.
            PeerBusy: too much is waiting for that node; nothing was sent.
            TypeError: ``dest`` is none of these.
            ProcessDead: ``process`` has ended.
        """
        if not process.alive:
            raise self.refusal(process)
        handler = _SENDERS.get(type(dest))
        if handler is None:
            handler = _sender_of(dest)
        handler(self, process, dest, message, priority)

    def refusal(self, process: Process) -> Exception:
        """Return the error for an act of a process that has ended."""
        if self.stopped:
            return NodeDown("the node has stopped")
        return ProcessDead(process.pid, process.exit_reason)

    def _send_pid(self, process: Process, dest: Pid, message: Any, priority: bool) -> None:
        if dest.node == self.node_name:
            message = copy_term(message)
            target = self.local(dest)
            if target is not None:
                self.tell(target, message)
        else:
            self.router.send(process, dest.node, c.SendSender(process.pid, dest), message)

    def _send_name(self, process: Process, dest: Atom | str, message: Any, priority: bool) -> None:
        target = self.names.find(as_atom(dest))
        if target is None:
            raise NameError_(f"{dest} is not registered")
        self.tell(target, copy_term(message))

    def _send_name_node(
        self, process: Process, dest: tuple[Atom | str, Atom | str], message: Any, priority: bool
    ) -> None:
        if len(dest) != 2:
            raise TypeError(f"{dest!r} is not (name, node)")
        name, node = as_atom(dest[0]), as_atom(dest[1])
        if node == self.node_name:
            message = copy_term(message)
            target = self.names.find(name)
            if target is not None:
                self.tell(target, message)
        else:
            self.router.send(process, node, c.RegSend(process.pid, name), message)

    def _send_alias(self, process: Process, dest: Reference, message: Any, priority: bool) -> None:
        if dest.node == self.node_name:
            message = copy_term(message)
            alias = self.aliases.get(dest)
            if alias is not None:
                alias.take(message, urgent=priority)
        else:
            control: c.Control
            if priority:
                control = c.AltactSend(_PRIORITY | _TO_ALIAS, process.pid, dest)
            else:
                control = c.AliasSend(process.pid, dest)
            self.router.send(process, dest.node, control, message)

    def tell(self, process: Process, message: Any) -> None:
        """Put ``message``, a term of nobody else's, into the mailbox of a live process."""
        if process.text:
            message = to_text(message)
        self.put(process, message)

    def put(self, process: Process, message: Any) -> None:
        """Put ``message`` into the mailbox as it is, a reply to a call under way excepted."""
        if not process.alive:
            return
        extra = process.peek_extra
        if extra is not None and extra.calls and self._is_reply(extra.calls, message):
            return
        mailbox = process.mailbox
        if mailbox is None:
            mailbox = process.mailbox = Mailbox()
        mailbox.append(message)
        self._wake(process)

    def tell_urgent(self, process: Process, message: Any) -> None:
        """Put a priority message into the front section of the mailbox."""
        if not process.alive:
            return
        if process.mailbox is None:
            process.mailbox = Mailbox()
        if process.text:
            message = to_text(message)
        process.mailbox.push_priority(message, process.receivers)
        self._wake(process)

    def _wake(self, process: Process) -> None:
        if process.receivers is not None:
            for receiver in process.receivers:
                receiver.wake()
        if process.task is None and process.body is not None:
            self.scheduler.ready(process)

    def _is_reply(self, calls: dict[Reference, CallSlot], message: Any) -> bool:
        """Decide the call that a message ``{[alias|Ref], Reply}`` at the pid itself answers."""
        if type(message) is not tuple or len(message) != 2:
            return False
        tag = message[0]
        if type(tag) is not ImproperList or type(tag.tail) is not Reference:
            return False
        slot = calls.get(tag.tail)
        if slot is None or slot.tag != tag:
            return False
        slot.replied(message[1])
        return True

    # ------------------------------------------------------------------ exits, links, monitors

    def exit(self, process: Process, to: Pid | Reference, reason: Any) -> None:
        """Send an exit signal (``exit/2``).

        ``kill`` ends ``to`` with ``killed`` whatever it traps; ``normal`` ends nobody but
        ``process`` itself.  A process that ends itself this way from its own code does not
        return from here: its coroutine or callback gets :class:`asyncio.CancelledError`.

        Args:
            process: the sender.
            to: a pid, or an alias (OTP 28).
            reason: a term.

        Raises:
            EncodeError: ``reason`` is no term.
            PeerBusy: too much is waiting for that node.
            ProcessDead: ``process`` has ended.
        """
        if not process.alive:
            raise self.refusal(process)
        reason = copy_term(reason)
        if to.node != self.node_name:
            control: c.Control
            if type(to) is Pid:
                control = c.Exit2(process.pid, to, c.IN_PAYLOAD)
            else:
                control = c.AltactSend(_TO_ALIAS | _EXIT, process.pid, to)
            self.router.send(process, to.node, control, reason)
            return
        if type(to) is Pid:
            target = self.local(to)
        else:
            alias = self.aliases.get(to)
            target = None if alias is None else alias.process
        if target is not None:
            self.deaths.exit_signal(target, process.pid, reason, by_link=False)
            if not process.alive and self.scheduler.current is process:
                raise asyncio.CancelledError

    def link(self, process: Process, to: Pid) -> None:
        """Link ``process`` and ``to`` (``link/1``); nothing if they are linked already.

        If ``to`` does not exist, or its node cannot be reached, ``process`` gets an exit signal
        ``noproc`` or ``noconnection`` from it; never an exception for that.

        Raises:
            PeerBusy: too much is waiting for that node.
            ProcessDead: ``process`` has ended.
        """
        if not process.alive:
            raise self.refusal(process)
        self.links.link(process, to)

    def unlink(self, process: Process, to: Pid) -> None:
        """Take the link away (``unlink/1``): from now on it has no effect on ``process``.

        An exit message of it that is in the mailbox already stays there.
        """
        self.links.unlink(process, to)

    def monitor(
        self,
        process: Process,
        target: Pid | Atom | str | tuple[Atom | str, Atom | str],
        *,
        alias: str | None = None,
        tag: Any = DOWN,
    ) -> Reference:
        """Watch ``target``, and return the reference of the monitor (``monitor/3``).

        One message ``{'DOWN', Ref, process, Pid | {Name, Node}, Reason}`` comes when it ends:
        ``noproc`` at once if it does not exist, ``noconnection`` if its node is lost.

        Args:
            process: the one that watches.
            target: a pid, a local name, or ``(name, node)``.
            alias: make the reference an alias too, until ``unalias`` ("explicit_unalias"), or
                until the monitor goes ("demonitor"), or also until the first message
                ("reply_demonitor"), which ends the monitor besides.
            tag: what stands in the message for ``'DOWN'``.

        Raises:
            PeerBusy: too much is waiting for that node.
            ValueError: ``alias`` is none of these.
            ProcessDead: ``process`` has ended.
        """
        if not process.alive:
            raise self.refusal(process)
        if alias is not None and alias not in ALIAS_MODES:
            raise ValueError(f"alias is one of {', '.join(ALIAS_MODES)}, not {alias!r}")
        monitor = Monitor(process, self.make_ref(), self._watchable(target), tag)
        if alias is not None:
            self._add_alias(process, monitor.ref, alias)
        self.monitors.add(monitor)
        return monitor.ref

    def _watchable(self, target: Any) -> Any:
        if type(target) is Pid:
            return target
        if type(target) is tuple and len(target) == 2:
            return as_atom(target[0]), as_atom(target[1])
        return as_atom(target), self.node_name

    def demonitor(
        self, process: Process, ref: Reference, *, flush: bool = False, info: bool = False
    ) -> bool:
        """End a monitor (``demonitor/2``); a DOWN of it that is in the mailbox already stays.

        Args:
            process: the one that watches.
            ref: what :meth:`monitor` returned.
            flush: remove the DOWN from the mailbox, should it be there.
            info: return whether the monitor was found; without it the result is True.

        Raises:
            ValueError: ``ref`` is of another node.
        """
        if ref.node != self.node_name or ref.creation != self.creation:
            raise ValueError(f"{ref!r} is no monitor of this node")
        found = self.monitors.remove(process, ref)
        alias = self.aliases.get(ref)
        if found and alias is not None and alias.process is process:
            if alias.mode in ("demonitor", "reply_demonitor"):
                self.drop_alias(ref)
        if flush and not found and process.mailbox is not None:
            process.mailbox.drop(lambda message: _is_down(message, ref), process.receivers)
        return found or not info

    def open_call(
        self,
        process: Process,
        target: Pid | Atom | str | tuple[Atom | str, Atom | str],
        *,
        text: bool = False,
    ) -> CallSlot:
        """Monitor ``target`` with an alias and a waiter in one: the beginning of a call.

        Send the request with ``slot.tag``, then ``await slot.wait(timeout)``; always close.
        ``text``: UTF-8 binaries of the reply become str.

        Raises:
            PeerBusy: too much is waiting for that node.
            ProcessDead: ``process`` has ended.
        """
        if not process.alive:
            raise self.refusal(process)
        slot = CallSlot(process, self.make_ref(), self._watchable(target), text=text)
        self.aliases[slot.ref] = slot
        process.extra.calls[slot.ref] = slot
        try:
            self.monitors.add(slot)
        except BaseException:
            slot.close()
            raise
        return slot

    def alias(
        self, process: Process, *, reply: bool = False, priority: bool = False
    ) -> Reference:
        """Return a new alias of ``process`` (``alias/1``): what is sent to it arrives here.

        Args:
            process: whose alias.
            reply: it ends with the first message.
            priority: priority messages sent to it go before ordinary ones (OTP 28).
        """
        if not process.alive:
            raise self.refusal(process)
        ref = self.make_ref()
        self._add_alias(process, ref, "reply" if reply else "explicit_unalias", priority)
        return ref

    def _add_alias(
        self, process: Process, ref: Reference, mode: str, priority: bool = False
    ) -> None:
        self.aliases[ref] = Alias(process, ref, mode, priority=priority)
        process.extra.aliases.add(ref)

    def unalias(self, process: Process, ref: Reference) -> bool:
        """End an alias; return whether it was one of ``process`` (``unalias/1``)."""
        alias = self.aliases.get(ref)
        if alias is None or alias.process is not process or alias.mode == "call":
            return False
        self.drop_alias(ref)
        return True

    def drop_alias(self, ref: Reference) -> None:
        """End an alias."""
        alias = self.aliases.pop(ref, None)
        if alias is not None:
            alias.process.extra.aliases.discard(ref)

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

    async def drain(self, dest: Pid | Atom | str) -> None:
        """Wait until the node of ``dest`` (a pid, or a node's name) is not busy any more.

        Returns at once if it is not, and also when the connection is lost.
        """
        node = dest.node if type(dest) is Pid else as_atom(dest)  # type: ignore[arg-type]
        await self.router.drained(node)

    def group_leader(self, process: Process, to: Pid, leader: Pid) -> None:
        """Make ``leader`` the group leader of ``to`` (``group_leader/2``)."""
        if not process.alive:
            raise self.refusal(process)
        if to.node != self.node_name:
            self.router.signal(process, to.node, c.GroupLeader(leader, to))
            return
        target = self.local(to)
        if target is not None:
            target.group_leader = leader

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

    def batch_end(self) -> None:
        """Run what a batch of inbound signals has made ready, in place, for one turn's budget."""
        self.scheduler.drain()


_PRIORITY: Final = 1
_TO_ALIAS: Final = 4
_EXIT: Final = 16
_NO_NETWORK: Final = Atom("no_network")

_SENDERS: Final[dict[type, Callable[..., None]]] = {
    Pid: Runtime._send_pid,
    Atom: Runtime._send_name,
    str: Runtime._send_name,
    tuple: Runtime._send_name_node,
    Reference: Runtime._send_alias,
}


def _sender_of(dest: Any) -> Callable[..., None]:
    for kind in (str, tuple):
        if isinstance(dest, kind):
            return _SENDERS[kind]
    raise TypeError(
        f"a message goes to a pid, a name, (name, node) or an alias, not to {dest!r}"
    )


def _is_down(message: Any, ref: Reference) -> bool:
    return type(message) is tuple and len(message) == 5 and message[1] == ref
