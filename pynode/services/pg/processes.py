"""The scope process on a running node, around :mod:`.scope`, which does not know one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pynode.shown import shown
from pynode.terms import Atom, Pid, Reference, atom

from . import wire
from .scope import Scope

if TYPE_CHECKING:
    from pynode.net.net import Net
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["ScopeProcess"]

logger = logging.getLogger("pynode.pg")

_GEN_CAST: Final = atom("$gen_cast")
#: Seconds before a busy node is looked at again; it has a gigabyte to read first.
_BUSY_PAUSE: Final = 1.0


class ScopeProcess:
    """A scope's process: registered under the scope's name; body and host in one.

    Peers send to it what they like, so a message that it does not know, or cannot handle, is
    logged and dropped.
    """

    def __init__(
        self,
        runtime: Runtime,
        net: Net,
        name: Atom,
        ended: Callable[[ScopeProcess], None],
        link_to: Pid | None = None,
    ) -> None:
        self.runtime = runtime
        self.name = name
        self._net = net
        self._on_end = ended
        #: The busy nodes that are waited for.
        self._waiting: set[Atom] = set()
        self.process: Process = runtime.spawn(self, name=name, link_to=link_to)
        self.scope = Scope(self)
        # Members outlive it otherwise when the node stops, and nobody hears of their end.
        runtime.system.add(self.process)

    # ------------------------------------------------------------------ body

    def start(self, process: Process) -> None:
        """Body: look for this scope on all visible nodes, and on those to come."""
        self.runtime.monitor_nodes(process, True)
        for peer in self._net.peers():
            if not peer.hidden:
                self.scope.nodeup(peer.name)

    def message(self, process: Process, message: Any) -> None:
        """Body: one message."""
        try:
            if type(message) is tuple and len(message) == 2 and message[0] == _GEN_CAST:
                message = message[1]
            handler = _MESSAGES.get(_key(message))
            if handler is None:
                logger.warning("pg scope %s: unexpected message %r", self.name, shown(message))
            else:
                handler(self.scope, message)
        except wire.Malformed:
            logger.warning("pg scope %s: malformed message %r", self.name, shown(message))
        except Exception:
            logger.exception("pg scope %s: could not handle %r", self.name, shown(message))

    def terminated(self, process: Process, reason: Any) -> None:
        """Body: the scope is gone; its peers hear of that by their monitors."""
        self.runtime.system.discard(process)
        self._on_end(self)

    # ------------------------------------------------------------------ ScopeHost

    @property
    def pid(self) -> Pid:
        """ScopeHost."""
        return self.process.pid

    def is_connected(self, node: Atom) -> bool:
        """ScopeHost."""
        return self._net.peer(node) is not None

    def greet(self, node: Atom, message: Any) -> None:
        """ScopeHost."""
        self.runtime.send(self.process, (self.name, node), message)

    def send(self, peer: Pid, message: Any) -> None:
        """ScopeHost."""
        if self.is_connected(peer.node):
            self.runtime.send(self.process, peer, message)

    def notify(self, pid: Pid, message: Any) -> None:
        """ScopeHost."""
        self.runtime.send(self.process, pid, message)

    def monitor(self, pid: Pid) -> Reference:
        """ScopeHost."""
        return self.runtime.monitor(self.process, pid)

    def demonitor(self, ref: Reference) -> None:
        """ScopeHost."""
        self.runtime.demonitor(self.process, ref, flush=True)

    def when_drained(self, node: Atom) -> None:
        """ScopeHost."""
        if node not in self._waiting:
            self._waiting.add(node)
            self.runtime.spawn(self._wait_for, node)

    async def _wait_for(self, waiting: Process, node: Atom) -> None:
        try:
            # What fills the queue may not be of a kind that drain() knows of, hence the pause.
            await asyncio.sleep(_BUSY_PAUSE)
            await self.runtime.drain(node)
        finally:
            self._waiting.discard(node)
        if self.process.alive:
            self.scope.drained(node)


# --------------------------------------------------------------------------- messages


def _pid(term: Any) -> Pid:
    if type(term) is not Pid:
        raise wire.Malformed(term)
    return term


def _nodeup(scope: Scope, message: Any) -> None:
    if type(message[1]) is not Atom:
        raise wire.Malformed(message)
    scope.nodeup(message[1])


def _left(scope: Scope, message: Any) -> None:
    if type(message[3]) is not list:
        raise wire.Malformed(message)
    scope.left(_pid(message[1]), wire.pids_of(message[2]), message[3])


def _down(scope: Scope, message: Any) -> None:
    if type(message[1]) is Reference:
        scope.down(message[1])


#: By first element and size; casts come in the same forms as plain messages.
_MESSAGES: Final[dict[tuple[Atom, int], Callable[[Scope, Any], None]]] = {
    (wire.DISCOVER, 2): lambda scope, m: scope.discovered(_pid(m[1])),
    (wire.DISCOVER, 3): lambda scope, m: scope.discovered(_pid(m[1])),
    (atom.sync, 3): lambda scope, m: scope.synced(_pid(m[1]), wire.groups_of(m[2])),
    (wire.JOIN, 4): lambda scope, m: scope.joined(_pid(m[1]), m[2], wire.pids_of(m[3])),
    (wire.LEAVE, 4): _left,
    (atom.nodeup, 2): _nodeup,
    (atom.nodedown, 2): lambda scope, m: None,  # DOWN has said it already
    (atom.DOWN, 5): _down,
}


def _key(message: Any) -> Any:
    if type(message) is tuple and message and type(message[0]) is Atom:
        return message[0], len(message)
    return None
