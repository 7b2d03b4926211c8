"""Phoenix.PubSub 2: subscribe to, and broadcast on, the topics of a Phoenix application.

::

    with PubSub(node, "MyApp.PubSub") as pubsub:
        pubsub.subscribe("rooms:1", print)
        pubsub.broadcast("rooms:1", (atom.hello, "from Python"))

The node joins the groups of the application's PubSub (its default adapter, on ``:pg``) as one
more of its nodes: what is broadcast there arrives here, and the other way round.  The parts:
:mod:`.names` (groups of a PubSub), :mod:`.registry` (who subscribed to what), :mod:`.worker` (the
pool), :mod:`.subscribers` (callbacks and iterators), :mod:`.pubsub`.

What an endpoint broadcasts (``MyAppWeb.Endpoint.broadcast(topic, event, payload)``) is a struct,
and names a dispatcher of its own; with the same two, a broadcast from here reaches the clients of
a channel::

    pubsub.broadcast(
        "rooms:1",
        {
            atom("__struct__"): elixir("Phoenix.Socket.Broadcast"),
            atom.topic: "rooms:1",
            atom.event: "new_msg",
            atom.payload: {"body": "hello"},
        },
        dispatcher="Phoenix.Channel.Server",
    )

Source: phoenix_pubsub 2.2, its modules Phoenix.PubSub and Phoenix.PubSub.PG2.
"""

from .pubsub import Dispatch, PubSub
from .subscribers import Messages

__all__ = ["Dispatch", "Messages", "PubSub"]
