"""``spawn`` and its siblings on another node, as functions of the process that asks.

What is to run is named, for code cannot be sent: ``module, function, args``, or a
:class:`~pynode.terms.ExportFun`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pynode.terms import Atom, ExportFun

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.terms import Pid, Reference

__all__ = ["called", "is_node", "spawn_opt_there", "spawn_there", "with_options"]

_APPLY: Final = (Atom("erlang"), Atom("apply"))


def is_node(first: Any) -> bool:
    """Tell whether the first argument of a ``spawn`` is a node, and not a body."""
    return isinstance(first, Atom | str)


def called(what: tuple[Any, ...]) -> tuple[Atom | str, Atom | str, list[Any]]:
    """Return module, function and arguments of what stands after the node.

    Raises:
        TypeError: it is neither ``module, function[, args]`` nor one fun.
    """
    match what:
        case (ExportFun() as fun,):
            return *_APPLY, [fun, []]
        case (Atom() | str() as module, Atom() | str() as function):
            return module, function, []
        case (Atom() | str() as module, Atom() | str() as function, list() | tuple() as args):
            return module, function, list(args)
    raise TypeError(
        "after the node stand a module, a function and a list of arguments, or one ExportFun: "
        "code cannot be sent to another node"
    )


def with_options(what: tuple[Any, ...]) -> tuple[tuple[Any, ...], Sequence[Any]]:
    """Take the options off the end of what stands after the node."""
    most = 1 if what and isinstance(what[0], ExportFun) else 3
    if len(what) > most + 1:
        raise TypeError("after the function and its arguments stands one list of options")
    options = what[most] if len(what) > most else ()
    if isinstance(options, str) or not isinstance(options, Sequence):
        raise TypeError(f"options are a list, not {options!r}")
    return what[:most], options


async def spawn_there(
    process: Process,
    node: Atom | str,
    what: tuple[Any, ...],
    *,
    link: bool = False,
    monitor: bool = False,
    options: Sequence[Any] = (),
) -> tuple[Pid, Reference | None]:
    """Spawn on ``node``; see :meth:`Runtime.spawn_there`."""
    module, function, args = called(what)
    return await process.runtime.spawn_there(
        process, node, module, function, args, link=link, monitor=monitor, options=options
    )


async def spawn_opt_there(
    process: Process, node: Atom | str, what: tuple[Any, ...]
) -> Pid | tuple[Pid, Reference]:
    """Spawn on ``node``; a pid, or with the option ``monitor`` a pid and a reference."""
    called_, options = with_options(what)
    pid, ref = await spawn_there(process, node, called_, options=options)
    return pid if ref is None else (pid, ref)
