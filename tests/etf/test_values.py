"""Python values to terms: what is taken, what is refused, and the law of the round trip."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings

from pynode.errors import EncodeError
from pynode.etf import decode, encode, encode_payload
from pynode.terms import (
    BitString,
    ExportFun,
    ImproperList,
    OpaqueFun,
    Pid,
    Port,
    Reference,
    TermMap,
    atom,
    identical,
)
from pynode.testing import strategies

NODE = atom("a@b")


class Colour(IntEnum):
    RED = 300


class Point(NamedTuple):
    x: int
    y: int


class Float(float):
    pass


@settings(max_examples=400, deadline=None)
@given(strategies.terms(native_records=True))
def test_the_law(term: Any) -> None:
    wire = encode(term)
    found = decode(wire)
    assert identical(found, term)
    assert encode(found) == wire


@pytest.mark.parametrize(
    ("value", "term"),
    [
        ("é", "é".encode()),
        (bytearray(b"a"), b"a"),
        (memoryview(b"abc")[1:], b"bc"),
        (memoryview(bytearray(b"abcd"))[::2], b"ac"),
        (Colour.RED, 300),
        (Point(1, 2), (1, 2)),
        (Float(1.5), 1.5),
        (OrderedDict(a=1), {b"a": 1}),
        (UserDict(a=1), {b"a": 1}),
        ({"a": {"b": "c"}}, {b"a": {b"b": b"c"}}),
        (BitString(b"a", 8), b"a"),
    ],
)
def test_what_is_taken(value: Any, term: Any) -> None:
    assert decode(encode(value)) == term
    assert decode(encode([value, [value]])) == [term, [term]]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        float("nan"),
        float("inf"),
        -float("inf"),
        [1.0, float("nan")],
        "\ud800",
        {1, 2},
        1j,
        range(3),
        len,
        {"a": 1, b"a": 2},
        {("a",): 1, (b"a",): 2},
        Pid(NODE, -1, 0, 1),
        Pid(NODE, 2**32, 0, 1),
        Pid("a@b", 1, 0, 1),  # type: ignore[arg-type]
        Port(NODE, 2**64, 1),
        Reference(NODE, 1, ()),
        Reference(NODE, 1, (1,) * 6),
        Reference(NODE, 1, (2**32,)),
        Reference(NODE, 2**32, (1,)),
    ],
    ids=lambda value: repr(value).partition(" object at ")[0][:30],  # the same in every run
)
def test_what_is_refused(value: Any) -> None:
    for term in (value, [value], (1, value), {1: value}, [1, [value]], ImproperList([1], (value,))):
        with pytest.raises(EncodeError):
            encode(term)
    assert encode_payload(1) == b"a\1", "and nothing is left over for the next one"


def test_a_memoryview_that_was_released() -> None:
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(EncodeError, match="released"):
        encode([view])


def test_true_one_and_one_point_zero_as_keys() -> None:
    term = TermMap([(1, b"int"), (1.0, b"float"), (True, b"atom")])
    found = decode(encode(term))
    assert type(found) is TermMap
    assert found[1] == b"int"
    assert found[1.0] == b"float"
    assert found[True] == b"atom"


@pytest.mark.parametrize(
    "term",
    [
        {1: 2, b"a": 3, atom.x: 4, (1, b"a"): 5, None: 6, 2.5: 7},
        {True: 1, 0: 2, 2.0: 3},
        {Reference(NODE, 1, (1,)): 1, ExportFun("m", "f", 1): 2},
        {(((1,),),): 1},
    ],
)
def test_a_dict_where_a_dict_will_do(term: Any) -> None:
    found = decode(encode(term))
    assert type(found) is dict
    assert found == term


@pytest.mark.parametrize(
    "term",
    [
        TermMap([([97], 1)]),
        TermMap([([], 1)]),
        TermMap([({}, 1)]),
        TermMap([((1, [97]), 1)]),
        TermMap([(ImproperList([[]], 1), 1)]),
        TermMap([((1,), 1), ((1.0,), 2)]),
        TermMap([(0.0, 1), (-0.0, 2)]),
        TermMap([(0, 1), (False, 2)]),
        TermMap([({1: [2]}, {3: 4})]),
    ],
)
def test_a_term_map_where_it_will_not(term: TermMap) -> None:
    found = decode(encode(term))
    assert type(found) is TermMap
    assert found == term


ZEROS: list[Any] = [
    TermMap([(0.0, 1), (-0.0, 2)]),
    [{1: TermMap([((0.0, b"x"), 1), ((-0.0, b"x"), 2)])}],
    TermMap([({0.0: 1}, 1), ({-0.0: 1}, 2)]),
    TermMap([([ImproperList([0.0], -0.0)], 1), ([ImproperList([-0.0], -0.0)], 2)]),
]


@pytest.mark.parametrize("term", ZEROS)
def test_keys_that_are_one_before_otp_27_go_only_to_new_nodes(term: Any) -> None:
    with pytest.raises(EncodeError, match=r"0\.0 and -0\.0"):
        encode_payload(term)
    assert identical(decode(b"\x83" + encode_payload(term, records=True)), term)
    assert identical(decode(encode(term)), term)


@pytest.mark.parametrize(
    "term",
    [
        TermMap([(0.0, -0.0), (1, [-0.0])]),
        TermMap([(-0.0, 1), ([], 2)]),
        TermMap([(-0.0, 1), (0, 2)]),
        TermMap([([0.0, -0.0], 1), ([0.0, 1], 2)]),
        {-0.0: 0.0},
    ],
)
def test_zeros_that_are_no_such_keys(term: Any) -> None:
    assert identical(decode(b"\x83" + encode_payload(term)), term)


def test_small_lists_inside_funs_keep_their_sizes_right() -> None:
    pid = Pid(NODE, 1, 0, 1)
    inner = OpaqueFun("m", 1, 0, b"u" * 16, 0, 1, pid, [[b"x" * 100], 5])
    outer = OpaqueFun("m", 1, 0, b"u" * 16, 0, 1, pid, [inner, inner, atom.a])
    wire = encode([outer, outer])
    size = int.from_bytes(wire[7:11], "big")
    assert wire[6] == 112
    assert wire[6 + 1 + size] == 112, "the size counts itself and all behind it"
    assert wire[6 + 2 * (size + 1) :] == b"j"
    assert decode(wire) == [outer, outer]


def test_a_list_that_another_thread_empties_meanwhile() -> None:
    shrinking: list[Any] = []

    class Emptied(bytearray):
        def __buffer__(self, flags: int) -> memoryview:  # pragma: no cover - from 3.12 on
            shrinking.clear()
            return memoryview(b"")

        def __bytes__(self) -> bytes:
            shrinking.clear()
            return b""

    shrinking += [Emptied(), 1000, 2000]
    assert decode(encode(shrinking)) == [b"", 1000, 2000]
