"""What is told of a state machine: its status, the record of its crash, its debug output.

Source: ``gen_statem:format_status/2``, ``error_info/7``, ``print_event/3``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynode.behaviours.gen import Caller
from pynode.behaviours.status import (
    NORMAL_LOOK,
    TERMINATE_LOOK,
    Failure,
    dictionary_terms,
    formatted,
    header,
)
from pynode.behaviours.trace import generic_text, text_of
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import CALL
from pynode.terms import Atom, charlist

if TYPE_CHECKING:
    from pynode.behaviours.statem_loop import StatemBody

__all__ = ["crash_status", "event_term", "statem_text", "status_of"]


def event_term(event: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return an event as a term: ``{{call, From}, Request}``, ``{Type, Content}``."""
    kind, content = event
    if type(kind) is tuple and type(kind[1]) is Caller:
        kind = (CALL, kind[1].term)
    return kind, content


# --------------------------------------------------------------------------- status


def status_of(body: StatemBody, suspended: bool) -> list[Any]:
    """Return the last element of ``sys:get_status``."""
    state, data = body.system_state()
    seen = _formatted(body, NORMAL_LOOK, {"state": state, "data": data} | _common(body))
    timeouts = term_or_repr(seen["timeouts"])
    facts = [
        (charlist("Status"), Atom("suspended" if suspended else "running")),
        (charlist("Parent"), body.parent),
        (charlist("Modules"), [each._module for each in body.instances]),
        (charlist("Time-outs"), (len(timeouts), timeouts)),
        (charlist("Logged Events"), term_or_repr(seen["log"])),
        (charlist("Postponed"), term_or_repr(seen["postponed"])),
    ]
    return [
        (Atom("header"), header("Status for state machine", body)),
        (Atom("data"), facts),
        *_state_part(seen, state),
    ]


def _state_part(seen: dict[str, Any], state: Any) -> list[Any]:
    if "$status" in seen:
        own = term_or_repr(seen["$status"])
        return own if isinstance(own, list) else [own]
    pair = (state, seen["EXIT"]) if "EXIT" in seen else (seen["state"], seen["data"])
    return [(Atom("data"), [(charlist("State"), term_or_repr(pair))])]


def crash_status(body: StatemBody, reason: Any, failure: Failure) -> dict[str, Any]:
    """Return what the record of a crash says."""
    state, data = body.system_state()
    if body.ending:
        state = term_or_repr(body.ending[0])
    status = {"reason": reason, "state": state, "data": data} | _common(body)
    status["queue"] = [event_term(event) for event in body.queue] or [failure.message]
    seen = _formatted(body, TERMINATE_LOOK, status)
    last, *queued = seen["queue"] or [()]
    shown = {
        "last_event": last,
        "state": seen.get("EXIT", seen.get("$status", (seen["state"], seen["data"]))),
        "modules": [each._module for each in body.instances],
        "callback_mode": body.instance._mode,
        "queued": queued,
        "postponed": seen["postponed"],
        "timeouts": seen["timeouts"],
        "log": seen["log"],
    }
    return {key: value for key, value in shown.items() if value != []}


def _common(body: StatemBody) -> dict[str, Any]:
    debug = None if body.extra is None else body.extra.debug
    return {
        # The newest first, as gen_statem keeps them.
        "postponed": [term_or_repr(event_term(event)) for event in reversed(body.postponed)],
        "timeouts": [term_or_repr(entry) for entry in body.timers.terms()],
        "log": [] if debug is None else debug.events(),
    }


def _formatted(body: StatemBody, why: Atom, status: dict[str, Any]) -> dict[str, Any]:
    callback = body.instance.look()
    pair = [] if callback is None else [dictionary_terms(body), status["state"], status["data"]]
    return formatted(callback, body.callback_module(), why, status, pair)


# --------------------------------------------------------------------------- debug output


def statem_text(event: Any, name: str) -> str:
    """Write an event of a gen_statem."""
    match [str(part) if index == 0 else part for index, part in enumerate(event)]:
        case ["in", what, state]:
            return f"*DBG* {name} receive {_event_text(what)} in state {text_of(state)}"
        case ["out", reply, (to, _)]:
            return f"*DBG* {name} send {text_of(reply)} to {text_of(to)}"
        case ["enter" | "module" | "start_timer" as word, what, state]:
            return f"*DBG* {name} {word} {text_of(what)} in state {text_of(state)}"
        case ["postpone" | "consume" as word, what, state, after]:
            states = text_of(state)
            if states != text_of(after):
                states += f" => {text_of(after)}"
            return f"*DBG* {name} {word} {_event_text(what)} in state {states}"
        case _:
            return generic_text(event, name)


def _event_text(event: Any) -> str:
    match event:
        case ((kind, (pid, _)), request) if kind == CALL:
            return f"call {text_of(request)} from {text_of(pid)}"
        case (kind, content):
            return f"{text_of(kind)} {text_of(content)}"
        case _:
            return text_of(event)
