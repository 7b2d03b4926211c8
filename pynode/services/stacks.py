"""Stack traces of other nodes as text."""

from __future__ import annotations

from typing import Any, Final

from pynode.errors import RemoteError
from pynode.shown import cut, shown
from pynode.terms import Atom, atom, charlist_text

__all__ = ["stack_lines", "with_stack"]

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
