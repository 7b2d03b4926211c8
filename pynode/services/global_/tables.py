"""The two tables of global: who bears a name, and who holds a lock.

Names, resources and requesters are terms, so the tables compare with ``=:=``
(:class:`pynode.terms.TermMap`).  Both watch processes by monitors; a reference is owned by one
name or one lock, and :meth:`Tables.owner` finds it when the DOWN comes.

Source: global.erl, ``global_names``, ``global_pid_names``, ``global_locks``, ``global_pid_ids``,
``global_node_resources``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.terms import TermMap, atom, identical

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynode.terms import Atom, Pid, Reference

    from .ports import ServerHost

__all__ = ["GLOBAL", "Lock", "LockTable", "NameEntry", "NameTable"]

#: The resource that guards the name table of a whole partition.
GLOBAL: Final = atom("global")


class NameEntry(NamedTuple):
    """One registered name.  ``ref`` is the monitor of ``pid``."""

    name: Any
    pid: Pid
    method: Any
    ref: Reference


class NameTable:
    """``global_names``: name to process, resolve method and monitor."""

    __slots__ = ("_by_pid", "_by_ref", "_entries", "_external", "_host")

    def __init__(self, host: ServerHost) -> None:
        self._host = host
        self._entries: TermMap = TermMap()
        self._by_ref: dict[Reference, NameEntry] = {}
        self._by_pid: dict[Pid, list[NameEntry]] = {}
        #: ``global_names_ext``: names of C nodes, ``Name => {Pid, RegNode}``; carried for others.
        self._external: TermMap = TermMap()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[NameEntry]:
        return iter(list(self._by_ref.values()))

    def get(self, name: Any) -> NameEntry | None:
        """Return the entry of ``name``."""
        found: NameEntry | None = self._entries.get(name)
        return found

    def insert(self, name: Any, pid: Pid, method: Any) -> None:
        """Make ``pid`` bear ``name``, in place of whoever did."""
        self.delete(name)
        entry = NameEntry(name, pid, method, self._host.monitor(pid))
        self._entries[name] = entry
        self._by_ref[entry.ref] = entry
        self._by_pid.setdefault(pid, []).append(entry)

    def insert_external(self, name: Any, pid: Pid, method: Any, node: Any) -> None:
        """Like :meth:`insert`, for a name that ``node`` registered for a C node."""
        self.insert(name, pid, method)
        self._external[name] = (pid, node)

    def delete(self, name: Any) -> None:
        """Forget ``name`` and its monitor."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._external.pop(name, None)
            del self._by_ref[entry.ref]
            of_pid = self._by_pid[entry.pid]
            of_pid.remove(entry)
            if not of_pid:
                del self._by_pid[entry.pid]
            self._host.demonitor(entry.ref)

    def down(self, ref: Reference) -> None:
        """Delete the name whose bearer's monitor is ``ref``."""
        entry = self._by_ref.get(ref)
        if entry is not None:
            self.delete(entry.name)

    def delete_node(self, node: Atom) -> None:
        """Delete the names of ``node``'s processes."""
        for entry in self:
            if entry.pid.node == node:
                self.delete(entry.name)

    def names_of(self, pid: Pid) -> list[Any]:
        """Return the names that ``pid`` bears."""
        return [entry.name for entry in self._by_pid.get(pid, ())]

    def dump(self) -> list[tuple[Any, Pid, Any]]:
        """``[{Name, Pid, Method}]``, as ``exchange`` carries it."""
        return [(entry.name, entry.pid, entry.method) for entry in self]

    def dump_external(self) -> list[tuple[Any, Pid, Any]]:
        """``[{Name, Pid, RegNode}]``, as ``resolved`` carries it."""
        return [(name, pid, node) for name, (pid, node) in self._external.items()]


class Lock:
    """One locked resource: the requester, and the processes that hold it for that requester."""

    __slots__ = ("holders", "requester")

    def __init__(self, requester: Any) -> None:
        self.requester = requester
        self.holders: dict[Pid, Reference] = {}


class LockTable:
    """``global_locks``: resource to requester and holders.

    Several processes may hold one lock for one requester; it is free when all have deleted it or
    died.
    """

    __slots__ = ("_by_ref", "_host", "_locks", "global_lost")

    def __init__(self, host: ServerHost) -> None:
        self._host = host
        self._locks: TermMap = TermMap()
        self._by_ref: dict[Reference, tuple[Any, Pid]] = {}
        #: The lock ``global`` was last freed by its holder's end, not by its holder.
        self.global_lost = False

    def __len__(self) -> int:
        return len(self._locks)

    def get(self, resource: Any) -> Lock | None:
        """Return the lock on ``resource``."""
        found: Lock | None = self._locks.get(resource)
        return found

    def can_set(self, resource: Any, requester: Any) -> bool:
        """Say whether ``requester`` could lock ``resource``: free, or its own."""
        lock = self.get(resource)
        return lock is None or identical(lock.requester, requester)

    def set(self, resource: Any, requester: Any, pid: Pid) -> bool:
        """Lock ``resource`` for ``requester``, held by ``pid``.  Again is True and no change."""
        if not self.can_set(resource, requester):
            return False
        lock = self.get(resource)
        if lock is None or pid not in lock.holders:
            ref = self._host.monitor(pid)  # first: where it fails there must be no lock
            if lock is None:
                lock = self._locks[resource] = Lock(requester)
            lock.holders[pid] = ref
            self._by_ref[ref] = (resource, pid)
        return True

    def delete(self, resource: Any, requester: Any, pid: Pid) -> None:
        """Take ``pid`` from the holders, where the lock is the requester's."""
        lock = self.get(resource)
        if lock is not None and identical(lock.requester, requester):
            self._release(resource, pid, lost=False)

    def down(self, ref: Reference) -> None:
        """A holder is gone."""
        held = self._by_ref.get(ref)
        if held is not None:
            self._release(*held, lost=True)

    def delete_node(self, node: Atom) -> None:
        """Release what ``node``'s processes hold."""
        for resource, pid in list(self._by_ref.values()):
            if pid.node == node:
                self._release(resource, pid, lost=True)

    def _release(self, resource: Any, pid: Pid, *, lost: bool) -> None:
        lock = self.get(resource)
        if lock is None:
            return
        ref = lock.holders.pop(pid, None)
        if ref is None:
            return
        del self._by_ref[ref]
        self._host.demonitor(ref)
        if not lock.holders:
            del self._locks[resource]
            if identical(resource, GLOBAL):
                self.global_lost = lost
