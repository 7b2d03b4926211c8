# The process: what the runtime's C needs of it, and what the garbage collector sees.

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
        if self._ready:
            _take_out(self)

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
        if not value and self._ready:
            _take_out(self)
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
        cdef Receive receive
        if timeout is not None:
            check_timeout(timeout, True)
        receive = Receive.__new__(Receive)
        receive._process = self
        receive._match = match
        receive._timeout = timeout
        receive._text = text
        return receive

    def __aiter__(self):
        return self

    def __anext__(self):
        cdef Waiting waiting
        cdef Receive receive
        if self._scheduler.current is self:
            waiting = Waiting.__new__(Waiting)
            waiting._process = self
            return waiting
        receive = Receive.__new__(Receive)
        receive._process = self
        return receive


cdef int _take_out(ProcessCore process) except -1:
    """Take the process out of the queue, which only borrows it."""
    scheduler = process._scheduler
    place = process._place & (scheduler._room - 1)
    if scheduler._turns[place] == <void*>process:
        scheduler._turns[place] = NULL
    return 0


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


cdef inline ProcessCore _track(ProcessCore process):
    """Show the process to the garbage collector, before anybody else may refer to it.

    Until then its only reference is the table's, which answers for it: 100,000 that are made
    before the first one runs cost no collections.
    """
    if not PyObject_GC_IsTracked(process):
        PyObject_GC_Track(<void*>process)
    return process


# Collections are most of what 100,000 processes cost: what cannot be part of a cycle (pids, atoms,
# the mailbox, None) is not visited, for each is a place in memory of its own to look at.
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
