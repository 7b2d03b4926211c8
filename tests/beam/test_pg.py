"""``:pg`` among real BEAM nodes and Python ones, alone with each release and between two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from pynode.node import Node
from pynode.process.process import Process
from pynode.terms import Pid, TermMap, atom, charlist
from pynode.testing import Beam, BeamMissing, Release, eventually, receives

CREW = charlist("crew")
#: Names that are easily confused, or are no keys of a dict.
ODD: list[Any] = [1, 1.0, True, None, atom.undefined, "größe".encode(), [], (), {atom.a: [1]}, CREW]
#: Releases that OTP lets be mixed, and whose scope processes understand each other.
PAIRS = [("host", "trixie"), ("trixie", "forky")]


async def live(process: Process) -> None:
    """The body of a process that lives until it is told to stop."""
    await process.receive(lambda message: message == atom.stop)


def erl(beam: Callable[..., Beam], name: str | None = None, **options: Any) -> Beam:
    return beam(name, language="erlang", **options)


@pytest.fixture(params=PAIRS, ids="-".join)
def two_releases(request: pytest.FixtureRequest, beam: Any) -> list[Beam]:
    """A node of each of two releases."""
    try:
        releases = [Release.find(name, near=request.path.parent) for name in request.param]
    except BeamMissing as error:
        pytest.skip(str(error))
    return [erl(beam, release=release) for release in releases]


async def started(ex: Beam, scope: Any = atom.pg) -> Pid:
    """Start a scope on a BEAM, of nobody's, and return its process."""
    pid: Pid = await ex.aeval("element(2, {ok, _} = pg:start(Scope)).", Scope=scope)
    return pid


async def spawned(ex: Beam) -> Pid:
    """Start a process on a BEAM that lives until it is told to stop."""
    pid: Pid = await ex.aeval("spawn(fun() -> receive stop -> ok end end).")
    return pid


async def members(node: Beam | Node, group: Any, scope: Any = atom.pg) -> Counter[Pid]:
    if isinstance(node, Beam):
        return Counter(await node.arpc("pg", "get_members", [scope, group]))
    return Counter(node.pg.get_members(group, scope))


async def see(group: Any, pids: list[Pid], *nodes: Beam | Node, scope: Any = atom.pg) -> None:
    """Wait until all ``nodes`` see ``pids`` in a group."""
    expected = Counter(pids)

    async def seen() -> bool:
        found = [await members(node, group, scope) for node in nodes]
        assert found == [expected] * len(nodes)
        return True

    await eventually(seen)


async def join(ex: Beam, group: Any, pids: Pid | list[Pid], scope: Any = atom.pg) -> None:
    assert await ex.arpc("pg", "join", [scope, group, pids]) == atom.ok


async def leave(ex: Beam, group: Any, pids: Pid | list[Pid], scope: Any = atom.pg) -> Any:
    return await ex.arpc("pg", "leave", [scope, group, pids])


async def unharmed(scopes: dict[Beam, Pid]) -> None:
    """The scope processes of the BEAMs are those of the beginning."""
    for ex, pid in scopes.items():
        assert await ex.arpc("erlang", "whereis", [atom.pg]) == pid, ex.last_words()


# --------------------------------------------------------------------------- one BEAM


async def test_members_of_either_side_are_seen_on_both(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    scope = await started(ex)
    async with py_node() as node:
        early, theirs = node.spawn(live), await spawned(ex)
        node.pg.join(CREW, [early, early])
        await join(ex, CREW, [theirs, theirs])
        await node.connect(ex.name)
        await see(CREW, [early, early, theirs, theirs], ex, node)
        late = node.spawn(live)
        node.pg.join(CREW, late)
        await join(ex, atom.more, theirs)
        await see(CREW, [early, early, late, theirs, theirs], ex, node)
        await see(atom.more, [theirs], ex, node)
        assert node.pg.get_local_members(CREW) == [early, early, late]
        assert await ex.arpc("pg", "get_local_members", [CREW]) == [theirs, theirs]
        assert await leave(ex, CREW, theirs) == atom.ok
        assert node.pg.leave(CREW, [early, late]) is True
        await see(CREW, [early, theirs], ex, node)
        assert await leave(ex, CREW, [theirs]) == atom.ok
        assert node.pg.leave(CREW, early) is True
        await see(CREW, [], ex, node)
        assert await ex.arpc("pg", "which_groups") == node.pg.which_groups() == [atom.more]
        await unharmed({ex: scope})


async def test_groups_of_any_term(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    scope = await started(ex)
    async with py_node() as node:
        await node.connect(ex.name)
        ours, theirs = node.spawn(live), await spawned(ex)
        for group in ODD:
            node.pg.join(group, [ours])
            await join(ex, group, theirs)
        for group in ODD:
            await see(group, [ours, theirs], ex, node)
        assert len(node.pg.which_groups()) == len(ODD)
        assert len(await ex.arpc("pg", "which_groups")) == len(ODD)
        node.send(ours, atom.stop)
        node.send(theirs, atom.stop)
        await eventually(lambda: node.pg.which_groups() == [])

        async def none_left() -> bool:
            return bool(await ex.arpc("pg", "which_groups") == [])

        await eventually(none_left)
        await unharmed({ex: scope})


async def test_members_end_while_in_several_groups_several_times(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    scope = await started(ex)
    async with py_node() as node:
        await node.connect(ex.name)
        ours, stays, theirs = node.spawn(live), node.spawn(live), await spawned(ex)
        for group in (1, 2, 1):
            node.pg.join(group, [ours, stays])
            await join(ex, group, [theirs])
        await see(1, [ours, ours, stays, stays, theirs, theirs], ex, node)
        await see(2, [ours, stays, theirs], ex, node)
        node.exit(ours, atom.kill)
        node.send(theirs, atom.stop)
        await see(1, [stays, stays], ex, node)
        await see(2, [stays], ex, node)
        await unharmed({ex: scope})


async def test_monitors_on_both_sides(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    await started(ex)
    async with py_node() as node:
        await node.connect(ex.name)
        ours, theirs = node.spawn(live), await spawned(ex)
        node.pg.join(CREW, ours)
        node.pg.join(b"ours", ours)
        await see(CREW, [ours], ex)
        await see(b"ours", [ours], ex)
        # Its shell is the process that monitors there, and keeps what it is told.
        their_group, found = await ex.aeval("pg:monitor(G).", G=b"ours")
        assert found == [ours]
        their_scope, everything = await ex.aeval("pg:monitor_scope().")
        assert everything == TermMap([(CREW, [ours]), (b"ours", [ours])])
        group, found = node.pg.monitor(CREW)
        assert found == [ours]
        scope, everything = node.pg.monitor_scope()
        assert everything == TermMap([(CREW, [ours]), (b"ours", [ours])])

        await join(ex, CREW, [theirs, theirs])
        await receives(node.main, (group, atom.join, CREW, [theirs, theirs]))
        await receives(node.main, (scope, atom.join, CREW, [theirs, theirs]))
        await join(ex, atom.more, theirs)
        await receives(node.main, (scope, atom.join, atom.more, [theirs]))
        node.send(theirs, atom.stop)
        await leaves(node, group, CREW, [theirs, theirs])
        await leaves(node, scope, CREW, [theirs, theirs])
        await leaves(node, scope, atom.more, [theirs])

        node.pg.join(b"ours", [ours])
        node.pg.leave(b"ours", [ours, ours])
        take = "(fun() -> receive {Ref, V, G, P} -> {V, P} after 5000 -> none end end)()."
        for ref in (their_group, their_scope):
            for told in ((atom.join, [ours]), (atom.leave, [ours, ours])):
                assert await ex.aeval(take, Ref=ref, G=b"ours") == told


async def leaves(node: Node, ref: Any, group: Any, pids: list[Pid]) -> None:
    """Take the messages that ``pids`` have left, in however many parts."""
    expected = Counter(pids)
    while expected:
        message = await receives(node.main, lambda m: m[:3] == (ref, atom.leave, group), timeout=10)
        gone = Counter(message[3])
        assert gone <= expected
        expected -= gone


async def test_a_scope_that_starts_later_or_again(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node:
        node.pg.start("mine")
        ours = node.spawn(live)
        node.pg.join(CREW, ours, "mine")
        await node.connect(ex.name)
        assert await node.ping(ex.name)
        theirs = await spawned(ex)
        code = "{ok, _} = pg:start(mine), pg:join(mine, G, Pid), whereis(mine)."
        first = await ex.aeval(code, G=CREW, Pid=theirs)  # before it can have heard of us
        await see(CREW, [ours, theirs], ex, node, scope=atom.mine)
        node.exit(first, atom.kill)
        await see(CREW, [ours], node, scope=atom.mine)
        assert await started(ex, atom.mine) != first
        await see(CREW, [ours], ex, scope=atom.mine)
        await join(ex, CREW, theirs, atom.mine)
        await see(CREW, [ours, theirs], ex, node, scope=atom.mine)
        ours_scope = node.whereis("mine")
        await ex.aeval("exit(Pid, kill).", Pid=ours_scope)
        await see(CREW, [theirs], ex, scope=atom.mine)
        node.pg.start("mine")
        node.pg.join(CREW, ours, "mine")
        await see(CREW, [ours, theirs], ex, node, scope=atom.mine)


async def test_members_go_with_their_node_and_it_comes_back(beam: Any, py_node: Any) -> None:
    ex, other = erl(beam), erl(beam)
    scope = await started(ex)
    await started(other)
    async with py_node(start_pg=True) as node:
        await node.connect(ex.name)
        await node.connect(other.name)
        ours, theirs = node.spawn(live), await spawned(other)
        node.pg.join(CREW, ours)
        await join(other, CREW, theirs)
        await see(CREW, [ours, theirs], ex, other, node)
        other.kill()
        await see(CREW, [ours], ex, node)
        other.start()
        await started(other)
        await node.connect(other.name)
        await see(CREW, [ours], other)
        again = await spawned(other)
        await join(other, CREW, again)
        await see(CREW, [ours, again], ex, other, node)
    await see(CREW, [again], ex, other)
    await unharmed({ex: scope})


async def test_a_hidden_node_neither_tells_nor_hears(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    await started(ex)
    async with py_node(hidden=True) as node:
        theirs = await spawned(ex)
        await join(ex, CREW, theirs)
        node.pg.join(CREW, node.main.pid)
        await node.connect(ex.name)
        assert await node.ping(ex.name)
        assert await ex.arpc("net_adm", "ping", [node.name]) == atom.pong
        await see(CREW, [theirs], ex)
        assert node.pg.get_members(CREW) == [node.main.pid]


async def test_start_pg_of_a_beam(beam: Any, py_node: Any) -> None:
    """The scope is the kernel's own there: were it to crash, the node would go down."""
    ex = erl(beam, arguments=("-kernel", "start_pg", "true"))
    scope = await ex.arpc("erlang", "whereis", [atom.pg])
    async with py_node(start_pg=True) as node:
        await node.connect(ex.name)
        for number in range(20):
            pid = node.spawn(live)
            node.pg.join(number, [pid, pid])
            node.pg.join(CREW, pid)
            node.pg.leave(number, pid)
            node.exit(pid, atom.kill)
        await see(CREW, [], ex, node)
        await see(19, [], ex, node)
        await unharmed({ex: scope})


async def test_nothing_that_a_beam_sends_ends_our_scope(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    await started(ex)
    async with py_node(start_pg=True) as node:
        await node.connect(ex.name)
        scope, theirs = node.whereis("pg"), await spawned(ex)
        await join(ex, CREW, theirs)
        await see(CREW, [theirs], node)
        await ex.aeval(
            "[{pg, Node} ! M || M <- [hello, {discover, self(), 1, 2}, {join, x, y, z}, "
            "{leave, whereis(pg), self(), [no]}, {update, self(), []}, #{}, "
            "{'$gen_cast', {sync, whereis(pg), [{a, b}]}}, {'$gen_call', {self(), x}, boo}]].",
            Node=node.name,
        )
        await join(ex, atom.after_, theirs)
        await see(atom.after_, [theirs], node)
        assert node.whereis("pg") == scope
        await see(CREW, [theirs], node)


# --------------------------------------------------------------------------- two releases


async def test_two_releases_and_two_python_nodes(two_releases: list[Beam], py_node: Any) -> None:
    scopes = {ex: await started(ex) for ex in two_releases}
    async with py_node(start_pg=True) as one, py_node(start_pg=True) as two:
        everybody: list[Any] = [*two_releases, one, two]
        await one.connect(two_releases[0].name)
        await two.connect(two_releases[1].name)
        await one.connect(two.name)
        pids = [await spawned(ex) for ex in two_releases]
        pids += [node.spawn(live) for node in (one, two)]
        for node, pid in zip(everybody, pids, strict=True):
            if isinstance(node, Beam):
                await join(node, CREW, pid)
            else:
                node.pg.join(CREW, pid)
        await see(CREW, pids, *everybody)
        for number, pid in enumerate(pids):
            one.exit(pid, atom.kill)
            await see(CREW, pids[number + 1 :], *everybody)
        await unharmed(scopes)


async def test_a_split_and_its_heal_between_releases(
    two_releases: list[Beam], py_node: Any
) -> None:
    """Connections are closed and made again while both sides change; the views are one again."""
    scopes = {ex: await started(ex) for ex in two_releases}
    first, second = two_releases
    async with py_node(start_pg=True) as node:
        await node.connect(first.name)
        await node.connect(second.name)
        ours = node.spawn(live)
        theirs = [await spawned(ex) for ex in two_releases]
        node.pg.join(CREW, ours)
        for ex, pid in zip(two_releases, theirs, strict=True):
            await join(ex, CREW, pid)
        await see(CREW, [ours, *theirs], first, second, node)
        await node.global_.disconnect()
        await see(CREW, [ours], node)
        await see(CREW, theirs, first, second)
        node.pg.join(CREW, ours)
        assert await leave(first, CREW, theirs[0]) == atom.ok
        await join(second, atom.new, theirs[1])
        await node.connect(first.name)
        await node.connect(second.name)
        await see(CREW, [ours, ours, theirs[1]], first, second, node)
        await see(atom.new, [theirs[1]], first, second, node)
        await unharmed(scopes)


# --------------------------------------------------------------------------- netsplit


async def test_a_netsplit_and_its_heal(beam: Any, py_node: Any, faults: Any) -> None:
    """The network is cut for good between us and the rest, without a word to either side."""
    first, second = erl(beam, epmd=faults), erl(beam, epmd=faults)
    scopes = {ex: await started(ex) for ex in (first, second)}
    async with py_node(start_pg=True, epmd=faults) as node:
        await node.connect(first.name)
        await node.connect(second.name)
        ours, theirs = node.spawn(live), await spawned(first)
        node.pg.join(CREW, ours)
        await join(first, CREW, theirs)
        await see(CREW, [ours, theirs], first, second, node)
        faults.isolate(node)
        await see(CREW, [theirs], first, second)
        await see(CREW, [ours], node)
        node.pg.join(atom.alone, ours)
        assert node.pg.leave(CREW, ours)
        await join(second, CREW, await spawned(second))
        faults.restore()

        await node.connect(first.name)
        await node.connect(second.name)
        expected = list((await members(second, CREW)).elements())
        await see(CREW, expected, first, second, node)
        await see(atom.alone, [ours], first, second, node)
        await unharmed(scopes)
