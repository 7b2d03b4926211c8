"""EPMD messages, both directions: requests with a 2-byte length, replies without one.

A request is written by :func:`encode_request` and read by :func:`parse_request`; a reply is
written by the ``..._reply`` functions and read by their ``parse_`` twins.  A reply has no length
of its own: it ends where EPMD closes, the reply to a registration excepted, whose first byte
tells its size.

Parsing raises :class:`pynode.errors.ProtocolError` and nothing else.

Source: "Distribution Protocol", section "EPMD Protocol"; ``epmd_srv.c``; ``erl_epmd.erl``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from pynode.errors import ProtocolError

__all__ = [
    "DISTRIBUTION_HIGHEST",
    "DISTRIBUTION_LOWEST",
    "HIDDEN_NODE",
    "MAX_NAME_BYTES",
    "MAX_REQUEST_BYTES",
    "NORMAL_NODE",
    "AliveReply",
    "AliveRequest",
    "DumpRequest",
    "KillRequest",
    "NamesReply",
    "NamesRequest",
    "NodeEntry",
    "PortRequest",
    "Request",
    "StopRequest",
    "Tag",
    "alive_reply",
    "check_name",
    "dump_reply",
    "encode_request",
    "names_reply",
    "parse_alive_reply",
    "parse_names_reply",
    "parse_port_reply",
    "parse_request",
    "port_reply",
]

NORMAL_NODE: Final = 77
HIDDEN_NODE: Final = 72
DISTRIBUTION_HIGHEST: Final = 6
DISTRIBUTION_LOWEST: Final = 5
#: A name has at most 255 characters of at most 4 bytes each; so has the extra field.
MAX_NAME_CHARACTERS: Final = 255
MAX_NAME_BYTES: Final = 4 * MAX_NAME_CHARACTERS
MAX_REQUEST_BYTES: Final = 13 + 2 * MAX_NAME_BYTES
#: What the reply to a refused registration has in place of a creation.
NO_CREATION: Final = 99


class Tag(IntEnum):
    """First byte of a message."""

    ALIVE2 = 120
    PORT_PLEASE2 = 122
    NAMES = 110
    DUMP = 100
    KILL = 107
    STOP = 115
    ALIVE2_RESP = 121
    ALIVE2_X_RESP = 118
    PORT2_RESP = 119


class NodeEntry(NamedTuple):
    """What EPMD knows of a node."""

    name: str
    """The part before the ``@``."""
    port: int
    node_type: int = NORMAL_NODE
    """77 visible, 72 hidden."""
    protocol: int = 0
    """0: TCP over IPv4."""
    highest: int = DISTRIBUTION_HIGHEST
    lowest: int = DISTRIBUTION_LOWEST
    extra: bytes = b""


class AliveRequest(NamedTuple):
    """ALIVE2_REQ: register, for as long as the connection stays open."""

    entry: NodeEntry


class PortRequest(NamedTuple):
    """PORT_PLEASE2_REQ: where does the node of this name listen?"""

    name: str


class NamesRequest(NamedTuple):
    """NAMES_REQ: all registered names with their ports."""


class DumpRequest(NamedTuple):
    """DUMP_REQ: the same, with the names of the past."""


class KillRequest(NamedTuple):
    """KILL_REQ: end EPMD; refused while names are registered, unless commands are relaxed."""


class StopRequest(NamedTuple):
    """STOP_REQ: forget one name; refused unless commands are relaxed."""

    name: str


Request: TypeAlias = (
    AliveRequest | PortRequest | NamesRequest | DumpRequest | KillRequest | StopRequest
)

_BARE: Final[dict[type[Request], Tag]] = {
    NamesRequest: Tag.NAMES,
    DumpRequest: Tag.DUMP,
    KillRequest: Tag.KILL,
}
_ALIVE: Final = struct.Struct(">BHBBHHH")
_PORT2: Final = struct.Struct(">BBHBBHHH")


def check_name(raw: bytes) -> str:
    """Return the name that ``raw`` spells in UTF-8.

    Raises:
        ProtocolError: empty, not UTF-8, with a NUL, or over 255 characters.
    """
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"EPMD: a name that is not UTF-8: {raw[:64]!r}") from error
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or "\0" in name:
        raise ProtocolError(f"EPMD: not a node's name: {name[:64]!r}")
    return name


def encode_request(request: Request) -> bytes:
    """Return ``request`` with its length in front."""
    match request:
        case AliveRequest(entry):
            name = entry.name.encode("utf-8")
            body = b"".join(
                (
                    _ALIVE.pack(
                        Tag.ALIVE2,
                        entry.port,
                        entry.node_type,
                        entry.protocol,
                        entry.highest,
                        entry.lowest,
                        len(name),
                    ),
                    name,
                    len(entry.extra).to_bytes(2, "big"),
                    entry.extra,
                )
            )
        case PortRequest(name):
            body = bytes((Tag.PORT_PLEASE2,)) + name.encode("utf-8")
        case StopRequest(name):
            body = bytes((Tag.STOP,)) + name.encode("utf-8")
        case _:
            body = bytes((_BARE[type(request)],))
    return len(body).to_bytes(2, "big") + body


def _parse_alive(body: bytes) -> AliveRequest:
    if len(body) < 14:  # the fixed fields and a name of one byte
        raise ProtocolError("EPMD: ALIVE2_REQ is too short")
    _, port, node_type, protocol, highest, lowest, size = _ALIVE.unpack_from(body)
    end = _ALIVE.size + size
    if end + 2 > len(body):
        raise ProtocolError("EPMD: the name in ALIVE2_REQ is longer than the request")
    extra_end = end + 2 + int.from_bytes(body[end : end + 2], "big")
    if extra_end > len(body):
        raise ProtocolError("EPMD: the extra field in ALIVE2_REQ is longer than the request")
    name = check_name(body[_ALIVE.size : end])
    extra = body[end + 2 : extra_end]
    if len(extra) > MAX_NAME_BYTES:
        raise ProtocolError("EPMD: the extra field in ALIVE2_REQ is too long")
    return AliveRequest(NodeEntry(name, port, node_type, protocol, highest, lowest, extra))


def _named(body: bytes) -> str:
    return check_name(body[1:].removesuffix(b"\0"))


def parse_request(body: bytes) -> Request:
    """Read a request, given without its length.

    Raises:
        ProtocolError: an unknown tag, or fields that do not fit.
    """
    match body[0] if body else None:
        case Tag.ALIVE2:
            return _parse_alive(body)
        case Tag.PORT_PLEASE2:
            return PortRequest(_named(body))
        case Tag.NAMES:
            return NamesRequest()
        case Tag.DUMP:
            return DumpRequest()
        case Tag.KILL:
            return KillRequest()
        case Tag.STOP:
            return StopRequest(_named(body))
        case _:
            raise ProtocolError(f"EPMD: no such request: {body[:16]!r}")


# --------------------------------------------------------------------------- registration


class AliveReply(NamedTuple):
    """ALIVE2_X_RESP or ALIVE2_RESP; ``result`` 0 is success."""

    result: int
    creation: int


def alive_reply(entry: NodeEntry, creation: int | None) -> bytes:
    """Return the reply to a registration; ``creation`` None refuses it.

    A node of distribution version 6 gets 32 bits of creation, an older one 1, 2 or 3.
    """
    result = int(creation is None)
    if entry.highest >= 6:
        given = NO_CREATION if creation is None else creation
        return struct.pack(">BBI", Tag.ALIVE2_X_RESP, result, given)
    given = NO_CREATION if creation is None else creation % 3 + 1
    return struct.pack(">BBH", Tag.ALIVE2_RESP, result, given)


_ALIVE_REPLY_SIZE: Final = {Tag.ALIVE2_X_RESP.value: 6, Tag.ALIVE2_RESP.value: 4}


def parse_alive_reply(data: bytes) -> AliveReply | None:
    """Read the reply to a registration; None while it is incomplete.

    Raises:
        ProtocolError: no such reply, or bytes after it.
    """
    if not data:
        return None
    size = _ALIVE_REPLY_SIZE.get(data[0])
    if size is None or len(data) > size:
        raise ProtocolError(f"EPMD: not a reply to a registration: {data[:16]!r}")
    if len(data) < size:
        return None
    return AliveReply(data[1], int.from_bytes(data[2:], "big"))


# --------------------------------------------------------------------------- lookup


def port_reply(entry: NodeEntry | None) -> bytes:
    """Return PORT2_RESP; None says that the name is not registered."""
    if entry is None:
        return bytes((Tag.PORT2_RESP, 1))
    name = entry.name.encode("utf-8")
    head = _PORT2.pack(
        Tag.PORT2_RESP,
        0,
        entry.port,
        entry.node_type,
        entry.protocol,
        entry.highest,
        entry.lowest,
        len(name),
    )
    return head + name + len(entry.extra).to_bytes(2, "big") + entry.extra


def parse_port_reply(data: bytes) -> NodeEntry | None:
    """Read a whole PORT2_RESP; None: no such name.

    Raises:
        ProtocolError: cut short, or not that reply.
    """
    if len(data) < 2 or data[0] != Tag.PORT2_RESP:
        raise ProtocolError(f"EPMD: not a reply to a lookup: {data[:16]!r}")
    if data[1] != 0:
        return None
    if len(data) < _PORT2.size:
        raise ProtocolError("EPMD: the reply to a lookup is cut short")
    _, _, port, node_type, protocol, highest, lowest, size = _PORT2.unpack_from(data)
    end = _PORT2.size + size
    if len(data) < end:
        raise ProtocolError("EPMD: the reply to a lookup is cut short")
    name = check_name(data[_PORT2.size : end])
    # The length of the extra field is 2 bytes; some servers leave an empty one out.
    extra_size = int.from_bytes(data[end : end + 2], "big")
    extra = data[end + 2 : end + 2 + extra_size]
    return NodeEntry(name, port, node_type, protocol, highest, lowest, extra)


# --------------------------------------------------------------------------- names


class NamesReply(NamedTuple):
    """NAMES_RESP: EPMD's own port, and the names with their ports."""

    epmd_port: int
    names: list[tuple[str, int]]


def names_reply(epmd_port: int, entries: Iterable[NodeEntry]) -> bytes:
    """Return NAMES_RESP."""
    lines = "".join(f"name {entry.name} at port {entry.port}\n" for entry in entries)
    return epmd_port.to_bytes(4, "big") + lines.encode("utf-8")


def parse_names_reply(data: bytes) -> NamesReply:
    """Read a whole NAMES_RESP; lines that are not understood are left out, as OTP does.

    Raises:
        ProtocolError: without EPMD's port, or not UTF-8.
    """
    if len(data) < 4:
        raise ProtocolError("EPMD: the reply to a question for names is cut short")
    try:
        text = data[4:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError("EPMD: names that are not UTF-8") from error
    names: list[tuple[str, int]] = []
    for line in text.split("\n"):
        head, separator, port = line.rpartition(" at port ")
        name = head.removeprefix("name ")
        if separator and name != head and len(port) < 8 and port.isascii() and port.isdigit():
            names.append((name, int(port)))
    return NamesReply(int.from_bytes(data[:4], "big"), names)


def dump_reply(
    epmd_port: int,
    active: Iterable[tuple[NodeEntry, int]],
    unused: Iterable[tuple[NodeEntry, int]],
) -> bytes:
    """Return DUMP_RESP for entries with the number of their connection (-1: closed)."""
    parts = [epmd_port.to_bytes(4, "big")]
    for entry, number in active:
        line = f"active name     <{entry.name}> at port {entry.port}, fd = {number}\n\0"
        parts.append(line.encode("utf-8"))
    for entry, number in unused:
        line = f"old/unused name <{entry.name}>, port = {entry.port}, fd = {number} \n\0"
        parts.append(line.encode("utf-8"))
    return b"".join(parts)
