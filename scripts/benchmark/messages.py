"""Calls, casts and large binaries between this node and a BEAM."""

from __future__ import annotations

import asyncio
import itertools
import operator
import statistics
import time
from functools import partial
from typing import Any, Final

from pynode import GenServer, Node, atom, send
from pynode.terms import Pid
from pynode.testing import Beam
from scripts.benchmark.ping_pong import blocking, buffered
from scripts.benchmark.rows import MICRO, Row, Scale

__all__ = ["Sink", "calls", "casts", "large", "round_trip"]

_CAST: Final = (atom("$gen_cast"), (atom.notify, b"x" * 32))
_LARGE: Final = 64 << 20


class Sink(GenServer):
    """Takes casts, answers calls with the request, and ``{From, Ref[, Something]}`` with Ref."""

    def init(self) -> None:
        self.one = self.two = self.three = None

    def handle_call(self, request: Any, caller: Any) -> Any:
        return request

    def handle_cast(self, request: Any) -> None:
        pass

    def handle_info(self, message: Any) -> None:
        send(message[0], message[1])


async def _aside(beam: Beam, function: str, *args: Any) -> Any:
    """Have the BEAM do something while our loop goes on."""
    return await asyncio.to_thread(beam.rpc, "pynode_bench", function, list(args), timeout=300)


async def round_trip(node: Node, server: Pid, count: int) -> list[float]:
    """Return the seconds of each of ``count`` calls, one after the other."""
    request: Any = (atom.get, b"key")
    times = [time.perf_counter()]
    for _ in range(count):
        await node.call(server, request)
        times.append(time.perf_counter())
    return [after - before for before, after in itertools.pairwise(times)]


def _percentiles(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 2] * MICRO, ordered[len(ordered) * 99 // 100] * MICRO


async def _calls(
    node: Node, there: Pid, beam: Beam, count: int
) -> tuple[list[tuple[float, float]], list[float]]:
    """Call, and be called; return median and 99th percentile, and own CPU a call, in us."""
    here = await node.start(Sink)
    await round_trip(node, there, 20)
    await _aside(beam, "calls", here, atom.warm, 20)
    before = time.process_time()
    out = _percentiles(await round_trip(node, there, count))
    between = time.process_time()
    median, late = await _aside(beam, "calls", here, (atom.get, b"key"), count)
    after = time.process_time()
    await node.stop_server(here)
    spent = [(between - before) / count * MICRO, (after - between) / count * MICRO]
    return [out, (median / 1000, late / 1000)], spent


async def calls(scale: Scale, node: Node, asleep: Node, beam: Beam, other: Beam) -> list[Row]:
    """Return the rows of calls in both directions, and of the machine's mood.

    ``asleep`` is a node that does not wait busily, and sleeps between a request and its answer.
    """
    plain = "BufferedProtocol ping-pong"
    sleeping = "without busy wait"
    rows = [
        Row("call out, median", plain, "us", 1.1, 1.4),
        Row("call out, 99th percentile", plain, "us"),
        Row("call in, median", plain, "us", 1.1, 1.4),
        Row("call in, 99th percentile", plain, "us"),
        Row(f"call out {sleeping}", plain, "us"),
        Row(f"call in {sleeping}", plain, "us"),
        Row("own CPU of a call out", sleeping, "us"),
        Row("own CPU of a call in", sleeping, "us"),
        Row("call out, median", "BEAM to BEAM", "us"),
        Row(plain, "blocking ping-pong", "us"),
    ]
    count = scale.of(4000, 50)
    there: Pid = beam.rpc("pynode_bench", "server")
    for _ in range(scale.rounds):
        beside = _percentiles(await buffered(count))
        (out, into), spent = await _calls(node, there, beam, count)
        again = _percentiles(await buffered(count))
        (slow_out, slow_into), slow_spent = await _calls(asleep, there, beam, count)
        between, _ = await _aside(other, "calls", there, (atom.get, b"key"), count)
        bare = await asyncio.to_thread(blocking, count)
        mood = [statistics.mean(pair) for pair in zip(beside, again, strict=True)]
        for row, pair in zip(rows[:4:2], (out, into), strict=True):
            row.add(pair[0], mood[0])
        for row, pair in zip(rows[1:4:2], (out, into), strict=True):
            row.add(pair[1], mood[1])
        rows[4].add(slow_out[0], mood[0])
        rows[5].add(slow_into[0], mood[0])
        rows[6].add(spent[0], slow_spent[0])
        rows[7].add(spent[1], slow_spent[1])
        rows[8].add(out[0], between / 1000)
        rows[9].add(mood[0], bare * MICRO)
    return rows


async def _casts_out(node: Node, sink: Pid, count: int) -> float:
    """Return the seconds of ``count`` casts out, until the other end has read them."""
    begun = time.perf_counter()
    for number in range(count):
        node.send(sink, _CAST)
        if number % 1000 == 999:
            await asyncio.sleep(0)
            await node.drain(sink)
    ref = node.make_ref()
    node.send(sink, (node.main.pid, ref))
    await node.main.receive(lambda found: found == ref, timeout=300)
    return time.perf_counter() - begun


async def casts(scale: Scale, node: Node, beam: Beam, other: Beam) -> list[Row]:
    """Return the rows of casts, thousands a second; and of what one costs our processor."""
    rows = [
        Row("casts out", "BEAM to BEAM", "k/s", 1.0, 0.75, more_is_better=True),
        Row("casts in", "BEAM to BEAM", "k/s", 1.0, 0.75, more_is_better=True),
        Row("own CPU of a cast out", "1 us", "us", 0.3, 0.6),
        Row("own CPU of a cast in", "1 us", "us", 0.6, 1.2),
    ]
    out, into, cpu_out, cpu_in = rows
    count = scale.of(300_000, 2000)
    there: Pid = beam.rpc("pynode_bench", "sink")
    here = await node.start(Sink)
    for _ in range(scale.rounds):
        between = await _aside(other, "flood", there, _CAST, count)
        own = time.process_time()
        spent = await _casts_out(node, there, count)
        cpu_out.add((time.process_time() - own) / count * MICRO, 1.0)
        out.add(count / spent / 1000, count / between * 1000)
        own = time.process_time()
        spent = await _aside(beam, "flood", here, _CAST, count)
        cpu_in.add((time.process_time() - own) / count * MICRO, 1.0)
        into.add(count / spent * 1000, count / between * 1000)
    await node.stop_server(here)
    return rows


async def large(scale: Scale, node: Node, beam: Beam, other: Beam) -> list[Row]:
    """Return the rows of one large binary, until the other end says that it has it."""
    size = scale.of(_LARGE, 1 << 20)
    out = Row("64 MiB out", "BEAM to BEAM", "ms", 1.0, 1.3)
    into = Row("64 MiB in", "BEAM to BEAM", "ms", 1.0, 1.3)
    there: Pid = beam.rpc("pynode_bench", "sink")
    here = await node.start(Sink)
    blob = bytes(size)
    for _ in range(scale.rounds):
        between = await _aside(other, "big", there, size) / 1000
        begun = time.perf_counter()
        ref = node.make_ref()
        node.send(there, (node.main.pid, ref, blob))
        await node.main.receive(partial(operator.eq, ref), timeout=300)
        out.add((time.perf_counter() - begun) * 1000, between)
        into.add(await _aside(beam, "big", here, size) / 1000, between)
    await node.stop_server(here)
    return [out, into]
