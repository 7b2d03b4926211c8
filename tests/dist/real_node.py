"""A BEAM for the tests of ``pynode.dist``: started, spoken to over a plain blocking socket, killed.

Without asyncio: the machines under test do all the talking.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pynode import etf
from pynode.dist.connection import Connection
from pynode.dist.control import Control, RegSend
from pynode.dist.flags import offered
from pynode.dist.handshake import (
    DigestAccepted,
    Established,
    Handshake,
    HandshakeEvent,
    NameReceived,
    Status,
    StatusReceived,
)
from pynode.dist.local import LocalNode
from pynode.dist.seam import Payload
from pynode.terms import Atom, Pid
from pynode.testing import Beam, BeamMissing, Epmd, Release

TIMEOUT = 20.0
COOKIE = b"dist_tests"
HOST = socket.gethostname().split(".")[0]

RUNNER = """
register(runner, spawn(fun Loop() ->
    receive {From, Tag, Source} ->
        spawn(fun() ->
            {ok, Tokens, _} = erl_scan:string(Source ++ "."),
            {ok, Exprs} = erl_parse:parse_exprs(Tokens),
            {value, Value, _} = erl_eval:exprs(Exprs, [{'From', From}]),
            From ! {Tag, Value}
        end),
        Loop()
    end
end))
"""


def release() -> Release | None:
    """Return the release to test against, None where there is none."""
    try:
        found = Release.find(near=Path(__file__))
    except BeamMissing:
        return None
    return found if found.has("erl") and found.has("epmd") else None


def have_beam() -> bool:
    return release() is not None


class DistBeam(Beam):
    """An Erlang node with an EPMD of its own; commands go in by distribution."""

    def __init__(self, *arguments: str) -> None:
        found = release()
        self.own_epmd = Epmd(release=found).start()
        super().__init__(
            f"beam{secrets.token_hex(3)}",
            language="erlang",
            release=found,
            cookie=COOKIE.decode(),
            epmd=self.own_epmd,
            host=HOST,
            arguments=arguments,
        )

    def start(self, timeout: float = TIMEOUT) -> Self:
        super().start(timeout)
        self.eval(RUNNER)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.kill()
        self.own_epmd.stop()

    def port(self) -> int | None:
        question = b"z" + self.name.name.partition("@")[0].encode()
        with socket.create_connection(("127.0.0.1", self.epmd_port), TIMEOUT) as sock:
            sock.sendall(len(question).to_bytes(2, "big") + question)
            answer = b""
            while chunk := sock.recv(4096):
                answer += chunk
        return int.from_bytes(answer[2:4], "big") if answer and not answer[1] else None

    def register(self, name: str, port: int) -> socket.socket:
        """Register a node at this EPMD; return the socket to keep."""
        sock = socket.create_connection(("127.0.0.1", self.epmd_port), TIMEOUT)
        text = name.encode()
        body = b"x" + struct.pack(">HBBHHH", port, 77, 0, 6, 5, len(text)) + text + b"\0\0"
        sock.sendall(len(body).to_bytes(2, "big") + body)
        answer = sock.recv(6)
        assert answer[:2] == b"v\0", answer
        return sock


@contextmanager
def nameless(beside: DistBeam, dials: str) -> Iterator[None]:
    """Start a node that asks ``dials`` for its name, and kill it at the end."""
    words = ["-sname", "undefined", "-setcookie", COOKIE.decode(), "-start_epmd", "false"]
    with subprocess.Popen(
        beside.release.command(
            "erl", "-noinput", *words, "-eval", f"{RUNNER}, net_kernel:connect_node('{dials}')."
        ),
        env=os.environ | {"ERL_EPMD_PORT": str(beside.epmd_port), "HOME": "/tmp"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as node:
        try:
            yield
        finally:
            node.kill()


class Listener:
    """A listening socket that the BEAM finds under a name at its EPMD."""

    def __init__(self, beam: DistBeam, local: LocalNode) -> None:
        self.local = local
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TIMEOUT)
        port = self._listener.getsockname()[1]
        self._epmd = beam.register(local.name.partition("@")[0], port)

    def accept(self) -> Line:
        sock, _ = self._listener.accept()
        return Line(sock, Handshake.accept(self.local, secrets.randbits(32)))

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        self._epmd.close()


def local_node(name: str, *, hidden: bool = False, without: int = 0, flags: int = -1) -> LocalNode:
    return LocalNode(
        f"{name}@{HOST}", 7, offered(hidden=hidden, without=without) if flags < 0 else flags
    )


class Line:
    """One connection to a BEAM: a socket, a Handshake, then a Connection; all bytes recorded."""

    def __init__(self, sock: socket.socket, handshake: Handshake) -> None:
        self.sock = sock
        self.sock.settimeout(TIMEOUT)
        self.handshake = handshake
        self.events: list[HandshakeEvent] = []
        self.signals: list[tuple[Control, Any]] = []
        self.raw: list[tuple[Control, bytes | None]] = []
        self.log: list[tuple[bool, bytes]] = []  # what went out (True) and came in, in order
        self.connection: Connection | None = None

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def dial(cls, beam: DistBeam, local: LocalNode, cookie: bytes = COOKIE) -> Line:
        port = beam.port()
        assert port is not None
        sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        return cls(sock, Handshake.dial(local, beam.name.name, cookie, secrets.randbits(32)))

    @classmethod
    def up(cls, beam: DistBeam, name: str, **options: Any) -> Line:
        """Dial as a hidden node ``name`` and finish the handshake."""
        line = cls.dial(beam, local_node(name, hidden=True, **options))
        line.shake()
        return line

    def write(self, data: bytes | memoryview) -> None:
        self.log.append((True, bytes(data)))
        self.sock.sendall(data)

    def read(self) -> bytes:
        data = self.sock.recv(65536)
        self.log.append((False, data))
        return data

    def shake(
        self,
        status: Status = Status.OK,
        cookie: bytes = COOKIE,
        named: str = "",
        alive: bool = True,
    ) -> Connection:
        """Run the handshake to its end, as the owner of either role would."""
        shake = self.handshake
        while True:
            self.write(shake.data_to_send())
            data = self.read()
            events = shake.receive_data(data) if data else shake.receive_eof()
            while events:
                event = events.pop(0)
                self.events.append(event)
                if isinstance(event, NameReceived):
                    shake.use_cookie(cookie)
                    events += (
                        shake.send_named(named, 9)
                        if event.wants_name
                        else shake.send_status(status)
                    )
                elif isinstance(event, StatusReceived) and event.status is Status.ALIVE:
                    events += shake.answer_alive(alive)
                elif isinstance(event, DigestAccepted):
                    events += shake.send_ack()
                elif isinstance(event, Established):
                    self.write(shake.data_to_send())
                    return self.connect(event)

    def connect(self, event: Established) -> Connection:
        self.connection = Connection(self.handshake.local, event.peer)
        self.connection.receive_data(event.rest, self.on_control)
        return self.connection

    def on_control(self, message: Control, payload: Payload | None) -> None:
        if payload is None:
            self.raw.append((message, None))
            self.signals.append((message, None))
            return
        term, end = etf.decode_payload(payload.data, payload.offset, payload.atoms)
        assert end == len(payload.data)
        self.raw.append((message, bytes(payload.data[payload.offset :])))
        self.signals.append((message, term))

    # ------------------------------------------------------------------ connected

    def pid(self, number: int) -> Pid:
        return Pid(Atom(self.handshake.local.name), number, 0, self.handshake.local.creation)

    def send(self, sender: Pid, message: Control, *term: Any) -> None:
        assert self.connection is not None
        payload = etf.encode_payload(term[0]) if term else None
        assert self.connection.send(sender, message, payload)
        self.flush()

    def flush(self) -> None:
        assert self.connection is not None
        while pieces := self.connection.data_to_send():
            for piece in pieces:
                self.write(piece)

    def until(self, wanted: Callable[[Any, Any], bool]) -> tuple[Any, Any]:
        """Read until a signal fits; the ones before it stay in ``signals``."""
        assert self.connection is not None
        seen = 0
        while True:
            for signal in self.signals[seen:]:
                seen += 1
                if wanted(*signal):
                    return signal
            data = self.read()
            if not data:
                raise EOFError("the BEAM closed the connection")
            self.connection.receive_data(data, self.on_control)

    def eval(self, source: str, caller: Pid | None = None) -> Any:
        """Evaluate Erlang in a new process of the BEAM; ``From`` is bound to the caller."""
        sender = caller or self.pid(1)
        tag = secrets.token_bytes(8)
        self.send(sender, RegSend(sender, Atom("runner")), (sender, tag, list(source.encode())))
        _, term = self.until(lambda _, term: type(term) is tuple and term[0] == tag)
        return term[1]


__all__ = ["COOKIE", "HOST", "DistBeam", "Line", "Listener", "have_beam", "local_node", "nameless"]
