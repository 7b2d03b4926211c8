"""``sys`` as a client: look into a server, hold it, end it; a BEAM's or a Python one.

Source: stdlib's ``sys``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.gen import DEFAULT_TIMEOUT, failed, milliseconds, request
from pynode.behaviours.names import ServerRef, look_up
from pynode.behaviours.words import ERROR, OK, SYS, SYSTEM
from pynode.errors import CallExit, RemoteError
from pynode.terms import Atom, charlist

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "change_code",
    "debug",
    "get_state",
    "get_status",
    "install",
    "log",
    "log_to_file",
    "no_debug",
    "remove",
    "replace_state",
    "resume",
    "statistics",
    "suspend",
    "terminate",
    "trace",
]


#: The first release that wraps states in ``{ok, _}``.
_WRAPS_FROM: Final = 26
_OTP_RELEASE: Final = (Atom("erlang"), Atom("system_info"), [Atom("otp_release")])


async def _ask(
    process: Process,
    dest: ServerRef,
    term: Any,
    timeout: float | None,
    *,
    text: bool = False,
    wide: bool = False,
) -> Any:
    """Send a system request; errors as of a call, with ``{sys, Function, Args}``."""
    try:
        return await request(process, SYSTEM, dest, term, timeout, text=text, wide=wide)
    except CallExit as error:
        function, *arguments = term if type(term) is tuple else (term,)
        if function == _DEBUG and type(arguments[0]) is tuple:
            function, *arguments = arguments[0]
        called = (SYS, function, [dest, *arguments, milliseconds(timeout)])
        raise failed(error, called) from error.__cause__


async def get_state(
    process: Process,
    dest: ServerRef,
    timeout: float | None = DEFAULT_TIMEOUT,
    *,
    text: bool = False,
) -> Any:
    """Return the state of a server; for debugging.

    A BEAM's server answers ``{ok, State}`` from OTP 26 on, before that ``State``, by its own
    release; so where the answer has the former shape the server's node is asked for its release,
    and one that does not say is taken for a new one.

    Raises:
        RemoteError: the server could not tell; the reason is its ``{callback_failed, ...}``.
    """
    answer = await _ask(process, dest, Atom("get_state"), timeout, text=text, wide=True)
    return await _state(process, dest, answer, timeout)


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
    answer = await _ask(process, dest, term, timeout, text=text, wide=True)
    return await _state(process, dest, answer, timeout)


async def _state(process: Process, dest: ServerRef, answer: Any, timeout: float | None) -> Any:
    if type(answer) is tuple and len(answer) == 2:
        if answer[0] == ERROR and _is_failure(answer[1]):
            raise RemoteError("error", answer[1])
        if answer[0] == OK and await _wraps(process, dest, timeout):
            return answer[1]
    return answer


async def _wraps(process: Process, dest: ServerRef, timeout: float | None) -> bool:
    """Tell whether servers of that node answer ``{ok, State}``; ours do, to this client."""
    runtime = process.runtime
    target = look_up(process, dest)
    node = target[1] if type(target) is tuple else getattr(target, "node", None)
    if type(target) is Atom or node is None or node == runtime.node_name:
        return True
    ref = runtime.make_ref()
    arguments = [ref, *_OTP_RELEASE]
    slot = runtime.open_spawn(process, node, "erpc", "execute_call", arguments)
    try:
        match await slot.wait(timeout):
            case (answered, word, [*digits]) if answered == ref and word == Atom("return"):
                return int("".join(map(chr, digits))) >= _WRAPS_FROM
    except (CallExit, ValueError, TypeError):
        pass
    finally:
        slot.close()
    return True


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
    return await _ask(process, dest, (_DEBUG, what), timeout)


async def trace(
    process: Process, dest: ServerRef, flag: bool, timeout: float | None = DEFAULT_TIMEOUT
) -> None:
    """Have the server print its events where its output goes, or no longer."""
    await debug(process, dest, (Atom("trace"), flag), timeout)


async def log(
    process: Process,
    dest: ServerRef,
    flag: bool | int | str,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> list[Any] | None:
    """Keep the last events: True (10), their number, False; ``"get"`` returns them.

    ``"print"`` has the server print them.
    """
    word: Any = (True, flag) if type(flag) is int else flag
    answer = await debug(process, dest, (Atom("log"), _word(word)), timeout)
    return answer[1] if type(answer) is tuple and answer[0] == OK else None


async def log_to_file(
    process: Process,
    dest: ServerRef,
    name: str | bool,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> Any:
    """Have a BEAM's server write its events to a file of its host, or False: no longer.

    Returns ok or ``{error, open_file}``; the latter always from a Python server.
    """
    path: Any = charlist(name) if isinstance(name, str) else name
    return await debug(process, dest, (Atom("log_to_file"), path), timeout)


async def statistics(
    process: Process,
    dest: ServerRef,
    flag: bool | str = "get",
    timeout: float | None = DEFAULT_TIMEOUT,
) -> dict[str, Any] | None:
    """Count messages: True begins, False ends, ``"get"`` returns what there is.

    ``{"start_time": {{Y, M, D}, {H, M, S}}, "current_time", "reductions", "messages_in",
    "messages_out"}``; None if nothing is counted.
    """
    answer = await debug(process, dest, (Atom("statistics"), _word(flag)), timeout)
    if type(answer) is tuple and type(answer[1]) is list:
        return {str(name): value for name, value in answer[1]}
    return None


async def no_debug(
    process: Process, dest: ServerRef, timeout: float | None = DEFAULT_TIMEOUT
) -> None:
    """Switch all of it off."""
    await debug(process, dest, Atom("no_debug"), timeout)


async def install(
    process: Process,
    dest: ServerRef,
    function: Any,
    state: Any,
    timeout: float | None = DEFAULT_TIMEOUT,
    *,
    name: Any = None,
) -> Any:
    """Have the server call ``function(State, Event, Name)`` at each event.

    ``function`` is an :class:`ExportFun` that the server's node knows.  What it returns is its
    next state; ``done`` takes it out.  Returns ok, or why a Python server refuses it
    (``{error, Reason}``).
    """
    spec = (function, state) if name is None else (name, function, state)
    return await debug(process, dest, (Atom("install"), spec), timeout)


async def remove(
    process: Process, dest: ServerRef, name: Any, timeout: float | None = DEFAULT_TIMEOUT
) -> None:
    """Take out what was installed under ``name``, or the function without one."""
    await debug(process, dest, (Atom("remove"), name), timeout)


def _word(flag: Any) -> Any:
    return Atom(flag) if isinstance(flag, str) else flag


_DEBUG: Final = Atom("debug")
