"""The client side of event managers: Elixir's ``GenEvent`` and Erlang's ``gen_event``.

The manager may be a BEAM's or a Python one.  A handler is named by ``Module`` (an atom; a str
is one) or ``(Module, Id)``; for a manager of this node it may also be a handler class.  Requests
are ``{Self, {Self, Tag}, Request}``.

Elixir's GenEvent knows ``add_mon_handler`` and ``ack_notify``; Erlang's gen_event
``add_sup_handler``, ``swap_sup_handler``; a manager in Python all of them.  A BEAM's manager that
does not know a request takes it as information, and the caller waits until its timeout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours import gen
from pynode.behaviours.event_manager import NOTIFY, ManagerBody
from pynode.behaviours.gen_event import GenEventHandler
from pynode.behaviours.names import ServerRef, look_up
from pynode.behaviours.words import CALL, GEN_EVENT
from pynode.errors import CallExit
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "ack_notify",
    "add_handler",
    "add_mon_handler",
    "add_sup_handler",
    "call_handler",
    "delete_handler",
    "notify",
    "swap_handler",
    "swap_mon_handler",
    "swap_sup_handler",
    "sync_notify",
    "which_handlers",
]

_SYNC_NOTIFY: Final = Atom("sync_notify")
_ACK_NOTIFY: Final = Atom("ack_notify")


def notify(process: Process, manager: ServerRef, event: Any) -> None:
    """Send an event, and do not wait; a missing manager is no error."""
    gen.send_to(process, manager, (NOTIFY, event))


async def _ask(
    process: Process, manager: ServerRef, term: Any, timeout: float | None, *, text: bool = False
) -> Any:
    return await gen.request(process, process.pid, manager, term, timeout, text=text)


async def sync_notify(
    process: Process, manager: ServerRef, event: Any, timeout: float | None = None
) -> None:
    """Send an event, and return when every handler has handled it.  Errors as of a call."""
    await _ask(process, manager, (_SYNC_NOTIFY, event), timeout)


async def ack_notify(
    process: Process, manager: ServerRef, event: Any, timeout: float | None = None
) -> None:
    """Send an event, and return when the manager has it, before the handlers have."""
    await _ask(process, manager, (_ACK_NOTIFY, event), timeout)


async def call_handler(
    process: Process,
    manager: ServerRef,
    handler: Any,
    term: Any,
    timeout: float | None = gen.DEFAULT_TIMEOUT,
    *,
    text: bool = False,
) -> Any:
    """Call one handler and return its answer, ``{error, not_found | bad_module}`` included.

    Errors as of a call, with ``{gen_event, call, Args}``.
    """
    name = _name(process, manager, handler)
    try:
        return await _ask(process, manager, (CALL, name, term), timeout, text=text)
    except CallExit as error:
        called = (GEN_EVENT, CALL, [manager, name, term, gen.milliseconds(timeout)])
        raise gen.failed(error, called) from error.__cause__


async def which_handlers(
    process: Process, manager: ServerRef, timeout: float | None = None, *, text: bool = False
) -> list[Any]:
    """Return the names of the handlers, the newest first."""
    found: list[Any] = await _ask(process, manager, Atom("which_handlers"), timeout, text=text)
    return found


async def add_handler(
    process: Process,
    manager: ServerRef,
    handler: Any,
    argument: Any = None,
    timeout: float | None = None,
) -> Any:
    """Add a handler, ``init(argument)``; returns ``atom.ok`` or what the manager answers instead.

    ``{error, already_present}``, ``{error, Reason}`` or, of gen_event, ``{'EXIT', Reason}``.
    """
    name = _name(process, manager, handler)
    return await _ask(process, manager, (Atom("add_handler"), name, argument), timeout)


async def add_mon_handler(
    process: Process,
    manager: ServerRef,
    handler: Any,
    argument: Any = None,
    timeout: float | None = None,
) -> Any:
    """Add a handler of which ``process`` is told: ``{gen_event_EXIT, Handler, Reason}``.

    The handler goes when ``process`` ends.  Elixir's GenEvent; for gen_event see
    :func:`add_sup_handler`.
    """
    name = _name(process, manager, handler)
    term = (Atom("add_mon_handler"), name, argument, process.pid)
    return await _ask(process, manager, term, timeout)


async def add_sup_handler(
    process: Process,
    manager: ServerRef,
    handler: Any,
    argument: Any = None,
    timeout: float | None = None,
) -> Any:
    """Like :func:`add_mon_handler` by a link between the manager and ``process`` (gen_event)."""
    name = _name(process, manager, handler)
    term = (Atom("add_sup_handler"), name, argument, process.pid)
    return await _ask(process, manager, term, timeout)


async def delete_handler(
    process: Process,
    manager: ServerRef,
    handler: Any,
    argument: Any = None,
    timeout: float | None = None,
    *,
    text: bool = False,
) -> Any:
    """Remove a handler; returns what its ``terminate(argument)`` gave, or ``{error, Reason}``.

    GenEvent calls this ``remove_handler``.
    """
    name = _name(process, manager, handler)
    term = (Atom("delete_handler"), name, argument)
    return await _ask(process, manager, term, timeout, text=text)


async def swap_handler(
    process: Process,
    manager: ServerRef,
    old: tuple[Any, Any],
    new: tuple[Any, Any],
    timeout: float | None = None,
) -> Any:
    """Replace a handler: ``old`` and ``new`` are ``(handler, argument)``.

    The old one's ``terminate(argument)`` gives what the new one's ``init`` gets as
    ``(argument, result)``.  Returns ``atom.ok`` or ``{error, Reason}``.
    """
    term = (Atom("swap_handler"), *_swapped(process, manager, old, new))
    return await _ask(process, manager, term, timeout)


async def swap_mon_handler(
    process: Process,
    manager: ServerRef,
    old: tuple[Any, Any],
    new: tuple[Any, Any],
    timeout: float | None = None,
) -> Any:
    """Replace a handler, and be told of the new one as by :func:`add_mon_handler`."""
    term = (Atom("swap_mon_handler"), *_swapped(process, manager, old, new), process.pid)
    return await _ask(process, manager, term, timeout)


async def swap_sup_handler(
    process: Process,
    manager: ServerRef,
    old: tuple[Any, Any],
    new: tuple[Any, Any],
    timeout: float | None = None,
) -> Any:
    """Replace a handler, and be told of the new one as by :func:`add_sup_handler`."""
    term = (Atom("swap_sup_handler"), *_swapped(process, manager, old, new), process.pid)
    return await _ask(process, manager, term, timeout)


def _swapped(process: Process, manager: ServerRef, old: Any, new: Any) -> tuple[Any, ...]:
    return (
        _name(process, manager, old[0]),
        old[1],
        _name(process, manager, new[0]),
        new[1],
    )


def _name(process: Process, manager: ServerRef, handler: Any) -> Any:
    """Return a handler's name; a class becomes known to the manager, if that is of this node.

    Raises:
        TypeError: a class, and the manager is on another node or written in another language.
    """
    if type(handler) is tuple and len(handler) == 2:
        return (_name(process, manager, handler[0]), handler[1])
    if isinstance(handler, str):
        return Atom(handler)
    if not (isinstance(handler, type) and issubclass(handler, GenEventHandler)):
        return handler
    target = look_up(process, manager)
    runtime = process.runtime
    if type(target) is Atom:
        target = runtime.whereis(target)
    if target is None:
        return handler._module  # the request itself says that there is nobody
    local = runtime.local(target) if type(target) is Pid else None
    if local is None or not isinstance(local.body, ManagerBody):
        raise TypeError(
            f"a Python class cannot be sent to {manager!r}; name a handler that it knows"
        )
    local.body.known[handler._module] = handler
    return handler._module
