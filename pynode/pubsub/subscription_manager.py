"""Who is subscribed: an agent over a map from a subscriber's name to its pid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynode.behaviours.agent import Agent, get, update
from pynode.behaviours.functions import map_functions
from pynode.pubsub._acting import acting
from pynode.terms import Atom, ExportFun, TermMap, elixir

if TYPE_CHECKING:
    from pynode.behaviours.names import ServerRef
    from pynode.node import Node
    from pynode.terms import Pid

__all__ = ["SubscriptionManager"]

_MAP = elixir("Map")
_IDENTITY = ExportFun(elixir("Function"), Atom("identity"), 1)


class SubscriptionManager(Agent):
    """The agent: ``await node.start(SubscriptionManager)``, ``link=True`` for ``start_link``.

    Elixir's ``SubscriptionManager`` can use it, and the functions here can use Elixir's, for both
    ask with ``{Module, Function, Arguments}`` and with captures of named functions.

    Names are any term, by custom charlists.  The functions speak as the current process, or as
    ``node`` where there is none, and raise what :func:`pynode.call` raises.
    """

    functions = map_functions()

    async def init(self) -> None:  # type: ignore[override]
        """Start with no subscriptions."""
        await super().init(TermMap)

    @staticmethod
    async def get_all(agent: ServerRef, *, node: Node | None = None) -> Any:
        """Return the whole map."""
        return await get(acting(node), agent, _IDENTITY)

    @staticmethod
    async def get(agent: ServerRef, name: Any, *, node: Node | None = None) -> Any:
        """Return the pid subscribed as ``name``, or None."""
        return await get(acting(node), agent, (_MAP, Atom("get"), [name]))

    @staticmethod
    async def put(agent: ServerRef, name: Any, pid: Pid, *, node: Node | None = None) -> None:
        """Subscribe ``pid`` as ``name``, in the place of whoever had that name."""
        await update(acting(node), agent, (_MAP, Atom("put"), [name, pid]))

    @staticmethod
    async def delete(agent: ServerRef, name: Any, *, node: Node | None = None) -> None:
        """Forget ``name``."""
        await update(acting(node), agent, (_MAP, Atom("delete"), [name]))
