# The C side of the compiled codec, for other compiled modules.
#
# Reading: decode_span() reads one term that starts at pos[0] of ``size`` bytes, and moves pos[0]
# behind it; decode_at() does the same in a bytes object, and decode_around() in bytes that lack
# those of one binary, which is there as an object.  Offsets of errors count from the first byte.  ``data`` must stay where it is until they return.
#
# Writing: open_writer(), any number of put_bytes() and put_term(), then close_writer(); whatever
# raises in between, drop_writer().  ``room`` is the caller's own (on its stack, say), and is
# enough for most messages.
#
# With ``aside_from`` set (at first it is above any size), binaries from that size on are not copied but
# noted, and ``aside_bytes`` counts them; close_pieces() then gives what is behind the first
# ``begin`` bytes, in pieces.

cdef struct Aside:
    Py_ssize_t place
    void* owner

cdef struct Writer:
    unsigned char* bytes_
    Py_ssize_t used
    Py_ssize_t room
    void* block
    Py_ssize_t depth
    Py_ssize_t max_depth
    bint records
    bint careful
    Py_ssize_t aside_from
    Py_ssize_t aside_bytes
    Py_ssize_t aside_count
    Aside* aside

cdef object decode_span(
    const unsigned char* data, Py_ssize_t size, Py_ssize_t* pos, tuple atoms, bint text, object limits
)
cdef object decode_around(
    const unsigned char* data,
    Py_ssize_t size,
    Py_ssize_t* pos,
    tuple atoms,
    bint text,
    object limits,
    Py_ssize_t hole_at,
    bytes hole,
)
cdef object new_large(Py_ssize_t size)
cdef object decode_at(bytes data, Py_ssize_t* pos, tuple atoms, bint text, object limits)
cdef object encode_bytes(object term, bint version, bint records, object limits)

cdef void open_writer(Writer* writer, unsigned char* room, Py_ssize_t size) noexcept
cdef int put_bytes(Writer* writer, const void* data, Py_ssize_t size) except -1
cdef int put_term(Writer* writer, object term, bint records, object limits) except -1
cdef object close_writer(Writer* writer)
cdef object close_pieces(Writer* writer, Py_ssize_t begin)
cdef void drop_writer(Writer* writer) noexcept
