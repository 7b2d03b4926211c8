"""What other nodes may run here: functions that the program has exposed, and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pynode.process.names import as_atom
from pynode.terms import Atom

__all__ = ["Exposed", "Resolver"]


class Exposed(NamedTuple):
    """One function that other nodes may run."""

    function: Callable[..., Any]
    blocking: bool
    """Run in a thread of the process's own."""


class Resolver:
    """Module, function and arity to a Python callable; empty at first."""

    __slots__ = ("_any_arity", "_table")

    def __init__(self) -> None:
        self._table: dict[tuple[Atom, Atom, int], Exposed] = {}
        self._any_arity: dict[tuple[Atom, Atom], Exposed] = {}

    def expose(
        self,
        function: Callable[..., Any],
        *,
        module: Atom | str,
        name: Atom | str | None = None,
        arity: int | Iterable[int] | None = None,
        blocking: bool = False,
    ) -> None:
        """Let other nodes run ``function`` as ``module:name/arity``.

        It runs in a process of its own, as that process; plain, or a coroutine function.  What it
        raises ends that process, :class:`pynode.errors.Exit` with its reason.

        Args:
            function: called with the arguments as they are decoded (binaries are bytes).
            module: an Erlang module, or an Elixir one by :func:`pynode.terms.elixir`.
            name: by default the function's own.
            arity: one or several; by default what its signature takes.
            blocking: it computes for long: run it in a thread.

        Raises:
            ValueError: no arity is given and the signature cannot be read.
        """
        key = as_atom(module), as_atom(function.__name__ if name is None else name)
        exposed = Exposed(function, blocking)
        arities: Iterable[int] | None
        if arity is None:
            arities = _arities(function)
        elif isinstance(arity, int):
            arities = (arity,)
        else:
            arities = arity
        if arities is None:
            self._any_arity[key] = exposed
        else:
            for number in arities:
                self._table[(*key, number)] = exposed

    def withdraw(self, module: Atom | str, name: Atom | str) -> None:
        """Take back what was exposed as ``module:name``, of every arity."""
        key = as_atom(module), as_atom(name)
        self._any_arity.pop(key, None)
        for entry in [entry for entry in self._table if entry[:2] == key]:
            del self._table[entry]

    def entry(self, module: Any, function: Any, arity: int) -> Exposed | None:
        """Return what is exposed as ``module:function/arity``, None for everything else."""
        if type(module) is not Atom or type(function) is not Atom:
            return None
        found = self._table.get((module, function, arity))
        return self._any_arity.get((module, function)) if found is None else found

    def resolve(self, module: Any, function: Any, arity: int) -> Callable[..., Any] | None:
        """Return the callable of :meth:`entry`."""
        found = self.entry(module, function, arity)
        return None if found is None else found.function


def _arities(function: Callable[..., Any]) -> range | None:
    """Return how many positional arguments ``function`` takes; None: any number."""
    least = most = 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return None
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
    return range(least, most + 1)
