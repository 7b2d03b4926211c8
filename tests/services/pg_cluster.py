"""Scopes of pg in memory, and the net between them.

What Erlang promises is kept, and nothing more: what one node sends another arrives in order, a
nodeup comes before all that its connection carries, and when a connection is lost, what is on
the way is lost from some point on and DOWN comes before nodedown.  All else is up to chance.

Each arrival is also shown to a :class:`Strict` reader, which knows what OTP 25's scope process
would not survive.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from pynode.errors import PeerBusy
from pynode.services.pg import processes
from pynode.services.pg.scope import Scope
from pynode.terms import Atom, Pid, Reference, atom, identical

CAST = atom("$gen_cast")


class Strict:
    """What one node has been told by another's scope process, read as OTP 25 reads it."""

    def __init__(self) -> None:
        self.known: dict[Pid, list[tuple[Any, Counter[Pid]]]] = {}

    def down(self, pid: Pid) -> None:
        self.known.pop(pid, None)

    def read(self, message: Any) -> None:
        match message:
            case (atom.discover, Pid() as pid):
                self.known.setdefault(pid, [])
            case (tag, (atom.sync, Pid() as pid, list() as groups)) if tag == CAST:
                assert all(pids for _, pids in groups), "an empty group stays in 25's table"
                self.known[pid] = [(name, Counter(pids)) for name, pids in groups]
            case (atom.join, Pid() as pid, name, list() as pids):
                assert pids, "an empty group stays in 25's table"
                if pid in self.known:
                    found = self.find(pid, name)
                    if found is None:
                        self.known[pid].append((name, Counter(pids)))
                    else:
                        found.update(pids)
            case (atom.leave, Pid() as pid, list() as pids, list() as groups):
                for name in groups if pid in self.known else ():
                    found = self.find(pid, name)
                    assert found is not None, f"badkey in 25: {message!r}"
                    for gone in pids:
                        assert found[gone] > 0
                        found[gone] -= 1
                    if not +found:
                        self.known[pid] = [
                            pair for pair in self.known[pid] if not identical(pair[0], name)
                        ]
            case _:
                raise AssertionError(f"badarg in 25: {message!r}")

    def find(self, pid: Pid, name: Any) -> Counter[Pid] | None:
        for known, members in self.known[pid]:
            if identical(known, name):
                return members
        return None


class Node:
    """One node: its processes, its scope, and the scope's mailbox."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = Atom(name)
        self.inbox: deque[Callable[[], None]] = deque()
        self.processes: set[Pid] = set()
        self.notices: list[tuple[Pid, Any]] = []
        #: What has come from other nodes.
        self.taken: list[Any] = []
        #: Nodes that take nothing now, and the ones of them that are waited for.
        self.busy: set[Atom] = set()
        self.waiting: set[Atom] = set()
        self.restart()

    def restart(self) -> None:
        """The scope process is another one, that knows nothing."""
        self.pid = self.spawn()
        self.strict = Strict()
        self.inbox.clear()
        self.waiting.clear()
        self.scope = Scope(self)
        for peer in self.cluster.neighbours(self.name):
            self.inbox.append(lambda peer=peer: self.scope.nodeup(peer))  # type: ignore[misc]

    def spawn(self) -> Pid:
        pid = Pid(self.name, next(self.cluster.counter), 0, 1)
        self.processes.add(pid)
        return pid

    def exit(self, pid: Pid) -> None:
        self.processes.discard(pid)
        self.cluster.ended(pid)

    def kill_scope(self) -> None:
        self.exit(self.pid)
        self.cluster.forget_monitors_of(self)
        self.restart()

    def take(self, message: Any) -> None:
        """A message arrives in the scope's mailbox."""

        def handle() -> None:
            self.strict.read(message)
            self.taken.append(message)
            if message[0] == CAST:
                self.dispatch(message[1])
            else:
                self.dispatch(message)

        self.inbox.append(handle)

    def dispatch(self, message: Any) -> None:
        processes._MESSAGES[processes._key(message)](self.scope, message)

    def view(self) -> dict[str, Counter[Pid]]:
        return {repr(name): Counter(self.scope.members(name)) for name in self.scope.groups()}

    # ---------------------------------------------------------------- ScopeHost

    def is_connected(self, node: Atom) -> bool:
        return node in self.cluster.neighbours(self.name)

    def greet(self, node: Atom, message: Any) -> None:
        self.refuse_if_busy(node)
        to = self.cluster.nodes[node]
        self.cluster.send(self.name, node, lambda: to.take(message))

    def send(self, peer: Pid, message: Any) -> None:
        if not self.is_connected(peer.node):
            return
        self.refuse_if_busy(peer.node)
        to = self.cluster.nodes[peer.node]

        def arrive() -> None:
            if to.pid == peer:
                to.take(message)

        self.cluster.send(self.name, peer.node, arrive)

    def notify(self, pid: Pid, message: Any) -> None:
        self.notices.append((pid, message))

    def monitor(self, pid: Pid) -> Reference:
        if pid.node != self.name:
            self.refuse_if_busy(pid.node)
        return self.cluster.monitor(self, pid)

    def demonitor(self, ref: Reference) -> None:
        self.cluster.monitors.pop(ref, None)

    def when_drained(self, node: Atom) -> None:
        self.waiting.add(node)

    def refuse_if_busy(self, node: Atom) -> None:
        if node in self.busy:
            raise PeerBusy(node.name, 1)


class Cluster:
    """The nodes, their connections, and chance."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.counter = count(1)
        self.nodes: dict[Atom, Node] = {}
        self.connections: set[frozenset[Atom]] = set()
        self.channels: dict[tuple[Atom, Atom], deque[Callable[[], None]]] = {}
        self.monitors: dict[Reference, tuple[Node, Pid]] = {}

    def start(self, *names: str) -> list[Node]:
        nodes = [Node(self, name) for name in names]
        self.nodes.update({node.name: node for node in nodes})
        return nodes

    # ---------------------------------------------------------------- connections

    def neighbours(self, name: Atom) -> list[Atom]:
        return [other for pair in self.connections if name in pair for other in pair - {name}]

    def connect(self, a: Node, b: Node) -> None:
        pair = frozenset((a.name, b.name))
        if pair in self.connections:
            return
        self.connections.add(pair)
        for here, there in ((a, b), (b, a)):
            here.inbox.append(lambda h=here, t=there: h.scope.nodeup(t.name))  # type: ignore[misc]

    def disconnect(self, a: Node, b: Node) -> None:
        pair = frozenset((a.name, b.name))
        if pair not in self.connections:
            return
        for here, there in ((a, b), (b, a)):
            arriving = self.channels.pop((here.name, there.name), deque())
            for _ in range(self.random.randrange(len(arriving) + 1)):
                arriving.popleft()()
        self.connections.discard(pair)
        for here, there in ((a, b), (b, a)):
            here.busy.discard(there.name)
            for ref, (watcher, pid) in list(self.monitors.items()):
                if watcher is here and pid.node == there.name:
                    self.down(ref)

    # ---------------------------------------------------------------- signals

    def send(self, from_: Atom, to: Atom, arrive: Callable[[], None]) -> None:
        self.channels.setdefault((from_, to), deque()).append(arrive)

    def monitor(self, watcher: Node, pid: Pid) -> Reference:
        ref = Reference(watcher.name, 1, (next(self.counter),))
        self.monitors[ref] = watcher, pid
        if pid.node == watcher.name:
            if pid not in watcher.processes:
                self.down(ref)
        else:
            self.send(watcher.name, pid.node, lambda: self.watched(ref, pid))
        return ref

    def watched(self, ref: Reference, pid: Pid) -> None:
        """A monitor arrives where the process should be."""
        if ref in self.monitors and pid not in self.nodes[pid.node].processes:
            watcher = self.monitors[ref][0]
            self.send(pid.node, watcher.name, lambda: self.down(ref))

    def ended(self, pid: Pid) -> None:
        for ref, (watcher, watched) in list(self.monitors.items()):
            if watched == pid:
                if watcher.name == pid.node:
                    self.down(ref)
                else:
                    self.send(pid.node, watcher.name, lambda ref=ref: self.down(ref))  # type: ignore[misc]

    def down(self, ref: Reference) -> None:
        found = self.monitors.pop(ref, None)
        if found is None:
            return
        watcher, pid = found

        def handle() -> None:
            watcher.strict.down(pid)
            watcher.scope.down(ref)

        watcher.inbox.append(handle)

    def forget_monitors_of(self, node: Node) -> None:
        for ref, (watcher, _) in list(self.monitors.items()):
            if watcher is node:
                del self.monitors[ref]

    # ---------------------------------------------------------------- running

    def step(self) -> bool:
        """Let one thing happen, picked by chance; False if nothing is left to happen."""
        waiting = [node for node in self.nodes.values() if node.waiting]
        queues = [*self.channels.values(), *(node.inbox for node in self.nodes.values())]
        queues = [queue for queue in queues if queue]
        if waiting and (not queues or self.random.random() < 0.1):
            node = self.random.choice(waiting)
            drained = node.waiting.pop()
            node.busy.discard(drained)
            node.scope.drained(drained)
            return True
        if not queues:
            return False
        self.random.choice(queues).popleft()()
        return True

    def settle(self, most: int = 100_000) -> None:
        for _ in range(most):
            if not self.step():
                return
        raise AssertionError(f"still busy after {most} steps")

    def run(self, steps: int) -> None:
        for _ in range(steps):
            if not self.step():
                return
