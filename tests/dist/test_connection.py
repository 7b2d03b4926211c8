from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pynode import etf
from pynode.config import Limits
from pynode.dist import control as c
from pynode.dist.connection import Connection
from pynode.dist.control_encoder import encode_signal
from pynode.dist.flags import Flag
from pynode.dist.seam import Payload, Peer
from pynode.errors import FrameError
from pynode.terms import Atom, atom

from .pair import (
    ALL_FLAGS,
    NODE_A,
    NODE_B,
    A,
    B,
    ConnectionPair,
    Signal,
    collector,
    drain,
    frame,
    land,
    pid_a,
    pid_b,
    receive,
    ref_a,
)

CACHE, FRAGMENTS = int(Flag.DIST_HDR_ATOM_CACHE), int(Flag.FRAGMENTS)
NO_FRAGMENTS = ALL_FLAGS & ~FRAGMENTS
NO_CACHE = ALL_FLAGS & ~CACHE
PASSING = ALL_FLAGS & ~(CACHE | FRAGMENTS)
SEND = c.SendSender(pid_a(), pid_b())


def at_b(flags: int = ALL_FLAGS, limits: Limits | None = None) -> Connection:
    return Connection(B, Peer(NODE_A, 11, flags, hidden=False), limits)


def control(message: c.Control, flags: int = ALL_FLAGS) -> bytes:
    signal = encode_signal(message, etf.encode_payload(0), flags)
    assert signal is not None
    return signal[0]


def plain(message: c.Control, *term: Any) -> bytes:
    """Return the body of a frame with an empty header."""
    return b"\x83D\0" + control(message) + (etf.encode_payload(term[0]) if term else b"")


# --------------------------------------------------------------------------- the whole way


@pytest.mark.parametrize("flags", [ALL_FLAGS, NO_FRAGMENTS, NO_CACHE, PASSING])
@pytest.mark.parametrize("max_bytes", [1, 65536, 1 << 30])
def test_what_one_sends_the_other_gets(flags: int, max_bytes: int) -> None:
    pair = ConnectionPair(flags)
    sent: list[Signal] = [
        (SEND, [1, b"two", atom.three]),
        (c.Link(pid_a(), pid_b()), None),
        (c.RegSend(pid_a(), atom.name), bytes(1_000_000)),
        (c.Monitor(pid_a(), atom.name, ref_a()), None),
        (c.AltactSend(4, pid_a(), ref_a()), "x" * 70_000),
        (c.Exit(pid_a(), pid_b(), c.IN_PAYLOAD), atom.normal),
        (c.SpawnReply(ref_a(), pid_b(), 1, pid_a()), None),
        (c.UnlinkId(9, pid_a(), pid_b()), None),
    ]
    expected = [(m, t.encode() if type(t) is str else t) for m, t in sent]
    for message, term in sent:
        assert pair.send(message, *(() if term is None else (term,)))
    assert pair.carry(max_bytes) == expected
    assert pair.a.queued_bytes == 0


def test_dropped_where_the_peer_has_no_form() -> None:
    pair = ConnectionPair(ALL_FLAGS & ~int(Flag.DIST_MONITOR))
    assert not pair.send(c.Monitor(pid_a(), atom.x, ref_a()))
    assert pair.a.queued_bytes == 0
    assert pair.a.data_to_send() == []


def test_ticks_are_counted_and_say_nothing() -> None:
    pair = ConnectionPair()
    assert pair.a.tick() == b"\0\0\0\0"
    assert receive(pair.b, pair.a.tick() * 3 + frame(plain(SEND, 1))) == [(SEND, 1)]
    assert (pair.b.ticks_received, pair.b.frames_received) == (3, 1)
    assert pair.b.bytes_received == 12 + 4 + len(plain(SEND, 1))


def test_the_payload_outlives_the_call() -> None:
    kept: list[Payload] = []

    def keep(message: c.Control, payload: Payload | None) -> None:
        assert payload is not None
        kept.append(payload)

    pair = ConnectionPair()
    terms = [[i, b"x" * size] for i, size in enumerate((3, 3, 100_000, 3, 70_000))]
    for term in terms:
        pair.send(SEND, term)
    buffer = bytearray(pair.stream())
    pair.b.receive_data(buffer, keep)
    buffer[:] = bytes(len(buffer))
    assert [etf.decode_payload(p.data, p.offset, p.atoms)[0] for p in kept] == terms


def test_a_payload_does_not_reach_into_the_next_frame() -> None:
    """A cut-off payload is the decoder's to find, whatever stands behind its frame."""
    short = frame(plain(SEND) + b"m\0\0\0\x64abc")
    kept: list[Payload | None] = []
    at_b().receive_data(short + frame(plain(SEND, 1)), lambda m, p: kept.append(p))
    assert kept[0] is not None
    assert len(kept[0].data) == len(short) - 4


# --------------------------------------------------------------------------- order and fragments


def test_a_large_message_lets_others_and_ticks_through() -> None:
    pair = ConnectionPair()
    big = bytes(1_000_000)
    pair.send(SEND, big)
    first = b"".join(pair.a.data_to_send(1))
    other = c.SendSender(pid_a(2), pid_b())
    pair.send(other, atom.small, sender=pid_a(2))
    later = c.Link(pid_a(), pid_b())
    pair.send(later)
    got = receive(pair.b, first + pair.a.tick())
    assert got == []
    pieces = [b"".join(p) for p in iter(lambda: pair.a.data_to_send(1), [])]
    got = receive(pair.b, pair.a.tick().join(pieces))
    assert got == [(other, atom.small), (SEND, big), (later, None)]
    assert pair.b.ticks_received == len(pieces)


def fragment(sequence: int, number: int, body: bytes, *, start: bool = False) -> bytes:
    head = sequence.to_bytes(8, "big") + number.to_bytes(8, "big")
    return frame((b"\x83E" if start else b"\x83F") + head + body)


def test_interleaved_sequences_with_caches_of_their_own() -> None:
    """Slot 1 changes between the fragments; each message keeps what its first one said."""
    b = at_b()
    pid_tail = (1).to_bytes(4, "big") + bytes(4) + (11).to_bytes(4, "big")
    ctl = b"h\x03a\x16XR\0" + pid_tail + control(SEND)[-len(pid_b().node.wire) - 13 :]
    new = b"\1\x08\1"  # one reference, new entry, slot 1

    def cached(text: bytes) -> bytes:
        return new + bytes([len(text)]) + text

    assert receive(
        b,
        fragment(1, 3, cached(b"a@here") + ctl + b"l\0\0\0\2", start=True)
        + frame(b"\x83D" + cached(b"one") + control(SEND) + b"R\0")
        + fragment(2, 2, b"\0" + control(SEND) + b"h\2a\1", start=True)
        + fragment(1, 2, b"R\0")
        + frame(b"")
        + frame(b"\x83D" + b"\1\0\1" + control(SEND) + b"R\0"),
    ) == [(SEND, atom.one), (SEND, atom.one)]
    assert receive(b, fragment(2, 1, b"a\2") + fragment(1, 1, b"a\5j")) == [
        (SEND, (1, 2)),
        (SEND, [Atom("a@here"), 5]),
    ]


def test_a_control_message_must_lie_in_the_first_fragment() -> None:
    half = control(SEND)[:-3]
    with pytest.raises(FrameError, match="control message"):
        receive(at_b(), fragment(1, 2, b"\0" + half, start=True))


def test_fragments_without_payload() -> None:
    link = c.Link(pid_a(), pid_b())
    data = fragment(1, 2, b"\0" + control(link), start=True) + fragment(1, 1, b"")
    assert receive(at_b(), data) == [(link, None)]
    with pytest.raises(FrameError, match="SendSender without"):
        receive(at_b(), fragment(1, 1, b"\0" + control(SEND), start=True))


def test_the_ancient_node_link_is_dropped() -> None:
    data = frame(b"\x83D\0h\1a\5") + fragment(1, 1, b"\0h\1a\5", start=True)
    assert receive(at_b(), data) == []
    assert receive(at_b(PASSING), frame(b"p\x83h\1a\5")) == []


# --------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("body", "flags"),
    [
        (b"p\x83" + control(SEND) + b"\x83a\1", ALL_FLAGS),
        (b"\x83", ALL_FLAGS),
        (b"\x83D", ALL_FLAGS),
        (b"\x83D\0", ALL_FLAGS),
        (b"\x83D\1", ALL_FLAGS),
        (b"\x83D\1\0\5" + control(SEND) + b"a\1", ALL_FLAGS),
        (b"\x83D\1\x08\1\1x" + control(SEND) + b"a\1", NO_CACHE),
        (b"\x83D\0\x83" + control(SEND) + b"a\1", ALL_FLAGS),
        (b"\x83D\0a\1", ALL_FLAGS),
        (b"\x83D\0" + control(SEND)[:-1], ALL_FLAGS),
        (b"\x83D\0" + control(SEND), ALL_FLAGS),
        (b"\x83D\0" + control(c.Exit(pid_a(), pid_b(), c.IN_PAYLOAD)), ALL_FLAGS),
        (b"\x83D\0" + control(c.Link(pid_b(), pid_b())), ALL_FLAGS),
        (b"\x83D\0h\3a\x63a\1a\2", ALL_FLAGS),
        (b"\x83E" + bytes(7) + b"\1" + bytes(7) + b"\1\0" + control(SEND) + b"a\1", NO_FRAGMENTS),
        (b"\x83E" + bytes(15), ALL_FLAGS),
        (b"\x83F" + bytes(15), ALL_FLAGS),
        (b"\x83F" + bytes(16), ALL_FLAGS),
        (b"\x83E" + bytes(16) + b"\0" + control(SEND) + b"a\1", ALL_FLAGS),
        (b"\x83D\0" + control(SEND) + b"a\1", PASSING),
        (b"\x83" + control(SEND) + b"\x83a\1", PASSING),
        (b"p", PASSING),
        (b"p" + control(SEND) + b"\x83a\1", PASSING),
        (b"p\x83" + control(SEND) + b"a\1", PASSING),
        (b"p\x83" + control(SEND), PASSING),
        (b"p\x83", PASSING),
    ],
)
def test_frames_that_cost_the_connection(body: bytes, flags: int) -> None:
    good = b"p\x83" + control(SEND) + b"\x83a\1" if flags == PASSING else plain(SEND, 1)
    b = at_b(flags)
    got: list[Signal] = []
    with pytest.raises(FrameError):
        b.receive_data(frame(good) + frame(body) + frame(good), collector(got))
    assert got == [(SEND, 1)]
    assert b.closed
    assert receive(b, frame(good)) == []
    assert not b.send(pid_b(), c.SendSender(pid_b(), pid_a()), b"a\1")
    assert b.data_to_send() == []


def test_the_limits_reach_the_connection() -> None:
    with pytest.raises(FrameError, match="and 20 are allowed"):
        receive(at_b(limits=Limits(frame_bytes=20)), b"\0\0\0\x15")
    deep = b"l\0\0\0\1" * 30 + b"j" * 31
    b = at_b(limits=Limits(depth=20))
    with pytest.raises(FrameError, match="control message"):
        receive(b, frame(b"\x83D\0h\4a\3" + control(c.Link(pid_a(), pid_b()))[4:] + deep))
    b = at_b(limits=Limits(pending_fragments=1))
    first = b"\0" + control(SEND)
    with pytest.raises(FrameError, match="unfinished"):
        receive(b, fragment(1, 2, first, start=True) + fragment(2, 2, first, start=True))


def test_trailing_bytes_of_other_messages_are_ignored() -> None:
    link = c.Link(pid_a(), pid_b())
    assert receive(at_b(), frame(plain(link, b"more"))) == [(link, None)]


def test_an_error_of_the_receiver_closes_the_connection() -> None:
    b = at_b()

    def fail(message: c.Control, payload: Payload | None) -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        b.receive_data(frame(plain(SEND, 1)) * 2, fail)
    assert b.closed
    assert b.frames_received == 1


def test_closed_from_within() -> None:
    b = at_b()
    got = []

    def once(message: c.Control, payload: Payload | None) -> None:
        got.append(message)
        b.send(pid_b(), c.SendSender(pid_b(), pid_a()), b"a\1")
        b.close()

    b.receive_data(frame(plain(SEND, 1)) * 3, once)
    assert got == [SEND]
    assert b.queued_bytes == 0
    assert b.get_buffers() is None
    b.buffers_filled(0, once)


def test_no_recursion() -> None:
    b = at_b()

    def again(message: c.Control, payload: Payload | None) -> None:
        with pytest.raises(RuntimeError, match="receive_data"):
            b.receive_data(b"", again)
        with pytest.raises(RuntimeError, match="buffers_filled"):
            b.buffers_filled(0, again)

    b.receive_data(frame(plain(SEND, 1)), again)
    assert b.frames_received == 1


# --------------------------------------------------------------------------- control messages again


def test_the_same_control_message_again() -> None:
    b = at_b()
    other = c.SendSender(pid_a(), pid_b(2))
    frames = [frame(plain(m, i)) for i, m in enumerate([SEND, SEND, other, SEND, other, other])]
    assert [m for m, _ in receive(b, b"".join(frames))] == [SEND, SEND, other, SEND, other, other]


def test_the_same_bytes_under_other_atoms() -> None:
    """The control message is the same in bytes, and means another name each time."""
    b = at_b()
    ctl = b"h\4a\6" + control(SEND)[4 : -len(pid_b().node.wire) - 13] + b"w\0R\0"
    body = ctl + b"a\1"
    new = frame(b"\x83D\1\x08\1\3one" + body)
    known = frame(b"\x83D\1\0\1" + body)
    newer = frame(b"\x83D\1\x08\1\3two" + body)
    second = frame(b"\x83D\1\x08\2\5three" + body) + frame(b"\x83D\1\0\2" + body)
    got = receive(b, new + known + known + newer + known + second + known)
    names = [m.name for m, _ in got if isinstance(m, c.RegSend)]
    assert names == [
        atom.one, atom.one, atom.one, atom.two, atom.two, atom.three, atom.three, atom.two,
    ]  # fmt: skip


def test_a_large_frame_in_one_piece() -> None:
    """Without fragments: the control message is read from the front of a view."""
    pair = ConnectionPair(NO_FRAGMENTS)
    big = bytes(300_000)
    pair.send(SEND, big)
    options = [atom.link] * 20_000  # and one that is longer than the front
    request = c.SpawnRequest(ref_a(), pid_a(), pid_a(), (atom.m, atom.f, 1), options)
    pair.send(request, [big])
    data = pair.stream()
    got: list[Signal] = []
    for i in range(0, len(data), 60_000):
        pair.b.receive_data(data[i : i + 60_000], collector(got))
    assert got == [(SEND, big), (request, [big])]


def test_received_in_place() -> None:
    pair = ConnectionPair(NO_FRAGMENTS)
    big = bytes(range(256)) * 4000
    for _ in range(2):
        pair.send(SEND, big)
        pair.send(SEND, atom.small)
    data = pair.stream()
    got: list[Signal] = []
    in_place = land(pair.b, data, 100_000, collector(got))
    assert got == [(SEND, big), (SEND, atom.small)] * 2
    assert in_place > 1_000_000
    assert pair.b.bytes_received == len(data)


def test_garbage_received_in_place() -> None:
    b = at_b(NO_FRAGMENTS)
    b.receive_data((200_000).to_bytes(4, "big"), lambda m, p: None)
    buffers = b.get_buffers()
    assert buffers is not None
    buffers.clear()
    with pytest.raises(FrameError):
        b.buffers_filled(200_000, lambda m, p: None)
    assert b.closed


# --------------------------------------------------------------------------- properties


def exchange(flags: int) -> tuple[bytes, list[Signal]]:
    """Return a stream with frames of every kind, and what it says."""
    pair = ConnectionPair(flags)
    for i in range(3):
        pair.send(SEND, [atom.a, i, b"x" * 50])
        pair.send(c.SendSender(pid_a(2), pid_b()), bytes(70_000), sender=pid_a(2))
        pair.send(c.Link(pid_a(), pid_b()))
        pair.send(c.RegSend(pid_a(3), atom.name), bytes(140_000), sender=pid_a(3))
    tick = pair.a.tick()
    stream = tick + tick.join(b"".join(p) for p in iter(lambda: pair.a.data_to_send(1), []))
    if flags & CACHE:
        body = b"\x83D\2\x88\0\1\3one\2\3two" + control(SEND) + b"h\2R\0R\1"
        stream += frame(body) + frame(b"\x83D\1\0\1" + control(SEND) + b"R\0")
    return stream, receive(at_b(flags), stream)


STREAMS = {flags: exchange(flags) for flags in (ALL_FLAGS, NO_FRAGMENTS, PASSING)}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(STREAMS)),
    st.lists(st.one_of(st.integers(1, 30), st.integers(1, 200_000)), max_size=60),
)
def test_any_portions_say_the_same(flags: int, sizes: list[int]) -> None:
    stream, expected = STREAMS[flags]
    assert len(expected) >= 12
    b = at_b(flags)
    got: list[Signal] = []
    for size in sizes:
        b.receive_data(stream[:size], collector(got))
        stream = stream[size:]
    b.receive_data(stream, collector(got))
    assert got == expected


def test_byte_by_byte() -> None:
    small, expected = b"", []
    for i in range(5):
        small += frame(b"") + frame(plain(SEND, [i, atom.x]))
        expected.append((SEND, [i, atom.x]))
    b = at_b()
    got: list[Signal] = []
    for i in range(len(small)):
        b.receive_data(small[i : i + 1], collector(got))
    assert got == expected


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes_are_taken_or_cost_the_connection(data: st.DataObject) -> None:
    """Broken frames raise FrameError and nothing else, and nothing follows them."""
    flags = data.draw(st.sampled_from([ALL_FLAGS, NO_FRAGMENTS, NO_CACHE, PASSING]))
    bodies = [
        plain(SEND, [1, atom.x]),
        b"\x83D\2\x88\0\1\3one\2\3two" + control(SEND) + b"h\2R\0R\1",
        b"\x83D\1\0\1" + control(SEND) + b"R\0",
        fragment(1, 2, b"\0" + control(SEND) + b"h\2", start=True)[4:],
        fragment(1, 1, b"a\1a\2")[4:],
        fragment(3, 1, b"\0" + control(SEND) + b"a\1", start=True)[4:],
        b"p\x83" + control(SEND) + b"\x83a\1",
        b"p\x83" + control(c.Link(pid_a(), pid_b())),
        plain(c.SpawnRequest(ref_a(), pid_a(), pid_a(), (atom.m, atom.f, 1), [atom.link]), [1]),
        b"",
    ]
    b = at_b(flags, Limits(frame_bytes=2000))
    for _ in range(data.draw(st.integers(1, 6))):
        body = bytearray(data.draw(st.sampled_from(bodies)))
        for _ in range(data.draw(st.integers(0, 3))):
            if body:
                body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        body = body[: data.draw(st.integers(max(0, len(body) - 4), len(body)))]
        raw = data.draw(st.one_of(st.just(frame(bytes(body))), st.binary(max_size=30)))
        closed = b.closed
        before = b.frames_received
        try:
            b.receive_data(raw, lambda message, payload: None)
        except FrameError:
            assert b.closed
        if closed:
            assert b.frames_received == before


def test_small_portions_take_linear_time() -> None:
    def seconds(count: int) -> float:
        data = frame(plain(SEND, b"x" * 100)) * count
        b = at_b()
        start = time.process_time()
        for i in range(0, len(data), 7):
            b.receive_data(data[i : i + 7], lambda m, p: None)
        assert b.frames_received == count
        return time.process_time() - start

    seconds(100)
    small = min(seconds(250) for _ in range(3))
    large = min(seconds(4000) for _ in range(2))
    assert large < small * 16 * 5


def test_everything_waits_in_queued_bytes() -> None:
    pair = ConnectionPair()
    for size in (1, 20_000, 70_000, 1_000_000):
        pair.send(SEND, bytes(size))
    queued = pair.a.queued_bytes
    assert queued == sum(len(piece) for piece in drain(pair.a))
    assert pair.a.queued_bytes == 0


def test_limits_have_defaults() -> None:
    assert Connection(A, Peer(NODE_B, 1, ALL_FLAGS, hidden=False)).limits == Limits()
