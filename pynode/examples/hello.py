"""A function that other nodes run on this one, and whose output comes out over there.

$ python -m pynode.examples.hello
hello@localhost is up

$ iex --sname node1@localhost
iex> Node.spawn_link(:"hello@localhost", fn -> Hello.world end)
hello world
"""

from __future__ import annotations

import asyncio
import contextlib

from pynode import Exports, Node, elixir, puts

hello = Exports(elixir("Hello"))


@hello.export
def world() -> None:
    """Print a line where the group leader of this process is."""
    puts("hello world")


async def main() -> None:
    """Serve until Ctrl-C."""
    async with Node("hello@localhost", expose=[hello]) as node:
        print(f"{node.name} is up", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
