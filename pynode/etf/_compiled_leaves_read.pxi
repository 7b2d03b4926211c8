# Reading: the cursor, the caches, and the terms that hold no others.

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
    # Borrowed: the content of a binary that is missing at an offset; NULL: none is (any more).
    PyObject* hole
    Py_ssize_t hole_at

ctypedef PyObject* (*raw_reader)(Reader*) noexcept

cdef struct AtomSlot:
    PyObject* wire
    PyObject* atom
    uint32_t hash

cdef struct KeySlot:
    PyObject* data
    PyObject* text
    uint32_t hash

cdef object (*_read_large)(Reader*, Py_ssize_t, Py_ssize_t)
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
    if size >= _LARGE_BYTES:
        return _read_large(r, pos, size)
    if size > r.size - pos - 5:
        return _truncated(r, pos)
    start = <const char*>r.data + pos + 5
    r.pos = pos + 5 + size
    if r.text:
        try:
            return PyUnicode_DecodeUTF8(start, size, NULL)
        except UnicodeDecodeError:
            pass
    return PyBytes_FromStringAndSize(start, size)


cdef object new_large(Py_ssize_t size):
    """Return a bytes object that is still to be written to."""
    found = PyBytes_FromStringAndSize(NULL, size)
    in_huge_pages(PyBytes_AS_STRING(found), size)
    return found


cdef object _large_binary(Reader* r, Py_ssize_t pos, Py_ssize_t size):
    cdef const char* start
    if r.hole is not NULL and pos + 5 == r.hole_at and size == bytes_size(r.hole):
        found = <object>r.hole
        r.hole = NULL
        r.pos = pos + 5
        return _text(found) if r.text else found
    if size > r.size - pos - 5:
        return _truncated(r, pos)
    start = <const char*>r.data + pos + 5
    r.pos = pos + 5 + size
    if r.text:
        try:
            return PyUnicode_DecodeUTF8(start, size, NULL)
        except UnicodeDecodeError:
            pass
    found = new_large(size)
    memcpy(PyBytes_AS_STRING(found), start, size)
    return found


# Called through this, it is not made a part of the small functions, which would be slower.
_read_large = _large_binary


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
