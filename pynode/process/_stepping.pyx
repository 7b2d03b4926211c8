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

It is one unit for the C compiler, which so puts the small functions into their callers: the parts
are included, and look into each other.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc

from pynode.terms._compiled cimport Pid, Reference, make_pid
from pynode.terms._compiled cimport Atom

import sys
from asyncio import CancelledError, current_task, tasks as asyncio_tasks
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from itertools import islice
from types import FunctionType
from weakref import ref as weak_reference

from pynode.errors import ProcessDead
from pynode.process.body import cannot_run
from pynode.process.shared import BATCH, BUDGET, CURRENT, NOTHING, SLOW, ZOMBIE_AWAITS
from pynode.process.timeouts import check_timeout
from pynode.process.words import NORMAL
from pynode.terms import copy_term, to_text

__all__ = [
    "Mailbox",
    "ProcessCore",
    "Receive",
    "Receiver",
    "RuntimeCore",
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

include "_stepping_extern.pxi"

cdef object _THROW = "throw"
cdef object _NOTHING = NOTHING
cdef object _CURRENT = CURRENT
cdef Py_ssize_t _BATCH = BATCH
cdef int _ZOMBIE_AWAITS = ZOMBIE_AWAITS
cdef object _Cancelled = CancelledError
cdef object _enter = _enter_task
cdef object _leave = _leave_task
cdef object _current_task = current_task


def _find_current_tasks():
    """Return the dict that ``current_task()`` reads; None: it reads none, as from 3.14 on."""
    probe = object()
    tasks = getattr(asyncio_tasks, "_current_tasks", None)
    try:
        _enter_task(probe, probe)
        try:
            return tasks if type(tasks) is dict and tasks.get(probe) is probe else None
        finally:
            _leave_task(probe, probe)
    except Exception:
        return None


cdef object _current_tasks = _find_current_tasks()

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


include "_stepping_mailbox.pxi"
include "_stepping_waiting.pxi"
include "_stepping_receive.pxi"
include "_stepping_task.pxi"
include "_stepping_process.pxi"
include "_stepping_table.pxi"
include "_stepping_scheduler.pxi"
include "_stepping_sending.pxi"
include "_stepping_spawn.pxi"
