# Messages on their way within a node: who sends, who receives, the copy.

cdef int put_message(ProcessCore process, object message) except -1:
    cdef Mailbox mailbox
    if not process._alive:
        return 0
    extra = None if process._more is None else process._more.rare
    if extra is not None:
        calls = extra.calls
        if calls and process._scheduler._runtime._is_reply(calls, message):
            return 0
    mailbox = process.mailbox
    if mailbox is None:
        mailbox = process.mailbox = Mailbox.__new__(Mailbox)
    mailbox.push(message)
    return _wake(process)


cdef int _wake(ProcessCore process) except -1:
    if process._receive is not None:
        process._receive.woken()
    if process._more is not None and process._more.receivers is not None:
        for receiver in process._more.receivers:
            (<Receiver>receiver).woken()
    if process._coro is None and process.body is not None:
        process._scheduler.make_ready(process)
    return 0


cdef ProcessCore find_process(SchedulerCore scheduler, object pid):
    cdef ProcessCore process
    if (<Pid>pid).odd is not None:
        return None
    process = scheduler.table.find((<Pid>pid).number)
    if process is None:
        return None
    return _track(process) if process.pid is pid or process.pid == pid else None


def put(runtime, ProcessCore process not None, message):
    """Put ``message`` into the mailbox as it is, a reply to a call under way excepted."""
    put_message(process, message)


def tell(runtime, ProcessCore process not None, message):
    """Put ``message``, a term of nobody else's, into the mailbox of a live process."""
    put_message(process, to_text(message) if process._text else message)


def wake(runtime, ProcessCore process not None):
    """There is something new in the mailbox of ``process``."""
    _wake(process)


cdef int _deliver(SchedulerCore scheduler, object dest, object message) except -1:
    cdef ProcessCore process = find_process(scheduler, dest)
    if process is None:
        return False
    message = copied(message, 0)
    put_message(process, to_text(message) if process._text else message)
    return True


cdef int deliver(ProcessCore process, Pid dest, object message) except -1:
    cdef SchedulerCore scheduler = process._scheduler
    if not process._alive or PyThread_get_thread_ident() != scheduler.thread:
        return False
    return _deliver(scheduler, dest, message)


def send_local(ProcessCore process not None, dest, message):
    """Send to the live process of this node that the pid ``dest`` is; False: look closer."""
    if type(dest) is not Pid or not process._alive:
        return False
    return bool(_deliver(process._scheduler, dest, message))


cdef ProcessCore _running():
    cdef PyObject* found = NULL
    PyContextVar_Get(_CURRENT, NULL, &found)
    if found == NULL:
        return None
    process = <object>found
    Py_DECREF(process)
    return process if isinstance(process, ProcessCore) else None


def send_here(runtime, dest, message):
    """Send as the current process, or as whoever speaks for ``runtime``; False: look closer.

    ``runtime`` None is that of the current process.
    """
    cdef SchedulerCore scheduler
    if type(dest) is not Pid:
        return False
    process = _running()
    if process is None or (runtime is not None and process._scheduler._runtime is not runtime):
        if runtime is None:
            return False
        scheduler = runtime.scheduler
    elif not process._alive:
        return False
    else:
        scheduler = process._scheduler
    if PyThread_get_thread_ident() != scheduler.thread:
        return False
    return bool(_deliver(scheduler, dest, message))


cdef object copied(object term, int depth):
    """Copy a term as ``copy_term`` does; what is shared costs nothing."""
    cdef Py_ssize_t index, size
    kind = type(term)
    if kind is Atom or kind is bytes or kind is int or kind is Pid or kind is Reference:
        return term
    if term is None or kind is bool:
        return term
    if depth < 32:
        if kind is tuple:
            size = len(<tuple>term)
            for index in range(size):
                item = (<tuple>term)[index]
                other = copied(item, depth + 1)
                if other is not item:
                    break
            else:
                return term
            parts = list((<tuple>term)[:index])
            parts.append(other)
            for index in range(index + 1, size):
                parts.append(copied((<tuple>term)[index], depth + 1))
            return tuple(parts)
        if kind is list:
            return [copied(item, depth + 1) for item in tuple(<list>term)]
    return copy_term(term)
