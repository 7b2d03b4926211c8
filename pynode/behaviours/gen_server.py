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
- ``hibernate``: nothing; between two messages a server is no more than its state and its mailbox;
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
from pynode.behaviours._choice import QuickBody, set_caller_type
from pynode.behaviours.blocking import InThread
from pynode.behaviours.body import BehaviourBody
from pynode.behaviours.extra import extra_of
from pynode.behaviours.gen import Caller, is_from
from pynode.behaviours.status import (
    NORMAL_LOOK,
    TERMINATE_LOOK,
    Failure,
    dictionary_terms,
    formatted,
    header,
    state_part,
)
from pynode.behaviours.system import handle_system
from pynode.behaviours.trace import server_text
from pynode.behaviours.values import attributes_term, put_attributes, term_or_repr
from pynode.behaviours.words import EXIT, GEN_CALL, GEN_CAST, GEN_SERVER, SYSTEM, TIMEOUT
from pynode.errors import NO_REPLY, EncodeError, Exit, FunctionClause, Stop
from pynode.process.reasons import reason_of
from pynode.shown import shown
from pynode.terms import Atom, Pid, charlist

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pynode.process.process import Process

__all__ = ["GenServer"]

_log = logging.getLogger("pynode.process")
_NOTHING: Final = object()
_HANDLE_CALL: Final = Atom("handle_call")
_HANDLE_CAST: Final = Atom("handle_cast")
_HANDLE_CONTINUE: Final = Atom("handle_continue")
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
        raise FunctionClause(request, callback=(self._module, _HANDLE_CALL, 3))

    def handle_cast(self, request: Any) -> Any:
        """Take a cast."""
        raise FunctionClause(request, callback=(self._module, _HANDLE_CAST, 2))

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
        raise FunctionClause(term, callback=(self._module, _HANDLE_CONTINUE, 2))

    def terminate(self, reason: Any) -> Any:
        """Run before the end: after Stop, Exit or a crash in a callback, after ``stop``.

        And at the parent's exit, and at other exit signals only if the server traps exits; never
        when killed.
        """

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Adapt the state, at ``sys:change_code`` of a suspended server."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return ``status`` as others may see it: without passwords, shorter.

        Called for ``sys:get_status`` with the keys ``state`` and ``log`` (system events), and for
        the record of a crash with ``state``, ``message``, ``reason`` and ``log``; the result has
        the same keys.  Its older form is understood too: ``format_status(self, why, pair)``, with
        ``normal`` or ``terminate`` and ``[PDict, State]``, returns what stands for the state.
        """
        return status

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

    def set_timeout(self, seconds: float, message: Any = TIMEOUT) -> None:
        """Have ``handle_info(message)`` called unless another message comes within ``seconds``.

        Counts from the end of this callback, and only until the next message; system messages
        do not count.  With 0 and the default message what waits in the mailbox goes first (the
        ``Timeout`` of gen_server's return values); with 0 and a message of one's own nothing
        comes before it (``{timeout, 0, Message}``, OTP 28).

        Raises:
            ValueError: ``seconds`` is negative, or no number.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
            raise ValueError(f"a timeout is seconds from 0 on, not {seconds!r}")
        self._body.next = (_WAIT, (seconds, message))

    @classmethod
    async def enter_loop(
        cls, process: Process, state: dict[str, Any], *, parent: Pid | None = None
    ) -> None:
        """Make the process that awaits this a server of this class (``gen_server:enter_loop/3``).

        For a coroutine that has begun by itself, and wants no ``init``.  ``state`` is the
        attributes.  Does not return: the process ends as a server does.

        Args:
            process: the process whose coroutine this runs in.
            state: what ``init`` would have set.
            parent: whose exit ends the server; by default nobody's.
        """
        body = ServerBody(cls, (), {})
        body.adopt(process, parent)
        body.instance.__dict__.update(state)
        if cls._blocking:
            body.server = InThread(body.instance, process, _CALLBACKS)
        async for message in process:
            following = body.message(process, message)
            if following is not None:
                await following

    @classmethod
    def _make_body(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BehaviourBody:
        return ServerBody(cls, args, kwargs)


_CONTINUE: Final = "continue"
_WAIT: Final = "wait"
_OUT: Final = Atom("out")
_NOREPLY: Final = Atom("noreply")
#: What gen_server's callbacks return in Erlang and Elixir, and here means a mistake: word -> sizes.
_THEIR_VALUES: Final = {Atom("noreply"): (2, 3), Atom("stop"): (3, 4), Atom("reply"): (3, 4)}


def _check(result: Any) -> None:
    """Refuse a return value of Erlang's, whose author expects that something follows from it."""
    if type(result) is not tuple or not result or type(result[0]) is not Atom:
        return
    if len(result) in _THEIR_VALUES.get(result[0], ()):
        raise Stop((Atom("bad_return_value"), term_or_repr(result)))


class ServerBody(BehaviourBody):
    """The loop of a GenServer.

    The plain path through :meth:`step` makes no coroutine: a callback that returns None and asks
    for nothing is done when it returns.  Where there is a compiled dispatch, it is in the place of
    :meth:`message`, and does what :meth:`step` does.
    """

    __slots__ = ("_arguments", "instance")

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
        return None if self.next is None else self._guarded(())

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
                    return self._after(result, message)
                if size == 3:
                    # Where From is none, there is nobody to answer.
                    if (tag is GEN_CALL or tag == GEN_CALL) and is_from(message[1]):
                        return self._call(message[1], message[2])
                    if tag == SYSTEM and is_from(message[1]):
                        return handle_system(self, message[1], message[2])
                    if tag == EXIT and self.is_parent(message[1]):
                        return self.end(message[2], message)
            result = self.server.handle_info(message)
            if result is None and self.next is None and self.extra is None:
                return None
            return self._after(result, message)
        except (Exception, Exit) as error:
            return self.crash(error, message)

    def follow(self, result: Any, message: Any) -> Coroutine[Any, Any, None] | None:
        """Go on after a cast or another message that was dispatched elsewhere."""
        try:
            return self._after(result, message)
        except (Exception, Exit) as error:
            return self.crash(error, message)

    def call_failed(
        self, error: BaseException, caller: Caller, request: Any
    ) -> Coroutine[Any, Any, None]:
        """End as what a call that was dispatched elsewhere has raised."""
        if isinstance(error, Stop):
            return self._stop(error, caller, request)
        return self.crash(error, request, caller.pid)

    def _call(self, origin: Any, request: Any) -> Coroutine[Any, Any, None] | None:
        process = self.process
        caller = Caller(process, origin)
        try:
            result = self.server.handle_call(request, caller)
            if type(result) is CoroutineType:
                return self._finish_call(result, caller, request)
            self._answer(caller, result)
        except Stop as stop:
            return self._stop(stop, caller, request)
        except (Exception, Exit) as error:
            return self.crash(error, request, caller.pid)
        return None if self.next is None else self._guarded(request)

    async def _finish_call(
        self, running: Coroutine[Any, Any, Any], caller: Caller, request: Any
    ) -> None:
        try:
            self._answer(caller, await running)
            if self.next is not None:
                await self._go_on()
        except Stop as stop:
            await self._stop(stop, caller, request)
        except (Exception, Exit) as error:
            await self.crash(error, request, caller.pid)

    def _answer(self, caller: Caller, result: Any) -> None:
        """Send what ``handle_call`` returned."""
        if result is not NO_REPLY:
            try:
                gen.reply(self.process, caller, result)
            except EncodeError as error:
                raise self._no_term(error) from None
            if self.extra is not None:
                self._note((_OUT, result, caller.term))
        elif self.extra is not None:
            self._note((_NOREPLY,))

    def _no_term(self, error: EncodeError) -> EncodeError:
        name = f"{type(self.instance).__qualname__}.handle_call"
        text = f"the reply of {name} is no term: {error}"
        return EncodeError(text, callback=(self.callback_module(), _HANDLE_CALL, 3))

    async def _stop(self, stop: Stop, caller: Caller, request: Any) -> None:
        """End as ``{stop, Reason, Reply, State}``: terminate, then the reply, then the end."""
        self.fails(request, caller.pid)
        try:
            await self.conclude(stop.reason, stop)
        finally:
            if stop.reply is not NO_REPLY:
                try:
                    gen.reply(self.process, caller, stop.reply)
                except EncodeError as error:
                    raise self._no_term(error) from None
                if self.extra is not None:
                    self._note((_OUT, stop.reply, caller.term))
        raise Exit(stop.reason) from None

    # ----------------------------------------------------------------- what follows a callback

    def _after(self, result: Any, message: Any) -> Coroutine[Any, Any, None] | None:
        if type(result) is CoroutineType:
            return self._finish(result, message)
        if result is not None:
            _check(result)
        if self.extra is not None:
            self._note((_NOREPLY,))
        return None if self.next is None else self._guarded(message)

    async def _finish(self, running: Coroutine[Any, Any, Any], message: Any) -> None:
        try:
            _check(await running)
            if self.extra is not None:
                self._note((_NOREPLY,))
            if self.next is not None:
                await self._go_on()
        except (Exception, Exit) as error:
            await self.crash(error, message)

    async def _guarded(self, message: Any) -> None:
        try:
            await self._go_on()
        except (Exception, Exit) as error:
            await self.crash(error, message)

    async def _go_on(self) -> None:
        """Do what the callback asked for, and what ``handle_continue`` asks for in turn."""
        while self.next is not None:
            (what, value), self.next = self.next, None
            if what == _WAIT:
                seconds, message = value
                if seconds > 0 or message is TIMEOUT:
                    extra_of(self).arm(self, seconds, message)
                    return
                result = self.server.handle_info(message)
            else:
                result = self.server.handle_continue(value)
            if type(result) is CoroutineType:
                result = await result
            _check(result)
            if self.extra is not None:
                if what == _CONTINUE:
                    self._note((Atom("continue"), value), with_state=False)
                self._note((_NOREPLY,))

    # ----------------------------------------------------------------- sys

    def _note(self, event: tuple[Any, ...], *, with_state: bool = True) -> None:
        """Tell the debug functions of a reply or of its absence, with the new state."""
        extra = self.extra
        if extra is not None and extra.debug is not None:
            if with_state:
                try:
                    event = (*event, self.system_state())
                except Exception as error:  # looking at a server must not end it
                    event = (*event, reason_of(error))
            extra.debug.event(self, event)

    def event_text(self, event: Any, name: str) -> str:
        """Write an event as gen_server does."""
        return server_text(event, name)

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
        debug = None if self.extra is None else self.extra.debug
        state = self.system_state()
        seen = self._formatted(
            NORMAL_LOOK, {"state": state, "log": [] if debug is None else debug.events()}
        )
        data = [
            (charlist("Status"), Atom("suspended" if suspended else "running")),
            (charlist("Parent"), self.parent),
            (charlist("Logged events"), term_or_repr(seen["log"])),
        ]
        return [
            (Atom("header"), header("Status for generic server", self)),
            (Atom("data"), data),
            *state_part(seen, seen["state"]),
        ]

    def crash_status(self, reason: Any, failure: Failure) -> dict[str, Any]:
        """Return what gen_server's error report holds, through ``format_status``."""
        debug = None if self.extra is None else self.extra.debug
        status = {
            "state": self.system_state(),
            "message": failure.message,
            "reason": reason,
            "log": [] if debug is None else debug.events(),
        }
        seen = self._formatted(TERMINATE_LOOK, status)
        shown = {
            "last_message": seen["message"],
            "state": seen.get("EXIT", seen.get("$status", seen["state"])),
        }
        return shown | ({"log": seen["log"]} if seen["log"] else {})

    def _formatted(self, why: Atom, status: dict[str, Any]) -> dict[str, Any]:
        server = type(self.instance)
        own = server.format_status is not GenServer.format_status
        callback = self.instance.format_status if own else None
        pair = [dictionary_terms(self), status["state"]] if own else []
        return formatted(callback, self.callback_module(), why, status, pair)

    async def system_change_code(self, module: Any, old_version: Any, extra: Any) -> None:
        """Call ``code_change``."""
        result = self.instance.code_change(old_version, extra)
        if type(result) is CoroutineType:
            await result


if not TYPE_CHECKING and set_caller_type is not None:
    set_caller_type(Caller)
    ServerBody.message = QuickBody.message
