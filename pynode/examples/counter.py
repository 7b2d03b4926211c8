"""A GenServer that Elixir calls.

$ python -m pynode.examples.counter

$ iex --sname someone@localhost
iex> counter = {:counter, :py@localhost}
iex> GenServer.call(counter, :bump)
11
iex> GenServer.call(counter, {:add, 5})
16
iex> GenServer.cast(counter, :reset)
:ok
iex> GenServer.call(counter, {:add, "five"})         # crashes it, as it should
** (exit) exited in: GenServer.call({:counter, :py@localhost}, {:add, "five"}, 5000)
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from pynode import Caller, FunctionClause, GenServer, Node, atom


class Counter(GenServer):
    """Counts."""

    def init(self, start: int) -> None:
        """Begin at ``start``."""
        self.count = start

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer with the new count."""
        match request:
            case atom.bump:
                self.count += 1
                return self.count
            case (atom.add, int(number)):
                self.count += number
                return self.count
            case _:
                raise FunctionClause(request)

    def handle_cast(self, request: Any) -> None:
        """Begin again."""
        match request:
            case atom.reset:
                self.count = 0
            case _:
                raise FunctionClause(request)


async def main() -> None:
    """Serve until Ctrl-C."""
    async with Node("py@localhost") as node:
        await node.start(Counter, 10, name="counter")
        print("counter is ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
