"""How many attempts of our own are under way at once, and how many nodes wait for theirs.

A signal to a node without a connection dials it, and a pid in a peer's message may name any node
there could be: a peer that has us answer thousands of forged callers would have us look up
thousands of hosts.  So of the attempts that signals ask for, and global's, ``Limits.dials`` are
under way at once; the others wait for a place, in their order, and where ``Limits.waiting_dials``
wait already a node is not dialled, which is as if it could not be reached.  What the program
itself connects to waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from pynode.errors import ConnectError

if TYPE_CHECKING:
    from pynode.net.handshaking import Attempt, Dial
    from pynode.net.net import Net

__all__ = ["Dialling"]

_log = logging.getLogger("pynode.net")

#: That nodes are not dialled is told once in so many seconds.
_TELL_EVERY: Final = 10.0


class Dialling:
    """The places for our own attempts."""

    def __init__(self, net: Net) -> None:
        self._net = net
        #: Attempts that have a place.
        self.running: set[Attempt] = set()
        #: Those that wait for one, the first first.
        self.waiting: dict[Attempt, asyncio.Future[None]] = {}
        self._refused = 0
        self._told_at = -_TELL_EVERY

    async def turn(self, dial: Dial) -> None:
        """Wait for a place, unless the program itself asks for the connection."""
        if dial in self.running:  # it tries again
            return
        if not (dial.wanted or len(self.running) < self._net.config.limits.dials):
            waiter: asyncio.Future[None] = self._net.loop.create_future()
            self.waiting[dial] = waiter
            await waiter
        self.running.add(dial)

    def hurry(self, dial: Dial) -> None:
        """The program asks for this one now: it waits no longer."""
        dial.wanted = True
        self._let(dial)

    def over(self, attempt: Attempt) -> None:
        """An attempt has ended one way or the other, and gives its place to the next."""
        self.running.discard(attempt)
        self.waiting.pop(attempt, None)
        while self.waiting and len(self.running) < self._net.config.limits.dials:
            self._let(next(iter(self.waiting)))

    def _let(self, attempt: Attempt) -> None:
        waiter = self.waiting.pop(attempt, None)
        if waiter is not None and not waiter.done():
            self.running.add(attempt)
            waiter.set_result(None)

    def refusal(self, node: str) -> ConnectError | None:
        """Return why ``node`` is not dialled, None where it may be; say so in the log."""
        limit = self._net.config.limits.waiting_dials
        if len(self.waiting) < limit:
            return None
        self._refused += 1
        now = self._net.loop.time()
        problem = f"it is not dialled, for {limit} nodes wait for that (Limits.waiting_dials)"
        if now - self._told_at >= _TELL_EVERY:
            self._told_at, count, self._refused = now, self._refused, 0
            _log.warning("no connection: %s: %s; %d such since the last time", node, problem, count)
        return ConnectError(node, problem)
