"""Control messages from terms: every operation of OTP 25 to 29, checked as ``dist.c`` checks them.

Source: ``erts_net_message`` in ``dist.c``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pynode.dist import control as c
from pynode.errors import FrameError
from pynode.terms.atom import Atom
from pynode.terms.identifiers import Pid, Reference

__all__ = ["HAS_PAYLOAD", "MAY_HAVE_PAYLOAD", "check_identity", "decode_control"]


def decode_control(term: Any, peer: Atom | None = None, local: Atom | None = None) -> c.Control:
    """Return the message that ``term`` is.

    Args:
        term: a decoded control message.
        peer: the node at the other end, and ``local`` this node: with them :func:`check_identity`
            is made too.

    Raises:
        FrameError: no tuple, an unknown operation, a wrong arity or a wrong element.
    """
    if type(term) is not tuple or not term or type(term[0]) is not int:
        raise _malformed(term)
    entry = _OPERATIONS.get(term[0])
    if entry is None:
        number = term[0] if 0 <= term[0] < 256 else "above 255"
        raise FrameError(f"there is no operation {number}")
    arity, reader = entry
    if len(term) != arity and (arity or len(term) < 4):
        raise _malformed(term)
    message = reader(term)
    if peer is not None and local is not None:
        check_identity(message, peer, local)
    return message


def check_identity(message: c.Control, peer: Atom, local: Atom) -> None:
    """Refuse a message in which the peer speaks for another node, or to another node.

    From must be a process of ``peer`` (of any creation) in LINK, UNLINK, UNLINK_ID and its
    acknowledgement, MONITOR_P, DEMONITOR_P, EXIT and EXIT2.  To, where it is a pid, must be one
    of ``local`` (of any creation) in those, in MONITOR_P_EXIT and in SPAWN_REPLY.  The others
    are exempt, as in OTP.

    Raises:
        FrameError: it is not.
    """
    kind = type(message)
    index = _FROM_PEER.get(kind)
    if index is not None:
        sender: Any = message[index]
        if sender.node != peer:
            raise FrameError(f"{kind.__name__} from {sender!r} comes over {peer}")
    index = _TO_LOCAL.get(kind)
    if index is not None:
        target = message[index]
        if isinstance(target, Pid) and target.node != local:
            raise FrameError(f"{kind.__name__} to {target!r} comes to {local}")


# Where the pid of the peer, and the pid of this node, stand in a message.
_FROM_PEER: Final[dict[type[Any], int]] = {
    c.Link: 0,
    c.Unlink: 0,
    c.UnlinkId: 1,
    c.UnlinkIdAck: 1,
    c.Monitor: 0,
    c.Demonitor: 0,
    c.Exit: 0,
    c.Exit2: 0,
}
_TO_LOCAL: Final[dict[type[Any], int]] = {
    **{kind: index + 1 for kind, index in _FROM_PEER.items()},
    c.MonitorExit: 1,
    c.SpawnReply: 1,
}

#: Types that always come with a payload.
HAS_PAYLOAD: Final[frozenset[type[Any]]] = frozenset(
    {c.Send, c.SendSender, c.RegSend, c.AliasSend, c.AltactSend, c.SpawnRequest}
)
#: Types that come with one if their reason is IN_PAYLOAD.
MAY_HAVE_PAYLOAD: Final[frozenset[type[Any]]] = frozenset({c.Exit, c.Exit2, c.MonitorExit})


def _malformed(term: Any) -> FrameError:
    # Only types are named: a hostile term may be too deep or too large to be written out.
    if type(term) is not tuple:
        return FrameError(f"a control message is a tuple, not {type(term).__name__}")
    kinds = [type(element).__name__ for element in term[:8]]
    if term and type(term[0]) is int and 0 <= term[0] < 256:
        kinds[0] = str(term[0])
    return FrameError(f"malformed control message {{{', '.join(kinds)}}}")


def _require(condition: bool, term: tuple[Any, ...]) -> None:
    if not condition:
        raise _malformed(term)


def _is_atom(term: Any) -> bool:
    return type(term) is Atom or term is True or term is False or term is None


def _pids(term: tuple[Any, ...]) -> None:
    _require(type(term[1]) is Pid and type(term[2]) is Pid, term)


# --------------------------------------------------------------------------- readers


def _link(term: tuple[Any, ...]) -> c.Control:
    _pids(term)
    return c.Link(term[1], term[2])


def _unlink(term: tuple[Any, ...]) -> c.Control:
    _pids(term)
    return c.Unlink(term[1], term[2])


def _node_link(term: tuple[Any, ...]) -> c.Control:
    return c.NodeLink()


def _group_leader(term: tuple[Any, ...]) -> c.Control:
    _pids(term)
    return c.GroupLeader(term[1], term[2])


def _send(term: tuple[Any, ...]) -> c.Control:
    _require(type(term[2]) is Pid, term)
    return c.Send(term[2], term[3] if len(term) > 3 else None)


def _send_sender(term: tuple[Any, ...]) -> c.Control:
    _pids(term)
    return c.SendSender(term[1], term[2], term[3] if len(term) > 3 else None)


def _reg_send(term: tuple[Any, ...]) -> c.Control:
    _require(type(term[1]) is Pid and _is_atom(term[3]), term)
    return c.RegSend(term[1], term[3], term[4] if len(term) > 4 else None)


def _alias_send(term: tuple[Any, ...]) -> c.Control:
    _require(type(term[1]) is Pid and type(term[2]) is Reference, term)
    return c.AliasSend(term[1], term[2], term[3] if len(term) > 3 else None)


def _exit_inside(term: tuple[Any, ...]) -> c.Control:
    _pids(term)
    return c.Exit(term[1], term[2], term[-1], term[3] if len(term) > 4 else None)


def _exit_payload(term: tuple[Any, ...]) -> c.Control:
    _pids(term)
    return c.Exit(term[1], term[2], c.IN_PAYLOAD, term[3] if len(term) > 3 else None)


def _exit2_inside(term: tuple[Any, ...]) -> c.Control:
    _pids(term)
    return c.Exit2(term[1], term[2], term[-1], term[3] if len(term) > 4 else None)


def _exit2_payload(term: tuple[Any, ...]) -> c.Control:
    _pids(term)
    return c.Exit2(term[1], term[2], c.IN_PAYLOAD, term[3] if len(term) > 3 else None)


def _monitored(term: tuple[Any, ...]) -> None:
    _require(type(term[1]) is Pid and type(term[3]) is Reference, term)
    _require(type(term[2]) is Pid or _is_atom(term[2]), term)


def _monitor(term: tuple[Any, ...]) -> c.Control:
    _monitored(term)
    return c.Monitor(term[1], term[2], term[3])


def _demonitor(term: tuple[Any, ...]) -> c.Control:
    _monitored(term)
    return c.Demonitor(term[1], term[2], term[3])


def _monitor_exit(term: tuple[Any, ...]) -> c.Control:
    _require(type(term[1]) is Pid or _is_atom(term[1]), term)
    _require(type(term[2]) is Pid and type(term[3]) is Reference, term)
    return c.MonitorExit(term[1], term[2], term[3], term[4] if len(term) > 4 else c.IN_PAYLOAD)


def _spawn_request(term: tuple[Any, ...]) -> c.Control:
    _, request, from_, leader, mfa, options = term[:6]
    _require(
        type(request) is Reference
        and type(from_) is Pid
        and type(leader) is Pid
        and type(options) is list,
        term,
    )
    _require(type(mfa) is tuple and len(mfa) == 3, term)
    _require(_is_atom(mfa[0]) and _is_atom(mfa[1]) and type(mfa[2]) is int, term)
    token = term[6] if len(term) > 6 else None
    return c.SpawnRequest(request, from_, leader, mfa, options, token)


def _spawn_reply(term: tuple[Any, ...]) -> c.Control:
    _, request, to, flags, result = term[:5]
    _require(type(request) is Reference and type(to) is Pid, term)
    _require(type(flags) is int and 0 <= flags < 1 << 27, term)
    _require(type(result) is Pid or _is_atom(result), term)
    return c.SpawnReply(request, to, flags, result, term[5] if len(term) > 5 else None)


def _unlink_ids(term: tuple[Any, ...], least: int) -> None:
    _require(type(term[1]) is int and least <= term[1] < 1 << 64, term)
    _require(type(term[2]) is Pid and type(term[3]) is Pid, term)


def _unlink_id(term: tuple[Any, ...]) -> c.Control:
    _unlink_ids(term, 1)
    return c.UnlinkId(term[1], term[2], term[3])


def _unlink_id_ack(term: tuple[Any, ...]) -> c.Control:
    _unlink_ids(term, 0)
    return c.UnlinkIdAck(term[1], term[2], term[3])


def _altact_send(term: tuple[Any, ...]) -> c.Control:
    _, flags, sender, to = term[:4]
    _require(type(flags) is int and flags >= 0 and type(sender) is Pid, term)
    if flags & 4:
        _require(type(to) is Reference and not flags & 8, term)
    elif flags & 8:
        _require(_is_atom(to), term)
    else:
        _require(type(to) is Pid, term)
    token = None
    if flags & 2:
        _require(len(term) > 4, term)
        token = term[4]
    return c.AltactSend(flags, sender, to, token)


# Operation: arity of its tuple, reader.  Arity 0: at least 4, more is ignored.
_OPERATIONS: Final[dict[int, tuple[int, Callable[[tuple[Any, ...]], c.Control]]]] = {
    1: (3, _link),
    2: (3, _send),
    3: (4, _exit_inside),
    4: (3, _unlink),
    5: (1, _node_link),
    6: (4, _reg_send),
    7: (3, _group_leader),
    8: (4, _exit2_inside),
    12: (4, _send),
    13: (5, _exit_inside),
    16: (5, _reg_send),
    18: (5, _exit2_inside),
    19: (4, _monitor),
    20: (4, _demonitor),
    21: (5, _monitor_exit),
    22: (3, _send_sender),
    23: (4, _send_sender),
    24: (3, _exit_payload),
    25: (4, _exit_payload),
    26: (3, _exit2_payload),
    27: (4, _exit2_payload),
    28: (4, _monitor_exit),
    29: (6, _spawn_request),
    30: (7, _spawn_request),
    31: (5, _spawn_reply),
    32: (6, _spawn_reply),
    33: (3, _alias_send),
    34: (4, _alias_send),
    35: (4, _unlink_id),
    36: (4, _unlink_id_ack),
    37: (0, _altact_send),
}
