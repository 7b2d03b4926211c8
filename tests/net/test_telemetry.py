"""Counters and hooks."""

from __future__ import annotations

import asyncio

import pytest

from pynode.errors import CookieError
from pynode.telemetry import Event, Telemetry

from .conftest import MakeNet
from .harness import PATIENCE, recorder, send


def test_hooks_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    seen: list[Event] = []
    detach = telemetry.attach("thing", seen.append)
    telemetry.emit("thing", size=1)
    telemetry.emit("other", size=2)
    assert seen == [Event("thing", {"size": 1})]
    detach()
    detach()
    telemetry.emit("thing", size=3)
    assert len(seen) == 1
    assert not telemetry.hooks

    def broken(event: Event) -> None:
        raise ValueError("no")

    telemetry.attach("thing", broken)
    telemetry.attach("thing", seen.append)
    telemetry.emit("thing", size=4)
    assert seen[-1].facts == {"size": 4}
    assert "ValueError" in caplog.text


async def test_what_a_net_tells(make_net: MakeNet) -> None:
    one, two = await make_net("one@localhost"), await make_net("two@localhost")
    seen: list[tuple[str, str]] = []
    for event in ("node_up", "node_down", "connect_failed"):
        one.telemetry.attach(event, lambda e: seen.append((e.name, str(e.facts["node"]))))
    await one.connect("two@localhost")
    with pytest.raises(ConnectionError):
        await one.connect("three@localhost")
    send(one, "two@localhost", b"x")
    await recorder(two).until(lambda: recorder(two).values)
    live = one.counters()
    assert one.telemetry.messages_out == 0
    one.disconnect("two@localhost")
    assert seen == [
        ("node_up", "two@localhost"),
        ("connect_failed", "three@localhost"),
        ("node_down", "two@localhost"),
    ]
    counters = one.telemetry.snapshot()
    assert counters == live | {"connections_down": 1}
    assert counters == one.counters()
    assert counters["messages_out"] == 1
    assert counters["connections_up"] == counters["connections_failed"] == 1
    assert counters["bytes_out"] > 0


async def test_both_ends_count_the_same(make_net: MakeNet) -> None:
    """Signals, frames and bytes, while the connection lives and when it is over."""
    one, two = await make_net("one@localhost"), await make_net("two@localhost")
    await one.connect("two@localhost")
    for number in range(5):
        send(one, "two@localhost", b"x" * 100)
        await recorder(two).until(lambda n=number: len(recorder(two).values) > n)  # type: ignore[misc]
    sent, came = one.counters(), two.counters()
    assert sent["messages_out"] == came["messages_in"] == came["frames_in"] == 5
    assert sent["frames_out"] == 5
    send(one, "two@localhost", b"x" * 300_000)
    send(one, "two@localhost", b"y")
    await recorder(two).until(lambda: len(recorder(two).values) == 7)
    sent, came = one.counters(), two.counters()
    assert sent["messages_out"] == came["messages_in"] == 7
    assert sent["frames_out"] == came["frames_in"] > 10  # of the large one, each fragment
    assert sent["bytes_out"] == came["bytes_in"] > 500
    assert came["connections_up"] == 1
    assert came["messages_out"] == came["bytes_out"] == sent["messages_in"] == 0
    one.disconnect("two@localhost")
    await recorder(two).until_down("one@localhost")
    assert two.telemetry.snapshot() == came | {"connections_down": 1}


async def test_ticks_and_refusals_are_counted(make_net: MakeNet) -> None:
    one = await make_net("one@localhost", timeouts={"net_ticktime": 0.4})
    two = await make_net("two@localhost", timeouts={"net_ticktime": 0.4})
    await one.connect("two@localhost")
    async with asyncio.timeout(PATIENCE):
        while min(two.counters()["ticks_in"], two.counters()["ticks_out"]) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stranger = await make_net("stranger@localhost", cookie=b"another")
    with pytest.raises(CookieError):
        await stranger.connect("two@localhost")
    assert two.counters()["refused"] == 1
    assert stranger.counters()["connections_failed"] == 1
    assert two.counters()["connections_up"] == 1
