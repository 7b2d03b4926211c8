"""What becomes of a node in a forked child: nothing.  It goes on in its own process alone.

The child has a copy of every descriptor, and would keep connections and names alive after their
node has died.  So the copies are closed there, without a word to anybody: nothing is shut down,
and nothing is taken out of the selector, which parent and child share.  What is left of the node
in the child refuses every use.  A program that is run by the child (``subprocess``) never had the
descriptors, and nothing here happens on its way.

Only :mod:`os` knows of forks: ``os.fork``, ``os.forkpty`` and ``multiprocessing`` with "fork".
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    import asyncio
    import socket

__all__ = ["Part", "keep_in", "own_socket", "problem"]


class Part(Protocol):
    """What lives in one process."""

    def left_behind(self, pid: int) -> None:
        """This is the child's copy of what lives in ``pid``: refuse everything, touch no socket."""


_log = logging.getLogger("pynode.process")
_parts: Final[WeakSet[Any]] = WeakSet()
_sockets: Final[WeakSet[socket.socket]] = WeakSet()
_loops: Final[WeakSet[asyncio.AbstractEventLoop]] = WeakSet()
_registered = False
#: The process that those live in.
_owner = 0


def own_socket(sock: socket.socket) -> None:
    """Close the copy of ``sock`` that a forked child will have."""
    _sockets.add(sock)


def keep_in(part: Part, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Tell ``part`` when it is the copy in a forked child.

    ``loop`` is where its sockets are read, and that a child which was forked on it may go on with,
    or close: it gets a selector of its own then.
    """
    global _registered, _owner
    _owner = os.getpid()
    _parts.add(part)
    if loop is not None:
        _loops.add(loop)
    if not _registered and hasattr(os, "register_at_fork"):
        _registered = True
        os.register_at_fork(after_in_child=_in_child)


def problem(name: str, pid: int) -> str:
    """Return what whoever uses the copy in a child is told; ``pid`` is the node's process."""
    return (
        f"{name} lives in process {pid}, and this is process {os.getpid()}, forked from it: "
        'start a node of its own here, or use multiprocessing with the start method "spawn"'
    )


def _in_child() -> None:
    closed = set()
    for sock in list(_sockets):
        closed.add(sock.fileno())
        sock.close()
    _sockets.clear()
    for loop in list(_loops):
        _renew(loop, closed)
    _loops.clear()
    for part in list(_parts):
        try:
            part.left_behind(_owner)
        except Exception:  # the others are to be told all the same
            _log.exception("%r does not know that it was forked", part)
    _parts.clear()


def _renew(loop: Any, closed: set[int]) -> None:
    """Give the copy of a loop a selector and a self-pipe of its own.

    Whatever it took out of the shared one, such as its self-pipe when it is closed, would be taken
    from the parent, which could not be woken any more.  A loop of another thread stands still for
    ever, and one that is not asyncio's own (uvloop) sees to itself.
    """
    import asyncio
    import signal

    if not isinstance(loop, asyncio.SelectorEventLoop) or loop.is_closed():
        return
    if getattr(loop, "_thread_id", None) not in (None, threading.get_ident()):
        return
    inner: Any = loop
    try:
        shared, ours, theirs = inner._selector, inner._ssock, inner._csock
        registered = list(shared.get_map().values())
        fresh = type(shared)()
    except (AttributeError, TypeError):  # another Python's asyncio
        return
    kept = closed | {ours.fileno()}
    for key in registered:
        if key.fd not in kept:
            fresh.register(key.fileobj, key.events, key.data)
    wakes = theirs.fileno()
    ours.close()
    theirs.close()
    shared.close()
    inner._selector = fresh
    inner._internal_fds -= 1
    inner._make_self_pipe()
    if threading.current_thread() is threading.main_thread():
        former = signal.set_wakeup_fd(-1)
        if former != -1:
            signal.set_wakeup_fd(inner._csock.fileno() if former == wakes else former)
