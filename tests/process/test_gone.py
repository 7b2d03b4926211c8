"""What is left of a process that nobody has ended, and nobody can reach."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

from pynode.process import Process, Runtime
from pynode.terms import Atom


async def test_its_coroutine_can_be_stepped() -> None:
    async def body(process: Process) -> None:
        receiving = process.receive()
        del process
        await receiving

    runtime = Runtime(Atom("gone@host"), 7)
    process = runtime.spawn(body)
    await asyncio.sleep(0)
    task = process.task
    assert task is not None
    coroutine: Any = task.get_coro()
    table = runtime._table
    del process, task, runtime
    table.clear()
    await asyncio.sleep(0)
    gc.collect()
    with contextlib.suppress(RuntimeError):  # or it waits on, for nothing
        for _ in range(3):
            coroutine.send(None)
    coroutine.close()
