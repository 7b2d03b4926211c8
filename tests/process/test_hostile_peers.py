"""Peers that have the cookie and mean harm, or are broken: what they can do to one runtime."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.config import Limits
from pynode.dist import control as c
from pynode.dist.seam import Pressure
from pynode.errors import PeerBusy
from pynode.process import Process, Runtime
from pynode.terms import Reference, atom
from tests.process.conftest import MakeRuntime
from tests.process.test_inbound import FAR, IN, PEER, REF, THERE, control
from tests.process.wire import Recorder, until


async def test_one_reference_for_many_monitors(runtime: Runtime, out: Recorder) -> None:
    """The last counts; nothing is left behind on the others when the connection is lost."""
    runtime.peer_up(PEER)
    processes = [runtime.spawn(None) for _ in range(3)]
    for process in (*processes, processes[0]):
        control(runtime, c.Monitor(THERE, process.pid, REF))
    assert [bool(process.watchers) for process in processes] == [True, False, False]
    runtime.exit(runtime.main, processes[1].pid, atom.kill)
    runtime.exit(runtime.main, processes[0].pid, atom.kill)
    assert out.take() == [(c.MonitorExit(processes[0].pid, THERE, REF, IN), atom.killed)]
    control(runtime, c.Monitor(THERE, processes[2].pid, REF))
    control(runtime, c.Monitor(THERE, runtime.main.pid, REF))
    runtime.peer_down(FAR, PEER, atom.connection_closed)
    assert not processes[2].watchers
    assert not runtime.main.watchers


@pytest.mark.parametrize("flood", ["unlink", "link", "monitor", "spawn"])
async def test_who_causes_answers_and_reads_none(
    make_runtime: MakeRuntime, caplog: pytest.LogCaptureFixture, flood: str
) -> None:
    """What a peer is owed is bounded: then the connection is closed, and nothing more is kept."""
    runtime, out = make_runtime(limits=Limits(peer_queue_bytes=64 * 1024)), Recorder()
    runtime.attach(out)
    runtime.peer_up(PEER)
    dead = runtime.spawn(None)
    runtime.exit(runtime.main, dead.pid, atom.kill)
    out.full = True
    for number in range(1, 5000):
        if flood == "unlink":
            control(runtime, c.UnlinkId(number, THERE, dead.pid))
        elif flood == "link":
            control(runtime, c.Link(THERE, dead.pid))
        elif flood == "monitor":
            control(runtime, c.Monitor(THERE, dead.pid, Reference(FAR, 9, (number, 0, 0))))
        else:
            ref = Reference(FAR, 9, (number, 0, 0))
            mfa = (atom.m, atom.f, 0)
            control(runtime, c.SpawnRequest(ref, THERE, THERE, mfa, [atom.badopt]), [])
    busy = runtime.router._busy[FAR]
    assert not busy.overdue
    with pytest.raises(PeerBusy):
        runtime.send(runtime.main, THERE, 1)
    out.full = False
    runtime.peer_drained(FAR)  # too late: signals are lost, and none may follow them
    control(runtime, c.UnlinkId(1, THERE, dead.pid))
    assert out.take() == []
    await until(lambda: out.disconnected)
    assert out.disconnected == [(FAR, atom.output_queue_full)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    runtime.peer_down(FAR, PEER, atom.output_queue_full)
    runtime.peer_up(PEER)
    control(runtime, c.UnlinkId(1, THERE, dead.pid))
    assert out.take() == [c.UnlinkIdAck(1, dead.pid, THERE)]


async def test_what_was_overdue_and_went_out_does_not_count(make_runtime: MakeRuntime) -> None:
    runtime, out = make_runtime(limits=Limits(peer_queue_bytes=1024)), Recorder()
    runtime.attach(out)
    runtime.peer_up(PEER)
    for _ in range(100):
        out.full = True
        for number in range(1, 10):
            control(runtime, c.UnlinkId(number, THERE, runtime.main.pid))
        out.full = False
        runtime.peer_drained(FAR)
        assert len(out.take()) == 9
    assert out.disconnected == []


async def test_a_peer_that_does_not_read_holds_no_system_process(
    runtime: Runtime, out: Recorder
) -> None:
    """They answer everybody; a process of the program's is held, as on a BEAM."""

    class Answering:
        def start(self, process: Process) -> None:
            pass

        def message(self, process: Process, message: Any) -> None:
            runtime.send(process, THERE, message)

        def terminated(self, process: Process, reason: Any) -> None:
            pass

    system, other = runtime.spawn(Answering()), runtime.spawn(Answering())
    runtime.system.add(system)
    out.pressure = Pressure.BUSY
    for number in range(3):
        runtime.send(runtime.main, system.pid, (atom.system, number))
        runtime.send(runtime.main, other.pid, (atom.other, number))
    await until(lambda: len(out.sent) == 4)
    for _ in range(5):
        await asyncio.sleep(0)
    sent = [one.term for one in out.sent]
    assert [term[1] for term in sent if term[0] == atom.system] == [0, 1, 2]
    assert [term[1] for term in sent if term[0] == atom.other] == [0]
