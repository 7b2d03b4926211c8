"""Functions that act as the current process: ``self_()``, ``send``, ``link``, ``monitor``, ...

The current process is the one whose body runs, or which started the asyncio task that runs
(tasks inherit it).  The functions work in the body of a process, in such tasks, and in the
thread of a blocking callback; from that thread each call is made on the loop, in order, and
waits for its result (and, above a busy peer's high water, for the peer).

Outside any process they raise :class:`RuntimeError`: there, use ``node.send`` and its siblings,
which speak as ``node.main``.  Arguments and errors are those of the methods of the same name of
:class:`pynode.process.runtime.Runtime`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pynode.process import elsewhere
from pynode.process._choice import sender
from pynode.process._core import spawn_function
from pynode.process.process import Process, current_process
from pynode.process.words import DOWN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Sequence

    from pynode.process.body import Body, CoroutineFunction
    from pynode.process.mailbox import Match
    from pynode.process.runtime import Dest
    from pynode.terms import Atom, ExportFun, Pid, Reference

__all__ = [
    "act",
    "alias",
    "cancel_timer",
    "current_process",
    "demonitor",
    "drain",
    "exit_signal",
    "link",
    "monitor",
    "monitor_node",
    "monitor_nodes",
    "process",
    "read_timer",
    "receive",
    "register",
    "self_",
    "send",
    "send_after",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "spawn_opt",
    "start_timer",
    "unalias",
    "unlink",
    "unregister",
    "wait",
    "whereis",
]

T = TypeVar("T")


def process() -> Process:
    """Return the current process.

    Raises:
        RuntimeError: outside any process.
    """
    found = current_process()
    if found is None:
        raise RuntimeError(
            "no process runs here; outside of processes use node.send, node.call and their "
            "siblings, which speak as node.main"
        )
    return found


def self_() -> Pid:
    """Return the pid of the current process (``self/0``)."""
    return process().pid


def _act(method: str, *args: Any, **kwargs: Any) -> Any:
    """Call ``Runtime.method(current process, ...)``, on the loop's thread."""
    me = process()
    return _call(me, getattr(me.runtime, method), me, *args, **kwargs)


def _call(me: Process, function: Any, *args: Any, **kwargs: Any) -> Any:
    if threading.get_ident() == me.runtime.thread_id:
        return function(*args, **kwargs)
    return me.runtime.call_threadsafe(me, function, *args, **kwargs)


def act(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call ``function(process, *args)`` with the current process, on the loop's thread.

    For functions that change the state of the node, called from where a thread may stand.
    """
    me = process()
    return _call(me, function, me, *args, **kwargs)


def wait(awaitable: Awaitable[T]) -> T:
    """Await ``awaitable`` from the thread of a blocking callback, and return its result.

    It is awaited on the loop, in a task of the runtime's own, as the current process: calls,
    receives and foreign awaitables all work.  If the process ends meanwhile it is cancelled, and
    this raises :class:`asyncio.CancelledError`.

    Raises:
        RuntimeError: on the loop's thread (write ``await`` there), or outside any process.
        NodeDown: the node has stopped.
    """
    me = process()
    return me.runtime.marshal.wait(me, awaitable)


# --------------------------------------------------------------------------- messages


def send(dest: Dest, message: Any, *, priority: bool = False) -> None:
    """Send ``message`` to a pid, a name, ``(name, node)`` or an alias."""
    me = process()
    runtime = me.runtime
    if threading.get_ident() == runtime.thread_id:
        runtime.send(me, dest, message, priority=priority)
    else:
        runtime.call_threadsafe(me, runtime.send, me, dest, message, priority=priority)


if not TYPE_CHECKING and sender is not None:
    send = sender(send)


async def receive(
    match: Match | None = None, *, timeout: float | None = None, text: bool = False
) -> Any:
    """Receive a message of the current process; see :meth:`Process.receive`."""
    return await process().receive(match, timeout=timeout, text=text)


async def drain(dest: Pid | Atom | str) -> None:
    """Wait until the node of ``dest`` is not busy any more."""
    await process().runtime.drain(dest)


# --------------------------------------------------------------------------- exits, links


def exit_signal(to: Pid | Reference, reason: Any, *, priority: bool = False) -> None:
    """Send an exit signal (``exit/2,3``); to end oneself, ``raise Exit(reason)``.

    ``priority``: see :meth:`pynode.process.Runtime.exit`.
    """
    _act("exit", to, reason, priority=priority)


def link(to: Pid) -> None:
    """Link the current process and ``to``."""
    _act("link", to)


def unlink(to: Pid) -> None:
    """Take the link to ``to`` away."""
    _act("unlink", to)


def monitor(
    target: Pid | Atom | str | tuple[Atom | str, Atom | str],
    *,
    alias: str | None = None,
    tag: Any = DOWN,
) -> Reference:
    """Watch ``target``, and return the reference of the monitor."""
    ref: Reference = _act("monitor", target, alias=alias, tag=tag)
    return ref


def demonitor(ref: Reference, *, flush: bool = False, info: bool = False) -> bool:
    """End a monitor."""
    return bool(_act("demonitor", ref, flush=flush, info=info))


def alias(*, reply: bool = False, priority: bool = False) -> Reference:
    """Return a new alias of the current process."""
    ref: Reference = _act("alias", reply=reply, priority=priority)
    return ref


def unalias(ref: Reference) -> bool:
    """End an alias; return whether it was active."""
    return bool(_act("unalias", ref))


# --------------------------------------------------------------------------- spawn, names


def _spawn(
    linked: bool, body: CoroutineFunction | Body, args: tuple[Any, ...], options: dict[str, Any]
) -> Pid:
    me = process()
    if not options and not linked and spawn_function is not None:
        made: Pid | None = spawn_function(me.runtime, body, args)
        if made is not None:
            return made
    if linked:
        options["link_to"] = me.pid
    spawned: Process = _call(me, me.runtime.spawn, body, *args, **options)
    return spawned.pid


async def _spawn_there(node: Any, what: tuple[Any, ...], *, link: bool = False) -> Pid:
    pid, _ = await elsewhere.spawn_there(process(), node, what, link=link)
    return pid


@overload
def spawn(body: CoroutineFunction | Body, /, *args: Any, **options: Any) -> Pid: ...
@overload
def spawn(node: Atom | str, fun: ExportFun, /) -> Coroutine[Any, Any, Pid]: ...
@overload
def spawn(
    node: Atom | str, module: Atom | str, function: Atom | str, args: Sequence[Any] = (), /
) -> Coroutine[Any, Any, Pid]: ...
def spawn(where: Any, /, *args: Any, **options: Any) -> Any:
    """Make a process: ``spawn(body, ...)`` here, ``await spawn(node, ...)`` on another node.

    See :meth:`pynode.Node.spawn`.  In the thread of a blocking callback:
    ``wait(spawn(node, ...))``.
    """
    if elsewhere.is_node(where):
        return _spawn_there(where, args)
    return _spawn(False, where, args, options)


@overload
def spawn_link(body: CoroutineFunction | Body, /, *args: Any, **options: Any) -> Pid: ...
@overload
def spawn_link(node: Atom | str, fun: ExportFun, /) -> Coroutine[Any, Any, Pid]: ...
@overload
def spawn_link(
    node: Atom | str, module: Atom | str, function: Atom | str, args: Sequence[Any] = (), /
) -> Coroutine[Any, Any, Pid]: ...
def spawn_link(where: Any, /, *args: Any, **options: Any) -> Any:
    """Make a process that is linked to the current one."""
    if elsewhere.is_node(where):
        return _spawn_there(where, args, link=True)
    return _spawn(True, where, args, options)


@overload
def spawn_monitor(
    body: CoroutineFunction | Body, /, *args: Any, **options: Any
) -> tuple[Pid, Reference]: ...
@overload
def spawn_monitor(
    node: Atom | str, fun: ExportFun, /
) -> Coroutine[Any, Any, tuple[Pid, Reference]]: ...
@overload
def spawn_monitor(
    node: Atom | str, module: Atom | str, function: Atom | str, args: Sequence[Any] = (), /
) -> Coroutine[Any, Any, tuple[Pid, Reference]]: ...
def spawn_monitor(where: Any, /, *args: Any, **options: Any) -> Any:
    """Make a process, and watch it."""
    me = process()
    if elsewhere.is_node(where):
        return elsewhere.spawn_there(me, where, args, monitor=True)

    def both() -> tuple[Pid, Reference]:
        spawned = me.runtime.spawn(where, *args, **options)
        return spawned.pid, me.runtime.monitor(me, spawned.pid)

    found: tuple[Pid, Reference] = _call(me, both)
    return found


async def spawn_opt(node: Atom | str, /, *what: Any) -> Pid | tuple[Pid, Reference]:
    """Make a process on a node with options; see :meth:`pynode.Node.spawn_opt`."""
    return await elsewhere.spawn_opt_there(process(), node, what)


def register(name: Atom | str, pid: Pid | None = None) -> None:
    """Register ``pid``, by default the current process."""
    me = process()
    _call(me, me.runtime.register, name, me.pid if pid is None else pid)


def unregister(name: Atom | str) -> None:
    """Free a name."""
    me = process()
    _call(me, me.runtime.unregister, name)


def whereis(name: Atom | str) -> Pid | None:
    """Return the pid registered as ``name`` on this node, or None."""
    me = process()
    pid: Pid | None = _call(me, me.runtime.whereis, name)
    return pid


# --------------------------------------------------------------------------- timers, nodes


def send_after(seconds: float, dest: Pid | Atom | str, message: Any) -> Reference:
    """Send ``message`` to ``dest`` in ``seconds``; return the timer."""
    ref: Reference = _act("send_after", seconds, dest, message)
    return ref


def start_timer(seconds: float, dest: Pid | Atom | str, message: Any) -> Reference:
    """Send ``{timeout, Timer, message}`` to ``dest`` in ``seconds``; return the timer."""
    ref: Reference = _act("start_timer", seconds, dest, message)
    return ref


def cancel_timer(ref: Reference) -> float | None:
    """Cancel a timer; return the seconds that were left, or None."""
    me = process()
    left: float | None = _call(me, me.runtime.cancel_timer, ref)
    return left


def read_timer(ref: Reference) -> float | None:
    """Return the seconds left of a timer, or None."""
    me = process()
    left: float | None = _call(me, me.runtime.read_timer, ref)
    return left


def monitor_node(node: Atom | str, flag: bool = True) -> None:
    """Have ``{nodedown, Node}`` sent when the node is lost."""
    _act("monitor_node", node, flag)


def monitor_nodes(flag: bool = True, **options: Any) -> None:
    """Have ``{nodeup, Node}`` and ``{nodedown, Node}`` sent."""
    _act("monitor_nodes", flag, **options)
