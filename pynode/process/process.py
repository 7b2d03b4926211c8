"""One process: its identity, its flags, its mailbox and the ways to receive."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pynode.errors import ProcessDead
from pynode.process._core import stepping
from pynode.process.blocking import Worker
from pynode.process.mailbox import NOTHING, Mailbox, Match, Receiver
from pynode.process.shared import CURRENT
from pynode.process.task import ProcessTask, Waiter
from pynode.process.timeouts import check_timeout
from pynode.process.words import LEFT_BEHIND

if TYPE_CHECKING:
    from pynode.process.body import Body
    from pynode.process.calls import CallSlot
    from pynode.process.monitors import Monitor, Watcher
    from pynode.process.runtime import Runtime
    from pynode.terms import Atom, Pid, Reference

__all__ = ["Process", "current_process"]

T = TypeVar("T")


def current_process() -> Process | None:
    """Return the process that runs, or that started the task that runs; None outside any."""
    process: Process | None = CURRENT.get(None)
    return process


class _Core:
    """What the runtime needs of a process, and how it receives."""

    # Everything that most processes never have is lazy: a node may hold 100,000 that wait.
    __slots__ = (
        "__weakref__",
        "alive",
        "begin",
        "body",
        "context",
        "exit_reason",
        "group_leader",
        "held_by",
        "links",
        "mailbox",
        "monitors",
        "name",
        "pid",
        "rare",
        "ready",
        "receivers",
        "runtime",
        "task",
        "text",
        "trap_exit",
        "watchers",
    )

    def __init__(
        self,
        runtime: Runtime,
        pid: Pid,
        body: Any,
        args: tuple[Any, ...],
        context: contextvars.Context,
        group_leader: Pid,
    ) -> None:
        self.runtime = runtime
        self.pid = pid
        self.body: Body | None = None
        #: What the first turn calls with the process, and further arguments.
        self.begin: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        if body is not None:
            if hasattr(body, "message"):
                self.body = body
                self.begin = (body.start, args)
            else:
                self.begin = (body, args)
        self.context = context
        self.group_leader = group_leader
        self.alive = True
        self.name: Atom | None = None
        self.trap_exit = False
        self.text = False
        self.exit_reason: Any = None
        # The rest belongs to the runtime.
        self.ready = False
        self.task: ProcessTask | None = None
        self.mailbox: Mailbox | None = None
        self.receivers: list[Receiver] | None = None
        self.links: dict[Pid, int] | None = None
        self.monitors: dict[Reference, Monitor] | None = None
        self.watchers: dict[Reference, Watcher] | None = None
        self.held_by: set[Atom] | None = None
        self.rare: _Extra | None = None

    def own_context(self) -> contextvars.Context:
        """Return the context, with this process as the current one in it.

        Set when it first runs: a spawn makes as few objects as can be.
        """
        context = self.context
        if context.get(CURRENT) is not self:
            context.run(CURRENT.set, self)
        return context

    async def receive(
        self, match: Match | None = None, *, timeout: float | None = None, text: bool = False
    ) -> Any:
        """Return the first message that ``match`` accepts, waiting for it.

        Messages that ``match`` refuses stay, in order, for later receives.  A message leaves the
        mailbox at the moment it is returned: cancelling, or a timeout, loses nothing.  Any number
        of asyncio tasks may receive from one process; who waited first chooses first.  A process
        that sent to a busy peer is held here first, ``node.main`` not (:meth:`Runtime.drain`).

        Args:
            match: called with a message on the loop's thread; must not block.  None accepts all.
                What it raises is raised here, and the mailbox is as before.
            timeout: seconds, None for ever; 0, or less, looks once.  It counts while the process
                is held, too.
            text: UTF-8 binaries in the message become str, for ``match`` too.

        Raises:
            TimeoutError: no such message in time.
            ProcessDead: the process ended (when awaited from another process or a task).
            TypeError, ValueError: ``timeout`` is no number.
        """
        if timeout is not None:
            check_timeout(timeout, True)
        if self.held_by is not None or not self.alive or self._used_up():
            timeout = await self._give_way(timeout)
        if self.mailbox is not None:
            message = self.mailbox.find(match, self.receivers, text=text)
            if message is not NOTHING:
                return message
        if timeout is not None and timeout <= 0:
            raise TimeoutError("no such message")
        # From here on in the same frame: a second one would make each process that waits larger.
        runtime = self.runtime
        receiver = Receiver(runtime.scheduler)
        if self.mailbox is not None and self.mailbox.saved is not None:
            receiver.seen = len(self.mailbox.saved)
        self._add_receiver(receiver)
        timer = None if timeout is None else runtime.timers.after(timeout, receiver.expire)
        try:
            while True:
                await receiver
                receiver.rearm()
                if self.mailbox is not None:
                    message = self.mailbox.find(match, self.receivers, receiver, text=text)
                    if message is not NOTHING:
                        return message
                if receiver.expired:
                    raise TimeoutError("no such message")
                if not self.alive:
                    raise ProcessDead(self.pid, self.exit_reason)
        finally:
            if timer is not None:
                timer.cancel()
            self._remove_receiver(receiver)

    def _add_receiver(self, receiver: Receiver) -> None:
        if self.receivers is None:
            self.receivers = []
        self.receivers.append(receiver)

    def _remove_receiver(self, receiver: Receiver) -> None:
        if self.receivers is not None:
            self.receivers.remove(receiver)
            if not self.receivers:
                self.receivers = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self.receive()

    if TYPE_CHECKING:  # what Process has

        def _used_up(self) -> bool: ...
        async def _give_way(self, timeout: float | None) -> float | None: ...


_Core.receive.__qualname__ = "Process.receive"  # as warnings call it

if not TYPE_CHECKING and stepping is not None:
    _Core = stepping.ProcessCore


class Process(_Core):
    """A process of this node.  Made by :meth:`pynode.process.runtime.Runtime.spawn` only.

    To be used on the loop's thread; from the thread of a blocking callback go through
    :mod:`pynode.process.current`.

    The public attributes:

    ``pid``
        Its :class:`~pynode.terms.Pid`.
    ``runtime``
        The :class:`~pynode.process.runtime.Runtime` it lives in.
    ``alive``
        False from the moment it has ended, for everyone, whatever its coroutine still does.
    ``name``
        The name it is registered under, or None.
    ``trap_exit``
        Exit signals arrive as messages ``{'EXIT', From, Reason}``.  May be set at any time.
    ``text``
        Messages from other nodes are decoded with ``text=True``, and local ones as if they were.
    ``group_leader``
        The pid of its group leader.
    ``exit_reason``
        What it ended with, once ``alive`` is False; None before.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name}"
        state = "" if self.alive else " dead"
        return f"<Process {self.pid!r}{name}{state}>"

    @property
    def extra(self) -> _Extra:
        """What few processes have; ``rare`` is the same, None until it is needed."""
        if self.rare is None:
            self.rare = _Extra()
        return self.rare

    @property
    def dictionary(self) -> dict[Any, Any]:
        """The process dictionary (``put/2``, ``get/1``): any Python values, never copied."""
        return self.extra.dictionary

    def _used_up(self) -> bool:
        scheduler = self.runtime.scheduler
        return scheduler.running and monotonic() > scheduler.deadline

    async def _give_way(self, timeout: float | None) -> float | None:
        """Wait where that has to be before a receive; return what is left of ``timeout``."""
        runtime = self.runtime
        if self.exit_reason is LEFT_BEHIND:
            raise runtime.refusal(self)
        if self.held_by is not None and timeout is None:
            await runtime.router.released(self)
        elif self.held_by is not None and timeout is not None and timeout > 0:
            end = monotonic() + timeout
            in_time = await runtime.router.released(self, timeout=timeout)
            timeout = end - monotonic() if in_time else 0
        if not self.alive:
            if current_process() is self:
                await Waiter(runtime.scheduler)  # cancels the coroutine of a dead process again
            # One that swallows this in a loop must not hold the others up, nor go on for ever
            # when the interpreter closes it.
            await asyncio.sleep(0)
            raise ProcessDead(self.pid, self.exit_reason)
        if self._used_up():
            await asyncio.sleep(0)
        return timeout

    # What the compiled core does not do itself; the same as above, in two frames.

    async def _receive_other(self, match: Match | None, timeout: float | None, text: bool) -> Any:
        """Receive where the process is held or dead."""
        timeout = await self._give_way(timeout)
        if self.mailbox is not None:
            message = self.mailbox.find(match, self.receivers, text=text)
            if message is not NOTHING:
                return message
        if timeout is not None and timeout <= 0:
            raise TimeoutError("no such message")
        return await self._receive_waiting(match, timeout, text)

    async def _receive_waiting(self, match: Match | None, timeout: float | None, text: bool) -> Any:
        """Wait for a message that has not come yet: with a time-out, or in another task."""
        runtime = self.runtime
        receiver = Receiver(runtime.scheduler)
        if self.mailbox is not None and self.mailbox.saved is not None:
            receiver.seen = len(self.mailbox.saved)
        self._add_receiver(receiver)
        timer = None if timeout is None else runtime.timers.after(timeout, receiver.expire)
        try:
            while True:
                await receiver
                receiver.rearm()
                if self.mailbox is not None:
                    message = self.mailbox.find(match, self.receivers, receiver, text=text)
                    if message is not NOTHING:
                        return message
                if receiver.expired:
                    raise TimeoutError("no such message")
                if not self.alive:
                    raise ProcessDead(self.pid, self.exit_reason)
        finally:
            if timer is not None:
                timer.cancel()
            self._remove_receiver(receiver)

    async def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        """Run ``function(*args)`` in this process's own thread, and return or raise its outcome.

        One at a time, in the order of the calls.  Inside, the process is the current one, and a
        context of its own is kept from call to call.  If the process ends meanwhile, the function
        is not stopped (no thread can be); its signals are refused from then on.
        """
        extra = self.extra
        if not self.alive:
            raise ProcessDead(self.pid, self.exit_reason)
        if extra.worker is None:
            extra.worker = Worker(self)
        return await extra.worker.submit(function, args)


if stepping is not None:
    stepping.bind(process=Process)


class _Extra:
    """What few processes have, kept apart so that the others stay small."""

    __slots__ = ("aliases", "calls", "dictionary", "on_death", "worker")

    def __init__(self) -> None:
        self.dictionary: dict[Any, Any] = {}
        self.aliases: set[Reference] = set()
        #: Calls under way, by the reference in their tag.
        self.calls: dict[Reference, CallSlot] = {}
        #: Called with the process when it ends: timers, subscriptions to nodes.
        self.on_death: dict[Any, Callable[[Process], object]] = {}
        self.worker: Worker | None = None
