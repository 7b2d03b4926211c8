"""A device as a text file, for ``print(..., file=...)`` and :func:`contextlib.redirect_stdout`."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Final

from .client import Device

__all__ = ["IoStream"]

#: Characters of an unfinished line that are kept back.
_MOST: Final = 8192


class IoStream(io.TextIOBase):
    """A text file whose lines are sent to a device.  Made by ``node.io.stream()``.

    A line is sent when it is complete, by the process that completes it, and nobody waits for it
    to be written: order and loss are those of signals.  :meth:`flush` sends what there is of the
    last one.  May be written to from any thread.
    """

    def __init__(self, send: Callable[[Device, str], object], device: Device) -> None:
        self._send = send
        self._device = device
        self._kept = ""
        self._lock = threading.Lock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Devices take all of Unicode."""
        return "utf-8"

    def writable(self) -> bool:
        """Tell that it is."""
        return True

    def write(self, text: str, /) -> int:
        """Take ``text``, and send the lines that it completes.

        Raises:
            DeviceError: the device does not exist.
            ProcessDead, NodeDown: the acting process, or its node, has ended.
        """
        if not isinstance(text, str):
            raise TypeError(f"write() takes a str, not {type(text).__name__}")
        self._check_open()
        with self._lock:
            kept = self._kept + text
            end = kept.rfind("\n") + 1
            if len(kept) - end > _MOST:
                end = len(kept)
            lines, self._kept = kept[:end], kept[end:]
        if lines:
            self._send(self._device, lines)
        return len(text)

    def flush(self) -> None:
        """Send what is kept of an unfinished line."""
        self._check_open()
        with self._lock:
            kept, self._kept = self._kept, ""
        if kept:
            self._send(self._device, kept)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
