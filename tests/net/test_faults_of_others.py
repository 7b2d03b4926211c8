"""A hook, a sink or a log handler that fails leaves no connection half made, and nobody waiting."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pynode.dist.seam import Peer
from pynode.errors import ConnectionAborted, Exit, NoSuchNode
from pynode.net import Net
from pynode.telemetry import Event

from .conftest import MakeNet
from .harness import PATIENCE, recorder, send

ONE, TWO, THREE = "one@localhost", "two@localhost", "three@localhost"


@pytest.fixture
def faults() -> list[Any]:
    """Take what callbacks of the loop raise, which is expected here."""
    return []


def collect(faults: list[Any]) -> None:
    """Have the running loop put into ``faults`` what its callbacks raise."""
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: faults.append(context.get("exception"))
    )


def failing(net: Net, error: BaseException) -> None:
    """Have the sink of ``net`` fail in its next ``peer_up``."""
    sink = recorder(net)
    before = sink.peer_up

    def peer_up(peer: Peer) -> None:
        before(peer)
        sink.peer_up = before  # type: ignore[method-assign]
        raise error

    sink.peer_up = peer_up  # type: ignore[method-assign]


@pytest.mark.parametrize("side", ["dials", "accepts"])
async def test_a_sink_that_fails(make_net: MakeNet, faults: list[Any], side: str) -> None:
    collect(faults)
    one, two = await make_net(ONE), await make_net(TWO)
    fault = ValueError("on purpose")
    failing(one if side == "dials" else two, fault)
    if side == "dials":
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectionAborted):
                await one.connect(TWO)
        await recorder(one).until_down(TWO)
    else:
        await one.connect(TWO)
        await recorder(two).until_down(ONE)
        await recorder(one).until_down(TWO)
    assert fault in faults
    assert one.peers() == [] == one.known()[1:]
    await recorder(two).until_down(ONE)
    assert two.peers() == []
    # The next attempt is none of that one's business.
    await one.connect(TWO)
    await recorder(two).until_up(ONE)
    send(one, TWO, b"after")
    await recorder(two).until(lambda: recorder(two).values == [b"after"])


@pytest.mark.parametrize("error", [Exit("odd"), asyncio.CancelledError(), ValueError("no")])
async def test_a_hook_that_fails(
    make_net: MakeNet, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    one, two = await make_net(ONE), await make_net(TWO)

    def hook(event: Event) -> None:
        raise error

    for event in ("node_up", "node_down", "connect_failed", "refused"):
        for net in (one, two):
            net.telemetry.attach(event, hook)
    async with asyncio.timeout(PATIENCE):
        await one.connect(TWO)
        with pytest.raises(NoSuchNode):
            await one.connect(THREE)
    await recorder(two).until_up(ONE)
    send(one, TWO, b"x")
    await recorder(two).until(lambda: recorder(two).values == [b"x"])
    assert one.disconnect(TWO)
    await recorder(two).until_down(ONE)
    assert "of 'node_up' failed" in caplog.text


async def test_a_hook_that_disconnects(make_net: MakeNet) -> None:
    """The end is told after the beginning, and who waits is told."""
    one, two = await make_net(ONE), await make_net(TWO)
    detach = one.telemetry.attach("node_up", lambda event: one.disconnect(TWO))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionAborted, match="given up"):
            await one.connect(TWO)
    assert [event[0] for event in recorder(one).events] == ["up", "down"]
    assert one.peers() == []
    await recorder(two).until_down(ONE)
    detach()
    await one.connect(TWO)


class Broken(logging.Handler):
    """A handler that fails, as none should."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("no log")


async def test_a_log_handler_that_fails(make_net: MakeNet, faults: list[Any]) -> None:
    collect(faults)
    one, two = await make_net(ONE), await make_net(TWO)
    logger = logging.getLogger("pynode.net")
    handler, level = Broken(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        send(one, THREE, b"nobody is there")  # an attempt that nobody waits for is logged
        await recorder(one).until_down(THREE)
        two.set_cookie(ONE, b"another")
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectionError):
                await one.connect(TWO)
            two.set_cookie(ONE, None)
            await one.connect(TWO)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert faults
