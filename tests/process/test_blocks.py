"""What comes and goes by the ten thousand leaves nothing: the interpreter's blocks are counted."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from pynode.behaviours import GenServer, gen, start
from pynode.dist.connection import Connection
from pynode.dist.control import SendSender
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.local import LocalNode
from pynode.dist.seam import Payload, Peer
from pynode.etf import encode_payload
from pynode.process import Process, Runtime
from pynode.terms import Atom, Pid, atom
from tests.process.wire import Wire, until

THEM = Atom("them@host")
SENDER = Pid(THEM, 9, 0, 3)
#: As often is each thing done, in rounds.
ROUNDS, IN_A_ROUND = 12, 1000
#: Blocks that may come between the least of the first rounds and of the last (timers that were
#: cancelled go by the dozen): a thirtieth of what one lost each time would make.
SPARE = ROUNDS * IN_A_ROUND // 2 // 30


async def blocks_after(work: Callable[[], Awaitable[object]]) -> int:
    """Return how many blocks of memory are in use more after ``work`` was done often."""
    found = []
    freed = [contextvars.copy_context() for _ in range(500)]  # Python keeps some that were freed
    del freed
    for _ in range(ROUNDS + 8):
        await work()
        await asyncio.sleep(0)
        gc.collect()
        found.append(sys.getallocatedblocks())
    counted = found[8:]  # caches have filled
    return min(counted[ROUNDS // 2 :]) - min(counted[: ROUNDS // 2])


async def test_frames(runtime: Runtime) -> None:
    peer = Peer(THEM, 3, OUR_FLAGS, hidden=False)
    runtime.peer_up(peer)
    process, named = runtime.spawn(None), runtime.spawn(None, name="named")
    local = LocalNode(str(runtime.node_name), runtime.creation, OUR_FLAGS)
    here = Connection(local, peer, messages=runtime.messages)
    there = Connection(
        LocalNode(str(THEM), 3, OUR_FLAGS), Peer(runtime.node_name, 7, OUR_FLAGS, hidden=False)
    )
    term = encode_payload((atom("$gen_cast"), [b"abc", 1.5, {b"k": atom.v}, SENDER, 2**70]))
    for number in range(IN_A_ROUND):
        there.send(SENDER, SendSender(SENDER, (process, named)[number % 2].pid), term)
    data = b"".join(bytes(piece) for piece in there.data_to_send(1 << 30))

    def on_control(message: Any, payload: Payload | None) -> None:
        runtime.control(peer, message, payload)

    async def work() -> None:
        for at in range(0, len(data), 5000):
            here.receive_data(data[at : at + 5000], on_control)
        for one in (process, named):
            assert one.mailbox is not None
            assert one.mailbox.total() == IN_A_ROUND // 2
            while one.mailbox:
                one.mailbox.take()

    assert await blocks_after(work) < SPARE


class Echo(GenServer):
    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return request

    def handle_cast(self, request: Any) -> None:
        pass


async def test_calls(runtime: Runtime) -> None:
    server = await start(runtime, Echo)

    async def work() -> None:
        for number in range(IN_A_ROUND):
            assert await gen.call(runtime.main, server, (atom.echo, number))
            gen.cast(runtime.main, server, number)

    assert await blocks_after(work) < SPARE


async def test_calls_to_another_node(make_runtime: Any) -> None:
    left, right = make_runtime("left@host"), make_runtime("right@host")
    Wire(left, right)
    server = await start(right, Echo)

    async def work() -> None:
        for number in range(IN_A_ROUND // 10):
            assert await gen.call(left.main, server, (atom.echo, number))

    assert await blocks_after(work) < SPARE


async def test_processes(runtime: Runtime) -> None:
    async def body(process: Process, parent: Pid) -> None:
        message = await process.receive(match=lambda term: term == atom.go, timeout=60)
        runtime.send(process, parent, message)

    async def work() -> None:
        for _ in range(IN_A_ROUND // 10):
            pids = [runtime.spawn(body, runtime.main.pid).pid for _ in range(10)]
            for pid in pids:
                runtime.monitor(runtime.main, pid)
                runtime.link(runtime.main, pid)
                runtime.send(runtime.main, pid, atom.stay)
            await asyncio.sleep(0)
            for pid in pids[:7]:
                runtime.send(runtime.main, pid, atom.go)
            for pid in pids[7:]:
                runtime.unlink(runtime.main, pid)
                runtime.exit(runtime.main, pid, atom.kill)
            for _ in range(17):
                await runtime.main.receive()
        await until(lambda: len(runtime.processes()) == 1)

    assert await blocks_after(work) < SPARE
