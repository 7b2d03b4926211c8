"""Name conflicts: whose process keeps a name that both partitions have.

When two partitions join, the node with the smaller name goes through the other's names.  For a
name that both have it asks the node of its own process to run the method that the name was
registered with, ``global:resolve_it(Method, Name, TheirPid, OurPid)``, once for each conflict.
The answer decides: a pid keeps the name, ``none`` or anything else deletes it on both sides, and
if the node cannot answer, or its method fails, the other side's process keeps it (rpc takes a
returned ``{'EXIT', _}`` for a failed call; the documentation of OTP says otherwise).

Methods are terms, for they travel with the names: ``fun M:F/3``.  Three are built in
(:data:`BUILT_IN`).  A BEAM's default method is a fun of its module ``global`` that carries no
name; it stands for ``random_exit_name``.  A Python callable is registered in :class:`Methods`
under an external fun that only this node can run.

Source: global.erl, ``exchange_names``, ``resolve_it``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from pynode.shown import shown
from pynode.terms import Atom, ExportFun, OpaqueFun, Pid, atom

if TYPE_CHECKING:
    from .tables import NameTable
    from .wire import Named, Operation

__all__ = ["BUILT_IN", "RANDOM_EXIT_NAME", "Actor", "Method", "Methods", "exchange_names"]

logger = logging.getLogger("pynode.global")

_GLOBAL: Final = atom("global")
#: The module of the external funs that stand for Python callables.
_PYTHON: Final = atom("pynode.global_resolvers")

RANDOM_EXIT_NAME: Final = ExportFun(_GLOBAL, atom.random_exit_name, 3)

Method: TypeAlias = "str | Atom | tuple[Any, Any] | ExportFun | OpaqueFun | Callable[..., Any]"
"""A resolve method: a built-in's name, ``(module, function)``, a fun, or a Python callable."""


class Actor(Protocol):
    """The process in which a method runs."""

    def send(self, to: Pid, message: Any) -> None:
        """Send ``message``."""

    def kill(self, pid: Pid) -> None:
        """``exit(Pid, kill)``."""


def _ordered(pid: Pid, other: Pid) -> tuple[Pid, Pid]:
    """Return both, that of the smaller node name first."""
    return (pid, other) if pid.node.name < other.node.name else (other, pid)


def random_exit_name(actor: Actor, name: Any, pid: Pid, other: Pid) -> Pid:
    """Kill the process on the node of the greater name; the other keeps the name.

    OTP calls it random; it is not.
    """
    smaller, greater = _ordered(pid, other)
    logger.info("global: name conflict, terminating %r", shown((name, greater)))
    actor.kill(greater)
    return smaller


def random_notify_name(actor: Actor, name: Any, pid: Pid, other: Pid) -> Pid:
    """Send ``{global_name_conflict, Name}`` to the process on the node of the greater name."""
    smaller, greater = _ordered(pid, other)
    actor.send(greater, (atom.global_name_conflict, name))
    return smaller


def notify_all_name(actor: Actor, name: Any, pid: Pid, other: Pid) -> Atom:
    """Send ``{global_name_conflict, Name, OtherPid}`` to both; nobody keeps the name."""
    actor.send(pid, (atom.global_name_conflict, name, other))
    actor.send(other, (atom.global_name_conflict, name, pid))
    return atom.none


BUILT_IN: Final[dict[Atom, Callable[[Actor, Any, Pid, Pid], Any]]] = {
    atom.random_exit_name: random_exit_name,
    atom.random_notify_name: random_notify_name,
    atom.notify_all_name: notify_all_name,
}


class Methods:
    """Turns resolve methods into terms, and runs those that this node can run.

    ``exposed`` finds the functions that the program lets other nodes call; a method ``{M, F}``
    may be one of them.
    """

    def __init__(self, exposed: Callable[[Any, Any, int], Callable[..., Any] | None]) -> None:
        self._exposed = exposed
        self._callables: dict[ExportFun, Callable[..., Any]] = {}
        self._terms: dict[Callable[..., Any], ExportFun] = {}

    def term(self, method: Method) -> Any:
        """Return what stands for ``method`` on the wire.

        A callable is kept for the life of the node, so pass a function rather than a new lambda
        each time.

        Raises:
            TypeError: it is none of what :data:`Method` names.
            ValueError: a str or an atom that is no built-in method.
        """
        if isinstance(method, str):
            method = Atom(method)
        if isinstance(method, Atom):
            if method not in BUILT_IN:
                known = ", ".join(name.name for name in BUILT_IN)
                raise ValueError(f"no built-in resolve method {method}; there are {known}")
            return ExportFun(_GLOBAL, method, 3)
        if isinstance(method, ExportFun | OpaqueFun):
            if method.arity != 3:
                raise TypeError(f"a resolve method has arity 3, not {method.arity}")
            return method
        if isinstance(method, tuple) and len(method) == 2:
            return ExportFun(method[0], method[1], 3)
        if callable(method):
            found = self._terms.get(method)
            if found is None:
                called = getattr(method, "__qualname__", type(method).__name__)[:200]
                found = ExportFun(_PYTHON, Atom(f"{called}-{len(self._terms)}"), 3)
                self._terms[method] = found
                self._callables[found] = method
            return found
        raise TypeError(f"a resolve method is a name, a pair, a fun or a callable, not {method!r}")

    async def resolve_it(self, actor: Actor, method: Any, name: Any, pid: Any, other: Any) -> Any:
        """Run a method here; what fails is ``{'EXIT', Reason}``, as ``catch`` makes it.

        A Python callable gets ``(name, their_pid, our_pid)``, may be async, and returns the pid
        that keeps the name, or None if nobody does.
        """
        if not isinstance(pid, Pid) or not isinstance(other, Pid):
            return atom.EXIT, atom.badarg
        if isinstance(method, OpaqueFun) and method.module == _GLOBAL and method.arity == 3:
            return random_exit_name(actor, name, pid, other)
        if not isinstance(method, ExportFun):
            return atom.EXIT, (atom.badfun, method)
        if method.module == _GLOBAL and method.function in BUILT_IN:
            return BUILT_IN[method.function](actor, name, pid, other)
        function = self._callables.get(method)
        if function is None:
            function = self._exposed(method.module, method.function, 3)
        if function is None:
            stack: list[Any] = [(method.module, method.function, [name, pid, other], [])]
            return atom.EXIT, (atom.undef, stack)
        try:
            result = function(name, pid, other)
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:
            logger.exception("global: the resolve method of %r failed", shown(name))
            return atom.EXIT, (atom.python_error, type(error).__name__, str(error))
        return atom.none if result is None else result


Ask: TypeAlias = Callable[[Atom, Any, Any, Pid, Pid], Awaitable[Any]]
"""``ask(node, method, name, their_pid, own_pid)``: ``resolve_it`` on ``node``; raises
:class:`Unanswered`."""


class Unanswered(Exception):
    """``{badrpc, Reason}``: the node did not, or could not, answer."""


async def exchange_names(
    table: NameTable, me: Atom, node: Atom, names: list[Named], ask: Ask
) -> tuple[list[Operation], list[Operation]]:
    """Go through the names of ``node``; return what this side is to do, and what the peer is to.

    Where a name is in both tables and ``me`` is the greater name, nothing: the peer decides.
    """
    ours: list[Operation] = []
    theirs: list[Operation] = []
    for name, pid, method in names:
        entry = table.get(name)
        if entry is None:
            ours.append((atom.insert, (name, pid, method)))
            continue
        if entry.pid == pid or me.name > node.name:
            continue
        try:
            winner = await ask(entry.pid.node, entry.method, name, pid, entry.pid)
        except Unanswered as error:
            logger.info("global: no answer for the conflict about %r: %s", shown(name), error)
            winner = pid
        if winner == pid:
            ours.append((atom.insert, (name, pid, method)))
        elif winner == entry.pid:
            theirs.append((atom.insert, (name, entry.pid, entry.method)))
        else:
            if winner != atom.none:
                logger.info(
                    "global: the conflict about %r was resolved as %r", shown(name), shown(winner)
                )
            ours.append((atom.delete, name))
            theirs.append((atom.delete, name))
    ours.reverse()
    theirs.reverse()
    return ours, theirs
