"""Large messages that are received where they will lie are the same as those that are not."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pynode import etf
from pynode.config import Limits
from pynode.dist import assembly
from pynode.dist._choice import Place
from pynode.dist.assembly import FRAGMENT_BYTES, InSequence, find_binary
from pynode.dist.connection import Connection, OnControl
from pynode.dist.control import SendSender
from pynode.dist.header import CONTINUE_HEAD, FRAGMENT_CONTINUE, START_HEAD, VERSION
from pynode.dist.seam import Payload
from pynode.errors import FrameError
from pynode.terms import Atom, ImproperList, Pid, Port, Reference, atom

from .pair import ConnectionPair, Signal, collector, decoded, land, pid_a, pid_b, ref_a

MIB = 1024 * 1024
BLOB = random.Random(1).randbytes(5 * MIB + 77)
MESSAGE = SendSender(pid_a(), pid_b())


def pair_of(limits: Limits | None = None) -> ConnectionPair:
    return ConnectionPair(limits=limits)


TERMS: dict[str, Any] = {
    "the binary alone": BLOB,
    "in a tuple": (pid_a(), ref_a(), BLOB),
    "between others": [atom.ok, {b"key": BLOB[:MIB]}, BLOB, BLOB[:100], (1.5, -7, 1 << 70)],
    "two": (BLOB, BLOB[: 2 * MIB]),
    "text": (b"x" * (5 * MIB), b"end"),
    "none": [b"%07d" % number for number in range(500_000)],
    "behind a call": (
        atom("$gen_call"),
        (pid_a(), ImproperList([atom.alias], ref_a())),
        (atom.put, BLOB),
    ),
}


@pytest.mark.parametrize("most", [70_001, 300_000, 1_200_000])
@pytest.mark.parametrize("name", TERMS)
def test_large_terms_arrive(name: str, most: int) -> None:
    pair = pair_of()
    for _ in range(2):
        pair.send(MESSAGE, TERMS[name])
        pair.send(MESSAGE, atom.small)
    data = pair.stream()
    got: list[Signal] = []
    in_place = land(pair.b, data, most, collector(got))
    assert got == [(MESSAGE, TERMS[name]), (MESSAGE, atom.small)] * 2
    assert in_place > len(data) // 2
    assert pair.b.bytes_received == len(data)
    assert pair.b.frames_received == frames_of(data)
    assert not pair.b.closed


def frames_of(data: bytes) -> int:
    position = count = 0
    while position < len(data):
        position += 4 + int.from_bytes(data[position : position + 4], "big")
        count += 1
    return count


def test_every_cut() -> None:
    """Wherever a portion ends: in a head, at its ends, and in what follows."""
    pair = pair_of()
    pair.send(MESSAGE, (BLOB[: 2 * MIB], 1))
    data = pair.stream()
    start = 2 * (FRAGMENT_BYTES + CONTINUE_HEAD.size) + 40
    for cut in (*range(start - 50, start + 30), *range(start, start + 70_000, 9001)):
        b = pair_of().b
        got: list[Signal] = []
        b.receive_data(data[:cut], collector(got))
        for most in (21, 23, 40_000):
            land(b, data[cut : cut + most], most, collector(got))
            cut += most
        land(b, data[cut:], 1 << 20, collector(got))
        assert got == [(MESSAGE, (BLOB[: 2 * MIB], 1))]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_with_others_in_between(data: st.DataObject) -> None:
    """Several large messages by turns, and small ones; received so and otherwise."""
    pair = pair_of()
    sizes = st.sampled_from([10, 70_000, MIB - 1, MIB, 2 * MIB + 5, 4 * MIB])
    stream = bytearray()
    for number, size in enumerate(data.draw(st.lists(sizes, min_size=1, max_size=6))):
        sender = pid_a(data.draw(st.integers(1, 2)))
        message = SendSender(sender, pid_b())
        pair.send(message, (number, BLOB[number : number + size], [size]), sender=sender)
        for piece in pair.a.data_to_send(data.draw(st.sampled_from([1, 300_000, 1 << 22]))):
            stream += piece
        if data.draw(st.booleans()):
            stream += pair.a.tick()
    stream += pair.stream()
    expected: list[Signal] = []
    plain = pair_of().b
    plain.receive_data(bytes(stream), collector(expected))
    got: list[Signal] = []
    position = 0
    chance = data.draw(st.randoms(use_true_random=False))
    while position < len(stream):
        size = chance.choice([1, 30, 5000, 65_558, 200_000, 3_000_000])
        portion = bytes(stream[position : position + size])
        position += size
        if chance.random() < 0.1:  # somebody who has read otherwise
            pair.b.get_buffers()
            pair.b.receive_data(portion, collector(got))
        else:
            land(pair.b, portion, 1 << 20, collector(got))
    assert got == expected
    for count in ("bytes_received", "frames_received", "ticks_received", "messages_received"):
        assert getattr(pair.b, count) == getattr(plain, count)


# --------------------------------------------------------------------------- what is wrong


def start(fragments: int, rest: bytes, sequence: int = 1) -> bytes:
    control = etf.encode_payload((22, pid_a(), pid_b()))
    body = control + rest
    length = START_HEAD.size - 4 + len(body)
    return START_HEAD.pack(length, VERSION, 69, sequence, fragments, 0) + body


def go_on(number: int, part: bytes, sequence: int = 1) -> bytes:
    length = CONTINUE_HEAD.size - 4 + len(part)
    return CONTINUE_HEAD.pack(length, VERSION, FRAGMENT_CONTINUE, sequence, number) + part


def feed(
    b: Connection, stream: bytes, most: int, on_control: OnControl = lambda m, p: None
) -> None:
    """Have it received in place in portions, or at once and otherwise."""
    if most:
        land(b, stream, most, on_control)
    else:
        b.receive_data(stream, on_control)


PART = bytes(FRAGMENT_BYTES)


def head_of(size: int) -> bytes:
    return b"h\2m" + size.to_bytes(4, "big")


@pytest.mark.parametrize(
    "wrong",
    [
        go_on(21, PART),
        go_on(19, PART),
        go_on(20, PART, sequence=2),
        go_on(0, PART),
        b"\xff" * 22 + PART,
        start(100, head_of(4 * MIB)),
        go_on(20, PART)[:4] + b"\x83D" + go_on(20, PART)[6:],
    ],
)
def test_what_is_wrong_is_refused_with_the_same_words(wrong: bytes) -> None:
    stream = start(100, head_of(6 * MIB))
    stream += b"".join(go_on(number, PART) for number in range(99, 20, -1))
    stream += wrong
    told = []
    for most in (0, 100_000, 1 << 20):
        b = pair_of().b
        with pytest.raises(FrameError) as caught:
            feed(b, stream, most)
        told.append(str(caught.value))
        assert b.closed
        assert b.get_buffers() is None
    assert len(set(told)) == 1, told


@pytest.mark.parametrize("size", [6 * MIB, 70 * FRAGMENT_BYTES + 1, 1 << 20])
def test_a_binary_that_is_longer_than_what_comes(size: int) -> None:
    """What was reserved and never written is not seen."""
    stream = start(71, head_of(size))
    stream += b"".join(go_on(number, PART) for number in range(70, 0, -1))
    kept: list[Payload | None] = []
    for most in (0, 100_000, 1 << 20):
        feed(pair_of().b, stream, most, lambda m, p: kept.append(p))
    wholes = {bytes(payload.joined()) for payload in kept if payload is not None}
    assert wholes == {head_of(size) + bytes(70 * FRAGMENT_BYTES)}
    assert len(kept) == 3


def test_memory_is_not_given_for_what_is_announced() -> None:
    """Not by many sequences either: their reservations count to one limit together."""
    limits = Limits(fragment_bytes=64 * MIB, term_bytes=32 * MIB, pending_fragments=64)
    b = pair_of(limits).b
    tracemalloc.start()
    try:
        for sequence in range(1, 60):
            b.receive_data(start(400, head_of(20 * MIB), sequence), lambda m, p: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 70 * MIB
    reserved = b._parts._reserved_bytes
    assert 20 * MIB < reserved <= 64 * MIB
    assert reserved == sum(entry.reserved_bytes for entry in b._sequences.values())
    b.close()
    assert b._parts._reserved_bytes == 0


@pytest.mark.parametrize(
    ("fragments", "size"),
    [
        (10, 1 << 20),  # more than the fragments can bring
        (1 << 40, 2 * MIB),  # more fragments than are allowed
        (600, 33 * MIB),  # above a limit
        (600, 0xFFFFFFFF),
    ],
)
def test_nothing_is_reserved_for_what_cannot_be(fragments: int, size: int) -> None:
    limits = Limits(fragment_bytes=64 * MIB, term_bytes=32 * MIB)
    b = pair_of(limits).b
    b.receive_data(start(fragments, head_of(size)), lambda m, p: None)
    assert b._parts._reserved_bytes == 0


def test_a_binary_reserves_no_more_than_its_fragments_can_bring() -> None:
    b = pair_of(Limits(fragment_bytes=64 * MIB, term_bytes=32 * MIB)).b
    b.receive_data(start(20, head_of(30 * MIB)), lambda m, p: None)
    assert b._parts._reserved_bytes <= 20 * FRAGMENT_BYTES


@pytest.mark.parametrize("most", [50_000, 1 << 20])
def test_limits_hold_for_what_is_received_in_place(most: int) -> None:
    limits = Limits(term_bytes=16 * MIB)
    b = pair_of(limits).b
    stream = start(120, head_of(6 * MIB), 1)
    stream += b"".join(go_on(number, PART) for number in range(119, 59, -1))
    assert land(b, stream, most, lambda m, p: None) > 2 * MIB
    b._parts._limits = Limits(term_bytes=4 * MIB + MIB // 2)
    stream = b"".join(go_on(number, PART) for number in range(59, 40, -1))
    with pytest.raises(FrameError, match="fragmented message of more than"):
        land(b, stream, most, lambda m, p: None)
    assert b.closed


def test_several_sequences_count_together() -> None:
    b = pair_of(Limits(fragment_bytes=8 * MIB)).b
    stream = b""
    for sequence in range(1, 9):
        stream += start(65, head_of(2 * MIB), sequence)
        stream += b"".join(go_on(n, PART, sequence) for n in range(64, 40, -1))
    with pytest.raises(FrameError, match="fragments of more than"):
        land(b, stream, 1 << 20, lambda m, p: None)


# --------------------------------------------------------------------------- the parts


@pytest.mark.parametrize(
    "term",
    [
        BLOB,
        (BLOB, 1),
        [1, -1, 1 << 40, 1 << 3000, 0.5, b"short", [1, 2, 3], [], (), {}, {1: BLOB}],
        [atom("x" * 200), Atom("\N{SNOWMAN}" * 100), None, True, False, BLOB],
        (Pid(atom("a@b"), 1, 2, 3), Port(atom("a@b"), 1, 3), Reference(atom("a@b"), 1, (1,)), BLOB),
        (Reference(atom("a@b"), 1, (1, 2, 3, 4, 5)), tuple(range(300)), BLOB)[::2],
    ],
)
def test_the_binary_is_found(term: Any) -> None:
    wire = etf.encode_payload(term)
    at = wire.index(BLOB)
    assert find_binary(wire[: at + 100]) == (at, len(BLOB))
    assert find_binary(memoryview(wire)[: at + 100]) == (at, len(BLOB))
    assert find_binary(wire) is None
    for end in range(at):
        found = find_binary(wire[:end])  # a short one, cut
        assert found is None or wire[found[0] - 5 : found[0]] == b"m" + found[1].to_bytes(4, "big")


@given(st.binary(max_size=40))
def test_anything_is_looked_at(data: bytes) -> None:
    found = find_binary(data)
    assert found is None or (5 <= found[0] <= len(data) < found[0] + found[1])


def test_many_small_terms_before_it_are_not_looked_at() -> None:
    assert find_binary(b"a\1" * 40_000) is None


@pytest.mark.skipif(Place is None, reason="the compiled modules are not in use")
def test_a_place_is_the_object_itself_and_taken_once() -> None:
    place = Place(MIB)
    view = memoryview(place)
    view[:] = BLOB[:MIB]
    with view[:5] as part:
        view.release()
        copy = place.take()  # somebody could still write
        part[0] ^= 255
    assert copy == BLOB[:MIB]
    taken = place.take()
    assert taken[1:] == BLOB[1:MIB]
    for again in (place.take, lambda: memoryview(place)):
        with pytest.raises(BufferError):
            again()


@pytest.mark.skipif(Place is None, reason="the compiled modules are not in use")
def test_the_binary_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Noted(Place):  # type: ignore[misc]
        def take(self) -> bytes:
            found: bytes = super().take()
            made.append(found)
            return found

    monkeypatch.setattr(assembly, "Place", Noted)
    pair = pair_of()
    pair.send(MESSAGE, (1, BLOB, 2))
    payloads: list[Payload | None] = []
    land(pair.b, pair.stream(), 1 << 20, lambda message, payload: payloads.append(payload))
    (payload,) = payloads
    assert payload is not None
    assert payload.hole is not None
    assert payload.hole.binary is made[0]
    assert decoded(payload) == (1, BLOB, 2)


def test_a_sequence_without_a_place() -> None:
    """As where there is no memory for one."""
    entry = InSequence(None, (), 2)
    entry.begin(b"abc", 0)
    entry.add(b"def")
    assert entry.room() == (None, 0)
    payload, hole = entry.whole()
    assert (bytes(payload), hole) == (b"abcdef", None)
