"""The pace of the ticks, and how it changes while peers are connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pynode.net.ticker import TickChange, Ticker

from .conftest import MakeNet
from .harness import recorder
from .test_links import PEER, gone, scripted


class Clock:
    """The part of an event loop that a ticker uses, with a time that tests move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[Call] = []

    def call_later(self, delay: float, function: Callable[[], object]) -> Call:
        call = Call(self.now + delay, function)
        self.calls.append(call)
        return call

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            due = [call for call in self.calls if not call.cancelled and call.when <= end + 1e-9]
            if not due:
                break
            call = min(due, key=lambda call: call.when)
            self.calls.remove(call)
            self.now = call.when
            call.function()
        self.now = end


class Call:
    def __init__(self, when: float, function: Callable[[], object]) -> None:
        self.when = when
        self.function = function
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Counted:
    """A ticker on a clock, with what it has called since the last look."""

    def __init__(self, seconds: float) -> None:
        self.ticks = 0
        self.extra = 0
        self.clock = Clock()
        self.ticker = Ticker(seconds, self._tick, self._extra)
        self.ticker.start(self.clock)  # type: ignore[arg-type]

    def _tick(self) -> None:
        self.ticks += 1

    def _extra(self) -> None:
        self.extra += 1

    def after(self, seconds: float) -> tuple[int, int]:
        self.ticks = self.extra = 0
        self.clock.run(seconds)
        return self.ticks, self.extra


def test_four_ticks_per_tick_time() -> None:
    counted = Counted(60)
    assert counted.after(60) == (4, 0)
    counted.ticker.stop()
    assert counted.after(600) == (0, 0)


def test_to_a_shorter_one() -> None:
    """At once the shorter pace of ticks, and the longer one of patience until the end."""
    counted = Counted(60)
    assert counted.ticker.change(8, 59) is TickChange.INITIATED
    assert (counted.ticker.seconds, counted.ticker.changing) == (8, True)
    assert counted.extra == 1
    assert counted.after(58.9) == (3, 29)
    assert counted.ticker.changing
    # The end of the transition: one tick more, and from then on the pace of 8 s.
    assert counted.after(0.2) == (0, 1)
    assert not counted.ticker.changing
    assert counted.after(80) == (40, 0)


def test_to_a_longer_one() -> None:
    """At once the longer patience; ticks at the shorter pace until the end."""
    counted = Counted(8)
    assert counted.ticker.change(60, 19) is TickChange.INITIATED
    assert counted.after(18.9) == (1, 9)
    assert counted.after(0.2) == (0, 1)
    assert counted.after(60) == (4, 0)


def test_a_change_under_way_goes_on() -> None:
    counted = Counted(60)
    assert counted.ticker.change(60, 5) is TickChange.UNCHANGED
    counted.ticker.change(8, 5)
    assert counted.ticker.change(20, 5) is TickChange.ONGOING
    assert counted.ticker.change(8, 5) is TickChange.ONGOING
    counted.after(5)
    assert counted.ticker.change(8, 5) is TickChange.UNCHANGED
    assert counted.ticker.change(20, 0) is TickChange.INITIATED
    counted.after(0)
    assert counted.after(20) == (4, 0)


def test_a_stop_in_the_middle_of_a_change() -> None:
    counted = Counted(60)
    counted.ticker.change(8, 60)
    counted.ticker.stop()
    assert counted.after(600) == (0, 0)


def test_before_the_start_it_is_changed_at_once() -> None:
    ticker = Ticker(60, lambda: None, lambda: None)
    assert ticker.change(8, 60) is TickChange.INITIATED
    assert (ticker.seconds, ticker.changing) == (8, False)


def test_numbers_that_are_none() -> None:
    ticker = Ticker(60, lambda: None, lambda: None)
    for seconds, transition in [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, -1)]:
        with pytest.raises(ValueError, match="number of seconds"):
            ticker.change(seconds, transition)


async def test_a_peer_of_the_old_pace_lives_through_the_transition(make_net: MakeNet) -> None:
    net = await make_net("one@localhost", timeouts={"net_ticktime": 1000.0})
    script = await scripted(net)
    assert net.set_net_ticktime(0.2, 2.0) is TickChange.INITIATED
    for _ in range(8):  # twice the new tick time, in silence
        assert await script.read_frame() == b""
    assert recorder(net).of("down") == []
    assert net.ticker.changing
    # Once the transition is over, silence counts by the new time.
    await recorder(net).until_down(PEER)
    assert recorder(net).of("down") == [(PEER, True, "net_tick_timeout")]
    assert not net.ticker.changing
    await script.close()


async def test_a_longer_time_is_granted_at_once(make_net: MakeNet) -> None:
    net = await make_net("one@localhost", timeouts={"net_ticktime": 0.4})
    script = await scripted(net)
    assert net.set_net_ticktime(1000.0, 1.2) is TickChange.INITIATED
    while net.ticker.changing:  # noqa: ASYNC110  three times the former tick time
        await asyncio.sleep(0.01)
    assert recorder(net).of("down") == []
    assert net.counters()["ticks_out"] >= 8
    await gone(net, script)
