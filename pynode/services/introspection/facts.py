"""What ``process_info`` tells of a process of this node: one function for each item.

Everything is read from the process at the moment of the question; nothing is counted or kept for
it before.  What Python has is told as it is.  What only a BEAM has (heaps, garbage collection of
one process, priorities, tracing) gets the value that a BEAM gives where there is none of it.

Source: ``erlang:process_info/1,2``; ``erl_bif_info.c`` for the order and the defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.body import BehaviourBody
from pynode.behaviours.proc_lib import initial_call as origin
from pynode.behaviours.values import term_or_repr
from pynode.process.spawned import Spawned, Target
from pynode.terms import Atom, Pid, atom, charlist

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "DEFAULT_ITEMS",
    "INIT_P",
    "ITEMS",
    "atoms",
    "current_function",
    "dictionary",
    "initial_call",
    "mfa",
    "named_after",
    "size_bytes",
    "stacktrace",
]


def atoms(names: str) -> list[Atom]:
    """Return the atoms of these names, which spaces separate."""
    return [Atom(name) for name in names.split()]


INIT_P: Final = (atom.proc_lib, atom.init_p, 5)
_WORD_BYTES: Final = 8
_FILE: Final = atom.file
_LINE: Final = atom.line
_PROCESS: Final = atom.process
#: Frames of a stack that are told, the innermost ones.
_DEPTH: Final = 20
#: Where a process waits for the runtime: not what its user wrote.
_RUNTIME: Final = ("pynode.process.", "asyncio.", "threading")
_WORKER: Final = "pynode.process.blocking"


def name_atom(text: str) -> Any:
    """Return a Python name as an atom, the end of it where it is too long."""
    try:
        return Atom(text[-255:])
    except ValueError:
        return Atom("_" + text[-254:].encode("ascii", "replace").decode())


def mfa(function: Any, arity: int) -> tuple[Any, Any, int]:
    """Return ``{Module, Function, Arity}`` for a Python callable."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    if not hasattr(function, "__qualname__"):
        function = type(function)
    module = getattr(function, "__module__", None) or "python"
    return name_atom(str(module)), name_atom(str(function.__qualname__)), arity


# --------------------------------------------------------------------------- what it runs


def _target(process: Process) -> Target | None:
    """Return what another node has asked this process to run, if one has."""
    begun: Any = None
    if process.begin is not None:
        begun = process.begin[0]
    elif process.task is not None and process.body is None:
        frame = getattr(process.task.get_coro(), "cr_frame", None)
        if frame is not None and frame.f_code is Spawned._run.__code__:
            begun = frame.f_locals.get("self")
    return begun._target if type(begun) is Spawned else None


def initial_call(process: Process) -> tuple[Any, Any, Any]:
    """Return the function that the process began with; ``proc_lib:init_p/5`` of a behaviour."""
    body: Any = process.body
    if isinstance(body, BehaviourBody):
        return INIT_P
    target = _target(process)
    if target is not None:
        if target.ancestors is not None:
            return INIT_P
        return target.module, target.function, max(target.arity, 0)
    if body is not None:
        return mfa(type(body).start, 1)
    if process.begin is not None:
        function, args = process.begin
        return mfa(function, 1 + len(args))
    if process.task is not None:
        coroutine: Any = process.task.get_coro()
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            return _called(frame)
    return _idle(process)


def named_after(process: Process) -> tuple[Any, Any, Any]:
    """Return what lists call the process: the callback module's function, of a behaviour."""
    found = initial_call(process)
    return (origin(process) or found) if found == INIT_P else found


def _idle(process: Process) -> tuple[Any, Any, Any]:
    """A process that somebody receives for: it runs nothing itself."""
    name = atom.main if process is process.runtime._main else atom.process
    return atom.pynode, name, 0


def _called(frame: FrameType) -> tuple[Any, Any, int]:
    code = frame.f_code
    module = frame.f_globals.get("__name__", "python")
    return name_atom(str(module)), name_atom(code.co_qualname), code.co_argcount


def _entry(call: tuple[Any, Any, Any], code: CodeType, line: int | None) -> Any:
    where = [(_FILE, charlist(code.co_filename)), (_LINE, line or code.co_firstlineno)]
    return (*call, where)


def _awaited(coroutine: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine that waits, the outermost first."""
    for _ in range(1000):  # a ring cannot be, and must not hang
        frame = None
        for kind in ("cr", "gi", "ag"):
            frame = getattr(coroutine, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                coroutine = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        if frame is None:
            return


def _in_thread(process: Process) -> list[FrameType]:
    """Return the frames of the thread of a blocking callback, outermost first; [] if it waits."""
    worker = None if process.rare is None else process.rare.worker
    if worker is None or worker.thread.ident is None:
        return []
    frame = sys._current_frames().get(worker.thread.ident)
    found: list[FrameType] = []
    while frame is not None:
        if frame.f_globals.get("__name__") == _WORKER and frame.f_code.co_name == "_work":
            # What it runs last, it does for the loop: to say that a callback is done.
            at_work = bool(found) and not _module(found[-1]).startswith("asyncio.")
            return found[::-1] if at_work else []
        found.append(frame)
        frame = frame.f_back
    return []  # it begins, or ends


def _frames(process: Process) -> list[FrameType]:
    """Return the frames of what it runs or waits in, outermost first, without our own waiting."""
    frames = _in_thread(process)
    if not frames and process.task is not None:
        frames = list(_awaited(process.task.get_coro()))
    while len(frames) > 1 and _module(frames[-1]).startswith(_RUNTIME):
        frames.pop()
    return frames


def _next_call(process: Process) -> tuple[tuple[Any, Any, Any], CodeType | None]:
    """Return what an idle process gives its next message to, with the code of it."""
    body: Any = process.body
    message = getattr(type(body), "message", None)
    code = getattr(message, "__code__", None)
    if body is None or code is None:
        return _idle(process), None
    return mfa(message, code.co_argcount), code


def stacktrace(process: Process) -> list[Any]:
    """Return ``[{Module, Function, Arity, [{file, F}, {line, N}]}]``, the innermost first.

    Of a process that waits, where it waits; of a blocking callback, where its thread is.  The
    runtime's own receive is left out.  A body between two messages: what the next one goes to.
    """
    frames = _frames(process)
    if frames:
        return [
            _entry(_called(frame), frame.f_code, frame.f_lineno)
            for frame in frames[: -_DEPTH - 1 : -1]
        ]
    call, code = _next_call(process)
    return [(*call, []) if code is None else _entry(call, code, None)]


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def current_function(process: Process) -> tuple[Any, Any, Any]:
    """Return ``{Module, Function, Arity}`` of the innermost frame of :func:`stacktrace`."""
    frames = _frames(process)
    return _called(frames[-1]) if frames else _next_call(process)[0]


def _location(process: Process) -> Any:
    return stacktrace(process)[0]


def _backtrace(process: Process) -> bytes:
    lines = []
    for module, function, arity, where in stacktrace(process):
        place = ""
        if where:
            place = f" ({''.join(map(chr, where[0][1]))}:{where[1][1]})"
        lines.append(f"{module}:{function}/{arity}{place}\n")
    return "".join(lines).encode("utf-8", "replace")


def _status(process: Process) -> Atom:
    if process.held_by is not None:
        return atom.suspended
    if process.runtime.scheduler.current is process or _in_thread(process):
        return atom.running
    return atom.runnable if process.ready else atom.waiting


# --------------------------------------------------------------------------- what it has


def dictionary(process: Process) -> dict[Any, Any]:
    """Return the process dictionary, with what proc_lib has in it."""
    body: Any = process.body
    if isinstance(body, BehaviourBody):
        return body.dictionary()
    return {} if process.rare is None else process.dictionary


def _dictionary_terms(process: Process) -> list[Any]:
    pairs = dictionary(process).items()
    return [(term_or_repr(key), term_or_repr(value)) for key, value in pairs]


def _messages(process: Process) -> list[Any]:
    mailbox = process.mailbox
    return [] if mailbox is None else [term_or_repr(message) for message in mailbox.messages()]


def _queue_len(process: Process) -> int:
    return 0 if process.mailbox is None else process.mailbox.total()


def _links(process: Process) -> list[Pid]:
    return [pid for pid, unlinking in (process.links or {}).items() if not unlinking]


def _monitors(process: Process) -> list[Any]:
    """``{process, Pid | {Name, Node}}``; calls under way are among them, as on a BEAM."""
    monitors = (process.monitors or {}).values()
    return [(_PROCESS, one.target) for one in monitors if isinstance(one.target, Pid | tuple)]


def _monitored_by(process: Process) -> list[Pid]:
    return [one.watcher for one in (process.watchers or {}).values()]


def _parent(process: Process) -> Any:
    body: Any = process.body
    parent = body.parent if isinstance(body, BehaviourBody) else None
    if parent is None or parent == process.pid or not process.runtime.is_own(parent):
        return atom.undefined
    return parent


def _label(process: Process) -> Any:
    return term_or_repr(dictionary(process).get(atom("$process_label"), atom.undefined))


def _takes_priority(process: Process) -> bool:
    if process.rare is None:
        return False
    aliases = (process.runtime.aliases.get(ref) for ref in process.rare.aliases)
    return any(alias is not None and alias.priority for alias in aliases)


def size_bytes(process: Process) -> int:
    """Return about how many bytes the process itself takes: its objects, not what they hold.

    Messages, the state of a server and what its frames refer to are shared with everything else
    in Python, and belong to nobody.
    """
    extra, mailbox = process.rare, process.mailbox
    parts: list[Any] = [process, process.body, process.task, process.links, process.monitors]
    parts += [process.watchers, process.receivers, extra, mailbox]
    if extra is not None:
        parts += [extra.dictionary, extra.aliases, extra.calls, extra.on_death]
    if mailbox is not None:
        parts.append(mailbox.saved)
    if process.task is not None:
        parts.append(process.task.get_coro())
    return sum(sys.getsizeof(part) for part in parts if part is not None)


def _words(process: Process) -> int:
    return size_bytes(process) // _WORD_BYTES


_MAX_HEAP: Final = {atom.error_logger: True, atom.kill: True, atom.size: 0}
_FULLSWEEP: Final = 65535
_COLLECTION: Final = [
    (atom.max_heap_size, _MAX_HEAP),
    (atom.min_bin_vheap_size, 0),
    (atom.min_heap_size, 0),
    (atom.fullsweep_after, _FULLSWEEP),
    (atom.minor_gcs, 0),
]
_COLLECTION_SIZES: Final = [
    (name, 0)
    for name in atoms(
        "old_heap_block_size heap_block_size mbuf_size recent_size stack_size old_heap_size "
        "heap_size bin_vheap_size bin_vheap_block_size bin_old_vheap_size bin_old_vheap_block_size"
    )
]


def _always(value: Any) -> Callable[[Process], Any]:
    return lambda process: value


#: The items of ``process_info/2`` and how each is found.  ``{dictionary, Key}`` comes beside them.
ITEMS: Final[dict[Any, Callable[[Process], Any]]] = {
    atom(name): function
    for name, function in {
        "async_dist": _always(False),
        "backtrace": _backtrace,
        "binary": _always([]),
        "catchlevel": _always(0),
        "current_function": current_function,
        "current_location": _location,
        "current_stacktrace": stacktrace,
        "dictionary": _dictionary_terms,
        "error_handler": _always(atom.error_handler),
        "fullsweep_after": _always(_FULLSWEEP),
        "garbage_collection": _always(_COLLECTION),
        "garbage_collection_info": _always(_COLLECTION_SIZES),
        "group_leader": lambda process: process.group_leader,
        "heap_size": _words,
        "initial_call": initial_call,
        "label": _label,
        "last_calls": _always(False),
        "links": _links,
        "max_heap_size": _always(_MAX_HEAP),
        "memory": size_bytes,
        "message_queue_data": _always(atom.on_heap),
        "message_queue_len": _queue_len,
        "messages": _messages,
        "min_bin_vheap_size": _always(0),
        "min_heap_size": _always(0),
        "monitored_by": _monitored_by,
        "monitors": _monitors,
        "parent": _parent,
        "priority": _always(atom.normal),
        "priority_messages": _takes_priority,
        "reductions": _always(0),
        "registered_name": lambda process: [] if process.name is None else process.name,
        "sequential_trace_token": _always([]),
        "stack_size": _always(0),
        "status": _status,
        "suspending": _always([]),
        "total_heap_size": _words,
        "trace": _always(0),
        "trap_exit": lambda process: process.trap_exit,
    }.items()
}

#: The items of ``process_info/1``, in its order; ``registered_name`` comes first where there is
#: one.
DEFAULT_ITEMS: Final = atoms(
    "current_function initial_call status message_queue_len links dictionary trap_exit "
    "error_handler priority group_leader total_heap_size heap_size stack_size reductions "
    "garbage_collection suspending"
)
