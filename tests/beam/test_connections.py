"""What becomes of connections: tick times, the mesh or none, peers that come back, who may come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pynode import Atom, ConfigError, GenServer, Node, NotAllowed, Pid, atom
from pynode.testing import Beam, eventually, free_port, names, receives

PyNode = Callable[..., Node]
MakeBeam = Callable[..., Beam]


#: Nobody's EPMD: a node that asks it is refused.
NO_EPMD = 1


def anything(message: Any) -> bool:
    return True


class Echo(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


def ticktime(seconds: int) -> tuple[str, ...]:
    return ("-kernel", "net_ticktime", str(seconds))


def connected(beam: Beam) -> set[Atom]:
    return set(beam.rpc("erlang", "nodes", [atom.connected]))


async def ticks(node: Node, count: int) -> None:
    """Wait until ``count`` more ticks have come, and as many were sent."""
    before = node.net.counters()

    def enough() -> bool:
        now = node.net.counters()
        return all(now[way] >= before[way] + count for way in ("ticks_in", "ticks_out"))

    await eventually(enough, timeout=60)


# ------------------------------------------------------------------ tick times


async def test_another_tick_time(beam: MakeBeam, py_node: PyNode) -> None:
    """Idle for longer than the tick time, and nobody is given up; then one freezes, and is."""
    other = beam(language="erlang", arguments=ticktime(4))
    async with py_node(net_ticktime=4) as node:
        node.monitor_nodes(node_type="all", nodedown_reason=True)
        await node.connect(other.name)
        assert await node.rpc.call(str(other.name), "net_kernel", "get_net_ticktime", []) == 4
        assert await other.aeval("erpc:call(N, net_kernel, get_net_ticktime, [])", N=node.name) == 4
        await ticks(node, 5)
        assert node.nodes() == [other.name]
        other.pause()
        await gives_up(node, other.name)
        other.resume()
        await node.connect(other.name)
        # and the BEAM gives us up while this thread, and so our node, does nothing
        other.eval("net_kernel:monitor_nodes(true, [nodedown_reason])")
        code = "receive {nodedown, N, [{nodedown_reason, R}]} -> R end"
        assert other.eval(code, N=node.name, timeout=20) == atom.net_tick_timeout


async def gives_up(node: Node, name: Atom) -> None:
    facts = await receives(node.main, lambda m: m[:2] == (atom.nodedown, name), timeout=30)
    assert (atom.nodedown_reason, atom.net_tick_timeout) in facts[2]


async def test_a_tick_time_that_changes_on_both_sides(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    async with py_node() as node:
        node.monitor_nodes(node_type="all", nodedown_reason=True)
        await node.connect(other.name)
        assert node.net_ticktime == 60
        assert node.set_net_ticktime(60) == atom.unchanged
        # from 60 s to 4 s: the two sides are told one after the other
        assert node.set_net_ticktime(4, 3) == atom.change_initiated
        assert node.set_net_ticktime(5, 3) == (atom.ongoing_change_to, 4)
        asked = "erpc:call(N, net_kernel, get_net_ticktime, [])"
        assert await other.aeval(asked, N=node.name) == (atom.ongoing_change_to, 4)
        assert other.eval("net_kernel:set_net_ticktime(4, 3)") == atom.change_initiated
        await ticks(node, 5)
        await eventually(lambda: not node.net.ticker.changing)
        assert node.nodes() == [other.name]
        assert await other.aeval(asked, N=node.name) == 4
        await eventually(lambda: other.eval("net_kernel:get_net_ticktime()") == 4)
        # and back, the BEAM first
        assert other.eval("net_kernel:set_net_ticktime(60, 3)") == atom.change_initiated
        assert node.set_net_ticktime(60, 3) == atom.change_initiated
        await ticks(node, 2)
        await eventually(lambda: not node.net.ticker.changing)
        assert node.nodes() == [other.name]
        assert node.net_ticktime == 60


async def test_a_peer_that_freezes_after_the_change(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    async with py_node() as node:
        node.monitor_nodes(node_type="all", nodedown_reason=True)
        await node.connect(other.name)
        told = await node.rpc.call(str(other.name), "net_kernel", "set_net_ticktime", [3, 0])
        assert told == atom.change_initiated
        assert node.set_net_ticktime(3, 0) == atom.change_initiated
        await ticks(node, 4)
        other.pause()
        await gives_up(node, other.name)
        other.resume()


def test_a_tick_time_that_is_none() -> None:
    for seconds in (0, -5):
        with pytest.raises(ConfigError, match="net_ticktime is a positive number"):
            Node("py@localhost", cookie="c", net_ticktime=seconds)


# ------------------------------------------------------------------ connect_all


async def test_a_python_node_outside_the_mesh(beam: MakeBeam, py_node: PyNode) -> None:
    one, two = beam(language="erlang"), beam(language="erlang")
    one.eval("net_adm:ping(N)", N=two.name)
    assert two.eval("global:register_name(other, self())") == atom.yes
    async with py_node(connect_all=False) as node, py_node() as meshed:
        await node.connect(one.name)
        await meshed.connect(two.name)
        await eventually(lambda: set(meshed.nodes()) == {one.name, two.name})
        assert names(meshed) == [atom.other]
        # Visible to the one that it knows, and to nobody else.
        assert node.nodes() == [one.name]
        assert connected(one) == {node.name, meshed.name, two.name}
        assert connected(two) == {one.name, meshed.name}
        # Names of its own stay its own; nothing waits for the others.
        pid = await node.start(Echo)
        assert await node.global_.register_name(atom.mine, pid)
        assert names(node) == [atom.mine]
        assert await one.aeval("global:register_name(theirs, self())") == atom.yes
        await node.global_.sync()
        assert names(node) == [atom.mine]
        await eventually(lambda: names(meshed) == [atom.other, atom.theirs])
        # Signals connect as ever.
        assert await node.ping(two.name)
        assert set(node.nodes()) == {one.name, two.name}


async def test_a_beam_outside_the_mesh(beam: MakeBeam, py_node: PyNode) -> None:
    """It sends no init_connect, and what a Python node does with global does not wait for it."""
    alone = beam(language="erlang", arguments=("-connect_all", "false"))
    other = beam(language="erlang")
    async with py_node() as node, py_node() as second:
        await node.connect(alone.name)
        await node.connect(other.name)
        await node.connect(second.name)
        await eventually(lambda: set(second.nodes()) == {node.name, other.name})
        pid = await node.start(Echo)
        assert await node.global_.register_name(atom.echo, pid)
        await eventually(lambda: names(other) == names(second) == [atom.echo])
        await node.global_.sync([other.name, second.name])
        assert connected(alone) == {node.name}
        assert await alone.aeval("gen_server:call(P, hello)", P=pid) == atom.hello
        # Losing the one outside leaves the mesh alone.
        alone.kill()
        await eventually(lambda: alone.name not in node.nodes())
        assert set(node.nodes()) == {second.name, other.name}
        assert connected(other) == {node.name, second.name}


# ------------------------------------------------------------------ peers that come back


async def test_a_peer_that_is_killed_and_starts_again(beam: MakeBeam, py_node: PyNode) -> None:
    """Its connection ends with it: down before up, and what it had does not come back."""
    first = beam("phoenix", language="erlang")
    async with py_node() as node:
        node.main.trap_exit = True
        node.monitor_nodes()
        echo = await node.start(Echo, name="echo")
        await node.connect(first.name)
        first.eval(
            "Linked = spawn(fun() -> receive stop -> ok end end), global:register_name(x, Linked)"
        )
        old: Pid = first.eval("Linked")
        node.link(old)
        ref = node.monitor(old)
        await eventually(lambda: names(node) == [atom.x])
        await receives(node.main, (atom.nodeup, first.name))
        first.kill()
        first.start()
        assert await first.aeval("gen_server:call({echo, N}, 1)", N=node.name) == 1
        # one message of each kind, the end before the beginning
        assert await receives(node.main, anything) == (atom.EXIT, old, atom.noconnection)
        down = (atom.DOWN, ref, atom.process, old, atom.noconnection)
        assert await receives(node.main, anything) == down
        assert await receives(node.main, anything) == (atom.nodedown, first.name)
        assert await receives(node.main, anything) == (atom.nodeup, first.name)
        await eventually(lambda: names(node) == [])
        # pids of the former life mean nobody
        ref = node.monitor(old)
        await receives(node.main, (atom.DOWN, ref, atom.process, old, atom.noproc))
        assert await node.call(echo, 2) == 2


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_peer_that_starts_again_while_its_connection_lives(
    beam: MakeBeam, py_node: PyNode, hidden: bool
) -> None:
    """The first is frozen, as behind a network that is gone; the second is of the same name."""
    # A port that no connection is given: the twin listens on the same one, at its own address.
    async with py_node("py@127.0.0.2", port=free_port()) as node:
        node.main.trap_exit = True
        node.monitor_nodes(node_type="all")
        await node.start(Echo, name="echo")
        first = beam("twin@127.0.0.1", language="erlang", hidden=hidden)
        await node.connect(first.name)
        kind = (atom.node_type, atom.hidden if hidden else atom.visible)
        await receives(node.main, (atom.nodeup, first.name, [kind]))
        old: Pid = await node.rpc.call(str(first.name), "erlang", "whereis", [atom.init])
        ref = node.monitor(old)
        first.pause()
        # The frozen one keeps its name at EPMD, so the other does without: it finds our port.
        port = ("-erl_epmd_port", str(node.net.port))
        options: dict[str, Any] = {"language": "erlang", "hidden": hidden, "epmd": NO_EPMD}
        twin = beam("twin@127.0.0.1", arguments=port, **options)
        assert await twin.aeval("net_adm:ping(N)", N=node.name) == atom.pong
        down = (atom.DOWN, ref, atom.process, old, atom.noconnection)
        assert await receives(node.main, anything) == down
        assert (await receives(node.main, anything))[:2] == (atom.nodedown, first.name)
        assert await receives(node.main, anything) == (atom.nodeup, first.name, [kind])
        assert await twin.aeval("gen_server:call({echo, N}, 1)", N=node.name) == 1
        new: Pid = await node.rpc.call(str(first.name), "erlang", "whereis", [atom.init])
        assert new.creation != old.creation
        # The frozen one wakes up to a closed connection, and cannot harm the new one.
        first.resume()
        await eventually(lambda: node.name not in connected(first))
        assert await twin.aeval("gen_server:call({echo, N}, 2)", N=node.name) == 2
        assert node.nodes("connected") == [first.name]


async def test_a_python_node_that_starts_again_at_once(beam: MakeBeam, py_node: PyNode) -> None:
    """The stop has freed the name when it returns, at EPMD and at the BEAM."""
    other = beam(language="erlang")
    other.eval("net_kernel:monitor_nodes(true)")
    creations = set()
    for life in range(5):
        async with py_node("again") as node:
            creations.add(node.creation)
            await node.connect(other.name)
            await node.start(Echo, name="echo")
            call = "gen_server:call({echo, 'again@localhost'}, X)"
            assert await other.aeval(call, X=life) == life
    assert len(creations) == 5
    flush = (
        "F = fun F(L) -> receive {W, _} -> F([W | L]) after 0 -> lists:reverse(L) end end, F([])"
    )
    await eventually(lambda: connected(other) == set())
    assert other.eval(flush) == [atom.nodeup, atom.nodedown] * 5


# ------------------------------------------------------------------ who may come


async def test_only_the_allowed(beam: MakeBeam, py_node: PyNode) -> None:
    friend, stranger = beam("friend", language="erlang"), beam("stranger", language="erlang")
    async with py_node() as node:
        assert node.allowed() == []
        assert await stranger.aeval("net_adm:ping(N)", N=node.name) == atom.pong
        node.allow([friend.name])
        # what is up stays
        assert node.nodes() == [stranger.name]
        node.disconnect(stranger.name)
        await eventually(lambda: connected(stranger) == set())
        assert await stranger.aeval("net_kernel:connect_node(N)", N=node.name) is False
        with pytest.raises(NotAllowed, match="not among the nodes that this node allows"):
            await node.connect(stranger.name)
        assert await friend.aeval("net_kernel:connect_node(N)", N=node.name) is True
        node.allow(["stranger@"])
        assert node.allowed() == ["friend@localhost", "stranger@"]
        assert await stranger.aeval("net_kernel:connect_node(N)", N=node.name) is True


async def test_a_beam_that_does_not_allow_us(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    other.eval("net_kernel:allow(['friend@localhost'])")
    async with py_node("py") as node:
        with pytest.raises(NotAllowed, match="does not allow py@localhost to connect"):
            await node.connect(other.name)
        assert not await node.ping(other.name)
    async with py_node("friend") as node:
        await node.connect(other.name)
