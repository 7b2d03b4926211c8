"""Counters and hooks."""

from __future__ import annotations

import pytest

from pynode.telemetry import Event, Telemetry

from .conftest import MakeNet
from .harness import recorder, send


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
