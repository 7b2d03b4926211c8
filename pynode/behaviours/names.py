"""Whom a server reference means: a pid, a name, ``(name, node)``, ``("global", name)``,
``("via", module, name)``.

The via modules are ``runtime.via``, by the module's name; ``"global"`` is one of them.  A local
or ``(name, node)`` name may be a str or an :class:`Atom`; what follows ``"global"`` or a via
module is any term and goes to that module as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from pynode.behaviours.words import ALREADY_STARTED, GLOBAL, NOPROC, VIA
from pynode.errors import AlreadyStarted, NameError_, NoProcess
from pynode.shown import shown
from pynode.terms import Atom, Pid, Reference

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = [
    "NameResolver",
    "ServerName",
    "ServerRef",
    "find",
    "give_name",
    "look_up",
    "plain_name",
    "take_name",
]

ServerRef: TypeAlias = "Pid | Atom | str | tuple[Any, ...]"
"""What may be called: pid, local name, ``(name, node)``, ``("global", name)``, via triple."""

ServerName: TypeAlias = "Atom | str | tuple[Any, ...]"
"""What a server may be started under: local name, ``("global", name)`` or a via triple."""

Target: TypeAlias = "Pid | tuple[Atom, Atom]"


class NameResolver(Protocol):
    """A via module: where names of one kind live."""

    def lookup(self, name: Any) -> Pid | None:
        """What this node knows of ``name`` now, without asking anybody."""

    async def whereis_name(self, name: Any) -> Pid | None:
        """The process of that name; may ask other nodes."""

    async def register_name(self, name: Any, pid: Pid) -> bool:
        """Give ``name`` to ``pid``; False if another process has it."""

    async def unregister_name(self, name: Any) -> Any:
        """Free ``name``; not an error if it is free."""


class _Via(NamedTuple):
    module: str
    name: Any


def _split(name: Any) -> _Via | None:
    """Return the via module and the name in it; None for pids, local and ``(name, node)``."""
    if type(name) is tuple:
        if len(name) == 2 and (name[0] == "global" or name[0] == GLOBAL):
            return _Via("global", name[1])
        if len(name) == 3 and (name[0] == "via" or name[0] == VIA):
            # A class stands for the via module whose name it has.
            return _Via(str(getattr(name[1], "_module", name[1])), name[2])
    return None


def _resolver(runtime: Runtime, via: _Via) -> NameResolver:
    resolver: NameResolver | None = runtime.via.get(via.module)
    if resolver is None:
        raise NameError_(f"no via module {via.module!r} on this node; known: {sorted(runtime.via)}")
    return resolver


def _as_atom(name: Any) -> Atom:
    if type(name) is Atom:
        return name
    if isinstance(name, str):
        return Atom(name)
    raise TypeError(f"a name is a str or an Atom, not {shown(name)!r}")


def _local(runtime: Runtime, dest: Any) -> Target | Atom:
    """Return the pid, the ``(name, node)`` of another node, or the local name in ``dest``."""
    if type(dest) is Pid:
        return dest
    if type(dest) is tuple and len(dest) == 2:
        name, node = _as_atom(dest[0]), _as_atom(dest[1])
        return name if node == runtime.node_name else (name, node)
    if type(dest) is Atom or isinstance(dest, str):
        return _as_atom(dest)
    raise TypeError(
        "a server is a Pid, a name, (name, node), ('global', name) or ('via', module, name), "
        f"not {shown(dest)!r}"
    )


def plain_name(name: ServerName) -> Any:
    """Return the name itself, without ``global`` or the via module (``gen:name/1``)."""
    via = _split(name)
    return _as_atom(name) if via is None else via.name


async def find(process: Process, dest: ServerRef) -> Target:
    """Return whom to call.

    Raises:
        NoProcess: no process has that name.
        NameError_: no such via module.
        TypeError: not a server reference.
    """
    runtime = process.runtime
    via = _split(dest)
    found: Pid | tuple[Atom, Atom] | None
    if via is not None:
        found = await _resolver(runtime, via).whereis_name(via.name)
    else:
        target = _local(runtime, dest)
        found = runtime.whereis(target) if type(target) is Atom else target
    if found is None:
        raise NoProcess(NOPROC)
    return found


def look_up(process: Process, dest: Any) -> Pid | tuple[Atom, Atom] | Atom | Reference | None:
    """Return where to send, without waiting; None if no process of that name is known here.

    Raises:
        NameError_: no such via module.
        TypeError: not a server reference.
    """
    if type(dest) is Pid or type(dest) is Reference:
        return dest
    via = _split(dest)
    if via is not None:
        return _resolver(process.runtime, via).lookup(via.name)
    return _local(process.runtime, dest)


async def give_name(process: Process, name: ServerName) -> None:
    """Register ``process`` under ``name``, as the first step of its start.

    Raises:
        AlreadyStarted: a live process has the name.
    """
    runtime = process.runtime
    via = _split(name)
    holder: Pid | None
    if via is not None:
        resolver = _resolver(runtime, via)
        if await resolver.register_name(via.name, process.pid):
            return
        holder = await resolver.whereis_name(via.name)
    else:
        plain = _as_atom(name)
        holder = runtime.whereis(plain)
        if holder is None:
            runtime.register(plain, process.pid)
            return
    raise AlreadyStarted((ALREADY_STARTED, holder), holder)


async def take_name(process: Process, name: ServerName) -> None:
    """Free ``name`` before a failed start is reported, so that the next start can have it."""
    runtime = process.runtime
    via = _split(name)
    if via is not None:
        await _resolver(runtime, via).unregister_name(via.name)
        return
    plain = _as_atom(name)
    if runtime.whereis(plain) == process.pid:
        runtime.unregister(plain)
