"""Exit reasons: how an exception reads as an Erlang term, and the record of a crash.

An exception that ends a process becomes
``{{python_error, 'ValueError', <<"text">>}, [{Module, Function, Arity, [{file, F}, {line, N}]}]}``,
the innermost frame first, which is the form of ``{Reason, Stack}`` that Erlang's and Elixir's
formatters print.  Exceptions that stand for an exit of Erlang's keep its form: a failed call is
``{Reason, {Module, Function, Args}}``, a missing clause ``{function_clause, Stack}``.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from pynode.errors import CallExit, EncodeError, Exit, FunctionClause
from pynode.process.words import FUNCTION_CLAUSE, NORMAL, PYTHON_ERROR, SHUTDOWN
from pynode.shown import shown
from pynode.terms import Atom, copy_term

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "crash_reason",
    "is_clean",
    "log_crash",
    "log_zombie",
    "name_of",
    "reason_of",
    "stack",
]

_log = logging.getLogger("pynode.process")

_FILE: Final = Atom("file")
_LINE: Final = Atom("line")
#: Frames kept of a stack, the innermost ones; more than BEAM's 8, for Python's frames are finer.
_STACK_DEPTH: Final = 20
_TEXT_BYTES: Final = 4096


def stack(traceback: TracebackType | None) -> list[Any]:
    """Write a traceback as an Erlang stack trace; frames of this package's stepping are left out.

    ``[{Module, Function, Arity, [{file, Charlist}, {line, Integer}]}]``, innermost first.
    """
    frames: list[Any] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        module = _module_of(traceback)
        if not module.startswith(_OWN_MODULES):
            location = [
                (_FILE, [ord(character) for character in code.co_filename]),
                (_LINE, traceback.tb_lineno or 0),
            ]
            name = code.co_qualname
            frames.append((_atom(module), _atom(name), code.co_argcount, location))
        traceback = traceback.tb_next
    return frames[: -_STACK_DEPTH - 1 : -1]


def _module_of(traceback: TracebackType) -> str:
    return str(traceback.tb_frame.f_globals.get("__name__", "python"))


def _is_own(traceback: TracebackType) -> bool:
    return _module_of(traceback).startswith(_OWN_MODULES)


_OWN_MODULES: Final = (
    "pynode.process.scheduler",
    "pynode.process.task",
    "pynode.process._stepping",
    "pynode.process.blocking",
    "pynode.process.process",
    "pynode.process.spawned",
    "pynode.behaviours.",
)


def _beyond(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the program's first frame on, None where it has none.

    For what this package says of itself: that frames lead there is no news.
    """
    while traceback is not None and _module_of(traceback).startswith(_WAY_IN):
        traceback = traceback.tb_next
    return traceback


_WAY_IN: Final = (*_OWN_MODULES, "pynode.process.", "asyncio.")


def _to_the_last_call(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the program's first frame to its last, None where it has none.

    For a value that this package was given and that is at fault: where we found it is no news.
    """
    frames: list[TracebackType] = []
    traceback = _beyond(traceback)
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    while frames and _module_of(frames[-1]).startswith("pynode."):
        frames.pop()
    cut: TracebackType | None = None
    for frame in reversed(frames):
        cut = TracebackType(cut, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return cut


def _atom(text: str) -> Any:
    try:
        return Atom(text[-255:])
    except ValueError:  # true, false, nil; or half of a surrogate pair
        return Atom("_" + text[-254:].encode("ascii", "replace").decode())


def crash_reason(error: BaseException) -> Any:
    """Return the exit reason for an exception that a process did not handle."""
    if isinstance(error, CallExit):
        reason = error.reason if error.call is None else (error.reason, error.call)
        return _checked(reason, error)
    if isinstance(error, EncodeError):
        trace = stack(_to_the_last_call(error.__traceback__))
        if error.callback is not None:
            trace.insert(0, (*error.callback, []))
    else:
        trace = stack(error.__traceback__)
    if isinstance(error, FunctionClause):
        if error.callback is not None:
            trace = [(*error.callback, []), *stack(_beyond(error.__traceback__))]
        return (FUNCTION_CLAUSE, trace)
    return ((PYTHON_ERROR, _atom(type(error).__name__), _text(error)), trace)


def _text(error: BaseException) -> bytes:
    try:
        return str(error).encode("utf-8", "replace")[:_TEXT_BYTES]
    except Exception:  # an exception whose own __str__ fails must not hide the crash
        return b""


def reason_of(error: BaseException) -> Any:
    """Return the reason with which ``error`` ends the process that raised it.

    The reason of an :class:`Exit` goes by the rules of values as any message does; one that is
    no term is replaced by the error that says so.
    """
    if isinstance(error, Exit):
        return _checked(error.reason, error)
    return crash_reason(error)


def _checked(reason: Any, error: BaseException) -> Any:
    try:
        return copy_term(reason)
    except EncodeError as problem:
        return (
            (PYTHON_ERROR, _atom(type(problem).__name__), _text(problem)),
            stack(error.__traceback__),
        )


def is_clean(reason: Any) -> bool:
    """Return whether ``reason`` is normal, shutdown or ``{shutdown, _}``."""
    if type(reason) is Atom:
        return reason in (NORMAL, SHUTDOWN)
    return (
        type(reason) is tuple
        and len(reason) == 2
        and type(reason[0]) is Atom
        and reason[0] == SHUTDOWN
    )


def name_of(process: Process, callback: Any) -> str:
    """Name what runs in ``process`` as a person would look for it.

    By the ``label`` of its body where that has one, for a framework's callbacks say little; else
    by the name of ``callback``, a function, a bound method or a coroutine.
    """
    label = getattr(process.body, "label", None)
    return str(label or getattr(callback, "__qualname__", None) or repr(callback))


def log_crash(process: Process, error: BaseException, reason: Any, where: Any) -> None:
    """Write the one ERROR record of an abnormal exit, with the traceback of the program's code.

    A body that has a method ``crash_report`` adds to it: it returns ``(text, facts)``, the text
    for the end of the message, the facts for the record's attribute ``report``.
    """
    if is_clean(reason):
        return
    reporter = getattr(process.body, "crash_report", None)
    text, facts = ("", {}) if reporter is None else reporter(reason)
    what = f"exit {shown(reason)!r}" if isinstance(error, Exit) else type(error).__name__
    _tidy(error)
    _log.error(
        "%r crashed in %s: %s%s",
        process,
        name_of(process, where),
        what,
        text,
        exc_info=_shown_traceback(error),
        extra={"report": facts},
    )


def _shown_traceback(error: BaseException) -> Any:
    """Return what a record says of where ``error`` was raised, from the first foreign frame on.

    None for an exit that no code of the program's raised: one that was asked for from outside.
    """
    traceback = _of_the_program(error)
    if traceback is not None or getattr(error, "callback", None) is not None:
        return type(error), error, traceback
    return None if isinstance(error, Exit) else error


def _of_the_program(error: BaseException) -> TracebackType | None:
    if isinstance(error, FunctionClause) and error.callback is not None:
        return _beyond(error.__traceback__)
    if isinstance(error, EncodeError):
        return _to_the_last_call(error.__traceback__)
    traceback = error.__traceback__
    while traceback is not None and _is_own(traceback):
        traceback = traceback.tb_next
    return traceback


def _tidy(error: BaseException) -> None:
    """Take what is ours off the tracebacks of ``error`` and of the exceptions behind it.

    They ended a process, or were on the way to it: nobody but the record and, as a cause, the one
    that had it started is going to see them.
    """
    if isinstance(error, KeyboardInterrupt | SystemExit):  # goes on, through our frames
        return
    seen: set[int] = set()
    behind: list[BaseException | None] = [error]
    while behind:
        each = behind.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        traceback = _of_the_program(each)
        if traceback is not None or getattr(each, "callback", None) is not None:
            each.__traceback__ = traceback
        behind += [each.__cause__, each.__context__]


def log_zombie(process: Process, error: BaseException) -> None:
    """Write what the clean-up of a dead process raised; cancellation and Exit are no news."""
    if not isinstance(error, asyncio.CancelledError | Exit | GeneratorExit):
        _log.warning("%r is dead, and its clean-up failed", process, exc_info=error)
