"""As much of an AMQP 0-9-1 client as puts messages into a queue."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Final, Self

_METHOD: Final = 1
_HEADER: Final = 2
_BODY: Final = 3
_END: Final = b"\xce"
_EMPTY_TABLE: Final = bytes(4)


def _short(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


def _long(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode()


class AmqpClient:
    """A connection of the user guest, with one channel; a context manager."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        #: The port it comes from.
        self.port: int = self._socket.getsockname()[1]
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        self._expect(10, 10)
        login = _EMPTY_TABLE + _short("PLAIN") + _long("\0guest\0guest") + _short("en_US")
        self._method(0, 10, 11, login)
        tune = self._expect(10, 30)
        self._method(0, 10, 31, tune[:6] + bytes(2))  # no heartbeats
        self._ask(0, (10, 40), _short("/") + bytes(2), (10, 41))
        self._ask(1, (20, 10), _short(""), (20, 11))
        self._ask(1, (85, 10), b"\0", (85, 11))  # have publications confirmed

    def declare(self, queue: str) -> None:
        """Make a queue."""
        arguments = bytes(2) + _short(queue) + b"\0" + _EMPTY_TABLE
        self._ask(1, (50, 10), arguments, (50, 11))

    def publish(self, queue: str, body: bytes) -> None:
        """Put a message into a queue, and wait until the broker has it."""
        self._method(1, 60, 40, bytes(2) + _short("") + _short(queue) + b"\0")
        self._frame(_HEADER, 1, struct.pack(">HHQH", 60, 0, len(body), 0))
        self._frame(_BODY, 1, body)
        self._expect(60, 80)

    def close(self) -> None:
        """Go without a word."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(
        self, channel: int, method: tuple[int, int], arguments: bytes, answer: tuple[int, int]
    ) -> None:
        self._method(channel, *method, arguments)
        self._expect(*answer)

    def _method(self, channel: int, class_: int, method: int, arguments: bytes) -> None:
        self._frame(_METHOD, channel, struct.pack(">HH", class_, method) + arguments)

    def _frame(self, kind: int, channel: int, payload: bytes) -> None:
        self._socket.sendall(struct.pack(">BHI", kind, channel, len(payload)) + payload + _END)

    def _expect(self, class_: int, method: int) -> bytes:
        """Read the next method and return its arguments."""
        _, _, size = struct.unpack(">BHI", self._read(7))
        payload = self._read(size + 1)[:-1]
        assert struct.unpack_from(">HH", payload) == (class_, method), payload
        return payload[4:]

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            assert more, "the broker has closed the connection"
            data += more
        return data
