"""What ``dbg`` does on a node that ``etop`` watches: who runs, and for how long.

``etop`` has a relay started here, linked to its ``dbg``, that opens a port which a reader connects
to; then tells it to trace ``running`` for all processes.  What is sent are the emulator's trace
messages, ``{trace_ts, Pid, in | out, {M, F, A} | 0, Now}``, each after a zero and four bytes of
length; messages that the reader was too slow for are counted, and told by a one and four bytes of
number.  Nothing is measured before a reader is there that has asked for it, see :mod:`.run_time`.

The port listens where the node does, to the host of the node that asked for it, or to this host
where that is on it.  It is closed when ``dbg`` stops, with the connection to its node, and when
the node stops.  Every other tracer and every other flag is refused.

Source: dbg.erl, etop_tr.erl; ``erlang:trace/3``; trace_ip_drv.c for the frames; OTP 25, 27, 29.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pynode.errors import RemoteError
from pynode.etf import encode
from pynode.net.addresses import Endpoint, bind_listeners, is_local_peer, is_loopback
from pynode.process.spawn import ASKER
from pynode.services.service import acting
from pynode.terms import Atom, OpaqueFun, Pid, Port, atom, charlist

from .facts import atoms, current_function
from .processes import badarg
from .run_time import RunTimes, Turn

if TYPE_CHECKING:
    import asyncio

    from pynode.net.net import Net
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["TracingFunctions"]

_log = logging.getLogger("pynode.services")

#: Seconds between two looks at who has run.
_INTERVAL: Final = 0.2
#: Tracers at once.
_MOST: Final = 8
#: Bytes that wait for one reader, beside those that the system keeps for it.
_MOST_BYTES: Final = 1 << 18
_PORTS: Final = range(1, 1 << 16)
_EXIT: Final = atom("EXIT")
_TRACER: Final = atom.tracer
_TIMESTAMP: Final = atom.timestamp
_FLAGS: Final = frozenset(atoms("running running_procs timestamp"))
_RUNNING: Final = frozenset(atoms("running running_procs"))
_ALL: Final = frozenset(atoms("all processes existing existing_processes"))
_IN: Final = atom("in")
_OUT: Final = atom.out
_REFUSED: Final = (
    b"calls and messages of a Python node cannot be traced (by dbg, ttb, observer's trace page): "
    b"it has no tracer but dbg:trace_port(ip, _), by which etop sees who runs"
)
#: What stands for our frames in the reports of other nodes.
_STACK: Final[list[Any]] = [(atom.dbg, atom.do_relay, 2, [])]


class TracingFunctions:
    """The functions of ``dbg`` that run on the node that is traced."""

    def __init__(self, runtime: Runtime, net: Net) -> None:
        self._runtime = runtime
        self._net = net
        self._times = RunTimes(runtime)
        self._tracers: dict[Port, _Tracer] = {}
        self._last_port = 0
        self._timer: Any = None

    def table(self) -> dict[tuple[str, str, int], Callable[..., Any]]:
        """Return the functions."""
        return {
            ("dbg", "deliver_and_flush", 1): self._flush,
            ("dbg", "deliver_and_flush", 2): lambda session, port: self._flush(port),
            ("dbg", "do_relay", 2): lambda parent, tracer: self._relay(parent, tracer, None),
            ("dbg", "do_relay", 3): lambda name, parent, tracer: self._relay(parent, tracer, name),
            ("dbg", "erlang_trace", 3): self._trace_port,
            ("dbg", "erlang_trace", 4): self._trace_session,
            ("net_adm", "localhost", 0): self._localhost,
        }

    def _localhost(self) -> Any:
        """``net_adm:localhost/0``: by this name other hosts have found the node."""
        return charlist(str(self._runtime.node_name).rpartition("@")[2])

    # ------------------------------------------------------------------ dbg:do_relay/2,3

    async def _relay(self, parent: Any, kind: Any, name: Any) -> None:
        """Be the tracer until ``parent``, which is linked, or the node ends.

        ``parent`` gets ``{started, Port}``, and from OTP 27 on ``{started, Port, Session}``.
        """
        me = acting(self._runtime)
        if type(parent) is not Pid:
            raise badarg()
        me.trap_exit = True
        try:
            tracer = self._open(parent, kind)
        except RemoteError:
            # dbg waits for this for ever; the end of the relay, which follows, takes it back.
            self._started(me, parent, atom.undefined, name)
            raise
        me.extra.on_death["dbg"] = lambda process: self._close(tracer)
        session = self._runtime.make_ref(), (name, tracer.port.id)
        tracer.session = session
        self._started(me, parent, tracer.port, name, session)
        while True:
            match await me.receive():
                case (word, _, _) if word == _EXIT:
                    return

    def _started(
        self, me: Process, parent: Pid, port: Any, name: Any, session: Any = atom.undefined
    ) -> None:
        told = (atom.started, port) if name is None else (atom.started, port, session)
        self._runtime.send(me, parent, told)

    def _open(self, parent: Pid, kind: Any) -> _Tracer:
        match kind:
            case (atom.port, OpaqueFun() as fun) if _is_trace_port(fun):
                _, number = fun.env
            case _:
                raise RemoteError("error", (atom.tracer_refused, _REFUSED), _STACK)
        if len(self._tracers) >= _MOST:
            raise RemoteError("error", (atom.badmatch, (atom.error, atom.system_limit)))
        asker = ASKER.get(parent).node  # who has asked, whoever it says is to be told
        for other in list(self._tracers.values()):
            # Its dbg was killed by who asks now, and its link has not told it yet.
            if (other.number, other.asker) == (number, asker):
                self._close(other)
        self._last_port += 1
        port = Port(self._runtime.node_name, self._last_port, self._runtime.creation)
        peer = self._net.peer(asker)
        host = peer.address[0] if peer is not None and peer.address else None
        tracer = _Tracer(self._runtime.loop, port, self._changed, asker, host)
        try:
            tracer.listen(self._net.endpoints, number)
        except OSError as error:
            raise RemoteError("error", (atom.badmatch, (atom.error, _posix(error)))) from error
        self._tracers[port] = tracer
        return tracer

    def _close(self, tracer: _Tracer) -> None:
        self._tracers.pop(tracer.port, None)
        tracer.close()
        self._changed()

    # ------------------------------------------------------------------ dbg:erlang_trace/3,4

    def _trace_port(self, what: Any, how: Any, flags: Any) -> int:
        """``erlang:trace(What, How, [{tracer, Port} | Flags])``."""
        found = None
        for flag in flags if type(flags) is list else []:
            if type(flag) is tuple and len(flag) == 2 and flag[0] == _TRACER:
                found = self._tracers.get(flag[1]) if type(flag[1]) is Port else None
                flags = [other for other in flags if other is not flag]
        return self._trace(found, what, how, flags)

    def _trace_session(self, session: Any, what: Any, how: Any, flags: Any) -> int:
        """``trace:process(Session, What, How, Flags)``."""
        tracers = self._tracers.values()
        return self._trace(
            next((one for one in tracers if one.session == session), None), what, how, flags
        )

    def _trace(self, tracer: _Tracer | None, what: Any, how: Any, flags: Any) -> int:
        if tracer is None or type(how) is not bool or type(flags) is not list:
            raise badarg()
        if type(what) is not Atom or what not in _ALL or any(type(f) is not Atom for f in flags):
            raise badarg()
        if how and not _FLAGS.issuperset(flags):
            raise badarg()
        tracer.stamped = _TIMESTAMP in flags
        tracer.on = how and not _RUNNING.isdisjoint(flags)
        self._changed()
        return len(self._runtime.processes())

    # ------------------------------------------------------------------ telling

    def _changed(self) -> None:
        """Measure as long as somebody reads it."""
        wanted = any(tracer.wants for tracer in self._tracers.values())
        if wanted and not self._times.started:
            self._times.start()
            self._timer = self._runtime.loop.call_later(_INTERVAL, self._tick)
        elif not wanted and self._times.started:
            self._times.stop()
            self._timer.cancel()

    def _tick(self) -> None:
        self._timer = self._runtime.loop.call_later(_INTERVAL, self._tick)
        self._tell()

    def _tell(self) -> None:
        turns = self._times.look()
        for tracer in list(self._tracers.values()):
            if tracer.wants:
                tracer.tell(turns)

    def _flush(self, port: Any) -> list[int]:
        """``dbg:deliver_and_flush/1,2``."""
        if type(port) is not Port or port not in self._tracers:
            raise badarg()
        if self._times.started:
            self._tell()
        return [0]


class _Tracer:
    """The port of one tracer, which one reader at a time may read."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        port: Port,
        changed: Callable[[], None],
        asker: Atom,
        host: str | None,
    ) -> None:
        """Make one; ``changed`` is called when :attr:`wants` may be another.

        Args:
            loop: the running loop.
            port: what it is called.
            changed: see above.
            asker: the node that wants it.
            host: its address, whose readers are let in.
        """
        self._loop = loop
        self.port = port
        #: The port's number of TCP.
        self.number = 0
        self.asker = asker
        #: What is traced; with the time.
        self.on = False
        self.stamped = False
        self.session: Any = None
        self._host = host
        self._changed = changed
        self._listeners: list[socket.socket] = []
        self._reader: socket.socket | None = None
        self._waiting = bytearray()
        #: Messages lost since the last one that is among those that wait.
        self._dropped = 0

    def listen(self, endpoints: list[Endpoint], number: int) -> None:
        """Listen on port ``number`` of each address.

        Raises:
            OSError: it is in use, or there is no address.
        """
        if not endpoints:
            raise OSError(errno.EADDRNOTAVAIL, "the node does not listen")
        self._listeners = bind_listeners(endpoints, number)
        self.number = number
        for listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    @property
    def wants(self) -> bool:
        """True while somebody reads, and there is something to tell."""
        return self.on and self._reader is not None

    def close(self) -> None:
        """Close everything."""
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        self._close_reader()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except OSError:
            return
        if self._reader is not None or not self._admits(sock, address[0]):
            sock.close()
            return
        sock.setblocking(False)
        self._reader = sock
        self._waiting.clear()
        self._dropped = 0
        self._loop.add_reader(sock.fileno(), self._read)
        self._changed()

    def _admits(self, sock: socket.socket, theirs: str) -> bool:
        """Only who could see it by the connection between the nodes as well."""
        if theirs == self._host or (is_local_peer(sock) and _is_own(self._host)):
            return True
        _log.warning(
            "a reader from %s may not have the trace that was asked for from %s", theirs, self._host
        )
        return False

    def _read(self) -> None:
        """Nothing is said to a tracer, but the reader may go."""
        reader = self._reader
        try:
            if reader is None or reader.recv(4096):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self._close_reader()
        self._changed()

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            self._loop.remove_reader(reader.fileno())
            reader.close()
        self._waiting.clear()

    def tell(self, turns: Iterable[Turn]) -> None:
        """Send ``in`` and ``out`` for each turn, as far as the reader takes them."""
        self._send()  # what waits from before
        for turn in turns:
            messages = self._messages(turn)
            if len(self._waiting) + sum(map(len, messages)) > _MOST_BYTES:
                self._dropped += len(messages)
                continue
            if self._dropped:
                self._waiting += b"\1" + self._dropped.to_bytes(4, "big")
                self._dropped = 0
            for message in messages:
                self._waiting += message
        self._send()

    def _messages(self, turn: Turn) -> list[bytes]:
        process = turn.process
        where: Any = current_function(process) if process.alive else 0
        return [
            self._message(process.pid, _IN, where, turn.begin_ns),
            self._message(process.pid, _OUT, where, turn.end_ns),
        ]

    def _message(self, pid: Pid, word: Atom, where: Any, at_ns: int) -> bytes:
        message: Any = (atom.trace, pid, word, where)
        if self.stamped:
            seconds, micro = divmod(at_ns // 1000, 1_000_000)
            now = seconds // 1_000_000, seconds % 1_000_000, micro
            message = (atom.trace_ts, pid, word, where, now)
        data = encode(message)
        return b"\0" + len(data).to_bytes(4, "big") + data

    def _send(self) -> None:
        try:
            while self._waiting and self._reader is not None:
                del self._waiting[: self._reader.send(self._waiting)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close_reader()
            # Not at once: whoever calls this goes through what may then be no more.
            self._loop.call_soon(self._changed)


def _is_trace_port(fun: OpaqueFun) -> bool:
    """Tell whether it is what ``dbg:trace_port(ip, {Port, QueueSize})`` returns."""
    return (
        fun.module == atom.dbg
        and fun.arity == 0
        and len(fun.env) == 2
        and all(type(value) is int for value in fun.env)
        and fun.env[1] in _PORTS
    )


def _is_own(host: str | None) -> bool:
    """Tell whether a numeric address is one of this host."""
    if host is None or is_loopback(host):
        return host is not None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _posix(error: OSError) -> Atom:
    return Atom(errno.errorcode.get(error.errno or 0, "einval").lower())
