"""What happens within one node: fan-out, processes, growth with size, memory that stays."""

from __future__ import annotations

import asyncio
import gc
import operator
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from pynode import Node, Process, atom, send, spawn
from pynode.terms import Pid
from pynode.testing import Beam
from scripts.benchmark import codec
from scripts.benchmark.memory import resident, server_bytes
from scripts.benchmark.messages import Sink
from scripts.benchmark.rows import MICRO, Row, Scale

__all__ = ["endurance", "fan_out", "growth", "processes"]

#: What a gen_server with a state of three takes on a BEAM of 64 bits.
_BEAM_SERVER: Final = 2858.0
_STOP: Final = atom.stop


def _is_stop(message: Any) -> bool:
    return bool(message == _STOP)


async def _wait(process: Process) -> None:
    await process.receive(_is_stop)


# --------------------------------------------------------------------------- fan-out


async def _subscriber(process: Process, back: Pid) -> None:
    async for _ in process:
        send(back, atom.got)


async def _notifier(
    process: Process, size: int, rounds: int, done: asyncio.Future[tuple[float, list[Pid]]]
) -> None:
    pids = [spawn(_subscriber, process.pid) for _ in range(size)]

    async def notify() -> None:
        for pid in pids:
            send(pid, (atom.notify, b"x"))
        for _ in range(size):
            await process.receive()

    await notify()  # all of them have begun
    begun = time.perf_counter()
    for _ in range(rounds):
        await notify()
    done.set_result((time.perf_counter() - begun, pids))


async def _notified(node: Node, size: int, rounds: int) -> float:
    """Return the seconds of one notify to ``size`` local processes, until all have answered.

    It is a process that notifies and gathers the answers of each round, as on the BEAM.
    """
    done = asyncio.get_running_loop().create_future()
    node.spawn(_notifier, size, rounds, done)
    spent, pids = await done
    await _end(node, pids)
    return float(spent) / rounds


async def _end(node: Node, pids: list[Pid]) -> None:
    for pid in pids:
        node.exit(pid, atom.kill)
    await _settle(node)
    while node.runtime.pending()["zombies"]:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def _settle(node: Node) -> None:
    """Let all that is to run run: what one row leaves behind is not the next one's time."""
    done = asyncio.Event()

    async def last(process: Process) -> None:
        done.set()

    node.spawn(last)
    await done.wait()


async def fan_out(scale: Scale, node: Node, beam: Beam) -> list[Row]:
    """Return the rows of one notify to 10, 1,000 and 10,000 processes, each of which answers."""
    rows = []
    for size in (10, 1000, 10_000):
        row = Row(f"notify {size:,} processes", "BEAM", "us")
        rounds = max(1, scale.of(20_000) // size)
        for _ in range(scale.rounds):
            other = beam.rpc("pynode_bench", "fanout", [size, rounds], timeout=120) / rounds
            row.add(await _notified(node, size, rounds) * MICRO, other)
        rows.append(row)
    return rows


# --------------------------------------------------------------------------- processes


async def processes(scale: Scale, node: Node, beam: Beam) -> list[Row]:
    """Return the rows of many processes."""
    memory = Row("bytes of a waiting GenServer", "BEAM (2,858)", "B", 0.35, 0.9)
    spawn = Row("spawn 100,000 processes", "BEAM", "ms", 0.5, 1.5)
    ring = Row("once around a ring of 10,000", "BEAM", "ms")
    count, servers = scale.of(100_000, 1000), scale.of(100_000, 2000)
    size = scale.of(10_000, 100)
    for _ in range(scale.rounds):
        other = beam.rpc("pynode_bench", "spawned", [count], timeout=120) / 1000
        spawn.add(await _spawned(node, count) * 1000, other)
        other = beam.rpc("pynode_bench", "ring", [size, 3], timeout=120) / 3000
        ring.add(await _ring(node, size, 3) * 1000, other)
    for _ in range(min(scale.rounds, 3)):
        memory.add(await server_bytes(servers), _BEAM_SERVER)
    return [memory, spawn, ring]


async def _spawned(node: Node, count: int) -> float:
    """Return the seconds until ``count`` new processes all wait."""
    gc.collect()
    ready = asyncio.get_running_loop().create_future()

    async def last(process: Process) -> None:
        ready.set_result(None)
        await _wait(process)

    begun = time.perf_counter()
    pids = [node.spawn(_wait) for _ in range(count - 1)]
    pids.append(node.spawn(last))
    await ready
    spent = time.perf_counter() - begun
    await _end(node, pids)
    return spent


async def _pass(process: Process, following: Pid) -> None:
    async for message in process:
        send(following, message)


async def _ring(node: Node, size: int, rounds: int) -> float:
    """Return the seconds of once around a ring of ``size``, this program's process among them."""
    following = node.main.pid
    pids = []
    for _ in range(size - 1):
        following = node.spawn(_pass, following)
        pids.append(following)
    await _settle(node)
    begun = time.perf_counter()
    for _ in range(rounds):
        node.send(following, atom.token)
        await node.main.receive(lambda message: message == atom.token, timeout=120)
    spent = time.perf_counter() - begun
    await _end(node, pids)
    return spent / rounds


# --------------------------------------------------------------------------- growth


async def growth(scale: Scale, node: Node) -> list[Row]:
    """Return, per row, the time of one item among many against that among few."""
    rows = [codec.growth(scale)]
    for name, timed, sizes in _GROWTH:
        few, middle, many = (scale.of(size, 20) for size in sizes)
        row = Row(f"{name}: one of {sizes[2]:,}", f"one of {sizes[0]:,}", "us", 1.2, 2.0)
        for _ in range(scale.rounds):
            small = await _each(timed, node, few, many)
            await timed(node, middle)
            row.add(await _each(timed, node, many, many), small)
        rows.append(row)
    return rows


async def _each(
    timed: Callable[[Node, int], Awaitable[float]], node: Node, size: int, most: int
) -> float:
    """Return microseconds of one item; few items are done more often, for a steady figure."""
    times = max(1, min(20, most // size))
    gc.collect()
    return sum([await timed(node, size) for _ in range(times)]) / times / size * MICRO


async def _fan(node: Node, size: int) -> float:
    return await _notified(node, size, 1)


async def _mailbox(node: Node, size: int) -> float:
    """Receive, one by one, the oldest of those that match, behind none that does not."""
    for number in range(size):
        node.send(node.main.pid, (atom.number, number))
    begun = time.perf_counter()
    for number in range(size):
        await node.main.receive(partial(operator.eq, (atom.number, number)))
    return time.perf_counter() - begun


async def _registry(node: Node, size: int) -> float:
    pids = [node.spawn(_wait) for _ in range(size)]
    begun = time.perf_counter()
    for number, pid in enumerate(pids):
        node.register(f"bench_{number}", pid)
    for number in range(size):
        node.whereis(f"bench_{number}")
    for number in range(size):
        node.unregister(f"bench_{number}")
    spent = time.perf_counter() - begun
    await _end(node, pids)
    return spent


async def _links(node: Node, size: int) -> float:
    """Link one process with many, and undo it."""
    pids = [node.spawn(_wait) for _ in range(size)]
    begun = time.perf_counter()
    for pid in pids:
        node.link(pid)
    for pid in pids:
        node.unlink(pid)
    spent = time.perf_counter() - begun
    await _end(node, pids)
    return spent


async def _names(node: Node, size: int) -> float:
    """Register names in :global's table, look them up, and take them back."""
    pids = [node.spawn(_wait) for _ in range(size)]
    begun = time.perf_counter()
    for number, pid in enumerate(pids):
        await node.global_.register_name((atom.bench, number), pid)
    for number in range(size):
        await node.global_.whereis_name((atom.bench, number))
    for number in range(size):
        await node.global_.unregister_name((atom.bench, number))
    spent = time.perf_counter() - begun
    await _end(node, pids)
    return spent


_GROWTH: Final[list[tuple[str, Callable[[Node, int], Awaitable[float]], tuple[int, int, int]]]] = [
    ("fan-out", _fan, (100, 1000, 10_000)),
    ("mailbox, oldest first", _mailbox, (100, 1000, 10_000)),
    ("local names", _registry, (100, 1000, 10_000)),
    ("links of one process", _links, (100, 1000, 10_000)),
    ("names of :global", _names, (20, 200, 2000)),
]


# --------------------------------------------------------------------------- memory


async def endurance(scale: Scale, node: Node, beam: Beam) -> Row:
    """Return the row of memory after ten million messages, against that after the first tenth."""
    row = Row("memory after 10 million messages", "after a tenth", "MB", 1.05, 1.2)
    cast = (atom("$gen_cast"), (atom.notify, b"x" * 32))
    here = await node.start(Sink)
    tenth = scale.of(1_000_000, 2000)

    async def flood(count: int) -> float:
        flooding = [here, cast, count]
        await asyncio.to_thread(beam.rpc, "pynode_bench", "flood", flooding, timeout=600)
        gc.collect()
        return resident() / 1e6

    before = await flood(tenth)
    for _ in range(8):
        await flood(tenth)
    row.add(await flood(tenth), before)
    await node.stop_server(here)
    return row
