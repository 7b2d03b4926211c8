# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The heap of timers in C; see ``timers`` for the same in Python, and for what it promises."""

cimport cython
from cpython.object cimport PyObject

import contextvars

__all__ = ["Timer", "TimerHeap"]

cdef extern from *:
    """
    #include <time.h>
    /* The clock of time.monotonic(). */
    static inline double pynode_monotonic(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }
    static inline PyObject **pynode_items(PyObject *list) {
        return ((PyListObject *)list)->ob_item;
    }
    """
    double monotonic "pynode_monotonic"() noexcept
    PyObject** items_of "pynode_items"(list) noexcept

cdef enum:
    COMPACT_FROM = 64


@cython.final
@cython.freelist(64)
cdef class Timer:
    """One pending call of a function."""

    @property
    def left(self):
        """Seconds until it fires; 0 if it is due or over."""
        cdef double left = self.when - monotonic()
        return left if left > 0.0 else 0.0

    def cancel(self):
        """Cancel, and return whether it was still to come."""
        return self.stop()

    cdef bint stop(self) except -1:
        if self.callback is None:
            return False
        self.callback = None
        self.args = ()
        self._heap._cancelled += 1
        if (
            self._heap._cancelled > COMPACT_FROM
            and self._heap._cancelled * 2 > len(self._heap._entries)
        ):
            self._heap.clean()
        return True


# A heap of timers in a list: only the places change, so no counts of references do.


cdef inline bint _before(PyObject* one, PyObject* other) noexcept:
    cdef Timer first = <Timer>one
    cdef Timer second = <Timer>other
    if first.when != second.when:
        return first.when < second.when
    return first.number < second.number


cdef void _up(list entries, Py_ssize_t at) noexcept:
    cdef PyObject** items = items_of(entries)
    cdef PyObject* moved = items[at]
    cdef Py_ssize_t parent
    while at > 0:
        parent = (at - 1) >> 1
        if not _before(moved, items[parent]):
            break
        items[at] = items[parent]
        at = parent
    items[at] = moved


cdef void _down(list entries, Py_ssize_t at) noexcept:
    cdef PyObject** items = items_of(entries)
    cdef PyObject* moved = items[at]
    cdef Py_ssize_t size = len(entries)
    cdef Py_ssize_t child = 2 * at + 1
    while child < size:
        if child + 1 < size and _before(items[child + 1], items[child]):
            child += 1
        if not _before(items[child], moved):
            break
        items[at] = items[child]
        at = child
        child = 2 * at + 1
    items[at] = moved


cdef Timer _pop(list entries):
    cdef PyObject** items = items_of(entries)
    cdef Py_ssize_t last = len(entries) - 1
    cdef PyObject* first = items[0]
    items[0] = items[last]
    items[last] = first
    found = entries.pop()
    if last > 1:
        _down(entries, 0)
    return <Timer>found


cdef class TimerHeap:
    """All timers of one runtime."""

    def __init__(self, loop):
        self._loop = loop
        self._context = contextvars.Context()
        self._entries = []
        self._number = 0
        self._cancelled = 0
        self._handle = None
        self._wake_at = 0.0

    def after(self, double seconds, callback, *args):
        """Call ``callback(*args)`` on the loop in ``seconds``; ties keep the order of creation."""
        return self.start(seconds, callback, args)

    cdef Timer start(self, double seconds, object callback, tuple args):
        cdef Timer timer = Timer.__new__(Timer)
        timer.when = monotonic() + (seconds if seconds > 0.0 else 0.0)
        self._number += 1
        timer.number = self._number
        timer._heap = self
        timer.callback = callback
        timer.args = args
        self._entries.append(timer)
        _up(self._entries, len(self._entries) - 1)
        if self._handle is None or timer.when < self._wake_at:
            self._arm((<Timer>self._entries[0]).when)
        return timer

    cdef int clean(self) except -1:
        """Leave the cancelled ones out."""
        cdef Py_ssize_t at, size
        cdef Py_ssize_t cancelled
        cdef list kept
        while True:
            size, cancelled = len(self._entries), self._cancelled
            kept = [timer for timer in self._entries if (<Timer>timer).callback is not None]
            # The list may have the collector run, and that finalizers which use timers.
            if size == len(self._entries) and cancelled == self._cancelled:
                break
        for at in range(len(kept) // 2 - 1, -1, -1):
            _down(kept, at)
        self._entries = kept
        self._cancelled = 0
        return 0

    def close(self):
        """Forget all timers; none fires any more."""
        cdef list entries = self._entries
        self._entries = []
        for timer in entries:
            (<Timer>timer).callback = None  # cancelling it later changes no count
        self._cancelled = 0
        handle = self._handle
        if handle is not None:
            self._handle = None
            handle.cancel()

    def __len__(self):
        """Return how many timers are to come."""
        return len(self._entries) - self._cancelled

    cdef int _arm(self, double when) except -1:
        cdef double left = when - monotonic()
        handle = self._handle
        self._handle = None
        if handle is not None:
            handle.cancel()
        self._wake_at = when
        # Interrupted in here, the next timer arms for all.
        self._handle = self._loop.call_later(
            left if left > 0.0 else 0.0, self._fire, context=self._context
        )
        return 0

    def _fire(self):
        cdef Timer timer
        # The loop's clock may run a tick ahead of ours: what is due within it fires now, lest
        # the loop is asked for a delay of nothing again and again.
        cdef double now = monotonic() + 1e-4
        self._handle = None
        try:
            while self._entries:
                timer = <Timer>self._entries[0]
                if timer.when > now:
                    break
                self._fire_first()
        finally:  # a callback may be interrupted, and the loop go on
            if self._entries and self._handle is None:
                self._arm((<Timer>self._entries[0]).when)

    cdef int _fire_first(self) except -1:
        cdef Timer timer = _pop(self._entries)
        callback = timer.callback
        if callback is None:
            self._cancelled -= 1
            return 0
        timer.callback = None
        args = timer.args
        timer.args = ()
        try:
            callback(*args)
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": "a timer of the runtime failed", "exception": error}
            )
        return 0
