"""The guide to joining a cluster: its programs run, its words are there."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pynode
from pynode import Node, TlsConfig
from pynode.testing import Beam, free_port

GUIDE = Path(pynode.__file__).with_name("guides").joinpath("clusters.md").read_text()
TEXT = re.sub(r"^```.*?^```$", "", GUIDE, flags=re.M | re.S)
VISITOR, NO_EPMD, TLS, DISCOVERY = re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S)

MakeBeam = Callable[..., Beam]
PyNode = Callable[..., Node]


async def run(program: str) -> None:
    """Run a block of the guide as the body of a coroutine."""
    scope: dict[str, Any] = {"Node": Node, "TlsConfig": TlsConfig}
    exec(f"async def main():\n{textwrap.indent(program, '    ')}", scope)
    await scope["main"]()


@pytest.fixture(autouse=True)
def surroundings(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERL_EPMD_PORT", str(cluster.epmd_port))
    monkeypatch.setenv("PYNODE_COOKIE", cluster.cookie)


async def test_a_visitor(beam: MakeBeam, capsys: pytest.CaptureFixture[str]) -> None:
    beam("node1", language="erlang")
    await run(VISITOR)
    assert re.fullmatch(r"[0-9A-Z]+@localhost\n", capsys.readouterr().out)


async def test_no_epmd(beam: MakeBeam) -> None:
    port = free_port()
    arguments = ("-erl_epmd_port", str(port))
    beam("node1@127.0.0.1", language="erlang", epmd=1, arguments=arguments)
    assert "9100" in NO_EPMD
    await run(NO_EPMD.replace("9100", str(port)))


def make_certificates() -> None:
    commands = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.M | re.S)[0]
    assert "openssl req" in commands
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False)
    if not version.stdout.startswith("OpenSSL 3"):
        pytest.skip("no OpenSSL 3 on this machine")
    subprocess.run(["sh", "-e", "-c", commands], check=True, capture_output=True)


async def test_tls(py_node: PyNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own commands make the certificates."""
    monkeypatch.chdir(tmp_path)
    make_certificates()
    tls = TlsConfig(certfile="node.pem", keyfile="key.pem", cafile="ca.pem")
    async with py_node("node1", cookie="pubsub", tls=tls):
        await run(TLS)


async def test_discovery(beam: MakeBeam, capsys: pytest.CaptureFixture[str]) -> None:
    node1 = beam("node1", language="erlang")
    await run(DISCOVERY)
    said = capsys.readouterr().out
    assert said.startswith(f"{[node1.name]!r} {{'node2@localhost': NoSuchNode(")


def test_options_and_methods_that_it_names_are_there() -> None:
    options = {
        *inspect.signature(Node.__init__).parameters,
        *inspect.signature(TlsConfig).parameters,
    }
    for table_cell in re.findall(r"`([^`]+)`", TEXT):
        for option in re.findall(r"\b(\w+)=", table_cell):
            if option not in {"node_type", "nodedown_reason", "ERL_DIST_PORT", "subjectAltName"}:
                assert option in options, table_cell
        for words in re.findall(r"\bnode\.([\w.]+)", table_cell):
            found: Any = Node
            first, *rest = words.split(".")
            assert hasattr(Node, first), table_cell
            if first == "net_adm" and rest:
                from pynode.services.net_adm import NetAdm

                found = getattr(NetAdm, rest[0])
                assert callable(found)


def test_strategies_that_it_names_can_be_made() -> None:
    import pynode.discovery as discovery

    calls = re.findall(r"`((?:NodeList|EpmdHosts|HostsFile|Dns|DnsSrv)\([^`]*\))`", TEXT)
    assert len(calls) == 6
    for call in calls:
        ast.parse(call)
        scope = {**vars(discovery), "nodes": ["a@b"], "hosts": ["localhost"]}
        assert str(eval(call, scope))
