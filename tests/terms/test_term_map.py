from __future__ import annotations

import copy
import pickle

import pytest

from pynode.errors import EncodeError
from pynode.terms import ImproperList, TermMap, atom, charlist


def test_keys_that_python_would_merge() -> None:
    values = TermMap([(1, "int"), (1.0, "float"), (True, "atom"), (atom("1"), "other")])
    assert len(values) == 4
    assert [values[key] for key in (1, 1.0, True, atom("1"))] == ["int", "float", "atom", "other"]
    assert list(values) == [1, 1.0, True, atom("1")]
    assert len(TermMap([(0.0, 1), (-0.0, 2)])) == 2


def test_keys_that_python_would_refuse() -> None:
    values = TermMap([(charlist("subs"), 1), ({b"a": [1]}, 2), (ImproperList([[]], {}), 3)])
    assert values[charlist("subs")] == 1
    assert values[{b"a": [1]}] == 2
    assert values[ImproperList([[]], {})] == 3
    assert [1.0] not in values


def test_keys_in_maps_in_keys_are_compared_exactly_and_in_no_order() -> None:
    values = TermMap([({1: [2], b"x": 3}, "found")])
    assert values[TermMap([(b"x", 3), (1, [2])])] == "found"
    assert {1.0: [2], b"x": 3} not in values
    assert {1: [2.0], b"x": 3} not in values
    assert {b"x": 3, 1: [2], 2: 2} not in values


def test_text_and_its_binary_are_one_key() -> None:
    values = TermMap({"a": 1})
    values[b"a"] = 2
    assert dict(values.items()) == {"a": 2}


def test_changes() -> None:
    values = TermMap([([1], 1)], name=2)
    del values[[1]]
    assert list(values.items()) == [("name", 2)]
    with pytest.raises(KeyError):
        del values[[1]]
    with pytest.raises(KeyError):
        values[1]
    assert values.setdefault([2], 5) == 5
    assert values.pop([2]) == 5


def test_what_is_no_term_is_no_key() -> None:
    with pytest.raises(EncodeError):
        TermMap([(object(), 1)])
    with pytest.raises(EncodeError):
        TermMap([(float("nan"), 1)])


def test_equality() -> None:
    assert TermMap([(1, 2), ([3], 4)]) == TermMap([([3], 4), (1, 2)])
    assert TermMap([(1, 2)]) == {1: 2}
    assert TermMap([(1, 2)]) != {1.0: 2}
    assert TermMap([(1, 2)]) != {1: 3}
    assert TermMap([(1, 2)]) != 5


def test_copies() -> None:
    values = TermMap([([1], [2])])
    assert pickle.loads(pickle.dumps(values)) == values
    assert copy.copy(values) == values
    deep = copy.deepcopy(values)
    values[[1]].append(3)
    assert deep[[1]] == [2]


def test_matches_as_a_mapping() -> None:
    match TermMap([([1], 2), (atom.size, 3)]):
        case {atom.size: size}:
            assert size == 3
        case _:
            pytest.fail("no match")


def test_shown() -> None:
    assert repr(TermMap([([1], 2)])) == "TermMap([([1], 2)])"
