"""EPMD: the embedded server, and registrations that last."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from pynode.dist import epmd as messages
from pynode.dist.epmd import NodeEntry
from pynode.dist.epmd_registry import Registry
from pynode.errors import ConnectTimeout, EpmdError, NameTakenError
from pynode.net import EpmdServer, epmd_client, epmd_names, epmd_server
from pynode.net.addresses import Endpoint
from pynode.testing import eventually
from pynode.testing.beam import Beam
from pynode.testing.epmd import Epmd, free_port

from .conftest import MakeNet
from .harness import LOOPBACK, PATIENCE, Script, outside, recorder

# --------------------------------------------------------------------------- the server


async def ask(port: int, data: bytes) -> bytes:
    script = await Script.connect(port)
    script.write_raw(data)
    answer = await script.read_end()
    await script.close()
    return answer


async def alive(port: int, name: str, **fields: Any) -> tuple[Script, bytes]:
    """Register ``name`` and keep the connection."""
    script = await Script.connect(port)
    request = messages.AliveRequest(NodeEntry(name, 7777, **fields))
    script.write_raw(messages.encode_request(request))
    async with asyncio.timeout(PATIENCE):
        head = await script.reader.readexactly(1)
        rest = await script.reader.readexactly(5 if head == b"v" else 3)
    return script, head + rest


async def until_names(port: int, expected: set[str]) -> None:
    """Wait until the EPMD there has just those names."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                found = {name for name, _ in await epmd_names(port=port)}
            except EpmdError:
                found = None
            if found == expected:
                return
            await asyncio.sleep(0.02)


async def test_a_name_lives_as_long_as_its_connection(epmd: EpmdServer) -> None:
    script, reply = await alive(epmd.port, "a")
    assert reply[:2] == b"v\0"
    again, refused = await alive(epmd.port, "a")
    assert refused == b"v\1\0\0\0\x63"
    assert await again.read_end() == b""
    await again.close()
    old, short = await alive(epmd.port, "old", highest=5)
    assert short[:2] == b"y\0"
    assert 1 <= int.from_bytes(short[2:], "big") <= 3
    assert await epmd_names(port=epmd.port) == [("old", 7777), ("a", 7777)]
    await script.close()
    await until_names(epmd.port, {"old"})
    script, later = await alive(epmd.port, "a")
    assert int.from_bytes(later[2:], "big") == int.from_bytes(reply[2:], "big") + 1
    script.write_raw(b"more than it may say")
    assert await script.read_end() == b""
    await script.close()
    await until_names(epmd.port, {"old"})
    await old.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0",
        b"\xff\xff",
        b"\0\1?",
        b"\0\1nn",
        b"\0\2z\0",
        b"\0\5z\xff\xfe\xfd\xfc",
        b"\0\1x",
        b"\0\x0ex\x12\x34M\0\0\x06\0\x05\0\xff\0\0\0",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\0\2sa",
    ],
)
async def test_nonsense_is_a_close(epmd: EpmdServer, data: bytes) -> None:
    assert await ask(epmd.port, data) == b""
    assert (await epmd_names(port=epmd.port)) == []


async def test_a_request_byte_by_byte(epmd: EpmdServer) -> None:
    script, _ = await alive(epmd.port, "slow")
    asking = await Script.connect(epmd.port)
    for byte in messages.encode_request(messages.PortRequest("slow")):
        asking.write_raw(bytes((byte,)))
        await asking.writer.drain()
    entry = messages.parse_port_reply(await asking.read_end())
    assert entry == NodeEntry("slow", 7777)
    await asking.close()
    await script.close()


async def test_too_many_connections_that_do_not_ask(epmd: EpmdServer) -> None:
    idle = [await Script.connect(epmd.port) for _ in range(260)]
    assert await epmd_names(port=epmd.port) == []
    assert await idle[0].read_end() == b""
    for script in idle:
        await script.close()


async def test_kill_and_stop_are_refused(epmd: EpmdServer) -> None:
    script, _ = await alive(epmd.port, "a")
    assert await ask(epmd.port, b"\0\1k") == b"NO"
    assert await ask(epmd.port, b"\0\2sa") == b""
    assert await epmd_names(port=epmd.port) == [("a", 7777)]
    await script.close()


async def test_relaxed_command_check() -> None:
    ended = asyncio.Event()
    server = EpmdServer(asyncio.get_running_loop(), relaxed_command_check=True, on_end=ended.set)
    server.start([Endpoint(*LOOPBACK)], 0)
    script, _ = await alive(server.port, "a")
    assert await ask(server.port, b"\0\2sb") == b"NOEXIST"
    assert await ask(server.port, b"\0\2sa") == b"STOPPED"
    assert await script.read_end() == b""
    await script.close()
    other, _ = await alive(server.port, "b")
    assert await ask(server.port, b"\0\1k") == b"OK"
    assert ended.is_set()
    assert not server.running
    assert await other.read_end() == b""
    await other.close()


@pytest.mark.parametrize("local_only", [True, False])
async def test_other_hosts(monkeypatch: pytest.MonkeyPatch, local_only: bool) -> None:
    """They may look up, not register; and nothing at all where the node is for loopback."""
    monkeypatch.setattr(epmd_server, "is_local_peer", lambda sock: False)
    server = EpmdServer(asyncio.get_running_loop(), local_only=local_only)
    server.start([Endpoint(*LOOPBACK)], 0)
    server.registry.register(NodeEntry("a", 5), -1, now=1)
    assert await ask(server.port, b"\0\1n") == (
        b"" if local_only else server.port.to_bytes(4, "big") + b"name a at port 5\n"
    )
    alive_request = messages.encode_request(messages.AliveRequest(NodeEntry("b", 6)))
    assert await ask(server.port, alive_request) == b""
    assert server.registry.names == {"a": 5}
    server.stop()


async def test_two_servers_on_one_port(epmd: EpmdServer) -> None:
    second = EpmdServer(asyncio.get_running_loop())
    with pytest.raises(OSError, match="in use"):
        second.start([Endpoint(*LOOPBACK)], epmd.port)
    second.stop()


# --------------------------------------------------------------------------- registrations


async def test_a_net_registers_and_leaves(make_net: MakeNet, epmd: EpmdServer) -> None:
    net = await make_net("me@localhost", hidden=True)
    assert await epmd_names(port=epmd.port) == [("me", net.port)]
    assert net.creation > 3
    await net.stop()
    await until_names(epmd.port, set())


async def test_the_name_is_taken_at_epmd(make_net: MakeNet) -> None:
    first = await make_net("me@localhost")
    second = await make_net("me@localhost", start=False)
    with pytest.raises(NameTakenError, match="'me'"):
        await second.start()
    creation = first.creation
    await first.stop()
    await second.start()
    assert second.creation == creation + 1


async def test_no_epmd_and_none_may_be_started(make_net: MakeNet) -> None:
    net = await make_net("me@localhost", start=False, epmd_port=free_port())
    with pytest.raises(EpmdError, match="not running"):
        await net.start()


async def test_epmd_does_not_answer(make_net: MakeNet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        net = await make_net("me@localhost", start=False, epmd_port=port, timeouts={"epmd": 0.2})
        with pytest.raises(ConnectTimeout, match="EPMD"):
            await net.start()


async def test_the_first_one_starts_epmd(make_net: MakeNet) -> None:
    """... the second finds it; when the first stops, the second starts one again."""
    port = free_port()
    nets = [await make_net(f"n{n}@localhost", epmd_port=port, start_epmd=True) for n in range(3)]
    assert [net.epmd is not None for net in nets] == [True, False, False]
    creations = [net.creation for net in nets]
    await nets[0].stop()
    await until_names(port, {"n1", "n2"})
    assert sum(net.epmd is not None for net in nets) == 1
    await nets[0].start()
    await until_names(port, {"n0", "n1", "n2"})
    assert [net.creation for net in nets[1:]] == creations[1:]
    assert nets[0].creation != creations[0]


async def test_all_start_at_once(make_net: MakeNet) -> None:
    port = free_port()
    nets = [
        await make_net(f"n{n}@localhost", epmd_port=port, start_epmd=True, start=False)
        for n in range(5)
    ]
    await asyncio.gather(*(net.start() for net in nets))
    await until_names(port, {f"n{n}" for n in range(5)})
    assert sum(net.epmd is not None for net in nets) == 1


async def test_cancelled_in_the_middle_of_the_start(make_net: MakeNet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        net = await make_net("me@localhost", start=False, epmd_port=mute.getsockname()[1])
        starting = asyncio.create_task(net.start(), name="test-start")
        await asyncio.wait([starting], timeout=0.1)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert not net.running


async def test_it_tries_until_epmd_is_back(
    make_net: MakeNet, epmd: EpmdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, spoken to by something else, its name taken meanwhile: it goes on trying."""
    monkeypatch.setattr(epmd_client, "RETRY_SECONDS", 0.02)
    net = await make_net("me@localhost")
    registered = asyncio.Event()
    lost: list[str] = []
    net.telemetry.attach("epmd_registered", lambda event: registered.set())
    net.telemetry.attach("epmd_lost", lambda event: lost.append(event.name))
    port = epmd.port
    asked = asyncio.Queue[bytes]()

    async def something_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.put_nowait(await reader.read(100))
        writer.write(b"not EPMD")
        writer.close()

    epmd.stop()
    await eventually(lambda: lost)
    other = await asyncio.start_server(something_else, "127.0.0.1", port)
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):
            assert b"me" in await asked.get()
    other.close()
    await other.wait_closed()
    epmd.start([Endpoint(*LOOPBACK)], port)
    thief, _ = await alive(port, "me")  # may be quicker than we are
    await thief.close()
    async with asyncio.timeout(PATIENCE):
        await registered.wait()
    await until_names(port, {"me"})
    assert lost == ["epmd_lost"]


async def test_stopped_in_the_middle_of_the_start(make_net: MakeNet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        net = await make_net("me@localhost", start=False, epmd_port=mute.getsockname()[1])
        starting = asyncio.create_task(net.start(), name="test-start")
        await asyncio.wait([starting], timeout=0.1)
        await net.stop()
        with pytest.raises(EpmdError):
            await starting
    assert not net.running


async def test_connections_outlive_epmd(make_net: MakeNet, epmd: EpmdServer) -> None:
    one, two = await make_net("one@localhost"), await make_net("two@localhost")
    peer = await one.connect("two@localhost")
    port = epmd.port
    epmd.stop()
    assert two.peer("one@localhost") is not None
    epmd.start([Endpoint(*LOOPBACK)], port)
    await until_names(port, {"one", "two"})
    assert one.peers() == [peer]
    assert recorder(one).of("down") == []


# --------------------------------------------------------------------------- Erlang's own


def erlang_names(port: int, *arguments: str) -> str:
    environment = dict(os.environ, ERL_EPMD_PORT=str(port))
    command = ["epmd", "-names", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    ).stdout


@pytest.fixture
async def erlangs(no_complaints: None) -> AsyncIterator[Callable[[], Epmd]]:
    started: list[Epmd] = []

    def start() -> Epmd:
        started.append(Epmd().start())
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.mark.beam
async def test_epmd_reads_the_embedded_one(make_net: MakeNet) -> None:
    port = free_port()
    net = await make_net("naïve@localhost", epmd_port=port, start_epmd=True)
    text = await outside(erlang_names, port)
    assert f"epmd: up and running on port {port} with data:" in text
    assert f"name naïve at port {net.port}" in text
    kill = await outside(erlang_names, port, "-kill")
    assert net.epmd is not None, kill


@pytest.mark.beam
async def test_a_beam_registers_with_the_embedded_one(
    epmd: EpmdServer, beam: Callable[..., Beam]
) -> None:
    node = await outside(partial(beam, "beam", epmd=epmd.port, language="erlang"))
    try:
        assert {name for name, _ in await epmd_names(port=epmd.port)} == {"beam"}
        found = await node.aeval("erl_epmd:names({127,0,0,1}).")
        assert len(found[1]) == 1
        creation = await node.aeval("erts_internal:get_creation().")
        assert creation > 3
        taken = await node.aeval(
            '{ok, S} = gen_tcp:connect({127,0,0,1}, list_to_integer(os:getenv("ERL_EPMD_PORT")),'
            " [binary, {active, false}]),"
            ' ok = gen_tcp:send(S, <<0, 17, 120, 9:16, 77, 0, 6:16, 5:16, 4:16, "beam", 0:16>>),'
            " {ok, R} = gen_tcp:recv(S, 0), R."
        )
        assert taken == b"v\1\0\0\0\x63"
        port = epmd.port
        epmd.stop()
        epmd.start([Endpoint(*LOOPBACK)], port)
        started = asyncio.get_running_loop().time()
        await until_names(port, {"beam"})
        assert asyncio.get_running_loop().time() - started < 5 * 3
    finally:
        await outside(node.kill)
    await until_names(port, set())


class _Returns:
    """An EPMD of either kind that goes and comes back on its port, with nothing remembered."""

    def __init__(self, port: int, go: Callable[[], Any], come: Callable[[], Any]) -> None:
        self.port = port
        self.go = go
        self.come = come


@pytest.fixture(params=["embedded", pytest.param("erlangs", marks=pytest.mark.beam)])
def returning(
    request: pytest.FixtureRequest, epmd: EpmdServer, erlangs: Callable[[], Epmd]
) -> _Returns:
    if request.param == "embedded":
        port = epmd.port

        def come() -> None:
            epmd.registry = Registry(port)
            epmd.start([Endpoint(*LOOPBACK)], port)

        return _Returns(port, epmd.stop, come)
    server = erlangs()
    return _Returns(server.port, server.stop, server.start)


async def test_registered_again_within_three_seconds(
    make_net: MakeNet, returning: _Returns
) -> None:
    """Whichever EPMD it is; the nodes go on under their creations."""
    loop = asyncio.get_running_loop()
    nets = [await make_net(f"n{n}@localhost", epmd_port=returning.port) for n in range(3)]
    creations = [net.creation for net in nets]
    assert min(creations) > 3
    returning.go()
    with pytest.raises(EpmdError):
        await epmd_names(port=returning.port)
    returning.come()
    back = loop.time()
    await until_names(returning.port, {"n0", "n1", "n2"})
    assert loop.time() - back < 5 * 3
    assert [net.creation for net in nets] == creations


@pytest.mark.beam
async def test_the_same_answers_as_erlangs(erlangs: Callable[[], Epmd], epmd: EpmdServer) -> None:
    """Ours and theirs, asked the same; creations and ports apart, byte for byte."""
    theirs = erlangs()
    answers = []
    for port in (theirs.port, epmd.port):
        script, reply = await alive(port, "kept", node_type=72)
        again, refused = await alive(port, "kept")
        await again.close()
        old, short = await alive(port, "old", highest=5)
        wide, _ = await alive(port, "ünïcödé")
        given = [
            reply[:2],
            refused,
            short[:2],
            await ask(port, b"\0\5zkept"),
            await ask(port, b"\0\6zkept\0"),
            await ask(port, b"\0\5znone"),
            (await ask(port, b"\0\1n"))[4:],
            await ask(port, b"\0\1k"),
            await ask(port, b"\0\5skept"),
            await ask(port, b"\0\1?"),
            await ask(port, b"\0\0"),
        ]
        await old.close()
        await until_names(port, {"kept", "ünïcödé"})
        back, short = await alive(port, "old", highest=5)
        given.append(short[:2])
        for one in (script, wide, back):
            await one.close()
        answers.append(given)
    assert answers[0] == answers[1]
