"""One worker of a PubSub's pool: the process that the other nodes send broadcasts to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pynode.shown import shown
from pynode.terms import Atom, Reference, atom

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["FORWARD", "Worker"]

logger = logging.getLogger("pynode.phoenix")

#: ``{forward_to_local, Topic, Message, Dispatcher}``, to the member of a group.
FORWARD: Final = atom.forward_to_local
_DOWN: Final = atom.DOWN


class Worker:
    """Registered under its group's name, and its node's one member of that group.

    Other messages than its own are dropped, as Phoenix does; and nothing that a message brings
    about here, a dispatcher's exception for one, ends the process.
    """

    def __init__(
        self,
        runtime: Runtime,
        group: Atom,
        forwarded: Callable[[Process, bytes, Any, Atom], None],
        down: Callable[[Reference, Any], None],
        ended: Callable[[Worker], None],
    ) -> None:
        self._runtime = runtime
        self._forwarded = forwarded
        self._down = down
        self._ended = ended
        self.group = group
        self.process: Process = runtime.spawn(self, name=group)
        # When the node stops it stays to the end: what ends meanwhile may still broadcast.
        runtime.system.add(self.process)

    def start(self, process: Process) -> None:
        """Body: nothing to do."""

    def message(self, process: Process, message: Any) -> None:
        """Body: one message."""
        try:
            match message:
                case (tag, bytes() as topic, term, Atom() as dispatcher) if tag == FORWARD:
                    self._forwarded(process, topic, term, dispatcher)
                case (tag, Reference() as ref, _, what, _) if tag == _DOWN:
                    self._down(ref, what)
        except Exception:
            logger.exception("%s: could not handle %r", self.group, shown(message))

    def terminated(self, process: Process, reason: Any) -> None:
        """Body: somebody has ended this process, or its PubSub has stopped."""
        self._runtime.system.discard(process)
        self._ended(self)
