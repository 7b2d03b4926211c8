"""Dialling: every status and every cause of failure, each with its own error."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pynode.dist.flags import OUR_FLAGS, Flag
from pynode.errors import (
    ConnectError,
    ConnectionAborted,
    ConnectTimeout,
    CookieError,
    EpmdError,
    FlagError,
    HandshakeError,
    HostError,
    NodeDown,
    NodeNameError,
    NoSuchNode,
    NotAllowed,
    PortClosed,
)
from pynode.net import EpmdServer, Net, net as net_module
from pynode.net.channel import connect_socket
from pynode.net.link import Link
from pynode.testing.epmd import free_port

from .conftest import MakeNet
from .harness import PATIENCE, Script, ScriptServer, recorder, send

Register = Callable[[str, int], None]
PEER = "peer@localhost"


async def lives(net: Net, make_net: MakeNet) -> None:
    """Check that ``net`` still connects after what was done to it."""
    other = await make_net("alive@localhost")
    assert str((await net.connect("alive@localhost")).name) == "alive@localhost"
    await recorder(other).until_up(net.config.name)


async def failure(net: Net, node: str = PEER) -> ConnectError:
    """Return how connecting fails; it fails within its deadline."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectError) as caught:
            await net.connect(node)
    assert caught.value.node == node
    return caught.value


@pytest.mark.parametrize(
    "node",
    ["peer", "peer@", "@localhost", "a@b@c", "peer@long.host", "me@localhost", "é€@localhost"],
)
async def test_a_name_that_cannot_be_a_peer(make_net: MakeNet, node: str) -> None:
    net = await make_net("me@localhost")
    assert type(await failure(net, node)) is NodeNameError
    await lives(net, make_net)


async def test_a_short_name_from_long_names(make_net: MakeNet) -> None:
    net = await make_net("me@127.0.0.1", long_names=True)
    error = await failure(net, "peer@localhost")
    assert type(error) is NodeNameError
    assert "short" in str(error)


async def test_no_such_host(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    error = await failure(net, "peer@no-such-host-invalid")
    assert type(error) is HostError
    assert "no-such-host-invalid" in str(error)


async def test_epmd_down(make_net: MakeNet, epmd: EpmdServer) -> None:
    net = await make_net("me@localhost")
    port = epmd.port
    epmd.stop()
    error = await failure(net)
    assert type(error) is EpmdError
    assert str(port) in str(error)


async def test_epmd_is_something_else(make_net: MakeNet, epmd: EpmdServer) -> None:
    net = await make_net("me@localhost")
    port = epmd.port
    epmd.stop()
    server = await asyncio.start_server(_greets, "127.0.0.1", port)
    error = await failure(net)
    assert type(error) is EpmdError
    assert "SSH-2.0" in str(error)
    server.close()


async def _greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    writer.close()


async def test_epmd_is_mute(make_net: MakeNet, epmd: EpmdServer) -> None:
    net = await make_net("me@localhost", timeouts={"epmd": 0.3})
    port = epmd.port
    epmd.stop()
    with socket.create_server(("127.0.0.1", port)):
        error = await failure(net)
    assert type(error) is ConnectTimeout
    assert "EPMD" in str(error)


async def test_unknown_at_epmd(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    assert type(await failure(net)) is NoSuchNode


async def test_port_closed(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    port = free_port()
    register("peer", port)
    error = await failure(net)
    assert type(error) is PortClosed
    assert str(port) in str(error)


async def test_a_socket_connected_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a closed port of the ephemeral range may do: it is a refusal, not a peer."""
    address = ("127.0.0.1", free_port())
    make = socket.socket

    def bound(*arguments: int) -> socket.socket:
        sock = make(*arguments)
        sock.bind(address)
        return sock

    monkeypatch.setattr(socket, "socket", bound)
    with pytest.raises(ConnectionRefusedError):
        await connect_socket(asyncio.get_running_loop(), socket.AF_INET, address)


async def test_not_on_our_own_list(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    net.allow = {"other@localhost"}
    assert type(await failure(net)) is NotAllowed


async def test_before_start_and_after_stop(make_net: MakeNet) -> None:
    net = await make_net("me@localhost", start=False)
    with pytest.raises(NodeDown):
        await net.connect(PEER)
    await net.start()
    await net.stop()
    with pytest.raises(NodeDown):
        await net.connect(PEER)
    send(net, PEER, 1)  # as to a node that cannot be reached
    await net.stop()


# --------------------------------------------------------------------------- the handshake


@pytest.mark.parametrize("status", [b"sok", b"sok_simultaneous", b"salive"])
async def test_statuses_that_go_on(make_net: MakeNet, register: Register, status: bytes) -> None:
    net = await make_net("me@localhost")
    async with ScriptServer() as server:
        register("peer", server.port)
        dialling = asyncio.create_task(net.connect(PEER), name="test-dial")
        script = await server.script()
        first = await script.accept_hands(PEER, status)
        assert first.endswith(b"me@localhost")
        peer = await dialling
        assert str(peer.name) == PEER
        send(net, PEER, b"hello")
        assert b"hello" in await script.read_frame()
        await script.close()
        await recorder(net).until_down(PEER)
    assert recorder(net).events == [
        ("up", PEER),
        ("down", PEER, True, "connection_closed"),
    ]


async def _talk(net: Net, register: Register, *answers: bytes, hang_up: bool = False,
                deadline: bool = False) -> ConnectError:  # fmt: skip
    """Dial a peer that answers the name with ``answers``, raw; return the error."""
    async with ScriptServer() as server:
        register("peer", server.port)
        dialling = asyncio.create_task(failure(net), name="test-dial")
        script = await server.script()
        await script.read()
        for answer in answers:
            script.write_raw(answer)
        if hang_up:
            await script.close()
        error = await dialling
        if not hang_up:
            await script.read_end()  # nothing stays open
    return error


def message(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body


async def test_not_allowed(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    assert type(await _talk(net, register, message(b"snot_allowed"))) is NotAllowed
    await lives(net, make_net)


async def test_nok_and_nobody_comes(make_net: MakeNet, register: Register) -> None:
    """It is asked again until the deadline, for its nok may have been a mistake."""
    net = await make_net("me@localhost", timeouts={"setup": 0.8})
    asked = 0
    async with ScriptServer() as server:
        register("peer", server.port)
        dialling = asyncio.create_task(failure(net), name="test-dial")

        async def answer() -> None:
            nonlocal asked
            while True:
                script = await server.script()
                await script.read()
                script.write(b"snok")
                await script.close()
                asked += 1

        answering = asyncio.create_task(answer(), name="test-answer")
        error = await dialling
        answering.cancel()
        await asyncio.wait([answering])
    assert type(error) is ConnectTimeout
    assert "nok" in str(error)
    assert asked > 1


async def test_nok_by_mistake(make_net: MakeNet, register: Register) -> None:
    """What waits for the connection goes out when the peer takes the next attempt."""
    net = await make_net("me@localhost", timeouts={"setup": 2.0})
    async with ScriptServer() as server:
        register("peer", server.port)
        send(net, PEER, b"not lost")
        script = await server.script()
        await script.read()
        script.write(b"snok")
        await script.close()
        script = await server.script()
        await script.accept_hands(PEER)
        assert b"not lost" in await script.read_frame()
        await script.close()
        await recorder(net).until_down(PEER)
    assert recorder(net).of("up") == [(PEER,)]


async def test_nok_and_the_peers_own_attempt(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    async with ScriptServer() as server:
        register("peer", server.port)
        dialling = asyncio.create_task(net.connect(PEER), name="test-dial")
        first = await server.script()
        await first.read()
        first.write(b"snok")
        await first.close()
        second = await Script.connect(net.port)
        second.send_name(PEER)
        assert await second.read() == b"sok_simultaneous"
        await second.answer_challenge()
        assert (await second.read())[:1] == b"a"
        assert str((await dialling).name) == PEER
        await second.close()
        await recorder(net).until_down(PEER)


async def test_garbage(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    error = await _talk(net, register, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert type(error) is HandshakeError
    assert "HTTP" in str(error)
    await lives(net, make_net)


async def test_a_tls_alert(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    error = await _talk(net, register, b"\x15\x03\x03\x00\x02\x02\x46")
    assert type(error) is HandshakeError
    assert "TLS" in str(error)


async def test_an_unknown_status(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    assert type(await _talk(net, register, message(b"sperhaps"))) is HandshakeError


async def test_a_name_that_was_not_asked_for(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    answer = b"snamed:\x00\x0bx@localhost\x00\x00\x00\x07"
    assert type(await _talk(net, register, message(answer))) is HandshakeError


async def test_another_node_there(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    challenge = b"N" + (OUR_FLAGS).to_bytes(8, "big") + bytes(8) + b"\x00\x0fother@localhost"
    error = await _talk(net, register, message(b"sok"), message(challenge))
    assert type(error) is NodeNameError
    assert "other@localhost" in str(error)


async def test_a_missing_flag(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    flags = OUR_FLAGS & ~Flag.MAP_TAG & ~Flag.MANDATORY_25_DIGEST
    challenge = b"N" + flags.to_bytes(8, "big") + bytes(8) + b"\x00\x0epeer@localhost"
    error = await _talk(net, register, message(b"sok"), message(challenge))
    assert type(error) is FlagError
    assert "MAP_TAG" in str(error)


@pytest.mark.parametrize("versions", [{"highest": 5}, {"lowest": 7, "highest": 8}])
async def test_another_version_of_the_handshake(
    make_net: MakeNet, register: Register, versions: dict[str, int]
) -> None:
    net = await make_net("me@localhost")
    async with ScriptServer() as server:
        register("peer", server.port, **versions)
        error = await failure(net)
        assert server.scripts.empty()
    assert type(error) is FlagError
    assert "HANDSHAKE_23" in str(error)
    assert f"to {versions['highest']}" in str(error)


async def test_the_peer_hangs_up_on_our_digest(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    challenge = b"N" + OUR_FLAGS.to_bytes(8, "big") + bytes(8) + b"\x00\x0epeer@localhost"
    async with ScriptServer() as server:
        register("peer", server.port)
        dialling = asyncio.create_task(failure(net), name="test-dial")
        script = await server.script()
        await script.read()
        script.write(b"sok")
        script.write(challenge)
        await script.read()
        await script.close()
        assert type(await dialling) is CookieError


async def test_the_peers_digest_is_wrong(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    challenge = b"N" + OUR_FLAGS.to_bytes(8, "big") + bytes(8) + b"\x00\x0epeer@localhost"
    error = await _talk(
        net, register, message(b"sok"), message(challenge), message(b"a" + bytes(16))
    )
    assert type(error) is CookieError


@pytest.mark.parametrize("given", range(4))
async def test_a_peer_that_stops(make_net: MakeNet, register: Register, given: int) -> None:
    """Silence at any step ends at the deadline; the error names what did not come."""
    net = await make_net("me@localhost", timeouts={"setup": 0.3})
    challenge = b"N" + OUR_FLAGS.to_bytes(8, "big") + bytes(8) + b"\x00\x0epeer@localhost"
    whole = [b"", message(b"sok"), message(b"sok") + message(challenge), b"\x00\x03s"]
    error = await _talk(net, register, whole[given])
    assert type(error) is ConnectTimeout
    awaited = ["the status", "the challenge", "the acknowledgement", "the status"][given]
    assert awaited in str(error)


async def test_a_peer_that_hangs_up_at_once(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    error = await _talk(net, register, hang_up=True)
    assert type(error) is ConnectionAborted
    assert "the status" in str(error)


# --------------------------------------------------------------------------- attempts are shared


async def test_joined_and_cancelled(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    async with ScriptServer() as server:
        register("peer", server.port)
        waiters = [asyncio.create_task(net.connect(PEER), name=f"test-{n}") for n in range(3)]
        script = await server.script()
        assert net.is_connecting(PEER)
        waiters[0].cancel()
        await asyncio.wait([waiters[0]])
        await script.accept_hands(PEER)
        peers = await asyncio.gather(*waiters[1:])
        assert peers[0] is peers[1]
        assert server.scripts.empty()
        assert not net.is_connecting(PEER)


async def test_all_waiters_learn_of_a_failure(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost")
    results = await asyncio.gather(*(net.connect(PEER) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [NoSuchNode] * 3
    assert len({id(result) for result in results}) == 3
    assert recorder(net).events == []  # who waits is told by the exception alone


async def test_an_automatic_connect_that_fails(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    for number in range(3):
        send(net, PEER, number)
    await recorder(net).until_down(PEER)
    assert recorder(net).events == [("down", PEER, False, "connection_setup_failed")]
    send(net, PEER, 3)
    await recorder(net).until_down(PEER, times=2)
    assert net.queued_bytes(PEER) == 0


async def test_signals_wait_for_the_connection_in_order(make_net: MakeNet) -> None:
    one, other = await make_net("one@localhost"), await make_net("other@localhost")
    for number in range(100):
        send(one, "other@localhost", number, sender=number % 3)
    await recorder(other).until(lambda: len(recorder(other).values) == 100)
    assert recorder(other).values == list(range(100))
    assert recorder(other).events[0] == ("up", "one@localhost")


async def test_stop_while_dialling(make_net: MakeNet, register: Register) -> None:
    net = await make_net("me@localhost", timeouts={"setup": None})
    async with ScriptServer() as server:
        register("peer", server.port)
        dialling = asyncio.create_task(failure(net), name="test-dial")
        send(net, PEER, 1)
        script = await server.script()
        await script.read()
        await net.stop()
        assert type(await dialling) is ConnectionAborted
        assert await script.read_end() == b""
    assert recorder(net).of("down") == [(PEER, False, "connection_setup_failed")]


async def test_disconnect_while_looking_up(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    dialling = asyncio.create_task(failure(net), name="test-dial")
    await asyncio.sleep(0)
    assert net.disconnect(PEER)
    assert not net.disconnect(PEER)
    assert type(await dialling) is ConnectionAborted


async def test_a_cookie_for_each_peer(make_net: MakeNet) -> None:
    one = await make_net("one@localhost", cookies={"other@localhost": b"between"})
    other = await make_net("other@localhost")
    assert type(await failure(one, "other@localhost")) is CookieError
    assert type(await failure(other, "one@localhost")) is CookieError
    other.set_cookie("one@localhost", b"between")
    await one.connect("other@localhost")
    third = await make_net("third@localhost")
    await third.connect("one@localhost")
    await third.connect("other@localhost")
    other.set_cookie("one@localhost", None)
    one.disconnect("other@localhost")
    await recorder(other).until_down("one@localhost")
    assert type(await failure(other, "one@localhost")) is CookieError


async def test_a_fault_of_our_own_keeps_nobody_waiting(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is raised while a link is made reaches the loop's handler, and whoever waits."""
    net, other = await make_net("me@localhost"), await make_net(PEER)
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: told.append(str(context.get("exception")))
    )

    class Faulty(Link):
        def __init__(self, net: Net, *args: Any) -> None:
            if net.config.name == failing:
                raise RuntimeError("a fault")
            super().__init__(net, *args)

    monkeypatch.setattr(net_module, "Link", Faulty)
    failing = "me@localhost"
    assert "could not be set up: RuntimeError('a fault')" in str(await failure(net))
    assert told == ["a fault"]
    send(net, PEER, b"lost")  # one that a signal has asked for
    await recorder(net).until_down(PEER)
    failing = PEER  # at the other end: an attempt that is lost
    other_side = asyncio.create_task(other.connect("me@localhost"))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectError):
            await other_side
    failing = ""
    await lives(net, make_net)
    await net.connect(PEER)
    await recorder(other).until_up("me@localhost")
