"""The client side of servers as the current process: ``call``, ``cast`` and their siblings.

These work where :mod:`pynode.process.current` does: in a process, in asyncio tasks it started,
and in the thread of a blocking callback (there ``wait(call(...))``).  Outside any process use
``node.call`` and ``node.cast``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pynode.behaviours import gen
from pynode.behaviours.words import NORMAL
from pynode.process.current import act, process

if TYPE_CHECKING:
    from pynode.behaviours.names import ServerRef
    from pynode.terms import Atom, Reference

__all__ = ["abcast", "call", "cast", "multi_call", "stop"]


async def call(
    server: ServerRef,
    request: Any,
    *,
    timeout: float | None = gen.DEFAULT_TIMEOUT,
    text: bool = False,
) -> Any:
    """Call a GenServer on any node, and return its reply; see :func:`gen.call`."""
    return await gen.call(process(), server, request, timeout, text=text)


def cast(server: ServerRef | Reference, request: Any) -> None:
    """Cast to a GenServer on any node; nobody there is no error."""
    act(gen.cast, server, request)


async def multi_call(
    nodes: Iterable[Atom | str],
    name: Atom | str,
    request: Any,
    *,
    timeout: float | None = None,
    text: bool = False,
) -> tuple[list[tuple[Atom, Any]], list[Atom]]:
    """Call the servers called ``name`` on ``nodes`` at once; see :func:`gen.multi_call`."""
    return await gen.multi_call(process(), nodes, name, request, timeout, text=text)


def abcast(nodes: Iterable[Atom | str], name: Atom | str, request: Any) -> None:
    """Cast to the servers called ``name`` on ``nodes``; whoever is missing gets nothing."""
    act(gen.abcast, nodes, name, request)


async def stop(server: ServerRef, reason: Any = NORMAL, *, timeout: float | None = None) -> None:
    """Stop a server with ``reason``, and wait for its end; see :func:`gen.stop`."""
    await gen.stop(process(), server, reason, timeout)
