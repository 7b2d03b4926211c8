"""What a peer's control messages do, one by one, and what goes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.dist import control as c
from pynode.dist.flags import OUR_FLAGS, Flag
from pynode.dist.seam import Payload, Peer
from pynode.errors import DecodeError, FrameError
from pynode.policy import ALLOW, Action, Decision, Deny, deny
from pynode.process import Process, Runtime
from pynode.process.inbound import _HANDLERS
from pynode.telemetry import Event
from pynode.terms import Atom, ExportFun, Pid, Reference, atom
from tests.process.conftest import MakeRuntime
from tests.process.wire import Recorder, payload

FAR = Atom("far@host")
PEER = Peer(FAR, 9, OUR_FLAGS, hidden=False)
THERE = Pid(FAR, 5, 0, 9)
LEADER = Pid(FAR, 2, 0, 9)
REF = Reference(FAR, 9, (1, 2, 3))
NO_TERM = Payload(b"\xff\xff", 0, ())
IN = c.IN_PAYLOAD


@pytest.fixture
async def here(runtime: Runtime, out: Recorder) -> Process:
    runtime.peer_up(PEER)
    return runtime.spawn(None, name="here", trap_exit=True)


def messages(process: Process) -> list[Any]:
    if process.mailbox is None:
        return []
    found = process.mailbox.messages()
    process.mailbox = None
    return found


def control(runtime: Runtime, message: c.Control, term: Any = None, *, peer: Peer = PEER) -> None:
    runtime.control(peer, message, payload(term))


def test_every_operation_has_a_handler() -> None:
    assert set(_HANDLERS) == set(c.OPERATIONS)


# --------------------------------------------------------------------------- messages


async def test_each_way_of_sending(runtime: Runtime, here: Process) -> None:
    alias = runtime.alias(here)
    name = Atom("here")
    ways: list[c.Control] = [
        c.Send(here.pid),
        c.Send(here.pid, "token"),
        c.SendSender(THERE, here.pid),
        c.RegSend(THERE, name),
        c.AliasSend(THERE, alias),
        c.AltactSend(0, THERE, here.pid),
        c.AltactSend(4, THERE, alias),
        c.AltactSend(8, THERE, name),
        c.AltactSend(2 | 8 | 1 << 70, THERE, name, "token"),
    ]
    for number, message in enumerate(ways):
        control(runtime, message, number)
    assert messages(here) == list(range(9))


async def test_nobody_there_and_the_payload_is_not_read(runtime: Runtime, here: Process) -> None:
    gone = Pid(runtime.node_name, 99, 0, 7)
    stale = Pid(runtime.node_name, here.pid.id, 0, 6)
    ref = runtime.make_ref()
    to_nobody: list[c.Control] = [
        c.Send(gone),
        c.Send(stale),
        c.SendSender(THERE, gone),
        c.RegSend(THERE, Atom("nobody")),
        c.RegSend(THERE, True),
        c.AliasSend(THERE, ref),
        c.AltactSend(4, THERE, ref),
        c.AltactSend(4 | 16, THERE, ref),
        c.AltactSend(16, THERE, gone),
        c.Exit2(THERE, gone, IN),
        c.Exit(THERE, gone, IN),
        c.Exit(THERE, here.pid, IN),
        c.MonitorExit(THERE, here.pid, ref, IN),
        c.GroupLeader(THERE, gone),
        c.Demonitor(THERE, here.pid, REF),
        c.Unlink(THERE, here.pid),
        c.Unlink(THERE, gone),
        c.UnlinkIdAck(1, THERE, here.pid),
        c.UnlinkIdAck(1, THERE, gone),
        c.SpawnReply(ref, here.pid, 1, THERE),
        c.NodeLink(),
    ]
    for message in to_nobody:
        runtime.control(PEER, message, NO_TERM)
    assert here.alive
    assert messages(here) == []


async def test_what_costs_the_connection(runtime: Runtime, here: Process) -> None:
    alias = runtime.alias(here)
    with pytest.raises(DecodeError):
        runtime.control(PEER, c.SendSender(THERE, here.pid), NO_TERM)
    wrong: list[c.Control] = [
        c.AltactSend(0, THERE, alias),
        c.AltactSend(4, THERE, here.pid),
        c.AltactSend(8, THERE, here.pid),
        c.Monitor(THERE, here.pid, runtime.make_ref()),
        c.SpawnRequest(runtime.make_ref(), THERE, LEADER, (atom.m, atom.f, 0), []),
        c.SpawnRequest(REF, here.pid, LEADER, (atom.m, atom.f, 0), []),
    ]
    for message in wrong:
        with pytest.raises(FrameError):
            control(runtime, message, [])
    with pytest.raises(FrameError):
        runtime.control(PEER, c.SendSender(THERE, here.pid), None)


async def test_text_processes_get_text(runtime: Runtime, here: Process) -> None:
    here.text = True
    alias = runtime.alias(here)
    control(runtime, c.SendSender(THERE, here.pid), [b"a"])
    control(runtime, c.AliasSend(THERE, alias), b"b")
    control(runtime, c.Exit2(THERE, here.pid, IN), b"c")
    urgent = runtime.alias(here, priority=True)
    control(runtime, c.AltactSend(5, THERE, urgent), b"d")
    assert messages(here) == ["d", ["a"], "b", (atom.EXIT, THERE, "c")]


async def test_priority_is_for_priority_aliases(runtime: Runtime, here: Process) -> None:
    plain, urgent = runtime.alias(here), runtime.alias(here, priority=True)
    control(runtime, c.SendSender(THERE, here.pid), 1)
    control(runtime, c.AltactSend(1 | 4, THERE, plain), 2)
    control(runtime, c.AltactSend(1 | 4, THERE, urgent), 3)
    control(runtime, c.AltactSend(4, THERE, urgent), 4)
    control(runtime, c.AltactSend(1 | 4, THERE, urgent), 5)
    control(runtime, c.AltactSend(1, THERE, here.pid), 6)
    assert messages(here) == [3, 5, 1, 2, 4, 6]
    runtime.send(runtime.main, urgent, 7)
    runtime.send(runtime.main, urgent, 8, priority=True)
    assert messages(here) == [8, 7]
    waiting = asyncio.create_task(here.receive())
    await asyncio.sleep(0)
    runtime.send(runtime.main, urgent, 9, priority=True)
    assert await waiting == 9


async def test_a_trapped_priority_exit_is_a_priority_message(
    runtime: Runtime, here: Process
) -> None:
    plain, urgent = runtime.alias(here, reply=True), runtime.alias(here, priority=True)
    control(runtime, c.SendSender(THERE, here.pid), 1)
    control(runtime, c.AltactSend(1 | 4 | 16, THERE, plain), atom.a)
    control(runtime, c.AltactSend(1 | 4 | 16, THERE, urgent), atom.b)
    control(runtime, c.AltactSend(4 | 16, THERE, urgent), atom.c)
    control(runtime, c.AltactSend(1 | 16, THERE, here.pid), atom.d)
    runtime.exit(runtime.main, urgent, atom.e, priority=True)
    runtime.exit(runtime.main, here.pid, atom.f, priority=True)
    control(runtime, c.AliasSend(THERE, plain), 2)  # an exit does not use up a reply alias
    seen = [message if type(message) is int else message[2] for message in messages(here)]
    assert seen == [atom.b, atom.e, 1, atom.a, atom.c, atom.d, atom.f, 2]


# --------------------------------------------------------------------------- exits and links


async def test_exit2_in_both_forms_and_by_altact(runtime: Runtime, here: Process) -> None:
    alias = runtime.alias(here)
    control(runtime, c.Exit2(THERE, here.pid, atom.inside))
    control(runtime, c.Exit2(THERE, here.pid, IN), atom.payload)
    control(runtime, c.AltactSend(16, THERE, here.pid), atom.altact)
    control(runtime, c.AltactSend(17, THERE, here.pid), atom.urgent)
    control(runtime, c.AltactSend(16 | 4, THERE, alias), atom.alias)
    control(runtime, c.AltactSend(16 | 8, THERE, Atom("here")), atom.name)
    reasons = [message[2] for message in messages(here)]
    assert reasons == [atom(r) for r in ("inside", "payload", "altact", "urgent", "alias", "name")]
    control(runtime, c.Exit2(THERE, here.pid, IN), atom.kill)
    assert here.exit_reason == atom.killed


async def test_link_and_its_exit(runtime: Runtime, here: Process, out: Recorder) -> None:
    control(runtime, c.Link(THERE, here.pid))
    control(runtime, c.Link(THERE, here.pid))
    assert here.links == {THERE: 0}
    control(runtime, c.Exit(THERE, here.pid, IN), atom.bye)
    control(runtime, c.Exit(THERE, here.pid, IN), atom.again)
    assert messages(here) == [(atom.EXIT, THERE, atom.bye)]
    assert out.take() == []
    control(runtime, c.Link(THERE, here.pid))
    runtime.exit(runtime.main, here.pid, atom.kill)
    assert out.take() == [(c.Exit(here.pid, THERE, IN), atom.killed)]


async def test_link_to_nobody(runtime: Runtime, here: Process, out: Recorder) -> None:
    for pid in (Pid(runtime.node_name, 99, 0, 7), Pid(runtime.node_name, here.pid.id, 0, 6)):
        control(runtime, c.Link(THERE, pid))
        assert out.take() == [(c.Exit(pid, THERE, IN), atom.noproc)]


async def test_unlink_is_acknowledged_always(
    runtime: Runtime, here: Process, out: Recorder
) -> None:
    gone = Pid(runtime.node_name, 99, 0, 7)
    control(runtime, c.Link(THERE, here.pid))
    for pid in (here.pid, here.pid, gone):
        control(runtime, c.UnlinkId(2**64 - 1, THERE, pid))
        assert out.take() == [c.UnlinkIdAck(2**64 - 1, pid, THERE)]
    assert here.links == {}
    control(runtime, c.Link(THERE, here.pid))
    control(runtime, c.Unlink(THERE, here.pid))
    assert here.links == {}


async def test_what_crosses_an_unlink_of_ours_is_ignored(
    runtime: Runtime, here: Process, out: Recorder
) -> None:
    runtime.link(here, THERE)
    runtime.link(here, THERE)
    runtime.unlink(here, THERE)
    runtime.unlink(here, THERE)
    [link, unlink] = out.take()
    assert link == c.Link(here.pid, THERE)
    assert unlink == c.UnlinkId(unlink.id, here.pid, THERE)
    control(runtime, c.Link(THERE, here.pid))  # theirs, on its way before they saw ours
    control(runtime, c.UnlinkId(5, THERE, here.pid))
    assert out.take() == [c.UnlinkIdAck(5, here.pid, THERE)]
    control(runtime, c.UnlinkIdAck(unlink.id + 1, THERE, here.pid))
    assert here.links == {THERE: unlink.id}
    runtime.control(PEER, c.Exit(THERE, here.pid, IN), NO_TERM)
    assert here.links == {}
    assert messages(here) == []


async def test_the_acknowledgement_ends_an_unlink(
    runtime: Runtime, here: Process, out: Recorder
) -> None:
    runtime.link(here, THERE)
    runtime.unlink(here, THERE)
    unlink = out.take()[-1]
    control(runtime, c.UnlinkIdAck(unlink.id, THERE, here.pid))
    assert here.links == {}
    control(runtime, c.Link(THERE, here.pid))
    assert here.links == {THERE: 0}


async def test_a_link_takes_an_unlink_back(runtime: Runtime, here: Process, out: Recorder) -> None:
    runtime.link(here, THERE)
    runtime.unlink(here, THERE)
    runtime.link(here, THERE)
    assert [type(message) for message in out.sent_messages()] == [c.Link, c.UnlinkId, c.Link]
    unlink = out.take()[1]
    control(runtime, c.UnlinkIdAck(unlink.id, THERE, here.pid))
    assert here.links == {THERE: 0}
    runtime.unlink(here, THERE)
    runtime.exit(runtime.main, here.pid, atom.kill)
    assert type(out.take()[-1]) is c.UnlinkId  # no EXIT for a link that was taken away


async def test_unlink_of_a_peer_without_ids(runtime: Runtime, here: Process, out: Recorder) -> None:
    out.flags = OUR_FLAGS & ~Flag.UNLINK_ID
    runtime.link(here, THERE)
    runtime.unlink(here, THERE)
    assert out.take()[-1] == c.Unlink(here.pid, THERE)
    assert here.links == {}


# --------------------------------------------------------------------------- monitors


async def test_monitors_of_a_peer(runtime: Runtime, here: Process, out: Recorder) -> None:
    name = Atom("here")
    refs = [Reference(FAR, 9, (n, 0, 0)) for n in range(3)]
    control(runtime, c.Monitor(THERE, here.pid, refs[0]))
    control(runtime, c.Monitor(THERE, name, refs[1]))
    control(runtime, c.Monitor(THERE, here.pid, refs[2]))
    other = Pid(FAR, 6, 0, 9)
    control(runtime, c.Demonitor(other, here.pid, refs[2]))  # not theirs
    control(runtime, c.Demonitor(THERE, here.pid, refs[2]))
    control(runtime, c.Demonitor(THERE, here.pid, refs[2]))
    runtime.exit(runtime.main, here.pid, atom.kill)
    assert out.take() == [
        (c.MonitorExit(here.pid, THERE, refs[0], IN), atom.killed),
        (c.MonitorExit(name, THERE, refs[1], IN), atom.killed),
    ]


async def test_monitors_of_nobody(runtime: Runtime, here: Process, out: Recorder) -> None:
    gone = Pid(runtime.node_name, 99, 0, 7)
    for target in (gone, Atom("nobody"), None):
        control(runtime, c.Monitor(THERE, target, REF))
        assert out.take() == [(c.MonitorExit(target, THERE, REF, IN), atom.noproc)]


async def test_our_monitors(runtime: Runtime, here: Process, out: Recorder) -> None:
    by_pid = runtime.monitor(here, THERE)
    by_name = runtime.monitor(here, ("name", FAR))
    third = runtime.monitor(here, THERE, tag=atom.other)
    assert out.take() == [
        c.Monitor(here.pid, THERE, by_pid),
        c.Monitor(here.pid, Atom("name"), by_name),
        c.Monitor(here.pid, THERE, third),
    ]
    assert runtime.demonitor(here, third)
    assert out.take() == [c.Demonitor(here.pid, THERE, third)]
    runtime.control(PEER, c.MonitorExit(THERE, here.pid, third, IN), NO_TERM)
    runtime.control(PEER, c.MonitorExit(THERE, runtime.main.pid, by_pid, IN), NO_TERM)
    control(runtime, c.MonitorExit(THERE, here.pid, by_pid, atom.inside))
    control(runtime, c.MonitorExit(Atom("name"), here.pid, by_name, IN), atom.payload)
    assert messages(here) == [
        (atom.DOWN, by_pid, atom.process, THERE, atom.inside),
        (atom.DOWN, by_name, atom.process, (Atom("name"), FAR), atom.payload),
    ]
    tagged = runtime.monitor(here, THERE, tag=atom.other)
    control(runtime, c.MonitorExit(THERE, here.pid, tagged, atom.bye))
    assert messages(here)[0][0] == atom.other
    last = runtime.monitor(here, ("name", FAR))
    out.take()
    runtime.exit(runtime.main, here.pid, atom.kill)
    assert out.take() == [c.Demonitor(here.pid, Atom("name"), last)]


async def test_group_leader(runtime: Runtime, here: Process, out: Recorder) -> None:
    control(runtime, c.GroupLeader(LEADER, here.pid))
    assert here.group_leader == LEADER
    runtime.group_leader(here, THERE, here.pid)
    assert out.take() == [c.GroupLeader(here.pid, THERE)]


# --------------------------------------------------------------------------- policy


DENIED: list[tuple[Action, Any]] = [
    (Action.SEND, lambda pid, alias: c.SendSender(THERE, pid)),
    (Action.SEND, lambda pid, alias: c.RegSend(THERE, Atom("here"))),
    (Action.SEND, lambda pid, alias: c.AliasSend(THERE, alias)),
    (Action.EXIT, lambda pid, alias: c.Exit2(THERE, pid, IN)),
    (Action.EXIT, lambda pid, alias: c.AltactSend(16, THERE, pid)),
    (Action.LINK, lambda pid, alias: c.Link(THERE, pid)),
    (Action.MONITOR, lambda pid, alias: c.Monitor(THERE, pid, REF)),
    (Action.GROUP_LEADER, lambda pid, alias: c.GroupLeader(LEADER, pid)),
    (Action.SPAWN, lambda p, a: c.SpawnRequest(REF, THERE, LEADER, (atom.m, atom.f, 0), [])),
]


@pytest.mark.parametrize(("action", "make"), DENIED)
async def test_denied_and_never_decoded(
    make_runtime: MakeRuntime, action: Action, make: Any
) -> None:
    runtime = make_runtime(policy=deny(action, rule="no"))
    out = Recorder()
    runtime.attach(out)
    events: list[Event] = []
    runtime.telemetry.attach("signal_denied", events.append)
    here = runtime.spawn(None, name="here", trap_exit=True)
    before = here.group_leader
    runtime.control(PEER, make(here.pid, runtime.alias(here)), NO_TERM)
    assert here.alive
    assert messages(here) == []
    assert (here.links, here.watchers, here.group_leader) == (None, None, before)
    assert runtime.inbound.denied == 1
    assert events[0].facts["rule"] == "no"
    answer = {
        Action.LINK: [(c.Exit(here.pid, THERE, IN), atom.noproc)],
        Action.MONITOR: [(c.MonitorExit(here.pid, THERE, REF, IN), atom.noproc)],
        Action.SPAWN: [c.SpawnReply(REF, THERE, 0, atom.notsup)],
    }
    assert out.take() == answer.get(action, [])


async def test_what_policy_is_asked(make_runtime: MakeRuntime) -> None:
    asked: list[Any] = []

    def policy(peer: Peer, action: Action, target: Any) -> Decision:
        asked.append((peer, action, target))
        return ALLOW

    runtime = make_runtime(policy=policy)
    runtime.attach(Recorder())
    here = runtime.spawn(None)
    control(runtime, c.SendSender(Pid(Atom("liar@host"), 1, 0, 1), here.pid), 1)
    args = [ExportFun(atom.m, atom.f, 1), [1]]
    mfa = (atom.erlang, atom.apply, 2)
    control(runtime, c.SpawnRequest(REF, THERE, LEADER, mfa, []), args)
    assert asked == [
        (PEER, Action.SEND, here.pid),
        (PEER, Action.SPAWN, mfa),
        (PEER, Action.SPAWN, (atom.m, atom.f, 1)),
    ]


async def test_a_policy_that_fails_denies(
    make_runtime: MakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    def policy(peer: Peer, action: Action, target: Any) -> Decision:
        if action is Action.SPAWN and target[0] == atom.erlang:
            return ALLOW
        raise ValueError("policy")

    runtime = make_runtime(policy=policy)
    out = Recorder()
    runtime.attach(out)
    here = runtime.spawn(None)
    runtime.control(PEER, c.SendSender(THERE, here.pid), NO_TERM)
    assert runtime.inbound.denied == 1
    assert "the policy failed" in caplog.text
    args = [ExportFun(atom.m, atom.f, 0), []]
    request = c.SpawnRequest(REF, THERE, LEADER, (atom.erlang, atom.apply, 2), [])
    control(runtime, request, args)
    assert out.take() == [c.SpawnReply(REF, THERE, 0, atom.notsup)]


def test_decisions() -> None:
    assert ALLOW
    assert not Deny("rule")
    policy = deny(Action.LINK)
    assert policy(PEER, Action.LINK, THERE) == Deny("denied")
    assert policy(PEER, Action.SEND, THERE) is ALLOW


async def test_nothing_happens_once_the_node_has_stopped(
    runtime: Runtime, here: Process, out: Recorder
) -> None:
    await runtime.stop(0)
    out.take()
    control(runtime, c.Monitor(THERE, Atom("nobody"), REF))
    control(runtime, c.SpawnRequest(REF, THERE, LEADER, (atom.m, atom.f, 0), [atom.x]), [])
    runtime.peer_drained(FAR)
    runtime.peer_down(FAR, PEER, atom.bye)
    assert out.take() == []
