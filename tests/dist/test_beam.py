"""The machines against a real BEAM, both roles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from pynode import etf
from pynode.dist import control as c
from pynode.dist.flags import MANDATORY_25, Flag, offered
from pynode.dist.handshake import (
    AliveAnswered,
    Established,
    NameReceived,
    State,
    Status,
    StatusReceived,
)
from pynode.dist.local import LocalNode
from pynode.errors import CookieError, FlagError, NotAllowed
from pynode.terms import Atom, Pid, Reference, atom, charlist

from .real_node import HOST, DistBeam, Line, Listener, have_beam, local_node, nameless

pytestmark = [
    pytest.mark.beam,
    pytest.mark.skipif(not have_beam(), reason="no erl and epmd on this machine"),
]


@pytest.fixture(scope="module")
def beam() -> Iterator[DistBeam]:
    with DistBeam() as node:
        yield node


def statuses(line: Line) -> list[Status]:
    return [event.status for event in line.events if isinstance(event, StatusReceived)]


# --------------------------------------------------------------------------- dialling


@pytest.mark.parametrize("hidden", [True, False])
def test_dialled(beam: DistBeam, hidden: bool) -> None:
    with Line.dial(beam, local_node(f"dial{hidden}".lower(), hidden=hidden)) as line:
        connection = line.shake()
        assert statuses(line) == [Status.OK]
        peer = connection.peer
        assert peer.name == beam.name
        assert peer.creation > 3
        assert peer.hidden is hidden
        assert peer.flags & MANDATORY_25 == MANDATORY_25
        kind = "hidden" if hidden else "visible"
        name = Atom(line.handshake.local.name)
        assert name in line.eval(f"nodes({kind})")
        assert line.eval("node()") == beam.name


def test_bytes_behind_the_name_are_ignored(beam: DistBeam) -> None:
    with Line.dial(beam, local_node("extra", hidden=True)) as line:
        sent = line.handshake.data_to_send()
        body = sent[2:] + b"\1\2\3future"
        line.write(len(body).to_bytes(2, "big") + body)
        line.shake()
        assert line.eval("node()") == beam.name


def test_another_cookie(beam: DistBeam) -> None:
    with (
        Line.dial(beam, local_node("cookie1", hidden=True), b"other") as line,
        pytest.raises(CookieError, match="closed the connection on our digest"),
    ):
        line.shake()


def test_a_flag_is_missing(beam: DistBeam) -> None:
    flags = offered(hidden=True) & ~int(Flag.MAP_TAG | Flag.MANDATORY_25_DIGEST)
    with (
        Line.dial(beam, local_node("poor", flags=flags)) as line,
        pytest.raises(NotAllowed),
    ):
        line.shake()


def test_the_digest_flag_alone_is_enough(beam: DistBeam) -> None:
    flags = offered(hidden=True) & ~MANDATORY_25
    with Line.dial(beam, local_node("digest", flags=flags)) as line:
        assert line.shake().flags & MANDATORY_25 == MANDATORY_25
        assert line.eval("node()") == beam.name


def test_alive_with_true_ends_the_old_connection(beam: DistBeam) -> None:
    old = Line.up(beam, "twice")
    with Line.up(beam, "twice") as line:
        assert statuses(line) == [Status.ALIVE]
        assert line.eval("node()") == beam.name
        with pytest.raises(EOFError):
            old.until(lambda message, term: False)
    old.close()


def test_alive_with_false_keeps_the_old_connection(beam: DistBeam) -> None:
    with (
        Line.up(beam, "keeps") as old,
        Line.dial(beam, local_node("keeps", hidden=True)) as line,
    ):
        line.write(line.handshake.data_to_send())
        (event,) = line.handshake.receive_data(line.read())
        assert event == StatusReceived(Status.ALIVE)
        line.handshake.answer_alive(False)
        line.write(line.handshake.data_to_send())
        assert line.read() == b""
        assert line.handshake.closed
        assert old.eval("node()") == beam.name


def test_a_node_without_a_name_is_named(beam: DistBeam) -> None:
    with Line.dial(beam, LocalNode(HOST, 0, offered(hidden=True))) as line:
        connection = line.shake()
        (event,) = [e for e in line.events if isinstance(e, StatusReceived)]
        assert event.status is Status.NAMED
        assert event.name.endswith("@" + HOST)
        assert line.handshake.local.name == event.name
        assert connection.peer.hidden
        assert line.eval("{node(From), lists:member(node(From), nodes(hidden))}") == (
            Atom(event.name),
            True,
        )


def test_not_allowed() -> None:
    with DistBeam() as beam:
        beam.eval("net_kernel:allow([nobody@here, first])")
        with (
            Line.dial(beam, local_node("second", hidden=True)) as line,
            pytest.raises(NotAllowed),
        ):
            line.shake()


# --------------------------------------------------------------------------- accepting


def connect(driver: Line, name: str) -> None:
    """Let the BEAM dial ``name``, without waiting for it."""
    driver.eval(f"spawn(fun() -> From ! {{connected, net_kernel:connect_node('{name}')}} end)")


def outcome(driver: Line) -> Any:
    _, term = driver.until(lambda _, t: type(t) is tuple and t[0] == Atom("connected"))
    return term[1]


@pytest.mark.parametrize("status", [Status.OK, Status.OK_SIMULTANEOUS])
@pytest.mark.parametrize("hidden", [True, False])
def test_accepted(beam: DistBeam, status: Status, hidden: bool) -> None:
    local = local_node(f"acc{status.value[-3:]}{hidden}".lower(), hidden=hidden)
    with Line.up(beam, "driver") as driver, Listener(beam, local) as listener:
        connect(driver, local.name)
        with listener.accept() as line:
            connection = line.shake(status)
            assert outcome(driver) is True
            (event,) = [e for e in line.events if isinstance(e, NameReceived)]
            assert (event.name, event.wants_name) == (beam.name.name, False)
            assert connection.peer.creation == event.creation
            assert connection.peer.hidden is hidden
            assert line.eval("node()") == beam.name


def test_alive_is_answered_by_a_beam(beam: DistBeam) -> None:
    local = local_node("alive1", hidden=True)
    with Line.up(beam, "driver") as driver, Listener(beam, local) as listener:
        connect(driver, local.name)
        with listener.accept() as line:
            line.shake(Status.ALIVE)
            assert AliveAnswered(True) in line.events
            assert outcome(driver) is True
            assert line.eval("node()") == beam.name


def refuse(line: Line, status: Status) -> None:
    """Read the BEAM's name and answer it with a status that ends the attempt."""
    (event,) = line.handshake.receive_data(line.read())
    assert isinstance(event, NameReceived)
    line.handshake.send_status(status)
    line.write(line.handshake.data_to_send())
    assert line.handshake.closed


def test_a_beam_is_refused(beam: DistBeam) -> None:
    local = local_node("refuses", hidden=True)
    with Line.up(beam, "driver") as driver, Listener(beam, local) as listener:
        connect(driver, local.name)
        with listener.accept() as line:
            refuse(line, Status.NOT_ALLOWED)
            assert outcome(driver) is False


def test_nok_to_a_beam_and_nobody_comes() -> None:
    """It waits for the connection that `nok` promises, and gives up when its time is over."""
    local = local_node("zz_nok", hidden=True)
    with (
        DistBeam("-kernel", "net_setuptime", "1") as beam,
        Line.up(beam, "driver") as driver,
        Listener(beam, local) as listener,
    ):
        connect(driver, local.name)
        with listener.accept() as line:
            refuse(line, Status.NOK)
            assert outcome(driver) is False


def test_nok_to_a_beam_and_our_own_attempt(beam: DistBeam) -> None:
    local = local_node("zz_nok", hidden=True)
    with Line.up(beam, "driver") as driver, Listener(beam, local) as listener:
        connect(driver, local.name)
        with listener.accept() as theirs:
            refuse(theirs, Status.NOK)
            with Line.dial(beam, local) as ours:
                ours.shake()
                assert statuses(ours) == [Status.OK_SIMULTANEOUS]
                assert outcome(driver) is True
                assert ours.eval("node()") == beam.name


def test_alive_is_answered_with_false_by_a_beam(beam: DistBeam) -> None:
    """Its net_kernel always says true of an attempt that lives, so another one stands in for it."""
    local = local_node("alive2", hidden=True)
    stand_in = f"""
        spawn(fun() ->
            process_flag(trap_exit, true),
            Setup = inet_tcp_dist:setup('{local.name}', normal, node(), shortnames, 7000),
            receive {{Setup, {{is_pending, _}}}} -> Setup ! {{self(), {{is_pending, false}}}} end,
            receive {{'EXIT', Setup, Reason}} -> From ! {{connected, Reason}} end
        end)
    """
    with Line.up(beam, "driver") as driver, Listener(beam, local) as listener:
        driver.eval(stand_in)
        with listener.accept() as line:
            line.handshake.receive_data(line.read())
            line.handshake.send_status(Status.ALIVE)
            line.write(line.handshake.data_to_send())
            assert line.handshake.receive_data(line.read()) == [AliveAnswered(False)]
            assert line.handshake.closed
            assert line.read() == b""
            assert outcome(driver) == atom.shutdown


def test_a_beam_with_another_cookie_is_found_out(beam: DistBeam) -> None:
    local = local_node("cookie2", hidden=True)
    with Line.up(beam, "driver") as driver, Listener(beam, local) as listener:
        connect(driver, local.name)
        with listener.accept() as line:
            with pytest.raises(CookieError, match="digest in the reply"):
                line.shake(cookie=b"other")
            line.close()
            assert outcome(driver) is False


def test_a_beam_leaves_us_if_we_lack_a_flag(beam: DistBeam) -> None:
    poor = int(MANDATORY_25 & ~int(Flag.NEW_FLOATS))
    local = local_node("poor2", flags=poor)
    with Line.up(beam, "driver") as driver, Listener(beam, local) as listener:
        connect(driver, local.name)
        with listener.accept() as line, pytest.raises(FlagError, match="NEW_FLOATS"):
            line.shake()


@pytest.mark.parametrize("name", ["aaa", "zzz"])
def test_both_dial_at_once(beam: DistBeam, name: str) -> None:
    """The BEAM's attempt is under way, unanswered, when ours arrives."""
    local = local_node(name, hidden=True)
    with Line.up(beam, "driver") as driver, Listener(beam, local) as listener:
        connect(driver, local.name)
        with listener.accept() as theirs, Line.dial(beam, local) as ours:
            assert theirs.handshake.receive_data(theirs.read())
            ours.write(ours.handshake.data_to_send())
            ours.events += ours.handshake.receive_data(ours.read())
            (status,) = statuses(ours)
            if status is Status.NOK:  # it keeps its own
                assert name == "aaa"
                theirs.handshake.use_cookie(b"dist_tests")
                theirs.handshake.send_status(Status.OK_SIMULTANEOUS)
                theirs.shake()
                winner = theirs
            else:
                assert status is Status.OK_SIMULTANEOUS
                while ours.handshake.state is not State.ESTABLISHED:
                    ours.write(ours.handshake.data_to_send())
                    ours.events += ours.handshake.receive_data(ours.read())
                established = ours.events[-1]
                assert isinstance(established, Established)
                ours.connect(established)
                winner = ours
            assert winner.eval("node()") == beam.name


def test_a_beam_without_a_name_is_named(beam: DistBeam) -> None:
    local = local_node("namer", hidden=False)
    with (
        Listener(beam, local) as listener,
        nameless(beam, local.name),
        listener.accept() as line,
    ):
        connection = line.shake(named=f"invented@{HOST}")
        (event,) = [e for e in line.events if isinstance(e, NameReceived)]
        assert event.wants_name
        assert event.name == HOST
        assert (connection.peer.name, connection.peer.creation) == (Atom(f"invented@{HOST}"), 9)
        assert connection.peer.dynamic
        assert connection.peer.hidden
        assert line.eval("{node(), erlang:is_alive()}") == (Atom(f"invented@{HOST}"), True)


# --------------------------------------------------------------------------- control messages

LESS = int(Flag.EXIT_PAYLOAD | Flag.SEND_SENDER | Flag.ALTACT_SIG)
KINDS = {
    "all": 0,
    "old forms": LESS,
    "no fragments": int(Flag.FRAGMENTS),
    "no cache": int(Flag.DIST_HDR_ATOM_CACHE),
    "pass-through": int(Flag.FRAGMENTS | Flag.DIST_HDR_ATOM_CACHE),
}


@pytest.fixture(params=list(KINDS), ids=[kind.replace(" ", "-") for kind in KINDS])
def line(beam: DistBeam, request: pytest.FixtureRequest) -> Iterator[Line]:
    """Yield a connection with the flags of each kind."""
    name = "kind" + request.param.replace(" ", "").replace("-", "")
    with Line.up(beam, name, without=KINDS[request.param]) as up:
        yield up


def kind_of(line: Line, *kinds: type[Any]) -> Any:
    return line.until(lambda message, _: isinstance(message, kinds))


def test_what_a_beam_sends(line: Line) -> None:
    me = line.pid(1)
    assert line.connection is not None
    inside = not line.connection.flags & Flag.EXIT_PAYLOAD

    def reason(message: Any, payload: Any) -> Any:
        assert (message.reason is c.IN_PAYLOAD) is not inside
        return message.reason if inside else payload

    worker = line.eval("spawn(fun() -> link(From), receive after 50 -> exit(bye) end end)")
    assert kind_of(line, c.Link)[0] == c.Link(worker, me)
    message, payload = kind_of(line, c.Exit)
    assert (message.from_, message.to, reason(message, payload)) == (worker, me, atom.bye)

    worker = line.eval("spawn(fun() -> link(From), unlink(From) end)")
    assert kind_of(line, c.UnlinkId)[0] == c.UnlinkId(1, worker, me)

    ref = line.eval("monitor(process, From)")
    message, _ = kind_of(line, c.Monitor)
    assert message == c.Monitor(message.from_, me, ref)
    message, _ = kind_of(line, c.Demonitor)
    assert message == c.Demonitor(message.from_, me, ref)
    line.eval("spawn(fun() -> demonitor(monitor(process, {name, node(From)})) end)")
    line.until(lambda m, _: isinstance(m, c.Monitor) and m.target == atom.name)
    line.until(lambda m, _: isinstance(m, c.Demonitor) and m.target == atom.name)

    line.eval("exit(From, because)")
    message, payload = kind_of(line, c.Exit2)
    assert reason(message, payload) == atom.because

    line.eval("{name, node(From)} ! hello")
    message, term = kind_of(line, c.RegSend)
    assert (message.name, term) == (atom.name, atom.hello)

    line.eval("group_leader(From, From)")
    assert kind_of(line, c.GroupLeader)[0] == c.GroupLeader(me, me)

    line.eval("spawn_request(node(From), m, f, [a, 2], [link, monitor])")
    message, arguments = kind_of(line, c.SpawnRequest)
    assert message.mfa == (atom.m, atom.f, 2)
    assert (message.options, arguments) == ([atom.link, atom.monitor], [atom.a, 2])

    # A send to an alias of ours.
    speaker = line.eval("spawn(fun() -> receive Alias -> Alias ! hi end end)")
    alias = Reference(me.node, me.creation, (7, 8, 9))
    line.send(me, c.SendSender(me, speaker), alias)
    message, term = line.until(lambda _, t: t == atom.hi)
    if line.connection.flags & Flag.ALTACT_SIG:
        assert message == c.AltactSend(4, speaker, alias)
    else:
        assert message == c.AliasSend(speaker, alias)

    traced = (
        "spawn(fun() -> link(From), seq_trace:set_token(label, 17), From ! traced, "
        "{tname, node(From)} ! traced, exit(From, t), exit(t) end)"
    )
    worker = line.eval(traced)
    _, payload = line.until(lambda m, _: isinstance(m, c.SendSender | c.Send) and bool(m.token))
    assert payload == atom.traced
    message, _ = line.until(lambda m, _: isinstance(m, c.RegSend) and m.name == atom.tname)
    assert message.token[1] == 17
    line.until(lambda m, t: isinstance(m, c.Exit2) and reason(m, t) == atom.t)
    message, payload = line.until(lambda m, _: isinstance(m, c.Exit) and m.token is not None)
    assert (message.from_, reason(message, payload)) == (worker, atom.t)


def test_what_a_beam_understands(line: Line) -> None:
    me, other = line.pid(1), line.pid(2)
    pid: Pid = line.eval(
        "spawn(fun L() -> receive {get, A} -> A ! {got, process_info(self(), links), "
        "process_info(self(), group_leader)}; {alias, A} -> A ! {alias, alias()}; "
        "X -> From ! {received, X} end, L() end)"
    )
    line.send(me, c.SendSender(me, pid), atom.one)
    line.until(lambda _, t: t == (atom.received, atom.one))
    line.eval('register(worker, P = element(2, {0, list_to_pid("' + short(pid) + '")}))')
    line.send(me, c.RegSend(me, atom.worker), [atom.two])
    line.until(lambda _, t: t == (atom.received, [atom.two]))
    token = (0, 17, 1, me, 0)
    line.send(me, c.SendSender(me, pid, token), atom.traced)
    line.until(lambda _, t: t == (atom.received, atom.traced))
    line.send(me, c.RegSend(me, atom.worker, token), atom.traced2)
    line.until(lambda _, t: t == (atom.received, atom.traced2))

    line.send(me, c.SendSender(me, pid), (atom.alias, me))
    _, (_, alias) = line.until(lambda _, t: type(t) is tuple and t[0] == atom.alias)
    assert isinstance(alias, Reference)
    line.send(me, c.AliasSend(me, alias), atom.three)
    line.until(lambda _, t: t == (atom.received, atom.three))
    line.send(me, c.AltactSend(5, me, alias), atom.four)
    line.until(lambda _, t: t == (atom.received, atom.four))
    line.send(me, c.AltactSend(9, me, atom.worker), atom.five)
    line.until(lambda _, t: t == (atom.received, atom.five))

    def ask() -> Any:
        line.signals.clear()
        line.send(me, c.SendSender(me, pid), (atom.get, me))
        return line.until(lambda _, t: type(t) is tuple and t[0] == atom.got)[1]

    line.send(me, c.Link(me, pid))
    assert me in ask()[1][1]
    line.send(me, c.UnlinkId(5, me, pid))
    assert kind_of(line, c.UnlinkIdAck)[0] == c.UnlinkIdAck(5, pid, me)
    assert me not in ask()[1][1]
    line.send(me, c.GroupLeader(other, pid))
    assert ask()[2][1] == other

    ref, ref2 = (Reference(me.node, me.creation, (n, 2, 3)) for n in (1, 2))
    line.send(me, c.Monitor(me, pid, ref))
    line.send(me, c.Monitor(me, atom.worker, ref2))
    line.send(me, c.Monitor(me, atom.nobody, ref2))
    message, _ = line.until(lambda m, _: isinstance(m, c.MonitorExit))
    assert (message.source, message.to, message.ref) == (atom.nobody, me, ref2)
    line.send(me, c.Demonitor(me, pid, ref))
    line.send(me, c.Exit2(me, pid, (atom.killed, b"by us")))
    line.until(lambda m, _: isinstance(m, c.MonitorExit) and m.ref == ref2)
    line.signals.clear()

    # A process that is linked to and monitors one of ours, which then dies.
    line.eval(
        "spawn(fun() -> process_flag(trap_exit, true), link(From), R = monitor(process, From), "
        "From ! {watching, self(), R}, receive {'DOWN', R, _, _, D} -> ok end, "
        "receive {'EXIT', From, E} -> ok end, From ! {saw, D, E} end)"
    )
    _, (_, watcher, down) = line.until(lambda _, t: type(t) is tuple and t[0] == atom.watching)
    line.send(me, c.MonitorExit(me, watcher, down, (atom.gone, 1)))
    line.send(me, c.Exit(me, watcher, (atom.gone, 2)))
    line.until(lambda _, t: t == (atom.saw, (atom.gone, 1), (atom.gone, 2)))

    # It spawns a process "here", we say that it is there.
    line.eval(
        "spawn(fun() -> From ! {spawned, spawn_request(node(From), m, f, [], [monitor]), "
        "receive S -> S end} end)"
    )
    message, _ = kind_of(line, c.SpawnRequest)
    line.send(me, c.SpawnReply(message.request, message.from_, 2, other))
    _, (_, request, reply) = line.until(lambda _, t: type(t) is tuple and t[0] == atom.spawned)
    assert reply == (atom.spawn_reply, request, atom.ok, other)

    # We spawn there.
    ref = Reference(me.node, me.creation, (9, 9, 9))
    mfa = (atom.erlang, atom.send, 2)
    request = c.SpawnRequest(ref, me, me, mfa, [atom.monitor, atom.link])
    line.send(me, request, [me, atom.from_there])
    message, _ = kind_of(line, c.SpawnReply)
    assert (message.request, message.to, message.flags) == (ref, me, 3)
    line.until(lambda _, t: t == atom.from_there)
    line.until(lambda m, _: isinstance(m, c.MonitorExit) and m.ref == ref)
    line.until(lambda m, _: isinstance(m, c.Exit) and m.from_ == message.result)
    assert line.eval("node()") == line.connection.peer.name  # type: ignore[union-attr]


def test_trace_tokens_of_a_beam(line: Line) -> None:
    """Those beside the ones above: of sends to an alias, of requests to spawn and their replies."""
    me = line.pid(1)
    assert line.connection is not None
    alias = Reference(me.node, me.creation, (7, 8, 9))
    worker = line.eval(
        "spawn(fun() -> A = receive X -> X end, seq_trace:set_token(label, 17), A ! traced, "
        "spawn_request(node(From), m, f, [], []), receive {spawn_reply, _, _, _} -> ok end end)"
    )
    line.send(me, c.Send(worker), alias)
    message, _ = line.until(lambda _, t: t == atom.traced)
    assert message.token[1] == 17
    assert type(message) is (
        c.AltactSend if line.connection.flags & Flag.ALTACT_SIG else c.AliasSend
    )
    message, _ = line.until(lambda m, _: isinstance(m, c.SpawnRequest) and m.token is not None)
    assert message.token[1] == 17
    reply = c.SpawnReply(message.request, message.from_, 0, atom.refused, message.token)
    ref = Reference(me.node, me.creation, (1, 1, 1))
    line.send(me, c.Monitor(me, worker, ref))
    line.send(me, reply)
    message, _ = line.until(lambda m, _: isinstance(m, c.MonitorExit) and m.ref == ref)
    # Our request is answered under its token.
    token = (0, 18, 1, me, 0)
    request = c.SpawnRequest(ref, me, me, (atom.erlang, atom.send, 2), [], token)
    line.send(me, request, [me, atom.from_there])
    message, _ = kind_of(line, c.SpawnReply)
    assert message.token[1] == 18
    message, _ = line.until(lambda _, t: t == atom.from_there)
    assert message.token[1] == 18


def test_trace_tokens_that_a_beam_understands(line: Line) -> None:
    me = line.pid(1)
    token = (0, 17, 1, me, 0)
    pid: Pid = line.eval(
        "spawn(fun() -> process_flag(trap_exit, true), link(From), From ! {alias, alias()}, "
        "(fun L() -> receive X -> From ! {got, X, element(2, seq_trace:get_token(label))}, L() "
        "end end)() end)"
    )
    _, (_, alias) = line.until(lambda _, t: type(t) is tuple and t[0] == atom.alias)

    def got(term: Any) -> None:
        line.until(lambda _, t: t == (atom.got, term, 17))

    line.send(me, c.Send(pid, token), atom.one)
    got(atom.one)
    line.send(me, c.AliasSend(me, alias, token), atom.two)
    got(atom.two)
    line.send(me, c.AltactSend(7, me, alias, token), atom.three)
    got(atom.three)
    line.send(me, c.Exit2(me, pid, (atom.by, atom.us), token))
    got((atom.EXIT, me, (atom.by, atom.us)))
    line.send(me, c.Exit(me, pid, (atom.link, atom.ended), token))
    got((atom.EXIT, me, (atom.link, atom.ended)))


def test_an_unlink_that_is_acknowledged(line: Line) -> None:
    """The BEAM links again, and our exit counts; the earlier one, under way meanwhile, does not."""
    me = line.pid(1)
    pid: Pid = line.eval(
        "spawn(fun() -> link(From), unlink(From), receive go -> link(From) end, "
        "From ! linked, receive after infinity -> ok end end)"
    )
    message, _ = kind_of(line, c.UnlinkId)
    line.send(me, c.Exit(me, pid, atom.too_late))
    line.send(me, c.UnlinkIdAck(message.id, me, pid))
    ref = Reference(me.node, me.creation, (1, 2, 3))
    line.send(me, c.Monitor(me, pid, ref))
    line.signals.clear()
    line.send(me, c.SendSender(me, pid), atom.go)
    line.until(lambda _, t: t == atom.linked)
    assert kind_of(line, c.Link)[0] == c.Link(pid, me)
    line.send(me, c.Exit(me, pid, atom.in_time))
    message, payload = line.until(lambda m, _: isinstance(m, c.MonitorExit))
    assert atom.in_time in (message.reason, payload)


def test_links_without_identifiers(beam: DistBeam) -> None:
    """UNLINK, for a peer that has no UNLINK_ID: only nodes before OTP 26 talk to one."""
    with Line.dial(beam, local_node("unlinks", hidden=True, without=int(Flag.UNLINK_ID))) as line:
        try:
            line.shake()
        except NotAllowed:
            pytest.skip("this release insists on UNLINK_ID")
        me = line.pid(1)
        pid: Pid = line.eval(
            "spawn(fun() -> link(From), unlink(From), "
            "receive {links, A} -> A ! process_info(self(), links) end end)"
        )
        assert kind_of(line, c.Unlink)[0] == c.Unlink(pid, me)
        line.send(me, c.Link(me, pid))
        line.send(me, c.Unlink(me, pid))
        line.send(me, c.SendSender(me, pid), (atom.links, me))
        line.until(lambda _, t: t == (atom.links, []))


def short(pid: Pid) -> str:
    """Return what list_to_pid of the pid's own node reads."""
    return f"<0.{pid.id}.{pid.serial}>"


# --------------------------------------------------------------------------- sizes

SIZES = [0, 1, 65_000, 65_536, 65_537, 131_072, 1_000_000]


def test_large_messages_out(line: Line) -> None:
    """Three senders at once, small messages and ticks in between; all whole, each in order."""
    assert line.connection is not None
    echo: Pid = line.eval(
        "spawn(fun() -> (fun L() -> receive {P, I, B} -> From ! {hash, P, I, erlang:md5(B)}, "
        "L() end end)() end)"
    )
    senders = [line.pid(number) for number in (1, 2, 3)]
    expected: dict[Pid, list[bytes]] = {}
    for index, size in enumerate([*SIZES, 10, 200_000, 10]):
        for sender in senders:
            body = bytes([index]) * size
            expected.setdefault(sender, []).append(hashlib.md5(body).digest())
            term = (sender, index, body)
            line.connection.send(sender, c.SendSender(sender, echo), etf.encode_payload(term))
    while pieces := line.connection.data_to_send(1):
        line.write(b"".join(pieces))
        line.write(line.connection.tick())
    seen: dict[Pid, list[bytes]] = {}
    count = sum(map(len, expected.values()))

    def last(_: Any, term: Any) -> bool:
        if type(term) is tuple and term[0] == atom.hash:
            seen.setdefault(term[1], []).append(term[3])
        return sum(map(len, seen.values())) == count

    line.until(last)
    assert seen == expected


def test_large_messages_in(line: Line) -> None:
    sizes = ",".join(map(str, SIZES))
    line.eval(
        "[spawn(fun() -> [From ! {P, I, binary:copy(<<P>>, S)} || "
        f"{{I, S}} <- lists:zip(lists:seq(1, {len(SIZES)}), [{sizes}])] end) || P <- [1, 2, 3]]"
    )
    seen: dict[int, list[tuple[int, int]]] = {}

    def last(_: Any, term: Any) -> bool:
        if type(term) is tuple and len(term) == 3 and type(term[2]) is bytes:
            assert term[2] == bytes([term[0]]) * len(term[2])
            seen.setdefault(term[0], []).append((term[1], len(term[2])))
        return sum(map(len, seen.values())) == 3 * len(SIZES)

    line.until(last)
    each = list(enumerate(SIZES, 1))
    assert seen == {1: each, 2: each, 3: each}


def test_more_atoms_than_slots(line: Line) -> None:
    """Names that overwrite each other's slots, long ones and strange ones among them."""
    line.eval(
        'spawn(fun() -> [From ! {list_to_atom("cached_" ++ integer_to_list(I)), '
        "list_to_atom(lists:duplicate(255, 8364)), true, nil, list_to_atom([I rem 5000 + 256])} "
        "|| I <- lists:seq(1, 6000)] end)"
    )
    seen: list[tuple[Any, ...]] = []

    def last(_: Any, term: Any) -> bool:
        if type(term) is tuple and len(term) == 5:
            seen.append(term)
        return len(seen) == 6000

    line.until(last)
    long = Atom("\N{EURO SIGN}" * 255)
    assert seen == [
        (Atom(f"cached_{i}"), long, True, None, Atom(chr(i % 5000 + 256))) for i in range(1, 6001)
    ]


def test_many_atoms_in_one_message(line: Line) -> None:
    """Above 255 the atoms of a message come inline."""
    line.eval('From ! [list_to_atom("many" ++ integer_to_list(I)) || I <- lists:seq(1, 400)]')
    _, term = line.until(lambda _, t: type(t) is list and len(t) == 400)
    assert term == [Atom(f"many{i}") for i in range(1, 401)]
    assert charlist("x") == [120]
