"""Control messages to bytes, in the form that the flags of the connection allow.

A peer that lacks a flag gets the older form of the same signal, or nothing where there is none:

==================  ================================================================
lacks               gets
==================  ================================================================
EXIT_PAYLOAD        3, 8, 21 with the reason inside, for 24, 26, 28
SEND_SENDER         2 for 22
UNLINK_ID           4 for 35; nothing for 36
ALIAS               nothing for 33
ALTACT_SIG          22, 6, 33 or 26 for 37; nothing for an exit signal to an alias
DIST_MONITOR(_NAME) nothing for 19, 20, 28
SPAWN               nothing for 29, 31
==================  ================================================================

A peer that has ALTACT_SIG gets 37 for 33, as OTP does from release 29 on.

The encoding of the last few thousand pids is remembered: most messages name the same ones.

Source: ``erts_dsig_send_*`` and ``transcode_dist_obuf`` in ``dist.c``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from pynode import etf
from pynode.dist import control as c
from pynode.dist.flags import Flag
from pynode.errors import EncodeError
from pynode.etf.pieces import Encoded
from pynode.terms.atom import Atom
from pynode.terms.identifiers import Pid, Reference

__all__ = ["encode_control", "encode_signal"]

Signal = tuple[bytes, Encoded | None]

_PID_TAIL: Final = struct.Struct(">III")
_PIDS_REMEMBERED: Final = 4096
_MONITORS: Final = Flag.DIST_MONITOR | Flag.DIST_MONITOR_NAME


_SEND_SENDER: Final = Flag.SEND_SENDER
_EXIT_PAYLOAD: Final = Flag.EXIT_PAYLOAD
_UNLINK_ID: Final = Flag.UNLINK_ID
_SPAWN: Final = Flag.SPAWN
_ALIAS: Final = Flag.ALIAS
_ALTACT_SIG: Final = Flag.ALTACT_SIG

_pid_wire: dict[Pid, bytes] = {}


def encode_control(message: c.Control, flags: int) -> bytes:
    """Return the control message alone, without a version byte.

    Raises:
        EncodeError: the reason is in a payload, and these flags want it inside; or the flags have
            no form for this message.
    """
    signal = encode_signal(message, None, flags)
    if signal is None:
        raise EncodeError(f"these flags have no form for {type(message).__name__}")
    return signal[0]


def encode_signal(message: c.Control, payload: Encoded | None, flags: int) -> Signal | None:
    """Return the control message and the payload that goes behind it, both without version byte.

    Args:
        message: its ``reason``, where it has one, is ``IN_PAYLOAD`` or the term itself.
        payload: the encoded message, arguments or reason.
        flags: of the connection.

    Returns:
        None where the peer has no form for this signal: it is dropped, as OTP does.
    """
    return _ENCODERS[type(message)](message, payload, flags)


# --------------------------------------------------------------------------- terms


def _pid(pid: Pid) -> bytes:
    """Return NEW_PID_EXT."""
    wire = _pid_wire.get(pid)
    if wire is None:
        if type(pid) is not Pid:
            raise EncodeError(f"{pid!r} is no pid")
        try:
            tail = _PID_TAIL.pack(pid.id, pid.serial, pid.creation)
        except struct.error:
            raise EncodeError(f"a part of {pid!r} has more than 32 bits") from None
        wire = b"X" + pid.node.wire + tail
        if len(_pid_wire) >= _PIDS_REMEMBERED:
            _pid_wire.clear()
        _pid_wire[pid] = wire
    return wire


def _reference(ref: Reference) -> bytes:
    """Return NEWER_REFERENCE_EXT."""
    words = ref.words
    try:
        return b"Z%b%b%b" % (
            len(words).to_bytes(2, "big"),
            ref.node.wire,
            struct.pack(f">{len(words) + 1}I", ref.creation, *words),
        )
    except struct.error:
        raise EncodeError(f"a part of {ref!r} has more than 32 bits") from None


def _target(target: Any) -> bytes:
    if type(target) is Pid:
        return _pid(target)
    if type(target) is Reference:
        return _reference(target)
    if type(target) is Atom:
        return target.wire
    return _term(target)


def _term(term: Any) -> bytes:
    return etf.encode_payload(term)


def _tuple(*parts: bytes) -> bytes:
    """Return SMALL_TUPLE_EXT of encoded elements."""
    return b"h%c" % len(parts) + b"".join(parts)


def _op(number: int) -> bytes:
    return b"a%c" % number


# --------------------------------------------------------------------------- sends


def _send_sender(message: c.SendSender, payload: Encoded | None, flags: int) -> Signal:
    if not flags & _SEND_SENDER:
        return _send(c.Send(message.to, message.token), payload, flags)
    if message.token is None:
        return b"h\x03a\x16" + _pid(message.from_) + _pid(message.to), payload
    parts = _op(23), _pid(message.from_), _pid(message.to), _term(message.token)
    return _tuple(*parts), payload


def _send(message: c.Send, payload: Encoded | None, flags: int) -> Signal:
    if message.token is None:
        return b"h\x03a\x02w\x00" + _pid(message.to), payload
    return _tuple(_op(12), b"w\x00", _pid(message.to), _term(message.token)), payload


def _reg_send(message: c.RegSend, payload: Encoded | None, flags: int) -> Signal:
    head = _pid(message.from_) + b"w\x00" + _target(message.name)
    if message.token is None:
        return b"h\x04a\x06" + head, payload
    return b"h\x05a\x10" + head + _term(message.token), payload


def _alias_send(message: c.AliasSend, payload: Encoded | None, flags: int) -> Signal | None:
    if flags & _ALTACT_SIG:
        if message.token is None:
            return b"h\x04a\x25a\x04" + _pid(message.from_) + _reference(message.alias), payload
        altact = c.AltactSend(4 | 2, message.from_, message.alias, message.token)
        return _altact_send(altact, payload, flags)
    if not flags & _ALIAS:
        return None
    head = _pid(message.from_) + _reference(message.alias)
    if message.token is None:
        return b"h\x03a\x21" + head, payload
    return b"h\x04a\x22" + head + _term(message.token), payload


def _altact_send(message: c.AltactSend, payload: Encoded | None, flags: int) -> Signal | None:
    if not flags & _ALTACT_SIG:
        older = _without_altact(message)
        return None if older is None else encode_signal(older, payload, flags)
    has_token = message.token is not None
    bits = message.flags | 2 if has_token else message.flags & ~2
    parts = [_op(37), _term(bits), _pid(message.from_), _target(message.to)]
    if has_token:
        parts.append(_term(message.token))
    return _tuple(*parts), payload


def _without_altact(message: c.AltactSend) -> c.Control | None:
    """Return the older message that says the same, without the priority."""
    to, token = message.to, message.token
    if message.flags & 16:
        if isinstance(to, Pid):
            return c.Exit2(message.from_, to, c.IN_PAYLOAD, token)
        return None
    if isinstance(to, Reference):
        return c.AliasSend(message.from_, to, token)
    if isinstance(to, Pid):
        return c.SendSender(message.from_, to, token)
    return c.RegSend(message.from_, to, token)


# --------------------------------------------------------------------------- exits


def _with_reason(
    numbers: tuple[int, int, int, int],
    parts: tuple[bytes, ...],
    reason: Any,
    token: Any,
    payload: Encoded | None,
    flags: int,
) -> Signal:
    """Encode a signal that has a reason, as payload or inside.

    ``numbers``: plain and traced with a payload, plain and traced without.
    """
    if payload is None:
        if reason is c.IN_PAYLOAD:
            raise EncodeError("the reason is said to be in a payload, and there is none")
        payload = _term(reason)
    traced = token is not None
    if traced:
        parts = (*parts, _term(token))
    if flags & _EXIT_PAYLOAD:
        return _tuple(_op(numbers[traced]), *parts), payload
    return _tuple(_op(numbers[2 + traced]), *parts, bytes(payload)), None


def _exit(message: c.Exit, payload: Encoded | None, flags: int) -> Signal:
    parts = _pid(message.from_), _pid(message.to)
    return _with_reason((24, 25, 3, 13), parts, message.reason, message.token, payload, flags)


def _exit2(message: c.Exit2, payload: Encoded | None, flags: int) -> Signal:
    parts = _pid(message.from_), _pid(message.to)
    return _with_reason((26, 27, 8, 18), parts, message.reason, message.token, payload, flags)


def _monitor_exit(message: c.MonitorExit, payload: Encoded | None, flags: int) -> Signal | None:
    if ~flags & _MONITORS:
        return None
    parts = _target(message.source), _pid(message.to), _reference(message.ref)
    return _with_reason((28, 28, 21, 21), parts, message.reason, None, payload, flags)


# --------------------------------------------------------------------------- the rest


def _link(message: c.Link, payload: Encoded | None, flags: int) -> Signal:
    return b"h\x03a\x01" + _pid(message.from_) + _pid(message.to), None


def _unlink(message: c.Unlink, payload: Encoded | None, flags: int) -> Signal | None:
    return b"h\x03a\x04" + _pid(message.from_) + _pid(message.to), None


def _node_link(message: c.NodeLink, payload: Encoded | None, flags: int) -> Signal:
    return b"h\x01a\x05", None


def _group_leader(message: c.GroupLeader, payload: Encoded | None, flags: int) -> Signal:
    return b"h\x03a\x07" + _pid(message.leader) + _pid(message.to), None


def _monitor(message: c.Monitor, payload: Encoded | None, flags: int) -> Signal | None:
    if ~flags & _MONITORS:
        return None
    return b"h\x04a\x13" + _pid(message.from_) + _target(message.target) + _reference(
        message.ref
    ), None


def _demonitor(message: c.Demonitor, payload: Encoded | None, flags: int) -> Signal | None:
    if ~flags & _MONITORS:
        return None
    return b"h\x04a\x14" + _pid(message.from_) + _target(message.target) + _reference(
        message.ref
    ), None


def _unlink_id(message: c.UnlinkId, payload: Encoded | None, flags: int) -> Signal:
    if not flags & _UNLINK_ID:
        return b"h\x03a\x04" + _pid(message.from_) + _pid(message.to), None
    if not 0 < message.id < 1 << 64:
        raise EncodeError(f"an unlink id is 1 to 2^64-1, not {message.id}")
    return _tuple(_op(35), _integer(message.id), _pid(message.from_), _pid(message.to)), None


def _unlink_id_ack(message: c.UnlinkIdAck, payload: Encoded | None, flags: int) -> Signal | None:
    if not flags & _UNLINK_ID:
        return None
    return _tuple(_op(36), _integer(message.id), _pid(message.from_), _pid(message.to)), None


def _integer(value: int) -> bytes:
    """Return the shortest form of an integer from 0 to 2^64-1."""
    if value < 256:
        return b"a%c" % value
    if value < 1 << 31:
        return b"b" + value.to_bytes(4, "big")
    digits = value.to_bytes((value.bit_length() + 7) // 8, "little")
    return b"n%c\0" % len(digits) + digits


def _spawn_request(message: c.SpawnRequest, payload: Encoded | None, flags: int) -> Signal | None:
    if not flags & _SPAWN:
        return None
    parts = [
        _op(29 if message.token is None else 30),
        _reference(message.request),
        _pid(message.from_),
        _pid(message.group_leader),
        _term(message.mfa),
        _term(message.options),
    ]
    if message.token is not None:
        parts.append(_term(message.token))
    return _tuple(*parts), payload


def _spawn_reply(message: c.SpawnReply, payload: Encoded | None, flags: int) -> Signal | None:
    if not flags & _SPAWN:
        return None
    parts = [
        _op(31 if message.token is None else 32),
        _reference(message.request),
        _pid(message.to),
        _integer(message.flags),
        _target(message.result),
    ]
    if message.token is not None:
        parts.append(_term(message.token))
    return _tuple(*parts), None


_ENCODERS: Final[dict[type[Any], Callable[[Any, Encoded | None, int], Signal | None]]] = {
    c.Link: _link,
    c.Send: _send,
    c.Exit: _exit,
    c.Unlink: _unlink,
    c.NodeLink: _node_link,
    c.RegSend: _reg_send,
    c.GroupLeader: _group_leader,
    c.Exit2: _exit2,
    c.Monitor: _monitor,
    c.Demonitor: _demonitor,
    c.MonitorExit: _monitor_exit,
    c.SendSender: _send_sender,
    c.SpawnRequest: _spawn_request,
    c.SpawnReply: _spawn_reply,
    c.AliasSend: _alias_send,
    c.UnlinkId: _unlink_id,
    c.UnlinkIdAck: _unlink_id_ack,
    c.AltactSend: _altact_send,
}
