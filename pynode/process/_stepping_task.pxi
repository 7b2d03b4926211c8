# The task: one coroutine of a process, as asyncio would have it.

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
