"""Atoms: ``atom.ok``, ``atom("odd name")``, ``elixir("Foo.Bar")``.

An atom equals atoms of its name and nothing else; above all never a :class:`str`, so that a
dict may hold both.  ``true``, ``false`` and ``nil`` are Python's True, False and None
everywhere in this package: making an :class:`Atom` of those three names raises.

Atoms are interned in a cache of fixed size.  Two atoms of one name need not be one object, so
compare with ``==``; and since the cache is bounded, a peer that sends new names for ever makes
this node forget, not grow.
"""

from __future__ import annotations

from pynode.terms._choice import Atom, atom
from pynode.terms._pure_values import MAX_ATOM_CHARACTERS

__all__ = ["MAX_ATOM_CHARACTERS", "Atom", "atom", "elixir"]


def elixir(module: str) -> Atom:
    """Return the atom of an Elixir module: ``elixir("Foo.Bar")`` is ``'Elixir.Foo.Bar'``."""
    return Atom(module if module.startswith("Elixir.") else f"Elixir.{module}")
