"""Hostile bytes: refused before anything is allocated for them, and without recursion."""

from __future__ import annotations

import sys
import tracemalloc
import zlib
from typing import Any

import pytest

from pynode.config import Limits
from pynode.errors import DecodeError, EncodeError
from pynode.etf import decode, encode, encode_payload
from pynode.terms import ImproperList, OpaqueFun, Pid, Record, TermMap, atom, identical

DEPTH = Limits().depth
PID = Pid(atom("a@b"), 1, 0, 1)


def nested(kind: str, depth: int) -> Any:
    """Return a term of ``depth`` containers in each other."""
    term: Any = []
    for _ in range(depth):
        match kind:
            case "tuple":
                term = (term,)
            case "list":
                term = [term]
            case "value":
                term = {1: term}
            case "key":
                term = TermMap([(term, 1)])
            case "improper":
                term = ImproperList([term], 1)
            case "fun":
                term = OpaqueFun("m", 1, 0, b"u" * 16, 0, 0, PID, [term])
            case "record":
                term = Record("m", "r", True, [("a", term)])
            case "tuple in key":
                term = {(term,): 1} if isinstance(term, tuple) else (term,)
    return term


KINDS = ["tuple", "list", "value", "improper", "fun", "record"]


@pytest.mark.parametrize("kind", KINDS)
def test_depth_at_the_limit_and_beyond(kind: str) -> None:
    at_limit = nested(kind, DEPTH)
    wire = encode(at_limit)
    assert encode(decode(wire)) == wire
    assert identical(decode(wire), at_limit)
    beyond = nested(kind, DEPTH + 1)
    with pytest.raises(EncodeError, match="deeper"):
        encode(beyond)
    with pytest.raises(DecodeError, match="depth"):
        decode(wire, limits=Limits(depth=DEPTH - 1))


@pytest.mark.parametrize("depth", [0, 1, 5, DEPTH + 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_the_depth_of_encoding_is_that_of_the_limits(kind: str, depth: int) -> None:
    limits = Limits(depth=depth)
    wire = encode(nested(kind, depth), limits=limits)
    assert encode_payload(nested(kind, depth), records=True, limits=limits) == wire[1:]
    assert encode(decode(wire, limits=limits), limits=limits) == wire
    with pytest.raises(EncodeError, match=f"deeper than {depth}$"):
        encode(nested(kind, depth + 1), limits=limits)
    with pytest.raises(EncodeError, match=f"deeper than {depth}$"):
        encode_payload(nested(kind, depth + 1), records=True, limits=limits)


@pytest.mark.parametrize("numbers", [[300], [1.5], [1] * 70_000])
def test_a_list_of_numbers_counts_as_a_list(numbers: list[Any]) -> None:
    assert encode([b"k", numbers[:1]], limits=Limits(depth=2))
    wire = encode([numbers], limits=Limits(depth=2))
    with pytest.raises(EncodeError, match="deeper"):
        encode([numbers], limits=Limits(depth=1))
    with pytest.raises(DecodeError, match="depth"):
        decode(wire, limits=Limits(depth=1))


def test_maps_as_keys_of_keys() -> None:
    head = b"t\0\0\0\1"
    wire = b"\x83" + head * DEPTH + b"m\0\0\x40\0" + b"x" * 0x4000 + b"a\1" * DEPTH
    found = decode(wire)
    assert type(found) is TermMap
    assert encode(found) == wire


def test_deep_tuples_as_keys_do_not_recurse() -> None:
    wire = b"\x83t\0\0\0\1" + b"h\1" * (DEPTH - 1) + b"a\1" + b"a\2"
    found = decode(wire)
    assert type(found) is TermMap
    assert encode(found) == wire


def test_depth_is_of_containers_not_of_list_tails() -> None:
    wire = b"\x83" + b"l\0\0\0\1a\1" * (DEPTH * 3) + b"j"
    assert decode(wire) == [1] * (DEPTH * 3)
    assert decode(b"\x83" + b"l\0\0\0\0" * (DEPTH * 3) + b"a\1") == 1


def test_elements() -> None:
    limits = Limits(elements=10)
    small, large = dict.fromkeys(range(5), 1), dict.fromkeys(range(6), 1)
    within: list[Any] = [[300] * 10, (1,) * 10, [1] * 10, small, [[300] * 4, [1] * 4]]
    beyond: list[Any] = [[300] * 11, (1,) * 11, [1] * 11, large, [[300] * 4, [1] * 5]]
    for term in within:
        assert identical(decode(encode(term), limits=limits), term)
    for term in beyond:
        with pytest.raises(DecodeError, match="elements"):
            decode(encode(term), limits=limits)
    tail = b"\x83l\0\0\0\1a\1k\0\x0a" + bytes(10)
    with pytest.raises(DecodeError, match="elements"):
        decode(tail, limits=limits)


@pytest.mark.parametrize(
    "head",
    [
        b"l\x7f\xff\xff\xff",
        b"i\x7f\xff\xff\xff",
        b"t\x7f\xff\xff\xff",
        b"m\x7f\xff\xff\xff",
        b"o\x7f\xff\xff\xff\0",
        b"M\x7f\xff\xff\xff\3",
        b"C\x7f\xff\xff\xff\1w\1mw\1r",
        b"p\0\0\0\0\1"
        + b"u" * 16
        + b"\0\0\0\0\x7f\xff\xff\xff"
        + encode(atom.m)[1:]
        + b"a\0a\0"
        + encode(PID)[1:],
    ],
    ids=lambda head: str(head[0]),
)
def test_nothing_is_allocated_for_a_length_that_lies(head: bytes) -> None:
    decode(encode([1, 2.0]))
    data = b"\x83" + head + bytes(100)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="truncated"):
            decode(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_zip_bomb() -> None:
    bomb = (
        b"\x83P"
        + (100_000_005).to_bytes(4, "big")
        + zlib.compress(b"m" + (100_000_000).to_bytes(4, "big") + bytes(100_000_000), 9)
    )
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="term_bytes"):
            decode(bomb, limits=Limits(term_bytes=1_000_000))
        lying = bomb[:2] + (1000).to_bytes(4, "big") + bomb[6:]
        with pytest.raises(DecodeError, match="not 1000 bytes"):
            decode(lying)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_many_equal_keys() -> None:
    wire = b"\x83t" + (100_000).to_bytes(4, "big") + b"a\1j" * 100_000
    with pytest.raises(DecodeError, match="two keys") as caught:
        decode(wire)
    assert caught.value.offset == 1


def test_keys_chosen_to_have_one_hash() -> None:
    count = 20_000  # in a dict this takes some 2 * 10**8 steps
    modulus = sys.hash_info.modulus
    term = TermMap([(step * modulus, step) for step in range(1, count + 1)])
    found = decode(encode(term))
    assert type(found) is TermMap
    assert found[modulus * 77] == 77
    assert len(found) == count


@pytest.mark.parametrize("term", [10**5000, -(10**5000), [10**5000]], ids=["+", "-", "in a list"])
def test_integers_longer_than_python_prints(term: Any) -> None:
    assert decode(encode(term)) == term


@pytest.mark.parametrize("codec", ["pure"], indirect=True)
def test_memory_of_atoms_is_bounded() -> None:
    from pynode.etf import _pure_leaves as leaves

    for number in range(leaves._ATOM_MEMO_LIMIT + 10):
        decode(b"\x83w\x08" + b"z%07d" % number)
    assert len(leaves.ATOMS) <= leaves._ATOM_MEMO_LIMIT
    for number in range(leaves._PID_MEMO_LIMIT + 10):
        decode(encode(Pid(atom("a@b"), number, 0, 1)))
    assert len(leaves.PIDS) <= leaves._PID_MEMO_LIMIT
