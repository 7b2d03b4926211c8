"""Atoms: ``atom.ok``, ``atom("odd name")``, ``elixir("Foo.Bar")``.

An atom equals atoms of its name and nothing else; above all never a :class:`str`, so that a
dict may hold both.  ``true``, ``false`` and ``nil`` are Python's True, False and None
everywhere in this package: making an :class:`Atom` of those three names raises.

Atoms are interned in a cache of fixed size.  Two atoms of one name need not be one object, so
compare with ``==``; and since the cache is bounded, a peer that sends new names for ever makes
this node forget, not grow.
"""

from __future__ import annotations

from typing import Any, Final, final

__all__ = ["MAX_ATOM_CHARACTERS", "Atom", "atom", "elixir"]

MAX_ATOM_CHARACTERS: Final = 255
_CACHE_LIMIT: Final = 65_536

_cache: dict[str, Atom] = {}
_SPECIAL: Final = frozenset({"true", "false", "nil"})


@final
class Atom:
    """An Erlang atom; ``name`` is its text without quotes."""

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


def elixir(module: str) -> Atom:
    """Return the atom of an Elixir module: ``elixir("Foo.Bar")`` is ``'Elixir.Foo.Bar'``."""
    return Atom(module if module.startswith("Elixir.") else f"Elixir.{module}")
