"""``node.pg``: groups of processes.

::

    node.pg.join(atom.workers, pid)
    node.pg.get_members(atom.workers)        # the members on all nodes

A scope is a set of groups that the visible nodes which run it keep in common.  The default one,
``pg``, is started by its first use here, or together with the node by its option ``start_pg``;
any other with :meth:`Pg.start`.  What other nodes have comes in a moment after a scope was
started or a node connected, as on a BEAM; :meth:`Pg.monitor` misses nothing and needs no waiting.

A group is any term but a str, and exists while it has members.  A hidden node shares nothing:
its scopes hold its own processes only.

Source: kernel's pg.erl, its exported functions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from pynode.errors import AlreadyStarted, EncodeError, NameError_
from pynode.etf import encode_payload
from pynode.process.names import as_atom
from pynode.services.global_.names import checked_name
from pynode.services.service import acting
from pynode.terms import Atom, Pid, Reference, TermMap, atom

from . import wire
from .processes import ScopeProcess
from .scope import Scope

if TYPE_CHECKING:
    from pynode.net.net import Net
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Pg"]

P = ParamSpec("P")
T = TypeVar("T")

_DEFAULT: Final = atom.pg


class Pg:
    """The namespace; made by :class:`pynode.services.Services`.

    Nothing here waits: when a method returns, this node's view has changed and its peers have
    been written to.  May be called from the thread of a blocking callback.

    Every method that takes a ``scope`` raises :class:`pynode.errors.NameError_` if it is not
    started (``pg``, the default, then is), and every one that takes a ``group`` raises TypeError
    if that is a str, which could mean three terms, or no term at all.
    """

    def __init__(self, runtime: Runtime, net: Net) -> None:
        self._runtime = runtime
        self._net = net
        self._scopes: dict[Atom, ScopeProcess] = {}

    # ------------------------------------------------------------------ scopes

    def start(self, scope: Atom | str = _DEFAULT) -> Pid:
        """Start a scope, and return the process that is registered under its name (``start/1``).

        It ends with the node; and should an exit signal end it, its members are out of all
        groups, here and elsewhere.

        Raises:
            AlreadyStarted: the scope is started, or another process has the name.
            NodeDown: the node has stopped.
        """
        return self._on_loop(self._start, as_atom(scope), None)

    def start_link(self, scope: Atom | str = _DEFAULT) -> Pid:
        """Start a scope that ends with the acting process (``start_link/1``)."""
        return self._on_loop(self._start, as_atom(scope), acting(self._runtime).pid)

    def _start(self, scope: Atom, link_to: Pid | None) -> Pid:
        taken = self._runtime.whereis(scope)
        if taken is not None:
            raise AlreadyStarted((atom.already_started, taken), taken)
        started = ScopeProcess(self._runtime, self._net, scope, self._ended, link_to)
        self._scopes[scope] = started
        return started.pid

    def _ended(self, ended: ScopeProcess) -> None:
        if self._scopes.get(ended.name) is ended:
            del self._scopes[ended.name]

    def which_scopes(self) -> list[Atom]:
        """Return the scopes that are started on this node, the oldest first."""
        return list(self._scopes)

    # ------------------------------------------------------------------ groups

    def join(self, group: Any, pids: Pid | Iterable[Pid], scope: Atom | str = _DEFAULT) -> None:
        """Let one or several processes of this node join a group (``join/3``).

        One that is named twice, or joins again, is in the group twice.  Each leaves by itself
        when it ends.

        Raises:
            ValueError: a process of another node; only that node can let it join.
            TypeError: ``pids`` are no pids; or the group holds a native record, which nodes
                before OTP 29 cannot take.
        """
        self._on_loop(Scope.join, self._find(scope), _sendable(group), self._own(pids))

    def leave(self, group: Any, pids: Pid | Iterable[Pid], scope: Atom | str = _DEFAULT) -> bool:
        """Let one or several processes of this node leave a group (``leave/3``).

        Each leaves as often as it is named.  Returns False if none of them was in the group
        (``not_joined``).

        Raises:
            ValueError: a process of another node.
            TypeError: ``pids`` are no pids.
        """
        return self._on_loop(Scope.leave, self._find(scope), _checked(group), self._own(pids))

    def get_members(self, group: Any, scope: Atom | str = _DEFAULT) -> list[Pid]:
        """Return the members of a group on all nodes, in no order (``get_members/2``)."""
        return self._on_loop(Scope.members, self._find(scope), _checked(group))

    def get_local_members(self, group: Any, scope: Atom | str = _DEFAULT) -> list[Pid]:
        """Return the members of a group on this node, in no order (``get_local_members/2``)."""
        return self._on_loop(Scope.local_members, self._find(scope), _checked(group))

    def which_groups(self, scope: Atom | str = _DEFAULT) -> list[Any]:
        """Return the names of all groups, in no order (``which_groups/1``)."""
        return self._on_loop(Scope.groups, self._find(scope))

    def which_local_groups(self, scope: Atom | str = _DEFAULT) -> list[Any]:
        """Return the names of the groups with members on this node (``which_local_groups/1``)."""
        return self._on_loop(Scope.local_groups, self._find(scope))

    # ------------------------------------------------------------------ monitors

    def monitor(self, group: Any, scope: Atom | str = _DEFAULT) -> tuple[Reference, list[Pid]]:
        """Return the members of a group, and tell of all changes from now on (``monitor/2``).

        The acting process gets ``{Ref, join, Group, Pids}`` and ``{Ref, leave, Group, Pids}``,
        in the order of the changes.
        """
        return self._on_loop(_monitor, self._find(scope), acting(self._runtime), _checked(group))

    def monitor_scope(self, scope: Atom | str = _DEFAULT) -> tuple[Reference, TermMap]:
        """Return all groups with their members, and tell of all changes (``monitor_scope/1``).

        The messages are those of :meth:`monitor`.
        """
        return self._on_loop(_monitor_scope, self._find(scope), acting(self._runtime))

    def demonitor(self, ref: Reference, scope: Atom | str = _DEFAULT) -> bool:
        """End a monitor (``demonitor/2``); False if there is none with this reference.

        Messages of it that are in the mailbox already are removed.
        """
        return self._on_loop(self._demonitor, self._find(scope), ref)

    def _demonitor(self, scope: Scope, ref: Reference) -> bool:
        pid = scope.demonitor(ref)
        process = None if pid is None else self._runtime.local(pid)
        if process is not None and process.mailbox is not None:

            def is_of_it(message: Any) -> bool:
                return _is_change(message, ref)

            for _ in filter(is_of_it, process.mailbox.messages()):
                process.mailbox.drop(is_of_it, process.receivers)
        return pid is not None

    # ------------------------------------------------------------------ inside

    def _find(self, scope: Atom | str) -> Scope:
        name = as_atom(scope)
        found = self._scopes.get(name)
        if found is None:
            if name != _DEFAULT:
                raise NameError_(
                    f"the pg scope {name} is not started on this node: node.pg.start({str(name)!r})"
                )
            self.start(name)
            found = self._scopes[name]
        return found.scope

    def _own(self, pids: Pid | Iterable[Pid]) -> list[Pid]:
        wanted = [pids] if type(pids) is Pid else list(pids)
        for pid in wanted:
            if type(pid) is not Pid:
                raise TypeError(f"pids join and leave groups, not {pid!r}")
            if not self._runtime.is_own(pid):
                raise ValueError(f"{pid!r} is not of this node, so it cannot join or leave here")
        return wanted

    def _on_loop(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        runtime = self._runtime
        if threading.get_ident() == runtime.thread_id:
            return function(*args, **kwargs)
        result: T = runtime.call_threadsafe(acting(runtime), function, *args, **kwargs)
        return result


# --------------------------------------------------------------------------- on the loop


def _monitor(scope: Scope, process: Process, group: Any) -> tuple[Reference, list[Pid]]:
    if not process.alive:
        raise process.runtime.refusal(process)
    return scope.monitor(process.pid, group)


def _monitor_scope(scope: Scope, process: Process) -> tuple[Reference, TermMap]:
    if not process.alive:
        raise process.runtime.refusal(process)
    return scope.monitor_scope(process.pid)


def _is_change(message: Any, ref: Reference) -> bool:
    return (
        type(message) is tuple
        and len(message) == 4
        and type(message[0]) is Reference
        and message[0] == ref
        and message[1] in (wire.JOIN, wire.LEAVE)
    )


# --------------------------------------------------------------------------- groups


def _checked(group: Any) -> Any:
    return checked_name(group, "pg group")


def _sendable(group: Any) -> Any:
    """Return a group that every peer can be told of; a join that one of them misses is worse."""
    term = _checked(group)
    try:
        encode_payload(term)
    except EncodeError as error:
        raise TypeError(f"a pg group that other nodes cannot take: {error}") from error
    return term
