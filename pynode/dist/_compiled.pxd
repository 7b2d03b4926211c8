# The C side of connections: what the compiled half of ``process`` takes part in.

from pynode.etf._compiled cimport Writer


cdef class Messages:
    # What takes the messages of all peers, in the order of arrival.
    #
    # ``control`` is a Send, SendSender, RegSend or AliasSend; the payload is the term at
    # ``offset`` of the ``size`` bytes at ``data``, which stay there until this returns.  It is
    # decoded after policy was asked, and only if somebody gets it.
    cdef int message(
        self,
        object peer,
        object control,
        const unsigned char* data,
        Py_ssize_t size,
        Py_ssize_t offset,
        tuple atoms,
    ) except -1
    # A MONITOR_P (else DEMONITOR_P) of the peer's process, of one of this node's or of a name.
    # False: it needs a closer look.
    cdef bint watch(self, object peer, bint begins, object from_, object target, object ref) except -1
    # Other code has run since the last call of these.
    cdef void anew(self) noexcept


cdef class Gather:
    cdef unsigned char* _bytes
    cdef Py_ssize_t _room
    cdef readonly Py_ssize_t used
    cdef object _from
    cdef object _to
    cdef bytes _control
    # Set by the owner: nothing may be written here now; the owner knows that something waits.
    cdef public bint shut
    cdef public bint scheduled
    # Frames that send() has written.
    cdef readonly Py_ssize_t messages
    # Who is to be told, :class:`pynode.net.link.Link`; None: nobody may send here.
    cdef public object link
    # The owner is to be told when so much is here.
    cdef public Py_ssize_t bound
    # Of the connection.
    cdef public unsigned long long flags

    cdef int append(self, const void* data, Py_ssize_t size) except -1
    cdef bytes control(self, object from_, object to)
    cdef int message(self, bytes control, Writer* term) except -1
    cdef object send(self, object from_, object to, object term)
    cdef object ask(self, tuple monitor, object from_, object to, object term)
    cdef object put(self, tuple control, bint with_payload, object term)
