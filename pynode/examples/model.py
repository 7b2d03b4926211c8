"""A server that computes for long, in a thread of its own, so that its node goes on serving.

$ python -m pynode.examples.model

$ iex --sname someone@localhost
iex> Task.async(fn -> GenServer.call({:primes, :py@localhost}, {:below, 3_000_000}, 60_000) end)
iex> Node.ping(:py@localhost)                  # answered meanwhile
:pong
iex> flush()                                   # some seconds later
{#Reference<0.1.2.3>, 216816}
{:DOWN, #Reference<0.1.2.3>, :process, #PID<0.150.0>, :normal}
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from pynode import Caller, FunctionClause, GenServer, Node, atom


class Primes(GenServer, blocking=True):
    """Stands for anything that takes long: a model, a query, a library that knows no asyncio."""

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer how many primes there are."""
        match request:
            case (atom.below, int(limit)) if limit > 2:
                sieve = bytearray([1]) * limit
                sieve[:2] = b"\0\0"
                for number in range(2, int(limit**0.5) + 1):
                    if sieve[number]:
                        multiples = range(number * number, limit, number)
                        sieve[number * number :: number] = bytes(len(multiples))
                return sum(sieve)
            case _:
                raise FunctionClause(request)


async def main() -> None:
    """Serve until Ctrl-C."""
    async with Node("py@localhost") as node:
        await node.start(Primes, name="primes")
        print("primes is ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
