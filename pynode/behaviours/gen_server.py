"""GenServer: a process that answers calls and casts.

::

    class Counter(GenServer):
        def init(self, start):
            self.count = start

        def handle_call(self, request, caller):
            match request:
                case atom.bump:
                    self.count += 1
                    return self.count
                case _:
                    raise FunctionClause(request)

    pid = await node.start(Counter, 10, name="counter")

Callbacks run one at a time, plain or ``async``; the next message waits until an async one has
ended.  What a callback returns is the reply (of ``handle_call``) and nothing else; the rest of
gen_server's return values are said otherwise:

- no reply yet: ``return NO_REPLY``, later ``caller.reply(x)``;
- ``{stop, Reason, ...}``: ``raise Stop(reason)``, with ``reply=`` for the caller;
- ``{continue, Term}``: ``self.continue_with(term)``;
- a timeout: ``self.set_timeout(seconds)``;
- ``ignore``, from ``init``: ``raise Ignore``.

What else a callback raises ends the process as Erlang would, after ``terminate(reason)``.

Source: stdlib's ``gen_server`` (25, 27, 29).
"""

from __future__ import annotations

import inspect
import logging
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.behaviours import gen
from pynode.behaviours.blocking import InThread
from pynode.behaviours.body import BehaviourBody
from pynode.behaviours.extra import extra_of
from pynode.behaviours.gen import Caller, is_from
from pynode.behaviours.system import handle_system
from pynode.behaviours.values import attributes_term, put_attributes
from pynode.behaviours.words import EXIT, GEN_CALL, GEN_CAST, GEN_SERVER, SYSTEM
from pynode.errors import NO_REPLY, Exit, FunctionClause, Stop
from pynode.process.reasons import reason_of
from pynode.shown import shown
from pynode.terms import Atom, Pid, charlist

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pynode.process.process import Process

__all__ = ["GenServer"]

_log = logging.getLogger("pynode.process")
_NOTHING: Final = object()
_CALLBACKS: Final = (
    "init",
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_continue",
    "terminate",
)


class GenServer:
    """The base of servers; state is kept in attributes, which ``init`` sets.

    Class keywords:
        text: UTF-8 binaries in requests and messages are str.
        blocking: the callbacks, all plain, run in a thread of the server's own, still one at a
            time, so that long computations do not stop the node.
        module: the name that stack traces and ``sys`` give for this class to a BEAM, an
            ``Elixir.`` prefix included where it is to look like Elixir; default: the class's name.

    No ``__init__``: a server is made by being started (``node.start``), with the arguments of
    ``init``.
    """

    __slots__ = ("__dict__", "__weakref__", "_body")

    _body: ServerBody
    _text: ClassVar[bool] = False
    _blocking: ClassVar[bool] = False
    _module: ClassVar[Atom] = Atom("GenServer")

    def __init_subclass__(
        cls,
        *,
        text: bool | None = None,
        blocking: bool | None = None,
        module: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if text is not None:
            cls._text = text
        if blocking is not None:
            cls._blocking = blocking
        cls._module = Atom(module if module is not None else cls.__name__)
        if cls._blocking:
            for name in _CALLBACKS:
                if inspect.iscoroutinefunction(getattr(cls, name)):
                    raise TypeError(
                        f"{cls.__name__}.{name} is async; the callbacks of a blocking=True server "
                        "are plain functions, for they run in a thread"
                    )

    # ----------------------------------------------------------------- callbacks

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the state.  Raise :class:`Ignore` or :class:`Stop` to decline."""

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer a call: return the reply, or NO_REPLY and ``caller.reply(x)`` later."""
        raise FunctionClause(request)

    def handle_cast(self, request: Any) -> Any:
        """Take a cast."""
        raise FunctionClause(request)

    def handle_info(self, message: Any) -> Any:
        """Take any other message; this one logs it as unexpected."""
        _log.warning(
            "%s %r received unexpected message in handle_info: %r",
            type(self).__qualname__,
            self._body.name if self._body.name is not None else self._body.process.pid,
            shown(message),
        )

    def handle_continue(self, term: Any) -> Any:
        """Take what :meth:`continue_with` was given."""
        raise FunctionClause(term)

    def terminate(self, reason: Any) -> Any:
        """Run before the end: after Stop, Exit or a crash in a callback, after ``stop``.

        And at the parent's exit, and at other exit signals only if the server traps exits; never
        when killed.
        """

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Adapt the state, at ``sys:change_code`` of a suspended server."""

    def system_get_state(self) -> Any:
        """Return the state for ``sys:get_state``, a term.

        By default a map of the attributes; what is no term is shown as the text of its repr.
        """
        return attributes_term(self.__dict__)

    def system_replace_state(self, state: Any) -> None:
        """Take a state that ``sys:replace_state`` made of :meth:`system_get_state`'s."""
        put_attributes(self.__dict__, state)

    # ----------------------------------------------------------------- for callbacks

    @property
    def pid(self) -> Pid:
        """The pid of this server."""
        return self._body.process.pid

    @property
    def node(self) -> Any:
        """The node that this server runs on."""
        return self._body.process.runtime.node

    @property
    def process(self) -> Process:
        """The process of this server, as :func:`pynode.self_` gives it."""
        return self._body.process

    @property
    def trap_exit(self) -> bool:
        """Exit signals come as messages ``{'EXIT', Pid, Reason}``; the parent's ends the server."""
        return self._body.process.trap_exit

    @trap_exit.setter
    def trap_exit(self, flag: bool) -> None:
        self._body.process.trap_exit = flag

    def continue_with(self, term: Any) -> None:
        """Have ``handle_continue(term)`` called after this callback, before any message."""
        self._body.next = (_CONTINUE, term)

    def set_timeout(self, seconds: float) -> None:
        """Have ``handle_info(atom.timeout)`` called unless a message comes within ``seconds``.

        Counts from the end of this callback, and only until the next message.
        """
        self._body.next = (_WAIT, seconds)

    @classmethod
    def _make_body(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BehaviourBody:
        return ServerBody(cls, args, kwargs)


_CONTINUE: Final = "continue"
_WAIT: Final = "wait"


class ServerBody(BehaviourBody):
    """The loop of a GenServer.

    The plain path through :meth:`step` makes no coroutine: a callback that returns None and asks
    for nothing is done when it returns.
    """

    __slots__ = ("_arguments", "instance", "next", "server")

    MODULE = GEN_SERVER

    def __init__(self, cls: type[GenServer], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.instance = cls()
        self.instance._body = self
        #: What has the callbacks: the instance, or a stand-in that runs them in a thread.
        self.server: Any = self.instance
        #: What a callback asked for besides its result: ``(_CONTINUE, term)``, ``(_WAIT, s)``.
        self.next: tuple[str, Any] | None = None
        self._arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = (args, kwargs)

    # ----------------------------------------------------------------- start and end

    def callback_module(self) -> Atom:
        """Return the class's ``module``."""
        return self.instance._module

    def init_callbacks(self) -> Any:
        """Call ``init``."""
        if self.instance._blocking:
            self.server = InThread(self.instance, self.process, _CALLBACKS)
        args, kwargs = self._arguments or ((), {})
        self._arguments = None
        return self.server.init(*args, **kwargs)

    def after_init(self) -> Coroutine[Any, Any, None] | None:
        """Go on with what ``init`` asked for."""
        return None if self.next is None else self._guarded(self._go_on())

    async def finish(self, reason: Any) -> None:
        """Call ``terminate``."""
        result = self.server.terminate(reason)
        if type(result) is CoroutineType:
            await result

    # ----------------------------------------------------------------- one message

    def step(self, message: Any) -> Coroutine[Any, Any, None] | None:
        """Hand one message to its callback."""
        try:
            if type(message) is tuple:
                size = len(message)
                tag = message[0] if message else None
                if size == 2 and (tag is GEN_CAST or tag == GEN_CAST):
                    result = self.server.handle_cast(message[1])
                    if result is None and self.next is None and self.extra is None:
                        return None
                    return self._after(result)
                if size == 3:
                    # Where From is none, there is nobody to answer.
                    if (tag is GEN_CALL or tag == GEN_CALL) and is_from(message[1]):
                        return self._call(message[1], message[2])
                    if tag == SYSTEM and is_from(message[1]):
                        return handle_system(self, message[1], message[2])
                    if tag == EXIT and self.is_parent(message[1]):
                        return self.end(message[2])
            result = self.server.handle_info(message)
            if result is None and self.next is None and self.extra is None:
                return None
            return self._after(result)
        except (Exception, Exit) as error:
            return self.crash(error)

    def _call(self, origin: Any, request: Any) -> Coroutine[Any, Any, None] | None:
        process = self.process
        caller = Caller(process, origin)
        try:
            result = self.server.handle_call(request, caller)
        except Stop as stop:
            return self._stop(stop, caller)
        if type(result) is CoroutineType:
            return self._finish_call(result, caller)
        if result is not NO_REPLY:
            gen.reply(process, origin, result)
            if self.extra is not None:
                self._note((Atom("out"), result, origin))
        elif self.extra is not None:
            self._note((Atom("noreply"),))
        return None if self.next is None else self._guarded(self._go_on())

    async def _finish_call(self, running: Coroutine[Any, Any, Any], caller: Caller) -> None:
        try:
            result = await running
            if result is not NO_REPLY:
                gen.reply(self.process, caller.term, result)
                if self.extra is not None:
                    self._note((Atom("out"), result, caller.term))
            if self.next is not None:
                await self._go_on()
        except Stop as stop:
            await self._stop(stop, caller)
        except (Exception, Exit) as error:
            await self.crash(error)

    async def _stop(self, stop: Stop, caller: Caller | None) -> None:
        """End as ``{stop, Reason, Reply, State}``: terminate, then the reply, then the end."""
        try:
            await self.finish(stop.reason)
        finally:
            if caller is not None and stop.reply is not NO_REPLY:
                gen.reply(self.process, caller.term, stop.reply)
        raise Exit(stop.reason) from None

    # ----------------------------------------------------------------- what follows a callback

    def _after(self, result: Any) -> Coroutine[Any, Any, None] | None:
        if type(result) is CoroutineType:
            return self._finish(result)
        if self.extra is not None:
            self._note((Atom("noreply"),))
        return None if self.next is None else self._guarded(self._go_on())

    async def _finish(self, running: Coroutine[Any, Any, Any]) -> None:
        try:
            await running
            if self.extra is not None:
                self._note((Atom("noreply"),))
            if self.next is not None:
                await self._go_on()
        except (Exception, Exit) as error:
            await self.crash(error)

    async def _guarded(self, running: Coroutine[Any, Any, None]) -> None:
        try:
            await running
        except (Exception, Exit) as error:
            await self.crash(error)

    async def _go_on(self) -> None:
        """Do what the callback asked for, and what ``handle_continue`` asks for in turn."""
        while self.next is not None:
            (what, value), self.next = self.next, None
            if what == _WAIT:
                extra_of(self).arm(self, value)
                return
            result = self.server.handle_continue(value)
            if type(result) is CoroutineType:
                await result

    # ----------------------------------------------------------------- sys

    def _note(self, event: tuple[Any, ...]) -> None:
        """Tell the debug functions of a reply or of its absence, with the new state."""
        extra = self.extra
        if extra is not None and extra.debug is not None:
            try:
                state = self.system_state()
            except Exception as error:  # looking at a server must not end it
                state = reason_of(error)
            extra.debug.event(self, (*event, state))

    def system_state(self) -> Any:
        """Return what the instance gives."""
        return self.instance.system_get_state()

    def system_replace(self, function: Any) -> Any:
        """Replace the state."""
        state = function(self.system_state())
        self.instance.system_replace_state(state)
        return state

    def system_status(self, suspended: bool) -> Any:
        """Return header and data as gen_server's ``format_status`` does."""
        name = self.name if self.name is not None else self.process.pid
        return [
            (Atom("header"), charlist(f"Status for generic server {name}")),
            (
                Atom("data"),
                [
                    (charlist("Status"), Atom("suspended" if suspended else "running")),
                    (charlist("Parent"), self.parent),
                    (charlist("Logged events"), []),
                ],
            ),
            (Atom("data"), [(charlist("State"), self.system_state())]),
        ]

    async def system_change_code(self, module: Any, old_version: Any, extra: Any) -> None:
        """Call ``code_change``."""
        result = self.instance.code_change(old_version, extra)
        if type(result) is CoroutineType:
            await result
