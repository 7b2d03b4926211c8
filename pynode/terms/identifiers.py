"""Pids, ports and references: frozen, hashable, echoed byte for byte.

Their parts are what the wire carries (External Term Format: NEW_PID_EXT, NEW_PORT_EXT and
V4_PORT_EXT, NEWER_REFERENCE_EXT).  Equality compares every part, the creation included, so an
identifier of a node's previous life is another identifier.
"""

from __future__ import annotations

from typing import Any, final

from pynode.terms._choice import Pid, Reference
from pynode.terms._pure_values import Frozen
from pynode.terms.atom import Atom

__all__ = ["Pid", "Port", "Reference"]


_set = object.__setattr__


@final
class Port(Frozen):
    """A port identifier.  Prints as ``#Port<node1@host.6>``."""

    __slots__ = ("creation", "id", "node")

    node: Atom
    id: int
    creation: int

    def __init__(self, node: Atom, id: int, creation: int) -> None:
        _set(self, "node", node)
        _set(self, "id", id)
        _set(self, "creation", creation)

    def __eq__(self, other: object) -> bool:
        if type(other) is Port:
            return (self.id, self.creation, self.node) == (other.id, other.creation, other.node)
        return NotImplemented

    def __hash__(self) -> int:
        return hash((Port, self.node, self.id, self.creation))

    def __repr__(self) -> str:
        return f"#Port<{self.node}.{self.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Port, (self.node, self.id, self.creation)
