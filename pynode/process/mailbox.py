"""The mailbox: order of arrival, selective receive, a front section for priority messages.

A mailbox is two queues.  ``saved`` holds, in order, what some receive has looked at and left;
the deque itself what nobody has looked at.  A receive that waits has seen all of ``saved`` up to
its ``seen``, so a new message is matched once, not the whole mailbox again.

The first ``priority`` messages of ``saved`` are the priority messages (OTP 28): after earlier
ones, before all others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pynode.process._core import stepping
from pynode.process.shared import NOTHING
from pynode.process.task import Waiter
from pynode.terms import to_text

if TYPE_CHECKING:
    from pynode.process.scheduler import Scheduler

__all__ = ["NOTHING", "Mailbox", "Match", "PureMailbox", "Receiver"]

Match: TypeAlias = Callable[[Any], object]

_INDEXED: Final = 64


class Receiver(Waiter):
    """One receive that waits."""

    __slots__ = ("expired", "seen")

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self.seen = 0
        self.expired = False

    def expire(self) -> None:
        """End the wait for lack of time."""
        self.expired = True
        self.wake()


class Mailbox(deque[Any]):
    """The messages of one process."""

    __slots__ = ("priority", "saved", "scanning", "unwanted")

    def __init__(self) -> None:
        super().__init__()
        self.scanning = False
        #: What a match function has had dropped; it goes when the scan is over.
        self.unwanted: list[Match] | None = None
        self.saved: deque[Any] | None = None
        self.priority = 0

    def __bool__(self) -> bool:
        return len(self) > 0 or bool(self.saved)

    def total(self) -> int:
        """Return how many messages wait."""
        return len(self) + (len(self.saved) if self.saved else 0)

    def messages(self) -> list[Any]:
        """Return all messages in order; the mailbox keeps them."""
        return [*(self.saved or ()), *self]

    def push_priority(self, message: Any, receivers: list[Receiver] | None) -> None:
        """Put ``message`` behind the priority messages and before all others."""
        if self.scanning:  # a match function sends to its own process: next in line
            self.appendleft(message)
            return
        if self.saved is None:
            self.saved = deque()
        self.saved.insert(self.priority, message)
        for receiver in receivers or ():
            receiver.seen = min(receiver.seen, self.priority)
        self.priority += 1

    def take(self, receivers: list[Receiver] | None = None) -> Any:
        """Remove and return the first message.  There must be one."""
        if self.saved:
            return self._take_saved(0, receivers)
        return self.popleft()

    def _take_saved(self, index: int, receivers: list[Receiver] | None) -> Any:
        saved = self.saved
        assert saved is not None  # noqa: S101
        message = saved[index]
        del saved[index]
        if index < self.priority:
            self.priority -= 1
        for receiver in receivers or ():
            if receiver.seen > index:
                receiver.seen -= 1
        return message

    def find(
        self,
        match: Match | None,
        receivers: list[Receiver] | None = None,
        receiver: Receiver | None = None,
        *,
        text: bool = False,
    ) -> Any:
        """Remove and return the first message that ``match`` accepts, or return NOTHING.

        What ``receiver`` has seen already is not looked at again.  ``match`` gets the message as
        it is returned, with ``text`` its binaries as str.  What it raises leaves the mailbox as
        it was.

        Raises:
            RuntimeError: ``match`` of another find on this mailbox is under way.
        """
        if self.scanning:
            raise RuntimeError("a match function cannot receive from the mailbox that it looks at")
        if match is None:
            if not self:
                return NOTHING
            message = self.take(receivers)
            return to_text(message) if text else message
        self.scanning = True
        try:
            seen = 0 if receiver is None else receiver.seen
            if self.saved and seen < len(self.saved):
                found = self._find_saved(match, seen, text)
                if found is not None:
                    index, candidate = found
                    self._take_saved(index, receivers)
                    return candidate
            return self._find_unseen(match, text)
        finally:
            self.scanning = False
            if receiver is not None and self.saved is not None:
                receiver.seen = len(self.saved)
            if self.unwanted is not None:
                self._drop_unwanted(receivers)

    def _find_saved(self, match: Match, seen: int, text: bool) -> tuple[int, Any] | None:
        saved = self.saved
        assert saved is not None  # noqa: S101
        unseen: Iterable[Any]
        if len(saved) - seen < _INDEXED:  # near its end a deque is quickly indexed
            unseen = [saved[index] for index in range(seen, len(saved))]
        else:
            unseen = islice(saved, seen, None)
        for index, message in enumerate(unseen, seen):
            if self.unwanted is not None and self._is_unwanted(message):
                continue
            candidate = to_text(message) if text else message
            if match(candidate):
                return index, candidate
        return None

    def _find_unseen(self, match: Match, text: bool) -> Any:
        if self.saved is None:
            self.saved = deque()
        saved = self.saved
        while len(self):
            message = self.popleft()
            try:
                candidate = to_text(message) if text else message
                hidden = self.unwanted is not None and self._is_unwanted(message)
                accepted = not hidden and match(candidate)
            except BaseException:
                self.appendleft(message)
                raise
            if accepted:
                return candidate
            saved.append(message)
        return NOTHING

    def drop(self, unwanted: Match, receivers: list[Receiver] | None = None) -> None:
        """Remove the first message for which ``unwanted`` is true, if there is one.

        In a match function it is no longer seen from now on, and removed when the scan is over.
        """
        if self.scanning:
            if self.unwanted is None:
                self.unwanted = []
            self.unwanted.append(unwanted)
            return
        for index, message in enumerate(self.saved or ()):
            if unwanted(message):
                self._take_saved(index, receivers)
                return
        for index, message in enumerate(self):
            if unwanted(message):
                del self[index]
                return

    def _is_unwanted(self, message: Any) -> bool:
        return any(unwanted(message) for unwanted in self.unwanted or ())

    def _drop_unwanted(self, receivers: list[Receiver] | None) -> None:
        dropped, self.unwanted = self.unwanted, None
        for unwanted in dropped or ():
            self.drop(unwanted, receivers)


#: In Python, whether or not there is a compiled one.
PureMailbox: Final = Mailbox
if not TYPE_CHECKING and stepping is not None:
    Mailbox, Receiver = stepping.Mailbox, stepping.Receiver
