"""Starting a server: spawn, and wait until ``init`` has ended.

Source: ``gen:start``, ``proc_lib:start_link``.
"""

from __future__ import annotations

import asyncio
from types import MethodType
from typing import TYPE_CHECKING, Any, Protocol

from pynode.behaviours.debug import Debug
from pynode.behaviours.extra import extra_of
from pynode.behaviours.names import ServerName, plain_name
from pynode.behaviours.words import KILL, TIMEOUT
from pynode.errors import StartError
from pynode.process.timeouts import check_timeout
from pynode.terms import Pid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pynode.behaviours.body import BehaviourBody
    from pynode.process.runtime import Runtime

__all__ = ["Startable", "start"]


class Startable(Protocol):
    """What :func:`start` takes: GenServer, GenEventManager, GenEventHandler, Agent, subclasses."""

    _text: bool

    def _make_body(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BehaviourBody: ...


async def start(
    runtime: Runtime,
    server: Any,
    *args: Any,
    name: ServerName | None = None,
    link_to: Pid | None = None,
    timeout: float | None = None,
    ack_to: Pid | None = None,
    sys_debug: Iterable[Any] = (),
    **kwargs: Any,
) -> Pid:
    """Start ``server(*args, **kwargs)`` as a process, wait for its ``init``, return its pid.

    Args:
        server: a subclass of :class:`GenServer`, :class:`GenStatem`, :class:`Agent`,
            :class:`GenEventManager`, or of :class:`GenEventHandler` (a manager with that handler).
        name: local (str or Atom), ``("global", name)`` or ``("via", module, name)``; registered
            before ``init`` runs.
        link_to: the parent: linked from the first moment, and its exit ends the server.
        timeout: seconds for ``init``, None for ever.
        ack_to: a process that waits for proc_lib's ``{ack, Pid, {ok, Pid} | {error, Reason}}``.
        sys_debug: debug options in use from the beginning (gen's option ``debug``): ``"trace"``,
            ``"log"``, ``("log", n)``, ``"statistics"``, ``("install", (function, state))``.

    gen's ``hibernate_after`` and ``spawn_opt`` have no use here, and are no options.
    Cancelling it kills what was started.

    Raises:
        AlreadyStarted: a live process has the name.
        StartIgnored: ``init`` raised :class:`Ignore`.
        StartError: ``init`` stopped or failed (its reason), or took too long (``timeout``).
        TypeError: ``server`` is no such class, ``name`` no name, or ``timeout`` no number; nothing
            was started.
        ValueError: ``timeout`` is negative.
    """
    _check(server, timeout)
    if name is not None:
        plain_name(name)
    body: BehaviourBody = server._make_body(args, kwargs)
    waiting: asyncio.Future[None] = runtime.loop.create_future()
    body.starting = waiting
    body.name = name
    body.parent = link_to
    body.ack_to = ack_to
    if sys_debug:
        debug = Debug()
        debug.options(sys_debug)
        extra_of(body).debug = debug
    process = runtime.spawn(body, link_to=link_to, text=server._text)
    timer = None
    if timeout is not None:
        timer = runtime.loop.call_later(timeout, _expire, waiting)
    try:
        await waiting
    except (asyncio.CancelledError, TimeoutError) as error:
        if process.alive:  # not if the one that was starting it has taken it along
            if link_to is not None:
                runtime.unlink(process, link_to)
            runtime.exit(process, process.pid, KILL)
        if isinstance(error, TimeoutError):
            raise StartError(TIMEOUT) from None
        raise
    finally:
        if timer is not None:
            timer.cancel()
    return process.pid


def _expire(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())


def _check(server: Any, timeout: Any) -> None:
    made = getattr(type(server), "_make_body", None)
    is_object = type(made) is MethodType  # of a class of servers
    if is_object or not hasattr(server, "_make_body"):
        what = f"an object of {type(server).__name__}" if is_object else repr(server)
        raise TypeError(
            "what is started is a class: of GenServer, GenStatem, Agent, Supervisor, "
            f"GenEventManager or GenEventHandler, not {what}"
        )
    check_timeout(timeout)
