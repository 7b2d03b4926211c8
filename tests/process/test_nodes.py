from __future__ import annotations

from typing import Any

import pytest

from pynode.behaviours import gen
from pynode.dist import control as c
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Peer
from pynode.process import Process, Runtime
from pynode.terms import Atom, Pid, Reference, atom
from pynode.testing import eventually
from tests.process.test_inbound import FAR, PEER, REF, THERE, messages
from tests.process.wire import Recorder

SECRET = Peer(Atom("secret@host"), 9, OUR_FLAGS, hidden=True)


def up_and_down(runtime: Runtime) -> None:
    for peer in (PEER, SECRET):
        runtime.peer_up(peer)
        runtime.peer_down(peer.name, peer, atom.because)


def names(process: Process) -> list[tuple[str, str]]:
    return [(str(message[0]), str(message[1])) for message in messages(process)]


async def test_monitor_nodes_plain(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    runtime.monitor_nodes(main)
    up_and_down(runtime)
    assert messages(main) == [(atom.nodeup, FAR), (atom.nodedown, FAR)]


@pytest.mark.parametrize(
    ("node_type", "seen"),
    [("visible", ["far@host"]), ("hidden", ["secret@host"]), ("all", ["far@host", "secret@host"])],
)
async def test_monitor_nodes_by_type(
    runtime: Runtime, out: Recorder, node_type: str, seen: list[str]
) -> None:
    main = runtime.main
    runtime.monitor_nodes(main, node_type=node_type, nodedown_reason=True)
    up_and_down(runtime)
    got = messages(main)
    assert [str(message[1]) for message in got] == [name for name in seen for _ in range(2)]
    kind = atom.hidden if got[0][1] == SECRET.name else atom.visible
    assert got[0][2] == [(atom.node_type, kind)]
    assert got[1][2] == [(atom.node_type, kind), (atom.nodedown_reason, atom.because)]


async def test_monitor_nodes_with_an_empty_info_list(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    runtime.monitor_nodes(main, info=True)
    up_and_down(runtime)
    assert messages(main) == [(atom.nodeup, FAR, []), (atom.nodedown, FAR, [])]
    with pytest.raises(ValueError, match="node_type"):
        runtime.monitor_nodes(main, node_type="other")


async def test_subscriptions_count_and_end(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    runtime.monitor_nodes(main)
    runtime.monitor_nodes(main)
    runtime.monitor_nodes(main, node_type="all")
    runtime.peer_up(PEER)
    assert names(main) == [("nodeup", "far@host")] * 3
    runtime.monitor_nodes(main, False)
    runtime.peer_down(FAR, PEER, atom.bye)
    assert names(main) == [("nodedown", "far@host")]
    runtime.monitor_nodes(main, False, node_type="all")
    runtime.monitor_nodes(main, False)
    up_and_down(runtime)
    assert messages(main) == []


async def test_the_dead_are_not_told(runtime: Runtime, out: Recorder) -> None:
    process = runtime.spawn(None)
    runtime.monitor_nodes(process)
    runtime.monitor_node(process, FAR)
    assert out.asked == [FAR]
    runtime.exit(runtime.main, process.pid, atom.bye)
    up_and_down(runtime)
    assert runtime.nodes._subscriptions == {}


async def test_exits_then_downs_then_nodedowns(runtime: Runtime, out: Recorder) -> None:
    process = runtime.spawn(None, trap_exit=True)
    runtime.monitor_nodes(process)
    runtime.peer_up(PEER)
    runtime.monitor_node(process, FAR)
    runtime.monitor_node(process, FAR)
    runtime.monitor_node(process, FAR, False)
    runtime.monitor_node(process, "other@host", False)
    assert out.asked == []
    ref = runtime.monitor(process, THERE)
    runtime.link(process, THERE)
    request = runtime.spawn_request(process, FAR, "m", "f", [])
    assert runtime.nodes.connected() == [PEER]
    messages(process)
    runtime.peer_down(FAR, PEER, atom.because)
    assert messages(process) == [
        (atom.EXIT, THERE, atom.noconnection),
        (atom.DOWN, ref, atom.process, THERE, atom.noconnection),
        (atom.spawn_reply, request, atom.error, atom.noconnection),
        (atom.nodedown, FAR),
        (atom.nodedown, FAR),
    ]
    assert runtime.nodes.connected() == []
    assert runtime.nodes.find(FAR) is None
    runtime.peer_down(FAR, PEER, atom.because)
    assert messages(process) == []


async def test_who_ends_with_a_connection_causes_no_other(runtime: Runtime, out: Recorder) -> None:
    """What it owed to the node that is lost is not sent: sending would connect again."""
    runtime.peer_up(PEER)
    process = runtime.spawn(None)
    for number in (5, 6, 7):
        runtime.link(process, Pid(FAR, number, 0, 9))
    runtime.unlink(process, Pid(FAR, 7, 0, 9))
    runtime.monitor(process, THERE)
    slot = runtime.open_call(process, THERE)
    runtime.control(PEER, c.Monitor(THERE, process.pid, REF), None)
    assert len(out.take()) == 6
    runtime.peer_down(FAR, PEER, atom.because)
    assert not process.alive
    assert slot.done
    assert out.take() == []
    # Nor where somebody has begun to connect again by then.
    runtime.peer_up(PEER)
    first, second = (runtime.spawn(None) for _ in range(2))
    for process in (first, second):
        runtime.link(process, THERE)
        runtime.control(PEER, c.Monitor(THERE, process.pid, _their_ref(process)), None)
        process.extra.on_death["again"] = lambda _: runtime.send(runtime.main, THERE, atom.again)
    for process in (first, second):
        runtime.link(process, Pid(FAR, 6, 0, 9))
    out.take()
    runtime.peer_down(FAR, PEER, atom.because)
    assert not first.alive
    assert not second.alive
    again = c.SendSender(runtime.main.pid, THERE)
    assert out.take() == [(again, atom.again)] * 2


async def test_nodes_that_part_stay_apart(py_node: Any) -> None:
    """With links, monitors and calls between them, in both directions."""

    async def waits(process: Process) -> None:
        async for _ in process:
            pass

    async def calls(process: Process, to: Pid) -> None:
        await gen.call(process, to, atom.question, timeout=None)

    async with py_node() as one, py_node() as two:
        await one.connect(two.name)
        there = [two.runtime.spawn(waits) for _ in range(3)]
        here = one.runtime.spawn(calls, there[0].pid)
        for other in there:
            one.runtime.link(here, other.pid)
            two.runtime.monitor(other, here.pid)
        await eventually(lambda: len(here.watchers or ()) == 3 and here.rare and here.rare.calls)
        await eventually(lambda: len(there[0].watchers or ()) == 1)
        assert one.disconnect(two.name)
        assert not here.alive
        assert not one.net.is_connecting(two.name)
        await eventually(lambda: not any(process.alive for process in there))
        await eventually(lambda: not two.nodes())
        assert not two.net.is_connecting(one.name)
        assert not one.nodes()


def _their_ref(process: Process) -> Reference:
    """Return a reference of the other node, another one for each process."""
    return Reference(FAR, 9, (process.pid.id, 2, 3))


async def test_a_failed_attempt_is_no_nodedown_for_those_who_watch_all(
    runtime: Runtime, out: Recorder
) -> None:
    main = runtime.main
    main.trap_exit = True
    runtime.monitor_nodes(main)
    runtime.monitor_node(main, FAR)
    runtime.link(main, THERE)
    runtime.peer_down(FAR, None, atom.setup_failed)
    assert messages(main) == [(atom.EXIT, THERE, atom.noconnection), (atom.nodedown, FAR)]


async def test_watching_and_taking_it_back(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    runtime.monitor_node(main, FAR)
    runtime.monitor_node(main, FAR, False)
    runtime.monitor_node(main, FAR, False)
    runtime.peer_down(FAR, None, atom.setup_failed)
    assert messages(main) == []


async def test_links_and_monitors_of_the_dead_leave_the_tables(
    runtime: Runtime, out: Recorder
) -> None:
    runtime.peer_up(PEER)
    process = runtime.spawn(None)
    runtime.link(process, THERE)
    runtime.monitor(process, THERE)
    runtime.monitor(process, Pid(FAR, 77, 0, 9))
    runtime.exit(runtime.main, process.pid, atom.bye)
    remote: Any = runtime.nodes.find(FAR)
    assert (remote.links, remote.monitors, remote.watchers) == (set(), {}, {})
