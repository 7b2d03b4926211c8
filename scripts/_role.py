#!/usr/bin/env python3
"""One Python node of the demo: joins, and does what its standard input says, a line at a time.

    publisher           start a Publisher, register it as ~c"manager" in :global
    subscriber NODE     connect to NODE, find the manager, start a Subscriber, subscribe it
    subscribed COUNT    wait until the manager has that many subscribers
    notify MESSAGE      publish MESSAGE
    hello               let others run Hello.world/0
    spawn NODE          have NODE run Hello.world/0

Each is answered with ``role: done`` or ``role: failed: REASON``.  It leaves at the end of input.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from pynode import Node
from pynode.examples.hello import hello
from pynode.pubsub import Publisher, Subscriber
from pynode.terms import charlist

MANAGER = charlist("manager")
DEADLINE_SECONDS = 15


async def manager_of(node: Node) -> Any:
    """Return the publisher; a node that has just joined learns the names a little later."""
    while True:
        manager = await node.global_.whereis_name(MANAGER)
        if manager is not None:
            return manager
        await asyncio.sleep(0.02)


async def obey(node: Node, command: str, argument: str) -> None:
    match command:
        case "publisher":
            publisher = await node.start(Publisher)
            if not await node.global_.register_name(MANAGER, publisher):
                raise RuntimeError("the name is taken")
        case "subscriber":
            await node.connect(argument)
            manager = await manager_of(node)
            subscriber = await node.start(Subscriber)
            name = charlist("subs_" + str(node.name).partition("@")[0])
            Publisher.subscribe(manager, name, subscriber, node=node)
        case "subscribed":
            manager = await manager_of(node)
            # The publisher tells nobody, so it is asked again and again.
            while len(await Publisher.subscribers(manager, node=node)) < int(argument):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        case "notify":
            Publisher.notify(await manager_of(node), argument, node=node)
        case "hello":
            node.expose(hello)
        case "spawn":
            await node.spawn_link(argument, "Elixir.Hello", "world", [])
        case _:
            raise ValueError(f"unknown command {command!r}")


async def main(name: str, cookie: str) -> None:
    commands = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(commands)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    async with Node(name, cookie=cookie) as node:
        print("role: ready", flush=True)
        while line := (await commands.readline()).decode().rstrip("\n"):
            command, _, argument = line.partition(" ")
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await obey(node, command, argument)
            except Exception as error:  # the demo goes on, and shows it
                print(f"role: failed: {command}: {type(error).__name__}: {error}", flush=True)
            else:
                print("role: done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
