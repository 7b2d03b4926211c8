# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The short way of plain messages, in C: a second road to what ``connection`` and ``outbox`` do.

In: :class:`Intake` takes the whole frames of a read that carry a message to a process, a name or
an alias, and hands each to a :class:`Messages`.  Everything else, faulty frames among it, it
leaves to :class:`pynode.dist.connection.Connection`, so there is one place that says what is
wrong, and with which words.

Out: :class:`Gather` is the buffer in which small frames are joined; :meth:`Gather.send` writes a
whole SEND_SENDER frame into it.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_SET_ITEM
from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memcpy

from pynode.etf._compiled cimport (
    Writer,
    close_pieces,
    close_writer,
    decode_span,
    drop_writer,
    new_large,
    open_writer,
    put_bytes,
    put_term,
)
from pynode.terms._compiled cimport Atom, Pid, Reference

from pynode.config import Limits
from pynode.dist.control import AliasSend, Demonitor, Monitor, RegSend, Send, SendSender
from pynode.errors import DecodeError, EncodeError
from pynode.etf.pieces import PIECE_BYTES as _PIECE_BYTES

__all__ = ["Gather", "Intake", "Messages", "Place"]

cdef extern from *:
    """
    static inline PyObject *pynode_new_tuple(PyObject *kind, Py_ssize_t size) {
        return ((PyTypeObject *)kind)->tp_alloc((PyTypeObject *)kind, size);
    }
    static inline uint32_t pynode_be32(const unsigned char *at) {
        return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    """
    object new_tuple "pynode_new_tuple"(object kind, Py_ssize_t size)
    uint32_t be32 "pynode_be32"(const unsigned char* at) noexcept


cdef class Messages:
    """What takes the messages; ``process`` has it."""

    cdef int message(
        self,
        object peer,
        object control,
        const unsigned char* data,
        Py_ssize_t size,
        Py_ssize_t offset,
        tuple atoms,
    ) except -1:
        raise NotImplementedError

    cdef bint watch(self, object peer, bint begins, object from_, object target, object ref) except -1:
        return False

    cdef void anew(self) noexcept:
        pass


cdef object _LIMITS = Limits()
cdef Py_ssize_t PIECE_BYTES = _PIECE_BYTES

cdef enum:
    SEND = 2
    REG_SEND = 6
    SEND_SENDER = 22
    ALIAS_SEND = 33
    MONITOR = 19
    DEMONITOR = 20
    ALTACT_SEND = 37
    FRAGMENT_CONTINUE = 70
    COPIED_FRAME = 4096
    TO_PROCESS = 0
    TO_ALIAS = 4
    TO_NAME = 8


cdef inline object _three(object kind, object first, object second):
    """Return ``kind(first, second, None)``."""
    found = new_tuple(kind, 3)
    Py_INCREF(first)
    PyTuple_SET_ITEM(found, 0, first)
    Py_INCREF(second)
    PyTuple_SET_ITEM(found, 1, second)
    Py_INCREF(None)
    PyTuple_SET_ITEM(found, 2, None)
    return found


cdef object _message(tuple term):
    """Return the message that a control term is, None for what the connection has to see."""
    cdef Py_ssize_t arity = PyTuple_GET_SIZE(term)
    cdef int flags
    if arity < 3 or type(term[0]) is not int:
        return None
    op = term[0]
    if op == SEND_SENDER:
        if arity == 3 and type(term[1]) is Pid and type(term[2]) is Pid:
            return _three(SendSender, term[1], term[2])
    elif op == SEND:
        if arity == 3 and type(term[2]) is Pid:
            return Send(term[2])
    elif op == REG_SEND:
        if arity == 4 and type(term[1]) is Pid and type(term[3]) is Atom:
            return _three(RegSend, term[1], term[3])
    elif op == ALIAS_SEND:
        if arity == 3 and type(term[1]) is Pid and type(term[2]) is Reference:
            return _three(AliasSend, term[1], term[2])
    elif op == ALTACT_SEND:
        if arity != 4 or type(term[1]) is not int or type(term[2]) is not Pid:
            return None
        if term[1] == TO_ALIAS:
            if type(term[3]) is Reference:
                return _three(AliasSend, term[2], term[3])
        elif term[1] == TO_PROCESS:
            if type(term[3]) is Pid:
                return _three(SendSender, term[2], term[3])
        elif term[1] == TO_NAME:
            if type(term[3]) is Atom:
                return _three(RegSend, term[2], term[3])
    return None


cdef class Intake:
    """The whole frames of a read, for one connection."""

    #: Set by the owner once it is closed: no further frame is looked at.
    cdef public bint stopped
    #: Of the last call of :meth:`take`: frames it dealt with itself, messages among them, ticks.
    cdef readonly Py_ssize_t frames
    cdef readonly Py_ssize_t messages
    cdef readonly Py_ssize_t ticks
    cdef object _limits
    cdef Py_ssize_t _longest
    cdef Messages _messages
    cdef object _peer
    cdef dict _seen
    # The last header with references, and the last control message, as they were on the wire.
    cdef bytes _header
    cdef tuple _atoms
    cdef bytes _control
    cdef tuple _control_atoms
    cdef object _message
    cdef object _local
    cdef object _on_control

    def __init__(self, messages, peer, limits, dict seen, local):
        """Make one.

        Args:
            messages: what takes the messages.
            peer: the other node.
            limits: see :class:`pynode.config.Limits`.
            seen: the headers that an :class:`AtomCache` knows, which empties it at each news.
            local: the name of this node.
        """
        self._local = local
        self._messages = messages
        self._peer = peer
        self._limits = limits
        self._longest = limits.frame_bytes
        self._seen = seen

    def take(self, bytes data, Py_ssize_t position, frame_, on_control):
        """Deal with the frames from ``position`` on, and return where the first unfinished begins.

        ``frame_(frame, on_control)`` takes the frames that are something else.  One above the
        limit counts as unfinished.
        """
        cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t length
        self.frames = 0
        self.messages = 0
        self.ticks = 0
        self._on_control = on_control
        self._messages.anew()
        self._header = None  # frames that came in parts have not come through here
        while size - position >= 4:
            length = be32(base + position)
            if length == 0:
                self.ticks += 1
                position += 4
                continue
            if length > size - position - 4 or length > self._longest:
                break
            position += 4 + length
            self.frames += 1  # also if its message is faulty
            if not self._one(base + position - length, length):
                self.frames -= 1
                self._header = None  # it may have filled slots anew
                self._control = None
                if length >= COPIED_FRAME and base[position - length + 1] == FRAGMENT_CONTINUE:
                    frame_(memoryview(data)[position - length : position], on_control)
                else:
                    frame_(data[position - length : position], on_control)
                self._messages.anew()
            if self.stopped:
                return size
        self._messages.anew()
        return position

    cdef int _one(self, const unsigned char* frame, Py_ssize_t length) except -1:
        """Deliver the message in a frame; 0: it is something else."""
        cdef Py_ssize_t at = 3, count, header
        cdef tuple atoms = ()
        if length < 4 or frame[0] != 131 or frame[1] != 68:
            return 0
        count = frame[2]
        if count:
            header = 2 + count // 2 + count
            at = 2 + header
            if at >= length:
                return 0
            if (
                self._header is not None
                and PyBytes_GET_SIZE(self._header) == header
                and memcmp(PyBytes_AS_STRING(self._header), frame + 2, header) == 0
            ):
                atoms = self._atoms
            else:
                raw = PyBytes_FromStringAndSize(<const char*>frame + 2, header)
                found = self._seen.get(raw)
                if found is None:
                    return 0
                self._header = raw
                self._atoms = atoms = found
        cdef Py_ssize_t same
        if self._control is not None and atoms is self._control_atoms:
            same = PyBytes_GET_SIZE(self._control)
            if (
                length - at > same
                and memcmp(PyBytes_AS_STRING(self._control), frame + at, same) == 0
            ):
                self.messages += 1
                self._messages.message(
                    self._peer, self._message, frame, length, at + same, atoms
                )
                return 1
        return self._other(frame, length, at, atoms)

    cdef int _other(
        self, const unsigned char* frame, Py_ssize_t length, Py_ssize_t at, tuple atoms
    ) except -1:
        """The same with another control message than the last."""
        cdef Py_ssize_t end = at
        cdef int op
        if length - at < 8 or frame[at] != 104 or frame[at + 2] != 97:
            return 0
        op = frame[at + 3]
        if op == MONITOR or op == DEMONITOR:
            return self._watch(frame, length, at, atoms)
        if not (op == SEND or op == SEND_SENDER or op == REG_SEND or op == ALIAS_SEND
                or op == ALTACT_SEND):
            return 0
        try:
            term = decode_span(frame, length, &end, atoms, False, self._limits)
        except DecodeError:
            return 0
        if type(term) is not tuple or end >= length:
            return 0
        message = _message(term)
        if message is None:
            return 0
        if type(message) is not AliasSend:
            self._control = PyBytes_FromStringAndSize(<const char*>frame + at, end - at)
            self._control_atoms = atoms
            self._message = message
        self.messages += 1
        self._messages.message(self._peer, message, frame, length, end, atoms)
        return 1

    cdef int _watch(
        self, const unsigned char* frame, Py_ssize_t length, Py_ssize_t at, tuple atoms
    ) except -1:
        """Hand on a MONITOR_P or DEMONITOR_P between this node and the peer."""
        cdef Py_ssize_t end = at
        cdef tuple term
        try:
            found = decode_span(frame, length, &end, atoms, False, self._limits)
        except DecodeError:
            return 0
        if type(found) is not tuple or PyTuple_GET_SIZE(found) != 4:
            return 0
        term = found
        if (
            type(term[1]) is not Pid
            or type(term[3]) is not Reference
            or (<Pid>term[1]).node != self._peer.name
        ):
            return 0
        if type(term[2]) is Pid:
            if (<Pid>term[2]).node != self._local:
                return 0
        elif type(term[2]) is not Atom:
            return 0
        if self._messages.watch(self._peer, term[0] == MONITOR, term[1], term[2], term[3]):
            self.messages += 1
            return 1
        message = new_tuple(Monitor if term[0] == MONITOR else Demonitor, 3)
        for at in range(3):
            part = term[at + 1]
            Py_INCREF(part)
            PyTuple_SET_ITEM(message, at, part)
        self._on_control(message, None)
        self._messages.anew()
        return 1


cdef class Place:
    """Memory for a binary that is still to come, to be written to; then the bytes object."""

    cdef bytes _bytes
    cdef Py_ssize_t _views

    def __init__(self, Py_ssize_t size):
        self._bytes = new_large(size)

    def __getbuffer__(self, Py_buffer* view, int flags):
        if self._bytes is None:
            raise BufferError("the place was taken")
        PyBuffer_FillInfo(
            view, self, PyBytes_AS_STRING(self._bytes), PyBytes_GET_SIZE(self._bytes), 0, flags
        )
        self._views += 1

    def __releasebuffer__(self, Py_buffer* view):
        self._views -= 1

    def take(self):
        """Return the bytes, once; those of a copy while somebody could still write to them."""
        cdef bytes found = self._bytes
        if found is None:
            raise BufferError("the place was taken")
        if self._views:
            return PyBytes_FromStringAndSize(PyBytes_AS_STRING(found), PyBytes_GET_SIZE(found))
        self._bytes = None
        return found


cdef Atom _NOBODY = Atom("")

cdef enum:
    CONTROL_ROOM = 256
    FRAME_ROOM = 1024
    MOST_MESSAGE = 16 * 1024


cdef class Gather:
    """Small frames, joined as they come."""

    def __cinit__(self):
        self._bytes = NULL
        self._room = 0
        self.used = 0
        self.messages = 0

    def __dealloc__(self):
        PyMem_Free(self._bytes)

    cdef int append(self, const void* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t room = self._room
        cdef unsigned char* grown
        if size > room - self.used:
            if room < 4096:
                room = 4096
            while size > room - self.used:
                room *= 2
            grown = <unsigned char*>PyMem_Realloc(self._bytes, room)
            if grown is NULL:
                raise MemoryError
            self._bytes = grown
            self._room = room
        memcpy(self._bytes + self.used, data, size)
        self.used += size
        return 0

    def add(self, bytes piece):
        """Put a piece of a frame behind the others."""
        self.append(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))

    def take(self):
        """Return everything, and begin anew."""
        found = PyBytes_FromStringAndSize(<const char*>self._bytes, self.used)
        self.used = 0
        return found

    def clear(self):
        """Forget everything."""
        self.used = 0

    cdef bytes control(self, object from_, object to):
        """The control message of a message to a pid, or to a name."""
        cdef unsigned char[CONTROL_ROOM] room
        cdef Writer writer
        if self._from is not from_ or self._to is not to:
            control = (SEND_SENDER, from_, to) if type(to) is Pid else (REG_SEND, from_, _NOBODY, to)
            open_writer(&writer, room, CONTROL_ROOM)
            try:
                put_term(&writer, control, False, _LIMITS)
                self._control = close_writer(&writer)
            finally:
                drop_writer(&writer)
            self._from = from_
            self._to = to
        return self._control

    cdef int message(self, bytes control, Writer* term) except -1:
        """Write a frame of a control message and a term."""
        cdef unsigned char[7] head
        cdef Py_ssize_t size = 3 + PyBytes_GET_SIZE(control) + term.used
        head[0] = size >> 24
        head[1] = size >> 16 & 255
        head[2] = size >> 8 & 255
        head[3] = size & 255
        head[4] = 131
        head[5] = 68
        head[6] = 0
        self.append(head, 7)
        self.append(PyBytes_AS_STRING(control), PyBytes_GET_SIZE(control))
        self.append(term.bytes_, term.used)
        self.messages += 1
        return 0

    cdef object send(self, object from_, object to, object term):
        """Write a whole frame for a pid or a name; return None, or the term's bytes if many.

        Raises EncodeError for what is no term, or a native record; nothing was written.
        """
        cdef unsigned char[FRAME_ROOM] room
        cdef Writer writer
        cdef bytes control = self.control(from_, to)
        open_writer(&writer, room, FRAME_ROOM)
        writer.aside_from = PIECE_BYTES
        try:
            put_term(&writer, term, False, _LIMITS)
            if writer.used + writer.aside_bytes >= MOST_MESSAGE:
                return close_pieces(&writer, 0)
            self.message(control, &writer)
            return None
        finally:
            drop_writer(&writer)

    cdef object ask(self, tuple monitor, object from_, object to, object term):
        """The same with the frame of MONITOR_P before it, which is also written before many."""
        cdef unsigned char[FRAME_ROOM] room
        cdef Writer writer
        cdef bytes control = self.control(from_, to)
        open_writer(&writer, room, FRAME_ROOM)
        writer.aside_from = PIECE_BYTES
        try:
            put_term(&writer, term, False, _LIMITS)
            self.put(monitor, False, None)
            if writer.used + writer.aside_bytes >= MOST_MESSAGE:
                return close_pieces(&writer, 0)
            self.message(control, &writer)
            return None
        finally:
            drop_writer(&writer)

    cdef object put(self, tuple control, bint with_payload, object term):
        """Write a whole frame; as :meth:`send`, but with any control message, as its term."""
        cdef unsigned char[FRAME_ROOM] room
        cdef Writer writer
        cdef Py_ssize_t size
        open_writer(&writer, room, FRAME_ROOM)
        try:
            put_bytes(&writer, b"\0\0\0\0\x83D\0", 7)
            put_term(&writer, control, False, _LIMITS)
            size = writer.used
            if with_payload:
                writer.aside_from = PIECE_BYTES
                put_term(&writer, term, False, _LIMITS)
                if writer.used + writer.aside_bytes - size >= MOST_MESSAGE:
                    return close_pieces(&writer, size)
            size = writer.used - 4
            writer.bytes_[0] = size >> 24
            writer.bytes_[1] = size >> 16 & 255
            writer.bytes_[2] = size >> 8 & 255
            writer.bytes_[3] = size & 255
            self.append(writer.bytes_, writer.used)
            self.messages += 1
            return None
        finally:
            drop_writer(&writer)
