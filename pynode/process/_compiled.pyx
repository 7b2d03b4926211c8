# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The way of a plain message to its mailbox, in C; see ``inbound`` for the same in Python."""

from cpython.object cimport PyObject

from pynode.dist._compiled cimport Gather, Messages
from pynode.etf._compiled cimport decode_span
from pynode.terms._compiled cimport Pid

from pynode.dist.control import AliasSend, RegSend, Send, SendSender
from pynode.errors import EncodeError
from pynode.policy import Action, default_policy
from pynode.process.mailbox import Mailbox

__all__ = ["InboundMessages", "OutboundMessages"]

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


cdef enum:
    GATHER_BYTES = 64 * 1024


cdef class OutboundMessages:
    """Messages to processes of other nodes that take what they are sent."""

    cdef object _router
    cdef dict _busy
    cdef dict _gathers

    def __init__(self, router, dict gathers):
        """``gathers``: those of the connected nodes, by name, as ``net`` keeps them."""
        self._router = router
        self._busy = router._busy
        self._gathers = gathers

    def send(self, process, Pid dest, term):
        """Send ``term`` if this way is open; False: it is to be sent by :class:`Delivery`."""
        cdef Gather gather = self._gathers.get(dest.node)
        if gather is None or gather.shut or self._busy or not process.alive:
            return False
        try:
            payload = gather.send(process.pid, dest, term)
        except EncodeError:
            return False  # it is told there, or it is a native record
        if payload is not None:
            control = SendSender(process.pid, dest)
            self._router.signal(process, dest.node, control, payload)
        elif gather.used >= GATHER_BYTES:
            if gather.link.full():
                self._router.hold(process, dest.node)
        elif not gather.scheduled:
            gather.scheduled = True
            gather.link.schedule_flush()
        return True
