"""Debug output of ``sys``: the text of an event, and the way to the group leader.

Where a server has a group leader that serves I/O requests, ``*DBG*`` lines go there, as in OTP:
to the terminal of the BEAM that spawned it, or to this program's output.  Where there is none
(a runtime without a node) they are INFO records of the logger ``pynode.sys``.  A leader that is
busy, or gone, misses lines; the server is not held up by it.

Source: ``sys:print_event``, ``gen_server:print_event/3``; "The Erlang I/O Protocol".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.words import CALL, GEN_CALL, GEN_CAST, NOTIFY
from pynode.errors import PynodeError
from pynode.process.calls import CallSlot
from pynode.shown import cut
from pynode.terms import Atom
from pynode.terms.notation import format_erlang

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.terms import Pid, Reference

__all__ = ["generic_text", "manager_text", "print_text", "server_text", "text_of"]

_log = logging.getLogger("pynode.sys")

_IO_REQUEST: Final = Atom("io_request")
_PUT_CHARS: Final = Atom("put_chars")
_UNICODE: Final = Atom("unicode")
#: Lines that a leader has not acknowledged; above this, further ones are dropped.
_MOST_UNANSWERED: Final = 1000


def text_of(term: Any) -> str:
    """Write a term as ``~tp`` does, or what is none as Python does; long ones are cut."""
    try:
        return cut(format_erlang(term))
    except Exception:  # no term, or one nested too deep: this is only looked at
        return cut(object.__repr__(term))


# --------------------------------------------------------------------------- events


def generic_text(event: Any, name: str) -> str:
    """Write an event whose kind is not known."""
    return f"*DBG* {name} dbg  {text_of(event)}"


def server_text(event: Any, name: str) -> str:
    """Write an event of a gen_server."""
    kind = str(event[0]) if type(event) is tuple and event else ""
    if kind == "in":
        message = event[1]
        if type(message) is tuple and message:
            if message[0] == GEN_CALL and len(message) == 3:
                caller = text_of(message[1][0])
                return f"*DBG* {name} got call {text_of(message[2])} from {caller}"
            if message[0] == GEN_CAST and len(message) == 2:
                return f"*DBG* {name} got cast {text_of(message[1])}"
        return f"*DBG* {name} got {text_of(message)}"
    if kind == "out":
        _, reply, caller, state = event
        to = text_of(caller[0])
        return f"*DBG* {name} sent {text_of(reply)} to {to}, new state {text_of(state)}"
    if kind == "noreply":
        return f"*DBG* {name} new state {text_of(event[1])}"
    return generic_text(event, name)


def manager_text(event: Any, name: str) -> str:
    """Write an event of a gen_event."""
    if type(event) is not tuple or str(event[0]) != "in":
        return f"*DBG* {name} : {text_of(event)}"
    match event[1]:
        case (word, what) if word == NOTIFY:
            return f"*DBG* {name} got event {text_of(what)}"
        case (_, _, (word, handler, request)) if word == CALL:
            return f"*DBG* {name}({text_of(handler)}) got call {text_of(request)}"
        case message:
            return f"*DBG* {name} got {text_of(message)}"


# --------------------------------------------------------------------------- output


def print_text(process: Process, text: str) -> None:
    """Print a line where the process's output goes."""
    leader = _leader(process)
    if leader is None:
        _log.info("%s", text)
        return
    runtime = process.runtime
    if process.rare is not None and len(process.rare.calls) > _MOST_UNANSWERED:
        return
    slot = _Line(process, runtime.make_ref(), leader)
    process.extra.calls[slot.ref] = slot
    try:
        runtime.monitors.add(slot)
        if not slot.done:
            request = (_PUT_CHARS, _UNICODE, f"{text}\n".encode())
            runtime.send(process, leader, (_IO_REQUEST, process.pid, slot.ref, request))
    except PynodeError:  # the leader's node is busy
        slot.close()


def _leader(process: Process) -> Pid | None:
    """Return the group leader if it serves I/O."""
    leader = process.group_leader
    runtime = process.runtime
    if leader == process.pid:
        return None
    local = runtime.local(leader)
    if local is None:
        return None if runtime.is_own(leader) else leader
    return None if local.body is None and local.begin is None and local.task is None else leader


class _Line(CallSlot):
    """A line under way: whatever is answered, nobody waits for it."""

    __slots__ = ()

    def __init__(self, process: Process, ref: Reference, target: Pid) -> None:
        super().__init__(process, ref, target)
        self.tag = ref  # type: ignore[assignment]  # what stands in {io_reply, ReplyAs, _}
