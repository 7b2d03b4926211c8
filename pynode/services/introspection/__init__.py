"""Introspection: what the tools of a BEAM see of this node, where the program turns it on.

Off, which is the default, the functions are ``undef``, as on a node without them.  On, every peer
for whom policy allows :attr:`pynode.policy.Action.SPAWN` of the function may ask; which targets
these are, :func:`pynode.policy.is_introspection` knows.  They show names, pids, the messages in
mailboxes, process dictionaries and the states of servers, so secrets that are in those.  Nothing
is changed by them, and nothing is kept for them while nobody asks.

The rooms: :mod:`.facts` (the items of ``process_info``), :mod:`.processes`, :mod:`.system`,
:mod:`.modules`, :mod:`.printed` (``c:i``), :mod:`.observer` (``etop`` and ``observer``),
:mod:`.tracing` (``dbg``, for ``etop``), :mod:`.run_time`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pynode.terms import atom

from .modules import ModuleFunctions, application
from .observer import ObserverFunctions
from .printed import PrintedFunctions
from .processes import ProcessFunctions
from .system import SystemFunctions
from .tracing import TracingFunctions

if TYPE_CHECKING:
    from pynode.net.net import Net
    from pynode.process.runtime import Runtime

__all__ = ["introspect"]


def introspect(runtime: Runtime, net: Net) -> None:
    """Let other nodes ask; on the loop's thread, once, after the services have begun."""
    processes = ProcessFunctions(runtime)
    system = SystemFunctions(runtime, net)
    modules = ModuleFunctions(
        runtime, processes, runtime.resolver.resolve(atom.code, atom.ensure_loaded, 1)
    )
    printed = PrintedFunctions(runtime)
    observer = ObserverFunctions(runtime, system, application())
    tracing = TracingFunctions(runtime, net)
    table: dict[tuple[str, str, int], Callable[..., Any]] = {}
    for part in (processes, system, modules, printed, observer, tracing):
        table |= part.table()
    for (module, function, arity), found in table.items():
        runtime.resolver.build_in(module, function, arity, found)
    runtime.resolver.otherwise = modules.module_info
