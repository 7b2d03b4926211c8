"""What a node knows of the others: kinds of nodes, their coming and going, who is registered."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pynode import Atom, EpmdError, HostError, Node, atom
from pynode.testing import Beam, eventually, free_port, receives

PyNode = Callable[..., Node]
MakeBeam = Callable[..., Beam]


def kinds(beam: Beam, kind: str) -> set[Atom]:
    return set(beam.rpc("erlang", "nodes", [Atom(kind)]))


# ------------------------------------------------------------------ nodes/1


async def test_nodes_by_kind(beam: MakeBeam, py_node: PyNode) -> None:
    shown, veiled = beam(language="erlang"), beam(language="erlang", hidden=True)
    async with py_node() as node, py_node(hidden=True) as secret:
        assert node.nodes("known") == node.nodes("this") == [node.name]
        for other in (shown, veiled, secret):
            await node.connect(other.name)
        assert node.nodes() == node.nodes("visible") == [shown.name]
        assert node.nodes("hidden") == [veiled.name, secret.name]
        assert node.nodes("connected") == [shown.name, veiled.name, secret.name]
        assert node.nodes(["this", "visible", "connected"]) == [node.name, *node.nodes("connected")]
        assert secret.nodes() == []
        assert secret.nodes("hidden") == [node.name]
        # the other side's view is the same
        assert (kinds(shown, "visible"), kinds(shown, "hidden")) == ({node.name}, set())
        assert (kinds(veiled, "visible"), kinds(veiled, "hidden")) == (set(), {node.name})
        # gone, and still known
        assert node.disconnect(veiled.name)
        assert veiled.name not in node.nodes("connected")
        assert set(node.nodes("known")) == {node.name, shown.name, veiled.name, secret.name}
        for wrong in ("all", ["visible", "other"]):
            with pytest.raises(ValueError, match="visible, hidden, connected, this or known"):
                node.nodes(wrong)


async def test_what_is_just_being_connected_is_known(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    async with py_node() as node:
        node.monitor_node(other.name)
        assert node.nodes("connected") == []
        assert node.nodes("known") == [node.name, other.name]
        node.monitor_node("nobody@localhost")
        await receives(node.main, (atom.nodedown, atom("nobody@localhost")))
        assert atom("nobody@localhost") not in node.nodes("known")


async def test_disconnect_node_from_either_side(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    async with py_node() as node:
        assert not node.disconnect(other.name)
        await node.connect(other.name)
        other.eval("net_kernel:monitor_nodes(true, [nodedown_reason])")
        assert node.disconnect(other.name)
        assert node.nodes() == []
        code = "receive {nodedown, N, [{nodedown_reason, R}]} -> R end"
        assert await other.aeval(code, N=node.name) == atom.connection_closed
        await node.connect(other.name)
        node.monitor_nodes(nodedown_reason=True)
        assert await other.aeval("erlang:disconnect_node(N)", N=node.name) is True
        reason = [(atom.nodedown_reason, atom.connection_closed)]
        await receives(node.main, (atom.nodedown, other.name, reason))
        assert node.nodes() == []


# ------------------------------------------------------------------ monitor_nodes


async def test_monitor_nodes_with_type_and_reason(beam: MakeBeam, py_node: PyNode) -> None:
    shown, veiled = beam(language="erlang"), beam(language="erlang", hidden=True)
    async with py_node() as node:

        async def watch(process: Any) -> None:
            node.monitor_nodes(node_type="all", nodedown_reason=True)
            node.send(main, atom.ready)
            async for message in process:
                node.send(main, message)

        main = node.main.pid
        node.spawn(watch)
        await receives(node.main, atom.ready)
        visible, hidden = (atom.node_type, atom.visible), (atom.node_type, atom.hidden)
        await node.connect(shown.name)
        await node.connect(veiled.name)
        await receives(node.main, (atom.nodeup, shown.name, [visible]))
        await receives(node.main, (atom.nodeup, veiled.name, [hidden]))
        shown.stop()
        closed = (atom.nodedown_reason, atom.connection_closed)
        await receives(node.main, (atom.nodedown, shown.name, [visible, closed]))
        node.disconnect(veiled.name)
        ours = (atom.nodedown_reason, atom.disconnect)
        await receives(node.main, (atom.nodedown, veiled.name, [hidden, ours]))


async def test_a_beam_that_monitors_python_nodes(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    other.eval("net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason])")
    get = "receive {W, N, Info} -> {W, proplists:get_value(node_type, Info)} end"
    seen = f"(fun() -> {get} end)()"  # in a fun, so that the variables are new each time
    for hidden in (False, True):
        kind = atom.hidden if hidden else atom.visible
        async with py_node(hidden=hidden) as node:
            await node.connect(other.name)
            assert await other.aeval(seen, N=node.name) == (atom.nodeup, kind)
        assert await other.aeval(seen, N=node.name) == (atom.nodedown, kind)


# ------------------------------------------------------------------ net_adm


async def test_names(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam("first", language="erlang")
    async with py_node("second") as node, py_node("third", hidden=True):
        found = dict(await node.net_adm.names())
        assert set(found) == {"first", "second", "third"}
        assert found["second"] == node.net.port
        assert dict(await node.net_adm.names("localhost")) == found
        theirs = other.eval("{ok, L} = net_adm:names(localhost), lists:sort(L)", text=True)
        assert ["".join(map(chr, name)) for name, _ in theirs] == ["first", "second", "third"]
        assert [port for _, port in theirs] == [found[name] for name in sorted(found)]
        with pytest.raises(HostError, match="does not resolve"):
            await node.net_adm.names("no-such-host.invalid")
        with pytest.raises(EpmdError, match="is not running"):
            await node.net_adm.names("127.0.0.9")
    async with py_node("fourth", epmd=False, port=free_port(), epmd_port=other.epmd_port) as node:
        assert [name for name, _ in await node.net_adm.names()] == ["first"]


async def test_world(
    beam: MakeBeam, py_node: PyNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hosts = "'localhost'.\n'no-such-host.invalid'.\n"
    (tmp_path / ".hosts.erlang").write_text(hosts)
    one = beam("one", language="erlang")
    stranger = beam("stranger", language="erlang", cookie="another")
    # The BEAM writes its own, for it may live in another root.
    folder = f"/tmp/pynode-world-{os.getpid()}"
    one.eval(f'ok = file:make_dir("{folder}"), ok = file:set_cwd("{folder}")')
    one.eval('ok = file:write_file(".hosts.erlang", H)', H=hosts.encode())
    try:
        async with py_node("py1") as node, py_node("py2") as second:
            answering = {one.name, node.name, second.name}
            assert set(await node.net_adm.world()) == answering
            assert {node.name, *node.nodes()} == answering
            assert set(await node.net_adm.world(["localhost"])) == answering
            assert await node.net_adm.world([]) == []
            # the same from the BEAM, with Python nodes among those that answer
            assert set(await one.aeval("net_adm:world()", timeout=20)) == answering
            assert set(await one.aeval("net_adm:world()", timeout=20)) == answering
            assert stranger.name not in kinds(one, "connected")
    finally:
        one.eval(f'file:set_cwd("/"), file:del_dir_r("{folder}")')


async def test_ping_both_ways(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    stranger = beam(language="erlang", cookie="another")
    async with py_node() as node:
        assert await other.aeval("net_adm:ping(N)", N=node.name) == atom.pong
        node.disconnect(other.name)
        await eventually(lambda: kinds(other, "connected") == set())
        assert await node.ping(other.name)
        assert await node.net_adm.ping(other.name)
        assert await node.ping(node.name)
        assert not await node.ping("nobody@localhost")
        assert not await node.ping(stranger.name)
        assert await stranger.aeval("net_adm:ping(N)", N=node.name) == atom.pang
        assert node.nodes("connected") == [other.name]
        # what answers neither yes nor no is no node to stay connected to
        other.eval(
            "unregister(net_kernel), register(net_kernel, spawn(fun F() -> receive "
            "{'$gen_call', From, _} -> gen:reply(From, no), F(); _ -> F() end end))"
        )
        assert not await node.ping(other.name)
        assert node.nodes("connected") == []
