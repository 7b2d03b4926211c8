"""Erlang's order of terms, and Erlang's ``=:=``.

``number < atom < reference < fun < port < pid < tuple < map < [] < list < bit string``.  Numbers
are compared by value, an integer and a float too; tuples and maps by size first; the keys of maps
by the *exact* order, in which every integer is less than every float, and -0.0 less than 0.0.

Each term is written as a byte string that sorts as the term does, with a stack of its own: no
depth of nesting ends in a RecursionError, and time grows with size.  (A map inside a key of a map
inside a key is the exception: its bytes are copied once for each such level.)

Source: "Erlang Reference Manual", section "Term Comparisons"; ``erts_cmp_compound`` of the
emulator for what it leaves open: pids by serial, id, node, creation; references by node, creation,
then the last word first; ports by node, creation, number.  One thing no other program can know:
from OTP 26 on, maps with several atoms as keys that are keys of maps themselves are ordered by the
numbers that their node happened to give the atoms; here they go by the atoms' text, as on OTP 25.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from itertools import chain, repeat
from math import frexp, isfinite
from typing import Any, Final, final

from pynode.errors import EncodeError
from pynode.terms.atom import Atom
from pynode.terms.compound import BitString, ExportFun, ImproperList, OpaqueFun, Record
from pynode.terms.identifiers import Pid, Port, Reference

__all__ = ["compare", "identical", "key_form", "sort_key"]

_MAX_DEPTH: Final = 100_000
"""Nothing that can be encoded is nested so deep; a list that contains itself is."""

_PREDICTABLE: Final = 1 << 60
"""Beyond, many integers have one hash in Python."""

_NUMBER: Final = b"\x10"
_ATOM: Final = b"\x20"
_REFERENCE: Final = b"\x30"
_LOCAL_FUN: Final = b"\x40"
_EXPORT_FUN: Final = b"\x41"
_PORT: Final = b"\x50"
_PID: Final = b"\x60"
_TUPLE: Final = b"\x70"
_RECORD: Final = b"\x78"
_MAP: Final = b"\x80"
_NIL: Final = b"\x90"
_LIST: Final = b"\xa0"
_BITS: Final = b"\xb0"

_INVERTED: Final = bytes(range(255, -1, -1))
_u32: Final = struct.Struct(">I").pack
_u64: Final = struct.Struct(">Q").pack
_pack_pid: Final = struct.Struct(">II").pack
_pack_port: Final = struct.Struct(">IQ").pack


def compare(a: Any, b: Any) -> int:
    """Return -1, 0 or 1 as Erlang's ``<``, ``==`` and ``>`` order ``a`` and ``b``.

    Raises:
        EncodeError: one of them is no term.
    """
    if type(a) is type(b) and type(a) in _COMPARED_BY_PYTHON:
        return int(a > b) - int(a < b)
    left = sort_key(a)
    right = sort_key(b)
    return int(left > right) - int(left < right)


def sort_key(term: Any, *, exact: bool = False) -> bytes:
    """Return bytes that sort as ``term`` does: ``sorted(terms, key=sort_key)``.

    With ``exact``, the order of the keys of a map: equal only where ``=:=`` holds.

    Raises:
        EncodeError: it is no term.
    """
    return _build(term, exact, None)


def identical(a: Any, b: Any) -> bool:
    """Return what Erlang's ``A =:= B`` gives: 1, 1.0 and True differ, 0.0 and -0.0 too.

    (0.0 and -0.0 are the same before OTP 27.)  A ``str`` is the binary of its UTF-8 form.

    Raises:
        EncodeError: one of them is no term.
    """
    if type(a) is type(b) and type(a) in _COMPARED_BY_PYTHON:
        return bool(a == b)
    return bool(key_form(a) == key_form(b))


def key_form(term: Any, known: dict[int, bytes] | None = None) -> Any:
    """Return a hashable value that is equal for two terms exactly where ``=:=`` holds.

    Its hash cannot be predicted by a peer, and takes no recursion.  ``known`` remembers maps that
    were met, by ``id()``: where keys hold maps whose keys hold maps, it keeps time linear.  It is
    good as long as these maps live and do not change.

    Raises:
        EncodeError: it is no term.
    """
    kind = type(term)
    if kind is bytes or kind is Atom or kind is Pid:
        return term
    if kind is Reference:
        return _shortest(term) if term.words[-1:] == (0,) else term
    if kind is str:
        return _utf8(term)
    if kind is BitString and term.bits == 8:
        return term.data
    if kind is int and -_PREDICTABLE < term < _PREDICTABLE:
        return term
    if term is True or term is False or term is None:
        return _PYTHON_ATOMS[term]
    return (
        _build(term, True, {} if known is None else known),
    )  # in a tuple, so as not to be taken for a binary


def _shortest(term: Reference) -> Reference:
    """Drop the last words that are 0: a reference is the same with and without them."""
    words = term.words
    while len(words) > 1 and not words[-1]:
        words = words[:-1]
    return Reference(term.node, term.creation, words)


@final
class _Marker:
    """Bytes to be put before the next term of a frame."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


@final
class _MapEnd:
    """Stands after the keys and values of a map: sorts and joins them."""

    __slots__ = ("identity", "slots")

    def __init__(self, identity: int, slots: list[list[Any]]) -> None:
        self.identity = identity
        self.slots = slots

    def write(self, out: list[Any], digests: dict[int, bytes] | None) -> None:
        slots = self.slots
        if digests is not None:
            from hashlib import blake2b  # late: it brings OpenSSL

            # Of fixed size, so that a map inside a key inside a map is not copied again and
            # again; nobody finds two maps that differ and have the same.
            state = blake2b(digest_size=32)
            for pair in sorted(
                _flatten(slots[index]) + _flatten(slots[index + 1])
                for index in range(0, len(slots), 2)
            ):
                state.update(_u64(len(pair)))
                state.update(pair)
            digest = digests[self.identity] = state.digest()
            out.append(digest)
        elif len(slots) == 2:
            out.extend(slots)  # nothing to sort, so nothing to copy either
        else:
            pairs = sorted((_flatten(slots[index]), index) for index in range(0, len(slots), 2))
            out.extend(key for key, _ in pairs)
            out.extend(slots[index + 1] for _, index in pairs)


_CONS: Final = _Marker(_LIST)
_END: Final[tuple[Any, ...]] = ([],)


def _build(term: Any, exact: bool, digests: dict[int, bytes] | None) -> bytes:
    """Write ``term``; with ``digests`` in a form that is only good for equality, but linear."""
    root: list[Any] = []
    out = root
    depth = 0
    values: Iterator[Any] = iter((term,))
    # Where to go on when ``values`` is exhausted: values, out, exact, depth.
    stack: list[tuple[Iterator[Any], list[Any], bool, int]] = []
    leaves = _LEAVES
    while True:
        for value in values:
            kind = type(value)
            leaf = leaves.get(kind)
            if leaf is not None:
                out.append(leaf(value, exact))
                continue
            if kind is _Marker:
                out.append(value.data)
                continue
            if kind is _MapEnd:
                value.write(out, digests)
                continue
            stack.append((values, out, exact, depth))
            depth += 1
            if depth > _MAX_DEPTH:
                raise EncodeError("a term nested without end")
            if isinstance(value, (dict, MutableMapping)):
                out.append(_MAP + _u64(len(value)))
                if digests is not None and id(value) in digests:
                    out.append(digests[id(value)])
                    values, out, exact, depth = stack.pop()
                    break
                slots: list[list[Any]] = []
                stack.append((iter((_MapEnd(id(value), slots),)), out, exact, depth - 1))
                for key, item in reversed(list(value.items())):
                    value_slot: list[Any] = []
                    key_slot: list[Any] = []
                    stack.append((iter((item,)), value_slot, exact, depth))
                    stack.append((iter((key,)), key_slot, True, depth))
                    slots.append(value_slot)
                    slots.append(key_slot)
                slots.reverse()
                values = iter(())
            else:
                values = _open(value, out, exact)
            break
        else:
            if not stack:
                break
            values, out, exact, depth = stack.pop()
    return _flatten(root)


def _open(value: Any, out: list[Any], exact: bool) -> Iterator[Any]:
    """Write the head of a container that is no map, and return an iterator over the rest."""
    kind = type(value)
    if isinstance(value, tuple):
        out.append(_TUPLE + _u32(len(value)))
        return iter(value)
    if isinstance(value, list):
        if not value:
            out.append(_NIL)
            return iter(())
        return chain(_cells(value), _END)
    if kind is ImproperList:
        return chain(_cells(value.elements), (value.tail,))
    if kind is OpaqueFun:
        out.append(_LOCAL_FUN + _atom_text(value.module))
        out.append(_number(value.index, True) + _number(value.old_uniq, True))
        out.append(_u32(len(value.env)))
        if exact:
            return chain(value.env, (_Marker(value.uniq + bytes((value.arity,))),))
        return iter(value.env)
    if kind is Record:
        out.append(_RECORD + _atom_text(value.module) + _atom_text(value.name))
        out.append(b"\x01" if value.exported else b"\x00")
        out.append(_u32(len(value.fields)))
        return chain((key for key, _ in value.fields), (item for _, item in value.fields))
    for base, leaf in _BASES:
        if isinstance(value, base):
            out.append(leaf(value, exact))
            return iter(())
    raise EncodeError(f"a value of type {kind.__name__} is no Erlang term")


def _cells(elements: Iterable[Any]) -> Iterator[Any]:
    """Yield each element after the mark of its list cell."""
    return chain.from_iterable(zip(repeat(_CONS), elements))


def _flatten(rope: list[Any]) -> bytes:
    """Join the byte strings of a list of byte strings and such lists."""
    parts: list[bytes] = []
    stack: list[Iterator[Any]] = []
    items = iter(rope)
    while True:
        for item in items:
            if type(item) is bytes:
                parts.append(item)
            else:
                stack.append(items)
                items = iter(item)
                break
        else:
            if not stack:
                return b"".join(parts)
            items = stack.pop()


# --------------------------------------------------------------------------- leaves


def _escaped(data: bytes) -> bytes:
    """Return ``data`` so that no other is a prefix of it, and the order stays."""
    return data.replace(b"\0", b"\0\xff") + b"\0\0"


def _number(value: float, exact: bool) -> bytes:
    """Sign, exponent, mantissa; in the exact order behind a mark of the type."""
    is_float = isinstance(value, float)
    if is_float and not isfinite(value):
        raise EncodeError(f"{value!r} is no Erlang float")
    head = _NUMBER
    if exact:
        head += b"\x01" if is_float else b"\x00"
    if not value:
        if exact and is_float and str(value)[0] == "-":
            return head + b"\x7f"
        return head + b"\x80"
    if isinstance(value, float):
        fraction, exponent = frexp(abs(value))
        mantissa = int(fraction * (1 << 56)).to_bytes(7, "big")
    else:
        magnitude = abs(int(value))
        exponent = magnitude.bit_length()
        magnitude <<= -exponent % 8
        mantissa = magnitude.to_bytes((exponent + 7) // 8, "big")
    body = _u64(exponent + (1 << 63)) + _escaped(mantissa.rstrip(b"\0"))
    if value < 0:
        return head + b"\x01" + body.translate(_INVERTED)
    return head + b"\xff" + body


def _atom_text(value: Any) -> bytes:
    text: str = _PYTHON_ATOMS[value] if type(value) is not Atom else value.name
    return _escaped(text.encode())


def _atom(value: Any, exact: bool) -> bytes:
    return _ATOM + _atom_text(value)


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"a str that is no UTF-8: {error.reason}") from None


def _str(value: str, exact: bool) -> bytes:
    return _BITS + _escaped(_utf8(value)) + b"\x08"


def _binary(value: Any, exact: bool) -> bytes:
    return _BITS + _escaped(bytes(value)) + b"\x08"


def _bit_string(value: BitString, exact: bool) -> bytes:
    return _BITS + _escaped(value.data) + bytes((value.bits,))


def _pid(value: Pid, exact: bool) -> bytes:
    numbers = _pack_pid(value.serial, value.id)
    return _PID + numbers + _atom_text(value.node) + _u32(value.creation)


def _port(value: Port, exact: bool) -> bytes:
    return _PORT + _atom_text(value.node) + _pack_port(value.creation, value.id)


def _reference(value: Reference, exact: bool) -> bytes:
    words = value.words
    numbers = bytes(20 - 4 * len(words)) + b"".join(_u32(word) for word in reversed(words))
    return _REFERENCE + _atom_text(value.node) + _u32(value.creation) + numbers


def _export_fun(value: ExportFun, exact: bool) -> bytes:
    name = _atom_text(value.module) + _atom_text(value.function)
    return _EXPORT_FUN + name + bytes((value.arity,))


_PYTHON_ATOMS: Final[dict[Any, str]] = {True: "true", False: "false", None: "nil"}

_LEAVES: Final[dict[type, Callable[[Any, bool], bytes]]] = {
    int: _number,
    float: _number,
    bool: _atom,
    type(None): _atom,
    Atom: _atom,
    bytes: _binary,
    str: _str,
    bytearray: _binary,
    memoryview: _binary,
    BitString: _bit_string,
    Pid: _pid,
    Port: _port,
    Reference: _reference,
    ExportFun: _export_fun,
}
#: For values of a class that is derived from one of these.
_BASES: Final = tuple((base, _LEAVES[base]) for base in (int, float, str, bytes, bytearray))
_COMPARED_BY_PYTHON: Final = frozenset({int, bytes})
