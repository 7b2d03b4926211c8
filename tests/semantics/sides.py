"""The two sides of a pair, and the hand that moves the actors on them.

A :class:`Side` can make actors; everything else is said to the actors in messages.  A pair is
two sides and, where they are two nodes, a way to cut the connection between them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pynode.process import Process, Runtime
from pynode.terms import Atom, Pid, atom
from tests.semantics.actor import DO, Actor

#: Seconds that anything may take; waited out only where a test fails.
DEADLINE = 10.0


INFINITY = Atom("infinity")


class Badarg(Exception):
    """The operation raised on the actor's side."""


class Hand:
    """Tells actors what to do, from the process ``main`` of one runtime."""

    def __init__(self, main: Process) -> None:
        self.main = main

    def tell(self, pid: Pid, operation: str, *args: Any) -> Any:
        """Begin an operation; return its reference."""
        runtime = self.main.runtime
        ref = runtime.make_ref()
        runtime.send(self.main, pid, (DO, self.main.pid, ref, Atom(operation), list(args)))
        return ref

    async def told(self, ref: Any) -> Any:
        """Return the outcome of an operation."""
        answer = await self.main.receive(
            lambda message: type(message) is tuple and message[1] == ref, timeout=DEADLINE
        )
        if answer[0] == atom.failed:
            raise Badarg(answer[2])
        return answer[2]


class Acting:
    """One actor."""

    def __init__(self, hand: Hand, pid: Pid) -> None:
        self._hand = hand
        self.pid = pid

    async def do(self, operation: str, *args: Any) -> Any:
        """Have an operation done, and return its result."""
        return await self._hand.told(self._hand.tell(self.pid, operation, *args))

    def begin(self, operation: str, *args: Any) -> None:
        """Have an operation done, without waiting: for those that end the actor."""
        self._hand.tell(self.pid, operation, *args)

    def ask(self, operation: str, *args: Any) -> Awaitable[Any]:
        """Have an operation begun now; what is returned waits for its result."""
        return self._hand.told(self._hand.tell(self.pid, operation, *args))

    def call(self, dest: Any, request: Any, timeout: Any = INFINITY) -> Awaitable[Any]:
        """Begin a call; what is returned gives ``{ok, Reply}`` or ``{exited, Reason}``."""
        return self.ask("call", dest, request, timeout)

    async def next(self) -> Any:
        """Return the next message that the actor has got, or gets."""
        return await self.do("next")

    async def kept(self) -> list[Any]:
        """Return the messages that the actor has got and not handed out."""
        messages: list[Any] = await self.do("kept")
        return messages


class Side(NamedTuple):
    """One side: where it is, and how an actor is made there."""

    node: Atom
    make: Callable[[], Awaitable[Acting]]
    #: A pid of an earlier life of that node.
    stale: Callable[[Pid], Pid]


class Pair(NamedTuple):
    """Two sides; ``cut`` loses the connection between them, None where they are one node."""

    a: Side
    b: Side
    cut: Callable[[], Awaitable[None]] | None


def python_side(runtime: Runtime, hand: Hand) -> Side:
    """A side in a runtime of this very program."""

    async def make() -> Acting:
        return Acting(hand, runtime.spawn(Actor()).pid)

    return Side(runtime.node_name, make, stale)


def stale(pid: Pid) -> Pid:
    """Return ``pid`` as an earlier life of its node would have had it."""
    return Pid(pid.node, pid.id, pid.serial, pid.creation + 1)


MARK = Atom("mark")


async def nothing_more(sender: Acting, receiver: Acting) -> None:
    """Assert that ``receiver`` has no message, and gets none of ``sender``'s earlier signals.

    The marker that ``sender`` sends now comes after whatever it caused before: so this is also
    the way to be sure that a signal of one actor has arrived, before the hand, which may speak
    from a third node, has the other do something.
    """
    await sender.do("send", receiver.pid, MARK)
    assert await receiver.next() == MARK
