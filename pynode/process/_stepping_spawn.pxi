# Spawning a function without options.

cdef enum:
    MAX_ID = (1 << 28) - 1


def spawn_function(runtime, body, tuple args not None):
    """Spawn ``body``, a function, without any option; None: look closer."""
    cdef SchedulerCore scheduler
    cdef ProcessCore process, parent
    cdef Pid pid
    cdef long long number
    cdef dict facts
    if type(body) is not FunctionType:
        return None
    facts = runtime.__dict__
    node = facts["node_name"]
    if type(node) is not Atom or facts["stopped"]:
        return None
    scheduler = facts["scheduler"]
    if PyThread_get_thread_ident() != scheduler.thread:
        return None
    number = <long long>facts["_last_id"] + 1
    if number > MAX_ID or scheduler.table.find(<uint32_t>number) is not None:
        pid = runtime._new_pid()
    else:
        facts["_last_id"] = number
        pid = make_pid(<Atom>node, <uint32_t>number, facts["_serial"], facts["creation"])
    parent = _running()
    if parent is not None and parent._scheduler is scheduler:
        leader = parent.group_leader
    else:
        leader = facts["default_group_leader"]
        if leader is None:
            main = facts["_main"]
            leader = pid if main is None else (<ProcessCore>main).pid
    process = ProcessCore.__new__(_Process)
    process._scheduler = scheduler
    process.pid = pid
    process._begins = True
    process._match = (body, args) if args else body
    process._context = scheduler.snapshot()
    process.group_leader = leader
    scheduler.table.put(pid.number, process)
    scheduler.make_ready(process)
    return process
