"""The way in: what each control message of a peer does.

For each message: the control message says what is asked, policy decides, the target is looked
up, and only then is the payload decoded, in the text mode of the process that gets it.  A
payload that nobody gets is not decoded at all.  What is raised here costs the connection:
:class:`pynode.errors.FrameError` and :class:`pynode.errors.DecodeError`, nothing else.

Source: "Distribution Protocol", "Protocol between Connected Nodes"; ``erts_net_message``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pynode.dist import control as c
from pynode.errors import FrameError
from pynode.etf import decode_payload
from pynode.policy import Action, Deny, default_policy
from pynode.process._choice import decode_view
from pynode.terms import Pid, Reference

if TYPE_CHECKING:
    from pynode.dist.seam import Payload, Peer
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Inbound"]

_log = logging.getLogger("pynode.process")

PRIORITY: Final = 1
TO_ALIAS: Final = 4
TO_NAME: Final = 8
EXIT_SIGNAL: Final = 16


class Inbound:
    """The control messages of all peers."""

    __slots__ = ("_runtime", "denied")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        #: How many signals policy has denied.
        self.denied = 0

    def control(self, peer: Peer, message: c.Control, payload: Payload | None) -> None:
        """Do what ``message`` says."""
        _HANDLERS[type(message)](self, peer, message, payload)

    # ------------------------------------------------------------------ helpers

    def allowed(self, peer: Peer, action: Action, target: Any) -> bool:
        """Ask policy; count and tell a denial.  A policy that fails denies."""
        policy = self._runtime.policy
        if policy is default_policy:
            return True
        try:
            decision = policy(peer, action, target)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # an Exit too
            _log.exception("the policy failed on %s of %s", action, peer)
            decision = Deny("the policy failed")
        if decision:
            return True
        self.denied += 1
        telemetry = self._runtime.telemetry
        if telemetry.hooks:
            telemetry.emit(
                "signal_denied",
                node=peer.name,
                action=action,
                target=target,
                rule=getattr(decision, "rule", ""),
            )
        return False

    def allowed_to_all(self, action: Action, target: Any) -> bool:
        """Ask policy on behalf of everybody who is connected, for what a message asks.

        A message does not tell which peer it came from, and the pid in it may be made up.
        """
        return all(
            self.allowed(peer, action, target) for peer in list(self._runtime.nodes.connected())
        )

    def term(self, payload: Payload | None, *, text: bool = False) -> Any:
        """Decode a payload."""
        if payload is None:
            raise FrameError("the signal has no payload")
        data, offset, atoms, hole = payload
        if type(data) is memoryview and decode_view is not None:
            return decode_view(data, offset, tuple(atoms), text, self._runtime.limits, hole)
        if hole is not None:
            data = payload.joined()
        return decode_payload(data, offset, atoms, text=text, limits=self._runtime.limits)[0]

    def _reason(self, reason: Any, payload: Payload | None, *, text: bool = False) -> Any:
        return self.term(payload, text=text) if reason is c.IN_PAYLOAD else reason

    # ------------------------------------------------------------------ messages

    def _send(self, peer: Peer, message: Any, payload: Payload | None) -> None:
        target = self._runtime.local(message.to)
        if target is not None and self.allowed(peer, Action.SEND, message.to):
            self._runtime.put(target, self.term(payload, text=target.text))

    def _reg_send(self, peer: Peer, message: c.RegSend, payload: Payload | None) -> None:
        target = self._runtime.names.find(message.name)
        if target is not None and self.allowed(peer, Action.SEND, message.name):
            self._runtime.put(target, self.term(payload, text=target.text))

    def _alias_send(self, peer: Peer, message: c.AliasSend, payload: Payload | None) -> None:
        self._to_alias(peer, message.alias, payload, urgent=False)

    def _to_alias(
        self, peer: Peer, ref: Reference, payload: Payload | None, *, urgent: bool
    ) -> None:
        alias = self._runtime.aliases.get(ref)
        if alias is not None and self.allowed(peer, Action.SEND, ref):
            alias.take(self.term(payload), urgent=urgent)

    def _altact_send(self, peer: Peer, message: c.AltactSend, payload: Payload | None) -> None:
        flags, to = message.flags, message.to
        if flags & EXIT_SIGNAL:
            self._altact_exit(peer, message, payload)
        elif flags & TO_ALIAS:
            if type(to) is not Reference:
                raise FrameError(f"an alias is a reference, not {type(to).__name__}")
            self._to_alias(peer, to, payload, urgent=bool(flags & PRIORITY))
        elif flags & TO_NAME:
            if type(to) is Pid or type(to) is Reference:
                raise FrameError(f"a name is an atom, not {type(to).__name__}")
            self._reg_send(peer, c.RegSend(message.from_, to), payload)
        elif type(to) is Pid:
            self._send(peer, c.SendSender(message.from_, to), payload)
        else:
            raise FrameError(f"a message goes to a pid, not to {type(to).__name__}")

    def _altact_exit(self, peer: Peer, message: c.AltactSend, payload: Payload | None) -> None:
        to, urgent = message.to, False
        target: Process | None
        if type(to) is Reference:
            alias = self._runtime.aliases.get(to)
            target = None if alias is None else alias.process
            urgent = alias is not None and alias.priority and bool(message.flags & PRIORITY)
        elif type(to) is Pid:
            target = self._runtime.local(to)
        else:
            target = self._runtime.names.find(to)
        self._exit_to(peer, target, message.from_, to, c.IN_PAYLOAD, payload, urgent=urgent)

    # ------------------------------------------------------------------ exits, links, monitors

    def _exit2(self, peer: Peer, message: c.Exit2, payload: Payload | None) -> None:
        target = self._runtime.local(message.to)
        self._exit_to(peer, target, message.from_, message.to, message.reason, payload)

    def _exit_to(
        self,
        peer: Peer,
        target: Process | None,
        sender: Pid,
        to: Any,
        reason: Any,
        payload: Payload | None,
        *,
        urgent: bool = False,
    ) -> None:
        if target is not None and self.allowed(peer, Action.EXIT, to):
            reason = self._reason(reason, payload)
            exit_signal = self._runtime.deaths.exit_signal
            exit_signal(target, sender, reason, by_link=False, urgent=urgent)

    def _exit(self, peer: Peer, message: c.Exit, payload: Payload | None) -> None:
        process = self._runtime.local(message.to)
        if process is None:
            return
        links = self._runtime.links
        if links.is_linked(process, message.from_):
            links.on_exit(process, message.from_, self._reason(message.reason, payload))
        else:
            links.on_exit(process, message.from_, None)  # ends an unlink that is under way

    def _link(self, peer: Peer, message: c.Link, payload: Payload | None) -> None:
        if self.allowed(peer, Action.LINK, message.to):
            self._runtime.links.on_link(message)
        else:
            self._runtime.links.refuse(message)

    def _unlink(self, peer: Peer, message: c.Unlink, payload: Payload | None) -> None:
        self._runtime.links.on_unlink(message)

    def _unlink_id(self, peer: Peer, message: c.UnlinkId, payload: Payload | None) -> None:
        self._runtime.links.on_unlink_id(message)

    def _unlink_id_ack(self, peer: Peer, message: c.UnlinkIdAck, payload: Payload | None) -> None:
        self._runtime.links.on_unlink_id_ack(message)

    def _monitor(self, peer: Peer, message: c.Monitor, payload: Payload | None) -> None:
        monitors = self._runtime.monitors
        if self.allowed(peer, Action.MONITOR, message.target):
            monitors.on_monitor(self._runtime.nodes.remote(peer.name), message)
        else:
            monitors.refuse(message)

    def _demonitor(self, peer: Peer, message: c.Demonitor, payload: Payload | None) -> None:
        remote = self._runtime.nodes.find(peer.name)
        if remote is not None:
            self._runtime.monitors.on_demonitor(remote, message)

    def _monitor_exit(self, peer: Peer, message: c.MonitorExit, payload: Payload | None) -> None:
        remote = self._runtime.nodes.find(peer.name)
        monitor = None if remote is None else remote.monitors.get(message.ref)
        if remote is None or monitor is None or monitor.process.pid != message.to:
            return
        reason = self._reason(message.reason, payload)
        self._runtime.monitors.on_monitor_exit(remote, message.ref, reason)

    # ------------------------------------------------------------------ the rest

    def _group_leader(self, peer: Peer, message: c.GroupLeader, payload: Payload | None) -> None:
        process = self._runtime.local(message.to)
        if process is not None and self.allowed(peer, Action.GROUP_LEADER, message.to):
            process.group_leader = message.leader

    def _spawn_request(self, peer: Peer, message: c.SpawnRequest, payload: Payload | None) -> None:
        self._runtime.spawning.on_request(peer, message, payload)

    def _spawn_reply(self, peer: Peer, message: c.SpawnReply, payload: Payload | None) -> None:
        self._runtime.spawning.on_reply(peer, message)

    def _nothing(self, peer: Peer, message: c.NodeLink, payload: Payload | None) -> None:
        """NODE_LINK means nothing any more."""


_HANDLERS: Final[dict[type[Any], Callable[..., None]]] = {
    c.AliasSend: Inbound._alias_send,
    c.AltactSend: Inbound._altact_send,
    c.Demonitor: Inbound._demonitor,
    c.Exit: Inbound._exit,
    c.Exit2: Inbound._exit2,
    c.GroupLeader: Inbound._group_leader,
    c.Link: Inbound._link,
    c.Monitor: Inbound._monitor,
    c.MonitorExit: Inbound._monitor_exit,
    c.NodeLink: Inbound._nothing,
    c.RegSend: Inbound._reg_send,
    c.Send: Inbound._send,
    c.SendSender: Inbound._send,
    c.SpawnReply: Inbound._spawn_reply,
    c.SpawnRequest: Inbound._spawn_request,
    c.Unlink: Inbound._unlink,
    c.UnlinkId: Inbound._unlink_id,
    c.UnlinkIdAck: Inbound._unlink_id_ack,
}
