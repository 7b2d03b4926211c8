# The C side of processes: what other compiled modules may look at and call.

from libc.stdint cimport uint32_t

from pynode.process._timers cimport Timer, TimerHeap
from pynode.terms._compiled cimport Pid


cdef class Mailbox:
    cdef void** _items
    cdef Py_ssize_t _room
    cdef Py_ssize_t _first
    cdef Py_ssize_t _count
    cdef void* _few[4]
    cdef public object saved
    cdef public Py_ssize_t priority
    cdef public bint scanning
    # What a match function has had dropped; it goes when the scan is over.
    cdef list _unwanted

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
    cdef bint _is_unwanted(self, object message) except -1


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


cdef class Waiting:
    # In one line of a processor's cache, as there is one for each process that waits.
    cdef unsigned char _state
    cdef unsigned char _text
    cdef unsigned char _woken
    # It has a time-out, of so many seconds, and that is over.
    cdef unsigned char _timed
    cdef unsigned char _expired
    cdef public uint32_t seen
    cdef double _seconds
    # The process while this waits in it; it clears this before it goes.
    cdef void* _in
    # The process before that.
    cdef ProcessCore _process
    # The message itself, once it is found; the coroutine that receives instead.
    cdef object _match

    cdef int woken(self) except -1
    cdef int advance(self, object value, void** result) except -1
    cdef int _look(self, void** result) except -1
    cdef int _look_again(self, void** result) except -1
    cdef int _wait(self, void** result) except -1
    cdef int _other_way(self, object coroutine, void** result) except -1
    cdef int _done(self, object message, void** result) except -1
    cdef int _leave(self) except -1
    cdef object _timeout(self)


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


cdef class More:
    cdef TaskCore task
    # Receives that wait elsewhere than in the process's own coroutine.
    cdef list receivers
    # Of the receive that its own coroutine waits in, if that has a time-out.
    cdef Timer timer
    cdef object rare
    cdef object held_by
    cdef object name
    cdef object exit_reason
    cdef object links
    cdef object monitors
    cdef object watchers


cdef class ProcessCore:
    # Small, and without C methods: 100,000 of them are read from memory at each collection.
    cdef SchedulerCore _scheduler
    cdef unsigned char _alive
    cdef unsigned char _ready
    # The coroutine may be stepped; it waits in ``_receive``.
    cdef unsigned char _runnable
    cdef unsigned char _waits
    # ``_match`` is what it begins with, or (that, arguments).
    cdef unsigned char _begins
    # ``_context`` is its own, not one that others may share; somebody has it; a turn has been.
    cdef unsigned char _owned
    cdef unsigned char _kept
    cdef unsigned char _turned
    cdef unsigned char _trap_exit
    cdef unsigned char _text
    # Its number in the queue, while it waits for a turn.
    cdef uint32_t _place
    cdef object _coro
    # The receive that its own coroutine waits in.
    cdef Waiting _receive
    cdef object _match
    cdef object _context
    cdef public object pid
    cdef public Mailbox mailbox
    cdef public object body
    cdef More _more
    cdef public object group_leader
    cdef object __weakref__


cdef class Table:
    cdef uint32_t* _keys
    cdef void** _places
    cdef Py_ssize_t _mask
    cdef Py_ssize_t _count
    # So that it is one of the garbage collector's.
    cdef object _nothing

    cdef Py_ssize_t _place(self, uint32_t number) noexcept
    cdef ProcessCore find(self, uint32_t number)
    cdef bint has(self, uint32_t number) noexcept
    cdef int put(self, uint32_t number, ProcessCore process) except -1
    cdef int _resize(self, Py_ssize_t size) except -1
    cdef ProcessCore take(self, uint32_t number)


cdef class SchedulerCore:
    cdef public object loop
    cdef readonly object _runtime
    cdef Table table
    cdef unsigned long thread
    # Who has a turn to come: borrowed, each at its number, as they take themselves out.
    cdef void** _turns
    cdef uint32_t _room
    cdef uint32_t _next
    cdef uint32_t _end
    cdef readonly object _woken
    cdef object _call_soon
    cdef TaskCore _spare
    # The task of the step under way.
    cdef TaskCore _stepped
    # The task that is asyncio's current one by us.
    cdef TaskCore _entered
    # Of the last spawn: what the new process copies, weakly; the context of who spawned it; and
    # who that was, to be compared only.
    cdef object _shared
    cdef object _source
    cdef void* _spawner
    # The context lent last in this run, and what it is a copy of.
    cdef object _lent
    cdef object _lent_for
    cdef public bint batching
    cdef bint _armed
    cdef public bint running
    cdef public double budget
    cdef public double slow
    cdef public double deadline
    cdef public object current
    cdef public object on_turn

    cdef bint used_up(self) noexcept
    cdef bint in_step(self) except -1
    cdef int _enter_as(self, TaskCore task) except -1
    cdef int _left(self) except -1
    cdef int make_ready(self, ProcessCore process) except -1
    cdef int _resize(self, uint32_t room) except -1
    cdef int _arm(self) except -1
    cdef int c_run(self) except -1
    cdef double _step_tasks(self) except -1
    cdef double _run_process(self, ProcessCore process, double now) except -1
    cdef double _lend(self, ProcessCore process, double now) except -1
    cdef double _begin(self, ProcessCore process, double now) except -1
    cdef double _go_on(self, ProcessCore process, double now) except -1
    cdef double _messages(self, ProcessCore process, double now) except -1
    cdef double _timed(self, ProcessCore process, object callback, double then) except -1
    cdef double _call(self, ProcessCore process, object callback, tuple args, double now) except -1
    cdef double _begin_task(
        self, ProcessCore process, object coro, object callback, double now
    ) except -1
    cdef double _step(self, ProcessCore process, double now) except -1
    cdef int _slowly(self, ProcessCore process, object callback, double seconds) except -1
    cdef int _ended(self, ProcessCore process, object error, object coro) except -1
    cdef object snapshot(self)


# Put a message into the mailbox of a process as it is, a reply to a call under way excepted.
cdef int put_message(ProcessCore process, object message) except -1
# Send to the live process of this node that ``dest`` is; False: look closer.
cdef int deliver(ProcessCore process, Pid dest, object message) except -1
# The live process of this node that ``pid`` is; None: look closer.
cdef ProcessCore find_process(SchedulerCore scheduler, object pid)
