"""An established connection: frames, fragments, control messages; no socket.

The owner feeds what it reads and writes what it is given::

    connection = Connection(local, established.peer, limits)
    connection.receive_data(established.rest, on_control)     # first of all, even if empty
    connection.receive_data(chunk, on_control)                # then every chunk, in order
    connection.send(sender, message, payload)                 # queue a signal
    for piece in connection.data_to_send(65536): write(piece) # in order, all of it
    write(connection.tick())                                  # at any time between two of these

``on_control(message, payload)`` is called synchronously, in order, for each signal.

Source: "Distribution Protocol", section "Protocol between Connected Nodes"; "External Term
Format", section "Distribution Header"; ``dist.c`` and ``external.c`` of the emulator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from pynode.config import Limits
from pynode.dist.control import Control
from pynode.dist.control_decoder import check_identity, decode_control
from pynode.dist.control_encoder import encode_signal
from pynode.dist.local import LocalNode
from pynode.dist.seam import Payload, Peer
from pynode.errors import DecodeError, FrameError
from pynode.terms.atom import Atom
from pynode.terms.identifiers import Pid

__all__ = ["Connection", "OnControl"]

OnControl = Callable[[Control, Payload | None], None]
TICK: Final = b"\0\0\0\0"


class Connection:
    """Both directions of one connection; see the module for how it is driven."""

    def __init__(self, local: LocalNode, peer: Peer, limits: Limits | None = None) -> None:
        self.local: Final = local
        self.peer: Final = peer
        self.limits: Final = limits or Limits()
        #: Bytes that wait in :meth:`data_to_send`, framing included.
        self.queued_bytes = 0
        #: Ticks, frames and bytes that came.
        self.ticks_received = 0
        self.frames_received = 0
        self.bytes_received = 0
        self._local_name = Atom(local.name)
        self._in = bytearray()
        self._out: deque[bytes] = deque()

    def receive_data(self, data: bytes | bytearray | memoryview, on_control: OnControl) -> None:
        """Take bytes in any portions; call ``on_control`` for each signal that is complete.

        What ``on_control`` raises passes through.  After any exception the connection is lost:
        later calls raise FrameError.

        Raises:
            FrameError: the peer broke the protocol.
        """
        from pynode import etf

        self._in += data
        position = 0
        while len(self._in) - position >= 4:
            length = int.from_bytes(self._in[position : position + 4], "big")
            if length > self.limits.frame_bytes:
                raise FrameError(f"a frame of {length} bytes")
            if len(self._in) - position < 4 + length:
                break
            frame = bytes(self._in[position + 4 : position + 4 + length])
            position += 4 + length
            if not frame:
                self.ticks_received += 1
                continue
            if frame[:3] != b"\x83D\x00":
                raise FrameError("not a header")
            try:
                term, end = etf.decode_payload(frame, 3, ())
            except DecodeError as error:
                raise FrameError(error.problem, error.offset) from None
            message = decode_control(term)
            check_identity(message, self.peer.name, self._local_name)
            on_control(message, Payload(frame, end, ()) if end < length else None)
        del self._in[:position]

    def send(self, sender: Pid, message: Control, payload: bytes | None = None) -> bool:
        """Queue a signal; False if this peer has no form for it, and nothing was queued.

        Signals of one sender keep their order.
        """
        signal = encode_signal(message, payload, self.peer.flags)
        if signal is None:
            return False
        body = signal[0] if signal[1] is None else signal[0] + signal[1]
        frame = (3 + len(body)).to_bytes(4, "big") + b"\x83D\x00" + body
        self._out.append(frame)
        self.queued_bytes += len(frame)
        return True

    def data_to_send(self, max_bytes: int = 65536) -> list[bytes | memoryview]:
        """Return what is to be written next, whole frames; empty when nothing waits.

        At least one frame, and no further frame once ``max_bytes`` are reached.
        """
        pieces: list[bytes | memoryview] = []
        size = 0
        while self._out and size < max_bytes:
            pieces.append(self._out.popleft())
            size += len(pieces[-1])
        self.queued_bytes -= size
        return pieces

    def tick(self) -> bytes:
        """Return a tick, to be written between what two calls of data_to_send returned."""
        return TICK
