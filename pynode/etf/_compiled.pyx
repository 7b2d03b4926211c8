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
from pynode.terms import atom as _atoms_in_use
from pynode.terms.compound import OpaqueFun, Record
from pynode.terms.order import key_form
from pynode.terms.rebuild import make_map
from pynode.terms.term_map import TermMap

__all__ = ["decode", "decode_payload", "decode_prefix", "encode", "encode_payload"]

cdef extern from "Python.h":
    bint PyLong_CheckExact(object)
    bint PyFloat_CheckExact(object)
    bint PyBool_Check(object)
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL
    object PyUnicode_DecodeUTF8(const char*, Py_ssize_t, const char*)
    object PyUnicode_AsUTF8String(object)
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    object PyLong_FromLong(long)
    object PyLong_FromLongLong(long long)
    object PyLong_FromUnsignedLongLong(unsigned long long)
    object PyFloat_FromDouble(double)
    PyObject* new_int "PyLong_FromLong"(long) except NULL
    PyObject* new_float "PyFloat_FromDouble"(double) except NULL
    object PyList_New(Py_ssize_t)
    object PyTuple_New(Py_ssize_t)
    void PyList_SET_ITEM(object, Py_ssize_t, PyObject*)
    void PyTuple_SET_ITEM(object, Py_ssize_t, PyObject*)
    PyObject* PyDict_SetDefault(object, object, object) except NULL
    Py_ssize_t PyDict_GET_SIZE(object)
    PyTypeObject* Py_TYPE(PyObject*)
    PyTypeObject PyBool_Type, PyBytes_Type, PyDict_Type, PyFloat_Type, PyList_Type, PyLong_Type
    PyTypeObject PyTuple_Type, PyUnicode_Type
    PyObject* Py_True
    PyObject* Py_None
    PyObject* PyList_GET_ITEM(PyObject*, Py_ssize_t)
    PyObject* PyTuple_GET_ITEM(PyObject*, Py_ssize_t)
    Py_ssize_t list_size "PyList_GET_SIZE"(PyObject*)
    Py_ssize_t tuple_size "PyTuple_GET_SIZE"(PyObject*)
    Py_ssize_t bytes_size "PyBytes_GET_SIZE"(PyObject*)
    const char* bytes_start "PyBytes_AS_STRING"(PyObject*)
    double float_value "PyFloat_AS_DOUBLE"(PyObject*)
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1
    char* PyBytes_AS_STRING_ "PyBytes_AS_STRING"(PyObject*)
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char*, Py_ssize_t) except NULL

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif

    /* Ask for huge pages where much fresh memory is going to be written to: of the time that it
       takes to copy 64 MiB, most goes by in the faults of 16,384 small ones. */
    static inline void pynode_in_huge_pages(const void *start, Py_ssize_t size) {
    #ifdef MADV_HUGEPAGE
        const uintptr_t page = (uintptr_t)2 << 20;
        if (size >= (Py_ssize_t)(2 * page)) {
            uintptr_t from = ((uintptr_t)start + page - 1) & ~(page - 1);
            uintptr_t to = ((uintptr_t)start + (uintptr_t)size) & ~(page - 1);
            (void)madvise((void *)from, to - from, MADV_HUGEPAGE);  /* a wish */
        }
    #else
        (void)start;
        (void)size;
    #endif
    }

    static inline uint32_t pynode_get32(const unsigned char *at) {
        return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    static inline void pynode_set32(unsigned char *at, uint32_t value) {
        at[0] = (unsigned char)(value >> 24);
        at[1] = (unsigned char)(value >> 16);
        at[2] = (unsigned char)(value >> 8);
        at[3] = (unsigned char)value;
    }
    static inline uint64_t pynode_get64(const unsigned char *at) {
        return (uint64_t)pynode_get32(at) << 32 | pynode_get32(at + 4);
    }
    static inline double pynode_get_double(const unsigned char *at) {
        uint64_t bits = pynode_get64(at);
        double value;
        memcpy(&value, &bits, 8);
        return value;
    }
    static inline void pynode_set_double(unsigned char *at, double value) {
        uint64_t bits;
        memcpy(&bits, &value, 8);
        pynode_set32(at, (uint32_t)(bits >> 32));
        pynode_set32(at + 4, (uint32_t)bits);
    }
    /* The value of an int, where it is there without a call. */
    static inline int pynode_compact(PyObject *number, long long *value) {
    #if PY_VERSION_HEX >= 0x030C0000
        if (!PyUnstable_Long_IsCompact((PyLongObject *)number)) {
            return 0;
        }
        *value = PyUnstable_Long_CompactValue((PyLongObject *)number);
        return 1;
    #else
        Py_ssize_t size = Py_SIZE(number);
        if (size < -1 || size > 1) {
            return 0;
        }
        *value = size * (long long)((PyLongObject *)number)->ob_digit[0];
        return 1;
    #endif
    }
    /* memcpy() of what is mostly short. */
    static inline void pynode_copy(unsigned char *to, const char *from, Py_ssize_t size) {
        uint64_t first, last;
        uint32_t first_half, last_half;
        if (size > 16) {
            memcpy(to, from, (size_t)size);
        } else if (size >= 8) {
            memcpy(&first, from, 8);
            memcpy(&last, from + size - 8, 8);
            memcpy(to, &first, 8);
            memcpy(to + size - 8, &last, 8);
        } else if (size >= 4) {
            memcpy(&first_half, from, 4);
            memcpy(&last_half, from + size - 4, 4);
            memcpy(to, &first_half, 4);
            memcpy(to + size - 4, &last_half, 4);
        } else if (size > 0) {
            to[0] = (unsigned char)from[0];
            to[size >> 1] = (unsigned char)from[size >> 1];
            to[size - 1] = (unsigned char)from[size - 1];
        }
    }
    /* The error that is set already. */
    #define pynode_pending() (-1)
    /* An object of a reference that is ours already. */
    #define pynode_owned(object) (object)
    /* memcmp() of what is mostly short and mostly equal: whether it is. */
    static inline int pynode_equal(const char *one, const unsigned char *other, Py_ssize_t size) {
        uint64_t a, b, c, d;
        uint32_t e, f, g, h;
        if (size > 16) {
            return memcmp(one, other, (size_t)size) == 0;
        }
        if (size >= 8) {
            memcpy(&a, one, 8);
            memcpy(&b, other, 8);
            memcpy(&c, one + size - 8, 8);
            memcpy(&d, other + size - 8, 8);
            return a == b && c == d;
        }
        if (size >= 4) {
            memcpy(&e, one, 4);
            memcpy(&f, other, 4);
            memcpy(&g, one + size - 4, 4);
            memcpy(&h, other + size - 4, 4);
            return e == f && g == h;
        }
        return size == 0 || ((unsigned char)one[0] == other[0]
            && (unsigned char)one[size >> 1] == other[size >> 1]
            && (unsigned char)one[size - 1] == other[size - 1]);
    }
    /* Of any bytes; nothing beyond them is read. */
    static inline uint32_t pynode_hash(const unsigned char *at, Py_ssize_t size) {
        uint64_t state = (uint64_t)size * 0x9E3779B97F4A7C15u, word;
        uint32_t half;
        while (size >= 8) {
            memcpy(&word, at, 8);
            state = (state ^ word) * 0x9E3779B97F4A7C15u;
            state ^= state >> 32;
            at += 8;
            size -= 8;
        }
        word = 0;
        if (size >= 4) {
            memcpy(&half, at, 4);
            word = half;
            memcpy(&half, at + size - 4, 4);
            word = word << 32 | half;
        } else if (size > 0) {
            word = (uint64_t)at[0] << 16 | (uint64_t)at[size >> 1] << 8 | at[size - 1];
        }
        state = (state ^ word) * 0x9E3779B97F4A7C15u;
        return (uint32_t)(state >> 32);
    }
    """
    int pending_error "pynode_pending"() except -1
    object owned "pynode_owned"(PyObject*)
    bint equal "pynode_equal"(const char*, const unsigned char*, Py_ssize_t) nogil
    void copy_short "pynode_copy"(unsigned char*, const char*, Py_ssize_t) nogil
    bint compact_int "pynode_compact"(PyObject*, long long*) nogil
    void in_huge_pages "pynode_in_huge_pages"(const void*, Py_ssize_t) noexcept nogil
    uint32_t get32 "pynode_get32"(const unsigned char*) nogil
    uint64_t get64 "pynode_get64"(const unsigned char*) nogil
    double get_double "pynode_get_double"(const unsigned char*) nogil
    void set32 "pynode_set32"(unsigned char*, uint32_t) nogil
    void set_double "pynode_set_double"(unsigned char*, double) nogil
    uint32_t hash_bytes "pynode_hash"(const unsigned char*, Py_ssize_t) nogil
    dict new_dict "__Pyx_PyDict_NewPresized"(Py_ssize_t)

if type(_atoms_in_use.ok) is not Atom:
    raise ImportError("the compiled codec goes with the compiled values, and the pure are in use")

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
    # Binaries from this size on have memory of their own from the system.
    _LARGE_BYTES = 4 << 20
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


# --------------------------------------------------------------------------- reading

cdef struct Reader:
    const unsigned char* data
    Py_ssize_t size
    Py_ssize_t pos
    Py_ssize_t budget
    Py_ssize_t depth
    Py_ssize_t max_depth
    bint text
    # Borrowed: a tuple.
    PyObject* atoms
    # Owned, or NULL until they are wanted: all the bytes, and what make_map() remembers.
    PyObject* whole
    PyObject* known

ctypedef PyObject* (*raw_reader)(Reader*) noexcept

cdef struct AtomSlot:
    PyObject* wire
    PyObject* atom
    uint32_t hash

cdef struct KeySlot:
    PyObject* data
    PyObject* text
    uint32_t hash

cdef AtomSlot[_ATOM_SLOTS] _atom_slots
cdef KeySlot[_KEY_SLOTS] _key_slots
cdef (PyObject*)[_PID_SLOTS] _pid_slots


cdef object _truncated(Reader* r, Py_ssize_t pos):
    raise DecodeError("truncated", min(pos, r.size))


cdef object _whole(Reader* r):
    """Return all the bytes as the object that the pure codec wants."""
    if r.whole is NULL:
        data = PyBytes_FromStringAndSize(<const char*>r.data, r.size)
        Py_INCREF(data)
        r.whole = <PyObject*>data
    return <object>r.whole


cdef inline int _open(Reader* r, Py_ssize_t pos, Py_ssize_t count, Py_ssize_t end) except -1:
    """Go into a container of ``count`` terms that starts at ``end``."""
    if count > r.size - end:
        _truncated(r, pos)
    r.budget -= count
    if r.budget < 0:
        raise DecodeError("more elements than Limits.elements", pos)
    if r.depth >= r.max_depth:
        raise DecodeError("nested deeper than Limits.depth", pos)
    if r.depth >= _NATIVE_DEPTH:
        raise _TooDeep
    r.depth += 1
    r.pos = end
    return 0


cdef object _new_atom(Reader* r, Py_ssize_t pos, Py_ssize_t size, AtomSlot* slot, uint32_t hash):
    """Read an atom that is not in its slot, and put it there."""
    cdef const char* start = <const char*>r.data + pos + 2
    cdef PyObject* old_wire
    cdef PyObject* old_atom
    try:
        name = PyUnicode_DecodeUTF8(start, size, NULL)
    except UnicodeDecodeError:
        raise DecodeError("an atom that is no UTF-8", pos) from None
    if name == "true":
        found, wire = True, b"w\x04true"
    elif name == "false":
        found, wire = False, b"w\x05false"
    elif name == "nil":
        found, wire = None, b"w\x03nil"
    else:
        found = intern_atom(name)
        wire = (<Atom>found).wire
    old_wire, old_atom = slot.wire, slot.atom
    Py_INCREF(wire)
    Py_INCREF(found)
    slot.wire, slot.atom, slot.hash = <PyObject*>wire, <PyObject*>found, hash
    Py_XDECREF(old_wire)
    Py_XDECREF(old_atom)
    return found


cdef inline object _small_atom(Reader* r, Py_ssize_t pos, Py_ssize_t outer):
    """Read SMALL_ATOM_UTF8_EXT, of which the tag is there; ``outer`` is the term it is part of."""
    cdef Py_ssize_t size
    cdef uint32_t hash
    cdef AtomSlot* slot
    if r.size - pos < 2:
        return _truncated(r, outer)
    size = r.data[pos + 1]
    if size > r.size - pos - 2:
        return _truncated(r, pos)
    r.pos = pos + 2 + size
    hash = hash_bytes(r.data + pos + 2, size)
    slot = &_atom_slots[hash & (_ATOM_SLOTS - 1)]
    if (
        slot.hash == hash
        and slot.wire is not NULL
        and bytes_size(slot.wire) == size + 2
        and equal(bytes_start(slot.wire) + 2, r.data + pos + 2, size)
    ):
        return <object>slot.atom
    return _new_atom(r, pos, size, slot, hash)


cdef inline object _cached_atom(Reader* r, Py_ssize_t pos, Py_ssize_t outer):
    """Read ATOM_CACHE_REF, of which the tag is there."""
    cdef Py_ssize_t index
    if r.size - pos < 2:
        return _truncated(r, outer)
    index = r.data[pos + 1]
    if index >= PyTuple_GET_SIZE(<object>r.atoms):
        raise DecodeError(f"no atom {index} in the header", pos)
    r.pos = pos + 2
    return (<tuple>r.atoms)[index]


cdef inline object _node(Reader* r, Py_ssize_t pos, Py_ssize_t outer):
    """Read the node of an identifier; Ellipsis: it has a form that the pure codec reads."""
    cdef int tag
    if pos >= r.size:
        return _truncated(r, outer)
    tag = r.data[pos]
    if tag == 119:
        found = _small_atom(r, pos, outer)
    elif tag == 82:
        found = _cached_atom(r, pos, outer)
    else:
        return ...
    if type(found) is not Atom:
        raise DecodeError(f"the atom {str(found).lower()} as the name of a node", pos)
    return found


cdef object _pid(Reader* r, Py_ssize_t pos):
    cdef uint32_t number, serial, life, hash
    cdef const unsigned char* at
    cdef PyObject** slot
    cdef PyObject* old
    cdef Pid pid
    node = _node(r, pos + 1, pos)
    if node is ...:
        return _leaf(r, pos, 88)
    if r.size - r.pos < 12:
        return _truncated(r, pos)
    at = r.data + r.pos
    number, serial, life = get32(at), get32(at + 4), get32(at + 8)
    r.pos += 12
    hash = (number ^ (serial << 7) ^ (life << 3)) * <uint32_t>0x9E3779B1 ^ <uint32_t>(
        <uint64_t><PyObject*>node >> 4
    )
    slot = &_pid_slots[(hash ^ (hash >> 16)) & (_PID_SLOTS - 1)]
    if slot[0] is not NULL:
        pid = <Pid>slot[0]
        if (
            pid.number == number
            and pid.serial_number == serial
            and pid.life == life
            and pid.node is node
        ):
            return pid
    pid = make_pid(<Atom>node, number, serial, life)
    old = slot[0]
    Py_INCREF(pid)
    slot[0] = <PyObject*>pid
    Py_XDECREF(old)
    return pid


cdef object _reference(Reader* r, Py_ssize_t pos):
    cdef uint32_t count, index
    cdef const unsigned char* at
    cdef uint32_t[5] numbers
    if r.size - pos < 3:
        return _truncated(r, pos)
    count = (<uint32_t>r.data[pos + 1] << 8) | r.data[pos + 2]
    if count < 1 or count > 5:
        raise DecodeError(f"a reference of {count} words", pos)
    node = _node(r, pos + 3, pos)
    if node is ...:
        return _leaf(r, pos, 90)
    if r.size - r.pos < 4 + 4 * <Py_ssize_t>count:
        return _truncated(r, pos)
    at = r.data + r.pos
    for index in range(count):
        numbers[index] = get32(at + 4 + 4 * index)
    r.pos += 4 + 4 * <Py_ssize_t>count
    return make_reference(<Atom>node, get32(at), count, numbers)


cdef object _leaf(Reader* r, Py_ssize_t pos, int tag):
    """Have the pure codec read a rare term that holds no others."""
    handler = _leaves.get(tag)
    if handler is None:
        raise DecodeError(_unknown(tag), pos)
    try:
        found, end = handler(_whole(r), pos, <object>r.atoms)
    except (IndexError, _struct_error):
        return _truncated(r, pos)
    r.pos = end
    if r.text and tag == 77 and type(found) is bytes:
        return _text(found)
    return found


cdef object _text(bytes data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


cdef object _binary(Reader* r, Py_ssize_t pos):
    cdef Py_ssize_t size
    cdef const char* start
    if r.size - pos < 5:
        return _truncated(r, pos)
    size = get32(r.data + pos + 1)
    if size > r.size - pos - 5:
        return _truncated(r, pos)
    start = <const char*>r.data + pos + 5
    r.pos = pos + 5 + size
    if r.text:
        try:
            return PyUnicode_DecodeUTF8(start, size, NULL)
        except UnicodeDecodeError:
            pass
    if size < _LARGE_BYTES:
        return PyBytes_FromStringAndSize(start, size)
    found = PyBytes_FromStringAndSize(NULL, size)
    in_huge_pages(PyBytes_AS_STRING(found), size)
    memcpy(PyBytes_AS_STRING(found), start, size)
    return found


cdef object _string(Reader* r, Py_ssize_t pos):
    """Read STRING_EXT."""
    cdef Py_ssize_t size, index
    cdef const unsigned char* at
    cdef PyObject* item
    if r.size - pos < 3:
        return _truncated(r, pos)
    size = (<Py_ssize_t>r.data[pos + 1] << 8) | r.data[pos + 2]
    if size > r.size - pos - 3:
        return _truncated(r, pos)
    r.budget -= size
    if r.budget < 0:
        raise DecodeError("more elements than Limits.elements", pos)
    at = r.data + pos + 3
    found = PyList_New(size)
    for index in range(size):
        item = _small[at[index]]
        Py_INCREF(<object>item)
        PyList_SET_ITEM(found, index, item)
    r.pos = pos + 3 + size
    return found


cdef object _small_big(Reader* r, Py_ssize_t pos):
    cdef Py_ssize_t size, index
    cdef uint64_t value = 0
    if r.size - pos < 3:
        return _truncated(r, pos)
    size = r.data[pos + 1]
    if size > 8:
        return _leaf(r, pos, 110)
    if size > r.size - pos - 3:
        return _truncated(r, pos)
    for index in range(size):
        value |= <uint64_t>r.data[pos + 3 + index] << (8 * index)
    r.pos = pos + 3 + size
    if not r.data[pos + 2]:
        return PyLong_FromUnsignedLongLong(value)
    if value <= <uint64_t>1 << 62:
        return PyLong_FromLongLong(-<long long>value)
    return -PyLong_FromUnsignedLongLong(value)


cdef object _float(Reader* r, Py_ssize_t pos):
    cdef double value
    if r.size - pos < 9:
        return _truncated(r, pos)
    value = get_double(r.data + pos + 1)
    if not isfinite(value):
        raise DecodeError("a float that is not finite", pos)
    r.pos = pos + 9
    return PyFloat_FromDouble(value)


cdef object _tuple(Reader* r, Py_ssize_t pos, Py_ssize_t count, Py_ssize_t end):
    cdef Py_ssize_t index
    if not count:
        r.pos = end
        return ()
    _open(r, pos, count, end)
    found = PyTuple_New(count)
    for index in range(count):
        item = _read(r)
        Py_INCREF(item)
        PyTuple_SET_ITEM(found, index, <PyObject*>item)
    r.depth -= 1
    return found


cdef int _fill(Reader* r, object items, Py_ssize_t count) except -1:
    """Read the elements of a list of which the places are there; numbers here, without a call."""
    cdef Py_ssize_t index, pos
    cdef Py_ssize_t size = r.size
    cdef const unsigned char* data = r.data
    cdef PyObject* small
    cdef int tag
    cdef double value
    for index in range(count):
        pos = r.pos
        tag = data[pos] if pos < size else -1
        if tag == 97 and size - pos >= 2:
            small = _small[data[pos + 1]]
            Py_INCREF(<object>small)
            PyList_SET_ITEM(items, index, small)
            r.pos = pos + 2
            continue
        if tag == 98 and size - pos >= 5:
            PyList_SET_ITEM(items, index, new_int(<int32_t>get32(data + pos + 1)))
            r.pos = pos + 5
            continue
        if tag == 70 and size - pos >= 9:
            value = get_double(data + pos + 1)
            if isfinite(value):
                PyList_SET_ITEM(items, index, new_float(value))
                r.pos = pos + 9
                continue
        item = _read(r)
        Py_INCREF(item)
        PyList_SET_ITEM(items, index, <PyObject*>item)
    return 0


cdef object _list(Reader* r, Py_ssize_t pos):
    cdef Py_ssize_t count
    cdef int tag
    if r.size - pos < 5:
        return _truncated(r, pos)
    count = get32(r.data + pos + 1)
    _open(r, pos, count, pos + 5)
    items = PyList_New(count)
    _fill(r, items, count)
    while True:
        pos = r.pos
        if pos >= r.size:
            return _truncated(r, pos)
        tag = r.data[pos]
        if tag == 106:
            r.pos = pos + 1
            break
        if tag == 108:
            # The list goes on: nothing is nested.
            if r.size - pos < 5:
                return _truncated(r, pos)
            count = get32(r.data + pos + 1)
            if count > r.size - pos - 5:
                return _truncated(r, pos)
            r.budget -= count
            if r.budget < 0:
                raise DecodeError("more elements than Limits.elements", pos)
            r.pos = pos + 5
            while count:
                (<list>items).append(_read(r))
                count -= 1
            continue
        if tag == 107:
            (<list>items).extend(_string(r, pos))
            break
        tail = _read(r)
        r.depth -= 1
        return make_improper(tuple(<list>items), tail) if PyList_GET_SIZE(items) else tail
    r.depth -= 1
    return items


cdef object _key(Reader* r, Py_ssize_t pos, Py_ssize_t size):
    """Read a short binary as the object that it was the last time."""
    cdef const unsigned char* start = r.data + pos + 5
    cdef uint32_t hash = hash_bytes(start, size)
    cdef KeySlot* slot = &_key_slots[hash & (_KEY_SLOTS - 1)]
    cdef PyObject* old_data
    cdef PyObject* old_text
    r.pos = pos + 5 + size
    if (
        slot.hash != hash
        or slot.data is NULL
        or bytes_size(slot.data) != size
        or not equal(bytes_start(slot.data), start, size)
    ):
        data = PyBytes_FromStringAndSize(<const char*>start, size)
        old_data, old_text = slot.data, slot.text
        Py_INCREF(data)
        slot.data, slot.text, slot.hash = <PyObject*>data, NULL, hash
        Py_XDECREF(old_data)
        Py_XDECREF(old_text)
    if not r.text:
        return <object>slot.data
    if slot.text is NULL:
        text = _text(<bytes>slot.data)
        Py_INCREF(text)
        slot.text = <PyObject*>text
    return <object>slot.text


cdef inline bint _flat(object value) noexcept:
    """Tell whether Python hashes it well, in no recursion."""
    return (
        type(value) is bytes
        or type(value) is Atom
        or type(value) is str
        or PyLong_CheckExact(value)
        or PyFloat_CheckExact(value)
        or type(value) is Pid
        or type(value) is Reference
        or value is None
        or PyBool_Check(value)
    )


cdef bint _easy(object key, bint many) except -1:
    """Tell whether a dict may take the key; of ``many``, chosen ones could have one hash."""
    cdef int overflow = 0
    cdef long long number
    if type(key) is bytes or type(key) is Atom or type(key) is str:
        return True
    if PyLong_CheckExact(key):
        if not many:
            return True
        number = PyLong_AsLongLongAndOverflow(key, &overflow)
        return not overflow and -(<long long>1 << 60) < number < (<long long>1 << 60)
    if PyFloat_CheckExact(key):
        return not many
    if type(key) is tuple:
        if many:
            return False
        for item in <tuple>key:
            if not _flat(item):
                return False
        return True
    return _flat(key)


cdef object _map(Reader* r, Py_ssize_t pos):
    cdef Py_ssize_t count, index, start, size
    cdef bint many
    cdef list items = None
    cdef dict found
    if r.size - pos < 5:
        return _truncated(r, pos)
    count = get32(r.data + pos + 1)
    if not count:
        r.pos = pos + 5
        return {}
    _open(r, pos, 2 * count, pos + 5)
    found = new_dict(min(count, <Py_ssize_t>_BELIEVED))
    many = count >= _MANY
    for index in range(count):
        start = r.pos
        key = None
        size = -1
        if r.size - start >= 5 and r.data[start] == 109:
            size = get32(r.data + start + 1)
        if 0 <= size <= _KEY_BYTES and size <= r.size - start - 5:
            key = _key(r, start, size)
        else:
            key = _read(r)
        value = _read(r)
        if items is None:
            if _easy(key, many):
                PyDict_SetDefault(found, key, value)
                if PyDict_GET_SIZE(found) == index + 1:
                    continue
            items = []
            for pair in found.items():
                items.extend(pair)
        items.append(key)
        items.append(value)
    r.depth -= 1
    if items is None:
        return found
    if r.known is NULL:
        known = {}
        Py_INCREF(known)
        r.known = <PyObject*>known
    made = make_map(items, <object>r.known, nested=True)
    if made is None:
        raise DecodeError("two keys of a map are one term", pos)
    return made


cdef object _fun(Reader* r, Py_ssize_t pos):
    try:
        count, end, build = _open_fun(_whole(r), pos, <object>r.atoms)
    except (IndexError, _struct_error):
        return _truncated(r, pos)
    if not count:
        r.pos = end
        return build(())
    _open(r, pos, count, end)
    values = []
    for _ in range(<Py_ssize_t>count):
        values.append(_read(r))
    r.depth -= 1
    return build(values)


cdef object _record(Reader* r, Py_ssize_t pos):
    cdef Py_ssize_t count
    try:
        names, exported, module, name, end = _open_record(
            _whole(r), pos, <object>r.atoms, r.budget
        )
    except (IndexError, _struct_error):
        return _truncated(r, pos)
    count = len(names)
    if not count:
        r.pos = end
        return Record(module, name, exported, ())
    _open(r, pos, count, end)
    values = []
    for _ in range(count):
        values.append(_read(r))
    r.depth -= 1
    return Record(module, name, exported, zip(names, values, strict=True))


cdef object _read(Reader* r):
    """Read the term at ``r.pos``, and leave that behind it."""
    cdef Py_ssize_t pos = r.pos
    cdef int tag
    if pos >= r.size:
        return _truncated(r, pos)
    tag = r.data[pos]
    if tag == 119:
        return _small_atom(r, pos, pos)
    if tag == 97:
        if r.size - pos < 2:
            return _truncated(r, pos)
        r.pos = pos + 2
        return <object>_small[r.data[pos + 1]]
    if tag == 109:
        return _binary(r, pos)
    if tag == 104:
        if r.size - pos < 2:
            return _truncated(r, pos)
        return _tuple(r, pos, r.data[pos + 1], pos + 2)
    if tag == 98:
        if r.size - pos < 5:
            return _truncated(r, pos)
        r.pos = pos + 5
        return PyLong_FromLong(<int32_t>get32(r.data + pos + 1))
    if tag == 88:
        return _pid(r, pos)
    if tag == 106:
        r.pos = pos + 1
        return []
    if tag == 108:
        return _list(r, pos)
    if tag == 116:
        return _map(r, pos)
    if tag == 70:
        return _float(r, pos)
    if tag == 107:
        return _string(r, pos)
    if tag == 82:
        return _cached_atom(r, pos, pos)
    if tag == 90:
        return _reference(r, pos)
    if tag == 110:
        return _small_big(r, pos)
    if tag == 105:
        if r.size - pos < 5:
            return _truncated(r, pos)
        return _tuple(r, pos, get32(r.data + pos + 1), pos + 5)
    if tag == 112:
        return _fun(r, pos)
    if tag == 67:
        return _record(r, pos)
    return _leaf(r, pos, tag)


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


# --------------------------------------------------------------------------- writing


cdef int _grow(Writer* w, Py_ssize_t more) except -1:
    """Have room for ``more`` bytes."""
    cdef Py_ssize_t wanted = w.used + more
    cdef Py_ssize_t room
    cdef PyObject* block
    room = max(2 * w.room if w.room < 0x10000 else w.room + (w.room >> 1), wanted + 64, 8192)
    if w.block is NULL:
        block = new_bytes(NULL, room)
        memcpy(PyBytes_AS_STRING_(block), w.bytes_, w.used)
        w.block = block
    else:
        block = <PyObject*>w.block
        w.block = NULL  # where resizing fails it is gone
        _PyBytes_Resize(&block, room)
        w.block = block
    w.bytes_ = <unsigned char*>PyBytes_AS_STRING_(block)
    w.room = room
    in_huge_pages(w.bytes_ + w.used, room - w.used)
    return 0


cdef inline int _need(Writer* w, Py_ssize_t more) except -1:
    if w.room - w.used < more:
        _grow(w, more)
    return 0


cdef void open_writer(Writer* w, unsigned char* room, Py_ssize_t size) noexcept:
    w.bytes_ = room
    w.used = 0
    w.room = size
    w.block = NULL


cdef int put_bytes(Writer* w, const void* data, Py_ssize_t size) except -1:
    _need(w, size)
    memcpy(w.bytes_ + w.used, data, size)
    w.used += size
    return 0


cdef object close_writer(Writer* w):
    cdef PyObject* block = <PyObject*>w.block
    if block is NULL:
        return PyBytes_FromStringAndSize(<const char*>w.bytes_, w.used)
    w.block = NULL
    if w.used != w.room:
        _PyBytes_Resize(&block, w.used)
    found = <object>block
    Py_DECREF(found)  # it was ours, and is that of ``found`` now
    return found


cdef void drop_writer(Writer* w) noexcept:
    Py_XDECREF(<PyObject*>w.block)
    w.block = NULL


cdef inline int _head(Writer* w, int tag, Py_ssize_t size) except -1:
    """Write a tag and a length that is one of 32 bits."""
    _need(w, 5)
    w.bytes_[w.used] = tag
    set32(w.bytes_ + w.used + 1, <uint32_t>size)
    w.used += 5
    return 0


cdef inline int _put_byte(Writer* w, int byte) except -1:
    _need(w, 1)
    w.bytes_[w.used] = byte
    w.used += 1
    return 0


cdef inline int _copy(Writer* w, const char* data, Py_ssize_t size) except -1:
    _need(w, size)
    copy_short(w.bytes_ + w.used, data, size)
    w.used += size
    return 0


cdef inline int _put_object(Writer* w, object data) except -1:
    return _copy(w, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline int _put_atom(Writer* w, PyObject* value) except -1:
    cdef PyObject* wire = <PyObject*>(<Atom>value).wire
    return _copy(w, bytes_start(wire), bytes_size(wire))


cdef inline int _put_data(Writer* w, const char* data, Py_ssize_t size) except -1:
    """Write BINARY_EXT."""
    cdef unsigned char* at
    if size > 0xFFFFFFFF:
        if not w.careful:
            return _CARE
        raise EncodeError(_out_of_range)
    _need(w, size + 5)
    at = w.bytes_ + w.used
    w.used += size + 5
    at[0] = 109
    set32(at + 1, <uint32_t>size)
    copy_short(at + 5, data, size)
    return 0


cdef inline int _put_int(Writer* w, PyObject* value) except -1:
    cdef long long number = 0
    cdef unsigned char* at
    if not compact_int(value, &number):
        return _put_long(w, <object>value)
    _need(w, 12)
    at = w.bytes_ + w.used
    if 0 <= number < 256:
        at[0] = 97
        at[1] = <unsigned char>number
        w.used += 2
    elif -0x80000000LL <= number <= 0x7FFFFFFF:
        at[0] = 98
        set32(at + 1, <uint32_t>number)
        w.used += 5
    else:
        return _put_long(w, <object>value)
    return 0


cdef int _put_long(Writer* w, object value) except -1:
    """Write an int of several digits."""
    cdef int overflow = 0
    cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
    cdef uint64_t magnitude
    cdef Py_ssize_t size = 0
    cdef unsigned char* at
    if overflow:
        return _put_object(w, _pure_encoder._big(value)) if w.careful else _CARE
    _need(w, 12)
    at = w.bytes_ + w.used
    if -0x80000000LL <= number <= 0x7FFFFFFF:
        at[0] = 98
        set32(at + 1, <uint32_t>number)
        w.used += 5
        return 0
    magnitude = <uint64_t>number if number > 0 else 0 - <uint64_t>number
    while magnitude:
        at[3 + size] = <unsigned char>magnitude
        magnitude >>= 8
        size += 1
    at[0] = 110
    at[1] = <unsigned char>size
    at[2] = number < 0
    w.used += 3 + size
    return 0


cdef inline int _put_float(Writer* w, PyObject* number) except -1:
    cdef double value = float_value(number)
    if not isfinite(value):
        if not w.careful:
            return _CARE
        raise EncodeError(_not_finite.format(<object>number))
    _need(w, 9)
    w.bytes_[w.used] = 70
    set_double(w.bytes_ + w.used + 1, value)
    w.used += 9
    return 0


cdef inline int _put_bool(Writer* w, PyObject* value) except -1:
    if value == Py_True:
        return _copy(w, b"w\x04true", 6)
    return _copy(w, b"w\x05false", 7)


cdef int _put_str(Writer* w, object value) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* start
    if PyUnicode_IS_COMPACT_ASCII(value):
        start = PyUnicode_AsUTF8AndSize(value, &size)
        return _put_data(w, start, size)
    try:
        data = PyUnicode_AsUTF8String(value)
    except UnicodeEncodeError as error:
        if not w.careful:
            return _CARE
        raise EncodeError(f"a str that is no UTF-8: {error.reason}") from None
    return _put_data(w, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef int _put_pid(Writer* w, Pid value) except -1:
    cdef Py_ssize_t size
    cdef unsigned char* at
    cdef Atom node = <Atom>value.node
    size = PyBytes_GET_SIZE(node.wire)
    _need(w, size + 13)
    at = w.bytes_ + w.used
    at[0] = 88
    memcpy(at + 1, PyBytes_AS_STRING(node.wire), size)
    set32(at + 1 + size, value.number)
    set32(at + 5 + size, value.serial_number)
    set32(at + 9 + size, value.life)
    w.used += size + 13
    return 0


cdef int _put_reference(Writer* w, Reference value) except -1:
    cdef Py_ssize_t size
    cdef uint32_t index
    cdef unsigned char* at
    cdef Atom node = <Atom>value.node
    size = PyBytes_GET_SIZE(node.wire)
    _need(w, size + 7 + 4 * value.count)
    at = w.bytes_ + w.used
    at[0] = 90
    at[1] = 0
    at[2] = <unsigned char>value.count
    memcpy(at + 3, PyBytes_AS_STRING(node.wire), size)
    at += 3 + size
    set32(at, value.life)
    for index in range(value.count):
        set32(at + 4 + 4 * index, value.numbers[index])
    w.used += size + 7 + 4 * value.count
    return 0


cdef inline int _enter(Writer* w, Py_ssize_t size) except -1:
    """Go into a container."""
    if size > 0xFFFFFFFF:
        if not w.careful:
            return _CARE
        raise EncodeError(_out_of_range)
    if w.depth >= w.max_depth:
        if not w.careful:
            return _CARE
        raise EncodeError(f"a term nested deeper than {w.max_depth}")
    if w.depth >= _NATIVE_DEPTH:
        return _DEEP
    w.depth += 1
    return _DONE


cdef inline int _put_here(Writer* w, PyObject* value) except -1:
    """Write one term; the commonest leaves without a call."""
    cdef PyTypeObject* kind = Py_TYPE(value)
    if kind == _atom_type:
        return _put_atom(w, value)
    if kind == &PyLong_Type:
        return _put_int(w, value)
    if kind == &PyBytes_Type:
        return _put_data(w, bytes_start(value), bytes_size(value))
    if kind == &PyBool_Type:
        return _put_bool(w, value)
    if kind == &PyFloat_Type:
        return _put_float(w, value)
    return _put(w, value)


cdef int _put_all(Writer* w, PyObject* items) except -1:
    """Write what is in a tuple that lives until this returns."""
    cdef Py_ssize_t index
    cdef int ended
    for index in range(tuple_size(items)):
        ended = _put_here(w, PyTuple_GET_ITEM(items, index))
        if ended:
            return ended
    return _DONE


cdef int _put_tuple(Writer* w, PyObject* value) except -1:
    cdef Py_ssize_t size = tuple_size(value)
    cdef int ended
    if size:
        ended = _enter(w, size)
        if ended:
            return ended
    if size < 256:
        _need(w, 2)
        w.bytes_[w.used] = 104
        w.bytes_[w.used + 1] = <unsigned char>size
        w.used += 2
    else:
        _head(w, 105, size)
    if size:
        ended = _put_all(w, value)
        if ended:
            return ended
        w.depth -= 1
    return _DONE


cdef bint _put_string(Writer* w, PyObject* value) except -1:
    """Write a list as STRING_EXT, if that is what OTP does; False: it is not."""
    cdef Py_ssize_t size = list_size(value)
    cdef Py_ssize_t index
    cdef long long number = 0
    cdef PyObject* item
    cdef unsigned char* at
    if size > 0xFFFF:
        return False
    _need(w, size + 3)
    at = w.bytes_ + w.used
    at[0] = 107
    at[1] = <unsigned char>(size >> 8)
    at[2] = <unsigned char>size
    at += 3
    for index in range(size):
        item = PyList_GET_ITEM(value, index)
        if Py_TYPE(item) != &PyLong_Type or not compact_int(item, &number):
            return False
        if number < 0 or number > 255:
            return False
        at[index] = <unsigned char>number
    w.used += size + 3
    return True


cdef int _put_list(Writer* w, PyObject* value) except -1:
    """Write a list: where it lies, or with care, a copy that nobody else has."""
    cdef Py_ssize_t size = list_size(value)
    cdef Py_ssize_t index
    cdef PyObject* item
    cdef PyTypeObject* kind
    cdef int ended
    if size == 0:
        _put_byte(w, 106)
        return _DONE
    if Py_TYPE(PyList_GET_ITEM(value, 0)) == &PyLong_Type and _put_string(w, value):
        return _DONE
    ended = _enter(w, size)
    if ended:
        return ended
    if w.careful:
        copied = tuple(<list>value)
        _head(w, 108, PyTuple_GET_SIZE(copied))
        ended = _put_all(w, <PyObject*>copied)
        if ended:
            return ended
    else:
        _head(w, 108, size)
        for index in range(size):
            item = PyList_GET_ITEM(value, index)
            kind = Py_TYPE(item)
            if kind == &PyLong_Type:
                ended = _put_int(w, item)
            elif kind == &PyFloat_Type:
                ended = _put_float(w, item)
            else:
                ended = _put(w, item)
            if ended:
                return ended
    w.depth -= 1
    _put_byte(w, 106)
    return _DONE


cdef inline int _put_pair(Writer* w, PyObject* key, PyObject* item) except -1:
    """Write a binary key and its value; a short one without a turn of ``used`` in between.

    Each store there is waited for by the next load, which is a fifth of a small map's time.
    """
    cdef Py_ssize_t size = bytes_size(key)
    cdef PyTypeObject* kind = Py_TYPE(item)
    cdef long long number = 0
    cdef unsigned char* at
    if size > 0xFFFF:
        return _put_data(w, bytes_start(key), size) or _put_here(w, item)
    _need(w, size + 5 + 12)
    at = w.bytes_ + w.used
    at[0] = 109
    set32(at + 1, <uint32_t>size)
    copy_short(at + 5, bytes_start(key), size)
    at += 5 + size
    if kind == &PyLong_Type and compact_int(item, &number):
        if 0 <= number < 256:
            at[0] = 97
            at[1] = <unsigned char>number
            w.used += size + 7
            return _DONE
        if -0x80000000LL <= number <= 0x7FFFFFFF:
            at[0] = 98
            set32(at + 1, <uint32_t>number)
            w.used += size + 10
            return _DONE
    if kind == &PyBool_Type:
        copy_short(at, b"w\x04true" if item == Py_True else b"w\x05false", 7)
        w.used += size + (11 if item == Py_True else 12)
        return _DONE
    w.used += size + 5
    return _put_here(w, item)


cdef int _put_dict(Writer* w, PyObject* value) except -1:
    """Write a dict where it lies.

    Which keys are one term Python knows, as long as they are of some types: bytes or str, and
    those that are flat.
    """
    cdef Py_ssize_t size = PyDict_GET_SIZE(<object>value)
    cdef Py_ssize_t place = 0
    cdef PyObject* key = NULL
    cdef PyObject* item = NULL
    cdef PyTypeObject* kind
    cdef bint data = size == 1
    cdef bint text = size == 1
    cdef int ended
    if size:
        ended = _enter(w, size)
        if ended:
            return ended
    _head(w, 116, size)
    if not size:
        return _DONE
    while PyDict_Next(<object>value, &place, &key, &item):
        kind = Py_TYPE(key)
        if kind == &PyBytes_Type:
            if text and size > 1:
                return _CARE
            data = True
            ended = _put_pair(w, key, item)
            if ended:
                return ended
            continue
        else:
            if size > 1:
                if kind == &PyUnicode_Type:
                    if data:
                        return _CARE
                    text = True
                elif not _flat(<object>key):
                    return _CARE
            ended = _put(w, key)
        if ended:
            return ended
        ended = _put_here(w, item)
        if ended:
            return ended
    w.depth -= 1
    return _DONE


cdef int _put_improper(Writer* w, ImproperList value) except -1:
    cdef int ended = _enter(w, PyTuple_GET_SIZE(value.elements))
    if ended:
        return ended
    _head(w, 108, PyTuple_GET_SIZE(value.elements))
    ended = _put_all(w, <PyObject*>value.elements)
    if ended:
        return ended
    ended = _put(w, <PyObject*>value.tail)
    w.depth -= 1
    return ended


cdef int _put(Writer* w, PyObject* value) except -1:
    """Write one term; _DONE, or why it cannot be done so."""
    cdef PyTypeObject* kind = Py_TYPE(value)
    if kind == _atom_type:
        return _put_atom(w, value)
    if kind == &PyTuple_Type:
        return _put_tuple(w, value)
    if kind == &PyDict_Type and not w.careful:
        return _put_dict(w, value)
    if kind == &PyList_Type:
        return _put_list(w, value)
    if kind == &PyBool_Type:
        return _put_bool(w, value)
    if value == Py_None:
        return _copy(w, b"w\x03nil", 5)
    if kind == _pid_type and (<Pid>value).odd is None:
        return _put_pid(w, <Pid>value)
    if kind == &PyLong_Type:
        return _put_int(w, value)
    if kind == &PyBytes_Type:
        return _put_data(w, bytes_start(value), bytes_size(value))
    if kind == &PyUnicode_Type:
        return _put_str(w, <object>value)
    if kind == &PyFloat_Type:
        return _put_float(w, value)
    if kind == _reference_type and (<Reference>value).odd is None:
        return _put_reference(w, <Reference>value)
    if kind == _improper_type:
        return _put_improper(w, <ImproperList>value)
    if not w.careful:
        return _CARE
    return _put_rare(w, <object>value)


# What follows runs Python code, so it is only reached with care.


cdef int _put_rare(Writer* w, object value) except -1:
    leaf = _write_leaves.get(type(value))
    if leaf is not None:
        return _put_object(w, leaf(value))
    if type(value) is OpaqueFun:
        return _put_fun(w, value)
    if type(value) is Record:
        return _put_record(w, value)
    if isinstance(value, tuple):
        items = tuple(value)
        return _put_tuple(w, <PyObject*>items)
    if isinstance(value, list):
        items = list(value)
        return _put_list(w, <PyObject*>items)
    if isinstance(value, _pure_encoder.MAPPINGS):
        return _put_mapping(w, value)
    return _put_object(w, _pure_encoder._derived(value))


cdef int _put_mapping(Writer* w, object value) except -1:
    cdef tuple items
    cdef Py_ssize_t size
    cdef int ended
    if not w.records and type(value) is TermMap:
        _pure_encoder.refuse_zeros(value)
    items = _pure_encoder.map_items(value)
    size = PyTuple_GET_SIZE(items)
    if size:
        ended = _enter(w, size)
        if ended:
            return ended
    _head(w, 116, size >> 1)
    if size:
        ended = _put_all(w, <PyObject*>items)
        if ended:
            return ended
        w.depth -= 1
    return _DONE


cdef int _put_fun(Writer* w, object value) except -1:
    cdef Py_ssize_t start = w.used
    cdef Py_ssize_t size
    cdef int ended = _enter(w, 0)
    if ended:
        return ended
    env = value.env
    _put_object(w, _pure_encoder._fun_head(112, 0, value.arity, value.uniq, value.index, len(env)))
    parts = (value.module, value.old_index, value.old_uniq, value.pid) + env
    ended = _put_all(w, <PyObject*>parts)
    if ended:
        return ended
    size = w.used - start - 1
    if size > 0xFFFFFFFF:
        raise EncodeError(_out_of_range)
    set32(w.bytes_ + start + 1, <uint32_t>size)
    w.depth -= 1
    return _DONE


cdef int _put_record(Writer* w, object value) except -1:
    cdef int ended
    if not w.records:
        raise EncodeError(_pure_encoder._NO_RECORDS)
    ended = _enter(w, 0)
    if ended:
        return ended
    fields = value.fields
    _put_object(w, _pure_encoder._bit_head(67, len(fields), value.exported))
    parts = [value.module, value.name]
    parts.extend([name for name, _ in fields])
    parts.extend([item for _, item in fields])
    parts = tuple(parts)
    ended = _put_all(w, <PyObject*>parts)
    w.depth -= 1
    return ended


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
    w.used = start
    w.depth = 0
    w.careful = True
    try:
        if ended == _CARE:
            ended = _put(w, <PyObject*>term)
        if ended == _DEEP:
            w.used = start
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
