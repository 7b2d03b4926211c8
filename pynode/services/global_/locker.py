"""The locker: locks two partitions at once, so that they can become one.

One process on each node, for ever.  It is told of every peer that greeted us, picks one at a
time, and locks our partition and that peer with an id made of both lockers' pids.  Then it tells
the peer's locker (``lock_set``, by way of the name servers), which does the same for its side
with the same id.  When both have locked, the name servers exchange their names, and the lock is
kept until ours says ``cancel``.

It does one thing at a time and waits in between for messages that fit, so it is written as a
coroutine over :class:`.ports.Ports`; it holds no socket and no clock.

Both sides lock a node of the other partition with the same id, so no two pairs can hold halves
of one another's partitions: there is no deadlock to time out of.

Source: global.erl, "The locker is a satellite process to global_name_server".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.terms import Atom, Pid, atom
from pynode.terms.order import sort_key

from .locking import boss, del_global_lock, del_lock, set_lock
from .ports import NO_MESSAGE
from .tables import GLOBAL
from .wire import VERIFY_CONNECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .locking import LockId
    from .ports import Ports
    from .tables import LockTable

__all__ = ["Locker", "Rival"]

_ADD: Final = atom.add_to_known
_CANCEL: Final = atom.cancel
_HIS_LOCKER: Final = atom.his_the_locker
_LOCK_SET: Final = atom.lock_set
_REMOVE: Final = atom.remove_from_known
#: The tag of a ``lock_set`` of a peer older than version 8: fits any session.
_NO_TAG: Final = atom.undefined


class Rival(NamedTuple):
    """A peer that greeted us: its locker, version, and both sides' tags."""

    node: Atom
    locker: Pid
    version: int
    his_tag: Any
    my_tag: Any


class Locker:
    """``lock_is_set(node, my_tag, lock_id)`` is called when both partitions are locked."""

    def __init__(
        self,
        ports: Ports,
        locks: LockTable,
        lock_is_set: Callable[[Atom, Any, LockId], None],
        known: Iterable[Atom] = (),
    ) -> None:
        self._ports = ports
        self._locks = locks
        self._lock_is_set = lock_is_set
        #: Peers on our own host, which are served first, and the others.
        self._local: list[Rival] = []
        self._remote: list[Rival] = []
        self._known: list[Atom] = list(known)
        self._just_synced = False
        self._host = ports.node.name.partition("@")[2]

    async def run(self) -> None:
        """Serve for ever."""
        while True:
            message = await self._ports.receive(None, 0)
            if message is NO_MESSAGE:
                patience = self._patience()
                self._just_synced = False
                message = await self._ports.receive(None, patience)
            if message is not NO_MESSAGE:
                await self._handle(message)
            elif self._locks.get(GLOBAL) is None:
                await self._select()

    def _patience(self) -> float | None:
        """How long to wait for messages before trying to lock, in seconds.

        More than nothing when there are nodes in our partition: another of them must get its
        chance after this one has failed.
        """
        if not self._local and not self._remote:
            return None
        if self._just_synced:
            return 0
        if not self._known:
            return 0.2
        return min(1 + 0.1 * len(self._known), 3)

    # ------------------------------------------------------------------ messages

    async def _handle(self, message: Any) -> None:
        match message:
            case (tag, Pid() as locker, int() as version, his_tag, my_tag) if tag == _HIS_LOCKER:
                rival = Rival(locker.node, locker, version, his_tag, my_tag)
                self._rivals(locker.node).insert(0, rival)
            case (tag, Atom() as node, my_tag, list()) if tag == _CANCEL:
                self._drop(node, my_tag)
            case (tag, *_) if tag in (_ADD, _REMOVE):
                self._update_known(message)
            case (tag, *_) if tag == _LOCK_SET:
                said = _read_lock_set(message)
                if said is not None and said.locked:
                    await self._he_has_locked(said.locker, said.my_tag)

    def _rivals(self, node: Atom) -> list[Rival]:
        return self._local if node.name.partition("@")[2] == self._host else self._remote

    def _drop(self, node: Atom, my_tag: Any) -> None:
        rivals = self._rivals(node)
        for rival in rivals:
            if rival.node == node and rival.my_tag == my_tag:
                rivals.remove(rival)
                return

    def _update_known(self, message: Any) -> None:
        match message:
            case (tag, list() as nodes) if tag == _ADD:
                self._known = [*nodes, *(node for node in self._known if node not in nodes)]
            case (tag, Atom() as node) if tag == _REMOVE and node in self._known:
                self._known.remove(node)

    async def _take_known(self) -> None:
        """Take what waits in the mailbox about known nodes."""
        while True:
            message = await self._ports.receive(_is_about_known, 0)
            if message is NO_MESSAGE:
                return
            self._update_known(message)

    # ------------------------------------------------------------------ he was first

    async def _he_has_locked(self, locker: Pid, my_tag: Any) -> None:
        node = locker.node
        for rival in self._rivals(node):
            if rival.node == node:
                break
        else:
            rival = None
        if rival is None or my_tag not in (rival.my_tag, _NO_TAG):
            # Not, or no longer, in that session: he is to let go.
            self._send_lock_set(False, locker, 5, 0)
            return
        lock_id = self._lock_id(locker)
        locked = await self._lock_safely(lock_id, [])
        self._send_lock_set(locked, locker, rival.version, rival.his_tag)
        if locked:
            nodes = [self._ports.node, *self._known]
            await self._hold(rival, lock_id, nodes)
            self._drop(node, rival.my_tag)
        self._just_synced = locked

    # ------------------------------------------------------------------ we are first

    async def _select(self) -> None:
        rivals = self._local or self._remote
        rivals[:] = [rival for rival in rivals if rival.node not in self._known]
        if not rivals:
            return
        rival = rivals[int(self._ports.random() * len(rivals))]
        lock_id = self._lock_id(rival.locker)
        # His node is locked with ours, which is what prevents a deadlock.
        if not await self._lock_safely(lock_id, [rival.node]):
            return
        nodes = list(dict.fromkeys([self._ports.node, rival.node, *self._known]))
        self._send_lock_set(True, rival.locker, rival.version, rival.his_tag)
        await self._await_his_lock(rival, lock_id, nodes)

    async def _await_his_lock(self, rival: Rival, lock_id: LockId, nodes: list[Atom]) -> None:
        node, my_tag = rival.node, rival.my_tag

        def concerns_us(message: Any) -> bool:
            said = _read_lock_set(message)
            if said is not None:
                return said.locker.node == node and said.my_tag in (my_tag, _NO_TAG)
            return _cancels(message, rival)

        message = await self._ports.receive(concerns_us)
        if message[0] == _CANCEL:
            self._announce(message[3])
            await del_global_lock(self._ports, lock_id, nodes)
            self._drop(node, my_tag)
        elif message[2]:
            await self._hold(rival, lock_id, nodes)
            self._just_synced = True
            self._drop(node, my_tag)
        else:
            await del_global_lock(self._ports, lock_id, nodes)

    # ------------------------------------------------------------------ both

    async def _hold(self, rival: Rival, lock_id: LockId, nodes: list[Atom]) -> None:
        """Both partitions are locked: keep it until the name server cancels.

        Should the peer die, the name server hears of it and cancels too.
        """
        self._lock_is_set(rival.node, rival.my_tag, lock_id)
        message = await self._ports.receive(lambda message: _cancels(message, rival))
        self._announce(message[3])
        await del_global_lock(self._ports, lock_id, nodes)

    def _announce(self, announcements: list[Any]) -> None:
        """Cast what the name server wants told before the lock is deleted (new_nodes)."""
        for node, message in announcements:
            self._ports.cast(node, message)

    def _lock_id(self, locker: Pid) -> LockId:
        """Return the id both lockers use: their pids in Erlang's order."""
        return GLOBAL, sorted([self._ports.pid, locker], key=sort_key)

    async def _lock_safely(self, lock_id: LockId, extra: list[Atom]) -> bool:
        """Lock the boss, then this node and ``extra``, then the rest of our partition."""
        me = self._ports.node
        first = [boss([me, *self._known])]
        # To lock this node before the boss could stop one that has locked the boss already.
        if first != [me] and not self._locks.can_set(*lock_id):
            return False
        if not await self._set(lock_id, first):
            return False
        await self._take_known()
        second = [node for node in (me, *extra) if node not in first]
        if not await self._set(lock_id, second):
            await del_lock(self._ports, lock_id, first)
            return False
        if not await self._set(lock_id, [node for node in self._known if node not in first]):
            await del_lock(self._ports, lock_id, first + second)
            return False
        return True

    async def _set(self, lock_id: LockId, nodes: list[Atom]) -> bool:
        return await set_lock(self._ports, self._locks, lock_id, nodes, 0)

    def _send_lock_set(self, locked: bool, locker: Pid, version: int, his_tag: Any) -> None:
        message: tuple[Any, ...] = (_LOCK_SET, self._ports.pid, locked, list(self._known))
        if version >= VERIFY_CONNECT:
            message += (his_tag,)
        self._ports.cast(locker.node, message)


def _is_about_known(message: Any) -> bool:
    return isinstance(message, tuple) and len(message) == 2 and message[0] in (_ADD, _REMOVE)


class _LockSet(NamedTuple):
    """``{lock_set, Locker, IsSet, Known[, MyTag]}``."""

    locker: Pid
    locked: bool
    my_tag: Any


def _read_lock_set(message: Any) -> _LockSet | None:
    # Without a tag it comes from an older locker, or from one that does not know the session.
    match message:
        case (tag, Pid() as locker, bool() as locked, _) if tag == _LOCK_SET:
            return _LockSet(locker, locked, _NO_TAG)
        case (tag, Pid() as locker, bool() as locked, _, my_tag) if tag == _LOCK_SET:
            return _LockSet(locker, locked, my_tag)
    return None


def _cancels(message: Any, rival: Rival) -> bool:
    match message:
        case (tag, node, my_tag, list()) if tag == _CANCEL:
            return bool(node == rival.node and my_tag == rival.my_tag)
    return False
