"""Atoms, pids, references and improper lists in Python: the twins of ``_compiled``.

They are here, and not beside their kin, because the compiled codec makes and reads them many
thousand times a second; :mod:`pynode.terms._choice` gives one of the two sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

__all__ = ["MAX_ATOM_CHARACTERS", "Atom", "Frozen", "ImproperList", "Pid", "Reference", "atom"]

# --------------------------------------------------------------------------- atoms

MAX_ATOM_CHARACTERS: Final = 255
_CACHE_LIMIT: Final = 65_536

_cache: dict[str, Atom] = {}
_SPECIAL: Final = frozenset({"true", "false", "nil"})


@final
class Atom:
    """An Erlang atom; ``name`` is its text without quotes."""

    __module__ = "pynode.terms.atom"
    __slots__ = ("__weakref__", "_hash", "name", "wire")

    name: str
    wire: bytes
    """The UTF-8 external form: SMALL_ATOM_UTF8_EXT or ATOM_UTF8_EXT."""

    def __new__(cls, name: str) -> Atom:
        """Return the atom ``name``.

        Raises:
            ValueError: over 255 characters, not encodable as UTF-8, or one of ``true``, ``false``,
                ``nil``, which are True, False and None.
            TypeError: not a str.
        """
        found = _cache.get(name)
        if found is not None:
            return found
        if not isinstance(name, str):
            raise TypeError(f"an atom is made of a str, not of {type(name).__name__}")
        if name in _SPECIAL:
            raise ValueError(f"the atom {name} is {_PYTHON[name]!r} in Python")
        if len(name) > MAX_ATOM_CHARACTERS:
            raise ValueError(f"an atom has at most 255 characters, this one {len(name)}")
        text = name.encode("utf-8")
        if len(text) < 256:
            wire = b"w" + bytes((len(text),)) + text
        else:
            wire = b"v" + len(text).to_bytes(2, "big") + text
        self = object.__new__(cls)
        name = str(name)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "wire", wire)
        object.__setattr__(self, "_hash", hash(("Atom", name)))
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        _cache[name] = self
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("an Atom cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("an Atom cannot be changed")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is Atom:
            return self.name == other.name
        return NotImplemented

    def __hash__(self) -> int:
        return self._hash  # type: ignore[attr-defined, no-any-return]

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        if self.name.isidentifier() and not self.name.startswith("__"):
            return f"atom.{self.name}"
        return f"atom({self.name!r})"

    def __copy__(self) -> Atom:
        return self

    def __deepcopy__(self, memo: object) -> Atom:
        return self

    def __reduce__(self) -> tuple[type[Atom], tuple[str]]:
        return Atom, (self.name,)


_PYTHON: Final = {"true": True, "false": False, "nil": None}


@final
class _AtomFactory:
    """``atom.name`` and ``atom("any name")``; the first form is a value pattern in ``match``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Atom:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # protocols such as copy and pickle probe for these
        return Atom(name)

    def __call__(self, name: str) -> Atom:
        return Atom(name)

    def __repr__(self) -> str:
        return "atom"


atom: Final = _AtomFactory()


# --------------------------------------------------------------------------- identifiers


class Frozen:
    """What cannot be changed, and is its own copy."""

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
class Pid(Frozen):
    """A process identifier.  Prints as ``#PID<node1@host.59.0>``."""

    __module__ = "pynode.terms.identifiers"
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
class Reference(Frozen):
    """A reference; ``words`` are its one to five 32-bit numbers in the order of the wire.

    Prints as ``#Reference<node1@host.1.2.3>``, the most significant word first as OTP does.
    """

    __module__ = "pynode.terms.identifiers"
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


# --------------------------------------------------------------------------- improper lists


@final
class ImproperList(Frozen):
    """A list whose tail is no list: ``[alias|Ref]`` is ``ImproperList([atom.alias], ref)``.

    ``elements`` is a tuple of one or more terms.  A tail that is an improper list itself is taken
    up, so that each term has one form.

    Raises:
        ValueError: no elements, or a tail that is a list (the whole is a list then).
    """

    __module__ = "pynode.terms.compound"
    __slots__ = ("elements", "tail")

    elements: tuple[Any, ...]
    tail: Any

    def __init__(self, elements: Iterable[Any], tail: Any) -> None:
        elements = tuple(elements)
        if not elements:
            raise ValueError("an improper list has at least one element")
        if isinstance(tail, list):
            raise ValueError("a list with the tail of a list is a list")
        if type(tail) is ImproperList:
            elements += tail.elements
            tail = tail.tail
        _set(self, "elements", elements)
        _set(self, "tail", tail)

    def __eq__(self, other: object) -> bool:
        if type(other) is ImproperList:
            return self.elements == other.elements and bool(self.tail == other.tail)
        return NotImplemented

    def __hash__(self) -> int:
        return hash((ImproperList, self.elements, self.tail))

    def __repr__(self) -> str:
        return f"ImproperList({list(self.elements)!r}, {self.tail!r})"

    def _shown_parts(self) -> tuple[str, Iterable[Any], str]:
        return "ImproperList(", (list(self.elements[:100]), self.tail), ")"

    def __reduce__(self) -> tuple[Any, ...]:
        return ImproperList, (self.elements, self.tail)
