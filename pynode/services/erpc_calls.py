"""What all calls of ``erpc`` share: who is called, the request, and reading its end.

A call spawns ``erpc:execute_call(Ref, M, F, Args)`` there, with a monitor; the exit reason is the
answer:

==============================  ===============================================================
``{Ref, return, Value}``        the value
``{Ref, throw, Term}``          :class:`RemoteError`, kind ``throw``
``{Ref, exit, Reason}``         :class:`RemoteError`, kind ``exit``
``{Ref, error, Reason, Stack}`` :class:`RemoteError`, kind ``error``
``{Ref, error, {erpc, R}}``     :class:`CallExit` with reason ``R``: ``system_limit``
``noconnection``                :class:`NoConnection`
any other                       :class:`CallExit` with reason ``{signal, Reason}``: the process
                                over there was ended from outside, or answers what no node does
==============================  ===============================================================

and besides: a node that cannot spawn for others is :class:`CallExit` with reason ``notsup``, no
answer in time :class:`CallTimeout`, and what Erlang calls ``badarg`` is a TypeError.

Source: erpc.erl, ``call/5``, ``result/4``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from pynode.behaviours.gen import call_exit, failed
from pynode.errors import CallExit, RemoteError
from pynode.process.names import as_atom
from pynode.process.stacks import with_stack
from pynode.process.timeouts import check_deadline, check_timeout
from pynode.shown import shown
from pynode.terms import Atom, ExportFun, OpaqueFun, Reference, atom

from .evaluate import ERROR, EXIT, RETURN, THROW

if TYPE_CHECKING:
    from pynode.process.calls import ReasonSlot
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = [
    "NO_ARGS",
    "Args",
    "Called",
    "FunctionName",
    "ModuleOrFun",
    "called",
    "each_node",
    "in_call",
    "open_call",
    "read_reason",
    "remote_error",
    "time_left",
]

ModuleOrFun: TypeAlias = "Atom | str | ExportFun | OpaqueFun"
"""A module; or a fun, and then the arguments come next."""

Args: TypeAlias = "list[Any] | tuple[Any, ...]"
FunctionName: TypeAlias = "Atom | str | Args"

NO_ARGS: Final[tuple[Any, ...]] = ()

_ERPC: Final = atom.erpc
_EXECUTE_CALL: Final = atom.execute_call
_ERLANG: Final = atom.erlang
_APPLY: Final = atom.apply
_SIGNAL: Final = atom.signal
_PYTHON: Final[dict[str, Any]] = {"true": True, "false": False, "nil": None}


class Called(NamedTuple):
    """The function and its arguments."""

    module: Any
    function: Any
    args: list[Any]


def called(module: ModuleOrFun, function: FunctionName = NO_ARGS, args: Args = NO_ARGS) -> Called:
    """Return what ``(module, function, args)`` or ``(fun, args)`` mean.

    Raises:
        TypeError: a name that is none, arguments that are no list or tuple, or too many or too
            few of them for a fun.
    """
    if type(module) is ExportFun or type(module) is OpaqueFun:
        if args:
            raise TypeError("a fun is followed by its arguments, in one list")
        given = _args(function)
        if len(given) != module.arity:
            raise TypeError(f"{shown(module)!r} takes {module.arity} arguments, not {len(given)}")
        if type(module) is ExportFun:
            return Called(module.module, module.function, given)
        return Called(_ERLANG, _APPLY, [module, given])
    return Called(_name(module, "module"), _name(function, "function"), _args(args))


def _name(name: Any, what: str) -> Any:
    if type(name) is Atom:
        return name
    if isinstance(name, str):
        return _PYTHON[name] if name in _PYTHON else as_atom(name)
    if name is None or type(name) is bool:
        return name
    raise TypeError(f"a {what} is an atom or a str, not {type(name).__name__}")


def _args(args: Any) -> list[Any]:
    if isinstance(args, list | tuple):
        return list(args)
    raise TypeError(f"the arguments are a list or a tuple, not {type(args).__name__}")


def open_call(
    process: Process, node: Atom, function: Called, *, text: bool = False
) -> tuple[Reference, ReasonSlot]:
    """Send the request; return the reference that marks its answer, and the slot for that.

    Raises:
        EncodeError: an argument is no term.
        PeerBusy: too much is waiting for that node.
    """
    runtime = process.runtime
    ref = runtime.make_ref()
    slot = runtime.open_spawn(process, node, _ERPC, _EXECUTE_CALL, [ref, *function], text=text)
    return ref, slot


def read_reason(ref: Reference, reason: Any, node: Atom) -> Any:
    """Return the value in the exit reason of ``erpc:execute_call/4``, or raise what is there."""
    if type(reason) is tuple and reason and reason[0] == ref:
        match reason[1:]:
            case (kind, value) if kind == RETURN:
                return value
            case (kind, value) if kind == THROW:
                raise RemoteError("throw", value, node=node)
            case (kind, value) if kind == EXIT:
                raise remote_error("exit", value, [], node)
            case (kind, value, stack) if kind == ERROR:
                raise remote_error("error", value, stack, node)
            case (kind, (word, value)) if kind == ERROR and word == _ERPC:
                raise call_exit(value)
    raise CallExit((_SIGNAL, reason))


def remote_error(kind: str, reason: Any, stack: Any, node: Atom) -> RemoteError:
    """Return the error, with its stack in a note."""
    return with_stack(RemoteError(kind, reason, stack, node=node))


def in_call(error: CallExit, node: Atom, function: Called) -> CallExit:
    """Return ``error`` as that of ``erpc:call(Node, M, F, Args)``."""
    found = failed(error, (_ERPC, atom.call, [node, *function]))
    found.__cause__ = error.__cause__
    return found


def time_left(runtime: Runtime, timeout: float | None, deadline: float | None) -> float | None:
    """Return the seconds that a call has: ``timeout``, or what is left until ``deadline``.

    Raises:
        ValueError: both are given; or what is given is negative, or not a number.
        TypeError: it is no number.
    """
    check_timeout(timeout)
    if deadline is None:
        return timeout
    check_deadline(deadline)
    if timeout is not None:
        raise ValueError("a timeout or a deadline, not both")
    return max(0.0, deadline - runtime.loop.time())


def each_node(nodes: Iterable[Atom | str]) -> list[Atom]:
    """Return the nodes of a call of several.

    Raises:
        TypeError: one str, or what no node can be.
    """
    if isinstance(nodes, str | Atom):
        raise TypeError("several nodes are wanted: a list")
    return [as_atom(node) for node in nodes]
