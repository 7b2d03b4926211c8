"""Naps: a peer that floods us is read when a good deal has come, or a moment has passed.

A BEAM writes each message as it is sent, and a reader that is quicker than it is woken for every
few of them: a turn of the loop, a system call and the way through all the layers, for one or two
messages.  While messages come by the thousand, the kernel is asked (``SO_RCVLOWAT``) to wake us
when :data:`WAKE_BYTES` wait; a timer reads what is there when that takes too long, and ends the
nap when little has come.

A nap begins only in a one-way flood: many frames in a short time, and nothing sent to that peer
meanwhile.  Peers that wait for our answers before they go on, how many calls they may have under
way, are answered as ever; whatever is sent to a peer ends the nap.  What comes waits for
:data:`NAP_SECONDS` at most, which an idle loop makes a millisecond; a close of the other side is
noticed at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pynode.net.channel import Channel

__all__ = ["Nap"]

#: So many frames within so many seconds are a flood.
FLOOD_FRAMES: Final = 64
FLOOD_SECONDS: Final = 0.002
#: So many, at that rate, are the same one going on, if a nap has ended so short a time ago.
AGAIN_FRAMES: Final = 16
AGAIN_SECONDS: Final = 0.05
#: What ends a nap's wait, whichever comes first; no more than a read takes.
WAKE_BYTES: Final = 64 * 1024
NAP_SECONDS: Final = 0.0005
#: A wait in which fewer frames came is the last.
LEAST_FRAMES: Final = 8
#: Behind one in which as many came, the next is twice as long, up to this.
MANY_FRAMES: Final = 128
LONGEST_SECONDS: Final = 0.0018


class Nap:
    """The naps of one channel's reader."""

    __slots__ = (
        "_begun",
        "_bytes_out",
        "_channel",
        "_ended",
        "_enough",
        "_frames",
        "_seconds",
        "timer",
    )

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        #: Runs during a nap; else None.
        self.timer: asyncio.TimerHandle | None = None
        #: Frames since ``_begun``, when the channel had written so much.
        self._frames = 0
        self._begun = 0.0
        self._bytes_out = 0
        #: So many frames are worth a look at the clock.
        self._enough = FLOOD_FRAMES
        #: When the last nap ended, and the length of the wait under way.
        self._ended = 0.0
        self._seconds = 0.0

    @property
    def napping(self) -> bool:
        """Whether the kernel is to wake us for much only."""
        return self.timer is not None

    def read(self, frames: int) -> None:
        """Count the frames of a read, and what was written in answer; begin to nap if many came."""
        self._frames += frames
        channel = self._channel
        if self.timer is not None:
            if channel.slow:  # it is not quicker than its peer, and what it leaves must not wait
                self.end()
            return
        if self._frames < self._enough:
            return
        now = channel.loop.time()
        if self._enough < FLOOD_FRAMES and now - self._ended > AGAIN_SECONDS:
            self._enough = FLOOD_FRAMES
            if self._frames < FLOOD_FRAMES:
                return
        soon = (now - self._begun) * FLOOD_FRAMES < FLOOD_SECONDS * self._enough
        quiet = channel.bytes_out == self._bytes_out and not channel.out_bytes
        self._begun = now
        self._bytes_out = channel.bytes_out
        self._frames = 0
        if soon and quiet and channel.reading and not channel.slow and channel.wake_at(WAKE_BYTES):
            self._wait(NAP_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._seconds = seconds
        self.timer = self._channel.loop.call_later(seconds, self._over)

    def end(self) -> None:
        """Be woken for every byte again."""
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.cancel()
            self._enough = AGAIN_FRAMES
            self._begun = self._ended = self._channel.loop.time()
            self._frames = 0
            if not self._channel.closed:
                self._channel.wake_at(1)

    def _over(self) -> None:
        """Read what came, if it is too little to wake us; then go on, or end."""
        channel = self._channel
        if not channel.reading:  # paused or closed
            self.end()
            return
        try:
            channel.read_now()
        finally:
            frames, self._frames = self._frames, 0
            if frames < LEAST_FRAMES or not channel.reading:
                self.end()
            elif self.timer is not None:  # nothing was written meanwhile
                longer = frames >= MANY_FRAMES
                self._wait(min(2 * self._seconds, LONGEST_SECONDS) if longer else NAP_SECONDS)
