# A receive of a process: what is awaited, and what it becomes.

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


cdef int _unawaited() except -1:
    if PyErr_WarnEx(RuntimeWarning, "coroutine 'Process.receive' was never awaited", 1) < 0:
        PyErr_WriteUnraisable(None)
    return 0


@cython.freelist(64)
cdef class Receive:
    """What ``process.receive()`` returns; to be awaited once, as a coroutine.

    What is awaited in its place is a :class:`Waiting` where a process waits for a message of its
    own, and where there is one already; else (another process's messages, a process that is held
    or dead) a coroutine of ``Process``.
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
            _unawaited()

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
        if scheduler.current is process:
            waiting = Waiting.__new__(Waiting)
            if timeout is not None:
                waiting._seconds = timeout
                waiting._timed = True
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

    def __dealloc__(self):
        if self._state == NEW and self._process is not None:
            _unawaited()

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
            return self._match.throw(kind if value is None else value)
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
            self._match.close()
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
            what = PyIter_Send(self._match, value, <PyObject**>result)
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
        timers = None
        process = self._process
        scheduler = process._scheduler
        if self._state == NEW:
            if not process._alive or _held(process):
                return self._other_way(
                    process._receive_other(self._match, self._timeout(), self._text), result
                )
            # One that is going to wait anyway need not give way.
            mailbox = process.mailbox
            if mailbox is not None and mailbox.all() and scheduler.used_up():
                self._state = GAVE_WAY
                Py_INCREF(None)
                result[0] = <void*>None
                return YIELDED
        mailbox = process.mailbox
        if mailbox is not None:
            message = mailbox.search(self._match, process, 0, self._text)
            if message is not _NOTHING:
                return self._done(message, result)
        if self._timed:
            if self._seconds <= 0:
                raise TimeoutError("no such message")
            timers = scheduler._runtime.timers
        if (
            process._alive
            and process._receive is None
            and scheduler._stepped is not None
            and scheduler._stepped.process is process
            and (process._more is None or process._more.receivers is None)
            and scheduler.in_step()
            and (not self._timed or type(timers) is TimerHeap)
        ):
            if self._timed:
                _more(process).timer = (<TimerHeap>timers).start(self._seconds, _expire, (process,))
            return self._wait(result)
        return self._other_way(
            process._receive_waiting(self._match, self._timeout(), self._text), result
        )

    cdef object _timeout(self):
        return self._seconds if self._timed else None

    cdef int _other_way(self, object coroutine, void** result) except -1:
        self._match = coroutine
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
            if self._expired:
                raise TimeoutError("no such message")
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
        if self._in != NULL:
            process = <ProcessCore>self._in
            self._in = NULL
            process._match = None
            if self._timed:
                timer = process._more.timer
                process._more.timer = None
                timer.stop()
            process._receive = None  # this may be the last of us
        return 0


def _expire(ProcessCore process not None):
    """End the receive that waits in the process for lack of time.

    A timer whose receive an interrupt has kept from waiting is not that of the next.
    """
    timer = None if process._more is None else process._more.timer
    if timer is not None and timer.callback is None and process._receive is not None:
        process._receive._expired = True
        process._receive.woken()


cdef int _waiting_send(PyObject* waiting, PyObject* value, PyObject** result) except -1:
    return (<Waiting>waiting).advance(<object>value, <void**>result)


set_send(<PyTypeObject*>Waiting, <void*>_waiting_send)
