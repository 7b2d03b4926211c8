"""Cutting the stream of bytes into frames: four length bytes, then that many bytes.

An empty frame is a tick.  The time is linear in the bytes however they are portioned: a frame that
is not complete gathers in one growing buffer, and nothing is cut off the front of anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pynode.errors import FrameError

__all__ = ["LARGE_FRAME_BYTES", "FrameReader"]

#: From this size on a frame is handed on as a view of its buffer instead of a copy.
LARGE_FRAME_BYTES: Final = 64 * 1024
_GROWTH_BYTES: Final = 1024 * 1024


class FrameReader:
    """Bytes in, frames out."""

    __slots__ = ("_body", "_filled", "_head", "_limit", "_need")

    def __init__(self, limit: int) -> None:
        """Refuse frames of more than ``limit`` bytes."""
        self._limit = limit
        self._head = b""  # up to three bytes of a length
        self._need = -1  # the length of the unfinished frame; -1: no frame begun
        self._filled = 0
        self._body = bytearray()  # of the unfinished frame; may be longer than filled

    def feed(self, data: bytes) -> Iterator[bytes | memoryview]:
        """Yield each frame that ``data`` completes; to be run to its end before the next call.

        Raises:
            FrameError: a length above the limit.
        """
        position = 0
        end = len(data)
        if self._need >= 0 or self._head:
            position = self._continue(data)
            if self._filled == self._need:
                yield self._finish()
        while end - position >= 4:
            start = position + 4
            length = int.from_bytes(data[position:start], "big")
            position = start + length
            if position > end or length > self._limit:
                self._begin(length)
                self._append(data[start:])
                return
            yield data[start:position]
        if position < end:
            self._head = data[position:]

    @property
    def unfinished(self) -> bool:
        """True in the middle of a frame, or of its length."""
        return self._need >= 0 or bool(self._head)

    def go_on(self, data: bytes) -> tuple[bytes | memoryview | None, int]:
        """Return the unfinished frame if ``data`` completes it, and how much of it that took.

        Raises:
            FrameError: a length above the limit.
        """
        position = self._continue(data)
        return (self._finish() if self._filled == self._need else None), position

    def take_unfinished(self) -> bytes:
        """Return what came of the unfinished frame, its length first, and forget it."""
        if self._need < 0:
            unfinished, self._head = self._head, b""
        else:
            unfinished = self._need.to_bytes(4, "big") + self._body[: self._filled]
            self._finish()
        return unfinished

    def put_back(self, unfinished: bytes) -> None:
        """Undo :meth:`take_unfinished`; it may be longer now."""
        for _ in self.feed(unfinished):
            raise AssertionError("an unfinished frame is whole")

    def get_buffer(self) -> memoryview | None:
        """Return where the rest of a large unfinished frame can be received into, else None.

        The view must be gone (or released) before the next call of anything here.
        """
        if self._need - self._filled < LARGE_FRAME_BYTES:
            return None
        if len(self._body) - self._filled < LARGE_FRAME_BYTES:
            self._body += bytes(min(self._need - len(self._body), _GROWTH_BYTES))
        return memoryview(self._body)[self._filled :]

    def buffer_filled(self, count: int) -> memoryview | bytes | None:
        """Take ``count`` bytes that were put into the buffer; return the frame if it is whole."""
        self._filled += count
        return self._finish() if self._filled == self._need else None

    # ------------------------------------------------------------------ the unfinished frame

    def _continue(self, data: bytes) -> int:
        """Put the front of ``data`` where it belongs; return how much of it that is."""
        position = 0
        if self._need < 0:
            position = 4 - len(self._head)
            self._head += data[:position]
            if len(self._head) < 4:
                return len(data)
            self._begin(int.from_bytes(self._head, "big"))
        stop = position + self._need - self._filled
        self._append(memoryview(data)[position:stop])
        return min(stop, len(data))

    def _begin(self, length: int) -> None:
        if length > self._limit:
            raise FrameError(f"a frame of {length} bytes, and {self._limit} are allowed")
        self._head = b""
        self._need = length

    def _append(self, data: bytes | memoryview) -> None:
        if self._filled == len(self._body):
            self._body += data
        else:
            self._body[self._filled : self._filled + len(data)] = data
        self._filled += len(data)

    def _finish(self) -> bytes | memoryview:
        body = self._body
        self._body = bytearray()
        self._need = -1
        self._filled = 0
        return bytes(body) if len(body) < LARGE_FRAME_BYTES else memoryview(body)
