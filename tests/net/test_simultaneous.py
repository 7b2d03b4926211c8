"""Two nodes that dial each other at the same moment: one connection, nothing lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from .conftest import MakeNet
from .harness import PATIENCE, Script, ScriptServer, recorder, send

Register = Callable[[str, int], None]
#: Rounds; the full count is run by ``PYNODE_ROUNDS=1000``.
ROUNDS = int(os.environ.get("PYNODE_ROUNDS", "100"))


async def test_python_and_python(make_net: MakeNet) -> None:
    one, two = await make_net("one@localhost"), await make_net("two@localhost")
    for round_ in range(ROUNDS):
        send(one, "two@localhost", (round_, 1))
        send(two, "one@localhost", (round_, 2))
        async with asyncio.timeout(PATIENCE):
            peers = await asyncio.gather(one.connect("two@localhost"), two.connect("one@localhost"))
        assert [str(peer.name) for peer in peers] == ["two@localhost", "one@localhost"]
        send(one, "two@localhost", (round_, 3))
        send(two, "one@localhost", (round_, 4))
        for net, expected in ((one, [2, 4]), (two, [1, 3])):
            sink = recorder(net)
            await sink.until(lambda s=sink: len(s.values) == 2)  # type: ignore[misc]
            assert sink.values == [(round_, number) for number in expected]
        one.disconnect("two@localhost")
        await recorder(two).until_down("one@localhost")
        for net in (one, two):
            kinds = [event[0] for event in recorder(net).events]
            assert kinds.count("up") == 1
            assert kinds.count("down") == 1
            recorder(net).events.clear()
    assert one.telemetry.connections_up == ROUNDS


@pytest.mark.parametrize("name", ["a@localhost", "z@localhost"])
async def test_the_rule(make_net: MakeNet, register: Register, name: str) -> None:
    """The attempt of the greater name wins: it is nok that the other's name gets."""
    net = await make_net("m@localhost")
    async with ScriptServer() as server:
        register(name[0], server.port)
        dialling = asyncio.create_task(net.connect(name), name="test-dial")
        ours = await server.script()
        await ours.read()
        theirs = await Script.connect(net.port)
        theirs.send_name(name)
        if name < "m@localhost":
            assert await theirs.read() == b"snok"
            assert await theirs.read_end() == b""
            ours.write(b"sok")
            ours.send_challenge(name)
            await ours.check_reply()
        else:
            assert await theirs.read() == b"sok_simultaneous"
            assert await ours.read_end() == b""
            await theirs.answer_challenge()
            assert (await theirs.read())[:1] == b"a"
        assert str((await dialling).name) == name
        assert recorder(net).events == [("up", name)]
        await theirs.close()
        await ours.close()
        await recorder(net).until_down(name)


async def test_the_waiting_go_to_the_winner_and_fail_with_it(
    make_net: MakeNet, register: Register
) -> None:
    net = await make_net("m@localhost")
    async with ScriptServer() as server:
        register("z", server.port)
        dialling = asyncio.create_task(net.connect("z@localhost"), name="test-dial")
        send(net, "z@localhost", 1)
        await (await server.script()).read()
        theirs = await Script.connect(net.port)
        theirs.send_name("z@localhost")
        assert await theirs.read() == b"sok_simultaneous"
        await theirs.close()
        with pytest.raises(ConnectionError):
            await dialling
    assert recorder(net).events == [("down", "z@localhost", False, "connection_setup_failed")]


async def test_many_at_once(make_net: MakeNet) -> None:
    """Every node sends to every other at the same instant; a full mesh comes of it."""
    nets = [await make_net(f"n{number}@localhost") for number in range(8)]
    for net in nets:
        for other in nets:
            if other is not net:
                send(net, other.config.name, net.config.name.encode())
    for net in nets:
        sink = recorder(net)
        await sink.until(lambda s=sink: len(s.values) == 7)  # type: ignore[misc]
        others = {other.config.name.encode() for other in nets if other is not net}
        assert set(sink.values) == others
        assert sink.of("down") == []
        assert len(net.peers()) == 7
