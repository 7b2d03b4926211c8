"""``node.pg`` on Python nodes: scopes, groups, monitors, and what peers send."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from pynode.behaviours import GenServer
from pynode.errors import AlreadyStarted, NameError_, NodeDown, PeerBusy, ProcessDead
from pynode.node import Node
from pynode.process.process import Process
from pynode.services.pg import processes
from pynode.services.pg.scope import Scope
from pynode.terms import Pid, Record, TermMap, atom, charlist
from pynode.testing import eventually, members, receives

CREW = charlist("crew")


async def live(process: Process) -> None:
    """The body of a process that lives until it is told to stop."""
    await process.receive(lambda message: message == atom.stop)


@pytest.fixture
async def node(py_node: Any) -> AsyncGenerator[Node]:
    async with py_node() as started:
        yield started


@pytest.fixture
async def pair(py_node: Any) -> AsyncGenerator[tuple[Node, Node]]:
    """Two connected nodes with the default scope, each known to the other."""
    async with py_node(start_pg=True) as one, py_node(start_pg=True) as two:
        await one.connect(two.name)
        await met(one, two)
        yield one, two


async def met(*nodes: Node, scope: Any = "pg") -> None:
    """Wait until the scope processes know each other."""
    everybody = {node.whereis(scope) for node in nodes}

    def all_met() -> bool:
        return all(
            {node.whereis(scope), *node.pg._find(scope).peers()} == everybody for node in nodes
        )

    await eventually(all_met)


async def sees(node: Node, group: Any, pids: list[Pid], scope: Any = None) -> None:
    await eventually(lambda: Counter(members(node, group, scope)) == Counter(pids))


# --------------------------------------------------------------------------- scopes


async def test_the_default_scope_starts_at_its_first_use(node: Node) -> None:
    assert node.whereis("pg") is None
    assert node.pg.which_scopes() == []
    assert node.pg.get_members(CREW) == []
    assert node.whereis("pg") is not None
    assert node.pg.which_scopes() == [atom.pg]


async def test_or_together_with_the_node(py_node: Any) -> None:
    async with py_node(start_pg=True) as node:
        assert node.whereis("pg") is not None


async def test_other_scopes_have_to_be_started(node: Node) -> None:
    for use in (
        lambda: node.pg.join(CREW, node.main.pid, "mine"),
        lambda: node.pg.leave(CREW, node.main.pid, "mine"),
        lambda: node.pg.get_members(CREW, "mine"),
        lambda: node.pg.get_local_members(CREW, "mine"),
        lambda: node.pg.which_groups("mine"),
        lambda: node.pg.which_local_groups("mine"),
        lambda: node.pg.monitor(CREW, "mine"),
        lambda: node.pg.monitor_scope("mine"),
        lambda: node.pg.demonitor(node.make_ref(), "mine"),
    ):
        with pytest.raises(NameError_, match=r"node\.pg\.start\('mine'\)"):
            use()
    started = node.pg.start("mine")
    assert node.whereis("mine") == started
    node.pg.join(CREW, node.main.pid, "mine")
    assert node.pg.get_members(CREW, atom.mine) == [node.main.pid]
    assert node.pg.get_members(CREW) == []
    with pytest.raises(AlreadyStarted) as caught:
        node.pg.start("mine")
    assert caught.value.pid == started


async def test_a_linked_scope_ends_with_who_started_it(node: Node) -> None:
    async def starter(process: Process) -> None:
        node.pg.start_link("mine")
        await live(process)

    pid = node.spawn(starter)
    await eventually(lambda: node.whereis("mine"))
    node.exit(pid, atom.boom)
    assert node.whereis("mine") is None
    assert node.pg.which_scopes() == []


async def test_a_killed_scope_forgets_and_starts_again(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.pg.join(CREW, one.main.pid)
    await sees(two, CREW, [one.main.pid])
    scope = one.whereis("pg")
    assert scope is not None
    two.exit(scope, atom.kill)
    await sees(two, CREW, [])
    assert one.pg.get_members(CREW) == []
    one.pg.join(CREW, [one.main.pid])
    await sees(two, CREW, [one.main.pid])
    assert all(process.alive for process in one.runtime.system)


async def test_a_scope_outlives_the_programs_processes_at_the_stop(node: Node) -> None:
    found: list[Any] = []

    async def last_words(process: Process) -> None:
        process.trap_exit = True
        node.send(node.main.pid, atom.ready)
        await process.receive()
        found.append(pg.get_members(CREW))

    pg, me = node.pg, node.main.pid
    pg.join(CREW, node.main.pid)
    node.spawn(last_words)
    await receives(node.main, atom.ready)
    await node.stop()
    assert found == [[me]]


async def test_scopes_end_with_the_node(py_node: Any) -> None:
    async with py_node() as node:
        pg = node.pg
        pg.start("mine")
        pg.join(CREW, node.main.pid)
    with pytest.raises(NodeDown):
        pg.get_members(CREW)
    with pytest.raises(NameError_):
        pg.get_members(CREW, "mine")


# --------------------------------------------------------------------------- groups


async def test_a_str_is_no_group(node: Node) -> None:
    for use in (
        lambda: node.pg.join("crew", node.main.pid),
        lambda: node.pg.leave("crew", node.main.pid),
        lambda: node.pg.get_members("crew"),
        lambda: node.pg.get_local_members("crew"),
        lambda: node.pg.monitor("crew"),
    ):
        with pytest.raises(
            TypeError, match=r"pg group.* atom\.crew, charlist\('crew'\) or b'crew'"
        ):
            use()


async def test_what_cannot_join(node: Node) -> None:
    stranger = Pid(atom("other@localhost"), 1, 0, 1)
    with pytest.raises(ValueError, match="not of this node"):
        node.pg.join(CREW, [node.main.pid, stranger])
    with pytest.raises(ValueError, match="not of this node"):
        node.pg.leave(CREW, stranger)
    with pytest.raises(TypeError, match="pids"):
        node.pg.join(CREW, [node.main.pid, atom.me])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="term"):
        node.pg.join(object(), node.main.pid)
    record = Record(atom.m, atom.r, True, ((atom.x, 1),))
    with pytest.raises(TypeError, match="cannot take"):
        node.pg.join((1, record), node.main.pid)
    assert node.pg.which_groups() == []


async def test_join_and_leave(node: Node) -> None:
    one, two = node.spawn(live), node.spawn(live)
    node.pg.join(CREW, one)
    node.pg.join(CREW, (two, one))
    node.pg.join((b"x", "text"), iter([two]))
    assert Counter(node.pg.get_members(CREW)) == {one: 2, two: 1}
    assert node.pg.get_local_members(CREW) == node.pg.get_members(CREW)
    assert node.pg.get_members((b"x", b"text")) == [two]
    assert node.pg.which_groups() == node.pg.which_local_groups() == [CREW, (b"x", b"text")]
    assert node.pg.leave(CREW, [one, one]) is True
    assert node.pg.leave(CREW, one) is False
    assert node.pg.get_members(CREW) == [two]
    node.exit(two, atom.kill)
    await eventually(lambda: node.pg.which_groups() == [])


async def test_a_group_is_not_the_callers_list(node: Node) -> None:
    group = charlist("crew")
    node.pg.join(group, node.main.pid)
    group.append(1)
    node.pg.which_groups()[0].append(1)
    for name in node.pg.monitor_scope()[1]:
        name.append(1)
    assert node.pg.which_groups() == [CREW]


async def test_the_dead_join_for_a_moment_only(node: Node) -> None:
    gone = node.spawn(live)
    node.exit(gone, atom.kill)
    node.pg.join(CREW, gone)
    await sees(node, CREW, [])


# --------------------------------------------------------------------------- monitors


async def test_a_monitor_belongs_to_the_acting_process(node: Node) -> None:
    async def watcher(process: Process) -> None:
        ref, found = node.pg.monitor(CREW)
        assert found == [node.main.pid]
        node.send(node.main.pid, (atom.watching, ref))
        node.send(node.main.pid, (atom.told, await process.receive()))

    node.pg.join(CREW, node.main.pid)
    node.spawn(watcher)
    _, ref = await receives(node.main, lambda message: message[0] == atom.watching)
    node.pg.join(CREW, node.main.pid)
    await receives(node.main, (atom.told, (ref, atom.join, CREW, [node.main.pid])))


async def test_demonitor_takes_its_messages_out_of_the_mailbox(node: Node) -> None:
    first, _ = node.pg.monitor(CREW)
    second, everything = node.pg.monitor_scope()
    assert everything == TermMap()
    node.send(node.main.pid, (first, atom.other, CREW, []))
    for _ in range(3):
        node.pg.join(CREW, node.main.pid)
    assert node.pg.demonitor(first) is True
    assert node.pg.demonitor(first) is False
    node.pg.leave(CREW, [node.main.pid])
    await receives(node.main, (first, atom.other, CREW, []))
    expected = [(second, atom.join, CREW, [node.main.pid])] * 3
    expected += [(second, atom.leave, CREW, [node.main.pid])]
    assert [await node.main.receive(timeout=0) for _ in range(4)] == expected
    with pytest.raises(TimeoutError):
        await node.main.receive(timeout=0)


async def test_a_monitor_ends_with_its_process(node: Node) -> None:
    async def watcher(process: Process) -> None:
        node.pg.monitor(CREW)
        await live(process)

    scope = node.pg._find("pg")
    pid = node.spawn(watcher)
    await eventually(lambda: scope._monitored)
    node.send(pid, atom.stop)
    await eventually(lambda: not scope._monitored)


async def test_who_has_ended_cannot_monitor(node: Node) -> None:
    process = node.runtime.spawn(None)
    node.exit(process.pid, atom.kill)
    for monitor in (lambda: node.pg.monitor(CREW), node.pg.monitor_scope):
        with pytest.raises(ProcessDead):
            process.own_context().run(monitor)


# --------------------------------------------------------------------------- two nodes


async def test_what_each_had_before_and_what_changes_after(py_node: Any) -> None:
    async with py_node() as one, py_node() as two:
        early, late = one.spawn(live), one.spawn(live)
        one.pg.join(CREW, [early, early])
        theirs = two.spawn(live)
        two.pg.join(CREW, theirs)
        await one.connect(two.name)
        await sees(one, CREW, [early, early, theirs])
        await sees(two, CREW, [early, early, theirs])
        one.pg.join(atom.more, late)
        await sees(two, atom.more, [late])
        assert two.pg.get_local_members(atom.more) == []
        assert two.pg.which_local_groups() == [CREW]
        one.send(early, atom.stop)
        await sees(two, CREW, [theirs])
        one.pg.leave(atom.more, late)
        await sees(two, atom.more, [])
        assert two.pg.which_groups() == [CREW]


async def test_a_scope_started_after_the_connection(py_node: Any) -> None:
    async with py_node() as one, py_node() as two:
        await one.connect(two.name)
        await eventually(lambda: two.nodes() == [one.name])
        one.pg.start("mine")
        one.pg.join(CREW, one.main.pid, "mine")
        two.pg.start("mine")
        await sees(two, CREW, [one.main.pid], "mine")
        assert two.whereis("pg") is None


async def test_a_lost_connection_and_a_new_one(pair: tuple[Node, Node]) -> None:
    one, two = pair
    ours, theirs = one.spawn(live), two.spawn(live)
    one.pg.join(CREW, ours)
    two.pg.join(CREW, theirs)
    await sees(one, CREW, [ours, theirs])
    ref, _ = one.pg.monitor(CREW)
    one.disconnect(two.name)
    one.pg.join(atom.now, ours)
    assert not one.net.is_connecting(two.name)  # telling peers connects to nobody
    await sees(one, CREW, [ours])
    await sees(two, CREW, [theirs])
    one.pg.join(CREW, ours)
    two.pg.leave(CREW, theirs)
    two.pg.join(atom.new, theirs)
    await one.connect(two.name)
    await sees(two, CREW, [ours, ours])
    await sees(one, atom.new, [theirs])
    assert one.pg.get_members(CREW) == [ours, ours]
    await receives(one.main, (ref, atom.leave, CREW, [theirs]))
    await receives(one.main, (ref, atom.join, CREW, [ours]))


async def test_members_go_with_their_node(py_node: Any) -> None:
    async with py_node() as one:
        async with py_node() as two:
            two.pg.join(CREW, two.main.pid)
            one.pg.which_groups()
            await one.connect(two.name)
            await sees(one, CREW, [two.main.pid])
        await sees(one, CREW, [])


async def test_a_hidden_node_keeps_its_groups_to_itself(py_node: Any) -> None:
    async with py_node(start_pg=True) as one, py_node(start_pg=True, hidden=True) as hidden:
        await hidden.connect(one.name)
        await eventually(lambda: one.nodes("hidden"))
        for scope in ("pg", "late"):
            for node in (one, hidden):
                if scope == "late":
                    node.pg.start(scope)
                node.pg.join(CREW, node.main.pid, scope)
            assert await hidden.ping(one.name)  # what was to be said has been said
            assert await one.ping(hidden.name)
            for node in (one, hidden):
                assert node.pg.get_members(CREW, scope) == [node.main.pid]


# --------------------------------------------------------------------------- from threads


class Worker(GenServer, blocking=True):
    def handle_call(self, request: Any, caller: Any) -> Any:
        pg = self.node.pg
        match request:
            case atom.join:
                ref, found = pg.monitor(CREW)
                pg.join(CREW, self.pid)
                return ref, found, pg.get_members(CREW), pg.which_groups()
        return None

    def handle_info(self, message: Any) -> None:
        self.node.send(self.node.main.pid, (self.pid, message))


async def test_a_blocking_server_joins_from_its_thread(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, join, threads = await node.start(Worker), Scope.join, []

    def note(scope: Scope, *args: Any) -> None:
        threads.append(threading.get_ident())
        join(scope, *args)

    monkeypatch.setattr(Scope, "join", note)
    ref, found, now, groups = await node.call(worker, atom.join)
    assert (found, now, groups) == ([], [worker], [CREW])
    await receives(node.main, (worker, (ref, atom.join, CREW, [worker])))
    assert threads == [threading.get_ident()]  # the table is the loop's


def test_a_node_in_a_thread(py_node: Any) -> None:
    def options() -> dict[str, Any]:
        config = py_node("thread").config
        return {"cookie": config.cookie, "epmd_port": config.epmd_port}

    with Node.in_thread("thread@localhost", **options()) as node:
        me = node.run(lambda: node.node.main.pid)
        node.pg.join(CREW, me)
        assert node.pg.get_members(CREW) == [me]
        ref, found = node.pg.monitor(CREW)
        assert found == [me]
        assert node.pg.leave(CREW, me)
        assert node.receive(timeout=10) == (ref, atom.leave, CREW, [me])


# --------------------------------------------------------------------------- bad input


def nonsense(peer: Pid) -> list[Any]:
    cast = atom("$gen_cast")
    return [
        atom.hello,
        (),
        (1, 2),
        [],
        {},
        b"x",
        (cast, atom.x),
        (cast, (atom.sync, peer, atom.x)),
        (cast, (atom.sync, peer, [atom.x])),
        (cast, (atom.sync, peer, [(1, peer)])),
        (cast, (atom.sync, peer, [(1, [1])])),
        (cast, (atom.sync, atom.x, [])),
        (atom("$gen_call"), (peer, peer), atom.monitor),
        (atom("$gen_call"), atom.x, atom.monitor),
        (atom.discover, atom.x),
        (atom.discover, atom.x, 1),
        (atom.discover, peer, 1, 2),
        (atom.join, peer, CREW, atom.x),
        (atom.join, peer, CREW, [peer, 1]),
        (atom.join, atom.x, CREW, [peer]),
        (atom.leave, peer, peer, atom.x),
        (atom.leave, peer, 1, [CREW]),
        (atom.leave, peer, peer, [1, 2, 3]),
        (atom.update, peer, [(CREW, [peer], [])]),
        (atom.local_data, peer, 1, {atom.x: [peer]}),
        (atom.nodeup, 1),
        (atom.nodeup, atom("nobody@localhost")),
        (atom.nodedown, 1),
        (atom.DOWN, 1, 2, 3, 4),
        (atom.system, (peer, 1), atom.get_state),
    ]


async def test_no_message_ends_a_scope(
    pair: tuple[Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair
    scope, peer = one.whereis("pg"), two.whereis("pg")
    assert scope is not None
    assert peer is not None
    two.pg.join(CREW, two.main.pid)
    await sees(one, CREW, [two.main.pid])
    with caplog.at_level(logging.WARNING, "pynode.pg"):
        for message in nonsense(peer):
            two.send(scope, message)
        two.pg.join(atom.after, two.main.pid)
        await sees(one, atom.after, [two.main.pid])
    assert one.whereis("pg") == scope
    assert one.pg.get_members(CREW) == [two.main.pid]
    assert one.pg.which_groups() == [CREW, atom.after]
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert any("malformed" in record.message for record in caplog.records)
    assert any("unexpected" in record.message for record in caplog.records)


async def test_nor_does_a_failure_in_it(
    pair: tuple[Node, Node], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    scope = one.whereis("pg")

    def fail(*args: Any) -> None:
        raise ValueError("no")

    with monkeypatch.context() as patch:
        patch.setattr(one.pg._find("pg"), "joined", fail)
        two.pg.join(CREW, two.main.pid)
        await eventually(lambda: "could not handle" in caplog.text)
    two.pg.join(atom.after, two.main.pid)
    await sees(one, atom.after, [two.main.pid])
    assert one.whereis("pg") == scope


async def test_a_peer_that_is_no_scope(pair: tuple[Node, Node]) -> None:
    """Any process of a node may say that it is one; it is told, and goes with its end."""
    one, two = pair
    scope = one.whereis("pg")
    assert scope is not None

    async def pretend(process: Process) -> None:
        two.send(scope, (atom.discover, process.pid))
        two.send(scope, (atom.join, process.pid, atom.fake, [process.pid]))
        await live(process)

    pid = two.spawn(pretend)
    await sees(one, atom.fake, [pid])
    assert two.pg.get_members(atom.fake) == []  # who is told by one is not told by others
    two.send(pid, atom.stop)
    await sees(one, atom.fake, [])


async def test_a_busy_node_is_told_later(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    monkeypatch.setattr(processes, "_BUSY_PAUSE", 0)
    send, released = one.runtime.send, asyncio.Event()

    def refuse(process: Process, dest: Any, message: Any, **options: Any) -> None:
        if dest == two.whereis("pg") and not released.is_set():
            raise PeerBusy(two.name.name, 1)
        send(process, dest, message, **options)

    async def drain(dest: Any) -> None:
        assert dest == two.name
        await released.wait()

    monkeypatch.setattr(one.runtime, "send", refuse)
    monkeypatch.setattr(one.runtime, "drain", drain)
    one.pg.join(CREW, [one.main.pid])
    one.pg.join(atom.more, [one.main.pid])
    one.pg.leave(CREW, [one.main.pid])
    one.pg.join(CREW, [one.main.pid, one.main.pid])
    assert two.pg.which_groups() == []
    released.set()
    await sees(two, CREW, [one.main.pid] * 2)
    await sees(two, atom.more, [one.main.pid])


async def test_a_wait_for_a_busy_node_ends_with_the_scope(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    monkeypatch.setattr(processes, "_BUSY_PAUSE", 0)
    scope = one.pg._scopes[atom.pg]
    released = asyncio.Event()

    async def drain(dest: Any) -> None:
        await released.wait()

    monkeypatch.setattr(one.runtime, "drain", drain)
    scope.when_drained(two.name)
    scope.when_drained(two.name)
    assert len(scope._waiting) == 1
    called: list[Any] = []
    monkeypatch.setattr(scope.scope, "drained", called.append)
    one.exit(scope.pid, atom.kill)
    released.set()
    await eventually(lambda: not scope._waiting)
    assert called == []
