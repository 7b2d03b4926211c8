"""Registered names of this node (``register/2`` and its siblings)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynode.errors import NameError_
from pynode.process.words import UNDEFINED
from pynode.shown import shown
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.dist.control import AnyAtom
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Names", "as_atom"]


def as_atom(name: Atom | str) -> Atom:
    """Return a local name or a node's name as an atom.

    Raises:
        NameError_: a str that no name can be (true, false, nil; over 255 characters).
        TypeError: neither an atom nor a str.
    """
    if type(name) is Atom:
        return name
    if isinstance(name, str):
        try:
            return Atom(name)
        except ValueError as error:
            raise NameError_(str(error)) from None
    raise TypeError(f"a name is an atom or a str, not {type(name).__name__}")


class Names:
    """Who is registered under which name; a process has at most one."""

    __slots__ = ("_runtime", "_table")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._table: dict[Atom, Process] = {}

    def free(self, name: Atom | str) -> Atom:
        """Return ``name`` as an atom if it can be registered.

        Raises:
            NameError_: it is taken, or cannot be a name.
        """
        name = as_atom(name)
        if name == UNDEFINED:
            raise NameError_("undefined cannot be registered")
        if name in self._table:
            raise NameError_(f"{name} is registered already, by {self._table[name].pid!r}")
        return name

    def register(self, name: Atom | str, pid: Pid) -> None:
        """Register; see :meth:`Runtime.register`."""
        name = self.free(name)
        if type(pid) is not Pid:
            raise TypeError(f"a name is given to a pid, not to {shown(pid)!r}")
        process = self._runtime.local(pid)
        if process is None:
            raise NameError_(f"{pid!r} is no live process of this node")
        if process.name is not None:
            raise NameError_(f"{pid!r} is registered already, as {process.name}")
        self._table[name] = process
        process.name = name

    def unregister(self, name: Atom | str) -> None:
        """Free a name; see :meth:`Runtime.unregister`."""
        process = self._table.pop(as_atom(name), None)
        if process is None:
            raise NameError_(f"{name} is not registered")
        process.name = None

    def forget(self, process: Process) -> None:
        """Free the name of a process that ends."""
        if process.name is not None:
            self._table.pop(process.name, None)

    def find(self, name: AnyAtom) -> Process | None:
        """Return the process registered as ``name``."""
        return self._table.get(name)  # type: ignore[arg-type]

    def all(self) -> list[Atom]:
        """Return all registered names, the oldest first."""
        return list(self._table)
