"""The strategies for terms: every type there is, nothing that is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, find, given, settings

import pynode.testing.strategies as terms
from pynode import etf
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
    identical,
)

TYPES = (
    int, float, bool, type(None), Atom, bytes, BitString, tuple, list, ImproperList, dict,
    TermMap, Pid, Port, Reference, ExportFun, OpaqueFun, Record,
)  # fmt: skip


#: The first that is found will do; hypothesis would go on to the smallest.
FIRST = settings(phases=[Phase.generate], database=None, max_examples=5000)


def holds(term: Any, kind: type[Any]) -> bool:
    """Tell whether ``term`` or something in it is of just that type."""
    if type(term) is kind:
        return True
    if isinstance(term, dict | TermMap):
        return any(holds(part, kind) for item in term.items() for part in item)
    return isinstance(term, tuple | list) and any(holds(part, kind) for part in term)


@pytest.mark.parametrize("kind", TYPES)
def test_terms_has_every_type(kind: type[Any]) -> None:
    find(terms.terms(native_records=True), lambda term: holds(term, kind), settings=FIRST)


@pytest.mark.parametrize(
    "nested",
    [
        lambda term: type(term) is list and any(type(part) is dict for part in term),
        lambda term: type(term) is dict and any(type(value) is tuple for value in term.values()),
        lambda term: type(term) is TermMap and any(type(key) is list and key for key in term),
    ],
    ids=["a map in a list", "a tuple in a map", "a list as a key"],
)
def test_types_are_nested(nested: Any) -> None:
    find(terms.terms(), nested, settings=FIRST)


@given(terms.terms())
@settings(max_examples=50)
def test_what_an_older_node_cannot_read_has_to_be_asked_for(term: Any) -> None:
    assert not holds(term, Record)
    assert identical(etf.decode(etf.encode(term)), term)


@given(terms.terms(funs=False))
@settings(max_examples=50)
def test_without_funs(term: Any) -> None:
    assert not holds(term, OpaqueFun)
    assert not holds(term, ExportFun)


def test_all_of_them_are_strategies() -> None:
    for name in terms.__all__:
        make = getattr(terms, name)
        needs = {"lists": 1, "tuples": 1, "improper_lists": 1, "opaque_funs": 1, "records": 1,
                 "maps": 2}.get(name, 0)  # fmt: skip
        find(make(*[terms.leaves()] * needs), lambda _: True, settings=FIRST)
