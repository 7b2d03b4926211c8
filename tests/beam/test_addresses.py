"""Long names, IPv6, fixed ports, and clusters without an EPMD, with real BEAMs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pynode import ConfigError, Node, NodeNameError, NoSuchNode, PortClosed, atom
from pynode.net.epmd_client import epmd_names
from pynode.testing import Beam, Epmd, eventually, free_port

#: Nobody's EPMD: a node that asks it is refused.
NO_EPMD = 1

PyNode = Callable[..., Node]
MakeBeam = Callable[..., Beam]


async def both_ways(node: Node, beam: Beam) -> None:
    """Either connects to the other, and a call goes through."""
    await node.connect(beam.name)
    assert await node.rpc.call(str(beam.name), "erlang", "node", []) == beam.name
    assert node.disconnect(beam.name)
    await eventually(lambda: node.name not in beam.rpc("erlang", "nodes", [atom.connected]))
    assert await beam.aeval("net_adm:ping(Py)", Py=node.name) == atom.pong
    assert await beam.aeval("erpc:call(Py, erlang, node, [])", Py=node.name) == node.name
    assert beam.name in node.nodes()


# ------------------------------------------------------------------ long names


@pytest.mark.parametrize("host", ["127.0.0.1", "box.example.org"])
async def test_long_names(
    beam: MakeBeam, py_node: PyNode, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, host, "127.0.0.1")
    other = beam(f"node1@{host}", language="erlang", arguments=knows("{127,0,0,1}", host))
    async with py_node(f"py@{host}") as node:
        assert node.config.long_names
        await both_ways(node, other)


def resolves_to(monkeypatch: pytest.MonkeyPatch, host: str, *addresses: str) -> None:
    """Let this process know a host that the machine does not know."""
    real = socket.getaddrinfo

    def getaddrinfo(name: Any, *rest: Any, **options: Any) -> list[Any]:
        asked = addresses if name == host else [name]
        return [answer for one in asked for answer in real(one, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def knows(address: str, host: str) -> tuple[str, ...]:
    """Let a BEAM know a host that the machine does not know."""
    code = f'inet_db:add_host({address}, ["{host}"]), inet_db:set_lookup([file])'
    return ("-eval", code)


async def test_short_and_long_names_do_not_mix(beam: MakeBeam, py_node: PyNode) -> None:
    long = beam("node1@127.0.0.1", language="erlang")
    short = beam("node2", language="erlang")
    async with py_node("py@localhost") as node:
        with pytest.raises(NodeNameError, match="is a long name, and py@localhost a short one"):
            await node.connect(long.name)
        assert await long.aeval("net_kernel:connect_node(Py)", Py=node.name) is not True
        assert node.nodes("connected") == []
    async with py_node("py@127.0.0.1") as node:
        with pytest.raises(NodeNameError, match=r"is a short name, and py@127\.0\.0\.1 a long one"):
            await node.connect(short.name)
        assert await short.aeval("net_kernel:connect_node(Py)", Py=node.name) is not True
        assert node.nodes("connected") == []


# ------------------------------------------------------------------ IPv6

IPV6 = ("-proto_dist", "inet6_tcp", "-kernel", "inet_dist_use_interface", "{0,0,0,0,0,0,0,1}")


async def test_ipv6_with_erlang_s_epmd(beam: MakeBeam, py_node: PyNode) -> None:
    with Epmd(address="::1") as epmd:
        other = beam("node1@::1", language="erlang", arguments=IPV6, epmd=epmd)
        async with py_node("py@::1", epmd=epmd) as node:
            assert sorted(name for name, _ in await epmd_names("::1", epmd.port)) == ["node1", "py"]
            await both_ways(node, other)


async def test_ipv6_with_an_embedded_epmd(beam: MakeBeam, py_node: PyNode) -> None:
    port = free_port()
    async with py_node("py@::1", epmd=port) as node:
        assert node.net.epmd is not None
        # In a thread: it registers with an EPMD that runs on this loop.
        other = await asyncio.to_thread(
            beam, "node1@::1", language="erlang", arguments=IPV6, epmd=port
        )
        await both_ways(node, other)


async def test_a_host_with_addresses_of_both_families(
    beam: MakeBeam, py_node: PyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, "twofold", "127.0.0.1", "::1")
    arguments = (*IPV6, *knows("{0,0,0,0,0,0,0,1}", "twofold"))
    with Epmd(address="::1") as epmd:
        other = beam("node1@twofold", language="erlang", arguments=arguments, epmd=epmd)
        async with py_node("py@twofold", epmd=epmd, listen="::1") as node:
            # Of the two addresses that EPMD's answer is tried at, the second has the node.
            await both_ways(node, other)


# ------------------------------------------------------------------ ports


async def test_a_fixed_port(beam: MakeBeam, py_node: PyNode) -> None:
    other = beam(language="erlang")
    port = free_port()
    async with py_node(port=port) as node:
        assert node.net.port == port
        await both_ways(node, other)
        with pytest.raises(ConfigError, match=f"port {port}: Address already in use"):
            await py_node(port=port).__aenter__()


@pytest.mark.parametrize("option", ["epmd=False", "ERL_DIST_PORT"])
async def test_one_port_for_all_and_no_epmd(
    beam: MakeBeam, py_node: PyNode, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on hosts of their own: the same port everywhere, here on several loopback addresses."""
    port = free_port()
    other = beam(
        "node1@127.0.0.1", language="erlang", epmd=NO_EPMD, arguments=["-erl_epmd_port", str(port)]
    )
    options: dict[str, Any] = {"port": port}
    if option == "ERL_DIST_PORT":
        monkeypatch.setenv("ERL_DIST_PORT", str(port))
        options = {"epmd_port": NO_EPMD}
    else:
        options["epmd"] = False
    async with py_node("py@127.0.0.2", **options) as node:
        assert (node.net.port, node.net.epmd) == (port, None)
        assert node.creation > 3
        await both_ways(node, other)
        async with py_node("py2@127.0.0.3", **options) as second:
            await second.connect(node.name)
            await eventually(lambda: {node.name, other.name} == set(second.nodes()))
        with pytest.raises(PortClosed, match=f"port {port} of 127.0.0.9, the port of all nodes"):
            await node.connect("nobody@127.0.0.9")


async def test_a_node_that_only_dials_and_no_epmd(beam: MakeBeam, py_node: PyNode) -> None:
    """As a release's ``remote`` does it, which must not take the port of the node itself."""
    port = free_port()
    arguments = ("-erl_epmd_port", str(port), "-dist_listen", "false")
    other = beam(language="erlang", epmd=NO_EPMD, arguments=arguments)
    async with py_node(epmd=False, port=port) as node:
        assert await other.aeval("net_adm:ping(Py)", Py=node.name) == atom.pong
        assert node.nodes("connected") == [other.name]


async def test_ports_that_differ_and_no_epmd(beam: MakeBeam, py_node: PyNode) -> None:
    theirs = str(free_port())
    range_of_one = ("inet_dist_listen_min", theirs, "inet_dist_listen_max", theirs)
    other = beam(language="erlang", arguments=["-kernel", *range_of_one])
    async with py_node(epmd=False, port=0, peer_port=int(theirs), epmd_port=NO_EPMD) as node:
        assert node.net.port not in (0, int(theirs))
        await node.connect(other.name)
        assert await node.rpc.call(str(other.name), "erlang", "nodes", []) == [node.name]


async def test_a_python_node_beside_an_epmd_that_it_does_not_use(
    beam: MakeBeam, py_node: PyNode
) -> None:
    other = beam(language="erlang")
    port = free_port()
    async with py_node(epmd=False, port=port, epmd_port=other.epmd_port) as node:
        assert [name for name, _ in await epmd_names(port=other.epmd_port)] == ["beam1"]
        assert await other.aeval("net_adm:ping(Py)", Py=node.name) == atom.pang
    async with py_node("py2", peer_port=port) as node:
        assert "py2" in [name for name, _ in await epmd_names(port=other.epmd_port)]
        with pytest.raises(PortClosed, match="the port of all nodes here"):
            await node.connect(other.name)
    async with py_node() as node:
        with pytest.raises(NoSuchNode):
            await node.connect("nobody@localhost")


def test_options_that_leave_the_port_open(py_node: PyNode) -> None:
    with pytest.raises(ConfigError, match="epmd=False needs port="):
        py_node(epmd=False)
    with pytest.raises(ConfigError, match="70000 is no port"):
        py_node(epmd=False, port=70_000)


def test_what_the_environment_says_gives_way_to_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def settled(**options: Any) -> tuple[int, bool, int | None]:
        config = Node("py@localhost", cookie="c", **options).config
        return config.port, config.epmd, config.peer_port

    monkeypatch.delenv("ERL_DIST_PORT", raising=False)
    assert settled() == (0, True, None)
    monkeypatch.setenv("ERL_DIST_PORT", "9100")
    assert settled() == (9100, False, 9100)
    assert settled(port=0) == (0, False, 9100)
    assert settled(peer_port=9200) == (9100, False, 9200)
    assert settled(epmd=True) == (0, True, None)
    monkeypatch.setenv("ERL_DIST_PORT", "no")
    with pytest.raises(ConfigError, match="ERL_DIST_PORT is 'no'"):
        settled()
