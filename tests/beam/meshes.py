"""What tests of several nodes ask each of them: a BEAM, a Python node here or in a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeAlias

from pynode.node import Node
from pynode.process.process import Process
from pynode.terms import Atom, Pid, atom
from pynode.testing import Beam, Cluster, Release, eventually
from tests.beam.python_peer import PythonPeer

__all__ = [
    "Member",
    "Side",
    "Sides",
    "erl",
    "joined",
    "known_at",
    "live",
    "nodes_of",
    "spawned",
    "synced_at",
    "where",
]

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


# --------------------------------------------------------------------------- the same of either

#: Processes of a BEAM as python_peer.py has them; whoever has the pid can ask what they kept.
_ECHO = """
register(echo, spawn(fun Loop() ->
    receive {'$gen_call', From, Request} -> gen:reply(From, {node(), Request}), Loop() end
end)).
"""
_MORTAL = """
spawn(fun() -> (fun Loop(Kept) ->
    receive
        {die, Reason} -> exit(Reason);
        {kept, To} -> To ! {self(), lists:reverse(Kept)}, Loop(Kept);
        Message -> Loop([Message | Kept])
    end
end)([]) end).
"""
_WATCHER = """
spawn(fun() ->
    process_flag(trap_exit, true), link(Pid), monitor(process, Pid),
    (fun Loop(Kept) ->
        receive
            {'EXIT', _, Reason} -> Loop([{'EXIT', Reason} | Kept]);
            {'DOWN', _, _, _, Reason} -> Loop([{'DOWN', Reason} | Kept]);
            {kept, To} -> To ! {self(), lists:reverse(Kept)}, Loop(Kept)
        end
    end)([])
end).
"""
_KEPT = "Pid ! {kept, self()}, receive {Pid, Kept} -> Kept after 10000 -> timeout end."


class Side:
    """A BEAM or a :class:`PythonPeer`, asked for the same things in the same words."""

    def __init__(self, member: Beam | PythonPeer) -> None:
        self.member = member
        self.name = member.name

    def __repr__(self) -> str:
        return f"<Side {self.name}>"

    async def start(self) -> None:
        await asyncio.to_thread(self.member.start)
        if isinstance(self.member, Beam):
            await self.member.aeval(_ECHO)

    async def kill(self) -> None:
        """End the node at once (SIGKILL)."""
        await asyncio.to_thread(self.member.kill)

    async def _ask(self, erlang: str, python: str, **bindings: Any) -> Any:
        if isinstance(self.member, Beam):
            # In a shell of its own, since variables stay bound in one.
            return await self.member.shell().aeval(
                erlang, timeout=30, **{name.capitalize(): value for name, value in bindings.items()}
            )
        return await self.member.aeval(python, **bindings)

    async def ping(self, node: Atom) -> bool:
        """Return whether ``node`` answers; connects."""
        return bool(await self._ask("net_adm:ping(To) =:= pong.", "await node.ping(to)", to=node))

    async def call(self, server: Any, request: Any) -> Any:
        code = "gen_server:call(Server, Request)."
        return await self._ask(
            code, "await node.call(server, request)", server=server, request=request
        )

    async def call_fails(self, server: Any) -> Any:
        """Return the reason that a call exits with."""
        return await self._ask(
            "try gen_server:call(Server, hello) catch exit:{Reason, _} -> Reason end.",
            "await reason_of(node.call(server, 'hello'))",
            server=server,
        )

    async def send(self, dest: Pid, message: Any) -> None:
        await self._ask("Dest ! Message.", "node.send(dest, message)", dest=dest, message=message)

    async def exit(self, pid: Pid, reason: Any) -> None:
        await self._ask("exit(Pid, Reason).", "node.exit(pid, reason)", pid=pid, reason=reason)

    async def mortal(self) -> Pid:
        """Start a process that lives until told ``{die, Reason}`` and keeps what else comes."""
        pid: Pid = await self._ask(_MORTAL, "node.spawn(mortal)")
        return pid

    async def watch(self, pid: Pid) -> Pid:
        """Start a process that is linked to ``pid``, monitors it, and keeps what comes of it."""
        watcher: Pid = await self._ask(_WATCHER, "node.spawn(watcher, pid)", pid=pid)
        # What it has not kept yet is nothing; but it has linked and monitored.
        await self._ask(_KEPT, "await kept(pid)", pid=watcher)
        return watcher

    async def keeps(self, pid: Pid, expected: list[Any]) -> None:
        """Wait until a process of this node has kept just that, in this order."""

        async def kept() -> bool:
            assert await self._ask(_KEPT, "await kept(pid)", pid=pid) == expected
            return True

        await eventually(kept, timeout=30, message=f"{pid} keeps {expected}")

    async def is_alive(self, pid: Pid) -> bool:
        code = "node.runtime.is_alive(pid)"
        return bool(await self._ask("is_process_alive(Pid).", code, pid=pid))

    async def ends(self, pid: Pid) -> None:
        """Wait until a process of this node has ended."""

        async def ended() -> bool:
            return not await self.is_alive(pid)

        await eventually(ended, timeout=30)

    async def register(self, name: Any, pid: Pid, method: str = "random_exit_name") -> bool:
        """Register a global name; False where it is taken."""
        return bool(
            await self._ask(
                f"global:register_name(Name, Pid, fun global:{method}/3) =:= yes.",
                f"await node.global_.register_name(name, pid, {method!r})",
                name=name,
                pid=pid,
            )
        )

    async def join(self, group: Any, pid: Pid) -> None:
        """Put a process of this node into a group of pg."""
        await self._ask("pg:join(Group, Pid).", "node.pg.join(group, pid)", group=group, pid=pid)

    async def members(self, group: Any) -> set[Pid]:
        code = "node.pg.get_members(group)"
        return set(await self._ask("pg:get_members(Group).", code, group=group))

    async def unregister(self, name: Any) -> None:
        await self._ask(
            "global:unregister_name(Name).", "await node.global_.unregister_name(name)", name=name
        )


class Sides:
    """Makes sides in one cluster, and ends them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sides: list[Side] = []

    def beam(self, name: str, release: Release, **options: Any) -> Side:
        """Make a BEAM, not started."""
        beam = self._cluster.beam(name, release=release, language="erlang", start=False, **options)
        return self._add(Side(beam))

    def python(self, name: str, *, host: str = "localhost", **options: Any) -> Side:
        """Make a Python node in a process of its own, not started."""
        if "epmd_port" not in options:
            options["epmd_port"] = self._cluster.epmd_port
        full = f"{name}@{host}"
        return self._add(Side(PythonPeer(full, cookie=self._cluster.cookie, **options)))

    async def start(self) -> None:
        """Start all at once."""
        async with asyncio.TaskGroup() as group:
            for side in self._sides:
                group.create_task(side.start())

    def _add(self, side: Side) -> Side:
        self._sides.append(side)
        return side

    def __iter__(self) -> Iterator[Side]:
        return iter(self._sides)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for side in self._sides:
            side.member.kill()
