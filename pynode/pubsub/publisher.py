"""Passes each message on to every subscriber."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynode.behaviours import gen
from pynode.behaviours.gen_server import GenServer
from pynode.errors import FunctionClause
from pynode.pubsub._acting import acting
from pynode.pubsub.subscription_manager import SubscriptionManager
from pynode.pubsub.wording import spoken
from pynode.terms import Pid, Reference, TermMap, atom

if TYPE_CHECKING:
    from pynode.behaviours.gen import Caller
    from pynode.behaviours.names import ServerRef
    from pynode.node import Node

__all__ = ["Publisher"]


class Publisher(GenServer):
    """The server: ``await node.start(Publisher)``.

    It takes the casts ``{subscribe, Name, Pid}``, ``{unsubscribe, Name}``, ``{notify, Message}``
    and the call ``subscribers``.  A subscriber is an event manager, and gets
    ``{notify, Message}`` (``GenEvent.notify/2``).  It is monitored, and forgotten when it dies or
    its node is lost.

    The static functions are the client's; they speak to a publisher of either language, as the
    current process, or as ``node`` where there is none.
    """

    subscriptions: Pid
    monitors: TermMap

    async def init(self) -> None:
        """Start the agent that holds the subscriptions."""
        self.monitors = TermMap()
        self.subscriptions = await self.node.start(SubscriptionManager, link=True)

    async def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer who is subscribed."""
        match request:
            case atom.subscribers:
                return await SubscriptionManager.get_all(self.subscriptions)
            case _:
                raise FunctionClause(request)

    async def handle_cast(self, request: Any) -> None:
        """Subscribe, unsubscribe, pass on."""
        match request:
            case (atom.subscribe, name, Pid() as pid):
                self._demonitor(name)
                await SubscriptionManager.put(self.subscriptions, name, pid)
                self.monitors[name] = self.node.monitor(pid)
            case (atom.unsubscribe, name):
                await SubscriptionManager.delete(self.subscriptions, name)
                self._demonitor(name)
            case (atom.notify, message):
                subscribers = await SubscriptionManager.get_all(self.subscriptions)
                for pid in subscribers.values():
                    self.node.send(pid, (atom.notify, message))
            case _:
                raise FunctionClause(request)

    async def handle_info(self, message: Any) -> None:
        """Forget a subscriber that is gone."""
        match message:
            case (atom.DOWN, Reference() as ref, atom.process, _, _):
                for name in [name for name, held in self.monitors.items() if held == ref]:
                    del self.monitors[name]
                    await SubscriptionManager.delete(self.subscriptions, name)

    def _demonitor(self, name: Any) -> None:
        held = self.monitors.pop(name, None)
        if held is not None:
            self.node.demonitor(held, flush=True)

    # ----------------------------------------------------------------- client

    @staticmethod
    def subscribe(publisher: ServerRef, name: Any, pid: Pid, *, node: Node | None = None) -> None:
        """Subscribe the event manager ``pid`` as ``name``; the publisher reads it later.

        Raises:
            TypeError: ``name`` is a str, which is no name in Elixir; ``charlist(...)`` is.
        """
        gen.cast(acting(node), publisher, (atom.subscribe, _name(name), pid))

    @staticmethod
    def unsubscribe(publisher: ServerRef, name: Any, *, node: Node | None = None) -> None:
        """End the subscription of ``name``; for ``str`` as in :meth:`subscribe`."""
        gen.cast(acting(node), publisher, (atom.unsubscribe, _name(name)))

    @staticmethod
    def notify(publisher: ServerRef, message: Any, *, node: Node | None = None) -> None:
        """Send ``message`` to every subscriber, and print that it was published."""
        gen.cast(acting(node), publisher, (atom.notify, message))
        print(f"I have published: '{spoken(message)}'", flush=True)

    @staticmethod
    async def subscribers(publisher: ServerRef, *, node: Node | None = None) -> Any:
        """Return the map of names and pids; raises what :func:`pynode.call` raises."""
        return await gen.call(acting(node), publisher, atom.subscribers)


def _name(name: Any) -> Any:
    if isinstance(name, str):
        # It would become a binary, and `~c"subs_node2"` on the other side would not find it.
        raise TypeError(
            f"a subscriber's name is any term, and a str could be several: "
            f"charlist({name!r}), atom({name!r}) or {name.encode()!r}"
        )
    return name
