"""The fast path of a call: monitor and alias in one, with a waiter instead of the mailbox."""

from __future__ import annotations

from collections.abc import Callable, Generator
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.errors import CallerDead, CallExit, CallTimeout, NoConnection, NoProcess
from pynode.process import _choice
from pynode.process.monitors import Monitor
from pynode.process.task import Waiter
from pynode.process.words import ALIAS, NOCONNECTION, NOPROC, TIMEOUT
from pynode.terms import Atom, ImproperList, Reference, to_text

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["CallSlot", "ReasonSlot"]

_ALIAS_PART: Final = (ALIAS,)


class CallSlot(Monitor):
    """A call under way: the first of reply, DOWN and close decides it.

    Made by :meth:`pynode.process.runtime.Runtime.open_call`.  ``tag`` is ``[alias|Ref]``, to be
    sent as the tag of the request; a message ``{Tag, Reply}`` that arrives by the alias, or at
    the pid itself as hand-written servers send it, is the reply.  Neither reply nor DOWN passes
    through the mailbox; any other message to the alias does.

    Once it is decided or closed, monitor and alias are gone, and what comes later reaches nobody.
    Close every slot, best with ``with``; closing twice does no harm.  ``ref`` is the reference,
    ``done`` tells whether it is decided or closed.
    """

    __slots__ = ("_callbacks", "_error", "_value", "_waiters", "done", "tag", "text")

    mode: ClassVar[str] = "call"  # what it is among the aliases
    priority: ClassVar[bool] = False

    def __init__(
        self, process: Process, ref: Reference, target: Any, *, text: bool = False
    ) -> None:
        super().__init__(process, ref, target)
        self.text = text
        self.done = False
        self.tag: ImproperList | None = ImproperList(_ALIAS_PART, ref)
        self._value: Any = None
        self._error: Exception | None = None
        self._waiters: list[Waiter] | None = None
        self._callbacks: list[Callable[[CallSlot], object]] | None = None

    def __enter__(self) -> CallSlot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ waiting

    async def wait(self, timeout: float | None = None) -> Any:
        """Return the reply.

        Cancelling loses nothing that was decided before; the slot stays open, to be waited for
        again or closed.  Awaitable in a process and in any asyncio task.  A process that sent to a
        busy peer waits until that reads again, reply or not; the main one where it calls that peer.

        Args:
            timeout: seconds, None for ever, from now on, also where the process is held.  When it
                passes, the slot is closed.

        Raises:
            NoProcess: ``noproc``.
            NoConnection: ``noconnection``.
            CallExit: the server ended before it replied, with ``reason``.
            CallTimeout: no reply in time.
            CallerDead: the calling process itself ended.
        """
        if not self.done:
            await self._wait(timeout)
        elif self._is_held():
            await self._released(timeout)
        return self.result()

    def _is_held(self) -> bool:
        process = self.process
        router = process.runtime.router
        return router.pressing and router.holder(process, self.node) is not None

    async def _released(self, timeout: float | None) -> None:
        await self.process.runtime.router.released(self.process, self.node, timeout)

    async def _wait(self, timeout: float | None) -> None:
        runtime = self.process.runtime
        end = None if timeout is None else monotonic() + timeout
        waiter = Waiter(runtime.scheduler)
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        runtime.router.hurry()
        timer = None if timeout is None else runtime.timers.after(timeout, self._timed_out)
        try:
            while not self.done:
                await waiter
                waiter.rearm()
        finally:
            if timer is not None:
                timer.cancel()
            self._waiters.remove(waiter)
        if type(self._error) is not CallTimeout and self._is_held():
            await self._released(None if end is None else end - monotonic())

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.wait().__await__()

    def result(self) -> Any:
        """Return or raise what decided the slot; see :meth:`wait`.

        Raises:
            RuntimeError: it is not decided yet, or was closed before it was.
        """
        if self._error is not None:
            raise self._error
        if not self.done:
            raise RuntimeError("the call is not decided yet")
        return self._value

    def add_done_callback(self, callback: Callable[[CallSlot], object]) -> None:
        """Call ``callback(slot)`` synchronously when the slot is decided or closed, or now.

        What it raises goes to the loop's exception handler.
        """
        if self.done:
            self._tell(callback)
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)

    def remove_done_callback(self, callback: Callable[[CallSlot], object]) -> None:
        """Forget a callback that has not been called."""
        if self._callbacks is not None and callback in self._callbacks:
            self._callbacks.remove(callback)

    def close(self) -> None:
        """Give the call up: monitor and alias are removed, a late reply is dropped."""
        if not self.done:
            self._decide(None, RuntimeError("the call was closed"))

    # ------------------------------------------------------------------ deciding

    def take(self, message: Any, *, urgent: bool = False) -> None:
        """Take a message that came by the alias."""
        if type(message) is tuple and len(message) == 2 and message[0] == self.tag:
            self.replied(message[1])
        else:
            self.process.runtime.tell(self.process, message)

    def replied(self, reply: Any) -> None:
        """Decide by a reply."""
        if not self.done:
            self._decide(to_text(reply) if self.text else reply, None)

    def fired(self, reason: Any) -> None:
        """Decide by the DOWN."""
        self.refused(reason)

    def refused(self, reason: Any) -> None:
        """Decide by a reason for which there will be no reply."""
        if not self.done:
            kind = _BY_REASON.get(reason, CallExit) if type(reason) is Atom else CallExit
            error = kind(reason)
            if kind is NoConnection:
                error.__cause__ = self.process.runtime.down_cause
            self._decide(None, error)

    def process_ended(self) -> None:
        """Decide by the end of the calling process."""
        if not self.done:
            self._decide(None, CallerDead(self.process.pid, self.process.exit_reason))

    def _timed_out(self) -> None:
        if not self.done:
            self._decide(None, CallTimeout(TIMEOUT))

    def _decide(self, value: Any, error: Exception | None) -> None:
        self.done = True
        self._value = value
        self._error = error
        process = self.process
        runtime = process.runtime
        runtime.aliases.pop(self.ref, None)
        runtime.monitors.remove(process, self.ref)
        process.extra.calls.pop(self.ref, None)
        for waiter in self._waiters or ():
            waiter.wake()
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            self._tell(callback)

    def _tell(self, callback: Callable[[CallSlot], object]) -> None:
        try:
            callback(self)
        except Exception as error:
            self.process.runtime.loop.call_exception_handler(
                {"message": f"a callback of a call of {self.process!r} failed", "exception": error}
            )


_BY_REASON: Final[dict[Any, type[CallExit]]] = {NOPROC: NoProcess, NOCONNECTION: NoConnection}


#: In Python, whether or not there is a compiled one.
PureCallSlot: Final = CallSlot
if not TYPE_CHECKING and _choice.CallSlot is not None:
    CallSlot = _choice.CallSlot


class ReasonSlot(CallSlot):
    """A call whose answer is the exit reason itself, as erpc's calls are; no message is one."""

    __slots__ = ()

    def __init__(
        self, process: Process, ref: Reference, target: Any, *, text: bool = False
    ) -> None:
        super().__init__(process, ref, target, text=text)
        self.tag = None

    def fired(self, reason: Any) -> None:
        """Decide by the DOWN: ``noconnection`` raises, any other reason is the value."""
        if type(reason) is Atom and reason == NOCONNECTION:
            self.refused(reason)
        elif not self.done:
            self._decide(to_text(reason) if self.text else reason, None)
