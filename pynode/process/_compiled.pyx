# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The way of a plain message to its mailbox, in C; see ``inbound`` for the same in Python."""

from cpython.object cimport PyObject

from pynode.dist._compiled cimport Messages
from pynode.etf._compiled cimport decode_around, decode_span
from pynode.process._stepping cimport ProcessCore, SchedulerCore, find_process, put_message
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
    cdef dict _names
    cdef dict _aliases
    cdef dict _nodes
    cdef SchedulerCore _scheduler
    # The last control message, and the process that it leads to as long as no other code runs:
    # where messages come one after the other there is nothing to ask and to look up again.
    cdef object _again
    cdef ProcessCore _to

    def __init__(self, runtime):
        self._runtime = runtime
        self._inbound = runtime.inbound
        self._limits = runtime.limits
        self._names = runtime.names._table
        self._aliases = runtime.aliases
        self._nodes = runtime.nodes._table
        self._scheduler = runtime.scheduler

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
        cdef ProcessCore process = self._to
        if process is not None and control is self._again:
            put_message(process, decode_span(data, size, &end, atoms, process.text, self._limits))
            return 0
        self.anew()
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
            process = self._local(<Pid>to)
        if process is None:
            return 0
        if self._runtime.policy is default_policy:
            if process.rare is None:
                self._again = control
                self._to = process
        elif not self._inbound.allowed(peer, _SEND, to):
            return 0
        put_message(process, decode_span(data, size, &end, atoms, process.text, self._limits))
        return 0

    cdef void anew(self) noexcept:
        self._again = self._to = None

    cdef ProcessCore _local(self, Pid pid):
        """See :meth:`Runtime.local`."""
        cdef ProcessCore process = find_process(self._scheduler, pid)
        return self._runtime.local(pid) if process is None else process

    cdef bint watch(self, object peer, bint begins, object from_, object target, object ref) except -1:
        """As ``on_monitor`` and ``on_demonitor`` of :class:`Monitors` do, where all is well."""
        cdef ProcessCore process
        runtime = self._runtime
        if runtime.stopped or runtime.policy is not default_policy:
            return False
        remote = self._nodes.get(peer.name)
        if remote is None:
            return False
        if begins:
            if (<Reference>ref).node != remote.name:
                return False
            process = self._local(<Pid>target) if type(target) is Pid else self._names.get(target)
            if process is None:
                return False
            runtime.monitors.add_watcher(remote, from_, process, ref, target)
            return True
        watchers = remote.watchers
        watcher = watchers.get(ref)
        if watcher is not None and watcher.from_ == from_:
            del watchers[ref]
            process = watcher.watched
            if process.watchers is not None:
                process.watchers.pop(ref, None)
        return True

    cdef bint _allowed(self, object peer, object to) except -1:
        if self._runtime.policy is default_policy:
            return True
        return self._inbound.allowed(peer, _SEND, to)


def decode_view(
    const unsigned char[::1] data, Py_ssize_t offset, tuple atoms, bint text, limits, hole=None
):
    """Return the term at ``offset`` of what is no bytes object, without a copy of it all."""
    cdef Py_ssize_t end = offset
    if hole is not None:
        return decode_around(
            &data[0], data.shape[0], &end, atoms, text, limits, hole.offset, hole.binary
        )
    return decode_span(&data[0], data.shape[0], &end, atoms, text, limits)
