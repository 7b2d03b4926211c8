"""``sys``'s debug options of one server: trace, log, statistics, installed functions.

Source: ``sys:handle_debug/4`` and ``debug_cmd``.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.trace import print_text, text_of
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import ERROR, OK
from pynode.terms import Atom, copy_term, identical
from pynode.terms.size import weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pynode.behaviours.body import BehaviourBody

__all__ = ["Debug"]

_DEFAULT_LOG: Final = 10
#: Events that are kept at most, whatever a peer asks for.
_LONGEST_LOG: Final = 100_000
#: What they may weigh together, in bytes; above it the oldest go, but for the last one.
LOG_BYTES: Final = 32 * 1024 * 1024
_IN: Final = Atom("in")
_OUT: Final = Atom("out")
_GET: Final = Atom("get")
_PRINT: Final = Atom("print")
_DONE: Final = Atom("done")


class _Log:
    """The last events: so many at most, and no more than :data:`LOG_BYTES` of them."""

    __slots__ = ("_events", "_weight", "maxlen")

    def __init__(self, most: int, events: Iterable[Any] = ()) -> None:
        self.maxlen = most
        self._events: deque[tuple[Any, int]] = deque()
        self._weight = 0
        for event in events:
            self.append(event)

    def append(self, event: Any) -> None:
        weighs = weight(event, LOG_BYTES)
        self._events.append((event, weighs))
        self._weight += weighs
        while len(self._events) > self.maxlen or (
            self._weight > LOG_BYTES and len(self._events) > 1
        ):
            self._weight -= self._events.popleft()[1]

    def __iter__(self) -> Iterator[Any]:
        return iter([event for event, _ in self._events])


class Debug:
    """``sys``'s debug options of one server.

    Events are printed as :mod:`pynode.behaviours.trace` says.  ``log_to_file`` is refused: a peer
    shall not write files here.
    """

    __slots__ = ("installed", "log", "messages_in", "messages_out", "started", "trace")

    def __init__(self) -> None:
        self.trace = False
        self.log: _Log | None = None
        self.started: Any = None
        self.messages_in = 0
        self.messages_out = 0
        #: id -> [function, state]; functions that this program exposed.
        self.installed: list[list[Any]] = []

    def in_use(self) -> bool:
        """True if an event would be looked at."""
        return bool(
            self.trace or self.log is not None or self.started is not None or self.installed
        )

    def event(self, body: BehaviourBody, event: Any) -> None:
        """Take note of a system event: ``{in, Msg}``, ``{out, Reply, To, State}``, ..."""
        if self.trace:
            _print(body, event)
        if self.log is not None:
            self.log.append(event)
        if self.started is not None:
            if event[0] == _IN:
                self.messages_in += 1
            elif event[0] == _OUT:
                self.messages_out += 1
        for entry in list(self.installed):
            _run_installed(self.installed, entry, event, body.shown_name())

    def options(self, options: Any) -> None:
        """Begin as the start option ``debug`` says (``sys:debug_options/1``); unknown ones: no.

        ``trace``, ``log``, ``{log, N}``, ``statistics``, ``{install, {Function, State}}``,
        ``{install, {Id, Function, State}}``, with Python functions.
        """
        for option in options:
            word, *more = option if type(option) is tuple and option else (option,)
            match str(word), more:
                case "trace", []:
                    self.trace = True
                case "log", []:
                    self._set_log(None, True, None)
                case "log", [number]:
                    self._set_log(None, (True, number), None)
                case "statistics", []:
                    self._statistics(None, True, None)
                case "install", [spec]:
                    self._install(None, spec, lambda function, _: function)

    def events(self) -> list[Any]:
        """Return the logged events (``sys:get_log/1``)."""
        return list(self.log or ())

    def terms(self) -> list[Any]:
        """Return what is on, for ``sys:get_status``."""
        found: list[Any] = [
            (term_or_repr(name), (repr(function).encode(), term_or_repr(state)))
            for name, function, state in self.installed
        ]
        if self.started is not None:
            counts = (self.started, (_REDUCTIONS, 0), self.messages_in, self.messages_out)
            found.append((Atom("statistics"), counts))
        if self.log is not None:
            found.append((Atom("log"), (self.log.maxlen, list(self.log))))
        if self.trace:
            found.append((Atom("trace"), True))
        return found

    # ----------------------------------------------------------------- debug_cmd

    def command(self, body: BehaviourBody, what: Any, resolve: Callable[[Any, int], Any]) -> Any:
        """Carry out ``{debug, what}``; return the reply."""
        if what == _NO_DEBUG:
            self.__init__()  # type: ignore[misc]
            return OK
        if type(what) is tuple and len(what) == 2 and type(what[0]) is Atom:
            handler = _COMMANDS.get(what[0])
            if handler is not None:
                return handler(self, body, what[1], resolve)
        return _UNKNOWN_DEBUG

    def _set_trace(self, body: BehaviourBody, flag: Any, resolve: Any) -> Any:
        if type(flag) is not bool:
            return _UNKNOWN_DEBUG
        self.trace = flag
        return OK

    def _set_log(self, body: Any, flag: Any, resolve: Any) -> Any:
        if flag is True:
            self.log = _Log(_DEFAULT_LOG, self.log or ())
            return OK
        if flag is False:
            self.log = None
            return OK
        if flag == _GET:
            return (OK, list(self.log or ()))
        if flag == _PRINT:
            for event in self.log or ():
                _print(body, event)
            return OK
        if type(flag) is not tuple or len(flag) != 2 or flag[0] is not True:
            return _UNKNOWN_DEBUG
        if type(flag[1]) is not int or flag[1] < 1:
            return _UNKNOWN_DEBUG
        self.log = _Log(min(flag[1], _LONGEST_LOG), self.log or ())
        return OK

    def _log_to_file(self, body: BehaviourBody, name: Any, resolve: Any) -> Any:
        return OK if name is False else (ERROR, Atom("open_file"))

    def _statistics(self, body: Any, flag: Any, resolve: Any) -> Any:
        if flag is True:
            if self.started is None:
                self.started = _local_time()
                self.messages_in = self.messages_out = 0
            return OK
        if flag is False:
            self.started = None
            return OK
        if flag == _GET:
            return (OK, self._counts())
        return _UNKNOWN_DEBUG

    def _counts(self) -> Any:
        if self.started is None:
            return Atom("no_statistics")
        return [
            (Atom("start_time"), self.started),
            (Atom("current_time"), _local_time()),
            (_REDUCTIONS, 0),  # there is no such count here
            (Atom("messages_in"), self.messages_in),
            (Atom("messages_out"), self.messages_out),
        ]

    def _install(self, body: Any, what: Any, resolve: Callable[[Any, int], Any]) -> Any:
        if type(what) is not tuple or len(what) not in (2, 3):
            return _UNKNOWN_DEBUG
        function, state = what[-2], what[-1]
        name = what[0]
        if not any(identical(entry[0], name) for entry in self.installed):
            self.installed.insert(0, [name, resolve(function, 3), state])
        return OK

    def _remove(self, body: BehaviourBody, name: Any, resolve: Any) -> Any:
        self.installed = [entry for entry in self.installed if not identical(entry[0], name)]
        return OK


def _run_installed(installed: list[list[Any]], entry: list[Any], event: Any, name: Any) -> None:
    """Call an installed function; ``done``, or an exception, takes it away (as sys does)."""
    try:
        state = copy_term(entry[1](entry[2], event, name))
    except Exception:
        state = _DONE
    if state == _DONE:
        installed.remove(entry)
    else:
        entry[2] = state


def _print(body: BehaviourBody, event: Any) -> None:
    print_text(body.process, body.event_text(event, text_of(body.shown_name())))


def _local_time() -> Any:
    now = time.localtime()
    return (
        (now.tm_year, now.tm_mon, now.tm_mday),
        (now.tm_hour, now.tm_min, now.tm_sec),
    )


_REDUCTIONS: Final = Atom("reductions")
_NO_DEBUG: Final = Atom("no_debug")
_UNKNOWN_DEBUG: Final = Atom("unknown_debug")
_COMMANDS: Final[dict[Atom, Callable[..., Any]]] = {
    Atom("trace"): Debug._set_trace,
    Atom("log"): Debug._set_log,
    Atom("log_to_file"): Debug._log_to_file,
    Atom("statistics"): Debug._statistics,
    Atom("install"): Debug._install,
    Atom("remove"): Debug._remove,
}
