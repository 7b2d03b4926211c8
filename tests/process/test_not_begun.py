"""Processes that have not had their first turn: what holds them, and what lets them go."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from pynode.process import Process, Runtime
from pynode.process._core import spawn_function
from pynode.process.current import spawn
from pynode.terms import Pid, atom
from tests.process.conftest import MakeRuntime
from tests.process.wire import until


class Something:
    """What a process is given, to see whether it is still held."""

    def __init__(self, *refers_to: Any) -> None:
        self.refers_to = list(refers_to)


def made(runtime: Runtime, body: Any, *args: Any) -> Pid:
    """Spawn as the module function and the node do."""
    if spawn_function is not None:
        pid: Pid = spawn_function(runtime, body, args)
        return pid
    return runtime.spawn(body, *args).pid


async def _keep(process: Process, given: Any) -> None:
    await process.receive()


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("collections", [0, 1])
def test_a_runtime_that_is_forgotten_goes_with_them(known: bool, collections: int) -> None:
    """Though they refer to it, and it to them, and the collector may have met some already."""

    def forgotten() -> list[weakref.ref[Something]]:
        loop = asyncio.new_event_loop()
        try:
            runtime = Runtime(atom("here@host"), 7, loop=loop)
            given = [Something(runtime) for _ in range(100)]
            pids = [made(runtime, _keep, each) for each in given]
            for _ in range(collections):
                gc.collect()
            if known:
                for pid, each in zip(pids, given, strict=True):
                    each.refers_to.append(runtime.local(pid))
            return [weakref.ref(each) for each in given]
        finally:
            loop.close()

    references = forgotten()
    gc.collect()
    gc.collect()
    assert [each() for each in references] == [None] * 100


async def test_collections_before_the_first_turn_take_nothing(runtime: Runtime) -> None:
    seen: list[tuple[Any, Any]] = []

    async def body(process: Process, given: Something) -> None:
        seen.append((process, given.refers_to))
        await process.receive()

    pids = [made(runtime, body, Something(number)) for number in range(500)]
    for _ in range(3):
        gc.collect()
    half = [runtime.local(pid) for pid in pids[::2]]
    gc.collect()
    await until(lambda: len(seen) == 500)
    gc.collect()
    assert [process.pid for process, _ in seen] == pids
    assert [refers_to for _, refers_to in seen] == [[number] for number in range(500)]
    assert [process for process, _ in seen][::2] == half
    assert all(gc.is_tracked(process) for process, _ in seen)


async def test_those_killed_before_it_are_gone(runtime: Runtime) -> None:
    """Round after round: the turn that each had to come does nothing, and holds nobody."""
    ran: list[int] = []

    async def body(process: Process, number: int, given: Something) -> None:
        ran.append(number)

    for number in range(50):
        given = [Something() for _ in range(40)]
        references = [weakref.ref(each) for each in given]
        pids = [made(runtime, body, number, each) for each in given]
        gone = [weakref.ref(runtime.local(pid)) for pid in pids[::2]]
        del given
        for pid in pids[::2]:
            runtime.exit(runtime.main, pid, atom.kill)
        if spawn_function is not None:  # elsewhere the queue holds them until it comes to them
            assert [each() for each in references[::2]] == [None] * 20
            assert [each() for each in gone] == [None] * 20
        assert all(each() is not None for each in references[1::2])
        if number % 3:
            await until(lambda: len(runtime.processes()) == 1)
            assert [each() for each in references] == [None] * 40
            assert [each() for each in gone] == [None] * 20
    await until(lambda: len(runtime.processes()) == 1)
    assert ran == [number for number in range(50) for _ in range(20)]


async def test_who_waits_for_a_turn_while_many_are_made(runtime: Runtime) -> None:
    """The queue grows while some of it is worked off; everybody has one turn, in order."""
    order: list[int] = []

    async def child(process: Process, number: int) -> None:
        order.append(number)

    async def parent(process: Process, number: int) -> None:
        order.append(number)
        for each in range(37):
            spawn(child, 1000 + 37 * number + each)

    for number in range(100):
        made(runtime, parent, number)
    await until(lambda: len(order) == 100 + 3700)
    assert order == [*range(100), *range(1000, 4700)]


async def test_a_runtime_of_its_own_for_each(make_runtime: MakeRuntime) -> None:
    """What is not spawned the plain way is spawned all the same, or refused."""
    runtime = make_runtime("there@host", 8)
    pid = made(runtime, _keep, None)
    assert (pid.node, pid.creation) == (atom("there@host"), 8)
    assert runtime.spawn(_keep, None).pid.id == pid.id + 1
    if spawn_function is not None:
        assert spawn_function(runtime, print, ()) is None
        assert spawn_function(object(), _keep, (None,)) is None
