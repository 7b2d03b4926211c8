"""A wire between two networks fails, and works again: a BEAM and a Python node on either side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from pynode.terms import Atom, Pid, atom, charlist
from pynode.testing import Epmd, eventually, free_port
from tests.beam.meshes import Side, Sides, joined, nodes_of, where
from tests.beam.networks import MARKS, Network, entered
from tests.beam.releases import the_release

pytestmark = MARKS

#: Seconds after which a silent peer is given up, give or take a quarter.
TICKTIME = 4
#: Seconds for what takes a moment on an idle machine.
PATIENCE = 30.0
HOSTS = "127.0.0.1 localhost\n10.77.0.1 left\n10.77.0.2 right\n"
CREW = charlist("crew")


class Split(NamedTuple):
    """Two networks; ``left`` and ``right`` are a BEAM and a Python node each."""

    network: Network
    wire: tuple[str, ...]
    left: list[Side]
    right: list[Side]
    #: Whether both releases' ``pg`` understand each other.
    pg: bool


@pytest.fixture
def network() -> Iterator[Network]:
    with ExitStack() as stack:
        yield Network(stack)


@pytest.fixture(params=[(25, 27), (27, 29), (25, 29)], ids=lambda pair: "{}-{}".format(*pair))
async def split(
    request: pytest.FixtureRequest, cluster: Any, network: Network
) -> AsyncIterator[Split]:
    has_pg = request.param != (25, 29)
    port = free_port()
    made: list[list[Side]] = []
    with Sides(cluster) as sides, ExitStack() as epmds:
        spaces = [network.namespace(host, HOSTS) for host in ("left", "right")]
        network.join(*spaces)
        for host, space, number in zip(("left", "right"), spaces, request.param, strict=True):
            release = the_release(number)
            epmds.enter_context(Epmd(port=port, prefix=space, address=None))
            flags = ("net_ticktime", str(TICKTIME), "start_pg", str(has_pg).lower())
            beam = sides.beam(
                f"otp{number}", release, host=host, epmd=port,
                prefix=entered(space, release), arguments=("-kernel", *flags),
            )  # fmt: skip
            python = sides.python(
                "py", host=host, epmd_port=port, prefix=space,
                net_ticktime=TICKTIME, start_pg=has_pg,
            )  # fmt: skip
            made.append([beam, python])
        await sides.start()
        left, right = made
        yield Split(network, spaces[0], left, right, has_pg)


async def settled(nodes: list[Side], table: list[tuple[Any, Pid | None]]) -> None:
    """Wait until the nodes are one partition, without others, with these names."""
    await joined(*(node.member for node in nodes), timeout=PATIENCE)
    names = {node.name for node in nodes}

    async def found() -> bool:
        for node in nodes:
            assert await nodes_of(node.member) == names - {node.name}
            seen = [(name, await where(node.member, name)) for name, _ in table]
            assert seen == table, node
        return True

    await eventually(found, timeout=PATIENCE)


async def grouped(nodes: list[Side], expected: set[Pid]) -> None:
    """Wait until all see the same members of the group."""

    async def seen() -> bool:
        for node in nodes:
            assert await node.members(CREW) == expected, node
        return True

    await eventually(seen, timeout=PATIENCE)


async def test_a_netsplit_and_its_heal(split: Split) -> None:
    halves = (split.left, split.right)
    nodes = [*split.left, *split.right]
    for node in nodes[1:]:
        assert await nodes[0].ping(node.name)
    own: list[tuple[Any, Pid | None]] = []
    mortals: dict[Atom, Pid] = {}
    for node in nodes:
        mortals[node.name] = pid = await node.mortal()
        assert await node.register(charlist(str(node.name)), pid)
        own.append((charlist(str(node.name)), pid))
        if split.pg:
            await node.join(CREW, pid)
    await settled(nodes, own)
    if split.pg:
        await grouped(nodes, set(mortals.values()))
    # A process that nothing else needs: the loss of the link ends it too.
    linked = await split.right[0].mortal()
    watchers = [await node.watch(linked) for node in split.left]

    split.network.cut(split.wire)
    for node, watcher in zip(split.left, watchers, strict=True):
        lost = [(atom.EXIT, atom.noconnection), (atom.DOWN, atom.noconnection)]
        await node.keeps(watcher, lost)
    await split.right[0].ends(linked)
    for half, first in zip(halves, (0, 2), strict=True):
        here = own[first : first + 2]
        await settled(half, [(name, pid if (name, pid) in here else None) for name, pid in own])
        if split.pg:
            await grouped(half, {mortals[node.name] for node in half})

    # Both sides give away the same names: by the BEAM on one, by Python on the other, by both
    # BEAMs, by both Pythons.
    clashes = {
        "random_exit_name": (split.left[0], split.right[1]),
        "random_notify_name": (split.left[1], split.right[0]),
        "notify_all_name": (split.left[0], split.right[0]),
        "notify_all": (split.left[1], split.right[1]),
    }
    rivals = {}
    for name, sides in clashes.items():
        method = "notify_all_name" if name == "notify_all" else name
        rivals[name] = pids = [await side.mortal() for side in sides]
        for side, pid in zip(sides, pids, strict=True):
            assert await side.register(Atom(name), pid, method)
    joiners = [await half[1].mortal() for half in halves] if split.pg else []
    for half, pid in zip(halves, joiners, strict=bool(joiners)):
        await half[1].join(CREW, pid)

    split.network.mend(split.wire)

    async def together() -> bool:
        return await split.left[0].ping(split.right[0].name)

    await eventually(together, timeout=PATIENCE)
    await joined(*(node.member for node in nodes), timeout=PATIENCE)
    survivor = await where(nodes[0].member, atom.random_exit_name)
    winner = await where(nodes[0].member, atom.random_notify_name)
    assert survivor in rivals["random_exit_name"]
    assert winner in rivals["random_notify_name"]
    conflicts: list[tuple[Any, Pid | None]] = [
        (atom.random_exit_name, survivor),
        (atom.random_notify_name, winner),
        (atom.notify_all_name, None),
        (atom.notify_all, None),
    ]
    await settled(nodes, [*own, *conflicts])
    if split.pg:
        await grouped(nodes, {*mortals.values(), *joiners})
    for name, sides in clashes.items():
        told = (atom.global_name_conflict, Atom(name))
        for side, pid, rival in zip(sides, rivals[name], reversed(rivals[name]), strict=True):
            if name == "random_exit_name" and pid != survivor:
                await side.ends(pid)
            elif name.startswith("notify_all"):
                await side.keeps(pid, [(*told, rival)])
            else:
                await side.keeps(pid, [] if pid in (survivor, winner) else [told])
