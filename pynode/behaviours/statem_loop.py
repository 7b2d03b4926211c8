"""The loop of a state machine; :mod:`pynode.behaviours.gen_statem` is what users see.

A message becomes an event; the event, and those that its transition inserts, are handled before
the next message is looked at.  All of that is one generator, which yields what a callback
returned where that is a coroutine: with plain callbacks a message costs no coroutine.

Source: ``gen_statem:loop_*`` (25, 27, 29).
"""

from __future__ import annotations

import asyncio
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.behaviours import gen, statem
from pynode.behaviours.blocking import in_thread
from pynode.behaviours.body import BehaviourBody
from pynode.behaviours.gen import Caller, is_from
from pynode.behaviours.statem_status import crash_status, event_term, statem_text, status_of
from pynode.behaviours.statem_timers import Timers
from pynode.behaviours.system import handle_system
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import (
    CALL,
    EXIT,
    GEN_CALL,
    GEN_CAST,
    GEN_STATEM,
    SYSTEM,
    TIMEOUT,
    UNDEF,
)
from pynode.errors import NO_REPLY, CallExit, EncodeError, Exit, Stop
from pynode.process.reasons import reason_of
from pynode.shown import shown
from pynode.terms import Atom, Pid, Reference, identical

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from pynode.behaviours.gen_statem import GenStatem
    from pynode.behaviours.status import Failure

__all__ = ["MODES", "StatemBody"]

MODES: Final = ("state_functions", "handle_event_function")
_CAST: Final = Atom("cast")
_INFO: Final = Atom("info")
_INTERNAL: Final = Atom("internal")
_ENTER: Final = Atom("enter")
_HANDLE_EVENT: Final = Atom("handle_event")
_IN: Final = Atom("in")
_OUT: Final = Atom("out")
_INIT_STATE: Final = (_INTERNAL, Atom("init_state"))
_EVENT_TYPES: Final = (_CAST, _INFO, _INTERNAL, TIMEOUT, statem.STATE_TIMEOUT)


class _Bad(Exit):
    """A return value, or an action, that a state machine cannot have.

    ``tag`` is gen_statem's word for it; the process ends as by an error: ``{Reason, Stack}``.
    """

    def __init__(self, tag: str, what: Any) -> None:
        self.bare: Final = (Atom(tag), term_or_repr(what))
        super().__init__((self.bare, []))


class _Undefined(Exit):
    """There is no function for this state."""

    def __init__(self, module: Atom, function: Any, arity: int) -> None:
        self.bare: Final = UNDEF
        super().__init__((UNDEF, [(module, term_or_repr(function), arity, [])]))


class _Turn:
    """One event's transition under way."""

    __slots__ = ("enter", "next_events", "postpone", "state", "timeouts")

    def __init__(self, state: Any) -> None:
        #: The state to be.
        self.state = state
        #: Whether a state enter call is due.
        self.enter = False
        self.postpone = False
        self.next_events: list[tuple[Any, Any]] = []
        self.timeouts: list[statem.Timer] = []


class StatemBody(BehaviourBody):
    """See the module."""

    __slots__ = (
        "_arguments",
        "_first",
        "ending",
        "instances",
        "postponed",
        "queue",
        "state",
        "timers",
    )

    MODULE: ClassVar[Atom] = GEN_STATEM

    def __init__(self, cls: type[GenStatem], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.state: Any = None
        #: The state that ``terminate`` gets, where it is not ``state``.
        self.ending: list[Any] = []
        #: Objects with the callbacks, the one in use first; they share their attributes.
        self.instances: list[GenStatem] = []
        self._add(cls, None)
        #: Events that are to be handled before the next message; the first one is under way.
        self.queue: list[tuple[Any, Any]] = []
        #: Postponed events, the oldest first.
        self.postponed: list[tuple[Any, Any]] = []
        self.timers = Timers()
        self._arguments: tuple[tuple[Any, ...], dict[str, Any]] = (args, kwargs)
        self._first: statem.NextState | None = None

    @property
    def instance(self) -> GenStatem:
        """The object whose callbacks are in use."""
        return self.instances[0]

    def _add(self, cls: type[GenStatem], data: dict[str, Any] | None) -> None:
        made = cls()
        if data is not None:
            made.__dict__ = data
        made._body = self
        self.instances.insert(0, made)

    # ----------------------------------------------------------------- start and end

    def callback_module(self) -> Atom:
        """Return the class's ``module``."""
        return self.instance._module

    async def init_callbacks(self) -> None:
        """Call ``init``; what it returns is the first state."""
        (args, kwargs), self._arguments = self._arguments, ((), {})
        result = self._callback("init")(*args, **kwargs)
        if type(result) is CoroutineType:
            result = await result
        if result is None or (
            isinstance(result, statem.Transition) and not isinstance(result, statem.NextState)
        ):
            raise Stop((Atom("bad_return_from_init"), term_or_repr(result)))
        if not isinstance(result, statem.NextState):
            result = statem.NextState(result)
        self._first = result

    def after_init(self) -> Coroutine[Any, Any, None] | None:
        """Enter the first state."""
        first, self._first = self._first, None
        assert first is not None  # noqa: S101
        return self._drive(self._enter(first.state, first.actions))

    async def enter(self, state: Any, actions: Iterable[statem.Action]) -> None:
        """Enter the first state of a process that was something else before."""
        following = self._drive(self._enter(state, actions))
        if following is not None:
            await following

    async def finish(self, reason: Any) -> None:
        """Call ``terminate``."""
        state = self.ending[0] if self.ending else self.state
        result = self._callback("terminate")(reason, state)
        if type(result) is CoroutineType:
            await result

    # ----------------------------------------------------------------- one message

    def step(self, message: Any) -> Coroutine[Any, Any, None] | None:
        """Handle one message, and what follows from it."""
        event: tuple[Any, Any] = (_INFO, message)
        if type(message) is tuple:
            size = len(message)
            tag = message[0] if message else None
            if size == 2 and tag == GEN_CAST:
                event = (_CAST, message[1])
            elif size == 3:
                if tag == GEN_CALL and is_from(message[1]):
                    event = ((CALL, Caller(self.process, message[1])), message[2])
                elif tag == SYSTEM and is_from(message[1]):
                    return handle_system(self, message[1], message[2])
                elif tag == EXIT and self.is_parent(message[1]):
                    return self.end(message[2], message)
                elif tag == TIMEOUT and type(message[1]) is Reference:
                    found = self.timers.fired(message[1], message[2])
                    if found is False:
                        return None
                    event = event if found is None else found
        return self._drive(self._received(event))

    def event_in(self, message: Any) -> Any:
        """Nothing: the event is told of once it is known what it is."""
        return None

    def _drive(self, steps: Any) -> Coroutine[Any, Any, None] | None:
        try:
            running = next(steps)
        except StopIteration:
            return None
        except (Exception, Exit) as error:
            return self._failed(error)
        return self._drive_on(steps, running)

    async def _drive_on(self, steps: Any, running: Any) -> None:
        try:
            while True:
                try:
                    result = await running
                except (Exception, Exit, asyncio.CancelledError) as error:
                    running = steps.throw(error)
                else:
                    running = steps.send(result)
        except StopIteration:
            return
        except (Exception, Exit) as error:
            await self._failed(error)

    # ----------------------------------------------------------------- the end

    async def _failed(self, error: Exception | Exit) -> None:
        """End as ``error`` says, which a callback or an action raised."""
        reason = reason_of(error)
        caller = self._caller()
        if isinstance(error, Stop) and error.reply is not NO_REPLY and caller is not None:
            self._reply(caller, error.reply)
        self.fails(
            event_term(self.queue[0]) if self.queue else (),
            None if caller is None else caller.pid,
        )
        await self.conclude(reason, error, _bare(error, reason))
        if isinstance(error, Stop):
            raise Exit(reason) from None
        raise error

    def _caller(self) -> Caller | None:
        kind = self.queue[0][0] if self.queue else None
        if type(kind) is tuple and kind[0] == CALL and type(kind[1]) is Caller:
            return kind[1]
        return None

    # ----------------------------------------------------------------- events

    def _received(self, event: tuple[Any, Any]) -> Any:
        """Handle ``event``, what it inserts, and timeouts of 0."""
        if self.extra is not None:
            self._note(_IN, event_term(event), self.state)
        self.queue.append(event)
        yield from self._work()

    def _work(self) -> Any:
        """Handle events until only messages are left."""
        scheduler = self.process.runtime.scheduler
        while True:
            while self.queue:
                yield from self._event(self.queue[0])
                if monotonic() > scheduler.deadline:
                    yield asyncio.sleep(0)
            event = self.timers.next_zero()
            if event is None:
                return
            if self.extra is not None:
                self._note(_IN, event_term(event), self.state)
            self.queue.append(event)

    def _enter(self, state: Any, actions: Iterable[statem.Action]) -> Any:
        self.state = state = self._state(state)
        self._note(_ENTER, self.callback_module(), state)
        self.queue.append(_INIT_STATE)
        turn = _Turn(state)
        turn.enter = True
        for action in actions:
            self._action(turn, action, in_enter=False)
        turn.postpone = False
        yield from self._enter_calls(turn)
        self._conclude(turn)
        yield from self._work()

    def _event(self, event: tuple[Any, Any]) -> Any:
        turn = _Turn(self.state)
        result = yield from self._call(turn, event)
        self._transition(turn, result, in_enter=False)
        yield from self._enter_calls(turn)
        self._conclude(turn)

    def _enter_calls(self, turn: _Turn) -> Any:
        while turn.enter and self.instance._state_enter:
            turn.enter = False
            result = yield from self._call(turn, (_ENTER, self.state))
            self._transition(turn, result, in_enter=True)

    def _call(self, turn: _Turn, event: tuple[Any, Any]) -> Any:
        """Call the callback for an event, and return what it returns."""
        kind, content = event
        try:
            if self.instance._mode == "state_functions":
                result = self._state_function(turn.state)(kind, content)
            else:
                handler = self._callback("handle_event", 4)
                result = handler(kind, content, turn.state)
            if type(result) is CoroutineType:
                result = yield result
        except Stop:
            self.ending = [turn.state]
            raise
        return result

    def _state_function(self, state: Any) -> Callable[..., Any]:
        name = str(state) if type(state) is Atom else ""
        if not name or name.startswith("_") or name in self.instance._reserved:
            raise _Undefined(self.callback_module(), state, 3)
        return self._callback(name, 3)

    def _callback(self, name: str, arity: int = 1) -> Callable[..., Any]:
        instance = self.instance
        function: Callable[..., Any] | None = getattr(instance, name, None)
        if function is None:
            raise _Undefined(self.callback_module(), Atom(name), arity)
        return in_thread(self.process, function) if instance._blocking else function

    def _state(self, state: Any) -> Any:
        """Return a state as it is kept: with state functions a str is an atom."""
        if isinstance(state, str) and self.instance._mode == "state_functions":
            return Atom(state)
        return state

    # ----------------------------------------------------------------- transitions

    def _transition(self, turn: _Turn, result: Any, *, in_enter: bool) -> None:
        """Take note of what a callback returned."""
        if result is None:
            return
        if isinstance(result, statem.NextState):
            state = self._state(result.state)
            if not identical(state, turn.state):
                if in_enter:
                    self.ending = [turn.state]
                    raise _Bad("bad_state_enter_return_from_state_function", result)
                turn.state = state
                turn.enter = True
        elif isinstance(result, statem.RepeatState):
            turn.enter = True
        elif isinstance(result, statem.StopAndReply):
            self.ending = [turn.state]
            self._stop_and_reply(result)
        elif not isinstance(result, statem.KeepState):
            self.ending = [turn.state]
            raise _Bad("bad_return_from_state_function", result)
        for action in result.actions:
            self._action(turn, action, in_enter=in_enter)

    def _stop_and_reply(self, stop: statem.StopAndReply) -> None:
        for action in stop.actions:
            if type(action) is not statem.Reply or not _is_caller(action.caller):
                raise _Bad("bad_reply_action_from_state_function", action)
            self._reply(action.caller, action.value)
        raise Stop(stop.reason)

    def _conclude(self, turn: _Turn) -> None:
        """Carry the transition out: the state, postponed events, timeouts, inserted events."""
        event = self.queue.pop(0)
        before, self.state = self.state, turn.state
        if turn.postpone:
            self.postponed.append(event)
        if self.extra is not None:
            word = Atom("postpone" if turn.postpone else "consume")
            self._note(word, event_term(event), before, turn.state)
        if not identical(before, turn.state):
            self.queue[:0] = self.postponed
            self.postponed = []
            self.timers.cancel(self.process, statem.STATE_TIMEOUT)
        self.timers.cancel(self.process, TIMEOUT)
        if turn.timeouts:
            self._start_timers(turn)
        self.queue[:0] = turn.next_events

    def _start_timers(self, turn: _Turn) -> None:
        for timer in self.timers.start(self.process, turn.timeouts):
            self._note(Atom("start_timer"), timer.to_term(), turn.state)

    # ----------------------------------------------------------------- actions

    def _action(self, turn: _Turn, action: Any, *, in_enter: bool) -> None:
        carry_out, in_enter_too = _ACTIONS.get(type(action), (None, False))
        if carry_out is None and isinstance(action, statem.Timer):
            carry_out, in_enter_too = StatemBody._timer, True
        if carry_out is None:
            self.ending = [turn.state]
            raise _Bad("bad_action_from_state_function", action)
        if in_enter and not in_enter_too and not _is_no_postponing(action):
            self.ending = [turn.state]
            raise _Bad("bad_state_enter_action_from_state_function", action)
        try:
            carry_out(self, turn, action)
        except (_Bad, _Undefined):
            self.ending = [turn.state]
            raise

    def _called(self) -> tuple[Atom, int]:
        """Return the name and the arity of the callback for the state at hand."""
        if self.instance._mode == "state_functions" and type(self.state) is Atom:
            return self.state, 3
        return _HANDLE_EVENT, 4

    def _reply_action(self, turn: _Turn, action: statem.Reply) -> None:
        if not _is_caller(action.caller):
            raise _Bad("bad_action_from_state_function", action)
        self._reply(action.caller, action.value)

    def _reply(self, caller: Any, value: Any) -> None:
        try:
            gen.reply(self.process, caller, value)
        except EncodeError as error:
            name = type(self.instance).__qualname__
            text = f"a reply of {name} in state {shown(self.state)!r} is no term: {error}"
            callback = (self.callback_module(), *self._called())
            raise EncodeError(text, callback=callback) from None
        self._note(_OUT, value, caller.term if type(caller) is Caller else caller)

    def _postpone(self, turn: _Turn, action: statem.Postpone) -> None:
        turn.postpone = action.flag

    def _next_event(self, turn: _Turn, action: statem.NextEvent) -> None:
        kind = self._event_type(action.type)
        if kind is None:
            raise _Bad("bad_action_from_state_function", action)
        event = (kind, action.content)
        self._note(_IN, event_term(event), turn.state)
        turn.next_events.append(event)

    def _event_type(self, kind: Any) -> Any:
        """Return an event's type in its one form, None if it is none."""
        if isinstance(kind, str):
            kind = Atom(kind)
        if type(kind) is Atom:
            return kind if kind in _EVENT_TYPES else None
        if type(kind) is not tuple or len(kind) != 2:
            return None
        if kind[0] in ("timeout", TIMEOUT):
            return (TIMEOUT, kind[1])
        if kind[0] in ("call", CALL) and _is_caller(kind[1]):
            caller = kind[1]
            return (CALL, caller if type(caller) is Caller else Caller(self.process, caller))
        return None

    def _timer(self, turn: _Turn, action: statem.Timer) -> None:
        if not action.updates and not _is_time(action.seconds, absolute=action.absolute):
            raise _Bad("bad_action_from_state_function", action)
        turn.timeouts.append(action)

    def _change_module(self, turn: _Turn, action: statem.ChangeCallbackModule) -> None:
        cls = action.server
        if not isinstance(cls, type) or not hasattr(cls, "_reserved"):
            raise _Bad("bad_action_from_state_function", action)
        data = self.instance.__dict__
        if type(action) is not statem.PushCallbackModule:
            self.instances.pop(0)
        self._add(cls, data)
        self._note(Atom("module"), self.callback_module(), turn.state)

    def _pop_module(self, turn: _Turn, action: statem.PopCallbackModule) -> None:
        if len(self.instances) == 1:
            raise _Bad("bad_action_from_state_function", action)
        self.instances.pop(0)
        self._note(Atom("module"), self.callback_module(), turn.state)

    # ----------------------------------------------------------------- sys

    def _note(self, *event: Any) -> None:
        extra = self.extra
        if extra is not None and extra.debug is not None:
            extra.debug.event(self, tuple(term_or_repr(part) for part in event))

    def event_text(self, event: Any, name: str) -> str:
        """Write an event as gen_statem does."""
        return statem_text(event, name)

    def system_state(self) -> Any:
        """Return ``{State, Data}``."""
        return (term_or_repr(self.state), self.instance.system_get_state())

    def system_replace(self, function: Any) -> Any:
        """Replace ``{State, Data}``."""
        after = function(self.system_state())
        if type(after) is not tuple or len(after) != 2:
            raise ValueError(f"a state machine's state is {{State, Data}}, not {shown(after)!r}")
        self.instance.system_replace_state(after[1])
        self.state = after[0]
        return after

    def system_status(self, suspended: bool) -> Any:
        """Return header and data as gen_statem's ``format_status`` does."""
        return status_of(self, suspended)

    def crash_status(self, reason: Any, failure: Failure) -> dict[str, Any]:
        """Return what gen_statem's error report holds, through ``format_status``."""
        return crash_status(self, reason, failure)

    async def system_change_code(self, module: Any, old_version: Any, extra: Any) -> None:
        """Call ``code_change``."""
        result = self._callback("code_change")(old_version, self.state, extra)
        if type(result) is CoroutineType:
            result = await result
        self.state = self._state(result)


def _bare(error: BaseException, reason: Any) -> Any:
    """Return the reason that ``terminate`` gets: that of an error is without its stack."""
    if isinstance(error, _Bad | _Undefined):
        return error.bare
    if isinstance(error, Exit | CallExit):
        return reason
    return reason[0]


def _is_caller(caller: Any) -> bool:
    if type(caller) is Caller:
        return True
    return is_from(caller) and type(caller[0]) is Pid


def _is_no_postponing(action: Any) -> bool:
    return type(action) is statem.Postpone and not action.flag


def _is_time(seconds: Any, *, absolute: bool) -> bool:
    if seconds is None:
        return True
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return False
    return absolute or seconds >= 0


#: type of action -> (what carries it out, whether a state enter call may have it)
_ACTIONS: Final[dict[type, tuple[Callable[..., None] | None, bool]]] = {
    statem.Reply: (StatemBody._reply_action, True),
    statem.Postpone: (StatemBody._postpone, False),
    statem.NextEvent: (StatemBody._next_event, False),
    statem.ChangeCallbackModule: (StatemBody._change_module, False),
    statem.PushCallbackModule: (StatemBody._change_module, False),
    statem.PopCallbackModule: (StatemBody._pop_module, False),
}
