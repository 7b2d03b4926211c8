# The C side of the compiled values: what other compiled modules may look at and make.

from libc.stdint cimport uint32_t


cdef class Atom:
    cdef readonly str name
    cdef readonly bytes wire
    cdef Py_hash_t _hash
    cdef object __weakref__


cdef class Pid:
    cdef readonly object node
    cdef Py_hash_t _hash
    # None; or the three numbers, where one is no int of 32 bits or the node no Atom.
    cdef object odd
    cdef uint32_t number
    cdef uint32_t serial_number
    cdef uint32_t life


cdef class Reference:
    cdef readonly object node
    cdef Py_hash_t _hash
    # None; or creation and words, where they are not one to five ints of 32 bits.
    cdef object odd
    cdef uint32_t life
    cdef uint32_t count
    cdef uint32_t[5] numbers


cdef class ImproperList:
    cdef readonly tuple elements
    cdef readonly object tail


# The atom of a name that can be one; it is looked for among those that are known.
cdef Atom intern_atom(str name)
cdef Pid make_pid(Atom node, uint32_t number, uint32_t serial, uint32_t life)
cdef Reference make_reference(Atom node, uint32_t life, uint32_t count, const uint32_t* numbers)
# ``elements`` is not empty; ``tail`` is neither a list nor an improper list.
cdef ImproperList make_improper(tuple elements, object tail)
