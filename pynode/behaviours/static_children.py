"""The children of a supervisor whose specs have ids and an order.

They are started in order and ended in the reverse order.  A child that cannot be restarted is
tried again after the messages that are there by then, so that a supervisor can be asked, and told
to end, meanwhile; each attempt counts.

Source: stdlib's ``supervisor`` (25, 27, 29); where they differ, this does what 27 does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.child_spec import BadSpec, ChildSpec, child_spec, problem_of
from pynode.behaviours.supervised import NO_INFO, Child, is_orderly, launch, shut_down
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import ALREADY_STARTED, ERROR, OK, SHUTDOWN, UNDEFINED
from pynode.errors import StartError, Stop
from pynode.terms import Atom, Pid, TermMap

if TYPE_CHECKING:
    from pynode.behaviours.supervisor import Tree

__all__ = ["StaticChildren", "specs_of"]

_NOT_FOUND: Final = (ERROR, Atom("not_found"))
_RUNNING: Final = (ERROR, Atom("running"))
_RESTARTING: Final = (ERROR, Atom("restarting"))
_PRESENT: Final = (ERROR, Atom("already_present"))
_TOO_MANY: Final = Atom("reached_max_restart_intensity")


def specs_of(children: Any, auto_shutdown: str) -> list[ChildSpec]:
    """Return the specs that an ``init`` gave.

    Raises:
        BadSpec: one of them is none, or two have the same id.
    """
    specs: list[ChildSpec] = []
    ids: TermMap = TermMap()
    for each in children:
        spec = checked(each, auto_shutdown)
        if spec.id in ids:
            raise BadSpec((Atom("duplicate_child_name"), term_or_repr(spec.id)))
        ids[spec.id] = True
        specs.append(spec)
    return specs


def checked(child: Any, auto_shutdown: str) -> ChildSpec:
    """Return the spec of ``child`` for a supervisor with this ``auto_shutdown``.

    Raises:
        BadSpec: it is none, or none for that.
    """
    spec = child_spec(child)
    problem = problem_of(spec, auto_shutdown)
    if problem is not None:
        raise BadSpec(problem)
    return spec


class StaticChildren:
    """The children, in start order."""

    __slots__ = ("_by_id", "_tree")

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        #: The order of a dict is the order of the starts.
        self._by_id: TermMap = TermMap()

    # ----------------------------------------------------------------- start and end

    async def start(self, children: Any) -> None:
        """Start all, the end of a supervisor's ``init``.

        Raises:
            Stop: ``{start_spec, _}``, or ``{shutdown, {failed_to_start_child, Id, Reason}}``; what
                had started is ended again.
        """
        try:
            specs = specs_of(children, self._tree.auto_shutdown)
        except BadSpec as bad:
            raise Stop((Atom("start_spec"), bad.reason)) from None
        for spec in specs:
            self._by_id[spec.id] = Child(spec)
        failed = await self._start_all(self._all())
        if failed is not None:
            child, error = failed
            await self.terminate()
            why = (Atom("failed_to_start_child"), term_or_repr(child.id), error.reason)
            raise Stop((SHUTDOWN, why)) from error

    async def terminate(self) -> None:
        """End all, the last first."""
        await self._end_all(self._all())

    def wards(self) -> list[Pid]:
        """Return the pids of the live ones."""
        return [child.pid for child in self._all() if child.is_running and child.pid is not None]

    def pid_of(self, id_: Any) -> Pid | None:
        """Return the pid of a child, None where it has none."""
        child = self._by_id.get(id_)
        return child.pid if child is not None and child.is_running else None

    def replace_specs(self, children: Any) -> None:
        """Take over changed specs of those that are there, new ones, and keep the others.

        Raises:
            BadSpec: a spec is none.
        """
        specs = specs_of(children, self._tree.auto_shutdown)
        before, self._by_id = self._by_id, TermMap()
        given = TermMap((spec.id, spec) for spec in specs)
        for id_, child in before.items():
            if id_ not in given:
                self._by_id[id_] = child
        for spec in specs:
            child = before.get(spec.id) or Child(spec)
            child.spec = spec
            self._by_id[spec.id] = child

    def _all(self) -> list[Child]:
        return list(self._by_id.values())

    async def _start_all(self, children: Iterable[Child]) -> tuple[Child, StartError] | None:
        """Start in this order; return the one that fails, with its error."""
        for child in children:
            try:
                await self._start_one(child)
            except StartError as error:
                self._tree._reports.error("start_error", error.reason, child)
                return child, error
            if child.pid is None and child.is_temporary:
                del self._by_id[child.id]
        return None

    async def _start_one(self, child: Child, *, asked: bool = False) -> Any:
        """Start a child, and return what its start function told besides."""
        pid, info = await launch(self._tree.process, child.spec)
        child.pid, child.restarting = pid, False
        if pid is not None:
            self._tree._reports.progress(child, asked=asked)
        return info

    async def _end_all(self, children: list[Child]) -> None:
        """End in the reverse order; temporary ones are forgotten."""
        for child in reversed(children):
            await self._end_one(child)
            if child.is_temporary:
                del self._by_id[child.id]
            child.pid, child.restarting = None, False

    async def _end_one(self, child: Child) -> None:
        if child.is_running:
            reason = await shut_down(self._tree.process, child)
            if reason is not None:
                self._tree._reports.error("shutdown_error", reason, child)

    def _ended(self, child: Child) -> None:
        """Forget the process of a child, and a temporary child altogether."""
        child.pid, child.restarting = None, False
        if child.is_temporary:
            self._by_id.pop(child.id, None)

    # ----------------------------------------------------------------- ends, and restarts

    async def exited(self, pid: Pid, reason: Any) -> None:
        """A linked process has ended, perhaps a child.

        Raises:
            Stop: the supervisor is to end, with ``shutdown``.
        """
        for child in self._by_id.values():
            if child.pid == pid and not child.restarting:
                break
        else:
            return
        if child.spec.restart == "permanent" or not is_orderly(reason):
            self._tree._reports.error("child_terminated", reason, child)
            if not child.is_temporary:
                await self.restart(child)
                return
        self._ended(child)
        self._maybe_shut_down(child)

    def _maybe_shut_down(self, child: Child) -> None:
        """End the supervisor if the end of a significant child says so."""
        when = self._tree.auto_shutdown
        if when == "never" or not child.spec.significant:
            return
        left = any(each.pid is not None and each.spec.significant for each in self._all())
        if when == "any_significant" or not left:
            raise Stop(SHUTDOWN)

    async def try_again(self, id_: Any) -> None:
        """Restart a child that could not be restarted before, if it still has to be."""
        child = self._by_id.get(id_)
        if child is not None and child.restarting:
            await self.restart(child)

    async def restart(self, child: Child) -> None:
        """Restart a child and those that the strategy has follow it.

        Raises:
            Stop: too many restarts.
        """
        tree = self._tree
        if not tree._intensity.add():
            tree._reports.error("shutdown", _TOO_MANY, child)
            self._ended(child)
            raise Stop(SHUTDOWN)
        failed = await _STRATEGIES[tree.strategy](self, child)
        if failed is not None:
            failed.restarting = True
            tree._ask_again(failed.id)

    async def _one_for_one(self, child: Child) -> Child | None:
        failed = await self._start_all([child])
        return None if failed is None else child

    async def _one_for_all(self, child: Child) -> Child | None:
        return await self._several(child, self._all())

    async def _rest_for_one(self, child: Child) -> Child | None:
        children = self._all()
        return await self._several(child, children[children.index(child) :])

    async def _several(self, child: Child, children: list[Child]) -> Child | None:
        pid = child.pid
        child.pid, child.restarting = None, False
        await self._end_all(children)
        failed = await self._start_all(each for each in children if each.id in self._by_id)
        if failed is None:
            return None
        if failed[0] is child:
            child.pid = pid
        return failed[0]

    # ----------------------------------------------------------------- requests

    async def start_child(self, given: Any) -> Any:
        """``{ok, Child}``, ``{ok, Child, Info}`` or ``{error, _}``."""
        try:
            child = Child(checked(given, self._tree.auto_shutdown))
        except BadSpec as bad:
            return (ERROR, bad.reason)
        known = self._by_id.get(child.id)
        if known is not None:
            return (ERROR, (ALREADY_STARTED, known.pid)) if known.is_running else _PRESENT
        try:
            info = await self._start_one(child, asked=True)
        except StartError as error:
            reason = error.reason
            if type(reason) is tuple and len(reason) == 2 and reason[0] == ALREADY_STARTED:
                return (ERROR, reason)
            return (ERROR, (reason, child.record()))
        if child.pid is not None or not child.is_temporary:
            self._by_id[child.id] = child
        return started(child, info)

    async def terminate_child(self, id_: Any) -> Any:
        """``ok`` or ``{error, not_found}``."""
        child = self._by_id.get(id_)
        if child is None:
            return _NOT_FOUND
        await self._end_one(child)
        self._ended(child)
        return OK

    async def restart_child(self, id_: Any) -> Any:
        """``{ok, Child}``, ``{ok, Child, Info}`` or ``{error, _}``."""
        child = self._by_id.get(id_)
        if child is None or child.pid is not None or child.restarting:
            return self._refusal(child)
        try:
            info = await self._start_one(child, asked=True)
        except StartError as error:
            return (ERROR, error.reason)
        return started(child, info)

    async def delete_child(self, id_: Any) -> Any:
        """``ok`` or ``{error, not_found | running | restarting}``."""
        child = self._by_id.get(id_)
        if child is None or child.pid is not None or child.restarting:
            return self._refusal(child)
        del self._by_id[id_]
        return OK

    @staticmethod
    def _refusal(child: Child | None) -> Any:
        if child is None:
            return _NOT_FOUND
        return _RESTARTING if child.restarting else _RUNNING

    async def get_childspec(self, id_: Any) -> Any:
        """``{ok, Map}`` or ``{error, not_found}``."""
        child = self._by_id.get(id_)
        return _NOT_FOUND if child is None else (OK, child.spec.to_term())

    async def which_child(self, id_: Any) -> Any:
        """``{ok, {Id, Child, Type, Modules}}`` or ``{error, not_found}``."""
        child = self._by_id.get(id_)
        return _NOT_FOUND if child is None else (OK, entry(child))

    def which_children(self) -> list[Any]:
        """``[{Id, Child, Type, Modules}]``, the last started first, as OTP has it."""
        return [entry(child) for child in reversed(self._all())]

    def count_children(self) -> list[Any]:
        """``[{specs, N}, {active, N}, {supervisors, N}, {workers, N}]``."""
        children = self._all()
        supervisors = sum(child.spec.type == "supervisor" for child in children)
        is_alive = self._tree._is_alive
        active = sum(child.is_running and is_alive(child.pid) for child in children)
        return counts(len(children), active, supervisors, len(children) - supervisors)


_STRATEGIES: Final = {
    "one_for_one": StaticChildren._one_for_one,
    "one_for_all": StaticChildren._one_for_all,
    "rest_for_one": StaticChildren._rest_for_one,
}


def entry(child: Child, id_: Any = None) -> tuple[Any, ...]:
    """Return ``{Id, Pid | restarting | undefined, Type, Modules}``."""
    spec = child.spec
    shown = term_or_repr(spec.id) if id_ is None else id_
    return (shown, child.state_term(), Atom(spec.type), spec.modules)


def started(child: Child, info: Any) -> tuple[Any, ...]:
    """Return ``{ok, Pid | undefined}`` or ``{ok, Pid, Info}``."""
    pid = UNDEFINED if child.pid is None else child.pid
    return (OK, pid) if info is NO_INFO else (OK, pid, term_or_repr(info))


def counts(specs: int, active: int, supervisors: int, workers: int) -> list[Any]:
    """Return the reply of ``count_children``."""
    return [
        (Atom("specs"), specs),
        (Atom("active"), active),
        (Atom("supervisors"), supervisors),
        (Atom("workers"), workers),
    ]
