"""An established connection: frames, fragments, control messages; no socket.

The owner feeds what it reads and writes what it is given::

    connection = Connection(local, established.peer, limits)
    connection.receive_data(established.rest, on_control)     # first of all, even if empty
    connection.receive_data(chunk, on_control)                # then every chunk, in order
    connection.send(sender, message, payload)                 # queue a signal
    for piece in connection.data_to_send(65536): write(piece) # in order, all of it
    write(connection.tick())                                  # at any time between two of these

``on_control(message, payload)`` is called synchronously, in the order in which signals became
complete, from within ``receive_data``.  It may call ``send``, ``data_to_send`` and ``close``, and
not ``receive_data``.

A large message that comes can be received where it will lie, without a copy::

    buffers = connection.get_buffers()         # None: nothing large is under way
    if buffers is None: connection.receive_data(sock.recv(65536), on_control)
    else: connection.buffers_filled(sock.recvmsg_into(buffers)[0], on_control)

Source: "Distribution Protocol", section "Protocol between Connected Nodes"; "External Term
Format", section "Distribution Header"; ``dist.c`` and ``external.c`` of the emulator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from pynode import etf
from pynode.config import Limits
from pynode.dist._choice import Intake
from pynode.dist.atom_cache import AtomCache
from pynode.dist.control import (
    IN_PAYLOAD,
    AliasSend,
    AnyAtom,
    Control,
    NodeLink,
    RegSend,
    Send,
    SendSender,
)
from pynode.dist.control_decoder import HAS_PAYLOAD, MAY_HAVE_PAYLOAD, decode_control
from pynode.dist.control_encoder import encode_signal
from pynode.dist.flags import Flag
from pynode.dist.fragments import Reassembly
from pynode.dist.framing import FrameReader
from pynode.dist.landing import Landing
from pynode.dist.header import (
    FRAGMENT,
    FRAGMENT_CONTINUE,
    FRAGMENT_START,
    HEADER,
    VERSION,
)
from pynode.dist.local import LocalNode
from pynode.dist.outbox import Outbox
from pynode.dist.seam import Payload, Peer
from pynode.errors import DecodeError, FrameError
from pynode.etf.pieces import Encoded
from pynode.terms.atom import Atom
from pynode.terms.identifiers import Pid

__all__ = ["Connection", "OnControl"]

OnControl: TypeAlias = Callable[[Control, Payload | None], None]
TICK: Final = b"\0\0\0\0"
Frame: TypeAlias = bytes | memoryview
_FRONT_BYTES: Final = 4096
# Control messages that repeat, and have no part that a receiver could change.
_REMEMBERED: Final = frozenset({Send, SendSender, RegSend, AliasSend})


class Connection:
    """Both directions of one connection; see the module for how it is driven."""

    __slots__ = (
        "_atoms",
        "_cache",
        "_fragments",
        "_frames",
        "_headers",
        "_intake",
        "_landing",
        "_last_atoms",
        "_last_control",
        "_last_message",
        "_local_name",
        "_out",
        "_parts",
        "_peer_name",
        "_receiving",
        "_rest_of_frame",
        "_sequences",
        "bytes_received",
        "closed",
        "flags",
        "frames_received",
        "limits",
        "local",
        "messages_received",
        "peer",
        "ticks_received",
    )

    def __init__(
        self,
        local: LocalNode,
        peer: Peer,
        limits: Limits | None = None,
        *,
        messages: Any = None,
    ) -> None:
        """Make one.

        Args:
            local: this node.
            peer: the other one.
            limits: see :class:`pynode.config.Limits`.
            messages: what takes plain messages in the place of ``on_control``: the compiled half
                of a :class:`pynode.dist.seam.SignalSink`.
        """
        self.local: Final = local
        self.peer: Final = peer
        self.limits: Final = limits or Limits()
        self.flags: Final = int(peer.flags)
        #: True after :meth:`close` and after an error: nothing comes in or goes out any more.
        self.closed = False
        #: Counters for the owner; a tick is no frame.
        self.ticks_received = 0
        self.frames_received = 0
        self.bytes_received = 0
        #: Messages that went the short way, without ``on_control``.
        self.messages_received = 0
        self._fragments = bool(self.flags & Flag.FRAGMENTS)
        self._cache = bool(self.flags & Flag.DIST_HDR_ATOM_CACHE)
        self._headers = self._cache or self._fragments
        self._frames = FrameReader(self.limits.frame_bytes)
        self._atoms = AtomCache()
        self._parts = Reassembly(self.limits)
        self._sequences = self._parts.sequences
        self._landing = Landing(self._frames, self._parts)
        self._out = Outbox(headers=self._headers, fragments=self._fragments)
        self._local_name = Atom(local.name)
        self._peer_name = peer.name
        self._receiving = False
        self._rest_of_frame: list[memoryview] = []
        # The last control message as bytes, under which atoms, and what it means: the next one is
        # often the same.
        self._intake: Any = None
        if Intake is not None and messages is not None and self._headers:
            self._intake = Intake(messages, peer, self.limits, self._atoms.seen, self._local_name)
        self._last_control = b""
        self._last_atoms: tuple[AnyAtom, ...] | None = None
        self._last_message: Control | None = None

    # ------------------------------------------------------------------ in

    def receive_data(self, data: bytes | bytearray | memoryview, on_control: OnControl) -> None:
        """Take bytes in any portions; call ``on_control`` for each signal that is complete.

        What ``on_control`` raises passes through.  After any exception the connection is closed:
        the owner gives the socket up.  Data that comes once it is closed is ignored.

        Raises:
            FrameError: the peer broke the protocol, or a limit.
            RuntimeError: called from within ``on_control``.
        """
        if self._receiving:
            raise RuntimeError("receive_data is not to be called by on_control")
        if self.closed:
            return
        if type(data) is not bytes:
            data = bytes(data)
        self.bytes_received += len(data)
        self._rest_of_frame.clear()
        if self._sequences:
            self._landing.give_back()
        self._receiving = True
        whole = False
        try:
            if self._intake is None:
                self._take_frames(data, on_control)
            else:
                self._take_quickly(data, on_control)
            whole = True
        finally:
            self._receiving = False
            if not whole:
                self.close()

    def _take_frames(self, data: bytes, on_control: OnControl) -> None:
        for frame in self._frames.feed(data):
            if frame:
                self._frame(frame, on_control)
                if self.closed:
                    break
            else:
                self.ticks_received += 1

    def _take_quickly(self, data: bytes, on_control: OnControl) -> None:
        """The same, with plain messages in whole frames left to the compiled intake."""
        frames = self._frames
        position = 0
        if frames.unfinished:
            frame, position = frames.go_on(data)
            if frame is None:
                return
            if frame:
                self._frame(frame, on_control)
            else:
                self.ticks_received += 1
            if self.closed:
                return
        intake = self._intake
        try:
            position = intake.take(data, position, self._frame, on_control)
        finally:
            self.frames_received += intake.frames
            self.messages_received += intake.messages
            self.ticks_received += intake.ticks
        if position < len(data) and not self.closed:
            self._take_frames(data[position:], on_control)

    def get_buffers(self, *, many: bool = True) -> list[memoryview] | None:
        """Return where more of something large can be received into, in this order, or None.

        See the module.  The list is emptied by :meth:`buffers_filled`; nobody may hold what was
        in it.  Without ``many`` there is one buffer at most, for the rest of a large frame.
        """
        self._rest_of_frame.clear()
        if self.closed:
            return None
        if self._sequences and many:
            buffers = self._landing.buffers()
            if buffers is not None:
                return buffers
        buffer = self._frames.get_buffer()
        if buffer is None:
            return None
        self._rest_of_frame.append(buffer)
        return self._rest_of_frame

    def buffers_filled(self, count: int, on_control: OnControl) -> None:
        """Take ``count`` bytes received into the buffers; otherwise as :meth:`receive_data`."""
        if self._receiving:
            raise RuntimeError("buffers_filled is not to be called by on_control")
        if self.closed:
            return
        frame: Frame | None = None
        rest = b""
        whole = False
        self._receiving = True
        try:
            if self._landing.active:
                fragments, rest = self._landing.filled(count)
                self.frames_received += fragments
            else:
                self._rest_of_frame.clear()
                frame = self._frames.buffer_filled(count)
            self.bytes_received += count - len(rest)
            if frame is not None:
                self._frame(frame, on_control)
            whole = True
        finally:
            self._receiving = False
            if not whole:
                self.close()
        if rest:
            self.receive_data(rest, on_control)

    def _frame(self, frame: Frame, on_control: OnControl) -> None:
        """Take one frame that is not a tick."""
        self.frames_received += 1
        if not self._headers:
            self._passing_frame(frame, on_control)
            return
        kind = frame[1] if frame[0] == VERSION and len(frame) > 1 else 0
        if kind == HEADER:
            if frame[2:3] == b"\0":
                atoms: tuple[AnyAtom, ...] = ()
                position = 3
            else:
                atoms, position = self._references(frame, 2)
            message, end = self._control(frame, position, atoms)
            if message is not None:
                payload = Payload(frame, end, atoms) if end < len(frame) else None
                self._deliver(message, payload, on_control)
        elif kind in (FRAGMENT_START, FRAGMENT_CONTINUE) and self._fragments:
            self._fragment(frame, kind, on_control)
        else:
            raise FrameError(f"{bytes(frame[:8])!r}... has no distribution header")

    def _fragment(self, frame: Frame, kind: int, on_control: OnControl) -> None:
        if len(frame) < 2 + FRAGMENT.size:
            raise FrameError("a fragment is cut short", len(frame))
        sequence, number = FRAGMENT.unpack_from(frame, 2)
        position = 2 + FRAGMENT.size
        if kind == FRAGMENT_CONTINUE:
            whole = self._parts.go_on(sequence, number, memoryview(frame)[position:])
        else:
            atoms, position = self._references(frame, position)
            message, end = self._control(frame, position, atoms)
            rest = memoryview(frame)[end:]
            whole = self._parts.start(sequence, number, message, atoms, rest, end)
        if whole is not None and whole.message is not None:
            payload = None
            if whole.payload:
                payload = Payload(whole.payload, 0, whole.atoms, whole.hole)
            self._deliver(whole.message, payload, on_control)

    def _passing_frame(self, frame: Frame, on_control: OnControl) -> None:
        if bytes(frame[:2]) != b"p\x83":
            raise FrameError(f"{bytes(frame[:8])!r}... is not a pass-through message")
        message, end = self._control(frame, 2, ())
        payload = None
        if end < len(frame):
            if frame[end] != VERSION:
                raise FrameError("a payload without its version byte", end)
            payload = Payload(frame, end + 1, ())
        if message is not None:
            self._deliver(message, payload, on_control)

    def _references(self, frame: Frame, offset: int) -> tuple[tuple[AnyAtom, ...], int]:
        atoms, position = self._atoms.read(frame, offset)
        if atoms and not self._cache:
            raise FrameError("references of an atom cache that was not agreed", offset)
        return atoms, position

    def _control(
        self, frame: Frame, offset: int, atoms: tuple[AnyAtom, ...]
    ) -> tuple[Control | None, int]:
        """Read the control message at ``offset``; None for one that means nothing."""
        if atoms is self._last_atoms and type(frame) is bytes:
            last = self._last_control
            if frame.startswith(last, offset):
                return self._last_message, offset + len(last)
        term, end = self._term(frame, offset, atoms)
        message = decode_control(term, self._peer_name, self._local_name)
        if type(message) is NodeLink:
            return None, end
        if type(message) in _REMEMBERED:
            self._last_atoms = atoms
            self._last_control = bytes(frame[offset:end])
            self._last_message = message
        return message, end

    def _term(self, frame: Frame, offset: int, atoms: tuple[AnyAtom, ...]) -> tuple[Any, int]:
        """Decode the term at ``offset``."""
        if type(frame) is not bytes:
            # The front of a large frame is nearly always enough, and a decoder may want bytes.
            try:
                front = bytes(frame[offset : offset + _FRONT_BYTES])
                term, end = etf.decode_payload(front, 0, atoms, limits=self.limits)
            except DecodeError:
                pass
            else:
                return term, offset + end
        try:
            return etf.decode_payload(frame, offset, atoms, limits=self.limits)
        except DecodeError as error:
            raise FrameError(f"control message: {error.problem}", error.offset) from None

    def _deliver(self, message: Control, payload: Payload | None, on_control: OnControl) -> None:
        kind = type(message)
        if kind in HAS_PAYLOAD or (
            kind in MAY_HAVE_PAYLOAD and message.reason is IN_PAYLOAD  # type: ignore[union-attr]
        ):
            if payload is None:
                raise FrameError(f"{kind.__name__} without what it should carry")
        else:
            payload = None  # what stands behind the others is ignored, as OTP does
        on_control(message, payload)

    # ------------------------------------------------------------------ out

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for :meth:`data_to_send`, framing included."""
        return self._out.queued_bytes

    def send(self, sender: Pid, message: Control, payload: Encoded | None = None) -> bool:
        """Queue a signal; its older form where the peer lacks the newer one.

        Signals of one ``sender`` keep their order; those of others may pass a large one.

        Args:
            sender: the process whose order counts.
            message: its ``reason``, where it has one, is the term, or ``IN_PAYLOAD``.
            payload: the encoded message, reason or arguments, without version byte; kept by
                reference, and not copied if it is large.

        Returns:
            False if this peer has no form for the signal, or the connection is closed: nothing
            was queued.

        Raises:
            EncodeError: a part of the message is no term; or it is above 4 GiB, towards a peer
                that takes no fragments.  Nothing was queued.
        """
        if self.closed:
            return False
        signal = encode_signal(message, payload, self.flags)
        if signal is None:
            return False
        self._out.put(sender, signal[0], signal[1])
        return True

    @property
    def outbox(self) -> Outbox:
        """What waits for :meth:`data_to_send`."""
        return self._out

    def data_to_send(self, max_bytes: int = 65536) -> list[Frame]:
        """Return what is to be written next, in order: whole frames; empty when nothing waits.

        Small frames come joined, a large payload as slices of itself.  No further frame is begun
        once ``max_bytes`` are reached, so that at most one frame more than that comes; a frame is
        at most a fragment of 64 KiB where fragments are agreed.
        """
        return self._out.take(max_bytes)

    def tick(self) -> bytes:
        """Return a tick, to be written between what two calls of ``data_to_send`` returned."""
        return TICK

    def close(self) -> None:
        """Stop: deliver no further signal, also of a chunk under way, and drop what waits."""
        self.closed = True
        if self._intake is not None:
            self._intake.stopped = True
        self._out.shut(True)
        self._out.clear()
        self._rest_of_frame.clear()
        self._landing.clear()
        self._parts.clear()
