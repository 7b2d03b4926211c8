"""What is told of a server that somebody looks at, or that crashes.

``sys:get_status`` and the record of a crash show the same things, and both let the server's class
hide some of it: its ``format_status`` is called as OTP calls that callback.

Source: ``gen:format_status/4``, ``format_status_header/2``; ``gen_server:error_info``;
``proc_lib:crash_report``.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.behaviours.values import term_or_repr
from pynode.errors import Exit
from pynode.shown import shown
from pynode.terms import Atom, Pid, charlist

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynode.behaviours.body import BehaviourBody

__all__ = [
    "NORMAL_LOOK",
    "TERMINATE_LOOK",
    "Failure",
    "dictionary_terms",
    "formatted",
    "header",
    "pid_text",
    "report",
    "state_part",
]

#: Why the status is wanted: somebody asked, or the server ends.
NORMAL_LOOK: Final = Atom("normal")
TERMINATE_LOOK: Final = Atom("terminate")
_DATA: Final = Atom("data")


class Failure(NamedTuple):
    """What a server was at when it began to end."""

    message: Any
    """The message, or the request of a call."""
    client: Any
    """The pid that waits for a reply, or None."""
    more: dict[str, Any]
    """What the behaviour adds, by the names of its ``format_status``."""
    ending: Any = None
    """The reason with which it was going to end, where ``terminate`` has failed."""


# --------------------------------------------------------------------------- format_status


def formatted(
    callback: Callable[..., Any] | None,
    module: Atom,
    why: Atom,
    status: dict[str, Any],
    legacy: list[Any],
) -> dict[str, Any]:
    """Return ``status`` as the server's class lets it be seen.

    Args:
        callback: ``format_status(status)``, which returns a map with the same keys; or, as it was
            before OTP 25, ``format_status(why, [PDict, State])``, whose result comes back as
            ``"$status"``; None: nothing is hidden.
        module: the class, for the text under ``"EXIT"`` that says what is wrong with the callback.
        why: ``normal`` or ``terminate``.
        status: what there is to see.
        legacy: the list for the older form.
    """
    if callback is None:
        return status
    old = _takes_two(callback)
    try:
        if old:
            return status | {"$status": callback(why, legacy)}
        new = callback(dict(status))
    except (Exception, Exit):
        return status | {"EXIT": charlist(f"{module}:format_status/{2 if old else 1} crashed")}
    problem = None
    if not isinstance(new, dict):
        problem = "did not return a map"
    elif not status.keys() <= new.keys():
        problem = "returned a map without the keys it was given"
    if problem is not None:
        return status | {"EXIT": charlist(f"{module}:format_status/1 {problem}")}
    seen: dict[str, Any] = new
    return seen


def _takes_two(callback: Callable[..., Any]) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(callback).parameters.values()
    except (TypeError, ValueError):
        return False
    return sum(parameter.kind in kinds for parameter in parameters) >= 2


def state_part(status: dict[str, Any], state: Any) -> list[Any]:
    """Return the end of a status: ``[{data, [{"State", State}]}]``, or the class's own."""
    if "EXIT" in status:
        return [(_DATA, [(charlist("State"), status["EXIT"])])]
    if "$status" in status:
        own = term_or_repr(status["$status"])
        return own if isinstance(own, list) else [own]
    return [(_DATA, [(charlist("State"), term_or_repr(state))])]


def header(tag_line: str, body: BehaviourBody) -> Any:
    """Return the header of a status: a text where the name is an atom or a pid, else a tuple."""
    name = body.shown_name()
    if type(name) is Pid:
        return charlist(f"{tag_line} {pid_text(name)}")
    if type(name) is Atom:
        return charlist(f"{tag_line} {name}")
    return (charlist(tag_line), name)


def pid_text(pid: Pid) -> str:
    """Write a pid of this node as ``pid_to_list/1`` does on this node."""
    return f"<0.{pid.id}.{pid.serial}>"


def dictionary_terms(body: BehaviourBody) -> list[tuple[Any, Any]]:
    """Return the process dictionary as ``get/0`` does."""
    pairs = body.dictionary().items()
    return [(term_or_repr(key), term_or_repr(value)) for key, value in pairs]


# --------------------------------------------------------------------------- the record of a crash


def report(body: BehaviourBody, reason: Any) -> tuple[str, dict[str, Any]]:
    """Return what the record of a crash says beside the reason: its text, and as facts.

    The facts: ``name``, ``reason``, ``initial_call``, ``ancestors``, and once ``init`` has ended
    ``last_message``, ``state``, ``client`` and what the behaviour adds.
    """
    facts: dict[str, Any] = {"name": body.shown_name(), "reason": reason}
    lines: list[str] = []
    failure = body.failure
    if failure is not None:
        seen = _seen(body, reason, failure)
        facts |= seen
        if failure.ending is not None:
            facts["ending_with"] = seen["ending_with"] = failure.ending
        lines += [f"  {key.replace('_', ' ')}: {shown(value)!r}" for key, value in seen.items()]
    facts["initial_call"] = body.initial_call()
    facts["ancestors"] = list(body.ancestors)
    module, function, arity = facts["initial_call"]
    lines.append(f"  initial call: {module}:{function}/{arity}")
    if body.ancestors:
        lines.append(f"  ancestors: {shown(facts['ancestors'])!r}")
    return "".join(f"\n{line}" for line in lines), facts


def _seen(body: BehaviourBody, reason: Any, failure: Failure) -> dict[str, Any]:
    try:
        status = body.crash_status(reason, failure)
    except Exception as error:  # a state that cannot be looked at must not hide the crash
        status = {"last_message": failure.message, "state": f"not to be seen: {error!r}"}
    if failure.client is not None:
        status["client"] = failure.client
    return status
