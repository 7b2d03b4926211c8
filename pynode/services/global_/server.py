"""The name server: what ``global_name_server`` knows and does, as a state machine.

How two partitions become one, told for the nodes A and B, with C known to A::

    A: nodeup(B)                            B: nodeup(A)
    A -> B  init_connect, with A's tag and locker; the same from B to A
    A -> B  init_connect_ack                both sides mean the same session
            the lockers lock both partitions with one lock id (locker.py)
    A -> B  exchange, all names of A's partition
            the node of the smaller name has conflicts resolved (resolve.py)
    A -> B  resolved, what B is to do, and whom A knows
    A -> C  new_nodes, what both did, and whom B knows; then the lock is deleted
    C -> B  in_sync, once C has connected to B

A session ends by success, by nodedown, or by a mismatch of tags (cancel_connect), after which it
starts again.  ``exchange`` may come before this side's lock is set, and ``resolved`` before its
own conflicts are resolved: both are kept in the :class:`Session` until their turn.

Overlapping partitions are prevented by telling everybody of each lost connection; who hears of
it drops the lost node too (:mod:`.partitions`).

Nothing here waits, reads a clock or sends by itself: see :class:`.ports.ServerHost`.

Source: global.erl, protocol version 8, of OTP 25, 27 and 29.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from pynode.terms import Atom, Pid, atom, identical

from .partitions import LostConnections
from .tables import GLOBAL, LockTable, NameTable
from .wire import (
    OLDEST,
    PREVENT_PARTITIONS,
    VERIFY_CONNECT,
    VERSION,
    KnownNodes,
    Malformed,
    Named,
    Operation,
    parse_extra,
    parse_known,
    parse_named,
    parse_operations,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pynode.terms import Reference

    from .ports import Caller, ServerHost

__all__ = ["NameServer", "Session"]

logger = logging.getLogger("pynode.global")

_INSERT: Final = atom.insert


class Session:
    """One attempt to join with one node: what came, and what it is waiting for."""

    __slots__ = ("early_names", "early_resolved", "his_tag", "lock_id", "my_tag", "operations",
                 "version")  # fmt: skip

    def __init__(self, my_tag: int) -> None:
        self.my_tag = my_tag
        self.his_tag: Any = None
        self.version = 0
        #: The lock of both partitions, from the moment it is set.
        self.lock_id: Any = None
        #: ``exchange`` that came before our lock was set.
        self.early_names: list[Named] | None = None
        #: What we are to do, once our conflicts are resolved.
        self.operations: list[Operation] | None = None
        #: ``resolved`` that came before that: operations, known nodes, external names.
        self.early_resolved: tuple[list[Operation], KnownNodes, list[Named]] | None = None


class NameServer:
    """The state of ``global_name_server`` on one node.

    ``tag_base`` is where the tags of sessions start; ``creation_id`` tells this node's reports of
    lost connections from those of its earlier lives.  Both come from outside, for there is no
    randomness here.
    """

    def __init__(
        self,
        host: ServerHost,
        node: Atom,
        *,
        connect_all: bool = True,
        prevent_overlapping_partitions: bool = True,
        tag_base: int = 0,
        creation_id: int = 0,
    ) -> None:
        self.host = host
        self.node = node
        #: This node's locker, told to every peer; set before the first nodeup.
        self.locker: Pid | None = None
        self.connect_all = connect_all
        self.prevent = prevent_overlapping_partitions
        self.names = NameTable(host)
        self.locks = LockTable(host)
        #: Nodes of our partition, with their versions.
        self.known: dict[Atom, int] = {}
        #: Nodes that sent init_connect and are not known yet, with their versions.
        self.pending: dict[Atom, int] = {}
        #: Nodes that share our table of names.
        self.synced: list[Atom] = []
        self.sessions: dict[Atom, Session] = {}
        self._connected: set[Atom] = set()
        #: Nodes taken out by agreement: their nodedown is no loss to report.
        self._removing: set[Atom] = set()
        #: Nodes whose next nodedown has been dealt with already.
        self._expected_down: set[Atom] = set()
        #: init_connect that came before nodeup.
        self._early_connects: dict[Atom, tuple[Any, Any]] = {}
        self._syncers: list[tuple[Caller, set[Atom]]] = []
        self._lost = LostConnections()
        self._last_tag = tag_base
        self._creation_id = creation_id
        self._last_report = 0

    # ------------------------------------------------------------------ what others read

    def where(self, name: Any) -> Pid | None:
        """Return the process that bears ``name``; None too when it is ours and dead."""
        entry = self.names.get(name)
        if entry is None:
            return None
        pid = entry.pid
        return pid if pid.node != self.node or self.host.is_alive(pid) else None

    def version_of(self, node: Atom) -> int:
        """Return the protocol version of a node; 0 where it is not known."""
        if node == self.node:
            return VERSION
        return self.known.get(node) or self.pending.get(node, 0)

    # ------------------------------------------------------------------ nodes come and go

    def nodeup(self, node: Atom) -> None:
        """A visible node is connected."""
        self._connected.add(node)
        if self.connect_all:
            self._start_session(node)

    def nodedown(self, node: Atom) -> None:
        """A visible node is gone.  Every nodeup is followed by exactly one of these.

        The monitors have freed its locks already; unless a set_lock waited in the mailbox while
        the connection was lost and made again, for then the new monitor holds, and the process
        that asked was told noconnection and will never delete the lock.
        """
        self.sync_lost(node)
        self.locks.delete_node(node)
        if node in self._expected_down:
            self._expected_down.discard(node)
            return
        self._forget_connection(node)

    def extra_nodedown(self, node: Atom) -> None:
        """A node that others know cannot be reached from here: as if it had gone down."""
        self.sync_lost(node)
        self._forget_connection(node)

    def _forget_connection(self, node: Atom) -> None:
        if node in self._removing:
            self._removing.discard(node)
        else:
            self._report_loss(node)
        self._remove(node)
        self._connected.discard(node)

    def disconnect_all(self) -> list[Atom]:
        """Leave the cluster: close every connection, and report no loss (``disconnect/0``)."""
        nodes = sorted(self._connected, key=lambda node: node.name)
        for node in nodes:
            self._expected_down.add(node)
            self.host.disconnect(node)
            self._remove(node)
            self._removing.discard(node)
            self._connected.discard(node)
        return nodes

    def prepare_shutdown(self) -> None:
        """From here on report no loss: the connections are about to be closed."""
        self.connect_all = False
        self.prevent = False

    def _remove(self, node: Atom) -> None:
        """Take ``node`` out of the partition.  Its names and locks go with their monitors."""
        self._end_session(node)
        self.host.to_locker((atom.remove_from_known, node))
        self._early_connects.pop(node, None)
        self.pending.pop(node, None)
        self.known.pop(node, None)
        if node in self.synced:
            self.synced.remove(node)

    # ------------------------------------------------------------------ sessions begin

    def _start_session(self, node: Atom) -> None:
        if node in self.known or node in self.sessions:
            return
        self._last_tag += 1
        self.sessions[node] = Session(self._last_tag)
        locker = (atom.locker, atom.no_longer_a_pid, list(self.known), self.locker)
        greeting = (atom.init_connect, (VERSION, self._last_tag), self.node, locker)
        self.host.cast(node, greeting)
        early = self._early_connects.pop(node, None)
        if early is not None:
            self.init_connect(early[0], node, early[1])

    def init_connect(self, version: Any, node: Any, info: Any) -> None:
        """``{init_connect, {Version, Tag}, Node, {locker, _, _, Locker}}``."""
        match version, node, info:
            case (int() as his_version, his_tag, *_), Atom(), (_, _, _, Pid() as locker):
                pass
            case _:
                raise Malformed((version, node, info))
        if his_version < OLDEST:
            logger.info("global: version %s of %s is too old", his_version, node)
            return
        if node in self.pending:
            # A second greeting in one session: neither side can tell which tags hold.
            if his_version < VERIFY_CONNECT:
                self.host.disconnect(node)
                return
            self._send_cancel(node, his_tag)
            self._restart(node)
            return
        session = self.sessions.get(node)
        if session is None:
            self._early_connects[node] = (version, info)
            return
        session.his_tag = his_tag
        session.version = min(his_version, VERSION)
        self.host.to_locker((atom.his_the_locker, locker, session.version, his_tag, session.my_tag))
        if his_version >= VERIFY_CONNECT:
            self.host.send(node, (atom.init_connect_ack, self.node, his_tag, session.my_tag))
        self.pending[node] = his_version

    def init_connect_ack(self, node: Atom, my_tag: Any, his_tag: Any) -> None:
        """``{init_connect_ack, Node, MyTag, HisTag}``: the peer's idea of this session.

        OTP starts again on any mismatch.  A tag of ours that is no longer ours is no reason to:
        our newer init_connect is on its way on the same channel, and the peer will see to it.
        Starting again nevertheless makes two nodes that restarted at once chase each other.
        """
        session = self.sessions.get(node)
        if session is not None and (session.my_tag != my_tag or session.his_tag == his_tag):
            return
        self._send_cancel(node, his_tag)
        self._restart(node)

    def cancel_connect(self, node: Atom, my_tag: Any) -> None:
        """``{cancel_connect, Node, MyTag}``: the peer gave this session up."""
        if self._session(node, my_tag) is not None:
            # No cancel in return: the peer has begun anew.
            self.pending.pop(node, None)
            self._restart(node)

    def _restart(self, node: Atom) -> None:
        started = node in self.sessions
        self._end_session(node)
        self._early_connects.pop(node, None)
        self.pending.pop(node, None)
        # The connection stays, so no DOWN will release what that node's processes held here.
        self.locks.delete_node(node)
        self.names.delete_node(node)
        if started:
            self._start_session(node)

    def _send_cancel(self, node: Atom, his_tag: Any) -> None:
        self.host.send(node, (atom.cancel_connect, self.node, his_tag))

    def _session(self, node: Atom, tag: Any) -> Session | None:
        """Return the session of ``node`` if ``tag`` is its tag here."""
        session = self.sessions.get(node)
        return session if session is not None and identical(session.my_tag, tag) else None

    def _end_session(self, node: Atom, announcements: Iterable[tuple[Atom, Any]] = ()) -> None:
        """Stop what is under way with ``node``.

        The locker, if it holds the lock for it, casts the announcements before it lets go, so
        that they come before its del_lock everywhere.
        """
        session = self.sessions.pop(node, None)
        if session is None:
            return
        self.host.to_locker((atom.cancel, node, session.my_tag, list(announcements)))
        self.host.stop_resolver(node)
        if self.pending.get(node, 0) >= VERIFY_CONNECT:
            self._send_cancel(node, session.his_tag)

    def _conclude(self, node: Atom) -> None:
        """``node`` is joined by way of others: stop joining it, and cancel nothing there."""
        self.pending.pop(node, None)
        self._end_session(node)
        self._early_connects.pop(node, None)

    def _cancel_stale(self, node: Atom, tag: Any) -> None:
        """A message of an old session: let the locker go, should it hold the lock for it."""
        self.host.to_locker((atom.cancel, node, tag, []))

    # ------------------------------------------------------------------ sessions go on

    def lock_is_set(self, node: Atom, my_tag: int, lock_id: Any) -> None:
        """Both lockers hold the lock: send our names."""
        session = self._session(node, my_tag)
        if session is None:
            self._cancel_stale(node, my_tag)
            return
        message: Any = (atom.exchange, self.node, self.names.dump(), [], session.his_tag)
        self.host.cast(node, message)
        session.lock_id = lock_id
        if session.early_names is not None:
            names, session.early_names = session.early_names, None
            self.host.start_resolver(node, my_tag, names)

    def exchange(self, node: Atom, names: Any, _external: Any, my_tag: Any) -> None:
        """``{exchange, Node, [{Name, Pid, Method}], _, MyTag}``: the peer's names."""
        session = self._session(node, my_tag)
        if session is None:
            self._cancel_stale(node, my_tag)
        elif session.lock_id is None:
            session.early_names = parse_named(names)
        else:
            self.host.start_resolver(node, session.my_tag, parse_named(names))

    def exchange_ops(
        self, node: Atom, my_tag: int, operations: list[Operation], resolved: list[Operation]
    ) -> None:
        """Our conflicts are resolved: what we are to do, and what the peer is to do."""
        session = self._session(node, my_tag)
        if session is None:
            self._cancel_stale(node, my_tag)
            return
        known = self.known_list(self.version_of(node))
        external = self.names.dump_external()
        self.host.cast(
            node,
            (atom.resolved, self.node, resolved, known, atom.unused, external, session.his_tag),
        )
        session.operations = operations
        if session.early_resolved is not None:
            self._join(node, session, *session.early_resolved)

    def resolved(
        self, node: Atom, operations: Any, known: Any, _unused: Any, external: Any, my_tag: Any
    ) -> None:
        """``{resolved, Node, Operations, Known, _, External, MyTag}``."""
        session = self._session(node, my_tag)
        if session is None:
            self._cancel_stale(node, my_tag)
            return
        parsed = (parse_operations(operations), parse_known(known), parse_named(external))
        if session.operations is None:
            session.early_resolved = parsed
        else:
            self._join(node, session, *parsed)

    def _join(
        self,
        node: Atom,
        session: Session,
        his_operations: list[Operation],
        his_known: KnownNodes,
        external: list[Named],
    ) -> None:
        """Both sides have resolved: do it, and tell our partition."""
        operations = [*(session.operations or ()), *his_operations]
        new_nodes = [
            (name, version or self.version_of(name)) for name, version in [(node, 0), *his_known]
        ]
        extra = [(atom.vsn, session.version), (atom.lock, session.lock_id)]
        partition = dict(self.known)
        self._greet_all(name for name, _ in his_known)
        self._do_operations(operations, external, session.lock_id)
        self._now_synced(node)
        for other, _ in his_known:
            self._conclude(other)
        message: tuple[Any, ...] = (
            *(atom.new_nodes, self.node, operations, external),
            *(new_nodes, extra),
        )
        old = (*message[:4], [name for name, _ in new_nodes], extra)
        announcements = [
            (other, message if version >= PREVENT_PARTITIONS else old)
            for other, version in partition.items()
        ]
        self.pending.pop(node, None)
        self._end_session(node, announcements)
        self._add_known(new_nodes)
        if node not in self.synced:
            self.synced.append(node)

    def new_nodes(self, _node: Any, operations: Any, external: Any, nodes: Any, extra: Any) -> None:
        """``{new_nodes, Node, Operations, External, Nodes, Extra}``: our partition has grown."""
        # All is read before anything is done.
        parsed, named = parse_operations(operations), parse_named(external)
        known, lock_id = parse_known(nodes), parse_extra(extra, atom.lock)
        added = self._add_known(known)
        self._greet_all(added)
        self._do_operations(parsed, named, lock_id)
        for other in added:
            if other in self.synced:  # its in_sync came first
                self._conclude(other)

    def in_sync(self, node: Atom, _known: Any) -> None:
        """``{in_sync, Node, IsKnown}``: a node of the other partition has connected to us."""
        self._now_synced(node)
        if node not in self.synced:
            self.synced.append(node)
        self._conclude(node)

    def lock_set(self, message: tuple[Any, ...]) -> None:
        """``{lock_set, Locker, IsSet, Known[, MyTag]}``: from the peer's locker to ours."""
        match message:
            case (_, Pid(), bool(), _):
                self.host.to_locker(message)
            case (_, Pid() as pid, bool() as locked, _, tag):
                node = pid.node
                if self._session(node, tag) is not None:
                    self.host.to_locker(message)
                elif locked and node in self._connected and self.connect_all:
                    # He holds his lock for a session that an in_sync ended here.  If its
                    # new_nodes was lost with its sender, nobody would tell him: begin again
                    # (nothing happens where he is known, or a session is under way).
                    self._start_session(node)
            case _:
                raise Malformed(message)

    def _greet_all(self, nodes: Iterable[Atom]) -> None:
        for node in nodes:
            if node != self.node:
                self.host.greet(node)

    def _add_known(self, nodes: KnownNodes) -> list[Atom]:
        """Add nodes to ours, and tell the locker; return those that are new."""
        added: list[Atom] = []
        for node, version in nodes:
            if node == self.node:
                continue
            if node not in self.known:
                added.append(node)
            if not self.known.get(node):
                self.known[node] = version
        self.host.to_locker((atom.add_to_known, added))
        return added

    def known_list(self, version: int = 0) -> list[Any]:
        """Return the known nodes as a peer of ``version`` wants them."""
        if version < PREVENT_PARTITIONS:
            return list(self.known)
        return list(self.known.items())

    # ------------------------------------------------------------------ names and locks

    def _do_operations(
        self, operations: list[Operation], external: list[Named], lock_id: Any
    ) -> None:
        """Insert, then delete, as the resolving of two partitions decided."""
        for tag, argument in operations:
            if tag == _INSERT:
                name, pid, method = argument
                self._insert(name, pid, method, external)
                if not self._lock_still_set(lock_id):
                    self.names.delete(name)
        for tag, argument in operations:
            if tag != _INSERT:
                self.names.delete(argument)

    def _insert(self, name: Any, pid: Pid, method: Any, external: list[Named]) -> None:
        for other, other_pid, node in external:
            if other_pid == pid and identical(other, name):
                self.names.insert_external(name, pid, method, node)
                return
        self.names.insert(name, pid, method)

    def _lock_still_set(self, lock_id: Any) -> bool:
        """Say whether operations that were made under ``lock_id`` still count.

        They do not when the node that held the lock went down and came back in between: its lock
        went with it.
        """
        lock = self.locks.get(GLOBAL)
        if lock is None:
            return not self.locks.global_lost
        return identical((GLOBAL, lock.requester), lock_id)

    def register(self, name: Any, pid: Any, method: Any, by: Any, node: Any = None) -> Atom:
        """``{register, Name, Pid, Method}``, from ``by``, which holds the lock; ``yes``."""
        if not isinstance(pid, Pid):
            raise Malformed(pid)
        if node is None:
            self.names.insert(name, pid, method)
        else:
            self.names.insert_external(name, pid, method, node)
        lock = self.locks.get(GLOBAL)
        held = by in lock.holders if lock is not None else not self.locks.global_lost
        if not held:
            self.names.delete(name)
        return atom.yes

    def set_lock(self, lock_id: Any, by: Pid) -> bool:
        """``{set_lock, {Resource, Requester}}``."""
        resource, requester = _lock_id(lock_id)
        return self.locks.set(resource, requester, by)

    def del_lock(self, lock_id: Any, by: Pid) -> bool:
        """``{del_lock, {Resource, Requester}}``; always True."""
        resource, requester = _lock_id(lock_id)
        self.locks.delete(resource, requester, by)
        return True

    def down(self, ref: Reference) -> None:
        """A monitored process is gone: free its lock, delete its name."""
        self.locks.down(ref)
        self.names.down(ref)

    def whereis_call(self, name: Any, caller: Caller) -> None:
        """``{whereis, Name, From}``: answered when the table is not being changed."""
        if self.locks.get(GLOBAL) is None:
            found = self.where(name)
            self.host.reply(caller, atom.undefined if found is None else found)
        else:
            self.host.ask_again(name, caller)

    # ------------------------------------------------------------------ sync

    def sync(self, nodes: Iterable[Atom], caller: Caller) -> None:
        """Answer ``ok`` to ``caller`` when every node of ``nodes`` is in sync, or gone."""
        waiting = set(nodes) - {self.node} - set(self.synced)
        if not waiting:
            self.host.reply(caller, atom.ok)
            return
        self._syncers.append((caller, waiting))
        for node in waiting:
            self.host.watch(node)

    def sync_lost(self, node: Atom) -> None:
        """``node`` is gone, or cannot be reached: nobody waits for it any longer."""
        self._now_synced(node)

    def _now_synced(self, node: Atom) -> None:
        if not self._syncers:
            return
        left: list[tuple[Caller, set[Atom]]] = []
        for caller, waiting in self._syncers:
            waiting.discard(node)
            if waiting:
                left.append((caller, waiting))
            else:
                self.host.reply(caller, atom.ok)
        self._syncers = left

    # ------------------------------------------------------------------ overlapping partitions

    def _report_loss(self, node: Atom) -> None:
        if self.connect_all and self.prevent:
            self._last_report += 1
            report = (atom.lost_connection, self.node, self._creation_id, self._last_report, node)
            self._multicast(report, node)

    def _multicast(self, message: Any, except_node: Atom) -> None:
        for nodes in (self.known, self.pending):
            for node, version in nodes.items():
                if node != except_node and version >= PREVENT_PARTITIONS:
                    self.host.send(node, message)

    def lost_connection(self, reporter: Any, life: Any, number: Any, lost: Any) -> None:
        """``{lost_connection, Reporter, Life, Number, Lost}``: drop Lost too."""
        if not (self.connect_all and self.prevent):
            return
        match reporter, number, lost:
            case Atom(), int(), Atom():
                pass
            case _:
                raise Malformed((reporter, number, lost))
        if not self._lost.is_news(reporter, life, number, lost):
            return
        report = (atom.lost_connection, reporter, life, number, lost)
        self._multicast(report, reporter)
        # All others will drop us if we are the lost one, so it is enough to drop the reporter.
        node = reporter if lost == self.node else lost
        if node not in self.known and node not in self.pending:
            return
        if self.version_of(node) < PREVENT_PARTITIONS:
            self.host.disconnect(node)
        else:
            self.host.send(node, (atom.remove_connection, self.node))
        self._exclude(node, "asked for the end of its connection to")

    def remove_connection(self, node: Atom) -> None:
        """``{remove_connection, Node}``: that node wants its connection with us closed.

        Also when we have asked the same of it in the same moment: OTP then leaves it to the
        other side, and between two that do, the connection stays, and neither knows the other.
        """
        if node in self.known or node in self.pending:
            self.host.disconnect(node)
            self._exclude(node, "disconnected from")
        elif node in self._removing:
            self.host.disconnect(node)

    def _exclude(self, node: Atom, what: str) -> None:
        logger.warning(
            "global at %s %s %s, to prevent overlapping partitions", self.node, what, node
        )
        self._remove(node)
        self._removing.add(node)


def _lock_id(term: Any) -> tuple[Any, Any]:
    match term:
        case (resource, requester):
            return resource, requester
        case _:
            raise Malformed(term)
