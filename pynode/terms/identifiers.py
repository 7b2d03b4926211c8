"""Pids, ports and references: frozen, hashable, echoed byte for byte.

Their parts are what the wire carries (External Term Format: NEW_PID_EXT, NEW_PORT_EXT and
V4_PORT_EXT, NEWER_REFERENCE_EXT).  Equality compares every part, the creation included, so an
identifier of a node's previous life is another identifier.
"""

from __future__ import annotations

from typing import Any, Final, final

from pynode.terms.atom import Atom

__all__ = ["Pid", "Port", "Reference"]


class _Frozen:
    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: object) -> Any:
        return self


_set: Final = object.__setattr__


@final
class Pid(_Frozen):
    """A process identifier.  Prints as ``#PID<node1@host.59.0>``."""

    __slots__ = ("_hash", "_wire", "creation", "id", "node", "serial")

    node: Atom
    id: int
    serial: int
    creation: int
    _hash: int
    _wire: bytes
    """Its external form; kept by the codec once it was needed, unset before."""

    def __init__(self, node: Atom, id: int, serial: int, creation: int) -> None:
        _pid_node(self, node)
        _pid_id(self, id)
        _pid_serial(self, serial)
        _pid_creation(self, creation)
        _pid_hash(self, hash((node, id, serial, creation)))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is Pid:
            return (
                self.id == other.id
                and self.serial == other.serial
                and self.creation == other.creation
                and self.node == other.node
            )
        return NotImplemented

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"#PID<{self.node}.{self.id}.{self.serial}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Pid, (self.node, self.id, self.serial, self.creation)


@final
class Port(_Frozen):
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


@final
class Reference(_Frozen):
    """A reference; ``words`` are its one to five 32-bit numbers in the order of the wire.

    Prints as ``#Reference<node1@host.1.2.3>``, the most significant word first as OTP does.
    """

    __slots__ = ("_hash", "creation", "node", "words")

    node: Atom
    creation: int
    words: tuple[int, ...]
    _hash: int

    def __init__(self, node: Atom, creation: int, words: tuple[int, ...]) -> None:
        _reference_node(self, node)
        _reference_creation(self, creation)
        _reference_words(self, words)
        _reference_hash(self, hash((words, creation, node)))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is Reference:
            return (
                self.words == other.words
                and self.creation == other.creation
                and self.node == other.node
            )
        return NotImplemented

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        words = ".".join(str(word) for word in reversed(self.words))
        return f"#Reference<{self.node}.{words}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Reference, (self.node, self.creation, self.words)


# The slots' own setters: half the time of object.__setattr__, which counts where each call makes
# a reference.
_pid_node: Final[Any] = Pid.__dict__["node"].__set__
_pid_id: Final[Any] = Pid.__dict__["id"].__set__
_pid_serial: Final[Any] = Pid.__dict__["serial"].__set__
_pid_creation: Final[Any] = Pid.__dict__["creation"].__set__
_pid_hash: Final[Any] = Pid.__dict__["_hash"].__set__
_reference_node: Final[Any] = Reference.__dict__["node"].__set__
_reference_creation: Final[Any] = Reference.__dict__["creation"].__set__
_reference_words: Final[Any] = Reference.__dict__["words"].__set__
_reference_hash: Final[Any] = Reference.__dict__["_hash"].__set__
