"""A real BEAM on the other side: both ways, visible and hidden, killed, frozen, at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import pytest

from pynode.dist.control import Control, RegSend
from pynode.dist.flags import Flag
from pynode.dist.seam import Payload, Peer
from pynode.errors import ConnectError, CookieError, NoSuchNode
from pynode.net import EpmdServer, Net, epmd_names
from pynode.terms import Atom
from pynode.testing.beam import Beam

from .conftest import MakeNet
from .harness import PATIENCE, outside, recorder, send

pytestmark = pytest.mark.beam

Start: TypeAlias = Callable[..., Awaitable[Beam]]
#: Rounds of dialling each other; the full count is run by ``PYNODE_ROUNDS=1000``.
ROUNDS = int(os.environ.get("PYNODE_ROUNDS", "50"))
ME = "me@localhost"

#: A process that sends what it gets to Py, and tells the test's shell about nodes.
ECHO = """
    register(echo, spawn(fun F() -> receive {To, M} -> To ! M; _ -> ok end, F() end)), ok.
"""


@pytest.fixture
def erlang(epmd: EpmdServer, beam: Callable[..., Beam]) -> Start:
    """``await erlang("name", **options)``: a BEAM at our EPMD, with the nets' cookie."""

    async def start(name: str = "beam", **options: Any) -> Beam:
        options.setdefault("cookie", "cookie")
        # In a thread, since our EPMD has to answer while the node starts.
        return await outside(partial(beam, name, epmd=epmd.port, language="erlang", **options))

    return start


#: The sockets of a node, those of handshakes that are not over among them.
SOCKETS = '[P || P <- erlang:ports(), erlang:port_info(P, name) =:= {name, "tcp_inet"}]'


async def alone(net: Net, beam: Beam, epmd: EpmdServer, sockets: list[Any]) -> None:
    """Wait until the BEAM knows that nobody is connected to it, nor about to be.

    Its ``global`` greets a new node when it comes to it, which may be after the end of the
    connection, and makes another.

    An attempt of ours that gave way to the BEAM's own has sent our name before.  A BEAM that
    reads it only after that connection came and went takes it for a new attempt, as of another
    BEAM; the signals that join it are lost with it.
    """
    (port,) = [port for name, port in await epmd_names(port=epmd.port) if name in str(beam.name)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write_eof()
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionResetError):
            await reader.read()  # it accepts in order: what came before has been accepted
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
        question = f"{{{SOCKETS}, nodes(connected), ets:info(sys_dist, size)}}."
        while await beam.aeval(question) != (sockets, [], 0):
            net.disconnect(beam.name)
            await asyncio.sleep(0.001)


async def ticks(net: Net, count: int) -> None:
    """Wait until ``count`` further ticks came."""
    before = net.counters()["ticks_in"]
    async with asyncio.timeout(60):
        while net.counters()["ticks_in"] < before + count:  # noqa: ASYNC110  no event of the sink
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("beam_hidden", [False, True])
@pytest.mark.parametrize("py_hidden", [False, True])
async def test_both_ways(
    make_net: MakeNet, erlang: Start, epmd: EpmdServer, py_hidden: bool, beam_hidden: bool
) -> None:
    net = await make_net(ME, hidden=py_hidden)
    beam = await erlang(hidden=beam_hidden)
    name = str(beam.name)
    listed = "hidden" if py_hidden or beam_hidden else "visible"
    sockets = await beam.aeval(f"{SOCKETS}.")

    peer = await net.connect(name)
    assert peer.hidden is (listed == "hidden")
    assert peer.creation == await beam.aeval("erts_internal:get_creation().")
    async with asyncio.timeout(PATIENCE):  # it lists us when it has set the connection up
        while await beam.aeval(f"nodes({listed}).") != [Atom(ME)]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    send(net, name, b"to python", name="main")
    await beam.aeval(ECHO)
    await beam.aeval(f"{{inbox, '{ME}'}} ! <<\"from the beam\">>, ok.")
    await recorder(net).until(lambda: b"from the beam" in recorder(net).values)
    assert net.disconnect(name)
    await alone(net, beam, epmd, sockets)
    recorder(net).events.clear()
    assert await beam.aeval(f"net_kernel:connect_node('{ME}').") is True
    assert recorder(net).events[0] == ("up", name)
    assert await beam.aeval(f"nodes({listed}).") == [Atom(ME)]
    assert await beam.aeval(f"erlang:disconnect_node('{ME}').") is True
    await recorder(net).until_down(name)
    assert recorder(net).of("down") == [(name, True, "connection_closed")]


def inbox(net: Net) -> list[Any]:
    """Return what came for the tests, without what a BEAM sends unasked."""
    return [
        value
        for _, message, value in recorder(net).of("control")
        if isinstance(message, RegSend) and message.name == Atom("inbox")
    ]


async def test_a_message_there_and_back(make_net: MakeNet, erlang: Start) -> None:
    net = await make_net(ME)
    beam = await erlang()
    await beam.aeval(ECHO)
    large = os.urandom(3_000_000)
    for value in (1, large, [Atom("a"), {b"k": 2.5}], b"last"):
        send(net, str(beam.name), ((Atom("inbox"), Atom(ME)), value), name="echo")
    await recorder(net).until(lambda: b"last" in recorder(net).values)
    assert inbox(net) == [1, large, [Atom("a"), {b"k": 2.5}], b"last"]


@pytest.mark.parametrize(
    "without",
    [Flag.DIST_HDR_ATOM_CACHE, Flag.FRAGMENTS, Flag.DIST_HDR_ATOM_CACHE | Flag.FRAGMENTS],
)
async def test_other_forms_of_frames(make_net: MakeNet, erlang: Start, without: int) -> None:
    net = await make_net(ME, without=without)
    beam = await erlang()
    await beam.aeval(ECHO)
    large = os.urandom(300_000)
    for value in (large, b"last"):
        send(net, str(beam.name), ((Atom("inbox"), Atom(ME)), value), name="echo")
    await recorder(net).until(lambda: b"last" in recorder(net).values)
    assert inbox(net) == [large, b"last"]


@pytest.mark.parametrize("from_python", [True, False])
async def test_a_wrong_cookie(make_net: MakeNet, erlang: Start, from_python: bool) -> None:
    net = await make_net(ME, cookie=b"another")
    beam = await erlang()
    if from_python:
        with pytest.raises(CookieError):
            await net.connect(str(beam.name))
    else:
        refused = asyncio.get_running_loop().create_future()
        net.telemetry.attach("refused", lambda event: refused.set_result(event.facts["error"]))
        assert await beam.aeval(f"net_kernel:connect_node('{ME}').") is False
        async with asyncio.timeout(PATIENCE):
            assert type(await refused) is CookieError
    net.set_cookie(str(beam.name), b"cookie")
    await net.connect(str(beam.name))


async def test_not_allowed_by_the_beam(make_net: MakeNet, erlang: Start) -> None:
    net = await make_net(ME)
    beam = await erlang()
    await beam.aeval("net_kernel:allow(['friend@localhost']).")
    with pytest.raises(ConnectError) as caught:
        await net.connect(str(beam.name))
    assert type(caught.value).__name__ == "NotAllowed"


async def test_killed_and_back(make_net: MakeNet, erlang: Start) -> None:
    net = await make_net(ME)
    beam = await erlang()
    name = str(beam.name)
    first = await net.connect(name)
    await outside(beam.kill)
    await recorder(net).until_down(name)
    with pytest.raises(NoSuchNode):
        await net.connect(name)
    await erlang()
    second = await net.connect(name)
    assert second.creation != first.creation


async def test_frozen(make_net: MakeNet, erlang: Start) -> None:
    """SIGSTOP: given up by its silence, on both sides; back when it goes on."""
    ticktime = ("-kernel", "net_ticktime", "8")
    net = await make_net(ME, timeouts={"net_ticktime": 8.0})
    beam = await erlang(arguments=ticktime)
    name = str(beam.name)
    await net.connect(name)
    beam.pause()
    try:
        await recorder(net).until_down(name, times=1)
        assert recorder(net).of("down") == [(name, True, "net_tick_timeout")]
    finally:
        beam.resume()
    peer = await net.connect(name)  # perhaps by way of `alive`: it may not have noticed
    assert str(peer.name) == name


async def test_short_ticks_idle_and_under_load(make_net: MakeNet, erlang: Start) -> None:
    """net_ticktime 8 on both sides, a while idle, a while with 20 us of work for each message."""
    ticktime = ("-kernel", "net_ticktime", "8")
    net = await make_net(ME, timeouts={"net_ticktime": 8.0})
    busy = await erlang("busy", arguments=ticktime)
    idle = await erlang("idle", arguments=ticktime)
    await net.connect(str(busy.name))
    await net.connect(str(idle.name))
    await ticks(net, 6)

    def work(peer: Peer, message: Control, payload: Payload | None) -> None:
        until = asyncio.get_running_loop().time() + 20e-6
        while asyncio.get_running_loop().time() < until:
            pass

    recorder(net).on_control = work
    await busy.aeval(f"""
        register(flood, spawn(fun F() -> {{inbox, '{ME}'}} ! flood, F() end)), ok.
    """)
    await ticks(net, 6)  # of the idle one, which takes 12 s
    assert recorder(net).of("down") == []
    assert await idle.aeval("nodes().") == [Atom(ME)]
    await busy.aeval("exit(whereis(flood), kill).")


@pytest.mark.parametrize("alive", ["beam", "zoe"])
async def test_at_once(make_net: MakeNet, erlang: Start, epmd: EpmdServer, alive: str) -> None:
    """Python and a BEAM dial each other at the same instant, over and over, both orders of name."""
    net = await make_net(ME)
    beam = await erlang(alive)
    name = str(beam.name)
    sockets = await beam.aeval(f"{SOCKETS}.")
    await beam.aeval(ECHO)
    await beam.aeval(f"""
        register(dialler, spawn(fun F() ->
            receive
                {{dial, N}} -> {{inbox, '{ME}'}} ! {{from_beam, N}}, F();
                {{down, N}} -> erlang:disconnect_node('{ME}'), F()
            end end)), ok.
    """)
    for number in range(ROUNDS):
        recorder(net).events.clear()
        told = asyncio.create_task(beam.aeval(f"dialler ! {{dial, {number}}}, ok."))
        # The order to the BEAM takes about as long as a look-up of ours.
        if number % 2:
            await asyncio.sleep(0)
        send(net, name, ((Atom("inbox"), Atom(ME)), (b"back", number)), name="echo")
        await told
        wanted = [(b"back", number), (Atom("from_beam"), number)]
        await recorder(net).until(lambda w=wanted: all(v in recorder(net).values for v in w))  # type: ignore[misc]
        assert recorder(net).of("down") == []
        assert len(net.peers()) == 1
        if number % 2:
            net.disconnect(name)
        else:
            await beam.aeval(f"dialler ! {{down, {number}}}, ok.")
            await recorder(net).until_down(name)
        await alone(net, beam, epmd, sockets)


async def test_a_beam_that_comes_back_before_its_old_connection_dies(
    make_net: MakeNet, erlang: Start, epmd: EpmdServer
) -> None:
    """The old process is frozen with its sockets; a new one bears its name: `alive`, true."""
    net = await make_net(ME)
    beam = await erlang()
    name = str(beam.name)
    first = await net.connect(name)
    # Freed for the next life: EPMD drops the frozen one's registration.
    beam.pause()
    assert net.peer(name) is first
    try:
        epmd.registry.unregister(epmd.registry._live["beam"].owner)
        new = await erlang()
        assert await new.aeval(f"net_kernel:connect_node('{ME}').") is True
        second = net.peer(name)
        assert second is not None
        assert second.creation != first.creation
        kinds = [event[0] for event in recorder(net).events if event[0] != "control"]
        assert kinds == ["up", "down", "up"]
    finally:
        beam.resume()
