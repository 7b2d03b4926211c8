"""Sessions: how this node and another one join their partitions.

Told for the nodes A and B, with C known to A::

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

Source: global.erl, "Connection algorithm", protocol version 8, of OTP 25, 27 and 29.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pynode.terms import Atom, Pid, atom, identical

from .state import State
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

__all__ = ["Session", "Sessions"]

logger = logging.getLogger("pynode.global")


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


class Sessions(State):
    """The sessions under way, at most one with each node.

    ``tag_base`` is where the tags of sessions start: they are to differ from those of this node's
    earlier lives.
    """

    def __init__(self, *args: Any, tag_base: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sessions: dict[Atom, Session] = {}
        self._last_tag = tag_base

    # ------------------------------------------------------------------ sessions begin

    def _start_session(self, node: Atom) -> None:
        if node in self.known or node in self.sessions:
            return
        self._last_tag += 1
        self.sessions[node] = Session(self._last_tag)
        locker = (atom.locker, atom.no_longer_a_pid, list(self.known), self.locker)
        greeting = (atom.init_connect, (VERSION, self._last_tag), self.node, locker)
        self.host.cast(node, greeting)

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
        if self.connect_all and node in self.connected:
            self._start_session(node)  # an in_sync may have ended it here and not there
        session = self.sessions.get(node)
        if session is None:
            return  # he is known by way of others, and will hear of it
        session.his_tag = his_tag
        session.version = min(his_version, VERSION)
        self.host.to_locker((atom.his_the_locker, locker, session.version, his_tag, session.my_tag))
        # Where he is known by way of others our in_sync is on its way, or there.  Behind it an ack
        # is a mismatch to OTP 27 and 29, which then delete the names of this node.
        if his_version >= VERIFY_CONNECT and node not in self.known:
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
        if session is None and node in self.known:
            return  # its in_sync, which another process sends, was quicker
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
        self.pending.pop(node, None)
        if node in self.known:
            return  # joined by way of others meanwhile: what it has here is the partition's
        # The connection stays, so no DOWN will release what that node's processes held here.
        self.locks.delete_node(node)
        self.names.delete_node(node)
        if started:
            self._start_session(node)

    def restart_all(self) -> None:
        """Begin every session again: the locker that they were begun with is gone."""
        for node in list(self.sessions):
            self._restart(node)

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

    def _cancel_stale(self, node: Atom, tag: Any) -> None:
        """A message of an old session: let the locker go, should it hold the lock for it."""
        self.host.to_locker((atom.cancel, node, tag, []))

    def _remove(self, node: Atom) -> None:
        """Take ``node`` out of the partition.  Its names and locks go with their monitors."""
        self._end_session(node)
        self.host.to_locker((atom.remove_from_known, node))
        self.pending.pop(node, None)
        self.known.pop(node, None)
        if node in self.synced:
            self.synced.remove(node)

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
        if node not in self.connected:
            return  # gone again, or made up
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
                elif locked and node in self.connected and self.connect_all:
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
