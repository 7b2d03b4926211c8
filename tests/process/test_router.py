"""Pressure: who is held, who is refused, and what is never lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.dist import control as c
from pynode.dist.flags import OUR_FLAGS, Flag
from pynode.dist.seam import Pressure
from pynode.errors import CallTimeout, EncodeError, PeerBusy
from pynode.process import Process, Runtime
from pynode.terms import Atom, Pid, Record, atom
from tests.process.test_inbound import FAR, IN, PEER, THERE, control
from tests.process.test_process import DEADLINE, Recording, gone
from tests.process.wire import Recorder

OTHER = Pid(Atom("other@host"), 1, 0, 1)


async def rounds(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_held_coroutine_stops_at_its_next_await(runtime: Runtime, out: Recorder) -> None:
    async def body(process: Process) -> None:
        out.pressure = Pressure.BUSY
        runtime.send(process, THERE, 1)
        notes.append("sent")
        runtime.send(process, THERE, 2)
        await process.receive()
        notes.append("received")

    notes: list[str] = []
    process = runtime.spawn(body)
    runtime.send(runtime.main, process.pid, 1)
    await rounds()
    assert notes == ["sent"]
    runtime.peer_drained(FAR)
    await gone(runtime, process)
    assert notes == ["sent", "received"]


async def test_a_held_server_takes_no_further_message(runtime: Runtime, out: Recorder) -> None:
    class Server(Recording):
        def message(self, process: Process, message: Any) -> Any:
            self.notes.append(message)
            runtime.send(process, THERE, message)

    body = Server()
    process = runtime.spawn(body)
    out.pressure = Pressure.BUSY
    for number in range(3):
        runtime.send(runtime.main, process.pid, number)
    await rounds()
    assert body.notes == ["start", 0]
    runtime.peer_drained(Atom("other@host"))
    out.pressure = Pressure.CLEAR
    runtime.peer_down(FAR, PEER, atom.bye)  # gone is as good as drained
    await rounds()
    assert body.notes == ["start", 0, 1, 2]


async def test_held_by_two_peers(runtime: Runtime, out: Recorder) -> None:
    process = runtime.spawn(None)
    out.pressure = Pressure.BUSY
    runtime.send(process, THERE, 1)
    runtime.send(process, OTHER, 1)
    runtime.send(process, process.pid, 1)
    task = asyncio.create_task(process.receive())
    await rounds()
    runtime.peer_drained(FAR)
    await rounds()
    assert not task.done()
    runtime.peer_drained(OTHER.node)
    assert await task == 1


async def test_main_is_held_only_where_it_calls_the_busy_peer(
    runtime: Runtime, out: Recorder
) -> None:
    async def serve(process: Process) -> None:
        (_, tag), request = await process.receive()
        runtime.send(process, tag.tail, (tag, request))

    main = runtime.main
    server = runtime.spawn(serve)
    out.pressure = Pressure.BUSY
    runtime.send(main, THERE, 1)
    out.pressure = Pressure.CLEAR
    runtime.send(main, main.pid, atom.mine)
    assert await main.receive(timeout=DEADLINE) == atom.mine
    with runtime.open_call(main, server.pid) as slot:
        runtime.send(main, server.pid, ((main.pid, slot.tag), 1))
        assert await slot.wait(DEADLINE) == 1
    with runtime.open_call(main, OTHER) as slot:
        control(runtime, c.AliasSend(OTHER, slot.ref), (slot.tag, 2))
        assert await slot.wait(DEADLINE) == 2
    for target in (THERE, (Atom("name"), FAR)):
        with runtime.open_call(main, target) as slot:
            control(runtime, c.AliasSend(THERE, slot.ref), (slot.tag, 3))
            waits = [asyncio.create_task(slot.wait(timeout)) for timeout in (None, DEADLINE)]
            await rounds()
            assert not any(task.done() for task in waits)
            assert await slot.wait(0.001) == 3  # it is here, and so is the end of the time
            out.pressure = Pressure.BUSY
            runtime.peer_drained(FAR)
            assert await asyncio.gather(*waits) == [3, 3]
            runtime.send(main, THERE, 2)
    assert not runtime.router._busy[FAR].waiters


async def test_main_is_not_held_for_what_others_have_sent(runtime: Runtime, out: Recorder) -> None:
    process = runtime.spawn(None)
    out.pressure = Pressure.BUSY
    runtime.send(process, THERE, 1)
    out.pressure = Pressure.CLEAR
    with runtime.open_call(runtime.main, THERE) as slot:
        control(runtime, c.AliasSend(THERE, slot.ref), (slot.tag, 1))
        assert await slot.wait() == 1


async def test_a_new_main_is_not_held_and_the_old_one_lets_go(
    runtime: Runtime, out: Recorder
) -> None:
    main = runtime.main
    out.pressure = Pressure.BUSY
    with runtime.open_call(main, THERE) as slot:
        control(runtime, c.AliasSend(THERE, slot.ref), (slot.tag, 1))
        waiting = asyncio.create_task(slot.wait())
        await rounds()
        assert not waiting.done()
        runtime.exit(main, main.pid, atom.kill)
        assert await waiting == 1
        assert not main.extra.on_death
    out.pressure = Pressure.CLEAR
    with runtime.open_call(runtime.main, THERE) as slot:
        control(runtime, c.AliasSend(THERE, slot.ref), (slot.tag, 1))
        assert await slot.wait() == 1


async def test_a_timeout_counts_while_the_process_is_held(runtime: Runtime, out: Recorder) -> None:
    process = runtime.spawn(None)
    out.pressure = Pressure.BUSY
    runtime.send(process, THERE, 1)
    for timeout in (0, -1, 0.001, 0.01):
        with pytest.raises(TimeoutError):
            await process.receive(timeout=timeout)
    runtime.send(process, process.pid, 1)
    with pytest.raises(TimeoutError):
        await process.receive(lambda message: message == 2, timeout=0.001)
    assert await process.receive(timeout=0.001) == 1
    for target in (THERE, OTHER, runtime.main.pid):
        with runtime.open_call(process, target) as slot, pytest.raises(CallTimeout):
            await slot.wait(0.001)
    with runtime.open_spawn(process, FAR, "m", "f", []) as slot, pytest.raises(CallTimeout):
        await slot.wait(0.001)
    assert process.held_by
    assert runtime.pending()["timers"] == 0
    waits = [asyncio.create_task(process.receive(timeout=each)) for each in (None, DEADLINE)]
    await rounds()
    runtime.send(process, process.pid, 2)
    runtime.send(process, process.pid, 3)
    await rounds()
    assert not any(task.done() for task in waits)
    runtime.peer_drained(FAR)
    runtime.peer_drained(OTHER.node)
    assert await asyncio.gather(*waits) == [2, 3]


async def test_what_is_left_of_a_timeout_when_the_process_goes_on(
    runtime: Runtime, out: Recorder
) -> None:
    async def body(process: Process) -> None:
        runtime.send(process, THERE, 1)
        begun = runtime.loop.time()
        with pytest.raises(TimeoutError):
            await process.receive(timeout=0.2)
        times.append(runtime.loop.time() - begun)

    times: list[float] = []
    out.pressure = Pressure.BUSY
    process = runtime.spawn(body)
    runtime.loop.call_later(0.1, runtime.peer_drained, FAR)
    await gone(runtime, process)
    assert times[0] >= 0.19


async def test_a_call_is_held_too(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    out.pressure = Pressure.BUSY
    with runtime.open_call(main, THERE) as slot:
        task = asyncio.create_task(slot.wait(DEADLINE))
        await rounds()
        control(runtime, c.AliasSend(THERE, slot.ref), (slot.tag, 1))
        await rounds()
        assert not task.done()
        runtime.peer_drained(FAR)
        assert await task == 1


async def test_drain(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    await runtime.drain(THERE)
    out.pressure = Pressure.BUSY
    runtime.send(main, THERE, 1)
    assert runtime.router.is_busy(FAR)
    tasks = [asyncio.create_task(runtime.drain(dest)) for dest in (THERE, "far@host")]
    await rounds()
    tasks[1].cancel()
    runtime.peer_drained(FAR)
    await tasks[0]
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert not runtime.router.is_busy(FAR)


async def test_a_held_process_that_ends_lets_go(runtime: Runtime, out: Recorder) -> None:
    async def body(process: Process) -> None:
        runtime.send(process, THERE, 1)
        await process.receive()

    out.pressure = Pressure.BUSY
    process = runtime.spawn(body)
    await rounds()
    waiting = asyncio.create_task(runtime.router.released(process))
    await rounds()
    runtime.exit(runtime.main, process.pid, atom.bye)
    await waiting
    await gone(runtime, process)
    runtime.peer_drained(FAR)


async def test_full_refuses_and_nothing_is_half_done(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    out.full = True
    acts: list[Any] = [
        lambda: runtime.send(main, THERE, 1),
        lambda: runtime.exit(main, THERE, atom.bye),
        lambda: runtime.link(main, THERE),
        lambda: runtime.monitor(main, THERE),
        lambda: runtime.monitor(main, THERE, alias="demonitor"),
        lambda: runtime.open_call(main, THERE),
        lambda: runtime.spawn_request(main, FAR, "m", "f", []),
        lambda: runtime.group_leader(main, THERE, main.pid),
    ]
    for act in acts:
        with pytest.raises(PeerBusy):
            act()
    assert not main.links
    assert not main.monitors
    assert runtime.aliases == {}
    out.full = False
    assert out.take() == []


async def test_what_the_runtime_owes_waits_and_keeps_its_order(
    runtime: Runtime, out: Recorder
) -> None:
    process = runtime.spawn(None)
    runtime.link(process, THERE)
    runtime.monitor(process, THERE)
    out.take()
    out.full = True
    runtime.exit(runtime.main, process.pid, atom.bye)
    out.full = False
    control(runtime, c.UnlinkId(3, THERE, process.pid))  # in its place behind what is overdue
    with pytest.raises(PeerBusy):
        runtime.send(runtime.main, THERE, 1)
    assert out.take() == []
    out.full = True
    runtime.peer_drained(FAR)
    assert out.take() == []
    out.full = False
    runtime.peer_drained(FAR)
    sent = out.take()
    assert sent[0] == (c.Exit(process.pid, THERE, IN), atom.bye)
    assert [type(message) for message in sent[1:]] == [c.Demonitor, c.UnlinkIdAck]
    runtime.send(runtime.main, THERE, 1)


async def test_overdue_is_lost_with_the_connection(runtime: Runtime, out: Recorder) -> None:
    out.full = True
    control(runtime, c.UnlinkId(3, THERE, runtime.main.pid))
    out.full = False
    runtime.peer_down(FAR, PEER, atom.bye)
    assert out.take() == []


async def test_native_records_where_they_are_agreed(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    record = Record(atom.mod, atom.rec, True, ((atom.field, 1),))
    runtime.send(main, THERE, record)
    assert out.take()[0][1] == record
    out.flags = OUR_FLAGS & ~Flag.NATIVE_RECORDS
    with pytest.raises(EncodeError, match=r"far@host has not agreed to .*NATIVE_RECORDS"):
        runtime.send(main, THERE, [record])
    with pytest.raises(EncodeError, match="object"):
        runtime.send(main, THERE, [record, object()])
    out.flags = 0
    with pytest.raises(EncodeError, match="no connection to far@host"):
        runtime.send(main, THERE, record)
    process = runtime.spawn(None)
    runtime.link(process, THERE)
    out.take()
    runtime.exit(main, process.pid, record)  # fine here, and without a form there
    [(_, reason)] = out.take()
    assert reason[0][1] == atom.EncodeError


async def test_to_the_alias_of_another_node(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    alias = runtime.make_ref()
    far = type(alias)(FAR, 9, alias.words)
    runtime.send(main, far, 1)
    runtime.send(main, far, 2, priority=True)
    runtime.exit(main, far, atom.bye)
    runtime.exit(main, far, atom.bye, priority=True)
    runtime.send(main, ("name", FAR), 3)
    assert out.take() == [
        (c.AliasSend(main.pid, far), 1),
        (c.AltactSend(1 | 4, main.pid, far), 2),
        (c.AltactSend(4 | 16, main.pid, far), atom.bye),
        (c.AltactSend(1 | 4 | 16, main.pid, far), atom.bye),
        (c.RegSend(main.pid, Atom("name")), 3),
    ]
    mine = runtime.alias(runtime.spawn(None, trap_exit=True))
    process = runtime.aliases[mine].process
    runtime.exit(main, mine, atom.bye)
    assert await process.receive(timeout=0) == (atom.EXIT, main.pid, atom.bye)
    runtime.exit(main, alias, atom.bye)
