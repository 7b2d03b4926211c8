"""The shapes of global's messages, checked before anything is done with them.

What a peer sends is parsed whole or refused with :class:`Malformed`; the name server then logs
it and goes on, where OTP's would crash and take its node's locks with it.

Source: global.erl, "Messages in the protocol".
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from pynode.terms import Atom, Pid, atom

__all__ = [
    "VERSION",
    "KnownNodes",
    "Malformed",
    "Named",
    "Operation",
    "parse_extra",
    "parse_known",
    "parse_named",
    "parse_operations",
]

#: The version of the protocol that this package speaks: that of OTP 25.1 and later.
VERSION: Final = 8
#: From here on ``init_connect_ack`` and ``cancel_connect``, and tags in ``lock_set``.
VERIFY_CONNECT: Final = 8
#: From here on ``lost_connection`` and ``remove_connection``, and versions beside node names.
PREVENT_PARTITIONS: Final = 7
#: Nodes in one message; a full mesh ends long before.
MOST_NODES: Final = 4096
#: Below this the lockers talk to one another directly; no release for 15 years has.
OLDEST: Final = 6

Named: TypeAlias = tuple[Any, Pid, Any]
"""``{Name, Pid, Method}``."""
Operation: TypeAlias = tuple[Any, Any]
"""``{insert, {Name, Pid, Method}}`` or ``{delete, Name}``."""
KnownNodes: TypeAlias = list[tuple[Atom, int]]
"""``[{Node, Version}]``; version 0 is unknown."""

_INSERT: Final = atom.insert
_DELETE: Final = atom.delete


class Malformed(Exception):
    """A message of global that is not of its shape."""


def _items(term: Any) -> list[Any]:
    if not isinstance(term, list):
        raise Malformed(term)
    return term


def parse_named(term: Any) -> list[Named]:
    """Read ``[{Name, Pid, Method}]``; or ``[{Name, Pid, RegNode}]``, external names.

    Raises:
        Malformed: it is something else.
    """
    result: list[Named] = []
    for item in _items(term):
        match item:
            case (name, Pid() as pid, method):
                result.append((name, pid, method))
            case _:
                raise Malformed(item)
    return result


def parse_operations(term: Any) -> list[Operation]:
    """Read ``[{insert, {Name, Pid, Method}} | {delete, Name}]``.

    Raises:
        Malformed: it is something else.
    """
    result: list[Operation] = []
    for item in _items(term):
        match item:
            case (tag, (_, Pid(), _)) if tag == _INSERT:
                result.append(item)
            case (tag, _) if tag == _DELETE:
                result.append(item)
            case _:
                raise Malformed(item)
    return result


def parse_known(term: Any) -> KnownNodes:
    """Read ``[Node | {Node, Version}]``.

    Raises:
        Malformed: it is something else, or more than any cluster has: each is connected to.
    """
    result: KnownNodes = []
    items = _items(term)
    if len(items) > MOST_NODES:
        raise Malformed(term)
    for item in items:
        match item:
            case Atom():
                result.append((item, 0))
            case (Atom() as node, int() as version):
                result.append((node, version))
            case _:
                raise Malformed(item)
    return result


def parse_extra(term: Any, key: Atom) -> Any:
    """Read the value of ``key`` in ``[{Key, Value}]``; None where it is absent."""
    if isinstance(term, list):
        for item in term:
            match item:
                case (found, value) if found == key:
                    return value
    return None
