# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The way of a plain message to its mailbox, in C; see ``inbound`` for the same in Python."""

from cpython.object cimport PyObject

from pynode.dist._compiled cimport Messages
from pynode.etf._compiled cimport decode_span
from pynode.process._stepping cimport ProcessCore, put_message
from pynode.terms._compiled cimport Pid, Reference

from pynode.dist.control import AliasSend, RegSend, Send, SendSender
from pynode.policy import Action, default_policy

__all__ = ["InboundMessages", "decode_view"]

cdef object _SEND = Action.SEND


cdef class InboundMessages(Messages):
    """Messages to processes, names and aliases of one runtime."""

    cdef object _runtime
    cdef object _inbound
    cdef object _limits
    cdef dict _table
    cdef dict _names
    cdef dict _aliases

    def __init__(self, runtime):
        self._runtime = runtime
        self._inbound = runtime.inbound
        self._limits = runtime.limits
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

    cdef int _put(self, ProcessCore process, term) except -1:
        put_message(process, term)
        return 0


def decode_view(const unsigned char[::1] data, Py_ssize_t offset, tuple atoms, bint text, limits):
    """Return the term at ``offset`` of what is no bytes object, without a copy of it all."""
    cdef Py_ssize_t end = offset
    return decode_span(&data[0], data.shape[0], &end, atoms, text, limits)
