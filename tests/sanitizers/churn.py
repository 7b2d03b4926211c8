"""Processes, servers and calls by the hundred, and whatever they call back does harm.

    python -m tests.sanitizers.churn ROUNDS

Each round is one runtime alone, and every fourth one two nodes that are connected, with a third
that sends what is hostile.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import sys
from collections.abc import Iterable
from typing import Any, Final

from pynode import NO_REPLY, GenServer, Node, Stop, call, monitor, receive, send
from pynode.behaviours import gen, start
from pynode.config import Timeouts
from pynode.net import EpmdServer
from pynode.net.addresses import Endpoint
from pynode.process import Process, Runtime
from pynode.terms import Pid, atom
from tests.net.harness import LOOPBACK, Script
from tests.sanitizers.streams import ME, THEM, Side, chunks, stream
from tests.sanitizers.trouble import REFUSALS, Finalizer, Trouble

ACTORS: Final = 8


class Server(GenServer):
    """Answers at once, later, never, or not any more."""

    def init(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self.left: list[Any] = [Finalizer(trouble)]

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        self.trouble()
        match self.trouble.chance.randrange(6):
            case 0:
                self.left.append(caller)
                return NO_REPLY
            case 1:
                while self.left:
                    one = self.left.pop()
                    if isinstance(one, gen.Caller):
                        one.reply(request)
            case 2:
                raise Stop(atom.enough, reply=atom.ok)
            case 3:
                return self.slowly(request)
        return request

    async def slowly(self, request: Any) -> Any:
        await asyncio.sleep(0)
        self.trouble()
        await receive(match=self.trouble.accepts, timeout=0.001)
        return request

    def handle_cast(self, request: Any) -> None:
        self.trouble()

    async def handle_info(self, message: Any) -> None:
        self.trouble()
        if self.trouble.chance.random() < 0.2:
            await asyncio.sleep(0)

    def terminate(self, reason: Any) -> None:
        self.trouble()


class Body:
    """The same without a behaviour."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self.final = Finalizer(trouble)

    def start(self, process: Process) -> Any:
        self.trouble()
        return self.later(process) if self.trouble.chance.random() < 0.3 else None

    def message(self, process: Process, message: Any) -> Any:
        self.trouble()
        if self.trouble.chance.random() < 0.05:
            raise ValueError("as bodies do")
        return self.later(process) if self.trouble.chance.random() < 0.2 else None

    async def later(self, process: Process) -> None:
        await process.receive(match=self.trouble.accepts, timeout=0.001)
        self.trouble()

    def terminated(self, process: Process, reason: Any) -> None:
        self.trouble()


async def actor(process: Process, trouble: Trouble) -> None:
    """Do what processes do, to whomever."""
    final = Finalizer(trouble)
    process.dictionary[final] = process
    chance = trouble.chance
    for _ in range(12):
        target = trouble.target()
        with contextlib.suppress(*REFUSALS, TimeoutError):
            match chance.randrange(7):
                case 0:
                    await call(target, (atom.question, 1), timeout=0.002)
                case 1:
                    monitor(target)
                    send(target, (atom.told, process.pid))
                case 2:
                    await process.receive(match=trouble.accepts, timeout=0.001)
                case 3:
                    trouble.runtime.link(process, target)
                case 4:
                    slot = trouble.runtime.open_call(process, target)
                    slot.add_done_callback(trouble)
                    send(target, (atom("$gen_call"), (process.pid, slot.tag), atom.x))
                    await slot.wait(0.001)
                case 5:
                    async with asyncio.timeout(0.001):
                        await process.receive(match=trouble.accepts)
                case _:
                    trouble()


async def populate(trouble: Trouble, others: Iterable[Pid] = ()) -> None:
    """Start some of each kind."""
    runtime = trouble.runtime
    trouble.pids += others
    for number in range(ACTORS):
        with contextlib.suppress(*REFUSALS):
            pid = await start(runtime, Server, trouble, name=f"server{number}")
            trouble.pids.append(pid)
            trouble.victims.append(runtime.spawn(Body(trouble), trap_exit=number % 2 == 0))
            trouble.victims.append(runtime.spawn(actor, trouble, text=number % 3 == 0))


async def tasks(trouble: Trouble) -> None:
    """Tasks that are no processes wait for replies and messages, and are cancelled."""
    runtime = trouble.runtime
    waiting = []
    for _ in range(6):
        with contextlib.suppress(*REFUSALS):
            target = trouble.target()
            waiting.append(asyncio.ensure_future(gen.call(runtime.main, target, 1, timeout=0.01)))
            waiting.append(asyncio.ensure_future(runtime.main.receive(match=trouble.accepts)))
    for turn in range(6):
        await asyncio.sleep(0)
        trouble()
        if turn > 2 and waiting:
            waiting.pop(trouble.chance.randrange(len(waiting))).cancel()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def alone(chance: random.Random) -> int:
    """One runtime; return how often there was trouble."""
    runtime = Runtime(ME, 7)
    trouble = Trouble(chance, runtime, 0.2)
    for _ in range(2):
        await populate(trouble)
        await tasks(trouble)
        await asyncio.sleep(0.002)
    await runtime.stop(0.01)
    trouble.often = 0.0
    assert not any(runtime.pending().values()), runtime.pending()
    return trouble.made


async def hostile(chance: random.Random, node: Node) -> None:
    """Be a node that sends what it must not."""
    runtime = Runtime(ME, 7)
    data = stream(chance, Side(runtime, quick=False))
    await runtime.stop(0)
    script = await Script.connect(node.net.port)
    try:
        await script.shake_hands(str(THEM).replace("host", "localhost"))
        for piece in chunks(chance, data):
            script.write_raw(piece)
            if chance.random() < 0.05:
                await asyncio.sleep(0)
        script.writer.write_eof()
        await script.read_end()
    except (OSError, EOFError):
        pass
    finally:
        await script.close()


async def connected(chance: random.Random) -> int:
    """Two nodes; return how often there was trouble."""
    epmd = EpmdServer(asyncio.get_running_loop())
    epmd.start([Endpoint(*LOOPBACK)], 0)
    made = 0
    try:
        options: Any = {"cookie": "cookie", "epmd_port": epmd.port, "start_epmd": False}
        options["timeouts"] = Timeouts(stop=0.05)
        async with Node("a@localhost", **options) as a, Node("b@localhost", **options) as b:
            await a.connect(b.name)
            troubles = [Trouble(chance, node.runtime, 0.1) for node in (a, b)]
            for one, other in (troubles, troubles[::-1]):
                await populate(one)
                other.pids += [process.pid for process in one.victims]
            troubles[0].more.append(lambda: chance.random() < 0.1 and a.disconnect(b.name))
            for trouble in troubles:
                await tasks(trouble)
            await hostile(chance, b)
            await asyncio.sleep(0.002)
            made = sum(trouble.made for trouble in troubles)
            for trouble in troubles:
                trouble.often = 0.0
    finally:
        epmd.stop()
    return made


async def run(rounds: int) -> int:
    """Return how often there was trouble."""
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    logging.disable()
    gc.set_threshold(50)
    made = 0
    for number in range(rounds):
        made += await alone(random.Random(number))
        if number % 4 == 0:
            made += await connected(random.Random(number))
    assert not complaints, complaints[0]
    return made


if __name__ == "__main__":
    print(asyncio.run(run(int(sys.argv[1]))))
