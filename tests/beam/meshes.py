"""What tests of several nodes ask each of them: a BEAM, a Python node here or in a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pynode.node import Node
from pynode.process.process import Process
from pynode.terms import Atom, Pid, atom
from pynode.testing import Beam, eventually
from tests.beam.python_peer import PythonPeer

__all__ = ["Member", "erl", "joined", "known_at", "live", "spawned", "synced_at", "where"]

Member: TypeAlias = Beam | Node | PythonPeer

GLOBAL = atom("global")


async def live(process: Process) -> None:
    """The body of a process that lives until it is told to stop."""
    await process.receive(lambda message: message == atom.stop)


def erl(beam: Callable[..., Beam], name: str | None = None, **options: Any) -> Beam:
    return beam(name, language="erlang", **options)


async def nodes_of(node: Member) -> set[Atom]:
    """Return the visible nodes that ``node`` is connected to."""
    if isinstance(node, Beam):
        return set(await node.arpc("erlang", "nodes"))
    if isinstance(node, PythonPeer):
        return set(await node.aeval("node.nodes()"))
    return set(node.nodes())


async def known_at(node: Member) -> set[Atom]:
    """Return the nodes that share the names of ``node``."""
    if isinstance(node, Beam):
        return set(await node.arpc("gen_server", "call", [atom.global_name_server, atom.get_known]))
    if isinstance(node, PythonPeer):
        return set(await node.aeval("list(node.services.name_server.known)"))
    return set(node.services.name_server.known)


async def synced_at(node: Member) -> set[Atom]:
    """Return the nodes that ``node`` is connected to, and has greeted in that partition."""
    if isinstance(node, Beam):
        synced = await node.arpc("gen_server", "call", [atom.global_name_server, atom.get_synced])
    elif isinstance(node, PythonPeer):
        synced = await node.aeval("list(node.services.name_server.synced)")
    else:
        synced = node.services.name_server.synced
    return set(synced) & await nodes_of(node)


async def is_unlocked(node: Member) -> bool:
    """Return whether nobody is joining, or changing names, at ``node``."""
    if isinstance(node, Beam):
        return bool(await node.arpc("ets", "lookup", [atom.global_locks, GLOBAL]) == [])
    if isinstance(node, PythonPeer):
        code = "node.services.name_server.locks.get(atom('global')) is None"
        return bool(await node.aeval(code))
    return node.services.name_server.locks.get(GLOBAL) is None


async def joined(*nodes: Member, timeout: float = 30) -> None:
    """Wait until each of ``nodes`` knows all others, and they have done with joining.

    The latter matters to whoever cuts a connection next: what is still under way, a del_lock or a
    greeting, would make it again.
    """
    everybody = {node.name for node in nodes}

    async def all_known() -> bool:
        for node in nodes:
            others = everybody - {node.name}
            if await known_at(node) != others or await synced_at(node) != others:
                return False
        return all([await is_unlocked(node) for node in nodes])

    await eventually(all_known, timeout=timeout)


async def where(node: Member, name: Any) -> Any:
    """Return the process that ``node`` finds under a global name, or None."""
    if isinstance(node, Beam):
        found = await node.arpc("global", "whereis_name", [name])
        return None if found == atom.undefined else found
    if isinstance(node, PythonPeer):
        return await node.aeval("await node.global_.whereis_name(name)", name=name)
    return await node.global_.whereis_name(name)


async def spawned(node: Beam) -> Pid:
    """Start a process on a BEAM that lives until its node does."""
    pid: Pid = await node.aeval("spawn(fun() -> receive stop -> ok end end).")
    return pid
