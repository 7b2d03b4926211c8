"""A RabbitMQ broker from the inside: its node is a BEAM, and Python joins it.

$ PYNODE_COOKIE=$(sudo cat /var/lib/rabbitmq/.erlang.cookie) \
    python -m pynode.examples.rabbitmq rabbit@myhost
rabbit@myhost runs RabbitMQ 3.10.8
queue jobs: 2 messages
connection of guest from 127.0.0.1
watching rabbit@myhost
rabbit@myhost is down: noconnection
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

from pynode import ConnectError, Node, atom


async def main(broker: str) -> None:
    """Look, and then watch until the broker goes down."""
    # A visitor: the broker gives it a name, and does not count it as one of its cluster.
    long_names = "." in broker.partition("@")[2]
    async with Node(None, long_names=long_names) as node:
        await node.connect(broker)
        ref = node.monitor(("rabbit", broker))

        async def ask(module: str, function: str, *arguments: Any) -> Any:
            return await node.rpc.call(broker, module, function, arguments, timeout=30, text=True)

        print(f"{broker} runs RabbitMQ {await ask('rabbit', 'product_version')}")
        for host in await ask("rabbit_vhost", "list_names"):
            for facts in await ask("rabbit_amqqueue", "info_all", host, [atom.name, atom.messages]):
                # A list of pairs; the name is {resource, VirtualHost, queue, Name}.
                queue = dict(facts)
                print(f"queue {queue[atom.name][3]}: {queue[atom.messages]} messages")
        wanted = [atom.user, atom.peer_host]
        for facts in await ask("rabbit_networking", "connection_info_all", wanted):
            connection = dict(facts)
            address = ".".join(map(str, connection[atom.peer_host]))
            print(f"connection of {connection[atom.user]} from {address}")

        print(f"watching {broker}")
        down = await node.main.receive(lambda message: message[:2] == (atom.DOWN, ref))
        print(f"{broker} is down: {down[4]}")


if __name__ == "__main__":
    given = sys.argv[1:] or [f"rabbit@{socket.gethostname().partition('.')[0]}"]
    try:
        asyncio.run(main(given[0]))
    except ConnectError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
