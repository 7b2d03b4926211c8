"""A term made anew: what a receiver on another node would hold.

One loop with a stack of its own serves :func:`copy_term` and ``to_text``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from itertools import chain
from math import isfinite
from typing import Any, Final

from pynode.config import Limits
from pynode.errors import EncodeError
from pynode.terms.atom import Atom
from pynode.terms.compound import BitString, ExportFun, ImproperList, OpaqueFun, Record
from pynode.terms.identifiers import Pid, Port, Reference
from pynode.terms.term_map import TermMap

__all__ = ["copy_term", "make_map", "positive_zeros", "rebuild"]

_MAX_DEPTH: Final = Limits().depth
_MAX_KEY_DEPTH: Final = 64
_COLLISIONS_FROM: Final = 64
_COLLISIONS: Final = 32


def copy_term(term: Any) -> Any:
    """Return what a process on another node would receive, were ``term`` sent to it.

    Lists and maps are copied, so that sender and receiver share nothing that can change; a str
    arrives as bytes, as do bytearray and memoryview; values of derived classes (an IntEnum, a
    NamedTuple) as plain ones.  Leaves that cannot change are shared.

    Raises:
        EncodeError: where encoding it would raise.
    """
    kind = type(term)
    if kind in _SHARED:
        return term
    return rebuild(term)


def rebuild(term: Any, *, text: bool = False) -> Any:
    """Copy ``term``; with ``text``, binaries in UTF-8 become str and not the other way round."""
    return _rebuild(term, _TEXT_LEAVES if text else _LEAVES, text)


def positive_zeros(term: Any) -> Any:
    """Copy ``term`` with 0.0 for each -0.0.

    Raises:
        EncodeError: two keys of a map become one term.
    """
    return _rebuild(term, _ZERO_LEAVES, False)


def _rebuild(term: Any, leaves: dict[type, Callable[[Any], Any]], text: bool) -> Any:
    built: list[Any] = []
    finish: _Finish | None = None
    known: dict[int, bytes] = {}
    source: Any = None
    values: Iterator[Any] = iter((term,))
    stack: list[tuple[Iterator[Any], list[Any], Any, Any]] = []
    while True:
        for value in values:
            kind = type(value)
            if kind in _SHARED and not (text and kind is bytes):
                built.append(value)
                continue
            leaf = leaves.get(kind)
            if leaf is not None:
                built.append(leaf(value))
                continue
            container = _container(value)
            if container is None:
                built.append(_derived(value, leaves))
                continue
            stack.append((values, built, finish, source))
            if len(stack) > _MAX_DEPTH:
                raise EncodeError(f"a term nested deeper than {_MAX_DEPTH}")
            values, finish = container
            source = value
            built = []
            break
        else:
            if finish is None:
                return built[0]
            result = finish(source, built, known)
            values, built, finish, source = stack.pop()
            built.append(result)


def make_map(items: list[Any], known: dict[int, bytes], *, nested: bool = True) -> Any:
    """Return the map of ``[key, value, key, value, ...]``, or None if two keys are one term.

    A dict, unless it would refuse a key (a list), merge two that differ (1 and 1.0) or be slow
    (many keys with one hash); a :class:`TermMap` then.

    Args:
        items: keys and values in turn.
        known: one dict for all maps of a term, empty at first; see :func:`key_form`.
        nested: a key may be a container.
    """
    keys = items[::2]
    values = items[1::2]
    if not nested or not _nested(keys):
        try:
            if len(keys) < _COLLISIONS_FROM or not _collide(keys):
                found = dict(zip(keys, values, strict=True))
                if len(found) == len(keys):
                    return found
        except TypeError:
            pass  # a key that has no hash: an empty list, a charlist
    result = TermMap._of_pairs(keys, values, known)
    return result if len(result) == len(keys) else None


def _nested(keys: list[Any]) -> bool:
    """Tell whether a key holds a list or a map, or is nested too deep for Python's hash."""
    keys = [key for key in keys if type(key) not in _FLAT]
    for _ in range(_MAX_KEY_DEPTH):
        below: list[Any] = []
        for key in keys:
            kind = type(key)
            if kind is tuple:
                below.extend(item for item in key if type(item) not in _FLAT)
            elif kind is ImproperList:
                below.extend(item for item in key.elements if type(item) not in _FLAT)
                below.append(key.tail)
            elif kind is OpaqueFun:
                below.extend(key.env)
            elif kind is Record:
                below.extend(item for _, item in key.fields)
            elif kind not in _FLAT:
                return True
        if not below:
            return False
        keys = below
    return True


def _collide(keys: list[Any]) -> bool:
    """Tell whether many keys have one hash, as only chosen ones have: a dict would be quadratic."""
    return max(Counter(map(hash, keys)).values()) > _COLLISIONS


# --------------------------------------------------------------------------- containers


_Finish = Callable[[Any, list[Any], dict[int, bytes]], Any]


def _container(value: Any) -> tuple[Iterator[Any], _Finish] | None:
    if isinstance(value, tuple):
        return iter(value), _end_tuple
    if isinstance(value, list):
        return iter(tuple(value)), _end_list
    if isinstance(value, (dict, MutableMapping)):
        return iter(tuple(chain.from_iterable(value.items()))), _end_map
    kind = type(value)
    if kind is ImproperList:
        return chain(value.elements, (value.tail,)), _end_improper
    if kind is OpaqueFun:
        return iter(value.env), _end_fun
    if kind is Record:
        return (item for _, item in value.fields), _end_record
    return None


def _end_tuple(source: Any, built: list[Any], known: dict[int, bytes]) -> Any:
    return tuple(built)


def _end_list(source: Any, built: list[Any], known: dict[int, bytes]) -> Any:
    return built


def _end_map(source: Any, built: list[Any], known: dict[int, bytes]) -> Any:
    result = make_map(built, known)
    if result is None:
        raise EncodeError("two keys of a map are one term")
    return result


def _end_improper(source: Any, built: list[Any], known: dict[int, bytes]) -> Any:
    tail = built.pop()
    return built + tail if type(tail) is list else ImproperList(built, tail)


def _end_fun(source: OpaqueFun, built: list[Any], known: dict[int, bytes]) -> Any:
    if not built:
        return source
    module, arity, index, uniq, old_index, old_uniq, pid, _ = source._parts()
    return OpaqueFun(module, arity, index, uniq, old_index, old_uniq, pid, built)


def _end_record(source: Record, built: list[Any], known: dict[int, bytes]) -> Any:
    names = (name for name, _ in source.fields)
    return Record(source.module, source.name, source.exported, zip(names, built, strict=True))


# --------------------------------------------------------------------------- leaves


def _float(value: float) -> float:
    value = float(value)
    if not isfinite(value):
        raise EncodeError(f"{value!r} is no Erlang float")
    return value


def _str(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"a str that is no UTF-8: {error.reason}") from None


def _text(value: Any) -> Any:
    value = bytes(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _bit_string(value: BitString) -> Any:
    return value.data if value.bits == 8 else value


def _text_bit_string(value: BitString) -> Any:
    return _text(value.data) if value.bits == 8 else value


def _plain_str(value: str) -> str:
    _str(value)  # for its error
    return value


_SHARED: Final = frozenset({int, bool, type(None), Atom, bytes, Pid, Port, Reference, ExportFun})
#: Types whose values are hashed without looking at others.
_FLAT: Final = _SHARED | {float, str, BitString}

_LEAVES: Final[dict[type, Callable[[Any], Any]]] = {
    float: _float,
    str: _str,
    bytearray: bytes,
    memoryview: bytes,
    BitString: _bit_string,
}
_ZERO_LEAVES: Final = _LEAVES | {float: lambda value: _float(value) + 0.0}
_TEXT_LEAVES: Final[dict[type, Callable[[Any], Any]]] = {
    float: _float,
    str: _plain_str,
    bytes: _text,
    bytearray: _text,
    memoryview: _text,
    BitString: _text_bit_string,
}


def _derived(value: Any, leaves: dict[type, Callable[[Any], Any]]) -> Any:
    """Copy a leaf of a derived class, such as an IntEnum, as one of its base."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return leaves[str](str.__str__(value))
    if isinstance(value, (bytes, bytearray)):
        return leaves[bytearray](value)
    from pynode.terms.refused import no_term  # late: most programs have no such value

    raise EncodeError(no_term(value))
