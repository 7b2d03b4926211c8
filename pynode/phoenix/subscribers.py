"""Subscribers that are not a program's own processes: callbacks, and iterators of messages.

Each has a process of its own behind it, so that it is a subscriber like any other: it has a pid
(for ``broadcast_from``, for dispatchers) and a mailbox that keeps the order.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pynode.behaviours.words import NORMAL
from pynode.errors import Exit, ProcessDead
from pynode.shown import shown
from pynode.terms import Pid

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["Callback", "Messages", "Subscriber"]

logger = logging.getLogger("pynode.phoenix")

#: What is called with each message; may be async.
Subscriber = Callable[[Any], object]


class Callback:
    """The body of a process that calls a function with each message, one at a time.

    An exception of the function is logged, and the next message is served.
    """

    def __init__(self, function: Subscriber) -> None:
        self._function = function
        #: It has unsubscribed from within: the message at hand is its last.
        self.finished = False

    def start(self, process: Process) -> None:
        """Body: nothing to do."""

    def message(self, process: Process, message: Any) -> Coroutine[Any, Any, object] | None:
        """Body: one message."""
        try:
            result = self._function(message)
        except Exception:
            logger.exception("%r failed on %r", self._function, shown(message))
        else:
            if inspect.isawaitable(result):
                return self._wait(result, message)
        self._end_if_finished()
        return None

    async def _wait(self, result: Awaitable[object], message: Any) -> None:
        try:
            await result
        except Exception:
            logger.exception("%r failed on %r", self._function, shown(message))
        self._end_if_finished()

    def _end_if_finished(self) -> None:
        if self.finished:
            raise Exit(NORMAL)

    def terminated(self, process: Process, reason: Any) -> None:
        """Body: nothing to clean up."""


class Messages:
    """The messages of some topics, one after the other; made by :meth:`PubSub.messages`.

    ``async for message in messages`` ends when this is closed, or its PubSub or node stops.
    Messages wait here without bound until they are taken; a cancelled wait loses none.  Leaving
    ``with`` closes it.
    """

    def __init__(self, process: Process, close: Callable[[Pid], None]) -> None:
        self._process = process
        self._close = close

    @property
    def pid(self) -> Pid:
        """The subscriber, for :meth:`PubSub.subscribe` to further topics, or out of some."""
        return self._process.pid

    def close(self) -> None:
        """End the subscriptions, and whatever waits for a message.  May be called again."""
        self._close(self.pid)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._process.receive()
        except ProcessDead:
            raise StopAsyncIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
