"""A publisher and its subscribers, in one cluster with Elixir's.

The same three modules, with the same messages and texts, are in Elixir in ``elixir_side``; every
role can be played by either language.  By hand::

    async with Node("node2@myhost", cookie="pubsub") as node:
        await node.connect("node1@myhost")
        manager = await node.global_.whereis_name(charlist("manager"))
        subscriber = await node.start(Subscriber)
        Publisher.subscribe(manager, charlist("subs_node2"), subscriber, node=node)
        Publisher.notify(manager, "Hello !!", node=node)
"""

from pynode.pubsub.publisher import Publisher
from pynode.pubsub.subscriber import Subscriber
from pynode.pubsub.subscription_manager import SubscriptionManager

__all__ = ["Publisher", "Subscriber", "SubscriptionManager"]
