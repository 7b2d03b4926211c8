# The C side of processes: what other compiled modules may look at and call.

cdef class Mailbox:
    cdef void** _items
    cdef Py_ssize_t _room
    cdef Py_ssize_t _first
    cdef Py_ssize_t _count
    cdef void* _few[4]
    cdef public object saved
    cdef public Py_ssize_t priority
    cdef public bint scanning

    cdef int push(self, object message) except -1
    cdef int push_front(self, object message) except -1
    cdef object pop(self)
    cdef int _grow(self) except -1
    cdef void _shrink(self)
    cdef Py_ssize_t all(self)
    # ``who`` is the process, or a list of its receivers, or None.
    cdef object take_first(self, object who)
    cdef object _take_saved(self, Py_ssize_t index, object who)
    cdef object search(self, object match, object who, Py_ssize_t seen, bint text)
    cdef object _search_saved(self, object match, object who, Py_ssize_t seen, bint text)
    cdef object _search_unseen(self, object match, bint text)


cdef class Waiter:
    cdef bint _woken
    cdef bint _yielded
    cdef SchedulerCore _scheduler
    cdef TaskCore _task
    cdef object _future

    cdef int woken(self) except -1


cdef class Receiver(Waiter):
    cdef public Py_ssize_t seen
    cdef public bint expired


cdef class Receive:
    cdef int _state
    cdef bint _text
    cdef bint _woken
    # The process while this waits in it; it clears this before it goes.
    cdef void* _in
    # The process before that.
    cdef ProcessCore _process
    cdef object _match
    cdef object _timeout
    cdef object _other
    cdef public Py_ssize_t seen

    cdef int woken(self) except -1
    cdef int advance(self, object value, void** result) except -1
    cdef int _look(self, void** result) except -1
    cdef int _look_again(self, void** result) except -1
    cdef int _wait(self, void** result) except -1
    cdef int _other_way(self, object coroutine, void** result) except -1
    cdef int _done(self, object message, void** result) except -1
    cdef int _leave(self) except -1


cdef class TaskCore:
    cdef public ProcessCore process
    cdef public object _coro
    cdef public object _fut_waiter
    cdef public object _waiter
    cdef public bint _must_cancel
    cdef public bint _soon
    cdef public bint stepping
    cdef public bint finished
    cdef public object _cancel_message
    cdef public Py_ssize_t _cancels
    cdef public object _throw
    cdef public object _callbacks
    cdef public object _name
    cdef public int _zombie_awaits
    cdef public object result_
    cdef public object error
    cdef object __weakref__

    cdef int _wait_for(self, object yielded) except -1
    cdef int _wait_for_future(self, object future) except -1
    cdef int c_make_runnable(self) except -1
    cdef bint _plain(self)
    cdef void _reset(self)


cdef class ProcessCore:
    # First what each turn looks at: the places in memory that it touches are most of its cost.
    cdef SchedulerCore _scheduler
    cdef public bint alive
    cdef public bint ready
    cdef bint _runnable
    cdef bint _waits
    cdef object _coro
    cdef Receive _receive
    cdef public object pid
    cdef public Mailbox mailbox
    cdef public object rare
    cdef TaskCore _task
    cdef object _receivers
    cdef public object body
    # Own, or None: then a copy of ``_base``, which others may share, serves.
    cdef object _context
    cdef object _match
    cdef public object held_by
    cdef bint _kept
    cdef public bint trap_exit
    cdef public bint text
    cdef object _begin
    cdef tuple _args
    cdef object _base
    cdef public object group_leader
    cdef public object name
    cdef public object exit_reason
    cdef public object links
    cdef public object monitors
    cdef public object watchers
    cdef object __weakref__

    cdef int open_context(self) except -1
    cdef TaskCore bind_task(self)


cdef class SchedulerCore:
    cdef public object loop
    cdef readonly object _runtime
    cdef dict table
    cdef unsigned long thread
    cdef list _ready
    cdef Py_ssize_t _next
    cdef readonly object _woken
    cdef object _call_soon
    cdef TaskCore _spare
    cdef object _shared
    cdef public bint batching
    cdef bint _armed
    cdef public bint running
    cdef public double budget
    cdef public double slow
    cdef public double deadline
    cdef public object current
    cdef public object on_turn

    cdef int make_ready(self, ProcessCore process) except -1
    cdef int _arm(self) except -1
    cdef int c_run(self) except -1
    cdef double _step_tasks(self) except -1
    cdef double _run_process(self, ProcessCore process, double now) except -1
    cdef double _begin_process(self, ProcessCore process, double now) except -1
    cdef double _messages(self, ProcessCore process, double now) except -1
    cdef double _call(self, ProcessCore process, object callback, tuple args, double now) except -1
    cdef double _begin_task(self, ProcessCore process, object coro, double now) except -1
    cdef double _step(self, ProcessCore process, double now) except -1
    cdef int _ended(self, ProcessCore process, object error, object coro) except -1
    cdef object snapshot(self)


# Put a message into the mailbox of a process as it is, a reply to a call under way excepted.
cdef int put_message(ProcessCore process, object message) except -1
# The live process of this node that ``pid`` is; None: look closer.
cdef ProcessCore find_process(SchedulerCore scheduler, object pid)
