"""The two readers of the pure decoder are one; the quick one serves what is common."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from pynode.config import Limits
from pynode.errors import DecodeError
from pynode.etf import _pure_decoder, _pure_encoder
from pynode.etf._pure_reader import read_carefully
from pynode.terms import ImproperList, Pid, Reference, TermMap, atom, identical
from pynode.testing import strategies
from tests.etf.outcomes import KEYS, map_of, outcome, same
from tests.etf.test_fuzz import ATOMS, PIECES, mutated

NODE = atom("node1@host")
PID = Pid(NODE, 59, 0, 77)
REF = Reference(NODE, 77, (1, 2, 3))
QUICK = _pure_decoder._QUICK_DEPTH


def check(data: bytes, text: bool) -> None:
    """Compare what the decoder gives with what the careful reader does, in front of junk too."""
    for more in (b"", b"\0\0"):
        whole = data + more
        ours = outcome(lambda: _pure_decoder.decode_payload(whole, 0, ATOMS, text=text))  # noqa: B023
        careful = outcome(lambda: read_carefully(whole, 0, ATOMS, text, Limits()))  # noqa: B023
        assert same(ours, careful), (ours, careful)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=12).map(b"".join) | st.binary(max_size=60), st.booleans())
@example(b"", False)
@example(b"h\1", False)
@example(b"m\0\0\0\5abc", True)
@example(b"h\2m\0\0\0\5abca\1", False)
@example(b"l\0\0\0\1m\0\0\0\5abj", False)
@example(b"F\x7f\xf0" + bytes(6), False)
@example(b"M\0\0\0\1\x08a", True)
@example(b"w\5hell", False)
@example(b"Xw\3a@b" + bytes(11), False)
@example(b"R\4", False)
def test_pieces(data: bytes, text: bool) -> None:
    check(data, text)


@settings(max_examples=200, deadline=None)
@given(mutated(), st.booleans())
def test_mutated_terms(data: bytes, text: bool) -> None:
    check(data, text)


@settings(max_examples=150, deadline=None)
@given(strategies.terms(native_records=True), st.booleans())
def test_terms(term: Any, text: bool) -> None:
    check(_pure_encoder.encode(term)[1:], text)


@settings(max_examples=150, deadline=None)
@given(st.lists(KEYS, max_size=6), st.sampled_from([0, 60, 63, 100]), st.booleans())
def test_maps(keys: list[Any], more: int, text: bool) -> None:
    check(map_of([*keys, *range(10, 10 + more)]), text)


@pytest.mark.parametrize("depth", [QUICK - 2, QUICK - 1, QUICK, QUICK + 1, 3 * QUICK])
@pytest.mark.parametrize("head", [b"h\1", b"l\0\0\0\1", b"i\0\0\0\1", b"t\0\0\0\1a\1"])
def test_where_the_careful_one_takes_over(head: bytes, depth: int) -> None:
    end = b"j" if head[:1] == b"l" else b""
    check(head * depth + b"a\1" + end * depth, False)
    check(head * depth + b"a\1" + end * (depth - 1), False)


COMMON: list[Any] = [
    (atom("$gen_cast"), (atom.subscribe, b"name", PID)),
    (atom("$gen_call"), (PID, ImproperList([atom.alias], REF)), {b"key": [1, 2, 3]}),
    {b"key_%02d" % number: [number * 1000, number * 1.5, None] for number in range(100)},
    [0, 255, 256, -1, 2**63, 1.5, True, "é".encode(), [], (), {}],
    [*range(300), *([1.5] * 300), *range(1000, 1300), b"x" * 100_000],
    (1,) * 300,
    PID,
    1,
]


@pytest.mark.parametrize("term", COMMON, ids=lambda term: repr(term)[:20])
def test_what_is_common_is_read_once(term: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pure_decoder, "read_carefully", None)
    assert identical(_pure_decoder.decode(_pure_encoder.encode(term)), term)


def test_limits_that_a_term_could_meet_are_looked_after() -> None:
    wire = _pure_encoder.encode([(1, 2), (3,)])
    for limits in (Limits(depth=1), Limits(elements=4)):
        with pytest.raises(DecodeError, match="Limits"):
            _pure_decoder.decode(wire, limits=limits)
    for limits in (Limits(depth=2), Limits(elements=5)):
        assert _pure_decoder.decode(wire, limits=limits) == [(1, 2), (3,)]


def test_where_the_stack_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that is deep in its own recursion gets the term all the same."""

    def items(*_: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(_pure_decoder, "_items", items)
    assert _pure_decoder.decode(b"\x83h\1h\1a\1") == ((1,),)


def test_keys_that_are_one_for_python() -> None:
    found = _pure_decoder.decode(b"\x83" + map_of([1, 1.0]))
    assert type(found) is TermMap
