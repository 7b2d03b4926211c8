"""OTP 25, 27 and 29 in one cluster with two Python nodes.

Every node is a process of its own, so that each can be killed.  The three releases are together
without ``pg``, whose scope processes of 29 end those of 25, with or without Python; it is tested
between two releases at a time in ``test_pg.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pynode.terms import Pid, atom, charlist
from pynode.testing import Beam, eventually
from tests.beam.meshes import Side, Sides, joined, nodes_of, where
from tests.beam.releases import the_releases

#: Seconds for what takes a moment on an idle machine.
PATIENCE = 30.0


@pytest.fixture
async def mixed(cluster: Any) -> AsyncIterator[list[Side]]:
    """Five nodes that do not know of each other yet."""
    releases = the_releases(25, 27, 29)
    with Sides(cluster) as sides:
        for number, release in zip((25, 27, 29), releases, strict=True):
            sides.beam(f"otp{number}", release)
        for name in ("py1", "py2"):
            sides.python(name)
        await sides.start()
        beams = [side.member for side in sides if isinstance(side.member, Beam)]
        assert [beam.otp_release for beam in beams] == [25, 27, 29]
        yield list(sides)


async def connected(nodes: list[Side]) -> None:
    """Make one cluster of all, from a chain of connections."""
    for left, right in itertools.pairwise(nodes):
        assert await left.ping(right.name)
    await joined(*(node.member for node in nodes), timeout=PATIENCE)


async def everywhere(nodes: list[Side], expected: list[tuple[Any, Pid | None]]) -> None:
    """Wait until all find the same under each name."""

    async def found() -> bool:
        for node in nodes:
            table = [(name, await where(node.member, name)) for name, _ in expected]
            assert table == expected, node
        return True

    await eventually(found, timeout=PATIENCE)


def _without(table: dict[Any, Pid], name: Any) -> list[tuple[Any, Pid]]:
    return [item for item in table.items() if item[0] != name]


async def test_calls_links_and_monitors_between_any_two(mixed: list[Side]) -> None:
    await connected(mixed)
    for one, other in itertools.product(mixed, repeat=2):
        request = (one.name, atom.says, {b"to": other.name})
        assert await one.call((atom.echo, other.name), request) == (other.name, request)
        short, long = await other.mortal(), await other.mortal()
        watchers = [await one.watch(pid) for pid in (short, long)]
        await one.send(short, (atom.die, (atom.bye, 1.5)))
        expected = [(atom.EXIT, (atom.bye, 1.5)), (atom.DOWN, (atom.bye, 1.5))]
        await one.keeps(watchers[0], expected)
        # A link breaks the other way too: an untrapped exit takes the linked one along.
        await one.exit(watchers[1], atom.kill)
        await other.ends(long)
        assert await one.call_fails((atom.nobody, other.name)) == atom.noproc


async def test_a_name_registered_anywhere_is_found_everywhere(mixed: list[Side]) -> None:
    await connected(mixed)
    table = []
    for node in mixed:
        name, pid = charlist(f"name of {node.name}"), await node.mortal()
        table.append((name, pid))
        assert await node.register(name, pid)
        # register_name returns when all have it.
        assert [await where(other.member, name) for other in mixed] == [pid] * len(mixed)
        for other in mixed:
            assert not await other.register(name, await other.mortal())
    # Registered by one node for a process of the next, then taken back by the one after that.
    for number, node in enumerate(mixed):
        of, by = mixed[(number + 1) % len(mixed)], mixed[(number + 2) % len(mixed)]
        lent, pid = (atom.lent, number), await of.mortal()
        assert await node.register(lent, pid)
        await everywhere(mixed, [(lent, pid)])
        await by.unregister(lent)
        await everywhere(mixed, [(lent, None)])
    # A name goes with its process.
    for _, pid in table:
        await mixed[0].send(pid, (atom.die, atom.normal))
    await everywhere(mixed, [(name, None) for name, _ in table])


async def test_each_node_is_killed_in_turn_and_brought_back(mixed: list[Side]) -> None:
    await connected(mixed)
    table: dict[Any, Pid] = {}
    for node in mixed:
        table[node.name] = await node.mortal()
        assert await node.register(node.name, table[node.name])
    for number, node in enumerate(mixed):
        others = [other for other in mixed if other is not node]
        watchers = [(other, await other.watch(table[node.name])) for other in others]
        await node.kill()
        for other, pid in watchers:
            lost = [(atom.EXIT, atom.noconnection), (atom.DOWN, atom.noconnection)]
            await other.keeps(pid, lost)
        await everywhere(others, [*_without(table, node.name), (node.name, None)])
        # Nobody else was parted from anybody.
        await joined(*(other.member for other in others), timeout=PATIENCE)
        for other in others:
            assert await nodes_of(other.member) == {o.name for o in others if o is not other}
        stale = table[node.name]
        await node.start()
        # It is found by another node, or finds another one.
        dialler, dialled = (node, others[0]) if number % 2 else (others[-1], node)
        assert await dialler.ping(dialled.name)
        await joined(*(side.member for side in mixed), timeout=PATIENCE)
        table[node.name] = await node.mortal()
        assert await node.register(node.name, table[node.name])
        await everywhere(mixed, list(table.items()))
        # The pid of the earlier life is nobody's, whoever asks.
        watchers = [(other, await other.watch(stale)) for other in mixed]
        for other, pid in watchers:
            await other.keeps(pid, [(atom.EXIT, atom.noproc), (atom.DOWN, atom.noproc)])


@pytest.mark.parametrize("order", ["beams first", "mixed"])
async def test_conflicts_are_resolved_by_the_registered_method(
    mixed: list[Side], order: str
) -> None:
    """Five partitions of one node each, with the same names, become one."""
    nodes = mixed if order == "beams first" else [mixed[i] for i in (3, 0, 2, 4, 1)]
    killed, told = charlist("killed"), (b"told", 1)
    killed_pids = [await node.mortal() for node in nodes]
    told_pids = [await node.mortal() for node in nodes]
    for node, one, other in zip(nodes, killed_pids, told_pids, strict=True):
        assert await node.register(killed, one)
        assert await node.register(told, other, "random_notify_name")
    await connected(nodes)
    survivor, winner = [await where(nodes[0].member, name) for name in (killed, told)]
    assert survivor in killed_pids
    assert winner in told_pids
    await everywhere(nodes, [(killed, survivor), (told, winner)])
    for node, one, other in zip(nodes, killed_pids, told_pids, strict=True):
        if one != survivor:
            await node.ends(one)
        assert await node.is_alive(one) == (one == survivor)
        conflict = (atom.global_name_conflict, told)
        await node.keeps(other, [] if other == winner else [conflict])
