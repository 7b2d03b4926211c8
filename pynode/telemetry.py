"""Counters and hooks: what a node did, and a way to be told when it does.

Counters are plain integers on a :class:`Telemetry`, never reset by the package.  Those of traffic
are kept with each connection and added here when it ends; :meth:`pynode.net.Net.counters` adds up
both.  Hooks are functions that the program attaches to an event by name;
while none is attached, an event costs one ``if``::

    node.telemetry.attach("node_up", lambda event: print(event.name, event.facts))

Events, and the facts they carry:

==================  =====================================================================
``node_up``         ``node``, ``hidden``, ``incoming``, ``seconds`` (how long it took to set up)
``node_down``       ``node``, ``reason`` (the term of ``nodedown_reason``)
``connect_failed``  ``node``, ``error`` (the :class:`pynode.errors.ConnectError`)
``refused``         ``address``, ``node`` (None before the name is known), ``error``: an
                    incoming connection that did not become one
``peer_busy``       ``node``, ``queued_bytes``: its output queue passed the high water
``peer_drained``    ``node``
``tick_timeout``    ``node``
``epmd_registered`` ``creation``, ``port``
``epmd_lost``       EPMD closed the kept registration
``epmd_started``    ``addresses``, ``port``: an embedded EPMD was started
==================  =====================================================================

Rooms above ``net`` add events of their own under their own names.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Event", "Hook", "Telemetry"]

_log = logging.getLogger("pynode.telemetry")


class Event(NamedTuple):
    """One event: its name and its facts."""

    name: str
    facts: dict[str, Any]


Hook: TypeAlias = Callable[[Event], object]


class Telemetry:
    """The counters of one node, and the hooks attached to its events."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "connections_down",
        "connections_failed",
        "connections_up",
        "frames_in",
        "frames_out",
        "hooks",
        "messages_in",
        "messages_out",
        "refused",
        "ticks_in",
        "ticks_out",
    )

    def __init__(self) -> None:
        #: Connections that were established, and that were lost again.
        self.connections_up = 0
        self.connections_down = 0
        #: Attempts of our own that failed.
        self.connections_failed = 0
        #: Incoming connections that did not complete the handshake.
        self.refused = 0
        #: Bytes read from and written to connected peers, handshakes excluded.
        self.bytes_in = 0
        self.bytes_out = 0
        #: Frames that came, ticks excluded; a fragment is a frame.
        self.frames_in = 0
        #: Frames for what was taken from the runtime, those that still wait among them; of a
        #: large message, the fragments that were begun.
        self.frames_out = 0
        self.ticks_in = 0
        self.ticks_out = 0
        #: Signals handed to the runtime, and taken from it.
        self.messages_in = 0
        self.messages_out = 0
        #: Event name to the hooks attached to it; empty while nobody listens.
        self.hooks: dict[str, list[Hook]] = {}

    def attach(self, event: str, hook: Hook) -> Callable[[], None]:
        """Call ``hook`` at each ``event`` from now on, and return what detaches it.

        Hooks run where the event happens, synchronously, and must neither block nor raise; one
        that raises is logged on ``pynode.telemetry`` and stays attached.
        """
        self.hooks.setdefault(event, []).append(hook)

        def detach() -> None:
            attached = self.hooks.get(event, [])
            if hook in attached:
                attached.remove(hook)
            if not attached:
                self.hooks.pop(event, None)

        return detach

    def emit(self, event: str, **facts: Any) -> None:
        """Tell the hooks of ``event``.  Callers on a hot path test ``hooks`` first."""
        for hook in tuple(self.hooks.get(event, ())):
            try:
                hook(Event(event, facts))
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:  # an Exit too, and a cancellation: they are nobody's here
                _log.exception("the hook %r of %r failed", hook, event)

    def snapshot(self) -> dict[str, int]:
        """Return the counters as a dict."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "hooks"}
