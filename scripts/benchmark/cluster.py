"""What takes whole programs: importing, starting until joined, many peers at once, another loop.

``python -m scripts.benchmark.cluster EPMD_PORT NODE`` joins NODE, says so, and leaves.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from pynode import Node
from pynode.terms import Pid
from pynode.testing import Beam, Epmd
from scripts.benchmark.messages import Sink, round_trip
from scripts.benchmark.rows import MICRO, Row, Scale

__all__ = ["COOKIE", "imports", "joining", "peers", "uvloop"]

COOKIE: Final = "bench"
_ROOT: Final = Path(__file__).parents[2]
_TIMED: Final = "import time; a = time.perf_counter(); {}; print(time.perf_counter() - a)"


async def _imported(statement: str) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _TIMED.format(statement),
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        env={key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
    )
    assert process.stdout is not None
    spent = float(await process.stdout.read())
    await process.wait()
    return spent


async def imports(scale: Scale) -> Row:
    """Return the row of ``from pynode import Node`` in a fresh interpreter."""
    row = Row("import of Node", "import asyncio", "ms", 1.4, 2.0)
    await _imported("from pynode import Node")  # so that its bytecode is there, as installed
    for _ in range(max(1, scale.rounds * 2)):
        other = await _imported("import asyncio")
        row.add(await _imported("from pynode import Node") * 1000, other * 1000)
    return row


async def joining(scale: Scale, epmd: Epmd, beam: Beam) -> Row:
    """Return the row of a program's start until it has joined a BEAM."""
    row = Row("start until joined", "erl", "ms")
    ours = [sys.executable, "-m", __spec__.name, str(epmd.port), str(beam.name)]
    code = f"pong = net_adm:ping('{beam.name}'), io:format(\"joined~n\"), halt()."
    arguments = ("-noshell", "-hidden", "-sname", "joiner@localhost", "-setcookie", COOKIE)
    erl = beam.release.command("erl", *arguments, "-eval", code)
    for _ in range(scale.rounds):
        other = await _until_joined(erl, epmd)
        row.add(await _until_joined(ours, epmd) * 1000, other * 1000)
    return row


async def _until_joined(command: list[str], epmd: Epmd) -> float:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        env=_environment(epmd),
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    spent = time.perf_counter() - begun
    await process.wait()
    if line.strip() != b"joined":
        raise RuntimeError(f"{command[0]} did not join: {line!r}")
    return spent


def _environment(epmd: Epmd) -> dict[str, str]:
    """Return this program's environment with the benchmark's EPMD."""
    return dict(os.environ, ERL_EPMD_PORT=str(epmd.port))


async def peers(scale: Scale, epmd: Epmd, node: Node, beam: Beam) -> Row:
    """Return the row of 200 nodes that connect at once, each with a call."""
    row = Row("200 peers, a call from each", "the same to a BEAM", "ms")
    there: Pid = beam.rpc("pynode_bench", "server")
    here = await node.start(Sink)
    count = scale.of(200, 5)
    for _ in range(min(scale.rounds, 3)):
        nodes = [
            Node(f"peer{number}@localhost", cookie=COOKIE, epmd_port=epmd.port, hidden=True)
            for number in range(count)
        ]
        try:
            await asyncio.gather(*(each.__aenter__() for each in nodes))
            other = await _all_call(nodes, there)
            row.add(await _all_call(nodes, here) * 1000, other * 1000)
        finally:
            await asyncio.gather(*(each.stop() for each in nodes))
    await node.stop_server(here)
    return row


async def _all_call(nodes: list[Node], server: Pid) -> float:
    begun = time.perf_counter()
    await asyncio.gather(*(node.call(server, b"x", timeout=60) for node in nodes))
    return time.perf_counter() - begun


async def uvloop(scale: Scale, epmd: Epmd, node: Node, beam: Beam) -> Row | None:
    """Return the row of calls out on uvloop beside those on asyncio's loop; None without it."""
    try:
        import uvloop as other_loop
    except ImportError:
        return None
    row = Row("call out on uvloop, median", "on asyncio's loop", "us")
    server: Pid = beam.rpc("pynode_bench", "server")
    count = scale.of(4000, 50)

    async def alone() -> float:
        options: dict[str, Any] = {"cookie": COOKIE, "epmd_port": epmd.port, "hidden": True}
        async with Node("uv@localhost", **options) as other:
            await round_trip(other, server, 20)
            return statistics.median(await round_trip(other, server, count))

    for _ in range(scale.rounds):
        ours = await asyncio.to_thread(other_loop.run, alone())
        row.add(ours * MICRO, statistics.median(await round_trip(node, server, count)) * MICRO)
    return row


async def _join(epmd_port: int, name: str) -> None:
    options: dict[str, Any] = {"cookie": COOKIE, "epmd_port": epmd_port, "hidden": True}
    async with Node("joiner@localhost", **options) as node:
        await node.connect(name)
        print("joined", flush=True)


if __name__ == "__main__":
    asyncio.run(_join(int(sys.argv[1]), sys.argv[2]))
