"""A link: the connection machine of ``dist`` on a channel, for as long as a peer is connected.

Inbound, one straight synchronous line: bytes, frames, ``SignalSink.control``.  Outbound, signals
gather in the machine until the turn of the loop ends or :data:`GATHER_BYTES` wait, and go to the
kernel in one call.

Ticks: four times per ``net_ticktime`` a timer asks each link.  One that wrote nothing and has
nothing to write writes a tick; to a hidden peer also one that read nothing.  The tick goes before
every signal that still waits in the machine.  A peer is given up when it was silent for four
asks after the one that heard it last, which is 1 to 1.25 times ``net_ticktime``.
Source: ``send_tick`` in ``dist_util.erl``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pynode.dist._choice import Gather
from pynode.dist.connection import Connection, OnControl
from pynode.dist.control import Control
from pynode.dist.flags import Flag
from pynode.dist.local import LocalNode
from pynode.dist.seam import Payload, Peer, Pressure
from pynode.errors import PeerBusy, ProtocolError, TermError
from pynode.etf.pieces import Encoded
from pynode.net.channel import Channel
from pynode.net.nap import Nap
from pynode.terms.atom import Atom
from pynode.terms.identifiers import Pid

if TYPE_CHECKING:
    from pynode.net.net import Net

__all__ = ["Link"]

_log = logging.getLogger("pynode.net")

#: Signals are written at once when this much waits, in bytes.
GATHER_BYTES: Final = 64 * 1024
#: Taken from the machine at a time; what waits behind it can still be overtaken by a tick.
WRITE_BYTES: Final = 256 * 1024
TICKS_PER_TICKTIME: Final = 4
_CLEAR: Final = Pressure.CLEAR
_BUSY: Final = Pressure.BUSY


class Link:
    """One connected peer; made established, ended once by :meth:`end`."""

    __slots__ = (
        "_blocked",
        "_bytes_in_at_tick",
        "_bytes_out_at_tick",
        "_control",
        "_drained",
        "_hard_limit",
        "_high_water",
        "_low_water",
        "_nap",
        "_net",
        "_outbox",
        "_silent_ticks",
        "busy",
        "channel",
        "connection",
        "flush_scheduled",
        "gather",
        "paused",
        "peer",
        "signals_in",
        "signals_out",
        "ticks_out",
    )

    def __init__(self, net: Net, channel: Channel, local: LocalNode, peer: Peer) -> None:
        limits = net.config.limits
        self._net = net
        self.channel = channel
        messages = getattr(net.sink, "messages", None)
        self.connection = Connection(local, peer, limits, messages=messages)
        self._outbox = self.connection.outbox
        self.peer = peer
        self.busy = False
        self.paused = False
        self.signals_in = 0
        self.signals_out = 0
        self.ticks_out = 0
        self._control = net.sink.control
        self._high_water = limits.peer_high_water_bytes
        self._low_water = limits.peer_low_water_bytes
        self._hard_limit = limits.peer_queue_bytes
        #: It is among the links that the net is going to flush.
        self.flush_scheduled = False
        self._silent_ticks = 0
        # The handshake's bytes are none of the peer's: counting begins here.
        channel.bytes_in = channel.bytes_out = 0
        self._bytes_in_at_tick = 0
        self._bytes_out_at_tick = 0
        self._nap = Nap(channel)
        self._drained: list[asyncio.Future[None]] = []
        self._blocked = False
        #: Where the compiled way out writes; None where there is none.
        self.gather: Any = None
        gather = self.connection.outbox.gather
        if Gather is not None and peer.flags & Flag.SEND_SENDER:
            gather.link = self
            gather.flags = int(peer.flags)
            gather.bound = GATHER_BYTES
            self.gather = gather
        channel.receiver = self

    # ------------------------------------------------------------------ inbound

    def data_received(self, data: bytes) -> None:
        """Hand every signal in ``data`` to the sink; a fault costs the connection."""
        self._take(self.connection.receive_data, data)

    def buffers_filled(self, count: int) -> None:
        """The same for more of something large, which lies where it was asked for."""
        self._take(self.connection.buffers_filled, count)

    def _take(self, verb: Callable[[Any, OnControl], None], data: Any) -> None:
        net = self._net
        frames = self.connection.frames_received
        try:
            net.gathering = True
            net.awake.read()
            net.sink.batch_begin()
            verb(data, self._on_control)
        except (ProtocolError, TermError) as error:
            self._net._link_broken(self, error)
        except BaseException as error:
            # Not the peer's fault, but a signal was lost in the middle of an ordered stream.
            self._net._link_broken(self, error)
            raise
        else:
            if not self.channel.closed:
                channel = self.channel
                channel.into = into = self.connection.get_buffers(many=channel.scatters)
                if into is not None:
                    self._nap.end()  # the rest of something large should not wait
        finally:
            try:
                net.sink.batch_end()
            finally:
                net.flush_all()
                self._nap.read(self.connection.frames_received - frames)

    def _on_control(self, message: Control, payload: Payload | None) -> None:
        self.signals_in += 1
        self._control(self.peer, message, payload)

    def connection_lost(self, error: OSError | None) -> None:
        """The peer closed, or died."""
        self._net._link_lost(self)

    def pause(self) -> None:
        """Read nothing more; the peer cannot be heard now, so its silence does not count."""
        self.paused = True
        self._nap.end()
        self.channel.pause()

    def resume(self) -> None:
        """Read again."""
        self.paused = False
        self._silent_ticks = 0
        self.channel.resume()

    # ------------------------------------------------------------------ outbound

    @property
    def queued_bytes(self) -> int:
        """What waits for this peer and is not yet with the kernel."""
        return self.connection.queued_bytes + self.channel.out_bytes

    def submit(self, sender: Pid, message: Control, payload: Encoded | None) -> Pressure:
        """Queue a signal; see :meth:`pynode.dist.seam.Outbound.submit`."""
        connection = self.connection
        if self.channel.blocked:
            self._check_room(payload)
        connection.send(sender, message, payload)
        self.signals_out += 1
        # While the kernel takes what it is given, no more than a turn's signals wait here.
        if self.channel.blocked:
            return self._pressed()
        if connection.queued_bytes >= GATHER_BYTES:
            self.write()
            return self._pressed()
        if not self.flush_scheduled:
            self._net.flush_soon(self)
        return _CLEAR

    def _check_room(self, payload: Encoded | None) -> None:
        queued = self.queued_bytes
        coming = queued if payload is None else queued + len(payload)
        if coming > self._hard_limit:
            raise PeerBusy(str(self.peer.name), queued)

    def take(self, sender: Pid, message: Control, payload: Encoded | None) -> None:
        """Queue a signal that waited for the connection: no limit, no write."""
        try:
            self.connection.send(sender, message, payload)
        except TermError as error:  # nobody is left to raise it to
            _log.error("a signal to %s was dropped: %s", self.peer.name, error)
        self.signals_out += 1

    def schedule_flush(self) -> None:
        """Write at the end of this turn what waits."""
        self._net.flush_soon(self)

    def _pressed(self) -> Pressure:
        if self.queued_bytes <= self._high_water:
            if self._blocked:
                self._bound()
            return _CLEAR
        if not self.busy:
            self.busy = True
            self._outbox.shut(True)  # each signal is looked at by submit()
            telemetry = self._net.telemetry
            if telemetry.hooks:
                telemetry.emit("peer_busy", node=self.peer.name, queued_bytes=self.queued_bytes)
        return _BUSY

    def write(self) -> None:
        """Move signals to the channel while the kernel takes them, a turn's worth at most."""
        channel, connection = self.channel, self.connection
        outbox = self._outbox
        if not channel.blocked and not channel.closed and not outbox.waiting_bytes:
            gather = outbox.gather  # nothing but small frames, as in most turns
            if gather.used:
                if self._nap.timer is not None:
                    self._nap.end()
                channel.write_one(gather.take())
                if channel.blocked:
                    self._note_blocked()
            return
        if self._nap.napping and connection.queued_bytes:
            self._nap.end()
        while connection.queued_bytes and not channel.blocked and not channel.closed:
            channel.write(connection.data_to_send(WRITE_BYTES))
        self._note_blocked()

    def _note_blocked(self) -> None:
        if self._blocked != self.channel.blocked:
            self._blocked = self.channel.blocked
            self._bound()

    def _bound(self) -> None:
        """Say how much the compiled way out may gather before it calls :meth:`full`.

        While the kernel takes no more, that is no more than up to the high water.
        """
        gather = self.gather
        if gather is None:
            return
        bound = GATHER_BYTES
        if self._blocked:
            others = self.queued_bytes - gather.used
            bound = max(0, min(bound, self._high_water + 1 - others))
        gather.bound = bound

    def full(self) -> Pressure:
        """Write what the compiled way out has gathered, a turn's worth; or put it aside."""
        self.write()
        if self._blocked:
            self._outbox.seal()
        return self._pressed()

    def flush(self) -> None:
        """Write what has gathered, and tell those who wait for it."""
        self.flush_scheduled = False
        if self.gather is not None:
            self.gather.scheduled = False
        self.write()
        if self.busy or self._drained:
            self._settle()

    def output_flushed(self) -> None:
        """The kernel has all that was written: on with what still waits."""
        self.write()
        self._settle()

    def _settle(self) -> None:
        """From the loop only, never inside submit: tell those who wait for the queue to shrink."""
        queued = self.queued_bytes
        if self.busy and queued <= self._low_water:
            self.busy = False
            self._outbox.shut(self.channel.closed)
            net = self._net
            if net.telemetry.hooks:
                net.telemetry.emit("peer_drained", node=self.peer.name)
            net.sink.peer_drained(self.peer.name)
        if queued == 0:
            self._release()

    def _release(self) -> None:
        for waiter in self._drained:
            if not waiter.done():
                waiter.set_result(None)
        self._drained.clear()

    async def drained(self) -> None:
        """Wait until nothing waits for this peer, or it is gone."""
        if self.queued_bytes == 0 or self.channel.closed:
            return
        waiter: asyncio.Future[None] = self._net.loop.create_future()
        self._drained.append(waiter)
        await waiter

    # ------------------------------------------------------------------ ticks and the end

    def tick(self) -> bool:
        """Do what is due at a tick of the timer; False when the peer was silent for too long."""
        channel = self.channel
        heard = channel.bytes_in != self._bytes_in_at_tick
        wrote = channel.bytes_out != self._bytes_out_at_tick
        if heard or self.paused:
            self._silent_ticks = 0
        else:
            self._silent_ticks += 1
            if self._silent_ticks >= TICKS_PER_TICKTIME:
                return False
        if not (wrote or self.queued_bytes) or (self.peer.hidden and not heard):
            channel.write([self.connection.tick()])
            self._note_blocked()
            self.ticks_out += 1
        self._bytes_in_at_tick = channel.bytes_in
        self._bytes_out_at_tick = channel.bytes_out
        return True

    def extra_tick(self) -> None:
        """Tick, unless something goes out anyhow; nobody is given up (see :mod:`.ticker`)."""
        if not self.queued_bytes:
            self.channel.write([self.connection.tick()])
            self._note_blocked()
            self.ticks_out += 1

    def end(self, *, flush: bool) -> None:
        """Close the socket, now; with ``flush``, what the kernel takes at once still goes out."""
        if flush and not self.channel.closed:
            self.write()
        self._nap.end()
        self.channel.close()
        self.connection.close()  # also in the middle of a read: no signal after peer_down

    def gone(self) -> None:
        """After the sink was told: release who waited for the queue."""
        name: Atom = self.peer.name
        if self.busy:
            self.busy = False
            self._net.sink.peer_drained(name)
        self._release()

    def counters(self) -> dict[str, Any]:
        """Return what this link has counted, by the names of :class:`Telemetry`."""
        connection, channel = self.connection, self.channel
        messages_out = self.signals_out + (0 if self.gather is None else self.gather.messages)
        return {
            "bytes_in": channel.bytes_in,
            "bytes_out": channel.bytes_out,
            "frames_in": connection.frames_received,
            "frames_out": messages_out + self._outbox.more_frames,
            "messages_in": self.signals_in + connection.messages_received,
            "messages_out": messages_out,
            "ticks_in": connection.ticks_received,
            "ticks_out": self.ticks_out,
        }
