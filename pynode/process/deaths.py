"""How processes end.

A process is dead for everyone at once: :meth:`Deaths.end` marks it, frees its name, its aliases
and its place in the table before it returns.  What follows from it (exits, then downs, then its
own clean-up) is worked off in the same call by a loop, never by recursion: a chain of 100,000
linked processes is a queue.

The coroutine of a dead process is a zombie: it is thrown :class:`asyncio.CancelledError`, may
clean up and may await; its signals are refused.  One that swallows the cancellation is dead all
the same, and is closed when the runtime stops.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from pynode.process.words import EXIT, KILL, KILLED, NORMAL
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime
    from pynode.process.task import ProcessTask

__all__ = ["Deaths"]

_log = logging.getLogger("pynode.process")


class Deaths:
    """Exit signals and their consequences."""

    __slots__ = ("_interrupt", "_queue", "_runtime", "_working", "zombies")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._queue: deque[Process] = deque()
        self._working = False
        self._interrupt: BaseException | None = None
        #: Dead processes whose coroutine has not ended yet.
        self.zombies: set[Process] = set()

    def exit_signal(
        self, to: Process, sender: Pid, reason: Any, *, by_link: bool, urgent: bool = False
    ) -> None:
        """Let an exit signal arrive at a live local process.

        ``by_link``: because ``sender`` ended, or the connection to it did; then ``kill`` is a
        reason like any other.  ``urgent``: where it is trapped, it is a priority message.
        """
        is_atom = type(reason) is Atom
        if is_atom and not by_link and reason == KILL:
            self.end(to, KILLED)
        elif to.trap_exit:
            tell = self._runtime.tell_urgent if urgent else self._runtime.tell
            tell(to, (EXIT, sender, reason))
        elif is_atom and reason == NORMAL:
            if not by_link and sender == to.pid:
                self.end(to, NORMAL)
        else:
            self.end(to, reason)

    def end(self, process: Process, reason: Any) -> None:
        """End ``process`` with ``reason``, a term; nothing if it is dead already."""
        if not process.alive:
            return
        runtime = self._runtime
        process.alive = False
        process.exit_reason = reason
        runtime.forget(process)
        self._queue.append(process)
        if self._working:
            return
        self._working = True
        try:
            while self._queue:
                self._consequences(self._queue.popleft())
        finally:
            self._working = False
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            raise interrupt

    def _consequences(self, process: Process) -> None:
        runtime = self._runtime
        reason = process.exit_reason
        runtime.links.process_ended(process, reason)
        runtime.monitors.process_ended(process, reason)
        process.mailbox = None
        if process.held_by is not None:
            runtime.router.forget(process)
        for receiver in process.receivers or ():
            receiver.wake()
        extra = process.rare
        if extra is not None:
            for slot in list(extra.calls.values()):
                slot.process_ended()
            for callback in list(extra.on_death.values()):
                callback(process)
            if extra.worker is not None:
                extra.worker.close()
        if process.task is not None:
            self.bury(process, process.task)
        if process.body is not None:
            try:
                process.own_context().copy().run(process.body.terminated, process, reason)
            except (KeyboardInterrupt, SystemExit) as interrupt:
                self._interrupt = interrupt  # raised when everybody has been told
            except BaseException:
                _log.exception("terminated of %r failed", process)

    def bury(self, process: Process, task: ProcessTask) -> None:
        """Tell the coroutine of a dead process to go."""
        self.zombies.add(process)
        task.interrupt()

    def zombie_ended(self, process: Process) -> None:
        """The coroutine of a dead process has ended."""
        self.zombies.discard(process)
        self._runtime.gone()
