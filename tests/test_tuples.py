"""Tuples with named fields can do what those of ``typing.NamedTuple`` can."""

from __future__ import annotations

import copy
import inspect
import pickle
from itertools import product
from typing import Any, NamedTuple as Typings, get_type_hints

import pytest

from pynode._tuples import NamedTuple
from pynode.dist.control import NodeLink


class Ours(NamedTuple):
    """A place."""

    x: int
    y: str
    z: Any = None
    w: Any = 7

    @property
    def both(self) -> tuple[int, str]:
        return self.x, self.y

    @classmethod
    def at(cls, x: int) -> Ours:
        return cls(x, "y")


class Theirs(Typings):
    """A place."""

    x: int
    y: str
    z: Any = None
    w: Any = 7


class Less(Ours):
    """A class of a class of fields is as any other."""

    def __new__(cls, x: int) -> Less:
        return super().__new__(cls, x, "less")


def made(cls: Any, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    try:
        return tuple(cls(*values, **named))
    except TypeError:
        return TypeError


def test_made_of_the_same_values() -> None:
    for count, size in product(range(6), range(5)):
        for names in product("xyzwv", repeat=size):
            values, named = tuple(range(count)), {name: name for name in names}
            assert made(Ours, values, named) == made(Theirs, values, named), (values, named)


@pytest.mark.parametrize(
    ("values", "named", "text"),
    [
        ((1,), {}, r"Ours\(\) needs 'y'"),
        ((1, 2, 3, 4, 5), {}, r"Ours\(\) takes 4 values, not 5"),
        ((1, 2), {"x": 1}, r"Ours\(\) got 'x' twice"),
        ((1, 2), {"v": 1}, r"Ours\(\) has no 'v'"),
        ((), {"x": 1}, r"Ours\(\) needs 'y'"),
    ],
)
def test_what_is_wrong_is_said(values: tuple[Any, ...], named: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Ours(*values, **named)


def test_it_is_a_tuple_with_names() -> None:
    ours: Any = Ours(1, "a", w=[2])
    theirs: Any = Theirs(1, "a", w=[2])
    assert ours == theirs == (1, "a", None, [2])
    assert (ours.x, ours.y, ours.z, ours.w) == ours
    assert ours.both == (1, "a")
    assert Ours.at(3) == Ours(3, "y")
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert hash(Ours(1, "a")) == hash((1, "a", None, 7))
    for name in ("_fields", "_field_defaults", "__match_args__", "__doc__"):
        assert getattr(Ours, name) == getattr(Theirs, name)
    assert get_type_hints(Ours) == get_type_hints(Theirs)
    assert type(Ours) is type
    with pytest.raises(AttributeError):
        ours.x = 2
    with pytest.raises(AttributeError):
        ours.other = 2
    assert not hasattr(ours, "__dict__")
    match ours:
        case Ours(x, y, w=w):
            assert (x, y, w) == (1, "a", [2])
        case _:
            pytest.fail("no match")


def test_copies() -> None:
    ours: Any = Ours(1, "a", w=[2])
    assert ours._asdict() == {"x": 1, "y": "a", "z": None, "w": [2]}
    assert ours._replace(x=5) == Ours(5, "a", w=[2])
    with pytest.raises(TypeError, match="has no 'v'"):
        ours._replace(v=5)
    assert tuple(Ours._make(iter("abcd"))) == tuple("abcd")
    with pytest.raises(TypeError, match="takes 4 values, not 2"):
        Ours._make("ab")
    for way in range(pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(ours, way))
        assert type(back) is Ours
        assert back == ours
    deep = copy.deepcopy(ours)
    assert type(deep) is Ours
    assert deep == ours
    assert deep.w is not ours.w
    assert type(copy.copy(ours)) is Ours


def test_classes_of_classes_and_without_fields() -> None:
    assert tuple(Less(4)) == (4, "less", None, 7)
    assert isinstance(Less(4), Ours)
    assert tuple(NodeLink()) == ()
    assert repr(NodeLink()) == "NodeLink()"


def test_help_shows_the_fields() -> None:
    assert str(inspect.signature(Ours)) == "(x: 'int', y: 'str', z: 'Any' = None, w: 'Any' = 7)"
    assert str(inspect.signature(NodeLink)) == "()"


def test_a_field_that_must_be_given_comes_first() -> None:
    with pytest.raises(TypeError, match="stands behind one with a default"):

        class Wrong(NamedTuple):
            x: int = 1
            y: int  # type: ignore[misc]
