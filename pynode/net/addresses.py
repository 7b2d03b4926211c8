"""Host names and addresses: where a peer is, and where this node listens.

A BEAM speaks IPv4 unless it was told otherwise, so IPv4 addresses come first everywhere, and
IPv6 serves hosts that have nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import socket
import struct
import threading
from typing import Any, Final, NamedTuple, TypeAlias

from pynode.errors import ConfigError, ConnectTimeout, HostError
from pynode.forked import own_socket

__all__ = [
    "Address",
    "Endpoint",
    "bind_listeners",
    "is_local_peer",
    "is_loopback",
    "is_unspecified",
    "listen_addresses",
    "node_listeners",
    "other_addresses",
    "resolve",
]

_log = logging.getLogger("pynode.net")

#: A socket address as the socket module has it.
Address: TypeAlias = Any
_SIOCGIFADDR: Final = 0x8915
#: A whole cluster that reconnects at once finds room, also while the loop is busy: who finds none
#: waits for a second before the kernel tries again.  (The kernel has a limit of its own.)
_BACKLOG: Final = 1024
#: What stands before an IPv4 address in IPv6.
_MAPPED: Final = bytes(10) + b"\xff\xff"


class Endpoint(NamedTuple):
    """A numeric address with its family."""

    family: int
    host: str

    def at(self, port: int) -> Address:
        """Return the socket address of ``port`` there."""
        return (self.host, port)

    def __str__(self) -> str:
        return f"[{self.host}]" if self.family == socket.AF_INET6 else self.host


def _numeric(host: str) -> Endpoint | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return Endpoint(family, host)
    return None


async def resolve(
    loop: asyncio.AbstractEventLoop, host: str, *, node: str = "", timeout: float | None = None
) -> list[Endpoint]:
    """Return the addresses of ``host``, IPv4 first; never an empty list.

    Args:
        loop: the running loop.
        host: a name or an address.
        node: what the errors name.
        timeout: seconds; None: as long as the system's resolver takes.

    Raises:
        HostError: it does not resolve.
        ConnectTimeout: the resolver did not answer in time.
    """
    numeric = _numeric(host)
    if numeric is not None:
        return [numeric]
    try:
        async with asyncio.timeout(timeout):
            found = await _getaddrinfo(loop, host)
    except TimeoutError:
        problem = f"the host {host!r} was not resolved within {timeout} s"
        raise ConnectTimeout(node, problem) from None
    except (OSError, UnicodeError, ValueError) as error:
        text = getattr(error, "strerror", None) or "not a host name"
        raise HostError(node, f"the host {host!r} does not resolve: {text}") from error
    endpoints = {Endpoint(int(family), str(address[0])): None for family, *_, address in found}
    ordered = sorted(endpoints, key=lambda endpoint: endpoint.family != socket.AF_INET)
    if not ordered:
        raise HostError(node, f"the host {host!r} has no address")
    return ordered


async def _getaddrinfo(loop: asyncio.AbstractEventLoop, host: str) -> list[Any]:
    """Ask the resolver in a thread of its own, a daemon.

    Not the loop's executor: its threads outlive the question until the loop closes, and a
    resolver that hangs would hold up the end of the program.
    """
    answer: asyncio.Future[list[Any]] = loop.create_future()

    def settle(found: list[Any] | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or [])

    def ask() -> None:
        found, failure = None, None
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(settle, found, failure)

    threading.Thread(target=ask, name=f"pynode-resolve {host}", daemon=True).start()
    return await answer


def _packed(host: str) -> bytes:
    """Return the bytes of a numeric address."""
    address = host.partition("%")[0]
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def is_loopback(host: str) -> bool:
    """Tell whether a numeric address is of the loopback interface."""
    packed = _packed(host).removeprefix(_MAPPED)
    return packed[0] == 127 if len(packed) == 4 else int.from_bytes(packed) == 1


def is_unspecified(host: str) -> bool:
    """Tell whether a numeric address stands for all of its family: 0.0.0.0 or ::."""
    return not any(_packed(host))


def is_local_peer(sock: socket.socket) -> bool:
    """Tell whether the other side is on this host: loopback, or our own address (as EPMD does)."""
    try:
        theirs, ours = sock.getpeername()[0], sock.getsockname()[0]
    except OSError:
        return False
    return is_loopback(theirs) or theirs == ours


def other_addresses() -> list[str]:
    """Return the IPv4 addresses of this host that are not loopback, as far as it tells."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:
                continue  # an interface without an IPv4 address
            address = socket.inet_ntoa(answer[20:24])
            if not is_loopback(address):
                found.append(address)
    return found


# --------------------------------------------------------------------------- listening


async def listen_addresses(
    loop: asyncio.AbstractEventLoop,
    node: str,
    listen: str | None,
    *,
    timeout: float | None = None,
    tls: bool = False,
) -> list[Endpoint]:
    """Return where ``node`` is to listen, and say what a user has to know about it.

    ``listen`` names it (an address or a host; ``"0.0.0.0"`` and ``"::"`` are all interfaces);
    None: where the host part of the name resolves.  Two warnings on ``pynode.net``: that is
    loopback although the host has other addresses and its name does not say so (Debian's
    127.0.1.1); or it is wider than loopback, where cookie and traffic travel without TLS.

    Raises:
        HostError: ``listen`` does not resolve.
        ConnectTimeout: the resolver did not answer for it within ``timeout`` seconds.
    """
    host = node.rpartition("@")[2]
    if listen is not None:
        endpoints = await resolve(loop, listen, node=node, timeout=timeout)
    else:
        try:
            endpoints = await resolve(loop, host, node=node, timeout=timeout)
        except (HostError, ConnectTimeout) as error:
            _log.warning("%s; listening on loopback only", error)
            return [Endpoint(socket.AF_INET, "127.0.0.1")]
    first = endpoints[0].family
    endpoints = [endpoint for endpoint in endpoints if endpoint.family == first]
    wide = [str(endpoint) for endpoint in endpoints if not is_loopback(endpoint.host)]
    if wide and not tls:
        _log.warning(
            "%s listens on %s without TLS: whoever can read that network reads its traffic, and "
            "whoever has the cookie controls it; listen='127.0.0.1' closes it, tls= secures it",
            node,
            ", ".join(wide),
        )
    elif not wide and listen is None and host != "localhost" and _numeric(host) is None:
        others = other_addresses()
        if others:
            _log.warning(
                "%s listens on %s only, for that is what %r resolves to here: other hosts cannot "
                "reach it; listen=%r (or a name that resolves to it) opens it",
                node,
                ", ".join(str(endpoint) for endpoint in endpoints),
                host,
                others[0],
            )
    return endpoints


def bind_listeners(endpoints: list[Endpoint], port: int) -> list[socket.socket]:
    """Return listening, non-blocking sockets on ``port`` of each endpoint; 0: one free for all.

    Addresses beyond the first that are not of this host are left out.

    Raises:
        OSError: the first address cannot be had, or the port is in use on one of them.
    """
    sockets: list[socket.socket] = []
    try:
        for endpoint in endpoints:
            try:
                sock = _bind(endpoint, port or (sockets[0].getsockname()[1] if sockets else 0))
            except OSError as error:
                if sockets and error.errno == errno.EADDRNOTAVAIL:
                    continue
                raise
            sockets.append(sock)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind(endpoint: Endpoint, port: int) -> socket.socket:
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    own_socket(sock)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if endpoint.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(endpoint.at(port))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def node_listeners(node: str, endpoints: list[Endpoint], port: int) -> list[socket.socket]:
    """As :func:`bind_listeners`, for a node: its errors say what to do.

    Raises:
        ConfigError: the fixed port is in use, or the address is not of this host.
    """
    for attempt in range(8):
        try:
            return bind_listeners(endpoints, port)
        except OSError as error:
            # A free port of the first address may be in use on the second: take another.
            if error.errno == errno.EADDRINUSE and port == 0 and attempt < 7:
                continue
            where = ", ".join(str(endpoint) for endpoint in endpoints)
            raise ConfigError(
                f"{node} cannot listen on {where}, port {port or 'any'}: {error.strerror}; "
                "listen= and port= choose others"
            ) from error
    raise AssertionError  # pragma: no cover
