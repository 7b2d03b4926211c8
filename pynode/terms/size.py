"""How much work a term is, found out without doing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pynode.terms.compound import BitString, ImproperList, OpaqueFun, Record

__all__ = ["fits", "weight"]

#: What a leaf weighs beside its bytes.
_EACH = 16


def fits(term: Any, most: int) -> bool:
    """Return whether ``term`` weighs no more than ``most``: some bytes for each part of it.

    Looks no further than that.
    """
    return weight(term, most) <= most


def weight(term: Any, most: int) -> int:
    """Return what ``term`` weighs; where it is more than ``most``, something above that."""
    pending: list[Any] = [term]
    weight = 0
    while pending:
        value = pending.pop()
        weight += _EACH
        if isinstance(value, str | bytes | bytearray | memoryview):
            weight += len(value)
        elif isinstance(value, BitString):
            weight += len(value.data)
        elif isinstance(value, int):
            weight += value.bit_length() // 8
        elif isinstance(value, list | tuple | Mapping | ImproperList | Record | OpaqueFun):
            weight += _opened(value, pending, (most - weight) // _EACH)
        if weight + _EACH * len(pending) > most:
            return weight + _EACH * len(pending)
    return weight


def _opened(value: Any, pending: list[Any], room: int) -> int:
    """Have the parts looked at, if there is room for so many; return what they weigh if not."""
    if isinstance(value, ImproperList):
        parts: Any = value.elements
        pending.append(value.tail)
    else:
        parts = value.fields if isinstance(value, Record) else value
        parts = value.env if isinstance(value, OpaqueFun) else parts
    if len(parts) > room:
        return _EACH * len(parts)
    if isinstance(value, Record):
        pending += (item for _, item in parts)
    elif isinstance(value, Mapping):
        pending += value.keys()
        pending += value.values()
    else:
        pending += parts
    return 0
