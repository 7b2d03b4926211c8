"""What scope processes send each other: version 0 of the protocol, which every release speaks.

=================================================  ==========================================
``{discover, Pid}``, plain                         at nodeup to ``{Scope, Node}``; back to a new
                                                   peer
``{sync, Pid, [{Group, [Member]}]}``, cast         the answer: all that Pid's node has
``{join, Pid, Group, Member | [Member]}``, plain   from then on, each change
``{leave, Pid, Member | [Member], [Group]}``,      in each of these groups once; a group that is
plain                                              named twice is left twice
=================================================  ==========================================

OTP 29 greets with ``{discover, Pid, Version}``; answered with two elements, it speaks version 0
(and the third element would end the scope process of OTP 25).  Scope processes of all releases
end with badarg on anything else, and those of 25 and 27 also on a ``leave`` of a group that its
sender was not in; so nothing here may be sent but what is true.

Source: kernel's pg.erl of OTP 25, 27 and 29; data_publisher.erl of 29.
"""

from __future__ import annotations

from typing import Any, Final

from pynode.terms import Pid, atom

__all__ = [
    "DISCOVER",
    "JOIN",
    "LEAVE",
    "Malformed",
    "discover",
    "groups_of",
    "join",
    "leave",
    "pids_of",
    "sync",
]

DISCOVER: Final = atom.discover
JOIN: Final = atom.join
LEAVE: Final = atom.leave
_SYNC: Final = atom.sync
_GEN_CAST: Final = atom("$gen_cast")


class Malformed(ValueError):
    """A message whose parts are not what its first element promises."""


# --------------------------------------------------------------------------- out


def discover(own: Pid) -> Any:
    """Return ``{discover, Pid}``."""
    return (DISCOVER, own)


def sync(own: Pid, groups: list[tuple[Any, list[Pid]]]) -> Any:
    """Return the cast ``{sync, Pid, [{Group, [Member]}]}``."""
    return (_GEN_CAST, (_SYNC, own, groups))


def join(own: Pid, group: Any, pids: list[Pid]) -> Any:
    """Return ``{join, Pid, Group, [Member]}``."""
    return (JOIN, own, group, pids)


def leave(own: Pid, pids: list[Pid], groups: list[Any]) -> Any:
    """Return ``{leave, Pid, [Member], [Group]}``."""
    return (LEAVE, own, pids, groups)


# --------------------------------------------------------------------------- in


def pids_of(term: Any) -> list[Pid]:
    """Return the pids of ``Pid | [Pid]``.

    Raises:
        Malformed: it is neither.
    """
    if type(term) is Pid:
        return [term]
    if type(term) is list and all(type(pid) is Pid for pid in term):
        return term
    raise Malformed(term)


def groups_of(term: Any) -> list[tuple[Any, list[Pid]]]:
    """Return the pairs of ``[{Group, [Pid]}]``.

    Raises:
        Malformed: it is no such list.
    """
    if type(term) is not list:
        raise Malformed(term)
    found = []
    for pair in term:
        if type(pair) is not tuple or len(pair) != 2 or type(pair[1]) is not list:
            raise Malformed(pair)
        found.append((pair[0], pids_of(pair[1])))
    return found
