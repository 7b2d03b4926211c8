"""The loop of an event manager; :mod:`pynode.behaviours.gen_event` is what users see.

An event to plain handlers makes no coroutine.  Everything that is rarer, and every failure, is
written as a coroutine once, whether the callbacks are plain or async.
"""

from __future__ import annotations

import logging
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours import gen
from pynode.behaviours.body import BehaviourBody, nothing_from_init
from pynode.behaviours.dialects import DIALECTS, Installed
from pynode.behaviours.status import NORMAL_LOOK, dictionary_terms, formatted, header
from pynode.behaviours.system import handle_system
from pynode.behaviours.trace import manager_text
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import (
    CALL,
    DOWN,
    ERROR,
    EXIT,
    GEN_EVENT,
    NORMAL,
    NOTIFY,
    OK,
    SHUTDOWN,
    STOP,
    SYSTEM,
    UNDEF,
)
from pynode.errors import NO_REPLY, Exit, RemoveHandler, Stop, SwapHandler
from pynode.process.reasons import is_clean, reason_of
from pynode.shown import shown
from pynode.terms import Atom, Pid, charlist, identical, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from pynode.behaviours.gen_event import GenEventHandler

__all__ = ["NOTIFY", "ManagerBody"]

_log = logging.getLogger("pynode.process")

_HANDLER: Final = Atom("handler")
_GEN_EVENT_EXIT: Final = Atom("gen_event_EXIT")
_SWAPPED: Final = Atom("swapped")
_REMOVE_HANDLER: Final = Atom("remove_handler")


class ManagerBody(BehaviourBody):
    """See the module."""

    __slots__ = ("dialect", "handlers", "install", "known")

    cure = "what takes long is the work of a server that says blocking=True, told by the handler"

    MODULE = GEN_EVENT

    def __init__(
        self,
        install: list[Any],
        known: Mapping[Atom, type[GenEventHandler]],
        dialect: str,
    ) -> None:
        super().__init__()
        if dialect not in DIALECTS:
            raise ValueError(f"dialect is 'elixir' or 'erlang', not {dialect!r}")
        self.dialect = DIALECTS[dialect]
        self.known = dict(known)
        #: Newest first, as both dialects list them.
        self.handlers: list[Installed] = []
        self.install = install

    # ----------------------------------------------------------------- start and end

    def callback_module(self) -> Atom:
        """Return the behaviour: a manager has no module of its own."""
        return GEN_EVENT

    async def init_callbacks(self) -> None:
        """Add the first handlers; one that fails fails the start."""
        self.process.trap_exit = self.dialect.exit_tuple  # gen_event traps exits, GenEvent not
        install, self.install = self.install, []
        for cls, args, kwargs in install:
            installed = Installed(cls._module, self._make(cls))
            result = installed.handler.init(*args, **kwargs)
            if type(result) is CoroutineType:
                result = await result
            nothing_from_init(result)
            self.handlers.insert(0, installed)

    async def finish(self, reason: Any) -> None:
        """Call ``terminate(stop)`` of every handler."""
        for installed in list(self.handlers):
            await self._retire(installed, STOP, SHUTDOWN)

    # ----------------------------------------------------------------- one message

    def step(self, message: Any) -> Coroutine[Any, Any, None] | None:
        """Act on one message."""
        if type(message) is tuple:
            size = len(message)
            if size == 2 and message[0] == NOTIFY:
                return self._notify("handle_event", message[1], None)
            if size == 3:
                tag = message[0]
                if tag == SYSTEM and gen.is_from(message[1]):
                    return handle_system(self, message[1], message[2])
                if tag == EXIT and type(message[1]) is Pid:
                    return self._exit_signal(message)
                if type(message[1]) is tuple and len(message[1]) == 2:
                    return self._command(message)
            if size == 5 and message[0] == DOWN:
                return self._down(message)
        return self._notify("handle_info", message, None)

    def _command(self, message: Any) -> Coroutine[Any, Any, None] | None:
        command = message[2]
        if type(command) is Atom:
            plain = _PLAIN.get(command)
            if plain is not None:
                return plain(self, message[1])  # type: ignore[no-any-return]
        elif type(command) is tuple and command and type(command[0]) is Atom:
            size, tagged = _TAGGED.get(command[0], (0, None))
            if tagged is not None and len(command) == size:
                return tagged(self, message[1], *command[1:])  # type: ignore[no-any-return]
        return self._notify("handle_info", message, None)

    def _reply(self, caller: Any, value: Any) -> None:
        gen.reply(self.process, caller, value)

    # ----------------------------------------------------------------- events

    def _notify(self, function: str, event: Any, caller: Any) -> Coroutine[Any, Any, None] | None:
        """Hand ``event`` to every handler, then say ok to ``caller`` if there is one."""
        handlers = self.handlers if self.dialect.newest_first else self.handlers[::-1]
        for index, installed in enumerate(handlers):
            handler = installed.handler
            try:
                result = getattr(handler, function)(to_text(event) if handler._text else event)
            except (Exception, Exit) as error:
                return self._notify_on(function, event, caller, handlers[index:], error)
            if type(result) is CoroutineType:
                return self._notify_on(function, event, caller, handlers[index:], result)
        if caller is not None:
            self._reply(caller, OK)
        return None

    async def _notify_on(
        self, function: str, event: Any, caller: Any, handlers: list[Installed], first: Any
    ) -> None:
        """Go on where an async or failing handler was met; ``first`` is its result or error."""
        outcome = first
        for installed in list(handlers):
            handler = installed.handler
            try:
                if outcome is None:
                    outcome = getattr(handler, function)(to_text(event) if handler._text else event)
                elif isinstance(outcome, BaseException):
                    raise outcome
                if type(outcome) is CoroutineType:
                    await outcome
            except (Exception, Exit) as error:
                await self._leave(installed, error, event)
            outcome = None
        if caller is not None:
            self._reply(caller, OK)

    def _notify_async(self, caller: Any, event: Any) -> Coroutine[Any, Any, None] | None:
        return self._notify("handle_event", event, None)

    def _notify_sync(self, caller: Any, event: Any) -> Coroutine[Any, Any, None] | None:
        return self._notify("handle_event", event, caller)

    def _notify_ack(self, caller: Any, event: Any) -> Coroutine[Any, Any, None] | None:
        self._reply(caller, OK)
        return self._notify("handle_event", event, None)

    # ----------------------------------------------------------------- handlers

    def _find(self, name: Any) -> Installed | None:
        for installed in self.handlers:
            if identical(installed.id, name):
                return installed
        return None

    def _make(self, cls: type[GenEventHandler]) -> GenEventHandler:
        handler = cls()
        handler._manager = self
        return handler

    async def _add(
        self, name: Any, argument: Any, watcher: Pid | None = None, *, link: bool = False
    ) -> Any:
        """Add a handler by name; return the answer of add_handler."""
        if self.dialect.one_of_a_name and self._find(name) is not None:
            return (ERROR, Atom("already_present"))
        module = name[0] if type(name) is tuple and len(name) == 2 else name
        cls = self.known.get(module) if type(module) is Atom else None
        if cls is None:
            undefined: Any = (UNDEF, [(module, Atom("init"), [argument], [])])
            return self.dialect.init_failure(undefined)
        installed = Installed(name, self._make(cls))
        if watcher is not None:
            self._watch(installed, watcher, link)
        try:
            result = installed.handler.init(to_text(argument) if cls._text else argument)
            if type(result) is CoroutineType:
                result = await result
            nothing_from_init(result)
        except (Exception, Exit) as error:
            self._unwatch(installed)
            if isinstance(error, Stop):
                return (ERROR, error.reason)
            return self.dialect.init_failure(reason_of(error))
        self.handlers.insert(0, installed)
        return OK

    def _watch(self, installed: Installed, watcher: Pid, link: bool) -> None:
        process = self.process
        installed.watcher = watcher
        if link:
            # As in OTP the link stays when the handler goes: another one may count on it.
            process.trap_exit = True
            process.runtime.link(process, watcher)
        else:
            installed.monitor = process.runtime.monitor(process, watcher)

    def _unwatch(self, installed: Installed) -> None:
        if installed.monitor is not None:
            self.process.runtime.demonitor(self.process, installed.monitor, flush=True)
            installed.monitor = None

    async def _retire(self, installed: Installed, argument: Any, reason: Any) -> Any:
        """Take a handler out: its ``terminate``, then who watches it is told."""
        if installed in self.handlers:
            self.handlers.remove(installed)
        try:
            result = installed.handler.terminate(argument)
            if type(result) is CoroutineType:
                result = await result
        except (Exception, Exit) as error:
            result = self.dialect.init_failure(reason_of(error))
        self._unwatch(installed)
        if installed.watcher is not None:
            runtime = self.process.runtime
            runtime.send(self.process, installed.watcher, (_GEN_EVENT_EXIT, installed.id, reason))
        return result

    async def _leave(self, installed: Installed, error: BaseException, last: Any) -> Any:
        """Act on what a handler's callback raised; return the reply it gave, or NO_REPLY."""
        if isinstance(error, RemoveHandler):
            await self._retire(installed, _REMOVE_HANDLER, NORMAL)
            return error.reply
        if isinstance(error, SwapHandler):
            await self._swap_itself(installed, error)
            return error.reply
        failure = self.dialect.failure(reason_of(error))
        self._log_crash(installed, error, last)
        await self._retire(installed, (ERROR, failure), failure)
        return (ERROR, failure)

    def _log_crash(self, installed: Installed, error: BaseException, last: Any) -> None:
        if isinstance(error, Exit) and is_clean(error.reason):
            return
        _log.error(
            "event handler %r crashed in %r; last event: %r",
            shown(installed.id),
            self.process,
            shown(last),
            exc_info=error,
        )

    # ----------------------------------------------------------------- swap

    async def _swap_itself(self, installed: Installed, swap: SwapHandler) -> None:
        name = self._learn(swap.handler)
        watcher, link = installed.watcher, installed.monitor is None
        gone = (_SWAPPED, name, self.dialect.nobody if watcher is None else watcher)
        state = await self._retire(installed, swap.arguments, gone)
        result = await self._add(name, (swap.new_arguments, state), watcher, link=link)
        if result != OK and watcher is not None:
            runtime = self.process.runtime
            runtime.send(self.process, watcher, (_GEN_EVENT_EXIT, name, result))

    def _learn(self, handler: Any) -> Any:
        """Return the name of a handler given as a class, which becomes known, or as a name."""
        if isinstance(handler, type):
            cls: Any = handler
            self.known[cls._module] = cls
            return cls._module
        return Atom(handler) if isinstance(handler, str) else handler

    async def _swap(
        self, caller: Any, old: Any, argument: Any, new: Any, new_argument: Any,
        watcher: Pid | None = None, *, link: bool = False,
    ) -> None:  # fmt: skip
        """Replace ``old`` by ``new``, which takes over its state, and its watcher (gen_event)."""
        installed = self._find(old)
        if installed is None:
            state = self.dialect.absent_swap
        else:
            if watcher is None and self.dialect.exit_tuple:
                watcher, link = installed.watcher, installed.monitor is None
            gone = (_SWAPPED, new, self.dialect.nobody if watcher is None else watcher)
            state = await self._retire(installed, argument, gone)
        result = await self._add(new, (new_argument, state), watcher, link=link)
        if result != OK and self.dialect.exit_tuple:
            result = (ERROR, result)
        self._reply(caller, result)

    # ----------------------------------------------------------------- commands

    def _call(self, caller: Any, name: Any, request: Any) -> Coroutine[Any, Any, None] | None:
        installed = self._find(name)
        if installed is None:
            self._reply(caller, self.dialect.absent_call)
            return None
        handler = installed.handler
        try:
            result = handler.handle_call(to_text(request) if handler._text else request)
            if type(result) is not CoroutineType:
                self._reply(caller, result)
                return None
        except (Exception, Exit) as error:
            return self._call_failed(caller, installed, error, request)
        return self._call_on(caller, installed, request, result)

    async def _call_on(self, caller: Any, installed: Installed, request: Any, running: Any) -> None:
        try:
            self._reply(caller, await running)
        except (Exception, Exit) as error:
            await self._call_failed(caller, installed, error, request)

    async def _call_failed(
        self, caller: Any, installed: Installed, error: BaseException, request: Any
    ) -> None:
        reply = await self._leave(installed, error, request)
        self._reply(caller, OK if reply is NO_REPLY else reply)

    async def _add_plain(self, caller: Any, name: Any, argument: Any) -> None:
        self._reply(caller, await self._add(name, argument))

    async def _add_watched(self, caller: Any, name: Any, argument: Any, watcher: Any) -> None:
        self._reply(caller, await self._add(name, argument, watcher))

    async def _add_linked(self, caller: Any, name: Any, argument: Any, watcher: Any) -> None:
        self._reply(caller, await self._add(name, argument, watcher, link=True))

    async def _delete(self, caller: Any, name: Any, argument: Any) -> None:
        installed = self._find(name)
        if installed is None:
            self._reply(caller, self.dialect.absent_delete)
        else:
            self._reply(caller, await self._retire(installed, argument, NORMAL))

    def _swap_watched(
        self, caller: Any, old: Any, argument: Any, new: Any, new_argument: Any, watcher: Any
    ) -> Coroutine[Any, Any, None]:
        return self._swap(caller, old, argument, new, new_argument, watcher)

    def _swap_linked(
        self, caller: Any, old: Any, argument: Any, new: Any, new_argument: Any, watcher: Any
    ) -> Coroutine[Any, Any, None]:
        return self._swap(caller, old, argument, new, new_argument, watcher, link=True)

    def _which_handlers(self, caller: Any) -> None:
        self._reply(caller, [installed.id for installed in self.handlers])

    def _get_modules(self, caller: Any) -> None:
        self._reply(caller, list(dict.fromkeys(installed.module for installed in self.handlers)))

    async def _stop(self, caller: Any) -> None:
        await self.finish(NORMAL)
        self._reply(caller, OK)
        raise Exit(NORMAL)

    def _refuse_stream(self, caller: Any, pid: Any, notify: Any) -> None:
        # Not {error, _}: the client matches two elements as pid and reference, and would go on.
        text = "GenEvent.stream is not served by an event manager written in Python; add a handler"
        self._reply(caller, (ERROR, Atom("stream_not_supported"), text))

    # ----------------------------------------------------------------- who watches

    def _exit_signal(self, message: Any) -> Coroutine[Any, Any, None] | None:
        if self.is_parent(message[1]):
            return self.end(message[2], message)
        gone = [i for i in self.handlers if i.monitor is None and i.watcher == message[1]]
        if gone:
            return self._watcher_gone(gone, message)
        return self._notify("handle_info", message, None)

    def _down(self, message: Any) -> Coroutine[Any, Any, None] | None:
        for installed in self.handlers:
            if installed.monitor is not None and installed.monitor == message[1]:
                installed.monitor = None
                return self._watched_down(installed, message[4])
        return self._notify("handle_info", message, None)

    async def _watcher_gone(self, gone: list[Installed], message: Any) -> None:
        for installed in gone:
            await self._retire(installed, (STOP, message[2]), SHUTDOWN)
        following = self._notify("handle_info", message, None)
        if following is not None:
            await following

    async def _watched_down(self, installed: Installed, reason: Any) -> None:
        await self._retire(installed, (STOP, reason), SHUTDOWN)

    # ----------------------------------------------------------------- sys

    def event_text(self, event: Any, name: str) -> str:
        """Write an event as gen_event does."""
        return manager_text(event, name)

    def system_state(self) -> Any:
        """Return ``[{Module, Id, State}]``."""
        return [installed.state_entry(self.dialect) for installed in self.handlers]

    def system_replace(self, function: Callable[..., Any]) -> Any:
        """Map every entry; one whose function fails or renames it stays as it is."""
        states = []
        for installed in self.handlers:
            before = installed.state_entry(self.dialect)
            try:
                module, name, state = after = function(before)
                if not identical((module, name), before[:2]):
                    raise ValueError("another handler")
                installed.handler.system_replace_state(state)
            except Exception:
                after = before
            states.append(after)
        return states

    def system_status(self, suspended: bool) -> Any:
        """Return header and data as gen_event's ``format_status`` does."""
        debug = None if self.extra is None else self.extra.debug
        events = [] if debug is None else debug.events()
        handlers = []
        for installed in self.handlers:
            module, name, state = installed.state_entry(self.dialect)
            seen = formatted(
                installed.handler.look(),
                installed.module,
                NORMAL_LOOK,
                {"log": events, "state": state},
                [dictionary_terms(self), state],
            )
            events = seen["log"]
            state = seen.get("$status", seen.get("state"))
            watcher = self.dialect.nobody if installed.watcher is None else installed.watcher
            handlers.append((_HANDLER, module, name, term_or_repr(state), watcher))
        data = [
            (charlist("Status"), Atom("suspended" if suspended else "running")),
            (charlist("Logged Events"), events),
            (charlist("Parent"), self.parent),
        ]
        return [
            (Atom("header"), header("Status for event handler", self)),
            (Atom("data"), data),
            (Atom("items"), (charlist("Installed handlers"), handlers)),
        ]

    async def system_change_code(self, module: Any, old_version: Any, extra: Any) -> None:
        """Call ``code_change`` of the handlers of ``module``."""
        for installed in self.handlers:
            if installed.module == module:
                result = installed.handler.code_change(old_version, extra)
                if type(result) is CoroutineType:
                    await result


_PLAIN: Final[dict[Atom, Any]] = {
    Atom("which_handlers"): ManagerBody._which_handlers,
    Atom("get_modules"): ManagerBody._get_modules,
    STOP: ManagerBody._stop,
}
#: tag -> (size of the tuple, method)
_TAGGED: Final[dict[Atom, tuple[int, Any]]] = {
    NOTIFY: (2, ManagerBody._notify_async),
    Atom("sync_notify"): (2, ManagerBody._notify_sync),
    Atom("ack_notify"): (2, ManagerBody._notify_ack),
    CALL: (3, ManagerBody._call),
    Atom("add_handler"): (3, ManagerBody._add_plain),
    Atom("add_mon_handler"): (4, ManagerBody._add_watched),
    Atom("add_sup_handler"): (4, ManagerBody._add_linked),
    Atom("add_process_handler"): (3, ManagerBody._refuse_stream),
    Atom("delete_handler"): (3, ManagerBody._delete),
    Atom("swap_handler"): (5, ManagerBody._swap),
    Atom("swap_mon_handler"): (6, ManagerBody._swap_watched),
    Atom("swap_sup_handler"): (6, ManagerBody._swap_linked),
}
