"""Where a node listens, and what it says about it."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from pynode.errors import ConfigError, HostError, NodeNameError
from pynode.net import addresses
from pynode.net.addresses import Endpoint, listen_addresses, other_addresses, resolve
from pynode.testing.epmd import free_port

from .conftest import MakeNet
from .harness import recorder

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The hosts that resolve, and to what."""
    table: dict[str, list[str]] = {"localhost": ["127.0.0.1"]}

    def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (V6 if ":" in text else V4, socket.SOCK_STREAM, 6, "", (text, 0))
            for text in table[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table


async def said(caplog: pytest.LogCaptureFixture, node: str, listen: str | None = None) -> str:
    caplog.set_level(logging.WARNING, "pynode.net")
    await listen_addresses(asyncio.get_running_loop(), node, listen)
    assert len(caplog.records) <= 1  # once
    return caplog.text


async def test_ipv4_comes_first(hosts: dict[str, list[str]]) -> None:
    hosts["both"] = ["fd00::1", "10.0.0.1", "10.0.0.1"]
    loop = asyncio.get_running_loop()
    assert await resolve(loop, "both") == [Endpoint(V4, "10.0.0.1"), Endpoint(V6, "fd00::1")]
    assert await resolve(loop, "::1") == [Endpoint(V6, "::1")]
    assert await listen_addresses(loop, "a@both", None) == [Endpoint(V4, "10.0.0.1")]


@pytest.mark.parametrize("host", ["nowhere", "a" * 300, "bad..name", "x\0y"])
async def test_what_does_not_resolve(host: str) -> None:
    with pytest.raises(HostError):
        await resolve(asyncio.get_running_loop(), host, node="a@b")


async def test_localhost_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert await said(caplog, "a@localhost") == ""
    assert await said(caplog, "a@127.0.0.1") == ""


async def test_debians_127_0_1_1(
    hosts: dict[str, list[str]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts["debian"] = ["127.0.1.1"]
    monkeypatch.setattr(addresses, "other_addresses", lambda: ["192.0.2.7"])
    text = await said(caplog, "a@debian")
    assert "127.0.1.1" in text
    assert "listen='192.0.2.7'" in text
    caplog.clear()
    assert await said(caplog, "a@debian", "127.0.0.1") == ""
    monkeypatch.setattr(addresses, "other_addresses", list)
    assert await said(caplog, "a@debian") == ""  # nobody else could reach it anyway


async def test_wider_than_loopback(caplog: pytest.LogCaptureFixture) -> None:
    text = await said(caplog, "a@localhost", "0.0.0.0")
    assert "without TLS" in text


async def test_a_host_of_its_own_that_does_not_resolve(
    hosts: dict[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    assert "loopback only" in await said(caplog, "a@nowhere")


def test_the_addresses_of_this_host() -> None:
    assert all(not addresses.is_loopback(address) for address in other_addresses())


# --------------------------------------------------------------------------- nets


async def test_listens_where_its_name_resolves(make_net: MakeNet) -> None:
    net = await make_net("a@localhost")
    assert {listener.getsockname()[0] for listener in net._listening.listeners} == {"127.0.0.1"}
    other = await make_net("b@127.0.0.2", long_names=True)
    assert {listener.getsockname()[0] for listener in other._listening.listeners} == {"127.0.0.2"}


async def test_a_fixed_port_and_again(make_net: MakeNet) -> None:
    port = free_port()
    first = await make_net("a@localhost", port=port)
    assert first.port == port
    with pytest.raises(ConfigError, match=str(port)):
        await make_net("b@localhost", port=port)
    third = await make_net("c@localhost")
    await third.connect("a@localhost")
    await first.stop()
    again = await make_net("a@localhost", port=port)  # SO_REUSEADDR
    assert again.port == port


async def test_an_address_of_another_host(make_net: MakeNet) -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.200"):
        await make_net("a@localhost", listen="192.0.2.200")


async def test_a_name_that_no_handshake_carries(make_net: MakeNet) -> None:
    with pytest.raises(NodeNameError, match="Latin-1"):
        await make_net("数@localhost")


async def test_the_embedded_epmd_with_a_wildcard(
    make_net: MakeNet, caplog: pytest.LogCaptureFixture
) -> None:
    """All addresses and one of them cannot be bound both: the wildcard serves loopback too."""
    port = free_port()
    net = await make_net("a@localhost", listen="0.0.0.0", epmd_port=port, start_epmd=True)
    assert net.epmd is not None
    assert net.epmd.addresses()[0] == "0.0.0.0"
    other = await make_net("b@localhost", epmd_port=port)
    await other.connect("a@localhost")


async def test_ipv6(make_net: MakeNet) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    port = free_port()
    nets = [
        await make_net(f"{name}@::1", long_names=True, epmd_port=port, start_epmd=True)
        for name in "ab"
    ]
    peer = await nets[0].connect("b@::1")
    assert peer.address[0] == "::1"
    await recorder(nets[1]).until_up("a@::1")
