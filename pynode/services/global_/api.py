"""``node.global_``: global's verbs for programs.

Each acts as the current process, or as ``node.main`` outside any: that is who holds the locks
it sets.  ``node=`` has another node do it, for a hidden node, which has no part in global and a
table of its own names only.

Source: global.erl, its exported functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours import gen
from pynode.errors import NameError_
from pynode.services.service import acting
from pynode.terms import Atom, Pid, atom

from .locking import del_lock, set_lock
from .names import checked_name
from .processes import GlobalProcesses, ProcessPorts
from .resolve import Method, Methods

if TYPE_CHECKING:
    from pynode.net.net import Net
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime
    from pynode.services.erpc import Erpc

__all__ = ["Global"]

_DEFAULT: Final = "random_exit_name"
_GLOBAL: Final = atom("global")


class Global:
    """The namespace; made by :class:`pynode.services.Services`."""

    def __init__(
        self,
        runtime: Runtime,
        net: Net,
        processes: GlobalProcesses,
        methods: Methods,
        erpc: Erpc,
    ) -> None:
        self._runtime = runtime
        self._net = net
        self._processes = processes
        self._server = processes.server
        self._methods = methods
        self._erpc = erpc

    # ------------------------------------------------------------------ names

    async def register_name(
        self,
        name: Any,
        pid: Pid,
        resolve: Method = _DEFAULT,
        *,
        node: Atom | str | None = None,
    ) -> bool:
        """Register ``pid`` as ``name`` on all nodes; False if the name is taken.

        False too if ``pid`` has another global name.  When this returns, the name is on all
        nodes or on none; if cancelled, it is on all or none a moment later.

        Args:
            name: any term but a str.
            pid: the process, of any node.
            resolve: who keeps the name when two partitions join that both have it: one of
                ``random_exit_name`` (the process on the greater node name is killed),
                ``random_notify_name`` (it gets ``{global_name_conflict, Name}``),
                ``notify_all_name`` (both get ``{global_name_conflict, Name, OtherPid}``, and
                nobody keeps the name), ``(module, function)``, an external fun, or a callable of
                this program, ``(name, their_pid, our_pid) -> pid | None``, called on this node,
                which must be the node of ``pid``.  If it fails, the other's process keeps the
                name.
            node: the node that is to do it.

        Raises:
            TypeError: the name is a str or no term, or ``resolve`` is no method.
            CallExit: ``node`` cannot be asked.
        """
        return await self._change(atom.register, "register_name", name, pid, resolve, node)

    async def re_register_name(
        self,
        name: Any,
        pid: Pid,
        resolve: Method = _DEFAULT,
        *,
        node: Atom | str | None = None,
    ) -> bool:
        """Register ``pid`` as ``name`` in place of whoever bears it; always True.

        Arguments and errors are those of :meth:`register_name`.
        """
        return await self._change(atom.re_register, "re_register_name", name, pid, resolve, node)

    async def _change(
        self, verb: Atom, function: str, name: Any, pid: Pid, resolve: Method, node: Any
    ) -> bool:
        term, method = checked_name(name), self._methods.term(resolve)
        if not isinstance(pid, Pid):
            raise TypeError(f"a pid is registered, not {pid!r}")
        if node is not None:
            answer = await self._erpc.call(node, _GLOBAL, function, [term, pid, method])
            return bool(answer == atom.yes)
        answer = await self._ask_registrar((verb, term, pid, method))
        return answer is True

    async def unregister_name(self, name: Any, *, node: Atom | str | None = None) -> None:
        """Free ``name`` on all nodes; not an error if nobody bears it."""
        term = checked_name(name)
        if node is not None:
            await self._erpc.call(node, _GLOBAL, "unregister_name", [term])
        elif self._server.where(term) is not None:
            await self._ask_registrar((atom.unregister, term))

    async def whereis_name(self, name: Any, *, node: Atom | str | None = None) -> Pid | None:
        """Return the process that bears ``name``, None if there is none.

        Without ``node`` this looks at this node's own table and does not wait.
        """
        if node is None:
            return self.lookup(name)
        found = await self._erpc.call(node, _GLOBAL, "whereis_name", [checked_name(name)])
        return found if isinstance(found, Pid) else None

    def lookup(self, name: Any) -> Pid | None:
        """Return what this node knows of ``name`` now."""
        return self._server.where(checked_name(name))

    def registered_names(self) -> list[Any]:
        """Return all names that this node knows, in no order."""
        return [entry.name for entry in self._server.names]

    def send(self, name: Any, message: Any) -> Pid:
        """Send ``message`` to the process that bears ``name``, and return its pid.

        Raises:
            NameError_: nobody bears it, as far as this node knows.
        """
        pid = self.lookup(name)
        if pid is None:
            raise NameError_(f"no process has the global name {name!r}")
        self._runtime.send(self._acting(), pid, message)
        return pid

    # ------------------------------------------------------------------ locks

    async def set_lock(
        self,
        lock_id: tuple[Any, Any],
        nodes: Iterable[Atom | str] | None = None,
        retries: int | None = None,
    ) -> bool:
        """Lock ``(resource, requester)`` on ``nodes``; False when the retries are used up.

        The holder is the current process: its end frees the lock.  Two processes that use the
        same requester share the lock, and it is free when both have deleted it; so give two
        tasks that act as ``node.main`` different requesters.

        Args:
            lock_id: a pair of any terms but str: what is locked, and on whose behalf.
            nodes: None: this node and all visible ones it is connected to.
            retries: how often to try again after a refusal, waiting up to 8 s in between; None:
                until it succeeds.

        If cancelled, the lock may be set on some nodes; :meth:`del_lock` does no harm.
        """
        ports = ProcessPorts(self._acting())
        return await set_lock(
            ports, self._server.locks, _checked_lock(lock_id), self._nodes(nodes), retries
        )

    async def del_lock(
        self, lock_id: tuple[Any, Any], nodes: Iterable[Atom | str] | None = None
    ) -> None:
        """Delete a lock that the current process holds; not an error if it does not."""
        ports = ProcessPorts(self._acting())
        await del_lock(ports, _checked_lock(lock_id), self._nodes(nodes))

    async def trans(
        self,
        lock_id: tuple[Any, Any],
        function: Callable[[], Any],
        nodes: Iterable[Atom | str] | None = None,
        retries: int | None = None,
    ) -> Any:
        """Call ``function()`` under a lock and return its result, ``atom.aborted`` without it.

        ``function`` may be async.  The lock is deleted whatever happens in it.  Arguments are
        those of :meth:`set_lock`.
        """
        ports, wanted = ProcessPorts(self._acting()), self._nodes(nodes)
        checked = _checked_lock(lock_id)
        try:
            locked = await set_lock(ports, self._server.locks, checked, wanted, retries)
        except BaseException:
            await del_lock(ports, checked, wanted)
            raise
        if not locked:
            return atom.aborted
        try:
            result = function()
            return await result if inspect.isawaitable(result) else result
        finally:
            await del_lock(ports, checked, wanted)

    # ------------------------------------------------------------------ nodes

    async def sync(self, nodes: Iterable[Atom | str] | None = None) -> None:
        """Wait until this node shares its names with ``nodes``, or they are gone.

        None: all visible nodes it is connected to; nobody, where this node is outside the mesh
        (``connect_all`` false).  As in OTP, a visible node that is outside is waited for until it
        is gone: among such ones, say which nodes are meant.
        """
        if nodes is None and not self._processes.server.connect_all:
            nodes = []
        wanted = self._nodes(nodes)
        await gen.call(self._acting(), self._processes.process.pid, (atom.sync, wanted), None)

    async def disconnect(self) -> list[Atom]:
        """Leave the cluster: close all visible connections at once, and return their nodes."""
        pid = self._processes.process.pid
        nodes: list[Atom] = await gen.call(self._acting(), pid, atom.disconnect, None)
        return nodes

    def _nodes(self, nodes: Iterable[Atom | str] | None) -> list[Atom]:
        if nodes is None:
            visible = [peer.name for peer in self._net.peers() if not peer.hidden]
            return [self._runtime.node_name, *visible]
        wanted = [Atom(node) if isinstance(node, str) else node for node in nodes]
        return list(dict.fromkeys(wanted))

    def _acting(self) -> Process:
        return acting(self._runtime)

    async def _ask_registrar(self, request: tuple[Any, ...]) -> Any:
        return await gen.call(self._acting(), self._processes.registrar.pid, request, None)


def _checked_lock(lock_id: Any) -> tuple[Any, Any]:
    if not isinstance(lock_id, tuple) or len(lock_id) != 2:
        raise TypeError(f"a lock is (resource, requester), not {lock_id!r}")
    resource, requester = lock_id
    return checked_name(resource, "lock's resource"), checked_name(requester, "lock's requester")
