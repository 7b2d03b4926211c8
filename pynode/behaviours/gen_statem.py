"""GenStatem: a server that is a state machine (``gen_statem``).

::

    class Door(GenStatem, callback_mode="state_functions", state_enter=True):
        def init(self, code):
            self.code = code
            return atom.locked

        def locked(self, event, content):
            match event, content:
                case (atom.call, caller), (atom.unlock, code) if code == self.code:
                    return statem.NextState(atom.open, statem.Reply(caller, atom.ok))
                case (atom.call, caller), _:
                    return statem.KeepState(statem.Reply(caller, atom.error))

        def open(self, event, content):
            match event, content:
                case atom.enter, _:
                    return statem.KeepState(statem.StateTimeout(10.0, atom.lock))
                case atom.state_timeout, atom.lock:
                    return statem.NextState(atom.locked)
                case (atom.call, _), _:
                    return statem.KeepState(statem.Postpone())

The data are the attributes of the object.  The state is any term; with state functions it is an
atom, and the function of that name handles its events.  What callbacks return is in
:mod:`pynode.behaviours.statem`.

Events are ``(type, content)``: ``atom.cast``, ``atom.info``, ``(atom.call, caller)``,
``atom.internal``, ``atom.timeout``, ``atom.state_timeout``, ``(atom.timeout, name)``, and with
``state_enter`` ``atom.enter``, whose content is the state before.  They come in gen_statem's
order: inserted events, then timeouts of 0, then messages; a state that has changed begins with
the events that were postponed.

Callbacks run one at a time, plain or ``async``.  Unlike Erlang's data, attributes that a callback
has set before it failed stay set, as ``terminate`` and the record of the crash show them.

Source: stdlib's ``gen_statem`` (25, 27, 29).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.behaviours.statem_loop import MODES, StatemBody
from pynode.behaviours.values import attributes_term, put_attributes
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.behaviours.body import BehaviourBody
    from pynode.behaviours.statem import Action
    from pynode.process.process import Process

__all__ = ["GenStatem"]

_OWN: Final = ("init", "handle_event", "terminate", "code_change")


class GenStatem:
    """The base of state machines; the data are attributes, which ``init`` sets.

    Class keywords:
        callback_mode: ``"handle_event_function"``: :meth:`handle_event` gets all events, and the
            state; ``"state_functions"``: the method called as the state does.
        state_enter: an event ``enter`` comes at the start and whenever the state has changed.
        text: UTF-8 binaries in requests and messages are str.
        blocking: the callbacks, all plain, run in a thread of the machine's own.
        module: the name that stack traces and ``sys`` give for this class to a BEAM; default: the
            class's name.
    """

    __slots__ = ("__dict__", "__weakref__", "_body")

    _body: StatemBody
    _text: ClassVar[bool] = False
    _blocking: ClassVar[bool] = False
    _mode: ClassVar[str] = "handle_event_function"
    _state_enter: ClassVar[bool] = False
    _module: ClassVar[Atom] = Atom("GenStatem")
    #: Names of methods that are no state functions.
    _reserved: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(
        cls,
        *,
        callback_mode: str | None = None,
        state_enter: bool | None = None,
        text: bool | None = None,
        blocking: bool | None = None,
        module: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if callback_mode is not None:
            if str(callback_mode) not in MODES:
                raise ValueError(f"callback_mode is one of {', '.join(MODES)}: {callback_mode!r}")
            cls._mode = str(callback_mode)
        if state_enter is not None:
            cls._state_enter = state_enter
        if text is not None:
            cls._text = text
        if blocking is not None:
            cls._blocking = blocking
        cls._module = Atom(module if module is not None else cls.__name__)
        if cls._blocking:
            for name in (*_OWN, *vars(cls)):
                if inspect.iscoroutinefunction(getattr(cls, name, None)):
                    raise TypeError(
                        f"{cls.__name__}.{name} is async; the callbacks of a blocking=True state "
                        "machine are plain functions, for they run in a thread"
                    )

    # ----------------------------------------------------------------- callbacks

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the data and return the first state, or ``statem.NextState(state, *actions)``.

        Raise :class:`Ignore` or :class:`Stop` to decline.
        """
        raise NotImplementedError(f"{type(self).__qualname__}.init has to return the first state")

    def terminate(self, reason: Any, state: Any) -> Any:
        """Run before the end: after Stop, Exit or a crash in a callback, after ``stop``.

        And at the parent's exit, and at other exit signals only if the machine traps exits; never
        when killed.  ``reason`` of a crash is without the stack.
        """

    def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
        """Adapt the data, at ``sys:change_code`` of a suspended machine; return the state."""
        return state

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return ``status`` as others may see it: without passwords, shorter.

        Called for ``sys:get_status`` with the keys ``state``, ``data``, ``postponed``,
        ``timeouts`` and ``log``, and for the record of a crash with ``reason`` and ``queue``
        besides; the result has the same keys.
        """
        return status

    def look(self) -> Any:
        """Return the class's own :meth:`format_status`, None if it has none."""
        if type(self).format_status is GenStatem.format_status:
            return None
        return self.format_status

    def system_get_state(self) -> Any:
        """Return the data for ``sys:get_state``, a term; by default a map of the attributes."""
        return attributes_term(self.__dict__)

    def system_replace_state(self, data: Any) -> None:
        """Take data that ``sys:replace_state`` made of :meth:`system_get_state`'s."""
        put_attributes(self.__dict__, data)

    # ----------------------------------------------------------------- for callbacks

    @property
    def pid(self) -> Pid:
        """The pid of this machine."""
        return self._body.process.pid

    @property
    def node(self) -> Any:
        """The node that this machine runs on."""
        return self._body.process.runtime.node

    @property
    def process(self) -> Process:
        """The process of this machine, as :func:`pynode.self_` gives it."""
        return self._body.process

    @property
    def trap_exit(self) -> bool:
        """Exit signals come as events ``info``, ``{'EXIT', Pid, Reason}``; the parent's ends it."""
        return self._body.process.trap_exit

    @trap_exit.setter
    def trap_exit(self, flag: bool) -> None:
        self._body.process.trap_exit = flag

    @classmethod
    async def enter_loop(
        cls,
        process: Process,
        state: Any,
        data: dict[str, Any],
        *actions: Action,
        parent: Pid | None = None,
    ) -> None:
        """Make the process that awaits this a machine of this class (``gen_statem:enter_loop``).

        See :meth:`pynode.GenServer.enter_loop`.
        """
        body = StatemBody(cls, (), {})
        body.adopt(process, parent)
        body.instance.__dict__.update(data)
        await body.enter(state, actions)
        async for message in process:
            following = body.message(process, message)
            if following is not None:
                await following

    @classmethod
    def _make_body(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BehaviourBody:
        return StatemBody(cls, args, kwargs)


GenStatem._reserved = frozenset(dir(GenStatem))
