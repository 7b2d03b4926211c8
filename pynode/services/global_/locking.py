"""Setting and deleting locks on several nodes, as a client of their name servers.

A lock is set node by node in one multi_call; if one of them refuses, what was set is deleted,
and after a random while it is tried again.  The *boss* is the greatest node name of a set of
nodes: whoever is to lock many nodes locks the boss first, so that two that want the same nodes
mostly collide there and not half-way.

Source: global.erl, ``set_lock``, ``del_lock``, ``set_lock_known``, ``delete_global_lock``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynode.terms import Atom, atom

from .tables import GLOBAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .ports import Ports
    from .tables import LockTable

__all__ = ["boss", "del_global_lock", "del_lock", "lock_known", "set_lock"]

LockId = tuple[Any, Any]


def boss(nodes: Iterable[Atom]) -> Atom:
    """Return the greatest of ``nodes``, in Erlang's order of atoms."""
    return max(nodes, key=lambda node: node.name)


async def set_lock(
    ports: Ports,
    locks: LockTable,
    lock_id: LockId,
    nodes: Sequence[Atom],
    retries: int | None = None,
) -> bool:
    """Set a lock on ``nodes``; after ``retries`` refusals (None: never) give up with False.

    A node that does not answer, or is not there, does not refuse.  If cancelled while it waits
    for answers, the lock may stay set on some nodes; delete it.
    """
    times = 1
    while not await _try_lock(ports, locks, lock_id, nodes):
        if retries is not None:
            if retries == 0:
                return False
            retries -= 1
        await random_sleep(ports, times)
        times += 1
    return True


async def del_lock(ports: Ports, lock_id: LockId, nodes: Iterable[Atom]) -> None:
    """Delete a lock on ``nodes``."""
    await ports.multi_call(nodes, (atom.del_lock, lock_id))


async def del_global_lock(ports: Ports, lock_id: LockId, nodes: Sequence[Atom]) -> None:
    """Delete a lock on ``nodes``, the boss's last: whoever gets it there finds the rest free."""
    last = boss(nodes)
    await del_lock(ports, lock_id, [node for node in nodes if node != last])
    await del_lock(ports, lock_id, [last])


async def lock_known(ports: Ports, locks: LockTable) -> tuple[LockId, list[Atom]]:
    """Lock ``global`` on this node and all it knows; return the id, and the nodes locked.

    When this returns, the known nodes are those locked: nobody joined in between.
    """
    lock_id = (GLOBAL, ports.pid)
    times = 0
    while True:
        known = await _get_known(ports)
        nodes = [ports.node, *known]
        first = [boss(nodes)]
        if await _try_lock(ports, locks, lock_id, first):
            if await _try_lock(ports, locks, lock_id, nodes) and not (
                set(await _get_known(ports)) - set(known)
            ):
                return lock_id, nodes
            await del_lock(ports, lock_id, first)
        await random_sleep(ports, times)
        times += 1


async def _get_known(ports: Ports) -> list[Atom]:
    # A call, not a look at the state: what waits in the server's mailbox counts.
    for _, known in await ports.multi_call([ports.node], atom.get_known):
        return list(known)
    return []


async def _try_lock(ports: Ports, locks: LockTable, lock_id: LockId, nodes: Sequence[Atom]) -> bool:
    if not nodes:
        return True
    if len(nodes) > 1 and ports.node in nodes and not locks.can_set(*lock_id):
        return False  # this node would refuse; spare the others the question
    replies = await ports.multi_call(nodes, (atom.set_lock, lock_id))
    if all(reply is not False for _, reply in replies):
        return True
    if len(replies) > 1:
        await del_lock(ports, lock_id, [node for node, reply in replies if reply is True])
    return False


async def random_sleep(ports: Ports, times: int) -> None:
    """Wait for up to a quarter of a second the first time, doubling up to 8 s."""
    longest = 8.0 if times > 5 else (1 << times) / 8
    await ports.sleep(ports.random() * longest)
