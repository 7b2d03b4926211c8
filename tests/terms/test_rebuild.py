from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings

from pynode.errors import EncodeError
from pynode.etf import decode, encode
from pynode.terms import (
    BitString,
    ImproperList,
    OpaqueFun,
    Pid,
    Record,
    TermMap,
    atom,
    copy_term,
    identical,
    to_text,
)
from pynode.testing import strategies


class Colour(IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


class Text(str):
    __slots__ = ()


class Many(list[Any]):
    pass


def test_what_a_receiver_gets() -> None:
    term = [
        "text",
        Text("derived"),
        bytearray(b"a"),
        memoryview(b"b"),
        Colour.RED,
        Point(1, 2),
        Many([3]),
        BitString(b"c", 8),
        {"k": "v"},
    ]
    copied = copy_term(term)
    assert copied == [b"text", b"derived", b"a", b"b", 1, (1, 2), [3], b"c", {b"k": b"v"}]
    assert list(map(type, copied)) == [bytes, bytes, bytes, bytes, int, tuple, list, bytes, dict]


def test_nothing_that_can_change_is_shared() -> None:
    inner: list[Any] = [1]
    term = {
        b"list": inner,
        b"tuple": (inner,),
        b"improper": ImproperList([inner], 2),
        b"fun": OpaqueFun("m", 1, 0, b"u" * 16, 0, 0, Pid(atom("a@b"), 1, 0, 1), [inner]),
        b"record": Record("m", "r", True, [("a", inner)]),
        b"map": TermMap([([inner], inner)]),
    }
    copied = copy_term(term)
    inner.append(2)
    assert copied[b"list"] == [1]
    assert copied[b"tuple"] == ([1],)
    assert copied[b"improper"] == ImproperList([[1]], 2)
    assert copied[b"fun"].env == ([1],)
    assert copied[b"record"]["a"] == [1]
    assert copied[b"map"] == TermMap([([[1]], [1])])


@settings(max_examples=200, deadline=None)
@given(strategies.terms(native_records=True))
def test_the_same_as_over_the_wire(term: Any) -> None:
    copied = copy_term(term)
    assert identical(copied, term)
    wired = decode(encode(term))
    assert repr(copied) == repr(wired)
    assert repr(to_text(term)) == repr(decode(encode(term), text=True))


@pytest.mark.parametrize(
    "value",
    [object(), float("nan"), [float("-inf")], "\ud800", {1}, 1j, {"a": 1, b"a": 2}, (lambda: 1)],
)
def test_refuses_what_encode_refuses(value: Any) -> None:
    with pytest.raises(EncodeError):
        copy_term(value)
    with pytest.raises(EncodeError):
        encode(value)
    with pytest.raises(EncodeError):
        copy_term({b"deep": [(value,)]})


def test_a_list_that_contains_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(EncodeError, match="deeper"):
        copy_term(loop)


def test_leaves_are_shared() -> None:
    data = b"x" * 100
    assert copy_term(data) is data
    assert copy_term((data,))[0] is data
