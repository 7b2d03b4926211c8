# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The way of a plain message to its mailbox, in C; see ``inbound`` for the same in Python."""

from cpython.object cimport PyObject

from pynode.dist._compiled cimport Messages
from pynode.etf._compiled cimport decode_span
from pynode.terms._compiled cimport Pid, Reference

from pynode.dist.control import AliasSend, RegSend, Send, SendSender
from pynode.policy import Action, default_policy
from pynode.process.mailbox import Mailbox

__all__ = ["InboundMessages", "decode_view", "run_messages"]

cdef object _SEND = Action.SEND


cdef class InboundMessages(Messages):
    """Messages to processes, names and aliases of one runtime."""

    cdef object _runtime
    cdef object _inbound
    cdef object _limits
    cdef object _scheduler
    cdef dict _table
    cdef dict _names
    cdef dict _aliases

    def __init__(self, runtime):
        self._runtime = runtime
        self._inbound = runtime.inbound
        self._limits = runtime.limits
        self._scheduler = runtime.scheduler
        self._table = runtime._table
        self._names = runtime.names._table
        self._aliases = runtime.aliases

    cdef int message(
        self,
        object peer,
        object control,
        const unsigned char* data,
        Py_ssize_t size,
        Py_ssize_t offset,
        tuple atoms,
    ) except -1:
        cdef Py_ssize_t end = offset
        runtime = self._runtime
        if runtime.stopped:
            return 0
        kind = type(control)
        if kind is AliasSend:
            to = control[1]
            alias = self._aliases.get(to)
            if alias is not None and self._allowed(peer, to):
                alias.take(decode_span(data, size, &end, atoms, False, self._limits))
            return 0
        if kind is RegSend:
            to = control[1]
            process = self._names.get(to)
        else:
            to = control[1] if kind is SendSender else control[0]
            process = self._table.get((<Pid>to).number) if (<Pid>to).odd is None else None
            if process is None or process.pid != to:
                process = runtime.local(to)
        if process is None or not self._allowed(peer, to):
            return 0
        self._put(process, decode_span(data, size, &end, atoms, process.text, self._limits))
        return 0

    cdef bint _allowed(self, object peer, object to) except -1:
        if self._runtime.policy is default_policy:
            return True
        return self._inbound.allowed(peer, _SEND, to)

    cdef int _put(self, process, term) except -1:
        if not process.alive or process.rare is not None:
            self._runtime.put(process, term)
            return 0
        mailbox = process.mailbox
        if mailbox is None:
            mailbox = process.mailbox = Mailbox()
        mailbox.append(term)
        receivers = process.receivers
        if receivers is not None:
            for receiver in receivers:
                receiver.wake()
        if not process.ready and process.task is None and process.body is not None:
            self._scheduler.ready(process)
        return 0


cdef extern from *:
    """
    #include <time.h>
    /* The clock of time.monotonic(). */
    static inline double pynode_monotonic(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }
    """
    double monotonic "pynode_monotonic"() noexcept

cdef extern from "Python.h":
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1


def run_messages(process, Py_ssize_t most, double deadline, double slow, double now):
    """Give the body of ``process`` up to ``most`` messages, all in one visit to its context.

    Returns:
        ``(now, what, value, seconds)``: when it stopped, and why.  ``what`` is 0: nothing to do;
        1: the budget or ``most`` is used up; 2: ``value`` is the coroutine that a message needs;
        3: ``value`` is what a message raised; 4: the last one held the loop for long.  The last
        took ``seconds``.
    """
    cdef Py_ssize_t left = most
    cdef double then = now
    cdef int what = 0
    value = None
    call = process.body.message
    context = process.context
    PyContext_Enter(context)
    try:
        while process.task is None and process.alive and process.held_by is None:
            mailbox = process.mailbox
            if mailbox is None:
                break
            if mailbox.saved:
                message = mailbox.take(process.receivers)
            elif len(mailbox):
                message = mailbox.popleft()
            else:
                if process.receivers is None:
                    process.mailbox = None  # an idle process is as small as can be
                break
            then = now
            try:
                value = call(process, message)
            except BaseException as error:
                value = error
                what = 3
            now = monotonic()
            if what or value is not None:
                what = what or 2
                break
            if now - then > slow:
                what = 4
                break
            left -= 1
            if left == 0 or now > deadline:
                what = 1
                break
    finally:
        PyContext_Exit(context)
    return now, what, value, now - then


def decode_view(const unsigned char[::1] data, Py_ssize_t offset, tuple atoms, bint text, limits):
    """Return the term at ``offset`` of what is no bytes object, without a copy of it all."""
    cdef Py_ssize_t end = offset
    return decode_span(&data[0], data.shape[0], &end, atoms, text, limits)
