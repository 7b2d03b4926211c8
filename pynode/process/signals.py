"""Exit signals, links, monitors, aliases and calls: what one process asks of another.

The middle layer of :class:`pynode.process.runtime.Runtime`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from pynode.dist import control as c
from pynode.process.calls import CallSlot
from pynode.process.delivery import Delivery
from pynode.process.monitors import ALIAS_MODES, Alias, Monitor
from pynode.process.names import as_atom
from pynode.process.words import DOWN
from pynode.shown import shown
from pynode.terms import Atom, Pid, Reference, copy_term

if TYPE_CHECKING:
    from pynode.process.deaths import Deaths
    from pynode.process.links import Links
    from pynode.process.monitors import Monitors
    from pynode.process.process import Process

__all__ = ["Signals", "Target"]

#: What can be monitored: a pid, a local name, or ``(name, node)``.
Target = Pid | Atom | str | tuple[Atom | str, Atom | str]

_PRIORITY: Final = 1
_TO_ALIAS: Final = 4
_EXIT: Final = 16


class Signals(Delivery):
    """The signals with an effect of their own; what it declares, the runtime makes."""

    deaths: Deaths
    links: Links
    monitors: Monitors
    _last_ref: int

    def make_ref(self) -> Reference:
        """Return a reference that is unique in the life of the node (``make_ref/0``)."""
        self._last_ref = number = self._last_ref + 1
        words = (number & 0x3FFFF, (number >> 18) & 0xFFFFFFFF, number >> 50)
        return Reference(self.node_name, self.creation, words)

    def exit(
        self, process: Process, to: Pid | Reference, reason: Any, *, priority: bool = False
    ) -> None:
        """Send an exit signal (``exit/2``).

        ``kill`` ends ``to`` with ``killed`` whatever it traps; ``normal`` ends nobody but
        ``process`` itself.  A process that ends itself this way from its own code does not
        return from here: its coroutine or callback gets :class:`asyncio.CancelledError`.

        Args:
            process: the sender.
            to: a pid, or an alias (OTP 28).
            reason: a term.
            priority: where ``to`` is an alias made with ``priority``, and the process traps
                exits, put the message before ordinary ones (OTP 28).

        Raises:
            EncodeError: ``reason`` is no term.
            PeerBusy: too much is waiting for that node.
            ProcessDead: ``process`` has ended.
            TypeError: ``to`` is neither a pid nor an alias.
        """
        if not process.alive:
            raise self.refusal(process)
        if type(to) is not Pid and type(to) is not Reference:
            raise TypeError(f"an exit signal goes to a pid or an alias, not to {shown(to)!r}")
        reason = copy_term(reason)
        if not self.is_own(to):
            control: c.Control
            if type(to) is Pid:
                control = c.Exit2(process.pid, to, c.IN_PAYLOAD)
            else:
                flags = _TO_ALIAS | _EXIT | (_PRIORITY if priority else 0)
                control = c.AltactSend(flags, process.pid, to)
            self.router.send(process, to.node, control, reason)
            return
        if type(to) is Pid:
            target, urgent = self.local(to), False
        else:
            alias = self.aliases.get(to)
            target = None if alias is None else alias.process
            urgent = priority and alias is not None and alias.priority
        if target is not None:
            self.deaths.exit_signal(target, process.pid, reason, by_link=False, urgent=urgent)
            if not process.alive and self.scheduler.current is process:
                raise asyncio.CancelledError

    def link(self, process: Process, to: Pid) -> None:
        """Link ``process`` and ``to`` (``link/1``); nothing if they are linked already.

        If ``to`` does not exist, or its node cannot be reached, ``process`` gets an exit signal
        ``noproc`` or ``noconnection`` from it; never an exception for that.

        Raises:
            PeerBusy: too much is waiting for that node.
            ProcessDead: ``process`` has ended.
            TypeError: ``to`` is no pid.
        """
        if not process.alive:
            raise self.refusal(process)
        self.links.link(process, _pid(to))

    def unlink(self, process: Process, to: Pid) -> None:
        """Take the link away (``unlink/1``): from now on it has no effect on ``process``.

        An exit message of it that is in the mailbox already stays there.

        Raises:
            TypeError: ``to`` is no pid.
        """
        self.links.unlink(process, _pid(to))

    def monitor(
        self,
        process: Process,
        target: Target,
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
            self.add_alias(process, monitor.ref, alias)
        try:
            self.monitors.add(monitor)
        except BaseException:
            self.drop_alias(monitor.ref)
            raise
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
        if not self.is_own(ref) or (ref.creation != self.creation and not self.former):
            raise ValueError(f"{ref!r} is no monitor of this node")
        found = self.monitors.remove(process, ref)
        alias = self.aliases.get(ref)
        if found and alias is not None and alias.mode in ("demonitor", "reply_demonitor"):
            self.drop_alias(ref)
        if flush and not found and process.mailbox is not None:
            process.mailbox.drop(lambda message: _is_down(message, ref), process.receivers)
        return found or not info

    def group_leader(self, process: Process, to: Pid, leader: Pid) -> None:
        """Make ``leader`` the group leader of ``to`` (``group_leader/2``)."""
        if not process.alive:
            raise self.refusal(process)
        if not self.is_own(to):
            self.router.signal(process, to.node, c.GroupLeader(leader, to))
            return
        target = self.local(to)
        if target is not None:
            target.group_leader = leader

    def open_call(
        self,
        process: Process,
        target: Target,
        *,
        text: bool = False,
        wide: bool = False,
    ) -> CallSlot:
        """Monitor ``target`` with an alias and a waiter in one: the beginning of a call.

        Send the request with ``slot.tag``, then ``await slot.wait(timeout)``; always close.
        ``text``: UTF-8 binaries of the reply become str.  ``wide``: the alias has five words, as
        those of a BEAM have from OTP 26 on; some servers answer in another form by that.

        Raises:
            PeerBusy: too much is waiting for that node.
            ProcessDead: ``process`` has ended.
        """
        if not process.alive:
            raise self.refusal(process)
        ref = self.make_ref()
        if wide:
            ref = Reference(ref.node, ref.creation, (*ref.words, 0, 0))
        slot = CallSlot(process, ref, self._watchable(target), text=text)
        self.aliases[slot.ref] = slot
        process.extra.calls[slot.ref] = slot
        try:
            self.monitors.add(slot)
        except BaseException:
            slot.close()
            raise
        return slot

    def alias(self, process: Process, *, reply: bool = False, priority: bool = False) -> Reference:
        """Return a new alias of ``process`` (``alias/1``): what is sent to it arrives here.

        Args:
            process: whose alias.
            reply: it ends with the first message.
            priority: priority messages sent to it go before ordinary ones (OTP 28).
        """
        if not process.alive:
            raise self.refusal(process)
        ref = self.make_ref()
        self.add_alias(process, ref, "reply" if reply else "explicit_unalias", priority)
        return ref

    def add_alias(
        self, process: Process, ref: Reference, mode: str, priority: bool = False
    ) -> None:
        """Make ``ref`` an alias of ``process``; see :attr:`Alias.mode`."""
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


def _is_down(message: Any, ref: Reference) -> bool:
    return type(message) is tuple and len(message) == 5 and message[1] == ref


def _pid(to: Any) -> Pid:
    if type(to) is Pid:
        return to
    raise TypeError(f"a link is to a pid, not to {shown(to)!r}")
