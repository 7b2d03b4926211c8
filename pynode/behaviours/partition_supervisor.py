"""PartitionSupervisor: several processes of one spec, and the one that a key belongs to.

::

    await node.start(PartitionSupervisor, (Model, path), name="models", partitions=4)
    await node.call(("via", PartitionSupervisor, ("models", user_id)), (atom.score, user_id))

With a server class that is ``blocking=True`` each partition computes in a thread of its own.

An integer belongs to partition ``abs(key) % partitions``; any other term to one that does not
change while the node runs and the number of partitions stays.  A via name is resolved where it is
used, so ``{via, 'Elixir.PartitionSupervisor', {Name, Key}}`` means a supervisor of the caller's
own node, in Elixir as well; another node asks ``supervisor:which_children({Name, Node})``, whose
ids are the partitions, and calls the pid.

Source: Elixir's ``PartitionSupervisor`` (1.14 to 1.20).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.child_spec import BadSpec, ChildSpec, child_spec
from pynode.behaviours.names import ServerRef, look_up
from pynode.behaviours.supervisor import Supervisor, SupervisorBody
from pynode.errors import ChildError, NameError_, NoProcess, StartError, Stop
from pynode.process.words import NOPROC
from pynode.terms import Atom, Pid
from pynode.terms.order import key_form

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["PartitionNames", "PartitionSupervisor", "partitions", "resize"]

_MODULE: Final = "Elixir.PartitionSupervisor"


class PartitionSupervisor(Supervisor, module=_MODULE):
    """A supervisor of ``partitions`` children of one spec, whose ids are 0, 1, 2, ...

    Args:
        child: a class, ``(class, argument, ...)`` or a :class:`ChildSpec`, without a name.
        partitions: how many; default: the number of processors.
        with_arguments: ``with_arguments(arguments, partition)`` returns those of one partition.
        strategy, max_restarts, max_seconds: as :class:`Supervisor` has them.

    It is started under a name, by which keys are looked up.
    """

    #: How many of them are in use; the others have been stopped by :func:`resize`.
    partitions: int
    most: int

    def init(  # type: ignore[override]
        self,
        child: Any,
        *,
        partitions: int | None = None,
        with_arguments: Callable[[tuple[Any, ...], int], Any] | None = None,
        **options: Any,
    ) -> list[ChildSpec]:
        """Return the specs of the partitions."""
        super().init((), **options)
        if self.auto_shutdown != "never":
            raise Stop((Atom("supervisor_data"), (Atom("invalid_auto_shutdown"), None)))
        if self._body.name is None:
            raise Stop((Atom("supervisor_data"), Atom("missing_name")))
        count = (os.cpu_count() or 1) if partitions is None else partitions
        if type(count) is not int or count < 1:
            raise Stop((Atom("supervisor_data"), (Atom("invalid_partitions"), count)))
        self.partitions = self.most = count
        try:
            spec = child_spec(child)
        except BadSpec as bad:
            raise Stop((Atom("start_spec"), bad.reason)) from None
        names = PartitionNames(self.process.runtime)
        for module in (_MODULE, "PartitionSupervisor"):
            self.process.runtime.via.setdefault(module, names)
        return [_partition(spec, number, with_arguments) for number in range(count)]

    def pid_for(self, key: Any) -> Pid | None:
        """Return the process that ``key`` belongs to; None while it is being restarted."""
        if not self.partitions:
            return None
        is_number = type(key) is int
        number = abs(key) if is_number else hash(key_form(key))
        pid: Pid | None = self._kids.pid_of(number % self.partitions)
        return pid


def _partition(
    spec: ChildSpec, number: int, with_arguments: Callable[[tuple[Any, ...], int], Any] | None
) -> ChildSpec:
    made = spec.replace(id=number)
    return (
        made if with_arguments is None else made.with_arguments(*with_arguments(spec.args, number))
    )


class PartitionNames:
    """The via module: names are ``(name of the supervisor, key)``."""

    __slots__ = ("_runtime",)

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def lookup(self, name: Any) -> Pid | None:
        """Return the partition of ``{Name, Key}``, None where there is no such supervisor."""
        if type(name) is not tuple or len(name) != 2:
            raise NameError_(f"a partition is (name of the supervisor, key), not {name!r}")
        found = _of_name(self._runtime.main, name[0])
        return None if found is None else found.pid_for(name[1])

    async def whereis_name(self, name: Any) -> Pid | None:
        """Return the partition of ``{Name, Key}``."""
        return self.lookup(name)

    async def register_name(self, name: Any, pid: Pid) -> bool:
        """Refuse: partitions are started by their supervisor.

        Raises:
            NameError_: always.
        """
        raise NameError_("a process cannot be registered as a partition")

    async def unregister_name(self, name: Any) -> None:
        """Do nothing: a partition has its place for good."""


def _of_name(process: Process, name: ServerRef) -> PartitionSupervisor | None:
    target = look_up(process, name)
    runtime = process.runtime
    if type(target) is Atom:
        target = runtime.whereis(target)
    local = runtime.local(target) if type(target) is Pid else None
    if local is None or not isinstance(local.body, SupervisorBody):
        return None
    found = local.body.tree
    return found if isinstance(found, PartitionSupervisor) else None


def partitions(process: Process, name: ServerRef) -> int:
    """Return how many partitions a PartitionSupervisor of this node has.

    Raises:
        NoProcess: there is none of that name.
    """
    found = _of_name(process, name)
    if found is None:
        raise NoProcess(NOPROC)
    return found.partitions


async def resize(process: Process, name: ServerRef, count: int) -> int:
    """Stop partitions, or start some again, until ``count`` are in use; return the count before.

    At most as many as it was started with; keys then belong to other partitions than before.

    Raises:
        NoProcess: there is no PartitionSupervisor of that name on this node.
        ValueError: fewer than 0, or more than it was started with.
        StartError: a partition did not start.
    """
    from pynode.behaviours.supervisor_client import restart_child, terminate_child

    tree = _of_name(process, name)
    if tree is None:
        raise NoProcess(NOPROC)
    if not 0 <= count <= tree.most:
        raise ValueError(f"the number of partitions is between 0 and {tree.most}, not {count}")
    before = tree.partitions
    for number in range(before, count):
        try:
            await restart_child(process, tree.pid, number)
        except ChildError as error:
            raise StartError(error.reason) from None
        tree.partitions = number + 1
    tree.partitions = count
    for number in range(count, before):
        await terminate_child(process, tree.pid, number)
    return before
