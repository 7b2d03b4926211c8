"""An event handler, subscribed to Elixir's Publisher (see ``elixir_side``).

    $ cd elixir_side && iex --sname node1@localhost -S mix
    iex> {:ok, manager} = Publisher.start()
    iex> :global.register_name(~c"manager", manager)

    $ python -m pynode.examples.subscriber
    subscribed to #PID<node1@localhost.150.0>

    iex> Publisher.notify(manager, "Hello !!")

:mod:`pynode.pubsub` has this, and the Publisher, ready made.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from pynode import ConnectError, GenEventHandler, Node, atom, charlist


class Printer(GenEventHandler, text=True):
    """Prints what it receives; with ``text=True`` a binary comes as a str."""

    def handle_event(self, event: Any) -> None:
        """Print it."""
        print(f"I have received: '{event}'", flush=True)


async def main() -> None:
    """Subscribe, and print until Ctrl-C."""
    async with Node("py@localhost") as node:
        await node.connect("node1@localhost")
        await node.global_.sync()
        manager = await node.global_.whereis_name(charlist("manager"))
        if manager is None:
            sys.exit("no publisher is registered as ~c'manager'")
        printer = await node.start(Printer)  # an event manager with this handler in it
        node.cast(manager, (atom.subscribe, charlist("subs_python"), printer))
        print("subscribed to", manager, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    except ConnectError as error:
        sys.exit(str(error))
