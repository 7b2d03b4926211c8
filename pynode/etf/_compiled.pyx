# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic
"""The codec in C: the twin of ``_pure_decoder`` and ``_pure_encoder``.

It reads and writes what is common itself, and asks the pure codec for the rest: old forms of
identifiers, long integers, whatever is nested deeper than ``_NATIVE_DEPTH``.  Values, errors and
their offsets are the same.

Reading: each length is compared with what is left before it is believed; ``pos`` of an error is
where the tag of the term stands.  Writing: while nothing but exact types of the table is met, no
Python code can run, so lists and dicts are read where they lie; at the first value that could run
some, all is written anew with copies of them (``careful``).

It is one unit for the C compiler, which so puts the small functions into their callers: the parts
are included.

Two caches are of fixed size, and a collision only costs time: an atom's name on the wire to the
atom, a short binary key of a map to its object, which has its hash.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.dict cimport PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.math cimport isfinite
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pynode.terms._compiled cimport (
    Atom,
    ImproperList,
    Pid,
    Reference,
    intern_atom,
    make_improper,
    make_pid,
    make_reference,
)

import struct

from pynode.config import Limits
from pynode.errors import DecodeError, EncodeError
from pynode.etf import _pure_decoder, _pure_encoder, _pure_leaves, _pure_reader
from pynode.etf.pieces import PIECE_BYTES, Pieces
from pynode.terms import atom as _atoms_in_use
from pynode.terms.compound import OpaqueFun, Record
from pynode.terms.order import key_form
from pynode.terms.rebuild import make_map
from pynode.terms.term_map import TermMap

__all__ = [
    "decode",
    "decode_payload",
    "decode_prefix",
    "encode",
    "encode_payload",
    "encode_pieces",
]

include "_compiled_extern.pxi"

if type(_atoms_in_use.ok) is not Atom:
    raise ImportError("the compiled codec goes with the compiled values, and the pure are in use")
if PIECE_BYTES != _PIECE_BYTES:
    raise ImportError("the compiled codec is of another version")

cdef enum:
    # Nesting that is left to the C stack; some 200 bytes each.
    _NATIVE_DEPTH = 256
    _ATOM_SLOTS = 4096
    _PID_SLOTS = 1024
    _KEY_SLOTS = 2048
    _KEY_BYTES = 32
    # Pairs of a map from which on keys of one hash are looked for.
    _MANY = 64
    # Room that is made at most for a number of pairs that is only said.
    _BELIEVED = 4096
    # Binaries from this size on may lie aside, and are looked at twice.
    _LARGE_BYTES = 1 << 20
    # Binaries from this size on may be set aside when they are written: PIECE_BYTES.
    _PIECE_BYTES = 128 << 10
    # What writing ends with.
    _DONE = 0
    _CARE = 1
    _DEEP = 2

cdef PyTypeObject* _atom_type = <PyTypeObject*>Atom
cdef PyTypeObject* _pid_type = <PyTypeObject*>Pid
cdef PyTypeObject* _reference_type = <PyTypeObject*>Reference
cdef PyTypeObject* _improper_type = <PyTypeObject*>ImproperList
cdef object _LIMITS = Limits()
cdef Py_ssize_t _LARGEST = <Py_ssize_t>1 << 62
cdef object _struct_error = struct.error
cdef dict _leaves = _pure_leaves.LEAVES
cdef dict _write_leaves = _pure_encoder._LEAVES
cdef object _open_fun = _pure_leaves.open_fun
cdef object _open_record = _pure_leaves.open_record
cdef object _unknown = _pure_leaves.unknown
cdef object _not_finite = _pure_encoder._NOT_FINITE
cdef object _out_of_range = _pure_encoder._OUT_OF_RANGE


class _TooDeep(Exception):
    """Nested deeper than the C stack is trusted with: the pure codec reads it."""


cdef (PyObject*)[256] _small

cdef void _fill_small():
    cdef int number
    for number in range(256):
        value = PyLong_FromLong(number)
        Py_INCREF(value)
        _small[number] = <PyObject*>value

_fill_small()


# --------------------------------------------------------------------------- limits

cdef object _last_limits = ...
cdef Py_ssize_t _last_depth = 0
cdef Py_ssize_t _last_elements = 0


cdef inline int _use_limits(object limits) except -1:
    """Have the numbers of ``limits`` (None: the usual ones) at hand."""
    if limits is not _last_limits:  # they are frozen, so the last are remembered
        _read_limits(limits)
    return 0


cdef object _or_usual(object limits):
    return _LIMITS if limits is None else limits


cdef int _read_limits(object limits) except -1:
    global _last_limits, _last_depth, _last_elements
    known = _or_usual(limits)
    depth, elements = known.depth, known.elements
    _last_limits = ...
    _last_depth = min(depth, _LARGEST)
    _last_elements = min(elements, _LARGEST)
    _last_limits = limits
    return 0


include "_compiled_leaves_read.pxi"
include "_compiled_containers_read.pxi"
include "_compiled_leaves_written.pxi"
include "_compiled_containers_written.pxi"


# --------------------------------------------------------------------------- decoding

cdef object _decode(
    const unsigned char* data,
    Py_ssize_t size,
    Py_ssize_t* pos,
    tuple atoms,
    bint text,
    object limits,
    PyObject* whole,
):
    cdef Reader r
    cdef PyObject* found
    _use_limits(limits)
    r.data = data
    r.size = size
    r.pos = pos[0]
    r.budget = _last_elements
    r.depth = 0
    r.max_depth = _last_depth
    r.text = text
    r.atoms = <PyObject*>atoms
    r.whole = whole
    r.known = NULL
    r.hole = NULL
    # Called so that an error comes back as NULL: it costs nothing to be ready for one.
    found = (<raw_reader>_read)(&r)
    if found is NULL or r.known is not NULL or r.whole is not whole:
        return _end(&r, pos, atoms, text, limits, whole, found)
    pos[0] = r.pos
    return owned(found)


cdef object _end(
    Reader* r,
    Py_ssize_t* pos,
    tuple atoms,
    bint text,
    object limits,
    PyObject* whole,
    PyObject* found,
):
    """Clear up behind a reader that failed, or needed more than its bytes."""
    try:
        if found is NULL:
            pending_error()
        result = owned(found)
        pos[0] = r.pos
    except _TooDeep:
        result, end = _pure_reader.read_carefully(
            _whole(r), pos[0], atoms, text, _or_usual(limits)
        )
        pos[0] = end
    except MemoryError:
        raise DecodeError("more than fits in memory", min(r.pos, r.size)) from None
    finally:
        if whole is NULL:
            Py_XDECREF(r.whole)
        Py_XDECREF(r.known)
    return result


cdef object decode_span(
    const unsigned char* data, Py_ssize_t size, Py_ssize_t* pos, tuple atoms, bint text, object limits
):
    return _decode(data, size, pos, atoms, text, limits, NULL)


cdef object decode_around(
    const unsigned char* data,
    Py_ssize_t size,
    Py_ssize_t* pos,
    tuple atoms,
    bint text,
    object limits,
    Py_ssize_t hole_at,
    bytes hole,
):
    cdef Reader r
    found = None
    _use_limits(limits)
    r.data = data
    r.size = size
    r.pos = pos[0]
    r.budget = _last_elements
    r.depth = 0
    r.max_depth = _last_depth
    r.text = text
    r.atoms = <PyObject*>atoms
    r.whole = NULL
    r.known = NULL
    r.hole = <PyObject*>hole
    r.hole_at = hole_at
    try:
        found = _read(&r)
    except (DecodeError, MemoryError, _TooDeep):
        r.hole = <PyObject*>hole
    finally:
        Py_XDECREF(r.whole)
        Py_XDECREF(r.known)
    if r.hole is NULL:
        pos[0] = r.pos + PyBytes_GET_SIZE(hole)
        return found
    # It is no binary there, or not the end of the matter: read as it is on the wire.
    found = None
    try:
        whole = b"".join((data[:hole_at], hole, data[hole_at:size]))
    except MemoryError:
        raise DecodeError("more than fits in memory", hole_at) from None
    return decode_at(whole, pos, atoms, text, limits)


cdef object decode_at(bytes data, Py_ssize_t* pos, tuple atoms, bint text, object limits):
    return _decode(
        <const unsigned char*>PyBytes_AS_STRING(data),
        PyBytes_GET_SIZE(data),
        pos,
        atoms,
        text,
        limits,
        <PyObject*>data,
    )


def decode(data, *, bint text=False, limits=None):
    """Return the term that ``data`` (any bytes-like) holds, version byte first.

    See the pure twin for arguments and errors.
    """
    cdef bytes whole = data if type(data) is bytes else bytes(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(whole)
    cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(whole)
    cdef Py_ssize_t end = 1
    if size >= 2 and at[0] == 131 and at[1] != 80:
        found = decode_at(whole, &end, (), text, limits)
    else:
        found, end = decode_prefix(whole, text=text, limits=limits)
    if end != size:
        raise DecodeError(f"{size - end} bytes after the term", end)
    return found


def decode_prefix(data, Py_ssize_t offset=0, *, bint text=False, limits=None):
    """Return the term that starts at ``offset``, version byte first, and where it ends.

    See the pure twin for arguments and errors.
    """
    cdef bytes whole = data if type(data) is bytes else bytes(data)
    if whole[offset : offset + 1] != b"\x83":
        problem = "no version byte 131" if offset < len(whole) else "truncated"
        raise DecodeError(problem, min(offset, len(whole)))
    if whole[offset + 1 : offset + 2] == b"P":
        return _pure_decoder.decode_compressed(whole, offset + 1, text, _or_usual(limits), decode_payload)
    return decode_payload(whole, offset + 1, (), text=text, limits=limits)


def decode_payload(data, Py_ssize_t offset, atoms=(), *, bint text=False, limits=None):
    """Return the term that starts at ``offset``, without a version byte, and where it ends.

    See the pure twin for arguments and errors.
    """
    cdef bytes whole = data if type(data) is bytes else bytes(data)
    cdef tuple known = atoms if type(atoms) is tuple else tuple(atoms)
    cdef Py_ssize_t end = offset
    if offset < 0:
        return _pure_decoder.decode_payload(
            whole, offset, known, text=text, limits=_or_usual(limits)
        )
    found = decode_at(whole, &end, known, text, limits)
    return found, end


# --------------------------------------------------------------------------- encoding

cdef int put_term(Writer* w, object term, bint records, object limits) except -1:
    """Write a term behind what is there, without a version byte.

    Raises EncodeError as the pure twin does.
    """
    cdef Py_ssize_t start = w.used
    cdef int ended
    _use_limits(limits)
    w.records = records
    w.max_depth = _last_depth
    w.depth = 0
    w.careful = False
    ended = _put(w, <PyObject*>term)
    if ended:
        _put_again(w, start, term, ended, limits)
    return 0


cdef int _put_again(Writer* w, Py_ssize_t start, object term, int ended, object limits) except -1:
    """Write a term that the first attempt was not good enough for."""
    _go_back(w, start)
    w.depth = 0
    w.careful = True
    try:
        if ended == _CARE:
            ended = _put(w, <PyObject*>term)
        if ended == _DEEP:
            _go_back(w, start)
            _put_object(w, _pure_encoder._joined(term, w.records, b"", _or_usual(limits)))
    except _struct_error:
        raise EncodeError(_out_of_range) from None
    except EncodeError:
        raise
    except (RuntimeError, BufferError, ValueError) as error:
        raise EncodeError(f"a value cannot be read: {error}") from None
    return 0


cdef object encode_bytes(object term, bint version, bint records, object limits):
    cdef unsigned char[512] room
    cdef Writer w
    cdef int ended
    open_writer(&w, room, 512)
    if version:
        room[0] = 131
        w.used = 1
    _use_limits(limits)
    w.records = records
    w.max_depth = _last_depth
    w.depth = 0
    w.careful = False
    ended = _put(&w, <PyObject*>term)  # where there is no memory, nothing is held either
    if not ended:
        return close_writer(&w)
    try:
        _put_again(&w, version, term, ended, limits)
        return close_writer(&w)
    finally:
        drop_writer(&w)


def encode(term, *, limits=None):
    """Return ``term`` in the External Term Format, version byte (131) included.

    See the pure twin for errors.
    """
    return encode_bytes(term, True, True, limits)


def encode_payload(term, *, bint records=False, limits=None):
    """Return ``term`` without the version byte, as it travels on a connection.

    See the pure twin for arguments and errors.
    """
    return encode_bytes(term, False, records, limits)


def encode_pieces(term, *, bint records=False, limits=None):
    """Return the same, with large binaries as pieces of their own where there are any.

    See the pure twin for arguments and errors.
    """
    cdef unsigned char[512] room
    cdef Writer w
    open_writer(&w, room, 512)
    w.aside_from = _PIECE_BYTES
    try:
        put_term(&w, term, records, limits)
        return close_pieces(&w, 0)
    finally:
        drop_writer(&w)
