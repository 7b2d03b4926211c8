"""The client side of gen: call, cast, reply, stop, multi_call, abcast.

Every function takes the acting :class:`Process` first: requests carry its pid.  A call is a
monitor with an alias, made in one (``runtime.open_call``), the request
``{'$gen_call', {Pid, [alias|Ref]}, Request}``, and whichever comes first: the reply to the alias
or the DOWN.  Both resolve the call without passing through the mailbox; afterwards alias and
monitor are gone, so a late reply reaches nobody.

Timeouts are seconds, ``None`` waits for ever.  Each function here that waits can be cancelled;
the request may have been carried out all the same, the reply is dropped.

Source: stdlib's ``gen``, ``gen_server`` and ``proc_lib``.
"""

from __future__ import annotations

from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours._choice import CallerRoot
from pynode.behaviours.names import ServerRef, Target, find, look_up
from pynode.behaviours.words import (
    ALIAS,
    CALL,
    CALL_TIMEOUT,
    CALLING_SELF,
    GEN_CALL,
    GEN_CAST,
    GEN_SERVER,
    GEN_STATEM,
    INFINITY,
    NOCONNECTION,
    NODEDOWN,
    NOPROC,
    NORMAL,
    SYSTEM,
    TERMINATE,
    TIMEOUT,
)
from pynode.errors import (
    CallerDead,
    CallExit,
    CallingSelf,
    CallTimeout,
    EncodeError,
    NameError_,
    NoConnection,
    NoProcess,
)
from pynode.process.reasons import crash_reason
from pynode.process.stacks import with_raised
from pynode.process.timeouts import check_timeout
from pynode.terms import Atom, ImproperList, Pid, Reference, copy_term, identical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = [
    "DEFAULT_TIMEOUT",
    "Caller",
    "abcast",
    "call",
    "call_exit",
    "cast",
    "failed",
    "milliseconds",
    "multi_call",
    "reply",
    "request",
    "statem_call",
    "stop",
]

DEFAULT_TIMEOUT: Final = CALL_TIMEOUT
"""Seconds; what ``gen_server:call/2`` waits."""


def milliseconds(timeout: float | None) -> Any:
    """Write a timeout in seconds as Erlang does."""
    if timeout is None:
        return INFINITY
    try:
        return round(timeout * 1000)
    except OverflowError:  # math.inf
        return INFINITY


def call_exit(reason: Any, called: Any = None) -> CallExit:
    """Return the exception for the exit ``reason`` of a call; ``called`` is ``{M, F, Args}``."""
    if reason == NOPROC:
        return NoProcess(reason, called)
    if reason == TIMEOUT:
        return CallTimeout(reason, called)
    if reason == CALLING_SELF:
        return CallingSelf(reason, called)
    if reason == NOCONNECTION or (
        type(reason) is tuple and len(reason) == 2 and reason[0] == NODEDOWN
    ):
        return NoConnection(reason, called)
    return with_raised(CallExit(reason, called))


def failed(error: CallExit, called: Any = None) -> CallExit:
    """Return ``error`` as that of the call ``called``, ``{M, F, Args}``."""
    if isinstance(error, CallerDead):
        return CallerDead(error.pid, error.reason, called)
    return call_exit(error.reason, called)


# --------------------------------------------------------------------------- call


async def request(
    process: Process,
    label: Any,
    dest: ServerRef,
    term: Any,
    timeout: float | None,
    *,
    text: bool = False,
    wide: bool = False,
) -> Any:
    """Send ``{label, {Pid, Tag}, term}`` and return the reply.

    ``timeout`` is in seconds; ``wide`` is of :meth:`Runtime.open_call`.  The order to earlier
    sends of ``process`` to the same server is kept, names that must be asked for excepted.

    Raises:
        NoProcess: no such process, or no such name.
        NoConnection: the node cannot be reached, or went down; the reason is ``{nodedown, Node}``.
        CallTimeout: no reply in time.
        CallingSelf: ``dest`` is ``process`` itself.
        CallExit: the process ended before it replied, with ``reason``.
        EncodeError: ``term`` is no term; nothing was sent.
        TypeError, ValueError: ``timeout`` is no number of seconds from 0 on; nothing was sent.
    """
    if timeout is not None:
        check_timeout(timeout)
    target: Target = dest if type(dest) is Pid else await find(process, dest)
    runtime = process.runtime
    if runtime.quick is not None and not wide:
        waiting = runtime.quick.call(process, label, target, term, timeout, text)
        if waiting is not None:
            try:
                return await waiting
            except CallExit as error:
                raise as_gen_has_it(error, dest, target) from error.__cause__
    if type(target) is Pid and target == process.pid:
        raise CallingSelf(CALLING_SELF)
    slot = runtime.open_call(process, target, text=text, wide=wide)
    try:
        runtime.send(process, target, (label, (process.pid, slot.tag), term))
        return await slot.wait(timeout)
    except CallExit as error:
        raise as_gen_has_it(error, dest, target) from error.__cause__
    finally:
        slot.close()


def as_gen_has_it(error: CallExit, dest: ServerRef, target: Target) -> CallExit:
    """``noconnection`` becomes ``{nodedown, Node}``, or noproc for a name of ``:global`` or via."""
    if error.reason != NOCONNECTION:
        return failed(error)
    if type(target) is Pid:
        if type(dest) is not Pid:
            return NoProcess(NOPROC)  # the name's owner is gone, the name will follow
        return NoConnection((NODEDOWN, target.node))
    return NoConnection((NODEDOWN, target[1]))


async def call(
    process: Process,
    dest: ServerRef,
    term: Any,
    timeout: float | None = DEFAULT_TIMEOUT,
    *,
    text: bool = False,
) -> Any:
    """Call a gen_server and return its reply (``gen_server:call/3``).

    ``text`` decodes the UTF-8 binaries of the reply to str.  Raises what :func:`request` raises,
    with ``{gen_server, call, [Server, Request, Timeout]}`` as ``call``.
    """
    try:
        if type(dest) is Pid and (quick := process.runtime.quick) is not None:
            waiting = quick.call(process, GEN_CALL, dest, term, timeout, text)  # the way of most
            if waiting is not None:
                return await waiting
        return await request(process, GEN_CALL, dest, term, timeout, text=text)
    except CallExit as error:
        raise failed_call(error, dest, term, timeout) from error.__cause__


def failed_call(error: CallExit, dest: ServerRef, term: Any, timeout: float | None) -> CallExit:
    """Return what a call that has failed with ``error`` raises."""
    if type(dest) is Pid:
        error = as_gen_has_it(error, dest, dest)
    return failed(error, (GEN_SERVER, CALL, [dest, term, milliseconds(timeout)]))


async def statem_call(
    process: Process,
    dest: ServerRef,
    term: Any,
    timeout: float | None = None,
    *,
    text: bool = False,
) -> Any:
    """Call a gen_statem and return its reply (``gen_statem:call/3``): no timeout by default.

    Raises what :func:`request` raises, with ``{gen_statem, call, [Server, Request, Timeout]}`` as
    ``call``.
    """
    try:
        return await request(process, GEN_CALL, dest, term, timeout, text=text)
    except CallExit as error:
        called = (GEN_STATEM, CALL, [dest, term, milliseconds(timeout)])
        raise failed(error, called) from error.__cause__


def cast(process: Process, dest: ServerRef | Reference, term: Any) -> None:
    """Send ``{'$gen_cast', term}``; a missing process or name is no error.

    Raises:
        EncodeError: ``term`` is no term.
        PeerBusy: too much is waiting for that node.
    """
    if type(dest) is Pid:
        process.runtime.send(process, dest, (GEN_CAST, term))
    else:
        send_to(process, dest, (GEN_CAST, term))


def send_to(process: Process, dest: ServerRef | Reference, message: Any) -> None:
    """Send ``message`` to whatever a server reference means; absent names are ignored."""
    target = look_up(process, dest)
    if type(target) is Atom:
        target = process.runtime.whereis(target)
    if target is not None:
        process.runtime.send(process, target, message)


# --------------------------------------------------------------------------- reply


def alias_in(tag: Any) -> Reference | None:
    """Return the alias in ``[alias|Ref]`` or ``[[alias|Ref]|_]``, where a reply goes to."""
    if type(tag) is ImproperList or (type(tag) is list and tag):
        inner = tag
        first = tag.elements[0] if type(tag) is ImproperList else tag[0]
        if type(first) is ImproperList:
            inner = first
        if (
            type(inner) is ImproperList
            and type(inner.tail) is Reference
            and len(inner.elements) == 1
            and inner.elements[0] == ALIAS
        ):
            found: Reference = inner.tail
            return found
    return None


def is_from(term: Any) -> bool:
    """Tell whether ``term`` has the form of a ``From``, ``{Pid, Tag}``."""
    return type(term) is tuple and len(term) == 2


def monitor_of(tag: Any) -> Reference | None:
    """Return the reference of the monitor that the caller of ``tag`` watches us with, if any."""
    return tag if type(tag) is Reference else alias_in(tag)


class Caller(CallerRoot):
    """Who called: ``caller.reply(x)`` answers, now or later, once, from any thread.

    ``term`` is Erlang's ``From``, ``{Pid, Tag}``, to be sent to another process that replies
    (``gen_server:reply/2`` there); the tag is echoed untouched.
    """

    __slots__ = ()

    @property
    def pid(self) -> Pid:
        """The calling process."""
        found: Pid = self.term[0]
        return found

    @property
    def tag(self) -> Any:
        """What marks the reply; its form is the caller's business."""
        return self.term[1]

    def reply(self, value: Any) -> None:
        """Send the reply; a caller that is gone is no error.

        Raises:
            EncodeError: ``value`` is no term.
            ProcessDead: the server that was called has ended.
        """
        process = self._process
        runtime = process.runtime
        if get_ident() == runtime.thread_id:
            reply(process, self.term, value)
        else:
            runtime.call_threadsafe(process, reply, process, self.term, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is Caller:
            return bool(self.term == other.term)
        return NotImplemented

    def __hash__(self) -> int:
        return hash((Caller, self.term[0]))

    def __repr__(self) -> str:
        return f"<Caller {self.term[0]!r}>"


def reply(process: Process, caller: Caller | tuple[Any, Any], value: Any) -> None:
    """Send ``{Tag, value}`` to the caller (``gen:reply/2``); ``caller`` may be a bare ``From``.

    A term that only the caller's node cannot take makes the call fail there.

    Raises:
        EncodeError: ``value`` is no term.
        PeerBusy: too much is waiting for the caller's node.
    """
    origin = caller.term if type(caller) is Caller else caller
    if type(origin) is not tuple or len(origin) != 2:
        return
    runtime: Runtime = process.runtime
    quick = runtime.quick
    if quick is not None and quick.reply(process, origin, value):
        return
    pid, tag = origin
    address = pid if type(tag) is Reference else alias_in(tag) or pid
    if type(address) is Pid or type(address) is Reference:
        try:
            runtime.send(process, address, (tag, value))
        except EncodeError as error:
            _refuse_reply(process, tag, value, error)
        return
    # A peer may have sent anything as From; as in OTP that harms nobody but the caller.
    with suppress(TypeError, NameError_):
        runtime.send(process, address, (tag, value))


def _refuse_reply(process: Process, tag: Any, value: Any, error: EncodeError) -> None:
    """Let the call fail in the caller, where not the server but what it was sent is at fault.

    A native record for a node that cannot read one, or terms nested so deep that with the tag
    beside them they are too deep.
    """
    try:
        copy_term(value)
    except EncodeError:
        raise error from None
    ref = monitor_of(tag)
    if ref is not None:
        process.runtime.monitors.answer_down(process, ref, crash_reason(error))


# --------------------------------------------------------------------------- many nodes


async def multi_call(
    process: Process,
    nodes: Iterable[Atom | str],
    name: Atom | str,
    term: Any,
    timeout: float | None = None,
    *,
    text: bool = False,
) -> tuple[list[tuple[Atom, Any]], list[Atom]]:
    """Call the servers called ``name`` on ``nodes`` at once; return ``(replies, bad_nodes)``.

    ``replies`` are ``(node, reply)`` in the order of ``nodes``; bad are those without such a
    server, unreachable, or without a reply in time (``gen_server:multi_call/4``).  Nothing is
    raised for a single node.
    """
    check_timeout(timeout)
    runtime = process.runtime
    wanted = [Atom(node) if isinstance(node, str) else node for node in nodes]
    registered = Atom(name) if isinstance(name, str) else name
    slots: list[tuple[Atom, Any]] = []
    deadline = None if timeout is None else runtime.loop.time() + timeout
    try:
        for node in wanted:
            target = _on_node(runtime, registered, node)
            if target is None:
                slots.append((node, None))
                continue
            slot = runtime.open_call(process, target, text=text)
            slots.append((node, slot))
            runtime.send(process, target, (GEN_CALL, (process.pid, slot.tag), term))
        replies: list[tuple[Atom, Any]] = []
        bad: list[Atom] = []
        for node, slot in slots:
            try:
                if slot is None:
                    raise NoProcess(NOPROC)
                left = None if deadline is None else max(0.0, deadline - runtime.loop.time())
                replies.append((node, await slot.wait(left)))
            except CallExit:
                bad.append(node)
        return replies, bad
    finally:
        for _, slot in slots:
            if slot is not None:
                slot.close()


def _on_node(runtime: Runtime, name: Atom, node: Atom) -> Target | None:
    return runtime.whereis(name) if node == runtime.node_name else (name, node)


def abcast(process: Process, nodes: Iterable[Atom | str], name: Atom | str, term: Any) -> None:
    """Cast to the servers called ``name`` on ``nodes``; whoever is missing gets nothing."""
    for node in nodes:
        cast(process, (name, node), term)


# --------------------------------------------------------------------------- stop


async def stop(
    process: Process,
    dest: ServerRef,
    reason: Any = NORMAL,
    timeout: float | None = None,
) -> None:
    """Ask a server to end with ``reason``, and wait until it has (``proc_lib:stop/3``).

    Raises:
        NoProcess: there is none.
        CallTimeout: it has not ended in time; it may still do so.
        CallExit: it ended with another reason.
    """
    check_timeout(timeout)
    target: Target = dest if type(dest) is Pid else await find(process, dest)
    runtime = process.runtime
    deadline = None if timeout is None else runtime.loop.time() + timeout
    watch = runtime.open_call(process, target)  # for its DOWN alone; nobody replies to it
    try:
        await request(process, SYSTEM, target, (TERMINATE, reason), timeout)
        left = None if deadline is None else max(0.0, deadline - runtime.loop.time())
        try:
            await watch.wait(left)
        except CallTimeout:
            raise
        except CallExit as down:
            if not identical(down.reason, reason):
                raise call_exit(down.reason) from None
    finally:
        watch.close()
