"""Where Elixir's GenEvent and Erlang's gen_event differ, and what a manager knows of a handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.behaviours.words import ERROR, EXIT
from pynode.terms import Atom, Pid, Reference

if TYPE_CHECKING:
    from pynode.behaviours.gen_event import GenEventHandler

__all__ = ["DIALECTS", "Dialect", "Installed"]


class Dialect(NamedTuple):
    """Where Elixir's GenEvent and Erlang's gen_event differ."""

    name: str
    newest_first: bool
    """The order in which handlers get events."""
    one_of_a_name: bool
    """Whether adding a name twice is refused with ``{error, already_present}``."""
    absent_call: Any
    absent_delete: Any
    absent_swap: Any
    """What the new handler of a swap gets for the state of an old one that is not there."""
    nobody: Any
    """The third element of ``{swapped, Handler, Watcher}`` where nobody watches."""
    exit_tuple: bool
    """Whether a crash is ``{'EXIT', Reason}``, as ``catch`` has it, or the bare reason."""

    def failure(self, reason: Any) -> Any:
        """Return a crash's reason in the dialect's form."""
        return (EXIT, reason) if self.exit_tuple else reason

    def init_failure(self, reason: Any) -> Any:
        """Return the answer to adding a handler whose ``init`` crashed."""
        return (EXIT, reason) if self.exit_tuple else (ERROR, reason)


_NOT_FOUND: Final = (ERROR, Atom("not_found"))
DIALECTS: Final = {
    "elixir": Dialect("elixir", False, True, _NOT_FOUND, _NOT_FOUND, _NOT_FOUND, None, False),
    "erlang": Dialect(
        "erlang",
        True,
        False,
        (ERROR, Atom("bad_module")),
        (ERROR, Atom("module_not_found")),
        ERROR,
        False,
        True,
    ),
}


class Installed:
    """One handler in a manager."""

    __slots__ = ("handler", "id", "module", "monitor", "watcher")

    def __init__(self, name: Any, handler: GenEventHandler) -> None:
        #: ``Module`` or ``{Module, Id}``, as it was added.
        self.id = name
        self.module = name[0] if type(name) is tuple else name
        self.handler = handler
        #: Who is told when the handler goes, and the monitor on it (None: a link).
        self.watcher: Pid | None = None
        self.monitor: Reference | None = None

    def state_entry(self, dialect: Dialect) -> Any:
        """Return ``{Module, Id, State}`` as ``sys:get_state`` lists it."""
        shown: Any = self.id
        if dialect.exit_tuple:
            shown = self.id[1] if type(self.id) is tuple else False
        return (self.module, shown, self.handler.system_get_state())
