"""The children of a supervisor that starts them on demand: many, without ids, without an order.

Two supervisors have such: ``simple_one_for_one`` of OTP, all of whose children are of one spec,
and Elixir's ``DynamicSupervisor``, to which each child brings its own.

Source: stdlib's ``supervisor``, Elixir's ``DynamicSupervisor`` (1.14 to 1.20).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.child_spec import BRUTAL_KILL, BadSpec, ChildSpec, child_spec, from_fields
from pynode.behaviours.static_children import counts, entry, specs_of, started
from pynode.behaviours.supervised import Child, is_expected, is_orderly, launch, wait_for_end
from pynode.behaviours.words import ERROR, EXIT, IGNORE, KILL, NOPROC, OK, SHUTDOWN, UNDEFINED
from pynode.errors import CallExit, StartError, Stop
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.behaviours.supervisor import DynamicSupervisor, Supervisor, Tree
    from pynode.process.process import Process

__all__ = ["OwnSpecs", "SimpleChildren"]

_NOT_FOUND: Final = (ERROR, Atom("not_found"))
_SIMPLE: Final = (ERROR, Atom("simple_one_for_one"))
_MAX_CHILDREN: Final = (ERROR, Atom("max_children"))
_TOO_MANY: Final = Atom("reached_max_restart_intensity")
#: Children that are ended before the loop has its turn.
_AT_ONCE: Final = 100


class DynamicChildren:
    """What both have in common."""

    __slots__ = ("_children", "_tree")

    #: Whether what a start function raises is told as ``{'EXIT', Reason}``.
    caught = True
    #: Whether children that end in an unexpected way are reported together.
    together = True

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        #: By the pid; by the last one while it is being restarted.
        self._children: dict[Pid, Child] = {}

    def wards(self) -> list[Pid]:
        """Return the pids of the live ones."""
        return [pid for pid, child in self._children.items() if not child.restarting]

    async def terminate(self) -> None:
        """End all at once."""
        await self._end_all(list(self._children.values()))

    async def _end_all(self, children: list[Child]) -> None:
        running = [child for child in children if child.is_running]
        wrong = await _shut_down_all(self._tree.process, running)
        reports = self._tree._reports
        if not self.together:
            for child, reason in wrong:
                reports.error("shutdown_error", reason, child)
            return
        groups: list[tuple[Any, list[Child]]] = []
        for child, reason in wrong:
            for known, group in groups:
                if known == reason:
                    group.append(child)
                    break
            else:
                groups.append((reason, [child]))
        for reason, group in groups:
            pids = [child.pid for child in group if child.pid is not None]
            reports.error("shutdown_error", reason, group[0], pids)

    async def _add(self, child: Child) -> Any:
        """Start a child and return what its start function told besides."""
        child.pid, info = await launch(
            self._tree.process, child.spec, child.extra, caught=self.caught
        )
        if child.pid is not None:
            self._children[child.pid] = child
        return info

    # ----------------------------------------------------------------- ends, and restarts

    async def exited(self, pid: Pid, reason: Any) -> None:
        """A linked process has ended, perhaps a child.

        Raises:
            Stop: too many restarts.
        """
        child = self._children.get(pid)
        if child is None or child.restarting:
            return
        if child.spec.restart == "permanent" or not is_orderly(reason):
            self._tree._reports.error("child_terminated", reason, child)
            if not child.is_temporary:
                await self.restart(pid, child)
                return
        del self._children[pid]

    async def try_again(self, pid: Any) -> None:
        """Restart a child that could not be restarted before, if it still has to be."""
        child = self._children.get(pid)
        if child is not None and child.restarting:
            await self.restart(pid, child)

    async def restart(self, pid: Pid, child: Child) -> None:
        """Restart a child; one that declines is forgotten.

        Raises:
            Stop: too many restarts.
        """
        tree = self._tree
        if not tree._intensity.add():
            tree._reports.error("shutdown", _TOO_MANY, child)
            del self._children[pid]
            raise Stop(SHUTDOWN)
        try:
            await self._add(child)
        except StartError as error:
            child.restarting = True
            tree._reports.error("start_error", error.reason, child)
            tree._ask_again(pid)
        else:
            child.restarting = False
            del self._children[pid]

    # ----------------------------------------------------------------- requests

    async def terminate_child(self, pid: Any) -> Any:
        """``ok`` or ``{error, not_found}``."""
        child = self._children.get(pid) if type(pid) is Pid else None
        if child is None:
            return _NOT_FOUND
        await self._end_all([child])
        del self._children[pid]
        return OK

    def which_children(self) -> list[Any]:
        """``[{undefined, Pid | restarting, Type, Modules}]``, in no order to rely on."""
        return [entry(child, UNDEFINED) for child in self._children.values()]

    def _counts(self, specs: int) -> list[Any]:
        children = self._children.values()
        supervisors = sum(child.spec.type == "supervisor" for child in children)
        active = sum(not child.restarting for child in children)
        return counts(specs, active, supervisors, len(children) - supervisors)


class SimpleChildren(DynamicChildren):
    """The children of ``simple_one_for_one``: one spec, to which each adds arguments."""

    __slots__ = ("_spec",)

    _tree: Supervisor
    _spec: ChildSpec

    async def start(self, children: Any) -> None:
        """Take the spec, the end of a supervisor's ``init``.

        Raises:
            Stop: ``{bad_start_spec, _}`` unless it is one, ``{start_spec, _}``.
        """
        try:
            specs = specs_of(children, self._tree.auto_shutdown)
        except BadSpec as bad:
            raise Stop((Atom("start_spec"), bad.reason)) from None
        if len(specs) != 1:
            raise Stop((Atom("bad_start_spec"), [spec.to_term() for spec in specs]))
        self._spec = specs[0]

    def replace_specs(self, children: Any) -> None:
        """Take another spec, for the children to come.

        Raises:
            BadSpec: there is not one.
        """
        specs = specs_of(children, self._tree.auto_shutdown)
        if len(specs) != 1:
            raise BadSpec((Atom("bad_start_spec"), [spec.to_term() for spec in specs]))
        self._spec = specs[0]

    async def start_child(self, args: Any) -> Any:
        """``{ok, Pid | undefined}``, ``{ok, Pid, Info}`` or ``{error, _}``; ``args`` is a list."""
        if type(args) is not list:
            return (ERROR, (Atom("badarg"), args))
        child = Child(self._spec, extra=tuple(args))
        try:
            info = await self._add(child)
        except StartError as error:
            return (ERROR, error.reason)
        return started(child, info)

    async def terminate_child(self, pid: Any) -> Any:
        """``ok``, also of a process that has ended; or ``{error, _}``."""
        if type(pid) is not Pid:
            return _SIMPLE
        if pid not in self._children and self._tree._is_dead(pid):
            return OK
        return await super().terminate_child(pid)

    async def restart_child(self, id_: Any) -> Any:
        """``{error, simple_one_for_one}``."""
        return _SIMPLE

    delete_child = restart_child

    async def get_childspec(self, id_: Any) -> Any:
        """``{ok, Map}`` or ``{error, not_found}``; by the spec's id, or a child's pid."""
        if id_ == self._spec.id or (type(id_) is Pid and id_ in self._children):
            return (OK, self._spec.to_term())
        return _NOT_FOUND

    async def which_child(self, pid: Any) -> Any:
        """``{ok, {undefined, Pid | restarting, Type, Modules}}`` or ``{error, _}``."""
        if type(pid) is not Pid:
            return _SIMPLE
        child = self._children.get(pid)
        if child is None or child.restarting:
            return _NOT_FOUND
        return (OK, entry(child, UNDEFINED))

    def count_children(self) -> list[Any]:
        """``[{specs, 1}, {active, N}, {supervisors, N}, {workers, N}]``."""
        return self._counts(1)


class OwnSpecs(DynamicChildren):
    """The children of ``DynamicSupervisor``, each of a spec of its own."""

    __slots__ = ()

    _tree: DynamicSupervisor
    caught = False
    together = False

    async def start_child(self, given: Any) -> Any:
        """``{ok, Pid}``, ``{ok, Pid, Info}``, ``ignore`` or ``{error, _}``."""
        try:
            spec = _dynamic_spec(given)
        except BadSpec as bad:
            return (ERROR, bad.reason)
        before = self._tree.extra_arguments
        return await self.start_spec(spec.with_arguments(*before, *spec.args) if before else spec)

    async def start_spec(self, spec: ChildSpec) -> Any:
        """Start a child as :meth:`start_child` does."""
        limit = self._tree.max_children
        if limit is not None and len(self._children) >= limit:
            return _MAX_CHILDREN
        child = Child(spec)
        try:
            info = await self._add(child)
        except StartError as error:
            return (ERROR, error.reason)
        return IGNORE if child.pid is None else started(child, info)

    def count_children(self) -> list[Any]:
        """``[{specs, N}, {active, N}, {supervisors, N}, {workers, N}]``."""
        return self._counts(len(self._children))


_DYNAMIC_FIELDS: Final = ("start", "restart", "shutdown", "type", "modules")


def _dynamic_spec(given: Any) -> ChildSpec:
    """Return the spec of a ``start_child``, of which Elixir sends the five fields it needs."""
    if type(given) is tuple and len(given) == 5 and type(given[0]) is tuple:
        spec = from_fields(dict(zip(_DYNAMIC_FIELDS, given, strict=True)))
    else:
        spec = child_spec(given)
    if spec.significant:
        raise BadSpec((Atom("invalid_significant"), True))
    return spec


# --------------------------------------------------------------------------- ending many


async def _shut_down_all(process: Process, children: list[Child]) -> list[tuple[Child, Any]]:
    """End children at once, each within its time; return those that ended in another way."""
    runtime = process.runtime
    waiting: list[tuple[Child, Any]] = []
    in_time: dict[float, list[Pid]] = {}
    wrong: list[tuple[Child, Any]] = []
    timers: list[Any] = []
    try:
        for number, child in enumerate(children):
            pid, shutdown = child.pid, child.spec.shutdown
            if pid is None:
                continue
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # thousands of them must not hold the loop up
            waiting.append((child, runtime.open_call(process, pid)))
            runtime.exit(process, pid, KILL if shutdown == BRUTAL_KILL else SHUTDOWN)
            if isinstance(shutdown, int | float):
                in_time.setdefault(shutdown, []).append(pid)
        timers += [
            runtime.timers.after(seconds, partial(_kill, process, pids))
            for seconds, pids in in_time.items()
        ]
        for number, (child, slot) in enumerate(waiting):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            reason = await _end_of(process, child, slot)
            if not is_expected(child.spec, reason):
                wrong.append((child, reason))
        await _forget_exits(process, {child.pid for child, _ in waiting})
    finally:
        for timer in timers:
            timer.cancel()
        for _, slot in waiting:
            slot.close()
    return wrong


async def _end_of(process: Process, child: Child, slot: Any) -> Any:
    """Return the reason with which a child has ended; an EXIT of it may still be there."""
    try:
        await slot
    except CallExit as down:
        if down.reason != NOPROC:
            return down.reason
    return await wait_for_end(process, child.pid, slot)  # type: ignore[arg-type]


async def _forget_exits(process: Process, pids: set[Pid | None]) -> None:
    """Take the EXITs of these out of the mailbox, all in one go."""
    for pid in pids:
        if pid is not None:
            process.runtime.unlink(process, pid)
    with suppress(TimeoutError):
        for number in count(1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            await process.receive(
                lambda message: (
                    type(message) is tuple
                    and len(message) == 3
                    and message[0] == EXIT
                    and message[1] in pids
                ),
                timeout=0,
            )


def _kill(process: Process, pids: Iterable[Pid]) -> None:
    if process.alive:
        for pid in pids:
            process.runtime.exit(process, pid, KILL)
