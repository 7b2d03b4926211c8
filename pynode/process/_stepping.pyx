# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The core of processes in C: the twins of ``mailbox``, ``task``, ``process``, ``scheduler``.

What it is for, and what each part does, is said there; here stands what C makes different.

A process that waits for a message is three objects of the garbage collector: the process, its
coroutine, and the function that chooses the message, if there is one.  So

- a :class:`Waiting`, what ``await process.receive()`` waits on, refers to nothing while it waits:
  the process has the function, and is found by a pointer that it clears when it goes;
- a process whose first turn has set no context variable has no context of its own, but shares
  the one that its parent had;
- the task is made when somebody asks for it, and for each step one of the scheduler's is lent.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc

from pynode.terms._compiled cimport Pid, Reference, make_pid
from pynode.terms._compiled cimport Atom

import sys
from asyncio import CancelledError, current_task
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from itertools import islice
from types import FunctionType
from weakref import ref as weak_reference

from pynode.errors import EncodeError, ProcessDead
from pynode.process.shared import BATCH, BUDGET, CURRENT, NOTHING, SLOW, ZOMBIE_AWAITS
from pynode.process.words import NORMAL
from pynode.terms import copy_term, to_text

__all__ = [
    "Mailbox",
    "ProcessCore",
    "Receive",
    "Receiver",
    "SchedulerCore",
    "Table",
    "TaskCore",
    "Waiter",
    "Waiting",
    "bind",
    "put",
    "send_here",
    "send_local",
    "spawn_function",
    "tell",
]

cdef extern from *:
    """
    #include <time.h>

    /* The clock of time.monotonic(). */
    static inline double pynode_now(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }

    /* What is being raised, and is not any more; NULL: nothing. */
    static inline PyObject *pynode_raised(void) {
    #if PY_VERSION_HEX >= 0x030C0000
        return PyErr_GetRaisedException();
    #else
        PyObject *kind, *value, *trace;
        PyErr_Fetch(&kind, &value, &trace);
        if (kind == NULL)
            return NULL;
        PyErr_NormalizeException(&kind, &value, &trace);
        if (trace != NULL) {
            PyException_SetTraceback(value, trace);
            Py_DECREF(trace);
        }
        Py_DECREF(kind);
        return value;
    #endif
    }

    /* Whether two contexts hold the very same variables: what they refer to is immutable, and
       another object after each change.  Both are alive, and nobody is in them. */
    typedef struct { int count; PyObject *seen[4]; } pynode_referents;

    static int pynode_visit(PyObject *object, void *into) {
        pynode_referents *found = (pynode_referents *)into;
        if (found->count < 4)
            found->seen[found->count] = object;
        found->count++;
        return 0;
    }

    static int pynode_same_variables(PyObject *one, PyObject *other) {
        pynode_referents first = {0}, second = {0};
        traverseproc traverse = Py_TYPE(one)->tp_traverse;
        if (traverse == NULL || Py_TYPE(one) != Py_TYPE(other))
            return 0;
        traverse(one, pynode_visit, &first);
        traverse(other, pynode_visit, &second);
        if (first.count != second.count || first.count == 0 || first.count > 4)
            return 0;
        for (int i = 0; i < first.count; i++)
            if (first.seen[i] != second.seen[i])
                return 0;
        return 1;
    }

    static int pynode_has_weakrefs(PyObject *object) {
        Py_ssize_t offset = Py_TYPE(object)->tp_weaklistoffset;
        return offset <= 0 || *(PyObject **)((char *)object + offset) != NULL;
    }

    /* Steps by ``await`` go this way on CPython 3.10 and 3.11, where a value needs no exception. */
    static void pynode_set_send(PyTypeObject *type, void *function) {
        if (type->tp_as_async != NULL)
            type->tp_as_async->am_send = (sendfunc)function;
    }

    static void pynode_set_traverse(PyTypeObject *type, void *function) {
        type->tp_traverse = (traverseproc)function;
    }

    /* A class in Python finds these by name, at each use, though it only inherits them. */
    static void pynode_lend_slots(PyTypeObject *type, PyTypeObject *base) {
        if (type->tp_as_async != NULL && base->tp_as_async != NULL) {
            type->tp_as_async->am_aiter = base->tp_as_async->am_aiter;
            type->tp_as_async->am_anext = base->tp_as_async->am_anext;
        }
    }
    """
    double monotonic "pynode_now"() noexcept
    void set_traverse "pynode_set_traverse"(PyTypeObject*, void*) noexcept
    void lend_slots "pynode_lend_slots"(PyTypeObject*, PyTypeObject*) noexcept
    PyObject* raised "pynode_raised"() noexcept
    bint same_variables "pynode_same_variables"(object, object) noexcept
    bint has_weakrefs "pynode_has_weakrefs"(object) noexcept
    void set_send "pynode_set_send"(PyTypeObject*, void*) noexcept

cdef extern from "Python.h":
    int PyContext_Enter(object) except -1
    int enter_context "PyContext_Enter"(object) noexcept
    int PyContext_Exit(object) except -1
    object PyContext_Copy(object)
    object PyContext_CopyCurrent()
    object PyContextVar_Set(object, object)
    int PyContextVar_Get(object, PyObject*, PyObject**) except -1
    int PyIter_Send(object, object, PyObject**) noexcept
    PyObject* PyObject_CallMethodOneArg(object, object, object) noexcept
    PyObject* PyObject_CallOneArg(object, object) noexcept
    PyObject* PyObject_Call(object, object, PyObject*) noexcept
    PyObject* PyObject_CallFunctionObjArgs(object, PyObject*, PyObject*, PyObject*) noexcept
    PyObject* PyDict_GetItemWithError(object, object) except? NULL
    bint PyErr_ExceptionMatches(object) noexcept
    int PyErr_WarnEx(object, const char*, Py_ssize_t) noexcept
    void PyErr_WriteUnraisable(object) noexcept
    void PyErr_Clear() noexcept
    Py_ssize_t Py_REFCNT(object) noexcept
    unsigned long PyThread_get_thread_ident() noexcept

cdef object _THROW = "throw"
cdef object _NOTHING = NOTHING
cdef object _CURRENT = CURRENT
cdef Py_ssize_t _BATCH = BATCH
cdef int _ZOMBIE_AWAITS = ZOMBIE_AWAITS
cdef object _Cancelled = CancelledError
cdef object _enter = _enter_task
cdef object _leave = _leave_task
cdef object _current_task = current_task

# What Python makes of them; see bind().
cdef type _Process = None
cdef type _Task = None
cdef object _Future = None


def bind(*, process=None, task=None, future=None):
    """Say what is made for processes, tasks, and what asyncio's tasks wait on."""
    global _Process, _Task, _Future
    if process is not None:
        _Process = process
        lend_slots(<PyTypeObject*>_Process, <PyTypeObject*>ProcessCore)
    if task is not None:
        _Task = task
    if future is not None:
        _Future = future


# --------------------------------------------------------------------------- the mailbox

cdef enum:
    FEW = 4
    # As many are indexed rather than walked to.
    INDEXED = 64


@cython.no_gc
@cython.freelist(256)
cdef class Mailbox:
    """The messages of one process.

    What nobody has looked at is a ring; it is not tracked by the garbage collector, as messages
    do not refer to their receiver.
    """

    def __cinit__(self):
        self._items = self._few
        self._room = FEW
        self._first = self._count = 0
        self.priority = 0
        self.scanning = False

    def __dealloc__(self):
        cdef Py_ssize_t place
        for place in range(self._count):
            Py_DECREF(<object>self._items[(self._first + place) & (self._room - 1)])
        self._count = 0
        if self._items != self._few:
            free(self._items)

    cdef int _grow(self) except -1:
        cdef Py_ssize_t place
        cdef void** items = <void**>malloc(2 * self._room * sizeof(void*))
        if items == NULL:
            raise MemoryError
        for place in range(self._count):
            items[place] = self._items[(self._first + place) & (self._room - 1)]
        if self._items != self._few:
            free(self._items)
        self._items = items
        self._first = 0
        self._room *= 2
        return 0

    cdef void _shrink(self):
        if self._items != self._few:
            free(self._items)
            self._items = self._few
            self._room = FEW
        self._first = 0

    cdef int push(self, object message) except -1:
        if self._count == self._room:
            self._grow()
        Py_INCREF(message)
        self._items[(self._first + self._count) & (self._room - 1)] = <void*>message
        self._count += 1
        return 0

    cdef int push_front(self, object message) except -1:
        if self._count == self._room:
            self._grow()
        Py_INCREF(message)
        self._first = (self._first - 1) & (self._room - 1)
        self._items[self._first] = <void*>message
        self._count += 1
        return 0

    cdef object pop(self):
        if self._count == 0:
            raise IndexError("an empty mailbox")
        message = <object>self._items[self._first]
        self._first = (self._first + 1) & (self._room - 1)
        self._count -= 1
        Py_DECREF(message)
        if self._count == 0 and self._room > INDEXED:
            self._shrink()
        return message

    cdef Py_ssize_t all(self):
        return self._count + (0 if self.saved is None else len(self.saved))

    # As deques have them.

    def append(self, message):
        """Put ``message`` behind the others."""
        self.push(message)

    def appendleft(self, message):
        """Put ``message`` before all that nobody has looked at."""
        self.push_front(message)

    def extend(self, messages):
        """Put ``messages`` behind the others."""
        for message in messages:
            self.push(message)

    def popleft(self):
        """Remove and return the first that nobody has looked at."""
        return self.pop()

    def __len__(self):
        return self._count

    def __bool__(self):
        return self.all() > 0

    def __iter__(self):
        return iter(self._unseen())

    def __sizeof__(self):
        size = object.__sizeof__(self)
        return size if self._items == self._few else size + self._room * sizeof(void*)

    def _unseen(self):
        cdef Py_ssize_t place
        return [
            <object>self._items[(self._first + place) & (self._room - 1)]
            for place in range(self._count)
        ]

    # As the pure one has them.

    def total(self):
        """Return how many messages wait."""
        return self.all()

    def messages(self):
        """Return all messages in order; the mailbox keeps them."""
        return [*(self.saved or ()), *self._unseen()]

    def push_priority(self, message, receivers):
        """Put ``message`` behind the priority messages and before all others."""
        if self.scanning:
            self.push_front(message)
            return
        if self.saved is None:
            self.saved = deque()
        self.saved.insert(self.priority, message)
        for receiver in receivers or ():
            receiver.seen = min(receiver.seen, self.priority)
        self.priority += 1

    def take(self, receivers=None):
        """Remove and return the first message.  There must be one."""
        return self.take_first(receivers)

    cdef object take_first(self, object who):
        if self.saved:
            return self._take_saved(0, who)
        return self.pop()

    cdef object _take_saved(self, Py_ssize_t index, object who):
        message = self.saved[index]
        del self.saved[index]
        if index < self.priority:
            self.priority -= 1
        for receiver in (who.receivers if isinstance(who, ProcessCore) else who) or ():
            if receiver.seen > index:
                receiver.seen -= 1
        return message

    def find(self, match, receivers=None, receiver=None, *, text=False):
        """Remove and return the first message that ``match`` accepts, or return NOTHING."""
        try:
            return self.search(match, receivers, 0 if receiver is None else receiver.seen, text)
        finally:
            if match is not None and receiver is not None and self.saved is not None:
                receiver.seen = len(self.saved)

    cdef object search(self, object match, object who, Py_ssize_t seen, bint text):
        if match is None:
            if self.saved:
                message = self._take_saved(0, who)
            elif self._count:
                message = self.pop()
            else:
                return _NOTHING
            return to_text(message) if text else message
        self.scanning = True
        try:
            if self.saved and seen < len(self.saved):
                message = self._search_saved(match, who, seen, text)
                if message is not _NOTHING:
                    return message
            return self._search_unseen(match, text)
        finally:
            self.scanning = False

    cdef object _search_saved(self, object match, object who, Py_ssize_t seen, bint text):
        cdef Py_ssize_t index = seen
        saved = self.saved
        if len(saved) - seen < INDEXED:
            unseen = [saved[place] for place in range(seen, len(saved))]
        else:
            unseen = islice(saved, seen, None)
        for message in unseen:
            candidate = to_text(message) if text else message
            if match(candidate):
                self._take_saved(index, who)
                return candidate
            index += 1
        return _NOTHING

    cdef object _search_unseen(self, object match, bint text):
        if self.saved is None:
            if self._count == 0:
                return _NOTHING
            self.saved = deque()
        saved = self.saved
        while self._count:
            message = self.pop()
            try:
                candidate = to_text(message) if text else message
                accepted = bool(match(candidate))
            except BaseException:
                self.push_front(message)
                raise
            if accepted:
                return candidate
            saved.append(message)
        return _NOTHING

    def drop(self, unwanted, receivers=None):
        """Remove the first message for which ``unwanted`` is true, if there is one."""
        for index, message in enumerate(self.saved or ()):
            if unwanted(message):
                self._take_saved(index, receivers)
                return
        kept = []
        try:
            while self._count:
                message = self.pop()
                if unwanted(message):
                    return
                kept.append(message)
        finally:
            for message in reversed(kept):
                self.push_front(message)


# --------------------------------------------------------------------------- waiting


cdef class Waiter:
    """A place to wait for a :meth:`wake`, in a stepped process and in any asyncio task alike."""

    def __init__(self, SchedulerCore scheduler not None):
        self._woken = False
        self._yielded = False
        self._scheduler = scheduler
        task = _current_task(scheduler.loop)
        if isinstance(task, TaskCore):
            self._task = task
        else:
            self._future = _Future(scheduler.loop)

    cdef int woken(self) except -1:
        if self._woken:
            return 0
        self._woken = True
        task = self._task
        if task is None:
            self._scheduler.wake(self._future)
        elif task._waiter is self:
            task._waiter = None
            task.c_make_runnable()
        return 0

    def wake(self):
        """Let the one that waits go on."""
        self.woken()

    def rearm(self):
        """Make it good for another wait of the same waiting party."""
        self._woken = False
        self._yielded = False
        if self._task is None:
            self._future = _Future(self._scheduler.loop)

    def __await__(self):
        task = self._task
        if task is None:
            return self._future.__await__()
        if not task.process._alive:
            return _as_zombie(self, task)
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self._woken or self._yielded:
            self._yielded = False
            raise StopIteration
        self._yielded = True
        return self


def _as_zombie(Waiter waiter, TaskCore task):
    """Nothing reaches a dead process: cancel its coroutine again, in the end let it lie."""
    if task._zombie_awaits < _ZOMBIE_AWAITS:
        task._zombie_awaits += 1
        yield None
        raise CancelledError
    while True:
        yield waiter


cdef class Receiver(Waiter):
    """One receive that waits, if not as :class:`Waiting` does."""

    def __init__(self, SchedulerCore scheduler not None):
        Waiter.__init__(self, scheduler)
        self.seen = 0
        self.expired = False

    def expire(self):
        """End the wait for lack of time."""
        self.expired = True
        self.woken()


cdef enum:
    NEW = 0
    GAVE_WAY = 1
    WAITING = 2
    OTHERWISE = 3
    FOUND = 4
    DONE = 5

# The values of PySendResult.
cdef enum:
    RETURNED = 0
    YIELDED = 1


@cython.freelist(64)
cdef class Receive:
    """What ``process.receive()`` returns; to be awaited once, as a coroutine.

    What is awaited in its place is a :class:`Waiting` where a process waits for a message of its
    own, and where there is one already; else (a time-out, another process's messages, a process
    that is held or dead) a coroutine of ``Process``.
    """

    cdef bint _used
    cdef bint _text
    cdef ProcessCore _process
    cdef object _match
    cdef object _timeout
    # What this has begun, where it is stepped as a coroutine rather than awaited.
    cdef object _begun

    def __dealloc__(self):
        if not self._used and self._process is not None:
            if PyErr_WarnEx(RuntimeWarning, "coroutine 'Process.receive' was never awaited", 1) < 0:
                PyErr_WriteUnraisable(None)

    def __await__(self):
        begun = self._begin()
        return begun if type(begun) is Waiting else begun.__await__()

    def send(self, value):
        """As a coroutine has it."""
        if self._begun is None:
            self._begun = self._begin()
        return self._begun.send(value)

    def throw(self, kind, value=None, trace=None):
        """As a coroutine has it."""
        error = kind if value is None else value
        if self._begun is not None:
            return self._begun.throw(error)
        self._begin_nothing()
        raise error() if isinstance(error, type) else error

    def close(self):
        """As a coroutine has it."""
        if self._begun is not None:
            self._begun.close()
        elif not self._used:
            self._begin_nothing()

    def __repr__(self):
        return "<receive>" if self._used else f"<receive of {self._process!r}>"

    cdef int _begin_nothing(self) except -1:
        if self._used:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self._used = True
        self._process = self._match = self._timeout = None
        return 0

    cdef object _begin(self):
        cdef Waiting waiting
        process, match, timeout = self._process, self._match, self._timeout
        self._begin_nothing()
        if process is None:
            raise RuntimeError("a receive is made by a process")
        scheduler = process._scheduler
        if timeout is None and scheduler.current is process:
            waiting = Waiting.__new__(Waiting)
            waiting._process = process
            waiting._match = match
            waiting._text = self._text
            return waiting
        if process._alive and not _held(process) and not scheduler.used_up():
            mailbox = process.mailbox
            if mailbox is not None:
                message = mailbox.search(match, process, 0, self._text)
                if message is not _NOTHING:
                    waiting = Waiting.__new__(Waiting)
                    waiting._match = message
                    waiting._state = FOUND
                    return waiting
            if timeout is not None and timeout <= 0:
                raise TimeoutError("no such message")
            return process._receive_waiting(match, timeout, self._text)
        return process._receive_other(match, timeout, self._text)


@cython.no_gc
@cython.freelist(512)
cdef class Waiting:
    """A receive under way that is no coroutine.

    The garbage collector does not see it: while it waits it refers to nothing, and is found by
    its process, by a pointer that is cleared when that goes.  Before it waits, and where it goes
    another way after all, is a moment.
    """

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """As a coroutine has it."""
        cdef void* result = NULL
        cdef int what = self.advance(value, &result)
        found = <object>result
        Py_DECREF(found)
        if what == YIELDED:
            return found
        raise StopIteration(found)

    def throw(self, kind, value=None, trace=None):
        """As a coroutine has it."""
        if self._state == OTHERWISE:
            return self._other.throw(kind if value is None else value)
        if self._state == DONE:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self._leave()
        error = kind if value is None else value
        if isinstance(error, type):
            error = error()
        raise error

    def close(self):
        """As a coroutine has it."""
        if self._state == OTHERWISE:
            self._other.close()
        self._leave()

    def wake(self):
        """A message has come."""
        self.woken()

    cdef int woken(self) except -1:
        cdef ProcessCore process
        if self._woken or self._in == NULL:
            return 0
        self._woken = True
        process = <ProcessCore>self._in
        if process._waits:
            process._waits = False
            if not process._runnable:
                process._runnable = True
                process._scheduler.make_ready(process)
        return 0

    cdef int advance(self, object value, void** result) except -1:
        cdef int what
        if self._state == WAITING:
            return self._look_again(result)
        if self._state == FOUND:
            return self._done(self._match, result)
        if self._state == OTHERWISE:
            what = PyIter_Send(self._other, value, <PyObject**>result)
            if what != YIELDED:
                self._leave()
            return what
        if self._state == DONE:
            raise RuntimeError("cannot reuse already awaited coroutine")
        try:
            return self._look(result)
        except BaseException:
            self._leave()
            raise

    cdef int _look(self, void** result) except -1:
        process = self._process
        scheduler = process._scheduler
        if self._state == NEW:
            if not process._alive or _held(process):
                return self._other_way(process._receive_other(self._match, None, self._text), result)
            if scheduler.used_up():
                self._state = GAVE_WAY
                Py_INCREF(None)
                result[0] = <void*>None
                return YIELDED
        mailbox = process.mailbox
        if mailbox is not None:
            message = mailbox.search(self._match, process, 0, self._text)
            if message is not _NOTHING:
                return self._done(message, result)
        if (
            process._alive
            and process._receive is None
            and scheduler._stepped is not None
            and scheduler._stepped.process is process
            and (process._more is None or process._more.receivers is None)
            and _current_task(scheduler.loop) is scheduler._stepped
        ):
            return self._wait(result)
        return self._other_way(process._receive_waiting(self._match, None, self._text), result)

    cdef int _other_way(self, object coroutine, void** result) except -1:
        self._other = coroutine
        self._state = OTHERWISE
        return self.advance(None, result)

    cdef int _wait(self, void** result) except -1:
        process = self._process
        mailbox = process.mailbox
        self.seen = 0
        if mailbox is not None:
            if mailbox.all() == 0:
                process.mailbox = None
            elif mailbox.saved is not None:
                self.seen = len(mailbox.saved)
        self._in = <void*>process
        process._receive = self
        process._match = self._match
        self._process = None
        self._match = None
        self._state = WAITING
        self._woken = False
        Py_INCREF(self)
        result[0] = <void*>self
        return YIELDED

    cdef int _look_again(self, void** result) except -1:
        if self._in == NULL:
            self._leave()
            raise RuntimeError("the process that received is gone")
        process = <ProcessCore>self._in
        self._woken = False
        mailbox = process.mailbox
        try:
            if mailbox is not None:
                match = process._match
                message = mailbox.search(match, process, self.seen, self._text)
                if match is not None and mailbox.saved is not None:
                    self.seen = len(mailbox.saved)
                if message is not _NOTHING:
                    return self._done(message, result)
            if not process._alive:
                raise ProcessDead(process.pid, process.exit_reason)
        except BaseException:
            self._leave()
            raise
        Py_INCREF(self)
        result[0] = <void*>self
        return YIELDED

    cdef int _done(self, object message, void** result) except -1:
        self._leave()
        Py_INCREF(message)
        result[0] = <void*>message
        return RETURNED

    cdef int _leave(self) except -1:
        cdef ProcessCore process
        self._state = DONE
        self._process = None
        self._match = None
        self._other = None
        if self._in != NULL:
            process = <ProcessCore>self._in
            self._in = NULL
            process._match = None
            process._receive = None  # this may be the last of us
        return 0


cdef int _waiting_send(PyObject* waiting, PyObject* value, PyObject** result) except -1:
    return (<Waiting>waiting).advance(<object>value, <void**>result)


set_send(<PyTypeObject*>Waiting, <void*>_waiting_send)


# --------------------------------------------------------------------------- the task


cdef class TaskCore:
    """One coroutine of a process while it is under way."""

    def __init__(self, ProcessCore process not None, coro):
        self.process = process
        self._coro = coro

    @property
    def runnable(self):
        """The next turn of the process may step."""
        return not self.finished and self.process is not None and self.process._runnable

    cdef bint _plain(self):
        """Whether nobody has seen it, and nothing is noted in it."""
        return (
            not self._must_cancel
            and not self._soon
            and self._fut_waiter is None
            and self._throw is None
            and self._callbacks is None
            and self._name is None
            and self._cancels == 0
            and self._zombie_awaits == 0
            and self._cancel_message is None
            and not has_weakrefs(self)
        )

    cdef void _reset(self):
        self.process = None
        self._coro = None
        self._fut_waiter = None
        self._waiter = None
        self._must_cancel = self._soon = self.stepping = self.finished = False
        self._cancel_message = None
        self._cancels = 0
        self._throw = None
        self._callbacks = None
        self._name = None
        self._zombie_awaits = 0
        self.result_ = None
        self.error = None

    cdef int _wait_for(self, object yielded) except -1:
        if isinstance(yielded, Waiter):
            self._waiter = yielded
            if self._must_cancel:
                self.c_make_runnable()
        elif yielded is None:
            self._soon = True
            self.process._scheduler.loop.call_soon(self._next_round)
        elif getattr(yielded, "_asyncio_future_blocking", None):
            self._wait_for_future(yielded)
        else:
            self._throw = RuntimeError(
                f"a coroutine of {self.process!r} awaited what asyncio cannot wait for: {yielded!r}"
            )
            self.c_make_runnable()
        return 0

    def _next_round(self):
        self._soon = False
        self.c_make_runnable()

    cdef int _wait_for_future(self, object future) except -1:
        future._asyncio_future_blocking = False
        runtime = self.process._scheduler._runtime
        if future.get_loop() is not runtime.loop:
            self._throw = RuntimeError(f"{future!r} belongs to another event loop")
            self.c_make_runnable()
            return 0
        future.add_done_callback(self._future_done, context=runtime.context)
        self._fut_waiter = future
        if self._must_cancel and future.cancel(msg=self._cancel_message):
            self._must_cancel = False
        return 0

    def _future_done(self, future):
        if self._fut_waiter is future:
            if not future.cancelled():
                future.exception()  # marks it as retrieved, should we be cancelled before
            self.c_make_runnable()

    cdef int c_make_runnable(self) except -1:
        process = self.process
        if not self.finished and process is not None and not process._runnable:
            process._runnable = True
            process._scheduler.make_ready(process)
        return 0

    def make_runnable(self):
        """Have the coroutine stepped in one of the next turns."""
        self.c_make_runnable()

    def interrupt(self, msg=None):
        """Cancel without counting it among :meth:`cancelling`."""
        if self._fut_waiter is not None and self._fut_waiter.cancel(msg=msg):
            return
        self._must_cancel = True
        self._cancel_message = msg
        if not self.stepping and not self._soon:  # it is going to be stepped, and only once
            self.c_make_runnable()

    def abandon(self):
        """Close a coroutine that will not be stepped any more; False if it refuses."""
        if self._fut_waiter is not None:
            self._fut_waiter.remove_done_callback(self._future_done)
            self._fut_waiter = None
        self._waiter = None
        self.finished = True
        self.process._runnable = False
        try:
            self.process.context.run(self._coro.close)
        except BaseException as error:
            self.error = error
            return False
        return True


# --------------------------------------------------------------------------- the process


@cython.freelist(64)
cdef class More:
    """What few processes have."""


@cython.no_gc_clear
cdef class ProcessCore:
    """What the runtime's C needs of a process, in two lines of a processor's cache.

    Never cleared by the garbage collector, which has enough others in each cycle to clear: a
    :class:`Waiting` counts on being told before the process goes.
    """

    def __cinit__(self):
        self._alive = True
        self._runnable = True

    def __init__(self, runtime, pid, body, tuple args not None, context, group_leader):
        self._scheduler = runtime.scheduler
        self.pid = pid
        if body is not None:
            if hasattr(body, "message"):
                self.body = body
                body = body.start
            self._begins = True
            self._match = (body, args) if args else body
        self._context = context
        self.group_leader = group_leader

    def __dealloc__(self):
        if self._receive is not None:
            self._receive._in = NULL

    @property
    def alive(self):
        """False from the moment it has ended."""
        return self._alive != 0

    @alive.setter
    def alive(self, bint value):
        self._alive = value

    @property
    def ready(self):
        """It waits for a turn."""
        return self._ready != 0

    @ready.setter
    def ready(self, bint value):
        self._ready = value

    @property
    def trap_exit(self):
        """Exit signals arrive as messages."""
        return self._trap_exit != 0

    @trap_exit.setter
    def trap_exit(self, bint value):
        self._trap_exit = value

    @property
    def text(self):
        """Messages are decoded with ``text=True``."""
        return self._text != 0

    @text.setter
    def text(self, bint value):
        self._text = value

    @property
    def name(self):
        """The name it is registered under."""
        return None if self._more is None else self._more.name

    @name.setter
    def name(self, value):
        if value is not None or self._more is not None:
            _more(self).name = value

    @property
    def exit_reason(self):
        """What it ended with."""
        return None if self._more is None else self._more.exit_reason

    @exit_reason.setter
    def exit_reason(self, value):
        if value is not None or self._more is not None:
            _more(self).exit_reason = value

    @property
    def links(self):
        """Its links."""
        return None if self._more is None else self._more.links

    @links.setter
    def links(self, value):
        if value is not None or self._more is not None:
            _more(self).links = value

    @property
    def monitors(self):
        """What it watches."""
        return None if self._more is None else self._more.monitors

    @monitors.setter
    def monitors(self, value):
        if value is not None or self._more is not None:
            _more(self).monitors = value

    @property
    def watchers(self):
        """Who watches it."""
        return None if self._more is None else self._more.watchers

    @watchers.setter
    def watchers(self, value):
        if value is not None or self._more is not None:
            _more(self).watchers = value

    @property
    def held_by(self):
        """The busy nodes that hold it."""
        return None if self._more is None else self._more.held_by

    @held_by.setter
    def held_by(self, value):
        if value is not None or self._more is not None:
            _more(self).held_by = value

    @property
    def rare(self):
        """What few processes have."""
        return None if self._more is None else self._more.rare

    @rare.setter
    def rare(self, value):
        if value is not None or self._more is not None:
            _more(self).rare = value

    @property
    def runtime(self):
        """The runtime it lives in."""
        return self._scheduler._runtime

    @property
    def begin(self):
        """What the first turn calls with the process, and further arguments."""
        if not self._begins:
            return None
        return self._match if type(self._match) is tuple else (self._match, ())

    @property
    def task(self):
        """The coroutine under way, as asyncio would have it."""
        cdef TaskCore task = self._scheduler._stepped
        if task is not None and task.process is self:
            return task
        if self._more is not None and self._more.task is not None:
            return self._more.task
        if self._coro is None:
            return None
        task = TaskCore.__new__(_Task)
        task.process = self
        task._coro = self._coro
        _more(self).task = task
        return task

    @task.setter
    def task(self, TaskCore task):
        self._coro = None if task is None else task._coro
        if task is not None or self._more is not None:
            _more(self).task = task

    @property
    def receivers(self):
        """The receives that wait, who came first first; or None."""
        others = None if self._more is None else self._more.receivers
        if self._receive is None:
            return None if others is None else list(others)
        return [self._receive, *(others or ())]

    def _add_receiver(self, receiver):
        cdef More more = _more(self)
        if more.receivers is None:
            more.receivers = []
        more.receivers.append(receiver)

    def _remove_receiver(self, receiver):
        cdef More more = _more(self)
        more.receivers.remove(receiver)
        if not more.receivers:
            more.receivers = None

    @property
    def context(self):
        """The context that it runs in."""
        return self.own_context()

    def own_context(self):
        """Return the context, with this process as the current one in it."""
        if not self._owned:
            _own(self)
        self._kept = True
        return self._context

    def __sizeof__(self):
        size = object.__sizeof__(self)
        return size if self._more is None else size + sys.getsizeof(self._more)

    def receive(self, match=None, *, timeout=None, bint text=False):
        """Return the first message that ``match`` accepts, waiting for it."""
        cdef Receive receive = Receive.__new__(Receive)
        receive._process = self
        receive._match = match
        receive._timeout = timeout
        receive._text = text
        return receive

    def __aiter__(self):
        return self

    def __anext__(self):
        cdef Receive receive = Receive.__new__(Receive)
        receive._process = self
        return receive


cdef More _more(ProcessCore process):
    if process._more is None:
        process._more = More.__new__(More)
    return process._more


cdef inline bint _held(ProcessCore process):
    return process._more is not None and process._more.held_by is not None


cdef int _own(ProcessCore process) except -1:
    """Give the process a context of its own, in which it is the current one."""
    context = PyContext_Copy(process._context)
    PyContext_Enter(context)
    try:
        PyContextVar_Set(_CURRENT, process)
    finally:
        PyContext_Exit(context)
    process._context = context
    process._owned = True
    return 0


# Collections are most of what 100,000 processes cost: what cannot be part of a cycle (pids, atoms,
# the mailbox, None) is not visited, for each is a place in memory of its own to look at.

cdef extern from "Python.h":
    ctypedef int (*visitproc)(PyObject*, void*) noexcept


cdef int _traverse(PyObject* process, visitproc visit, void* into) noexcept:
    cdef int found = visit(<PyObject*>(<ProcessCore>process)._scheduler, into)
    cdef PyObject* referents[5]
    cdef PyObject* referent
    if found:
        return found
    referents[0] = <PyObject*>(<ProcessCore>process)._coro
    referents[1] = <PyObject*>(<ProcessCore>process)._match
    referents[2] = <PyObject*>(<ProcessCore>process)._context
    referents[3] = <PyObject*>(<ProcessCore>process).body
    referents[4] = <PyObject*>(<ProcessCore>process)._more
    for referent in referents:
        if referent != NULL and referent != <PyObject*>None:
            found = visit(referent, into)
            if found:
                return found
    return 0


set_traverse(<PyTypeObject*>ProcessCore, <void*>_traverse)


# --------------------------------------------------------------------------- the table


@cython.no_gc_clear
cdef class Table:
    """The live processes of a node by their numbers, as a dict of them would have them.

    Open addressing with linear probing; numbers that follow each other leave gaps, or they would
    be one long search.  A dict's keys, each of them an object, took a good part of each collection.
    """

    def __cinit__(self):
        self._mask = 63
        self._keys = <uint32_t*>calloc(self._mask + 1, sizeof(uint32_t))
        self._places = <void**>malloc((self._mask + 1) * sizeof(void*))
        if self._keys == NULL or self._places == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Py_ssize_t place
        if self._keys != NULL and self._places != NULL:
            for place in range(self._mask + 1):
                if self._keys[place]:
                    Py_DECREF(<object>self._places[place])
        free(self._keys)
        free(self._places)

    cdef Py_ssize_t _place(self, uint32_t number) noexcept:
        """Where ``number`` is, or the free place where it would be."""
        cdef Py_ssize_t place = 2 * number & self._mask
        while self._keys[place] and self._keys[place] != number:
            place = (place + 1) & self._mask
        return place

    cdef ProcessCore find(self, uint32_t number):
        cdef Py_ssize_t place = self._place(number)
        return <ProcessCore>self._places[place] if number and self._keys[place] else None

    cdef int put(self, uint32_t number, ProcessCore process) except -1:
        cdef Py_ssize_t place
        if number == 0:
            raise ValueError("no process has the number 0")
        if 2 * (self._count + 1) > self._mask:
            self._resize(2 * (self._mask + 1))
        place = self._place(number)
        Py_INCREF(process)
        if self._keys[place]:
            former = <object>self._places[place]
            self._places[place] = <void*>process
            Py_DECREF(former)
        else:
            self._keys[place] = number
            self._places[place] = <void*>process
            self._count += 1
        return 0

    cdef int _resize(self, Py_ssize_t size) except -1:
        cdef uint32_t* old_keys = self._keys
        cdef void** old_places = self._places
        cdef uint32_t* keys = <uint32_t*>calloc(size, sizeof(uint32_t))
        cdef void** places = <void**>malloc(size * sizeof(void*))
        cdef Py_ssize_t place, old, old_size = self._mask + 1
        if keys == NULL or places == NULL:
            free(keys)
            free(places)
            raise MemoryError
        self._keys, self._places, self._mask = keys, places, size - 1
        for old in range(old_size):
            if old_keys[old]:
                place = self._place(old_keys[old])
                keys[place] = old_keys[old]
                places[place] = old_places[old]
        free(old_keys)
        free(old_places)
        return 0

    cdef ProcessCore take(self, uint32_t number):
        """Remove and return the process, or None."""
        cdef Py_ssize_t hole = self._place(number)
        cdef Py_ssize_t place = hole
        cdef Py_ssize_t home
        if number == 0 or not self._keys[hole]:
            return None
        process = <ProcessCore>self._places[hole]
        while True:  # those behind move up, lest a search ends before it has come to them
            place = (place + 1) & self._mask
            if not self._keys[place]:
                break
            home = 2 * self._keys[place] & self._mask
            if ((place - home) & self._mask) >= ((place - hole) & self._mask):
                self._keys[hole] = self._keys[place]
                self._places[hole] = self._places[place]
                hole = place
        self._keys[hole] = 0
        self._count -= 1
        Py_DECREF(process)
        if self._mask > 255 and 16 * self._count < self._mask:
            self._resize((self._mask + 1) // 4)
        return process

    # As a dict has them.

    def get(self, number):
        """Return the process with this number, or None."""
        return self.find(number) if 0 < number <= 0xFFFFFFFF else None

    def pop(self, number, default=None):
        """Remove and return the process with this number."""
        return self.take(number)

    def values(self):
        """Return all processes, the oldest first."""
        cdef Py_ssize_t place
        found = [
            <ProcessCore>self._places[place]
            for place in range(self._mask + 1)
            if self._keys[place]
        ]
        found.sort(key=_age)
        return found

    def clear(self):
        """Forget all processes."""
        for process in self.values():
            self.take((<Pid>(<ProcessCore>process).pid).number)

    def __len__(self):
        return self._count

    def __contains__(self, number):
        return self.get(number) is not None

    def __setitem__(self, number, ProcessCore process not None):
        self.put(number, process)

    def __sizeof__(self):
        return object.__sizeof__(self) + (self._mask + 1) * (sizeof(uint32_t) + sizeof(void*))


def _age(ProcessCore process):
    pid = process.pid
    return pid.serial, pid.id


cdef int _traverse_table(PyObject* table, visitproc visit, void* into) noexcept:
    cdef Py_ssize_t place
    cdef int found
    if (<Table>table)._keys == NULL or (<Table>table)._places == NULL:
        return 0
    for place in range((<Table>table)._mask + 1):
        if (<Table>table)._keys[place]:
            found = visit(<PyObject*>(<Table>table)._places[place], into)
            if found:
                return found
    return 0


set_traverse(<PyTypeObject*>Table, <void*>_traverse_table)


# --------------------------------------------------------------------------- the scheduler


cdef class SchedulerCore:
    """The run queue of one runtime."""

    def __init__(self, runtime):
        self._runtime = runtime
        self.loop = runtime.loop
        self.table = runtime._table
        self.thread = runtime.thread_id
        self._ready = []
        self._next = 0
        self._woken = deque()
        self._call_soon = runtime.loop.call_soon
        self._shared = self._source = None
        self.batching = False
        self._armed = False
        self.running = False
        self.budget = BUDGET
        self.slow = SLOW
        self.deadline = 0.0
        self.current = None
        self.on_turn = None

    @property
    def _queue(self):
        return self._ready[self._next :]

    def ready(self, ProcessCore process not None):
        """Give ``process`` a turn.  Idempotent while it waits for it."""
        self.make_ready(process)

    cdef bint used_up(self) noexcept:
        """Whether the turn under way has used its budget up."""
        return self.running and monotonic() > self.deadline

    cdef int make_ready(self, ProcessCore process) except -1:
        if process._ready:
            return 0
        process._ready = True
        self._ready.append(process)
        if not self._armed and not self.running and not self.batching:
            self._arm()
        return 0

    def wake(self, future):
        """Let the task that waits on ``future`` go on: at the end of a batch, or soon."""
        if self.batching:
            self._woken.append(future)
        elif not future.done():
            future.set_result(None)

    cdef int _arm(self) except -1:
        self._call_soon(self._turn, context=self._runtime.context)
        self._armed = True  # not before: an interrupt in call_soon() must not be the last turn
        return 0

    def _turn(self):
        self._armed = False
        self.c_run()

    def drain(self):
        """End a batch: run a turn now, if no asyncio task is in the middle of a step."""
        self.batching = False
        if self._next < len(self._ready) or self._woken:
            if not self.running and _current_task(self.loop) is None:
                self.c_run()
                return
            while self._woken:
                self.wake(self._woken.popleft())
            if self._next < len(self._ready) and not self.running and not self._armed:
                self._arm()

    def run(self):
        """Run until the queue is empty or the budget is used up."""
        self.c_run()

    cdef int c_run(self) except -1:
        cdef double now, then, deadline
        cdef ProcessCore process
        cdef list queue = self._ready
        if self.running:
            return 0
        self.running = True
        now = monotonic()
        self.deadline = deadline = now + self.budget
        try:
            if self._woken:
                now = self._step_tasks()
            while self._next < len(queue):
                process = <ProcessCore>queue[self._next]
                queue[self._next] = None
                self._next += 1
                if self._next == len(queue):
                    queue.clear()
                    self._next = 0
                elif self._next >= 1024 and 2 * self._next > len(queue):
                    del queue[: self._next]
                    self._next = 0
                process._ready = False
                self.current = process
                then = now
                now = self._run_process(process, now)
                if self.on_turn is not None:
                    self.on_turn(process, now - then)
                if not process._alive and self._spawner == <void*>process:
                    self._source = self._shared = None
                    self._spawner = NULL
                if now > deadline:
                    break
        finally:
            self.current = None
            self.running = False
            if self._woken:
                for future in self._woken:
                    if not future.done():
                        future.set_result(None)
                self._woken.clear()
            if self._next < len(queue) and not self._armed:
                self._arm()
        return 0

    cdef double _step_tasks(self) except -1:
        """Step the asyncio tasks that a batch has woken; the rest, if any, comes soon."""
        cdef double now
        while True:
            self._woken.popleft().step()
            now = monotonic()
            if not self._woken or now > self.deadline:
                return now

    cdef double _run_process(self, ProcessCore process, double now) except -1:
        """Give ``process`` its turn, begun at ``now``; return when it ended."""
        if process._coro is not None:
            if not process._runnable:
                return now
        elif not process._alive:
            return now
        if process._owned:
            return self._go_on(process, now)
        if process._turned:
            _own(process)
            return self._go_on(process, now)
        # In its first turn a process has but a loan of a context, if it changes nothing in it.
        shared = process._context
        _own(process)
        before = PyContext_Copy(process._context)
        process._kept = False
        try:
            now = self._go_on(process, now)
        finally:
            process._turned = True
            context = process._context
            if not process._kept and Py_REFCNT(context) == 2 and same_variables(context, before):
                process._context = shared
                process._owned = False
        return now

    cdef double _go_on(self, ProcessCore process, double now) except -1:
        if process._coro is not None:
            now = self._step(process, now)
            if process._coro is not None or not process._alive:
                return now
        if process._begins:
            process._begins = False
            begin = process._match
            process._match = None
            if type(begin) is tuple:
                begin, args = <tuple>begin
                args = (process, *args)
            else:
                args = (process,)
            now = self._call(process, begin, args, now)
            if process.body is None and process._coro is None:
                self._runtime.deaths.end(process, NORMAL)
        if process.body is None:
            return now
        return self._messages(process, now)

    cdef double _messages(self, ProcessCore process, double now) except -1:
        """Give the body its messages, one after the other."""
        cdef Py_ssize_t left = _BATCH
        cdef Mailbox mailbox
        cdef double then
        cdef PyObject* result
        call = process.body.message
        context = process._context
        message = None
        while left > 0:
            if process._coro is not None or not process._alive or _held(process):
                return now
            mailbox = process.mailbox
            if mailbox is None:
                return now
            if mailbox.all() == 0:
                if process.receivers is None:
                    process.mailbox = None  # an idle process is as small as can be
                return now
            message = mailbox.take_first(process)
            then = now
            if enter_context(context) < 0:  # a thread of the program's is in it
                self._raised(process, _caught(), call)
                return monotonic()
            result = PyObject_CallFunctionObjArgs(
                call, <PyObject*>process, <PyObject*>message, NULL
            )
            if result == NULL:
                error = _caught()
                PyContext_Exit(context)
                self._raised(process, error, call)
                now = monotonic()
            else:
                value = <object>result
                Py_DECREF(value)
                PyContext_Exit(context)
                now = monotonic()
                if now - then > self.slow:
                    self._warn(process, call, now - then)
                if value is not None:
                    now = self._begin_task(process, value, now)
            if now > self.deadline:
                break
            left -= 1
        self.make_ready(process)
        return now

    cdef double _call(
        self, ProcessCore process, object callback, tuple args, double now
    ) except -1:
        """Run a callback of the body, and the first step of the coroutine it may return."""
        cdef double then = now
        cdef PyObject* result
        context = process._context
        if enter_context(context) < 0:
            self._raised(process, _caught(), callback)
            return monotonic()
        result = PyObject_Call(callback, args, NULL)
        if result == NULL:
            error = _caught()
            PyContext_Exit(context)
            self._raised(process, error, callback)
            return monotonic()
        coro = <object>result
        Py_DECREF(coro)
        PyContext_Exit(context)
        now = monotonic()
        if now - then > self.slow:
            self._warn(process, callback, now - then)
        return now if coro is None else self._begin_task(process, coro, now)

    cdef double _begin_task(self, ProcessCore process, object coro, double now) except -1:
        if not process._alive:  # it ended itself in the callback, and none of this has begun
            coro.close()
            return now
        process._coro = coro
        return self._step(process, now)

    cdef double _step(self, ProcessCore process, double now) except -1:
        """Step the coroutine; when it has ended, draw the consequences."""
        cdef double then = now
        cdef PyObject* result = NULL
        cdef int what
        cdef bint entered
        cdef TaskCore task = None if process._more is None else process._more.task
        cdef bint lent = task is None
        if lent:
            task = self._spare
            self._spare = None
            if task is None:
                task = TaskCore.__new__(_Task)
            task.process = process
            task._coro = process._coro
        process._runnable = False
        process._waits = False
        task._fut_waiter = None
        task._waiter = None
        error = task._throw
        task._throw = None
        if task._must_cancel:
            task._must_cancel = False
            if error is None:
                error = _Cancelled()
        coro = process._coro
        loop = self.loop
        context = process._context
        _enter(loop, task)
        self._stepped = task
        task.stepping = True
        entered = enter_context(context) == 0
        if not entered:  # a thread of the program's is in it
            what = -1
        elif error is None:
            what = PyIter_Send(coro, None, &result)
        else:
            result = PyObject_CallMethodOneArg(coro, _THROW, error)
            what = YIELDED
            if result == NULL:
                what = -1
                if PyErr_ExceptionMatches(StopIteration):
                    stop = _caught()
                    value = stop.value
                    Py_INCREF(value)
                    result = <PyObject*>value
                    what = RETURNED
            error = None
        if what == -1:
            error = _caught()
            value = None
        else:
            value = <object>result
            Py_DECREF(value)
        if entered:
            PyContext_Exit(context)
        task.stepping = False
        self._stepped = None
        _leave(loop, task)
        if what == YIELDED:
            if type(value) is Waiting and (<Waiting>value)._in == <void*>process:
                process._waits = True
                if task._must_cancel or (<Waiting>value)._woken:
                    task.c_make_runnable()
                if Py_REFCNT(task) == (1 if lent else 2) and task._plain():
                    if not lent:
                        process._more.task = None
                    task.process = None  # the rest is as in a new one
                    task._coro = None
                    self._spare = task
                elif lent:
                    _more(process).task = task
            else:
                if lent:
                    _more(process).task = task
                task._wait_for(value)
            now = monotonic()
            if now - then > self.slow:
                self._warn(process, coro, now - then)
            return now
        task.finished = True
        task.result_ = value
        task.error = error
        process._coro = None
        if not lent:
            process._more.task = None
        if task._callbacks:
            for callback, around in task._callbacks:
                loop.call_soon(callback, task, context=around)
            task._callbacks = None
        if Py_REFCNT(task) == 1 and not has_weakrefs(task):
            task._reset()
            self._spare = task
        now = monotonic()
        if now - then > self.slow:
            self._warn(process, coro, now - then)
        self._ended(process, error, coro)
        return now

    cdef int _ended(self, ProcessCore process, object error, object coro) except -1:
        if not process._alive:
            self._runtime.deaths.zombie_ended(process)
            if error is not None and type(error) is not _Cancelled:
                self._zombie_raised(process, error)
        elif error is not None:
            self._raised(process, error, coro)
        elif process.body is None:
            self._runtime.deaths.end(process, NORMAL)
        return 0

    cdef object snapshot(self):
        """Return the current context as it is now: the last such one, if nothing has changed.

        The current process is not in it: who waits in a copy would keep its dead parent, and
        that one its own, for ever.
        """
        cdef PyObject* found = NULL
        context = PyContext_CopyCurrent()
        if self._shared is not None:
            last = self._shared()
            if last is not None and same_variables(self._source, context):
                return last
        base = context
        PyContextVar_Get(_CURRENT, NULL, &found)
        self._spawner = <void*>found
        if found != NULL:
            Py_DECREF(<object>found)
            base = PyContext_Copy(context)
            PyContext_Enter(base)
            try:
                PyContextVar_Set(_CURRENT, None)
            finally:
                PyContext_Exit(base)
        self._source = context
        self._shared = weak_reference(base)
        return base

    def base_context(self):
        """Return a context with the variables of the current one, to be copied, not entered."""
        return self.snapshot()


cdef object _caught():
    """Return what was raised."""
    cdef PyObject* found = raised()
    error = <object>found
    Py_DECREF(error)
    return error


# --------------------------------------------------------------------------- messages


cdef int put_message(ProcessCore process, object message) except -1:
    cdef Mailbox mailbox
    if not process._alive:
        return 0
    extra = None if process._more is None else process._more.rare
    if extra is not None:
        calls = extra.calls
        if calls and process._scheduler._runtime._is_reply(calls, message):
            return 0
    mailbox = process.mailbox
    if mailbox is None:
        mailbox = process.mailbox = Mailbox.__new__(Mailbox)
    mailbox.push(message)
    return _wake(process)


cdef int _wake(ProcessCore process) except -1:
    if process._receive is not None:
        process._receive.woken()
    if process._more is not None and process._more.receivers is not None:
        for receiver in process._more.receivers:
            (<Receiver>receiver).woken()
    if process._coro is None and process.body is not None:
        process._scheduler.make_ready(process)
    return 0


cdef ProcessCore find_process(SchedulerCore scheduler, object pid):
    cdef ProcessCore process
    if (<Pid>pid).odd is not None:
        return None
    process = scheduler.table.find((<Pid>pid).number)
    if process is None:
        return None
    return process if process.pid is pid or process.pid == pid else None


def put(runtime, ProcessCore process not None, message):
    """Put ``message`` into the mailbox as it is, a reply to a call under way excepted."""
    put_message(process, message)


def tell(runtime, ProcessCore process not None, message):
    """Put ``message``, a term of nobody else's, into the mailbox of a live process."""
    put_message(process, to_text(message) if process._text else message)


def wake(runtime, ProcessCore process not None):
    """There is something new in the mailbox of ``process``."""
    _wake(process)


cdef int _deliver(SchedulerCore scheduler, object dest, object message) except -1:
    cdef ProcessCore process = find_process(scheduler, dest)
    if process is None:
        return False
    message = copied(message, 0)
    put_message(process, to_text(message) if process._text else message)
    return True


def send_local(ProcessCore process not None, dest, message):
    """Send to the live process of this node that the pid ``dest`` is; False: look closer."""
    if type(dest) is not Pid or not process._alive:
        return False
    return bool(_deliver(process._scheduler, dest, message))


cdef ProcessCore _running():
    cdef PyObject* found = NULL
    PyContextVar_Get(_CURRENT, NULL, &found)
    if found == NULL:
        return None
    process = <object>found
    Py_DECREF(process)
    return process if isinstance(process, ProcessCore) else None


def send_here(runtime, dest, message):
    """Send as the current process, or as whoever speaks for ``runtime``; False: look closer.

    ``runtime`` None is that of the current process.
    """
    cdef SchedulerCore scheduler
    if type(dest) is not Pid:
        return False
    process = _running()
    if process is None or (runtime is not None and process._scheduler._runtime is not runtime):
        if runtime is None:
            return False
        scheduler = runtime.scheduler
    elif not process._alive:
        return False
    else:
        scheduler = process._scheduler
    if PyThread_get_thread_ident() != scheduler.thread:
        return False
    return bool(_deliver(scheduler, dest, message))


cdef object copied(object term, int depth):
    """Copy a term as ``copy_term`` does; what is shared costs nothing."""
    cdef Py_ssize_t index, size
    kind = type(term)
    if kind is Atom or kind is bytes or kind is int or kind is Pid or kind is Reference:
        return term
    if term is None or kind is bool:
        return term
    if depth < 32:
        if kind is tuple:
            size = len(<tuple>term)
            for index in range(size):
                item = (<tuple>term)[index]
                other = copied(item, depth + 1)
                if other is not item:
                    break
            else:
                return term
            parts = list((<tuple>term)[:index])
            parts.append(other)
            for index in range(index + 1, size):
                parts.append(copied((<tuple>term)[index], depth + 1))
            return tuple(parts)
        if kind is list:
            return [copied(item, depth + 1) for item in tuple(<list>term)]
    return copy_term(term)


# --------------------------------------------------------------------------- spawn

cdef enum:
    MAX_ID = (1 << 28) - 1


def spawn_function(runtime, body, tuple args not None):
    """Spawn ``body``, a function, without any option; None: look closer."""
    cdef SchedulerCore scheduler
    cdef ProcessCore process, parent
    cdef Pid pid
    cdef long long number
    cdef dict facts
    if type(body) is not FunctionType:
        return None
    facts = runtime.__dict__
    node = facts["node_name"]
    if type(node) is not Atom or facts["stopped"]:
        return None
    scheduler = facts["scheduler"]
    if PyThread_get_thread_ident() != scheduler.thread:
        return None
    number = <long long>facts["_last_id"] + 1
    if number > MAX_ID or scheduler.table.find(<uint32_t>number) is not None:
        pid = runtime._new_pid()
    else:
        facts["_last_id"] = number
        pid = make_pid(<Atom>node, <uint32_t>number, facts["_serial"], facts["creation"])
    parent = _running()
    if parent is not None and parent._scheduler is scheduler:
        leader = parent.group_leader
    else:
        leader = facts["default_group_leader"]
        if leader is None:
            main = facts["_main"]
            leader = pid if main is None else (<ProcessCore>main).pid
    process = ProcessCore.__new__(_Process)
    process._scheduler = scheduler
    process.pid = pid
    process._begins = True
    process._match = (body, args) if args else body
    process._context = scheduler.snapshot()
    process.group_leader = leader
    scheduler.table.put(pid.number, process)
    scheduler.make_ready(process)
    return process
