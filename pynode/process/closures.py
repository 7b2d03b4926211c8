"""Functions that arrive as values: which of them can run here, and why the others cannot.

A fun typed in a shell is not compiled: the BEAM that made it interprets its abstract code, which
lies in the fun's environment, and comes along with it.  Where that code is one call of a named
function with literal arguments, ``fn -> Hello.world(1) end``, it says as much as
``{M, F, Args}``, and is read as that; a variable counts as the value that the fun closes over.
Nothing else is interpreted, and nothing is run: what is read here still has to be exposed.

Any other closure is code of a module that this node does not have.  It is refused with a text
that says so, for the exit reason ``{{closure_refused, Text}, Stack}``.

The code is a peer's and may be anything: it is walked within a budget, and what does not have the
form of "The Abstract Format" (erts user's guide) is refused.  A variable may stand for much and be
named often: its value counts each time but the first.

Source: erl_eval.erl (``{Anno, Bindings, LocalHandler, ExternalHandler, FunUsedVars, Clauses}``,
and the name of a named fun after it, on OTP 25, 27 and 29), elixir.erl; erl_parse.erl.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeGuard

from pynode.terms import Atom, ExportFun, ImproperList, OpaqueFun, TermMap, copy_term
from pynode.terms.size import weight

__all__ = ["Called", "ClosureRefused", "read_closure"]

_ERL_EVAL: Final = "erl_eval"
#: Nodes of abstract code that are read of one fun, and how deep they may lie.
_MOST_NODES: Final = 10_000
_MOST_DEPTH: Final = 100
_MOST_BYTES: Final = 1 << 20
#: What the values of variables may weigh together that are named again.
_MOST_AGAIN: Final = 1 << 20

_ADVICE: Final = (
    "pass &Mod.fun/arity or Mod, fun, args, or type in a shell a fun whose body is one call "
    "with literal arguments"
)


class Called(NamedTuple):
    """The one call that a fun consists of."""

    module: Any
    function: Any
    args: list[Any]


class ClosureRefused(Exception):
    """A fun that cannot run here; the text says why, for the one who sent it."""

    @property
    def text(self) -> bytes:
        """The text, UTF-8."""
        return str(self).encode("utf-8", "replace")


def read_closure(fun: OpaqueFun) -> Called:
    """Return the call that ``fun``, of no arguments, consists of.

    Raises:
        ClosureRefused: it is something else.
    """
    if str(fun.module) != _ERL_EVAL:
        raise ClosureRefused(
            f"a closure of {fun.module} is code of the node that made it, and cannot run in a "
            f"Python node: {_ADVICE}"
        )
    try:
        return _Reader(fun).call()
    except _NotRead as problem:
        raise ClosureRefused(
            f"this fun cannot run in a Python node, for {problem}: {_ADVICE}"
        ) from None


class _NotRead(Exception):
    """What is in the way, as part of a sentence."""


class _Reader:
    """Reads the abstract code of one fun."""

    def __init__(self, fun: OpaqueFun) -> None:
        self._env = fun.env
        self._left = _MOST_NODES
        self._depth = 0
        self._bytes = _MOST_BYTES
        self._bindings: dict[str, Any] = {}
        self._named: set[str] = set()
        self._again = _MOST_AGAIN

    def call(self) -> Called:
        """Read the whole fun."""
        env = self._env
        if len(env) != 1 or not _is_tuple(env[0]) or len(env[0]) not in (6, 7):
            raise _NotRead("its code is not of a form that is known here")
        self._bindings = _bindings(env[0][1])
        match env[0][5]:
            case [(word, _, [], [], [body])] if _is(word, "clause"):
                return self._body(body)
            case [(word, _, [], [], _)] if _is(word, "clause"):
                raise _NotRead("its body is more than one call")
        raise _NotRead("it does not have just one clause without arguments and guards")

    def _body(self, body: Any) -> Called:
        match body:
            case (call, _, (remote, _, module, function), [*args]) if (
                _is(call, "call") and _is(remote, "remote") and type(body[3]) is list
            ):
                values = [self._value(arg) for arg in args]
                # In the form in which arguments arrive that are not written out.
                return Called(self._name(module), self._name(function), copy_term(values))
        raise _NotRead("its body is not one call of a function of a module")

    def _name(self, node: Any) -> Any:
        match node:
            case (word, _, name) if _is(word, "atom"):
                return self._atom(name)
        raise _NotRead("the module or the function that it calls is not written out")

    def _value(self, node: Any) -> Any:
        """Return the value of a literal."""
        self._left -= 1
        if self._left < 0:
            raise _NotRead("its code is too long")
        if not _is_tuple(node) or len(node) < 2 or not (type(node[0]) is Atom or node[0] is None):
            raise _NotRead("its code is not of a form that is known here")
        kind = "nil" if node[0] is None else node[0].name
        read = _LITERALS.get((kind, len(node)))
        if read is None:
            raise _NotRead(f"an argument of the call is not a literal, but has a {kind}")
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise _NotRead("its code is too deep")
        try:
            return read(self, *node[2:])
        finally:
            self._depth -= 1

    # ------------------------------------------------------------------ one kind of node each

    def _atom(self, value: Any) -> Any:
        if type(value) is Atom or value is None or type(value) is bool:
            return value
        raise _NotRead("a literal is not what it says it is")

    def _integer(self, value: Any) -> Any:
        if type(value) is int:
            return value
        raise _NotRead("a literal is not what it says it is")

    def _float(self, value: Any) -> Any:
        if type(value) is float:
            return value
        raise _NotRead("a literal is not what it says it is")

    def _string(self, value: Any) -> Any:
        if type(value) is list and all(type(c) is int for c in value):
            return list(value)
        raise _NotRead("a literal is not what it says it is")

    def _nil(self) -> Any:
        return []

    def _already(self, value: Any) -> Any:
        return value

    def _variable(self, name: Any) -> Any:
        if type(name) is not Atom or name.name not in self._bindings:
            raise _NotRead("an argument of the call is a variable without a value")
        value = self._bindings[name.name]
        if name.name in self._named:
            self._again -= weight(value, self._again)
            if self._again < 0:
                raise _NotRead("its code is too long")
        self._named.add(name.name)
        return value

    def _sign(self, sign: Any, operand: Any) -> Any:
        value = self._value(operand)
        if type(value) in (int, float) and (_is(sign, "-") or _is(sign, "+")):
            return -value if sign.name == "-" else value
        raise _NotRead("an argument of the call is computed")

    def _tuple(self, parts: Any) -> Any:
        if type(parts) is not list:
            raise _NotRead("its code is not of a form that is known here")
        return tuple([self._value(part) for part in parts])

    def _cons(self, head: Any, tail: Any) -> Any:
        """A list is a chain: followed here, for a long one is as deep as it is long."""
        elements = [self._value(head)]
        while _is_tuple(tail) and len(tail) == 4 and _is(tail[0], "cons"):
            elements.append(self._value(tail[2]))
            tail = tail[3]
        rest = self._value(tail)
        return elements + rest if type(rest) is list else ImproperList(elements, rest)

    def _map(self, fields: Any) -> Any:
        if type(fields) is not list:
            raise _NotRead("its code is not of a form that is known here")
        found = TermMap()
        for each in fields:
            match each:
                case (word, _, key, value) if _is(word, "map_field_assoc"):
                    found[self._value(key)] = self._value(value)
                case _:
                    raise _NotRead("an argument of the call is computed")
        return found

    def _fun(self, function: Any) -> Any:
        match function:
            case (word, module, name, arity) if _is(word, "function"):
                parts = self._value(module), self._value(name), self._value(arity)
                try:
                    return ExportFun(*parts)
                except (TypeError, ValueError):
                    raise _NotRead("a literal is not what it says it is") from None
        raise _NotRead("an argument of the call is a closure")

    def _binary(self, elements: Any) -> Any:
        if type(elements) is not list:
            raise _NotRead("its code is not of a form that is known here")
        found = bytearray()
        for each in elements:
            match each:
                case (word, _, value, size, types) if _is(word, "bin_element"):
                    if not _is(size, "default"):
                        raise _NotRead("an argument of the call is a binary with sizes")
                    found += self._segment(self._value(value), types)
                case _:
                    raise _NotRead("its code is not of a form that is known here")
        return bytes(found)

    def _segment(self, value: Any, types: Any) -> bytes:
        kind = "integer" if _is(types, "default") else _only_word(types)
        try:
            match kind, value:
                case "integer", int():
                    found = bytes([value & 255])
                case "integer", [*codes]:
                    found = bytes([code & 255 for code in codes])
                case "utf8", int():
                    found = chr(value).encode()
                case "utf8", [*codes]:
                    found = "".join(map(chr, codes)).encode()
                case (("binary" | "bytes"), bytes()):
                    found = value
                case _:
                    raise _NotRead("an argument of the call is a binary with types")
        except (TypeError, ValueError, OverflowError):
            raise _NotRead("a literal is not what it says it is") from None
        self._bytes -= len(found)
        if self._bytes < 0:
            raise _NotRead("its code is too long")
        return found


#: Kind and size of a node to what reads it, after kind and annotation.
_LITERALS: Final[dict[tuple[str, int], Callable[..., Any]]] = {
    ("atom", 3): _Reader._atom,
    ("bin", 3): _Reader._binary,
    ("char", 3): _Reader._integer,
    ("cons", 4): _Reader._cons,
    ("float", 3): _Reader._float,
    ("fun", 3): _Reader._fun,
    ("integer", 3): _Reader._integer,
    ("map", 3): _Reader._map,
    ("nil", 2): _Reader._nil,
    ("op", 4): _Reader._sign,
    ("string", 3): _Reader._string,
    ("tuple", 3): _Reader._tuple,
    ("value", 3): _Reader._already,
    ("var", 3): _Reader._variable,
}


def _bindings(found: Any) -> dict[str, Any]:
    """Return the variables of a fun, by name: a map of Elixir's, a list of the Erlang shell's."""
    if type(found) is dict or type(found) is TermMap:
        found = list(found.items())
    if type(found) is not list:
        return {}
    return {pair[0].name: pair[1] for pair in found if _is_pair(pair)}


def _is_pair(value: Any) -> bool:
    return type(value) is tuple and len(value) == 2 and type(value[0]) is Atom


def _only_word(types: Any) -> str:
    match types:
        case [Atom() as word]:
            return word.name
    return ""


def _is(value: Any, word: str) -> bool:
    return type(value) is Atom and value.name == word


def _is_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    return type(value) is tuple
