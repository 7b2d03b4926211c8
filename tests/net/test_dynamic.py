"""A node that its first peer names, with a scripted peer for what a BEAM does not do."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from pynode.dist.cookie import digest
from pynode.dist.flags import Flag
from pynode.errors import ConnectTimeout, HandshakeError
from pynode.net import Net
from pynode.terms import Atom

from .conftest import MakeNet
from .harness import Script, ScriptServer, recorder, send

Register: TypeAlias = Callable[[str, int], None]
HOST = "localhost"
PEER = "peer@localhost"
NAME = "X1@localhost"


async def nameless(make_net: MakeNet, **settings: Any) -> tuple[Net, list[tuple[str, int]]]:
    """Return a net without a name, and the list of the names it goes by."""
    net = await make_net(HOST, hidden=True, **settings)
    names: list[tuple[str, int]] = []
    net.on_name = lambda name, creation: names.append((str(name), creation))
    return net, names


async def name_it(script: Script, name: str = NAME, creation: int = 7) -> int:
    """Give the dialler a name and read its reply; return its challenge."""
    message = await script.read()
    _, flags, given, length = struct.unpack_from(">cQIH", message)
    assert flags & Flag.NAME_ME
    assert not flags & Flag.PUBLISHED
    assert (given, message[15:]) == (0, HOST.encode())
    assert length == len(HOST)
    text = name.encode()
    script.write(b"snamed:" + struct.pack(">H", len(text)) + text + struct.pack(">I", creation))
    script.send_challenge(PEER)
    reply = await script.read()
    return int.from_bytes(reply[1:5], "big")


async def test_a_refused_signal_is_told_before_the_connection(
    make_net: MakeNet, register: Register
) -> None:
    """Else the end of what hangs on the signal would be the end of what hangs on the link."""
    net, names = await nameless(make_net)
    async with ScriptServer() as server:
        register("peer", server.port)
        connecting = asyncio.ensure_future(net.connect(PEER))
        challenge = await name_it(await server.script())
        attempt = net._entries[Atom(PEER)].attempt
        assert attempt is not None
        send(net, PEER, 1)
        ack = b"a" + digest(b"cookie", challenge)
        attempt.data_received(len(ack).to_bytes(2, "big") + ack)
        await connecting
        await asyncio.sleep(0)
        down = ("down", PEER, False, "connection_setup_failed")
        assert recorder(net).events == [down, ("up", PEER)]
        assert names == [(NAME, 7)]
        assert (net.local.name, net.creation, net.nameless) == (NAME, 7, False)
        net.disconnect(PEER)
        assert names == [(NAME, 7), ("nonode@nohost", 0)]
        assert (net.local.name, net.creation, net.nameless) == (HOST, 0, True)


async def test_a_name_that_is_lost_takes_attempts_along(
    make_net: MakeNet, register: Register
) -> None:
    net, names = await nameless(make_net)
    async with ScriptServer() as server:
        register("peer", server.port)
        connecting = asyncio.ensure_future(net.connect(PEER))
        script = await server.script()
        challenge = await name_it(script)
        script.write(b"a" + digest(b"cookie", challenge))
        await connecting
        register("other", server.port)
        other = asyncio.ensure_future(net.connect("other@localhost"))
        second = await server.script()
        message = await second.read()
        assert message[15:] == NAME.encode()
        assert not struct.unpack_from(">cQ", message)[1] & Flag.NAME_ME
        await script.close()
        with pytest.raises(ConnectionError, match="given up by this node"):
            await other
        assert names[-1] == ("nonode@nohost", 0)
        assert await second.read_end() == b""


async def test_whoever_waits_for_the_name_goes_on_when_the_first_fails(
    make_net: MakeNet, register: Register
) -> None:
    net, names = await nameless(make_net, timeouts={"setup": 0.3})
    async with ScriptServer() as mute, ScriptServer() as server:
        register("mute", mute.port)
        register("peer", server.port)
        first = asyncio.ensure_future(net.connect("mute@localhost"))
        await mute.script()
        second = asyncio.ensure_future(net.connect(PEER))
        with pytest.raises(ConnectTimeout):
            await first
        script = await server.script()
        script.write(b"a" + digest(b"cookie", await name_it(script)))
        await second
        assert names == [(NAME, 7)]


async def test_giving_up_the_first_lets_the_next_go_on(
    make_net: MakeNet, register: Register
) -> None:
    net, names = await nameless(make_net)
    async with ScriptServer() as mute, ScriptServer() as server:
        register("mute", mute.port)
        register("peer", server.port)
        first = asyncio.ensure_future(net.connect("mute@localhost"))
        await mute.script()
        second = asyncio.ensure_future(net.connect(PEER))
        await asyncio.sleep(0)
        net.disconnect("mute@localhost")
        with pytest.raises(ConnectionError):
            await first
        script = await server.script()
        script.write(b"a" + digest(b"cookie", await name_it(script)))
        await second
        assert names == [(NAME, 7)]


async def test_a_peer_that_gives_its_own_name(make_net: MakeNet, register: Register) -> None:
    net, names = await nameless(make_net)
    async with ScriptServer() as server:
        register("peer", server.port)
        connecting = asyncio.ensure_future(net.connect(PEER))
        script = await server.script()
        await script.read()
        text = PEER.encode()
        script.write(b"snamed:" + struct.pack(">H", len(text)) + text + bytes((0, 0, 0, 7)))
        with pytest.raises(HandshakeError, match="its own name"):
            await connecting
        assert names == []
        assert net.nameless
