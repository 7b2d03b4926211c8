"""Assertions that wait, and what the nodes of a cluster see.

A cluster settles; it does not change at once.  So an assertion on it waits for the state it wants,
up to a deadline, and says what it last saw::

    await eventually(lambda: names(ex) == [charlist("manager")])
    await receives(node.main, (atom.nodedown, ex.name))
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, overload

from pynode.testing.beam import Beam

__all__ = ["eventually", "members", "names", "receives"]

_PAUSE = 0.02


async def eventually(
    condition: Callable[[], Any] | Callable[[], Awaitable[Any]],
    *,
    timeout: float = 10.0,
    message: str = "",
) -> Any:
    """Wait until ``condition()`` is true, and return its value.

    ``condition`` may be plain or async; an :class:`AssertionError` or :class:`LookupError` that
    it raises counts as "not yet", so it may hold assertions of its own.

    Raises:
        AssertionError: not true within ``timeout`` seconds; with what it last gave or raised.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: Any = None
        try:
            last = condition()
            if inspect.isawaitable(last):
                last = await last
            if last:
                return last
        except (AssertionError, LookupError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(_complaint(condition, timeout, message, last)) from (
                last if isinstance(last, BaseException) else None
            )
        await asyncio.sleep(_PAUSE)


async def receives(process: Any, expected: Any, *, timeout: float = 10.0) -> Any:
    """Wait for a message that is ``expected``, take it from the mailbox, and return it.

    ``process`` is anything with ``receive`` (``node.main``, a process).  ``expected`` is a value,
    compared with ``==`` (:data:`unittest.mock.ANY` fits anything), or a callable that says yes.
    Other messages stay where they are, as in Erlang's ``receive``.

    Raises:
        AssertionError: no such message within ``timeout`` seconds.
    """
    fits = expected if callable(expected) else lambda message: expected == message
    try:
        return await process.receive(fits, timeout=timeout)
    except TimeoutError:
        raise AssertionError(
            f"{process!r} received nothing like {expected!r} within {timeout} s; "
            f"in its mailbox: {_waiting(process)}"
        ) from None


@overload
def names(node: Beam) -> list[Any]: ...
@overload
def names(node: Any) -> list[Any]: ...
def names(node: Any) -> list[Any]:
    """Return the names that ``node`` (BEAM or Python) knows in ``:global``, in Erlang's order."""
    if isinstance(node, Beam):
        return _sorted(node.rpc("global", "registered_names"))
    return _sorted(node.global_.registered_names())


def members(node: Any, group: Any, scope: Any = None) -> list[Any]:
    """Return the pids that ``node`` (BEAM or Python) sees in a ``pg`` group, in Erlang's order.

    ``scope`` None is the default one, ``pg``.
    """
    arguments = [group] if scope is None else [scope, group]
    if isinstance(node, Beam):
        return _sorted(node.rpc("pg", "get_members", arguments))
    return _sorted(node.pg.get_members(*reversed(arguments)))


def _sorted(terms: Any) -> list[Any]:
    from pynode.terms.order import sort_key

    return sorted(terms, key=sort_key)


def _waiting(process: Any) -> str:
    mailbox = getattr(process, "mailbox", None)
    messages = [] if mailbox is None else list(mailbox.messages())
    return ", ".join(map(repr, messages)) if messages else "nothing"


def _complaint(condition: Any, timeout: float, message: str, last: Any) -> str:
    what = message or _source(condition)
    return f"not within {timeout} s: {what} (last: {last!r})"


def _source(condition: Any) -> str:
    try:
        return " ".join(inspect.getsource(condition).split())
    except (OSError, TypeError):
        return repr(condition)
