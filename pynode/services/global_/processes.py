"""The processes of global on a running node, around the parts that do not know one.

``global_name_server`` feeds the state machine of :mod:`.server` from its mailbox; the locker and
the registrar run their coroutines; short-lived processes connect, greet and resolve.  All are
real processes: other nodes monitor those that hold locks, and must hear of their end.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours import gen
from pynode.errors import ConnectError, NodeDown, PeerBusy, PynodeError
from pynode.shown import shown
from pynode.terms import Atom, Pid, Reference, atom

from .dispatch import handle_message
from .locker import Locker
from .ports import NO_MESSAGE, Caller
from .registrar import Registrar
from .resolve import Unanswered, exchange_names
from .server import NameServer
from .wire import Named

if TYPE_CHECKING:
    from pynode.config import NodeConfig
    from pynode.net.net import Net
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["SERVER_NAME", "GlobalProcesses", "ProcessPorts"]

logger = logging.getLogger("pynode.global")

#: What every node registers its name server as.
SERVER_NAME: Final = atom.global_name_server
_GEN_CALL: Final = atom("$gen_call")
_GEN_CAST: Final = atom("$gen_cast")
_EXIT: Final = atom("EXIT")
_SHUTDOWN: Final = atom.shutdown
_NODEUP: Final = atom.nodeup
_NODEDOWN: Final = atom.nodedown

#: ``ask(process, node, method, name, theirs, ours)``: have ``node`` resolve a conflict; raises a
#: :class:`PynodeError` where it cannot answer.
AskNode = Callable[["Process", Atom, Any, Any, Pid, Pid], Coroutine[Any, Any, Any]]


class ProcessPorts:
    """:class:`.ports.Ports` over a process."""

    __slots__ = ("_process",)

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def node(self) -> Atom:
        """This node."""
        return self._process.runtime.node_name

    @property
    def pid(self) -> Pid:
        """The process."""
        return self._process.pid

    async def multi_call(self, nodes: Iterable[Atom], request: Any) -> list[tuple[Atom, Any]]:
        """Call the name servers of ``nodes``."""
        replies, _ = await gen.multi_call(self._process, nodes, SERVER_NAME, request, None)
        return replies

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def receive(
        self, match: Callable[[Any], bool] | None = None, timeout: float | None = None
    ) -> Any:
        """Take a message, or :data:`NO_MESSAGE` after ``timeout`` seconds."""
        try:
            return await self._process.receive(match, timeout=timeout)
        except TimeoutError:
            return NO_MESSAGE

    def cast(self, node: Atom, message: Any) -> None:
        """Cast to the name server of ``node``."""
        _send(self._process, node, (_GEN_CAST, message))

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: S311  (spreads retries, guards nothing)


def _send(process: Process, node: Atom, message: Any) -> None:
    try:
        process.runtime.send(process, (SERVER_NAME, node), message)
    except PeerBusy as error:
        # That node has not read for a gigabyte; its ticks will end the connection.
        logger.warning("global: a message to %s is lost: %s", node, error)


class GlobalProcesses:
    """Starts the processes, and is the :class:`.ports.ServerHost` and the body of the server."""

    def __init__(self, runtime: Runtime, net: Net, config: NodeConfig, ask: AskNode) -> None:
        self.runtime = runtime
        self._net = net
        self._ask = ask
        self._resolvers: dict[Atom, Process] = {}
        self.server = NameServer(
            self,
            runtime.node_name,
            connect_all=config.connect_all,
            prevent_overlapping_partitions=config.prevent_overlapping_partitions,
            tag_base=random.getrandbits(40),
            creation_id=(random.getrandbits(27) << 32) + runtime.creation,
        )
        self.process = runtime.spawn(self, name=SERVER_NAME.name, trap_exit=True)
        self._start_locker()
        self._start_registrar()

    def renamed(self) -> None:
        """The node goes by another name (it is hidden, and nobody else has been told of it)."""
        self.server.node = self.runtime.node_name

    # ------------------------------------------------------------------ the name server's body

    def start(self, process: Process) -> None:
        """Body: watch the visible nodes.

        A connection that is up already has been announced to nobody, so its nodeup is made here.
        """
        self.runtime.monitor_nodes(process, True)
        for peer in self._net.peers():
            if not peer.hidden:
                self.server.nodeup(peer.name)

    def message(self, process: Process, message: Any) -> None:
        """Body: one message.

        What a peer sends must not end this process, which holds the locks and names of its node.
        """
        try:
            match message:
                case (tag, Atom() as node) if tag == _NODEUP:
                    self.server.nodeup(node)
                case (tag, Atom() as node) if tag == _NODEDOWN:
                    self.server.nodedown(node)
                case (tag, Pid() as pid, reason) if tag == _EXIT:
                    self._helper_ended(pid, reason)
                case (atom.prepare_shutdown, Pid() as sender, ref):
                    self.server.prepare_shutdown()
                    self.runtime.send(process, sender, (ref, atom.ok))
                case _:
                    handle_message(self.server, message)
        except Exception:
            logger.exception("global_name_server: could not handle %r", shown(message))

    def terminated(self, process: Process, reason: Any) -> None:
        """Body: OTP's whole node would go down now."""
        if reason != _SHUTDOWN:
            logger.critical(
                "global_name_server was ended: %r; this node has no global", shown(reason)
            )

    # ------------------------------------------------------------------ locker, registrar

    def _start_locker(self) -> None:
        self._locker = self.runtime.spawn(self._run_locker, link_to=self.process.pid)
        self.runtime.system.add(self._locker)
        self.server.locker = self._locker.pid

    def _start_registrar(self) -> None:
        #: Takes gen calls, see :meth:`_run_registrar`.
        self.registrar = self.runtime.spawn(self._run_registrar, link_to=self.process.pid)
        self.runtime.system.add(self.registrar)

    def _helper_ended(self, pid: Pid, reason: Any) -> None:
        """Replace the locker or the registrar, should somebody have killed it.

        Its locks are free as soon as the name servers have its DOWN.
        """
        if reason == _SHUTDOWN or pid.node != self.runtime.node_name:
            return
        if pid == self._locker.pid and not self._locker.alive:
            logger.error("global: the locker was ended: %r", shown(reason))
            self.runtime.system.discard(self._locker)
            self._start_locker()
            self.server.restart_all()
        elif pid == self.registrar.pid and not self.registrar.alive:
            logger.error("global: the registrar was ended: %r", shown(reason))
            self.runtime.system.discard(self.registrar)
            self._start_registrar()

    async def _run_locker(self, process: Process) -> None:
        process.trap_exit = True
        server = self.server
        ports = ProcessPorts(process)
        await Locker(ports, server.locks, server.lock_is_set, server.known).run()

    async def _run_registrar(self, process: Process) -> None:
        """Answer ``{register | re_register, Name, Pid, Method}`` and ``{unregister, Name}``."""
        process.trap_exit = True
        registrar = Registrar(ProcessPorts(process), self.server)
        async for message in process:
            match message:
                case (tag, (Pid(), _) as caller, request) if tag == _GEN_CALL:
                    pass
                case _:
                    continue
            match request:
                case (atom.register, name, Pid() as pid, method):
                    answer: Any = await registrar.register(name, pid, method)
                case (atom.re_register, name, Pid() as pid, method):
                    answer = await registrar.re_register(name, pid, method)
                case (atom.unregister, name):
                    answer = await registrar.unregister(name)
                case _:
                    answer = (atom.error, atom.badarg)
            gen.reply(process, caller, answer)

    # ------------------------------------------------------------------ ServerHost

    def cast(self, node: Atom, message: Any) -> None:
        """ServerHost."""
        _send(self.process, node, (_GEN_CAST, message))

    def send(self, node: Atom, message: Any) -> None:
        """ServerHost."""
        if self._net.peer(node) is not None:
            _send(self.process, node, message)

    def to_locker(self, message: Any) -> None:
        """ServerHost."""
        self.runtime.send(self.process, self._locker.pid, message)

    def reply(self, caller: Caller, answer: Any) -> None:
        """ServerHost."""
        with suppress(PeerBusy):  # it has not read for a gigabyte
            gen.reply(self.process, caller, answer)

    def monitor(self, pid: Pid) -> Reference:
        """ServerHost."""
        return self.runtime.monitor(self.process, pid)

    def demonitor(self, ref: Reference) -> None:
        """ServerHost."""
        self.runtime.demonitor(self.process, ref, flush=True)

    def is_alive(self, pid: Pid) -> bool:
        """ServerHost."""
        return self.runtime.is_alive(pid)

    def disconnect(self, node: Atom) -> None:
        """ServerHost."""
        self._net.disconnect(node)

    def greet(self, node: Atom) -> None:
        """ServerHost."""

        async def connect_and_greet(process: Process) -> None:
            if await self._reach(node):
                _send(process, node, (_GEN_CAST, (atom.in_sync, self.runtime.node_name, True)))
            else:
                logger.warning("global at %s failed to connect to %s", self.runtime.node_name, node)
                self.server.extra_nodedown(node)

        self.runtime.spawn(connect_and_greet)

    def watch(self, node: Atom) -> None:
        """ServerHost."""

        async def connect(process: Process) -> None:
            if not await self._reach(node):
                self.server.sync_lost(node)

        self.runtime.spawn(connect)

    async def _reach(self, node: Atom) -> bool:
        try:
            await self._net.connect(node, automatic=True)
        except (ConnectError, NodeDown):
            return False
        return True

    def start_resolver(self, node: Atom, tag: int, names: list[Named]) -> None:
        """ServerHost."""
        self.stop_resolver(node)
        self._resolvers[node] = self.runtime.spawn(self._resolve, node, tag, names)

    async def _resolve(self, process: Process, node: Atom, tag: int, names: list[Named]) -> None:
        async def ask(where: Atom, method: Any, name: Any, theirs: Pid, ours: Pid) -> Any:
            try:
                return await self._ask(process, where, method, name, theirs, ours)
            except PynodeError as error:  # the session must go on, whatever it is
                raise Unanswered(error) from error

        found = await exchange_names(self.server.names, self.runtime.node_name, node, names, ask)
        if self._resolvers.get(node) is process:
            del self._resolvers[node]
        self.server.exchange_ops(node, tag, *found)

    def stop_resolver(self, node: Atom) -> None:
        """ServerHost."""
        process = self._resolvers.pop(node, None)
        if process is not None:
            self.runtime.exit(self.process, process.pid, atom.kill)

    def ask_again(self, name: Any, caller: Caller) -> None:
        """ServerHost."""

        async def later(process: Process) -> None:
            await ProcessPorts(process).sleep(4 * random.random())  # noqa: S311
            self.server.whereis_call(name, caller)

        self.runtime.spawn(later)
