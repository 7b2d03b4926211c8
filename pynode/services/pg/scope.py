"""What a scope process does: the state machine, without a process.

Its own node's processes join and leave here; each change goes to the peers, the scope processes
of the same name on other nodes.  A peer is known from its first ``discover`` or ``sync`` until
its DOWN, and has been sent all that this node has before anything else is sent to it, so that no
change refers to what it has not heard of.

Every method is synchronous: the table is right when it returns, and what follows from it (the
messages to peers and to those who monitor) has been handed over, in order.

Source: kernel's pg.erl.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from pynode.errors import PeerBusy
from pynode.terms import Atom, Pid, Reference, TermMap, copy_term
from pynode.terms.order import key_form

from . import wire
from .groups import Groups

__all__ = ["Scope", "ScopeHost"]


class ScopeHost(Protocol):
    """What a scope asks of its node.  Nothing here connects."""

    @property
    def pid(self) -> Pid:
        """The scope process."""

    def is_connected(self, node: Atom) -> bool:
        """Return whether there is a connection to another node."""

    def greet(self, node: Atom, message: Any) -> None:
        """Send to the scope process of ``node``, which may not exist.

        Raises:
            PeerBusy: too much is waiting for that node.
        """

    def send(self, peer: Pid, message: Any) -> None:
        """Send to a peer.

        Raises:
            PeerBusy: too much is waiting for its node.
        """

    def notify(self, pid: Pid, message: Any) -> None:
        """Send to a process of this node."""

    def monitor(self, pid: Pid) -> Reference:
        """Monitor a process; its end comes back as :meth:`Scope.down`.

        Raises:
            PeerBusy: too much is waiting for its node.
        """

    def demonitor(self, ref: Reference) -> None:
        """End a monitor; no :meth:`Scope.down` of it comes any more."""

    def when_drained(self, node: Atom) -> None:
        """Call :meth:`Scope.drained` when ``node`` takes messages again."""


class _Peer:
    """A scope process of another node."""

    __slots__ = ("behind", "pid")

    def __init__(self, pid: Pid) -> None:
        self.pid = pid
        #: A message to it could not be sent; it is told nothing more before all at once.
        self.behind = False


class _Member:
    """A process of this node that is in some group."""

    __slots__ = ("groups", "ref")

    def __init__(self, ref: Reference) -> None:
        self.ref = ref
        #: What it joined, by key: the name, and how often.
        self.groups: dict[Any, tuple[Any, int]] = {}


class _Everything:
    __slots__ = ()

    def __repr__(self) -> str:
        return "EVERYTHING"


#: In place of a group's key: who monitors the whole scope.
_EVERYTHING: Final = _Everything()


class Scope:
    """The state of one scope on one node."""

    def __init__(self, host: ScopeHost) -> None:
        self._host = host
        self._groups = Groups()
        self._peers: dict[Pid, _Peer] = {}
        self._members: dict[Pid, _Member] = {}
        #: Who monitors what, forward and back.
        self._monitors: dict[Any, dict[Reference, Pid]] = {}
        self._monitored: dict[Reference, Any] = {}
        #: Whom the monitors of members and peers are on.
        self._watched: dict[Reference, Pid] = {}

    # ------------------------------------------------------------------ questions

    def members(self, group: Any) -> list[Pid]:
        """Return the members of a group on all nodes."""
        return self._groups.members(group)

    def local_members(self, group: Any) -> list[Pid]:
        """Return the members of a group on this node."""
        return self._groups.members(group, self._host.pid)

    def groups(self) -> list[Any]:
        """Return the names of all groups."""
        return [copy_term(name) for name in self._groups.names()]

    def local_groups(self) -> list[Any]:
        """Return the names of the groups with members on this node."""
        return [copy_term(name) for name in self._groups.names(self._host.pid)]

    def peers(self) -> list[Pid]:
        """Return the scope processes of other nodes that this one knows."""
        return list(self._peers)

    # ------------------------------------------------------------------ this node's processes

    def join(self, group: Any, pids: list[Pid]) -> None:
        """Let processes of this node join, each as often as it is named."""
        own = self._host.pid
        if not self._groups.add(own, group, pids):
            return
        key = key_form(group)
        for pid in pids:
            member = self._members.get(pid)
            if member is None:
                ref = self._host.monitor(pid)
                self._watched[ref] = pid
                member = self._members[pid] = _Member(ref)
            _, count = member.groups.get(key, (group, 0))
            member.groups[key] = group, count + 1
        self._notify(wire.JOIN, group, pids)
        self._tell_all(wire.join(own, group, pids))

    def leave(self, group: Any, pids: list[Pid]) -> bool:
        """Let processes of this node leave, each as often as named; False if none was in."""
        own = self._host.pid
        left = self._groups.remove(own, group, pids)
        if not left:
            return False
        key = key_form(group)
        for pid in left:
            member = self._members[pid]
            name, count = member.groups.pop(key)
            if count > 1:
                member.groups[key] = name, count - 1
            elif not member.groups:
                del self._members[pid]
                del self._watched[member.ref]
                self._host.demonitor(member.ref)
        self._notify(wire.LEAVE, group, left)
        self._tell_all(wire.leave(own, left, [group]))
        return True

    def _ended(self, pid: Pid, member: _Member) -> None:
        """A member has ended: it leaves whatever it was in."""
        own = self._host.pid
        names: list[Any] = []
        for name, count in member.groups.values():
            left = self._groups.remove(own, name, [pid] * count)
            self._notify(wire.LEAVE, name, left)
            names += [name] * count
        self._tell_all(wire.leave(own, [pid], names))

    # ------------------------------------------------------------------ monitors

    def monitor(self, process: Pid, group: Any) -> tuple[Reference, list[Pid]]:
        """Tell ``process`` of all changes of a group from now on; return what is now."""
        return self._subscribe(process, key_form(group)), self.members(group)

    def monitor_scope(self, process: Pid) -> tuple[Reference, TermMap]:
        """Tell ``process`` of all changes from now on; return what is now."""
        return self._subscribe(process, _EVERYTHING), TermMap(
            (copy_term(name), pids) for name, pids in self._groups.pairs()
        )

    def _subscribe(self, process: Pid, key: Any) -> Reference:
        ref = self._host.monitor(process)
        self._monitors.setdefault(key, {})[ref] = process
        self._monitored[ref] = key
        return ref

    def demonitor(self, ref: Reference) -> Pid | None:
        """End a monitor; return whose it was, None if there is none."""
        process = self._unsubscribe(ref)
        if process is not None:
            self._host.demonitor(ref)
        return process

    def _unsubscribe(self, ref: Reference) -> Pid | None:
        if ref not in self._monitored:
            return None
        key = self._monitored.pop(ref)
        monitors = self._monitors[key]
        process = monitors.pop(ref)
        if not monitors:
            del self._monitors[key]
        return process

    def _notify(self, verb: Atom, group: Any, pids: list[Pid]) -> None:
        if not self._monitors:
            return
        for key in (_EVERYTHING, key_form(group)):
            for ref, process in self._monitors.get(key, {}).items():
                self._host.notify(process, (ref, verb, group, pids))

    # ------------------------------------------------------------------ other nodes

    def nodeup(self, node: Atom) -> None:
        """A visible node is connected: ask whether it runs this scope."""
        if not self._host.is_connected(node):
            return
        try:
            self._host.greet(node, wire.discover(self._host.pid))
        except PeerBusy:
            self._host.when_drained(node)

    def discovered(self, pid: Pid) -> None:
        """``{discover, Pid}``: tell it all that this node has, and ask back whoever is new."""
        peer = self._peers.get(pid)
        if peer is not None:
            self._sync(peer)
            return
        peer = self._meet(pid)
        if peer is not None:
            self._tell(peer, wire.discover(self._host.pid))

    def synced(self, pid: Pid, groups: list[tuple[Any, list[Pid]]]) -> None:
        """``{sync, Pid, Groups}``: all that its node has, in place of what was known."""
        if pid not in self._peers and self._meet(pid) is None:
            return
        for change in self._groups.replace(pid, groups):
            if change.joined:
                self._notify(wire.JOIN, change.group, change.joined)
            if change.left:
                self._notify(wire.LEAVE, change.group, change.left)

    def joined(self, pid: Pid, group: Any, pids: list[Pid]) -> None:
        """``{join, Pid, Group, Pids}``; ignored of strangers.

        A stranger is one whose connection was lost and made again: its sync will follow.
        """
        if pid in self._peers and self._groups.add(pid, group, pids):
            self._notify(wire.JOIN, group, pids)

    def left(self, pid: Pid, pids: list[Pid], groups: list[Any]) -> None:
        """``{leave, Pid, Pids, Groups}``; strangers have nothing to leave."""
        for group in groups:
            gone = self._groups.remove(pid, group, pids)
            if gone:
                self._notify(wire.LEAVE, group, gone)

    def down(self, ref: Reference) -> None:
        """A process that this one monitors has ended, or its node is lost."""
        if self._unsubscribe(ref) is not None:
            return
        pid = self._watched.pop(ref, None)
        if pid is None:
            return
        member = self._members.pop(pid, None)
        if member is not None:
            self._ended(pid, member)
            return
        del self._peers[pid]
        for change in self._groups.drop(pid):
            self._notify(wire.LEAVE, change.group, change.left)

    def drained(self, node: Atom) -> None:
        """A node takes messages again: bring its scope process up to date, and meet it anew."""
        for peer in list(self._peers.values()):
            if peer.pid.node == node and peer.behind:
                peer.behind = False
                self._sync(peer)
        self.nodeup(node)

    # ------------------------------------------------------------------ telling peers

    def _meet(self, pid: Pid) -> _Peer | None:
        """Begin to know a peer; None if its node is not there, or too busy (and then later)."""
        if not self._host.is_connected(pid.node):
            return None
        try:
            ref = self._host.monitor(pid)
        except PeerBusy:
            self._host.when_drained(pid.node)
            return None
        peer = self._peers[pid] = _Peer(pid)
        self._watched[ref] = pid
        self._sync(peer)
        return peer

    def _sync(self, peer: _Peer) -> None:
        own = self._host.pid
        self._tell(peer, wire.sync(own, self._groups.pairs(own)))

    def _tell_all(self, message: Any) -> None:
        for peer in self._peers.values():
            self._tell(peer, message)

    def _tell(self, peer: _Peer, message: Any) -> None:
        if peer.behind:
            return
        try:
            self._host.send(peer.pid, message)
        except PeerBusy:
            peer.behind = True
            self._host.when_drained(peer.pid.node)
