"""Strangers and broken peers: whatever they send, the node lives on and leaves nothing open."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import struct
from typing import Any

import pytest

from pynode import etf
from pynode.dist import epmd as messages
from pynode.dist.cookie import digest
from pynode.dist.epmd import NodeEntry
from pynode.dist.flags import OUR_FLAGS
from pynode.net import EpmdServer, epmd_names
from pynode.terms import Atom, Pid

from .conftest import MakeNet
from .harness import PATIENCE, Script, recorder, send

PEER = "peer@localhost"
#: The seed is in the test's name, so that a failure can be had again.
SEEDS = range(4)
ROUNDS = 60


def mangled(chance: random.Random, data: bytes) -> bytes:
    """Return ``data`` cut, with bytes changed, doubled, or something else altogether."""
    match chance.randrange(5):
        case 0:
            return data[: chance.randrange(len(data) + 1)]
        case 1:
            changed = bytearray(data)
            for _ in range(chance.randint(1, 3)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            return bytes(changed)
        case 2:
            return data * chance.randint(2, 40)
        case 3:
            return chance.randbytes(chance.randrange(200))
        case _:
            where = chance.randrange(len(data))
            return data[:where] + chance.randbytes(chance.randint(1, 9)) + data[where:]


def name_message(name: bytes = b"peer@localhost") -> bytes:
    body = struct.pack(">cQIH", b"N", OUR_FLAGS | 1, 9, len(name)) + name
    return len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize("seed", SEEDS)
async def test_mangled_handshakes(make_net: MakeNet, seed: int) -> None:
    chance = random.Random(seed)
    net = await make_net("me@localhost", timeouts={"setup": 5.0})
    for _ in range(ROUNDS):
        script = await Script.connect(net.port)
        name = name_message()
        if chance.random() < 0.5:
            script.write_raw(mangled(chance, name))
        else:
            script.write_raw(name)
            async with asyncio.timeout(PATIENCE):
                status = await script.reader.readexactly(5)
            assert status == b"\0\3sok"
            challenge = int.from_bytes((await script.read())[9:13], "big")
            reply = b"\0\x15r" + bytes(4) + digest(b"cookie", challenge)
            script.write_raw(mangled(chance, reply))
        script.writer.write_eof()
        await script.read_end()
        await script.close()
    async with asyncio.timeout(PATIENCE):
        while net._listening.receptions or net.peers():  # noqa: ASYNC110
            await asyncio.sleep(0)
    script = await Script.connect(net.port)
    await script.shake_hands("proper@localhost")
    await recorder(net).until_up("proper@localhost")
    await script.close()
    await recorder(net).until_down("proper@localhost")
    assert not net._entries


@pytest.mark.parametrize("seed", SEEDS)
async def test_mangled_frames(make_net: MakeNet, seed: int) -> None:
    """From a peer that has the cookie; the connection may go, the node does not."""
    chance = random.Random(seed)
    net = await make_net("me@localhost")
    sender = Pid(Atom(PEER), 1, 0, 9)
    control = etf.encode_payload((6, sender, Atom(""), Atom("inbox")))
    frame = b"\x83D\0" + control + etf.encode_payload([b"text", 1.5, {Atom("a"): (1, 2)}])
    data = len(frame).to_bytes(4, "big") + frame
    for number in range(1, ROUNDS + 1):
        script = await Script.connect(net.port)
        await script.shake_hands(PEER)
        script.write_raw(data + mangled(chance, data))
        script.writer.write_eof()
        await script.read_end()
        await script.close()
        await recorder(net).until_down(PEER, times=number)
    # The sink's own decoder saw each payload; the first frame of every round is whole.
    assert len(recorder(net).of("up")) == ROUNDS
    assert len(recorder(net).values) >= ROUNDS


@pytest.mark.parametrize("seed", SEEDS)
async def test_mangled_epmd_requests(epmd: EpmdServer, seed: int) -> None:
    chance = random.Random(seed)
    epmd.registry.register(NodeEntry("kept", 1), -1, now=1)  # so that kill is refused
    requests: list[messages.Request] = [
        messages.AliveRequest(NodeEntry("name", 4, extra=b"extra")),
        messages.PortRequest("name"),
        messages.NamesRequest(),
        messages.DumpRequest(),
        messages.KillRequest(),
        messages.StopRequest("name"),
    ]
    for _ in range(ROUNDS):
        script = await Script.connect(epmd.port)
        script.write_raw(mangled(chance, messages.encode_request(chance.choice(requests))))
        script.writer.write_eof()
        await script.read_end()
        await script.close()
    assert epmd.running
    async with asyncio.timeout(PATIENCE):
        while await epmd_names(port=epmd.port) != [("kept", 1)]:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_name_that_would_forge_a_log_line(
    make_net: MakeNet, caplog: pytest.LogCaptureFixture
) -> None:
    net = await make_net("me@localhost")
    script = await Script.connect(net.port)
    script.write_raw(name_message(b"a\nERROR all is lost@localhost"))
    assert await script.read() == b"sok"
    await script.answer_challenge(b"wrong")
    assert await script.read_end() == b""
    await script.close()
    assert "a\\nERROR" in caplog.text
    assert "\nERROR all" not in caplog.text


async def test_no_descriptors_left(make_net: MakeNet, caplog: pytest.LogCaptureFixture) -> None:
    """Accepting stops for a second instead of spinning, and goes on by itself."""
    net = await make_net("me@localhost")

    class Exhausted:
        def accept(self) -> Any:
            raise OSError(errno.EMFILE, "Too many open files")

    net._listening._accept(Exhausted())  # type: ignore[arg-type]
    assert "Too many open files" in caplog.text
    assert not net._listening.accepting
    script = await Script.connect(net.port)
    await script.shake_hands(PEER)
    await script.close()
    await recorder(net).until_down(PEER)


async def test_a_peer_that_stops_in_the_middle_of_a_frame(make_net: MakeNet) -> None:
    net = await make_net("me@localhost", timeouts={"net_ticktime": 0.4})
    script = await Script.connect(net.port)
    await script.shake_hands(PEER)
    script.write_raw(b"\0\0\x10\0\x83D\0h")
    await recorder(net).until_down(PEER)
    assert recorder(net).of("down") == [(PEER, True, "net_tick_timeout")]
    await script.close()


async def test_a_peer_that_never_reads(make_net: MakeNet) -> None:
    """Leaving does not wait for it."""
    net = await make_net("me@localhost")
    script = await Script.connect(net.port)
    await script.shake_hands(PEER)
    await recorder(net).until_up(PEER)
    for _ in range(200):
        send(net, PEER, bytes(100_000))
    await net.flush(0.1)
    assert net.queued_bytes(PEER) > 0
    await net.stop()
    assert recorder(net).of("down") == [(PEER, True, "net_kernel_terminated")]
    await script.close()


async def test_a_thousand_strangers(make_net: MakeNet) -> None:
    net = await make_net("me@localhost", limits={"handshakes": 16})
    for _ in range(10):
        sockets = []
        for _ in range(100):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", net.port))
            sockets.append(sock)
            assert len(net._listening.receptions) <= 16
        await asyncio.sleep(0)
        for sock in sockets:
            sock.close()
    script = await Script.connect(net.port)
    await script.shake_hands(PEER)
    await recorder(net).until_up(PEER)
    await script.close()
    await recorder(net).until_down(PEER)
