# The table of a node's live processes.

@cython.no_gc_clear
cdef class Table:
    """The live processes of a node by their numbers, as a dict of them would have them.

    Open addressing with linear probing; numbers that follow each other leave gaps, or they would
    be one long search.  A dict's keys, each of them an object, took a good part of each collection.
    """

    def __cinit__(self):
        self._mask = 63
        self._keys = <uint32_t*>calloc(self._mask + 1, sizeof(uint32_t))
        self._places = <void**>malloc((self._mask + 1) * sizeof(void*))
        if self._keys == NULL or self._places == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Py_ssize_t place
        if self._keys != NULL and self._places != NULL:
            for place in range(self._mask + 1):
                if self._keys[place]:
                    Py_DECREF(<object>self._places[place])
        free(self._keys)
        free(self._places)

    cdef Py_ssize_t _place(self, uint32_t number) noexcept:
        """Where ``number`` is, or the free place where it would be."""
        cdef Py_ssize_t place = 2 * number & self._mask
        while self._keys[place] and self._keys[place] != number:
            place = (place + 1) & self._mask
        return place

    cdef ProcessCore find(self, uint32_t number):
        cdef Py_ssize_t place = self._place(number)
        return <ProcessCore>self._places[place] if number and self._keys[place] else None

    cdef bint has(self, uint32_t number) noexcept:
        return number != 0 and self._keys[self._place(number)] != 0

    cdef int put(self, uint32_t number, ProcessCore process) except -1:
        cdef Py_ssize_t place
        if number == 0:
            raise ValueError("no process has the number 0")
        if 2 * (self._count + 1) > self._mask:
            self._resize(2 * (self._mask + 1))
        place = self._place(number)
        Py_INCREF(process)
        if self._keys[place]:
            former = <object>self._places[place]
            self._places[place] = <void*>process
            Py_DECREF(former)
        else:
            self._keys[place] = number
            self._places[place] = <void*>process
            self._count += 1
        return 0

    cdef int _resize(self, Py_ssize_t size) except -1:
        cdef uint32_t* old_keys = self._keys
        cdef void** old_places = self._places
        cdef uint32_t* keys = <uint32_t*>calloc(size, sizeof(uint32_t))
        cdef void** places = <void**>malloc(size * sizeof(void*))
        cdef Py_ssize_t place, old, old_size = self._mask + 1
        if keys == NULL or places == NULL:
            free(keys)
            free(places)
            raise MemoryError
        self._keys, self._places, self._mask = keys, places, size - 1
        for old in range(old_size):
            if old_keys[old]:
                place = self._place(old_keys[old])
                keys[place] = old_keys[old]
                places[place] = old_places[old]
        free(old_keys)
        free(old_places)
        return 0

    cdef ProcessCore take(self, uint32_t number):
        """Remove and return the process, or None."""
        cdef Py_ssize_t hole = self._place(number)
        cdef Py_ssize_t place = hole
        cdef Py_ssize_t home
        if number == 0 or not self._keys[hole]:
            return None
        process = <ProcessCore>self._places[hole]
        while True:  # those behind move up, lest a search ends before it has come to them
            place = (place + 1) & self._mask
            if not self._keys[place]:
                break
            home = 2 * self._keys[place] & self._mask
            if ((place - home) & self._mask) >= ((place - hole) & self._mask):
                self._keys[hole] = self._keys[place]
                self._places[hole] = self._places[place]
                hole = place
        self._keys[hole] = 0
        self._count -= 1
        Py_DECREF(process)
        if self._mask > 255 and 16 * self._count < self._mask:
            self._resize((self._mask + 1) // 4)
        return process

    # As a dict has them.

    def get(self, number):
        """Return the process with this number, or None."""
        cdef ProcessCore process = self.find(number) if 0 < number <= 0xFFFFFFFF else None
        return None if process is None else _track(process)

    def pop(self, number, default=None):
        """Remove and return the process with this number."""
        cdef ProcessCore process = self.take(number)
        return None if process is None else _track(process)

    def values(self):
        """Return all processes, the oldest first."""
        cdef Py_ssize_t place
        found = [
            _track(<ProcessCore>self._places[place])
            for place in range(self._mask + 1)
            if self._keys[place]
        ]
        found.sort(key=_age)
        return found

    def clear(self):
        """Forget all processes."""
        for process in self.values():
            self.take((<Pid>(<ProcessCore>process).pid).number)

    def __len__(self):
        return self._count

    def __contains__(self, number):
        return self.get(number) is not None

    def __setitem__(self, number, ProcessCore process not None):
        self.put(number, process)

    def __sizeof__(self):
        return object.__sizeof__(self) + (self._mask + 1) * (sizeof(uint32_t) + sizeof(void*))


def _age(ProcessCore process):
    pid = process.pid
    return pid.serial, pid.id


cdef int _traverse_table(PyObject* table, visitproc visit, void* into) noexcept:
    cdef Py_ssize_t place
    cdef PyObject* process
    cdef int found
    if (<Table>table)._keys == NULL or (<Table>table)._places == NULL:
        return 0
    for place in range((<Table>table)._mask + 1):
        if (<Table>table)._keys[place]:
            process = <PyObject*>(<Table>table)._places[place]
            # What nobody else refers to and the collector does not see is a part of this.
            found = 0
            if is_tracked(process):
                found = visit(process, into)
            elif references(process) == 1:
                found = _traverse(process, visit, into)
            if found:
                return found
    return 0


set_traverse(<PyTypeObject*>Table, <void*>_traverse_table)
