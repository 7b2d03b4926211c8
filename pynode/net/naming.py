"""Names that peers give: the one this node gets, and those that it invents for others.

A node without a name of its own (``-sname undefined``) is named by the first peer it connects to,
and has that name for as long as the connection lasts.

Source: ``net_kernel.erl``, ``dist_util.erl``; "Distribution Protocol", section "Distribution
Handshake".
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from pynode.terms.atom import Atom

if TYPE_CHECKING:
    from collections.abc import Container

    from pynode.dist.seam import Peer
    from pynode.net.handshaking import Attempt
    from pynode.net.link import Link
    from pynode.net.net import Net

__all__ = ["SMALL_CREATION", "InventedNames", "Naming", "new_creation"]

#: Hosts whose invented names are remembered; the dialler says which host it is.
MOST_NAME_HOSTS: Final = 1000
#: Creations up to this one are those of EPMDs of old, of two bits.
SMALL_CREATION: Final = 3
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def new_creation() -> int:
    """Return a creation of 32 bits, by chance."""
    first = SMALL_CREATION + 1
    return first + secrets.randbelow(2**32 - first)


class InventedNames:
    """Invents names for peers that want one; a name that is free again comes first."""

    def __init__(self) -> None:
        self._free: dict[str, list[tuple[str, int]]] = {}

    def hosts(self) -> list[str]:
        """Return the hosts that have names that are free again, the latest last."""
        return list(self._free)

    def invent(self, host: str, taken: Container[Atom]) -> tuple[str, int]:
        """Return a name at ``host`` that is not among ``taken``, and its creation."""
        free = self._free.get(host, [])
        while True:
            if free:
                name, creation = free.pop(0)
            else:
                name, creation = f"{_base36(secrets.randbits(64))}@{host}", new_creation()
            if Atom(name) not in taken:
                return name, creation

    def free_again(self, peer: Peer) -> None:
        """Take back the name of a peer that is gone; the next to have it has the next creation."""
        host = peer.name.name.partition("@")[2]
        creation = (peer.creation + 1) & 0xFFFFFFFF
        entry = (peer.name.name, max(creation, SMALL_CREATION + 1))
        self._free.setdefault(host, []).append(entry)
        if len(self._free) > MOST_NAME_HOSTS:
            del self._free[next(iter(self._free))]


class Naming:
    """The wait of a node without a name for the attempt that brings it one."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._attempt: Attempt | None = None
        self._waiting: list[asyncio.Future[None]] = []
        #: The connection that brought the name.
        self.giver: Link | None = None

    async def turn(self, attempt: Attempt) -> None:
        """Without a name, one attempt at a time: the first that succeeds names all others."""
        net = self._net
        while net.nameless and self._attempt is not None:
            waiter: asyncio.Future[None] = net.loop.create_future()
            self._waiting.append(waiter)
            await waiter
        if net.nameless:
            self._attempt = attempt

    def over(self, attempt: Attempt) -> None:
        """Let the next one try, if ``attempt`` was the one that may bring the name."""
        if self._attempt is attempt:
            self._attempt = None
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)

    def named_by(self, link: Link) -> None:
        """The name has come by ``link``: all who wait go on with it."""
        self.giver = link
        assert self._attempt is not None  # noqa: S101
        self.over(self._attempt)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
