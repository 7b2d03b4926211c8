# Reading: tuples, lists, maps, funs and records, and the table of all tags.

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
