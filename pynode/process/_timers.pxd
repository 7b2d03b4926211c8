# The C side of timers: what the compiled calls make of them without a look-up.

cdef class TimerHeap:
    cdef readonly list _entries
    cdef object _loop
    cdef object _context
    cdef object _handle
    cdef double _wake_at
    cdef unsigned long long _number
    cdef Py_ssize_t _cancelled

    cdef Timer start(self, double seconds, object callback, tuple args)
    cdef int clean(self) except -1
    cdef int _arm(self, double when) except -1
    cdef int _fire_first(self) except -1


cdef class Timer:
    cdef TimerHeap _heap
    cdef readonly double when
    cdef unsigned long long number
    cdef public object callback
    cdef public tuple args

    cdef bint stop(self) except -1
