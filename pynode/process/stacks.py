"""What others have raised, as far as its term tells: the exception's name, its text, its stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pynode.errors import CallExit, RemoteError
from pynode.process.words import PYTHON_ERROR
from pynode.shown import cut, shown
from pynode.terms import Atom, Pid, atom, charlist_text

__all__ = ["read_exception", "stack_lines", "with_raised", "with_stack"]

_STRUCT: Final = atom("__struct__")

_ELIXIR: Final = "Elixir."
_MOST_LINES: Final = 50
_PYTHON: Final[dict[Any, str]] = {True: "true", False: "false", None: "nil"}


def stack_lines(stack: Any) -> list[str]:
    """Write a stack trace line by line, innermost first; what is no frame is left out.

    Elixir's functions as Elixir writes them (``Enum.map/2 (lib/enum.ex:1658)``), others as Erlang
    does (``lists:nth/2 (lists.erl:170)``).
    """
    lines: list[str] = []
    for frame in stack[:_MOST_LINES] if isinstance(stack, list | tuple) else ():
        match frame:
            case (module, function, arity, list(location)):
                lines.append(cut(f"{_called(module, function)}/{_arity(arity)}{_place(location)}"))
            case (fun, arity, list(location)):
                lines.append(cut(f"{shown(fun)!r}/{_arity(arity)}{_place(location)}"))
    return lines


def with_stack(error: RemoteError) -> RemoteError:
    """Return ``error`` with its stack in a note, which tracebacks show."""
    lines = stack_lines(error.stack)
    if lines:
        place = "" if error.node is None else f" on {error.node}"
        error.add_note("\n".join([f"stack{place}:", *(f"  {line}" for line in lines)]))
    return error


def read_exception(error: RemoteError) -> bool:
    """Describe ``error`` by what its reason says of itself; return whether that is all there is.

    Exceptions of Python carry their name and text, those of Elixir their name and often a text.
    """
    reason = error.reason
    match reason:
        case (word, Atom() as name, bytes() | str() as text) if word == PYTHON_ERROR:
            error.describe(name.name, _text(text))
            return True
    if isinstance(reason, Mapping):
        struct, said = reason.get(_STRUCT), reason.get(atom.message)
        if type(struct) is Atom:
            message = _text(said) if isinstance(said, bytes | str) else None
            error.describe(struct.name.removeprefix(_ELIXIR), message)
    return False


def with_raised(error: CallExit) -> CallExit:
    """Return ``error`` with what the server raised, where its reason is ``{Raised, Stack}``."""
    reason = error.reason
    if type(reason) is tuple and len(reason) == 2 and stack_lines(reason[1]):
        raised = RemoteError("error", *reason, node=_node_called(error.call))
        read_exception(raised)
        error.raised = with_stack(raised)
        for note in raised.__notes__:
            error.add_note(note)
    return error


def _node_called(call: Any) -> Atom | None:
    """Return the node of the server in ``{Module, Function, [Server | _]}``, if it shows there."""
    match call:
        case (_, _, [Pid() as pid, *_]):
            return pid.node
        case (_, _, [(_, Atom() as node), *_]):
            return node
    return None


def _text(text: bytes | str) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def _called(module: Any, function: Any) -> str:
    name = _name(module)
    if name.startswith(_ELIXIR):
        return f"{name.removeprefix(_ELIXIR)}.{_name(function)}"
    return f"{name}:{_name(function)}"


def _name(term: Any) -> str:
    if type(term) is Atom:
        return term.name
    return _PYTHON[term] if term is None or type(term) is bool else f"{shown(term)!r}"


def _arity(arity: Any) -> str:
    """The arity; where the arguments themselves stand, as for ``undef``, their number."""
    return str(len(arity)) if isinstance(arity, list) else f"{shown(arity)!r}"


def _place(location: list[Any]) -> str:
    facts = {
        fact[0]: fact[1]
        for fact in location
        if type(fact) is tuple and len(fact) == 2 and type(fact[0]) is Atom
    }
    try:
        file = charlist_text(facts[atom.file])
    except (KeyError, ValueError):
        return ""
    line = facts.get(atom.line)
    return f" ({file}:{line})" if type(line) is int and 0 <= line < 1 << 32 else f" ({file})"
