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

from pynode.behaviours.words import NORMAL
from pynode.errors import NodeDown
from pynode.forked import keep_in, problem

if TYPE_CHECKING:
    from pynode.behaviours.clients import (
        AgentClient,
        Gen,
        GenEvent,
        PartitionClient,
        ProcLib,
        Statem,
        SupervisorClient,
        Sys,
        TaskClient,
        TaskSupervisorClient,
    )
    from pynode.node import Node
    from pynode.process.process import Process
    from pynode.services.erpc import Erpc
    from pynode.services.global_ import Global
    from pynode.services.io.api import Io
    from pynode.services.net_adm import NetAdm
    from pynode.services.pg import Pg
    from pynode.services.rpc import Rpc
    from pynode.terms import Atom, Pid, Reference

__all__ = ["BlockingNamespace", "NodeThread"]

T = TypeVar("T")
Namespace = TypeVar("Namespace")


class BlockingNamespace(Generic[Namespace]):
    """A namespace of the node, such as ``global_`` or ``rpc``, whose methods block."""

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
        #: In a forked child, the process that the node lives in.
        self._left_in: int | None = None

    # ------------------------------------------------------------------ start and stop

    def start_node(self) -> NodeThread:
        """Start the thread and the node; ``with`` does this.

        Raises:
            What starting a node raises; no thread is left then.
        """
        if self._left_in is not None:
            raise self._not_running()
        keep_in(self)
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

    def left_behind(self, pid: int) -> None:
        """In a forked child: there is no such thread, and every use is refused."""
        self._left_in = pid
        self._thread = None

    def _not_running(self) -> NodeDown:
        if self._left_in is not None:
            name = "the node" if self._node is None else str(self._node.name)
            return NodeDown(problem(name, self._left_in))
        return NodeDown("the node is not running")

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

    def __repr__(self) -> str:
        if self._node is None:
            return "<NodeThread not started>"
        return f"<NodeThread of {self._node!r}>"

    # ------------------------------------------------------------------ work

    @property
    def node(self) -> Node:
        """The node itself; to be used on its own thread only, such as in :meth:`run`.

        Raises:
            NodeDown: it is not running.
        """
        if self._node is None or self._thread is None:
            raise self._not_running()
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
            raise self._not_running()
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

    @property
    def main(self) -> Process:
        """The process that acts for the program: ``main.pid`` is whom others answer.

        :meth:`receive` reads its mailbox; the rest of it is for the node's own thread.
        """
        return self.node.main

    @property
    def creation(self) -> int:
        """What tells this life of the node from others of the same name."""
        return self.node.creation

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

    def set_cookie(self, node: Atom | str, cookie: str | bytes) -> None:
        """Use ``cookie`` with ``node`` from the next connection on."""
        self.run(self.node.set_cookie, node, cookie)

    def allow(self, nodes: Iterable[Atom | str]) -> None:
        """Connect with ``nodes`` only, and those of earlier calls."""
        self.run(self.node.allow, nodes)

    def allowed(self) -> list[str]:
        """Return what :meth:`allow` was given, sorted; empty: all nodes."""
        return self.run(self.node.allowed)

    @property
    def net_ticktime(self) -> float:
        """The tick time in seconds; while it is being changed, what it is changed to."""
        return self.node.net_ticktime

    def set_net_ticktime(
        self, seconds: float, transition: float = 60.0
    ) -> Atom | tuple[Atom, float]:
        """Change ``net_ticktime`` while connected; see ``node.set_net_ticktime``."""
        return self.run(self.node.set_net_ticktime, seconds, transition)

    def monitor_nodes(self, flag: bool = True, **options: Any) -> None:
        """Have ``{nodeup, Node}`` and ``{nodedown, Node}`` come to :meth:`receive`."""
        self.run(self.node.monitor_nodes, flag, **options)

    def monitor_node(self, node: Atom | str, flag: bool = True) -> None:
        """Have ``{nodedown, Node}`` come to :meth:`receive`."""
        self.run(self.node.monitor_node, node, flag)

    def start(self, server: Any, *args: Any, **options: Any) -> Pid:
        """Start a server on the node's loop, and return its pid; options as in ``node.start``."""
        pid: Pid = self.run(self.node.start, server, *args, **options)
        return pid

    def spawn(self, where: Any, /, *args: Any, **options: Any) -> Pid:
        """Start a process on the node's loop, or on another node; see ``node.spawn``."""
        pid: Pid = self.run(self.node.spawn, where, *args, **options)
        return pid

    def spawn_link(self, where: Any, /, *args: Any, **options: Any) -> Pid:
        """Start a process linked to :attr:`main`, here or on another node."""
        pid: Pid = self.run(self.node.spawn_link, where, *args, **options)
        return pid

    def spawn_monitor(self, where: Any, /, *args: Any, **options: Any) -> tuple[Pid, Reference]:
        """Start a process and monitor it, here or elsewhere; :meth:`receive` gives the DOWN."""
        found: tuple[Pid, Reference] = self.run(self.node.spawn_monitor, where, *args, **options)
        return found

    def spawn_opt(self, node: Atom | str, /, *what: Any) -> Pid | tuple[Pid, Reference]:
        """Start a process on another node with options; see ``node.spawn_opt``."""
        found: Pid | tuple[Pid, Reference] = self.run(self.node.spawn_opt, node, *what)
        return found

    def spawn_request(self, node: Atom | str, /, *what: Any) -> Reference:
        """Ask another node to spawn; :meth:`receive` gives the answer."""
        return self.run(self.node.spawn_request, node, *what)

    def spawn_request_abandon(self, ref: Reference) -> bool:
        """Give up a spawn request; see ``node.spawn_request_abandon``."""
        return self.run(self.node.spawn_request_abandon, ref)

    def expose(self, module: Any, /, *target: Any, **options: Any) -> Any:
        """Let other nodes run functions of this program; see ``node.expose``."""
        return self.node.expose(module, *target, **options)

    def withdraw(self, module: Atom | str, name: Atom | str | None = None) -> None:
        """Take back what was exposed."""
        self.node.withdraw(module, name)

    def send(self, dest: Any, message: Any, *, priority: bool = False) -> None:
        """Send ``message``; a busy peer holds the caller up.

        Each waits for the node's thread to take it.  A hundred thousand go faster from a function
        that :meth:`run` runs there, with the methods of :attr:`node`.
        """
        self.node.send(dest, message, priority=priority)

    def exit(self, to: Pid | Reference, reason: Any, *, priority: bool = False) -> None:
        """Send an exit signal."""
        self.node.exit(to, reason, priority=priority)

    def link(self, to: Pid) -> None:
        """Link :attr:`main` to ``to``."""
        self.node.link(to)

    def unlink(self, to: Pid) -> None:
        """Take the link to ``to`` away."""
        self.node.unlink(to)

    def monitor(self, target: Any, **options: Any) -> Reference:
        """Watch a pid, a name or ``(name, node)``; :meth:`receive` gives the DOWN."""
        return self.node.monitor(target, **options)

    def demonitor(self, ref: Reference, *, flush: bool = False, info: bool = False) -> bool:
        """End a monitor."""
        return self.node.demonitor(ref, flush=flush, info=info)

    def drain(self, dest: Pid | Atom | str) -> None:
        """Wait until the node of ``dest`` takes signals again without delay."""
        self.run(self.node.drain, dest)

    def make_ref(self) -> Reference:
        """Return a new reference."""
        return self.run(self.node.make_ref)

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

    def stop_server(
        self, server: Any, reason: Any = NORMAL, *, timeout: float | None = None
    ) -> None:
        """Stop a server with ``reason``, and wait for its end."""
        self.run(self.node.stop_server, server, reason, timeout=timeout)

    def register(self, name: Atom | str, pid: Pid) -> None:
        """Register a process of this node under a local name."""
        self.run(self.node.register, name, pid)

    def whereis(self, name: Atom | str) -> Pid | None:
        """Return the process of a local name, or None."""
        return self.run(self.node.whereis, name)

    def unregister(self, name: Atom | str) -> None:
        """Free a local name."""
        self.run(self.node.unregister, name)

    def registered(self) -> list[Atom]:
        """Return all local names."""
        return self.run(self.node.registered)

    @property
    def gen_server(self) -> BlockingNamespace[Gen]:
        """What a client does with a GenServer."""
        return BlockingNamespace(self, self.node.gen_server)

    @property
    def gen_event(self) -> BlockingNamespace[GenEvent]:
        """What a client does with an event manager."""
        return BlockingNamespace(self, self.node.gen_event)

    @property
    def gen_statem(self) -> BlockingNamespace[Statem]:
        """What a client does with a state machine."""
        return BlockingNamespace(self, self.node.gen_statem)

    @property
    def agent(self) -> BlockingNamespace[AgentClient]:
        """What a client does with an Agent."""
        return BlockingNamespace(self, self.node.agent)

    @property
    def supervisor(self) -> BlockingNamespace[SupervisorClient]:
        """What a client does with a supervisor."""
        return BlockingNamespace(self, self.node.supervisor)

    @property
    def partition_supervisor(self) -> BlockingNamespace[PartitionClient]:
        """How many partitions there are."""
        return BlockingNamespace(self, self.node.partition_supervisor)

    @property
    def task(self) -> BlockingNamespace[TaskClient]:
        """Functions in processes of their own; ``async_`` waits for the result here."""
        return BlockingNamespace(self, self.node.task)

    @property
    def task_supervisor(self) -> BlockingNamespace[TaskSupervisorClient]:
        """Tasks under a supervisor; ``thread.run(task.await_)`` waits for one."""
        return BlockingNamespace(self, self.node.task_supervisor)

    @property
    def proc_lib(self) -> BlockingNamespace[ProcLib]:
        """Processes that say when they have begun."""
        return BlockingNamespace(self, self.node.proc_lib)

    @property
    def sys(self) -> BlockingNamespace[Sys]:
        """Debugging of servers."""
        return BlockingNamespace(self, self.node.sys)

    @property
    def global_(self) -> BlockingNamespace[Global]:
        """The names of the cluster."""
        return BlockingNamespace(self, self.node.global_)

    @property
    def pg(self) -> BlockingNamespace[Pg]:
        """Groups of processes."""
        return BlockingNamespace(self, self.node.pg)

    @property
    def io(self) -> BlockingNamespace[Io]:
        """Writing to and reading from devices."""
        return BlockingNamespace(self, self.node.io)

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
