"""What an EPMD knows and answers, without its sockets and its clock.

:class:`Registry` is the server of EPMD as a table: requests in, answers out.  Who runs it moves
the bytes, tells which connection asks, whether that one is local, and the time.

Rules, as ``epmd_srv.c`` has them:

- A name belongs to the connection that registered it, and is free again when that one closes.
- Creations count: a new name starts behind the Unix time, a name that comes back gets the next
  number, never 0 to 3.  The last 1,000 names of the past are remembered for that.
- Registering, dumping, killing and stopping are for connections from this host only.
- ``kill`` is refused while a name is registered, ``stop`` always, unless commands are relaxed.

Source: ``epmd_srv.c`` (``node_reg2``, ``do_request``).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pynode.dist import epmd
from pynode.dist.epmd import NodeEntry

__all__ = ["Answer", "Registry"]

#: How many names of the past are remembered with their creation.
MAX_PAST: Final = 1000


class Answer(NamedTuple):
    """What to do with a request: write ``data``, then close unless ``keep``."""

    data: bytes = b""
    keep: bool = False
    """The connection is now the life of a registered name."""
    stop: int | None = None
    """The connection whose name was taken from it, to be closed."""
    end: bool = False
    """EPMD is to end."""


class _Node(NamedTuple):
    entry: NodeEntry
    counter: int
    owner: int


class Registry:
    """The names of one EPMD."""

    def __init__(self, port: int, *, relaxed_command_check: bool = False) -> None:
        #: The port that EPMD tells it listens on.
        self.port = port
        self.relaxed_command_check = relaxed_command_check
        self._live: dict[str, _Node] = {}
        self._past: dict[str, _Node] = {}

    @property
    def names(self) -> dict[str, int]:
        """The registered names and their ports, the newest first."""
        return {name: node.entry.port for name, node in reversed(self._live.items())}

    def register(self, entry: NodeEntry, owner: int, now: int) -> int | None:
        """Register ``entry`` for connection ``owner``; None if the name is taken.

        Args:
            entry: the node.
            owner: any number that names the connection; one connection has one name.
            now: seconds of the Unix clock.
        """
        if entry.name in self._live or any(node.owner == owner for node in self._live.values()):
            return None
        former = self._past.pop(entry.name, None)
        counter = (now if former is None else former.counter) + 1 & 0xFFFFFFFF
        counter = max(counter, 4)
        self._live[entry.name] = _Node(entry, counter, owner)
        return counter

    def unregister(self, owner: int) -> str | None:
        """Free the name of connection ``owner``, and return it."""
        for name, node in self._live.items():
            if node.owner == owner:
                self._forget(name)
                return name
        return None

    def _forget(self, name: str) -> None:
        self._past[name] = self._live.pop(name)
        if len(self._past) > MAX_PAST:
            del self._past[next(iter(self._past))]

    def answer(self, request: epmd.Request, owner: int, *, local: bool, now: int) -> Answer:
        """Answer one request of connection ``owner``.

        Args:
            request: what it asks.
            owner: the number of the connection.
            local: it comes from this host.
            now: seconds of the Unix clock.
        """
        match request:
            case epmd.PortRequest(name):
                node = self._live.get(name)
                return Answer(epmd.port_reply(None if node is None else node.entry))
            case epmd.NamesRequest():
                nodes = reversed(self._live.values())
                return Answer(epmd.names_reply(self.port, (node.entry for node in nodes)))
            case _ if not local:
                return Answer()
            case epmd.AliveRequest(entry):
                creation = self.register(entry, owner, now)
                return Answer(epmd.alive_reply(entry, creation), keep=creation is not None)
            case epmd.DumpRequest():
                live = ((node.entry, node.owner) for node in reversed(self._live.values()))
                past = ((node.entry, node.owner) for node in self._past.values())
                return Answer(epmd.dump_reply(self.port, live, past))
            case epmd.KillRequest():
                if self._live and not self.relaxed_command_check:
                    return Answer(b"NO")
                return Answer(b"OK", end=True)
            case epmd.StopRequest(name):
                return self._stop(name)

    def _stop(self, name: str) -> Answer:
        if not self.relaxed_command_check:
            return Answer()
        node = self._live.get(name)
        if node is None:
            return Answer(b"NOEXIST")
        self._forget(name)
        return Answer(b"STOPPED", stop=node.owner)
