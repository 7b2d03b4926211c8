"""Large binaries that are sent from where they lie: the same bytes, in pieces."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pynode.config import Limits
from pynode.errors import EncodeError
from pynode.etf import IMPLEMENTATION, _pure_encoder, encode_payload, encode_pieces
from pynode.etf.pieces import PIECE_BYTES, Pieces
from pynode.terms import Atom, ImproperList, OpaqueFun, Pid, Record, TermMap, atom

BLOB = bytes(range(256)) * (PIECE_BYTES // 256)
SHORT = BLOB[:-1]
PID = Pid(atom("a@b"), 1, 2, 3)

LEAVES: list[Any] = [BLOB, BLOB + b"x", SHORT, bytearray(BLOB), memoryview(BLOB), BLOB[1:].hex()]
LEAVES += [b"", 5, atom.ok]
KEYS = [b"k", 1, BLOB, SHORT]
TERMS = st.recursive(
    st.integers(0, len(LEAVES) - 1).map(
        lambda number: LEAVES[number]
    ),  # by number: they print long
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.integers(0, 3).map(lambda number: KEYS[number]), inner, max_size=3)
        | inner.map(lambda term: TermMap([(1, term), (1.0, term), (BLOB, 2)]))
        | inner.map(lambda term: ImproperList([term, term], atom.tail))
        | inner.map(lambda term: OpaqueFun(atom.m, 0, 1, bytes(16), 2, 3, PID, (term, BLOB, term)))
        | inner.map(lambda term: Record(atom.m, atom.r, True, [(atom.f, term), (atom.g, BLOB)]))
    ),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None)
@given(TERMS)
def test_the_same_bytes_as_in_one(term: Any) -> None:
    whole = encode_payload(term, records=True)
    found = encode_pieces(term, records=True)
    assert len(found) == len(whole)
    assert bytes(found) == whole
    assert whole == _pure_encoder.encode_payload(term, records=True)


def test_a_large_binary_is_the_value_itself() -> None:
    found = encode_pieces((atom.x, [BLOB, SHORT, BLOB], {BLOB: 1}))
    assert type(found) is Pieces
    assert [piece is BLOB for piece in found.pieces] == [False, True] * 3 + [False]
    assert encode_pieces(SHORT) == encode_payload(SHORT)
    assert type(encode_pieces(SHORT)) is bytes
    found = encode_pieces(BLOB)
    assert type(found) is Pieces
    assert [piece is BLOB for piece in found.pieces] == [False, True]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_what_can_change_is_copied(kind: Any) -> None:
    owner = bytearray(BLOB)
    found = encode_pieces([kind(owner), BLOB])
    before = bytes(found)
    owner[:] = bytes(len(owner))
    assert bytes(found) == before


def test_errors_are_the_same() -> None:
    for term in (
        [BLOB, object()],
        {1: BLOB, 2: [BLOB, float("nan")]},
        ["\ud800", BLOB],
    ):
        with pytest.raises(EncodeError):
            encode_pieces(term)
    with pytest.raises(EncodeError, match="deeper"):
        encode_pieces([[BLOB]], limits=Limits(depth=1))
    deep: Any = BLOB
    for _ in range(2000):  # left to the pure codec, after some of it was written
        deep = (deep,)
    assert bytes(encode_pieces([BLOB, deep, BLOB])) == encode_payload([BLOB, deep, BLOB])


def test_a_second_attempt_begins_anew() -> None:
    """What one that met a rare value had set aside is not there twice."""
    term = [BLOB, (BLOB, bytearray(b"x")), TermMap([(1, BLOB), (1.0, BLOB)]), BLOB]
    assert bytes(encode_pieces(term)) == encode_payload(term)


def test_references_are_given_back() -> None:
    blob = bytes(PIECE_BYTES)
    terms: list[Any] = [[blob] * 9, [blob, bytearray(b"x"), blob], [blob, [blob, object()]]]
    before = sys.getrefcount(blob)
    for _ in range(50):
        for term in terms:
            try:
                assert len(bytes(encode_pieces(term))) > PIECE_BYTES
            except EncodeError:
                continue
    gc.collect()
    assert sys.getrefcount(blob) == before


@pytest.mark.skipif(IMPLEMENTATION != "compiled", reason="the pure codec copies containers")
@pytest.mark.parametrize("codec", ["compiled"], indirect=True)
def test_no_python_code_runs_in_between() -> None:
    """A collection of garbage could change the list that is being read."""
    terms = [BLOB] * 5000

    def spoil(phase: str, info: Any) -> None:
        terms.clear()

    threshold = gc.get_threshold()
    gc.callbacks.append(spoil)
    try:
        terms += [BLOB] * (5000 - len(terms))
        gc.set_threshold(1)
        size = len(encode_pieces(terms))
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(spoil)
    assert size == 6 + 5000 * (5 + PIECE_BYTES)
    assert terms == []  # it does run, once the pieces are made


def test_atoms_are_no_pieces() -> None:
    assert encode_pieces(Atom("x" * 200)) == encode_payload(Atom("x" * 200))
