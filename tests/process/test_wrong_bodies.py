"""What a process cannot run is told: what is no function, a function that is not async."""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pynode.errors import CallExit
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import atom

DEADLINE = 10.0


async def reason(runtime: Runtime, body: Any, *args: Any) -> Any:
    """Return with what a process that runs ``body`` ends."""
    process = runtime.spawn(body, *args)
    with runtime.open_call(runtime.main, process.pid) as slot, pytest.raises(CallExit) as caught:
        await slot.wait(DEADLINE)
    return caught.value.reason


def returns_five(process: Process) -> Any:
    return 5


async def yields(process: Process) -> AsyncIterator[int]:
    yield 1


def yields_too(process: Process) -> Iterator[int]:
    yield 1


def returns_a_future(process: Process) -> Any:
    return process.runtime.loop.create_future()


WRONG: list[Callable[..., Any]] = [
    returns_five,
    yields,
    yields_too,
    returns_a_future,
    lambda process: 5,
    functools.partial(returns_five),
]


@pytest.mark.parametrize("body", WRONG)
async def test_a_function_that_is_not_async(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, body: Any
) -> None:
    (kind, name, text), stack = await reason(runtime, body)
    assert (kind, name, stack) == (atom.python_error, atom.TypeError, [])
    assert b": what a process runs is async def function(process, ...), without" in text
    called = getattr(body, "__qualname__", "returns_five")
    assert called.encode() in text
    (record,) = caplog.records
    assert "TypeError" in record.getMessage()


async def test_what_can_be_run(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    async def plain(process: Process, *args: Any) -> None:
        seen.append(args)

    class Callable_:
        def __call__(self, process: Process, *args: Any) -> Any:
            return plain(process, *args)

    @types.coroutine
    def old(process: Process, *args: Any) -> Any:
        seen.append(args)
        yield

    def quits(process: Process, *args: Any) -> None:
        seen.append(args)
        process.runtime.exit(process, process.pid, atom.normal)

    bodies = [
        plain,
        functools.partial(plain),
        lambda process, *args: plain(process, *args),
        Callable_(),
        old,
        lambda process, *args: asyncio.sleep(0, plain(process, *args).close()),
        quits,
    ]
    for number, body in enumerate(bodies):
        assert await reason(runtime, body, number) == atom.normal
    assert seen == [(number,) for number in range(len(bodies)) if number != 5]
    runtime.send(runtime.main, runtime.main.pid, 1)
    assert await reason(runtime, lambda process: process.receive(timeout=0)) != atom.normal
    assert len(caplog.records) == 1  # a TimeoutError, the receive's own


class Odd:
    """A body whose callbacks return what is no coroutine."""

    def __init__(self, start: Any, message: Any) -> None:
        self._start, self._message = start, message

    def start(self, process: Process) -> Any:
        return self._start

    def message(self, process: Process, message: Any) -> Any:
        return self._message

    def terminated(self, process: Process, reason: Any) -> None:
        pass


@pytest.mark.parametrize(("start", "message"), [(5, None), (None, 5)])
async def test_a_callback_of_a_body(runtime: Runtime, start: Any, message: Any) -> None:
    process = runtime.spawn(Odd(start, message))
    runtime.send(runtime.main, process.pid, atom.go)
    with runtime.open_call(runtime.main, process.pid) as slot, pytest.raises(CallExit) as caught:
        await slot.wait(DEADLINE)
    (_, _, text), _ = caught.value.reason
    name = b"Odd.start" if start else b"Odd.message"
    assert text == name + b" returned 5: a process's callback returns None or a coroutine"


async def test_what_is_no_function(runtime: Runtime) -> None:
    wrong: list[Any] = [5, b"x", "x", ("a", "b"), object()]
    for body in wrong:
        with pytest.raises(TypeError, match="what a process runs is async def"):
            runtime.spawn(body, name="taken")
    assert runtime.whereis("taken") is None
