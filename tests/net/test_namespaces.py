"""Two hosts, as network namespaces: each node listens where its own name resolves, and no wider."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.netns

#: A net that serves until its standard input closes; or connects, sends, and tells.
PROGRAM = textwrap.dedent(
    """
    import asyncio, sys
    sys.path.insert(0, sys.argv[1])
    from pynode import etf
    from pynode.config import NodeConfig
    from pynode.dist.control import RegSend
    from pynode.dist.flags import offered
    from pynode.net import Net
    from pynode.terms import Atom, Pid

    class Sink:
        def peer_up(self, peer):
            print("up", peer.name, flush=True)
        def control(self, peer, message, payload):
            value, _ = etf.decode_payload(payload.data, payload.offset, payload.atoms)
            print("got", value, flush=True)
        def peer_down(self, node, peer, reason, cause=None):
            print("down", node, reason, flush=True)
        def peer_drained(self, node):
            pass
        def batch_begin(self):
            pass
        def batch_end(self):
            pass

    async def main(name, other):
        net = Net(NodeConfig(name=name, cookie=b"cookie"), offered(hidden=False), Sink())
        await net.start()
        where = net._listening.listeners[0].getsockname()[0]
        print("listens", where, *sorted(net.epmd.addresses()), flush=True)
        if other:
            await net.connect(other)
            me = Pid(Atom(name), 1, 0, net.creation)
            net.submit(Atom(other), me, RegSend(me, Atom("inbox")), etf.encode_payload(42))
            await net.drain(other)
        else:
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await net.stop()

    asyncio.run(main(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""))
    """
)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """Two namespaces with a cable between them: ``{host name: namespace}``."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2")
    mark = f"pn{os.getpid() % 100_000}"
    spaces = {"red": f"{mark}r", "blue": f"{mark}b"}
    table = "127.0.0.1 localhost\n10.77.0.1 red\n10.77.0.2 blue\n"
    try:
        for number, (host, space) in enumerate(spaces.items(), 1):
            try:
                ip("netns", "add", space)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespaces here: {error.stderr!r}")
            folder = Path("/etc/netns") / space
            folder.mkdir(parents=True)
            (folder / "hosts").write_text(table)
            if number == 1:
                ip("link", "add", f"{mark}0", "type", "veth", "peer", "name", f"{mark}1")
            ip("link", "set", f"{mark}{number - 1}", "netns", space)
            ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", f"{mark}{number - 1}")
            ip("-n", space, "link", "set", f"{mark}{number - 1}", "up")
            ip("-n", space, "link", "set", "lo", "up")
            assert host in table
        yield spaces
    finally:
        for space in spaces.values():
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
            shutil.rmtree(Path("/etc/netns") / space, ignore_errors=True)


def start(space: str, *arguments: str) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[2])
    command = ["ip", "netns", "exec", space, sys.executable, "-c", PROGRAM, root, *arguments]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_hosts(hosts: dict[str, str]) -> None:
    red = start(hosts["red"], "a@red")
    try:
        assert red.stdout is not None
        assert red.stdout.readline() == "listens 10.77.0.1 10.77.0.1 127.0.0.1\n"
        blue = start(hosts["blue"], "b@blue", "a@red")
        said, complaints = blue.communicate(timeout=30)
        assert "up a@red" in said, complaints
        assert "without TLS" in complaints
        said, _ = red.communicate("stop\n", timeout=30)
        lines = said.splitlines()
        assert lines == ["up b@blue", "got 42", "down b@blue connection_closed"]
    finally:
        red.kill()
        red.communicate()
