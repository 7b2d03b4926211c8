#!/usr/bin/env python3
"""Measure this package beside its references, interleaved in one run.

Machines are noisy, so only ratios mean anything: each round measures the reference and then
ours, and the ratio is taken within the round.  The table has the median of the rounds with the
smallest and the largest.  Exit code 1: a row was not measured, or is worse than its floor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pynode import Node, atom, etf
from pynode.terms import Pid
from pynode.testing import Beam, Epmd

WORD: Final = b"x" * 32
#: Tripwires, at some six times what the pure codec was seen to take on a busy machine of two
#: cores: what is worse than this has another shape, such as a task for each message.
CALL_FLOOR: Final = 30.0
CAST_FLOOR: Final = 10.0


@dataclass
class Row:
    """One measurement: seconds of ours and of the reference, by round; the ratio is ours to it."""

    name: str
    reference_name: str
    target: float | None
    floor: float | None
    ours: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return sorted(mine / other for mine, other in zip(self.ours, self.reference, strict=True))

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def missed(self) -> bool:
        return not self.ours or (self.floor is not None and self.ratio > self.floor)


# --------------------------------------------------------------------------- calls


async def ping_pong(count: int) -> float:
    """Time ``count`` round trips of a bare BufferedProtocol to another OS process."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve-ping-pong", stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, _ = await loop.create_connection(lambda: _PingPong(count, done), "127.0.0.1", port)
    begun = time.perf_counter()
    transport.write(WORD)
    await done
    spent = time.perf_counter() - begun
    transport.close()
    await server.wait()
    return spent


class _PingPong(asyncio.BufferedProtocol):
    """Send back what comes, ``rounds`` times; None for ever."""

    def __init__(self, rounds: int | None, done: asyncio.Future[None]) -> None:
        self._rounds = rounds
        self._done = done
        self._buffer = bytearray(1024)
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._rounds is not None:
            self._rounds -= 1
            if self._rounds <= 0:
                if not self._done.done():
                    self._done.set_result(None)
                return
        self._transport.write(WORD[:nbytes])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def serve_ping_pong() -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    server = await loop.create_server(lambda: _PingPong(None, done), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await done
    server.close()


async def calls_out(node: Node, server: Pid, count: int) -> float:
    """Time ``count`` calls, one after the other, to a GenServer of a BEAM."""
    request: Any = (atom.get, (atom("Elixir.Map"), atom.size, []))
    begun = time.perf_counter()
    for _ in range(count):
        await node.call(server, request)
    return time.perf_counter() - begun


# --------------------------------------------------------------------------- casts


async def casts_out(node: Node, echo: Pid, count: int) -> float:
    """Time ``count`` sends to a BEAM, until it says that it has read them."""
    message = (atom("$gen_cast"), (atom.notify, WORD))
    begun = time.perf_counter()
    for number in range(count):
        node.send(echo, message)
        if number % 1000 == 999:
            await asyncio.sleep(0)
            await node.drain(echo)
    ref = node.make_ref()
    node.send(echo, (node.main.pid, ref))
    await node.main.receive(lambda found: found == ref, timeout=120)
    return time.perf_counter() - begun


def casts_between(sender: Beam, echo: Pid, count: int) -> float:
    """Time the same from another BEAM, in compiled code."""
    message = (atom("$gen_cast"), (atom.notify, WORD))
    spent = sender.rpc("Elixir.ElixirSide.Peer", "flood", [echo, message, count], timeout=120)
    return float(spent) / 1e6


# --------------------------------------------------------------------------- the codec


def codec_row(rounds: int, loops: int) -> list[Row]:
    import msgpack  # a reference, not a dependency

    pid = Pid(atom("node1@myhost"), 59, 0, 1)
    cast = (atom("$gen_cast"), (atom.subscribe, b"name", pid))
    packed_like = [b"$gen_cast", [b"subscribe", b"name", b"pid-of-27-bytes-on-the-wire"]]
    encoded, packed = etf.encode(cast), msgpack.packb(packed_like)
    encode = Row("codec: encode a small cast", "msgpack (C)", None, None)
    decode = Row("codec: decode a small cast", "msgpack (C)", None, None)

    def timed(function: Callable[[Any], Any], value: Any) -> float:
        begun = time.perf_counter()
        for _ in range(loops):
            function(value)
        return time.perf_counter() - begun

    for _ in range(rounds):
        encode.reference.append(timed(msgpack.packb, packed_like))
        encode.ours.append(timed(etf.encode, cast))
        decode.reference.append(timed(msgpack.unpackb, packed))
        decode.ours.append(timed(etf.decode, encoded))
    return [encode, decode]


# --------------------------------------------------------------------------- the run


async def measure(rounds: int, scale: float) -> list[Row]:
    """Run everything; ``scale`` is the part of the full amounts."""
    calls = max(20, int(5000 * scale))
    casts = max(1000, int(200_000 * scale))
    call_row = Row("call, Python to BEAM", "ping-pong on BufferedProtocol", None, CALL_FLOOR)
    cast_row = Row("casts, Python to BEAM", "BEAM to BEAM", None, CAST_FLOOR)
    rows = [*codec_row(rounds, max(1000, int(50_000 * scale))), call_row, cast_row]

    async def interleaved(
        row: Row, reference: Callable[[], Awaitable[float]], ours: Callable[[], Awaitable[float]]
    ) -> None:
        for _ in range(rounds):
            row.reference.append(await reference())
            row.ours.append(await ours())

    def start_beams() -> tuple[Beam, Beam]:
        one = Beam("bench1", project="elixir_side", epmd=epmd, cookie="bench").start()
        return one, Beam("bench2", project="elixir_side", epmd=epmd, cookie="bench").start()

    with Epmd() as epmd:
        one, two = await asyncio.to_thread(start_beams)
        try:
            options: dict[str, Any] = {
                "cookie": "bench",
                "epmd_port": epmd.port,
                "hidden": True,
            }
            async with Node("bench@localhost", **options) as node:
                await node.connect(one.name)
                await node.connect(two.name)
                echo = one.eval("{:ok, echo} = ElixirSide.Peer.start_echo(); echo")
                server = one.eval("{:ok, agent} = Agent.start(Map, :new, []); agent")
                await calls_out(node, server, 10)
                await interleaved(
                    call_row, lambda: ping_pong(calls), lambda: calls_out(node, server, calls)
                )
                await interleaved(
                    cast_row,
                    lambda: asyncio.to_thread(casts_between, two, echo, casts),
                    lambda: casts_out(node, echo, casts),
                )
        finally:
            one.kill()
            two.kill()
    return rows


def versions() -> dict[str, str]:
    import msgpack

    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "codec": etf.IMPLEMENTATION,
        "msgpack": ".".join(map(str, msgpack.version)),
        "date": time.strftime("%Y-%m-%d"),
    }


def table(rows: list[Row]) -> str:
    lines = [f"{'':34} {'beside':30} {'ratio':>8}   {'spread':>15}"]
    for row in rows:
        if not row.ours:
            lines.append(f"{row.name:34} {row.reference_name:30} not measured")
            continue
        spread = f"{row.ratios[0]:.2f} to {row.ratios[-1]:.2f}"
        note = "  worse than its floor" if row.missed else ""
        lines.append(f"{row.name:34} {row.reference_name:30} {row.ratio:8.2f}   {spread:>15}{note}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each once and small: does it run?")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every row to FILE")
    parser.add_argument("--serve-ping-pong", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_ping_pong:
        asyncio.run(serve_ping_pong())
        return 0
    rounds, scale = (1, 0.02) if options.quick else (options.rounds, 1.0)
    rows = asyncio.run(measure(rounds, scale))
    print(table(rows))
    if options.json is not None:
        written = [
            asdict(row) | {"ratio": row.ratio if row.ours else None, "missed": row.missed}
            for row in rows
        ]
        options.json.write_text(json.dumps({"versions": versions(), "rows": written}, indent=1))
    return 1 if any(row.missed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
