"""Scopes of pg without a process: tables, and whole clusters in memory."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from pynode.services.pg import wire
from pynode.services.pg.groups import Change, Groups
from pynode.terms import Pid, atom, charlist
from tests.services.pg_cluster import Cluster, Node, Strict

GROUPS: list[Any] = [atom.workers, charlist("crew"), 1, 1.0, True, (b"x", [{}])]


def pid(number: int, node: str = "a@h") -> Pid:
    return Pid(atom(node), number, 0, 1)


def check(cluster: Cluster) -> None:
    """Everybody sees his own and his neighbours' members, and nobody else's."""
    for node in cluster.nodes.values():
        expected: dict[str, Counter[Pid]] = {}
        for name in [node.name, *cluster.neighbours(node.name)]:
            other = cluster.nodes[name]
            for group in other.scope.local_groups():
                local = Counter(other.scope.local_members(group))
                assert all(member in other.processes for member in local)
                expected[repr(group)] = expected.get(repr(group), Counter()) + local
        assert node.view() == expected, node.name
        peers = {cluster.nodes[name].pid for name in cluster.neighbours(node.name)}
        assert set(node.scope.peers()) == peers


# --------------------------------------------------------------------------- groups


def test_groups_are_told_apart_as_erlang_does_it() -> None:
    groups = Groups()
    for number, name in enumerate(GROUPS):
        groups.add(pid(0), name, [pid(number)])
    assert len(groups.names()) == len(GROUPS)
    for number, name in enumerate(GROUPS):
        assert groups.members(name) == [pid(number)]


def test_an_owner_changes_nothing_of_anothers() -> None:
    groups, here, there = Groups(), pid(0), pid(0, "b@h")
    groups.add(here, 1, [pid(1)])
    groups.add(there, 1, [pid(1)])
    assert groups.remove(there, 1, [pid(1), pid(1), pid(2)]) == [pid(1)]
    assert groups.members(1) == [pid(1)]
    groups.add(there, 1, [pid(3)])
    assert groups.drop(here) == [Change(1, [], [pid(1)])]
    assert groups.members(1) == [pid(3)]
    assert groups.names(here) == []
    assert groups.drop(there) == [Change(1, [], [pid(3)])]
    assert groups.names() == []


def test_replace_tells_what_it_changes() -> None:
    groups, owner = Groups(), pid(0)
    groups.add(owner, 1, [pid(1), pid(1), pid(2)])
    groups.add(owner, 2, [pid(1)])
    groups.add(owner, 3, [pid(3)])
    changes = groups.replace(owner, [(1, [pid(2), pid(1), pid(4)]), (3, [pid(3)]), (4, [pid(4)])])
    assert changes == [
        Change(1, [], [pid(1)]),
        Change(2, [], [pid(1)]),
        Change(1, [pid(4)], []),
        Change(4, [pid(4)], []),
    ]
    assert sorted(groups.members(1), key=repr) == [pid(1), pid(2), pid(4)]
    assert groups.names() == [1, 3, 4]


@pytest.mark.parametrize(
    "term", [atom.x, [atom.x], [pid(1), 1], (pid(1),), {}, b"", [(1,)], [(1, pid(1))], [(1, [2])]]
)
def test_what_is_no_list_of_groups_or_pids(term: Any) -> None:
    with pytest.raises(wire.Malformed):
        wire.groups_of([(1, term)] if not isinstance(term, list) or term[:1] != [(1,)] else term)


# --------------------------------------------------------------------------- one scope


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(Random(0))


def test_join_and_leave_count(cluster: Cluster) -> None:
    (node,) = cluster.start("a@h")
    one, two = node.spawn(), node.spawn()
    node.scope.join(1, [one, two, one])
    node.scope.join(1, [one])
    assert Counter(node.scope.members(1)) == {one: 3, two: 1}
    assert node.scope.leave(1, [one])
    assert node.scope.leave(1, [one, two, two])
    assert node.scope.members(1) == [one]
    assert not node.scope.leave(1, [two])
    assert not node.scope.leave(2, [one])
    assert node.scope.leave(1, [one])
    assert node.scope.groups() == node.scope.local_groups() == []
    assert not cluster.monitors


def test_a_join_of_nobody_makes_no_group(cluster: Cluster) -> None:
    (node,) = cluster.start("a@h")
    node.scope.join(1, [])
    assert node.scope.groups() == []


def test_who_ends_leaves_all_groups(cluster: Cluster) -> None:
    here, there = cluster.start("a@h", "b@h")
    cluster.connect(here, there)
    cluster.settle()
    one, other = here.spawn(), here.spawn()
    here.scope.join(1, [one, one, other])
    here.scope.join(2, [one])
    ref, _ = there.scope.monitor_scope(there.spawn())
    cluster.settle()
    there.notices.clear()
    here.exit(one)
    cluster.settle()
    assert here.scope.members(1) == there.scope.members(1) == [other]
    assert here.scope.members(2) == there.scope.members(2) == []
    told = Counter((repr(group), gone) for _, (_, _, group, pids) in there.notices for gone in pids)
    assert told == {("1", one): 2, ("2", one): 1}
    assert {message[:2] for _, message in there.notices} == {(ref, atom.leave)}


def test_monitors_are_told_of_all_changes_in_order(cluster: Cluster) -> None:
    here, there = cluster.start("a@h", "b@h")
    cluster.connect(here, there)
    cluster.settle()
    watcher, member = here.spawn(), there.spawn()
    there.scope.join(1, [member])
    cluster.settle()
    group_ref, members = here.scope.monitor(watcher, 1)
    scope_ref, everything = here.scope.monitor_scope(watcher)
    assert members == [member]
    assert dict(everything) == {1: [member]}
    there.scope.join(1, [member])
    there.scope.join(2, [member])
    there.scope.leave(1, [member, member])
    cluster.settle()
    of_group = [message[1:] for _, message in here.notices if message[0] == group_ref]
    assert of_group == [(atom.join, 1, [member]), (atom.leave, 1, [member, member])]
    of_scope = [message[1:] for _, message in here.notices if message[0] == scope_ref]
    assert of_scope == [of_group[0], (atom.join, 2, [member]), of_group[1]]
    assert here.scope.demonitor(group_ref) == watcher
    assert here.scope.demonitor(group_ref) is None
    assert group_ref not in cluster.monitors
    here.notices.clear()
    cluster.disconnect(here, there)
    cluster.settle()
    assert [message for _, message in here.notices] == [(scope_ref, atom.leave, 2, [member])]
    here.exit(watcher)
    cluster.settle()
    here.notices.clear()
    here.scope.join(1, [here.spawn()])
    assert here.notices == []


def test_a_stranger_changes_nothing(cluster: Cluster) -> None:
    (node,) = cluster.start("a@h")
    stranger = pid(1, "b@h")
    node.dispatch((atom.join, stranger, 1, [pid(2, "b@h")]))
    node.dispatch((atom.leave, stranger, pid(2, "b@h"), [1]))
    node.dispatch((atom.discover, stranger))
    node.dispatch((atom.sync, stranger, [(1, [pid(2, "b@h")])]))
    node.dispatch((atom.discover, node.pid))
    node.dispatch((atom.nodeup, stranger.node))
    assert node.scope.groups() == []
    assert node.scope.peers() == []
    assert not any(cluster.channels.values())


def test_nothing_but_a_sync_precedes_changes(cluster: Cluster) -> None:
    """A peer that is known by its sync alone has not heard of our groups: a leave would kill it."""
    here, there = cluster.start("a@h", "b@h")
    member = here.spawn()
    here.scope.join(1, [member])
    cluster.connect(here, there)
    here.inbox.clear()
    here.dispatch((atom.sync, there.pid, []))
    here.scope.leave(1, [member])
    cluster.settle()
    assert there.scope.members(1) == []


def test_a_discover_of_29_is_answered_in_version_0(cluster: Cluster) -> None:
    here, there = cluster.start("a@h", "b@h")
    cluster.connect(here, there)
    here.inbox.clear()
    there.inbox.clear()
    here.dispatch((atom.discover, there.pid, 1))
    cluster.settle()  # the strict reader takes two elements only
    assert there.scope.peers() == [here.pid]


# --------------------------------------------------------------------------- clusters


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_peer_is_brought_up_to_date(seed: int) -> None:
    cluster = Cluster(Random(seed))
    here, there = cluster.start("a@h", "b@h")
    cluster.connect(here, there)
    if seed % 2:
        cluster.settle()
    members = [here.spawn() for _ in range(3)]
    here.scope.join(1, members[:1])
    here.busy.add(there.name)
    here.scope.join(2, members)
    here.scope.leave(1, members[:1])
    here.scope.leave(2, members[:1])
    cluster.run(seed)
    here.scope.join(3, members)
    here.scope.leave(2, members[1:])
    cluster.settle()
    assert there.view() == {"3": Counter(members)}
    check(cluster)


def test_who_missed_a_change_is_told_nothing_before_all(cluster: Cluster) -> None:
    """The queue has shrunk, and the word of it is still to come: a leave would kill 25."""
    here, there = cluster.start("a@h", "b@h")
    cluster.connect(here, there)
    cluster.settle()
    members = [here.spawn(), here.spawn()]
    here.busy.add(there.name)
    here.scope.join(1, members)
    here.busy.clear()
    waiting, here.waiting = here.waiting, set()
    here.scope.leave(1, members[:1])
    cluster.settle()
    assert there.view() == {}
    here.waiting = waiting
    cluster.settle()
    assert there.view() == {"1": Counter(members[1:])}


def test_whoever_is_new_is_discovered_back(cluster: Cluster) -> None:
    """Its scope has just started: it has sent us no sync, and a BEAM's will not unasked."""
    here, there = cluster.start("a@h", "b@h")
    cluster.connect(here, there)
    here.inbox.clear()
    there.inbox.clear()
    for _ in range(2):
        here.dispatch((atom.discover, there.pid))
    while cluster.channels[here.name, there.name]:
        cluster.channels[here.name, there.name].popleft()()
    while there.inbox:
        there.inbox.popleft()()
    sync: Any = (atom("$gen_cast"), (atom.sync, here.pid, []))
    assert there.taken == [sync, (atom.discover, here.pid), sync]


class Chaos:
    """One thing after another happens to a cluster, drawn from its chance."""

    def __init__(self, seed: int) -> None:
        self.cluster = Cluster(Random(seed))
        self.random = self.cluster.random
        self.nodes = self.cluster.start("a@h", "b@h", "c@h", "d@h")
        self.acts = [
            self.connect, self.connect, self.disconnect, self.join, self.join, self.join,
            self.leave, self.leave, self.exit, self.restart, self.busy,
        ]  # fmt: skip

    def node(self) -> Node:
        return self.random.choice(self.nodes)

    def two(self) -> tuple[Node, Node]:
        one, other = self.random.sample(self.nodes, 2)
        return one, other

    def connect(self) -> None:
        self.cluster.connect(*self.two())

    def disconnect(self) -> None:
        self.cluster.disconnect(*self.two())

    def join(self) -> None:
        node = self.node()
        pids = [node.spawn() for _ in range(self.random.randrange(3))]
        pids += node.scope.local_members(self.random.choice(GROUPS))
        node.scope.join(self.random.choice(GROUPS), pids)

    def leave(self) -> None:
        node = self.node()
        group = self.random.choice(GROUPS)
        members = node.scope.local_members(group)
        if members:
            node.scope.leave(group, self.random.choices(members, k=2))

    def exit(self) -> None:
        node = self.node()
        members = node.scope.local_members(self.random.choice(GROUPS))
        if members:
            node.exit(self.random.choice(members))

    def restart(self) -> None:
        if self.random.random() < 0.2:
            self.node().kill_scope()

    def busy(self) -> None:
        one, other = self.two()
        if frozenset((one.name, other.name)) in self.cluster.connections:
            one.busy.add(other.name)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_all_see_the_same(seed: int) -> None:
    chaos = Chaos(seed)
    for _ in range(60):
        chaos.random.choice(chaos.acts)()
        chaos.cluster.run(chaos.random.randrange(8))
    for node in chaos.nodes:
        node.busy.clear()
    chaos.cluster.settle()
    check(chaos.cluster)
    for node in chaos.nodes:  # and the changes after that arrive as well
        node.scope.join(atom.last, [node.spawn()])
    chaos.cluster.settle()
    check(chaos.cluster)


def test_the_strict_reader_sees_what_would_end_a_scope_process_of_25() -> None:
    strict, peer = Strict(), pid(1, "b@h")
    strict.read((atom.discover, peer))
    fatal: list[Any] = [
        (atom.discover, peer, 1),
        (atom.leave, peer, [pid(2)], [1]),
        (atom.join, peer, 1, []),
        (atom.hello, peer),
    ]
    for bad in fatal:
        with pytest.raises(AssertionError):
            strict.read(bad)
