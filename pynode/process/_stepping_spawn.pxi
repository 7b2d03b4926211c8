# Spawning a function without options, and what that needs of a runtime.

cdef enum:
    MAX_ID = (1 << 28) - 1


cdef class RuntimeCore:
    """What is asked of a runtime each time that a process is made."""

    cdef public object node_name
    cdef public uint32_t creation
    cdef public bint stopped
    cdef public object default_group_leader
    cdef public object scheduler
    cdef public long long _last_id
    cdef public uint32_t _serial
    cdef public object _main


def spawn_function(runtime, body, tuple args not None):
    """Spawn ``body``, a function, without any option, and return the pid; None: look closer."""
    cdef RuntimeCore facts
    cdef SchedulerCore scheduler
    cdef ProcessCore process, parent
    cdef Pid pid
    if type(body) is not FunctionType or not isinstance(runtime, RuntimeCore):
        return None
    facts = runtime
    scheduler = facts.scheduler
    if facts.stopped or type(facts.node_name) is not Atom:
        return None
    if PyThread_get_thread_ident() != scheduler.thread:
        return None
    if facts._last_id >= MAX_ID or scheduler.table.has(<uint32_t>facts._last_id + 1):
        pid = runtime._new_pid()
    else:
        facts._last_id += 1
        pid = make_pid(facts.node_name, <uint32_t>facts._last_id, facts._serial, facts.creation)
    parent = _running()
    if parent is not None and parent._scheduler is scheduler:
        leader = parent.group_leader
    else:
        leader = facts.default_group_leader
        if leader is None:
            leader = pid if facts._main is None else (<ProcessCore>facts._main).pid
    process = ProcessCore.__new__(_Process)
    PyObject_GC_UnTrack(<void*>process)
    process._scheduler = scheduler
    process.pid = pid
    process._begins = True
    process._match = (body, args) if args else body
    process._context = scheduler.snapshot()
    process.group_leader = leader
    scheduler.table.put(pid.number, process)
    scheduler.make_ready(process)
    return pid
