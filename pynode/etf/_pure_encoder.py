"""Terms to bytes, in Python.

One loop walks the term with a stack of its own.  The commonest types are written in the loop
itself, without a call; all others through :data:`_LEAVES`, and containers that are not a tuple, a
list or a map through :data:`_CONTAINERS`.  A list or a map is read once, at its head, so that
another thread that changes it meanwhile cannot make its length a lie.

The form is the one that ``term_to_binary`` of OTP 26 and later gives (UTF-8 atoms, 64-bit ports,
32-bit creations), which OTP 25 accepts.

Source: "External Term Format"; ``enc_term_int`` in the emulator's ``external.c``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, MutableMapping
from itertools import chain
from math import isfinite
from typing import Any, Final

from pynode.config import Limits
from pynode.errors import EncodeError
from pynode.etf.pieces import Encoded, in_pieces
from pynode.terms.atom import Atom
from pynode.terms.compound import BitString, ExportFun, ImproperList, OpaqueFun, Record
from pynode.terms.identifiers import Pid, Port, Reference
from pynode.terms.order import key_form
from pynode.terms.rebuild import positive_zeros
from pynode.terms.refused import no_term
from pynode.terms.term_map import TermMap

__all__ = ["encode", "encode_payload", "encode_pieces"]

_LIMITS: Final = Limits()
_OUT_OF_RANGE: Final = "a part of an identifier, or a length, is out of its range"
_NOT_FINITE: Final = "{!r} is no Erlang float"
_NO_RECORDS: Final = "a native record goes only to a peer that agreed to them"

_SMALL: Final = tuple(bytes((97, value)) for value in range(256))
_TUPLE: Final = tuple(bytes((104, arity)) for arity in range(256))
_int: Final = struct.Struct(">Bi").pack
_float: Final = struct.Struct(">Bd").pack
_head32: Final = struct.Struct(">BI").pack
_head16: Final = struct.Struct(">BH").pack
_pid: Final = struct.Struct(">III").pack
_port: Final = struct.Struct(">QI").pack
_bit_head: Final = struct.Struct(">BIB").pack
_fun_head: Final = struct.Struct(">BIB16sII").pack
_MINUS_ZERO: Final = b"F\x80" + bytes(7)
_keep_wire: Final[Any] = Pid.__dict__["_wire"].__set__


def encode(term: Any, *, limits: Limits = _LIMITS) -> bytes:
    """Return ``term`` in the External Term Format, version byte (131) included.

    Args:
        term: any value of the README's table.
        limits: ``depth`` holds.

    Raises:
        EncodeError: a value in it is no Erlang term (NaN and infinities included), two keys of
            a map are one term, or it is nested deeper than ``Limits.depth``.
    """
    return _joined(term, True, b"\x83", limits)


def encode_payload(term: Any, *, records: bool = False, limits: Limits = _LIMITS) -> bytes:
    """Return ``term`` without the version byte, as it travels on a connection.

    Args:
        term: any value of the README's table.
        records: the peer agreed to NATIVE_RECORDS; without it a :class:`Record` is refused, as
            it would cost the connection.
        limits: as in :func:`encode`.

    Raises:
        EncodeError: as :func:`encode`; nothing was sent.
    """
    return _joined(term, records, b"", limits)


def encode_pieces(term: Any, *, records: bool = False, limits: Limits = _LIMITS) -> Encoded:
    """Return the same, with large binaries as pieces of their own where there are any.

    See :func:`encode_payload` for arguments and errors.
    """
    return in_pieces(_parts(term, records, b"", limits))


def _joined(term: Any, records: bool, version: bytes, limits: Limits) -> bytes:
    return b"".join(_parts(term, records, version, limits))


def _parts(term: Any, records: bool, version: bytes, limits: Limits) -> list[bytes]:
    try:
        return _encode(term, records, version, limits.depth)
    except struct.error:
        raise EncodeError(_OUT_OF_RANGE) from None
    except EncodeError:
        raise
    except (RuntimeError, BufferError, ValueError) as error:
        # A dict that another thread changes, a memoryview that was released.
        raise EncodeError(f"a value cannot be read: {error}") from None


class _Output(list[bytes]):
    """The parts of what was written, and how long those are that were measured."""

    __slots__ = ("measured", "total")

    measured: int
    total: int

    def length(self) -> int:
        """Return the length of all; each part is looked at once, however often this is asked."""
        try:
            new = self[self.measured :]
        except AttributeError:
            self.measured = self.total = 0
            new = self
        self.total += sum(map(len, new))
        self.measured = len(self)
        return self.total


def _encode(term: Any, records: bool, version: bytes, max_depth: int) -> _Output:
    out = _Output((version,))
    write = out.append
    values: Iterator[Any] = iter((term,))
    tail: Any = b""  # written when ``values`` is exhausted; not bytes: called
    stack: list[tuple[Iterator[Any], Any]] = []
    leaves = _LEAVES
    while True:
        for value in values:
            kind = type(value)
            if kind is Atom:
                write(value.wire)
            elif kind is int:
                if 0 <= value < 256:
                    write(_SMALL[value])
                elif -0x80000000 <= value <= 0x7FFFFFFF:
                    write(_int(98, value))
                else:
                    write(_big(value))
            elif kind is bytes:
                write(_head32(109, len(value)))
                write(value)
            elif kind is tuple:
                if not value:
                    write(b"h\0")
                    continue
                if len(stack) >= max_depth:
                    raise EncodeError(f"a term nested deeper than {max_depth}")
                size = len(value)
                write(_TUPLE[size] if size < 256 else _head32(105, size))
                stack.append((values, tail))
                values = iter(value)
                tail = b""
                break
            elif kind is Pid:
                try:
                    write(value._wire)
                except AttributeError:
                    write(_new_pid(value))
            elif kind in leaves:
                write(leaves[kind](value))
            else:
                opened = _open(value, out, records, len(stack), max_depth)
                if opened is not None:
                    stack.append((values, tail))
                    values, tail = opened
                    break
        else:
            if type(tail) is bytes:
                write(tail)
            else:
                tail(out)
            if not stack:
                return out
            values, tail = stack.pop()


# --------------------------------------------------------------------------- containers


def _open(
    value: Any, out: _Output, records: bool, depth: int, max_depth: int
) -> tuple[Iterator[Any], Any] | None:
    """Write the head of a container; return what follows and its tail, None where nothing does.

    Also takes leaves of derived classes, such as an IntEnum.
    """
    kind = type(value)
    opener = _CONTAINERS.get(kind)
    if opener is None:
        for base, opener in _BASES:  # noqa: B007
            if isinstance(value, base):
                break
        else:
            out.append(_derived(value))
            return None
        if kind is TermMap and not records:
            refuse_zeros(value)
    elif opener is _record and not records:
        raise EncodeError(_NO_RECORDS)
    opened = opener(value, out)
    # A list of numbers is written as a leaf, and is none.
    if depth >= max_depth and (opened is not None or out[-1][:1] == b"l"):
        raise EncodeError(f"a term nested deeper than {max_depth}")
    return opened


def _list(value: list[Any], out: _Output) -> tuple[Iterator[Any], Any] | None:
    items = tuple(value)
    size = len(items)
    if size == 0:
        out.append(b"j")
        return None
    first = items[0]
    if type(first) is int and set(map(type, items)) == {int}:
        out.append(_integers(items))
        return None
    if type(first) is float and set(map(type, items)) == {float}:
        out.append(_floats(items))
        return None
    out.append(_head32(108, size))
    return iter(items), b"j"


def _integers(items: tuple[int, ...]) -> bytes:
    """A list of nothing but integers: STRING_EXT where that is what OTP would send."""
    low, high = min(items), max(items)
    size = len(items)
    if low >= 0 and high < 256:
        if size <= 0xFFFF:
            return _head16(107, size) + bytes(items)
        body = bytearray(b"a") * (2 * size)
        body[1::2] = bytes(items)
        return b"%b%bj" % (_head32(108, size), bytes(body))
    if low >= -0x80000000 and high <= 0x7FFFFFFF:
        small = _SMALL
        parts = [small[item] if 0 <= item < 256 else _int(98, item) for item in items]
    else:
        parts = [_integer(item) for item in items]
    return b"%b%bj" % (_head32(108, size), b"".join(parts))


def _floats(items: tuple[float, ...]) -> bytes:
    if not all(map(isfinite, items)):
        raise EncodeError(_NOT_FINITE.format(next(item for item in items if not isfinite(item))))
    body = b"".join([_float(70, item) for item in items])
    return b"%b%bj" % (_head32(108, len(items)), body)


def _tuple(value: tuple[Any, ...], out: _Output) -> tuple[Iterator[Any], Any] | None:
    size = len(value)
    out.append(_TUPLE[size] if size < 256 else _head32(105, size))
    return (iter(value), b"") if size else None


#: Sets of types of which Python's idea of two different keys is Erlang's.
_DISTINCT_KEYS: Final[tuple[frozenset[type], ...]] = (
    frozenset({bytes, Atom, int, Pid, Reference, type(None), bool, float}),
    frozenset({str, Atom, int, Pid, Reference, type(None), bool, float}),
)


def _map(value: Any, out: _Output) -> tuple[Iterator[Any], Any] | None:
    items = map_items(value)
    out.append(_head32(116, len(items) >> 1))
    return (iter(items), b"") if items else None


def map_items(value: Any) -> tuple[Any, ...]:
    """Return the keys and values of a map in turn.

    Raises:
        EncodeError: two keys are one term.
    """
    items = tuple(chain.from_iterable(value.items()))
    size = len(items) >> 1
    if size > 1 and type(value) is not TermMap:
        types = set(map(type, items[::2]))
        if not (types <= _DISTINCT_KEYS[0] or types <= _DISTINCT_KEYS[1]) and (
            len(set(map(key_form, items[::2]))) != size
        ):
            raise EncodeError("two keys of a map are one term")
    return items


def refuse_zeros(value: Any) -> None:
    """Refuse keys that differ only in 0.0 and -0.0: before OTP 27 they are one term.

    A BEAM that is sent such a map gives up the connection.

    Raises:
        EncodeError: two keys do.
    """
    keys = list(value)
    wires = [encode(key) for key in keys]
    if any(_MINUS_ZERO in wire for wire in wires):
        forms = {key_form(positive_zeros(key)) for key in keys}
        if len(forms) != len(keys):
            raise EncodeError("keys of a map differ in 0.0 and -0.0, which older nodes refuse")


def _improper(value: ImproperList, out: _Output) -> tuple[Iterator[Any], Any] | None:
    out.append(_head32(108, len(value.elements)))
    return chain(value.elements, (value.tail,)), b""


def _fun(value: OpaqueFun, out: _Output) -> tuple[Iterator[Any], Any] | None:
    start = len(out)
    before = out.length()
    out.append(b"")  # the head, which has the length of all that follows

    def close(out: _Output) -> None:
        size = out.length() - before + 29
        head = _fun_head(112, size, value.arity, value.uniq, value.index, len(value.env))
        out[start] = head
        out.total += len(head)

    parts = (value.module, value.old_index, value.old_uniq, value.pid)
    return chain(parts, value.env), close


def _record(value: Record, out: _Output) -> tuple[Iterator[Any], Any] | None:
    names = tuple(name for name, _ in value.fields)
    out.append(_bit_head(67, len(names), value.exported))
    values = (item for _, item in value.fields)
    return chain((value.module, value.name), names, values), b""


# --------------------------------------------------------------------------- leaves


def _integer(value: int) -> bytes:
    if 0 <= value < 256:
        return _SMALL[value]
    if -0x80000000 <= value <= 0x7FFFFFFF:
        return _int(98, value)
    return _big(value)


def _big(value: int) -> bytes:
    magnitude = -value if value < 0 else value
    size = (magnitude.bit_length() + 7) >> 3
    digits = magnitude.to_bytes(size, "little")
    if size < 256:
        return b"n%c%c%b" % (size, value < 0, digits)
    return b"o%b%c%b" % (size.to_bytes(4, "big"), value < 0, digits)


def _finite(value: float) -> bytes:
    if not isfinite(value):
        raise EncodeError(_NOT_FINITE.format(value))
    return _float(70, value)


def _binary(value: Any) -> bytes:
    data = bytes(value)
    return _head32(109, len(data)) + data


def _str(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"a str that is no UTF-8: {error.reason}") from None
    return _head32(109, len(data)) + data


def _bits(value: BitString) -> bytes:
    if value.bits == 8:
        return _binary(value.data)
    return _bit_head(77, len(value.data), value.bits) + value.data


def _atom_wire(value: Any) -> bytes:
    return _PYTHON_ATOMS[value] if type(value) is not Atom else value.wire


def _node(value: Any) -> bytes:
    if type(value) is not Atom:
        raise EncodeError(f"the node of an identifier is an Atom, not {type(value).__name__}")
    return value.wire


def _new_pid(value: Pid) -> bytes:
    wire = b"X" + _node(value.node) + _pid(value.id, value.serial, value.creation)
    _keep_wire(value, wire)
    return wire


def _v4_port(value: Port) -> bytes:
    return b"x" + _node(value.node) + _port(value.id, value.creation)


def _newer_reference(value: Reference) -> bytes:
    words = value.words
    count = len(words)
    if not 1 <= count <= 5:
        raise EncodeError(f"a reference has one to five words, not {count}")
    body = struct.pack(f">{count + 1}I", value.creation, *words)
    return _head16(90, count) + _node(value.node) + body


def _export(value: ExportFun) -> bytes:
    return b"q" + _atom_wire(value.module) + _atom_wire(value.function) + _SMALL[value.arity]


def _true_false(value: bool) -> bytes:
    return b"w\x04true" if value else b"w\x05false"


def _nil_atom(value: None) -> bytes:
    return b"w\x03nil"


def _derived(value: Any) -> bytes:
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return _finite(float(value))
    if isinstance(value, str):
        return _str(str.__str__(value))
    if isinstance(value, (bytes, bytearray)):
        return _binary(value)
    raise EncodeError(no_term(value))


_PYTHON_ATOMS: Final[dict[Any, bytes]] = {
    True: b"w\x04true",
    False: b"w\x05false",
    None: b"w\x03nil",
}

_LEAVES: Final[dict[type, Callable[[Any], bytes]]] = {
    bool: _true_false,
    type(None): _nil_atom,
    float: _finite,
    str: _str,
    bytearray: _binary,
    memoryview: _binary,
    BitString: _bits,
    Pid: _new_pid,
    Port: _v4_port,
    Reference: _newer_reference,
    ExportFun: _export,
}

_Opener = Callable[[Any, _Output], "tuple[Iterator[Any], Any] | None"]

_CONTAINERS: Final[dict[type, _Opener]] = {
    list: _list,
    dict: _map,
    ImproperList: _improper,
    OpaqueFun: _fun,
    Record: _record,
}

_BASES: Final[tuple[tuple[type, _Opener], ...]] = (
    (tuple, _tuple),
    (list, _list),
    (dict, _map),
    (MutableMapping, _map),
)
MAPPINGS: Final = (dict, MutableMapping)
