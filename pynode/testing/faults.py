"""A network between nodes that can be cut, stalled, slowed and made to lose, link by link.

::

    def test_cut(beam, faults):
        a, b = beam("a", epmd=faults), beam("b", epmd=faults)
        assert a.eval("Node.connect(b)", b=b.name)
        faults.link(a, b).cut()
        a.eval("...")                                  # nodedown
        faults.link(a, b).restore()

How: every node is given an EPMD of its own.  All of them know all nodes, and answer each with
the port of a proxy that stands for exactly that pair; so nodes need not know, whoever dials.  The
proxies run in a thread with an event loop of its own: every call here is synchronous, thread-safe
and done when it returns.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol, Self, TypeVar

from pynode.dist.epmd import (
    AliveRequest,
    NamesRequest,
    NodeEntry,
    PortRequest,
    alive_reply,
    names_reply,
    parse_request,
    port_reply,
)
from pynode.errors import ProtocolError
from pynode.terms.atom import Atom

__all__ = ["FaultNetwork", "Link", "Named"]

T = TypeVar("T")
_CHUNK = 65_536
_CHUNKS_UNDER_WAY = 64


class Named(Protocol):
    """Anything with a node's name: a Beam, a Node."""

    @property
    def name(self) -> Atom:
        """The full name."""


class FaultNetwork:
    """A network of loopback links; give it as ``epmd`` to the nodes that are to be in it.

    For a Python node: ``epmd_port=faults.port_for_new_node()``.  Needs no Erlang.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._views: list[_View] = []
        self._links: dict[frozenset[str], Link] = {}
        self._creations = itertools.count(1_000)
        self._tasks: set[asyncio.Task[None]] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._closing = False

    def start(self) -> Self:
        """Start the thread that carries the bytes."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="fault network", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Close every connection and listener, and end the thread."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._do(self._close())
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def port_for_new_node(self) -> int:
        """Open the EPMD of one more node and return its port."""
        self.start()
        return self._do(self._open_view())

    def link(self, one: Named | Atom | str, other: Named | Atom | str) -> Link:
        """Return the link between two nodes, whoever dials; they need not be up yet.

        Raises:
            ValueError: both are the same node.
        """
        pair = _alive(one), _alive(other)
        if pair[0] == pair[1]:
            raise ValueError(f"{pair[0]} has no link to itself")
        key = frozenset(pair)
        if key not in self._links:
            self._links[key] = Link(self, *pair)
        return self._links[key]

    def isolate(self, node: Named | Atom | str) -> None:
        """Cut every link of ``node`` to the nodes that are registered now."""
        for other in self._known() - {_alive(node)}:
            self.link(node, other).cut()

    def restore(self) -> None:
        """Take every fault back."""
        for link in list(self._links.values()):
            link.restore()

    # ------------------------------------------------------------------ inside

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the fault network is not started")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _keep_dialling(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    def _known(self) -> set[str]:
        return {view.entry.name for view in self._views if view.entry is not None}

    def _find(self, name: str) -> NodeEntry | None:
        for view in self._views:
            if view.entry is not None and view.entry.name == name:
                return view.entry
        return None

    async def _open_view(self) -> int:
        view = _View(self)
        await view.open()
        self._views.append(view)
        return view.port

    async def _close(self) -> None:
        self._closing = True
        for view in self._views:
            view.close()
        # Not cancelled: a dial that is cancelled in the moment of its success loses its socket.
        if self._dialling:
            await asyncio.wait(self._dialling)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._links.values():
            link._close_all()
        for _ in range(3):
            await asyncio.sleep(0)  # transports close in a later turn of the loop


class Link:
    """What lies between two nodes.  Faults stay until :meth:`restore`.

    ``towards`` limits a fault to the bytes that flow to that node; without it, both ways.
    """

    def __init__(self, network: FaultNetwork, one: str, other: str) -> None:
        self._network = network
        self._ways = {one: _Way(), other: _Way()}  # by the node that they lead to
        self._cut = False
        self._connections: set[_Connection] = set()
        #: Connections that were made over this link so far.
        self.connections_made = 0

    def __repr__(self) -> str:
        return f"<Link {' - '.join(self._ways)}>"

    def cut(self) -> None:
        """Close the connections, and every later one as soon as it is made."""
        self._run(self._set_cut)

    def close(self) -> None:
        """Close the connections that there are; new ones pass."""
        self._run(self._close_all)

    def stall(self, towards: Named | Atom | str | None = None) -> None:
        """Hold the bytes back; nothing is lost, and the ends are not told."""
        self._change(towards, lambda way: way.open.clear())

    def delay(self, seconds: float, towards: Named | Atom | str | None = None) -> None:
        """Let every byte arrive ``seconds`` later than it would, in order."""

        def slow(way: _Way) -> None:
            way.delay = seconds

        self._change(towards, slow)

    def drop(self, towards: Named | Atom | str | None = None) -> None:
        """Swallow the bytes, as a peer does whose host lost its power.

        A connection that lost bytes cannot go on: :meth:`restore` closes it.
        """

        def lose(way: _Way) -> None:
            way.dropping = True

        self._change(towards, lose)

    def restore(self) -> None:
        """Take back whatever was done; what was held back flows."""
        self._run(self._restore)

    # ------------------------------------------------------------------ inside

    def _run(self, change: Any) -> None:
        async def do() -> None:
            change()

        self._network._do(do())

    def _change(self, towards: Named | Atom | str | None, change: Any) -> None:
        if towards is None:
            ways = list(self._ways.values())
        else:
            name = _alive(towards)
            if name not in self._ways:
                raise ValueError(f"{name} is not an end of {self!r}")
            ways = [self._ways[name]]
        self._run(lambda: [change(way) for way in ways])

    def _set_cut(self) -> None:
        self._cut = True
        self._close_all()

    def _close_all(self) -> None:
        for connection in list(self._connections):
            connection.close()

    def _restore(self) -> None:
        self._cut = False
        for way in self._ways.values():
            way.delay = 0.0
            way.dropping = False
            way.open.set()
        for connection in list(self._connections):
            if connection.lost_bytes:
                connection.close()


class _Way:
    """The state of one direction of a link."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.delay = 0.0
        self.dropping = False


class _View:
    """The EPMD that one node sees."""

    def __init__(self, network: FaultNetwork) -> None:
        self._network = network
        self._server: asyncio.Server | None = None
        self._proxies: dict[str, asyncio.Server] = {}
        self.port = 0
        self.entry: NodeEntry | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        for server in (self._server, *self._proxies.values()):
            if server is not None:
                server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._network._keep(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, ProtocolError):
                length = int.from_bytes(await reader.readexactly(2), "big")
                await self._answer(await reader.readexactly(length), reader, writer)
        except asyncio.CancelledError:
            pass  # the network stops
        finally:
            writer.close()

    async def _answer(
        self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        network = self._network
        match parse_request(body):
            case AliveRequest(entry):
                taken = network._find(entry.name) is not None
                creation = None if taken else next(network._creations)
                writer.write(alive_reply(entry, creation))
                if not taken:
                    self.entry = entry
                    try:
                        await reader.read()  # the registration lasts as long as the connection
                    finally:
                        self.entry = None
            case PortRequest(name):
                writer.write(port_reply(await self._port_of(name)))
                await writer.drain()
            case NamesRequest():
                entries = [view.entry for view in network._views if view.entry is not None]
                writer.write(names_reply(self.port, entries))
                await writer.drain()

    async def _port_of(self, name: str) -> NodeEntry | None:
        entry = self._network._find(name)
        if entry is None or self.entry is None or entry == self.entry:
            return entry
        if name not in self._proxies:
            link = self._network.link(self.entry.name, name)

            async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await _carry(self._network, link, name, reader, writer)

            self._proxies[name] = await asyncio.start_server(carry, "127.0.0.1", 0)
        return entry._replace(port=self._proxies[name].sockets[0].getsockname()[1])


async def _carry(
    network: FaultNetwork,
    link: Link,
    name: str,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Carry one connection that was dialled to ``name``."""
    network._keep_dialling()
    entry = network._find(name)
    if link._cut or network._closing or entry is None:
        writer.close()
        return
    connection = _Connection(link, writer)
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", entry.port)
    except OSError:
        connection.close()
        return
    connection.join(far_writer)
    if network._closing:
        connection.close()
        return
    (there,) = [way for node, way in link._ways.items() if node == name]
    (back,) = [way for node, way in link._ways.items() if node != name]
    for source, way, target in ((reader, there, far_writer), (far_reader, back, writer)):
        network._keep(asyncio.create_task(connection.pump(source, way, target)))


class _Connection:
    """A dialled connection and its continuation to the other node."""

    def __init__(self, link: Link, dialled: asyncio.StreamWriter) -> None:
        self._link = link
        self._writers = [dialled]
        self._closed = False
        self.lost_bytes = False
        link._connections.add(self)

    def join(self, far: asyncio.StreamWriter) -> None:
        """Take the continuation, which may come too late to be of use."""
        self._writers.append(far)
        self._link.connections_made += 1
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close both halves, without the bytes that are still on the way."""
        self._closed = True
        self._link._connections.discard(self)
        for writer in self._writers:
            writer.transport.abort()

    async def pump(
        self, source: asyncio.StreamReader, way: _Way, target: asyncio.StreamWriter
    ) -> None:
        """Carry one direction until either end closes."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)
        sender = asyncio.create_task(self._send(queue, way, target))
        try:
            while True:
                try:
                    data = await source.read(_CHUNK)
                except OSError:
                    data = b""
                await queue.put((loop.time(), data))
                if not data:
                    await sender
                    return
        finally:
            sender.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sender

    async def _send(
        self, queue: asyncio.Queue[tuple[float, bytes]], way: _Way, target: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            arrived, data = await queue.get()
            late = arrived + way.delay - loop.time()
            if late > 0:
                await asyncio.sleep(late)
            await way.open.wait()
            if way.dropping:
                self.lost_bytes = True  # the end of the stream is lost like its bytes
                continue
            if not data:
                self.close()
                return
            with suppress(OSError):
                target.write(data)
                await target.drain()


def _alive(node: Named | Atom | str) -> str:
    name = node if isinstance(node, str) else getattr(node, "name", node)
    return str(name).partition("@")[0]
