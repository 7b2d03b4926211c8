"""How many attempts to connect are under way at once, whoever has made this node want them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from pynode.errors import ConnectError, ConnectTimeout
from pynode.net import Net
from pynode.terms import Atom

from .conftest import MakeNet
from .harness import PATIENCE, recorder, send


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """An EPMD that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield listener


def forged(number: int) -> str:
    return f"n{number}@localhost"


async def mute_net(make_net: MakeNet, mute: socket.socket, **limits: int) -> Net:
    port = mute.getsockname()[1]
    timeouts = {"epmd": None, "setup": None}
    name = "a@localhost"
    return await make_net(name, epmd=False, limits=limits, timeouts=timeouts, epmd_port=port)


async def until_dialling(net: Net, running: int, waiting: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while (len(net.dialling.running), len(net.dialling.waiting)) != (running, waiting):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_few_at_once_and_not_too_many_wait(
    make_net: MakeNet, mute: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    net = await mute_net(make_net, mute, dials=3, waiting_dials=4)
    for number in range(7):
        send(net, forged(number), b"x")
        if number == 4:
            net.request_connect(Atom(forged(5)))
    await until_dialling(net, 3, 4)
    assert recorder(net).events == []
    send(net, forged(6), b"to one that waits already")
    for number in range(100, 200):
        send(net, forged(number), b"x")
        net.request_connect(Atom(forged(number + 100)))
    await recorder(net).until(lambda: len(recorder(net).of("down")) == 200)
    assert {event[2] for event in recorder(net).of("down")} == {"connection_setup_failed"}
    (record,) = [r for r in caplog.records if "Limits.waiting_dials" in r.getMessage()]
    assert "4 nodes wait" in record.getMessage()
    with pytest.raises(ConnectError, match=r"Limits\.waiting_dials"):
        await net.connect(forged(300), automatic=True)
    assert net.telemetry.connections_failed == 200
    # One that is given up makes room for the next; one that waits gives its place up as well.
    net.disconnect(forged(0))
    await until_dialling(net, 3, 3)
    net.disconnect(forged(6))
    await until_dialling(net, 3, 2)
    net.disconnect_all()
    await until_dialling(net, 0, 0)


async def test_what_the_program_wants_waits_for_nobody(
    make_net: MakeNet, mute: socket.socket
) -> None:
    net = await mute_net(make_net, mute, dials=1, waiting_dials=1)
    send(net, forged(0), b"x")
    send(net, forged(1), b"x")
    await until_dialling(net, 1, 1)
    new = asyncio.ensure_future(net.connect(forged(2)))
    await until_dialling(net, 2, 1)
    known = asyncio.ensure_future(net.connect(forged(1)))
    await until_dialling(net, 3, 0)
    net.disconnect_all()
    for waiting in (new, known):
        with pytest.raises(ConnectError):
            await waiting


async def test_a_failure_makes_room(make_net: MakeNet, mute: socket.socket) -> None:
    port = mute.getsockname()[1]
    net = await make_net(
        "a@localhost", epmd=False, limits={"dials": 2}, timeouts={"epmd": 0.05}, epmd_port=port
    )
    waiting = [net.connect(forged(number), automatic=True) for number in range(9)]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in found] == [ConnectTimeout] * 9
    assert not net.dialling.running
    assert not net.dialling.waiting


async def test_a_mesh_forms_with_few_places(make_net: MakeNet) -> None:
    """Each of the nodes wants all the others at the same moment."""
    names = [f"m{number}@localhost" for number in range(12)]
    nets = [await make_net(name, limits={"dials": 2}) for name in names]
    for net in nets:
        for name in names:
            if name != net.config.name:
                send(net, name, net.config.name.encode())
    for net in nets:
        others = sorted(name.encode() for name in names if name != net.config.name)
        sink = recorder(net)
        await sink.until(lambda sink=sink, others=others: sorted(sink.values) == others)  # type: ignore[misc]
        assert not net.dialling.waiting
