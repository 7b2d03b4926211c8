from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.errors import EncodeError
from pynode.process import Runtime
from pynode.process.timers import TimerHeap
from pynode.terms import Atom, Pid, atom
from tests.process.wire import until


@pytest.fixture
async def heap() -> TimerHeap:
    return TimerHeap(asyncio.get_running_loop())


async def test_in_the_order_of_their_times(heap: TimerHeap) -> None:
    fired: list[int] = []
    heap.after(0.02, fired.append, 3)
    heap.after(-1.0, fired.append, 0)
    heap.after(0.0, fired.append, 1)
    heap.after(0.01, fired.append, 2)
    await until(lambda: len(fired) == 4)
    assert fired == [0, 1, 2, 3]
    assert len(heap) == 0


async def test_cancelled_ones_do_not_fire_and_are_cleaned_away(heap: TimerHeap) -> None:
    fired: list[int] = []
    timers = [heap.after(60, fired.append, number) for number in range(200)]
    assert all(timer.cancel() for timer in timers[:150])
    assert not timers[0].cancel()
    assert len(heap) == 50
    assert len(heap._entries) < 200
    soon = heap.after(0.0, fired.append, 1)
    heap.after(0.001, fired.append, 2)
    soon.cancel()
    await until(lambda: fired)
    assert fired == [2]
    assert 0 < timers[-1].left <= 60
    heap.close()
    heap.close()
    assert len(heap) == 0


async def test_a_callback_may_add_timers(heap: TimerHeap) -> None:
    fired: list[int] = []

    def again() -> None:
        fired.append(1)
        if len(fired) < 3:
            heap.after(0.0, again)

    heap.after(0.0, again)
    await until(lambda: len(fired) == 3)


def test_an_interrupt_in_a_callback_stops_no_other() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    loop = asyncio.new_event_loop()
    heap = TimerHeap(loop)
    heap.after(0.0, interrupted)
    heap.after(0.0, loop.stop)
    late = loop.call_later(20, loop.stop)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.run_forever()
    assert len(heap) == 0
    assert loop.time() < late.when()
    heap.close()
    late.cancel()
    loop.close()


async def test_an_interrupt_while_a_timer_is_set_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop: Any = asyncio.get_running_loop()
    call_later = loop.call_later
    interrupts: list[BaseException] = []

    def interrupted(*args: Any, **options: Any) -> Any:
        if interrupts:
            raise interrupts.pop()
        return call_later(*args, **options)

    monkeypatch.setattr(loop, "call_later", interrupted)
    heap = TimerHeap(loop)
    fired: list[int] = []
    heap.after(0.01, fired.append, 1)
    interrupts.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        heap.after(0.0, fired.append, 0)
    heap.after(3600.0, fired.append, 2)
    await until(lambda: fired == [0, 1])
    heap.close()


async def test_a_callback_that_fails_stops_no_other(heap: TimerHeap) -> None:
    def fails() -> None:
        raise ValueError("timer")

    contexts: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    fired: list[int] = []
    heap.after(0.0, fails)
    heap.after(0.0, fired.append, 1)
    await until(lambda: fired)
    loop.set_exception_handler(None)
    assert "a timer of the runtime failed" in contexts[0]["message"]


async def test_timers_of_processes(runtime: Runtime) -> None:
    main = runtime.main
    with pytest.raises(ValueError, match="process of this node"):
        runtime.send_after(main, 1, Pid(Atom("far@host"), 1, 0, 1), 1)
    with pytest.raises(EncodeError):
        runtime.send_after(main, 1, main.pid, object())
    dead = runtime.spawn(None)
    runtime.exit(main, dead.pid, atom.bye)
    ref = runtime.send_after(main, 1, dead.pid, 1)
    assert runtime.read_timer(ref) is None
    by_name = runtime.send_after(main, 60, "name", 1)
    left = runtime.cancel_timer(by_name)
    assert left is not None
    assert 0 < left <= 60
