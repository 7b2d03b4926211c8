"""The way out: encoding, pressure, and the processes that wait for a busy peer.

Above a peer's high water :meth:`pynode.dist.seam.Outbound.submit` says BUSY; the process that
sent is then *held*: it goes on to its next await of the runtime and stays there until the peer's
queue has shrunk, as a BEAM suspends a process at a busy port.  Above the hard limit a send
raises :class:`pynode.errors.PeerBusy`.

A timeout counts while its process is held, too: what waits for it goes on when it passes.

``main``, which speaks for a whole program with many tasks, is not held as one: only its calls of a
busy node wait (and threads that speak as it, where they sent there), so that a peer that does not
read stops nothing that has to do with others.

Signals that the runtime itself owes (exits, downs, acknowledgements) cannot be refused: above
the hard limit they wait here, in order, and are submitted when the peer has drained.  A peer that
causes ever more of them and does not read (each LINK and UNLINK_ID of its is to be answered) loses
the connection when as much again as the hard limit waits.

The runtime's system processes, which serve all peers, are not held: one peer that does not read
must not make ``net_kernel`` mute for the others (OTP's ``async_dist``).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from pynode.dist.control import IN_PAYLOAD
from pynode.dist.flags import Flag
from pynode.errors import EncodeError, PeerBusy
from pynode.etf import encode_payload, encode_pieces
from pynode.etf.pieces import Encoded
from pynode.process.task import Waiter
from pynode.process.words import PYTHON_ERROR
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from pynode.dist.control import Control
    from pynode.dist.seam import Outbound
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Router"]

_log = logging.getLogger("pynode.process")

_QUEUE_FULL: Final = Atom("output_queue_full")
#: What a signal counts beside its payload, in bytes.
_SIGNAL_BYTES: Final = 64
_NATIVE_RECORDS: Final = int(Flag.NATIVE_RECORDS)
_NO_TERM: Final[Any] = ((PYTHON_ERROR, Atom("EncodeError"), b"the reason has no external form"), [])


class _Busy:
    """A peer above its high water."""

    __slots__ = ("given_up", "held", "main", "overdue", "overdue_bytes", "waiters")

    def __init__(self) -> None:
        self.held: set[Process] = set()
        #: The main process, where it has sent to it; that one is not in ``held``.
        self.main: Process | None = None
        self.waiters: list[Waiter] = []
        #: Signals of the runtime's own that the peer's queue had no room for.
        self.overdue: deque[tuple[Pid, Control, Encoded | None]] = deque()
        self.overdue_bytes = 0
        #: Too much was overdue; nothing goes out any more until the connection is closed.
        self.given_up = False


class Router:
    """Everything that leaves for other nodes."""

    __slots__ = ("_busy", "_runtime", "outbound", "pressed")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._busy: dict[Atom, _Busy] = {}
        self.outbound: Outbound | None = None
        #: The node that was busy when the main process sent to it; whoever asks clears it before.
        self.pressed: Atom | None = None

    def encode(self, node: Atom, term: Any) -> Encoded:
        """Encode a payload for ``node``; what older nodes refuse only where it is a new one.

        That are native records, and a map whose keys differ in 0.0 and -0.0 (one term before OTP
        27); a node that has agreed to records (OTP 29) takes both.  Before there is a connection
        nothing is agreed.

        Raises:
            EncodeError: ``term`` has no external form there.
        """
        limits = self._runtime.limits
        try:
            return encode_pieces(term, limits=limits)
        except EncodeError as error:
            encoded = encode_pieces(term, records=True, limits=limits)
            flags = self.agreed_flags(node)
            if flags & _NATIVE_RECORDS:
                return encoded
            problem = (
                f"{node} has not agreed to native records (NATIVE_RECORDS; OTP 29 does)"
                if flags
                else f"no connection to {node} agrees to native records yet; connect first"
            )
            raise EncodeError(f"{error}: {problem}") from None

    def agreed_flags(self, node: Atom) -> int:
        """Return the flags of the connection to ``node``; 0 where there is none."""
        return 0 if self.outbound is None else self.outbound.agreed_flags(node)

    def signal(
        self, process: Process, node: Atom, message: Control, payload: Encoded | None = None
    ) -> None:
        """Submit a signal that ``process`` sends of its own will.

        Raises:
            PeerBusy: too much is waiting for ``node``; nothing was sent.
        """
        if self.outbound is None:
            self._runtime.unreachable(node)
            return
        busy = self._busy.get(node)
        if busy is not None and (busy.overdue or busy.given_up):
            raise PeerBusy(node.name, self._runtime.limits.peer_queue_bytes)
        if self.outbound.submit(node, process.pid, message, payload):
            self.hold(process, node)

    def send(self, process: Process, node: Atom, message: Control, term: Any) -> None:
        """Encode ``term`` and submit it; see :meth:`encode` and :meth:`signal`."""
        self.signal(process, node, message, self.encode(node, term))

    def force(self, sender: Pid, node: Atom, message: Control, reason: Any = None) -> None:
        """Submit a signal that must not be refused; a reason goes as payload."""
        if self.outbound is None:
            return
        payload: Encoded | None = None
        if IN_PAYLOAD in message:  # compared by identity: it equals nothing else
            try:
                payload = self.encode(node, reason)
            except EncodeError:
                payload = encode_payload(_NO_TERM)
        busy = self._busy.get(node)
        if busy is None or not (busy.overdue or busy.given_up):
            try:
                self.outbound.submit(node, sender, message, payload)
            except PeerBusy:
                busy = self._busy.setdefault(node, _Busy())
            else:
                return
        if not busy.given_up:
            busy.overdue.append((sender, message, payload))
            busy.overdue_bytes += _SIGNAL_BYTES + (0 if payload is None else len(payload))
            if busy.overdue_bytes > self._runtime.limits.peer_queue_bytes:
                self._give_up(node, busy)

    def _give_up(self, node: Atom, busy: _Busy) -> None:
        busy.given_up = True
        busy.overdue.clear()
        _log.warning("%s does not read what it causes to be sent: the connection is closed", node)
        # Later: who owes a signal is in the middle of telling others.
        if self.outbound is not None:
            self._runtime.loop.call_soon(self.outbound.disconnect, node, _QUEUE_FULL)

    def connect(self, process: Process, node: Atom) -> None:
        """Have a connection to ``node`` attempted; a failure comes as ``peer_down``."""
        if self.outbound is None:
            self._runtime.unreachable(node)
        else:
            self.outbound.request_connect(node)

    def hurry(self) -> None:
        """A process is about to wait for an answer."""
        if self.outbound is not None:
            self.outbound.hurry()

    # ------------------------------------------------------------------ pressure

    def hold(self, process: Process, node: Atom) -> None:
        """``node`` is busy: hold ``process``, which has sent to it, at its next await.

        The main process only where it awaits something of ``node``.
        """
        if process in self._runtime.system:
            return
        busy = self._busy.setdefault(node, _Busy())
        if self._runtime.is_main(process):
            busy.main = process
            self.pressed = node
            return
        busy.held.add(process)
        if process.held_by is None:
            process.held_by = set()
        process.held_by.add(node)

    @property
    def pressing(self) -> bool:
        """Whether any node is above its high water; see :meth:`is_busy`."""
        return bool(self._busy)

    def is_busy(self, node: Atom) -> bool:
        """Return whether ``node`` is above its high water, as far as a send of ours has seen."""
        return node in self._busy

    async def drained(self, node: Atom) -> None:
        """Wait until ``node`` is below its low water, or gone."""
        waiter = Waiter(self._runtime.scheduler)
        while (busy := self._busy.get(node)) is not None:
            await self._wait(busy, waiter)

    def holder(self, process: Process, node: Atom | None) -> _Busy | None:
        """Return what holds ``process`` where it awaits something of ``node``; None: it may go on.

        None for ``node``: something of nobody in particular.
        """
        if process.held_by:
            return self._busy[next(iter(process.held_by))]
        busy = self._busy.get(node) if node is not None and self._busy else None
        return busy if busy is not None and busy.main is process and process.alive else None

    async def released(
        self, process: Process, node: Atom | None = None, timeout: float | None = None
    ) -> bool:
        """Wait until nothing holds ``process``, or it has ended; see :meth:`holder`.

        False: that was not so within ``timeout`` seconds.
        """
        runtime = self._runtime
        if self.holder(process, node) is None:
            return True
        waiter = Waiter(runtime.scheduler)
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            waiter.wake()

        timer = None if timeout is None else runtime.timers.after(max(0.0, timeout), expire)
        process.extra.on_death[waiter] = lambda _: waiter.wake()
        try:
            while (busy := self.holder(process, node)) is not None:
                if expired:
                    return False
                await self._wait(busy, waiter)
        finally:
            process.extra.on_death.pop(waiter, None)
            if timer is not None:
                timer.cancel()
        return True

    async def _wait(self, busy: _Busy, waiter: Waiter) -> None:
        busy.waiters.append(waiter)
        try:
            await waiter
        finally:
            busy.waiters.remove(waiter)
        waiter.rearm()

    def forget(self, process: Process) -> None:
        """A held process has ended: let its waiters go."""
        held_by, process.held_by = process.held_by, None
        for node in held_by or ():
            busy = self._busy[node]
            busy.held.discard(process)
            for waiter in busy.waiters:
                waiter.wake()

    def peer_drained(self, node: Atom) -> None:
        """The peer's queue has shrunk: first what is overdue, then let the held go on."""
        busy = self._busy.get(node)
        if busy is None or busy.given_up:
            return
        outbound = self.outbound
        while busy.overdue and outbound is not None:
            sender, message, payload = busy.overdue[0]
            try:
                outbound.submit(node, sender, message, payload)
            except PeerBusy:
                return
            busy.overdue.popleft()
            busy.overdue_bytes -= _SIGNAL_BYTES + (0 if payload is None else len(payload))
        self._release(node)

    def peer_gone(self, node: Atom) -> None:
        """The connection is lost, and all that waited for it."""
        if node in self._busy:
            self._release(node)

    def _release(self, node: Atom) -> None:
        busy = self._busy.pop(node)
        for process in busy.held:
            if process.held_by is not None:
                process.held_by.discard(node)
                if not process.held_by:
                    process.held_by = None
                    self._runtime.scheduler.ready(process)
        for waiter in busy.waiters:
            waiter.wake()
