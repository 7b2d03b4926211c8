"""Functions that come in messages: what may run, and how the rest is refused.

An Erlang ``fun M:F/A`` (an :class:`ExportFun`; in Elixir a capture such as
``&Function.identity/1``) or ``{M, F, Args}`` can be mapped to Python.  A closure is code of the
BEAM that made it, and cannot run here.  A table ``{(module, function, arity): callable}`` says
what an agent or a server knows; behind it stands what the program exposed on its node, as far as
policy lets others run it: what may not be spawned is not reached by a message either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pynode.behaviours.words import UNDEF
from pynode.errors import PynodeError
from pynode.policy import Action
from pynode.process.words import NOTSUP
from pynode.shown import shown
from pynode.terms import Atom, ExportFun, OpaqueFun, Pid, Port, Reference, TermMap

if TYPE_CHECKING:
    from pynode.process.runtime import Runtime

__all__ = ["FunctionRefused", "Functions", "map_functions", "resolve_function"]

_ERPC: Final = Atom("erpc")

Functions: TypeAlias = "Mapping[tuple[str, str, int], Callable[..., Any]]"
"""``{("Elixir.Map", "put", 3): function}``; the arity counts the state."""


class FunctionRefused(PynodeError):
    """A function from a message that cannot run here; ``reason`` is the term for the caller.

    ``{undef, [{M, F, Arity, []}]}`` for a function nobody exposed, ``{closure_refused, Text}``
    for a closure, ``{badfun, Term}`` for what is no function, ``notsup`` for what policy denies.
    """

    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason: Final = reason

    def __str__(self) -> str:
        return f"{shown(self.reason)!r}"


def may_run(runtime: Runtime, asker: Any, mfa: tuple[Any, Any, int]) -> bool:
    """Ask policy, as about a spawn, whether ``asker`` may have this function run.

    The asker is the pid in the message, None where there is none; for it may be made up, one of
    this node too, policy is asked on behalf of everybody who is connected.  A call of ``erpc``'s
    own functions, which hides another, nobody may have run.
    """
    if mfa[0] == _ERPC:
        return False
    if asker is not None:
        if type(asker) is not Pid:  # a call may name anything as its caller
            return False
        connected = runtime.nodes.connected()
        if not runtime.is_own(asker) and all(peer.name != asker.node for peer in connected):
            return False
    return runtime.inbound.allowed_to_all(Action.SPAWN, mfa)


def resolve_function(
    runtime: Runtime, asker: Any, function: Any, arity: int, known: Functions | None = None
) -> Callable[..., Any]:
    """Return the Python callable for a function of ``arity`` arguments that came in a message.

    Policy is asked whether ``asker`` (:func:`may_run`) may have it run, unless it is of ``known``.

    Raises:
        FunctionRefused: a closure, an unknown function, another arity, no function at all, or one
            that policy denies.
    """
    if type(function) is ExportFun:
        if function.arity != arity:
            raise FunctionRefused((Atom("badarity"), function))
        return resolve_name(runtime, asker, function.module, function.function, arity, known)
    if type(function) is OpaqueFun:
        raise FunctionRefused((Atom("closure_refused"), _closure_text(function)))
    if callable(function):
        mine: Callable[..., Any] = function  # of this program; none comes off the wire
        return mine
    raise FunctionRefused((Atom("badfun"), function))


def _closure_text(function: OpaqueFun) -> bytes:
    text = (
        f"a closure of {function.module} cannot run in a Python node: pass a capture of a named "
        "function (&Mod.fun/arity) or {Mod, Fun, Args} that the Python side has exposed"
    )
    return text.encode()


def resolve_name(
    runtime: Runtime,
    asker: Any,
    module: Any,
    function: Any,
    arity: int,
    known: Functions | None,
) -> Callable[..., Any]:
    """Return the callable for ``module:function/arity``; as :func:`resolve_function`.

    Raises:
        FunctionRefused: ``{undef, [{M, F, Arity, []}]}``, or ``notsup`` from policy.
    """
    found = None if known is None else known.get((_text(module), _text(function), arity))
    if found is not None:
        return found
    found = runtime.resolver.resolve(module, function, arity)
    if found is None:
        raise FunctionRefused((UNDEF, [(module, function, arity, [])]))
    if not may_run(runtime, asker, (module, function, arity)):
        raise FunctionRefused(NOTSUP)
    return found


def _text(name: Any) -> str:
    """The text of an atom, of the three that Python has values for as well."""
    if name is None:
        return "nil"
    if name is True or name is False:
        return str(name).lower()
    return str(name)


# --------------------------------------------------------------------------- Elixir's Map

_MISSING: Final = object()
#: Keys that a dict finds as Erlang does: equal to nothing of another type, and hashable.
_DICT_KEYS: Final = frozenset({Atom, bytes, Pid, Port, Reference})


def _map(state: Any) -> Any:
    if type(state) is dict or type(state) is TermMap:
        return state
    raise TypeError(f"not a map: {shown(state)!r}")


def _exact(state: Any, key: Any) -> Any:
    """Return ``state`` in the form in which ``key`` is found by ``=:=``."""
    if type(state) is dict and type(key) not in _DICT_KEYS:
        return TermMap(state)
    return _map(state)


def _changeable(state: Any, key: Any) -> Any:
    """Return a copy of ``state`` that may get ``key``: states are values, ``get`` changes none."""
    if type(state) is dict and type(key) in _DICT_KEYS:
        return dict(state)
    return TermMap(_map(state))


def _get(state: Any, key: Any, default: Any = None) -> Any:
    return _exact(state, key).get(key, default)


def _fetch(state: Any, key: Any) -> Any:
    found = _exact(state, key).get(key, _MISSING)
    return Atom("error") if found is _MISSING else (Atom("ok"), found)


def _fetch_strict(state: Any, key: Any) -> Any:
    return _exact(state, key)[key]


def _has_key(state: Any, key: Any) -> bool:
    return key in _exact(state, key)


def _put(state: Any, key: Any, value: Any) -> Any:
    changed = _changeable(state, key)
    changed[key] = value
    return changed


def _put_new(state: Any, key: Any, value: Any) -> Any:
    return state if _has_key(state, key) else _put(state, key, value)


def _replace(state: Any, key: Any, value: Any) -> Any:
    return _put(state, key, value) if _has_key(state, key) else state


def _delete(state: Any, key: Any) -> Any:
    changed = _changeable(state, key)
    changed.pop(key, None)
    return changed


def _pop(state: Any, key: Any, default: Any = None) -> Any:
    return (_get(state, key, default), _delete(state, key))


def _merge(state: Any, other: Any) -> Any:
    changed = TermMap(_map(state))
    changed.update(_map(other))
    return changed


def _take(state: Any, keys: Any) -> Any:
    exact = TermMap(_map(state))
    return TermMap((key, exact[key]) for key in keys if key in exact)


def _drop(state: Any, keys: Any) -> Any:
    changed = TermMap(_map(state))
    for key in keys:
        changed.pop(key, None)
    return changed


def _identity(state: Any) -> Any:
    return state


def _keys(state: Any) -> Any:
    return list(_map(state).keys())


def _values(state: Any) -> Any:
    return list(_map(state).values())


def _to_list(state: Any) -> Any:
    return list(_map(state).items())


def _size(state: Any) -> int:
    return len(_map(state))


def map_functions() -> dict[tuple[str, str, int], Callable[..., Any]]:
    """Return the functions an agent over a map is asked with: ``Function.identity/1``, ``Map.*``.

    A new dict each time, to be added to.
    """
    of_map: dict[tuple[str, int], Callable[..., Any]] = {
        ("delete", 2): _delete,
        ("drop", 2): _drop,
        ("fetch", 2): _fetch,
        ("fetch!", 2): _fetch_strict,
        ("get", 2): _get,
        ("get", 3): _get,
        ("has_key?", 2): _has_key,
        ("keys", 1): _keys,
        ("merge", 2): _merge,
        ("new", 0): dict,
        ("pop", 2): _pop,
        ("pop", 3): _pop,
        ("put", 3): _put,
        ("put_new", 3): _put_new,
        ("replace", 3): _replace,
        ("take", 2): _take,
        ("to_list", 1): _to_list,
        ("values", 1): _values,
    }
    table = {("Elixir.Map", name, arity): fun for (name, arity), fun in of_map.items()}
    table["Elixir.Function", "identity", 1] = _identity
    table["erlang", "map_size", 1] = _size
    # Elixir's compiler writes these for captures such as `&Map.keys/1`.
    table["maps", "keys", 1] = _keys
    table["maps", "values", 1] = _values
    table["maps", "to_list", 1] = _to_list
    return table
