"""What an EncodeError says of the type that is no term, the same wherever it is found."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
from collections.abc import Callable
from typing import Any

import pytest

from pynode import etf
from pynode.errors import EncodeError
from pynode.etf import _pure_encoder
from pynode.terms.rebuild import copy_term


@dataclasses.dataclass
class Point:
    x: int


class Moment(datetime.datetime):
    pass


async def _later() -> None:
    pass


def _numpy(name: str, *methods: str) -> Any:
    return type(name, (), {"__module__": "numpy", **dict.fromkeys(methods)})()


@pytest.mark.parametrize("encode", [etf.encode, _pure_encoder.encode, copy_term])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1}, "type set is no Erlang term: pass a list"),
        (frozenset(), "type frozenset is no Erlang term: pass a list"),
        (Point(1), f"type {__name__}.Point is no Erlang term: pass dataclasses.asdict"),
        (decimal.Decimal(1), "type decimal.Decimal is no Erlang term: pass text, str"),
        (datetime.date(2000, 1, 1), "type datetime.date is no Erlang term: pass text, its .iso"),
        (Moment(2000, 1, 1), f"type {__name__}.Moment is no Erlang term: pass text, its .iso"),
        (
            _numpy("float32", "item", "tolist"),
            "type numpy.float32 is no Erlang term: pass its .item",
        ),
        (_numpy("bool", "item", "tolist"), "type numpy.bool is no Erlang term: pass its .item()"),
        (
            _numpy("ndarray", "item", "tolist"),
            "numpy.ndarray is no Erlang term: pass its .tolist()",
        ),
        ((each for each in "a"), "type generator is no Erlang term: pass a list of what it yields"),
        (object(), "type object is no Erlang term"),
    ],
)
def test_the_text_names_the_type_and_what_to_pass(
    encode: Callable[[Any], Any], value: Any, text: str
) -> None:
    with pytest.raises(EncodeError) as caught:
        encode([1, {"a": (value,)}])
    assert text in str(caught.value)


@pytest.mark.parametrize("encode", [etf.encode, _pure_encoder.encode, copy_term])
def test_a_coroutine_that_was_not_awaited(encode: Callable[[Any], Any]) -> None:
    coroutine = _later()
    with pytest.raises(EncodeError, match="type coroutine is no Erlang term: await it"):
        encode((1, coroutine))
    coroutine.close()
