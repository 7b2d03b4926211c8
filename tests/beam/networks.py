"""Network namespaces, with their own ``/etc/hosts``, and wires between them that can be cut."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from pynode.testing import Release

__all__ = ["MARKS", "Network", "entered"]

MARKS = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="there is no ip (iproute2)"),
]

_WITH_HOSTS = 'mount --bind /etc/hosts "$0/etc/hosts" && exec "$@"'


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def entered(namespace: tuple[str, ...], release: Release | None = None) -> tuple[str, ...]:
    """Return the words that run a BEAM of ``release`` (None: the chosen one) in a namespace.

    A release in a folder of its own has its own ``/etc/hosts``, which is covered, for this
    process alone, by that of the namespace.
    """
    if release is None:
        release = Release.find(near=Path(__file__))
    if not release.chrooted:
        return namespace
    return (*namespace, "sh", "-c", _WITH_HOSTS, str(release.root))


class Network:
    """Namespaces that a test made, joined by a pair of interfaces where there are two."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._tag = secrets.token_hex(3)

    def namespace(self, name: str, hosts: str) -> tuple[str, ...]:
        """Make a namespace; return the words that run a command in it."""
        full = f"py{self._tag}{name}"
        folder = Path("/etc/netns", full)
        folder.mkdir(parents=True)
        self._stack.callback(shutil.rmtree, folder)
        (folder / "hosts").write_text(hosts)
        ip("netns", "add", full)
        self._stack.callback(ip, "netns", "del", full)
        ip("-n", full, "link", "set", "lo", "up")
        return ("ip", "netns", "exec", full)

    def join(self, left: tuple[str, ...], right: tuple[str, ...]) -> None:
        """Give ``left`` 10.77.0.1 and ``right`` 10.77.0.2 on one wire."""
        one, two = left[-1], right[-1]
        ip("-n", one, "link", "add", "w", "type", "veth", "peer", "name", "w", "netns", two)
        for name, address in ((one, "10.77.0.1/24"), (two, "10.77.0.2/24")):
            ip("-n", name, "address", "add", address, "dev", "w")
            ip("-n", name, "link", "set", "w", "up")

    def cut(self, side: tuple[str, ...]) -> None:
        """Let nothing pass on the wire any more; nobody is told."""
        ip("-n", side[-1], "link", "set", "w", "down")

    def mend(self, side: tuple[str, ...]) -> None:
        """Let the wire work again."""
        ip("-n", side[-1], "link", "set", "w", "up")
