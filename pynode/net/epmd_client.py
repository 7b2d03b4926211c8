"""The client's side of EPMD: look nodes up, list names, and stay registered.

Errors name the cause and where it was met; ``node`` in them is the node that was asked for, or
the one that wants to register.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from pynode.dist.epmd import (
    AliveReply,
    AliveRequest,
    NamesRequest,
    NodeEntry,
    PortRequest,
    Request,
    encode_request,
    parse_alive_reply,
    parse_names_reply,
    parse_port_reply,
)
from pynode.errors import (
    ConnectTimeout,
    EpmdError,
    HostError,
    NameTakenError,
    NoSuchNode,
    ProtocolError,
)
from pynode.net.addresses import Endpoint, resolve
from pynode.net.channel import Channel, connect_socket
from pynode.telemetry import Telemetry

__all__ = ["EPMD_PORT", "Registration", "epmd_names", "look_up"]

_log = logging.getLogger("pynode.net")
EPMD_PORT: Final = 4369
#: Between attempts to register again, in seconds (``erl_epmd``'s ``RECONNECT_TIME``).
RETRY_SECONDS: Final = 2.0
#: How long EPMD may take to free a name, in seconds; a running one needs no time for it.
FREE_SECONDS: Final = 1.0
_LONGEST_REPLY: Final = 16 * 1024 * 1024
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


class _Question:
    """Collects a reply until the server closes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reply: asyncio.Future[bytes] = loop.create_future()
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > _LONGEST_REPLY:
            self._settle()

    def buffers_filled(self, count: int) -> None:
        """Never asked for."""

    def connection_lost(self, error: OSError | None) -> None:
        if error is not None and not self._data and not self.reply.done():
            self.reply.set_exception(error)
        self._settle()

    def output_flushed(self) -> None:
        pass

    def _settle(self) -> None:
        if not self.reply.done():
            self.reply.set_result(bytes(self._data))


def _where(endpoint: Endpoint, port: int) -> str:
    return f"EPMD at {endpoint}:{port}"


def _cannot_reach(node: str, endpoint: Endpoint, port: int, error: OSError) -> Exception:
    where = _where(endpoint, port)
    if error.errno in _NO_ROUTE:
        return HostError(node, f"no route to {where}: {error.strerror}")
    if isinstance(error, ConnectionRefusedError):
        return EpmdError(node, f"{where} is not running: it refuses the connection")
    return EpmdError(node, f"{where} does not answer: {error.strerror or error}")


async def _ask(
    loop: asyncio.AbstractEventLoop,
    endpoint: Endpoint,
    port: int,
    request: Request,
    *,
    node: str,
    timeout: float | None,
) -> bytes:
    """Send one request and return everything up to the close.

    Raises:
        EpmdError: nobody listens there, or it breaks off.
        HostError: no route.
        ConnectTimeout: no answer within ``timeout`` seconds.
    """
    channel: Channel | None = None
    try:
        async with asyncio.timeout(timeout):
            sock = await connect_socket(loop, endpoint.family, endpoint.at(port))
            question = _Question(loop)
            channel = Channel(loop, sock, question)
            channel.write([encode_request(request)])
            return await question.reply
    except TimeoutError as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise _cannot_reach(node, endpoint, port, error) from error
        where = _where(endpoint, port)
        raise ConnectTimeout(node, f"{where} did not answer within {timeout} s") from None
    except OSError as error:
        raise _cannot_reach(node, endpoint, port, error) from error
    finally:
        if channel is not None:
            channel.close()


async def look_up(
    loop: asyncio.AbstractEventLoop,
    endpoint: Endpoint,
    port: int,
    alive: str,
    *,
    node: str,
    timeout: float | None,
) -> NodeEntry:
    """Ask the EPMD there where ``alive`` listens (PORT_PLEASE2_REQ).

    Raises:
        NoSuchNode: it has no node of that name.
        EpmdError: it is not running, or answers what EPMD does not.
        HostError: no route.
        ConnectTimeout: no answer within ``timeout`` seconds.
    """
    data = await _ask(loop, endpoint, port, PortRequest(alive), node=node, timeout=timeout)
    where = _where(endpoint, port)
    try:
        entry = parse_port_reply(data)
    except ProtocolError as error:
        raise EpmdError(node, f"{where} answers what EPMD does not: {error}") from error
    if entry is None:
        raise NoSuchNode(node, f"{where} has no node named {alive!r}")
    return entry


async def epmd_names(
    host: str = "127.0.0.1", port: int = EPMD_PORT, *, timeout: float | None = 5.0
) -> list[tuple[str, int]]:
    """Return the names registered at the EPMD of ``host``, with their ports (``epmd -names``).

    Raises:
        HostError: ``host`` does not resolve, or there is no route to it.
        EpmdError: no EPMD runs there, or it answers what EPMD does not.
        ConnectTimeout: no answer within ``timeout`` seconds.
    """
    loop = asyncio.get_running_loop()
    failure: Exception | None = None
    for endpoint in await resolve(loop, host, timeout=timeout):
        try:
            data = await _ask(loop, endpoint, port, NamesRequest(), node="", timeout=timeout)
        except (EpmdError, HostError) as error:
            failure = failure or error
            continue
        try:
            return parse_names_reply(data).names
        except ProtocolError as error:
            raise EpmdError(
                "", f"{_where(endpoint, port)} answers what EPMD does not: {error}"
            ) from error
    assert failure is not None  # noqa: S101  resolve() returns at least one address
    raise failure


class Registration:
    """A name kept at EPMD: the connection is its life, and is made again when it is lost.

    Every :data:`RETRY_SECONDS` until it succeeds, as ``erl_epmd`` does; the creation that a later
    registration brings is ignored.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        port: int,
        entry: NodeEntry,
        *,
        node: str,
        timeout: float | None,
        telemetry: Telemetry,
        start_server: Callable[[], Awaitable[bool]],
    ) -> None:
        """Make one; nothing happens before :meth:`register`.

        Args:
            loop: the loop it runs on.
            endpoint: where EPMD is.
            port: the port of EPMD.
            entry: what to register.
            node: the full name, for errors and the name of the task.
            timeout: seconds for each attempt.
            telemetry: told when it is registered and when it is lost.
            start_server: called where no EPMD runs; True: one was started, or another process
                was quicker, so ask again.
        """
        self._loop = loop
        self._endpoint = endpoint
        self._port = port
        self._entry = entry
        self._node = node
        self._timeout = timeout
        self._telemetry = telemetry
        self._start_server = start_server
        self._channel: Channel | None = None
        self._reply: asyncio.Future[AliveReply] | None = None
        self._data = b""
        self._retrying: asyncio.Task[None] | None = None
        self._closed = False
        self._freed: asyncio.Future[None] | None = None

    @property
    def registered(self) -> bool:
        """True while EPMD has the name."""
        return self._channel is not None and self._reply is None

    async def register(self) -> int:
        """Register, and return the creation that EPMD gives.

        Raises:
            EpmdError: no EPMD and none could be started, or it answers what EPMD does not.
            NameTakenError: EPMD has a node of that name.
            HostError: no route.
            ConnectTimeout: no answer in time.
        """
        deadline = None if self._timeout is None else self._loop.time() + self._timeout
        while True:
            try:
                return await self._attempt()
            except EpmdError as error:
                refused = isinstance(error.__cause__, ConnectionRefusedError)
                if not (refused and await self._start_server()):
                    raise
                if deadline is not None and self._loop.time() > deadline:
                    where = _where(self._endpoint, self._port)
                    problem = f"no EPMD can be started: {where} is in use, and nothing listens"
                    raise EpmdError(self._node, problem) from error
            # Whoever was quicker binds before it listens: leave it that moment.
            await asyncio.sleep(0.01)

    async def _attempt(self) -> int:
        where = _where(self._endpoint, self._port)
        registered = False
        try:
            async with asyncio.timeout(self._timeout):
                sock = await connect_socket(
                    self._loop, self._endpoint.family, self._endpoint.at(self._port)
                )
                self._data = b""
                self._reply = self._loop.create_future()
                self._channel = Channel(self._loop, sock, self)
                self._channel.write([encode_request(AliveRequest(self._entry))])
                reply = await self._reply
            registered = reply.result == 0
        except TimeoutError as error:
            if error.errno is not None:
                raise _cannot_reach(self._node, self._endpoint, self._port, error) from error
            problem = f"{where} did not answer within {self._timeout} s"
            raise ConnectTimeout(self._node, problem) from None
        except OSError as error:
            raise _cannot_reach(self._node, self._endpoint, self._port, error) from error
        except ProtocolError as error:
            raise EpmdError(self._node, f"{where} answers what EPMD does not: {error}") from error
        finally:
            self._reply = None
            if not registered:
                self._drop()
        if not registered:
            raise NameTakenError(
                self._node, f"{where} has a node named {self._entry.name!r} already, or refuses it"
            )
        if self._telemetry.hooks:
            self._telemetry.emit("epmd_registered", creation=reply.creation, port=self._port)
        return reply.creation

    def close(self) -> None:
        """Give the name up, now; :meth:`closed` waits until EPMD has noticed."""
        self._closed = True
        if self._channel is not None and self.registered:
            try:
                self._channel.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self._drop()
            else:
                self._freed = self._loop.create_future()
        else:
            self._drop()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionAbortedError("the registration was given up"))
        if self._retrying is not None:
            self._retrying.cancel()

    def left_behind(self) -> None:
        """In a forked child: try no more."""
        self._closed = True
        self._channel = None

    async def closed(self) -> None:
        """Wait until nothing of it runs any more, and EPMD can register the name again.

        EPMD closes its end when it has done so; one that does not is not waited for longer than
        :data:`FREE_SECONDS`.
        """
        try:
            if self._retrying is not None:
                await asyncio.wait([self._retrying])
            if self._freed is not None:
                await asyncio.wait([self._freed], timeout=FREE_SECONDS)
        finally:
            self._drop()

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    # ------------------------------------------------------------------ the channel's receiver

    def data_received(self, data: bytes) -> None:
        """Read the reply to the registration."""
        reply = self._reply
        if reply is None or reply.done():
            return
        self._data += data
        try:
            answer = parse_alive_reply(self._data)
        except ProtocolError as error:
            reply.set_exception(error)
            return
        if answer is not None:
            reply.set_result(answer)

    def output_flushed(self) -> None:
        """Nothing waits for this."""

    def buffers_filled(self, count: int) -> None:
        """Never asked for."""

    def connection_lost(self, error: OSError | None) -> None:
        """EPMD is gone, or does not want us: try again, and again."""
        self._channel = None
        if self._freed is not None and not self._freed.done():
            self._freed.set_result(None)
        if self._reply is not None:
            if not self._reply.done():
                self._reply.set_exception(error or ConnectionResetError("it closed the connection"))
            return
        if self._closed:
            return
        if self._telemetry.hooks:
            self._telemetry.emit("epmd_lost")
        if self._retrying is None or self._retrying.done():
            self._retrying = self._loop.create_task(
                self._register_again(), name=f"pynode-epmd {self._node}"
            )

    async def _register_again(self) -> None:
        while not self._closed:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                await self.register()
            except (EpmdError, NameTakenError, HostError, ConnectTimeout) as error:
                _log.debug("not registered again yet: %s", error)
            else:
                if self._channel is not None:
                    return
