"""A sink that records, and a peer that follows a script, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from pynode import etf
from pynode.dist.control import Control, RegSend
from pynode.dist.cookie import digest
from pynode.dist.flags import OUR_FLAGS, Flag
from pynode.dist.seam import Payload, Peer
from pynode.net import Net
from pynode.terms import Atom, Pid

T = TypeVar("T")
LOOPBACK = (int(socket.AF_INET), "127.0.0.1")
#: Twice the longest a loaded machine was seen to need, in seconds.
PATIENCE = 20.0


class Recorder:
    """A :class:`pynode.dist.seam.SignalSink` that writes down what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.batches = 0
        #: Called with each signal, to answer from within.
        self.on_control: Callable[[Peer, Control, Payload | None], None] | None = None
        self.on_down: Callable[[Atom], None] | None = None
        self._changed = asyncio.Event()

    def _note(self, *event: Any) -> None:
        self.events.append(event)
        self._changed.set()

    def peer_up(self, peer: Peer) -> None:
        self._note("up", str(peer.name))

    def control(self, peer: Peer, message: Control, payload: Payload | None) -> None:
        value = None
        if payload is not None:
            value = etf.decode_payload(payload.joined(), payload.offset, payload.atoms)[0]
        self._note("control", str(peer.name), message, value)
        if self.on_control is not None:
            self.on_control(peer, message, payload)

    def peer_down(
        self, node: Atom, peer: Peer | None, reason: Any, cause: Exception | None = None
    ) -> None:
        self._note("down", str(node), peer is not None, str(reason))
        if self.on_down is not None:
            self.on_down(node)

    def peer_drained(self, node: Atom) -> None:
        self._note("drained", str(node))

    def batch_begin(self) -> None:
        pass

    def batch_end(self) -> None:
        self.batches += 1

    # ------------------------------------------------------------------ questions

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """Return the events of one kind, without it."""
        return [event[1:] for event in self.events if event[0] == kind]

    @property
    def values(self) -> list[Any]:
        """What the signals carried, in order."""
        return [event[3] for event in self.events if event[0] == "control"]

    async def until(self, happened: Callable[[], Any], patience: float = PATIENCE) -> None:
        """Wait until ``happened`` is true, asking at each event."""
        async with asyncio.timeout(patience):
            while not happened():
                self._changed.clear()
                await self._changed.wait()

    async def until_up(self, node: str) -> None:
        await self.until(lambda: ("up", node) in self.events)

    async def until_down(self, node: str, times: int = 1) -> None:
        await self.until(lambda: len([e for e in self.of("down") if e[0] == node]) >= times)


def recorder(net: Net) -> Recorder:
    """Return the sink of a net of ``make_net``."""
    assert isinstance(net.sink, Recorder)
    return net.sink


def send(net: Net, node: str, value: Any, *, sender: int = 1, name: str = "inbox") -> Any:
    """Submit a message to the process registered as ``name`` on ``node``."""
    pid = Pid(Atom(net.config.name), sender, 0, net.creation)
    return net.submit(Atom(node), pid, RegSend(pid, Atom(name)), etf.encode_payload(value))


async def outside(function: Callable[..., T], *arguments: Any) -> T:
    """Call what blocks in a thread that ends with it; the loop goes on."""
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


# --------------------------------------------------------------------------- scripted peer


class Script:
    """The other end of a socket, doing exactly what a test tells it to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def read(self) -> bytes:
        """Return the next message of a handshake, without its length."""
        async with asyncio.timeout(PATIENCE):
            size = int.from_bytes(await self.reader.readexactly(2), "big")
            return await self.reader.readexactly(size)

    async def read_frame(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            size = int.from_bytes(await self.reader.readexactly(4), "big")
            return await self.reader.readexactly(size)

    async def read_end(self) -> bytes:
        """Return what comes until the close; a reset is a close."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    def write(self, message: bytes) -> None:
        self.writer.write(len(message).to_bytes(2, "big") + message)

    def write_raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    # ------------------------------------------------------------------ steps of a handshake

    def send_name(self, name: str, *, flags: int = OUR_FLAGS | Flag.PUBLISHED, creation: int = 9,
                  extra: bytes = b"") -> None:  # fmt: skip
        text = name.encode("latin-1")
        self.write(struct.pack(">cQIH", b"N", flags, creation, len(text)) + text + extra)

    def send_challenge(
        self, name: str, challenge: int = 7, *, flags: int = OUR_FLAGS | Flag.PUBLISHED
    ) -> None:
        text = name.encode("latin-1")
        self.write(struct.pack(">cQIIH", b"N", flags, challenge, 9, len(text)) + text)

    async def answer_challenge(self, cookie: bytes = b"cookie", challenge: int = 8) -> int:
        """Read the challenge and reply to it; return its flags."""
        message = await self.read()
        _, flags, theirs, _, _ = struct.unpack_from(">cQIIH", message)
        self.write(b"r" + struct.pack(">I", challenge) + digest(cookie, theirs))
        return int(flags)

    async def check_reply(self, cookie: bytes = b"cookie", challenge: int = 7) -> None:
        """Read the reply to our challenge and acknowledge it."""
        message = await self.read()
        assert message[:1] == b"r"
        assert message[5:] == digest(cookie, challenge)
        self.write(b"a" + digest(cookie, int.from_bytes(message[1:5], "big")))

    async def shake_hands(self, name: str, *, cookie: bytes = b"cookie") -> None:
        """Dial: the whole handshake, as it goes when nothing is special."""
        self.send_name(name)
        assert await self.read() == b"sok"
        await self.answer_challenge(cookie)
        assert (await self.read())[:1] == b"a"

    async def accept_hands(self, name: str, status: bytes = b"sok") -> bytes:
        """Accept: the same from the other side; returns the name message."""
        first = await self.read()
        self.write(status)
        if status == b"salive":
            assert await self.read() == b"strue"
        self.send_challenge(name)
        await self.check_reply()
        return first


class ScriptServer:
    """Listens on loopback; each connection is a :class:`Script` in a queue."""

    def __init__(self) -> None:
        self.scripts: asyncio.Queue[Script] = asyncio.Queue()
        self._all: list[Script] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for script in self._all:
            await script.close()
        await self._server.wait_closed()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = Script(reader, writer)
        self._all.append(script)
        self.scripts.put_nowait(script)

    async def script(self) -> Script:
        async with asyncio.timeout(PATIENCE):
            return await self.scripts.get()
