"""A node on an event loop in a thread of its own, for programs that have no loop.

The node ticks, answers and runs its servers while the program computes.  Every method here may
be called from any thread but the node's own, blocks until it is done, and raises what the
method of :class:`pynode.Node` of the same name raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from pynode.errors import NodeDown

if TYPE_CHECKING:
    from pynode.node import Node
    from pynode.services.global_ import Global
    from pynode.services.net_adm import NetAdm
    from pynode.services.pg import Pg
    from pynode.services.rpc import Erpc, Rpc
    from pynode.terms import Atom, Pid

__all__ = ["BlockingNamespace", "NodeThread"]

T = TypeVar("T")
Namespace = TypeVar("Namespace")


class BlockingNamespace(Generic[Namespace]):
    """A namespace of the node (``global_``, ``pg``, ``rpc``, ``erpc``) whose methods block."""

    def __init__(self, thread: NodeThread, namespace: Namespace) -> None:
        self._thread = thread
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._namespace, name)
        if not callable(found):
            return found

        def blocking(*args: Any, **options: Any) -> Any:
            return self._thread.run(found, *args, **options)

        return blocking


class NodeThread:
    """``with Node.in_thread("py@myhost") as node:``; made by :meth:`pynode.Node.in_thread`."""

    def __init__(self, make: Callable[[], Node]) -> None:
        self._make = make
        self._node: Node | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    # ------------------------------------------------------------------ start and stop

    def start_node(self) -> NodeThread:
        """Start the thread and the node; ``with`` does this.

        Raises:
            What starting a node raises; no thread is left then.
        """
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._main(started),), name="pynode", daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self.stop()
            raise
        return self

    async def _main(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            node = self._make()
            await node.__aenter__()
        except BaseException as error:
            started.set_exception(error)
            return
        self._node = node
        started.set_result(None)
        try:
            await self._stop.wait()
        finally:
            await node.stop()

    def stop(self) -> None:
        """Stop the node and its thread, and wait for both.  May be called again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._stop is not None and thread.is_alive():
            # The loop may just have closed by itself, when the start failed.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        thread.join()

    def __enter__(self) -> NodeThread:
        return self.start_node()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------ work

    @property
    def node(self) -> Node:
        """The node itself; to be used on its own thread only, such as in :meth:`run`.

        Raises:
            NodeDown: it is not running.
        """
        if self._node is None or self._thread is None:
            raise NodeDown("the node is not running")
        return self._node

    @overload
    def run(
        self, function: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **options: Any
    ) -> T: ...
    @overload
    def run(self, function: Callable[..., T], /, *args: Any, **options: Any) -> T: ...
    def run(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        """Call ``function`` on the node's thread, wait for what it returns, and return that.

        An interrupt (Ctrl-C) while it waits cancels the function, and is raised.

        Raises:
            NodeDown: the node is not running.
            RuntimeError: called on the node's own thread, where it would wait for itself.
        """
        if self._loop is None or self._thread is None:
            raise NodeDown("the node is not running")
        if threading.current_thread() is self._thread:
            raise RuntimeError("a blocking call on the node's own thread would wait for itself")
        future = asyncio.run_coroutine_threadsafe(_call(function, args, options), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    # ------------------------------------------------------------------ the node's words

    @property
    def name(self) -> Atom:
        """The node's name."""
        return self.node.name

    def connect(self, node: Atom | str) -> None:
        """Connect to ``node``."""
        self.run(self.node.connect, node)

    def disconnect(self, node: Atom | str) -> bool:
        """Close the connection to ``node``; False if there was none."""
        return self.run(self.node.disconnect, node)

    def ping(self, node: Atom | str) -> bool:
        """Return whether ``node`` answers."""
        return self.run(self.node.ping, node)

    def nodes(self, kind: str | Iterable[str] = "visible") -> list[Atom]:
        """Return the nodes of one kind, or of several."""
        return self.run(self.node.nodes, kind)

    def start(self, server: Any, *args: Any, **options: Any) -> Pid:
        """Start a server on the node's loop, and return its pid; options as in ``node.start``."""
        pid: Pid = self.run(self.node.start, server, *args, **options)
        return pid

    def spawn(self, body: Any, *args: Any, **options: Any) -> Pid:
        """Start a process on the node's loop, and return its pid."""
        return self.run(self.node.spawn, body, *args, **options)

    def send(self, dest: Any, message: Any) -> None:
        """Send ``message``; a busy peer holds the caller up."""
        self.node.send(dest, message)

    def receive(
        self, match: Any = None, *, timeout: float | None = None, text: bool = False
    ) -> Any:
        """Return the next message of ``node.main`` that ``match`` accepts."""
        return self.run(self.node.main.receive, match, timeout=timeout, text=text)

    def cast(self, server: Any, request: Any) -> None:
        """Cast to a GenServer on any node."""
        self.node.cast(server, request)

    def call(self, server: Any, request: Any, **options: Any) -> Any:
        """Call a GenServer on any node, and return its reply; options as in ``node.call``."""
        return self.run(self.node.call, server, request, **options)

    def register(self, name: Atom | str, pid: Pid) -> None:
        """Register a process of this node under a local name."""
        self.run(self.node.register, name, pid)

    def whereis(self, name: Atom | str) -> Pid | None:
        """Return the process of a local name, or None."""
        return self.run(self.node.whereis, name)

    @property
    def global_(self) -> BlockingNamespace[Global]:
        """The names of the cluster."""
        return BlockingNamespace(self, self.node.global_)

    @property
    def pg(self) -> BlockingNamespace[Pg]:
        """Groups of processes."""
        return BlockingNamespace(self, self.node.pg)

    @property
    def rpc(self) -> BlockingNamespace[Rpc]:
        """Calls of functions on other nodes."""
        return BlockingNamespace(self, self.node.rpc)

    @property
    def net_adm(self) -> BlockingNamespace[NetAdm]:
        """Who is registered at which EPMD."""
        return BlockingNamespace(self, self.node.net_adm)

    @property
    def erpc(self) -> BlockingNamespace[Erpc]:
        """Calls of functions on other nodes."""
        return BlockingNamespace(self, self.node.erpc)


async def _call(
    function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    result = function(*args, **options)
    return await result if inspect.isawaitable(result) else result
