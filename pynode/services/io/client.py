"""The client's side of the I/O protocol: requests to a group leader, a file, a terminal.

A client monitors the device, sends ``{io_request, From, ReplyAs, Request}``, and takes the answer
from ``{io_reply, ReplyAs, Answer}``; ``ReplyAs`` is the reference of the monitor.  Neither the
answer nor the DOWN passes through the mailbox of the process.

:func:`request` sends at once and returns a slot; whoever wants the answer awaits that, in a
process or in any task.  A slot that nobody awaits, or whose wait is cancelled, stays until the
answer or the DOWN comes, which then is dropped: nothing of it reaches the process later.  But the
device cannot be told: a cancelled :func:`get_line` still takes the next line there.

Devices answer in the order of their requests, and take as long as they like; for a deadline use
:func:`asyncio.timeout`.

``device`` is a pid, a name, ``(name, node)``; ``None`` or ``standard_io`` is the group leader of
the process.  What all of them raise:

- :class:`pynode.errors.DeviceError`: the device answered ``{error, Reason}``; or with
  ``terminated``, it does not exist, has ended, or its node is lost;
- :class:`pynode.errors.NameError_`: a name that is not registered on this node;
- :class:`pynode.errors.EncodeError`: what is to be sent is no term; nothing was sent;
- :class:`pynode.errors.ProcessDead`: ``process`` has ended.

Source: "The Erlang I/O Protocol" (stdlib user's guide); io.erl, ``execute_request/3``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from pynode.errors import DeviceError, EncodeError, NameError_
from pynode.process.calls import CallSlot
from pynode.process.names import as_atom
from pynode.process.words import ERROR
from pynode.terms import Atom, Pid, Reference, atom, charlist_text

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "EOF",
    "STANDARD_IO",
    "Device",
    "IoSlot",
    "apply_chars",
    "format_chars",
    "get_chars",
    "get_geometry",
    "get_line",
    "get_password",
    "get_until",
    "getopts",
    "put_chars",
    "request",
    "requests",
    "setopts",
    "write",
]

Device = Pid | Atom | str | tuple[Atom | str, Atom | str] | None

#: What reading returns at the end of the input.
EOF: Final = Atom("eof")
STANDARD_IO: Final = Atom("standard_io")

_IO_REQUEST: Final = Atom("io_request")
_UNICODE: Final = Atom("unicode")
_TERMINATED: Final = Atom("terminated")
_CALLING_SELF: Final = Atom("calling_self")
_PUT_CHARS: Final = Atom("put_chars")


class IoSlot(CallSlot):
    """One request under way.  ``await slot.wait()`` returns the answer as it came.

    An answer ``{error, Reason}`` raises :class:`DeviceError`.  Need not be closed.
    """

    __slots__ = ()

    def __init__(self, process: Process, ref: Reference, target: Any) -> None:
        super().__init__(process, ref, target)
        self.tag = ref  # type: ignore[assignment]  # what stands in {io_reply, ReplyAs, _}

    def replied(self, reply: Any) -> None:
        """Decide by the answer."""
        if self.done:
            return
        match reply:
            case (word, reason) if type(word) is Atom and word == ERROR:
                self._decide(None, DeviceError(reason))
            case _:
                self._decide(reply, None)

    def refused(self, reason: Any) -> None:
        """Decide by the DOWN."""
        if not self.done:
            self._decide(None, DeviceError(_TERMINATED, down=reason))


# --------------------------------------------------------------------------- any request


def request(process: Process, device: Device, what: Any) -> IoSlot:
    """Send the request ``what``, a term of the protocol, now; return where its answer comes.

    The device sees the requests of one process in the order of these calls.
    """
    runtime = process.runtime
    if not process.alive:
        raise runtime.refusal(process)
    target = _target(process, device)
    if target == process.pid:
        raise DeviceError(_CALLING_SELF)
    watched = target if type(target) is Pid else (as_atom(target[0]), as_atom(target[1]))
    slot = IoSlot(process, runtime.make_ref(), watched)
    process.extra.calls[slot.ref] = slot
    try:
        runtime.monitors.add(slot)
        if not slot.done:
            runtime.send(process, target, (_IO_REQUEST, process.pid, slot.ref, what))
    except BaseException:
        slot.close()
        raise
    return slot


async def requests(process: Process, device: Device, batch: Iterable[Any]) -> Any:
    """Have several requests carried out in one go; the answer is that of the last.

    The device stops at the first that fails, and its error is the answer.
    """
    return await request(process, device, (atom.requests, list(batch))).wait()


def _target(process: Process, device: Device) -> Any:
    if device is None:
        return process.group_leader
    if isinstance(device, Pid | tuple):
        return device
    name = as_atom(device)
    if name == STANDARD_IO:
        return process.group_leader
    found = process.runtime.whereis(name)
    if found is None:
        raise NameError_(f"{name} is not registered")
    return found


# --------------------------------------------------------------------------- output


async def put_chars(process: Process, device: Device, text: Any) -> None:
    """Write ``text``, a str or chardata (``io:put_chars/2``); return when it is written."""
    await request(process, device, (_PUT_CHARS, _UNICODE, _encoded(text))).wait()


def write(process: Process, device: Device, text: Any) -> None:
    """Like :func:`put_chars`, without waiting: the answer, an error too, is dropped."""
    _ = request(process, device, (_PUT_CHARS, _UNICODE, _encoded(text)))


async def apply_chars(
    process: Process,
    device: Device,
    module: Atom | str,
    function: Atom | str,
    args: Iterable[Any],
) -> None:
    """Write what ``module:function(args...)`` returns, which the device's node is to call."""
    call = (as_atom(module), as_atom(function), list(args))
    await request(process, device, (_PUT_CHARS, _UNICODE, *call)).wait()


async def format_chars(
    process: Process, device: Device, control: str, args: Iterable[Any] = ()
) -> None:
    """Write by a control string of Erlang, ``~p`` and the like (``io:format/3``)."""
    await apply_chars(process, device, "io_lib", "format", [_encoded(control), list(args)])


# --------------------------------------------------------------------------- input


async def get_line(process: Process, device: Device, prompt: Any = "") -> str | Atom:
    """Read a line with its newline (``io:get_line/2``); :data:`EOF` at the end of the input."""
    return await _read(process, device, (atom.get_line, _UNICODE, _encoded(prompt)))


async def get_chars(process: Process, device: Device, prompt: Any, count: int) -> str | Atom:
    """Read up to ``count`` characters (``io:get_chars/3``); :data:`EOF` at the end."""
    return await _read(process, device, (atom.get_chars, _UNICODE, _encoded(prompt), count))


async def get_password(process: Process, device: Device) -> str | Atom:
    """Read a line that is not shown (``io:get_password/1``), without its newline."""
    return await _read(process, device, (atom.get_password, _UNICODE))


async def get_until(
    process: Process,
    device: Device,
    prompt: Any,
    module: Atom | str,
    function: Atom | str,
    args: Iterable[Any] = (),
) -> Any:
    """Read until ``module:function``, which the device's node calls, has enough; its result.

    :data:`EOF` at the end of the input.
    """
    call = (as_atom(module), as_atom(function), list(args))
    return await request(
        process, device, (atom.get_until, _UNICODE, _encoded(prompt), *call)
    ).wait()


async def _read(process: Process, device: Device, what: Any) -> str | Atom:
    answer = await request(process, device, what).wait()
    if type(answer) is Atom:
        return answer
    try:
        return charlist_text(answer)
    except ValueError as error:
        raise DeviceError((_UNICODE, answer)) from error


# --------------------------------------------------------------------------- options


async def getopts(process: Process, device: Device) -> dict[str, Any]:
    """Return the device's options by name (``io:getopts/1``)."""
    found: dict[str, Any] = {}
    for option in await request(process, device, atom.getopts).wait():
        match option:
            case (Atom() as name, value):
                found[name.name] = value
            case Atom() as name:
                found[name.name] = True
    return found


async def setopts(process: Process, device: Device, options: Mapping[str, Any]) -> None:
    """Set options of the device, ``{"echo": False}`` (``io:setopts/2``)."""
    wanted = [(as_atom(name), value) for name, value in options.items()]
    await request(process, device, (atom.setopts, wanted)).wait()


async def get_geometry(
    process: Process, device: Device, what: Literal["columns", "rows"] = "columns"
) -> int:
    """Return how many columns or rows the device shows; ``enotsup`` where it is no terminal."""
    answer: int = await request(process, device, (atom.get_geometry, Atom(what))).wait()
    return answer


def _encoded(text: Any) -> bytes:
    try:
        return charlist_text(text).encode()
    except ValueError as error:
        raise EncodeError(f"this is no text: {error}") from error
