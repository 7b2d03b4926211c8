"""Strategies that find BEAMs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pynode import Node
from pynode.discovery import Dns, EpmdHosts, HostsFile, NodeList
from pynode.testing import Beam, eventually, free_port
from tests.discovery.name_server import NameServer

PyNode = Callable[..., Node]
MakeBeam = Callable[..., Beam]


async def test_lists_epmds_and_hosts_files(beam: MakeBeam, py_node: PyNode, tmp_path: Path) -> None:
    one, two = beam(language="erlang"), beam(language="erlang", hidden=True)
    both = {one.name, two.name}
    path = tmp_path / "hosts"
    path.write_text("localhost.\n")
    for strategy in (NodeList(both), EpmdHosts(["localhost"]), HostsFile(path)):
        async with py_node() as node:
            await node.discover(strategy).round()
            assert set(node.nodes("connected")) == both


async def test_a_beam_that_restarts_is_found_again(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    async with py_node() as node:
        await node.discover(EpmdHosts(["localhost"]), interval=0.05).round()
        assert node.nodes() == [other.name]
        other.kill()
        await eventually(lambda: node.nodes() == [])
        other.start()
        await eventually(lambda: node.nodes() == [other.name])


async def test_a_headless_service(beam: MakeBeam, py_node: PyNode) -> None:
    """Pods without an EPMD: one name, one port, and an address each."""
    port = free_port()
    pods = []
    for number in (1, 2):
        listen = ("-kernel", "inet_dist_use_interface", f"{{127,0,0,{number}}}")
        arguments = ("-erl_epmd_port", str(port), *listen)
        options: dict[str, Any] = {"language": "erlang", "epmd": 1, "arguments": arguments}
        pods.append(beam(f"app@127.0.0.{number}", **options))
    async with NameServer() as server:
        server.records["app.cluster.test.", "A"] = [f"127.0.0.{number}" for number in (1, 2, 3)]
        async with py_node("app@127.0.0.3", epmd=False, port=port) as node:
            settings: dict[str, Any] = {"nameservers": ["127.0.0.1"], "port": server.port}
            discovery = node.discover(Dns("app.cluster.test.", "app", **settings))
            await discovery.round()
            assert set(node.nodes()) == {pod.name for pod in pods}
            assert discovery.errors == {}
            assert await pods[0].aeval("erpc:call(N, erlang, node, [])", N=node.name) == node.name
