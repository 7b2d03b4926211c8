"""Round trips with nothing in them: the least that two processes of Python can do with a socket.

``python -m scripts.benchmark.ping_pong`` is the other end: it prints its port, and sends back what
comes until the connection closes.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

__all__ = ["WORD", "blocking", "buffered"]

WORD: Final = b"x" * 64
_ROOT: Final = Path(__file__).parents[2]


class _PingPong(asyncio.BufferedProtocol):
    """Sends back what comes; with ``rounds``, so many times, and notes when."""

    def __init__(self, done: asyncio.Future[None], rounds: int | None = None) -> None:
        self.times: list[float] = []
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
            self.times.append(time.perf_counter())
            if len(self.times) > self._rounds:
                if not self._done.done():
                    self._done.set_result(None)
                return
        self._transport.write(WORD[:nbytes])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def buffered(count: int) -> list[float]:
    """Return the seconds of each of ``count`` round trips between two BufferedProtocols."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, stdout=subprocess.PIPE, cwd=_ROOT
    )
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, protocol = await loop.create_connection(
        lambda: _PingPong(done, count), "127.0.0.1", port
    )
    transport.write(WORD)
    await done
    transport.close()
    await server.wait()
    times = protocol.times
    return [after - before for before, after in itertools.pairwise(times)]


def blocking(count: int) -> float:
    """Return the seconds of a round trip of a blocking socket to the same other end."""
    with subprocess.Popen(
        [sys.executable, "-m", __spec__.name], stdout=subprocess.PIPE, cwd=_ROOT
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begun = time.perf_counter()
            for _ in range(count):
                connection.sendall(WORD)
                connection.recv(len(WORD), socket.MSG_WAITALL)
            spent = time.perf_counter() - begun
    return spent / count


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    server = await loop.create_server(lambda: _PingPong(done), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await done
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
