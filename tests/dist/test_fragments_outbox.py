from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pynode.config import Limits
from pynode.dist import assembly
from pynode.dist.control import Link
from pynode.dist.fragments import FRAGMENT_BYTES, OutSequence, Reassembly, sequence_bytes
from pynode.dist.outbox import COPY_BYTES, GATHER_BYTES, Outbox
from pynode.errors import EncodeError, FrameError
from pynode.etf.pieces import PIECE_BYTES, Encoded, Pieces
from pynode.terms import Pid

from .pair import pid_a, pid_b

MESSAGE = Link(pid_a(), pid_b())
LIMITS = Limits(pending_fragments=3, fragment_bytes=100, term_bytes=60)

# --------------------------------------------------------------------------- in


def test_reassembled_in_order() -> None:
    parts = Reassembly(LIMITS)
    assert parts.start(7, 3, MESSAGE, (True,), b"one") is None
    assert parts.go_on(7, 2, b"two") is None
    whole = parts.go_on(7, 1, memoryview(b"three"))
    assert whole is not None
    assert (whole.message, whole.atoms) == (MESSAGE, (True,))
    assert bytes(whole.payload) == b"onetwothree"
    assert len(parts) == 0


def test_a_sequence_of_one_fragment() -> None:
    whole = Reassembly(LIMITS).start(7, 1, MESSAGE, (), b"x")
    assert whole is not None
    assert bytes(whole.payload) == b"x"


def test_several_sequences_and_the_same_number_again() -> None:
    parts = Reassembly(LIMITS)
    for sequence in (1, 2, 0):
        parts.start(sequence, 2, MESSAGE, (), b"%d" % sequence)
    for sequence in (2, 0, 1):
        whole = parts.go_on(sequence, 1, b"!")
        assert whole is not None
        assert bytes(whole.payload) == b"%d!" % sequence
    assert parts.start(2, 2, MESSAGE, (), b"") is None


def test_wrong_sequences() -> None:
    parts = Reassembly(LIMITS)
    with pytest.raises(FrameError, match="no fragments"):
        parts.start(1, 0, MESSAGE, (), b"")
    with pytest.raises(FrameError, match="did not begin"):
        parts.go_on(1, 1, b"")
    parts.start(1, 3, MESSAGE, (), b"")
    with pytest.raises(FrameError, match="begins again"):
        parts.start(1, 3, MESSAGE, (), b"")
    for number in (3, 1, 0):
        with pytest.raises(FrameError, match="where 2 is next"):
            parts.go_on(1, number, b"")


def test_limits_of_reassembly() -> None:
    parts = Reassembly(LIMITS)
    for sequence in range(3):
        parts.start(sequence, 1 << 63, MESSAGE, (), bytes(20))
    with pytest.raises(FrameError, match="more than 3 unfinished"):
        parts.start(3, 2, MESSAGE, (), b"")
    with pytest.raises(FrameError, match="fragmented message of more than 60"):
        parts.go_on(0, (1 << 63) - 1, bytes(41))
    parts.go_on(0, (1 << 63) - 1, bytes(40))
    with pytest.raises(FrameError, match="fragments of more than 100"):
        parts.go_on(1, (1 << 63) - 1, b"x")


def test_large_control_messages_count_too() -> None:
    parts = Reassembly(LIMITS)
    parts.start(1, 2, MESSAGE, (), b"", 60)
    with pytest.raises(FrameError, match="fragments of more than 100"):
        parts.start(2, 2, MESSAGE, (), b"", 41)
    assert parts.go_on(1, 1, b"") is not None
    for sequence in range(3, 13):
        parts.start(sequence, 2, MESSAGE, (), b"x", 50)
        assert parts.go_on(sequence, 1, b"y") is not None


def test_what_is_delivered_is_held_no_longer() -> None:
    parts = Reassembly(LIMITS)
    for sequence in range(20):
        parts.start(sequence, 2, MESSAGE, (), bytes(30))
        assert parts.go_on(sequence, 1, bytes(30)) is not None
    parts.start(1, 2, MESSAGE, (), bytes(30))
    parts.clear()
    assert len(parts) == 0


# --------------------------------------------------------------------------- out


def unframe(data: bytes) -> list[bytes]:
    frames = []
    position = 0
    while position < len(data):
        start = position + 4
        position = start + int.from_bytes(data[position:start], "big")
        assert position <= len(data)
        frames.append(data[start:position])
    return frames


@pytest.mark.parametrize("control_size", [10, FRAGMENT_BYTES - 1, FRAGMENT_BYTES + 9])
@pytest.mark.parametrize("payload_size", [1, FRAGMENT_BYTES, 3 * FRAGMENT_BYTES - 10, 200_001])
@pytest.mark.parametrize("cuts", [(), (1,), (0, 0, 7, 65_000, 70_000, 70_000)])
def test_fragments_go_down_to_one(
    control_size: int, payload_size: int, cuts: tuple[int, ...]
) -> None:
    control, payload = b"c" * control_size, bytes(i % 251 for i in range(payload_size))
    pieces = Pieces(payload[one:two] for one, two in pairwise((0, *cuts, payload_size)))
    sequence = OutSequence(pid_a(), 9, control, pieces if cuts else payload)
    wire = b""
    while sequence.left:
        size, (head, *parts) = sequence.next_fragment()
        assert sum(map(len, parts)) <= FRAGMENT_BYTES
        assert len(head) + sum(map(len, parts)) == size
        wire += b"".join((head, *parts))
    assert len(wire) == sequence_bytes(control_size, payload_size)
    first, *others = unframe(wire)
    assert first[:2] == b"\x83E"
    number, count, references = struct.unpack_from(">QQB", first, 2)
    assert (number, count, references) == (9, 1 + len(others), 0)
    assert first[19 : 19 + control_size] == control
    body = first[19 + control_size :]
    for left, other in zip(range(count - 1, 0, -1), others, strict=True):
        assert other[:2] == b"\x83F"
        assert struct.unpack_from(">QQ", other, 2) == (9, left)
        body += other[18:]
    assert body == payload


def outbox(*, headers: bool = True, fragments: bool = True) -> Outbox:
    return Outbox(headers=headers, fragments=fragments)


def taken(box: Outbox, max_bytes: int = 65536) -> bytes:
    out = b""
    while pieces := box.take(max_bytes):
        out += b"".join(pieces)
    assert box.queued_bytes == 0
    return out


def test_small_frames_are_joined() -> None:
    box = outbox()
    for i in range(100):
        box.put(pid_a(), b"control%d" % i, b"payload" if i % 2 else None)
    (piece,) = box.take(65536)
    assert unframe(bytes(piece)) == [
        b"\x83D\0control%d" % i + (b"payload" if i % 2 else b"") for i in range(100)
    ]
    assert box.take(65536) == []


def test_gathered_pieces_have_a_size() -> None:
    box = outbox()
    for _ in range(8):
        box.put(pid_a(), bytes(GATHER_BYTES // 2), None)
        box.put(pid_a(), bytes(GATHER_BYTES // 2), bytes(COPY_BYTES - 1))
    (piece,) = box.take(1)
    assert GATHER_BYTES < len(piece) < 2 * GATHER_BYTES
    assert len(unframe(taken(box))) == 14
    for _ in range(6):
        box.put(pid_a(), bytes(COPY_BYTES), bytes(COPY_BYTES - 1))
    assert len(box.take(1 << 20)) == 3


def test_control_messages_alone_are_gathered_too() -> None:
    box = outbox()
    for _ in range(5):
        box.put(pid_a(), bytes(GATHER_BYTES // 2), None)
    assert [len(piece) for piece in box.take(1 << 20)] == [
        GATHER_BYTES + 14,
        GATHER_BYTES + 14,
        GATHER_BYTES // 2 + 7,
    ]


def test_a_large_payload_is_not_copied() -> None:
    payload = bytes(COPY_BYTES)
    box = outbox()
    box.put(pid_a(), b"small", None)
    box.put(pid_a(), b"c", payload)
    pieces = box.take(1 << 20)
    assert any(piece is payload for piece in pieces)
    huge = bytes(1 << 20)
    box.put(pid_a(), b"c", huge)
    views = [piece for piece in box.take(1 << 21) if isinstance(piece, memoryview)]
    assert sum(map(len, views)) == len(huge)
    assert all(view.obj is huge for view in views)


@pytest.mark.parametrize(("headers", "fragments"), [(True, True), (True, False), (False, False)])
def test_pieces_go_out_as_the_whole(headers: bool, fragments: bool) -> None:
    """And the large one as it is."""
    huge = bytes(i % 251 for i in range(PIECE_BYTES))
    wires = []
    pieces: list[bytes | memoryview] = []
    for payload in (b"front" + huge + b"back", Pieces((b"front", huge, b"back"))):
        box = outbox(headers=headers, fragments=fragments)
        for control in (b"one", b"two"):  # the second waits for the first
            box.put(pid_a(), control, payload)
        queued = box.queued_bytes
        pieces = box.take(1 << 30)
        assert sum(map(len, pieces)) == queued
        wires.append(b"".join(pieces))
    assert wires[0] == wires[1]
    if not fragments:
        assert sum(piece is huge for piece in pieces) == 2
    views = [piece.obj for piece in pieces if isinstance(piece, memoryview)]
    assert (huge in views) is fragments


def test_without_fragments_a_large_message_is_one_frame() -> None:
    box = outbox(fragments=False)
    box.put(pid_a(), b"c", bytes(200_000))
    assert unframe(taken(box)) == [b"\x83D\0c" + bytes(200_000)]


def test_pass_through() -> None:
    box = outbox(headers=False, fragments=False)
    box.put(pid_a(), b"one", None)
    box.put(pid_a(), b"two", b"P")
    box.put(pid_a(), b"three", bytes(200_000))
    assert unframe(taken(box)) == [
        b"p\x83one",
        b"p\x83two\x83P",
        b"p\x83three\x83" + bytes(200_000),
    ]


class Huge(bytes):
    def __len__(self) -> int:
        return 1 << 32


@pytest.mark.parametrize("headers", [True, False])
def test_above_four_gibibytes(headers: bool) -> None:
    box = outbox(headers=headers, fragments=False)
    with pytest.raises(EncodeError, match="takes no fragments"):
        box.put(pid_a(), b"c", Huge())
    assert box.queued_bytes == 0


def test_small_messages_pass_a_large_one_of_another_sender() -> None:
    box = outbox()
    box.put(pid_a(1), b"big", bytes(1 << 20))
    assert sum(map(len, box.take(1))) > 65_000
    box.put(pid_a(2), b"small", None)
    assert unframe(b"".join(box.take(1))) == [b"\x83D\0small"]


def test_a_sender_does_not_pass_itself() -> None:
    box = outbox()
    box.put(pid_a(1), b"before", None)
    box.put(pid_a(1), b"big", bytes(200_000))
    box.put(pid_a(1), b"between", b"x")
    box.put(pid_a(1), b"big2", bytes(100_000))
    box.put(pid_a(1), b"after", None)
    box.put(pid_a(2), b"other", None)
    frames = unframe(taken(box, 1))
    kinds = [f[1:2] + (f[3:8] if f[1] == 68 else b"") for f in frames]
    assert kinds == [
        b"Dbefor", b"E", b"Dother", b"F", b"F", b"F", b"Dbetwe", b"E", b"F", b"Dafter"[:6],
    ]  # fmt: skip


def test_two_large_ones_take_turns() -> None:
    box = outbox()
    box.put(pid_a(1), b"one", bytes(300_000))
    box.put(pid_a(2), b"two", bytes(300_000))
    numbers = [int.from_bytes(f[2:10], "big") for f in unframe(taken(box, 1))]
    assert numbers == [1, 1, 2, 1, 2, 1, 2, 1, 2, 2]


def test_a_control_message_that_fills_a_fragment() -> None:
    box = outbox()
    box.put(pid_a(), bytes(FRAGMENT_BYTES), b"payload")
    first, last = unframe(taken(box))
    assert len(first) == 19 + FRAGMENT_BYTES
    assert last[18:] == b"payload"


class CountingOutbox(Outbox):
    puts = 0

    def put(self, sender: Pid, control: bytes, payload: Encoded | None) -> None:
        type(self).puts += 1
        super().put(sender, control, payload)


def test_many_large_ones_of_one_sender_stay_linear_and_in_order() -> None:
    box = CountingOutbox(headers=True, fragments=True)
    for i in range(300):
        box.put(pid_a(), b"%03d" % i, bytes(FRAGMENT_BYTES))
    firsts = [f[19:22] for f in unframe(taken(box)) if f[1] == 69]
    assert firsts == [b"%03d" % i for i in range(300)]
    assert CountingOutbox.puts <= 600  # each when it comes, and once more when its turn comes


def test_cleared() -> None:
    box = outbox()
    box.put(pid_a(), b"x", None)
    box.put(pid_a(), b"big", bytes(1 << 20))
    box.put(pid_a(), b"y", None)
    box.take(1)
    box.clear()
    assert box.queued_bytes == 0
    assert box.take(1 << 30) == []
    box.put(pid_a(), b"z", None)
    assert unframe(taken(box)) == [b"\x83D\0z"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.sampled_from([None, 0, 5, COPY_BYTES - 1, COPY_BYTES, FRAGMENT_BYTES + 1, 200_000]),
            st.sampled_from([0, 0, 1, 70_000]),
        ),
        max_size=25,
    )
)
def test_each_sender_keeps_its_order_and_the_count_is_exact(
    script: list[tuple[int, int | None, int]],
) -> None:
    """Whatever is put, and whenever something is taken between."""
    box = outbox()
    wire = b""
    sent: dict[Pid, list[bytes]] = {}
    for i, (number, size, take) in enumerate(script):
        sender = pid_a(number)
        control = b"%d:%04d" % (number, i)
        sent.setdefault(sender, []).append(control)
        before = box.queued_bytes
        box.put(sender, control, None if size is None else bytes(size))
        assert box.queued_bytes >= before + len(control)
        if take:
            before = box.queued_bytes
            part = b"".join(box.take(take))
            assert before - box.queued_bytes == len(part)
            wire += part
    wire += taken(box)
    done: dict[Pid, list[bytes]] = {}
    running: dict[int, bytes] = {}
    for f in unframe(wire):
        if f[1] == 68:
            control = f[3:9]
        elif f[1] == 69:
            running[int.from_bytes(f[2:10], "big")] = f[19:25]
            continue
        elif int.from_bytes(f[10:18], "big") == 1:
            control = running.pop(int.from_bytes(f[2:10], "big"))
        else:
            continue
        done.setdefault(pid_a(int(control[:1])), []).append(control)
    assert done == sent
    assert not running


def test_who_begins_many_large_messages_gets_little_memory_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reserved: list[int] = []
    reserve = assembly._reserve

    def noted(size: int) -> Any:
        reserved.append(size)
        return reserve(size)

    monkeypatch.setattr(assembly, "_reserve", noted)
    mib = 1024 * 1024
    parts = Reassembly(Limits(fragment_bytes=16 * mib, term_bytes=12 * mib))
    for sequence in range(200):
        parts.start(sequence, 96, None, (), b"x")
    assert reserved == [6 * mib] * 2  # 12 of 16; no more than may come
    for number in range(95, 0, -1):
        parts.go_on(0, number, b"")
    parts.start(0, 96, None, (), b"x")
    assert reserved == [6 * mib] * 3
    parts.start(300, 2**64 - 1, None, (), b"x")
    parts.start(301, 13 * 16, None, (), b"x")  # more than a term may have
    assert reserved == [6 * mib] * 3
    parts.clear()
    reserved.clear()
    parts = Reassembly(Limits())
    for sequence in range(200):
        parts.start(sequence, 96, None, (), b"x")
    assert len(reserved) == 8


@pytest.mark.parametrize("size", [64 * 1024, 70_000])
def test_a_large_message_is_gathered_in_memory_reserved_for_it(size: int) -> None:
    """Also where the fragments are larger than those of OTP, for which it is too small."""
    parts = Reassembly(Limits())
    data = bytes(range(256)) * (80 * size // 256)
    whole = parts.start(1, 80, None, (), data[:size])
    for number in range(79, 0, -1):
        assert whole is None
        at = (80 - number) * size
        whole = parts.go_on(1, number, data[at : at + size])
    assert whole is not None
    assert bytes(whole.payload) == data[: 80 * size]
    assert len(parts) == 0
