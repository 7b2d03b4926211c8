"""What two codecs make of the same bytes, in a form that can be compared; keys that are awkward."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from pynode.errors import DecodeError
from pynode.etf import encode
from pynode.terms import BitString, Reference, atom, identical


def outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """Return what ``call`` gives or raises, in a form that can be compared."""
    try:
        return True, call()
    except DecodeError as error:
        return False, DecodeError, error.problem, error.offset
    except Exception as error:
        return False, type(error), str(error)


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    if not (one[0] and other[0]):
        return one == other
    first, second = one[1], other[1]
    if isinstance(first, bytes):
        return bool(first == second)
    return (
        first[1] == second[1]
        and identical(first[0], second[0])
        and repr(first[0]) == repr(second[0])  # for what is one term, and not one value
        and type(first[0]) is type(second[0])
    )


KEYS = st.sampled_from(
    [
        *(b"a", "a", atom.a, 1, 1.0, True, 2, -1, 2**60, 2**61 - 1, 2**61, 0, 0.0, -0.0, None),
        *((), (1,), (1.0,), ("a",), (b"a",), ((1,),), b"k" * 32, b"k" * 33, "é"),
        Reference(atom("a@b"), 1, (1, 2)),
        Reference(atom("a@b"), 1, (1, 2, 0)),
        BitString(b"a", 3),
    ]
)


def map_of(keys: list[Any]) -> bytes:
    """Return a map of ``keys`` on the wire, each once for each time it is there."""
    data = b"".join(encode(key)[1:] + b"j" for key in keys)
    return b"t" + struct.pack(">I", len(keys)) + data
