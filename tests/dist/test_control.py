"""Every control message, written and read, in every form that flags bring about."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pynode import etf
from pynode.dist import control as c
from pynode.dist.control_decoder import check_identity, decode_control
from pynode.dist.control_encoder import encode_control, encode_signal
from pynode.dist.flags import Flag
from pynode.errors import EncodeError, FrameError
from pynode.etf.pieces import Pieces
from pynode.terms import Atom, ImproperList, Pid, Reference, atom

from .pair import ALL_FLAGS, NODE_A, NODE_B, pid_a, pid_b, ref_a

P, Q, R = pid_a(), pid_b(), ref_a()
TOKEN = (0, 1, 2, pid_a(), 3)
REASON = (atom.shutdown, b"why")
PAYLOAD = etf.encode_payload(REASON)
NAME = atom.server
MFA = (atom.m, atom.f, 2)
PLAIN = ALL_FLAGS & ~Flag.ALTACT_SIG

# message, the term it is on the wire, whether its payload stays one (None: it has none)
FORMS: list[tuple[c.Control, tuple[Any, ...], bool | None]] = [
    (c.Link(P, Q), (1, P, Q), None),
    (c.Send(Q), (2, Atom(""), Q), True),
    (c.Send(Q, TOKEN), (12, Atom(""), Q, TOKEN), True),
    (c.Exit(P, Q, c.IN_PAYLOAD), (24, P, Q), True),
    (c.Exit(P, Q, c.IN_PAYLOAD, TOKEN), (25, P, Q, TOKEN), True),
    (c.Unlink(P, Q), (4, P, Q), None),
    (c.NodeLink(), (5,), None),
    (c.RegSend(P, NAME), (6, P, Atom(""), NAME), True),
    (c.RegSend(P, None), (6, P, Atom(""), None), True),
    (c.RegSend(P, NAME, TOKEN), (16, P, Atom(""), NAME, TOKEN), True),
    (c.GroupLeader(P, Q), (7, P, Q), None),
    (c.Exit2(P, Q, c.IN_PAYLOAD), (26, P, Q), True),
    (c.Exit2(P, Q, c.IN_PAYLOAD, TOKEN), (27, P, Q, TOKEN), True),
    (c.Monitor(P, Q, R), (19, P, Q, R), None),
    (c.Monitor(P, NAME, R), (19, P, NAME, R), None),
    (c.Monitor(P, True, R), (19, P, True, R), None),
    (c.Demonitor(P, Q, R), (20, P, Q, R), None),
    (c.Demonitor(P, NAME, R), (20, P, NAME, R), None),
    (c.MonitorExit(P, Q, R, c.IN_PAYLOAD), (28, P, Q, R), True),
    (c.MonitorExit(NAME, Q, R, c.IN_PAYLOAD), (28, NAME, Q, R), True),
    (c.SendSender(P, Q), (22, P, Q), True),
    (c.SendSender(P, Q, TOKEN), (23, P, Q, TOKEN), True),
    (c.SpawnRequest(R, P, P, MFA, []), (29, R, P, P, MFA, []), True),
    (
        c.SpawnRequest(R, P, P, MFA, [atom.link, (atom.priority, atom.high)], TOKEN),
        (30, R, P, P, MFA, [atom.link, (atom.priority, atom.high)], TOKEN),
        True,
    ),
    (c.SpawnReply(R, Q, 3, P), (31, R, Q, 3, P), None),
    (c.SpawnReply(R, Q, 0, atom.badopt), (31, R, Q, 0, atom.badopt), None),
    (c.SpawnReply(R, Q, 300, P, TOKEN), (32, R, Q, 300, P, TOKEN), None),
    (c.AliasSend(P, R), (33, P, R), True),
    (c.AliasSend(P, R, TOKEN), (34, P, R, TOKEN), True),
    (c.UnlinkId(1, P, Q), (35, 1, P, Q), None),
    (c.UnlinkId(2**64 - 1, P, Q), (35, 2**64 - 1, P, Q), None),
    (c.UnlinkIdAck(70000, P, Q), (36, 70000, P, Q), None),
    (c.UnlinkIdAck(2**31, P, Q), (36, 2**31, P, Q), None),
]
ALTACT: list[tuple[c.Control, tuple[Any, ...], bool | None]] = [
    (c.AltactSend(1, P, Q), (37, 1, P, Q), True),
    (c.AltactSend(9, P, NAME), (37, 9, P, NAME), True),
    (c.AltactSend(5, P, R), (37, 5, P, R), True),
    (c.AltactSend(20, P, R), (37, 20, P, R), True),
    (c.AltactSend(17, P, Q), (37, 17, P, Q), True),
    (c.AltactSend(3, P, Q, TOKEN), (37, 3, P, Q, TOKEN), True),
    (c.AltactSend(1 << 70, P, Q), (37, 1 << 70, P, Q), True),
]
INSIDE: list[tuple[c.Control, tuple[Any, ...]]] = [
    (c.Exit(P, Q, REASON), (3, P, Q, REASON)),
    (c.Exit(P, Q, REASON, TOKEN), (13, P, Q, TOKEN, REASON)),
    (c.Exit2(P, Q, REASON), (8, P, Q, REASON)),
    (c.Exit2(P, Q, REASON, TOKEN), (18, P, Q, TOKEN, REASON)),
    (c.MonitorExit(NAME, Q, R, REASON), (21, NAME, Q, R, REASON)),
]


def term_of(control: bytes) -> Any:
    term, end = etf.decode_payload(control, 0, ())
    assert end == len(control)
    return term


@pytest.mark.parametrize(("message", "term", "carries"), FORMS)
def test_plain_forms(message: c.Control, term: Any, carries: bool | None) -> None:
    signal = encode_signal(message, PAYLOAD, PLAIN)
    assert signal is not None
    assert term_of(signal[0]) == term
    assert signal[1] == (PAYLOAD if carries else None)
    assert decode_control(term) == message
    assert type(decode_control(term)) is type(message)


@pytest.mark.parametrize(("message", "term", "carries"), ALTACT)
def test_alternate_action_forms(message: c.Control, term: Any, carries: bool | None) -> None:
    signal = encode_signal(message, PAYLOAD, ALL_FLAGS)
    assert signal is not None
    assert term_of(signal[0]) == term
    assert signal[1] == PAYLOAD
    assert decode_control(term) == message


def test_future_elements_and_bits_of_37_are_ignored() -> None:
    assert decode_control((37, 4 | 1 << 90, P, R, atom.new, 9)) == c.AltactSend(4 | 1 << 90, P, R)
    assert decode_control((37, 2, P, Q, TOKEN, 9)) == c.AltactSend(2, P, Q, TOKEN)


def test_sends_to_an_alias_go_as_37_where_it_is_agreed() -> None:
    for message, term in [
        (c.AliasSend(P, R), (37, 4, P, R)),
        (c.AliasSend(P, R, TOKEN), (37, 6, P, R, TOKEN)),
    ]:
        signal = encode_signal(message, PAYLOAD, ALL_FLAGS)
        assert signal is not None
        assert term_of(signal[0]) == term


def test_the_token_bit_of_37_follows_the_token() -> None:
    signal = encode_signal(c.AltactSend(3, P, Q), PAYLOAD, ALL_FLAGS)
    assert signal is not None
    assert term_of(signal[0]) == (37, 1, P, Q)


@pytest.mark.parametrize(("message", "term"), INSIDE)
def test_reasons_inside(message: Any, term: Any) -> None:
    flags = PLAIN & ~Flag.EXIT_PAYLOAD
    from_payload = message._replace(reason=c.IN_PAYLOAD)
    for signal in (
        encode_signal(message, None, flags),
        encode_signal(from_payload, PAYLOAD, flags),
        encode_signal(from_payload, Pieces((PAYLOAD[:1], PAYLOAD[1:])), flags),
    ):
        assert signal is not None
        assert term_of(signal[0]) == term
        assert signal[1] is None
    assert decode_control(term) == message
    # And with the flag the same reason becomes the payload.
    signal = encode_signal(message, None, PLAIN)
    assert signal is not None
    assert signal[1] == PAYLOAD


def older(message: c.Control, lacking: int) -> Any:
    signal = encode_signal(message, PAYLOAD, ALL_FLAGS & ~lacking)
    return None if signal is None else term_of(signal[0])


@pytest.mark.parametrize(
    ("message", "lacking", "term"),
    [
        (c.SendSender(P, Q), Flag.SEND_SENDER, (2, Atom(""), Q)),
        (c.SendSender(P, Q, TOKEN), Flag.SEND_SENDER, (12, Atom(""), Q, TOKEN)),
        (c.UnlinkId(5, P, Q), Flag.UNLINK_ID, (4, P, Q)),
        (c.UnlinkIdAck(5, P, Q), Flag.UNLINK_ID, None),
        (c.AliasSend(P, R), Flag.ALTACT_SIG, (33, P, R)),
        (c.AliasSend(P, R), Flag.ALTACT_SIG | Flag.ALIAS, None),
        (c.AltactSend(1, P, Q), Flag.ALTACT_SIG, (22, P, Q)),
        (c.AltactSend(3, P, Q, TOKEN), Flag.ALTACT_SIG, (23, P, Q, TOKEN)),
        (c.AltactSend(1, P, Q), Flag.ALTACT_SIG | Flag.SEND_SENDER, (2, Atom(""), Q)),
        (c.AltactSend(9, P, NAME), Flag.ALTACT_SIG, (6, P, Atom(""), NAME)),
        (c.AltactSend(5, P, R), Flag.ALTACT_SIG, (33, P, R)),
        (c.AltactSend(17, P, Q), Flag.ALTACT_SIG, (26, P, Q)),
        (c.AltactSend(20, P, R), Flag.ALTACT_SIG, None),
        (c.Monitor(P, Q, R), Flag.DIST_MONITOR, None),
        (c.Demonitor(P, Q, R), Flag.DIST_MONITOR_NAME, None),
        (c.MonitorExit(P, Q, R, c.IN_PAYLOAD), Flag.DIST_MONITOR, None),
        (c.SpawnRequest(R, P, P, MFA, []), Flag.SPAWN, None),
        (c.SpawnReply(R, Q, 0, P), Flag.SPAWN, None),
    ],
)
def test_older_forms(message: c.Control, lacking: int, term: Any) -> None:
    assert older(message, int(lacking)) == term


def test_encode_control_alone() -> None:
    assert term_of(encode_control(c.Link(P, Q), 0)) == (1, P, Q)
    with pytest.raises(EncodeError, match="no form for Monitor"):
        encode_control(c.Monitor(P, Q, R), 0)
    with pytest.raises(EncodeError, match="there is none"):
        encode_control(c.Exit(P, Q, c.IN_PAYLOAD), ALL_FLAGS)


@pytest.mark.parametrize(
    "message",
    [
        c.Link(NAME, Q),  # type: ignore[arg-type]
        c.Link(Pid(NODE_A, 1 << 32, 0, 1), Q),
        c.Monitor(P, Q, Reference(NODE_A, 1, (1 << 32,))),
        c.UnlinkId(0, P, Q),
        c.UnlinkId(1 << 64, P, Q),
        c.Exit(P, Q, object()),
        c.SendSender(P, Q, object()),
        c.RegSend(P, object()),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_control_message_raises(message: c.Control) -> None:
    with pytest.raises(EncodeError):
        encode_signal(message, None, PLAIN)


def test_the_memory_of_pids_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from pynode.dist import control_encoder

    monkeypatch.setattr(control_encoder, "_PIDS_REMEMBERED", 8)
    for number in range(50):
        control = encode_control(c.Link(pid_a(number), Q), 0)
        assert term_of(control) == (1, pid_a(number), Q)
        assert len(control_encoder._pid_wire) <= 4096


# --------------------------------------------------------------------------- refused

BAD: list[Any] = [
    atom.link,
    7,
    [1, P, Q],
    (),
    (atom.link, P, Q),
    (True, P, Q),
    (1.0, P, Q),
    (0, P, Q),
    (9,),
    (38, P, Q),
    (-1, P, Q),
    (1 << 20000, P, Q),
    (1, P),
    (1, P, Q, 1),
    (1, NAME, Q),
    (1, P, NAME),
    (2, Atom(""), NAME),
    (3, P, Q),
    (4, P, 1),
    (5, 1),
    (6, P, Atom(""), Q),
    (6, NAME, Atom(""), NAME),
    (7, P, 1),
    (8, P, Q, 1, 2, 3),
    (12, Atom(""), Q),
    (13, P, Q, 1),
    (16, P, Atom(""), NAME),
    (18, P, Q, 1),
    (19, P, Q, P),
    (19, P, b"name", R),
    (19, NAME, Q, R),
    (20, P, 7, R),
    (21, P, Q, R),
    (21, 3, Q, R, 1),
    (22, Atom(""), Q),
    (22, P, NAME),
    (23, P, Q),
    (24, P, Q, 1),
    (25, P, Q),
    (26, P, R),
    (27, P, Q),
    (28, P, NAME, R),
    (28, P, Q, Q),
    (29, R, P, P, MFA),
    (29, P, P, P, MFA, []),
    (29, R, P, P, (atom.m, atom.f), []),
    (29, R, P, P, (atom.m, atom.f, 1.0), []),
    (29, R, P, P, (b"m", atom.f, 1), []),
    (29, R, P, P, MFA, ImproperList([1], 2)),
    (29, R, P, 1, MFA, []),
    (30, R, P, P, MFA, []),
    (31, R, Q, -1, P),
    (31, R, Q, 1 << 27, P),
    (31, R, Q, True, P),
    (31, R, Q, 0, b"pid"),
    (31, R, NAME, 0, P),
    (32, R, Q, 0, P),
    (33, P, Q),
    (33, Atom(""), R),
    (34, P, R),
    (35, 0, P, Q),
    (35, 1 << 64, P, Q),
    (35, True, P, Q),
    (35, 1, P, R),
    (36, -1, P, Q),
    (36, 1, P),
    (37, 1, P),
    (37, -1, P, Q),
    (37, atom.prio, P, Q),
    (37, 0, NAME, Q),
    (37, 0, P, R),
    (37, 4, P, Q),
    (37, 8, P, Q),
    (37, 12, P, R),
    (37, 2, P, Q),
]


@pytest.mark.parametrize("term", BAD, ids=[str(i) for i in range(len(BAD))])
def test_malformed(term: Any) -> None:
    with pytest.raises(FrameError) as raised:
        decode_control(term)
    assert len(str(raised.value)) < 300


def test_a_hostile_term_is_not_written_out() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for term in (deep, (1, deep, deep), (22, P, (deep,) * 1000)):
        with pytest.raises(FrameError):
            decode_control(term)
    while deep:  # not left to the recursive destructor of a test's frame
        deep = deep[0]


STRANGER = Pid(Atom("c@here"), 1, 0, 1)
OLD = pid_a(1, creation=3)


@pytest.mark.parametrize(
    "make",
    [
        lambda p, q: c.Link(p, q),
        lambda p, q: c.Unlink(p, q),
        lambda p, q: c.UnlinkId(1, p, q),
        lambda p, q: c.UnlinkIdAck(1, p, q),
        lambda p, q: c.Monitor(p, q, R),
        lambda p, q: c.Demonitor(p, q, R),
        lambda p, q: c.Exit(p, q, c.IN_PAYLOAD),
        lambda p, q: c.Exit2(p, q, 1),
    ],
)
def test_nobody_speaks_for_another_node(make: Any) -> None:
    check_identity(make(P, Q), NODE_A, NODE_B)
    check_identity(make(OLD, pid_b(1, 4)), NODE_A, NODE_B)
    with pytest.raises(FrameError, match="comes over a@here"):
        check_identity(make(STRANGER, Q), NODE_A, NODE_B)
    with pytest.raises(FrameError, match="comes over a@here"):
        check_identity(make(Q, Q), NODE_A, NODE_B)
    with pytest.raises(FrameError, match="comes to b@here"):
        check_identity(make(P, STRANGER), NODE_A, NODE_B)


def test_names_as_targets_and_replies() -> None:
    check_identity(c.Monitor(P, NAME, R), NODE_A, NODE_B)
    check_identity(c.SendSender(STRANGER, Q), NODE_A, NODE_B)
    check_identity(c.MonitorExit(STRANGER, Q, R, 1), NODE_A, NODE_B)
    for message in (c.MonitorExit(P, P, R, 1), c.SpawnReply(R, P, 0, P)):
        with pytest.raises(FrameError, match="comes to b@here"):
            check_identity(message, NODE_A, NODE_B)
    with pytest.raises(FrameError):
        decode_control((1, STRANGER, Q), NODE_A, NODE_B)
    assert decode_control((1, STRANGER, Q)) == c.Link(STRANGER, Q)


ELEMENTS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([P, Q, R, NAME, True, None, Atom(""), [], MFA, TOKEN, b"x", 1.0, {}]),
    st.integers(),
)


@settings(max_examples=600, deadline=None)
@given(st.tuples(st.integers(0, 40), st.lists(ELEMENTS, max_size=7)))
def test_any_tuple_is_read_or_refused(drawn: tuple[int, list[Any]]) -> None:
    term = (drawn[0], *drawn[1])
    try:
        message: Any = decode_control(term, NODE_A, NODE_B)
    except FrameError:
        return
    # What was taken says the same when written again, but for the sends to an alias and for
    # what the reader is to ignore.
    signal = encode_signal(message, PAYLOAD, PLAIN if drawn[0] in (33, 34) else ALL_FLAGS)
    assert signal is not None
    again: Any = decode_control(term_of(signal[0]))
    if hasattr(message, "reason"):
        again = again._replace(reason=message.reason)
    if type(message) is not c.AltactSend:
        assert again == message
