"""Work grows with size and no faster: counted in steps of the interpreter, not in seconds."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest

from pynode.etf import _pure_encoder
from pynode.etf._pure_decoder import decode
from pynode.etf._pure_encoder import encode
from pynode.terms import (
    ImproperList,
    OpaqueFun,
    Pid,
    TermMap,
    atom,
    copy_term,
    format_erlang,
    identical,
    sort_key,
    to_text,
)

PID = Pid(atom("a@b"), 1, 0, 1)


def steps(work: Callable[[], object]) -> int:
    """Return how many lines of Python ``work`` takes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def wide_map(size: int) -> Any:
    return {number: [b"value", number * 1.5, (atom.x,)] for number in range(size)}


def deep_funs(size: int) -> Any:
    term: Any = 1
    for _ in range(size):
        term = OpaqueFun("m", 1, 0, b"u" * 16, 0, 0, PID, [term, 300])
    return term


def keys_in_keys(size: int) -> Any:
    term: Any = b"x"
    for _ in range(size):
        term = TermMap([(term, 1), ([], 2)])
    return term


SHAPES: dict[str, Callable[[int], Any]] = {
    "wide map": wide_map,
    "charlist keys": lambda size: TermMap([([1000 + n], n) for n in range(size)]),
    "list": lambda size: [300, 1.0, b"x", atom.a, None] * size,
    "long runs": lambda size: [number * 7 for number in range(size * 50)],
    "short runs": lambda size: ([1] * 9 + [300] * 9 + [1.5] * 9) * size,
    "nested lists": lambda size: [[number, [number]] for number in range(1000, 1000 + size)],
    "deep funs": deep_funs,
    "improper": lambda size: ImproperList([300] * size, ImproperList([1] * size, 2)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_encode_and_decode(shape: str) -> None:
    small, large = SHAPES[shape](200), SHAPES[shape](1600)
    wires = encode(small), encode(large)
    assert steps(lambda: encode(large)) < 10 * steps(lambda: encode(small))
    assert steps(lambda: decode(wires[1])) < 10 * steps(lambda: decode(wires[0]))


def test_the_length_of_a_fun_is_not_counted_anew_at_each_depth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the interpreter does in one step can be quadratic too."""
    parts = 0

    def counting(values: Iterable[int]) -> int:
        nonlocal parts
        found = list(values)
        parts += len(found)
        return builtins.sum(found)

    monkeypatch.setattr(_pure_encoder, "sum", counting, raising=False)
    counted = []
    for depth in (100, 800):
        parts = 0
        _pure_encoder.encode(deep_funs(depth))
        counted.append(parts)
    assert 0 < counted[1] < 10 * counted[0]


@pytest.mark.parametrize("work", [copy_term, sort_key, to_text, format_erlang])
@pytest.mark.parametrize("shape", ["wide map", "nested lists", "deep funs"])
def test_the_rest(work: Callable[[Any], Any], shape: str) -> None:
    small, large = SHAPES[shape](100), SHAPES[shape](800)
    assert steps(lambda: work(large)) < 10 * steps(lambda: work(small))


def test_identical() -> None:
    small, large = (wide_map(100), wide_map(100)), (wide_map(800), wide_map(800))
    assert steps(lambda: identical(*large)) < 10 * steps(lambda: identical(*small))


def test_keys_in_keys() -> None:
    def wire(depth: int) -> bytes:
        return b"\x83" + b"t\0\0\0\2" * depth + b"m\0\0\0\1x" + b"a\1ja\2" * depth

    assert decode(wire(3)) == keys_in_keys(3)
    small, large = wire(100), wire(800)
    assert steps(lambda: decode(large)) < 10 * steps(lambda: decode(small))
    terms = decode(small), decode(large)
    assert steps(lambda: copy_term(terms[1])) < 10 * steps(lambda: copy_term(terms[0]))


def test_list_tails() -> None:
    def wire(size: int) -> bytes:
        return b"\x83" + b"l\0\0\0\1a\1" * size + b"j"

    small, large = wire(1000), wire(8000)
    assert steps(lambda: decode(large)) < 10 * steps(lambda: decode(small))
