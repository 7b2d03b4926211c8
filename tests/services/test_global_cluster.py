"""Whole clusters of global in memory: whatever happens, all sides end with one table."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from pynode.terms import Atom, Pid, atom, charlist
from tests.services.cluster import Cluster, Node, Promise


def check(cluster: Cluster) -> None:
    """Every connected node is known, shares our table, and nobody holds a lock."""
    for node in cluster.nodes.values():
        peers = {
            b.name
            for b in cluster.nodes.values()
            if b is not node and frozenset((node.name, b.name)) in cluster.connections
        }
        assert set(node.server.known) == peers, node
        assert set(node.server.synced) == peers, node
        assert len(node.server.synced) == len(peers)
        assert not node.server.sessions
        assert not node.server.pending
        assert len(node.server.locks) == 0, node
        for name, pid in node.table().items():
            owner = cluster.nodes.get(pid.node)
            assert owner is not None, (node, name)
            assert pid in owner.processes, (node, name)
        for peer in peers:
            assert cluster.nodes[peer].table() == node.table()


@pytest.mark.parametrize("seed", range(30))
def test_two_nodes_join(seed: int) -> None:
    cluster = Cluster(Random(seed))
    a, b = cluster.start("a@h", "b@h")
    first = a.spawn()
    assert cluster.wait(a.register(charlist("one"), first)) is True
    second = b.spawn()
    assert cluster.wait(b.register(charlist("two"), second)) is True
    cluster.connect(a.name, b.name)
    cluster.settle()
    check(cluster)
    assert a.table() == {repr(charlist("one")): first, repr(charlist("two")): second}


@pytest.mark.parametrize("seed", range(60))
def test_partitions_of_two_join(seed: int) -> None:
    cluster = Cluster(Random(seed))
    nodes = cluster.start("a@h", "b@h", "c@i", "d@h", "e@i")
    registered = [
        node.register(charlist(f"n{number}"), node.spawn()) for number, node in enumerate(nodes)
    ]
    for x, y in ((0, 1), (2, 3), (1, 2), (4, 0)):
        cluster.connect(nodes[x].name, nodes[y].name)
        cluster.run(cluster.random.randrange(60))
    cluster.settle()
    check(cluster)
    assert [promise.value for promise in registered] == [True] * 5
    assert len(cluster.connections) == 10
    assert len(nodes[0].table()) == 5


@pytest.mark.parametrize("seed", range(60))
def test_a_conflict_connects_nodes_before_their_partitions_have_joined(seed: int) -> None:
    """The method sends to the other process, so its two nodes begin a session of their own.

    It ends by the in_sync of either side, whatever of it is still under way then.
    """
    cluster = Cluster(Random(seed))
    a, b, c, d = nodes = cluster.start("a@left", "b@left", "a@right", "b@right")
    cluster.connect(a.name, b.name)
    cluster.connect(c.name, d.name)
    cluster.settle()
    own = {repr(node.name): node.spawn() for node in nodes}
    wanted: list[tuple[Node, Any, Pid, str]] = [
        (node, node.name, pid, "random_exit_name")
        for node, pid in zip(nodes, own.values(), strict=True)
    ]
    for rivals, method in (((a, d), "random_exit_name"), ((b, d), "notify_all_name")):
        wanted += [(node, Atom(method), node.spawn(), method) for node in rivals]
    for node, name, pid, method in wanted:
        assert cluster.wait(node.register(name, pid, node.methods.term(method))) is True
    cluster.settle()
    cluster.connect(a.name, c.name)
    cluster.settle()
    check(cluster)
    assert len(cluster.connections) == 6
    table = a.table()
    assert table.pop(repr(atom.random_exit_name)).node == a.name
    assert table == own


NAMES = [charlist("manager"), atom.cache, 1, 1.0, (atom.a, [b"x"])]
METHODS = ["random_exit_name", "random_notify_name", "notify_all_name", "own"]


class Chaos:
    """Does one thing after another to a cluster, drawn from its chance."""

    def __init__(self, cluster: Cluster, names: list[str]) -> None:
        self.cluster = cluster
        self.random = cluster.random
        self.names = names
        #: What was begun and is not waited for.
        self.later: list[Promise] = []
        self.actions: list[Callable[[], None]] = [
            self.register, self.register, self.register, self.unregister, self.re_register,
            self.exit, self.connect, self.connect, self.cut, self.kill, self.start, self.lock,
            self.disconnect_all,
        ]  # fmt: skip

    def node(self) -> Node | None:
        nodes = list(self.cluster.nodes.values())
        return self.random.choice(nodes) if nodes else None

    def act(self) -> None:
        self.random.choice(self.actions)()

    def heal(self) -> None:
        """Start and connect all."""
        while len(self.cluster.nodes) < len(self.names):
            self.start()
        for _ in range(20):
            self.connect()

    def method(self, node: Node) -> Any:
        method = self.random.choice(METHODS)
        return node.methods.term(keep_theirs if method == "own" else method)

    def register(self) -> None:
        node = self.node()
        if node is not None:
            pid, method = node.spawn(), self.method(node)
            self.later.append(node.register(self.random.choice(NAMES), pid, method))

    def re_register(self) -> None:
        node = self.node()
        if node is not None:
            pid, method = node.spawn(), self.method(node)
            self.later.append(node.re_register(self.random.choice(NAMES), pid, method))

    def unregister(self) -> None:
        node = self.node()
        if node is not None:
            self.later.append(node.unregister(self.random.choice(NAMES)))

    def exit(self) -> None:
        node = self.node()
        if node is not None:
            pids = [e.pid for e in node.server.names]
            if pids:
                self.cluster.exit(self.random.choice(pids))

    def pair(self) -> tuple[Node, Node] | None:
        nodes = list(self.cluster.nodes.values())
        if len(nodes) < 2:
            return None
        a, b = self.random.sample(nodes, 2)
        return a, b

    def connect(self) -> None:
        pair = self.pair()
        if pair is not None:
            self.cluster.connect(pair[0].name, pair[1].name)

    def cut(self) -> None:
        pair = self.pair()
        if pair is not None:
            self.cluster.disconnect(pair[0].name, pair[1].name)

    def kill(self) -> None:
        node = self.node()
        if node is not None and self.random.random() < 0.5:
            self.cluster.kill(node)

    def start(self) -> None:
        down = [name for name in self.names if Atom(name) not in self.cluster.nodes]
        if down:
            self.cluster.start(self.random.choice(down))

    def lock(self) -> None:
        """A process locks something everywhere, and dies, which frees it."""
        node = self.node()
        if node is not None:
            pid = node.spawn()
            nodes = list(self.cluster.nodes)
            self.later.append(node.set_lock(pid, atom.resource, nodes, 3))
            self.cluster.timer(1).then(lambda: self.cluster.exit(pid))

    def disconnect_all(self) -> None:
        node = self.node()
        if node is not None:
            node.leave()


def keep_theirs(name: Any, theirs: Pid, ours: Pid) -> Pid:
    return theirs


DISRUPTIVE = ("cut", "kill", "disconnect_all")


@pytest.mark.parametrize("seed", range(60))
def test_every_cluster_ends_with_one_table(seed: int) -> None:
    """Nodes join, register and die in any order, one loss at a time."""
    cluster = Cluster(Random(seed))
    names = ["a@h", "b@h", "c@i", "d@i"]
    cluster.start(*names)
    chaos = Chaos(cluster, names)
    for _ in range(30):
        action = cluster.random.choice(chaos.actions)
        if action.__name__ in DISRUPTIVE:
            cluster.settle()
        action()
        if action.__name__ in DISRUPTIVE:
            cluster.settle()
            check(cluster)
        cluster.run(cluster.random.choice([0, 3, 30, 300]))
    cluster.settle()
    check(cluster)
    chaos.heal()
    cluster.settle()
    check(cluster)
    assert len(cluster.connections) == 6


@pytest.mark.parametrize("seed", range(60))
def test_no_chaos_leaves_a_lock_or_a_loop(seed: int) -> None:
    """Connections cut and made again within milliseconds, which can outrun the protocol.

    OTP's own nodes may then end up connected and unaware of each other.  What must not happen is
    a lock that stays, or messages that go round for ever; and leaving and joining mends it.
    """
    cluster = Cluster(Random(seed))
    names = ["a@h", "b@h", "c@i", "d@i"]
    cluster.start(*names)
    chaos = Chaos(cluster, names)
    for _ in range(30):
        chaos.act()
        cluster.run(cluster.random.choice([0, 3, 30, 300]))
    cluster.settle()
    for node in cluster.nodes.values():
        assert len(node.server.locks) == 0, node
        node.leave()
        cluster.settle()
    chaos.heal()
    cluster.settle()
    check(cluster)
    assert len(cluster.connections) == 6
