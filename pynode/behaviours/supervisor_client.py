"""The client side of supervisors: what to ask them, on this node and on others.

Every function takes the acting process first and waits as long as it takes, as OTP's do; ended
children are waited for.  What is sent to another node must be terms: there a child is named by
``{M, F, Args}`` (:meth:`ChildSpec.mfa`) or by a map of Erlang's.

Source: stdlib's ``supervisor``, Elixir's ``Supervisor`` and ``DynamicSupervisor``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.behaviours import gen
from pynode.behaviours.child_spec import BadSpec, ChildSpec, Mfa, child_spec
from pynode.behaviours.names import ServerRef, find
from pynode.behaviours.supervisor import SupervisorBody
from pynode.behaviours.words import ALREADY_STARTED, ERROR, IGNORE, NOPROC, OK
from pynode.errors import AlreadyStarted, ChildError, NoProcess, StartError, StartIgnored
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "ChildCounts",
    "ChildInfo",
    "count_children",
    "delete_child",
    "get_childspec",
    "restart_child",
    "start_child",
    "start_child_with",
    "start_dynamic_child",
    "terminate_child",
    "which_child",
    "which_children",
]

_RESTARTING: Final = Atom("restarting")


class ChildInfo(NamedTuple):
    """One child, as ``which_children`` tells it."""

    id: Any
    """``undefined`` where children have no ids."""
    child: Any
    """The pid, or the atoms ``restarting`` or ``undefined``."""
    type: Atom
    modules: Any

    @property
    def pid(self) -> Pid | None:
        """The pid, None where there is no process."""
        return self.child if type(self.child) is Pid else None


class ChildCounts(NamedTuple):
    """How many children there are of each kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


async def start_child(process: Process, supervisor: ServerRef, child: Any) -> Pid:
    """Start one more child of a supervisor, and return its pid.

    Args:
        child: a :class:`ChildSpec`, a class, ``(class, argument, ...)``, a map of Erlang's.

    Raises:
        AlreadyStarted: a child of that id runs, or a process of that name.
        StartIgnored: it declines; its spec is kept where it has an id and is not temporary.
        StartError: it did not start, or its spec is none; ``already_present``, ``max_children``.
        TypeError: a Python class or function for a supervisor of another node.
    """
    given = _spec(child)
    body = await local_body(process, supervisor)
    if body is not None:
        return await _start_lent(process, supervisor, body, given)
    return _child_of(await _ask(process, supervisor, (_START, _sent(given))))


async def start_dynamic_child(process: Process, supervisor: ServerRef, child: Any) -> Pid:
    """Start one more child of a DynamicSupervisor; see :func:`start_child`.

    Elixir's takes another form of a spec than other supervisors, and this sends it.
    """
    body = await local_body(process, supervisor)
    spec = _spec(child)
    if body is not None:
        return await _start_lent(process, supervisor, body, spec)
    term = _sent(spec)
    keys = ("start", "restart", "shutdown", "type", "modules")
    five = tuple(term[Atom(key)] for key in keys)
    return _child_of(await _ask(process, supervisor, (_START, five)))


async def start_child_with(process: Process, supervisor: ServerRef, args: Iterable[Any]) -> Pid:
    """Start one more child of a simple_one_for_one supervisor, with further arguments."""
    body = await local_body(process, supervisor)
    if body is not None:
        return await _start_lent(process, supervisor, body, list(args))
    return _child_of(await _ask(process, supervisor, (_START, list(args))))


async def terminate_child(process: Process, supervisor: ServerRef, child: Any) -> None:
    """End a child, by its id, or its pid where children have no ids; its spec stays.

    Raises:
        ChildError: ``not_found``; ``simple_one_for_one``.
    """
    _done(await _ask(process, supervisor, (Atom("terminate_child"), _id(child))))


async def delete_child(process: Process, supervisor: ServerRef, child_id: Any) -> None:
    """Forget the spec of a child that has been ended.

    Raises:
        ChildError: ``not_found``, ``running``, ``restarting``.
    """
    _done(await _ask(process, supervisor, (Atom("delete_child"), _id(child_id))))


async def restart_child(process: Process, supervisor: ServerRef, child_id: Any) -> Pid:
    """Start a child again that has been ended or has ended; return its pid.

    Raises:
        StartIgnored: it declines.
        ChildError: ``not_found``, ``running``, ``restarting``.
        StartError: it did not start.
    """
    answer = await _ask(process, supervisor, (Atom("restart_child"), _id(child_id)))
    if type(answer) is tuple and answer[0] == ERROR and answer[1] in _ABOUT_CHILDREN:
        raise ChildError(answer[1])
    return _child_of(answer)


async def which_children(process: Process, supervisor: ServerRef) -> list[ChildInfo]:
    """Return all children, in the reverse order of their start where they have an order."""
    return [ChildInfo(*each) for each in await _ask(process, supervisor, Atom("which_children"))]


async def which_child(process: Process, supervisor: ServerRef, child_id: Any) -> ChildInfo:
    """Return one child, by its id or, where there are none, its pid (OTP 29's).

    Raises:
        ChildError: ``not_found``.
    """
    answer = await _ask(process, supervisor, (Atom("which_child"), _id(child_id)))
    return ChildInfo(*_value(answer))


async def count_children(process: Process, supervisor: ServerRef) -> ChildCounts:
    """Return how many children there are."""
    found = dict(await _ask(process, supervisor, Atom("count_children")))
    return ChildCounts(*(found[Atom(name)] for name in ChildCounts._fields))


async def get_childspec(process: Process, supervisor: ServerRef, child_id: Any) -> dict[Any, Any]:
    """Return the spec of a child, by its id, as Erlang's map; times are milliseconds.

    Raises:
        ChildError: ``not_found``.
    """
    answer = await _ask(process, supervisor, (Atom("get_childspec"), _id(child_id)))
    found: dict[Any, Any] = _value(answer)
    return found


# --------------------------------------------------------------------------- parts

_START: Final = Atom("start_child")
_ABOUT_CHILDREN: Final = (
    Atom("not_found"),
    Atom("running"),
    _RESTARTING,
    Atom("simple_one_for_one"),
)


def _id(child_id: Any) -> Any:
    return Atom(child_id) if isinstance(child_id, str) else child_id


async def _ask(process: Process, supervisor: ServerRef, request: Any) -> Any:
    return await gen.call(process, supervisor, request, None)


async def local_body(process: Process, supervisor: ServerRef) -> SupervisorBody | None:
    """Return the loop of a supervisor of this node, None of one of another.

    Raises:
        NoProcess: a pid of this node that has ended.
    """
    runtime = process.runtime
    target = await find(process, supervisor)
    if type(target) is not Pid or not runtime.is_own(target):
        return None
    local = runtime.local(target)
    if local is None:
        raise NoProcess(NOPROC)
    return local.body if isinstance(local.body, SupervisorBody) else None


async def _start_lent(
    process: Process, supervisor: ServerRef, body: SupervisorBody, given: Any
) -> Pid:
    """Have a child started whose spec is no term: it stays here, and its reference is sent."""
    ref = process.runtime.make_ref()
    body.lent[ref] = given
    try:
        answer = await _ask(process, supervisor, (_START, ref))
        failure = body.failed.pop(ref, None)
        try:
            return _child_of(answer)
        except StartError as error:
            if failure is not None:
                error.__cause__ = failure.__cause__
            raise
    finally:
        body.lent.pop(ref, None)
        body.failed.pop(ref, None)


def _spec(child: Any) -> ChildSpec:
    """Return the spec of a child; one that is none does not start, as if it had been sent."""
    try:
        return child_spec(child)
    except BadSpec as bad:
        raise StartError(bad.reason) from None


def _sent(spec: ChildSpec) -> dict[Any, Any]:
    """Return a spec as it can be sent to another node."""
    if not isinstance(spec.target, Mfa):
        raise TypeError(
            f"{spec!r} cannot be sent to another node: name what is exposed there, with "
            "ChildSpec.mfa(module, function, args)"
        )
    return spec.to_term()


def _child_of(answer: Any) -> Pid:
    if type(answer) is Atom and answer == IGNORE:
        raise StartIgnored(IGNORE)
    if type(answer) is tuple and len(answer) >= 2 and answer[0] == OK:
        if type(answer[1]) is Pid:
            return answer[1]
        raise StartIgnored(IGNORE)
    reason = answer[1] if type(answer) is tuple and len(answer) == 2 else answer
    if type(reason) is tuple and len(reason) == 2 and reason[0] == ALREADY_STARTED:
        raise AlreadyStarted(reason, reason[1])
    raise StartError(reason)


def _done(answer: Any) -> None:
    if answer != OK:
        raise ChildError(answer[1])


def _value(answer: Any) -> Any:
    if answer[0] != OK:
        raise ChildError(answer[1])
    return answer[1]
