"""The compiled codec and the pure one are one: the same values, bytes and errors."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings, strategies as st

from pynode.config import Limits
from pynode.errors import EncodeError
from pynode.etf import IMPLEMENTATION, _pure_decoder, _pure_encoder
from pynode.terms import (
    ImproperList,
    OpaqueFun,
    Pid,
    Port,
    Record,
    Reference,
    TermMap,
    atom,
)
from pynode.testing import strategies
from tests.etf.outcomes import KEYS, map_of, outcome, same
from tests.etf.test_fuzz import ATOMS, PIECES, mutated

compiled: Any
if IMPLEMENTATION == "compiled":
    from pynode.etf import _compiled as compiled
else:
    pytest.skip("the compiled codec is not in use", allow_module_level=True)

LIMITS = st.sampled_from(
    [Limits(), Limits(depth=2), Limits(elements=5), Limits(depth=0), Limits(depth=300)]
)


class Colour(IntEnum):
    RED = 1


class Point(NamedTuple):
    x: Any
    y: Any


class Text(str):
    __slots__ = ()


def check_decoding(data: bytes, text: bool, limits: Limits) -> None:
    pure = outcome(lambda: _pure_decoder.decode_payload(data, 0, ATOMS, text=text, limits=limits))
    twin = outcome(lambda: compiled.decode_payload(data, 0, ATOMS, text=text, limits=limits))
    assert same(pure, twin), (pure, twin)
    whole = b"\x83" + data
    for function in ("decode", "decode_prefix"):
        pure = outcome(lambda: (getattr(_pure_decoder, function)(whole, limits=limits), 0))  # noqa: B023
        twin = outcome(lambda: (getattr(compiled, function)(whole, limits=limits), 0))  # noqa: B023
        assert same(pure, twin), (pure, twin)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=12).map(b"".join) | st.binary(max_size=60), st.booleans(), LIMITS)
@example(b"", False, Limits())
@example(b"l\0\0\0\0j", False, Limits(depth=0))
@example(b"X", False, Limits())
@example(b"Xw", False, Limits())
@example(b"XR", False, Limits())
@example(b"Z\0", False, Limits())
@example(b"Z\0\1w\5n@h", False, Limits())
@example(b"n\x08\1" + bytes(7) + b"\x80", False, Limits())
@example(b"n\x08\1" + b"\xff" * 8, False, Limits())
@example(b"n\x08\1\1" + bytes(6) + b"\x40", False, Limits())
def test_decoding_pieces(data: bytes, text: bool, limits: Limits) -> None:
    check_decoding(data, text, limits)


@settings(max_examples=250, deadline=None)
@given(mutated(), st.booleans(), LIMITS)
def test_decoding_mutated_terms(data: bytes, text: bool, limits: Limits) -> None:
    check_decoding(data, text, limits)


@settings(max_examples=150, deadline=None)
@given(strategies.terms(native_records=True), st.booleans(), LIMITS)
def test_decoding_valid_terms(term: Any, text: bool, limits: Limits) -> None:
    check_decoding(_pure_encoder.encode(term)[1:], text, limits)


@settings(max_examples=200, deadline=None)
@given(st.lists(KEYS, max_size=6), st.sampled_from([0, 63, 100]), st.booleans(), LIMITS)
def test_decoding_maps(keys: list[Any], more: int, text: bool, limits: Limits) -> None:
    check_decoding(map_of([*keys, *range(10, 10 + more)]), text, limits)


ODD: list[Any] = [
    *(object(), float("nan"), float("inf"), 1j, {1, 2}, "\ud800", Text("x"), "é"),
    *(bytearray(b"a"), memoryview(b"abc")[::2], Colour.RED, Point(1, [2]), {"a": 1, b"a": 2}),
    *({("a",): 1, (b"a",): 2}, {(1,): 2, b"x": 3}, TermMap([(0.0, 1), (-0.0, 2)])),
    *(Pid(atom("a@b"), 2**32, 0, 1), Pid(atom("a@b"), True, 0, 1), Port(atom("a@b"), -1, 1)),
    *(Reference(atom("a@b"), 1, ()), Reference(atom("a@b"), 2**32, (1,))),
    *([256], [1.5, float("nan")], [], {}, (), list(range(300)), (1,) * 300),
    *(2**31, -(2**31) - 1, 2**63, -(2**63), 2**64, -(2**64), 2**2048, 2**62, -(2**62)),
    *(Record("m", "r", True, []), [Record("m", "r", True, [("a", 1)])]),
    OpaqueFun("m", 1, 2**33, b"u" * 16, 0, 0, Pid(atom("a@b"), 1, 0, 1), []),
]


LARGE: list[Any] = ["x" * 70_000, [255] * 65_535, [255] * 65_536, [b"x" * 3000] * 100, "é" * 2000]


def check_encoding(term: Any, records: bool, limits: Limits) -> None:
    for function, options in (("encode", {}), ("encode_payload", {"records": records})):
        pure = outcome(lambda: getattr(_pure_encoder, function)(term, limits=limits, **options))  # noqa: B023
        twin = outcome(lambda: getattr(compiled, function)(term, limits=limits, **options))  # noqa: B023
        assert same(pure, twin), (pure, twin)


@settings(max_examples=150, deadline=None)
@given(strategies.terms(native_records=True), st.booleans(), LIMITS)
def test_encoding(term: Any, records: bool, limits: Limits) -> None:
    check_encoding(term, records, limits)


#: With values in them that are rare, or cannot be encoded.
WITH_ODD_ONES = st.recursive(
    st.sampled_from(ODD) | strategies.leaves(),
    lambda items: (
        st.lists(items, max_size=4)
        | st.lists(items, max_size=4).map(tuple)
        | st.dictionaries(KEYS, items, max_size=4)
        | st.lists(items, min_size=1, max_size=3).map(lambda elements: ImproperList(elements, 1))
    ),
    max_leaves=8,
)


@settings(max_examples=250, deadline=None)
@given(WITH_ODD_ONES, st.booleans(), st.sampled_from([Limits(), Limits(depth=300)]))
def test_encoding_odd_values(term: Any, records: bool, limits: Limits) -> None:
    check_encoding(term, records, limits)


@pytest.mark.parametrize("depth", [254, 255, 256, 257, 400])
@pytest.mark.parametrize("kind", ["list", "tuple"])
def test_where_the_pure_one_takes_over(depth: int, kind: str) -> None:
    term: Any = [300]
    for _ in range(depth):
        term = [term] if kind == "list" else (term,)
    wire = compiled.encode(term)
    assert wire == _pure_encoder.encode(term)
    for limits in (Limits(), Limits(depth=depth), Limits(depth=depth + 1)):
        check_decoding(wire[1:], False, limits)
        check_encoding(term, True, limits)


@pytest.mark.parametrize("term", LARGE, ids=lambda term: repr(term)[:12])
def test_large_terms(term: Any) -> None:
    check_encoding(term, True, Limits())
    check_decoding(_pure_encoder.encode(term)[1:], False, Limits())


def test_in_a_loop_of_its_own() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(EncodeError, match="deeper"):
        compiled.encode(endless)
