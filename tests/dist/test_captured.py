"""Bytes of real nodes, without the nodes."""

from __future__ import annotations

import pytest

from pynode.dist import control as c
from pynode.dist.connection import Connection
from pynode.dist.flags import Flag, offered
from pynode.dist.handshake import Handshake, State, Status, StatusReceived
from pynode.dist.local import LocalNode
from pynode.dist.seam import Peer
from pynode.errors import CookieError
from pynode.terms import Atom, Pid, Reference, atom

from .captured import CAPTURED, Captured
from .pair import Signal, collector, frame

LOCAL = LocalNode("py@vm", 7, offered(hidden=False))
ME = Pid(Atom("py@vm"), 1, 0, 7)
ALIAS = Reference(Atom("py@vm"), 7, (7, 8, 9))

each = pytest.mark.parametrize("captured", CAPTURED, ids=[f"otp{x.release}" for x in CAPTURED])


@each
def test_the_handshake(captured: Captured) -> None:
    shake = Handshake.dial(LOCAL, captured.node, b"dist_tests", 1)
    assert shake.receive_data(captured.status + captured.challenge) == [StatusReceived(Status.OK)]
    assert shake.state is State.AWAIT_ACK
    # Its acknowledgement answers the challenge of that day, not ours.
    with pytest.raises(CookieError):
        shake.receive_data(captured.ack)


@each
@pytest.mark.parametrize("portion", [1, 7, 100_000])
def test_the_signals(captured: Captured, portion: int) -> None:
    node = Atom(captured.node)
    flags = int.from_bytes(captured.challenge[3:11], "big") & LOCAL.flags
    assert flags & Flag.PUBLISHED
    connection = Connection(LOCAL, Peer(node, captured.creation, flags, hidden=False))
    got: list[Signal] = []
    stream = b"".join(map(frame, captured.frames))
    for i in range(0, len(stream), portion):
        connection.receive_data(stream[i : i + portion], collector(got))

    process = Pid(node, captured.process, 0, captured.creation)
    (rex, hello), (name_server, greeting), *others = got
    assert isinstance(rex, c.RegSend)
    assert (rex.name, hello) == (atom.rex, (rex.from_, atom.features_request))
    assert isinstance(name_server, c.RegSend)
    assert name_server.name == atom.global_name_server
    assert greeting[1][2] == node
    assert [sent for sent, _ in others[:2]] == [
        c.SendSender(Pid(node, others[0][0].from_.id, 0, captured.creation), ME),  # type: ignore[union-attr]
        c.SendSender(Pid(node, others[1][0].from_.id, 0, captured.creation), ME),  # type: ignore[union-attr]
    ]
    assert others[1][1][1] == process

    message: c.Control = c.AliasSend(process, ALIAS)
    if flags & Flag.ALTACT_SIG:
        message = c.AltactSend(4, process, ALIAS)
    odd = (atom.odd, list(b"list"), 1.5, b"bin", {atom.a: True})
    monitor, spawn = others[4][0], others[5][0]
    assert isinstance(monitor, c.Monitor)
    assert isinstance(spawn, c.SpawnRequest)
    assert others[2:] == [
        (message, odd),
        (c.Exit2(process, ME, c.IN_PAYLOAD), (atom.because, None)),
        (c.Monitor(process, atom.name, monitor.ref), None),
        (
            c.SpawnRequest(
                spawn.request, process, spawn.group_leader, (atom.m, atom.f, 1), [atom.monitor]
            ),
            [atom.x],
        ),
        (c.Link(process, ME), None),
        (c.UnlinkId(1, process, ME), None),
        (c.Demonitor(process, atom.name, monitor.ref), None),
        (c.MonitorExit(process, ME, ALIAS, c.IN_PAYLOAD), atom.bye),
    ]
    assert monitor.ref.node == spawn.request.node == node
