"""A node that goes by another name: what was made under the old one still means the same here."""

from __future__ import annotations

import asyncio

import pytest

from pynode.process import Process, Runtime
from pynode.terms import Atom, Pid, atom
from tests.process.conftest import MakeRuntime
from tests.process.wire import Recorder, until

OLD, NEW = Atom("nonode@nohost"), Atom("x@host")


async def waiting(process: Process) -> None:
    await process.receive(lambda _: False)


@pytest.fixture
async def runtime(make_runtime: MakeRuntime) -> Runtime:
    return make_runtime(OLD.name, 0)


async def test_a_process_keeps_its_number(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    process = runtime.spawn(waiting, group_leader=main.pid)
    old = process.pid
    runtime.rename(NEW, 7)
    assert process.pid == Pid(NEW, old.id, old.serial, 7)
    assert (runtime.node_name, runtime.creation) == (NEW, 7)
    assert process.group_leader == main.pid
    assert runtime.spawn(None).pid.node == NEW
    assert runtime.make_ref().creation == 7
    for pid in (old, process.pid):
        assert runtime.is_own(pid)
        assert runtime.is_alive(pid)
        assert runtime.local(pid) is process
    # the same number in a life that was never ours
    assert runtime.local(Pid(NEW, old.id, old.serial, 6)) is None
    assert not runtime.is_own(Pid(OLD, old.id, old.serial, 1))
    runtime.exit(main, old, atom.kill)
    assert not process.alive
    assert not runtime.is_alive(old)
    assert out.sent == []


async def test_signals_to_old_pids_stay_here(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    process = runtime.spawn(None, trap_exit=True)
    old = process.pid
    runtime.rename(NEW, 7)
    runtime.send(main, old, 1)
    assert await process.receive(timeout=0) == 1
    timer = runtime.send_after(main, 0, old, 2)
    assert timer.node == NEW
    assert await process.receive(timeout=10) == 2
    runtime.group_leader(main, old, old)
    assert process.group_leader == old
    ref = runtime.monitor(main, old)
    runtime.link(main, old)
    main.trap_exit = True
    assert process.links == {main.pid: 0}
    runtime.unlink(main, old)
    assert not process.links
    assert not main.links
    runtime.exit(main, old, atom.kill)
    assert await main.receive(timeout=0) == (atom.DOWN, ref, atom.process, old, atom.killed)
    assert out.sent == []


async def test_links_monitors_and_aliases_from_before(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    main.trap_exit = True
    linked, watched, kept = (runtime.spawn(waiting) for _ in range(3))
    runtime.link(main, linked.pid)
    runtime.link(main, kept.pid)
    ref = runtime.monitor(main, watched.pid)
    other = runtime.monitor(main, kept.pid)
    alias = runtime.alias(main)
    before = watched.pid
    runtime.rename(NEW, 7)
    assert runtime.demonitor(main, other, info=True)
    runtime.unlink(main, kept.pid)
    runtime.exit(main, kept.pid, atom.kill)
    runtime.exit(main, linked.pid, atom.kill)
    assert await main.receive(timeout=0) == (atom.EXIT, linked.pid, atom.killed)
    runtime.exit(main, watched.pid, atom.kill)
    assert await main.receive(timeout=0) == (atom.DOWN, ref, atom.process, before, atom.killed)
    runtime.send(main, alias, 5)
    assert await main.receive(timeout=0) == 5
    assert runtime.unalias(main, alias)
    with pytest.raises(TimeoutError):
        await main.receive(timeout=0)
    assert out.sent == []


async def test_a_call_under_way(runtime: Runtime) -> None:
    async def server(process: Process) -> None:
        _, (_, tag), request = await process.receive()
        await process.receive(lambda message: message == atom.go)
        runtime.send(process, tag.tail, (tag, request))

    process = runtime.spawn(server)
    slot = runtime.open_call(runtime.main, process.pid)
    request = (atom("$gen_call"), (runtime.main.pid, slot.tag), 42)
    runtime.send(runtime.main, process.pid, request)
    call = asyncio.ensure_future(slot.wait(10))
    await until(lambda: process.receivers)
    runtime.rename(NEW, 7)
    runtime.send(runtime.main, process.pid, atom.go)
    assert await call == 42
    slot.close()


async def test_another_node_has_the_name_that_was_lost(runtime: Runtime, out: Recorder) -> None:
    process = runtime.spawn(None)
    runtime.rename(NEW, 7)
    mine = process.pid
    runtime.rename(OLD, 0)
    runtime.rename(Atom("y@host"), 9)
    assert runtime.local(mine) is process
    theirs = Pid(NEW, mine.id, mine.serial, 8)
    assert not runtime.is_own(theirs)
    runtime.send(runtime.main, theirs, atom.hello)
    assert [sent.node for sent in out.sent] == [NEW]


async def test_names_that_were_lost_are_not_kept_for_ever(runtime: Runtime) -> None:
    first = runtime.main.pid
    for creation in range(5000):
        runtime.rename(NEW, creation)
    assert len(runtime.former) == 1000
    assert runtime.local(first) is None
    assert runtime.local(runtime.main.pid) is runtime.main
