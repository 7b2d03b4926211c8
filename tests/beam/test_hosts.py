"""Where a host's name resolves to: loopback, Debian's 127.0.1.1, and across two networks.

Each test makes network namespaces of its own, with their own ``/etc/hosts``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pynode import atom
from pynode.testing import Beam, Epmd, free_port
from tests.beam.networks import MARKS, Network, entered

pytestmark = MARKS

#: A Python node in a namespace: connects to argv[4:], says so, answers until its input ends.
PEER = """
import asyncio, sys
from pynode import GenServer, Node

class Echo(GenServer):
    def handle_call(self, request, caller):
        return request

async def main():
    name, cookie, epmd_port, *others = sys.argv[1:]
    async with Node(name, cookie=cookie, epmd_port=int(epmd_port)) as node:
        await node.start(Echo, name="echo")
        for other in others:
            await node.connect(other)
            assert await node.rpc.call(other, "erlang", "node", []) == node.nodes()[0]
        print("ready", *node.nodes(), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def network() -> Iterator[Network]:
    with ExitStack() as stack:
        yield Network(stack)


@pytest.fixture
def peer() -> Iterator[Callable[..., str]]:
    """Start a Python node in a namespace and return its first line and what it warned of."""
    with ExitStack() as stack:

        def start(prefix: tuple[str, ...], *words: str) -> str:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-c", PEER, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

            def end() -> None:
                _, errors = process.communicate(timeout=20)
                assert process.returncode == 0, errors

            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if not line:
                raise AssertionError(process.communicate(timeout=20)[1])
            stack.callback(end)
            return line

        yield start


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.1.1"])
@pytest.mark.parametrize("first", ["python", "beam"])
def test_the_host_s_name_is_an_address_of_loopback(
    network: Network, peer: Callable[..., str], address: str, first: str
) -> None:
    inside = network.namespace("a", f"127.0.0.1 localhost\n{address} box\n")
    with ExitStack() as stack:
        port = free_port()
        options: Any = {
            "prefix": entered(inside),
            "host": "box",
            "cookie": "netns",
            "language": "erlang",
        }
        if first == "python":  # with the EPMD it brings along
            assert peer(inside, "py@box", "netns", str(port)) == "ready"
            beam = stack.enter_context(Beam("node1", epmd=port, **options))
        else:
            epmd = stack.enter_context(Epmd(prefix=inside, address=None))
            beam = stack.enter_context(Beam("node1", epmd=epmd, **options))
            found = peer(inside, "py@box", "netns", str(epmd.port), str(beam.name))
            assert found == f"ready {beam.name}"
        assert beam.eval("net_adm:ping('py@box')") == atom.pong
        assert beam.eval("gen_server:call({echo, 'py@box'}, hello)") == atom.hello
        assert beam.eval("nodes()") == [atom("py@box")]


@pytest.mark.parametrize("dialler", ["python", "beam"])
def test_between_two_networks(network: Network, peer: Callable[..., str], dialler: str) -> None:
    hosts = "127.0.0.1 localhost\n10.77.0.1 left\n10.77.0.2 right\n"
    left, right = network.namespace("a", hosts), network.namespace("b", hosts)
    network.join(left, right)
    with Epmd(prefix=left, address=None) as epmd:
        options: Any = {"prefix": entered(left), "host": "left", "cookie": "netns"}
        beam = Beam("node1", epmd=epmd, language="erlang", **options)
        with beam:
            others = [str(beam.name)] if dialler == "python" else []
            # The Python node has no EPMD on its side, so it brings one that the BEAM can ask.
            peer(right, "py@right", "netns", str(epmd.port), *others)
            assert beam.eval("net_adm:ping('py@right')") == atom.pong
            assert beam.eval("gen_server:call({echo, 'py@right'}, hello)") == atom.hello
            # global joins over both wires' ends, in both directions
            assert beam.eval("global:sync()") == atom.ok
            assert beam.eval("global:register_name(x, self())") == atom.yes
