"""What this node knows of other nodes: what hangs on each connection, and who watches nodes.

Source: ``erlang:monitor_node/2``, ``net_kernel:monitor_nodes/2``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.process.words import NODEDOWN, NODEUP
from pynode.terms import Atom, Pid, Reference

if TYPE_CHECKING:
    from pynode.dist.seam import Peer
    from pynode.process.monitors import Monitor, RemoteWatcher
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime
    from pynode.process.spawn import PendingSpawn

__all__ = ["Nodes", "RemoteNode", "Subscription"]

_NODE_TYPE: Final = Atom("node_type")
_REASON: Final = Atom("nodedown_reason")
_VISIBLE: Final = Atom("visible")
_HIDDEN: Final = Atom("hidden")
NODE_TYPES: Final = ("visible", "hidden", "all")


class RemoteNode:
    """Everything that depends on the connection to one node."""

    __slots__ = ("links", "monitors", "name", "peer", "spawns", "watchers", "watching")

    def __init__(self, name: Atom) -> None:
        self.name = name
        #: The connection, None while there is none (an attempt may be under way).
        self.peer: Peer | None = None
        self.links: set[tuple[Process, Pid]] = set()
        #: Our monitors on its processes, and its processes' monitors on ours.
        self.monitors: dict[Reference, Monitor] = {}
        self.watchers: dict[Reference, RemoteWatcher] = {}
        #: Our spawn requests without an answer yet.
        self.spawns: dict[Reference, PendingSpawn] = {}
        #: Processes with ``monitor_node`` on it, and how often.
        self.watching: dict[Process, int] = {}


class Subscription(NamedTuple):
    """One call of ``monitor_nodes(true, Options)``."""

    node_type: str | None
    """One of :data:`NODE_TYPES`; None: visible nodes, and the type is not told."""
    nodedown_reason: bool
    info: bool

    def wants(self, peer: Peer) -> bool:
        """Return whether it is told of this peer."""
        return self.node_type == "all" or peer.hidden == (self.node_type == "hidden")

    def message(self, word: Atom, peer: Peer, reason: Any) -> Any:
        """Return ``{nodeup | nodedown, Node}``, or with an info list as third element."""
        if not self.info:
            return (word, peer.name)
        facts: list[Any] = []
        if self.node_type is not None:
            facts.append((_NODE_TYPE, _HIDDEN if peer.hidden else _VISIBLE))
        if word == NODEDOWN and self.nodedown_reason:
            facts.append((_REASON, reason))
        return (word, peer.name, facts)


class Nodes:
    """The other nodes of one runtime."""

    __slots__ = ("_runtime", "_subscriptions", "_table")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._table: dict[Atom, RemoteNode] = {}
        self._subscriptions: dict[Process, list[Subscription]] = {}

    def remote(self, name: Atom) -> RemoteNode:
        """Return the entry of a node, making it if need be."""
        found = self._table.get(name)
        if found is None:
            found = self._table[name] = RemoteNode(name)
        return found

    def find(self, name: Atom) -> RemoteNode | None:
        """Return the entry of a node, None where nothing depends on it."""
        return self._table.get(name)

    def connected(self) -> list[Peer]:
        """Return the live connections, the oldest first."""
        return [entry.peer for entry in self._table.values() if entry.peer is not None]

    def all(self) -> list[RemoteNode]:
        """Return all entries."""
        return list(self._table.values())

    # ------------------------------------------------------------------ watching nodes

    def monitor_node(self, process: Process, node: Atom, flag: bool) -> None:
        """Watch one node; see :meth:`Runtime.monitor_node`."""
        if node == self._runtime.node_name:
            return
        watching = self.remote(node).watching
        if flag:
            watching[process] = watching.get(process, 0) + 1
            process.extra.on_death[node] = lambda ended: watching.pop(ended, None)
            if self.remote(node).peer is None:
                self._runtime.router.connect(process, node)
        elif process in watching:
            watching[process] -= 1
            if not watching[process]:
                del watching[process]

    def monitor_nodes(self, process: Process, flag: bool, subscription: Subscription) -> None:
        """Watch all nodes; see :meth:`Runtime.monitor_nodes`."""
        wanted = self._subscriptions.setdefault(process, [])
        if flag:
            wanted.append(subscription)
            process.extra.on_death["nodes"] = lambda ended: self._subscriptions.pop(ended, None)
        else:
            wanted[:] = [other for other in wanted if other != subscription]
        if not wanted:
            del self._subscriptions[process]

    # ------------------------------------------------------------------ up and down

    def up(self, peer: Peer) -> None:
        """A connection is established."""
        remote = self.remote(peer.name)
        remote.peer = peer
        self._runtime.spawning.peer_up(remote, peer)
        self._announce(NODEUP, peer, None)

    def down(self, name: Atom, reason: Any) -> None:
        """A connection, or the attempt at one, is over: exits, downs, then nodedowns."""
        remote = self._table.pop(name, None)
        if remote is None:
            return
        runtime = self._runtime
        runtime.links.node_down(remote)
        runtime.monitors.node_down(remote)
        runtime.spawning.node_down(remote)
        for process, count in list(remote.watching.items()):
            process.extra.on_death.pop(name, None)
            for _ in range(count):
                runtime.tell(process, (NODEDOWN, name))
        if remote.peer is not None:
            self._announce(NODEDOWN, remote.peer, reason)

    def _announce(self, word: Atom, peer: Peer, reason: Any) -> None:
        for process, subscriptions in list(self._subscriptions.items()):
            for subscription in tuple(subscriptions):
                if subscription.wants(peer):
                    self._runtime.tell(process, subscription.message(word, peer, reason))
