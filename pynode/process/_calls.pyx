# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The way out of what is plain, in C: messages to other nodes, calls, and the wait for a reply.

See ``delivery``, ``monitors`` and ``calls`` for the same in Python, and for what it promises.
:class:`OutboundMessages` refuses whatever needs a closer look (no connection, a busy peer, no
flag for it, what is no term); who asked goes the long way then, which tells what is wrong.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF

from pynode.dist._compiled cimport Gather
from pynode.process._stepping cimport ProcessCore, SchedulerCore, TaskCore, Waiter, deliver
from pynode.process._timers cimport Timer, TimerHeap
from pynode.terms._compiled cimport Atom, ImproperList, Pid, Reference, make_improper, make_reference

import sys
from asyncio import CancelledError, current_task
from time import monotonic

from pynode.dist.control import AliasSend, Demonitor, RegSend, SendSender
from pynode.dist.flags import Flag
from pynode.errors import (
    CallerDead,
    CallExit,
    CallTimeout,
    EncodeError,
    NoConnection,
    NoProcess,
)
from pynode.process.shared import CURRENT
from pynode.process.words import ALIAS, DOWN, NOCONNECTION, NOPROC, TIMEOUT
from pynode.process.timeouts import check_timeout
from pynode.terms import to_text

__all__ = ["CallSlot", "OutboundMessages", "Waiting", "send", "sender"]

cdef unsigned long long _ALIAS = int(Flag.ALIAS)
cdef unsigned long long _ALTACT_SIG = int(Flag.ALTACT_SIG)
cdef unsigned long long _MONITORS = int(Flag.DIST_MONITOR | Flag.DIST_MONITOR_NAME)
cdef Atom _NOBODY = Atom("")
cdef tuple _ALIAS_PART = (ALIAS,)
cdef dict _BY_REASON = {NOPROC: NoProcess, NOCONNECTION: NoConnection}

cdef object _current_task = current_task
if sys.version_info < (3, 12):  # where that is Python, a look-up in this dict
    from asyncio.tasks import _current_tasks

    _current_task = _current_tasks.get

cdef enum:
    # What has become of a wait.
    PENDING = 0
    DECIDED = 1
    CANCELLED = 2

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept
    int PyContextVar_Get(object var, PyObject* default, PyObject** value) except -1
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    void Py_DECREF(PyObject*)

cdef extern from *:
    """
    /* What an iterator returns at its end: NULL, with the value of `await` as StopIteration. */
    static inline PyObject *pynode_end(PyObject *value) {
        if (PyTuple_Check(value) || PyExceptionInstance_Check(value)) {
            PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
            if (stop != NULL) {
                PyErr_SetObject(PyExc_StopIteration, stop);
                Py_DECREF(stop);
            }
        } else {
            PyErr_SetObject(PyExc_StopIteration, value);
        }
        return NULL;
    }
    static inline PyObject *pynode_raise(PyObject *error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        return NULL;
    }
    static inline void pynode_set_next(PyObject *kind, iternextfunc next) {
        ((PyTypeObject *)kind)->tp_iternext = next;
        PyType_Modified((PyTypeObject *)kind);
    }
    """
    PyObject* end_with "pynode_end"(object) noexcept
    PyObject* raise_it "pynode_raise"(object) noexcept
    ctypedef PyObject* (*iternextfunc)(PyObject*) noexcept
    void set_next "pynode_set_next"(object, iternextfunc) noexcept


# --------------------------------------------------------------------------- a call under way


cdef class CallSlot:
    """A call under way; see :class:`pynode.process.calls.CallSlot`."""

    cdef public object process
    cdef public object ref
    cdef public object target
    cdef public object watched
    cdef public object word
    cdef public object tag
    cdef public bint text
    cdef readonly bint done
    cdef object _value
    cdef object _error
    cdef list _waiters
    cdef Waiting _waiting
    cdef readonly list _callbacks
    # Of one that OutboundMessages has opened: the monitors on that node, and who sent it.
    cdef dict _there
    cdef OutboundMessages _quick

    mode = "call"  # what it is among the aliases
    priority = False

    def __init__(self, process, ref, target, *, bint text=False):
        self._begin(process, ref, target, text)

    cdef int _begin(self, process, ref, target, bint text) except -1:
        self.process = process
        self.ref = ref
        self.target = target
        self.word = DOWN
        self.text = text
        self.tag = make_improper(_ALIAS_PART, ref)
        return 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    @property
    def watcher(self):
        """The pid of the one that watches."""
        return self.process.pid

    @property
    def node(self):
        """The node of what is watched."""
        target = self.target
        if type(target) is not Pid:
            return target[1]
        runtime = self.process.runtime
        return runtime.node_name if runtime.is_own(target) else (<Pid>target).node

    # ------------------------------------------------------------------ waiting

    async def wait(self, timeout=None):
        """Return the reply."""
        if not self.done:
            await self._wait(timeout)
        elif self._is_held():
            await self._released(timeout)
        return self.result()

    cdef bint _is_held(self) except -1:
        process = self.process
        router = process.runtime.router
        return router.pressing and router.holder(process, self.node) is not None

    async def _released(self, timeout):
        await self.process.runtime.router.released(self.process, self.node, timeout)

    async def _wait(self, timeout):
        runtime = self.process.runtime
        end = None if timeout is None else monotonic() + timeout
        waiter = Waiter(runtime.scheduler)
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        runtime.router.hurry()
        timer = None if timeout is None else runtime.timers.after(timeout, self._timed_out)
        try:
            while not self.done:
                await waiter
                waiter.rearm()
        finally:
            if timer is not None:
                timer.cancel()
            self._waiters.remove(waiter)
        if type(self._error) is not CallTimeout and self._is_held():
            await self._released(None if end is None else end - monotonic())

    def __await__(self):
        return self.wait().__await__()

    def result(self):
        """Return or raise what decided the slot."""
        if self._error is not None:
            raise self._error
        if not self.done:
            raise RuntimeError("the call is not decided yet")
        return self._value

    def add_done_callback(self, callback):
        """Call ``callback(slot)`` synchronously when the slot is decided or closed, or now."""
        if self.done:
            self._tell(callback)
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)

    def remove_done_callback(self, callback):
        """Forget a callback that has not been called."""
        if self._callbacks is not None and callback in self._callbacks:
            self._callbacks.remove(callback)

    cpdef close(self):
        """Give the call up: monitor and alias are removed, a late reply is dropped."""
        if not self.done:
            self._decide(None, RuntimeError("the call was closed"))

    # ------------------------------------------------------------------ deciding

    def take(self, message, *, urgent=False):
        """Take a message that came by the alias."""
        if type(message) is tuple and len(<tuple>message) == 2 and (<tuple>message)[0] == self.tag:
            self.replied((<tuple>message)[1])
        else:
            self.process.runtime.tell(self.process, message)

    cpdef replied(self, reply):
        """Decide by a reply."""
        if not self.done:
            self._decide(to_text(reply) if self.text else reply, None)

    cpdef fired(self, reason):
        """Decide by the DOWN."""
        self.refused(reason)

    cpdef refused(self, reason):
        """Decide by a reason for which there will be no reply."""
        if not self.done:
            kind = _BY_REASON.get(reason, CallExit) if type(reason) is Atom else CallExit
            error = kind(reason)
            if kind is NoConnection:
                error.__cause__ = self.process.runtime.down_cause
            self._decide(None, error)

    def process_ended(self):
        """Decide by the end of the calling process."""
        if not self.done:
            self._decide(None, CallerDead(self.process.pid, self.process.exit_reason))

    def _timed_out(self):
        if not self.done:
            self._decide(None, CallTimeout(TIMEOUT))

    cpdef _decide(self, value, error):
        cdef list waiters, callbacks
        self.done = True
        self._value = value
        self._error = error
        process = self.process
        ref = self.ref
        if self._quick is None:
            runtime = process.runtime
            (<dict>runtime.aliases).pop(ref, None)
            runtime.monitors.remove(process, ref)
            extra = process.rare
        else:
            self._quick._aliases.pop(ref, None)
            self._unwatch(<ProcessCore>process, ref)
            extra = (<ProcessCore>process).rare
        if extra is not None:
            (<dict>extra.calls).pop(ref, None)
        if self._waiting is not None:
            self._waiting.woken()
        waiters = self._waiters
        if waiters is not None:
            for waiter in waiters:
                waiter.wake()
        callbacks = self._callbacks
        if callbacks is not None:
            self._callbacks = None
            for callback in callbacks:
                self._tell(callback)

    cdef int _unwatch(self, ProcessCore process, ref) except -1:
        """As Monitors.remove() does it."""
        monitors = process.monitors
        if monitors is None or (<dict>monitors).pop(ref, None) is None:
            return 0
        if self._there.pop(ref, None) is None:
            return 0
        if not self._quick._demonitor(process, self.target, <Reference>ref):
            remote = self._quick._nodes.get(self.node)
            if remote is None or remote.monitors is not self._there:
                return 0  # the connection is lost, and is not made again for this
            target = self.target
            what = target if type(target) is Pid else target[0]
            self._quick._router.force(process.pid, self.node, Demonitor(process.pid, what, ref))
        return 0

    cdef int _tell(self, callback) except -1:
        try:
            callback(self)
        except Exception as error:
            self.process.runtime.loop.call_exception_handler(
                {"message": f"a callback of a call of {self.process!r} failed", "exception": error}
            )
        return 0


@cython.final
@cython.freelist(64)
cdef class Waiting:
    """The wait for the reply to one call, which is closed with it: awaited once, at once.

    An asyncio task waits for this object itself, as for a future (the protocol is that of
    ``_asyncio_future_blocking``), a stepped process for a :class:`Waiter`.
    """

    cdef CallSlot _slot
    cdef SchedulerCore _scheduler
    cdef Timer _timer
    # Of a stepped process.
    cdef Waiter _waiter
    # Of an asyncio task: what goes on with it, in which context.
    cdef object _resume
    cdef object _context
    cdef list _others
    cdef object _message
    cdef int _state
    cdef bint _begun
    cdef public bint _asyncio_future_blocking

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return next(self)  # by the type's slot, which has _next: it makes no traceback

    def send(self, value):
        """As a coroutine has it."""
        return next(self)

    def throw(self, kind, value=None, trace=None):
        """As a coroutine has it: the call is given up."""
        self._finish()
        if value is None:
            value = kind
        if isinstance(value, type):
            value = value()
        elif not isinstance(value, BaseException):
            value = kind(value)
        if trace is not None:
            value = value.with_traceback(trace)
        raise value

    def close(self):
        """As a coroutine has it: the call is given up."""
        self._finish()

    cdef int _finish(self) except -1:
        cdef CallSlot slot = self._slot
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._slot = None
        self._resume = self._context = self._waiter = None
        if slot is not None:
            slot._waiting = None
            if not slot.done:
                slot.close()
        return 0

    # ------------------------------------------------------------------ as a future

    def get_loop(self):
        """Return the loop of the runtime."""
        return self._scheduler.loop

    def add_done_callback(self, fn, *, context=None):
        """Call ``fn(self)`` when the wait is over."""
        if self._state != PENDING:
            self._scheduler.loop.call_soon(fn, self, context=context)
        elif self._resume is None and context is not None:
            self._resume = fn
            self._context = context
        else:
            if self._others is None:
                self._others = []
            self._others.append((fn, context))

    def remove_done_callback(self, fn):
        """Forget ``fn``, and return how often it was there."""
        cdef Py_ssize_t removed = 0
        if self._resume is not None and self._resume == fn:
            self._resume = self._context = None
            removed = 1
        if self._others is not None:
            kept = [entry for entry in self._others if entry[0] != fn]
            removed += len(self._others) - len(kept)
            self._others = kept or None
        return removed

    def cancel(self, msg=None):
        """As a future has it."""
        if self._state != PENDING:
            return False
        self._state = CANCELLED
        self._message = msg
        self._resume_soon()
        return True

    def cancelled(self):
        """As a future has it."""
        return self._state == CANCELLED

    def done(self):
        """As a future has it."""
        return self._state != PENDING

    def result(self):
        """As a future has it."""
        if self._state == CANCELLED:
            raise CancelledError() if self._message is None else CancelledError(self._message)
        return None

    def exception(self):
        """As a future has it."""
        return self.result()

    def set_result(self, result):
        """Let the task that waits go on in the next round of the loop."""
        if self._state == PENDING:
            self._state = DECIDED
            self._resume_soon()

    cdef int _resume_soon(self) except -1:
        loop = self._scheduler.loop
        resume = self._resume
        if resume is not None:
            context = self._context
            self._resume = self._context = None
            loop.call_soon(resume, self, context=context)
        self._tell_others()
        return 0

    cdef int _tell_others(self) except -1:
        if self._others is not None:
            others = self._others
            self._others = None
            for fn, context in others:
                self._scheduler.loop.call_soon(fn, self, context=context)
        return 0

    def step(self):
        """Let the task that waits go on now; see :meth:`TaskFuture.step`."""
        if self._state != PENDING:
            return
        self._state = DECIDED
        resume = self._resume
        if resume is not None:
            context = self._context
            self._resume = self._context = None
            PyContext_Enter(context)
            try:
                resume(self)
            finally:
                PyContext_Exit(context)
        self._tell_others()

    def wake(self):
        """The slot is decided."""
        self.woken()

    cdef int woken(self) except -1:
        if self._waiter is not None:
            self._waiter.woken()
        elif self._state == PENDING:
            if self._scheduler.batching:
                self._scheduler._woken.append(self)
            else:
                self.set_result(None)
        return 0


cdef PyObject* _next(PyObject* waiting) noexcept:
    """Waiting.__next__: what is waited for, or the end."""
    cdef Waiting self = <Waiting>waiting
    cdef CallSlot slot = self._slot
    if slot is None:
        return raise_it(RuntimeError("the call was awaited already"))
    if slot.done:
        return _over(self, slot)
    try:
        waiter = self._waiter
        if waiter is not None:
            if self._begun:
                waiter.rearm()
            self._begun = True
            Py_INCREF(waiter)
            return <PyObject*>waiter
        self._begun = True
        self._state = PENDING
        self._asyncio_future_blocking = True
        Py_INCREF(self)
        return <PyObject*>self
    except BaseException as error:
        return raise_it(error)


cdef PyObject* _over(Waiting self, CallSlot slot) noexcept:
    value = slot._value
    failure = slot._error
    try:
        self._finish()
    except BaseException as error:
        return raise_it(error)
    if failure is not None:
        return raise_it(failure)
    return end_with(value)


set_next(Waiting, <iternextfunc>_next)


async def _wait_and_close(CallSlot slot, timeout):
    try:
        return await slot.wait(timeout)
    finally:
        slot.close()


# --------------------------------------------------------------------------- out


@cython.final
cdef class OutboundMessages:
    """Messages to processes of other nodes that take what they are sent."""

    cdef object _runtime
    cdef object _router
    cdef SchedulerCore _scheduler
    cdef object _loop
    cdef object _outbound
    cdef TimerHeap _timers
    cdef dict _aliases
    cdef dict _former
    cdef dict _nodes
    cdef dict _busy
    cdef dict _gathers
    cdef unsigned long _thread

    def __init__(self, router, dict gathers):
        """``gathers``: those of the connected nodes, by name, as ``net`` keeps them."""
        runtime = router._runtime
        self._runtime = runtime
        self._router = router
        self._scheduler = runtime.scheduler
        self._loop = runtime.loop
        self._outbound = router.outbound
        self._timers = runtime.timers
        self._aliases = runtime.aliases
        self._former = runtime.former
        self._nodes = runtime.nodes._table
        self._busy = router._busy
        self._gathers = gathers
        self._thread = runtime.thread_id

    cdef Gather _open(self, node):
        cdef Gather gather = self._gathers.get(node)
        if gather is None or gather.shut or (self._busy and node in self._busy):
            return None
        return gather

    cdef int _written(self, Gather gather, process, node) except -1:
        """Something was put there that has to be sent."""
        if gather.used >= gather.bound:
            if gather.link.full() and process is not None:
                self._router.hold(process, node)
        elif not gather.scheduled:
            self._outbound.flush_soon(gather.link)
            gather.scheduled = True  # not before: flush_soon() may be interrupted
        return 0

    # ------------------------------------------------------------------ messages

    def send(self, ProcessCore process not None, dest, term):
        """Send ``term`` to a pid or an alias if this way is open.

        False: it is to be sent by :class:`pynode.process.delivery.Delivery`.
        """
        return self._send(process, dest, term)

    cdef bint _send(self, ProcessCore process, dest, term) except -1:
        cdef Gather gather
        if type(dest) is Pid:
            node = (<Pid>dest).node
        elif type(dest) is Reference:
            node = (<Reference>dest).node
        else:
            return False
        gather = self._open(node)
        if gather is None or not process.alive:
            return False
        try:
            if type(dest) is Pid:
                payload = gather.send(process.pid, dest, term)
            elif gather.flags & _ALTACT_SIG:
                payload = gather.put((37, 4, process.pid, dest), True, term)
            elif gather.flags & _ALIAS:
                payload = gather.put((33, process.pid, dest), True, term)
            else:
                return False
        except EncodeError:
            return False  # it is told there, or it is a native record
        if payload is None:
            self._written(gather, process, node)
        else:
            kind = SendSender if type(dest) is Pid else AliasSend
            self._router.signal(process, node, kind(process.pid, dest), payload)
        return True

    def actor(self):
        """Return who acts here: the current process, or the main one; None: ask the runtime."""
        return self.acting()

    cdef ProcessCore acting(self):
        cdef ProcessCore process = _running()
        if process is not None and process._scheduler._runtime is self._runtime:
            return process
        process = self._runtime._main
        return process if process is not None and process.alive else None

    def speak(self, dest, term):
        """Send as whoever acts here, to this node or another.

        False: it has to go the long way, for instance as this is another thread.
        """
        if PyThread_get_thread_ident() != self._thread:
            return False
        process = self.acting()
        if process is None:
            return False
        if type(dest) is Pid and deliver(process, <Pid>dest, term):
            return True
        return self._send(process, dest, term)

    def reply(self, ProcessCore process not None, tuple origin, value):
        """Send ``{Tag, value}`` to who called, if this way is open; ``origin`` is its From."""
        if len(origin) != 2:
            return False
        tag = origin[1]
        dest = _alias_in(tag)
        if dest is None:
            dest = origin[0]
        return self._send(process, dest, (tag, value))

    # ------------------------------------------------------------------ monitors

    def monitor(self, process, Pid dest, Reference ref):
        """Send MONITOR_P if this way is open."""
        cdef Gather gather = self._open(dest.node)
        if gather is None or ~gather.flags & _MONITORS:
            return False
        gather.put((19, process.pid, dest, ref), False, None)
        self._written(gather, process, dest.node)
        return True

    def demonitor(self, process, Pid dest, Reference ref):
        """Send DEMONITOR_P if this way is open."""
        return self._demonitor(process, dest, ref)

    cdef bint _demonitor(self, process, target, Reference ref) except -1:
        cdef Gather gather
        if type(target) is Pid:
            node = (<Pid>target).node
            what = target
        else:
            what, node = <tuple>target
        gather = self._open(node)
        if gather is None or ~gather.flags & _MONITORS:
            return False
        gather.put((20, process.pid, what, ref), False, None)
        self._written(gather, None, node)
        return True

    # ------------------------------------------------------------------ calls

    def call_as_whoever(self, label, target, term, timeout, bint text):
        """As :meth:`call`, of whoever acts here."""
        process = self.acting()
        return None if process is None else self._call(process, label, target, term, timeout, text)

    def call(self, ProcessCore process not None, label, target, term, timeout, bint text):
        """Send the request ``{label, From, term}``, and return what to await for the reply.

        ``target`` is a pid or ``(name, node)``.  Raises PeerBusy.  None: nothing was done, the
        call is to be made the long way.
        """
        return self._call(process, label, target, term, timeout, text)

    cdef object _call(self, ProcessCore process, label, target, term, timeout, bint text):
        cdef Gather gather
        cdef CallSlot slot
        cdef Waiting waiting
        cdef double seconds = 0.0
        if type(target) is Pid:
            node = (<Pid>target).node
            what = target
        elif type(target) is tuple:
            what, node = <tuple>target
        else:
            return None
        gather = self._open(node)
        if gather is None or ~gather.flags & _MONITORS or self._former or not process.alive:
            return None
        if timeout is not None:
            if type(timeout) is not float or not <double>timeout >= 0:
                check_timeout(timeout)
            seconds = timeout
        task = _current_task(self._loop)
        stepped = isinstance(task, TaskCore) and (<TaskCore>task).stepping
        if stepped and not (<TaskCore>task).process.alive:
            return None
        slot = CallSlot.__new__(CallSlot)
        ref = self._make_ref()
        slot._begin(process, ref, target, text)
        pid = process.pid
        message = (label, (pid, slot.tag), term)
        try:
            payload = gather.ask((19, pid, what, ref), pid, what, message)
        except EncodeError:
            return None  # it is told there, or it is a native record
        if self._gathers.get(node) is not gather:
            return None  # the link was lost while the term was written
        slot._quick = self
        self._note(process, node, slot)
        if payload is not None:
            control = SendSender(pid, target) if type(target) is Pid else RegSend(pid, what)
            try:
                self._router.signal(process, node, control, payload)
            except BaseException:
                slot.close()
                raise
        self._written(gather, process, node)
        if slot.done or process.held_by is not None or (self._busy and node in self._busy):
            return _wait_and_close(slot, timeout)
        waiting = Waiting.__new__(Waiting)
        waiting._slot = slot
        waiting._scheduler = self._scheduler
        if stepped:
            waiting._waiter = Waiter(self._scheduler)
        slot._waiting = waiting
        if not self._outbound.gathering:
            self._outbound.hurry()
        if timeout is not None:
            waiting._timer = self._timers.start(seconds, slot._timed_out, ())
        return waiting

    cdef Reference _make_ref(self):
        cdef unsigned int[3] words
        cdef unsigned long long number
        runtime = self._runtime
        number = runtime._last_ref + 1
        runtime._last_ref = number
        words[0] = number & 0x3FFFF
        words[1] = number >> 18 & 0xFFFFFFFFULL
        words[2] = number >> 50
        return make_reference(runtime.node_name, runtime.creation, 3, words)

    cdef int _note(self, ProcessCore process, node, CallSlot slot) except -1:
        """Put ``slot`` where reply, DOWN, the end of the process and of the link look for it."""
        ref = slot.ref
        extra = process.rare
        if extra is None:
            extra = process.extra
        self._aliases[ref] = slot
        (<dict>extra.calls)[ref] = slot
        monitors = process.monitors
        if monitors is None:
            monitors = process.monitors = {}
        (<dict>monitors)[ref] = slot
        remote = self._nodes.get(node)
        if remote is None:
            remote = self._runtime.nodes.remote(node)
        slot._there = remote.monitors
        slot._there[ref] = slot
        return 0


cdef object _alias_in(tag):
    """Return the alias in ``[alias|Ref]`` or ``[[alias|Ref]|_]``."""
    if type(tag) is ImproperList:
        first = (<ImproperList>tag).elements[0]
        if type(first) is ImproperList:
            tag = first
    elif type(tag) is list and tag:
        tag = (<list>tag)[0]
    if (
        type(tag) is ImproperList
        and type((<ImproperList>tag).tail) is Reference
        and len((<ImproperList>tag).elements) == 1
        and (<ImproperList>tag).elements[0] == ALIAS
    ):
        return (<ImproperList>tag).tail
    return None


cdef ProcessCore _running():
    cdef PyObject* found = NULL
    PyContextVar_Get(CURRENT, NULL, &found)
    if found is NULL:
        return None
    process = <object>found
    Py_DECREF(found)
    return process if isinstance(process, ProcessCore) else None


cdef object _send_slowly = None


def sender(send_slowly):
    """Return the function to send as the current process; what it leaves goes to the other."""
    global _send_slowly
    _send_slowly = send_slowly
    return send


def send(dest, message, *, priority=False):
    """Send ``message`` to a pid, a name, ``(name, node)`` or an alias."""
    if priority is not False or not speak(dest, message):
        _send_slowly(dest, message, priority=priority)


cdef bint speak(dest, term) except -1:
    """Send as the current process, to its node or another; False: it has to go the long way."""
    cdef ProcessCore process = _running()
    if process is None:
        return False
    if type(dest) is Pid and deliver(process, <Pid>dest, term):
        return True
    quick = process.runtime.quick
    if (
        type(quick) is not OutboundMessages
        or PyThread_get_thread_ident() != (<OutboundMessages>quick)._thread
    ):
        return False
    return (<OutboundMessages>quick)._send(process, dest, term)
