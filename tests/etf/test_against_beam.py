"""The codec against a real BEAM, both ways, on generated terms."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from pynode.errors import DecodeError
from pynode.etf import decode, decode_prefix, encode
from pynode.terms import (
    Atom,
    BitString,
    ExportFun,
    ImproperList,
    Pid,
    Port,
    Reference,
    TermMap,
    atom,
    charlist,
    format_erlang,
    identical,
    sort_key,
    to_text,
)
from pynode.testing import strategies
from tests.etf.beam_codec import BeamCodec, erl_command

pytestmark = pytest.mark.beam

COUNT = 1500
NODE = atom("a@b")


@pytest.fixture(scope="module")
def beam() -> Generator[BeamCodec]:
    command = erl_command()
    if command is None:
        pytest.skip("no erl")
    with BeamCodec(command) as codec:
        yield codec


def generated(strategy: st.SearchStrategy[Any], count: int = COUNT) -> list[Any]:
    """Return ``count`` values of a strategy (to ask the BEAM once for all of them)."""
    found: list[Any] = []

    @settings(
        max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def two_zeros(term: Any) -> bool:
    """Tell whether both zeros are in it: as keys of a map they were one before OTP 27."""
    wire = encode(term)
    return b"F" + bytes(8) in wire and b"F\x80" + bytes(7) in wire


def has_map_of_atoms(term: Any) -> bool:
    """Tell whether a map with two atoms as keys is in it."""
    if isinstance(term, Mapping):
        atoms = sum(isinstance(key, Atom | bool | None) for key in term)
        return atoms > 1 or any(map(has_map_of_atoms, (*term, *term.values())))
    if isinstance(term, ImproperList):
        return any(map(has_map_of_atoms, (*term.elements, term.tail)))
    return isinstance(term, list | tuple) and any(map(has_map_of_atoms, term))


EDGES: list[Any] = [
    *[
        sign * (1 << width) + step
        for width in (0, 7, 8, 15, 16, 26, 27, 28, 31, 32, 58, 59, 60, 63, 64, 65, 127, 128, 2040)
        for sign in (1, -1)
        for step in (-1, 0, 1)
    ],
    *[Reference(NODE, 7, tuple(range(9, 9 + count))) for count in range(1, 6)],
    Port(NODE, 2**28 - 1, 1),
    Port(NODE, 2**64 - 1, 2**32 - 1),
    Pid(NODE, 2**32 - 1, 2**32 - 1, 2**32 - 1),
    TermMap([(1, b"int"), (1.0, b"float"), (True, b"atom"), (atom("1"), 1), (b"1", 1)]),
    TermMap([(charlist("subs_node2"), 1), ({1: [2]}, 2), (ImproperList([1], 2), 3)]),
    {number: number for number in range(40)},
    TermMap([([number], number) for number in range(40)]),
    [0] * 65535,
    [0] * 65536,
    [1000] * 65536,
    tuple(range(300)),
    atom("é" * 255),
    b"x" * 100_000,
    [[], (), {}, b"", "é"],
    *[BitString(b"\xff\xff", bits) for bits in range(1, 9)],
    0.0,
    -0.0,
    5e-324,
    ExportFun("lists", "map", 2),
]


def check_both_ways(beam: BeamCodec, terms: list[Any]) -> int:
    """Send all, and read what the BEAM writes for each in several ways; count what it took."""
    wires = [encode(term) for term in terms]
    taken = 0
    for term, wire, forms in zip(terms, wires, beam.forms(wires), strict=True):
        if forms is None:
            assert beam.release < 27, repr(term)
            assert two_zeros(term), repr(term)
            continue
        taken += 1
        for form in forms:
            found = decode(form)
            assert identical(found, term), (repr(term), wire.hex(), form.hex())
            assert repr(to_text(term)) == repr(decode(wire, text=True))
        # Maps have no order of their own; of a fun, a BEAM keeps the parts it first saw.
        if beam.release >= 26 and not any(mark in repr(term) for mark in ("{", "TermMap", "#Fun")):
            assert forms[0] == wire, repr(term)
    return taken


def test_edges(beam: BeamCodec) -> None:
    assert check_both_ways(beam, EDGES) == len(EDGES)


def test_all_types_in_all_types(beam: BeamCodec) -> None:
    terms = generated(strategies.terms())
    assert check_both_ways(beam, terms) > 0.9 * len(terms)


def test_native_records(beam: BeamCodec) -> None:
    if beam.release < 29:
        pytest.skip("native records came with OTP 29")
    check_both_ways(beam, generated(strategies.terms(native_records=True), 300))


def test_the_beams_own_terms(beam: BeamCodec) -> None:
    for text in (
        "self().",
        "make_ref().",
        "alias().",
        "hd(erlang:ports()).",
        "fun lists:map/2.",
        "X = [1, {a}], fun(A) -> [A | X] end.",
        "[fun() -> ok end, #{fun erlang:node/0 => fun(_) -> ok end}].",
        "processes().",
        "erlang:ports().",
        "erlang:process_info(self()).",
        "code:all_loaded().",
        "erlang:memory().",
        "maps:from_list([{[X], X} || X <- lists:seq(1, 200)]).",
        "<<1:1>>.",
    ):
        wire = beam.eval(text)
        term = decode(wire)
        forms = beam.forms([encode(term), wire])
        assert forms[0] == forms[1], text
        ((same, equal, less, order),) = [v for v in beam.verdicts([(encode(term), wire)]) if v]
        assert (same, equal, less, order) == (True, True, False, 0), text


PAIRS: list[Any] = [
    *[0, 0.0, -0.0, 1, 1.0, True, atom("1"), b"1", "1", 2**53, 2.0**53, 2**53 + 1, 10**308, 1e308],
    *[[], [1], [1.0], ImproperList([1], 2), ImproperList([1], b""), (), (1,), (1.0,), (2, 1)],
    *[{}, {1: 2}, {1.0: 2}, {1: 2.0}, TermMap([(1, 2), (1.0, 3)]), {2: 1, 3: 1}],
    *[Pid(NODE, *parts) for parts in itertools.product((1, 2), repeat=3)],
    Pid(atom("b@b"), 1, 1, 1),
    *[Port(NODE, *parts) for parts in itertools.product((1, 2), repeat=2)],
    *[
        Reference(NODE, creation, words)
        for creation in (1, 2)
        for words in ((1,), (1, 2), (2, 2), (1, 2, 0), (1, 2, 3), (1, 2, 3, 0), (1, 2, 3, 1, 1))
    ],
    *[ExportFun(*parts) for parts in itertools.product("ab", "ab", (1, 2))],
    *[b"", b"\0", b"\0\0", b"\x80", BitString(b"\x80", 1), BitString(b"\x80", 2)],
]


def test_order_and_identity(beam: BeamCodec) -> None:
    terms = generated(strategies.terms(max_leaves=8, funs=False), 300)
    pairs = list(itertools.product(PAIRS, repeat=2))
    pairs += list(zip(terms, terms[1:] + terms[:1], strict=True))
    pairs += [(term, decode(encode(term))) for term in terms]
    verdicts = beam.verdicts([(encode(a), encode(b)) for a, b in pairs])
    for (a, b), verdict in zip(pairs, verdicts, strict=True):
        if beam.release < 27 and "0.0" in repr((a, b)):
            continue  # the two zeros were one
        assert verdict is not None, (a, b)
        same, equal, less, order = verdict
        assert identical(a, b) == same, (a, b)
        assert (sort_key(a) == sort_key(b)) == equal, (a, b)
        if beam.release >= 26 and any(has_map_of_atoms(term) for term in (a, b)):
            continue  # as keys, such maps are in the order of the node's own numbers of atoms
        assert (sort_key(a) < sort_key(b)) == less, (a, b)
        exact = sort_key(a, exact=True), sort_key(b, exact=True)
        assert (exact[0] < exact[1], exact[0] > exact[1]) == (order < 0, order > 0), (a, b)


def test_notation_is_read_by_erlang(beam: BeamCodec) -> None:
    literal = st.recursive(
        strategies.integers()
        | strategies.floats()
        | strategies.atoms()
        | strategies.binaries()
        | strategies.bit_strings(),
        lambda inner: (
            strategies.lists(inner)
            | strategies.tuples(inner)
            | strategies.improper_lists(inner)
            | strategies.maps(inner, inner)
        ),
        max_leaves=10,
    )
    terms = [term for term in generated(literal, 400) if not two_zeros(term)]
    texts = [format_erlang(term) for term in terms]
    for term, text, wire in zip(terms, texts, beam.parse(texts), strict=True):
        assert wire is not None, text
        assert identical(decode(wire), term), text


MUTATIONS: list[Callable[[bytes, int], bytes]] = [
    lambda data, at: data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :],
    lambda data, at: data[:at] + data[at + 1 :],
    lambda data, at: data[:at] + b"\0" + data[at:],
    lambda data, at: data[:at],
]


def attempt(wire: bytes) -> tuple[Any, DecodeError | None]:
    """Decode the first term; binary_to_term does not mind what follows it."""
    try:
        return decode_prefix(wire)[0], None
    except DecodeError as error:
        return None, error


def test_what_the_beam_refuses_is_refused(beam: BeamCodec) -> None:
    """And what it takes is taken, for terms without identifiers and funs."""
    plain = st.one_of(
        strategies.integers(),
        strategies.floats(),
        strategies.binaries(),
        strategies.bit_strings(),
        st.lists(strategies.integers(), max_size=3),
        st.tuples(strategies.binaries(), strategies.floats()),
        strategies.maps(strategies.integers(), strategies.binaries()),
    )
    wires = []
    for term in generated(plain, 120):
        whole = encode(term)[:60]
        for at in range(1, len(whole), 3):
            wires += [mutate(whole, at) for mutate in MUTATIONS]
    for wire, forms in zip(wires, beam.forms(wires), strict=True):
        if wire[1:2] in (b"P", b"p", b"M"):
            continue  # a compressed term, a fun with parts of its own, a form that 29 changed
        found, error = attempt(wire)
        if error is not None:
            assert forms is None, (wire.hex(), str(error))
            continue
        if forms is None:
            assert beam.release < 27, wire.hex()
            assert two_zeros(found), wire.hex()
        else:
            assert identical(decode(forms[0]), found), wire.hex()
