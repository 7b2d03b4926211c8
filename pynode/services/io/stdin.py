"""The program's standard input, read only while somebody waits for it.

Nothing is read ahead of a request; but a read takes what is there, so what a request leaves over
stays with the node, for the next one.  A terminal, a pipe and a socket are waited for by the
loop, on a descriptor of our own, so that a reader of the program's is not disturbed; a file is
read at once.  What has no descriptor (a console of an editor) is read in a daemon thread, a line
at a time, which no cancellation can end: the line it gets is kept for the next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import select
import stat
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["NoInput", "Stdin"]

_BYTES: Final = 64 * 1024


class NoInput(Exception):
    """Standard input cannot be read."""


class Stdin:
    """``sys.stdin`` as it is at each read."""

    def __init__(self) -> None:
        self._thread: _LineThread | None = None

    async def read(self) -> bytes | str:
        """Return some input as soon as there is any, empty at the end.

        Cancelling loses nothing.

        Raises:
            NoInput: it cannot be read.
        """
        stream = sys.stdin
        if stream is None or getattr(stream, "closed", False):
            return b""
        try:
            if isinstance(stream, io.StringIO):
                return stream.readline()
            descriptor = _descriptor(stream)
            if descriptor is not None:
                with contextlib.suppress(NotImplementedError):  # a loop that waits for sockets only
                    return await _read_descriptor(descriptor)
            if self._thread is None or self._thread.stream is not stream:
                self._thread = _LineThread(stream)
            return await self._thread.line()
        except (OSError, ValueError) as error:
            raise NoInput(str(error)) from error

    @property
    def is_terminal(self) -> bool:
        """Whether somebody types."""
        stream = sys.stdin
        try:
            return stream is not None and stream.isatty()
        except (OSError, ValueError):
            return False

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Do not show what is typed.

        Raises:
            NoInput: it is no terminal.
        """
        descriptor = _descriptor(sys.stdin) if self.is_terminal else None
        if descriptor is None:
            raise NoInput("no terminal")
        try:
            import termios
        except ImportError:
            raise NoInput("no terminal whose echo can be turned off") from None
        before = termios.tcgetattr(descriptor)
        silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, silent)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _descriptor(stream: Any) -> int | None:
    try:
        found = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return found if isinstance(found, int) and found >= 0 else None


async def _read_descriptor(descriptor: int) -> bytes:
    own = os.dup(descriptor)
    try:
        if not stat.S_ISREG(os.fstat(own).st_mode):
            await _until_readable(own)
        return os.read(own, _BYTES)
    finally:
        os.close(own)


async def _until_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    while True:
        ready = loop.create_future()
        try:
            loop.add_reader(descriptor, _settle, ready)
        except PermissionError:
            return  # a device that is always ready, such as /dev/null
        try:
            await ready
        finally:
            loop.remove_reader(descriptor)
        # Another reader of the program may have been quicker.
        if select.select([descriptor], [], [], 0)[0]:
            return


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _LineThread:
    """Reads lines of one stream in a thread, one at a time, each when it is asked for."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._pending: asyncio.Future[str] | None = None

    async def line(self) -> str:
        """Return a line."""
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = loop.create_future()
            threading.Thread(
                target=self._read, args=(loop, self._pending), name="pynode stdin", daemon=True
            ).start()
        pending = self._pending
        try:
            return await asyncio.shield(pending)
        finally:
            if pending.done():
                self._pending = None

    def _read(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[str]) -> None:
        try:
            line: str | BaseException = self.stream.readline()
        except BaseException as error:
            line = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_deliver, future, line)


def _deliver(future: asyncio.Future[str], line: Any) -> None:
    if future.done():
        return
    if isinstance(line, BaseException):
        # What a stream raises is its own; what cannot be a result of a future is told the same.
        future.set_exception(line if isinstance(line, OSError) else OSError(str(line)))
    else:
        future.set_result(line)
