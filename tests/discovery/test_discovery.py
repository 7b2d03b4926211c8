"""Strategies and their rounds, with Python nodes."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pynode import Atom, ConfigError, DiscoveryError, Node, NodeDown, NodeNameError, NoSuchNode
from pynode.discovery import Dns, DnsSrv, EpmdHosts, Found, HostsFile, NodeList
from pynode.net import Net
from pynode.testing import eventually, free_port

from .name_server import NameServer

PyNode = Callable[..., Node]
APP = "app.cluster.test."
#: Longer than any test: the next round does not come by itself.
NEVER = 1000.0


class Scripted:
    """A strategy that gives what a test has put there."""

    def __init__(self, *nodes: str) -> None:
        self.nodes = [Atom(node) for node in nodes]
        self.failure: BaseException | None = None
        self.asked = 0

    def __str__(self) -> str:
        return "script"

    async def find(self, net: Net) -> Found:
        self.asked += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return Found(self.nodes)


# ------------------------------------------------------------------ rounds


async def test_what_is_found_is_connected(py_node: PyNode) -> None:
    async with py_node() as node, py_node() as one, py_node(hidden=True) as two:
        discovery = node.discover(NodeList([one.name, two.name, str(node.name)]), interval=NEVER)
        await discovery.round()
        assert set(node.nodes("connected")) == {one.name, two.name}
        assert discovery.found == [one.name, two.name]
        assert discovery.errors == {}


async def test_a_node_that_comes_later_and_one_that_comes_back(py_node: PyNode) -> None:
    async with py_node() as node:
        discovery = node.discover(NodeList(["late@localhost"]), interval=0.01)
        await discovery.round()
        assert isinstance(discovery.errors["late@localhost"], NoSuchNode)
        async with py_node("late") as late:
            await eventually(lambda: node.nodes() == [late.name])
            await eventually(lambda: discovery.errors == {})
            node.disconnect(late.name)
            await eventually(lambda: node.nodes() == [late.name])
        await eventually(lambda: "late@localhost" in discovery.errors)


async def test_what_is_found_no_more_stays_connected(py_node: PyNode) -> None:
    async with py_node() as node, py_node() as other:
        script = Scripted(str(other.name))
        discovery = node.discover(script, interval=0.01)
        await discovery.round()
        script.nodes = []
        await eventually(lambda: discovery.found == [])
        asked = script.asked
        await eventually(lambda: script.asked > asked + 2)
        assert node.nodes() == [other.name]


async def test_several_strategies_in_one_round(py_node: PyNode) -> None:
    async with py_node() as node, py_node() as one, py_node() as two:
        strategies = [NodeList([one.name]), NodeList([two.name, one.name])]
        discovery = node.discover(*strategies, interval=None)
        await discovery.round()
        assert discovery.found == [one.name, two.name]
        assert set(node.nodes()) == {one.name, two.name}
        assert discovery.rounds == 1
        with pytest.raises(NodeDown):  # without an interval there is one round
            await eventually(discovery.round)


async def test_each_problem_is_named_once(
    py_node: PyNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "pynode.discovery")
    events: list[Any] = []
    async with py_node() as node, py_node() as other:
        node.telemetry.attach("discovery_failed", events.append)
        script = Scripted(str(other.name))
        script.failure = DiscoveryError("script", "not today")
        long = NodeList(["x@long.name", "nobody@localhost"])
        discovery = node.discover(script, long, interval=0.01)
        await eventually(lambda: discovery.rounds > 3)
        assert isinstance(discovery.errors["x@long.name"], NodeNameError)
        assert str(discovery.errors["script"]) == "script: not today"
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 3
        assert "discovery: script: not today" in said
        assert any("x@long.name is a long name" in line for line in said)
        assert any("no node named 'nobody'" in line for line in said)
        assert len([event for event in events if event.facts["source"] == "script"]) > 3
        # A problem that goes, and comes back, is told again.
        script.failure = None
        await eventually(lambda: node.nodes() == [other.name])
        await eventually(lambda: "script" not in discovery.errors)
        script.failure = DiscoveryError("script", "not today")
        await eventually(lambda: caplog.text.count("script: not today") == 2)


async def test_a_strategy_with_a_fault(py_node: PyNode, caplog: pytest.LogCaptureFixture) -> None:
    async with py_node() as node, py_node() as other:
        script = Scripted()
        script.failure = ZeroDivisionError("oh")
        discovery = node.discover(script, NodeList([other.name]), interval=0.01)
        await discovery.round()
        assert str(discovery.errors["script"]) == "script: ZeroDivisionError: oh"
        assert node.nodes() == [other.name]
        assert "Traceback" in caplog.text
        await eventually(lambda: script.asked > 2)


async def test_it_ends_with_its_node(py_node: PyNode) -> None:
    class Stuck:
        ended = False

        async def find(self, net: Net) -> Found:
            try:
                await asyncio.Event().wait()
            finally:
                Stuck.ended = True
            return Found([])

    node = py_node()
    await node.__aenter__()
    discovery = node.discover(Stuck())
    round_ = asyncio.ensure_future(discovery.round())
    await asyncio.sleep(0)
    await node.stop()
    assert Stuck.ended
    with pytest.raises(NodeDown):
        await round_
    with pytest.raises(NodeDown):
        await discovery.round()
    with pytest.raises(NodeDown):
        node.discover(Stuck())


async def test_it_can_be_stopped(py_node: PyNode) -> None:
    async with py_node() as node, py_node() as other:
        script = Scripted(str(other.name))
        discovery = node.discover(script, interval=0.01)
        await discovery.round()
        await discovery.stop()
        await discovery.stop()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert f"pynode-discovery {node.name}" not in names
        assert node.nodes() == [other.name]


# ------------------------------------------------------------------ EPMD and hosts files


async def test_the_epmds_of_hosts(py_node: PyNode) -> None:
    async with py_node() as node, py_node() as other:
        hosts = ["localhost", "no-such-host.invalid", "127.0.0.9"]
        discovery = node.discover(EpmdHosts(hosts), interval=NEVER)
        await discovery.round()
        assert node.nodes() == [other.name]
        assert sorted(discovery.errors) == ["EPMD of 127.0.0.9", "EPMD of no-such-host.invalid"]
        assert "does not resolve" in str(discovery.errors["EPMD of no-such-host.invalid"])
        assert "is not running" in str(discovery.errors["EPMD of 127.0.0.9"])
    async with py_node() as node, py_node() as other:
        await node.discover(EpmdHosts(), interval=NEVER).round()
        assert node.nodes() == [other.name]


async def test_with_short_names_a_host_ends_at_its_first_dot(
    py_node: PyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(name: Any, *rest: Any, **options: Any) -> list[Any]:
        known = "localhost" if name == "localhost.example.org" else name
        return real(known, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with py_node() as node, py_node() as other:
        await node.discover(EpmdHosts(["localhost.example.org"]), interval=NEVER).round()
        assert node.nodes() == [other.name]


async def test_a_hosts_file(py_node: PyNode, tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    async with py_node() as node, py_node() as other:
        discovery = node.discover(HostsFile(path), interval=0.01)
        await discovery.round()
        assert f"no hosts file: {path}" in str(discovery.errors[f"hosts file {path}"])
        path.write_text("nonsense")
        await eventually(lambda: "line 1" in str(discovery.errors[f"hosts file {path}"]))
        path.write_text("'localhost'.\n")
        await eventually(lambda: node.nodes() == [other.name])
        assert discovery.errors == {}


# ------------------------------------------------------------------ DNS


def dns(server: NameServer) -> dict[str, Any]:
    return {"nameservers": ["127.0.0.1"], "port": server.port}


async def test_addresses_of_a_headless_service(py_node: PyNode, name_server: NameServer) -> None:
    """As pods have it: the address is the host, and one port serves all."""
    port = free_port()
    name_server.records[APP, "A"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    options: dict[str, Any] = {"epmd": False, "port": port}
    async with (
        py_node("app@127.0.0.1", **options) as node,
        py_node("app@127.0.0.2", **options) as other,
    ):
        discovery = node.discover(Dns(APP, "app", **dns(name_server)), interval=0.01)
        await discovery.round()
        assert node.nodes() == [other.name]
        assert list(discovery.errors) == ["app@127.0.0.3"]
        # a pod comes, another goes from the DNS
        async with py_node("app@127.0.0.4", **options) as late:
            name_server.records[APP, "A"] = ["127.0.0.1", "127.0.0.4"]
            await eventually(lambda: set(node.nodes()) == {other.name, late.name})
            await eventually(lambda: discovery.errors == {})


async def test_addresses_of_both_kinds(name_server: NameServer, py_node: PyNode) -> None:
    name_server.records[APP, "A"] = ["10.0.0.1"]
    name_server.records[APP, "AAAA"] = ["2001:db8::1", "2001:db8:0:0::2"]
    both = [Atom("app@10.0.0.1"), Atom("app@2001:db8::1"), Atom("app@2001:db8::2")]
    async with py_node() as node:
        found = await Dns(APP, "app", **dns(name_server)).find(node.net)
        assert (set(found.nodes), found.problems) == (set(both), [])
        found = await Dns(APP, "app", records=["AAAA"], **dns(name_server)).find(node.net)
        assert (set(found.nodes), found.problems) == (set(both[1:]), [])
        assert name_server.asked[-1] == (APP, "AAAA")
        # a kind that there is not is no problem
        del name_server.records[APP, "A"]
        found = await Dns(APP, "app", **dns(name_server)).find(node.net)
        assert (set(found.nodes), found.problems) == (set(both[1:]), [])


async def test_ipv6_addresses_are_connected_to(py_node: PyNode, name_server: NameServer) -> None:
    name_server.records[APP, "AAAA"] = ["::1"]
    port = free_port()
    async with py_node("app@::1", epmd=False, port=port) as other:
        options: dict[str, Any] = {"epmd": False, "port": 0, "peer_port": port, "listen": "::1"}
        async with py_node("seeker@::1", **options) as node:
            await node.discover(Dns(APP, "app", **dns(name_server)), interval=NEVER).round()
            assert node.nodes() == [other.name]


async def test_services(py_node: PyNode, name_server: NameServer) -> None:
    name = "_epmd._tcp.app.cluster.test."
    targets = ["app-0.app.cluster.test.", "app-1.app.cluster.test."]
    name_server.records[name, "SRV"] = [f"0 50 4369 {target}" for target in [*targets, targets[0]]]
    async with py_node() as node:
        found = await DnsSrv(name, "app", **dns(name_server)).find(node.net)
        hosts = [target.rstrip(".") for target in targets]
        assert sorted(map(str, found.nodes)) == [f"app@{host}" for host in hosts]
        name_server.records[name, "SRV"] = ["0 50 4369 localhost."]
        discovery = node.discover(DnsSrv(name, "app", **dns(name_server)), interval=NEVER)
        await discovery.round()
        assert isinstance(discovery.errors["app@localhost"], NoSuchNode)
        async with py_node("app") as app:
            await node.discover(DnsSrv(name, "app", **dns(name_server)), interval=NEVER).round()
            assert node.nodes() == [app.name]


async def test_what_the_dns_cannot_say(py_node: PyNode, name_server: NameServer) -> None:
    async with py_node() as node:
        strategy = Dns("nothing.cluster.test.", "app", **dns(name_server))
        found = await strategy.find(node.net)
        assert found.nodes == []
        assert ["does not exist" in str(problem) for problem in found.problems] == [True, True]
        source = "addresses of nothing.cluster.test. in the DNS (A)"
        assert found.problems[0].source == source
        # a name without records of the kind: nobody is there, and that is an answer
        name_server.records[APP, "TXT"] = ['"text"']
        assert await Dns(APP, "app", **dns(name_server)).find(node.net) == Found([], [])
        assert await DnsSrv(APP, "app", **dns(name_server)).find(node.net) == Found([], [])
        name_server.mute = True
        with pytest.raises(DiscoveryError, match=r"services of app.*lifetime expired"):
            await DnsSrv(APP, "app", timeout=0.1, **dns(name_server)).find(node.net)


async def test_a_host_too_long_for_a_node_s_name(py_node: PyNode, name_server: NameServer) -> None:
    target = ".".join(["x" * 60] * 4) + "."
    name_server.records[APP, "SRV"] = [f"0 50 4369 {target}", "0 50 4369 fine.test."]
    async with py_node() as node:
        found = await DnsSrv(APP, "a" * 20, **dns(name_server)).find(node.net)
        assert found.nodes == [Atom("a" * 20 + "@fine.test")]
        assert "cannot be part of a node's name" in str(found.problems[0])


async def test_a_question_under_way_ends_with_the_node(
    py_node: PyNode, name_server: NameServer
) -> None:
    name_server.mute = True
    async with py_node() as node:
        node.discover(Dns(APP, "app", **dns(name_server)))
        await eventually(lambda: len(name_server.asked) >= 2)


def test_options_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for basename in ("", "app@x"):
        with pytest.raises(ConfigError, match="cannot stand before the @"):
            Dns(APP, basename)
    for records in ([], ["SRV"]):
        with pytest.raises(ConfigError, match="records of kind A and AAAA"):
            Dns(APP, "app", records=records)
    monkeypatch.setitem(sys.modules, "dns.asyncresolver", None)
    with pytest.raises(ConfigError, match=r"pip install 'pynode-beam\[dns\]'"):
        DnsSrv(APP, "app")
