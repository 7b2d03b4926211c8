from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings, strategies as st

from pynode.dist.framing import LARGE_FRAME_BYTES, FrameReader
from pynode.errors import FrameError

from .pair import frame

LARGE = LARGE_FRAME_BYTES * 3 + 5


def read(chunks: Iterable[bytes], limit: int = 1 << 30) -> list[bytes]:
    reader = FrameReader(limit)
    return [bytes(got) for chunk in chunks for got in reader.feed(chunk)]


def cut(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    return [*chunks, data]


def test_frames_and_ticks_in_one_chunk() -> None:
    assert read([frame(b"a") + frame(b"") + frame(b"bc")]) == [b"a", b"", b"bc"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.just(b""), st.binary(max_size=20), st.just(b"x" * LARGE)), max_size=8),
    st.lists(st.one_of(st.integers(0, 9), st.integers(0, LARGE)), max_size=40),
)
def test_any_portions(bodies: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(frame, bodies))
    assert read(cut(stream, sizes)) == bodies


def test_byte_by_byte() -> None:
    bodies = [b"", b"abc", b"", b"d", b"x" * 1000]
    stream = b"".join(map(frame, bodies))
    assert read(stream[i : i + 1] for i in range(len(stream))) == bodies


@pytest.mark.parametrize(
    "chunks", [[b"\0\0\0\x0b"], [b"\0\0\0\x0b" + bytes(11)], [b"\0\0", b"\0\x0b"]]
)
def test_the_limit_holds_however_it_comes(chunks: list[bytes]) -> None:
    with pytest.raises(FrameError, match="frame of 11 bytes"):
        read(chunks, limit=10)
    assert read([frame(bytes(10))], limit=10) == [bytes(10)]


def test_a_large_frame_is_a_view_and_a_small_one_is_bytes() -> None:
    reader = FrameReader(1 << 30)
    data = frame(bytes(LARGE)) + frame(b"small")
    got = [f for i in range(0, len(data), 50_000) for f in reader.feed(data[i : i + 50_000])]
    assert [type(f) for f in got] == [memoryview, bytes]


def test_received_in_place() -> None:
    reader = FrameReader(1 << 30)
    body = bytes(range(256)) * 20_000  # more than one step of growth
    assert reader.get_buffer() is None
    assert list(reader.feed(frame(body)[:10])) == []
    position = 6
    whole = None
    while whole is None:
        buffer = reader.get_buffer()
        if buffer is None:  # too little is left to be worth it
            (whole,) = reader.feed(body[position:])
            break
        size = min(len(buffer), 300_000)
        buffer[:size] = body[position : position + size]
        buffer.release()
        position += size
        whole = reader.buffer_filled(size)
    assert bytes(whole) == body
    assert list(reader.feed(frame(b"next"))) == [b"next"]


def test_in_place_to_the_last_byte_and_mixed_with_feed() -> None:
    reader = FrameReader(1 << 30)
    body = bytes(range(251)) * 1000
    stream = frame(body)
    assert list(reader.feed(stream[:3])) == []
    assert list(reader.feed(stream[3:20])) == []
    buffer = reader.get_buffer()
    assert buffer is not None
    assert len(buffer) == len(body) - 16
    buffer[:100] = body[16:116]
    buffer.release()
    assert reader.buffer_filled(100) is None
    assert list(reader.feed(body[116:200])) == []
    buffer = reader.get_buffer()
    assert buffer is not None
    buffer[:] = body[200:]
    buffer.release()
    whole = reader.buffer_filled(len(body) - 200)
    assert whole is not None
    assert bytes(whole) == body


def test_no_buffer_of_the_announced_size_is_made_ahead() -> None:
    reader = FrameReader(1 << 30)
    assert list(reader.feed((1 << 30).to_bytes(4, "big"))) == []
    buffer = reader.get_buffer()
    assert buffer is not None
    assert len(buffer) <= 1 << 20


def test_linear_in_small_portions() -> None:
    """Doubling the length doubles the time; a quadratic reader takes four times as long.

    Of the processor, not of the clock, and with a wide margin: a shared machine stutters.
    """

    def seconds(size: int) -> float:
        reader = FrameReader(1 << 30)
        data = frame(bytes(size))
        start = time.process_time()
        got = [f for i in range(0, len(data), 16) for f in reader.feed(data[i : i + 16])]
        assert len(got) == 1
        return time.process_time() - start

    seconds(1 << 16)
    small = min(seconds(1 << 17) for _ in range(3))
    large = min(seconds(1 << 21) for _ in range(3))
    assert large < small * 16 * 5
