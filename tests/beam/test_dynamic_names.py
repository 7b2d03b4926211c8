"""Nodes that get their name from their first peer, both sides, with real BEAMs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pynode import (
    Atom,
    ConfigError,
    GenServer,
    NoConnection,
    Node,
    NodeNameError,
    NoSuchNode,
    Pid,
    atom,
)
from pynode.testing import Beam, eventually, receives

NO_NAME = atom("nonode@nohost")

PyNode = Callable[..., Node]
MakeBeam = Callable[..., Beam]


class Counter(GenServer):
    def init(self) -> None:
        self.count = 0

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == atom.bump:
            self.count += 1
            return self.count
        return self.pid


def seen_hidden(beam: Beam) -> list[Atom]:
    found: list[Atom] = beam.rpc("erlang", "nodes", [atom.hidden])
    return found


# ------------------------------------------------------------------ as the one without a name


async def test_the_first_peer_gives_the_name(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    async with py_node("undefined") as node:
        assert node.name == NO_NAME
        assert node.nodes("connected") == []
        early = await node.start(Counter, name="counter")
        await node.connect(other.name)
        assert node.name != NO_NAME
        assert str(node.name).endswith("@localhost")
        assert node.creation > 3
        # hidden, both ways
        assert seen_hidden(other) == [node.name]
        assert other.rpc("erlang", "nodes") == []
        assert (node.nodes(), node.nodes("hidden")) == ([], [other.name])
        # names and pids of the processes from before work under the new name
        counter = node.whereis("counter")
        assert counter is not None
        assert (counter.node, counter.creation) == (node.name, node.creation)
        assert await other.aeval("gen_server:call({counter, N}, bump)", N=node.name) == 1
        assert await other.aeval("gen_server:call(P, bump)", P=counter) == 2
        assert await other.aeval("gen_server:call(P, who)", P=counter) == counter
        # and what the program kept from before still means the same process here
        assert await node.call(early, atom.bump) == 3
        assert node.runtime.is_alive(early)
        # out to the BEAM: rpc, a call, an echo to our pid
        assert await node.rpc.call(str(other.name), "erlang", "node", []) == other.name
        other.eval("Echo = spawn(fun() -> receive {F, X} -> F ! {self(), X} end end)")
        echo = other.eval("Echo")
        node.send(echo, (node.main.pid, 7))
        await receives(node.main, (echo, 7))


async def test_the_name_goes_with_the_connection_that_brought_it(
    beam: MakeBeam, py_node: PyNode
) -> None:
    one, two = beam(language="erlang", hidden=True), beam(language="erlang", hidden=True)
    async with py_node("undefined") as node:
        await node.start(Counter, name="counter")
        await node.connect(one.name)
        first = (node.name, node.creation)
        await node.connect(two.name)
        assert (node.name, node.creation) == first
        assert set(node.nodes("hidden")) == {one.name, two.name}
        two.eval("P = spawn(fun() -> receive stop -> ok end end)")
        ref = node.monitor(two.eval("P"))
        node.main.trap_exit = True
        node.disconnect(one.name)
        assert node.name == NO_NAME
        assert node.nodes("connected") == []
        await receives(node.main, lambda m: m[:2] == (atom.DOWN, ref) and m[4] == atom.noconnection)
        await eventually(lambda: seen_hidden(two) == [])
        # the processes live on, and the pool of the first peer gives the name again
        await eventually(lambda: seen_hidden(one) == [])
        await node.connect(one.name)
        assert (node.name, node.creation) == (first[0], first[1] + 1)
        assert await one.aeval("gen_server:call({counter, N}, bump)", N=node.name) == 1


async def test_the_peer_that_gave_the_name_ends(beam: MakeBeam, py_node: PyNode) -> None:
    one, two = beam(language="erlang"), beam(language="erlang")
    async with py_node("undefined") as node:
        node.monitor_nodes(node_type="all", nodedown_reason=True)
        await node.connect(one.name)
        first = node.name
        one.kill()
        await receives(
            node.main,
            lambda m: (
                m[:2] == (atom.nodedown, one.name)
                and (atom.nodedown_reason, atom.connection_closed) in m[2]
            ),
        )
        assert node.name == NO_NAME
        await node.connect(two.name)
        assert node.name not in (NO_NAME, first)


async def test_connecting_to_two_at_once_gets_one_name(beam: MakeBeam, py_node: PyNode) -> None:
    one, two = beam(language="erlang", hidden=True), beam(language="erlang", hidden=True)
    async with py_node("undefined") as node:
        await asyncio.gather(node.connect(one.name), node.connect(two.name))
        assert seen_hidden(one) == seen_hidden(two) == [node.name]


async def test_an_attempt_that_fails_lets_the_next_have_its_turn(
    beam: MakeBeam, py_node: PyNode
) -> None:
    other = beam(language="erlang")
    async with py_node("undefined") as node:
        failing = asyncio.ensure_future(node.connect("nobody@localhost"))
        waiting = asyncio.ensure_future(node.connect(other.name))
        with pytest.raises(NoSuchNode):
            await failing
        await waiting
        assert seen_hidden(other) == [node.name]


async def test_signals_do_not_connect_a_node_without_a_name(
    beam: MakeBeam, py_node: PyNode
) -> None:
    other = beam(language="erlang")
    async with py_node("undefined") as node:
        with pytest.raises(NoConnection):
            await node.call(("net_kernel", other.name), atom.x)
        ref = node.monitor(("x", other.name))
        down = (atom.DOWN, ref, atom.process, (atom.x, other.name), atom.noconnection)
        await receives(node.main, down)
        node.monitor_node(other.name)
        await receives(node.main, (atom.nodedown, other.name))
        # also while the connection is being made: the pids in the message are of no name yet
        attempt = asyncio.ensure_future(node.connect(other.name))
        await asyncio.sleep(0)
        ref = node.monitor(("init", other.name))
        await receives(node.main, lambda m: m[1] == ref and m[4] == atom.noconnection)
        await attempt
        assert await node.ping(other.name)
        ref = node.monitor(("init", other.name))
        assert node.demonitor(ref, info=True)


async def test_ping_is_a_way_to_connect(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    async with py_node("undefined") as node:
        assert await node.ping(other.name)
        assert seen_hidden(other) == [node.name]


async def test_no_name_at_all_is_this_machine_s(py_node: PyNode) -> None:
    assert Node(cookie="c").config.name == socket.gethostname().partition(".")[0]
    assert Node("undefined", cookie="c").config.name == Node(None, cookie="c").config.name
    assert Node("undefined@127.0.0.1", cookie="c").config.long_names
    assert not Node(None, cookie="c").config.long_names
    assert Node("undefined@box", cookie="c").config.hidden
    with pytest.raises(ConfigError, match="does not listen"):
        Node(None, cookie="c", port=4711)
    with pytest.raises(ConfigError, match="long names need a host with a dot"):
        Node("undefined@box", cookie="c", long_names=True)
    async with py_node("undefined") as node:
        with pytest.raises(NodeNameError, match="is a long name"):
            await node.connect("x@127.0.0.1")
        assert node.name == NO_NAME


# ------------------------------------------------------------------ as the one that gives names


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_beam_without_a_name_gets_one(
    beam: MakeBeam, py_node: PyNode, hidden: bool
) -> None:
    async with py_node(hidden=hidden) as node:
        node.monitor_nodes(node_type="all")
        await node.start(Counter, name="counter")
        client = beam("undefined", language="erlang")
        assert client.eval("node()") == NO_NAME
        assert await client.aeval("net_kernel:connect_node(N)", N=node.name) is True
        name = client.eval("node()")
        assert str(name).endswith("@localhost")
        await receives(node.main, (atom.nodeup, name, [(atom.node_type, atom.hidden)]))
        assert node.nodes("hidden") == [name]
        assert node.nodes() == []
        assert client.eval("nodes()") == []
        assert client.eval("nodes(hidden)") == [node.name]
        assert await client.aeval("gen_server:call({counter, N}, bump)", N=node.name) == 1
        assert await node.rpc.call(str(name), "erlang", "node", []) == name
        creation = (await pid_of(node, name)).creation
        # it leaves, and comes back: the same name, another life
        assert await client.aeval("net_kernel:disconnect(N)", N=node.name) is True
        await receives(node.main, lambda m: m[:2] == (atom.nodedown, name))
        await eventually(lambda: client.eval("node()") == NO_NAME)
        assert await client.aeval("net_kernel:connect_node(N)", N=node.name) is True
        assert client.eval("node()") == name
        assert (await pid_of(node, name)).creation == creation + 1
        # while it has that name, another gets another
        second = beam("undefined", language="erlang")
        assert await second.aeval("net_kernel:connect_node(N)", N=node.name) is True
        assert second.eval("node()") not in (NO_NAME, name)
        assert len(node.nodes("hidden")) == 2


async def pid_of(node: Node, name: Atom) -> Pid:
    found: Pid = await node.rpc.call(str(name), "erlang", "whereis", [atom.init])
    return found


async def test_python_gives_python_a_name(py_node: PyNode) -> None:
    async with py_node("host") as host, py_node("undefined") as node:
        await host.start(Counter, name="counter")
        await node.connect(host.name)
        assert host.nodes("hidden") == [node.name]
        assert await node.call(("counter", host.name), atom.bump) == 1
        assert node.nodes("hidden") == [host.name]
