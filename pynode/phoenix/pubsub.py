"""A node's part in a Phoenix.PubSub."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeAlias, TypeVar

from pynode.errors import NodeDown, PeerBusy
from pynode.process.words import SHUTDOWN
from pynode.terms import Atom, Pid, Reference, copy_term

from .names import DEFAULT_DISPATCHER, SCOPE, groups, module
from .registry import Registry
from .subscribers import Callback, Messages, Subscriber
from .worker import FORWARD, Worker

if TYPE_CHECKING:
    from pynode.node import Node
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime
    from pynode.services.pg import Pg

__all__ = ["Dispatch", "PubSub"]

logger = logging.getLogger("pynode.phoenix")

P = ParamSpec("P")
T = TypeVar("T")

#: ``dispatch(entries, from_, message)``: what a dispatcher module's ``dispatch/3`` is.  The
#: entries are ``(pid, metadata)`` of each subscription; ``from_`` is None for ``:none``.
Dispatch: TypeAlias = Callable[[list[tuple[Pid, Any]], Pid | None, Any], object]

#: Phoenix's own dispatchers.  That of channels differs from the other only for subscribers that
#: are channels.
_KNOWN: Final = (DEFAULT_DISPATCHER, module("Phoenix.Channel.Server"))
#: How many names of unknown dispatchers are remembered, each warned of once.
_MOST_WARNINGS: Final = 100


class PubSub:
    """The PubSub ``name`` on this node: a member of its groups, and its subscribers here.

    Ready when it is made, on the node's loop (``thread.run(PubSub, thread.node, ...)`` for a node
    in a thread), and until :meth:`stop` or the end of ``with``.  Its methods may be called from
    the thread of a blocking callback as well.

    Topics are str or bytes; messages are any terms, and arrive at subscribers as they are, with
    nothing that says the topic.  Between one process that broadcasts and one subscriber the order
    is kept.  A broadcast reaches the nodes that this one knows of at that moment: none is stored,
    and right after connecting there may be none yet.  The node must be visible.

    A *dispatcher* is a module whose ``dispatch/3`` delivers a broadcast to the subscribers, on
    each node.  Those of this program are functions, by the name of their module.  A broadcast
    with a dispatcher that is not among them is delivered as by the default one, and a warning
    says so once.

    Args:
        node: a running node.
        name: as the application has it, ``"MyApp.PubSub"``, or an atom.
        pool_size: as the application has it: the same on all nodes, else broadcasts are missed.
            Each process broadcasts through one member of the pool.
        broadcast_pool_size: how much of the pool broadcasts go through; None: all.  For changes
            of ``pool_size`` in a running cluster.
        dispatchers: functions by the name of the module whose part they play here.

    Raises:
        NameError_: the node has a PubSub of this name already.
        AlreadyStarted: another process has the name of the scope, ``'Elixir.Phoenix.PubSub'``.
        ValueError: a pool without members, or one that broadcasts through more than it has.
        NodeDown: the node is not running.
    """

    def __init__(
        self,
        node: Node,
        name: Atom | str,
        pool_size: int = 1,
        *,
        broadcast_pool_size: int | None = None,
        dispatchers: Mapping[Atom | str, Dispatch] | None = None,
    ) -> None:
        if broadcast_pool_size is None:
            broadcast_pool_size = pool_size
        if not 1 <= broadcast_pool_size <= pool_size:
            raise ValueError(
                f"a pool of {pool_size} that broadcasts through {broadcast_pool_size}: "
                "at least 1, and at most pool_size"
            )
        #: The name, as an atom.
        self.name: Final = module(name)
        self._node = node
        self._runtime: Final[Runtime] = node.runtime
        self._pg: Final[Pg] = node.pg
        self._dispatchers = {module(key): given for key, given in (dispatchers or {}).items()}
        self._warned: set[Atom] = set()
        self._registry = Registry()
        #: The first worker watches the subscribers, and the scope process.
        self._monitors: dict[Pid, Reference] = {}
        self._scope_monitor: Reference | None = None
        #: The processes made here for subscribers that are none.
        self._own: dict[Pid, Process] = {}
        self._workers: list[Worker] = []
        self._groups = groups(self.name, pool_size)
        self._broadcast_groups = self._groups[:broadcast_pool_size]
        self._on_loop(self._start_pool)

    def _start_pool(self) -> None:
        """Start the workers, all or none, and what they need."""
        pg = self._pg
        if SCOPE not in pg.which_scopes():
            pg.start(SCOPE)
        try:
            for group in self._groups:
                worker = Worker(
                    self._runtime, group, self._forwarded, self._down, self._worker_ended
                )
                self._workers.append(worker)
                pg.join(group, worker.process.pid, SCOPE)
        except BaseException:
            self._stop_pool()
            raise
        self._scope_monitor = self._runtime.monitor(self._workers[0].process, SCOPE)
        for pid in [*self._monitors]:
            self._monitors[pid] = self._runtime.monitor(self._workers[0].process, pid)

    def _stop_pool(self) -> None:
        workers, self._workers = self._workers, []
        has_scope = SCOPE in self._pg.which_scopes()
        for worker in workers:
            if has_scope:
                self._pg.leave(worker.group, worker.process.pid, SCOPE)
            self._end(worker.process.pid)

    def _worker_ended(self, worker: Worker) -> None:
        """An exit signal has ended a worker: start all again, as a supervisor would."""
        if worker in self._workers and not self._runtime.stopped:
            self._stop_pool()
            self._start_pool()

    def stop(self) -> None:
        """Leave the groups and end all subscriptions.  May be called again."""
        if not self._runtime.stopped:
            self._on_loop(self._stop)

    def _stop(self) -> None:
        self._stop_pool()
        for pid in [*self._registry.pids(), *self._own]:
            self._close(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "" if self._workers else " stopped"
        return f"<PubSub {self.name} on {self._runtime.node_name}{state}>"

    @property
    def node_name(self) -> Atom:
        """The node's name, for :meth:`direct_broadcast` (``node_name/1``)."""
        return self._runtime.node_name

    # ------------------------------------------------------------------ subscribing

    def subscribe(
        self,
        topic: str | bytes,
        subscriber: Pid | Subscriber | None = None,
        *,
        metadata: Any = None,
        text: bool = False,
    ) -> Pid:
        """Subscribe to a topic, and return the process that is subscribed (``subscribe/3``).

        Who subscribes twice gets each message twice.  A subscription ends with its process.

        Args:
            topic: the topic.
            subscriber: a process of this node; None for the acting one; or a function, plain or
                async, that is called with each message, one at a time, in a process of its own.
                That ends with its last subscription.
            metadata: any value, for dispatchers of this program.
            text: call the function with binaries that are UTF-8 as str.  A process has its own
                :attr:`Process.text`.

        Raises:
            ValueError: a process of another node, which has to subscribe there.
            TypeError: ``subscriber`` is nothing of these.
            NodeDown: the PubSub is stopped.
        """
        if subscriber is None:
            subscriber = self._node.actor().pid
        return self._on_loop(self._subscribe, _topic(topic), subscriber, metadata, text)

    def _subscribe(
        self, topic: bytes, subscriber: Pid | Subscriber, metadata: Any, text: bool
    ) -> Pid:
        self._first_worker()
        if isinstance(subscriber, Pid):
            pid = subscriber
            if pid.node != self._runtime.node_name:
                raise ValueError(f"{pid!r} is not of this node: it has to subscribe on its own")
        elif callable(subscriber):
            pid = self._spawn(Callback(subscriber), text)
        else:
            raise TypeError(f"a pid or a function subscribes, not {subscriber!r}")
        self._registry.add(topic, pid, metadata)
        self._watch(pid)
        return pid

    def _spawn(self, body: Callback | None, text: bool) -> Pid:
        process = self._runtime.spawn(body, text=text)
        self._own[process.pid] = process
        self._watch(process.pid)
        return process.pid

    def unsubscribe(self, topic: str | bytes, pid: Pid | None = None) -> None:
        """End all subscriptions of a process, or of the acting one, to a topic.

        Messages that wait in its mailbox stay there.  A function whose last subscription this
        was is not called again.
        """
        if pid is None:
            pid = self._node.actor().pid
        self._on_loop(self._unsubscribe, _topic(topic), pid)

    def _unsubscribe(self, topic: bytes, pid: Pid) -> None:
        if self._registry.remove(topic, pid):
            own = self._own.get(pid)
            # Whoever iterates still wants the messages that wait, and may subscribe again.
            if own is None or own.body is not None:
                self._close(pid)

    def messages(self, *topics: str | bytes, metadata: Any = None, text: bool = False) -> Messages:
        """Subscribe to topics, and return an async iterator of their messages.

        ::

            with pubsub.messages("rooms:1", "rooms:2", text=True) as messages:
                async for message in messages:
                    ...

        Arguments and errors are those of :meth:`subscribe`.
        """
        wanted = [_topic(topic) for topic in topics]
        return self._on_loop(self._messages, wanted, metadata, text)

    def _messages(self, topics: list[bytes], metadata: Any, text: bool) -> Messages:
        self._first_worker()
        pid = self._spawn(None, text)
        for topic in topics:
            self._subscribe(topic, pid, metadata, text)
        return Messages(self._own[pid], self._close_messages)

    def subscribers(self, topic: str | bytes) -> list[tuple[Pid, Any]]:
        """Return ``(pid, metadata)`` of each subscription to a topic on this node."""
        return self._on_loop(self._registry.entries, _topic(topic))

    # ------------------------------------------------------------------ ends

    def _watch(self, pid: Pid) -> None:
        if pid not in self._monitors:
            watcher = self._first_worker().process
            self._monitors[pid] = self._runtime.monitor(watcher, pid)

    def _down(self, ref: Reference, what: Any) -> None:
        if ref == self._scope_monitor:
            self._stop_pool()
            self._start_pool()
        elif self._monitors.get(what) == ref:
            self._forget(what)

    def _close_messages(self, pid: Pid) -> None:
        if not self._runtime.stopped:
            self._on_loop(self._close, pid)

    def _close(self, pid: Pid) -> None:
        """End all subscriptions of a process, and the process if it was made here."""
        process = self._own.get(pid)
        ref = self._monitors.get(pid)
        if ref is not None and self._workers:
            self._runtime.demonitor(self._workers[0].process, ref, flush=True)
        self._forget(pid)
        if process is None:
            return
        if self._runtime.scheduler.current is process and isinstance(process.body, Callback):
            process.body.finished = True  # it is in the middle of a message
        else:
            self._end(pid)

    def _forget(self, pid: Pid) -> None:
        self._registry.forget(pid)
        self._monitors.pop(pid, None)
        self._own.pop(pid, None)

    def _end(self, pid: Pid) -> None:
        self._runtime.exit(self._runtime.main, pid, SHUTDOWN)

    # ------------------------------------------------------------------ broadcasting

    def broadcast(
        self, topic: str | bytes, message: Any, *, dispatcher: Atom | str = DEFAULT_DISPATCHER
    ) -> None:
        """Send a message to all subscribers of a topic, on all nodes (``broadcast/4``).

        Args:
            topic: the topic.
            message: a term.
            dispatcher: the module that delivers it.  A BEAM without that module loses the message,
                and its worker crashes and is started again.

        Raises:
            EncodeError: the message is no term; nothing was sent.
            PeerBusy: too much is waiting for one of the nodes; all others were sent it.
            NodeDown: the PubSub is stopped.
        """
        self._broadcast(None, topic, message, dispatcher)

    def broadcast_from(
        self,
        from_: Pid,
        topic: str | bytes,
        message: Any,
        *,
        dispatcher: Atom | str = DEFAULT_DISPATCHER,
    ) -> None:
        """Like :meth:`broadcast`, and leave ``from_`` out, a process of this node.

        Whom a dispatcher leaves out is its own affair.
        """
        self._broadcast(_pid(from_), topic, message, dispatcher)

    def local_broadcast(
        self, topic: str | bytes, message: Any, *, dispatcher: Atom | str = DEFAULT_DISPATCHER
    ) -> None:
        """Send a message to the subscribers on this node only (``local_broadcast/4``)."""
        self._local_broadcast(None, topic, message, dispatcher)

    def local_broadcast_from(
        self,
        from_: Pid,
        topic: str | bytes,
        message: Any,
        *,
        dispatcher: Atom | str = DEFAULT_DISPATCHER,
    ) -> None:
        """Like :meth:`local_broadcast`, and leave ``from_`` out."""
        self._local_broadcast(_pid(from_), topic, message, dispatcher)

    def direct_broadcast(
        self,
        node: Atom | str,
        topic: str | bytes,
        message: Any,
        *,
        dispatcher: Atom | str = DEFAULT_DISPATCHER,
    ) -> None:
        """Send a message to the subscribers on one node (``direct_broadcast/5``).

        Connects where need be.  A node that is not there, or has no such PubSub, is no error.

        Raises:
            EncodeError: the message is no term.
            PeerBusy: too much is waiting for that node.
            NodeDown: the PubSub is stopped.
        """
        actor = self._node.actor()
        forward = (FORWARD, _topic(topic), message, module(dispatcher))
        self._on_loop(self._send_directly, actor, (self._group_of(actor), node), forward)

    def _broadcast(
        self, from_: Pid | None, topic: str | bytes, message: Any, dispatcher: Atom | str
    ) -> None:
        actor, named = self._node.actor(), module(dispatcher)
        self._on_loop(self._broadcast_as, actor, from_, _topic(topic), message, named)

    def _local_broadcast(
        self, from_: Pid | None, topic: str | bytes, message: Any, dispatcher: Atom | str
    ) -> None:
        actor, named = self._node.actor(), module(dispatcher)
        self._on_loop(self._dispatch, actor, from_, _topic(topic), copy_term(message), named)

    def _broadcast_as(
        self, actor: Process, from_: Pid | None, topic: bytes, message: Any, dispatcher: Atom
    ) -> None:
        self._first_worker()
        message = copy_term(message)
        forward = (FORWARD, topic, message, dispatcher)
        busy: PeerBusy | None = None
        for pid in self._pg.get_members(self._group_of(actor), SCOPE):
            if pid.node != self.node_name:
                try:
                    self._runtime.send(actor, pid, forward)
                except PeerBusy as error:
                    busy = error
        self._dispatch(actor, from_, topic, message, dispatcher)
        if busy is not None:
            raise busy

    def _send_directly(self, actor: Process, to: tuple[Atom, Any], forward: Any) -> None:
        self._first_worker()
        self._runtime.send(actor, to, forward)

    def _group_of(self, actor: Process) -> Atom:
        """Return the group that a process broadcasts through: one, to keep the order."""
        return self._broadcast_groups[actor.pid.id % len(self._broadcast_groups)]

    # ------------------------------------------------------------------ dispatching

    def _forwarded(self, worker: Process, topic: bytes, message: Any, dispatcher: Atom) -> None:
        self._dispatch(worker, None, topic, message, dispatcher)

    def _dispatch(
        self, actor: Process, from_: Pid | None, topic: bytes, message: Any, dispatcher: Atom
    ) -> None:
        self._first_worker()
        entries = self._registry.entries(topic)
        if not entries:
            return
        function = self._dispatchers.get(dispatcher)
        if function is not None:
            function(entries, from_, message)
            return
        if dispatcher not in _KNOWN:
            self._warn(dispatcher)
        for pid, _ in entries:
            if pid != from_:
                self._runtime.send(actor, pid, message)

    def _warn(self, dispatcher: Atom) -> None:
        if dispatcher not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(dispatcher)
            logger.warning(
                "%s: no dispatcher %s here, delivering as by default", self.name, dispatcher
            )

    # ------------------------------------------------------------------ inside

    def _first_worker(self) -> Worker:
        if not self._workers:
            raise NodeDown(f"the PubSub {self.name} is stopped")
        return self._workers[0]

    def _on_loop(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        runtime = self._runtime
        if threading.get_ident() == runtime.thread_id:
            return function(*args, **kwargs)
        actor = self._node.actor()
        result: T = runtime.call_threadsafe(actor, function, *args, **kwargs)
        return result


def _topic(topic: str | bytes) -> bytes:
    if isinstance(topic, str):
        return topic.encode()
    if not isinstance(topic, bytes):
        raise TypeError(f"a topic is a str or bytes, not {topic!r}")
    return topic


def _pid(from_: Any) -> Pid:
    if not isinstance(from_, Pid):
        raise TypeError(f"a broadcast comes from a pid, not from {from_!r}")
    return from_
