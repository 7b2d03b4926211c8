"""A bare process: it has a mailbox, and takes from it what it likes, when it likes.

    $ python -m pynode.examples.echo

    $ iex --sname someone@localhost
    iex> send({:echo, :py@localhost}, {self(), "Hello"})
    iex> flush()
    {#PID<12345.8.0>, "Hello"}

A message does not say who sent it, so one that wants an answer carries a pid.
"""

from __future__ import annotations

import asyncio
import contextlib

from pynode import Node, Pid, Process, atom, self_, send


async def echo(process: Process) -> None:
    """Send back what comes with a pid, until told to stop."""
    async for message in process:
        match message:
            case (Pid() as sender, body):
                send(sender, (self_(), body))
            case atom.stop:
                return


async def main() -> None:
    """Serve until Ctrl-C, or until the process has been stopped."""
    async with Node("py@localhost") as node:
        _, ended = node.spawn_monitor(echo, name="echo")
        print("echo is ready", flush=True)
        await node.main.receive(lambda message: message[:2] == (atom.DOWN, ended))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
