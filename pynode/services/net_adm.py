"""``net_adm``: who is registered where, and connecting to all of them.

Source: net_adm.erl.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from pynode.dist.local import split_name
from pynode.errors import ConfigError, ConnectError
from pynode.net.epmd_client import epmd_names
from pynode.terms import Atom
from pynode.terms.atom import MAX_ATOM_CHARACTERS

if TYPE_CHECKING:
    from pathlib import Path

    from pynode.config import NodeConfig
    from pynode.net.net import Net
    from pynode.services.net_kernel import NetKernel

__all__ = ["HOSTS_FILE", "NetAdm", "host_file", "names_at", "node_at"]

HOSTS_FILE: Final = ".hosts.erlang"
#: One term of the file: an atom or a string, in the forms that a host's name takes.
_TERM: Final = r"""(?x)
    (?: '(?P<quoted> [^'\\\n]* )' | "(?P<string> [^"\\\n]* )" | (?P<bare> [a-z][\w@]* ) )
    \s* \. (?= \s | % | $ )
"""
_BLANK: Final = r"(?x) (?: \s | %[^\n]* )*"
_log = logging.getLogger("pynode.services")


def host_file(path: str | Path | None = None) -> list[str]:
    """Return the hosts of a file of Erlang terms (``net_adm:host_file/0``).

    Args:
        path: the file; None: ``.hosts.erlang`` here, else in the home directory.

    Raises:
        ConfigError: there is no such file, it cannot be read, or something in it is no host.
    """
    from pathlib import Path  # late: few ask for the file

    candidates = [Path(path)] if path is not None else [Path(HOSTS_FILE), Path.home() / HOSTS_FILE]
    for candidate in candidates:
        try:
            text = candidate.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"hosts file {candidate}: {error}") from error
        return list(_hosts(text, candidate))
    raise ConfigError(f"no hosts file: {' or '.join(map(str, candidates))}")


def _hosts(text: str, path: Path) -> Iterator[str]:
    skip, term = re.compile(_BLANK).match, re.compile(_TERM).match
    blank = skip(text)
    at = blank.end() if blank else 0
    while at < len(text):
        found = term(text, at)
        host = found and (found["quoted"] or found["string"] or found["bare"])
        if not (found and host):
            line = text.count("\n", 0, at) + 1
            raise ConfigError(f"hosts file {path}, line {line}: each host is written 'its.name'.")
        yield host
        blank = skip(text, found.end())
        at = blank.end() if blank else found.end()


async def names_at(net: Net, host: str) -> list[Atom]:
    """Return the nodes that the EPMD of ``host`` knows, named as this node can connect to them.

    With short names, that is the host's name up to its first dot.  Names that no node can have
    are left out.

    Raises:
        HostError, EpmdError, ConnectTimeout: as :meth:`NetAdm.names`.
    """
    config = net.config
    found = await epmd_names(host, config.epmd_port, timeout=config.timeouts.epmd)
    part = host if config.long_names else host.partition(".")[0]
    return [node for name, _ in found if (node := node_at(name, part)) is not None]


def node_at(name: str, host: str) -> Atom | None:
    """Return ``name@host``, or None where an EPMD or the DNS says what cannot be a node's name."""
    full = f"{name}@{host}"
    if split_name(full) is None or len(full) > MAX_ATOM_CHARACTERS:
        return None
    return Atom(full)


class NetAdm:
    """``node.net_adm``."""

    def __init__(self, net: Net, config: NodeConfig, net_kernel: NetKernel) -> None:
        self._net = net
        self._config = config
        self._net_kernel = net_kernel

    def host_file(self) -> list[str]:
        """Return the hosts of ``.hosts.erlang``; see :func:`host_file`."""
        return host_file()

    async def names(self, host: str | None = None) -> list[tuple[str, int]]:
        """Return the names that the EPMD of ``host`` knows, with their ports (``names/0,1``).

        Args:
            host: None: that of this node's name.

        Raises:
            HostError: the host does not resolve, or there is no route to it.
            EpmdError: no EPMD runs there, or it answers what EPMD does not.
            ConnectTimeout: no answer in time.
        """
        config = self._config
        at = config.name.rpartition("@")[2] if host is None else host
        return await epmd_names(at, config.epmd_port, timeout=config.timeouts.epmd)

    async def ping(self, node: Atom | str) -> bool:
        """Return whether ``node`` answers; connects where needed (``ping/1``)."""
        return await self._net_kernel.ping(node)

    async def world(self, hosts: Iterable[str] | None = None) -> list[Atom]:
        """Ping every node that the EPMDs of ``hosts`` know; return those that answer.

        This node is one of them, if it is registered.  A host whose EPMD does not answer is left
        out (``world/0``, ``world_list/1``).

        Args:
            hosts: None: those of ``.hosts.erlang``, see :func:`host_file`.

        Raises:
            ConfigError: there is no such file, or it cannot be read.
        """
        asked = host_file() if hosts is None else list(dict.fromkeys(map(str, hosts)))
        found = await asyncio.gather(*map(self._nodes_of, asked))
        nodes = list(dict.fromkeys(node for some in found for node in some))
        answers = await asyncio.gather(*map(self.ping, nodes))
        return [node for node, answer in zip(nodes, answers, strict=True) if answer]

    async def _nodes_of(self, host: str) -> list[Atom]:
        try:
            return await names_at(self._net, host)
        except ConnectError as error:
            _log.info("net_adm leaves out the host %s: %s", host, error)
            return []
