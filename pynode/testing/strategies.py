"""Hypothesis strategies for Erlang terms (needs the extra ``testing``).

``terms()`` is all of them, nested in each other; the others are its parts.  Every value can be
encoded, and is what decoding gives: no str, no bytearray, no derived classes.  Edges come often:
the widths of integers, the two zeros, charlists, keys such as 1 beside 1.0 beside True.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from hypothesis import strategies as st

from pynode.etf import encode
from pynode.terms import (
    Atom,
    BitString,
    ExportFun,
    ImproperList,
    OpaqueFun,
    Pid,
    Port,
    Record,
    Reference,
    TermMap,
)

__all__ = [
    "atoms",
    "binaries",
    "bit_strings",
    "export_funs",
    "floats",
    "improper_lists",
    "integers",
    "leaves",
    "lists",
    "maps",
    "node_names",
    "opaque_funs",
    "pids",
    "ports",
    "records",
    "references",
    "terms",
    "tuples",
]

_WIDTHS: Final = (0, 7, 8, 16, 27, 28, 31, 32, 59, 60, 63, 64, 128, 255 * 8, 256 * 8)
_FLOAT_EDGES: Final = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0**53,
    -(2.0**53),
    5e-324,
    1.7976931348623157e308,
)
_ATOM_EDGES: Final = ("", "ok", "undefined", "Elixir.Foo.Bar", "odd name", "é" * 255, "a" * 255)
_ZERO: Final = encode(0.0)[1:]
_MINUS_ZERO: Final = encode(-0.0)[1:]


def integers() -> st.SearchStrategy[int]:
    """Return integers, often at the edge of a width of the wire or of the BEAM."""
    edges = st.builds(
        lambda width, sign, step: sign * (1 << width) + step,
        st.sampled_from(_WIDTHS),
        st.sampled_from((1, -1)),
        st.sampled_from((-1, 0, 1)),
    )
    return edges | st.integers(-300, 300) | st.integers()


def floats() -> st.SearchStrategy[float]:
    """Return finite floats, the two zeros and the extremes often."""
    return st.sampled_from(_FLOAT_EDGES) | st.floats(allow_nan=False, allow_infinity=False)


def atoms() -> st.SearchStrategy[Any]:
    """Return atoms, and True, False and None, which stand for three of them."""
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    names = (texts | st.sampled_from(_ATOM_EDGES)).filter(
        lambda name: name not in {"true", "false", "nil"}
    )
    return st.sampled_from((True, False, None)) | names.map(Atom)


def node_names() -> st.SearchStrategy[Atom]:
    """Return names of nodes."""
    return st.sampled_from(("node1@host", "node2@host", "a@b.example")).map(Atom)


def binaries() -> st.SearchStrategy[bytes]:
    """Return binaries, text and other."""
    return st.binary(max_size=40) | st.text(max_size=8).map(
        lambda text: text.encode("utf-8", "replace")
    )


def bit_strings() -> st.SearchStrategy[BitString]:
    """Return bit strings that are no binaries."""
    return st.builds(BitString, st.binary(min_size=1, max_size=9), st.integers(1, 7))


def _words() -> st.SearchStrategy[int]:
    return st.sampled_from((0, 1, 2**15, 2**28 - 1, 2**28, 2**32 - 1)) | st.integers(0, 2**32 - 1)


def _creations() -> st.SearchStrategy[int]:
    return st.sampled_from((1, 3, 4, 2**32 - 1)) | st.integers(1, 2**32 - 1)


def pids() -> st.SearchStrategy[Pid]:
    """Return pids of other nodes."""
    return st.builds(Pid, node_names(), _words(), _words(), _creations())


def ports() -> st.SearchStrategy[Port]:
    """Return ports of other nodes, with numbers of up to 64 bits."""
    numbers = _words() | st.sampled_from((2**60, 2**64 - 1)) | st.integers(0, 2**64 - 1)
    return st.builds(Port, node_names(), numbers, _creations())


def references() -> st.SearchStrategy[Reference]:
    """Return references of one to five words, of other nodes."""
    first = st.integers(0, 2**18 - 1)  # what a BEAM takes as the first word
    words = st.tuples(first, st.lists(_words(), max_size=4)).map(lambda pair: (pair[0], *pair[1]))
    return st.builds(Reference, node_names(), _creations(), words)


def export_funs() -> st.SearchStrategy[ExportFun]:
    """Return funs such as ``fun lists:map/2``."""
    return st.builds(ExportFun, atoms(), atoms(), st.integers(0, 255))


def leaves(*, funs: bool = True) -> st.SearchStrategy[Any]:
    """Return terms that hold no others (but empty tuples, lists and maps)."""
    parts: list[st.SearchStrategy[Any]] = [
        integers(),
        floats(),
        atoms(),
        binaries(),
        bit_strings(),
        pids(),
        ports(),
        references(),
        st.builds(tuple),
        st.builds(list),
        st.builds(dict),
    ]
    if funs:
        parts.append(export_funs())
    return st.one_of(parts)


def tuples(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return tuples of ``elements``."""
    return st.lists(elements, max_size=5).map(tuple)


def lists(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Return lists of ``elements``, and charlists."""
    return st.lists(elements, max_size=5) | st.lists(st.integers(0, 300), max_size=12)


def improper_lists(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[ImproperList]:
    """Return improper lists of ``elements`` with a tail that is one of them, or a tuple."""
    return st.builds(_improper, st.lists(elements, min_size=1, max_size=4), elements)


def _improper(elements: list[Any], tail: Any) -> ImproperList:
    return ImproperList(elements, tuple(tail) if isinstance(tail, list) else tail)


def _plain_map(items: list[tuple[Any, Any]]) -> Any:
    """Build what decoding builds: a dict where one will do."""
    whole = TermMap(list({_unsigned(key): (key, value) for key, value in items}.values()))
    try:
        plain = dict(whole.items())
    except TypeError:
        return whole
    return plain if len(plain) == len(whole) else whole


def _unsigned(key: Any) -> bytes:
    """Return what tells keys apart, but for the signs of zeros in them."""
    return encode(key).replace(_MINUS_ZERO, _ZERO)


def maps(keys: st.SearchStrategy[Any], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return maps: a dict, or a :class:`TermMap` where a dict will not do.

    No two keys of a map differ in the sign of a zero alone: before OTP 27 they are one key, and
    such a map is no term.
    """
    alike = st.sampled_from((0, 0.0, -0.0, False, 1, 1.0, True, b"1", Atom("1"), [1], [1.0], (1,)))
    pairs = st.tuples(keys | alike, values)
    return st.lists(pairs, max_size=5).map(_plain_map)


def opaque_funs(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[OpaqueFun]:
    """Return closures over ``elements``, of modules that no node has."""
    return st.builds(
        _opaque_fun,
        st.sampled_from(("pynode_m1", "pynode_m2")),
        st.integers(0, 20),
        st.integers(0, 2**27 - 1),
        pids(),
        st.lists(elements, max_size=3),
    )


def _opaque_fun(module: str, index: int, version: int, pid: Pid, env: list[Any]) -> OpaqueFun:
    # A BEAM keeps one entry for all funs of one module, index and uniq, and gives back the other
    # parts as it first saw them; as keys of a map, two that differ in the rest are one, and the map
    # is no term.  So the parts follow from each other, as they do in a real module.
    uniq = blake2b(repr((module, index, version)).encode(), digest_size=16).digest()
    arity = version % 21
    return OpaqueFun(module, arity, index, uniq, index, version, pid, env)


def records(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[Record]:
    """Return native records (OTP 29) with ``elements`` as values."""
    fields = st.lists(st.tuples(atoms(), elements), max_size=4).map(
        lambda pairs: dict(pairs).items()
    )
    return st.builds(Record, atoms(), atoms(), st.booleans(), fields)


def terms(
    *, max_leaves: int = 25, funs: bool = True, native_records: bool = False
) -> st.SearchStrategy[Any]:
    """Return terms of all types, nested in all types.

    Args:
        max_leaves: about how many leaves a term has at most.
        funs: closures and external funs too.
        native_records: records of OTP 29 too; they cannot be sent to an older node.
    """

    def nest(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        parts: list[st.SearchStrategy[Any]] = [
            tuples(elements),
            lists(elements),
            improper_lists(elements),
            maps(elements, elements),
        ]
        if funs:
            parts.append(opaque_funs(elements))
        if native_records:
            parts.append(records(elements))
        return st.one_of(parts)

    return st.recursive(leaves(funs=funs), nest, max_leaves=max_leaves)
