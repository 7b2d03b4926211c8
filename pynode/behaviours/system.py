"""The server's side of ``{system, From, Request}``.

What differs between releases is the reply to ``get_state`` and ``replace_state``: a caller of
OTP 25 expects the state, one of 27 or later ``{ok, State}``.  The alias in the caller's tag tells
them apart (three words up to 25, five from 26 on); callers that are no BEAM get the bare state.

Functions from afar run only if the program exposed them; a closure is refused in the caller as
``sys`` would have it if the function had failed.

Source: ``sys:handle_system_msg/6`` of OTP 25, 27 and 29.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from pynode.behaviours import gen
from pynode.behaviours.debug import Debug
from pynode.behaviours.extra import extra_of
from pynode.behaviours.functions import FunctionRefused, resolve_function
from pynode.behaviours.status import dictionary_terms
from pynode.behaviours.words import ERROR, OK
from pynode.errors import EncodeError
from pynode.process.reasons import reason_of
from pynode.terms import Atom, ImproperList, Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pynode.behaviours.body import BehaviourBody

__all__ = ["handle_system"]

_BEAM_ALIAS_WORDS_FROM_26: Final = 5
_NO_TERM: Final = Atom("no_term")


def handle_system(
    body: BehaviourBody, caller: Any, request: Any
) -> Coroutine[Any, Any, None] | None:
    """Answer one system request; returns what is to be stepped next, if anything."""
    if type(request) is Atom:
        handler = _PLAIN.get(request)
        if handler is not None:
            return cast("Coroutine[Any, Any, None] | None", handler(body, caller, ()))
    elif type(request) is tuple and request and type(request[0]) is Atom:
        arity, tagged = _TAGGED.get(request[0], (0, None))
        if tagged is not None and len(request) == arity:
            return cast("Coroutine[Any, Any, None] | None", tagged(body, caller, request[1:]))
    _reply(body, caller, (ERROR, (Atom("unknown_system_msg"), request)))
    return None


def _reply(body: BehaviourBody, caller: Any, value: Any) -> None:
    """Answer; what cannot be sent must not end a server that somebody only looked at.

    That is a state with what is no term in it, a request that its echo would nest too deep, or
    one that only a newer node than the caller's could be sent.
    """
    try:
        gen.reply(body.process, caller, value)
    except EncodeError as error:
        with suppress(EncodeError):  # the caller's tag itself
            gen.reply(body.process, caller, (ERROR, (_NO_TERM, str(error).encode())))


def _wants_ok(caller: Any) -> bool:
    """Whether the caller is of OTP 26 or later, which wrap states in ``{ok, _}``."""
    tag = caller[1]
    return (
        type(tag) is ImproperList
        and type(tag.tail) is Reference
        and len(tag.tail.words) == _BEAM_ALIAS_WORDS_FROM_26
    )


def _suspended(body: BehaviourBody) -> bool:
    return body.extra is not None and body.extra.suspended


# --------------------------------------------------------------------------- requests


def _suspend(body: BehaviourBody, caller: Any, _: Any) -> None:
    extra_of(body).suspend(body)
    _reply(body, caller, OK)


def _resume(body: BehaviourBody, caller: Any, _: Any) -> Coroutine[Any, Any, None] | None:
    _reply(body, caller, OK)
    return None if body.extra is None else body.extra.resume(body)


def _get_state(body: BehaviourBody, caller: Any, _: Any) -> None:
    try:
        state = body.system_state()
    except Exception as error:
        _reply(body, caller, _callback_failed(body, "system_get_state", error))
    else:
        _reply_state(body, caller, state)


def _replace_state(body: BehaviourBody, caller: Any, arguments: Any) -> None:
    try:
        function = resolve_function(body.process.runtime, caller[0], arguments[0], 1)
        state = body.system_replace(function)
    except Exception as error:
        _reply(body, caller, _callback_failed(body, "system_replace_state", error))
    else:
        _reply_state(body, caller, state)


def _reply_state(body: BehaviourBody, caller: Any, state: Any) -> None:
    _reply(body, caller, (OK, state) if _wants_ok(caller) else state)


def _callback_failed(body: BehaviourBody, function: str, error: Exception) -> Any:
    reason = error.reason if isinstance(error, FunctionRefused) else reason_of(error)
    return (
        ERROR,
        (Atom("callback_failed"), (body.MODULE, Atom(function)), (Atom("error"), reason)),
    )


def _get_status(body: BehaviourBody, caller: Any, _: Any) -> None:
    suspended = _suspended(body)
    process = body.process
    try:
        data = body.system_status(suspended)
    except Exception as error:
        _reply(body, caller, _callback_failed(body, "system_get_state", error))
        return
    debug = None if body.extra is None else body.extra.debug
    status = (
        Atom("status"),
        process.pid,
        (Atom("module"), body.MODULE),
        [
            dictionary_terms(body),
            Atom("suspended" if suspended else "running"),
            body.parent,
            [] if debug is None else debug.terms(),
            data,
        ],
    )
    _reply(body, caller, status)


def _terminate(
    body: BehaviourBody, caller: Any, arguments: Any
) -> Coroutine[Any, Any, None] | None:
    _reply(body, caller, OK)
    return body.end(arguments[0], [])


def _change_code(
    body: BehaviourBody, caller: Any, arguments: Any
) -> Coroutine[Any, Any, None] | None:
    if not _suspended(body):
        unknown = (Atom("change_code"), *arguments)
        _reply(body, caller, (ERROR, (Atom("unknown_system_msg"), unknown)))
        return None
    return _run_change_code(body, caller, arguments)


async def _run_change_code(body: BehaviourBody, caller: Any, arguments: Any) -> None:
    module, old_version, extra = arguments
    try:
        await body.system_change_code(module, old_version, extra)
    except Exception as error:
        _reply(body, caller, (ERROR, (Atom("EXIT"), reason_of(error))))
    else:
        _reply(body, caller, OK)


def _debug(body: BehaviourBody, caller: Any, arguments: Any) -> None:
    extra = extra_of(body)
    debug = extra.debug or Debug()

    def resolve(function: Any, arity: int) -> Any:
        return resolve_function(body.process.runtime, caller[0], function, arity)

    try:
        answer = debug.command(body, arguments[0], resolve)
    except FunctionRefused as refused:
        answer = (ERROR, refused.reason)
    extra.debug = debug if debug.in_use() else None
    extra.relax(body)
    _reply(body, caller, answer)


_PLAIN: Final[dict[Atom, Callable[..., Any]]] = {
    Atom("get_state"): _get_state,
    Atom("get_status"): _get_status,
    Atom("suspend"): _suspend,
    Atom("resume"): _resume,
}
#: tag -> (size of the tuple, handler)
_TAGGED: Final[dict[Atom, tuple[int, Any]]] = {
    Atom("replace_state"): (2, _replace_state),
    Atom("terminate"): (2, _terminate),
    Atom("change_code"): (4, _change_code),
    Atom("debug"): (2, _debug),
}
