"""The functions that a BEAM asks of any visible node: a table, by module, name and arity.

They are few: what global of another node needs to settle a conflict of names, what a hidden
node needs to use global through this one, and two harmless questions.  What the program exposes
comes beside them.

Source: which these are, is what OTP 25, 27 and 29 were seen to ask; global.erl, net_kernel.erl.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pynode.process.process import Process
from pynode.terms import Atom, Pid, atom

from .entry import execute_call, execute_cast
from .service import acting

if TYPE_CHECKING:
    from pynode.process.runtime import Runtime

    from .global_ import Global
    from .global_.resolve import Methods
    from .net_kernel import NetKernel

__all__ = ["ProcessActor", "built_in_functions"]

Key = tuple[str, str, int]


class ProcessActor:
    """:class:`pynode.services.global_.resolve.Actor` over a process."""

    __slots__ = ("_process",)

    def __init__(self, process: Process) -> None:
        self._process = process

    def send(self, to: Pid, message: Any) -> None:
        """Send."""
        self._process.runtime.send(self._process, to, message)

    def kill(self, pid: Pid) -> None:
        """``exit(Pid, kill)``."""
        self._process.runtime.exit(self._process, pid, atom.kill)


def built_in_functions(
    runtime: Runtime, net_kernel: NetKernel, global_: Global, methods: Methods
) -> dict[Key, Callable[..., Any]]:
    """Return the table of one node."""

    async def resolve_it(method: Any, name: Any, theirs: Any, ours: Any) -> Any:
        actor = ProcessActor(acting(runtime))
        return await methods.resolve_it(actor, method, name, theirs, ours)

    def whereis_name(name: Any) -> Any:
        pid = global_.lookup(name)
        return atom.undefined if pid is None else pid

    async def register_name(name: Any, pid: Any, *method: Any) -> Atom:
        return atom.yes if await global_.register_name(name, pid, *method) else atom.no

    async def re_register_name(name: Any, pid: Any, *method: Any) -> Atom:
        await global_.re_register_name(name, pid, *method)
        return atom.yes

    async def unregister_name(name: Any) -> Atom:
        await global_.unregister_name(name)
        return atom.ok

    async def call(ref: Any, module: Any, function: Any, args: Any) -> None:
        await execute_call(acting(runtime), ref, module, function, args)

    async def cast(module: Any, function: Any, args: Any) -> None:
        await execute_cast(acting(runtime), module, function, args)

    return {
        ("erlang", "node", 0): lambda: runtime.node_name,
        ("erpc", "execute_call", 4): call,
        ("erpc", "execute_cast", 3): cast,
        ("global", "re_register_name", 2): re_register_name,
        ("global", "re_register_name", 3): re_register_name,
        ("global", "register_name", 2): register_name,
        ("global", "register_name", 3): register_name,
        ("global", "registered_names", 0): global_.registered_names,
        ("global", "resolve_it", 4): resolve_it,
        ("global", "unregister_name", 1): unregister_name,
        ("global", "whereis_name", 1): whereis_name,
        ("net_kernel", "get_net_ticktime", 0): net_kernel.net_ticktime,
    }
