"""The node as a program starts, uses and stops it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pynode import (
    CallTimeout,
    ConfigError,
    CookieError,
    GenServer,
    NameTakenError,
    Node,
    NodeDown,
    NodeNameError,
    NoSuchNode,
    PartitionSupervisor,
    PortClosed,
    Process,
    Supervisor,
    TaskSupervisor,
    atom,
    call,
    cast,
    charlist,
    elixir,
    monitor,
    self_,
    send,
    wait,
)
from pynode.testing import Epmd
from pynode.thread import NodeThread


@pytest.fixture
def epmd_port() -> int:
    """A free port: the first node starts the EPMD there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def options(epmd_port: int) -> dict[str, Any]:
    return {"cookie": "test", "epmd_port": epmd_port}


class Counter(GenServer):
    def init(self, start: int) -> None:
        self.count = start

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case atom.bump:
                self.count += 1
                return self.count
            case atom.node:
                return self.node.name
            case atom.thread:
                return threading.current_thread() is threading.main_thread()
        return None

    def handle_cast(self, request: Any) -> None:
        send(request, (atom.cast_from, self.pid))


class Slow(GenServer, blocking=True):
    def init(self, gate: threading.Event) -> None:
        self.gate = gate

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case atom.wait:
                assert self.gate.wait(10)
                return threading.current_thread() is threading.main_thread()
            case (atom.ask, server):
                return wait(call(server, atom.bump)), self_() == self.pid
        return None


# --------------------------------------------------------------------------- start and stop


async def test_a_node_starts_in_one_task_and_stops_in_another(options: dict[str, Any]) -> None:
    node = await asyncio.create_task(Node.start("py@localhost", **options))
    assert node.nodes("this") == [atom("py@localhost")]
    await asyncio.create_task(node.stop())
    await node.stop()
    for use in (
        lambda: node.send(atom.nobody, 1),
        lambda: node.main,
        node.nodes,
        node.registered,
        node.make_ref,
    ):
        with pytest.raises(NodeDown):
            use()
    with pytest.raises(NodeDown):
        await node.connect("other@localhost")


async def test_a_node_object_is_started_once(options: dict[str, Any]) -> None:
    async with Node("py@localhost", **options) as node:
        with pytest.raises(NodeDown, match="started once"):
            await node.__aenter__()
        assert "running" in repr(node)
    with pytest.raises(NodeDown, match="started once"):
        await node.__aenter__()
    assert "stopped" in repr(node)


async def test_two_nodes_in_one_interpreter_and_their_processes(options: dict[str, Any]) -> None:
    async with Node("a@localhost", **options) as a, Node("b@localhost", **options) as b:
        counter = await b.start(Counter, 10, name="counter")
        await a.connect(b.name)
        assert a.nodes() == [b.name]
        assert await a.ping(b.name)
        assert await b.ping(a.name)
        assert await a.call(("counter", b.name), atom.bump) == 11
        assert await b.call("counter", atom.node) == b.name
        seen = []

        async def asker(process: Process) -> None:
            seen.append(await call(counter, atom.bump))
            cast(counter, self_())
            seen.append(await process.receive(timeout=5))

        ref = a.monitor(a.spawn(asker))
        down = await a.main.receive(timeout=5)
        assert down[1] == ref
        assert down[4] == atom.normal
        assert seen == [12, (atom.cast_from, counter)]


async def test_the_creation_of_a_new_life_differs(options: dict[str, Any]) -> None:
    async with Node("first@localhost", **options):
        async with Node("py@localhost", **options) as node:
            first = node.creation, node.main.pid
        async with Node("py@localhost", **options) as node:
            assert node.creation != first[0]
            assert node.main.pid != first[1]
            node.send(first[1], atom.stale)
            node.send(node.main.pid, atom.fresh)
            assert await node.main.receive(timeout=5) == atom.fresh


async def test_stopping_ends_processes_with_shutdown_and_tells_the_others(
    options: dict[str, Any],
) -> None:
    async with Node("a@localhost", **options) as a:
        b = await Node.start("b@localhost", **options)
        pid = b.spawn(_wait_for_ever)
        ref = a.monitor(pid)
        a.monitor_node(b.name)
        await a.connect(b.name)
        assert await a.ping(b.name)
        await b.stop()
        assert await a.main.receive(lambda m: m[0] == atom.DOWN, timeout=5) == (
            atom.DOWN,
            ref,
            atom.process,
            pid,
            atom.shutdown,
        )
        assert await a.main.receive(timeout=5) == (atom.nodedown, b.name)
        assert a.nodes() == []


async def _wait_for_ever(process: Process) -> None:
    await process.receive(lambda message: False)


async def test_a_cancelled_stop_still_leaves_in_good_order(options: dict[str, Any]) -> None:
    async with Node("a@localhost", **options) as a:
        b = await Node.start("b@localhost", **options)
        ended = asyncio.Event()

        async def lingers(process: Process) -> None:
            try:
                await process.receive()
            finally:
                await ended.wait()

        ref = a.monitor(b.spawn(lingers))
        await a.ping(b.name)
        stopping = asyncio.create_task(b.stop())
        down = await a.main.receive(timeout=5)
        assert (down[1], down[4]) == (ref, atom.shutdown)
        stopping.cancel()
        await asyncio.sleep(0)
        assert not stopping.done()
        ended.set()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        await b.stop()
        with pytest.raises(NodeDown):
            b.nodes()
        with pytest.raises(NoSuchNode):
            await a.connect(b.name)


# --------------------------------------------------------------------------- threads


def test_a_node_in_a_thread_serves_while_the_program_computes(epmd_port: int) -> None:
    with Node.in_thread("py@localhost", cookie="test", epmd_port=epmd_port) as thread:
        counter = thread.start(Counter, 10, name="counter")
        assert thread.call(counter, atom.bump) == 11
        assert thread.call("counter", atom.thread) is False
        assert thread.whereis("counter") == counter
        mute = thread.spawn(_wait_for_ever)
        with pytest.raises(CallTimeout):
            thread.call(mute, atom.nothing, timeout=0.01)
        thread.cast(counter, thread.node.main.pid)
        assert thread.receive(timeout=5) == (atom.cast_from, counter)
        assert thread.global_.register_name(atom.counter, counter)
        assert thread.call(("global", atom.counter), atom.bump) == 12
        thread.register("mute", mute)
        thread.send("mute", (atom.anything,))
        assert thread.nodes() == []
        assert not thread.ping("nobody@localhost")
        assert not thread.disconnect("nobody@localhost")
        with pytest.raises(NoSuchNode):
            thread.connect("nobody@localhost")
        assert thread.rpc.call(thread.name, "erlang", "node", []) == thread.name
        assert thread.erpc.call(thread.name, "erlang", "node", []) == thread.name
        with pytest.raises(RuntimeError, match="own thread"):
            thread.run(lambda: thread.run(thread.node.nodes))
    with pytest.raises(NodeDown):
        _ = thread.node
    thread.stop()


def test_a_node_in_a_thread_links_watches_and_ends_processes(epmd_port: int) -> None:
    thread = Node.in_thread("py@localhost", cookie="test", epmd_port=epmd_port)
    assert repr(thread) == "<NodeThread not started>"
    with thread:
        assert repr(thread) == "<NodeThread of <Node py@localhost running>>"
        assert thread.main.pid == thread.node.main.pid
        assert thread.creation == thread.node.creation
        pid, ref = thread.spawn_monitor(_wait_for_ever, name="mute")
        assert atom.mute in thread.registered()
        thread.exit(pid, atom.over)
        assert thread.receive(timeout=5) == (atom.DOWN, ref, atom.process, pid, atom.over)
        watched = thread.monitor(atom.mute)
        assert thread.receive(timeout=5)[1] == watched
        assert thread.demonitor(watched, info=True) is False
        linked = thread.spawn_link(_wait_for_ever)
        assert linked in (thread.main.links or {})
        thread.unlink(linked)
        assert linked not in (thread.main.links or {})
        thread.link(linked)
        assert linked in (thread.main.links or {})
        thread.unlink(linked)
        thread.register("linked", linked)
        thread.unregister("linked")
        assert thread.whereis("linked") is None
        counter = thread.start(Counter, 10, name="counter")
        assert thread.gen_server.call(counter, atom.bump) == 11
        assert thread.sys.get_state("counter")[atom.count] == 11
        thread.stop_server("counter")
        assert thread.whereis("counter") is None
        assert thread.make_ref() != thread.make_ref()
        thread.drain(thread.name)
        thread.set_cookie("other@localhost", "another")
        thread.monitor_nodes()
        thread.monitor_nodes(False)
        thread.monitor_node("nobody@localhost")
        assert thread.receive(timeout=5) == (atom.nodedown, atom("nobody@localhost"))
        assert thread.set_net_ticktime(thread.net_ticktime) == atom.unchanged
        thread.allow(["friend@localhost"])
        assert thread.allowed() == ["friend@localhost"]


def test_a_node_in_a_thread_supervises_and_runs_tasks(epmd_port: int) -> None:
    with Node.in_thread("py@localhost", cookie="test", epmd_port=epmd_port) as thread:
        thread.start(Supervisor, [(Counter, 10), (TaskSupervisor,)], name="top")
        assert thread.supervisor.count_children("top") == (2, 2, 1, 1)
        tasks = thread.supervisor.which_child("top", elixir("Task.Supervisor")).pid
        assert thread.task.async_(len, "four") == 4  # where everything waits, this does too
        task = thread.task_supervisor.async_(tasks, len, "four")
        assert thread.run(task.await_) == 4
        thread.start(PartitionSupervisor, (Counter, 1), name="parts", partitions=2)
        assert thread.partition_supervisor.partitions("parts") == 2


def test_a_node_in_a_thread_has_the_words_of_a_node(options: dict[str, Any]) -> None:
    node = Node("py@localhost", **options)
    words = {word for word in dir(node) if not word.startswith("_")}
    # The parts, and what gives objects that live on the node's loop: by ``thread.run``.
    words -= {"actor", "config", "discover", "in_thread", "net", "runtime", "services", "telemetry"}
    assert words - set(dir(NodeThread)) == set()


def test_a_node_in_a_thread_ticks_and_answers_while_the_program_computes(epmd_port: int) -> None:
    """The program says nothing to the second node meanwhile, which the first one calls."""
    options: dict[str, Any] = {"cookie": "test", "epmd_port": epmd_port, "net_ticktime": 0.8}
    with (
        Node.in_thread("one@localhost", **options) as one,
        Node.in_thread("two@localhost", **options) as two,
    ):
        two.start(Counter, 10, name="counter")
        one.connect(two.name)
        net = two.node.net
        answers: list[Any] = []

        def ask() -> None:
            answers.append(one.call(("counter", "two@localhost"), atom.bump))

        asking = threading.Thread(target=ask)
        asking.start()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (not answers or net.counters()["ticks_out"] < 3):
            sum(range(1000))
        asking.join()
        assert answers == [11]
        assert net.counters()["ticks_out"] >= 3
        assert net.counters()["connections_down"] == 0


def test_a_node_in_a_thread_that_cannot_start_raises_and_leaves_no_thread(epmd_port: int) -> None:
    before = threading.active_count()
    thread = Node.in_thread("py@localhost", cookie="test", epmd_port=epmd_port, start_epmd=False)
    with pytest.raises(Exception, match="EPMD"):
        thread.start_node()
    assert threading.active_count() == before


async def test_a_blocking_server_computes_in_a_thread_of_its_own(options: dict[str, Any]) -> None:
    async with Node("py@localhost", **options) as node:
        gate = threading.Event()
        slow = await node.start(Slow, gate)
        counter = await node.start(Counter, 0)
        waiting = asyncio.create_task(node.call(slow, atom.wait))
        assert await node.call(counter, atom.bump) == 1  # the node goes on
        gate.set()
        assert await waiting is False
        assert await node.call(slow, (atom.ask, counter)) == (2, True)


# --------------------------------------------------------------------------- what goes wrong


async def test_each_cause_has_its_own_error(options: dict[str, Any], epmd_port: int) -> None:
    async with Node("py@localhost", **options) as node:
        with pytest.raises(NoSuchNode, match="nobody"):
            await node.connect("nobody@localhost")
        with pytest.raises(NodeNameError, match="long"):
            await node.connect("long@127.0.0.1")
        with pytest.raises(NodeNameError):
            await node.connect("nohost")
        with pytest.raises(NodeNameError):
            await node.connect("py@localhost")
        assert not await node.ping("nobody@localhost")
        with pytest.raises(NameTakenError):
            await Node.start("py@localhost", **options)
        other: dict[str, Any] = {"cookie": "other", "epmd_port": epmd_port}
        async with Node("stranger@localhost", **other) as stranger:
            with pytest.raises(CookieError):
                await node.connect(stranger.name)
            stranger.set_cookie(node.name, "test")
            await node.connect(stranger.name)
            assert node.nodes() == [stranger.name]
            node.monitor_node(stranger.name)
        assert await node.main.receive(timeout=5) == (atom.nodedown, stranger.name)
        assert node.nodes("connected") == []


async def test_a_closed_port_is_told_from_an_absent_node(tmp_path: Path) -> None:
    with Epmd() as epmd:
        options: dict[str, Any] = {"cookie": "test", "epmd_port": epmd.port}
        async with (
            Node("py@localhost", **options) as node,
            Node("gone@localhost", **options) as gone,
        ):
            for listener in gone.net._listening.listeners:
                gone.net._listening.pause()
                listener.close()
            with pytest.raises(PortClosed):
                await node.connect("gone@localhost")


def test_options_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("", "py@", "a@b@c", "with blank@host"):
        with pytest.raises(ConfigError):
            Node(name, cookie="c")
    with pytest.raises(ConfigError, match="dot"):
        Node("py@host.domain", cookie="c", long_names=False)
    with pytest.raises(ConfigError, match="dot"):
        Node("py@host", cookie="c", long_names=True)
    with pytest.raises(ConfigError, match="empty"):
        Node("py@host", cookie="")
    with pytest.raises(ConfigError, match="Latin-1"):
        Node("py@host", cookie="\N{SNOWMAN}")
    monkeypatch.setenv("ERL_EPMD_PORT", "no")
    with pytest.raises(ConfigError, match="ERL_EPMD_PORT"):
        Node("py@host", cookie="c")
    monkeypatch.setenv("ERL_EPMD_PORT", "4370")
    assert Node("py@host", cookie="c").config.epmd_port == 4370
    assert Node("py@host", cookie="c").config.epmd_listen is None
    monkeypatch.setenv("ERL_EPMD_ADDRESS", "10.0.0.1, ::1,localhost")
    with pytest.raises(ConfigError, match="ERL_EPMD_ADDRESS has 'localhost'"):
        Node("py@host", cookie="c")


def test_where_the_cookie_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PYNODE_COOKIE", "variable")
    assert Node("py@host", cookie="given").config.cookie == b"given"
    assert Node("py@host").config.cookie == b"variable"
    monkeypatch.delenv("PYNODE_COOKIE")
    made = Node("py@host").config.cookie  # as OTP makes it
    file = tmp_path / ".erlang.cookie"
    assert file.read_bytes() == made
    assert len(made) == 20
    assert file.stat().st_mode & 0o777 == 0o400
    assert Node("py@host").config.cookie == made
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 400"):
        Node("py@host")
    mine = tmp_path / "mine"
    mine.write_text("  fromfile \n")
    mine.chmod(0o600)
    assert Node("py@host", cookie_file=mine).config.cookie == b"fromfile"
    mine.write_text("\n")
    with pytest.raises(ConfigError, match="empty"):
        Node("py@host", cookie_file=mine)
    with pytest.raises(ConfigError, match="absent"):
        Node("py@host", cookie_file=tmp_path / "absent")


async def test_the_embedded_epmd_listens_where_the_environment_says(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERL_EPMD_ADDRESS", "127.0.0.3,127.0.0.2")
    async with Node("py@localhost", **options) as node:
        assert node.net.epmd is not None
        assert sorted(node.net.epmd.addresses()) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


async def test_a_str_is_no_global_name(options: dict[str, Any]) -> None:
    async with Node("py@localhost", **options) as node:
        counter = await node.start(Counter, 0)
        with pytest.raises(TypeError, match=r"atom\.manager.*charlist.*b'manager'|atom.manager"):
            await node.global_.register_name("manager", counter)
        assert await node.global_.register_name(charlist("manager"), counter)
        assert await node.call(("global", charlist("manager")), atom.bump) == 1


async def test_outside_processes_module_functions_name_the_node_s() -> None:
    with pytest.raises(RuntimeError, match=r"node\.send"):
        send(atom.x, 1)
    with pytest.raises(RuntimeError, match=r"node\.send"):
        monitor(atom.x)
