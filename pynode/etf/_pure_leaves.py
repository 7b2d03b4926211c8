"""Readers of terms that hold no others, one for each tag, and of what funs and records begin with.

Each is given all the bytes, where the term's tag is, and what ATOM_CACHE_REF stands for; it returns
the value and where that ends.  Each length is compared with what is left before it is believed;
what is missing otherwise shows as IndexError or ``struct.error``.  Terms that are found often are
remembered by their bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from typing import Any, Final

from pynode.errors import DecodeError
from pynode.etf.tags import NAMES
from pynode.terms.atom import MAX_ATOM_CHARACTERS, Atom
from pynode.terms.compound import BitString, ExportFun, OpaqueFun
from pynode.terms.identifiers import Pid, Port, Reference

__all__ = [
    "ATOMS",
    "LEAVES",
    "PIDS",
    "RUNS",
    "RUN_FROM",
    "float_at",
    "int_at",
    "new_atom",
    "open_fun",
    "open_record",
    "read_run",
    "text_of",
    "uint_at",
    "unknown",
]

_ATOM_MEMO_LIMIT: Final = 16_384
_PID_MEMO_LIMIT: Final = 4_096

_PYTHON: Final = {"true": True, "false": False, "nil": None}

#: An atom's wire bytes to the atom: nothing is decoded twice.  Emptied when full.
ATOMS: Final[dict[bytes, Any]] = {}
PIDS: Final[dict[bytes, Pid]] = {}

_keep_wire: Final[Any] = Pid.__dict__["_wire"].__set__
int_at: Final = struct.Struct(">i").unpack_from
uint_at: Final = struct.Struct(">I").unpack_from
_short_at: Final = struct.Struct(">H").unpack_from
float_at: Final = struct.Struct(">d").unpack_from
_pid_at: Final = struct.Struct(">III").unpack_from
_old_pid_at: Final = struct.Struct(">IIB").unpack_from
_port_at: Final = struct.Struct(">II").unpack_from
_old_port_at: Final = struct.Struct(">IB").unpack_from
_v4_port_at: Final = struct.Struct(">QI").unpack_from


def unknown(tag: int) -> str:
    name = NAMES.get(tag)
    return f"unknown tag {tag}" if name is None else f"{name} ({tag}) has no place here"


def text_of(data: Any) -> Any:
    try:
        return data.decode() if type(data) is bytes else data
    except UnicodeDecodeError:
        return data


# --------------------------------------------------------------------------- atoms


def new_atom(data: bytes, pos: int) -> tuple[Any, int]:
    """Read SMALL_ATOM_UTF8_EXT or ATOM_UTF8_EXT, and remember it."""
    if data[pos] == 119:
        start = pos + 2
        end = start + data[pos + 1]
    else:
        start = pos + 3
        end = start + _short_at(data, pos + 1)[0]
    if end > len(data):
        raise DecodeError("truncated", pos)
    try:
        name = data[start:end].decode()
    except UnicodeDecodeError:
        raise DecodeError("an atom that is no UTF-8", pos) from None
    found = _named(name, pos)
    if len(ATOMS) >= _ATOM_MEMO_LIMIT:
        ATOMS.clear()
    ATOMS[data[pos:end]] = found
    return found, end


def _named(name: str, pos: int) -> Any:
    if name in _PYTHON:
        return _PYTHON[name]
    if len(name) > MAX_ATOM_CHARACTERS:
        raise DecodeError(f"an atom of {len(name)} characters", pos)
    return Atom(name)


def _atom(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Any, int]:
    """Read an atom in any of its five forms."""
    tag = data[pos]
    if tag == 119:
        end = pos + 2 + data[pos + 1]
        wire = data[pos:end]
        found = ATOMS.get(wire, wire)
        if found is not wire:
            return found, end
        return new_atom(data, pos)
    if tag == 82:
        index = data[pos + 1]
        if index >= len(atoms):
            raise DecodeError(f"no atom {index} in the header", pos)
        return atoms[index], pos + 2
    if tag == 118:
        return new_atom(data, pos)
    if tag == 100:
        start = pos + 3
        end = start + _short_at(data, pos + 1)[0]
    elif tag == 115:
        start = pos + 2
        end = start + data[pos + 1]
    else:
        raise DecodeError(f"tag {tag} where an atom belongs", pos)
    if end > len(data):
        raise DecodeError("truncated", pos)
    return _named(data[start:end].decode("latin-1"), pos), end


def _node(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Atom, int]:
    found, end = _atom(data, pos, atoms)
    if type(found) is not Atom:
        raise DecodeError(f"the atom {str(found).lower()} as the name of a node", pos)
    return found, end


# --------------------------------------------------------------------------- leaves


def read_run(data: bytes, pos: int, count: int, items: list[Any]) -> int:
    """Read the numbers of equal tags that a list starts with, many at a time.

    Stops early, and leaves the rest to the loop, at whatever it does not like.
    """
    size = len(data)
    while count:
        kind = RUNS.get(data[pos]) if pos < size else None
        if kind is None:
            break
        width, mark, one, many = kind
        marks = data[pos : min(pos + width * min(count, _RUN), size - width + 1) : width]
        run = len(marks) - len(marks.lstrip(mark))
        if run < RUN_FROM:
            break
        end = pos + width * run
        if width == 2:
            found: Sequence[Any] = data[pos + 1 : end : 2]
        elif run == _RUN:
            found = many(data, pos)
        else:
            found = [value for (value,) in one(data[pos:end])]
        if width == 9 and not all(map(isfinite, found)):
            break
        items += found
        count -= run
        pos = end
    return pos


_RUN: Final = 128
RUN_FROM: Final = 8
#: For numbers: their width, their tag, a reader for any count of them and one for a full run.
RUNS: Final[dict[int, tuple[int, bytes, Callable[..., Any], Callable[..., Any]]]] = {
    tag: (
        width,
        bytes((tag,)),
        struct.Struct(f">x{code}").iter_unpack,
        struct.Struct(">" + f"x{code}" * _RUN).unpack_from,
    )
    for tag, width, code in ((97, 2, "B"), (98, 5, "i"), (70, 9, "d"))
}


def _small_integer(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[int, int]:
    return data[pos + 1], pos + 2


def _plain_integer(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[int, int]:
    return int_at(data, pos + 1)[0], pos + 5


def _float(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[float, int]:
    value: float = float_at(data, pos + 1)[0]
    if not isfinite(value):
        raise DecodeError("a float that is not finite", pos)
    return value, pos + 9


def _nil(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[list[Any], int]:
    return [], pos + 1


def _binary(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[bytes, int]:
    end = pos + 5 + uint_at(data, pos + 1)[0]
    if end > len(data):
        raise DecodeError("truncated", pos)
    return data[pos + 5 : end], end


def _string(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[list[int], int]:
    end = pos + 3 + _short_at(data, pos + 1)[0]
    if end > len(data):
        raise DecodeError("truncated", pos)
    return list(data[pos + 3 : end]), end


def _small_big(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[int, int]:
    return _big(data, pos, pos + 2, data[pos + 1])


def _large_big(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[int, int]:
    return _big(data, pos, pos + 5, uint_at(data, pos + 1)[0])


def _big(data: bytes, pos: int, sign: int, count: int) -> tuple[int, int]:
    end = sign + 1 + count
    if end > len(data):
        raise DecodeError("truncated", pos)
    value = int.from_bytes(data[sign + 1 : end], "little")
    return (-value if data[sign] else value), end


_FLOAT_TEXT: Final = rb"\s*[+-]?\d+\.\d+(?:[eE][+-]?\d+)?\0*"


def _old_float(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[float, int]:
    end = pos + 32
    if end > len(data):
        raise DecodeError("truncated", pos)
    digits = data[pos + 1 : end]
    if re.fullmatch(_FLOAT_TEXT, digits) is None:
        raise DecodeError("FLOAT_EXT without a number", pos)
    value = float(digits.rstrip(b"\0"))
    if not isfinite(value):
        raise DecodeError("a float that is not finite", pos)
    return value, end


def _bit_binary(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Any, int]:
    count = uint_at(data, pos + 1)[0]
    bits = data[pos + 5]
    end = pos + 6 + count
    if end > len(data):
        raise DecodeError("truncated", pos)
    if bits > 8 or (bits == 0) != (count == 0):
        raise DecodeError(f"{bits} bits in the last of {count} bytes", pos)
    body = data[pos + 6 : end]
    return (BitString(body, bits) if 0 < bits < 8 else body), end


def _new_pid(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Pid, int]:
    node, end = _node(data, pos + 1, atoms)
    # The memo's key is the form without references to an atom cache.
    wire = b"X" + node.wire + data[end : end + 12]
    found = PIDS.get(wire)
    if found is None:
        found = Pid(node, *_pid_at(data, end))
        _keep_wire(found, wire)
        if len(PIDS) >= _PID_MEMO_LIMIT:
            PIDS.clear()
        PIDS[wire] = found
    return found, end + 12


def _old_creation(creation: int, pos: int) -> int:
    """Refuse, as a BEAM does, what the two bits of the old identifiers' creation cannot be."""
    if creation > 3:
        raise DecodeError(f"a creation of {creation} in an old form", pos)
    return creation


def _old_pid(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Pid, int]:
    node, end = _node(data, pos + 1, atoms)
    number, serial, creation = _old_pid_at(data, end)
    return Pid(node, number, serial, _old_creation(creation, pos)), end + 9


def _v4_port(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Port, int]:
    node, end = _node(data, pos + 1, atoms)
    return Port(node, *_v4_port_at(data, end)), end + 12


def _new_port(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Port, int]:
    node, end = _node(data, pos + 1, atoms)
    return Port(node, *_port_at(data, end)), end + 8


def _old_port(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Port, int]:
    node, end = _node(data, pos + 1, atoms)
    number, creation = _old_port_at(data, end)
    return Port(node, number, _old_creation(creation, pos)), end + 5


def _newer_reference(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Reference, int]:
    count = _short_at(data, pos + 1)[0]
    if not 1 <= count <= 5:
        raise DecodeError(f"a reference of {count} words", pos)
    node, end = _node(data, pos + 3, atoms)
    creation, *words = struct.unpack_from(f">{count + 1}I", data, end)
    return Reference(node, creation, tuple(words)), end + 4 + 4 * count


def _new_reference(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Reference, int]:
    count = _short_at(data, pos + 1)[0]
    if not 1 <= count <= 5:
        raise DecodeError(f"a reference of {count} words", pos)
    node, end = _node(data, pos + 3, atoms)
    creation, *words = struct.unpack_from(f">B{count}I", data, end)
    return Reference(node, _old_creation(creation, pos), tuple(words)), end + 1 + 4 * count


def _old_reference(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Reference, int]:
    node, end = _node(data, pos + 1, atoms)
    word, creation = _old_port_at(data, end)
    return Reference(node, _old_creation(creation, pos), (word,)), end + 5


def _export(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[ExportFun, int]:
    module, end = _atom(data, pos + 1, atoms)
    function, end = _atom(data, end, atoms)
    arity, end = _integer(data, end)
    if not 0 <= arity <= 255:
        raise DecodeError(f"a fun of arity {arity}", pos)
    return ExportFun(module, function, arity), end


def _integer(data: bytes, pos: int) -> tuple[int, int]:
    """Read one of the parts of a fun that are integers."""
    tag = data[pos]
    if tag == 97:
        return data[pos + 1], pos + 2
    if tag == 98:
        return int_at(data, pos + 1)[0], pos + 5
    if tag == 110:
        return _small_big(data, pos, ())
    raise DecodeError(f"tag {tag} where an integer belongs", pos)


# --------------------------------------------------------------------------- funs and records


def open_fun(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[int, int, Any]:
    """Read a fun up to its environment: how many values that has, where, and what builds it."""
    arity = data[pos + 5]
    uniq = data[pos + 6 : pos + 22]
    index = uint_at(data, pos + 22)[0]
    count = uint_at(data, pos + 26)[0]
    module, end = _atom(data, pos + 30, atoms)
    old_index, end = _integer(data, end)
    old_uniq, end = _integer(data, end)
    tag = data[end]
    if tag == 88:
        pid, end = _new_pid(data, end, atoms)
    elif tag == 103:
        pid, end = _old_pid(data, end, atoms)
    else:
        raise DecodeError(f"tag {tag} where a pid belongs", end)
    return count, end, partial(OpaqueFun, module, arity, index, uniq, old_index, old_uniq, pid)


def open_record(
    data: bytes, pos: int, atoms: Sequence[Any], budget: int
) -> tuple[list[Any], bool, Any, Any, int]:
    """Read a record up to its values: the fields' names, exported, module, name, and where."""
    count = uint_at(data, pos + 1)[0]
    exported = data[pos + 5]
    if exported > 1:
        raise DecodeError(f"{exported} where a record says whether it is exported", pos)
    if count > (len(data) - pos) >> 1:
        raise DecodeError("truncated", pos)
    if count > budget:
        raise DecodeError("more elements than Limits.elements", pos)
    module, end = _atom(data, pos + 6, atoms)
    name, end = _atom(data, end, atoms)
    names = []
    for _ in range(count):
        field, end = _atom(data, end, atoms)
        names.append(field)
    if len(set(names)) != count:
        raise DecodeError("a field occurs twice", pos)
    return names, bool(exported), module, name, end


LEAVES: Final[dict[int, Callable[[bytes, int, Sequence[Any]], tuple[Any, int]]]] = {
    70: _float,
    77: _bit_binary,
    82: _atom,
    88: _new_pid,
    89: _new_port,
    90: _newer_reference,
    97: _small_integer,
    98: _plain_integer,
    99: _old_float,
    100: _atom,
    101: _old_reference,
    102: _old_port,
    103: _old_pid,
    106: _nil,
    107: _string,
    109: _binary,
    110: _small_big,
    111: _large_big,
    113: _export,
    114: _new_reference,
    115: _atom,
    118: _atom,
    119: _atom,
    120: _v4_port,
}
