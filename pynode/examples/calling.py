"""Python as the caller: functions, servers, monitors and names of an Elixir node.

$ iex --sname node1@localhost
iex> {:ok, agent} = Agent.start(fn -> [] end)
iex> :global.register_name(~c"notes", agent)

$ python -m pynode.examples.calling
node1@localhost says 6
after a note: ['from Python']
it has ended: killed
"""

from __future__ import annotations

import asyncio
import sys

from pynode import ConnectError, Node, atom, charlist, elixir

NODE1 = "node1@localhost"


async def main() -> None:
    """Call, cast, look up, watch."""
    async with Node("py@localhost") as node:
        await node.connect(NODE1)

        # Any function there; a str is a binary in Elixir, and a binary comes back as bytes.
        total = await node.rpc.call(NODE1, "Elixir.Enum", "sum", [[1, 2, 3]])
        print(f"{NODE1} says {total}")

        # A process by its global name: any term but a str, here the charlist ~c"notes".
        await node.global_.sync()
        notes = await node.global_.whereis_name(charlist("notes"))
        if notes is None:
            sys.exit("nobody is registered as ~c'notes'")

        # A GenServer's protocol.  An Agent runs functions that are named, from here.
        add = (elixir("List"), atom.insert_at, [0, "from Python"])
        await node.call(notes, (atom.update, add))
        get: object = (elixir("Function"), atom.identity, [])
        print("after a note:", await node.call(notes, (atom.get, get), text=True))

        # Monitors and exit signals are as in Erlang.
        ref = node.monitor(notes)
        node.exit(notes, atom.kill)
        down = await node.main.receive(lambda message: message[:2] == (atom.DOWN, ref))
        print("it has ended:", down[4].name)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except ConnectError as error:
        sys.exit(str(error))
