"""Control messages: one type per operation, each with its number.

Fields stand in the order of the tuple on the wire; ``token`` is the trace token of the ``_TT``
form of an operation, carried and never interpreted, None for the plain form.

Source: "Distribution Protocol", section "Protocol between Connected Nodes"; ``dist.h`` and
``dist.c`` of the emulator.
"""

# No annotations from __future__: NamedTuple compiles those that are text, a millisecond in all.

from typing import Any, Final, NamedTuple, TypeAlias

from pynode.terms.atom import Atom
from pynode.terms.identifiers import Pid, Reference

AnyAtom: TypeAlias = Atom | bool | None
"""A name on the wire: ``true``, ``false`` and ``nil`` are atoms too."""


class Link(NamedTuple):
    """``{1, From, To}``: From links itself to To."""

    from_: Pid
    to: Pid


class Send(NamedTuple):
    """``{2, '', To}`` with the message as payload (``{12, '', To, Token}``)."""

    to: Pid
    token: Any = None


class Exit(NamedTuple):
    """``{24, From, To}`` with the reason as payload, ``{3, From, To, Reason}`` (13, 25).

    A link is broken: From is gone.  ``reason`` is :data:`IN_PAYLOAD` for the payload forms.
    """

    from_: Pid
    to: Pid
    reason: Any
    token: Any = None


class Unlink(NamedTuple):
    """``{4, From, To}``: the old unlink, which a peer without UNLINK_ID sends."""

    from_: Pid
    to: Pid


class NodeLink(NamedTuple):
    """``{5}``: read and ignored; no node has sent it for decades."""


class RegSend(NamedTuple):
    """``{6, From, '', ToName}`` with the message as payload (16)."""

    from_: Pid
    name: AnyAtom
    token: Any = None


class GroupLeader(NamedTuple):
    """``{7, Leader, To}``: Leader becomes the group leader of To."""

    leader: Pid
    to: Pid


class Exit2(NamedTuple):
    """``{26, From, To}`` with the reason as payload, ``{8, From, To, Reason}`` (18, 27).

    ``exit(To, Reason)`` called by From.
    """

    from_: Pid
    to: Pid
    reason: Any
    token: Any = None


class Monitor(NamedTuple):
    """``{19, From, ToPidOrName, Ref}`` (MONITOR_P)."""

    from_: Pid
    target: Pid | AnyAtom
    ref: Reference


class Demonitor(NamedTuple):
    """``{20, From, ToPidOrName, Ref}`` (DEMONITOR_P)."""

    from_: Pid
    target: Pid | AnyAtom
    ref: Reference


class MonitorExit(NamedTuple):
    """``{28, FromPidOrName, To, Ref}`` with the reason as payload, or ``{21, ..., Reason}``.

    The monitored process, by the pid or the name it was monitored by, is gone.
    """

    source: Pid | AnyAtom
    to: Pid
    ref: Reference
    reason: Any


class SendSender(NamedTuple):
    """``{22, From, To}`` with the message as payload (23)."""

    from_: Pid
    to: Pid
    token: Any = None


class SpawnRequest(NamedTuple):
    """``{29, ReqId, From, GroupLeader, {M, F, Arity}, Opts}``, arguments as payload (30)."""

    request: Reference
    from_: Pid
    group_leader: Pid
    mfa: tuple[Any, Any, int]
    options: list[Any]
    token: Any = None


class SpawnReply(NamedTuple):
    """``{31, ReqId, To, Flags, Result}`` (32).  Flags: 1 a link, 2 a monitor was made."""

    request: Reference
    to: Pid
    flags: int
    result: Any
    token: Any = None


class AliasSend(NamedTuple):
    """``{33, From, Alias}`` with the message as payload (34)."""

    from_: Pid
    alias: Reference
    token: Any = None


class UnlinkId(NamedTuple):
    """``{35, Id, From, To}``; answered by :class:`UnlinkIdAck`."""

    id: int
    from_: Pid
    to: Pid


class UnlinkIdAck(NamedTuple):
    """``{36, Id, From, To}``."""

    id: int
    from_: Pid
    to: Pid


class AltactSend(NamedTuple):
    """``{37, Flags, Sender, To}`` (OTP 28 up), token as fifth element when flag 2 is set.

    Flags: 1 priority, 2 token, 4 To is an alias, 8 To is a name, 16 an exit signal, whose reason
    is the payload.  Further bits and elements are ignored.
    """

    flags: int
    from_: Pid
    to: Pid | AnyAtom | Reference
    token: Any = None


class _InPayload:
    __slots__ = ()

    def __repr__(self) -> str:
        return "IN_PAYLOAD"


#: The ``reason`` of an operation whose reason travels as payload.
IN_PAYLOAD: Final = _InPayload()

Control: TypeAlias = (
    Link
    | Send
    | Exit
    | Unlink
    | NodeLink
    | RegSend
    | GroupLeader
    | Exit2
    | Monitor
    | Demonitor
    | MonitorExit
    | SendSender
    | SpawnRequest
    | SpawnReply
    | AliasSend
    | UnlinkId
    | UnlinkIdAck
    | AltactSend
)

#: The number of each operation; of those with two forms, the one with a payload.
OPERATIONS: Final[dict[type[Control], int]] = {
    Link: 1,
    Send: 2,
    Exit: 24,
    Unlink: 4,
    NodeLink: 5,
    RegSend: 6,
    GroupLeader: 7,
    Exit2: 26,
    Monitor: 19,
    Demonitor: 20,
    MonitorExit: 28,
    SendSender: 22,
    SpawnRequest: 29,
    SpawnReply: 31,
    AliasSend: 33,
    UnlinkId: 35,
    UnlinkIdAck: 36,
    AltactSend: 37,
}
