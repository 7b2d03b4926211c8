"""What the tests of ``net`` stand on: nets with a recording sink, an EPMD, and no complaints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from pynode.config import Limits, NodeConfig, Timeouts
from pynode.dist.epmd import NodeEntry
from pynode.dist.flags import offered
from pynode.net import EpmdServer, Net
from pynode.net.addresses import Endpoint

from .harness import LOOPBACK, Recorder

MakeNet: TypeAlias = Callable[..., Awaitable[Net]]


@pytest.fixture(autouse=True)
async def no_complaints() -> AsyncIterator[None]:
    """Fail the test whose callbacks raised; tasks and sockets left behind fail every test."""
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    yield
    assert not problems, problems


@pytest.fixture
async def epmd(no_complaints: None) -> AsyncIterator[EpmdServer]:
    """An EPMD of our own on loopback, on a free port."""
    server = EpmdServer(asyncio.get_running_loop())
    server.start([Endpoint(*LOOPBACK)], 0)
    yield server
    server.stop()


@pytest.fixture
async def make_net(epmd: EpmdServer) -> AsyncIterator[MakeNet]:
    """``await make_net("a@localhost", **settings)``: a started net whose sink is a Recorder."""
    nets: list[Net] = []

    async def make(
        name: str,
        *,
        start: bool = True,
        sink: Recorder | None = None,
        limits: dict[str, Any] | None = None,
        timeouts: dict[str, Any] | None = None,
        without: int = 0,
        **settings: Any,
    ) -> Net:
        settings.setdefault("cookie", b"cookie")
        settings.setdefault("epmd_port", epmd.port)
        settings.setdefault("start_epmd", False)
        config = NodeConfig(
            name=name,
            limits=Limits(**limits or {}),
            timeouts=Timeouts(**timeouts or {}),
            **settings,
        )
        flags = offered(hidden=config.hidden, without=without)
        net = Net(config, flags, sink or Recorder())
        nets.append(net)
        if start:
            await net.start()
        return net

    yield make
    for net in nets:
        await net.stop()


@pytest.fixture
def register(epmd: EpmdServer) -> Callable[..., None]:
    """``register("peer", port)``: make EPMD say that a node listens there."""
    numbers = iter(range(1_000_000, 2_000_000))

    def enter(name: str, port: int, **more: Any) -> None:
        entry = NodeEntry(name, port, **more)
        assert epmd.registry.register(entry, next(numbers), 100) is not None

    return enter
