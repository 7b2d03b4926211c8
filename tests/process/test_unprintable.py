"""Reasons and messages that repr cannot write: nested too deep, too many digits."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pynode.errors import CallExit, Exit, RemoteError
from pynode.process import Runtime
from pynode.process.process import Process
from pynode.terms import atom, identical
from tests.process.wire import until


def nested(levels: int) -> Any:
    term: Any = ()
    for _ in range(levels):
        term = (term,)
    return term


@pytest.mark.parametrize("reason", [10**6000, nested(9000)], ids=["integer", "nested"])
@pytest.mark.parametrize("failing", ["callback", "coroutine"])
async def test_a_process_ends_with_any_reason(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, reason: Any, failing: str
) -> None:
    class Body:
        def start(self, process: Process) -> None:
            pass

        def message(self, process: Process, message: Any) -> None:
            raise Exit(reason)

        def terminated(self, process: Process, reason: Any) -> None:
            pass

    async def ends(process: Process) -> None:
        await process.receive()
        raise Exit(reason)

    process = runtime.spawn(Body() if failing == "callback" else ends)
    runtime.send(runtime.main, process.pid, 1)
    await until(lambda: not process.alive)
    assert identical(process.exit_reason, reason)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_log_handler_that_fails_keeps_no_process_alive(runtime: Runtime) -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("on purpose")

    faults: list[Any] = []
    runtime.loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
    log, handler = logging.getLogger("pynode.process"), Failing()
    log.addHandler(handler)
    try:

        async def ends(process: Process) -> None:
            raise Exit(atom.gone)

        process, other = runtime.spawn(ends), runtime.spawn(ends)
        await until(lambda: not process.alive and not other.alive)
    finally:
        log.removeHandler(handler)
        runtime.loop.set_exception_handler(None)
    assert process.exit_reason == other.exit_reason == atom.gone
    assert [str(fault) for fault in faults] == ["on purpose"] * 2


@pytest.mark.parametrize("reason", [10**6000, nested(9000)], ids=["integer", "nested"])
def test_exceptions_with_any_reason_are_written(reason: Any) -> None:
    """As asyncio writes them, and whoever logs one with %r."""
    for error in (RemoteError("error", reason), CallExit(reason), Exit(reason)):
        assert type(error).__name__ in repr(error)
        assert str(error)
        assert len(repr(error)) < 10_000
    assert repr(CallExit(atom.noproc)) == "CallExit(atom.noproc, None)"
