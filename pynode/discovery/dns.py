"""Nodes by the DNS, as behind a headless service of Kubernetes; needs dnspython (``[dns]``).

The names of the nodes are not in the DNS: all have the same part before the ``@``, the
``basename``, and what follows it is an address (:class:`Dns`) or a host's name (:class:`DnsSrv`).
So the nodes have long names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pynode.discovery.strategies import Found
from pynode.errors import ConfigError, DiscoveryError
from pynode.services.net_adm import node_at

if TYPE_CHECKING:
    from pynode.net import Net

__all__ = ["Dns", "DnsSrv"]


class _Query:
    """A question to the DNS.

    Args:
        name: what is asked for; relative names are searched for as the system's settings say.
        basename: the part of the nodes' names before the ``@``.
        nameservers: addresses of name servers; None: those of the system (``/etc/resolv.conf``,
            read anew each time).
        port: of these name servers.
        timeout: seconds for all tries together.

    Raises:
        ConfigError: dnspython is not installed, or ``basename`` cannot be part of a node's name.
    """

    def __init__(
        self,
        name: str,
        basename: str,
        *,
        nameservers: Iterable[str] | None = None,
        port: int = 53,
        timeout: float = 5.0,
    ) -> None:
        try:
            import dns.asyncresolver
        except ImportError as error:
            raise ConfigError(
                "looking for nodes in the DNS needs dnspython: pip install 'pynode-beam[dns]'"
            ) from error
        if not basename or "@" in basename:
            raise ConfigError(f"{basename!r} cannot stand before the @ of a node's name")
        self._dns = dns.asyncresolver
        self._name = name
        self._basename = basename
        self._nameservers = None if nameservers is None else list(nameservers)
        self._port = port
        self._timeout = timeout

    def _found(self, hosts: Iterable[str], problems: Iterable[DiscoveryError] = ()) -> Found:
        found = Found([], list(problems))
        for host in dict.fromkeys(hosts):
            node = node_at(self._basename, host)
            if node is not None:
                found.nodes.append(node)
            else:
                problem = f"{host[:300]!r} cannot be part of a node's name"
                found.problems.append(DiscoveryError(str(self), problem))
        return found

    def _resolver(self) -> Any:
        if self._nameservers is None:
            return self._dns.Resolver()
        resolver = self._dns.Resolver(configure=False)
        resolver.nameservers = self._nameservers
        resolver.port = self._port
        return resolver

    async def _ask(self, kind: str) -> list[Any]:
        """Return the records of one kind; an answer without any is an empty list.

        Raises:
            DiscoveryError: there is no such name, or no server answers.
        """
        from dns.exception import DNSException
        from dns.resolver import NoAnswer

        try:
            answer = await self._resolver().resolve(
                self._name, kind, search=True, lifetime=self._timeout
            )
        except NoAnswer:
            return []
        except (DNSException, OSError) as error:
            raise DiscoveryError(f"{self} ({kind})", str(error)) from error
        return list(answer)


class Dns(_Query):
    """``basename@address`` for each address of a name: ``Dns("app.default.svc", basename="app")``.

    ``records`` are the kinds that are asked for, of ``"A"`` and ``"AAAA"``; None: both.
    """

    def __init__(
        self, name: str, basename: str, *, records: Iterable[str] | None = None, **options: Any
    ) -> None:
        super().__init__(name, basename, **options)
        self._records = ["A", "AAAA"] if records is None else [kind.upper() for kind in records]
        if not self._records or set(self._records) - {"A", "AAAA"}:
            raise ConfigError("the addresses of a name are in records of kind A and AAAA")

    def __str__(self) -> str:
        return f"addresses of {self._name} in the DNS"

    async def find(self, net: Net) -> Found:
        """Ask for all kinds of records at once."""
        answers = await asyncio.gather(
            *(self._ask(kind) for kind in self._records), return_exceptions=True
        )
        hosts: list[str] = []
        problems = []
        for answer in answers:
            if isinstance(answer, DiscoveryError):
                problems.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                hosts += [record.address for record in answer]
        return self._found(hosts, problems)


class DnsSrv(_Query):
    """``basename@target`` for each SRV record: ``DnsSrv("_epmd._tcp.app.default.svc", "app")``.

    The names of the targets are taken as they are, and the ports in the records left alone:
    where a node listens is for EPMD, or ``peer_port``, to say.
    """

    def __str__(self) -> str:
        return f"services of {self._name} in the DNS"

    async def find(self, net: Net) -> Found:
        """Ask."""
        records = await self._ask("SRV")
        return self._found(record.target.to_text(omit_final_dot=True) for record in records)
