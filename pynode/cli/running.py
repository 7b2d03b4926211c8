"""Runs one command: the event loop, signals, exit codes, and errors in one line."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from pynode.cli.commands import COMMANDS, SHORT, Failure
from pynode.cli.parser import Options
from pynode.errors import PynodeError

__all__ = ["run"]

FAILURE: Final = 1
_log: Final = logging.getLogger("pynode.cli")


def run(options: Options) -> int:
    """Run the command of ``options`` and return the exit code."""
    _configure_streams()
    _configure_logging(logging.ERROR if options.command in SHORT else logging.WARNING)
    try:
        return asyncio.run(_until_signal(COMMANDS[options.command](options)))
    except (PynodeError, Failure, OSError) as error:
        _log.error("%s", error)
    except Exception as error:
        if sys.flags.dev_mode:  # python -X dev -m pynode: for whoever looks for the fault
            raise
        _log.error("a fault in pynode: %s: %s", type(error).__name__, error)
    return FAILURE


async def _until_signal(command: Coroutine[Any, Any, int]) -> int:
    """Run ``command``; on SIGINT, SIGTERM or a broken pipe cancel it, so that it leaves."""
    loop = asyncio.get_running_loop()
    work = loop.create_task(command, name="pynode command")
    codes: list[int] = []

    def stop(code: int) -> None:
        # Once: a terminal and a wrapper such as uv may both deliver a Ctrl-C, and the second
        # cancellation would cut the leave short.
        if not codes:
            codes.append(code)
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, 128 + number)
    with contextlib.redirect_stdout(_Stdout(sys.stdout, lambda: stop(FAILURE))):
        try:
            return await work
        except asyncio.CancelledError:
            if not codes:
                raise
            return codes[0]


class _Stdout:
    """Stdout that calls ``gone`` instead of raising when nobody reads it any more.

    For prints come from processes of the node too, and one of those would only crash.
    """

    def __init__(self, stream: Any, gone: Callable[[], None]) -> None:
        self._stream = stream
        self._gone = gone

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except BrokenPipeError:
            self._broken()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._broken()

    def _broken(self) -> None:
        _log.error("nobody reads stdout any more")
        # The interpreter flushes stdout at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        self._gone()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _configure_streams() -> None:
    """Write each line when it is printed, into pipes too; escape what the encoding has not."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = " ".join(record.getMessage().split())
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            text += f" ({type(error).__name__}: {' '.join(str(error).split())})"
        return f"pynode: {text}"


def _configure_logging(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a broken stderr is no reason for a traceback
