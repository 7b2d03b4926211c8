"""Bytes to terms, in Python.

Two readers: the quick one here goes down by recursion, a little, and has no words for what it does
not like.  Then, and for whatever is nested deeper, the careful one of ``_pure_reader`` reads all
anew: it knows the limits and the offsets of errors.  So nothing is read more than twice.

Source: "External Term Format"; ``dec_term`` in the emulator's ``external.c``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, Final

from pynode.config import Limits
from pynode.errors import DecodeError
from pynode.etf._pure_leaves import (
    ATOMS,
    LEAVES,
    PIDS,
    RUN_FROM,
    RUNS,
    float_at,
    int_at,
    new_atom,
    read_run,
    text_of,
    uint_at,
)
from pynode.etf._pure_reader import read_carefully
from pynode.terms.compound import ImproperList
from pynode.terms.rebuild import make_map

__all__ = ["decode", "decode_compressed", "decode_payload", "decode_prefix"]

_LIMITS: Final = Limits()
#: Nesting that is left to Python's stack.
_QUICK_DEPTH: Final = 32
#: Items of a map that is not looked at for keys of one hash.
_FEW: Final = 128


def decode(data: Any, *, text: bool = False, limits: Limits = _LIMITS) -> Any:
    """Return the term that ``data`` (any bytes-like) holds, version byte first.

    Compressed terms are taken too.

    Args:
        data: exactly one term, as ``term_to_binary/1`` makes it.
        text: binaries in UTF-8 become str, other binaries stay bytes.
        limits: ``term_bytes``, ``depth`` and ``elements`` hold.

    Raises:
        DecodeError: it is no term, more than one, or beyond the limits; with the offset.
    """
    if type(data) is not bytes:
        data = bytes(data)
    if len(data) > 1 and data[0] == 131 and data[1] != 80:
        term, end = _read(data, 1, (), text, limits)
    else:
        term, end = decode_prefix(data, text=text, limits=limits)
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes after the term", end)
    return term


def decode_prefix(
    data: Any, offset: int = 0, *, text: bool = False, limits: Limits = _LIMITS
) -> tuple[Any, int]:
    """Return the term that starts at ``offset``, version byte first, and where it ends.

    Raises:
        DecodeError: as :func:`decode`, what follows the term excepted.
    """
    if type(data) is not bytes:
        data = bytes(data)
    if data[offset : offset + 1] != b"\x83":
        problem = "no version byte 131" if offset < len(data) else "truncated"
        raise DecodeError(problem, min(offset, len(data)))
    if data[offset + 1 : offset + 2] == b"P":
        return decode_compressed(data, offset + 1, text, limits, decode_payload)
    return decode_payload(data, offset + 1, (), text=text, limits=limits)


def decode_compressed(
    data: bytes,
    offset: int,
    text: bool,
    limits: Limits,
    read: Callable[..., tuple[Any, int]],
) -> tuple[Any, int]:
    """Return the compressed term whose tag is at ``offset``, read by ``read``, and where it ends.

    Raises:
        DecodeError: as :func:`decode`; offsets in the decompressed term are in the text.
    """
    import zlib  # late: few programs meet one

    if len(data) < offset + 5:
        raise DecodeError("truncated", offset)
    (size,) = uint_at(data, offset + 1)
    if size > limits.term_bytes:
        raise DecodeError(f"{size} bytes decompressed, more than Limits.term_bytes", offset)
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(memoryview(data)[offset + 5 :], size + 1)
    except (zlib.error, MemoryError) as error:
        raise DecodeError(f"cannot be decompressed: {error}", offset) from None
    if len(plain) != size or not inflate.eof:
        raise DecodeError(f"not {size} bytes when decompressed", offset)
    try:
        term, end = read(plain, 0, (), text=text, limits=limits)
    except DecodeError as error:
        problem = f"{error.problem} at byte {error.offset} of the decompressed term"
        raise DecodeError(problem, offset) from None
    if end != size:
        raise DecodeError(f"{size - end} bytes after the compressed term", offset)
    return term, len(data) - len(inflate.unused_data)


def decode_payload(
    data: Any,
    offset: int,
    atoms: Sequence[Any] = (),
    *,
    text: bool = False,
    limits: Limits = _LIMITS,
) -> tuple[Any, int]:
    """Return the term that starts at ``offset``, without a version byte, and where it ends.

    Args:
        data: a frame or a fragment's whole payload.
        offset: where the term's tag is.
        atoms: what ATOM_CACHE_REF 0, 1, ... stand for: Atoms, True, False and None.
        text: as in :func:`decode`.
        limits: as in :func:`decode`.

    Raises:
        DecodeError: the bytes are no term, or one beyond the limits; with the offset.
    """
    if type(data) is not bytes:
        data = bytes(data)
    if offset < 0:
        return read_carefully(data, offset, atoms, text, limits)
    return _read(data, offset, atoms, text, limits)


# --------------------------------------------------------------------------- the quick reader


class _Odd(Exception):
    """What is left to the careful reader."""


_DISLIKED: Final = (
    *(_Odd, DecodeError, IndexError, struct.error),
    *(TypeError, RecursionError, MemoryError),  # of a key that has no hash, of what came before
)


def _read(
    data: bytes, offset: int, atoms: Sequence[Any], text: bool, limits: Limits
) -> tuple[Any, int]:
    """Read the term at ``offset``; return it and where it ends."""
    # No element is shorter than a byte, so that these limits cannot be met.
    if limits.depth >= _QUICK_DEPTH and limits.elements >= len(data):
        try:
            if data[offset] == 104:  # what most messages are
                items, end = _items(
                    data, offset + 2, data[offset + 1], _QUICK_DEPTH - 1, atoms, text
                )
                found: Any = tuple(items)
            else:
                (found,), end = _items(data, offset, 1, _QUICK_DEPTH, atoms, text)
            if end <= len(data):  # a slice gives less than it is asked for, and says nothing
                return found, end
        except _DISLIKED:
            pass  # and is read again, for the error or the term
    return read_carefully(data, offset, atoms, text, limits)


def _items(
    data: bytes, pos: int, count: int, depth: int, atoms: Sequence[Any], text: bool
) -> tuple[list[Any], int]:
    """Read ``count`` terms; the commonest here, without a call."""
    items: list[Any] = []
    for _ in range(count):
        tag = data[pos]
        if tag == 119:
            end = pos + 2 + data[pos + 1]
            try:
                items.append(ATOMS[data[pos:end]])
            except KeyError:
                items.append(new_atom(data, pos)[0])
            pos = end
        elif tag == 97:
            items.append(data[pos + 1])
            pos += 2
        elif tag == 109:
            end = pos + 5 + uint_at(data, pos + 1)[0]
            items.append(text_of(data[pos + 5 : end]) if text else data[pos + 5 : end])
            pos = end
        elif tag == 104:
            if not depth:
                raise _Odd
            inner, pos = _items(data, pos + 2, data[pos + 1], depth - 1, atoms, text)
            items.append(tuple(inner))
        elif tag == 98:
            items.append(int_at(data, pos + 1)[0])
            pos += 5
        elif tag == 70:
            number = float_at(data, pos + 1)[0]
            if not isfinite(number):
                raise _Odd
            items.append(number)
            pos += 9
        elif tag in _CONTAINERS:
            if not depth:
                raise _Odd
            found, pos = _CONTAINERS[tag](data, pos, depth - 1, atoms, text)
            items.append(found)
        elif tag == 88 and (wire := data[pos : pos + 15 + data[pos + 2]]) in PIDS:
            items.append(PIDS[wire])
            pos += len(wire)
        else:
            leaf = LEAVES.get(tag)
            if leaf is None:
                raise _Odd
            found, pos = leaf(data, pos, atoms)
            items.append(text_of(found) if text and tag == 77 else found)
    return items, pos


def _large_tuple(
    data: bytes, pos: int, depth: int, atoms: Sequence[Any], text: bool
) -> tuple[tuple[Any, ...], int]:
    items, pos = _items(data, pos + 5, uint_at(data, pos + 1)[0], depth, atoms, text)
    return tuple(items), pos


def _list(
    data: bytes, pos: int, depth: int, atoms: Sequence[Any], text: bool
) -> tuple[list[Any] | ImproperList, int]:
    count = uint_at(data, pos + 1)[0]
    pos += 5
    if count >= RUN_FROM and data[pos] in RUNS:
        items: list[Any] = []
        pos = read_run(data, pos, count, items)
        if len(items) != count:
            rest, pos = _items(data, pos, count - len(items), depth, atoms, text)
            items += rest
    else:
        items, pos = _items(data, pos, count, depth, atoms, text)
    tag = data[pos]
    if tag == 106:
        return items, pos + 1
    if tag == 108 or tag == 107 or not items:
        raise _Odd  # it goes on, or was none
    (tail,), pos = _items(data, pos, 1, depth, atoms, text)
    return ImproperList(items, tail), pos


def _map(
    data: bytes, pos: int, depth: int, atoms: Sequence[Any], text: bool
) -> tuple[dict[Any, Any], int]:
    count = 2 * uint_at(data, pos + 1)[0]
    items, pos = _items(data, pos + 5, count, depth, atoms, text)
    if count < _FEW:
        pairs = iter(items)
        found: Any = dict(zip(pairs, pairs))  # noqa: B905  (it takes twice the time)
    else:
        found = make_map(items, {})
    if type(found) is not dict or len(found) << 1 != count:
        raise _Odd  # keys that are one for Python, or one term
    return found, pos


_CONTAINERS: Final[dict[int, Callable[[bytes, int, int, Sequence[Any], bool], tuple[Any, int]]]] = {
    105: _large_tuple,
    108: _list,
    116: _map,
}
