"""What a server seldom has: suspension, debugging, a timeout that the next message cancels.

A server's ``extra`` is None until one of the three is in use and again when none is.  While it
is there, messages pass through :meth:`Extra.message` first.

Source: ``sys`` (suspend_loop), ``gen_server:loop``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.words import EXIT, SYSTEM, TIMEOUT
from pynode.terms import Atom, Reference

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pynode.behaviours.body import BehaviourBody
    from pynode.behaviours.debug import Debug

__all__ = ["Extra", "extra_of"]

_TIMER_MARK: Final = Atom("$pynode_timeout")


def extra_of(body: BehaviourBody) -> Extra:
    """Return the extra of ``body``, made if it has none."""
    if body.extra is None:
        body.extra = Extra()
    return body.extra


class Extra:
    """See the module."""

    __slots__ = ("debug", "held", "patience", "paused", "says", "stale", "suspended", "timer")

    def __init__(self) -> None:
        self.suspended = False
        #: Messages that came while suspended, in order.
        self.held: deque[Any] = deque()
        self.debug: Debug | None = None
        #: The timer whose message means that nothing else came in time, and its seconds.
        self.timer: Reference | None = None
        self.patience = 0.0
        #: The message that the timeout is to the server.
        self.says: Any = TIMEOUT
        #: A timeout that suspension interrupted.
        self.paused = False
        #: Timers cancelled too late: their messages are still to come, and mean nothing.
        self.stale: set[Reference] = set()

    # ----------------------------------------------------------------- messages

    def message(self, body: BehaviourBody, message: Any) -> Coroutine[Any, Any, None] | None:
        """Handle ``message`` with what is in use."""
        if type(message) is tuple and len(message) == 3:
            tag = message[0]
            if tag == SYSTEM:
                return body.step(message)  # neither debugged nor held back; a timeout goes on
            if tag == EXIT and body.is_parent(message[1]):
                return body.end(message[2], message)
            if tag == TIMEOUT and type(message[1]) is Reference:
                if message[1] in self.stale:
                    self.stale.discard(message[1])
                    self.relax(body)
                    return None
                if message[1] == self.timer:
                    self.timer = None
                    message = self.says
        if self.suspended:
            self.held.append(message)
            return None
        self.disarm(body)
        if self.debug is not None:
            event = body.event_in(message)
            if event is not None:
                self.debug.event(body, event)
        self.relax(body)
        return body.step(message)

    def relax(self, body: BehaviourBody) -> None:
        """Take this extra away if nothing of it is in use."""
        if self.suspended or self.debug is not None or self.timer is not None:
            return
        if not self.held and not self.stale:
            body.extra = None

    # ----------------------------------------------------------------- timeout

    def arm(self, body: BehaviourBody, seconds: float, message: Any = TIMEOUT) -> None:
        """Let ``message`` arrive unless another one comes within ``seconds``."""
        self.disarm(body)
        process = body.process
        self.patience = seconds
        self.says = message
        self.timer = process.runtime.start_timer(process, seconds, process.pid, _TIMER_MARK)

    def disarm(self, body: BehaviourBody) -> bool:
        """Cancel the timeout; return whether there was one."""
        timer, self.timer = self.timer, None
        if timer is None:
            return False
        if body.process.runtime.cancel_timer(timer) is None:
            self.stale.add(timer)
        return True

    # ----------------------------------------------------------------- suspend

    def suspend(self, body: BehaviourBody) -> None:
        """Hold messages back until :meth:`resume`."""
        self.suspended = True
        self.paused = self.disarm(body) or self.paused

    async def resume(self, body: BehaviourBody) -> None:
        """Handle what was held back, in order; with nothing held back a timeout begins anew."""
        self.suspended = False
        paused, self.paused = self.paused, False
        if paused and not self.held:
            self.arm(body, self.patience, self.says)
        while self.held and not self.suspended:
            following = self.message(body, self.held.popleft())
            if following is not None:
                await following
        self.relax(body)
