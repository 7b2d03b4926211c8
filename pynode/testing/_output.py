"""The lines that a node writes, as they come, and those who wait for one."""

from __future__ import annotations

import re
import threading
from collections import deque
from concurrent.futures import Future

__all__ = ["Output"]

_KEPT = 20_000


class Output:
    """Lines, oldest first; fed by the thread that reads the pipe, read by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._rest = b""
        self._waiters: list[tuple[re.Pattern[str], list[int], Future[str]]] = []
        self._closed: BaseException | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes as the pipe gave them; bytes that are no UTF-8 become U+FFFD."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._add(line.decode("utf-8", "replace").removesuffix("\r"))

    def close(self, reason: BaseException) -> None:
        """Take the end of the output: who still waits for a line gets ``reason``."""
        if self._rest:
            self.feed(b"\n")
        with self._lock:
            self._closed = reason
            waiters, self._waiters = self._waiters, []
        for _, _, future in waiters:
            if future.set_running_or_notify_cancel():
                future.set_exception(reason)

    def lines(self) -> list[str]:
        """Return the lines so far (the last 20,000 of them)."""
        with self._lock:
            return list(self._lines)

    def tail(self, count: int = 30) -> str:
        """Return the last ``count`` lines as one text."""
        lines = self.lines()
        if self._rest:  # a prompt, or a message without an end
            lines.append(self._rest.decode("utf-8", "replace"))
        return "\n".join(lines[-count:])

    def line(self, pattern: str | re.Pattern[str], count: int) -> Future[str]:
        """Return a future of the ``count``-th line that has ``pattern`` in it.

        A str is looked for as it stands, a compiled expression is searched for.  Lines that are
        there already count.
        """
        wanted = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        future: Future[str] = Future()
        with self._lock:
            missing = count
            for line in self._lines:
                if wanted.search(line):
                    missing -= 1
                    if missing == 0:
                        future.set_result(line)
                        return future
            if self._closed is not None:
                future.set_exception(self._closed)
            else:
                self._waiters = [w for w in self._waiters if not w[2].done()]
                self._waiters.append((wanted, [missing], future))
        return future

    def _add(self, line: str) -> None:
        met = []
        with self._lock:
            self._lines.append(line)
            for waiter in list(self._waiters):
                wanted, missing, future = waiter
                if wanted.search(line):
                    missing[0] -= 1
                    if missing[0] == 0:
                        self._waiters.remove(waiter)
                        met.append(future)
        for future in met:
            if future.set_running_or_notify_cancel():
                future.set_result(line)
