"""TLS with a BEAM: ``-proto_dist inet_tls``, either side connecting."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from pynode import Atom, GenServer, Node, TlsConfig, TlsError, atom
from pynode.testing import Beam, Release, eventually, names

MakeBeam = Callable[..., Beam]
PyNode = Callable[..., Node]

OPTIONS = """
[{{server, [{{certfile, "{own}"}}, {{cacertfile, "{ca}"}}, {{verify, verify_peer}},
            {{fail_if_no_peer_cert, true}}]}},
 {{client, [{{certfile, "{own}"}}, {{cacertfile, "{ca}"}}, {{verify, verify_peer}}]}}].
"""


class Echo(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Iterator[tuple[Release, Path]]:
    """A folder that the release under test sees too."""
    release = Release.find(request.config.getoption("--beam-release"))
    if not list((release.root or Path("/")).glob("usr/lib/erlang/lib/ssl-*/ebin/ssl.app")):
        pytest.skip("there is no application ssl in the release")
    base = release.root / "tmp" if release.root is not None else None
    folder = Path(tempfile.mkdtemp(prefix="pynode-tls-", dir=base))
    yield release, folder
    shutil.rmtree(folder)


async def test_both_ways(beam: MakeBeam, py_node: PyNode, shared: tuple[Release, Path]) -> None:
    release, folder = shared
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    own, ca = folder / "own.pem", folder / "ca.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(own)
    authority.cert_pem.write_to_path(ca)
    options = folder / "ssl_dist.conf"
    inside = {"own": release.inside(own), "ca": release.inside(ca)}
    options.write_text(OPTIONS.format(**inside))
    words = ("-proto_dist", "inet_tls", "-ssl_dist_optfile", release.inside(options))
    one = beam(language="erlang", arguments=words)
    tls = TlsConfig(certfile=own, cafile=ca)
    async with py_node("py", tls=tls) as node:
        echo = await node.start(Echo, name="echo")
        # ours
        await node.connect(one.name)
        assert await node.rpc.call(str(one.name), "erlang", "node", []) == one.name
        blob = bytes(3_000_000)
        assert await node.rpc.call(str(one.name), "erlang", "byte_size", [blob]) == len(blob)
        await node.global_.register_name(atom.echo, echo)
        await eventually(lambda: names(one) == [atom.echo])
        # theirs
        assert await one.aeval("erlang:disconnect_node(N)", N=node.name) is True
        call = "B = binary:copy(<<1>>, 3000000), gen_server:call({echo, N}, B) =:= B"
        assert await one.aeval(call, N=node.name) is True
        assert node.nodes() == [one.name]
    # a certificate of somebody else's is refused, by them as by us
    stranger = trustme.CA()
    other = folder / "other.pem"
    stranger.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(other)
    async with py_node("stranger", tls=TlsConfig(certfile=other, cafile=ca)) as node:
        with pytest.raises(TlsError, match="it refuses ours"):
            await node.connect(one.name)
        assert await one.aeval("net_kernel:connect_node(N)", N=node.name) is False
    # and so is a node without TLS
    async with py_node("plain") as node:
        assert not await node.ping(one.name)
        assert await one.aeval("net_adm:ping(N)", N=Atom(str(node.name))) == atom.pang
