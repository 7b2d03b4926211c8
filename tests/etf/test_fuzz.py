"""Any bytes are a term, or a DecodeError whose offset lies in them; nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings, strategies as st

from pynode.config import Limits
from pynode.errors import DecodeError
from pynode.etf import decode, decode_payload, encode
from pynode.etf.tags import NAMES
from pynode.terms import atom, copy_term, format_erlang, identical, sort_key
from pynode.testing import strategies

ATOMS = (atom.a, True, None, atom("n@h"))
TAGS = st.sampled_from(sorted(NAMES)).map(lambda tag: bytes((tag,)))
TERMS = strategies.terms(max_leaves=8, native_records=True)
PIECES = st.one_of(
    TAGS,
    st.binary(max_size=4),
    st.integers(0, 5).map(lambda size: size.to_bytes(4, "big")),
    st.integers(0, 5).map(lambda size: size.to_bytes(2, "big")),
    strategies.leaves().map(lambda leaf: encode(leaf)[1:]),
)


LIMITS = Limits(term_bytes=1_000_000, depth=200, elements=100_000)


def attempt(call: Callable[[], Any], size: int) -> Any:
    """Return what ``call`` gives, None where it refuses at an offset within ``size``."""
    error: DecodeError | None = None
    found: Any = None
    try:
        found = call()
    except DecodeError as refusal:
        error = refusal
    if error is not None:
        assert 0 <= error.offset <= size
        assert str(error)
    return found


def parses_or_refuses(data: bytes) -> None:
    """The one law of this file."""
    size = len(data)
    found = attempt(lambda: decode_payload(data, 0, ATOMS, limits=LIMITS), size)
    if found is not None:
        term, end = found
        assert 0 < end <= size
        assert identical(decode(encode(term)), term)
        assert identical(copy_term(term), term)
        sort_key(term)
        format_erlang(term)
    for text in (False, True):
        attempt(lambda: decode(b"\x83" + data, text=text, limits=LIMITS), size + 1)  # noqa: B023


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
@example(b"")
def test_any_bytes(data: bytes) -> None:
    parses_or_refuses(data)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_pieces_of_terms(data: bytes) -> None:
    parses_or_refuses(data)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a term's bytes with a few of them changed, gone, doubled or cut off."""
    data = bytearray(encode(draw(TERMS))[1:])
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.integers(0, max(0, len(data) - 1)))
        change: Any = draw(st.sampled_from(("set", "tag", "delete", "insert", "cut", "repeat")))
        if change == "set":
            data[where : where + 1] = bytes((draw(st.integers(0, 255)),))
        elif change == "tag":
            data[where : where + 1] = draw(TAGS)
        elif change == "delete":
            del data[where : where + draw(st.integers(1, 4))]
        elif change == "insert":
            data[where:where] = draw(PIECES)
        elif change == "cut":
            del data[where:]
        else:
            data[where:where] = data[where : where + 20]
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_mutated_terms(data: bytes) -> None:
    parses_or_refuses(data)
