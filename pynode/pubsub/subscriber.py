"""Prints what it receives."""

from __future__ import annotations

from typing import Any

from pynode.behaviours.gen_event import GenEventHandler
from pynode.pubsub.wording import spoken
from pynode.terms import atom

__all__ = ["Subscriber"]


class Subscriber(GenEventHandler, module="Elixir.Subscriber"):
    """An event manager with itself as its handler: ``await node.start(Subscriber)``.

    Elixir's ``GenEvent`` functions work on its pid: notify, sync_notify, which_handlers, stop.
    """

    def handle_event(self, event: Any) -> None:
        """Print the message."""
        print(f"I have received: '{spoken(event)}'", flush=True)

    def handle_call(self, request: Any) -> Any:
        """Know no request."""
        return (atom.error, atom.unknown_call)
