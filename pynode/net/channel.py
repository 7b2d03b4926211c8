"""A non-blocking socket on the loop: bytes in by callback, bytes out from a short queue.

Own ``recv`` and ``sendmsg`` under ``add_reader`` and ``add_writer`` instead of a transport: what
lies in the queue is never copied, a large binary is sent from where it lies, a close is a close
at once (no task, no callback later, no descriptor left in the selector), and nothing of asyncio's
stands between the bytes and their reader.

Errors never leave through the caller of :meth:`Channel.write`: a lost socket is reported to the
receiver from the loop, so that writing is safe in the middle of anything.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Iterable
from itertools import islice
from time import perf_counter
from typing import Any, Final, Protocol, TypeAlias

from pynode.forked import keep_in, own_socket

__all__ = ["Buffer", "Channel", "Receiver", "TlsFault", "connect_socket"]

Buffer: TypeAlias = bytes | memoryview

#: Bounds of one read.  The amount adapts, so that reading and handling what was read takes about
#: :data:`TURN_SECONDS` of a turn of the loop, whatever the handling costs.
MIN_READ_BYTES: Final = 8 * 1024
FIRST_READ_BYTES: Final = 64 * 1024
MAX_READ_BYTES: Final = 256 * 1024
#: Handed on at a time, so that what is made of it is in the processor's cache when it is handled.
PORTION_BYTES: Final = 64 * 1024
MAX_INTO_BYTES: Final = 4 * 1024 * 1024
TURN_SECONDS: Final = 0.003
#: Most written in one turn; the rest waits for the next, so that a peer that reads as fast as we
#: write cannot hold the loop.
TURN_WRITE_BYTES: Final = 1024 * 1024
_IOV_MAX: Final = 512


_per_thread: Final = threading.local()


def _scratch() -> memoryview:
    """Return the read buffer of this thread, in which one loop runs at a time."""
    try:
        return _per_thread.scratch  # type: ignore[no-any-return]
    except AttributeError:
        scratch = _per_thread.scratch = memoryview(bytearray(MAX_READ_BYTES))
        return scratch


class TlsFault(OSError):
    """TLS could not be agreed on, or broke off; the text is about the peer."""


class Receiver(Protocol):
    """Whoever owns a channel at the moment: EPMD, a handshake, a connection."""

    def data_received(self, data: bytes) -> None:
        """Take what was read."""

    def buffers_filled(self, count: int) -> None:
        """``count`` bytes were received into :attr:`Channel.into`, which is None again."""

    def connection_lost(self, error: OSError | None) -> None:
        """The other side closed (None), or the socket failed; the channel is closed already."""

    def output_flushed(self) -> None:
        """Everything given to :meth:`Channel.write` was handed to the kernel."""


class Channel:
    """One connected socket; closed exactly once, by :meth:`close` or by the other side."""

    __slots__ = (
        "__weakref__",
        "_fd",
        "_lost_handle",
        "_out",
        "_read_bytes",
        "_reading",
        "_scratch",
        "blocked",
        "bytes_in",
        "bytes_out",
        "closed",
        "into",
        "loop",
        "out_bytes",
        "receiver",
        "sock",
    )

    #: Whether ``into`` may be several buffers.
    scatters = True

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, receiver: Receiver
    ) -> None:
        self.loop = loop
        self.sock = sock
        self.receiver = receiver
        self.closed = False
        #: True while the kernel takes no more; ``output_flushed`` comes when it has all.
        self.blocked = False
        #: Bytes given to :meth:`write` that the kernel has not taken.
        self.out_bytes = 0
        self.bytes_in = 0
        self.bytes_out = 0
        #: Where the receiver wants the next bytes, then told by ``buffers_filled``; None: anywhere.
        #: The list stays its own: it may be emptied meanwhile.
        self.into: list[memoryview] | None = None
        self._fd = sock.fileno()
        self._out: deque[Buffer] = deque()
        self._read_bytes = FIRST_READ_BYTES
        self._scratch = _scratch()
        self._reading = False
        self._lost_handle: asyncio.Handle | None = None
        own_socket(sock)
        keep_in(self)
        self.resume()

    # ------------------------------------------------------------------ reading

    def resume(self) -> None:
        """Read (again)."""
        if not self._reading and not self.closed:
            self._reading = True
            self.loop.add_reader(self._fd, self._readable)

    def pause(self) -> None:
        """Leave what arrives in the kernel; also a close of the other side goes unnoticed."""
        if self._reading:
            self._reading = False
            self.loop.remove_reader(self._fd)

    @property
    def reading(self) -> bool:
        """False while paused, and once closed."""
        return self._reading

    def wake_at(self, count: int) -> bool:
        """Ask the kernel to wake us once so many bytes wait; False where it does not."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
        except OSError:
            return False
        return True

    @property
    def slow(self) -> bool:
        """True while what comes takes so long to handle that little is read at a time."""
        return self._read_bytes < FIRST_READ_BYTES

    def read_now(self) -> None:
        """Read what is there, if anything, without waiting to be woken for it."""
        self._readable()

    def _readable(self) -> None:
        if self.into is not None:
            self._readable_into(self.into)
            return
        # recv() would allocate its limit and shrink it, for every tick.  One buffer for all
        # channels of the thread serves as well: what came is copied out before anything else.
        size = self._read_bytes
        count = self._receive(self._scratch, size)
        if count >= MIN_READ_BYTES:
            self._read_much(self._scratch[:count].tobytes(), size)
        elif count:
            self.receiver.data_received(self._scratch[:count].tobytes())

    def _read_much(self, data: bytes, size: int) -> None:
        """Hand ``data`` on by portions, and learn how long that takes; ``size`` was asked for."""
        count = len(data)
        started = perf_counter()
        for begin in range(0, count, PORTION_BYTES):
            self.into = None
            self.receiver.data_received(data[begin : begin + PORTION_BYTES])
            if self.closed:
                return
        spent = perf_counter() - started
        if spent > TURN_SECONDS:
            self._read_bytes = max(MIN_READ_BYTES, int(count * TURN_SECONDS / spent))
        elif spent < TURN_SECONDS / 4 and count == size:
            self._read_bytes = min(MAX_READ_BYTES, size * 2)

    def _readable_into(self, into: list[memoryview]) -> None:
        """Receive straight into what the receiver has set up for something large."""
        if len(into) > 1:
            count = self._scattered(into)
        else:
            count = self._receive(into[0], min(len(into[0]), MAX_INTO_BYTES))
        if count:
            self.into = None
            self.receiver.buffers_filled(count)

    def _receive(self, buffer: memoryview, size: int) -> int:
        """Return how much came; 0: nothing, or the socket is lost and the receiver was told."""
        try:
            count = self.sock.recv_into(buffer, size)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._lose(error)
            return 0
        if count == 0:
            self._lose(None)
        self.bytes_in += count
        return count

    def _scattered(self, buffers: list[memoryview]) -> int:
        """The same, for several buffers."""
        try:
            count = self.sock.recvmsg_into(buffers)[0]
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._lose(error)
            return 0
        if count == 0:
            self._lose(None)
        self.bytes_in += count
        return count

    # ------------------------------------------------------------------ writing

    def write(self, buffers: Iterable[Buffer]) -> None:
        """Queue ``buffers`` and hand the kernel what it takes now.  Never raises, never waits."""
        if self.closed:
            return
        for buffer in buffers:
            if buffer:
                self._out.append(buffer)
                self.out_bytes += len(buffer)
        if not self.blocked:
            self._send()
            if self._unsent() and not self.closed:
                self.blocked = True
                self.loop.add_writer(self._fd, self._writable)

    def write_one(self, data: bytes) -> None:
        """As :meth:`write`, for one buffer: what most turns have, and the kernel takes."""
        if not self._out and not self.closed:
            try:
                sent = self.sock.send(data, socket.MSG_NOSIGNAL)
            except OSError:
                sent = 0  # it is found out again below
            self.bytes_out += sent
            if sent == len(data):
                return
            if sent:
                self.write((memoryview(data)[sent:],))
                return
        self.write((data,))

    def _send(self) -> None:
        out = self._out
        budget = TURN_WRITE_BYTES
        while out and budget > 0:
            try:
                if len(out) == 1:
                    sent = self.sock.send(out[0], socket.MSG_NOSIGNAL)
                else:
                    sent = self.sock.sendmsg(islice(out, _IOV_MAX), (), socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._lose_soon(error)
                return
            self.bytes_out += sent
            self.out_bytes -= sent
            budget -= sent
            while sent:
                first = out[0]
                size = len(first)
                if size > sent:
                    out[0] = memoryview(first)[sent:]
                    break
                out.popleft()
                sent -= size

    def _unsent(self) -> bool:
        """Tell whether something waits for the kernel to take it."""
        return bool(self._out)

    def _lose_soon(self, error: OSError) -> None:
        """Tell the receiver from the loop, for whoever writes is in the middle of something."""
        self._out.clear()
        self.out_bytes = 0
        if self._lost_handle is None:
            self._lost_handle = self.loop.call_soon(self._lose, error)

    def _writable(self) -> None:
        self._send()
        if not self._unsent() and not self.closed:
            self.blocked = False
            self.loop.remove_writer(self._fd)
            self.receiver.output_flushed()

    # ------------------------------------------------------------------ ending

    def left_behind(self, pid: int) -> None:
        """In a forked child: be closed; the socket, which ``pid`` has too, is closed already."""
        self.closed = True
        self._reading = self.blocked = False
        if self._lost_handle is not None:
            self._lost_handle.cancel()
        self._out.clear()
        self.out_bytes = 0

    def close(self) -> None:
        """Close now: what is queued and not yet in the kernel is dropped; no callback follows."""
        if self.closed:
            return
        self.closed = True
        self.pause()
        if self.blocked:
            self.blocked = False
            self.loop.remove_writer(self._fd)
        if self._lost_handle is not None:
            self._lost_handle.cancel()
            self._lost_handle = None
        self._out.clear()
        self.out_bytes = 0
        self.into = None
        self.sock.close()

    def _lose(self, error: OSError | None) -> None:
        if self.closed:
            return
        self.close()
        self.receiver.connection_lost(error)

    def peer_address(self) -> Any:
        """Return the other side's address, None where the socket no longer knows."""
        try:
            return self.sock.getpeername()
        except OSError:
            return None


async def connect_socket(
    loop: asyncio.AbstractEventLoop, family: int, address: Any
) -> socket.socket:
    """Connect a TCP socket to a numeric ``address``; cancelled or failing, it leaves nothing.

    Raises:
        OSError: as ``connect`` has it.
    """
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    own_socket(sock)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(address)
        except (BlockingIOError, InterruptedError):
            await _connected(loop, sock, address)
        if sock.getsockname() == sock.getpeername():
            # A port of the ephemeral range that nobody listens on can be connected to itself.
            raise ConnectionRefusedError("connected to itself")
    except BaseException:
        sock.close()
        raise
    return sock


async def _connected(loop: asyncio.AbstractEventLoop, sock: socket.socket, address: Any) -> None:
    done: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not done.done():
            done.set_result(None)

    loop.add_writer(sock.fileno(), settle)
    try:
        await done
    finally:
        loop.remove_writer(sock.fileno())
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, f"connect to {address}")
