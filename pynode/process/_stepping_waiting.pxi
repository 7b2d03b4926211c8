# Waiting to be woken, in a process as in any task of asyncio's.


cdef class Waiter:
    """A place to wait for a :meth:`wake`, in a stepped process and in any asyncio task alike."""

    def __init__(self, SchedulerCore scheduler not None):
        self._woken = False
        self._yielded = False
        self._scheduler = scheduler
        task = _current_task(scheduler.loop)
        # In a finalizer between two steps, asyncio may still name the task of the former.
        if isinstance(task, TaskCore) and (<TaskCore>task).stepping:
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
