# Writing: the growing output, and the values that hold no others.

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
    w.aside_from = _LARGEST
    w.aside_bytes = 0
    w.aside_count = 0
    w.aside = NULL


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


cdef object close_pieces(Writer* w, Py_ssize_t begin):
    """Return what is behind the first ``begin`` bytes, in pieces if any was set aside."""
    cdef Py_ssize_t index
    if not w.aside_count:
        if begin == 0:
            return close_writer(w)
        return PyBytes_FromStringAndSize(<const char*>w.bytes_ + begin, w.used - begin)
    pieces = []
    for index in range(w.aside_count):
        pieces.append(
            PyBytes_FromStringAndSize(<const char*>w.bytes_ + begin, w.aside[index].place - begin)
        )
        pieces.append(<object>w.aside[index].owner)
        begin = w.aside[index].place
    if begin < w.used:
        pieces.append(PyBytes_FromStringAndSize(<const char*>w.bytes_ + begin, w.used - begin))
    return Pieces(pieces)


cdef void _go_back(Writer* w, Py_ssize_t used) noexcept:
    """Forget what was written beyond the first ``used`` bytes."""
    cdef PyObject* owner
    w.used = used
    while w.aside_count and w.aside[w.aside_count - 1].place > used:
        w.aside_count -= 1
        owner = <PyObject*>w.aside[w.aside_count].owner
        w.aside_bytes -= bytes_size(owner)
        Py_XDECREF(owner)


cdef void drop_writer(Writer* w) noexcept:
    Py_XDECREF(<PyObject*>w.block)
    w.block = NULL
    if w.aside is not NULL:
        _go_back(w, 0)
        PyMem_Free(w.aside)
        w.aside = NULL


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


cdef int _put_large(Writer* w, PyObject* owner, const char* data, Py_ssize_t size) except -1:
    """Write a large BINARY_EXT, of the bytes object ``owner`` if there is one.

    Nothing here may have the garbage collector look for work: it could run Python code.
    """
    cdef Aside* grown
    if size > 0xFFFFFFFFLL:
        if not w.careful:
            return _CARE
        raise EncodeError(_out_of_range)
    if owner is NULL or size < w.aside_from:
        _need(w, size + 5)
        _head(w, 109, size)
        return put_bytes(w, data, size)
    if not w.aside_count & (w.aside_count - 1):  # there is room for a power of two
        grown = <Aside*>PyMem_Realloc(w.aside, 2 * (w.aside_count or 1) * sizeof(Aside))
        if grown is NULL:
            raise MemoryError
        w.aside = grown
    _head(w, 109, size)
    Py_INCREF(<object>owner)
    w.aside[w.aside_count].place = w.used
    w.aside[w.aside_count].owner = owner
    w.aside_count += 1
    w.aside_bytes += size
    return 0


cdef inline int _put_data(
    Writer* w, PyObject* owner, const char* data, Py_ssize_t size
) except -1:
    """Write BINARY_EXT."""
    cdef unsigned char* at
    if size >= _PIECE_BYTES:
        return _put_large(w, owner, data, size)
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
        return _put_data(w, NULL, start, size)
    try:
        data = PyUnicode_AsUTF8String(value)
    except UnicodeEncodeError as error:
        if not w.careful:
            return _CARE
        raise EncodeError(f"a str that is no UTF-8: {error.reason}") from None
    return _put_data(w, NULL, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


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
