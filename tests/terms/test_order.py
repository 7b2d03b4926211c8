from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pynode.errors import EncodeError
from pynode.terms import (
    BitString,
    ExportFun,
    ImproperList,
    Pid,
    Port,
    Record,
    Reference,
    TermMap,
    atom,
    compare,
    identical,
    sort_key,
)
from pynode.testing import strategies

NODE = atom("a@b")
LATER = atom("b@b")

#: As a BEAM orders them (seen on OTP 25, 27 and 29), each less than the next.
ASCENDING: list[Any] = [
    -(10**400),
    -1e308,
    -1,
    -0.5,
    0,
    5e-324,
    1,
    1.5,
    2**53,
    2**53 + 1,
    2.0**53 + 2,
    1e308,
    10**400,
    atom(""),
    atom.a,
    atom.aa,
    atom.b,
    False,
    None,
    True,
    atom("é"),
    Reference(NODE, 1, (9, 1)),
    Reference(NODE, 1, (1, 2)),
    Reference(NODE, 1, (0, 0, 1)),
    Reference(NODE, 2, (1,)),
    Reference(LATER, 1, (1,)),
    ExportFun("a", "b", 1),
    ExportFun("a", "b", 2),
    ExportFun("a", "c", 0),
    Port(NODE, 1, 1),
    Port(NODE, 2, 1),
    Port(NODE, 1, 2),
    Port(LATER, 1, 1),
    Pid(LATER, 1, 0, 1),
    Pid(NODE, 2, 0, 1),
    Pid(NODE, 1, 1, 1),
    (),
    (2,),
    (1, 1),
    (1, 2),
    {},
    {2: 1},
    {1.0: 0},
    {1: 1, 2: 1},
    TermMap([(1, 1), (1.0, 0)]),
    [],
    ImproperList([1], 2),
    [1],
    [1, 1],
    [1, 2],
    ImproperList([1], b""),
    [2],
    b"",
    b"\0",
    b"\0\0",
    b"\0\1",
    BitString(b"\x80", 1),
    BitString(b"\x80", 2),
    b"\x80",
    BitString(b"\x80\0", 1),
    b"\xff",
]


def test_ascending() -> None:
    shuffled = ASCENDING[:]
    random.Random(7).shuffle(shuffled)
    assert list(map(repr, sorted(shuffled, key=sort_key))) == list(map(repr, ASCENDING))


def test_compare_every_pair() -> None:
    for (i, a), (j, b) in itertools.product(enumerate(ASCENDING), repeat=2):
        assert compare(a, b) == (i > j) - (i < j), (a, b)


def test_pids_by_serial_id_node_creation() -> None:
    a = Pid(LATER, 1, 0, 9)
    assert compare(a, Pid(NODE, 0, 1, 1)) == -1
    assert compare(a, Pid(NODE, 2, 0, 1)) == -1
    assert compare(a, Pid(NODE, 1, 0, 10)) == 1
    assert compare(a, Pid(LATER, 1, 0, 10)) == -1


@pytest.mark.parametrize(
    ("a", "b"),
    [(1, 1.0), ([1], [1.0]), ((0.0,), (-0.0,)), ({b"k": 1}, {b"k": 1.0}), (2**70, 2.0**70)],
)
def test_equal_and_not_identical(a: Any, b: Any) -> None:
    assert compare(a, b) == 0
    assert not identical(a, b)
    assert sort_key(a, exact=True) != sort_key(b, exact=True)


@pytest.mark.parametrize(
    ("a", "b"),
    [(1, True), (0, False), (None, atom.undefined), ({1: 2}, {1.0: 2}), (b"a", atom.a), ([], ())],
)
def test_neither_equal_nor_identical(a: Any, b: Any) -> None:
    assert compare(a, b) != 0
    assert not identical(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("é", "é".encode()),
        ({"a": 1, "b": 2}, {b"b": 2, b"a": 1}),
        (BitString(b"a", 8), b"a"),
        (ImproperList([1], 2), ImproperList((1,), 2)),
        (Reference(NODE, 1, (1, 2)), Reference(NODE, 1, (1, 2, 0))),
        (TermMap([(1, 2)]), {1: 2}),
    ],
)
def test_identical_though_other_objects(a: Any, b: Any) -> None:
    assert identical(a, b)
    assert identical([(a,)], [(b,)])
    assert compare(a, b) == 0


def test_in_exact_order_integers_come_before_floats() -> None:
    keys = [2.5, 7, -0.0, 1, 0.0, -1.0]
    assert repr(sorted(keys, key=lambda key: sort_key(key, exact=True))) == (
        "[1, 7, -1.0, -0.0, 0.0, 2.5]"
    )


def test_records() -> None:
    records = [
        Record("m", "r", True, []),
        Record("m", "r", True, [("a", 1)]),
        Record("m", "s", True, []),
        Record("n", "r", True, []),
    ]
    backwards = records[::-1]
    assert sorted(backwards, key=sort_key) == records
    assert compare((), records[0]) < compare({}, records[0])


@given(strategies.terms(max_leaves=12), strategies.terms(max_leaves=12))
def test_order_and_identity_agree(a: Any, b: Any) -> None:
    assert compare(a, b) == -compare(b, a)
    assert identical(a, a)
    assert identical(a, b) == identical(b, a)
    if identical(a, b):
        assert compare(a, b) == 0


@given(st.lists(strategies.integers() | strategies.floats(), min_size=2))
def test_numbers_as_python_orders_them(numbers: list[float]) -> None:
    assert [sort_key(n) for n in sorted(numbers)] == sorted(map(sort_key, numbers))


@pytest.mark.parametrize("value", [object(), float("nan"), [float("inf")], "\ud800", {1}, 1j])
def test_what_is_no_term(value: Any) -> None:
    with pytest.raises(EncodeError):
        sort_key(value)
    with pytest.raises(EncodeError):
        identical(value, 1)


def test_a_list_that_contains_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(EncodeError, match="without end"):
        sort_key(loop)


def test_deep_terms() -> None:
    deep: Any = 1
    other: Any = 1.0
    for _ in range(30_000):
        deep, other = ([deep],), ([other],)
    assert compare(deep, other) == 0
    assert not identical(deep, other)
    assert identical(deep, deep)
