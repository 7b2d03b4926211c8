"""Monitors by pid and by name, and the aliases that may come with them.

A local monitor is one object, in ``Process.monitors`` of the one that watches and in
``Process.watchers`` of the one that is watched.  A remote one is in the table of its node
besides, so that the loss of a connection finds it.

Source: ``erlang:monitor/3``, ``demonitor/2``, ``alias/1``; "Distribution Protocol".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pynode.dist import control as c
from pynode.dist.control import AnyAtom
from pynode.errors import FrameError
from pynode.process.words import DOWN, NOCONNECTION, NOPROC, PROCESS
from pynode.terms import Atom, Pid, Reference

if TYPE_CHECKING:
    from pynode.process.nodes import RemoteNode
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["ALIAS_MODES", "Alias", "Monitor", "Monitors", "RemoteWatcher", "Watcher"]

#: The values of monitor's option ``alias``.
ALIAS_MODES: Final = ("explicit_unalias", "demonitor", "reply_demonitor")


class Alias:
    """An active alias: what is sent to ``ref`` reaches ``process``."""

    __slots__ = ("mode", "priority", "process", "ref")

    def __init__(self, process: Process, ref: Reference, mode: str, *, priority: bool) -> None:
        self.process = process
        self.ref = ref
        #: One of :data:`ALIAS_MODES`, or "reply".
        self.mode = mode
        self.priority = priority

    def take(self, message: Any, *, urgent: bool = False) -> None:
        """Deliver ``message``, and end if the mode says so."""
        process = self.process
        runtime = process.runtime
        if self.mode == "reply":
            runtime.drop_alias(self.ref)
        elif self.mode == "reply_demonitor":
            runtime.drop_alias(self.ref)
            runtime.monitors.remove(process, self.ref)
        if urgent and self.priority:
            runtime.tell_urgent(process, message)
        else:
            runtime.tell(process, message)


class Monitor:
    """One monitor of a process of this node."""

    __slots__ = ("process", "ref", "target", "watched", "word")

    def __init__(self, process: Process, ref: Reference, target: Any, word: Any = DOWN) -> None:
        self.process = process
        self.ref = ref
        #: What it was made for, as DOWN names it: a pid, or ``(name, node)``.
        self.target = target
        #: The watched process, where it is one of this node.
        self.watched: Process | None = None
        #: What stands first in the message, DOWN unless the option `tag` says otherwise.
        self.word = word

    @property
    def watcher(self) -> Pid:
        """The pid of the one that watches."""
        return self.process.pid

    @property
    def node(self) -> Atom:
        """The node of what is watched."""
        target = self.target
        if type(target) is not Pid:
            node: Atom = target[1]
            return node
        runtime = self.process.runtime
        return runtime.node_name if runtime.is_own(target) else target.node

    def fired(self, reason: Any) -> None:
        """Tell the one that watches.  The monitor is removed already."""
        runtime = self.process.runtime
        alias = runtime.aliases.get(self.ref)
        if alias is not None and alias.mode != "explicit_unalias":
            runtime.drop_alias(self.ref)
        runtime.tell(self.process, (self.word, self.ref, PROCESS, self.target, reason))


class RemoteWatcher:
    """A monitor that a remote process has on one of ours."""

    __slots__ = ("from_", "object", "ref", "remote", "watched")

    def __init__(
        self,
        remote: RemoteNode,
        from_: Pid,
        watched: Process,
        ref: Reference,
        object_: Pid | AnyAtom,
    ) -> None:
        self.remote = remote
        self.from_ = from_
        self.watched = watched
        self.ref = ref
        #: The pid, or the name if monitored by name, as MONITOR_P_EXIT has to give it.
        self.object = object_

    @property
    def watcher(self) -> Pid:
        """The pid of the one that watches."""
        return self.from_


Watcher = Monitor | RemoteWatcher


class Monitors:
    """All monitors of one runtime."""

    __slots__ = ("_runtime",)

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    # ------------------------------------------------------------------ our own acts

    def add(self, monitor: Monitor) -> None:
        """Set ``monitor`` up; where there is nothing to watch, it fires at once."""
        runtime = self._runtime
        process, target = monitor.process, monitor.target
        if process.monitors is None:
            process.monitors = {}
        process.monitors[monitor.ref] = monitor
        node = monitor.node
        if node != runtime.node_name:
            what = target if type(target) is Pid else target[0]
            quick = runtime.quick
            try:
                if (
                    quick is None
                    or type(target) is not Pid
                    or not quick.monitor(process, target, monitor.ref)
                ):
                    runtime.router.signal(process, node, c.Monitor(process.pid, what, monitor.ref))
            except BaseException:
                del process.monitors[monitor.ref]
                raise
            runtime.nodes.remote(node).monitors[monitor.ref] = monitor
            return
        other = runtime.local(target) if type(target) is Pid else runtime.names.find(target[0])
        if other is None:
            self._fire(monitor, NOPROC)
        elif other is process:
            del process.monitors[monitor.ref]  # who watches itself is never told
        else:
            monitor.watched = other
            if other.watchers is None:
                other.watchers = {}
            other.watchers[monitor.ref] = monitor

    def remove(self, process: Process, ref: Reference) -> bool:
        """Take the monitor ``ref`` of ``process`` away; return whether it was there."""
        monitor = process.monitors.pop(ref, None) if process.monitors is not None else None
        if monitor is None:
            return False
        self._detach(monitor)
        return True

    def _detach(self, monitor: Monitor) -> None:
        runtime = self._runtime
        watched = monitor.watched
        if watched is not None:
            if watched.watchers is not None:
                watched.watchers.pop(monitor.ref, None)
            return
        node = monitor.node
        remote = runtime.nodes.find(node)
        if remote is not None and remote.monitors.pop(monitor.ref, None) is not None:
            target = monitor.target
            quick = runtime.quick
            if (
                quick is not None
                and type(target) is Pid
                and quick.demonitor(monitor.process, target, monitor.ref)
            ):
                return
            what = target if type(target) is Pid else target[0]
            pid = monitor.process.pid
            runtime.router.force(pid, node, c.Demonitor(pid, what, monitor.ref))

    def _fire(self, monitor: Monitor, reason: Any) -> None:
        process = monitor.process
        if process.monitors is not None and process.monitors.pop(monitor.ref, None) is not None:
            monitor.fired(reason)

    def process_ended(self, process: Process, reason: Any) -> None:
        """Tell those who watch a process that has ended, and end its own monitors."""
        watchers, process.watchers = process.watchers, None
        for watcher in (watchers or {}).values():
            if type(watcher) is RemoteWatcher:
                remote = watcher.remote
                remote.watchers.pop(watcher.ref, None)
                # Once its connection is lost, nobody connects again to send a DOWN.
                if remote is self._runtime.nodes.find(remote.name):
                    self._report(process.pid, watcher.object, watcher.from_, watcher.ref, reason)
            else:
                self._fire(watcher, reason)  # type: ignore[arg-type]
        monitors, process.monitors = process.monitors, None
        for monitor in (monitors or {}).values():
            self._detach(monitor)

    def answer_down(self, process: Process, ref: Reference, reason: Any) -> bool:
        """Let the monitor ``ref`` on ``process`` fire with ``reason``, though it lives on.

        How a server makes a call fail in the caller, whose monitor it is, without ending.
        Returns False if there is no such monitor.
        """
        watcher = None if process.watchers is None else process.watchers.pop(ref, None)
        if watcher is None:
            return False
        if type(watcher) is RemoteWatcher:
            watcher.remote.watchers.pop(ref, None)
            self._report(process.pid, watcher.object, watcher.from_, ref, reason)
        else:
            self._fire(watcher, reason)  # type: ignore[arg-type]
        return True

    def _report(
        self, sender: Pid, object_: Pid | AnyAtom, to: Pid, ref: Reference, reason: Any
    ) -> None:
        self._runtime.router.force(
            sender, to.node, c.MonitorExit(object_, to, ref, c.IN_PAYLOAD), reason
        )

    # ------------------------------------------------------------------ what peers do

    def on_monitor(self, remote: RemoteNode, message: c.Monitor) -> None:
        """MONITOR_P of a pid or a name."""
        runtime = self._runtime
        target = message.target
        if message.ref.node != remote.name:
            raise FrameError(f"a monitor with a reference of {message.ref.node}")
        process = runtime.local(target) if type(target) is Pid else runtime.names.find(target)
        if process is None:
            self.refuse(message)
            return
        self.add_watcher(remote, message.from_, process, message.ref, target)

    def refuse(self, message: c.Monitor) -> None:
        """Answer ``noproc``: there is nothing to watch."""
        target = message.target
        sender = target if type(target) is Pid else self._runtime.main.pid
        self._report(sender, target, message.from_, message.ref, NOPROC)

    def add_watcher(
        self,
        remote: RemoteNode,
        from_: Pid,
        process: Process,
        ref: Reference,
        target: Pid | AnyAtom,
    ) -> None:
        """Note a monitor of a remote process on ``process``."""
        former = remote.watchers.get(ref)
        if former is not None and former.watched.watchers is not None:
            # No node monitors twice with one reference; what it forgot would be here for ever.
            former.watched.watchers.pop(ref, None)
        watcher = RemoteWatcher(remote, from_, process, ref, target)
        if process.watchers is None:
            process.watchers = {}
        process.watchers[ref] = watcher
        remote.watchers[ref] = watcher

    def on_demonitor(self, remote: RemoteNode, message: c.Demonitor) -> None:
        """DEMONITOR_P; unknown ones are ignored."""
        watcher = remote.watchers.get(message.ref)
        if watcher is not None and watcher.from_ == message.from_:
            del remote.watchers[message.ref]
            if watcher.watched.watchers is not None:
                watcher.watched.watchers.pop(message.ref, None)

    def on_monitor_exit(self, remote: RemoteNode, ref: Reference, reason: Any) -> None:
        """MONITOR_P_EXIT: what we watch is gone; ignored after a demonitor."""
        monitor = remote.monitors.pop(ref, None)
        if monitor is not None:
            self._fire(monitor, reason)

    def node_down(self, remote: RemoteNode) -> None:
        """The connection is lost: ours fire with ``noconnection``, theirs are forgotten."""
        for watcher in remote.watchers.values():
            if watcher.watched.watchers is not None:
                watcher.watched.watchers.pop(watcher.ref, None)
        remote.watchers.clear()
        monitors = list(remote.monitors.values())
        remote.monitors.clear()
        for monitor in monitors:
            self._fire(monitor, NOCONNECTION)
