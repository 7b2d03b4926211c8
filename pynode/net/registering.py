"""The node's place at EPMD, and the EPMD that a node starts where none runs."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pynode.dist.epmd import HIDDEN_NODE, NORMAL_NODE, NodeEntry
from pynode.dist.local import split_name
from pynode.errors import ConnectError, EpmdError
from pynode.net.addresses import Endpoint, is_loopback, is_unspecified, resolve
from pynode.net.epmd_client import Registration
from pynode.net.epmd_server import EpmdServer

if TYPE_CHECKING:
    from pynode.net.net import Net

__all__ = ["Registering"]

_log = logging.getLogger("pynode.net")


class Registering:
    """Registers a node under its name, for as long as it lives."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._endpoints: list[Endpoint] = []
        self._registration: Registration | None = None
        self._server: EpmdServer | None = None

    @property
    def server(self) -> EpmdServer | None:
        """The embedded EPMD, where this node started one."""
        return self._server if self._server is not None and self._server.running else None

    async def register(self, endpoints: list[Endpoint], port: int) -> int:
        """Have EPMD tell that the node listens on ``endpoints``, at ``port``; return the creation.

        Raises:
            EpmdError: EPMD does not answer, and none may or can be started.
            NameTakenError: EPMD has a node of this name.
            ConnectTimeout: EPMD did not answer in time.
        """
        net, config = self._net, self._net.config
        self._endpoints = endpoints
        own = config.epmd_address or (
            "127.0.0.1" if endpoints[0].family == socket.AF_INET else "::1"
        )
        found = await resolve(net.loop, own, node=config.name, timeout=config.timeouts.setup)
        where = found[0]
        alive = (split_name(config.name) or (config.name, ""))[0]
        self._registration = Registration(
            net.loop,
            where,
            config.epmd_port,
            NodeEntry(alive, port, HIDDEN_NODE if config.hidden else NORMAL_NODE),
            node=config.name,
            timeout=config.timeouts.epmd,
            telemetry=net.telemetry,
            start_server=lambda: self._start_server(where),
        )
        return await self._registration.register()

    def close(self) -> Registration | None:
        """Give the name up, and end the embedded EPMD; return what is to be waited for."""
        registration, self._registration = self._registration, None
        if registration is not None:
            registration.close()
        if self._server is not None:
            self._server.stop()
        return registration

    def left_behind(self) -> None:
        """In a forked child: register nowhere again; the embedded EPMD is the parent's."""
        registration, self._registration = self._registration, None
        if registration is not None:
            registration.left_behind()
        self._server = None

    async def _server_endpoints(self, where: Endpoint) -> list[Endpoint]:
        """Return where an embedded EPMD is to listen, the address of our own questions first."""
        if not is_loopback(where.host):
            return []  # another host's
        config = self._net.config
        hosts: Iterable[str]
        if config.epmd_listen is not None:
            hosts = config.epmd_listen
        else:
            hosts = [endpoint.host for endpoint in self._endpoints] + [socket.gethostname()]
        found = {where: None}
        for host in hosts:
            try:
                # A host that cannot resolve its own name is no reason to wait for its resolver.
                found |= dict.fromkeys(await resolve(self._net.loop, host, timeout=1.0))
            except ConnectError as error:
                _log.debug("the embedded EPMD leaves out %s: %s", host, error)
        # All addresses of a family and one of them cannot be listened on at a time.
        wild = {endpoint.family for endpoint in found if is_unspecified(endpoint.host)}
        kept = [
            endpoint
            for endpoint in found
            if endpoint.family not in wild or is_unspecified(endpoint.host)
        ]
        return sorted(kept, key=lambda endpoint: endpoint.family != where.family)

    async def _start_server(self, where: Endpoint) -> bool:
        """Start an embedded EPMD; True if one runs now, ours or that of somebody quicker."""
        config, telemetry = self._net.config, self._net.telemetry
        if not config.start_epmd or self.server is not None:
            return False
        endpoints = await self._server_endpoints(where)
        if not endpoints:
            return False
        local_only = config.epmd_listen is None and all(
            is_loopback(endpoint.host) for endpoint in self._endpoints
        )
        server = EpmdServer(
            self._net.loop,
            relaxed_command_check=config.epmd_relaxed_command_check,
            local_only=local_only,
        )
        try:
            server.start(endpoints, config.epmd_port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True  # another process was quicker
            raise EpmdError(
                config.name, f"no EPMD runs, and none can be started: {error.strerror}"
            ) from error
        self._server = server
        if telemetry.hooks:
            telemetry.emit("epmd_started", addresses=server.addresses(), port=server.port)
        return True
