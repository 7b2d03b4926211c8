from __future__ import annotations

from typing import Any

import pytest

from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Peer
from pynode.process import Process, Runtime
from pynode.terms import Atom, Pid, atom
from tests.process.test_inbound import FAR, PEER, THERE, messages
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
