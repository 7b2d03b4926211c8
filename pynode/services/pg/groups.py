"""Who is in which group, by whose word.

Each scope process tells of its own node's processes, so the table is kept by owner (the pid of
that scope process): what one owner says changes nothing of what another said, and is gone with
it.  A process may be in a group several times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from pynode.terms import Pid
from pynode.terms.order import key_form

__all__ = ["Change", "Groups"]

#: The members of one owner in one group, and how often each joined.
_Members = Counter[Pid]


class Change(NamedTuple):
    """What happened to one group."""

    group: Any
    joined: list[Pid]
    left: list[Pid]


class _Group:
    """One group that has members."""

    __slots__ = ("key", "name", "owners")

    def __init__(self, key: Any, name: Any) -> None:
        self.key = key
        self.name = name
        self.owners: dict[Pid, _Members] = {}


class Groups:
    """The groups of one scope; those without members do not exist.

    Group names are told apart by ``=:=``.
    """

    __slots__ = ("_groups", "_owned")

    def __init__(self) -> None:
        self._groups: dict[Any, _Group] = {}
        self._owned: dict[Pid, dict[Any, _Group]] = {}

    # ------------------------------------------------------------------ questions

    def members(self, name: Any, owner: Pid | None = None) -> list[Pid]:
        """Return the members of a group, or those of one owner, as often as they joined."""
        group = self._groups.get(key_form(name))
        if group is None:
            return []
        if owner is not None:
            members = group.owners.get(owner)
            return [] if members is None else list(members.elements())
        return [pid for members in group.owners.values() for pid in members.elements()]

    def names(self, owner: Pid | None = None) -> list[Any]:
        """Return the names of all groups, or of those in which an owner has members."""
        groups = self._groups if owner is None else self._owned.get(owner, {})
        return [group.name for group in groups.values()]

    def pairs(self, owner: Pid | None = None) -> list[tuple[Any, list[Pid]]]:
        """Return ``(name, members)`` of all groups, or an owner's part of them."""
        return [(name, self.members(name, owner)) for name in self.names(owner)]

    # ------------------------------------------------------------------ changes

    def add(self, owner: Pid, name: Any, pids: Iterable[Pid]) -> list[Pid]:
        """Add members, and return them."""
        added = list(pids)
        if added:
            key = key_form(name)
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = _Group(key, name)
            members = group.owners.get(owner)
            if members is None:
                members = group.owners[owner] = Counter()
                self._owned.setdefault(owner, {})[key] = group
            members.update(added)
        return added

    def remove(self, owner: Pid, name: Any, pids: Iterable[Pid]) -> list[Pid]:
        """Remove each of ``pids`` once, and return those that were members."""
        group = self._groups.get(key_form(name))
        members = None if group is None else group.owners.get(owner)
        if group is None or members is None:
            return []
        removed = []
        for pid in pids:
            count = members.get(pid, 0)
            if count > 1:
                members[pid] = count - 1
            elif count:
                del members[pid]
            else:
                continue
            removed.append(pid)
        if not members:
            self._forget(owner, group)
        return removed

    def replace(self, owner: Pid, pairs: Iterable[tuple[Any, list[Pid]]]) -> list[Change]:
        """Let ``pairs`` be all that an owner has, and return what that changed."""
        wanted: dict[Any, tuple[Any, _Members]] = {}
        for name, pids in pairs:
            wanted[key_form(name)] = name, Counter(pids)
        changes = []
        for key, group in list(self._owned.get(owner, {}).items()):
            new = wanted[key][1] if key in wanted else Counter[Pid]()
            gone = list((group.owners[owner] - new).elements())
            if gone:
                changes.append(Change(group.name, [], self.remove(owner, group.name, gone)))
        for name, new in wanted.values():
            more = list((new - Counter(self.members(name, owner))).elements())
            if more:
                changes.append(Change(name, self.add(owner, name, more), []))
        return changes

    def drop(self, owner: Pid) -> list[Change]:
        """Forget all that an owner has, and return what that changed."""
        return self.replace(owner, [])

    def _forget(self, owner: Pid, group: _Group) -> None:
        del group.owners[owner]
        if not group.owners:
            del self._groups[group.key]
        owned = self._owned[owner]
        del owned[group.key]
        if not owned:
            del self._owned[owner]
