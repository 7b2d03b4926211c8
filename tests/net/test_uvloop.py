"""Two nodes on uvloop, where it is installed: the same as on asyncio's own loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode import GenServer, Node, atom
from pynode.testing import Epmd

uvloop = pytest.importorskip("uvloop")


class Echo(GenServer):
    def init(self) -> None:
        self.seen: list[Any] = []

    def handle_cast(self, request: Any) -> None:
        self.seen.append(request)

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.seen if request == atom.seen else request


async def _talk(port: int) -> None:
    options: dict[str, Any] = {"cookie": "uv", "epmd_port": port}
    async with Node("one@localhost", **options) as one, Node("two@localhost", **options) as two:
        await one.connect(two.name)
        server = await two.start(Echo)
        for number in range(1000):
            one.cast(server, number)
        assert await one.call(server, atom.seen) == list(range(1000))
        large = bytes(range(256)) * 40_000
        assert await one.call(server, large) == large


def test_messages_calls_and_large_terms() -> None:
    with Epmd() as epmd, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(_talk(epmd.port), 60))
