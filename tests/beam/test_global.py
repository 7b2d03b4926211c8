"""``:global`` among real BEAM nodes and Python ones: names, locks, conflicts, partitions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.node import Node
from pynode.process.process import Process
from pynode.terms import Pid, atom, charlist
from pynode.testing import Beam, eventually, receives
from tests.beam.meshes import erl, joined, known_at, live, spawned, where

MANAGER = charlist("manager")

# --------------------------------------------------------------------------- names


async def test_names_of_either_side_are_found_on_both(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await joined(ex, node)
        pid = node.spawn(live)
        assert await node.global_.register_name(MANAGER, pid)
        assert await where(ex, MANAGER) == pid  # at once: register_name is synchronous
        theirs = await spawned(ex)
        assert await ex.arpc("global", "register_name", [(atom.a, 1.0), theirs]) == atom.yes
        assert await where(node, (atom.a, 1.0)) == theirs
        assert await where(node, (atom.a, 1)) is None
        assert not await node.global_.register_name(MANAGER, theirs)  # taken
        assert await ex.arpc("global", "register_name", [MANAGER, theirs]) == atom.no


async def test_names_from_before_the_connection_are_exchanged(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    theirs = await spawned(ex)
    await ex.arpc("global", "register_name", [b"theirs", theirs])
    async with py_node() as node:
        ours = node.spawn(live)
        await node.global_.register_name(b"ours", ours)
        await node.connect(ex.name)
        await eventually(lambda: node.global_.lookup(b"theirs") == theirs)
        assert await where(ex, b"ours") == ours


async def test_a_name_goes_with_its_process(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await joined(ex, node)
        ours, theirs = node.spawn(live), await spawned(ex)
        await node.global_.register_name(atom.ours, ours)
        await node.global_.register_name(atom.theirs, theirs)
        await ex.aeval("global:whereis_name(ours) ! stop.")
        await eventually(lambda: not node.runtime.is_alive(ours))

        async def gone() -> bool:
            return await where(ex, atom.ours) is None

        await eventually(gone)
        node.exit(theirs, atom.kill)
        await eventually(lambda: node.global_.lookup(atom.theirs) is None)


async def test_re_register_and_unregister(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await joined(ex, node)
        first, second = node.spawn(live), await spawned(ex)
        await node.global_.register_name(MANAGER, first)
        assert await node.global_.re_register_name(MANAGER, second)
        assert await where(ex, MANAGER) == second
        assert await ex.arpc("global", "re_register_name", [MANAGER, first]) == atom.yes
        assert await where(node, MANAGER) == first
        await node.global_.unregister_name(MANAGER)
        assert await where(ex, MANAGER) is None
        await node.global_.unregister_name(MANAGER)  # nobody bears it: no error


async def test_send_by_global_name(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await joined(ex, node)
        await node.global_.register_name(MANAGER, node.main.pid)
        await ex.arpc("global", "send", [MANAGER, b"hello"])
        await receives(node.main, b"hello")
        assert node.global_.send(MANAGER, b"to myself") == node.main.pid
        await receives(node.main, b"to myself")


async def test_a_hidden_node_looks_up_and_registers_through_another(
    beam: Any, py_node: Any
) -> None:
    ex, py = erl(beam), py_node()
    async with py as visible, py_node(hidden=True) as hidden:
        await visible.connect(ex.name)
        await joined(ex, visible)
        pid = hidden.spawn(live)
        for number, through in enumerate((ex.name, visible.name)):
            name = (atom.hidden, number)
            pid = hidden.spawn(live)
            assert await hidden.global_.register_name(name, pid, node=through)
            assert await where(ex, name) == pid
            assert await where(visible, name) == pid
            assert await hidden.global_.whereis_name(name, node=through) == pid
            assert await hidden.global_.whereis_name(name) is None
            await hidden.global_.unregister_name(name, node=through)
            assert await where(ex, name) is None
        assert hidden.services.name_server.known == {}
        # Nor is anything of that kind under way.
        assert hidden.services.name_server.connected == set()
        assert visible.services.name_server.connected == {ex.name}
        assert await known_at(ex) == {visible.name}


# --------------------------------------------------------------------------- locks


async def test_locks_transactions_and_sync_return(beam: Any, py_node: Any) -> None:
    ex, other = erl(beam), erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await node.connect(other.name)
        await joined(ex, other, node)
        assert await ex.arpc("global", "sync", timeout=5) == atom.ok
        assert await ex.aeval("global:set_lock({thing, me}).", timeout=5) is True
        assert not await node.global_.set_lock((atom.thing, atom.us), retries=0)
        assert await ex.aeval("global:del_lock({thing, me}).", timeout=5) is True
        assert await node.global_.set_lock((atom.thing, atom.us), retries=0)
        assert await other.aeval("global:set_lock({thing, me}, [node()|nodes()], 0).") is False
        await node.global_.del_lock((atom.thing, atom.us))
        code = "global:trans({thing, me}, fun() -> done end)."
        assert await other.aeval(code, timeout=5) == atom.done
        assert await node.global_.trans((atom.thing, atom.us), lambda: 42) == 42
        await asyncio.wait_for(node.global_.sync(), 5)


async def test_trans_waits_for_its_turn_or_aborts(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await joined(ex, node)
        assert await ex.aeval("global:set_lock({thing, me}).") is True

        async def never() -> None:
            raise AssertionError("ran without the lock")

        aborted = await node.global_.trans((atom.thing, atom.us), never, retries=0)
        assert aborted == atom.aborted
        waiting = asyncio.create_task(node.global_.trans((atom.thing, atom.us), lambda: 1))
        await ex.aeval("global:del_lock({thing, me}).")
        assert await asyncio.wait_for(waiting, 20) == 1


async def test_a_lock_goes_with_its_holder(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await joined(ex, node)

        async def hold(process: Process) -> None:
            assert await node.global_.set_lock((atom.thing, atom.us))
            await process.receive()

        holder = node.spawn(hold)
        code = "global:set_lock({thing, me}, [node()|nodes()], 0)."
        await eventually(lambda: node.services.name_server.locks.get(atom.thing))
        assert await ex.aeval(code) is False
        node.exit(holder, atom.kill)

        async def free() -> bool:
            return bool(await ex.aeval(code))

        await eventually(free)


# --------------------------------------------------------------------------- conflicts


@pytest.fixture(params=["a", "z"])
def python_name(request: Any) -> str:
    """The name of the Python node, once the smaller and once the greater of two."""
    return f"{request.param}_py"


async def conflict(ex: Beam, node: Node, method: Any = "random_exit_name") -> tuple[Pid, Pid]:
    """Register one name on both sides and connect; return our process and theirs."""
    ours = node.spawn(collect, node.main.pid)
    theirs = await ex.aeval(
        "Test = self(), "
        "spawn(fun() -> receive X -> Test ! {got, X}, receive stop -> ok end end end)."
    )
    await node.global_.register_name(MANAGER, ours, method)
    if method == "random_exit_name":
        await ex.arpc("global", "register_name", [MANAGER, theirs])
    else:
        code = f'global:register_name("manager", Pid, fun global:{method}/3).'
        await ex.aeval(code, Pid=theirs)
    await node.connect(ex.name)
    await joined(ex, node)
    return ours, theirs


async def collect(process: Process, to: Pid) -> None:
    async for message in process:
        process.runtime.send(process, to, (atom.got, message))


async def test_conflict_by_random_exit_name(beam: Any, py_node: Any, python_name: str) -> None:
    ex = erl(beam, "m_ex")
    async with py_node(python_name) as node:
        ours, theirs = await conflict(ex, node)
        winner = ours if node.name.name < ex.name.name else theirs
        assert await where(node, MANAGER) == await where(ex, MANAGER) == winner

        async def loser_is_dead() -> bool:
            alive = await ex.aeval("is_process_alive(Pid).", Pid=theirs)
            return bool(alive) == (winner == theirs) and node.runtime.is_alive(ours) == (
                winner == ours
            )

        await eventually(loser_is_dead)


async def test_conflict_by_random_notify_name(beam: Any, py_node: Any, python_name: str) -> None:
    ex = erl(beam, "m_ex")
    async with py_node(python_name) as node:
        ours, theirs = await conflict(ex, node, "random_notify_name")
        told = (atom.got, (atom.global_name_conflict, MANAGER))
        if node.name.name < ex.name.name:
            assert await where(ex, MANAGER) == await where(node, MANAGER) == ours
            assert await ex.aeval("receive {got, _} = X -> X after 5000 -> none end.") == told
        else:
            assert await where(ex, MANAGER) == await where(node, MANAGER) == theirs
            await receives(node.main, told)


async def test_conflict_by_notify_all_name(beam: Any, py_node: Any, python_name: str) -> None:
    ex = erl(beam, "m_ex")
    async with py_node(python_name) as node:
        ours, theirs = await conflict(ex, node, "notify_all_name")
        assert await where(ex, MANAGER) is None
        assert await where(node, MANAGER) is None
        await receives(node.main, (atom.got, (atom.global_name_conflict, MANAGER, theirs)))
        got = await ex.aeval("receive {got, _} = X -> X after 5000 -> none end.")
        assert got == (atom.got, (atom.global_name_conflict, MANAGER, ours))


async def test_conflict_by_a_function_of_the_program(beam: Any, py_node: Any) -> None:
    ex, asked = erl(beam, "m_ex"), []

    def keep_theirs(name: Any, theirs: Pid, ours: Pid) -> Pid:
        asked.append((name, theirs, ours))
        return theirs

    async with py_node("a_py") as node:
        ours, theirs = node.spawn(live), await spawned(ex)
        await node.global_.register_name(MANAGER, ours, keep_theirs)
        await ex.arpc("global", "register_name", [MANAGER, theirs])
        await node.connect(ex.name)
        await joined(ex, node)
        assert await where(node, MANAGER) == await where(ex, MANAGER) == theirs
        assert asked == [(MANAGER, theirs, ours)]
        assert node.runtime.is_alive(ours)


async def test_a_failed_method_leaves_the_name_to_the_other(beam: Any, py_node: Any) -> None:
    """The BEAM, with the smaller name, has its own method run; ours is not asked."""
    ex = erl(beam, "a_ex")
    async with py_node("z_py") as node:
        ours, theirs = node.spawn(live), await spawned(ex)
        await node.global_.register_name(MANAGER, ours)
        code = 'global:register_name("manager", Pid, {erlang, max}).'  # no such function: undef
        await ex.aeval(code, Pid=theirs)
        await node.connect(ex.name)
        await joined(ex, node)
        assert await where(node, MANAGER) == await where(ex, MANAGER) == ours


async def test_our_failed_method_leaves_the_name_to_the_other(beam: Any, py_node: Any) -> None:
    ex = erl(beam, "z_ex")

    def fail(name: Any, theirs: Pid, ours: Pid) -> Pid:
        raise ValueError("no idea")

    async with py_node("a_py") as node:
        ours, theirs = node.spawn(live), await spawned(ex)
        await node.global_.register_name(MANAGER, ours, fail)
        await ex.arpc("global", "register_name", [MANAGER, theirs])
        await node.connect(ex.name)
        await joined(ex, node)
        assert await where(node, MANAGER) == await where(ex, MANAGER) == theirs


async def test_a_beam_asks_this_node_about_the_name_of_its_process(beam: Any, py_node: Any) -> None:
    """Two BEAMs join; the name is that of our process, so our method decides, here."""
    ex, other, asked = erl(beam, "a_ex"), erl(beam, "m_ex"), []

    def keep_theirs(name: Any, theirs: Pid, ours: Pid) -> Pid:
        asked.append((name, theirs, ours))
        return theirs

    async with py_node("z_py") as node:
        await node.connect(ex.name)
        await joined(ex, node)
        ours, theirs = node.spawn(live), await spawned(other)
        assert await node.global_.register_name(MANAGER, ours, keep_theirs)
        assert await other.arpc("global", "register_name", [MANAGER, theirs]) == atom.yes
        assert await ex.arpc("net_kernel", "connect_node", [other.name]) is True
        await joined(ex, other, node)
        assert asked == [(MANAGER, theirs, ours)]
        for each in (ex, other, node):
            assert await where(each, MANAGER) == theirs


# --------------------------------------------------------------------------- partitions


async def test_a_mesh_of_three_forms_by_itself(beam: Any, py_node: Any) -> None:
    ex, other = erl(beam), erl(beam)
    async with py_node() as node:
        await ex.arpc("net_adm", "ping", [other.name])
        await joined(ex, other)
        await node.connect(ex.name)
        await joined(ex, other, node)
        assert set(node.nodes()) == {ex.name, other.name}


async def test_python_python_beam(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node, py_node() as second:
        await node.connect(second.name)
        await joined(node, second)
        pid = second.spawn(live)
        assert await second.global_.register_name(MANAGER, pid)
        assert node.global_.lookup(MANAGER) == pid
        await ex.arpc("net_adm", "ping", [node.name])
        await joined(ex, node, second)
        assert await where(ex, MANAGER) == pid


async def test_a_node_that_leaves_parts_nobody_else(beam: Any, py_node: Any) -> None:
    ex, other = erl(beam), erl(beam)
    async with py_node() as stays:
        async with py_node() as node:
            await stays.connect(ex.name)
            await stays.connect(other.name)
            await node.connect(ex.name)
            await joined(ex, other, stays, node)
            await node.global_.register_name(MANAGER, node.spawn(live))
        await joined(ex, other, stays)
        for left in (ex, other, stays):
            assert await where(left, MANAGER) is None
        assert set(stays.nodes()) == {ex.name, other.name}
        assert set(await ex.arpc("erlang", "nodes")) == {other.name, stays.name}


async def test_global_disconnect_leaves_and_comes_back(beam: Any, py_node: Any) -> None:
    ex, other = erl(beam), erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await node.connect(other.name)
        await joined(ex, other, node)
        assert set(await node.global_.disconnect()) == {ex.name, other.name}
        await joined(ex, other)
        assert node.nodes() == []
        await node.connect(ex.name)
        await joined(ex, other, node)


async def test_a_lost_connection_parts_the_two_from_the_rest(beam: Any, py_node: Any) -> None:
    """A connection between two BEAMs breaks: this node drops both of them too."""
    ex, other = erl(beam), erl(beam)
    async with py_node() as node, py_node() as second:
        for name in (ex.name, other.name, second.name):
            await node.connect(name)
        await joined(ex, other, node, second)
        assert await ex.arpc("erlang", "disconnect_node", [other.name]) is True

        def parted() -> bool:
            return bool(node.nodes() == [second.name] and second.nodes() == [node.name])

        await eventually(parted, timeout=20)
        await joined(node, second)
        await node.connect(ex.name)
        await node.connect(other.name)
        await joined(ex, other, node, second)


async def test_our_lost_connection_is_reported(beam: Any, py_node: Any) -> None:
    ex, other = erl(beam), erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await node.connect(other.name)
        await joined(ex, other, node)
        node.disconnect(ex.name)

        async def parted() -> bool:
            return not node.nodes() and bool(await other.arpc("erlang", "nodes") == [])

        await eventually(parted, timeout=20)


async def test_without_prevention_only_that_connection_is_lost(beam: Any, py_node: Any) -> None:
    quiet = ("-kernel", "prevent_overlapping_partitions", "false")
    ex, other = erl(beam, arguments=quiet), erl(beam, arguments=quiet)
    async with py_node(prevent_overlapping_partitions=False) as node:
        await node.connect(ex.name)
        await node.connect(other.name)
        await joined(ex, other, node)
        node.disconnect(ex.name)

        async def only_that() -> bool:
            return await known_at(node) == await known_at(ex) == {other.name} and await known_at(
                other
            ) == {ex.name, node.name}

        await eventually(only_that, timeout=20)


async def test_a_killed_node_is_gone_and_comes_back(beam: Any, py_node: Any) -> None:
    ex, other = erl(beam), erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        await node.connect(other.name)
        await joined(ex, other, node)
        stale = await spawned(other)
        await node.global_.register_name(MANAGER, stale)
        other.kill()
        await eventually(lambda: node.nodes() == [ex.name])
        await joined(ex, node)
        assert await where(node, MANAGER) is None
        assert await where(ex, MANAGER) is None
        other.start()
        await node.connect(other.name)
        await joined(ex, other, node)
        fresh = await spawned(other)
        assert await node.global_.register_name(MANAGER, fresh)
        assert await where(ex, MANAGER) == fresh


async def test_connect_all_false_stays_out(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node(connect_all=False) as node:
        await node.connect(ex.name)
        assert await node.ping(ex.name)
        theirs = await spawned(ex)
        assert await ex.arpc("global", "register_name", [MANAGER, theirs]) == atom.yes
        assert await where(node, MANAGER) is None
        assert await known_at(ex) == set()
        assert await ex.aeval("global:set_lock({thing, me}).", timeout=5) is True
