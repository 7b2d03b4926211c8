"""Bytes to terms, in Python.

One loop reads with a cursor and a stack of its own; ``pos`` always stands on the tag of the term
being read, so it is the offset of any error.  The commonest tags are read in the loop itself,
without a call; all others through :data:`_LEAVES`.  Each length is compared with what is left
before it is believed.

Source: "External Term Format"; ``dec_term`` in the emulator's ``external.c``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from math import isfinite
from re import compile as _compile
from typing import Any, Final

from pynode.config import Limits
from pynode.errors import DecodeError
from pynode.etf.tags import NAMES
from pynode.terms.atom import MAX_ATOM_CHARACTERS, Atom
from pynode.terms.compound import BitString, ExportFun, ImproperList, OpaqueFun, Record
from pynode.terms.identifiers import Pid, Port, Reference
from pynode.terms.rebuild import make_map

__all__ = ["decode", "decode_payload", "decode_prefix"]

_LIMITS: Final = Limits()
_ATOM_MEMO_LIMIT: Final = 16_384
_PID_MEMO_LIMIT: Final = 4_096

_PYTHON: Final = {"true": True, "false": False, "nil": None}

#: An atom's wire bytes to the atom: nothing is decoded twice.  Emptied when full.
_atoms: Final[dict[bytes, Any]] = {}
_pids: Final[dict[bytes, Pid]] = {}

_keep_wire: Final[Any] = Pid.__dict__["_wire"].__set__
_int_at: Final = struct.Struct(">i").unpack_from
_uint_at: Final = struct.Struct(">I").unpack_from
_short_at: Final = struct.Struct(">H").unpack_from
_float_at: Final = struct.Struct(">d").unpack_from
_pid_at: Final = struct.Struct(">III").unpack_from
_old_pid_at: Final = struct.Struct(">IIB").unpack_from
_port_at: Final = struct.Struct(">II").unpack_from
_old_port_at: Final = struct.Struct(">IB").unpack_from
_v4_port_at: Final = struct.Struct(">QI").unpack_from

# What a frame of the stack builds.
_FEW: Final = 128  # items of a map that is not looked at for keys of one hash
_ROOT: Final = 0
_TUPLE: Final = 1
_MAP: Final = 2
_NESTED_KEY_MAP: Final = 3
_LIST: Final = 4
_TAIL: Final = 5
_FUN: Final = 6
_RECORD: Final = 7


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
    data = _as_bytes(data)
    if data[:1] == b"\x83" and data[1:2] != b"P":
        term, end = decode_payload(data, 1, (), text=text, limits=limits)
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
    data = _as_bytes(data)
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
    if len(data) < offset + 5:
        raise DecodeError("truncated", offset)
    (size,) = _uint_at(data, offset + 1)
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
    pos = offset
    size = len(data)
    max_depth = limits.depth
    budget = limits.elements
    known = _atoms.get
    known_pid = _pids.get
    leaves = _LEAVES
    maps: dict[int, bytes] = {}
    items: list[Any] = []
    add = items.append
    frame = _ROOT
    extra: Any = None  # what the frame's end needs beside its items
    new_extra: Any = None
    steps: Iterator[None] = repeat(None, 1)
    stack: list[tuple[Iterator[None], list[Any], Callable[[Any], None], int, Any]] = []
    try:
        while True:
            for _ in steps:
                tag = data[pos]
                if tag == 119:
                    end = pos + 2 + data[pos + 1]
                    wire = data[pos:end]
                    found = known(wire, wire)
                    if found is wire:
                        found = _new_atom(data, pos)[0]
                    add(found)
                    pos = end
                    continue
                if tag == 97:
                    add(data[pos + 1])
                    pos += 2
                    continue
                if tag == 109:
                    end = pos + 5 + _uint_at(data, pos + 1)[0]
                    if end > size:
                        raise DecodeError("truncated", pos)
                    if text:
                        add(_text(data[pos + 5 : end]))
                    else:
                        add(data[pos + 5 : end])
                    pos = end
                    continue
                if tag == 88 and data[pos + 1] == 119:
                    wire = data[pos : pos + 15 + data[pos + 2]]
                    found = known_pid(wire)
                    if found is not None:
                        add(found)
                        pos += len(wire)
                        continue
                if tag == 104 or tag == 105:
                    if tag == 104:
                        count = data[pos + 1]
                        end = pos + 2
                    else:
                        count = _uint_at(data, pos + 1)[0]
                        end = pos + 5
                    if not count:
                        add(())
                        pos = end
                        continue
                    new_frame = _TUPLE
                elif tag == 108:
                    count = _uint_at(data, pos + 1)[0]
                    end = pos + 5
                    new_frame = _LIST
                elif tag == 98:
                    add(_int_at(data, pos + 1)[0])
                    pos += 5
                    continue
                elif tag == 106:
                    add([])
                    pos += 1
                    continue
                elif tag == 116:
                    count = 2 * _uint_at(data, pos + 1)[0]
                    end = pos + 5
                    if not count:
                        add({})
                        pos = end
                        continue
                    new_frame = _MAP
                    new_extra = pos
                elif tag == 70:
                    found = _float_at(data, pos + 1)[0]
                    if not isfinite(found):
                        raise DecodeError("a float that is not finite", pos)
                    add(found)
                    pos += 9
                    continue
                elif tag == 107:
                    found, end = _string(data, pos, atoms)
                    budget -= len(found)
                    if budget < 0:
                        raise DecodeError("more elements than Limits.elements", pos)
                    add(found)
                    pos = end
                    continue
                elif tag == 82:
                    index = data[pos + 1]
                    if index >= len(atoms):
                        raise DecodeError(f"no atom {index} in the header", pos)
                    add(atoms[index])
                    pos += 2
                    continue
                elif tag == 112:
                    count, end, new_extra = _open_fun(data, pos, atoms)
                    if not count:
                        add(new_extra(()))
                        pos = end
                        continue
                    new_frame = _FUN
                elif tag == 67:
                    names, exported, module, name, end = _open_record(data, pos, atoms, budget)
                    count = len(names)
                    if not count:
                        add(Record(module, name, exported, ()))
                        pos = end
                        continue
                    new_frame = _RECORD
                    new_extra = (names, exported, module, name)
                else:
                    handler = leaves.get(tag)
                    if handler is None:
                        raise DecodeError(_unknown(tag), pos)
                    found, pos = handler(data, pos, atoms)
                    add(_text(found) if text and tag == 77 else found)
                    continue
                # A container with something in it.
                if count > size - end:
                    raise DecodeError("truncated", pos)
                budget -= count
                if budget < 0:
                    raise DecodeError("more elements than Limits.elements", pos)
                if len(stack) >= max_depth:
                    raise DecodeError("nested deeper than Limits.depth", pos)
                if frame == _MAP and not len(items) & 1:
                    frame = _NESTED_KEY_MAP
                stack.append((steps, items, add, frame, extra))
                frame, extra = new_frame, new_extra
                steps = repeat(None, count)
                items = []
                add = items.append
                pos = end
                if count >= _RUN_FROM and new_frame == _LIST and data[end] in _RUNS:
                    pos = _run(data, end, count, items)
                    steps = repeat(None, count - len(items))
                break
            else:
                # ``items`` are complete, but for the tail of a list.
                if frame == _TUPLE:
                    value: Any = tuple(items)
                elif frame == _LIST:
                    tag = data[pos]
                    if tag == 106:
                        value = items
                        pos += 1
                    elif tag == 108:
                        # The list goes on: nothing is nested, nothing copied.
                        count = _uint_at(data, pos + 1)[0]
                        if count > size - pos - 5:
                            raise DecodeError("truncated", pos)
                        budget -= count
                        if budget < 0:
                            raise DecodeError("more elements than Limits.elements", pos)
                        steps = repeat(None, count)
                        pos += 5
                        continue
                    elif tag == 107:
                        string, end = _string(data, pos, atoms)
                        budget -= len(string)
                        if budget < 0:
                            raise DecodeError("more elements than Limits.elements", pos)
                        items += string
                        value = items
                        pos = end
                    else:
                        frame = _TAIL
                        steps = repeat(None, 1)
                        continue
                elif frame <= _NESTED_KEY_MAP:
                    if frame == _ROOT:
                        return items[0], pos
                    value = None
                    if frame == _MAP and len(items) < _FEW:
                        pairs = iter(items)
                        try:
                            value = dict(zip(pairs, pairs, strict=True))
                        except TypeError:  # a key that has no hash: an empty list, a charlist
                            frame = _NESTED_KEY_MAP
                    if value is None or len(value) << 1 != len(items):
                        value = make_map(items, maps, nested=frame == _NESTED_KEY_MAP)
                        if value is None:
                            raise DecodeError("two keys of a map are one term", extra)
                elif frame == _TAIL:
                    tail = items.pop()
                    value = ImproperList(items, tail) if items else tail
                elif frame == _FUN:
                    value = extra(items)
                else:
                    names, exported, module, name = extra
                    value = Record(module, name, exported, zip(names, items, strict=True))
                steps, items, add, frame, extra = stack.pop()
                add(value)
    except (IndexError, struct.error):
        raise DecodeError("truncated", min(pos, size)) from None
    except MemoryError:
        raise DecodeError("more than fits in memory", pos) from None


def _as_bytes(data: Any) -> bytes:
    return data if type(data) is bytes else bytes(data)


def _unknown(tag: int) -> str:
    name = NAMES.get(tag)
    return f"unknown tag {tag}" if name is None else f"{name} ({tag}) has no place here"


def _text(data: Any) -> Any:
    try:
        return data.decode() if type(data) is bytes else data
    except UnicodeDecodeError:
        return data


# --------------------------------------------------------------------------- atoms


def _new_atom(data: bytes, pos: int) -> tuple[Any, int]:
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
    if len(_atoms) >= _ATOM_MEMO_LIMIT:
        _atoms.clear()
    _atoms[data[pos:end]] = found
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
        found = _atoms.get(wire, wire)
        if found is not wire:
            return found, end
        return _new_atom(data, pos)
    if tag == 82:
        index = data[pos + 1]
        if index >= len(atoms):
            raise DecodeError(f"no atom {index} in the header", pos)
        return atoms[index], pos + 2
    if tag == 118:
        return _new_atom(data, pos)
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


def _run(data: bytes, pos: int, count: int, items: list[Any]) -> int:
    """Read the numbers of equal tags that a list starts with, many at a time.

    Stops early, and leaves the rest to the loop, at whatever it does not like.
    """
    size = len(data)
    while count:
        kind = _RUNS.get(data[pos]) if pos < size else None
        if kind is None:
            break
        width, mark, one, many = kind
        marks = data[pos : min(pos + width * min(count, _RUN), size - width + 1) : width]
        run = len(marks) - len(marks.lstrip(mark))
        if run < _RUN_FROM:
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
_RUN_FROM: Final = 8
#: For numbers: their width, their tag, a reader for any count of them and one for a full run.
_RUNS: Final[dict[int, tuple[int, bytes, Callable[..., Any], Callable[..., Any]]]] = {
    tag: (
        width,
        bytes((tag,)),
        struct.Struct(f">x{code}").iter_unpack,
        struct.Struct(">" + f"x{code}" * _RUN).unpack_from,
    )
    for tag, width, code in ((97, 2, "B"), (98, 5, "i"), (70, 9, "d"))
}


def _string(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[list[int], int]:
    end = pos + 3 + _short_at(data, pos + 1)[0]
    if end > len(data):
        raise DecodeError("truncated", pos)
    return list(data[pos + 3 : end]), end


def _small_big(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[int, int]:
    return _big(data, pos, pos + 2, data[pos + 1])


def _large_big(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[int, int]:
    return _big(data, pos, pos + 5, _uint_at(data, pos + 1)[0])


def _big(data: bytes, pos: int, sign: int, count: int) -> tuple[int, int]:
    end = sign + 1 + count
    if end > len(data):
        raise DecodeError("truncated", pos)
    value = int.from_bytes(data[sign + 1 : end], "little")
    return (-value if data[sign] else value), end


_FLOAT_TEXT: Final = _compile(rb"\s*[+-]?\d+\.\d+(?:[eE][+-]?\d+)?\0*")


def _old_float(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[float, int]:
    end = pos + 32
    if end > len(data):
        raise DecodeError("truncated", pos)
    digits = data[pos + 1 : end]
    if _FLOAT_TEXT.fullmatch(digits) is None:
        raise DecodeError("FLOAT_EXT without a number", pos)
    value = float(digits.rstrip(b"\0"))
    if not isfinite(value):
        raise DecodeError("a float that is not finite", pos)
    return value, end


def _bit_binary(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[Any, int]:
    count = _uint_at(data, pos + 1)[0]
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
    found = _pids.get(wire)
    if found is None:
        found = Pid(node, *_pid_at(data, end))
        _keep_wire(found, wire)
        if len(_pids) >= _PID_MEMO_LIMIT:
            _pids.clear()
        _pids[wire] = found
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
        return _int_at(data, pos + 1)[0], pos + 5
    if tag == 110:
        return _small_big(data, pos, ())
    raise DecodeError(f"tag {tag} where an integer belongs", pos)


# --------------------------------------------------------------------------- funs and records


def _open_fun(data: bytes, pos: int, atoms: Sequence[Any]) -> tuple[int, int, Any]:
    """Read a fun up to its environment: how many values that has, where, and what builds it."""
    arity = data[pos + 5]
    uniq = data[pos + 6 : pos + 22]
    index = _uint_at(data, pos + 22)[0]
    count = _uint_at(data, pos + 26)[0]
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


def _open_record(
    data: bytes, pos: int, atoms: Sequence[Any], budget: int
) -> tuple[list[Any], bool, Any, Any, int]:
    """Read a record up to its values: the fields' names, exported, module, name, and where."""
    count = _uint_at(data, pos + 1)[0]
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


_LEAVES: Final[dict[int, Callable[[bytes, int, Sequence[Any]], tuple[Any, int]]]] = {
    77: _bit_binary,
    88: _new_pid,
    89: _new_port,
    90: _newer_reference,
    99: _old_float,
    100: _atom,
    101: _old_reference,
    102: _old_port,
    103: _old_pid,
    110: _small_big,
    111: _large_big,
    113: _export,
    114: _new_reference,
    115: _atom,
    118: _atom,
    120: _v4_port,
}
