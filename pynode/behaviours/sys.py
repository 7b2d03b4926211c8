"""``sys`` as a client: look into a server, hold it, end it; a BEAM's or a Python one.

Source: stdlib's ``sys``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynode.behaviours.gen import DEFAULT_TIMEOUT, call_exit, milliseconds, request
from pynode.behaviours.names import ServerRef, look_up
from pynode.behaviours.words import ERROR, OK, SYS, SYSTEM
from pynode.errors import CallExit, RemoteError
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "change_code",
    "debug",
    "get_state",
    "get_status",
    "replace_state",
    "resume",
    "suspend",
    "terminate",
]


async def _ask(
    process: Process, dest: ServerRef, term: Any, timeout: float | None, *, text: bool = False
) -> Any:
    """Send a system request; errors as of a call, with ``{sys, Function, Args}``."""
    try:
        return await request(process, SYSTEM, dest, term, timeout, text=text)
    except CallExit as error:
        function, *arguments = term if type(term) is tuple else (term,)
        called = (SYS, function, [dest, *arguments, milliseconds(timeout)])
        raise call_exit(error.reason, called) from None


async def get_state(
    process: Process,
    dest: ServerRef,
    timeout: float | None = DEFAULT_TIMEOUT,
    *,
    text: bool = False,
) -> Any:
    """Return the state of a server; for debugging.

    A BEAM's server of OTP 26 or later answers ``{ok, State}``, an older one, or one of another
    Python node, ``State``, with no more to tell them apart: a state of theirs that is itself
    ``{ok, X}`` is returned as ``X``.

    Raises:
        RemoteError: the server could not tell; the reason is its ``{callback_failed, ...}``.
    """
    answer = await _ask(process, dest, Atom("get_state"), timeout, text=text)
    return _state(answer, _is_local(process, dest))


async def replace_state(
    process: Process,
    dest: ServerRef,
    function: Any,
    timeout: float | None = DEFAULT_TIMEOUT,
    *,
    text: bool = False,
) -> Any:
    """Have the server replace its state by ``function(State)``; return the new one.

    ``function`` is an :class:`ExportFun` that the server's node knows.
    """
    term = (Atom("replace_state"), function)
    answer = await _ask(process, dest, term, timeout, text=text)
    return _state(answer, _is_local(process, dest))


def _is_local(process: Process, dest: ServerRef) -> bool:
    target = look_up(process, dest)
    return type(target) is Atom or (type(target) is Pid and process.runtime.is_own(target))


def _state(answer: Any, local: bool) -> Any:
    if type(answer) is tuple and len(answer) == 2:
        if answer[0] == ERROR and _is_failure(answer[1]):
            raise RemoteError("error", answer[1])
        if answer[0] == OK and not local:
            return answer[1]
    return answer


def _is_failure(reason: Any) -> bool:
    return (
        type(reason) is tuple
        and bool(reason)
        and reason[0] in (Atom("callback_failed"), Atom("unknown_system_msg"))
    )


async def get_status(
    process: Process,
    dest: ServerRef,
    timeout: float | None = DEFAULT_TIMEOUT,
    *,
    text: bool = False,
) -> Any:
    """Return ``{status, Pid, {module, M}, [PDict, SysState, Parent, Debug, Misc]}``."""
    return await _ask(process, dest, Atom("get_status"), timeout, text=text)


async def suspend(
    process: Process, dest: ServerRef, timeout: float | None = DEFAULT_TIMEOUT
) -> None:
    """Have the server hold all but system messages back."""
    await _ask(process, dest, Atom("suspend"), timeout)


async def resume(
    process: Process, dest: ServerRef, timeout: float | None = DEFAULT_TIMEOUT
) -> None:
    """Have a suspended server go on, with what was held back first."""
    await _ask(process, dest, Atom("resume"), timeout)


async def terminate(
    process: Process,
    dest: ServerRef,
    reason: Any,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> None:
    """Tell the server to end with ``reason``; returns before it has (:func:`pynode.stop` waits)."""
    await _ask(process, dest, (Atom("terminate"), reason), timeout)


async def change_code(
    process: Process,
    dest: ServerRef,
    module: Atom | str,
    old_version: Any,
    extra: Any,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> Any:
    """Have a suspended server run its ``code_change``; returns ok or ``{error, Reason}``."""
    name = Atom(module) if isinstance(module, str) else module
    return await _ask(process, dest, (Atom("change_code"), name, old_version, extra), timeout)


async def debug(
    process: Process, dest: ServerRef, what: Any, timeout: float | None = DEFAULT_TIMEOUT
) -> Any:
    """Send ``{debug, what}``: ``(atom.trace, True)``, ``(atom.statistics, atom.get)``, ..."""
    return await _ask(process, dest, (Atom("debug"), what), timeout)
