from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pynode.dist.atom_cache import SLOTS, AtomCache, atom_of_text
from pynode.errors import FrameError
from pynode.terms import Atom


def header(references: list[tuple[int, str | None]]) -> bytes:
    """Write the references of a header as a BEAM does: slot, and the text of a new entry."""
    count = len(references)
    if not count:
        return b"\0"
    texts = [None if text is None else text.encode() for _, text in references]
    long = any(text is not None and len(text) > 255 for text in texts)
    nibbles = [(slot >> 8) | (8 if text is not None else 0) for slot, text in references]
    nibbles.append(1 if long else 0)
    if len(nibbles) % 2:
        nibbles.append(0)
    flags = bytes(nibbles[i] | nibbles[i + 1] << 4 for i in range(0, len(nibbles), 2))
    # As OTP counts them: half a byte for each reference and one more.
    flags = flags[: count // 2 + 1]
    out = bytes([count]) + flags
    for (slot, _), text in zip(references, texts, strict=True):
        out += bytes([slot & 255])
        if text is not None:
            out += len(text).to_bytes(2 if long else 1, "big") + text
    return out


def read(cache: AtomCache, references: list[tuple[int, str | None]], extra: bytes = b"h") -> Any:
    data = b"\x83D" + header(references) + extra
    atoms, end = cache.read(data, 2)
    assert end == len(data) - len(extra)
    return atoms


def test_no_references() -> None:
    assert read(AtomCache(), []) == ()


def test_new_and_known_entries() -> None:
    cache = AtomCache()
    assert read(cache, [(5, "a"), (0x7FF, "b"), (0x100, "true")]) == (Atom("a"), Atom("b"), True)
    again: list[tuple[int, str | None]] = [(0x100, None), (5, None), (0x7FF, None)]
    assert read(cache, again) == (True, Atom("a"), Atom("b"))
    assert read(cache, again) == (True, Atom("a"), Atom("b"))
    assert read(cache, [(1, "false"), (2, "nil"), (3, "")]) == (False, None, Atom(""))


def test_a_known_header_is_the_same_object_until_a_slot_changes() -> None:
    cache = AtomCache()
    read(cache, [(5, "a"), (6, "b")])
    known: list[tuple[int, str | None]] = [(5, None), (6, None)]
    first = read(cache, known)
    assert read(cache, known) is first
    read(cache, [(6, "c")])
    assert read(cache, known) == (Atom("a"), Atom("c"))


def test_every_slot_is_kept_and_overwritten() -> None:
    cache = AtomCache()
    for round_ in ("first", "second"):
        for start in range(0, SLOTS, 255):
            slots = range(start, min(start + 255, SLOTS))
            read(cache, [(slot, f"{round_} {slot}") for slot in slots])
        order = list(range(SLOTS))
        random.Random(1).shuffle(order)
        for i in range(0, SLOTS, 100):
            slots_read = order[i : i + 100]
            assert read(cache, [(slot, None) for slot in slots_read]) == tuple(
                Atom(f"{round_} {slot}") for slot in slots_read
            )


def test_a_slot_overwritten_within_one_header() -> None:
    cache = AtomCache()
    assert read(cache, [(9, "a"), (9, None), (9, "b"), (9, None)]) == tuple(
        map(Atom, ["a", "a", "b", "b"])
    )
    assert read(cache, [(9, None)]) == (Atom("b"),)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 8, 9, 254, 255])
def test_long_atoms(count: int) -> None:
    cache = AtomCache()
    long = "\N{EURO SIGN}" * 255  # 765 bytes
    references: list[tuple[int, str | None]] = [(i, f"a{i}") for i in range(count)]
    references[-1] = (2000, long)
    assert read(cache, references)[-1] == Atom(long)
    assert read(cache, [(2000, None)]) == (Atom(long),)


def test_the_atoms_of_a_header_longer_than_atoms_may_be() -> None:
    with pytest.raises(FrameError, match="256 characters"):
        read(AtomCache(), [(1, "x" * 256)])
    with pytest.raises(FrameError, match="not UTF-8"):
        atom_of_text(b"\xff")


def test_an_empty_slot() -> None:
    cache = AtomCache()
    read(cache, [(1, "a")])
    with pytest.raises(FrameError, match="empty slot 257"):
        read(cache, [(257, None)])


def test_cut_short_anywhere() -> None:
    data = b"\x83D" + header([(1, "abc"), (0x301, "d"), (7, "\xe4" * 200)])
    for end in range(2, len(data)):
        with pytest.raises(FrameError):
            AtomCache().read(data[:end], 2)
    assert len(AtomCache().read(data, 2)[0]) == 3


def test_views_are_read_like_bytes() -> None:
    data = b"\x83D" + header([(1, "abc")])
    cache = AtomCache()
    assert cache.read(memoryview(data), 2) == ((Atom("abc"),), len(data))
    assert cache.read(memoryview(b"\1\0\1"), 0) == ((Atom("abc"),), 3)


def test_the_memory_of_headers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from pynode.dist import atom_cache

    monkeypatch.setattr(atom_cache, "_HEADERS_REMEMBERED", 4)
    cache = AtomCache()
    read(cache, [(slot, f"a{slot}") for slot in range(20)])
    for slot in range(20):
        assert read(cache, [(slot, None)]) == (Atom(f"a{slot}"),)
        assert len(cache.seen) <= 4


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_like_a_model(data: st.DataObject) -> None:
    """Any sequence of headers means what a plain list of slots says."""
    cache = AtomCache()
    model: dict[int, str] = {}
    texts = st.sampled_from(["a", "b", "long" * 70, "\xe4" * 200, "z"])
    for _ in range(data.draw(st.integers(1, 12))):
        references: list[tuple[int, str | None]] = []
        expected = []
        for _ in range(data.draw(st.integers(0, 20))):
            slot = data.draw(st.sampled_from([0, 1, 255, 256, 700, 2047]))
            text = data.draw(texts) if slot not in model or data.draw(st.booleans()) else None
            if text is not None:
                model[slot] = text if len(text) <= 255 else text[:255]
                text = model[slot]
            references.append((slot, text))
            expected.append(Atom(model[slot]))
        assert read(cache, references) == tuple(expected)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    cache = AtomCache()
    read(cache, [(0, "a"), (1, "b")])
    try:
        _, end = cache.read(data, 0)
    except FrameError:
        return
    assert end <= len(data)
