"""What global's parts ask of the node around them: two protocols, no I/O of their own.

:class:`ServerHost` is what the name server asks for; every call is synchronous, so that one
message is handled whole before the next.  :class:`Ports` is what a *sequential* part may do
(the locker, the registrar, a program that sets a lock): it waits for answers, so its calls are
coroutines.  The node gives both a real implementation (:mod:`.processes`); the tests give both
one in memory, which delivers in any order that Erlang's signals could take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pynode.terms.atom import Atom
    from pynode.terms.identifiers import Pid, Reference

__all__ = ["NO_MESSAGE", "Caller", "Ports", "ServerHost"]

#: ``{Pid, Tag}``, the From of a gen call.
Caller = tuple[Any, Any]


class _NoMessage:
    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_MESSAGE"


#: What :meth:`Ports.receive` returns when its time is up.
NO_MESSAGE: Final = _NoMessage()


class ServerHost(Protocol):
    """What the name server asks of its node."""

    def cast(self, node: Atom, message: Any) -> None:
        """Cast to the name server of ``node``, connecting first where that is needed."""

    def send(self, node: Atom, message: Any) -> None:
        """Send a plain message to the name server of ``node``, if it is connected."""

    def to_locker(self, message: Any) -> None:
        """Send a message to this node's locker."""

    def reply(self, caller: Caller, answer: Any) -> None:
        """Answer a gen call whose handler answered nothing."""

    def monitor(self, pid: Pid) -> Reference:
        """Monitor ``pid``; its end comes back as :meth:`NameServer.down`."""

    def demonitor(self, ref: Reference) -> None:
        """End a monitor; no :meth:`NameServer.down` of it may come any more."""

    def is_alive(self, pid: Pid) -> bool:
        """Say whether a process of this node lives."""

    def disconnect(self, node: Atom) -> None:
        """Close the connection to ``node``; its nodedown comes in its own time."""

    def greet(self, node: Atom) -> None:
        """Connect to ``node``, then cast ``{in_sync, node(), true}`` to it.

        If it cannot be reached: :meth:`NameServer.extra_nodedown`.
        """

    def watch(self, node: Atom) -> None:
        """Connect to ``node``; if it cannot be reached: :meth:`NameServer.sync_lost`."""

    def start_resolver(self, node: Atom, tag: int, names: list[tuple[Any, Pid, Any]]) -> None:
        """Resolve what ``node`` sent; ends with :meth:`NameServer.exchange_ops`."""

    def stop_resolver(self, node: Atom) -> None:
        """Kill the resolver for ``node``, where there is one."""

    def ask_again(self, name: Any, caller: Caller) -> None:
        """After a random while, call :meth:`NameServer.whereis_call` again."""


class Ports(Protocol):
    """What a sequential part of global may do, as the process ``pid`` of ``node``."""

    @property
    def node(self) -> Atom:
        """This node."""

    @property
    def pid(self) -> Pid:
        """The process that acts: the holder of the locks it sets."""

    async def multi_call(self, nodes: Iterable[Atom], request: Any) -> list[tuple[Atom, Any]]:
        """Call the name servers of ``nodes``; return the answers of those that gave one."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def receive(
        self, match: Callable[[Any], bool] | None = None, timeout: float | None = None
    ) -> Any:
        """Take the first message that matches, or :data:`NO_MESSAGE` after ``timeout``."""

    def cast(self, node: Atom, message: Any) -> None:
        """Cast to the name server of ``node``, as this process."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
