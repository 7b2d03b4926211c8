"""Frozen values: what of dataclasses they keep."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from pynode._values import Value, given
from pynode.config import Limits, NodeConfig, Timeouts


class Point(Value):
    x: int
    y: int = 2


#: As those see it who do not check types.
ANY_POINT: Any = Point
ANY_LIMITS: Any = Limits


class Named(Value, kw_only=True):
    name: str
    tags: list[str] = given(default_factory=list)
    secret: str = given(default="s", repr=False)


def test_equal_by_value_and_class() -> None:
    class Other(Value):
        x: int
        y: int = 2

    assert Point(1) == Point(1, 2) == Point(y=2, x=1)
    assert hash(Point(1)) == hash(Point(1, 2))
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert Timeouts(call=3.0) == Timeouts(call=3.0) != Timeouts()


def test_frozen() -> None:
    point: Any = Point(1)
    with pytest.raises(AttributeError, match="Point cannot be changed"):
        point.x = 3
    with pytest.raises(AttributeError, match="Point cannot be changed"):
        del point.x
    with pytest.raises(AttributeError, match="cannot be changed"):
        point.z = 3
    assert point == Point(1)


def test_defaults_are_made_anew() -> None:
    one, other = Named(name="a"), Named(name="b")
    assert one.tags == [] == other.tags
    assert one.tags is not other.tags
    assert NodeConfig(name="a@b", cookie=b"c").limits == Limits()


def test_shown_without_what_is_hidden() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2)"
    assert repr(Named(name="n", secret="x")) == "Named(name='n', tags=[])"
    config = NodeConfig(name="a@b", cookie=b"geheim", cookies={"x@y": b"geheim"})
    assert "geheim" not in repr(config)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ANY_POINT(), "needs 'x'"),
        (lambda: ANY_POINT(1, 2, 3), "3 arguments"),
        (lambda: ANY_POINT(1, x=1), "twice"),
        (lambda: ANY_POINT(1, z=1), "no 'z'"),
        (lambda: ANY_LIMITS(1), "1 arguments"),
        (lambda: ANY_LIMITS(depht=1), "no 'depht'"),
        (lambda: Limits().replace(depht=1), "no 'depht'"),
    ],
)
def test_what_is_no_field_is_refused(call: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call()


def test_copies() -> None:
    limits = Limits(depth=3)
    assert limits.replace(depth=4) == Limits(depth=4)
    assert limits.depth == 3
    for made in (copy.copy(limits), copy.deepcopy(limits), pickle.loads(pickle.dumps(limits))):
        assert made == limits
    if hasattr(copy, "replace"):
        assert copy.replace(limits, depth=5) == Limits(depth=5)


def test_patterns() -> None:
    match Point(1, 5):
        case Point(1, y):
            assert y == 5
        case _:
            raise AssertionError
    match Limits(depth=7):
        case Limits(depth=depth):
            assert depth == 7


def test_its_signature_is_for_help() -> None:
    assert str(inspect.signature(Point)) == "(x: 'int', y: 'int' = 2)"
    parameters = inspect.signature(Limits).parameters
    assert parameters["depth"].default == 10_000
    assert parameters["depth"].kind is inspect.Parameter.KEYWORD_ONLY
