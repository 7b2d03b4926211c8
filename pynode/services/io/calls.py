"""Functions that a request has applied: known ones here, others on the node of who asks.

On a BEAM the group leader applies ``M:F(A...)`` itself.  Here the formats of ``io_lib`` are known
(:mod:`pynode.terms.formats`); for any other function the node of the asking pid is asked to apply
it, by erpc, if it is connected.  A message does not tell whom it came from, and the pid in it may
be made up; so, but for functions that only make or read text, policy is asked first whether every
peer may have the function run (``SPAWN``), as for rpc's server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pynode.errors import EncodeError, PynodeError
from pynode.policy import Action
from pynode.terms import Atom, Pid
from pynode.terms.formats import (
    FormatError,
    NotHere,
    Settings,
    TooLong,
    format_text,
    print_term,
    write_term,
)
from pynode.terms.size import fits

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.services.erpc import Erpc

__all__ = [
    "AT_ONCE_CHARACTERS",
    "CallFailed",
    "apply_here",
    "apply_there",
    "is_known",
    "takes_long",
    "takes_too_long",
]

#: What the arguments may weigh to be formatted on the loop, and here at all.
_AT_ONCE: Final = 128 * 1024
_HERE: Final = 16 * 1024 * 1024
#: The characters that may be made of them on the loop.
AT_ONCE_CHARACTERS: Final = 256 * 1024
#: Seconds that another node has for one call.
_DEADLINE: Final = 10.0


class CallFailed(Exception):
    """The function raised, is not there, or may not be called."""


def _write(term: Any, settings: Settings, depth: Any = -1) -> str | None:
    if type(depth) is not int:
        return None  # a list of options
    return write_term(term, depth, latin1=True, settings=settings)


def _print(
    term: Any, settings: Settings, column: Any = 1, width: Any = 80, depth: Any = -1
) -> str | None:
    if not (type(column) is type(width) is type(depth) is int):
        return None
    return print_term(term, depth, column=column, width=width, latin1=True, settings=settings)


#: What is known of ``io_lib``, by name and number of arguments; None: it is asked for after all.
_KNOWN: Final[dict[tuple[str, int], Callable[[list[Any], Settings], str | None]]] = {
    ("format", 2): lambda a, settings: format_text(a[0], a[1], settings),
    ("fwrite", 2): lambda a, settings: format_text(a[0], a[1], settings),
    ("nl", 0): lambda a, settings: "\n",
    ("print", 1): lambda a, settings: _print(a[0], settings),
    ("print", 4): lambda a, settings: _print(a[0], settings, *a[1:]),
    ("write", 1): lambda a, settings: _write(a[0], settings),
    ("write", 2): lambda a, settings: _write(a[0], settings, a[1]),
}
_IO_LIB: Final = Atom("io_lib")
#: Functions of these make text or read it, and do nothing else.
_HARMLESS: Final = frozenset(
    Atom(name) for name in ("io_lib", "erl_scan", "unicode", "string", "io_lib_format")
)


def is_known(module: Any, function: Any, args: list[Any]) -> bool:
    """Return whether :func:`apply_here` has the function."""
    return module == _IO_LIB and isinstance(function, Atom) and (function.name, len(args)) in _KNOWN


def takes_long(args: list[Any]) -> bool:
    """Return whether making text of ``args`` would hold the node up."""
    return not fits(args, _AT_ONCE)


def takes_too_long(args: list[Any]) -> bool:
    """Return whether it is too much even for a thread."""
    return not fits(args, _HERE)


def apply_here(function: Atom, args: list[Any], settings: Settings) -> str:
    """Return the text that a known function of ``io_lib`` makes.

    Raises:
        CallFailed: it raised.
        TooLong: more characters than the settings allow.
        NotHere: it takes a BEAM.
    """
    try:
        text = _KNOWN[function.name, len(args)](args, settings)
    except TooLong:
        raise
    except (FormatError, EncodeError) as error:
        raise CallFailed(str(error)) from error
    if text is None:
        raise NotHere("options")
    return text


async def apply_there(
    erpc: Erpc, process: Process, asker: Pid, module: Any, function: Any, args: list[Any]
) -> Any:
    """Return what ``module:function(args...)`` returns on the node of ``asker``.

    Raises:
        CallFailed: it raised, took too long, or may not be called.
    """
    runtime = process.runtime
    if not isinstance(module, Atom) or not isinstance(function, Atom):
        raise CallFailed("no function")
    connected = list(runtime.nodes.connected())
    here = runtime.is_own(asker)
    if not here and all(peer.name != asker.node for peer in connected):
        raise CallFailed(f"{asker.node} is not connected")
    target = (module, function, len(args))
    if (here or module not in _HARMLESS) and not all(
        runtime.inbound.allowed(peer, Action.SPAWN, target) for peer in connected
    ):
        raise CallFailed("policy does not allow it")
    try:
        return await erpc.call_as(process, asker.node, module, function, args, timeout=_DEADLINE)
    except (PynodeError, TimeoutError) as error:
        raise CallFailed(str(error)) from error
