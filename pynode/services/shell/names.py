"""What a session can name: the node, the words of a process, and a few of the shell's own."""

from __future__ import annotations

import builtins
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pynode import terms
from pynode.behaviours import clients
from pynode.errors import Exit
from pynode.process import current

if TYPE_CHECKING:
    from pynode.process.process import Process

    from .streams import Terminal

__all__ = ["OnLoop", "namespace"]

_FROM_PROCESS: Final = (
    "alias",
    "cancel_timer",
    "demonitor",
    "drain",
    "exit_signal",
    "link",
    "monitor",
    "monitor_node",
    "monitor_nodes",
    "read_timer",
    "receive",
    "register",
    "self_",
    "send",
    "send_after",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "start_timer",
    "unalias",
    "unlink",
    "unregister",
    "whereis",
)
_FROM_CLIENTS: Final = ("call", "cast", "multi_call", "abcast")
_FROM_TERMS: Final = (
    "Atom",
    "BitString",
    "ExportFun",
    "ImproperList",
    "Pid",
    "Port",
    "Reference",
    "TermMap",
    "atom",
    "charlist",
    "charlist_text",
    "elixir",
    "identical",
    "to_text",
)
#: Of whose objects the methods are called on the loop.
_ROOMS: Final = ("pynode.behaviours", "pynode.net", "pynode.process", "pynode.services")


def namespace(process: Process, terminal: Terminal, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of a new session; ``own``, the program's, come last and may hide others."""
    names: dict[str, Any] = {
        "__name__": "__console__",
        "__doc__": None,
        "__builtins__": builtins,
        "exit": _Leave("exit"),
        "flush": lambda: flush(process),
        "help": _Help(terminal),
        "input": lambda prompt="": _input(terminal, prompt),
        "node": OnLoop(process.runtime.node),
        "on_loop": on_loop,
        "pynode": sys.modules["pynode"],
        "quit": _Leave("quit"),
        "wait": wait,
    }
    for module, wanted in (
        (current, _FROM_PROCESS),
        (clients, _FROM_CLIENTS),
        (terms, _FROM_TERMS),
    ):
        names |= {name: getattr(module, name) for name in wanted}
    names |= own
    return names


def on_loop(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a plain function on the node's loop, and return its result.

    For what belongs there: a cell without ``await`` runs in a thread.
    """
    return current.act(lambda _: function(*args, **kwargs))


def wait(awaitable: Awaitable[Any]) -> Any:
    """Await ``awaitable`` on the loop, from a cell without ``await``, and return its result."""
    if _is_loop():
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        raise RuntimeError("this runs on the loop, which must not wait for itself: write await")

    async def guarded() -> tuple[Any, BaseException | None]:
        try:
            return await awaitable, None
        except (KeyboardInterrupt, SystemExit) as error:  # out of a task these end the loop
            return None, error

    result, error = current.wait(guarded())
    if error is not None:
        raise error
    return result


def flush(process: Process) -> None:
    """Show the messages that are waiting for the shell's process, and drop them."""

    async def take() -> list[Any]:
        found = []
        with suppress(TimeoutError):
            while True:
                found.append(await process.receive(timeout=0))
        return found

    for message in wait(take()):
        print(repr(message))


class OnLoop:
    """The node, or one of its parts: plain methods are called on the loop, from wherever.

    What its coroutine functions return is to be awaited, as ever.
    """

    def __init__(self, target: Any) -> None:
        object.__setattr__(self, "_target", target)

    def __getattr__(self, name: str) -> Any:
        found = getattr(object.__getattribute__(self, "_target"), name)
        if inspect.iscoroutinefunction(found) or inspect.isclass(found):
            return found
        if inspect.isroutine(found):
            return _Method(found)
        if type(found).__module__.startswith(_ROOMS) and not isinstance(found, Exit | Exception):
            return OnLoop(found)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        on_loop(setattr, object.__getattribute__(self, "_target"), name, value)

    def __repr__(self) -> str:
        return repr(object.__getattribute__(self, "_target"))

    def __dir__(self) -> list[str]:
        return dir(object.__getattribute__(self, "_target"))


class _Method:
    """A method that is called on the loop."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.__wrapped__ = method
        self.__doc__ = method.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return on_loop(self.__wrapped__, *args, **kwargs)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


class _Leave:
    """``exit`` and ``quit``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, code: object = None) -> NoReturn:
        raise SystemExit(code)

    def __repr__(self) -> str:
        return f"{self._name}() ends this shell; the node goes on"


class _Help:
    """``help``, without a pager, on the client's terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def __call__(self, *request: Any) -> None:
        import pydoc

        if not request and _is_loop():
            raise RuntimeError("help() asks for input, for which the loop cannot wait; help(name)")
        pydoc.Helper(self._terminal.stdin, self._terminal.stdout)(*request)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return "help(object) describes it; help() asks what to describe"


def _is_loop() -> bool:
    return threading.get_ident() == current.process().runtime.thread_id


def _input(terminal: Terminal, prompt: object = "") -> str:
    """Read a line from the client's terminal, as the built-in ``input`` does."""
    line = terminal.ask(str(prompt))
    if not line:
        raise EOFError
    return line.removesuffix("\n")
