"""The registrar: changes the table of names on all known nodes at once.

One process on each node, for ever, taking one request at a time.  Each change is made under the
lock ``global`` on this node and all it knows, so that nobody joins or changes names meanwhile;
a registrar never dies half-way, so a change is on all nodes or on none.

Source: global.erl, "The registrar is a helper process", ``register_name``, ``unregister_name``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pynode.shown import shown
from pynode.terms import Pid, atom

from .locking import del_global_lock, lock_known

if TYPE_CHECKING:
    from .ports import Ports
    from .server import NameServer

__all__ = ["Registrar"]

logger = logging.getLogger("pynode.global")


class Registrar:
    """Registers and unregisters, over ports of its own."""

    def __init__(self, ports: Ports, server: NameServer) -> None:
        self._ports = ports
        self._server = server

    async def register(self, name: Any, pid: Pid, method: Any) -> bool:
        """Register a name nobody bears, for a process that bears none; False otherwise."""
        return await self._change((atom.register, name, pid, method), self._may_register)

    async def re_register(self, name: Any, pid: Pid, method: Any) -> bool:
        """Register a name in place of whoever bears it."""
        return await self._change((atom.register, name, pid, method), None)

    async def unregister(self, name: Any) -> bool:
        """Delete a name."""
        return await self._change((atom.unregister, name), None)

    async def _change(self, request: tuple[Any, ...], allowed: Any) -> bool:
        lock_id, nodes = await lock_known(self._ports, self._server.locks)
        try:
            done = allowed is None or allowed(*request[1:3])
            if done:
                await self._ports.multi_call(nodes, request)
        except Exception:
            await del_global_lock(self._ports, lock_id, nodes)
            raise
        # Not in a finally: a registrar that is killed can wait for nothing, and the name
        # servers free its lock when they hear of its end.
        await del_global_lock(self._ports, lock_id, nodes)
        return bool(done)

    def _may_register(self, name: Any, pid: Pid) -> bool:
        if self._server.where(name) is not None:
            return False
        others = self._server.names.names_of(pid)
        if others:
            logger.error(
                "global: %r registered under several names: %r", pid, shown([name, *others])
            )
        return not others
