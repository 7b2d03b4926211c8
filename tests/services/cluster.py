"""A cluster in memory: several name servers, lockers and registrars, and the net between them.

What Erlang promises is kept, and nothing more: signals from one process to another keep their
order; a nodeup comes before all that its connection carries; when a connection is lost, what is
on the way is lost from some point on, and DOWN comes before nodedown.  All else (who is
served next, how far each process has come, when a timer fires) is drawn from ``random``.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from itertools import count
from random import Random
from typing import Any

from pynode.services.global_.dispatch import handle_call, handle_message
from pynode.services.global_.locker import Locker
from pynode.services.global_.locking import del_lock, set_lock
from pynode.services.global_.ports import NO_MESSAGE, Caller
from pynode.services.global_.registrar import Registrar
from pynode.services.global_.resolve import (
    RANDOM_EXIT_NAME,
    Methods,
    Unanswered,
    exchange_names,
)
from pynode.services.global_.server import NameServer
from pynode.terms import Atom, Pid, Reference, atom, copy_term

LOST = object()
"""What a call gets whose connection was lost."""


class Promise:
    """A value that one coroutine waits for."""

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self.waiter: Job | None = None
        self.callbacks: list[Callable[[], None]] = []

    def then(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def resolve(self, value: Any) -> None:
        if not self.done:
            self.done = True
            self.value = value
            if self.waiter is not None:
                self.waiter.ready()
            for callback in self.callbacks:
                callback()

    def __await__(self) -> Generator[Promise, None, Any]:
        if not self.done:
            yield self
        return self.value


class Job:
    """A coroutine of a process, stepped whenever chance picks it."""

    def __init__(self, node: Node, pid: Pid, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.node = node
        self.pid = pid
        self.coroutine = coroutine
        self.result = Promise()
        self.stopped = False
        self.ready()

    def ready(self) -> None:
        if not self.stopped:
            self.node.cluster.runnable.append(self)

    def step(self) -> None:
        if self.stopped:
            return
        try:
            promise = self.coroutine.send(None)
        except StopIteration as end:
            self.stopped = True
            self.result.resolve(end.value)
        else:
            promise.waiter = self

    def stop(self) -> None:
        self.stopped = True
        self.coroutine.close()


class SimPorts:
    """:class:`pynode.services.global_.ports.Ports` for one process."""

    def __init__(self, owner: Node, pid: Pid) -> None:
        self.owner = owner
        self.pid = pid
        self.mailbox: deque[Any] = deque()
        self.waiting: tuple[Callable[[Any], bool] | None, Promise] | None = None

    @property
    def node(self) -> Atom:
        return self.owner.name

    async def multi_call(self, nodes: Iterable[Atom], request: Any) -> list[tuple[Atom, Any]]:
        asked = [(node, self.owner.call(self.pid, node, copy_term(request))) for node in nodes]
        answers = [(node, await promise) for node, promise in asked]
        return [(node, answer) for node, answer in answers if answer is not LOST]

    async def sleep(self, seconds: float) -> None:
        await self.owner.cluster.timer(seconds)

    async def receive(
        self, match: Callable[[Any], bool] | None = None, timeout: float | None = None
    ) -> Any:
        for message in self.mailbox:
            if match is None or match(message):
                self.mailbox.remove(message)
                return message
        if timeout == 0:
            return NO_MESSAGE
        promise = Promise()
        self.waiting = (match, promise)
        if timeout is not None:
            self.owner.cluster.wake(timeout, promise, NO_MESSAGE)
        try:
            return await promise
        finally:
            self.waiting = None

    def deliver(self, message: Any) -> None:
        if self.waiting is not None:
            match, promise = self.waiting
            if not promise.done and (match is None or match(message)):
                promise.resolve(message)
                return
        self.mailbox.append(message)

    def cast(self, node: Atom, message: Any) -> None:
        self.owner.cast(self.pid, node, message)

    def random(self) -> float:
        return self.owner.cluster.random.random()


class Node:
    """One node: a :class:`ServerHost` and the processes around the name server."""

    def __init__(self, cluster: Cluster, name: str, creation: int, **options: Any) -> None:
        self.cluster = cluster
        self.name = Atom(name)
        self.creation = creation
        self._ids = count(1)
        self.alive = True
        self.processes: set[Pid] = set()
        self.inbox: deque[Callable[[], None]] = deque()
        self.resolvers: dict[Atom, Job] = {}
        self.jobs: list[Job] = []
        self.greeted: list[Any] = []
        self.notices: list[tuple[Pid, Any]] = []
        self.server_pid = self.new_pid()
        self.server = NameServer(
            self,
            self.name,
            tag_base=cluster.random.randrange(1000),
            creation_id=creation,
            **options,
        )
        self.methods = Methods(lambda *_: None)
        self.locker = SimPorts(self, self.new_pid())
        self.server.locker = self.locker.pid
        self.locker_machine = Locker(self.locker, self.server.locks, self.server.lock_is_set)
        self.run(self.locker.pid, self.locker_machine.run())
        self.registrar_ports = SimPorts(self, self.new_pid())
        self.registrar = Registrar(self.registrar_ports, self.server)
        self._registrar_queue: deque[tuple[Coroutine[Any, Any, Any], Promise]] = deque()
        self._registering = False

    def __repr__(self) -> str:
        return f"<{self.name}/{self.creation}>"

    def new_pid(self) -> Pid:
        pid = Pid(self.name, next(self._ids), 0, self.creation)
        self.processes.add(pid)
        return pid

    def run(self, pid: Pid, coroutine: Coroutine[Any, Any, Any]) -> Job:
        job = Job(self, pid, coroutine)
        self.jobs.append(job)
        return job

    # ---------------------------------------------------------------- ServerHost

    def cast(self, *args: Any) -> None:
        sender, node, message = args if len(args) == 3 else (self.server_pid, *args)
        target = self.cluster.connect(self.name, node)
        if target is not None:
            copied = copy_term((atom("$gen_cast"), message))
            self.cluster.send(sender, target, target.server_pid, lambda: target.take(copied))

    def send(self, node: Atom, message: Any) -> None:
        target = self.cluster.connected(self.name, node)
        if target is not None:
            copied = copy_term(message)
            self.cluster.send(
                self.server_pid, target, target.server_pid, lambda: target.take(copied)
            )

    def to_locker(self, message: Any) -> None:
        copied = copy_term(message)
        self.cluster.send(
            self.server_pid, self, self.locker.pid, lambda: self.locker.deliver(copied)
        )

    def reply(self, caller: Caller, answer: Any) -> None:
        pid, promise = caller
        target = self.cluster.connected(self.name, pid.node)
        if target is not None:
            self.cluster.send(self.server_pid, target, pid, lambda: promise.resolve(answer))

    def monitor(self, pid: Pid) -> Reference:
        ref = self.cluster.new_ref(self)
        self.cluster.monitors[ref] = (self, pid)
        target = self.cluster.connect(self.name, pid.node)
        if target is None or pid not in target.processes:
            self.down(ref)
        return ref

    def down(self, ref: Reference) -> None:
        """The DOWN of a monitor of ours is in the mailbox."""

        def deliver() -> None:
            if self.cluster.monitors.pop(ref, None) is not None:
                self.server.down(ref)

        self.inbox.append(deliver)

    def demonitor(self, ref: Reference) -> None:
        self.cluster.monitors.pop(ref, None)

    def is_alive(self, pid: Pid) -> bool:
        return pid in self.processes

    def disconnect(self, node: Atom) -> None:
        self.cluster.disconnect(self.name, node)

    def greet(self, node: Atom) -> None:
        pid = self.new_pid()

        async def connect_and_greet() -> None:
            if self.cluster.connect(self.name, node) is None:
                self.inbox.append(lambda: self.server.extra_nodedown(node))
            else:
                self.cast(pid, node, (atom.in_sync, self.name, True))

        self.run(pid, connect_and_greet())

    def watch(self, node: Atom) -> None:
        if self.cluster.connect(self.name, node) is None:
            self.inbox.append(lambda: self.server.sync_lost(node))

    def start_resolver(self, node: Atom, tag: int, names: list[Any]) -> None:
        self.stop_resolver(node)
        pid = self.new_pid()

        async def ask(where: Atom, method: Any, name: Any, theirs: Pid, own: Pid) -> Any:
            answer = await self.cluster.resolve(self, pid, where, method, name, theirs, own)
            if answer is LOST:
                raise Unanswered(where)
            return answer

        async def resolve() -> None:
            found = await exchange_names(self.server.names, self.name, node, names, ask)
            self.inbox.append(lambda: self.server.exchange_ops(node, tag, *found))

        self.resolvers[node] = self.run(pid, resolve())

    def stop_resolver(self, node: Atom) -> None:
        job = self.resolvers.pop(node, None)
        if job is not None:
            job.stop()

    def ask_again(self, name: Any, caller: Caller) -> None:
        async def later() -> None:
            await self.cluster.timer(1)
            self.inbox.append(lambda: self.server.whereis_call(name, caller))

        self.run(self.server_pid, later())

    # ---------------------------------------------------------------- messages

    def take(self, message: Any) -> None:
        """A message is in the name server's mailbox."""
        self.inbox.append(lambda: handle_message(self.server, message))

    def call(self, sender: Pid, node: Atom, request: Any) -> Promise:
        promise = Promise()
        target = self.cluster.connect(self.name, node)
        if target is None:
            promise.resolve(LOST)
            return promise
        if target is not self:
            self.cluster.calls.append((self, target, promise))

        def handle() -> None:
            handle_call(target.server, (sender, promise), request)

        self.cluster.send(sender, target, target.server_pid, lambda: target.inbox.append(handle))
        return promise

    # ---------------------------------------------------------------- what a test does

    def spawn(self) -> Pid:
        return self.new_pid()

    def exit(self, pid: Pid) -> None:
        self.cluster.exit(pid)

    def register(self, name: Any, pid: Pid, method: Any = RANDOM_EXIT_NAME) -> Promise:
        return self._change(self.registrar.register(name, pid, method))

    def re_register(self, name: Any, pid: Pid, method: Any = RANDOM_EXIT_NAME) -> Promise:
        return self._change(self.registrar.re_register(name, pid, method))

    def unregister(self, name: Any) -> Promise:
        return self._change(self.registrar.unregister(name))

    def _change(self, coroutine: Coroutine[Any, Any, Any]) -> Promise:
        result = Promise()
        self._registrar_queue.append((coroutine, result))
        if not self._registering:
            self._registering = True
            self.run(self.registrar_ports.pid, self._registrar_loop())
        return result

    def leave(self) -> None:
        """Disconnect from all, in the name server's turn."""

        def disconnect() -> None:
            self.server.disconnect_all()

        self.inbox.append(disconnect)

    def stop(self) -> None:
        for job in self.jobs:
            job.stop()
        for coroutine, _ in self._registrar_queue:
            coroutine.close()

    async def _registrar_loop(self) -> None:
        while self._registrar_queue:
            coroutine, result = self._registrar_queue.popleft()
            result.resolve(await coroutine)
        self._registering = False

    def set_lock(self, pid: Pid, resource: Any, nodes: list[Atom], retries: int | None) -> Promise:
        lock_id = (resource, pid)
        ports = SimPorts(self, pid)
        return self.run(pid, set_lock(ports, self.server.locks, lock_id, nodes, retries)).result

    def del_lock(self, pid: Pid, resource: Any, nodes: list[Atom]) -> Promise:
        return self.run(pid, del_lock(SimPorts(self, pid), (resource, pid), nodes)).result

    def sync(self, nodes: Iterable[Atom]) -> Promise:
        promise = Promise()
        pid = self.new_pid()
        self.inbox.append(lambda: self.server.sync(nodes, (pid, promise)))
        return promise

    def table(self) -> dict[Any, Pid]:
        return {repr(entry.name): entry.pid for entry in self.server.names}


class Cluster:
    """The nodes, the connections between them, and chance."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.nodes: dict[Atom, Node] = {}
        self.connections: set[frozenset[Atom]] = set()
        self.blocked: set[frozenset[Atom]] = set()
        self.channels: dict[tuple[Pid, Pid], deque[Callable[[], None]]] = {}
        self.runnable: list[Job] = []
        self.timers: list[tuple[float, int, Promise, Any]] = []
        self.calls: list[tuple[Node, Node, Promise]] = []
        self.monitors: dict[Reference, tuple[Node, Pid]] = {}
        self.now = 0.0
        self._counter = count(1)
        self.creation = 0

    def start(self, *names: str, **options: Any) -> list[Node]:
        started = []
        for name in names:
            self.creation += 1
            node = Node(self, name, self.creation, **options)
            self.nodes[node.name] = node
            started.append(node)
        return started

    def new_ref(self, node: Node) -> Reference:
        return Reference(node.name, node.creation, (next(self._counter), 0, 0))

    def timer(self, seconds: float) -> Promise:
        promise = Promise()
        self.wake(seconds, promise, None)
        return promise

    def wake(self, seconds: float, promise: Promise, value: Any) -> None:
        heapq.heappush(self.timers, (self.now + seconds, next(self._counter), promise, value))

    # ---------------------------------------------------------------- connections

    def connected(self, a: Atom, b: Atom) -> Node | None:
        if a == b or frozenset((a, b)) in self.connections:
            return self.nodes.get(b)
        return None

    def connect(self, a: Atom, b: Atom) -> Node | None:
        found = self.connected(a, b)
        if found is not None:
            return found
        here, there, pair = self.nodes.get(a), self.nodes.get(b), frozenset((a, b))
        if here is None or there is None or pair in self.blocked:
            return None
        self.connections.add(pair)
        here.inbox.append(lambda: here.server.nodeup(b))
        there.inbox.append(lambda: there.server.nodeup(a))
        return there

    def disconnect(self, a: Atom, b: Atom) -> None:
        pair = frozenset((a, b))
        if pair not in self.connections:
            return
        self.connections.discard(pair)
        for (sender, receiver), queue in self.channels.items():
            if {sender.node, receiver.node} == {a, b}:
                for _ in range(self.random.randrange(len(queue) + 1)):
                    queue.popleft()()
                queue.clear()
        for call in list(self.calls):
            if {call[0].name, call[1].name} == {a, b}:
                self.calls.remove(call)
                call[2].resolve(LOST)
        for here, other in ((a, b), (b, a)):
            node = self.nodes.get(here)
            if node is not None:
                self._lost(node, other)

    def _lost(self, node: Node, other: Atom) -> None:
        for ref, (watcher, pid) in list(self.monitors.items()):
            if watcher is node and pid.node == other:
                node.down(ref)
        node.inbox.append(lambda: node.server.nodedown(other))

    def kill(self, node: Node) -> None:
        """A node dies; the others notice each in its own time."""
        del self.nodes[node.name]
        node.stop()
        node.inbox.clear()
        for pair in list(self.connections):
            if node.name in pair:
                self.disconnect(*pair)
        for key in [key for key in self.channels if key[1].node == node.name]:
            del self.channels[key]

    # ---------------------------------------------------------------- signals

    def send(self, sender: Pid, target: Node, to: Pid, deliver: Callable[[], None]) -> None:
        self.channels.setdefault((sender, to), deque()).append(deliver)

    def exit(self, pid: Pid) -> None:
        node = self.nodes.get(pid.node)
        if node is None or pid not in node.processes or pid.creation != node.creation:
            return
        node.processes.discard(pid)
        for ref, (watcher, watched) in list(self.monitors.items()):
            if watched == pid:
                self.send(pid, watcher, watcher.server_pid, lambda w=watcher, r=ref: w.down(r))  # type: ignore[misc]

    async def resolve(
        self, asker: Node, pid: Pid, where: Atom, method: Any, name: Any, theirs: Pid, own: Pid
    ) -> Any:
        promise = Promise()
        target = self.connect(asker.name, where)
        if target is None:
            return LOST
        if target is not asker:
            self.calls.append((asker, target, promise))

        async def there() -> None:
            actor = SimActor(target)
            answer = await target.methods.resolve_it(actor, method, name, theirs, own)
            self.send(target.server_pid, asker, pid, lambda: promise.resolve(answer))

        def begin() -> None:
            target.run(target.new_pid(), there())

        self.send(pid, target, target.server_pid, begin)
        return await promise

    # ---------------------------------------------------------------- running

    def step(self) -> bool:
        """Let one thing happen, picked by chance; False if nothing is left to happen."""
        queues = [queue for queue in self.channels.values() if queue]
        inboxes = [node.inbox for node in self.nodes.values() if node.inbox]
        choices = len(queues) + len(inboxes) + len(self.runnable)
        if choices == 0 or (self.timers and self.random.random() < 0.02):
            while self.timers:
                self.now, _, promise, value = heapq.heappop(self.timers)
                if not promise.done:
                    promise.resolve(value)
                    return True
            return choices > 0
        choice = self.random.randrange(choices)
        if choice < len(queues):
            queues[choice].popleft()()
            return True
        choice -= len(queues)
        if choice < len(inboxes):
            inboxes[choice].popleft()()
            return True
        self.runnable.pop(choice - len(inboxes)).step()
        return True

    def settle(self, most: int = 200_000) -> None:
        """Run until nothing is left to happen."""
        for _ in range(most):
            if not self.step():
                return
        raise AssertionError(f"still busy after {most} steps, at {self.now:.1f} s")

    def run(self, steps: int) -> None:
        for _ in range(steps):
            if not self.step():
                return

    def wait(self, promise: Promise, most: int = 200_000) -> Any:
        for _ in range(most):
            if promise.done:
                return promise.value
            if not self.step():
                break
        raise AssertionError("it never came")


class SimActor:
    """The process in which a resolve method runs on a node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.pid = node.new_pid()

    def send(self, to: Pid, message: Any) -> None:
        target = self.node.cluster.connect(self.node.name, to.node)
        if target is not None:
            self.node.cluster.send(
                self.pid, target, to, lambda: target.notices.append((to, message))
            )

    def kill(self, pid: Pid) -> None:
        target = self.node.cluster.connect(self.node.name, pid.node)
        if target is not None:
            self.node.cluster.send(self.pid, target, pid, lambda: self.node.cluster.exit(pid))
