"""What another thread will bring: a value to wait for, with or without an event loop."""

from __future__ import annotations

import sys
from concurrent.futures import Future, TimeoutError as _FutureTimeout
from typing import TypeVar

__all__ = ["block", "hint", "pause"]

T = TypeVar("T")


def block(future: Future[T], timeout: float | None) -> T:
    """Wait for ``future`` in this thread; it is cancelled when the time is up.

    Raises:
        TimeoutError: after ``timeout`` seconds.
    """
    try:
        return future.result(timeout)
    except _FutureTimeout:
        if future.done():  # the value itself is a TimeoutError, or came at the last moment
            return future.result()
        raise
    finally:
        future.cancel()


async def pause(future: Future[T], timeout: float | None) -> T:
    """Wait for ``future`` without holding the event loop up; else like :func:`block`."""
    import asyncio

    async with asyncio.timeout(timeout):
        return await asyncio.wrap_future(future)


def hint() -> str:
    """Return a word for whoever waited in vain while holding an event loop up, or nothing."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        return ""
    return (
        " (the event loop of this thread stood still meanwhile, and with it every Python node "
        "in it; there is an async twin of this call: aeval, arpc, await_line)"
    )
