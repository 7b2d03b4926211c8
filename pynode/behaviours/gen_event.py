"""Event managers: what Elixir's GenEvent and Erlang's gen_event expect of the other side.

::

    class Printer(GenEventHandler, text=True):
        def handle_event(self, event):
            print(f"I have received: '{event}'")

    manager = await node.start(Printer)            # a manager with this handler in it
    node.cast(...), GenEvent.notify(manager, "Hello !!")

A manager holds handlers, each an object with its state in attributes; events go to all of them
in turn.  Handlers are named by ``Module`` or ``{Module, Id}``; the Module is the class's
``module`` keyword, by default its name.  Handlers that the manager was told of (``handlers=``)
can be added from other nodes by that name.

The two dialects agree on the messages and differ in details: order of the handlers, whether one
name can be added twice, the words of errors.  A manager speaks ``"elixir"`` unless it is started
with ``dialect="erlang"``; it understands all messages of both either way.

``GenEvent.stream`` is refused: the caller gets a MatchError that carries the reason.

Source: stdlib's ``gen_event`` (25, 27, 29), Elixir's ``GenEvent`` (1.14 to 1.20).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pynode.behaviours.event_manager import ManagerBody
from pynode.behaviours.values import attributes_term, put_attributes
from pynode.errors import FunctionClause
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pynode.behaviours.body import BehaviourBody
    from pynode.process.process import Process

__all__ = ["GenEventHandler", "GenEventManager"]


class GenEventHandler:
    """The base of event handlers; state is kept in attributes, which ``init`` sets.

    Class keywords:
        text: UTF-8 binaries in events, requests and messages are str.
        module: the Module that this handler is called by; default: the class's name.  An
            ``Elixir.`` prefix makes Elixir print it as one of its own.
        dialect: of the manager that ``node.start(ThisClass)`` makes; ``"elixir"`` or ``"erlang"``.

    Callbacks are plain or ``async``.  A callback that raises ends this handler, never the manager:
    ``terminate`` is called with ``{error, Reason}``, and who watches the handler gets
    ``{gen_event_EXIT, Handler, Reason}``.  ``raise RemoveHandler(reply)`` leaves with reason
    ``normal``; ``raise SwapHandler(args, Other, other_args)`` makes way for another.
    """

    _manager: ManagerBody
    _text: ClassVar[bool] = False
    _module: ClassVar[Atom] = Atom("GenEventHandler")
    _dialect: ClassVar[str] = "elixir"

    def __init_subclass__(
        cls,
        *,
        text: bool | None = None,
        module: str | None = None,
        dialect: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if text is not None:
            cls._text = text
        if dialect is not None:
            cls._dialect = dialect
        cls._module = Atom(module if module is not None else cls.__name__)

    # ----------------------------------------------------------------- callbacks

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the state; from another node there is one argument.

        After a swap it is ``(arguments, what the old handler's terminate returned)``.
        ``raise Stop(reason)`` declines: the answer is ``{error, Reason}``.
        """

    def handle_event(self, event: Any) -> Any:
        """Take an event."""

    def handle_call(self, request: Any) -> Any:
        """Return the answer to ``GenEvent.call``."""
        raise FunctionClause(request, callback=(self._module, Atom("handle_call"), 2))

    def handle_info(self, message: Any) -> Any:
        """Take any other message of the manager."""

    def terminate(self, argument: Any) -> Any:
        """Leave; the result answers delete_handler.

        ``argument`` is what delete or swap was given, ``remove_handler``, ``stop``,
        ``{stop, Reason}`` when who watches has ended, or ``{error, Reason}`` after a crash.
        """
        return Atom("ok")

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Adapt the state, at ``sys:change_code`` of a suspended manager."""

    def system_get_state(self) -> Any:
        """Return the state for ``sys:get_state``, a term; by default a map of the attributes."""
        return attributes_term(self._state())

    def system_replace_state(self, state: Any) -> None:
        """Take a state that ``sys:replace_state`` made of :meth:`system_get_state`'s."""
        put_attributes(self.__dict__, state)

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return ``{"state": State, "log": Events}`` as ``sys:get_status`` is to show it."""
        return status

    def look(self) -> Any:
        """Return the class's own :meth:`format_status`, None if it has none."""
        if type(self).format_status is GenEventHandler.format_status:
            return None
        return self.format_status

    def _state(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_manager"}

    # ----------------------------------------------------------------- for callbacks

    @property
    def pid(self) -> Pid:
        """The pid of the manager."""
        return self._manager.process.pid

    @property
    def node(self) -> Any:
        """The node that the manager runs on."""
        return self._manager.process.runtime.node

    @property
    def process(self) -> Process:
        """The process of the manager."""
        return self._manager.process

    @classmethod
    def _make_body(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BehaviourBody:
        return ManagerBody([(cls, args, kwargs)], {cls._module: cls}, cls._dialect)


class GenEventManager:
    """An event manager: ``await node.start(GenEventManager, handlers=[Printer], known=[Other])``.

    Arguments of the start:
        handlers: classes, or ``(class, argument)``, that are in it from the beginning; the first
            is added first.
        known: classes that may be added by name from anywhere, or a map from names to classes.
            Handlers are known too.
        dialect: ``"elixir"`` or ``"erlang"``.
    """

    _text: ClassVar[bool] = False

    @classmethod
    def _make_body(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BehaviourBody:
        return cls._body_of(*args, **kwargs)

    @staticmethod
    def _body_of(handlers: Any = (), *, known: Any = (), dialect: str = "elixir") -> BehaviourBody:
        install: list[tuple[type[GenEventHandler], tuple[Any, ...], dict[str, Any]]] = []
        for entry in handlers:
            if isinstance(entry, tuple):
                install.append((entry[0], tuple(entry[1:]), {}))
            else:
                install.append((entry, (), {}))
        names = {cls._module: cls for cls, _, _ in install}
        names.update(_by_name(known))
        return ManagerBody(install, names, dialect)


def _by_name(known: Any) -> Mapping[Atom, type[GenEventHandler]]:
    if isinstance(known, dict):
        return {Atom(n) if isinstance(n, str) else n: cls for n, cls in known.items()}
    return {cls._module: cls for cls in known}
