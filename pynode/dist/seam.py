"""Where ``net`` and ``process`` meet: two protocols, all calls synchronous.

``net`` moves frames and knows peers; ``process`` owns mailboxes, links and monitors.  Neither
imports the other; :mod:`pynode.node` hands each the other's half.  No call here may await, start
a task or block, because the order between a pair of processes is the contract: what arrives
first is in the mailbox first.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pynode.terms.atom import Atom
from pynode.terms.identifiers import Pid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pynode.dist.assembly import Hole
    from pynode.dist.control import Control
    from pynode.etf.pieces import Encoded

__all__ = ["Outbound", "Payload", "Peer", "Pressure", "SignalSink"]


class Peer:
    """A live connection, as identity: policy and routing trust this, never a pid in a message.

    A peer that goes and comes back is another ``Peer``.
    """

    __slots__ = ("address", "creation", "dynamic", "flags", "hidden", "name")

    def __init__(
        self,
        name: Atom,
        creation: int,
        flags: int,
        *,
        hidden: bool,
        dynamic: bool = False,
        address: Any = None,
    ) -> None:
        self.name = name
        self.creation = creation
        #: The capabilities of this connection: the intersection of both sides' flags.
        self.flags = flags
        #: True unless both sides are visible.
        self.hidden = hidden
        #: The name was invented by the accepting side (NAME_ME).
        self.dynamic = dynamic
        self.address = address

    def __repr__(self) -> str:
        kind = "hidden" if self.hidden else "visible"
        return f"<Peer {self.name} {kind}>"


class Payload(NamedTuple):
    """The undecoded second term of a message.

    ``data`` holds it from ``offset`` on, without the version byte; ``atoms`` is the frame's atom
    cache table that ATOM_CACHE_REF indexes.  ``data`` stays valid after the call.  The content of
    one large binary may be missing in it: the ``hole`` has it.
    """

    data: bytes | memoryview
    offset: int
    atoms: Sequence[Atom | bool | None]
    hole: Hole | None = None

    def joined(self) -> bytes | memoryview:
        """Return the data, without a hole."""
        if self.hole is None:
            return self.data
        at, binary = self.hole
        return b"".join((self.data[:at], binary, self.data[at:]))


class Pressure(IntEnum):
    """What :meth:`Outbound.submit` says of the peer's queue after taking a signal."""

    CLEAR = 0
    BUSY = 1
    """Above the high water: hold the sender at its next await until ``peer_drained``."""


class SignalSink(Protocol):
    """What ``net`` calls; ``process`` implements it.

    Where it has a ``messages``, plain messages go there: the same in C
    (:class:`pynode.dist._compiled.Messages`).
    """

    def peer_up(self, peer: Peer) -> None:
        """A connection is established.  Comes before any signal of it."""

    def control(self, peer: Peer, message: Control, payload: Payload | None) -> None:
        """One signal, in the order of arrival."""

    def peer_down(
        self, node: Atom, peer: Peer | None, reason: Any, cause: Exception | None = None
    ) -> None:
        """A connection is lost, or an automatic connect failed (``peer`` is None then).

        ``cause`` is why it failed, where that is known: what ``connect`` would have raised.

        Every signal submitted for that node before this call and not yet sent is lost.
        ``reason`` is the term that ``nodedown_reason`` has, such as ``connection_closed``.
        """

    def peer_drained(self, node: Atom) -> None:
        """The queue of a peer that was BUSY fell below its low water, or is gone."""

    def batch_begin(self) -> None:
        """The signals of one read follow, and then :meth:`batch_end`, whatever happens."""

    def batch_end(self) -> None:
        """All signals of one read have been given: whoever they woke may run now."""


class Outbound(Protocol):
    """What ``process`` calls; ``net`` implements it."""

    def submit(
        self, node: Atom, sender: Pid, message: Control, payload: Encoded | None = None
    ) -> Pressure:
        """Queue a signal to ``node``, connecting first where there is no connection.

        Signals of one ``sender`` to one node keep their order.  ``payload`` is an encoded term
        without the version byte (:func:`pynode.etf.encode_pieces`).

        Raises:
            PeerBusy: above ``Limits.peer_queue_bytes``; nothing was queued.
        """

    def hurry(self) -> None:
        """Somebody waits for the answer to what was submitted: write it now rather than soon."""

    def agreed_flags(self, node: Atom) -> int:
        """Return the flags of the connection to ``node``; 0 where there is none."""

    def disconnect(self, node: Atom, reason: Any) -> bool:
        """End the connection to ``node``, or the attempt to make one; False: there is neither.

        Synchronous: ``peer_down`` has been called when it returns.
        """

    def request_connect(self, node: Atom) -> None:
        """Begin to connect to ``node`` where there is no connection, and return at once.

        A failure comes as ``peer_down``, as that of a connection that a signal has caused.
        """
