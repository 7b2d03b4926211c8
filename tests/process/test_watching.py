"""Links, monitors, aliases and names at their edges: what is gone, refused, taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.dist import control as c
from pynode.errors import NameError_, PeerBusy
from pynode.process import Process, Runtime
from pynode.terms import Atom, Pid, atom
from tests.process.test_inbound import FAR, IN, PEER, REF as THEIRS, THERE, control
from tests.process.wire import Recorder


def mailbox(process: Process) -> list[Any]:
    return [] if process.mailbox is None else process.mailbox.messages()


def down(ref: Any, target: Any, reason: Any) -> tuple[Any, ...]:
    return (atom.DOWN, ref, atom.process, target, reason)


@pytest.fixture
def watcher(runtime: Runtime) -> Process:
    return runtime.spawn(None, trap_exit=True)


# ------------------------------------------------------------------------- answered monitors


async def test_a_monitor_answered_by_a_process_that_lives_on(
    runtime: Runtime, watcher: Process
) -> None:
    server = runtime.spawn(None)
    ref = runtime.monitor(watcher, server.pid)
    kept = runtime.monitor(watcher, server.pid)
    assert runtime.monitors.answer_down(server, ref, atom.refused)
    assert mailbox(watcher) == [down(ref, server.pid, atom.refused)]
    assert not runtime.monitors.answer_down(server, ref, atom.again)
    assert server.alive
    runtime.exit(runtime.main, server.pid, atom.bye)
    assert mailbox(watcher)[1:] == [down(kept, server.pid, atom.bye)]


async def test_a_monitor_of_another_node_is_answered_too(runtime: Runtime, out: Recorder) -> None:
    runtime.peer_up(PEER)
    server = runtime.spawn(None)
    control(runtime, c.Monitor(THERE, server.pid, THEIRS))
    assert runtime.monitors.answer_down(server, THEIRS, atom.refused)
    (sent,) = out.sent
    assert (sent.message, sent.term) == (
        c.MonitorExit(server.pid, THERE, THEIRS, IN),
        atom.refused,
    )
    out.take()
    runtime.exit(runtime.main, server.pid, atom.bye)
    control(runtime, c.Demonitor(THERE, server.pid, THEIRS))
    assert out.sent == []


# ------------------------------------------------------------------------- aliases


async def test_an_alias_for_one_message(runtime: Runtime, watcher: Process) -> None:
    ref = runtime.alias(watcher, reply=True)
    for number in (1, 2):
        runtime.send(runtime.main, ref, number)
    assert mailbox(watcher) == [1]
    assert not runtime.unalias(watcher, ref)


@pytest.mark.parametrize("mode", ["explicit_unalias", "demonitor", "reply_demonitor"])
async def test_how_long_an_alias_of_a_monitor_lives(
    runtime: Runtime, watcher: Process, mode: str
) -> None:
    server = runtime.spawn(None)
    replied = runtime.monitor(watcher, server.pid, alias=mode)
    taken_back = runtime.monitor(watcher, server.pid, alias=mode)
    fired = runtime.monitor(watcher, server.pid, alias=mode)
    runtime.send(runtime.main, replied, 1)
    runtime.send(runtime.main, replied, 2)
    assert mailbox(watcher) == ([1] if mode == "reply_demonitor" else [1, 2])
    assert runtime.demonitor(watcher, replied, info=True) is (mode != "reply_demonitor")
    assert runtime.demonitor(watcher, taken_back, info=True)
    runtime.exit(runtime.main, server.pid, atom.bye)
    assert mailbox(watcher)[-1] == down(fired, server.pid, atom.bye)
    count = len(mailbox(watcher))
    for ref in (taken_back, fired):
        runtime.send(runtime.main, ref, atom.late)
    late = [atom.late] * 2 if mode == "explicit_unalias" else []
    assert mailbox(watcher)[count:] == late


# ------------------------------------------------------------------------- monitors and pressure


async def test_a_monitor_that_cannot_be_sent_is_not_there(
    runtime: Runtime, out: Recorder, watcher: Process
) -> None:
    out.full = True
    with pytest.raises(PeerBusy):
        runtime.monitor(watcher, THERE, alias="demonitor")
    with pytest.raises(PeerBusy):
        _ = runtime.open_call(watcher, THERE)
    with pytest.raises(PeerBusy):
        runtime.link(watcher, THERE)
    assert not watcher.monitors
    assert not watcher.links
    assert not runtime.aliases
    out.full = False
    runtime.peer_up(PEER)
    runtime.peer_down(FAR, PEER, atom.bye)
    assert mailbox(watcher) == []


async def test_whom_only_one_of_two_knows_to_be_gone(
    runtime: Runtime, out: Recorder, watcher: Process
) -> None:
    """Answers to what was taken back meanwhile say nothing to anybody."""
    runtime.peer_up(PEER)
    ref = runtime.monitor(watcher, THERE)
    runtime.link(watcher, THERE)
    assert runtime.demonitor(watcher, ref)
    runtime.unlink(watcher, THERE)
    runtime.unlink(watcher, THERE)
    control(runtime, c.MonitorExit(THERE, watcher.pid, ref, IN), atom.bye)
    control(runtime, c.Exit(THERE, watcher.pid, IN), atom.bye)
    assert mailbox(watcher) == []
    assert [type(message) for message in out.sent_messages()] == [
        c.Monitor,
        c.Link,
        c.Demonitor,
        c.UnlinkId,
    ]
    other = runtime.monitor(watcher, THERE)
    runtime.exit(runtime.main, watcher.pid, atom.kill)
    assert out.sent_messages()[-1] == c.Demonitor(watcher.pid, THERE, other)
    runtime.peer_down(FAR, PEER, atom.bye)
    assert mailbox(watcher) == []


async def test_their_monitor_goes_with_their_node(runtime: Runtime, out: Recorder) -> None:
    runtime.peer_up(PEER)
    server = runtime.spawn(None, name="server")
    control(runtime, c.Monitor(THERE, atom.server, THEIRS))
    assert server.watchers
    runtime.peer_down(FAR, PEER, atom.bye)
    assert not server.watchers
    runtime.exit(runtime.main, server.pid, atom.bye)
    assert out.sent == []


# ------------------------------------------------------------------------- links


async def test_links_to_oneself_to_the_dead_and_twice(
    runtime: Runtime, out: Recorder, watcher: Process
) -> None:
    runtime.link(watcher, watcher.pid)
    assert not watcher.links
    dead = runtime.spawn(None)
    runtime.exit(runtime.main, dead.pid, atom.bye)
    runtime.link(watcher, dead.pid)
    assert mailbox(watcher) == [(atom.EXIT, dead.pid, atom.noproc)]
    for _ in range(2):
        runtime.link(watcher, THERE)
    assert out.sent_messages() == [c.Link(watcher.pid, THERE)]
    runtime.unlink(watcher, dead.pid)


async def test_a_normal_exit_that_one_sends_oneself_ends(runtime: Runtime) -> None:
    process = runtime.spawn(None)
    other = runtime.spawn(None)
    runtime.exit(other, process.pid, atom.normal)
    assert process.alive
    runtime.exit(process, process.pid, atom.normal)
    assert process.exit_reason == atom.normal


# ------------------------------------------------------------------------- names


async def test_names_that_cannot_be_given_or_taken(runtime: Runtime, watcher: Process) -> None:
    runtime.register("one", watcher.pid)
    for name, pid in (
        ("undefined", runtime.main.pid),
        ("one", runtime.main.pid),
        ("two", watcher.pid),
        ("two", Pid(Atom("far@host"), 1, 0, 1)),
        ("two", Pid(watcher.pid.node, 999_999, 0, watcher.pid.creation)),
    ):
        with pytest.raises(NameError_):
            runtime.register(name, pid)
    with pytest.raises(NameError_):
        runtime.unregister("two")
    with pytest.raises(NameError_):
        runtime.send(watcher, "two", 1)
    assert runtime.registered() == [Atom("one")]
    runtime.unregister("one")
    assert runtime.whereis("one") is None


# ------------------------------------------------------------------------- timers and calls


async def test_a_timer_ends_with_its_process_and_with_cancel(
    runtime: Runtime, watcher: Process
) -> None:
    cancelled = runtime.send_after(watcher, 60, watcher.pid, 1)
    kept = runtime.start_timer(watcher, 60, watcher.pid, 2)
    due = runtime.start_timer(watcher, 0, watcher.pid, 3)
    left = runtime.cancel_timer(cancelled)
    assert left is not None
    assert 0 < left <= 60
    assert runtime.cancel_timer(cancelled) is None
    async with asyncio.timeout(10):
        while not mailbox(watcher):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert mailbox(watcher) == [(atom.timeout, due, 3)]
    left = runtime.read_timer(kept)
    assert left is not None
    assert 0 < left <= 60
    runtime.exit(runtime.main, watcher.pid, atom.kill)
    assert runtime.read_timer(kept) is None


async def test_a_callback_that_is_taken_back_is_not_called(runtime: Runtime) -> None:
    server = runtime.spawn(None)
    slot = runtime.open_call(runtime.main, server.pid)
    called: list[int] = []

    def first(_: object) -> None:
        called.append(1)

    def second(_: object) -> None:
        called.append(2)

    slot.remove_done_callback(first)
    slot.add_done_callback(first)
    slot.add_done_callback(second)
    slot.remove_done_callback(first)
    runtime.exit(runtime.main, server.pid, atom.bye)
    await asyncio.sleep(0)
    slot.close()
    assert called == [2]
