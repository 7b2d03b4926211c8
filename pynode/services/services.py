"""All services of a node, in one object that the node starts and stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynode.errors import NodeDown
from pynode.policy import Action
from pynode.terms import Atom, Pid

from .erpc import Erpc
from .functions import built_in_functions
from .global_ import Global
from .global_.processes import GlobalProcesses
from .global_.resolve import Methods
from .global_.server import NameServer
from .io.api import Io
from .io.user import StandardError, User
from .logger_proxy import LoggerProxy
from .net_adm import NetAdm
from .net_kernel import NetKernel
from .pg import Pg
from .rex import Rex
from .rpc import Rpc
from .shell import Shell

if TYPE_CHECKING:
    from pynode.config import NodeConfig
    from pynode.net.net import Net
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Services"]


class Services:
    """The processes that every node has, and the namespaces that use them.

    Start it when runtime and net know each other, and before the first connection.
    """

    global_: Global
    net_adm: NetAdm
    net_kernel: NetKernel
    shell: Shell
    user: User

    def __init__(self, runtime: Runtime, net: Net, config: NodeConfig) -> None:
        self._runtime = runtime
        self._net = net
        self._config = config
        self.erpc = Erpc(runtime)
        self.rpc = Rpc(runtime, self.erpc)
        self.pg = Pg(runtime, net)
        self.io = Io(runtime, public=True)
        self._global_processes: GlobalProcesses | None = None

    def start(self) -> None:
        """Start the processes."""
        runtime = self._runtime
        self.user = User(runtime, erpc=self.erpc)
        StandardError(runtime, erpc=self.erpc)
        runtime.default_group_leader = self.user.process.pid
        LoggerProxy(runtime)
        self.net_kernel = NetKernel(runtime, self._net, self._config)
        self.net_adm = NetAdm(self._net, self._config, self.net_kernel)
        Rex(runtime)
        methods = Methods(self._permitted)
        processes = GlobalProcesses(runtime, self._net, self._config, self._resolve_there)
        self._global_processes = processes
        self.global_ = Global(runtime, self._net, processes, methods, self.erpc)
        runtime.via["global"] = self.global_
        functions = built_in_functions(runtime, self.net_kernel, self.global_, methods)
        for (module, function, arity), found in functions.items():
            runtime.resolver.build_in(module, function, arity, found)
        self.shell = Shell(runtime)
        if self._config.start_pg:
            self.pg.start()
        # These outlive the program's processes when the node stops.
        runtime.system.update(runtime.processes())

    def _permitted(self, module: Any, function: Any, arity: int) -> Any:
        """Return a function that others may name as a method of resolving, None where none is."""
        found = self._runtime.resolver.resolve(module, function, arity)
        asked = (module, function, arity)
        if found is None or not self._runtime.inbound.allowed_to_all(Action.SPAWN, asked):
            return None
        return found

    def introspect(self) -> None:
        """Let BEAM tools look into this node; see :mod:`pynode.services.introspection`."""
        from .introspection import introspect

        introspect(self._runtime, self._net)

    async def stop(self) -> None:
        """Prepare to leave: report no lost connection from here on.

        The node then ends the processes and closes all connections at once.
        """
        if self._global_processes is not None:
            self._global_processes.server.prepare_shutdown()

    def renamed(self) -> None:
        """The node goes by another name now."""
        if self._global_processes is not None:
            self._global_processes.renamed()

    @property
    def name_server(self) -> NameServer:
        """What ``global`` knows: known nodes, names, locks.  To look at, not to change."""
        if self._global_processes is None:
            raise NodeDown("the services are not started")
        return self._global_processes.server

    async def ping(self, node: Atom | str) -> bool:
        """Return whether ``node`` answers (``net_adm:ping/1``)."""
        return await self.net_kernel.ping(node)

    async def _resolve_there(
        self, process: Process, node: Atom, method: Any, name: Any, theirs: Pid, ours: Pid
    ) -> Any:
        """``rpc:call(Node, global, resolve_it, [Method, Name, TheirPid, OurPid])``."""
        arguments = [method, name, theirs, ours]
        return await self.rpc.call_as(process, node, "global", "resolve_it", arguments)
