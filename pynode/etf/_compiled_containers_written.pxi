# Writing: containers; what follows ``_put_rare`` may run Python code.

cdef inline int _enter(Writer* w, Py_ssize_t size) except -1:
    """Go into a container."""
    if w.depth < w.max_depth and w.depth < _NATIVE_DEPTH and size <= 0xFFFFFFFFLL:
        w.depth += 1
        return _DONE
    return _why_not(w, size)


cdef int _why_not(Writer* w, Py_ssize_t size) except -1:
    """Tell why a container of ``size`` terms is not gone into."""
    if size > 0xFFFFFFFFLL:
        if not w.careful:
            return _CARE
        raise EncodeError(_out_of_range)
    if w.depth >= w.max_depth:
        if not w.careful:
            return _CARE
        raise EncodeError(f"a term nested deeper than {w.max_depth}")
    return _DEEP


cdef inline int _put_here(Writer* w, PyObject* value) except -1:
    """Write one term; the commonest leaves without a call."""
    cdef PyTypeObject* kind = Py_TYPE(value)
    if kind == _atom_type:
        return _put_atom(w, value)
    if kind == &PyLong_Type:
        return _put_int(w, value)
    if kind == &PyBytes_Type:
        return _put_data(w, value, bytes_start(value), bytes_size(value))
    if kind == &PyBool_Type:
        return _put_bool(w, value)
    if kind == &PyFloat_Type:
        return _put_float(w, value)
    return _put(w, value)


cdef int _put_all(Writer* w, PyObject* items) except -1:
    """Write what is in a tuple that lives until this returns.

    What messages are made of here, without a turn of ``used`` in between, as in :func:`_put_pair`.
    """
    cdef Py_ssize_t index, size
    cdef PyObject* value
    cdef PyObject* wire
    cdef PyTypeObject* kind
    cdef unsigned char* at = w.bytes_ + w.used
    cdef unsigned char* end = w.bytes_ + w.room
    cdef long long number = 0
    cdef int ended
    for index in range(tuple_size(items)):
        value = PyTuple_GET_ITEM(items, index)
        kind = Py_TYPE(value)
        if kind == _atom_type:
            wire = <PyObject*>(<Atom>value).wire
            size = bytes_size(wire)
            if size <= end - at:
                copy_short(at, bytes_start(wire), size)
                at += size
                continue
        elif kind == &PyLong_Type:
            if end - at >= 5 and compact_int(value, &number):
                if 0 <= number < 256:
                    at[0] = 97
                    at[1] = <unsigned char>number
                    at += 2
                    continue
                if -0x80000000LL <= number <= 0x7FFFFFFF:
                    at[0] = 98
                    set32(at + 1, <uint32_t>number)
                    at += 5
                    continue
        elif kind == &PyBytes_Type:
            size = bytes_size(value)
            if size < _PIECE_BYTES and size + 5 <= end - at:
                at[0] = 109
                set32(at + 1, <uint32_t>size)
                copy_short(at + 5, bytes_start(value), size)
                at += size + 5
                continue
        w.used = at - w.bytes_
        if kind == &PyTuple_Type:
            ended = _put_tuple(w, value)
        elif kind == _pid_type and (<Pid>value).odd is None:
            ended = _put_pid(w, <Pid>value)
        else:
            ended = _put_here(w, value)
        if ended:
            return ended
        at = w.bytes_ + w.used
        end = w.bytes_ + w.room
    w.used = at - w.bytes_
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
        return _put_data(w, key, bytes_start(key), size) or _put_here(w, item)
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
        return _put_data(w, value, bytes_start(value), bytes_size(value))
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
    cdef Py_ssize_t size = -w.aside_bytes
    cdef int ended = _enter(w, 0)
    if ended:
        return ended
    env = value.env
    _put_object(w, _pure_encoder._fun_head(112, 0, value.arity, value.uniq, value.index, len(env)))
    parts = (value.module, value.old_index, value.old_uniq, value.pid) + env
    ended = _put_all(w, <PyObject*>parts)
    if ended:
        return ended
    size += w.used + w.aside_bytes - start - 1
    if size > 0xFFFFFFFFLL:
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
