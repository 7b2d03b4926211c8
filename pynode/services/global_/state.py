"""What a name server knows: nodes, names, locks, and who waits for a sync.

The lowest layer of :class:`.server.NameServer`.  Nothing here waits, reads a clock or sends by
itself: see :class:`.ports.ServerHost`.

Source: global.erl, ``#state{}`` and its tables, ``start_sync``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pynode.terms import Atom, Pid, atom, identical

from .tables import GLOBAL, LockTable, NameTable
from .wire import PREVENT_PARTITIONS, VERSION, KnownNodes, Malformed, Named, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pynode.terms import Reference

    from .ports import Caller, ServerHost

__all__ = ["State"]

_INSERT: Final = atom.insert


class State:
    """Nodes, names, locks, syncs."""

    def __init__(
        self,
        host: ServerHost,
        node: Atom,
        *,
        connect_all: bool = True,
        prevent_overlapping_partitions: bool = True,
    ) -> None:
        self.host = host
        self.node = node
        #: This node's locker, told to every peer; set before the first nodeup.
        self.locker: Pid | None = None
        self.connect_all = connect_all
        self.prevent = prevent_overlapping_partitions
        self.names = NameTable(host)
        self.locks = LockTable(host)
        #: Visible nodes between their nodeup and their nodedown.
        self.connected: set[Atom] = set()
        #: Nodes that sent init_connect and are not known yet, with their versions.
        self.pending: dict[Atom, int] = {}
        #: Nodes of our partition, with their versions.
        self.known: dict[Atom, int] = {}
        #: Nodes that share our table of names.
        self.synced: list[Atom] = []
        self._syncers: list[tuple[Caller, set[Atom]]] = []

    # ------------------------------------------------------------------ nodes

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


def _lock_id(term: Any) -> tuple[Any, Any]:
    match term:
        case (resource, requester):
            return resource, requester
        case _:
            raise Malformed(term)
