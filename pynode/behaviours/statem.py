"""What a gen_statem's callbacks return: a transition, with the actions that belong to it.

::

    return statem.NextState(atom.open, statem.Reply(caller, atom.ok), statem.StateTimeout(10.0))

A callback that returns None keeps the state.  The data are the attributes of the object, so no
transition carries them.  Actions are carried out in the order they are written in, as gen_statem
does: replies, inserted events, then timeouts; of two timeouts of one kind the later counts.

=================================================  =============================================
Erlang                                             Python
=================================================  =============================================
``{next_state, S, Data, Actions}``                 ``NextState(s, *actions)``
``{keep_state, Data, Actions}``                    ``KeepState(*actions)``
``keep_state_and_data``                            None
``{repeat_state, Data, Actions}``                  ``RepeatState(*actions)``
``{stop, Reason}``                                 ``raise Stop(reason)``
``{stop_and_reply, Reason, Replies}``              ``StopAndReply(reason, *replies)``, or in a call
                                                   ``raise Stop(reason, reply=x)``
``{reply, From, Reply}``                           ``Reply(caller, reply)``
``postpone``                                       ``Postpone()``
``{next_event, Type, Content}``                    ``NextEvent(type, content)``
``{timeout, Time, Content}``                       ``EventTimeout(seconds, content)``
``{state_timeout, Time, Content}``                 ``StateTimeout(seconds, content)``
``{{timeout, Name}, Time, Content}``               ``Timeout(name, seconds, content)``
``{..., Time, Content, [{abs, true}]}``            ``..., absolute=True``: on the clock of
                                                   ``asyncio``'s loop
``{state_timeout, cancel}``                        ``StateTimeout.cancel()``
``{state_timeout, update, Content}``               ``StateTimeout.update(content)``
``{change_callback_module, M}``, push, pop         ``ChangeCallbackModule(cls)``, Push..., Pop...
``hibernate``                                      nothing: there is nothing to save
=================================================  =============================================

Source: stdlib's ``gen_statem``, the types ``event_handler_result`` and ``action``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.words import INFINITY, TIMEOUT
from pynode.terms import Atom

if TYPE_CHECKING:
    from pynode.behaviours.gen import Caller

__all__ = [
    "Action",
    "ChangeCallbackModule",
    "EventTimeout",
    "KeepState",
    "NextEvent",
    "NextState",
    "PopCallbackModule",
    "Postpone",
    "PushCallbackModule",
    "RepeatState",
    "Reply",
    "StateTimeout",
    "StopAndReply",
    "Timeout",
    "Transition",
]

STATE_TIMEOUT: Final = Atom("state_timeout")
_UPDATE: Final = Atom("update")
_ABSOLUTE: Final = [(Atom("abs"), True)]


class _Value:
    """Something that is shown by its fields."""

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        fields = [field for cls in type(self).__mro__ for field in getattr(cls, "__slots__", ())]
        shown = (f"{field}={getattr(self, field)!r}" for field in fields)
        return f"{type(self).__name__}({', '.join(shown)})"


# --------------------------------------------------------------------------- transitions


class Transition(_Value):
    """What becomes of the state, and the actions on the way."""

    __slots__ = ("actions",)

    def __init__(self, *actions: Action) -> None:
        self.actions: Final = actions


class NextState(Transition):
    """Go to ``state``; where it is the one that there is, as :class:`KeepState`."""

    __slots__ = ("state",)

    def __init__(self, state: Any, *actions: Action) -> None:
        super().__init__(*actions)
        self.state: Final = state


class KeepState(Transition):
    """Stay, without a state enter call."""

    __slots__ = ()


class RepeatState(Transition):
    """Stay, with a state enter call; postponed events stay postponed."""

    __slots__ = ()


class StopAndReply(Transition):
    """Send the replies, then end with ``reason``."""

    __slots__ = ("reason",)

    def __init__(self, reason: Any, *replies: Reply) -> None:
        super().__init__(*replies)
        self.reason: Final = reason


# --------------------------------------------------------------------------- actions


class Action(_Value):
    """One thing to do in a transition."""

    __slots__ = ()


class Reply(Action):
    """Answer ``caller``, now."""

    __slots__ = ("caller", "value")

    def __init__(self, caller: Caller | tuple[Any, Any], value: Any) -> None:
        self.caller: Final = caller
        self.value: Final = value


class Postpone(Action):
    """Keep this event until the state has changed, then handle it first; or do not after all."""

    __slots__ = ("flag",)

    def __init__(self, flag: bool = True) -> None:
        self.flag: Final = flag


class NextEvent(Action):
    """Handle this event before any that is waiting; several in the order they are given.

    ``type`` is as a callback gets it: ``"internal"``, ``"cast"``, ``"info"``, a timeout's,
    ``(atom.call, caller)``.
    """

    __slots__ = ("content", "type")

    def __init__(self, type: Any, content: Any) -> None:
        self.type: Final = type
        self.content: Final = content


class Timer(Action):
    """The base of the three kinds of timeouts.  ``seconds``: None cancels, ``update`` keeps."""

    __slots__ = ("absolute", "content", "kind", "seconds", "updates")

    def __init__(
        self,
        kind: Any,
        seconds: float | None,
        content: Any,
        *,
        absolute: bool = False,
        updates: bool = False,
    ) -> None:
        self.kind: Final = kind
        self.seconds: Final = seconds
        self.content: Final = content
        self.absolute: Final = absolute
        self.updates: Final = updates

    def to_term(self) -> tuple[Any, ...]:
        """Return ``{Type, Time, Content, Options}``; Time in milliseconds."""
        time: Any = INFINITY if self.seconds is None else self.seconds
        if self.updates:
            time = _UPDATE
        elif isinstance(time, int | float):
            time = round(time * 1000)
        return (self.kind, time, self.content, _ABSOLUTE if self.absolute else [])


class EventTimeout(Timer):
    """An event ``timeout`` unless another event comes within ``seconds``."""

    __slots__ = ()

    def __init__(
        self, seconds: float | None, content: Any = None, *, absolute: bool = False
    ) -> None:
        super().__init__(TIMEOUT, seconds, content, absolute=absolute)

    @staticmethod
    def cancel() -> Timer:
        """Stop it."""
        return Timer(TIMEOUT, None, None)

    @staticmethod
    def update(content: Any) -> Timer:
        """Give it another content; one that does not run is over at once."""
        return Timer(TIMEOUT, None, content, updates=True)


class StateTimeout(Timer):
    """An event ``state_timeout`` unless the state changes within ``seconds``."""

    __slots__ = ()

    def __init__(
        self, seconds: float | None, content: Any = None, *, absolute: bool = False
    ) -> None:
        super().__init__(STATE_TIMEOUT, seconds, content, absolute=absolute)

    @staticmethod
    def cancel() -> Timer:
        """Stop it."""
        return Timer(STATE_TIMEOUT, None, None)

    @staticmethod
    def update(content: Any) -> Timer:
        """Give it another content; one that does not run is over at once."""
        return Timer(STATE_TIMEOUT, None, content, updates=True)


class Timeout(Timer):
    """An event ``(atom.timeout, name)`` in ``seconds``, whatever happens; one for each name."""

    __slots__ = ()

    def __init__(
        self, name: Any, seconds: float | None, content: Any = None, *, absolute: bool = False
    ) -> None:
        super().__init__((TIMEOUT, _term(name)), seconds, content, absolute=absolute)

    @staticmethod
    def cancel(name: Any) -> Timer:
        """Stop it."""
        return Timer((TIMEOUT, _term(name)), None, None)

    @staticmethod
    def update(name: Any, content: Any) -> Timer:
        """Give it another content; one that does not run is over at once."""
        return Timer((TIMEOUT, _term(name)), None, content, updates=True)


def _term(name: Any) -> Any:
    return Atom(name) if isinstance(name, str) else name


class ChangeCallbackModule(Action):
    """Go on with the callbacks of ``server``, another :class:`GenStatem`, and the same data."""

    __slots__ = ("server",)

    def __init__(self, server: type) -> None:
        self.server: Final = server


class PushCallbackModule(ChangeCallbackModule):
    """Go on with the callbacks of ``server`` until they are popped."""

    __slots__ = ()


class PopCallbackModule(Action):
    """Go back to the callbacks that were there before the last push."""

    __slots__ = ()
