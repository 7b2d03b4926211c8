"""Signals while a command works and while it leaves."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from pynode.cli.running import _until_signal


async def rounds() -> None:
    """Let the loop see a signal that has been sent."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_signal() -> None:
    async def command() -> int:
        return 1

    assert await _until_signal(command()) == 1


async def test_the_first_signal_counts_and_the_second_does_not_cut_the_leave_short() -> None:
    left = False

    async def command() -> int:
        nonlocal left
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
            return 0
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            await rounds()
            left = True

    assert await _until_signal(command()) == 143
    assert left


async def test_what_fails_while_leaving_is_not_hidden() -> None:
    async def command() -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
            return 0
        finally:
            raise OSError("cannot leave")

    with pytest.raises(OSError, match="cannot leave"):
        await _until_signal(command())
