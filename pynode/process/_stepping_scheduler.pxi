# The run queue, and a turn of a process: its callback, its messages, a step of its coroutine.

cdef enum:
    # So many quick messages go by between two looks at the clock, at most.
    UNTIMED = 8
    # Of the queue when there is little to do; a power of two.
    _ROOM = 64
    # Turns of a process in a context that is lent.
    _TURNS = 8


cdef class SchedulerCore:
    """The run queue of one runtime."""

    def __cinit__(self):
        self._resize(_ROOM)

    def __dealloc__(self):
        free(self._turns)

    def __init__(self, runtime):
        self._runtime = runtime
        self.loop = runtime.loop
        self.table = runtime._table
        self.thread = runtime.thread_id
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
        cdef uint32_t turn
        found = []
        for turn in range(self._end - self._next):
            if self._turns[(self._next + turn) & (self._room - 1)] != NULL:
                found.append(_track(<ProcessCore>self._turns[(self._next + turn) & (self._room - 1)]))
        return found

    def ready(self, ProcessCore process not None):
        """Give ``process`` a turn.  Idempotent while it waits for it."""
        self.make_ready(process)

    cdef bint used_up(self) noexcept:
        """Whether the turn under way has used its budget up."""
        return self.running and monotonic() > self.deadline

    # What asyncio takes for the current task stays so from one step to the next, if the next has
    # the same task; whatever else may ask for it runs after :meth:`_left`.

    cdef int _enter_as(self, TaskCore task) except -1:
        if self._entered is not task:
            self._left()
            _enter(self.loop, task)
            self._entered = task
        return 0

    cdef int _left(self) except -1:
        task = self._entered
        if task is not None:
            self._entered = None
            _leave(self.loop, task)
        return 0

    cdef bint in_step(self) except -1:
        """Whether what runs is the coroutine stepped, and no task that it has begun."""
        cdef PyObject* found
        if _current_tasks is None:
            return _current_task(self.loop) is self._stepped
        found = PyDict_GetItemWithError(_current_tasks, self.loop)
        return found == <PyObject*>self._stepped

    cdef int make_ready(self, ProcessCore process) except -1:
        if process._ready:
            return 0
        if self._end - self._next == self._room:
            self._resize(2 * self._room)
        process._place = self._end
        process._ready = True
        self._turns[self._end & (self._room - 1)] = <void*>process
        self._end += 1
        if not self._armed and not self.running and not self.batching:
            self._arm()
        return 0

    cdef int _resize(self, uint32_t room) except -1:
        cdef uint32_t turn
        cdef void** turns = NULL
        if room:
            turns = <void**>malloc(room * sizeof(void*))
        if turns == NULL:
            raise MemoryError
        turn = self._next
        while turn != self._end:
            turns[turn & (room - 1)] = self._turns[turn & (self._room - 1)]
            turn += 1
        free(self._turns)
        self._turns = turns
        self._room = room
        return 0

    def wake(self, future):
        """Let the task that waits on ``future`` go on: at the end of a batch, or soon."""
        if self.batching:
            self._woken.append(future)
        elif not future.done():
            future.set_result(None)

    def left_behind(self):
        """In a forked child: run nothing more."""
        cdef uint32_t turn = self._next
        cdef void* found
        while turn != self._end:
            found = self._turns[turn & (self._room - 1)]
            if found != NULL:
                self._turns[turn & (self._room - 1)] = NULL
                (<ProcessCore>found)._ready = False
            turn += 1
        self._woken.clear()

    cdef int _arm(self) except -1:
        try:
            self._call_soon(self._turn, context=self._runtime.context)
        except KeyboardInterrupt:  # a turn that has nothing to do is no harm; none at all would be
            self._call_soon(self._turn, context=self._runtime.context)
            self._armed = True
            raise
        self._armed = True
        return 0

    def _turn(self):
        self._armed = False
        self.c_run()

    def drain(self):
        """End a batch: run a turn now, if no asyncio task is in the middle of a step."""
        self.batching = False
        if self._next != self._end or self._woken:
            if not self.running and _current_task(self.loop) is None:
                self.c_run()
                return
            while self._woken:
                self.wake(self._woken.popleft())
            if self._next != self._end and not self.running and not self._armed:
                self._arm()

    def run(self):
        """Run until the queue is empty or the budget is used up."""
        self.c_run()

    cdef int c_run(self) except -1:
        cdef double now, then, deadline
        cdef ProcessCore process
        cdef void* found
        if self.running:
            return 0
        self.running = True
        now = monotonic()
        self.deadline = deadline = now + self.budget
        try:
            if self._woken:
                now = self._step_tasks()
            while self._next != self._end:
                found = self._turns[self._next & (self._room - 1)]
                self._next += 1
                if found == NULL:
                    continue
                process = <ProcessCore>found
                process._ready = False
                self.current = process
                then = now
                now = self._run_process(process, now)
                if self.on_turn is not None:
                    self._left()
                    self.on_turn(process, now - then)
                if not process._alive and self._spawner == <void*>process:
                    self._source = self._shared = None
                    self._spawner = NULL
                if now > deadline:
                    break
        finally:
            self.current = None
            self.running = False
            self._left()  # first: asyncio runs no task while it takes another for the current one
            self._lent = self._lent_for = None
            if self._woken:
                for future in self._woken:
                    if not future.done():
                        future.set_result(None)
                self._woken.clear()
            if self._next != self._end:
                if not self._armed:
                    self._arm()
            elif self._room > 16 * _ROOM:
                self._resize(_ROOM)
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
        return self._lend(process, now)

    cdef double _lend(self, ProcessCore process, double now) except -1:
        """Give ``process`` its turn in a context that is its own only if it changes something.

        It is the one of the process before it, if they share what they had from who made them.
        A process that has turn after turn is better off with its own.
        """
        cdef PyObject* before
        shared = process._context
        context = self._lent
        self._lent = None
        if context is None or self._lent_for is not shared or process._turned >= _TURNS:
            if process._turned:
                _own(process)
                return self._go_on(process, now)
            context = PyContext_Copy(shared)
        PyContext_Enter(context)
        try:
            PyContextVar_Set(_CURRENT, process)
        finally:
            PyContext_Exit(context)
        before = variables(context)
        kept = None if before == NULL else <object>before
        process._context = context
        process._owned = True
        process._kept = False
        try:
            now = self._go_on(process, now)
        finally:
            process._turned += 1
            if (
                before != NULL
                and not process._kept
                and process._context is context
                and Py_REFCNT(context) == 2
                and variables(context) == before
            ):
                process._context = shared
                process._owned = False
                if process._alive:
                    self._lent = context
                    self._lent_for = shared
        return now

    cdef double _go_on(self, ProcessCore process, double now) except -1:
        if process._coro is not None:
            now = self._step(process, now)
            if process._coro is not None or not process._alive:
                return now
        if process._begins:
            now = self._begin(process, now)
        if process.body is None:
            return now
        return self._messages(process, now)

    cdef double _begin(self, ProcessCore process, double now) except -1:
        """Call what the process begins with."""
        cdef tuple args = ()
        cdef PyObject* result
        process._begins = False
        _track(process)
        begin = process._match
        process._match = None
        if type(begin) is tuple:
            begin, args = <tuple>begin
        if is_coroutine_function(begin):  # nothing of it runs yet
            if args:
                result = PyObject_Call(begin, (process, *args), NULL)
            else:
                result = PyObject_CallOneArg(begin, process)
            if result == NULL:
                error = _caught()
                self._left()
                self._raised(process, error, begin)
                return monotonic()
            coro = <object>result
            Py_DECREF(coro)
            now = self._begin_task(process, coro, begin, now)
        else:
            now = self._call(process, begin, (process, *args), now)
        if process.body is None and process._coro is None:
            self._runtime.deaths.end(process, NORMAL)
        return now

    cdef double _messages(self, ProcessCore process, double now) except -1:
        """Give the body its messages, one after the other.

        While they are quick the clock is read behind every few of them.
        """
        cdef Py_ssize_t left = _BATCH
        cdef Py_ssize_t untimed = 0
        cdef long long then = moment()
        cdef long long since
        cdef Mailbox mailbox
        cdef PyObject* result
        cdef PyObject* given[3]
        cdef bint more = True
        call = process.body.message
        context = process._context
        message = None
        while left > 0:
            if process._coro is not None or not process._alive or _held(process):
                more = False
                break
            mailbox = process.mailbox
            if mailbox is None:
                more = False
                break
            if mailbox.all() == 0:
                if process.receivers is None:
                    process.mailbox = None  # an idle process is as small as can be
                more = False
                break
            message = mailbox.take_first(process)
            self._left()
            if enter_context(context) < 0:  # a thread of the program's is in it
                self._raised(process, _caught(), call)
                return monotonic()
            given[1] = <PyObject*>process
            given[2] = <PyObject*>message
            result = PyObject_Vectorcall(call, given + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
            untimed += 1
            if result == NULL:
                error = _caught()
                PyContext_Exit(context)
                self._raised(process, error, call)
                now = monotonic()
                untimed = 0
            else:
                value = <object>result
                Py_DECREF(value)
                PyContext_Exit(context)
                since = moment()
                if since != then or untimed == UNTIMED or value is not None:
                    then = since
                    untimed = 0
                    now = self._timed(process, call, now)
                    if value is not None:
                        now = self._begin_task(process, value, call, now)
            if now > self.deadline:
                break
            left -= 1
        if untimed:
            now = self._timed(process, call, now)
        if more:
            self.make_ready(process)
        return now

    cdef double _timed(self, ProcessCore process, object callback, double then) except -1:
        """Return the time, and warn of a callback that has taken long."""
        cdef double now = monotonic()
        if now - then > self.slow:
            self._slowly(process, callback, now - then)
        return now

    cdef double _call(
        self, ProcessCore process, object callback, tuple args, double now
    ) except -1:
        """Run a callback of the body, and the first step of the coroutine it may return."""
        cdef double then = now
        cdef PyObject* result
        context = process._context
        self._left()
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
            self._slowly(process, callback, now - then)
        return now if coro is None else self._begin_task(process, coro, callback, now)

    cdef double _begin_task(
        self, ProcessCore process, object coro, object callback, double now
    ) except -1:
        if not PyCoro_CheckExact(coro):
            problem = cannot_run(process, callback, coro)
            if problem is not None:
                self._raised(process, problem, callback)
                return now
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
        self._enter_as(task)
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
        if what == YIELDED:
            if type(value) is Waiting and (<Waiting>value)._in == <void*>process:
                process._waits = True
                if task._must_cancel or (<Waiting>value)._woken:
                    task.c_make_runnable()
                # Two are asyncio's and that of _entered.
                if Py_REFCNT(task) == (3 if lent else 4) and task._plain():
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
                self._slowly(process, coro, now - then)
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
        if Py_REFCNT(task) == 3 and not has_weakrefs(task):
            task._reset()
            self._spare = task
        now = monotonic()
        if now - then > self.slow:
            self._slowly(process, coro, now - then)
        self._ended(process, error, coro)
        return now

    cdef int _slowly(self, ProcessCore process, object callback, double seconds) except -1:
        self._left()
        self._warn(process, callback, seconds)
        return 0

    cdef int _ended(self, ProcessCore process, object error, object coro) except -1:
        if process._alive and error is None and process.body is not None:
            return 0
        self._left()
        if not process._alive:
            self._runtime.deaths.zombie_ended(process)
            if error is not None and type(error) is not _Cancelled:
                self._zombie_raised(process, error)
        elif error is not None:
            self._raised(process, error, coro)
        else:
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
            found = referent(self._shared)
            if found != NULL:
                last = <object>found
                Py_DECREF(last)
                if same_variables(self._source, context):
                    return last
            found = NULL
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
