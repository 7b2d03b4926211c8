"""The compiled calls and timers: what asyncio asks of a wait, and what 100,000 calls leave."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import sys
from typing import Any

import pytest

from pynode.dist.flags import OUR_FLAGS
from pynode.dist.outbox import Outbox
from pynode.errors import CallTimeout, EncodeError, NoConnection
from pynode.process import Process, Runtime, _choice
from pynode.process.calls import CallSlot, PureCallSlot
from pynode.process.timers import PureTimerHeap, TimerHeap
from pynode.terms import Atom, Pid, atom
from tests.process.wire import until

pytestmark = pytest.mark.skipif(_choice.CallSlot is None, reason="nothing is compiled")

THERE = Atom("there@host")
TO = Pid(THERE, 5, 0, 3)


class Net:
    """A way out that is open, and throws away what is written."""

    gathering = False

    def __init__(self) -> None:
        self.gather = Outbox(headers=True, fragments=True).gather
        self.gather.link = self
        self.gather.flags = int(OUR_FLAGS)
        self.gather.bound = 64 * 1024
        self.gathers = {THERE: self.gather}
        self.written = b""
        self.flushes = self.hurries = 0

    def full(self) -> bool:
        self.written = self.gather.take()
        return False

    def flush_soon(self, link: Any) -> None:
        assert link is self
        self.flushes += 1

    def hurry(self) -> None:
        self.hurries += 1


@pytest.fixture
async def net(runtime: Runtime) -> Net:
    made = Net()
    runtime.attach(made)  # type: ignore[arg-type]
    return made


def begin(runtime: Runtime, timeout: float | None = None) -> tuple[Any, Any]:
    """Return a wait that has begun, and its slot."""
    waiting = runtime.quick.call(runtime.main, atom.label, TO, 1, timeout, False)
    assert waiting is not None
    slot = list(runtime.main.extra.calls.values())[-1]
    assert next(waiting) is waiting
    assert waiting._asyncio_future_blocking
    return waiting, slot


def left(runtime: Runtime) -> list[int]:
    main, remote = runtime.main, runtime.nodes.find(THERE)
    assert remote is not None
    return [
        len(found)
        for found in (
            runtime.aliases,
            runtime.timers,
            main.extra.calls,
            main.monitors or (),
            remote.monitors,
        )
    ]


def test_both_are_there() -> None:
    assert CallSlot is not PureCallSlot
    assert TimerHeap is not PureTimerHeap


async def test_a_hundred_thousand_calls_leave_nothing(runtime: Runtime, net: Net) -> None:
    quick, main = runtime.quick, runtime.main

    def some(count: int) -> None:
        for number in range(count):
            waiting, slot = begin(runtime, 5.0)
            way = number % 4
            if way == 0:
                slot.take((slot.tag, number))
            elif way == 1:
                slot.fired(atom.noconnection)
            elif way == 2:
                slot._timed_out()
            else:
                waiting.close()
                slot.close()
                continue
            with pytest.raises((StopIteration, NoConnection, CallTimeout)) as end:
                next(waiting)
            if way == 0:
                assert isinstance(end.value, StopIteration)
                assert end.value.value == number

    some(400)
    gc.collect()
    references = [sys.getrefcount(one) for one in (quick, main, TO, runtime, net)]
    objects = len(gc.get_objects())
    some(100_000)
    gc.collect()
    assert left(runtime) == [0] * 5
    assert len(gc.get_objects()) - objects < 300
    assert [sys.getrefcount(one) for one in (quick, main, TO, runtime, net)] == references


@pytest.mark.parametrize("value", [None, (), (1, 2), ValueError("a value"), StopIteration(1)])
async def test_any_value_is_the_value(runtime: Runtime, net: Net, value: Any) -> None:
    waiting, slot = begin(runtime)
    slot.replied(value)
    with pytest.raises(StopIteration) as end:
        next(waiting)
    assert end.value.value is value
    with pytest.raises(RuntimeError, match="already"):
        next(waiting)


async def test_as_a_future(runtime: Runtime, net: Net) -> None:
    told: list[Any] = []
    context = contextvars.copy_context()
    waiting, slot = begin(runtime)
    assert waiting.get_loop() is asyncio.get_running_loop()
    waiting.add_done_callback(told.append, context=context)
    waiting.add_done_callback(told.append, context=context)
    waiting.add_done_callback(print, context=context)
    assert waiting.remove_done_callback(print) == 1
    assert waiting.remove_done_callback(print) == 0
    assert not waiting.done()
    slot.replied(1)
    assert waiting.done()
    assert not waiting.cancelled()
    assert not waiting.cancel()
    assert waiting.result() is waiting.exception() is None
    assert told == []  # soon
    waiting.add_done_callback(told.append, context=context)
    await until(lambda: told == [waiting] * 3)
    waiting.close()

    waiting, slot = begin(runtime)
    waiting.add_done_callback(told.append, context=context)
    assert waiting.remove_done_callback(told.append) == 1
    assert waiting.cancel("why")
    assert waiting.cancelled()
    with pytest.raises(asyncio.CancelledError, match="why"):
        waiting.result()
    waiting.set_result(None)
    waiting.step()
    slot.replied(2)
    assert waiting.cancelled()
    waiting.close()
    assert left(runtime) == [0] * 5


async def test_a_batch_steps_it_at_its_end(runtime: Runtime, net: Net) -> None:
    told: list[Any] = []
    waiting, slot = begin(runtime)
    waiting.add_done_callback(told.append, context=contextvars.copy_context())
    done = asyncio.get_running_loop().create_future()

    def batch() -> None:
        runtime.batch_begin()
        slot.replied(1)
        assert told == []
        runtime.batch_end()
        done.set_result(list(told))

    asyncio.get_running_loop().call_soon(batch)
    assert await done == [waiting]
    waiting.close()


@pytest.mark.parametrize("how", [(ValueError("x"),), (ValueError, "x"), (ValueError, None, None)])
async def test_what_is_thrown_ends_the_call(runtime: Runtime, net: Net, how: Any) -> None:
    waiting, slot = begin(runtime, 5.0)
    with pytest.raises(ValueError, match=r"x|^$"):
        waiting.throw(*how)
    assert slot.done
    assert left(runtime) == [0] * 5


async def test_what_cannot_be_written_leaves_nothing(runtime: Runtime, net: Net) -> None:
    quick, main = runtime.quick, runtime.main
    used = net.gather.used
    assert quick.call(main, atom.label, TO, object(), 1.0, False) is None
    assert quick.call(main, atom.label, (atom.name, THERE), object(), 1.0, False) is None
    assert quick.call(main, atom.label, Pid(Atom("far@host"), 1, 0, 1), 1, 1.0, False) is None
    assert quick.call(main, atom.label, 7, 1, 1.0, False) is None
    with pytest.raises(TypeError):
        quick.call(main, atom.label, TO, 1, "soon", False)
    with pytest.raises(TypeError):
        quick.call(7, atom.label, TO, 1, 1.0, False)
    assert net.gather.used == used
    assert not main.monitors
    assert not runtime.aliases
    with pytest.raises(EncodeError):
        runtime.send(main, TO, object())


async def test_what_is_written(runtime: Runtime, net: Net) -> None:
    waiting, slot = begin(runtime)
    from pynode.etf import encode_payload

    me, ref = runtime.main.pid, slot.ref
    request = encode_payload((atom.label, (me, slot.tag), 1))

    def frame(control: Any, payload: bytes = b"") -> bytes:
        body = b"\x83D\0" + encode_payload(control) + payload
        return len(body).to_bytes(4, "big") + body

    asked = frame((19, me, TO, ref)) + frame((22, me, TO), request)
    assert net.gather.take() == asked
    assert (net.flushes, net.hurries) == (1, 1)
    waiting.close()
    assert net.gather.take() == frame((20, me, TO, ref))
    waiting = runtime.quick.call(runtime.main, atom.label, (atom.name, THERE), 1, None, False)
    slot = next(iter(runtime.main.extra.calls.values()))
    request = encode_payload((atom.label, (me, slot.tag), 1))
    asked = frame((19, me, atom.name, slot.ref)) + frame((6, me, Atom(""), atom.name), request)
    assert net.gather.take() == asked
    slot.fired(atom.noproc)  # a DOWN takes the monitor first
    waiting.close()


async def test_a_callback_that_closes_and_calls_again(runtime: Runtime, net: Net) -> None:
    made: list[Any] = []
    waiting, slot = begin(runtime)

    def again(done: Any) -> None:
        done.close()
        waiting.close()
        made.append(begin(runtime))

    slot.add_done_callback(again)
    slot.replied(1)
    (second, other), *none = made
    assert not none
    assert not other.done
    second.close()
    assert left(runtime) == [0] * 5


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of 3.12")
async def test_in_an_eager_task(runtime: Runtime, net: Net) -> None:
    async def call() -> Any:
        return await runtime.quick.call(runtime.main, atom.label, TO, 1, 5.0, False)

    factory: Any = asyncio.eager_task_factory  # type: ignore[attr-defined, unused-ignore]
    task = factory(asyncio.get_running_loop(), call())
    next(iter(runtime.main.extra.calls.values())).replied(3)
    assert await task == 3


async def test_in_a_stepped_process(runtime: Runtime, net: Net) -> None:
    got: list[Any] = []

    async def body(process: Process) -> None:
        for _ in range(3):
            got.append(await runtime.quick.call(process, atom.label, TO, 1, 5.0, False))

    process = runtime.spawn(body)
    for number in range(3):
        await until(lambda: process.rare is not None and process.rare.calls)
        slot = next(iter(process.extra.calls.values()))
        for waiter in range(number):  # woken for nothing
            slot.process.runtime.scheduler.ready(process)
            await asyncio.sleep(0)
            assert waiter < number
        slot.replied(number)
        await until(lambda: len(got) == number + 1)  # noqa: B023
    assert got == [0, 1, 2]


async def test_timers_fire_as_those_in_python(runtime: Runtime) -> None:
    chance = random.Random(5)
    loop = asyncio.get_running_loop()
    heaps: list[Any] = [TimerHeap(loop), PureTimerHeap(loop)]
    fired: list[list[int]] = [[], []]
    timers: list[list[Any]] = [[], []]
    for number in range(2000):
        seconds = chance.choice((-1, 0, 0.001 * chance.random(), 0.01 * chance.random(), 60.0))
        for heap, order, mine in zip(heaps, fired, timers, strict=True):
            mine.append(heap.after(seconds, order.append, number))
        if chance.random() < 0.5:
            index = chance.randrange(len(timers[0]))
            assert timers[0][index].cancel() == timers[1][index].cancel()
        assert len(heaps[0]) == len(heaps[1])
    due = [timer for timer in timers[0] if timer.callback is not None and timer.left < 30]
    assert due
    await until(lambda: all(timer.callback is None for timer in due))
    await until(lambda: len(heaps[0]) == len(heaps[1]))
    assert sorted(fired[0]) == sorted(fired[1])
    for order, mine in zip(fired, timers, strict=True):
        assert order == sorted(order, key=lambda number: (mine[number].when, number))
    for heap in heaps:
        heap.close()
        assert len(heap) == 0
    assert not any(timer.cancel() for mine in timers for timer in mine)
