"""The bytes of a waiting GenServer, in a fresh interpreter, whose memory nobody has used before.

``python -m scripts.benchmark.memory COUNT`` prints them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from pynode.behaviours.starting import start
from pynode.process import Runtime
from pynode.terms import Atom
from scripts.benchmark.messages import Sink

__all__ = ["resident", "server_bytes"]

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the bytes of memory that this process has."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE


async def server_bytes(count: int) -> float:
    """Return the bytes of each of ``count`` GenServers with three attributes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __spec__.name,
        str(count),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    out, _ = await process.communicate()
    return float(out)


async def _measure(count: int) -> None:
    runtime = Runtime(Atom("bench@localhost"), 1)
    for _ in range(count // 10):  # what the first of them bring along is not theirs
        await start(runtime, Sink)
    gc.collect()
    before = resident()
    for _ in range(count):
        await start(runtime, Sink)
    gc.collect()
    print((resident() - before) / count, flush=True)
    os._exit(0)  # ending them all in order takes longer


if __name__ == "__main__":
    asyncio.run(_measure(int(sys.argv[1])))
