"""Spawning across nodes: SPAWN_REQUEST and SPAWN_REPLY, both ways.

A request of a peer makes a process that runs what the :class:`~pynode.process.resolver.Resolver`
knows.  A process is made for an unknown function too, as in OTP, and ends at once with
``{undef, [{M, F, Args, []}]}``.  Link and monitor are made before the reply goes out, and the
process runs in a later turn, so the peer sees the reply, then EXIT, then DOWN.

``erlang:apply/2,3`` and ``proc_lib:init_p/5``, which ``spawn(Node, Fun)`` and
``proc_lib:spawn(Node, ...)`` ask for, are taken apart to the function they mean; policy is asked
about that one as well, and about the one that a call of ``erpc`` is to run.

Source: "Distribution Protocol", ``SPAWN_REQUEST``; ``erlang:spawn_request/5``.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.dist import control as c
from pynode.dist.flags import Flag
from pynode.errors import CallExit, Exit, FrameError, NoConnection
from pynode.policy import Action
from pynode.process.calls import CallSlot
from pynode.process.monitors import Monitor
from pynode.process.task import Waiter
from pynode.process.words import (
    BADOPT,
    ERROR,
    NOCONNECTION,
    NOTSUP,
    OK,
    SPAWN_REPLY,
    UNDEF,
)
from pynode.terms import Atom, ExportFun, Pid, Reference, copy_term

if TYPE_CHECKING:
    from pynode.dist.seam import Payload, Peer
    from pynode.process.nodes import RemoteNode
    from pynode.process.process import Process
    from pynode.process.resolver import Exposed
    from pynode.process.runtime import Runtime

__all__ = ["PendingSpawn", "Spawning", "meant"]

_LINK: Final = Atom("link")
_MONITOR: Final = Atom("monitor")
_PRIORITY: Final = Atom("priority")
_QUEUE_DATA: Final = Atom("message_queue_data")
_ASYNC_DIST: Final = Atom("async_dist")
_HEAP_SIZE: Final = Atom("max_heap_size")
_NUMBERS: Final = frozenset(
    Atom(name) for name in ("min_heap_size", "min_bin_vheap_size", "fullsweep_after")
)
_WORDS: Final = {
    _PRIORITY: frozenset(Atom(name) for name in ("low", "normal", "high", "max")),
    _QUEUE_DATA: frozenset((Atom("off_heap"), Atom("on_heap"))),
}
_SPAWN_FLAG: Final = int(Flag.SPAWN)
_ABANDONED: Final = Atom("abandoned")
_ANCESTORS: Final = Atom("$ancestors")
_BADFUN: Final = Atom("badfun")
_APPLY: Final = (Atom("erlang"), Atom("apply"))
_INIT_P: Final = (Atom("proc_lib"), Atom("init_p"))

LINKED: Final = 1
MONITORED: Final = 2


class Target(NamedTuple):
    """What a request means, once ``apply`` and ``init_p`` are taken apart."""

    module: Any
    function: Any
    args: Any
    ancestors: Any = None


class PendingSpawn:
    """A request of ours without an answer."""

    __slots__ = (
        "abandoned",
        "link",
        "monitor",
        "outcome",
        "process",
        "ref",
        "silent",
        "slot",
        "tag",
        "waiter",
    )

    def __init__(self, process: Process, ref: Reference, *, link: bool, monitor: bool) -> None:
        self.process = process
        self.ref = ref
        self.link = link
        self.monitor = monitor
        #: What stands first in the message that tells the outcome; unless someone waits.
        self.tag: Any = SPAWN_REPLY
        #: No message: someone waits.
        self.silent = False
        self.waiter: Waiter | None = None
        self.slot: CallSlot | None = None
        self.abandoned = False
        #: The pid, or the atom that says what went wrong.
        self.outcome: Any = None

    def decide(self, outcome: Any) -> None:
        """Tell the outcome to whoever wants to know."""
        self.outcome = outcome
        failed = type(outcome) is not Pid
        if self.slot is not None:
            if failed:
                self.slot.refused(outcome)
        elif self.silent:
            if self.waiter is not None:
                self.waiter.wake()
        elif not self.abandoned:
            word = ERROR if failed else OK
            self.process.runtime.tell(self.process, (self.tag, self.ref, word, outcome))


class Spawning:
    """Spawn requests of peers, and to peers."""

    __slots__ = ("_runtime",)

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    # ------------------------------------------------------------------ requests of peers

    def on_request(self, peer: Peer, message: c.SpawnRequest, payload: Payload | None) -> None:
        """SPAWN_REQUEST."""
        runtime = self._runtime
        if message.from_.node != peer.name or message.request.node != peer.name:
            raise FrameError(f"a spawn request of {message.from_!r} comes over {peer.name}")
        options = _parse_options(message.options)
        if options is None:
            self._reply(runtime.main.pid, message, 0, BADOPT)
            return
        module, function, arity = message.mfa
        if not runtime.inbound.allowed(peer, Action.SPAWN, (module, function, arity)):
            self._reply(runtime.main.pid, message, 0, NOTSUP)
            return
        args = runtime.inbound.term(payload)
        if type(args) is not list or len(args) != arity:
            raise FrameError("the arguments of a spawn request are no list of its arity")
        target = _unwrap(Target(module, function, args))
        asked = meant(*target[:3])
        if asked != (module, function, arity) and not runtime.inbound.allowed(
            peer, Action.SPAWN, asked
        ):
            self._reply(runtime.main.pid, message, 0, NOTSUP)
            return
        process = self._start(target, message.group_leader)
        flags = 0
        if options & LINKED:
            runtime.links.add_remote(process, message.from_)
            flags |= LINKED
        if options & MONITORED:
            remote = runtime.nodes.remote(peer.name)
            runtime.monitors.add_watcher(
                remote, message.from_, process, message.request, process.pid
            )
            flags |= MONITORED
        self._reply(process.pid, message, flags, process.pid)

    def _reply(self, sender: Pid, message: c.SpawnRequest, flags: int, result: Pid | Atom) -> None:
        reply = c.SpawnReply(message.request, message.from_, flags, result)
        self._runtime.router.force(sender, message.from_.node, reply)

    def _start(self, target: Target, group_leader: Pid) -> Process:
        runtime = self._runtime
        exposed = runtime.resolver.entry(target.module, target.function, _length(target.args))
        # Nothing of the context in which the network happens to run; a copy, for the runtime's own
        # is entered already when this comes from a process of this node.
        process = runtime.context.copy().run(
            runtime.spawn, _run, target, exposed, group_leader=group_leader
        )
        if target.ancestors is not None:
            process.dictionary[_ANCESTORS] = target.ancestors
        return process

    # ------------------------------------------------------------------ requests of ours

    def request(
        self,
        pending: PendingSpawn,
        node: Atom,
        module: Atom,
        function: Atom,
        args: list[Any],
        options: list[Any],
    ) -> None:
        """Send a request; its outcome goes to ``pending``."""
        runtime = self._runtime
        process = pending.process
        wire = list(options)
        if pending.link:
            wire.insert(0, _LINK)
        if pending.monitor:
            wire.insert(0, _MONITOR)
        if node == runtime.node_name:
            self._request_here(pending, _unwrap(Target(module, function, copy_term(args))), wire)
            return
        flags = runtime.router.agreed_flags(node)
        if flags and not flags & _SPAWN_FLAG:
            pending.decide(NOTSUP)
            return
        message = c.SpawnRequest(
            pending.ref, process.pid, process.group_leader, (module, function, len(args)), wire
        )
        runtime.router.send(process, node, message, args)
        runtime.nodes.remote(node).spawns[pending.ref] = pending

    def _request_here(self, pending: PendingSpawn, target: Target, options: list[Any]) -> None:
        """A request to one's own node goes the same way, without the wire."""
        if _parse_options(options) is None:
            pending.decide(BADOPT)
            return
        runtime = self._runtime
        spawned = self._start(target, pending.process.group_leader)
        if pending.link:
            runtime.links.join(pending.process, spawned)
        if pending.monitor:
            runtime.monitors.add(self._monitor_of(pending, spawned.pid))
        pending.decide(spawned.pid)

    def _monitor_of(self, pending: PendingSpawn, pid: Pid) -> Monitor:
        monitor: Monitor
        if pending.slot is None:
            monitor = Monitor(pending.process, pending.ref, pid)
        else:
            monitor = pending.slot
            monitor.target = pid
        return monitor

    def on_reply(self, peer: Peer, message: c.SpawnReply) -> None:
        """SPAWN_REPLY."""
        runtime = self._runtime
        remote = runtime.nodes.remote(peer.name)
        pending = remote.spawns.pop(message.request, None)
        pid = message.result
        if pending is None:
            return  # a reply to nothing: to an earlier connection, or made up
        if type(pid) is not Pid:
            pending.decide(pid)
            return
        if pid.node != peer.name:
            raise FrameError(f"{peer.name} answers a spawn request with {pid!r}")
        process = pending.process
        given_up = pending.abandoned or (pending.slot is not None and pending.slot.done)
        if not process.alive or given_up:
            self._disown(pending, message.flags, pid)
            return
        if message.flags & LINKED and pending.link:
            runtime.links.add_remote(process, pid)
        if message.flags & MONITORED and pending.monitor:
            monitor = self._monitor_of(pending, pid)
            if process.monitors is None:
                process.monitors = {}
            process.monitors[pending.ref] = monitor
            remote.monitors[pending.ref] = monitor
        pending.decide(pid)

    def _disown(self, pending: PendingSpawn, flags: int, pid: Pid) -> None:
        """The one that asked is gone, or does not want the process any more."""
        router = self._runtime.router
        me = pending.process.pid
        if flags & MONITORED:
            router.force(me, pid.node, c.Demonitor(me, pid, pending.ref))
        if flags & LINKED:
            reason = _ABANDONED if pending.process.alive else pending.process.exit_reason
            router.force(me, pid.node, c.Exit(me, pid, c.IN_PAYLOAD), reason)

    def abandon(self, process: Process, ref: Reference) -> bool:
        """Give up a request without an answer; see :meth:`Runtime.spawn_request_abandon`."""
        for remote in self._runtime.nodes.all():
            pending = remote.spawns.get(ref)
            if pending is not None and pending.process is process and not pending.abandoned:
                pending.abandoned = True
                return True
        return False

    def peer_up(self, remote: RemoteNode, peer: Peer) -> None:
        """A peer that cannot spawn never answers: what was asked of it fails now."""
        if not peer.flags & _SPAWN_FLAG:
            self._fail_all(remote, NOTSUP)

    def node_down(self, remote: RemoteNode) -> None:
        """The connection is lost, and every answer with it."""
        self._fail_all(remote, NOCONNECTION)

    def _fail_all(self, remote: RemoteNode, reason: Atom) -> None:
        waiting = list(remote.spawns.values())
        remote.spawns.clear()
        for pending in waiting:
            pending.decide(reason)

    async def wait(self, pending: PendingSpawn) -> Pid:
        """Return the pid of a request; see :meth:`Runtime.spawn_remote`."""
        loop = self._runtime.loop
        try:
            while pending.outcome is None:
                pending.waiter = Waiter(loop)
                await pending.waiter
        except BaseException:
            self.abandon(pending.process, pending.ref)
            raise
        outcome = pending.outcome
        if type(outcome) is Pid:
            return outcome
        raise NoConnection(outcome) if outcome == NOCONNECTION else CallExit(outcome)


async def _run(process: Process, target: Target, exposed: Exposed | None) -> None:
    """The body of a process that another node has asked for."""
    module, function, args, _ = target
    if exposed is None:
        if type(module) is _NoFunction:
            raise Exit(((_BADFUN, function), []))
        raise Exit((UNDEF, [(module, function, args, [])]))
    if exposed.blocking:
        await process.run_blocking(exposed.function, *args)
        return
    result = exposed.function(*args)
    if inspect.isawaitable(result):
        await result


class _NoFunction:
    """Stands for the module where what is to be applied is no ``fun M:F/A``."""

    __slots__ = ()


def _unwrap(target: Target) -> Target:
    """Take ``apply`` and ``init_p`` apart."""
    while True:
        module, function, args, ancestors = target
        if type(args) is not list or type(module) is not Atom:
            return target
        called = module, function
        if called == _APPLY and len(args) == 3:
            target = Target(args[0], args[1], args[2], ancestors)
        elif called == _APPLY and len(args) == 2:
            fun = args[0]
            if type(fun) is not ExportFun:
                return Target(_NoFunction(), fun, args[1], ancestors)
            target = Target(fun.module, fun.function, args[1], ancestors)
        elif called == _INIT_P and len(args) == 5:
            before = args[1] if type(args[1]) is list else []
            target = Target(args[2], args[3], args[4], [args[0], *before])
        else:
            return target


#: erpc's entry: where in its arguments the module that it is to call stands.
_ENTRIES: Final = {
    (Atom("erpc"), Atom("execute_call"), 4): 1,
    (Atom("erpc"), Atom("execute_cast"), 3): 0,
}


def meant(module: Any, function: Any, args: Any) -> tuple[Any, Any, int]:
    """Return what policy is asked about: of a call of erpc, or of apply, the function it calls."""
    target = Target(module, function, args)
    while True:
        target = _unwrap(target)
        arity = _length(target.args)
        at = None
        if type(target.module) is Atom and type(target.function) is Atom:
            at = _ENTRIES.get((target.module, target.function, arity))
        if at is None:
            return target.module, target.function, arity
        target = Target(*target.args[at:])


def _length(args: Any) -> int:
    return len(args) if type(args) is list else -1


def _parse_options(options: list[Any]) -> int | None:
    """Return which of link and monitor are asked for, None where an option is unknown.

    What concerns a BEAM's heap and scheduler is accepted and means nothing here.
    """
    flags = 0
    for option in options:
        if option == _LINK:
            flags |= LINKED
        elif option == _MONITOR:
            flags |= MONITORED
        elif type(option) is not tuple or len(option) != 2 or type(option[0]) is not Atom:
            return None
        elif option[0] == _MONITOR and type(option[1]) is list:
            flags |= MONITORED
        elif option[0] == _LINK and type(option[1]) is list:
            flags |= LINKED
        elif not _is_harmless(*option):
            return None
    return flags


def _is_harmless(name: Atom, value: Any) -> bool:
    if name in _NUMBERS:
        return type(value) is int and value >= 0
    if name in _WORDS:
        return type(value) is Atom and value in _WORDS[name]
    if name == _ASYNC_DIST:
        return type(value) is bool
    return name == _HEAP_SIZE
