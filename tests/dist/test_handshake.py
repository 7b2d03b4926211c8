from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from pynode.dist.cookie import digest
from pynode.dist.flags import MANDATORY_25, Flag, offered
from pynode.dist.handshake import (
    AliveAnswered,
    DigestAccepted,
    Established,
    Handshake,
    HandshakeEvent,
    NameReceived,
    State,
    Status,
    StatusReceived,
)
from pynode.dist.local import LocalNode
from pynode.errors import (
    ConnectError,
    ConnectionAborted,
    CookieError,
    FlagError,
    HandshakeError,
    NodeNameError,
    NotAllowed,
)
from pynode.terms import Atom

from .pair import ALL_FLAGS, A, B, HandshakePair

HIDDEN = offered(hidden=True)
NOT_ALLOWED = b"\0\x0csnot_allowed"


def message(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body


def name(
    text: str = "a@here", flags: int = ALL_FLAGS, creation: int = 11, more: bytes = b""
) -> bytes:
    encoded = text.encode("latin-1")
    return message(struct.pack(">cQIH", b"N", flags, creation, len(encoded)) + encoded + more)


def challenge(
    text: str = "b@here", flags: int = ALL_FLAGS, number: int = 5, more: bytes = b""
) -> bytes:
    head = struct.pack(">cQIIH", b"N", flags, number, 12, len(text))
    return message(head + text.encode("latin-1") + more)


def dialled(local: LocalNode = A) -> Handshake:
    shake = Handshake.dial(local, "b@here", b"c", 0xA)
    shake.data_to_send()
    return shake


def decided() -> Handshake:
    """Return an acceptor that has read the name."""
    shake = Handshake.accept(B, 0xB)
    shake.receive_data(name())
    return shake


# --------------------------------------------------------------------------- the whole way


@pytest.mark.parametrize("length_bytes", [2, 4])
@pytest.mark.parametrize("status", [Status.OK, Status.OK_SIMULTANEOUS])
@pytest.mark.parametrize("cut", [None, 1, 3])
def test_both_sides_agree(length_bytes: int, status: Status, cut: int | None) -> None:
    pair = HandshakePair(status=status, length_bytes=length_bytes)
    pair.run(cut)
    at_dialler, at_acceptor = pair.established()
    assert (at_dialler.name, at_dialler.creation) == (Atom("b@here"), 12)
    assert (at_acceptor.name, at_acceptor.creation) == (Atom("a@here"), 11)
    for peer in (at_dialler, at_acceptor):
        assert peer.flags == ALL_FLAGS
        assert type(peer.flags) is int
        assert not peer.hidden
        assert not peer.dynamic
    assert [event for _, event in pair.events[:2]] == [
        NameReceived("a@here", ALL_FLAGS, 11, False),
        StatusReceived(status),
    ]


def test_the_bytes_are_those_of_the_specification() -> None:
    pair = HandshakePair()
    pair.run()
    flags = ALL_FLAGS.to_bytes(8, "big")
    assert pair.record == [
        ("dial", b"\0\x15N" + flags + b"\0\0\0\x0b\0\x06a@here"),
        (
            "accept",
            b"\0\x03sok\0\x19N" + flags + b"\xff\xff\xff\xfb\0\0\0\x0c\0\x06b@here",
        ),
        ("dial", b"\0\x15r\0\0\0\x0a" + digest(b"c", 0xFFFFFFFB)),
        ("accept", b"\0\x11a" + digest(b"c", 0xA)),
    ]


def test_hidden_if_one_side_is() -> None:
    pair = HandshakePair(b=LocalNode("b@here", 12, HIDDEN))
    pair.run()
    for peer in pair.established():
        assert peer.hidden
        assert not peer.flags & Flag.PUBLISHED


def test_flags_are_the_intersection_and_the_digest_counts_for_the_old_ones() -> None:
    few = int(Flag.MANDATORY_25_DIGEST | Flag.PUBLISHED | Flag.SPAWN)
    pair = HandshakePair(a=LocalNode("a@here", 11, few))
    pair.run()
    for peer in pair.established():
        assert peer.flags == few | MANDATORY_25


def test_alive_and_the_old_connection_is_dead() -> None:
    pair = HandshakePair(status=Status.ALIVE)
    pair.run()
    kinds = [(side, type(event)) for side, event in pair.events]
    assert kinds == [
        ("accept", NameReceived),
        ("dial", StatusReceived),
        ("accept", AliveAnswered),
        ("accept", DigestAccepted),
        ("accept", Established),
        ("dial", Established),
    ]
    assert b"".join(data for _, data in pair.record).count(b"\0\x05strue") == 1


def test_alive_answered_with_false_closes_both() -> None:
    pair = HandshakePair(status=Status.ALIVE, alive=False)
    pair.run()
    assert pair.events[-1] == ("accept", AliveAnswered(False))
    assert pair.record[-1] == ("dial", b"\0\x06sfalse")
    assert pair.dialler.closed
    assert pair.acceptor.closed
    assert pair.acceptor.error is None
    assert pair.dialler.receive_data(b"anything") == []


def test_the_ack_waits_for_the_owner_after_alive() -> None:
    shake = decided()
    shake.use_cookie(b"c")
    shake.send_status(Status.ALIVE)
    assert shake.receive_data(message(b"strue")) == [AliveAnswered(True)]
    shake.data_to_send()
    reply = message(b"r\0\0\0\x0a" + digest(b"c", 0xB))
    assert shake.receive_data(reply + b"early") == [DigestAccepted()]
    assert shake.data_to_send() == b""
    (established,) = shake.send_ack()
    assert isinstance(established, Established)
    assert established.rest == b"early"
    assert shake.data_to_send() == message(b"a" + digest(b"c", 0xA))


@pytest.mark.parametrize(
    ("status", "sent"), [(Status.NOK, b"\0\x04snok"), (Status.NOT_ALLOWED, NOT_ALLOWED)]
)
def test_refusals_close_the_acceptor(status: Status, sent: bytes) -> None:
    shake = decided()
    assert shake.send_status(status) == []
    assert shake.closed
    assert shake.data_to_send() == sent
    assert shake.receive_data(b"more") == []


def test_nok_leaves_the_dialler_waiting() -> None:
    shake = dialled()
    assert shake.receive_data(b"\0\x04snok") == [StatusReceived(Status.NOK)]
    assert not shake.closed
    assert shake.receive_data(b"whatever") == []
    with pytest.raises(ConnectionAborted, match="own attempt"):
        shake.receive_eof()


def test_not_allowed_is_an_error_of_the_dialler() -> None:
    with pytest.raises(NotAllowed, match="does not allow a@here"):
        dialled().receive_data(NOT_ALLOWED)
    poor = dialled(LocalNode("a@here", 1, MANDATORY_25))
    with pytest.raises(NotAllowed, match="UNLINK_ID, V4_NC"):
        poor.receive_data(NOT_ALLOWED)


def test_rest_behind_the_handshake_goes_to_the_connection() -> None:
    shake = dialled()
    shake.receive_data(b"\0\x03sok" + challenge())
    (event,) = shake.receive_data(message(b"a" + digest(b"c", 0xA)) + b"\0\0\0\0rest")
    assert isinstance(event, Established)
    assert event.rest == b"\0\0\0\0rest"
    with pytest.raises(RuntimeError, match="belong to the connection"):
        shake.receive_data(b"x")


# --------------------------------------------------------------------------- names


def test_bytes_behind_the_names_are_ignored() -> None:
    shake = Handshake.accept(B, 0xB)
    assert shake.receive_data(name(more=b"\1\2\3")) == [
        NameReceived("a@here", ALL_FLAGS, 11, False)
    ]
    other = dialled()
    other.receive_data(b"\0\x03sok" + challenge(more=b"future"))
    assert other.state is State.AWAIT_ACK


def test_a_node_without_a_name_gets_one() -> None:
    pair = HandshakePair(a=LocalNode("here", 0, ALL_FLAGS), named="k3x@here")
    pair.run()
    assert pair.record[0][1][11:15] == b"\0\0\0\0"
    at_dialler, at_acceptor = pair.established()
    assert at_acceptor.name == Atom("k3x@here")
    assert at_acceptor.creation == 77
    assert at_acceptor.dynamic
    assert not at_dialler.dynamic
    assert at_dialler.hidden
    assert at_acceptor.hidden
    assert ("dial", StatusReceived(Status.NAMED, "k3x@here", 77)) in pair.events
    assert (pair.dialler.local.name, pair.dialler.local.creation) == ("k3x@here", 77)
    # Both sides say NAME_ME and hide: a BEAM insists on the first in our challenge.
    for _, data in pair.record[:2]:
        flags = int.from_bytes(data[data.index(b"N") + 1 :][:8], "big")
        assert flags & Flag.NAME_ME
        assert not flags & Flag.PUBLISHED


def test_the_named_status_in_bytes() -> None:
    shake = Handshake.accept(B, 0xB)
    shake.receive_data(name("here", ALL_FLAGS | Flag.NAME_ME, 0))
    shake.send_named("x@here", 0x01020304)
    assert shake.data_to_send().startswith(b"\0\x13snamed:\0\x06x@here\1\2\3\4\0\x19N")


def test_who_is_named_how() -> None:
    nameless = Handshake.accept(B, 0xB)
    (event,) = nameless.receive_data(name("here", ALL_FLAGS | Flag.NAME_ME, 0))
    assert event == NameReceived("here", ALL_FLAGS | Flag.NAME_ME, 0, True)
    for wrong in ("x@there", "x", "x@here@here", "here"):
        with pytest.raises(ValueError, match="not a name at here"):
            nameless.send_named(wrong, 1)
    with pytest.raises(RuntimeError, match="send_named"):
        nameless.send_status(Status.OK)
    with pytest.raises(RuntimeError, match="send_named"):
        decided().send_status(Status.NAMED)
    with pytest.raises(RuntimeError, match="has a name"):
        decided().send_named("x@here", 1)
    nameless.send_status(Status.NOT_ALLOWED)
    assert nameless.closed


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (b"snamed:\0\x06x@here\0\0\0", "cut short"),
        (b"snamed:", "cut short"),
        (b"snamed:\0\x07x@there\0\0\0\1", "not a name at here"),
        (b"snamed:\0\x06\xff@here\0\0\0\1", "not UTF-8"),
        (b"snamed:\0\x06xxhere\0\0\0\1", "not a name at here"),
        (b"snamed:\0\x06b@here\0\0\0\1", "it gave us its own name"),
        (b"sok", "asked for a name"),
        (b"salive", "asked for a name"),
    ],
)
def test_wrong_answers_to_a_node_without_a_name(status: bytes, problem: str) -> None:
    shake = dialled(LocalNode("here", 0, ALL_FLAGS))
    with pytest.raises(HandshakeError, match=problem):
        shake.receive_data(message(status))


def test_a_longer_named_status_is_understood() -> None:
    shake = dialled(LocalNode("here", 0, ALL_FLAGS))
    (event,) = shake.receive_data(message(b"snamed:\0\x06x@here\0\0\0\1future"))
    assert event == StatusReceived(Status.NAMED, "x@here", 1)


def test_a_name_for_a_node_that_has_one() -> None:
    with pytest.raises(HandshakeError, match="has one"):
        dialled().receive_data(message(b"snamed:\0\x06x@here\0\0\0\1"))


@pytest.mark.parametrize(
    ("peer", "local", "problem"),
    [
        ("b", A, "name@host"),
        ("b@here@here", A, "name@host"),
        ("b@" + "h" * 254, A, "name@host"),
        ("a@here", A, "own name"),
        ("b@here.org", A, "long name"),
        ("b@here", LocalNode("a@h.org", 1, ALL_FLAGS, True), "short name"),
        ("\u20ac@here", A, "Latin-1"),
        ("b@here", LocalNode("\u20ac@here", 1, ALL_FLAGS), "Latin-1"),
    ],
)
def test_names_that_cannot_be_dialled(peer: str, local: LocalNode, problem: str) -> None:
    with pytest.raises(NodeNameError, match=problem):
        Handshake.dial(local, peer, b"c", 1)


def test_latin_1_names_travel() -> None:
    pair = HandshakePair(a=LocalNode("\xe4@here", 11, ALL_FLAGS))
    pair.run()
    assert pair.established()[1].name == Atom("\xe4@here")
    with pytest.raises(NodeNameError, match="Latin-1"):
        Handshake.accept(LocalNode("\u20ac@here", 1, ALL_FLAGS), 1)


@pytest.mark.parametrize("text", ["", "a", "@here", "a@", "a@b@c", "a@" + "h" * 255])
def test_a_dialler_whose_name_is_none(text: str) -> None:
    with pytest.raises(HandshakeError, match="no node name"):
        Handshake.accept(B, 1).receive_data(name(text))


@pytest.mark.parametrize("text", ["", "a@here"])
def test_a_host_that_is_none(text: str) -> None:
    with pytest.raises(HandshakeError, match="no node name"):
        Handshake.accept(B, 1).receive_data(name(text, ALL_FLAGS | Flag.NAME_ME))


def test_a_long_name_at_a_short_one_is_told_and_refused() -> None:
    shake = Handshake.accept(B, 1)
    with pytest.raises(NodeNameError, match=r"a@here\.org is a long name, and b@here a short one"):
        shake.receive_data(name("a@here.org"))
    assert shake.data_to_send() == NOT_ALLOWED
    long = Handshake.accept(LocalNode("b@h.org", 1, ALL_FLAGS, long_names=True), 1)
    with pytest.raises(NodeNameError, match=r"a@here is a short name"):
        long.receive_data(name())
    assert long.data_to_send() == NOT_ALLOWED


def test_the_node_there_has_another_name() -> None:
    with pytest.raises(NodeNameError, match=r"calls itself 'c@here'"):
        dialled().receive_data(b"\0\x03sok" + challenge("c@here"))


# --------------------------------------------------------------------------- flags, cookies


def test_a_dialler_that_lacks_a_flag_is_told_and_refused() -> None:
    shake = Handshake.accept(B, 1)
    with pytest.raises(FlagError, match="lacks MAP_TAG") as raised:
        shake.receive_data(name(flags=MANDATORY_25 & ~Flag.MAP_TAG))
    assert shake.data_to_send() == NOT_ALLOWED
    assert raised.value.node == "a@here"
    assert shake.closed


OLD_FLAGS = 0x37FBC  # OTP 21's, as far as it needs them; the name comes in another form


@pytest.mark.parametrize("cut", [None, 1, 3])
def test_a_dialler_of_version_5_is_told_and_refused(cut: int | None) -> None:
    body = b"n\0\5" + OLD_FLAGS.to_bytes(4, "big") + b"old@here"
    data = len(body).to_bytes(2, "big") + body
    shake = Handshake.accept(B, 1)
    last = len(data) - (cut or len(data))
    for start in range(0, last, cut or 1):
        assert shake.receive_data(data[start : min(start + (cut or 1), last)]) == []
    with pytest.raises(FlagError, match=r"version 5 .* lacks .*HANDSHAKE_23") as raised:
        shake.receive_data(data[last:])
    assert raised.value.node == "old@here"
    assert shake.data_to_send() == NOT_ALLOWED


def test_the_old_form_of_the_name_from_a_node_that_could_do_better() -> None:
    flags = OLD_FLAGS | Flag.HANDSHAKE_23
    body = b"n\0\5" + flags.to_bytes(4, "big") + b"old@here"
    with pytest.raises(HandshakeError, match="no newer handshake than 5"):
        Handshake.accept(B, 1).receive_data(len(body).to_bytes(2, "big") + body)


def test_an_acceptor_that_lacks_a_flag_is_left() -> None:
    shake = dialled()
    with pytest.raises(FlagError, match="lacks NEW_FLOATS, HANDSHAKE_23"):
        shake.receive_data(
            b"\0\x03sok" + challenge(flags=MANDATORY_25 & ~(Flag.NEW_FLOATS | Flag.HANDSHAKE_23))
        )
    assert shake.data_to_send() == b""


def test_the_acceptor_finds_another_cookie() -> None:
    pair = HandshakePair(cookies=(b"c", b"d"))
    with pytest.raises(CookieError, match="digest in the reply"):
        pair.run()
    assert pair.acceptor.data_to_send() == b""
    with pytest.raises(CookieError, match="closed the connection on our digest"):
        pair.dialler.receive_eof()


def test_the_dialler_finds_another_cookie() -> None:
    shake = dialled()
    shake.receive_data(b"\0\x03sok" + challenge())
    with pytest.raises(CookieError, match="digest in the acknowledgement"):
        shake.receive_data(message(b"a" + digest(b"d", 0xA)))


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_digest_of_another_length(size: int) -> None:
    shake = dialled()
    shake.receive_data(b"\0\x03sok" + challenge())
    with pytest.raises(HandshakeError, match=f"{size} bytes of digest"):
        shake.receive_data(message(b"a" + bytes(size)))
    other = decided()
    other.use_cookie(b"c")
    other.send_status(Status.OK)
    with pytest.raises(HandshakeError, match=f"{size} bytes of digest"):
        other.receive_data(message(b"r\0\0\0\1" + bytes(size)))


def test_the_cookie_may_come_after_the_status() -> None:
    shake = decided()
    assert shake.send_status(Status.OK) == []
    reply = message(b"r\0\0\0\x0a" + digest(b"c", 0xB))
    assert shake.receive_data(reply) == []
    (event,) = shake.use_cookie(b"c")
    assert isinstance(event, Established)


# --------------------------------------------------------------------------- wrong bytes


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\0\0",
        b"\0\x01x",
        b"\0\7n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\0\x01N",
        name()[:-1][:1] + b"\x14" + name()[2:-1],
        message(struct.pack(">cQIH", b"N", ALL_FLAGS, 1, 7) + b"a@here"),
    ],
)
def test_no_name(data: bytes) -> None:
    shake = Handshake.accept(B, 1)
    with pytest.raises(HandshakeError) as raised:
        shake.receive_data(data)
    with pytest.raises(HandshakeError) as again:
        shake.receive_data(name())
    assert again.value is raised.value
    assert shake.closed
    with pytest.raises(HandshakeError):
        shake.receive_eof()


def test_garbage_is_refused_at_its_first_wrong_byte() -> None:
    shake = Handshake.accept(B, 1)
    assert shake.receive_data(b"GE") == []
    with pytest.raises(HandshakeError, match="GET"):
        shake.receive_data(b"T")


@pytest.mark.parametrize(
    "data",
    [
        b"\0\x01s",
        b"\0\x04sOK!",
        b"\0\x05strue",
        b"\0\x03rok",
        b"\0\x03sok\0\x01N",
        b"\0\x03sok" + challenge()[:1] + b"\x18" + challenge()[2:-1],
        b"\0\x03sok" + challenge() + b"\0\x03sok",
    ],
)
def test_wrong_bytes_to_the_dialler(data: bytes) -> None:
    with pytest.raises(HandshakeError):
        dialled().receive_data(data)


def test_wrong_answer_to_alive() -> None:
    shake = decided()
    shake.send_status(Status.ALIVE)
    with pytest.raises(HandshakeError, match="no answer to alive"):
        shake.receive_data(message(b"sok"))


def test_a_peer_that_does_not_wait_for_its_turn_fills_no_memory() -> None:
    shake = decided()
    assert shake.receive_data(bytes(60_000)) == []
    with pytest.raises(HandshakeError, match="before its turn"):
        shake.receive_data(bytes(60_000))


def test_a_message_of_four_length_bytes_has_a_limit() -> None:
    shake = Handshake.accept(B, 1, length_bytes=4)
    with pytest.raises(HandshakeError):
        shake.receive_data(b"\0\1\0\0")


@pytest.mark.parametrize(
    ("length_bytes", "data", "hint"),
    [
        (2, b"\x16\x03\x01", "that is TLS"),
        (2, b"\x15\x03\x03\0\x02\x02\x28", "that is TLS"),
        (4, name(), "plain connection"),
    ],
)
def test_tls_and_plain_mixed_up(length_bytes: int, data: bytes, hint: str) -> None:
    with pytest.raises(HandshakeError, match=hint):
        Handshake.accept(B, 1, length_bytes=length_bytes).receive_data(data)


# --------------------------------------------------------------------------- the end of the stream


def test_the_end_at_each_step() -> None:
    shake = dialled()
    with pytest.raises(ConnectionAborted, match="awaited the status"):
        shake.receive_eof()
    shake = dialled()
    shake.receive_data(b"\0\x03sok")
    with pytest.raises(ConnectionAborted, match="awaited the challenge"):
        shake.receive_eof()
    shake = Handshake.accept(B, 1)
    with pytest.raises(ConnectionAborted, match="awaited the name"):
        shake.receive_eof()
    shake = decided()
    shake.send_status(Status.OK)
    with pytest.raises(ConnectionAborted, match="awaited the reply"):
        shake.receive_eof()
    assert shake.closed


def test_the_end_on_our_poor_challenge_names_the_flags() -> None:
    shake = Handshake.accept(LocalNode("b@here", 1, MANDATORY_25), 1)
    shake.receive_data(name())
    shake.send_status(Status.OK)
    with pytest.raises(FlagError, match="UNLINK_ID, V4_NC"):
        shake.receive_eof()


def test_the_peer_stops_at_each_byte() -> None:
    """Whatever the peer said before it went, the error is one of connecting."""
    pair = HandshakePair(status=Status.ALIVE)
    pair.run()
    said = {
        role: b"".join(data for side, data in pair.record if side == role)
        for role in ("dial", "accept")
    }
    for stop in range(len(said["accept"])):
        shake = dialled()
        answered = shake.receive_data(said["accept"][:stop])
        if StatusReceived(Status.ALIVE) in answered:
            shake.answer_alive(True)
        with pytest.raises(ConnectError):
            shake.receive_eof()
        assert shake.closed
    for stop in range(len(said["dial"])):
        pair = HandshakePair(status=Status.ALIVE)
        pair.acceptor._challenge = 0xFFFFFFFB  # type: ignore[misc]  # the same as recorded
        pair.decide(pair.acceptor, pair.acceptor.receive_data(said["dial"][:stop]))
        with pytest.raises(ConnectError):
            pair.acceptor.receive_eof()


# --------------------------------------------------------------------------- the owner's faults


def test_out_of_turn() -> None:
    shake = Handshake.accept(B, 1)
    calls: list[Callable[[], object]] = [
        lambda: shake.send_status(Status.OK),
        lambda: shake.send_named("x@here", 1),
        lambda: shake.answer_alive(True),
        lambda: shake.send_ack(),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="waits for the name"):
            call()
    assert shake.state is State.AWAIT_NAME
    assert shake.receive_data(name()) != []


def test_arguments_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="32 bits"):
        Handshake.accept(B, 1 << 32)
    with pytest.raises(ValueError, match="2 or 4"):
        Handshake.accept(B, 1, length_bytes=3)


# --------------------------------------------------------------------------- properties

MESSAGES = [
    name(),
    name("here", ALL_FLAGS | Flag.NAME_ME, 0),
    name("a@x.org"),
    name(flags=0),
    challenge(),
    challenge("c@here"),
    challenge(flags=7),
    *(message(b"s" + status.value.encode()) for status in Status),
    message(b"snamed:\0\x06x@here\0\0\0\1"),
    message(b"strue"),
    message(b"sfalse"),
    message(b"r\0\0\0\x0a" + digest(b"c", 0xB)),
    message(b"r\0\0\0\x0a" + digest(b"wrong", 0xB)),
    message(b"a" + digest(b"c", 0xA)),
    message(b"a" + bytes(16)),
    b"\0\0",
    b"",
    b"\0\0\0\0",
]
ACTS = ["use_cookie", "send_status", "send_named", "answer_alive", "send_ack", "eof", "data"]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_state_takes_any_input(data: st.DataObject) -> None:
    """The machine succeeds, or raises a ConnectError; misuse is a RuntimeError or ValueError."""
    local = data.draw(st.sampled_from([A, LocalNode("here", 0, ALL_FLAGS)]))
    shake = data.draw(
        st.sampled_from(["dial", "accept"]).map(
            lambda role: (
                Handshake.dial(local, "b@here", b"c", 0xA)
                if role == "dial"
                else Handshake.accept(B, 0xB)
            )
        )
    )
    inputs = st.one_of(
        st.sampled_from(MESSAGES),
        st.binary(max_size=40),
        st.tuples(st.sampled_from(MESSAGES), st.integers(0, 60), st.integers(0, 255)).map(
            lambda t: t[0][: t[1]] + bytes([t[2]]) + t[0][t[1] + 1 :]
        ),
    )
    for _ in range(data.draw(st.integers(1, 10))):
        act = data.draw(st.sampled_from(["data", "data", "data", *ACTS]))
        before = shake.state
        try:
            events: list[HandshakeEvent] = []
            if act == "data":
                events = shake.receive_data(data.draw(inputs))
            elif act == "eof":
                shake.receive_eof()
            elif act == "use_cookie":
                events = shake.use_cookie(b"c")
            elif act == "send_status":
                events = shake.send_status(data.draw(st.sampled_from(list(Status))))
            elif act == "send_named":
                events = shake.send_named(data.draw(st.sampled_from(["x@here", "x@y", ""])), 3)
            elif act == "answer_alive":
                events = shake.answer_alive(data.draw(st.booleans()))
            else:
                events = shake.send_ack()
            for event in events:
                if isinstance(event, Established):
                    assert shake.state is State.ESTABLISHED
                    assert b"@" in event.peer.name.name.encode()
        except ConnectError:
            assert str(shake.error)
            assert shake.state is State.FAILED
        except (RuntimeError, ValueError):
            assert act != "data" or before is State.ESTABLISHED
            assert shake.state is before
        shake.data_to_send()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.sampled_from(list(Status)))
def test_any_portions_give_the_same_events(cuts: list[int], status: Status) -> None:
    if status in (Status.NAMED, Status.NOT_ALLOWED):
        status = Status.OK
    whole = HandshakePair(status=status)
    whole.run()
    portioned = HandshakePair(status=status)
    sizes = itertools.cycle(cuts)
    moved = True
    while moved:
        moved = False
        for source, target in (
            (portioned.dialler, portioned.acceptor),
            (portioned.acceptor, portioned.dialler),
        ):
            rest = source.data_to_send()
            while rest:
                moved = True
                size = next(sizes)
                portioned.decide(target, target.receive_data(rest[:size]))
                rest = rest[size:]
    assert [repr(event) for event in portioned.events] == [repr(event) for event in whole.events]
