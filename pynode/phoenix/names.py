"""Names of a PubSub: what an application calls it, and the groups its nodes meet in."""

from __future__ import annotations

from typing import Final

from pynode.terms import Atom, elixir

__all__ = ["DEFAULT_DISPATCHER", "SCOPE", "groups", "module"]

#: The scope of ``pg`` in which the groups of every PubSub are.
SCOPE: Final = elixir("Phoenix.PubSub")
#: The module that dispatches where a broadcast does not name another.
DEFAULT_DISPATCHER: Final = elixir("Phoenix.PubSub")
_PREFIX: Final = "Elixir."


def module(name: Atom | str) -> Atom:
    """Return the atom of a name as Elixir's source has it: ``"MyApp.X"``, or ``"my_x"``.

    Raises:
        TypeError: neither an atom nor a str.
        ValueError: no atom has this name.
    """
    if isinstance(name, Atom):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a module is named by an atom or a str, not by {name!r}")
    return elixir(name) if name[:1].isupper() else Atom(name)


def groups(name: Atom, pool_size: int) -> list[Atom]:
    """Return the groups of a PubSub: ``Module.concat(Name, "Adapter")``, then ``..._2``, ...

    Each is also what that group's worker is registered as, on every node.
    """
    first = f"{_PREFIX}{name.name.removeprefix(_PREFIX)}.Adapter"
    return [Atom(first), *(Atom(f"{first}_{number}") for number in range(2, pool_size + 1))]
