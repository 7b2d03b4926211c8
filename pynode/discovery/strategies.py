"""Where nodes are looked for: in a list, at EPMDs, in ``.hosts.erlang``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pynode.errors import ConfigError, ConnectError, DiscoveryError
from pynode.services.net_adm import host_file, names_at
from pynode.terms import Atom

if TYPE_CHECKING:
    from pynode.net import Net

__all__ = ["EpmdHosts", "Found", "HostsFile", "NodeList", "Strategy"]


class Found(NamedTuple):
    """What one look has found, and what it could not look at."""

    nodes: list[Atom]
    problems: list[DiscoveryError] = []  # noqa: RUF012  (a NamedTuple's default, never changed)


class Strategy(Protocol):
    """A place to look for nodes.

    ``str(strategy)`` names it in errors and log lines.
    """

    async def find(self, net: Net) -> Found:
        """Look once.

        What is returned may hold this node and others that are connected; they are left alone.
        Cancelled when the node stops, so it must leave nothing behind.

        Raises:
            DiscoveryError: nothing could be looked at.  Any other exception counts as a fault of
                the strategy, which is asked again all the same.
        """


class NodeList:
    """The nodes that are named here: ``NodeList(["node1@box1", "node2@box2"])``."""

    def __init__(self, nodes: Iterable[Atom | str]) -> None:
        self._nodes = [node if isinstance(node, Atom) else Atom(node) for node in nodes]

    def __str__(self) -> str:
        return f"list of {len(self._nodes)} nodes"

    async def find(self, net: Net) -> Found:
        """Return all of them."""
        return Found(self._nodes)


class EpmdHosts:
    """Every node that the EPMDs of ``hosts`` know; None: of this node's own host.

    A host whose EPMD does not answer is a problem; the others count.
    """

    def __init__(self, hosts: Iterable[str] | None = None) -> None:
        self._hosts = None if hosts is None else list(dict.fromkeys(hosts))

    def __str__(self) -> str:
        return f"EPMD of {'this host' if self._hosts is None else ', '.join(self._hosts)}"

    async def find(self, net: Net) -> Found:
        """Ask all of them at once."""
        hosts = self._hosts
        if hosts is None:
            hosts = [net.config.name.rpartition("@")[2]]
        return await _ask_all(net, hosts)


class HostsFile:
    """As :class:`EpmdHosts`, with the hosts of a file that is read anew each time.

    ``path`` None: ``.hosts.erlang``, as ``net_adm`` finds it.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = path

    def __str__(self) -> str:
        return f"hosts file {self._path or '.hosts.erlang'}"

    async def find(self, net: Net) -> Found:
        """Read the file, and ask all of its hosts at once."""
        try:
            hosts = host_file(self._path)
        except ConfigError as error:
            raise DiscoveryError(str(self), str(error)) from error
        return await _ask_all(net, hosts)


async def _ask_all(net: Net, hosts: list[str]) -> Found:
    answers = await asyncio.gather(*(_ask(net, host) for host in hosts))
    nodes = [node for answer in answers for node in answer.nodes]
    return Found(nodes, [problem for answer in answers for problem in answer.problems])


async def _ask(net: Net, host: str) -> Found:
    try:
        return Found(await names_at(net, host))
    except ConnectError as error:
        problem = DiscoveryError(f"EPMD of {host}", str(error))
        problem.__cause__ = error
        return Found([], [problem])
