"""The small parts of global: resolve methods, names, reports of losses, locking."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from pynode.services.global_.locker import Locker
from pynode.services.global_.names import checked_name
from pynode.services.global_.partitions import LostConnections
from pynode.services.global_.ports import NO_MESSAGE
from pynode.services.global_.resolve import RANDOM_EXIT_NAME, Methods
from pynode.services.global_.tables import LockTable
from pynode.terms import Atom, ExportFun, OpaqueFun, Pid, atom, charlist
from tests.services.cluster import Cluster

A, B = Atom("a@h"), Atom("b@h")
ON_A, ON_B = Pid(A, 1, 0, 1), Pid(B, 1, 0, 1)


class Actor:
    def __init__(self) -> None:
        self.killed: list[Pid] = []
        self.sent: list[tuple[Pid, Any]] = []

    def kill(self, pid: Pid) -> None:
        self.killed.append(pid)

    def send(self, to: Pid, message: Any) -> None:
        self.sent.append((to, message))


@pytest.fixture
def methods() -> Methods:
    exposed = {(atom.mine, atom.pick): lambda name, theirs, ours: ours}
    return Methods(lambda module, function, arity: exposed.get((module, function)))


# --------------------------------------------------------------------------- methods


@pytest.mark.parametrize("theirs_first", [True, False])
async def test_random_exit_name_kills_on_the_greater_node(
    methods: Methods, theirs_first: bool
) -> None:
    actor = Actor()
    pair = (ON_A, ON_B) if theirs_first else (ON_B, ON_A)
    assert await methods.resolve_it(actor, RANDOM_EXIT_NAME, b"n", *pair) == ON_A
    assert actor.killed == [ON_B]


async def test_the_default_method_of_a_beam_is_random_exit_name(methods: Methods) -> None:
    fun = OpaqueFun("global", 3, 0, b"u" * 16, 0, 7, Pid(B, 0, 0, 0))
    actor = Actor()
    assert await methods.resolve_it(actor, fun, b"n", ON_A, ON_B) == ON_A
    assert actor.killed == [ON_B]
    other = OpaqueFun("elsewhere", 3, 0, b"u" * 16, 0, 7, Pid(B, 0, 0, 0))
    assert (await methods.resolve_it(actor, other, b"n", ON_A, ON_B))[0] == atom.EXIT


async def test_notifying_methods(methods: Methods) -> None:
    actor = Actor()
    method = methods.term("random_notify_name")
    assert await methods.resolve_it(actor, method, b"n", ON_B, ON_A) == ON_A
    assert actor.sent == [(ON_B, (atom.global_name_conflict, b"n"))]
    actor = Actor()
    method = methods.term(atom.notify_all_name)
    assert await methods.resolve_it(actor, method, b"n", ON_A, ON_B) == atom.none
    assert sorted(actor.sent, key=repr) == [
        (ON_A, (atom.global_name_conflict, b"n", ON_B)),
        (ON_B, (atom.global_name_conflict, b"n", ON_A)),
    ]


async def test_callables_pairs_and_funs(methods: Methods) -> None:
    def nobody(name: Any, theirs: Pid, ours: Pid) -> None:
        return None

    async def theirs(name: Any, theirs: Pid, ours: Pid) -> Pid:
        return theirs

    actor = Actor()
    for method, winner in (
        (nobody, atom.none),
        (theirs, ON_A),
        (("mine", "pick"), ON_B),
        (ExportFun("mine", "pick", 3), ON_B),
    ):
        term = methods.term(method)
        assert await methods.resolve_it(actor, term, b"n", ON_A, ON_B) == winner
    assert methods.term(nobody) == methods.term(nobody)
    assert methods.term(nobody) != methods.term(theirs)


@pytest.mark.parametrize(
    ("method", "error"),
    [("random", ValueError), (7, TypeError), (("one",), TypeError),
     (ExportFun("m", "f", 2), TypeError)],
)  # fmt: skip
def test_what_is_no_method(methods: Methods, method: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        methods.term(method)


async def test_a_method_that_fails_or_is_missing_is_an_exit(methods: Methods) -> None:
    def fail(name: Any, theirs: Pid, ours: Pid) -> Pid:
        raise ValueError("no idea")

    for method in (methods.term(fail), ExportFun("no", "where", 3), atom.none):
        assert (await methods.resolve_it(Actor(), method, b"n", ON_A, ON_B))[0] == atom.EXIT
    assert (await methods.resolve_it(Actor(), methods.term(fail), b"n", 1, 2))[0] == atom.EXIT


# --------------------------------------------------------------------------- names


def test_a_str_is_no_global_name() -> None:
    with pytest.raises(TypeError) as caught:
        checked_name("manager")
    for spelling in ("atom.manager", "charlist('manager')", "b'manager'"):
        assert spelling in str(caught.value)
    with pytest.raises(TypeError, match=r"atom\('odd name'\)"):
        checked_name("odd name")
    with pytest.raises(TypeError):
        checked_name(object())
    assert checked_name(charlist("manager")) == charlist("manager")


def test_a_name_is_a_copy() -> None:
    name = [1, 2]
    kept = checked_name(name)
    name.append(3)
    assert kept == [1, 2]


# --------------------------------------------------------------------------- reports


def test_only_rising_numbers_of_one_life_are_news() -> None:
    lost = LostConnections()
    assert lost.is_news(A, 1, -5, B)
    assert not lost.is_news(A, 1, -5, B)
    assert not lost.is_news(A, 1, -6, B)
    assert lost.is_news(A, 1, 0, B)
    assert lost.is_news(A, 2, -9, B)  # another life
    assert lost.is_news(B, 2, -9, A)


def test_the_memory_of_reports_is_bounded() -> None:
    lost = LostConnections(most=3)
    for number in range(5):
        assert lost.is_news(Atom(f"n{number}@h"), 1, 1, B)
    assert not lost.is_news(Atom("n4@h"), 1, 1, B)
    assert lost.is_news(Atom("n0@h"), 1, 1, B)  # forgotten


# --------------------------------------------------------------------------- locking


def joined(seed: int, *names: str) -> tuple[Cluster, list[Any]]:
    cluster = Cluster(Random(seed))
    nodes = cluster.start(*names)
    for node in nodes[1:]:
        cluster.connect(nodes[0].name, node.name)
    cluster.settle()
    return cluster, nodes


@pytest.mark.parametrize("seed", range(10))
def test_one_of_many_gets_the_lock_and_then_the_next(seed: int) -> None:
    cluster, nodes = joined(seed, "a@h", "b@h", "c@h")
    everywhere = [node.name for node in nodes]
    holders = [node.spawn() for node in nodes]
    wanted = [
        node.set_lock(pid, atom.thing, everywhere, None)
        for node, pid in zip(nodes, holders, strict=True)
    ]
    served = []
    for _ in nodes:
        while not any(promise.done for promise in wanted):
            assert cluster.step()
        [index] = [i for i, promise in enumerate(wanted) if promise.done]
        held = {n.server.locks.get(atom.thing).requester for n in nodes}
        assert held == {holders[index]}
        served.append(index)
        wanted[index].done = False
        cluster.wait(nodes[index].del_lock(holders[index], atom.thing, everywhere))
    assert sorted(served) == [0, 1, 2]
    cluster.settle()
    assert all(len(node.server.locks) == 0 for node in nodes)


class Done(Exception):
    pass


class ScriptedPorts:
    """Ports of a locker: everybody says yes, and messages come from a list."""

    def __init__(self, node: Atom, messages: list[Any]) -> None:
        self.node = node
        self.pid = Pid(node, 1, 0, 1)
        self.messages = messages
        self.calls: list[tuple[Any, list[Atom]]] = []
        self.casts: list[tuple[Atom, Any]] = []

    async def multi_call(self, nodes: Any, request: Any) -> list[tuple[Atom, Any]]:
        self.calls.append((request[0], list(nodes)))
        return [(node, True) for node in nodes]

    async def receive(self, match: Any = None, timeout: float | None = None) -> Any:
        if match is not None and timeout == 0:
            return NO_MESSAGE
        if not self.messages:
            raise Done
        return self.messages.pop(0)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a locker does not sleep")

    def cast(self, node: Atom, message: Any) -> None:
        self.casts.append((node, message))

    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_locker_locks_its_rival_with_its_own_partition(cancelled: bool) -> None:
    """The rival's node is locked too: what keeps two pairs of nodes from a deadlock."""
    me, boss, rival = Atom("m@h"), Atom("z@h"), Atom("r@h")
    his = Pid(rival, 3, 0, 1)
    greeting = (atom.his_the_locker, his, 8, 50, 60)
    end: Any = (atom.lock_set, his, False, [], 60)
    if cancelled:
        end = (atom.cancel, rival, 60, [(boss, atom.news)])
    # After the greeting nothing comes twice (at once, and in time): he begins.
    ports = ScriptedPorts(me, [greeting, NO_MESSAGE, NO_MESSAGE, end, NO_MESSAGE])
    host = SimpleNamespace(monitor=lambda pid: None, demonitor=lambda ref: None)
    locker = Locker(ports, LockTable(host), lambda *_: None, [boss])
    with pytest.raises(Done):
        await locker.run()
    lock, unlock = atom.set_lock, atom.del_lock
    assert ports.calls == [
        (lock, [boss]),
        (lock, [me, rival]),
        (unlock, [me, rival]),
        (unlock, [boss]),
    ]
    told = (rival, (atom.lock_set, ports.pid, True, [boss], 50))
    assert ports.casts == ([told, (boss, atom.news)] if cancelled else [told])


def test_retries_are_counted_and_leave_nothing_behind() -> None:
    cluster, (a, b) = joined(1, "a@h", "b@h")
    names = [a.name, b.name]
    holder, other = a.spawn(), b.spawn()
    assert cluster.wait(a.set_lock(holder, atom.thing, [a.name], 0)) is True
    before = cluster.now
    assert cluster.wait(b.set_lock(other, atom.thing, names, 2)) is False
    assert cluster.now > before  # it waited in between
    assert b.server.locks.get(atom.thing) is None
    cluster.exit(holder)
    assert cluster.wait(b.set_lock(other, atom.thing, names, 3)) is True


def test_a_node_that_is_away_does_not_refuse() -> None:
    cluster, (a,) = joined(1, "a@h")
    names = [a.name, Atom("away@h")]
    assert cluster.wait(a.set_lock(a.spawn(), atom.thing, names, 0)) is True


@pytest.mark.parametrize("seed", range(10))
def test_two_that_register_one_name_do_not_both_get_it(seed: int) -> None:
    cluster, (a, b, c) = joined(seed, "a@h", "b@h", "c@h")
    results = [node.register(charlist("n"), node.spawn()) for node in (a, b, c)]
    cluster.settle()
    assert sorted(promise.value for promise in results) == [False, False, True]
    assert a.table() == b.table() == c.table()


def test_a_process_has_one_global_name() -> None:
    cluster, (a, _) = joined(1, "a@h", "b@h")
    pid = a.spawn()
    assert cluster.wait(a.register(b"one", pid)) is True
    assert cluster.wait(a.register(b"two", pid)) is False
