"""TLS: two nodes over it, and who does not get through."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from pynode import ConfigError, ConnectionAborted, GenServer, Node, TlsConfig, TlsError, atom
from pynode.net.channel import TlsFault
from pynode.net.tls import TlsChannel, tls_contexts
from pynode.testing import eventually

PyNode = Callable[..., Node]


class Sink(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


class Certificates(NamedTuple):
    """What one authority has signed, in files."""

    tls: TlsConfig
    elsewhere: TlsConfig
    foreign: TlsConfig


def written(folder: Path, name: str, authority: trustme.CA, *hosts: str) -> TlsConfig:
    certificate = authority.issue_cert(*hosts)
    file, root = folder / f"{name}.pem", folder / f"{name}-ca.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(file)
    authority.cert_pem.write_to_path(root)
    return TlsConfig(certfile=file, cafile=root)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = trustme.CA(), trustme.CA()
    return Certificates(
        written(folder, "own", authority, "localhost"),
        written(folder, "elsewhere", authority, "elsewhere.example"),
        written(folder, "foreign", other, "localhost"),
    )


def counted_alike(a: Node, b: Node, what: str) -> bool:
    return bool(a.net.counters()[f"{what}_in"] == b.net.counters()[f"{what}_out"])


async def test_signals_of_all_sizes(py_node: PyNode, certificates: Certificates) -> None:
    tls = certificates.tls
    async with py_node("a", tls=tls) as a, py_node("b", tls=tls) as b:
        await b.start(Sink, name="sink")
        await a.connect(b.name)
        for size in (0, 1, 16_384, 65_536, 1_000_000, 9_000_000):
            blob = bytes([size % 251]) * size
            assert await a.call(("sink", b.name), blob, timeout=30) == blob
        calls = [a.call(("sink", b.name), number, timeout=30) for number in range(500)]
        assert await asyncio.gather(*calls) == list(range(500))
        for name in ("messages", "bytes"):
            await eventually(partial(counted_alike, a, b, name))
        a.monitor_node(b.name)
        b.disconnect(a.name)
        assert await a.main.receive(timeout=10) == (atom.nodedown, b.name)


async def test_what_travels_cannot_be_read(py_node: PyNode, certificates: Certificates) -> None:
    """A proxy between the two sees neither the names nor the message."""
    seen = bytearray()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            seen.extend(data)
            writer.write(data)
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", b.net.port)
        await asyncio.gather(pump(reader, outer), pump(inner, writer))
        await asyncio.gather(outer.wait_closed(), writer.wait_closed())

    async with py_node("b", tls=certificates.tls) as b:
        await b.start(Sink, name="sink")
        server = await asyncio.start_server(between, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        options = {"tls": certificates.tls, "port": 0, "epmd": False, "peer_port": port}
        async with py_node("a", **options) as a:
            assert await a.call(("sink", b.name), b"a secret") == b"a secret"
        await eventually(lambda: not b.nodes("connected"))
        server.close()
        await server.wait_closed()
    assert len(seen) > 500
    assert b"secret" not in seen
    assert b"a@localhost" not in seen


@pytest.mark.parametrize(
    ("dialler", "listener", "problem"),
    [
        ("tls", "foreign", "certificate is refused here"),
        ("tls", "elsewhere", "certificate is refused here.*localhost"),
        ("tls", None, "closed the connection in the handshake of TLS|does not speak TLS"),
        (None, "tls", "a node that speaks TLS alone does that"),
    ],
)
async def test_who_is_refused(
    py_node: PyNode,
    certificates: Certificates,
    dialler: str | None,
    listener: str | None,
    problem: str,
) -> None:
    def config(which: str | None) -> TlsConfig | None:
        return None if which is None else getattr(certificates, which)

    async with py_node("a", tls=config(dialler)) as a, py_node("b", tls=config(listener)) as b:
        with pytest.raises(TlsError if dialler else ConnectionAborted, match=problem):
            await a.connect(b.name)
        assert a.nodes("connected") == b.nodes("connected") == []


async def test_a_certificate_that_is_refused_is_a_warning(
    py_node: PyNode, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with py_node("a", tls=certificates.foreign) as a, py_node("b", tls=certificates.tls) as b:
        with pytest.raises(TlsError):
            await b.connect(a.name)
        await eventually(lambda: "was not accepted" in caplog.text)
    assert {record.levelname for record in caplog.records} == {"WARNING"}


async def test_the_dialler_is_verified_too(
    py_node: PyNode, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    trusting = TlsConfig(certfile=certificates.foreign.certfile, verify=False)
    async with py_node("a", tls=trusting) as a, py_node("b", tls=certificates.tls) as b:
        with (
            caplog.at_level(logging.DEBUG, "pynode.net"),
            pytest.raises(TlsError, match="it refuses ours"),
        ):
            await a.connect(b.name)


async def test_encrypted_and_unverified(py_node: PyNode, certificates: Certificates) -> None:
    one = TlsConfig(certfile=certificates.foreign.certfile, verify=False)
    two = TlsConfig(certfile=certificates.elsewhere.certfile, verify=False)
    async with py_node("a", tls=one) as a, py_node("b", tls=two) as b:
        assert await a.ping(b.name)


def test_files_that_cannot_be_used(tmp_path: Path, certificates: Certificates) -> None:
    good = certificates.tls.certfile
    (tmp_path / "empty.pem").write_text("")
    for config, problem in (
        (TlsConfig(certfile=tmp_path / "none.pem", cafile=good), "none.pem"),
        (TlsConfig(certfile=tmp_path / "empty.pem", cafile=good), "empty.pem"),
        (TlsConfig(certfile=good), "needs cafile="),
    ):
        with pytest.raises(ConfigError, match=problem):
            tls_contexts(config)
    assert tls_contexts(certificates.tls).server.verify_mode is ssl.CERT_REQUIRED


async def test_a_silent_dialler_is_given_up(py_node: PyNode, certificates: Certificates) -> None:
    """The deadline of a handshake holds for that of TLS."""
    from pynode import Timeouts

    async with py_node("b", tls=certificates.tls, timeouts=Timeouts(setup=0.3)) as b:
        reader, writer = await asyncio.open_connection("127.0.0.1", b.net.port)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


class Told:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[OSError | None] = []

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, error: OSError | None) -> None:
        self.lost.append(error)

    def buffers_filled(self, count: int) -> None:
        raise AssertionError

    def output_flushed(self) -> None:
        pass


class Far:
    """The other end of a channel, byte by byte."""

    def __init__(self, certificates: Certificates) -> None:
        self.sock, near = socket.socketpair()
        near.setblocking(False)
        self.sock.setblocking(False)
        contexts = tls_contexts(certificates.tls)
        self.told = Told()
        self.channel = TlsChannel(
            asyncio.get_running_loop(), near, self.told, contexts, server_name=None
        )
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = contexts.client.wrap_bio(self._in, self._out, server_hostname="localhost")

    def carry(self) -> None:
        self.sock.sendall(self._out.read())
        with suppress(BlockingIOError):
            self._in.write(self.sock.recv(1 << 20))

    async def shake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.carry()
                await asyncio.sleep(0)
            else:
                break
        self.tls.write(b"hello")
        self.carry()
        await eventually(lambda: self.told.data == b"hello")

    def close(self) -> None:
        self.channel.close()
        self.sock.close()


@pytest.fixture
async def far(certificates: Certificates) -> AsyncIterator[Far]:
    made = Far(certificates)
    yield made
    made.close()


@pytest.mark.parametrize("data", [b"\x17\x03\x03\x40\x00" + bytes(0x4000), b"GET / HTTP/1.0\r\n"])
async def test_garbage_behind_the_handshake(far: Far, data: bytes) -> None:
    await far.shake()
    far.channel.write([b"on its way"])
    far.sock.sendall(data)
    await eventually(lambda: bool(far.told.lost))
    assert isinstance(far.told.lost[0], TlsFault)
    far.channel.write([b"too late"])
    assert far.channel.closed


async def test_what_cannot_be_encrypted_is_told_from_the_loop(far: Far) -> None:
    """The one who writes is in the middle of something."""

    class Broken:
        def write(self, data: Any) -> int:
            error = ssl.SSLError("protocol is shutdown")
            error.reason = "PROTOCOL_IS_SHUTDOWN"
            raise error

        def unwrap(self) -> None:
            raise ssl.SSLError("protocol is shutdown")

    await far.shake()
    far.channel._tls = Broken()  # type: ignore[assignment]
    far.channel.write([b"text"])
    assert far.told.lost == []
    await eventually(lambda: bool(far.told.lost))
    assert isinstance(far.told.lost[0], TlsFault)


async def test_answers_of_tls_for_who_does_not_read(far: Far) -> None:
    """What a peer's wishes for new keys cause is bounded."""
    await far.shake()
    far.channel.write([b"text"])
    far.channel.blocked = True  # the kernel takes no more
    far.channel._outgoing.write(bytes(100_000))
    far.tls.write(b"more")
    far.carry()
    await eventually(lambda: bool(far.told.lost))
    assert "does not read" in str(far.told.lost[0])
    far.channel.blocked = False


async def test_a_half_closed_connection_is_lost(far: Far) -> None:
    await far.shake()
    far.sock.shutdown(socket.SHUT_WR)
    await eventually(lambda: bool(far.told.lost))
    assert far.told.lost == [None]
