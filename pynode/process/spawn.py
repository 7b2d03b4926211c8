"""Spawning across nodes: SPAWN_REQUEST and SPAWN_REPLY, both ways.

A request of a peer makes a process that runs what the :class:`~pynode.process.resolver.Resolver`
knows (:mod:`pynode.process.spawned`).  A process is made for an unknown function too, as in OTP,
and ends at once with ``{undef, [{M, F, Args, []}]}``.  Link and monitor are made before the reply
goes out, and the process runs in a later turn, so the peer sees the reply, then EXIT, then DOWN.

Policy is asked about the function that the request names, and where that is ``apply``,
``proc_lib``'s or ``erpc``'s beginning, about the one that it is to run as well.

Source: "Distribution Protocol", ``SPAWN_REQUEST``; ``erlang:spawn_request/5``.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from pynode.dist import control as c
from pynode.dist.flags import Flag
from pynode.errors import CallExit, FrameError, NoConnection
from pynode.policy import Action
from pynode.process.calls import CallSlot
from pynode.process.monitors import Monitor
from pynode.process.record_limit import RecordLimit
from pynode.process.spawn_options import LINKED, MONITORED, SpawnOptions, wanted
from pynode.process.spawned import Spawned, Target, asked_of, meant_by
from pynode.process.task import Waiter
from pynode.process.words import (
    BADOPT,
    ERROR,
    NOCONNECTION,
    NOTSUP,
    OK,
    SYSTEM_LIMIT,
)
from pynode.terms import Atom, Pid, Reference, copy_term

if TYPE_CHECKING:
    from pynode.dist.seam import Payload, Peer
    from pynode.process.body import Body, CoroutineFunction
    from pynode.process.nodes import RemoteNode
    from pynode.process.process import Process
    from pynode.process.resolver import Exposed
    from pynode.process.runtime import Runtime

__all__ = ["ASKER", "PendingSpawn", "Spawning"]

#: In a process that was spawned by a request: the process whose request it was.
ASKER: Final[ContextVar[Pid]] = ContextVar("pynode_spawned_by")

_log = logging.getLogger("pynode.process")

_SPAWN_FLAG: Final = int(Flag.SPAWN)
_ABANDONED: Final = Atom("abandoned")
_ANCESTORS: Final = Atom("$ancestors")
_INITIAL_CALL: Final = Atom("$initial_call")


class PendingSpawn:
    """A request of ours without an answer."""

    __slots__ = (
        "abandoned",
        "cause",
        "options",
        "outcome",
        "process",
        "ref",
        "silent",
        "slot",
        "waiter",
    )

    def __init__(self, process: Process, ref: Reference, options: SpawnOptions) -> None:
        self.process = process
        self.ref = ref
        self.options = options
        #: No message: someone waits.
        self.silent = False
        self.waiter: Waiter | None = None
        self.slot: CallSlot | None = None
        self.abandoned = False
        #: The pid, or the atom that says what went wrong.
        self.outcome: Any = None
        #: Why there was no connection, where that is known.
        self.cause: Exception | None = None

    def decide(self, outcome: Any) -> None:
        """Tell the outcome to whoever wants to know."""
        self.outcome = outcome
        failed = type(outcome) is not Pid
        runtime = self.process.runtime
        self.cause = runtime.down_cause
        if failed and self.options.alias is not None:
            runtime.drop_alias(self.ref)
        if self.slot is not None:
            if failed:
                self.slot.refused(outcome)
        elif self.silent:
            if self.waiter is not None:
                self.waiter.wake()
        elif not self.abandoned and self.options.reply in _TOLD[failed]:
            word = ERROR if failed else OK
            runtime.tell(self.process, (self.options.reply_tag, self.ref, word, outcome))


#: By whether it failed: the values of the option ``reply`` with which the outcome is told.
_TOLD: Final = {True: ("yes", "error_only"), False: ("yes", "success_only")}


class Spawning:
    """Spawn requests of peers, and to peers."""

    __slots__ = ("_runtime", "count", "records")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        #: For the records of what peers have asked for and what failed.
        self.records = RecordLimit()
        #: Live processes that peers have asked for.
        self.count = 0

    # ------------------------------------------------------------------ requests of peers

    def on_request(self, peer: Peer, message: c.SpawnRequest, payload: Payload | None) -> None:
        """SPAWN_REQUEST."""
        runtime = self._runtime
        if message.from_.node != peer.name or message.request.node != peer.name:
            raise FrameError(f"a spawn request of {message.from_!r} comes over {peer.name}")
        options = wanted(message.options)
        if options is None:
            self._reply(runtime.main.pid, message, 0, BADOPT)
            return
        module, function, arity = message.mfa
        if not runtime.inbound.allowed(peer, Action.SPAWN, (module, function, arity)):
            self._reply(runtime.main.pid, message, 0, NOTSUP)
            return
        if self.count >= runtime.limits.spawned_processes:
            self._reply(runtime.main.pid, message, 0, SYSTEM_LIMIT)
            return
        target = meant_by(Target(module, function, runtime.inbound.term(payload)))
        asked = asked_of(target)
        if asked not in (None, (module, function, arity)) and not runtime.inbound.allowed(
            peer, Action.SPAWN, asked
        ):
            self._reply(runtime.main.pid, message, 0, NOTSUP)
            return
        process = self._start(target, message.group_leader, message.from_)
        self.count += 1
        process.extra.on_death["spawned"] = self._ended
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

    def _ended(self, process: Process) -> None:
        self.count -= 1

    def _reply(self, sender: Pid, message: c.SpawnRequest, flags: int, result: Pid | Atom) -> None:
        reply = c.SpawnReply(message.request, message.from_, flags, result)
        self._runtime.router.force(sender, message.from_.node, reply)

    def _start(self, target: Target, group_leader: Pid, parent: Pid) -> Process:
        runtime = self._runtime
        exposed = None
        if target.reason is None:
            exposed = runtime.resolver.entry(target.module, target.function, target.arity)
        body = _body_of(target, exposed, parent)
        # Nothing of the context in which the network happens to run; a copy, for the runtime's own
        # is entered already when this comes from a process of this node.
        context = runtime.context.copy()
        context.run(ASKER.set, parent)
        process = context.run(runtime.spawn, body, group_leader=group_leader)
        if target.ancestors is not None:
            process.dictionary[_ANCESTORS] = target.ancestors
            if type(body) is Spawned:  # a server has its own
                called = target.module, target.function, target.arity
                process.dictionary[_INITIAL_CALL] = called
        if type(body) is not Spawned and exposed is not None:
            process.text = getattr(exposed.function, "_text", False)
        return process

    # ------------------------------------------------------------------ requests of ours

    def request(
        self,
        pending: PendingSpawn,
        node: Atom,
        module: Atom,
        function: Atom,
        args: list[Any],
    ) -> None:
        """Send a request; its outcome goes to ``pending``."""
        runtime = self._runtime
        process, wire = pending.process, pending.options.wire
        if pending.options.bad:
            pending.decide(BADOPT)
            return
        if node == runtime.node_name:
            self._request_here(pending, meant_by(Target(module, function, copy_term(args))))
            return
        flags = runtime.router.agreed_flags(node)
        if flags and not flags & _SPAWN_FLAG:
            pending.decide(NOTSUP)
            return
        message = c.SpawnRequest(
            pending.ref, process.pid, process.group_leader, (module, function, len(args)), wire
        )
        runtime.router.send(process, node, message, args)
        self._prepare(pending)
        runtime.nodes.remote(node).spawns[pending.ref] = pending

    def _prepare(self, pending: PendingSpawn) -> None:
        """Make the alias that goes with the monitor: it is there before the process."""
        if pending.options.alias is not None:
            self._runtime.add_alias(pending.process, pending.ref, pending.options.alias)

    def _request_here(self, pending: PendingSpawn, target: Target) -> None:
        """A request to one's own node goes the same way, without the wire."""
        if wanted(copy_term(pending.options.wire)) is None:
            pending.decide(BADOPT)
            return
        self._prepare(pending)
        spawned = self._start(target, pending.process.group_leader, pending.process.pid)
        self.attach(pending, spawned)
        pending.decide(spawned.pid)

    def attach(self, pending: PendingSpawn, spawned: Process) -> None:
        """Link and monitor a process of this node as ``pending`` wants it."""
        runtime = self._runtime
        if pending.options.link:
            runtime.links.join(pending.process, spawned)
        if pending.options.monitor:
            runtime.monitors.add(self._monitor_of(pending, spawned.pid))

    def _monitor_of(self, pending: PendingSpawn, pid: Pid) -> Monitor:
        monitor: Monitor
        if pending.slot is None:
            monitor = Monitor(pending.process, pending.ref, pid, pending.options.tag)
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
        if message.flags & LINKED and pending.options.link:
            runtime.links.add_remote(process, pid)
        if message.flags & MONITORED and pending.options.monitor:
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
        runtime = self._runtime
        runtime.router.hurry()
        try:
            while pending.outcome is None:
                pending.waiter = Waiter(runtime.scheduler)
                await pending.waiter
        except BaseException:
            self.abandon(pending.process, pending.ref)
            raise
        outcome = pending.outcome
        if type(outcome) is Pid:
            return outcome
        if outcome == NOCONNECTION:
            raise NoConnection(outcome) from pending.cause
        raise CallExit(outcome)

    def crasher(self, pending: PendingSpawn, reason: Any, where: str) -> Pid:
        """Stand in for a process that could not be spawned, as OTP does: it ends with ``reason``.

        Linked and monitored as the other would have been.
        """
        runtime = self._runtime
        _log.warning("cannot spawn %s: %s", where, reason)

        async def crash(process: Process) -> None:
            runtime.deaths.end(process, reason)

        process = runtime.spawn(crash)
        self._prepare(pending)
        self.attach(pending, process)
        return process.pid


def _body_of(target: Target, exposed: Exposed | None, parent: Pid) -> CoroutineFunction | Body:
    """Return what the process is to run: the function, or the server of an exposed class.

    A server that is spawned by proc_lib tells the one that spawned it when it has begun, as one
    does that is started by ``proc_lib:start_link``: ``{ack, Pid, {ok, Pid} | {error, Reason}}``.
    """
    make_body = None if exposed is None else getattr(exposed.function, "_make_body", None)
    if make_body is None:
        return Spawned(target, exposed)
    body: Any = make_body(tuple(target.args), {})
    body.parent = parent
    if target.ancestors is not None:
        body.ack_to = parent
    return body  # type: ignore[no-any-return]
