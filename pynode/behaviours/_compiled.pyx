# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The dispatch of a GenServer's messages, in C: the twin of ``ServerBody.step`` for what is common.

Calls, casts and other messages go to plain callbacks from here.  Whatever follows from a callback
besides its return (coroutines, continuations, debugging, crashes), and every system message, is
left to the methods of :class:`pynode.behaviours.gen_server.ServerBody`.
"""

from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE

from pynode.terms._compiled cimport Atom, ImproperList, Pid, Reference

from types import CoroutineType

from pynode.behaviours.words import ALIAS, EXIT, GEN_CALL, GEN_CAST, SYSTEM
from pynode.errors import NO_REPLY, Exit

__all__ = ["CallerRoot", "QuickBody"]

cdef extern from *:
    """
    static inline PyObject *pynode_new_object(PyObject *kind, PyObject *nothing) {
        return ((PyTypeObject *)kind)->tp_new((PyTypeObject *)kind, nothing, NULL);
    }
    """
    object new_object "pynode_new_object"(object kind, tuple nothing)

cdef Atom _alias = ALIAS
cdef Atom _exit = EXIT
cdef Atom _gen_call = GEN_CALL
cdef Atom _gen_cast = GEN_CAST
cdef Atom _system = SYSTEM
cdef object _no_reply = NO_REPLY
cdef object _coroutine = CoroutineType
cdef tuple _nothing = ()


cdef inline bint _same(Atom one, Atom other):
    return one is other or (one._hash == other._hash and one.name == other.name)


cdef class CallerRoot:
    """What a :class:`pynode.behaviours.gen.Caller` is made of."""

    cdef public object _process
    cdef readonly object term

    def __init__(self, process, term):
        self._process = process
        self.term = term


cdef inline object _address(tuple origin):
    """Return where the reply to ``{Pid, Tag}`` goes to, as ``gen.reply`` finds it."""
    tag = origin[1]
    if type(tag) is Reference:
        return origin[0]
    if type(tag) is ImproperList:
        first = (<ImproperList>tag).elements[0]
    elif type(tag) is list and tag:
        first = tag[0]
    else:
        return origin[0]
    inner = first if type(first) is ImproperList else tag
    if (
        type(inner) is ImproperList
        and type((<ImproperList>inner).tail) is Reference
        and PyTuple_GET_SIZE((<ImproperList>inner).elements) == 1
    ):
        word = (<ImproperList>inner).elements[0]
        if type(word) is Atom and _same(<Atom>word, _alias):
            return (<ImproperList>inner).tail
    return origin[0]


cdef class QuickBody:
    """What the body of every behaviour is made of: what the dispatch looks at."""

    #: See :class:`pynode.behaviours.body.BehaviourBody`.
    cdef public object extra
    #: What a callback asked for besides its result.
    cdef public object next
    #: What has the callbacks.
    cdef public object server

    def message(self, process, message):
        """Handle one message of a server; that of a ``BehaviourBody`` is for all the others."""
        cdef tuple term
        cdef Py_ssize_t size
        if self.extra is not None:
            return self.extra.message(self, message)
        if type(message) is tuple:
            term = <tuple>message
            size = PyTuple_GET_SIZE(term)
            if (size == 2 or size == 3) and type(term[0]) is Atom:
                tag = <Atom>term[0]
                if size == 2:
                    if _same(tag, _gen_cast):
                        return self._cast(term)
                elif _same(tag, _gen_call):
                    origin = term[1]
                    if type(origin) is tuple and PyTuple_GET_SIZE(<tuple>origin) == 2:
                        return self._called(process, <tuple>origin, term[2])
                elif _same(tag, _system) or _same(tag, _exit):
                    return self.step(message)
        return self._other(message)

    cdef object _cast(self, tuple message):
        try:
            result = self.server.handle_cast(message[1])
        except (Exception, Exit) as error:
            return self.crash(error, message)
        if result is None and self.next is None and self.extra is None:
            return None
        return self.follow(result, message)

    cdef object _other(self, message):
        try:
            result = self.server.handle_info(message)
        except (Exception, Exit) as error:
            return self.crash(error, message)
        if result is None and self.next is None and self.extra is None:
            return None
        return self.follow(result, message)

    cdef object _called(self, process, tuple origin, request):
        cdef CallerRoot caller = <CallerRoot>new_object(_caller_type, _nothing)
        caller._process = process
        caller.term = origin
        try:
            result = self.server.handle_call(request, caller)
            if type(result) is _coroutine:
                return self._finish_call(result, caller, request)
            if result is _no_reply or self.extra is not None or not _reply(process, origin, result):
                self._answer(caller, result)
        except (Exception, Exit) as error:
            return self.call_failed(error, caller, request)
        return None if self.next is None else self._guarded(request)


cdef bint _reply(process, tuple origin, result) except -1:
    """Send the reply if it goes to another node, and the way there is open."""
    quick = process.runtime.quick
    if quick is None:
        return False
    to = _address(origin)
    if type(to) is not Pid and type(to) is not Reference:
        return False
    return quick.send(process, to, (origin[1], result))


cdef object _caller_type = CallerRoot


def set_caller_type(kind):
    """Say what servers are given as the caller: a class without further fields."""
    global _caller_type
    if not issubclass(kind, CallerRoot):
        raise TypeError(kind)
    _caller_type = kind
