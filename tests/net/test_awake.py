"""Staying awake: for short waits only, where they are answered, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from pynode.dist.control import Control
from pynode.dist.seam import Payload, Peer
from pynode.net import awake
from pynode.net.awake import LEAST, LONG, MOST, Awake

from .conftest import MakeNet
from .harness import Script, recorder, send
from .test_nap import ONE, PEER, frame

WAIT = 1.0


@pytest.fixture(autouse=True)
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one processor can run these tests too."""
    monkeypatch.setattr(awake, "_processors", lambda: 2)


class Stage:
    """An :class:`Awake` with a clock and a loop of the test's own."""

    def __init__(self, seconds: float | None = WAIT) -> None:
        self.now = 100.0
        self.ready: deque[asyncio.Handle] = deque()
        self.awake = Awake(seconds)
        self.awake.start(self)  # type: ignore[arg-type]

    def call_soon(self, callback: Callable[[], object]) -> asyncio.Handle:
        self.ready.append(asyncio.Handle(callback, (), asyncio.get_event_loop()))
        return self.ready[-1]

    def turn(self) -> None:
        handle = self.ready.popleft()
        if not handle.cancelled():
            handle._run()

    def exchange(self, count: int = 1, *, after: float = 0.1) -> None:
        """Write, and be answered."""
        for _ in range(count):
            self.awake.wrote()
            self.now += after
            self.awake.read()

    def wait_in_vain(self) -> None:
        self.awake.wrote()
        assert self.awake.awake
        self.now += WAIT
        self.turn()
        assert not self.awake.awake

    @property
    def needed(self) -> int:
        """Begin, from nothing, and return how many answers it took to be kept awake."""
        self.exchange(after=2 * WAIT)
        while self.ready:
            self.turn()
        for count in range(2 * MOST):
            self.awake.wrote()
            if self.awake.awake:
                self.awake.read()
                self.now += WAIT
                self.turn()  # answered, so not in vain
                return count
            self.awake.read()
        raise AssertionError("never")


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(awake, "perf_counter", lambda: made.now)
    return made


async def test_quick_answers_begin_it(stage: Stage) -> None:
    stage.exchange(LEAST)
    assert not stage.awake.awake  # nothing is waited for
    stage.awake.wrote()
    assert stage.awake.awake
    for _ in range(5):
        stage.now += WAIT / 6
        stage.turn()
        assert stage.awake.awake
        assert len(stage.ready) == 1
    stage.now += WAIT / 6
    stage.turn()
    assert not stage.awake.awake
    assert not stage.ready


async def test_each_write_begins_the_wait_anew(stage: Stage) -> None:
    stage.exchange(LEAST)
    for _ in range(10):
        stage.awake.wrote()
        stage.now += WAIT * 0.9
        stage.turn()
        assert stage.awake.awake
        assert len(stage.ready) == 1


async def test_a_slow_answer_begins_the_count_anew(stage: Stage) -> None:
    stage.exchange(LEAST - 1)
    stage.exchange(after=WAIT)
    stage.exchange(LEAST - 1)
    stage.awake.wrote()
    assert not stage.awake.awake
    stage.awake.read()
    stage.awake.wrote()
    assert stage.awake.awake


async def test_who_only_sends_keeps_nobody_awake(stage: Stage) -> None:
    for _ in range(2 * LEAST):
        stage.awake.wrote()
    stage.awake.read()
    for _ in range(2 * LEAST):
        stage.awake.read()
    stage.awake.wrote()
    assert not stage.awake.awake


async def test_waits_in_vain_make_it_rare(stage: Stage) -> None:
    expected = LEAST
    for _ in range(12):
        assert stage.needed == expected
        stage.exchange(expected - LEAST)
        stage.wait_in_vain()
        expected = min(2 * expected, MOST)
    assert expected == MOST
    assert stage.needed == MOST


async def test_long_rows_make_up_for_waits_in_vain(stage: Stage) -> None:
    stage.exchange(LEAST)
    stage.wait_in_vain()
    assert stage.needed == 2 * LEAST
    stage.exchange(LONG * 2 * LEAST)
    assert stage.needed == LEAST


async def test_it_stops(stage: Stage) -> None:
    stage.exchange(LEAST)
    stage.awake.wrote()
    stage.awake.stop()
    assert not stage.awake.awake
    stage.turn()
    assert not stage.ready
    stage.exchange(2 * LEAST)
    stage.awake.wrote()
    assert not stage.awake.awake


async def test_an_interrupt_does_not_end_it_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> float:
        raise KeyboardInterrupt

    stage.exchange(LEAST)
    stage.awake.wrote()
    assert stage.awake.awake
    with monkeypatch.context() as patched:
        patched.setattr(awake, "perf_counter", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stage.turn()
    stage.awake.read()
    stage.awake.wrote()
    assert stage.awake.awake
    assert stage.ready


@pytest.mark.parametrize("seconds", [None, 0, 0.0])
async def test_it_can_be_turned_off(stage: Stage, seconds: float | None) -> None:
    stage.awake = Awake(seconds)
    stage.awake.start(stage)  # type: ignore[arg-type]
    stage.exchange(2 * MOST, after=0.0)
    stage.awake.wrote()
    assert not stage.awake.awake


async def test_one_processor_is_left_to_the_other_side(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awake, "_processors", lambda: 1)
    stage.awake = Awake(WAIT)
    stage.awake.start(stage)  # type: ignore[arg-type]
    stage.exchange(2 * MOST, after=0.0)
    stage.awake.wrote()
    assert not stage.awake.awake


async def test_a_net_that_answers_a_peer(make_net: MakeNet) -> None:
    net = await make_net(ONE, timeouts={"busy_wait": 3600.0})
    script = await Script.connect(net.port)
    await script.shake_hands(PEER)
    await recorder(net).until_up(PEER)

    def answer(peer: Peer, message: Control, payload: Payload | None) -> None:
        send(net, PEER, b"answer")

    recorder(net).on_control = answer
    rounds = 0
    while not net.awake.awake:
        assert rounds <= LEAST + 1  # what was written in the handshake may have been one
        script.write_raw(frame(rounds))
        assert (await script.read_frame())[:2] == b"\x83D"
        rounds += 1
    assert rounds >= LEAST
    # All else goes on: timers, threads, and other sockets.
    await asyncio.sleep(0.001)
    await asyncio.to_thread(int)
    other = await Script.connect(net.port)
    await other.shake_hands("other@localhost")
    await recorder(net).until_up("other@localhost")
    assert net.awake.awake
    await net.stop()
    assert not net.awake.awake
    for each in (script, other):
        await each.close()


async def test_a_net_that_only_sends_or_is_only_sent_to(make_net: MakeNet) -> None:
    net = await make_net(ONE, timeouts={"busy_wait": 3600.0})
    script = await Script.connect(net.port)
    await script.shake_hands(PEER)
    await recorder(net).until_up(PEER)
    for number in range(2 * LEAST):
        script.write_raw(frame(number))
        await recorder(net).until(lambda: len(recorder(net).values) > number)  # noqa: B023
    for _ in range(2 * LEAST):
        send(net, PEER, b"hello")
        await script.read_frame()
    assert not net.awake.awake
    await script.close()
    await recorder(net).until_down(PEER)


def test_values_that_are_no_times() -> None:
    from pynode.config import Timeouts
    from pynode.errors import ConfigError

    wrong: Any = "soon"
    with pytest.raises(TypeError, match="busy_wait"):
        Timeouts(busy_wait=wrong)
    with pytest.raises(ConfigError, match="busy_wait"):
        Timeouts(busy_wait=-1)
