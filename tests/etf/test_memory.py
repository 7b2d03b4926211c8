"""The compiled codec keeps to its memory: nothing is lost, nothing is read that is not its own."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pynode.errors import DecodeError, EncodeError
from pynode.etf import IMPLEMENTATION

if IMPLEMENTATION != "compiled":
    pytest.skip("the compiled codec is not in use", allow_module_level=True)

from pynode.etf import _compiled
from tests.etf import corpus


def blocks_after(work: Callable[[], Any], times: int) -> int:
    """Return how many blocks of memory are in use more after ``work`` was done often."""
    for _ in range(3):
        work()  # caches fill
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(times):
        work()
    gc.collect()
    return sys.getallocatedblocks() - before


def all_of_the_corpus() -> None:
    for wire in corpus.WIRES:
        for text in (False, True):
            term, _ = _compiled.decode_payload(wire, 0, corpus.ATOMS, text=text)
            _compiled.encode(term)


def all_that_fails() -> None:
    for wire in corpus.WIRES:
        for end in range(0, len(wire), 1 + len(wire) // 9):
            with pytest.raises(DecodeError):
                _compiled.decode_payload(wire[:end], 0, corpus.ATOMS)
    for value in corpus.ODD:
        for term in ([value], {1: [b"x" * 3000, value]}):
            try:
                _compiled.encode_payload(term)
            except EncodeError:
                continue


@pytest.mark.parametrize("work", [all_of_the_corpus, all_that_fails])
def test_nothing_is_lost(work: Callable[[], Any]) -> None:
    assert blocks_after(work, 40) < 40


def test_memory_is_flat_over_a_million_terms() -> None:
    wire = _compiled.encode((corpus.PID, corpus.REF, [1000, 1.5, b"value"], {b"key": corpus.REF}))
    decode, encode = _compiled.decode, _compiled.encode

    def many() -> None:
        for _ in range(100_000):
            encode(decode(wire))

    assert blocks_after(many, 1) < 40  # and the last of three before it, some 400,000 terms


def test_counts_of_what_is_shared() -> None:
    """A reference too many or too few shows in what all terms share."""
    shared: list[Any] = [None, True, False, 0, 255, corpus.NODE, (), type(corpus.PID), b"w\x04true"]
    all_of_the_corpus()
    all_that_fails()
    before = [sys.getrefcount(value) for value in shared]
    for _ in range(30):
        all_of_the_corpus()
        all_that_fails()
    after = [sys.getrefcount(value) for value in shared]
    for value, old, new in zip(shared, before, after, strict=True):
        assert abs(new - old) < 25, value


def test_a_key_and_an_atom_of_the_caches_can_go() -> None:
    """What a slot of a cache loses to a newcomer is given back."""

    def newcomers() -> None:
        for number in range(5000):
            key = b"%032d" % number
            assert _compiled.decode(b"\x83t\0\0\0\1m\0\0\0\x20" + key + b"j") == {key: []}
            _compiled.decode(b"\x83Xw\x03a@b" + number.to_bytes(12, "big"))

    assert blocks_after(newcomers, 3) < 40
