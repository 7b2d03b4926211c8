"""Connected peers: order, loss, pressure, pausing, ticks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pynode.dist.control import Control, RegSend
from pynode.dist.flags import Flag
from pynode.dist.seam import Payload, Peer, Pressure
from pynode.errors import DecodeError, PeerBusy
from pynode.net import Net, channel
from pynode.net.link import Link
from pynode.terms import Atom, Pid

from .conftest import MakeNet
from .harness import PATIENCE, Script, recorder, send

ONE, TWO, PEER = "one@localhost", "two@localhost", "peer@localhost"


async def pair(make_net: MakeNet, **settings: Any) -> tuple[Net, Net]:
    """Return two connected nets; the settings are those of the first."""
    one, two = await make_net(ONE, **settings), await make_net(TWO)
    await one.connect(TWO)
    await recorder(two).until_up(ONE)
    return one, two


async def scripted(net: Net) -> Script:
    """Return a scripted peer, connected."""
    script = await Script.connect(net.port)
    await script.shake_hands(PEER)
    await recorder(net).until_up(PEER)
    return script


async def gone(net: Net, script: Script) -> None:
    await script.close()
    await recorder(net).until_down(PEER)


# --------------------------------------------------------------------------- order and loss


async def test_order_and_batches(make_net: MakeNet) -> None:
    one, two = await pair(make_net)
    for number in range(5000):
        send(one, TWO, number, sender=number % 7)
    await recorder(two).until(lambda: len(recorder(two).values) == 5000)
    for sender in range(7):
        mine = [value for value in recorder(two).values if value % 7 == sender]
        assert mine == sorted(mine)
    assert recorder(two).batches > 0
    counters = two.counters()
    assert counters["messages_in"] == counters["frames_in"] == 5000
    assert one.counters()["messages_out"] == 5000
    assert one.counters()["bytes_out"] == counters["bytes_in"]


@pytest.mark.parametrize("where", ["call_soon", "batch_begin"])
async def test_an_interrupt_stops_no_output(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Where the turn is asked for in which signals are written, and where a read begins."""
    one, two = await pair(make_net)
    loop: Any = asyncio.get_running_loop()
    script = await scripted(one)

    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop if where == "call_soon" else recorder(one), where, interrupted)
        begin: Callable[[], object] = lambda: send(one, PEER, 1)  # noqa: E731
        if where == "batch_begin":
            begin = lambda: one._links[Atom(PEER)].data_received(b"")  # noqa: E731
        with pytest.raises(KeyboardInterrupt):
            begin()
    if where == "call_soon":
        send(one, PEER, 2)
        async with asyncio.timeout(8):  # after 15 a tick of the other one would help
            await script.read_frame()
    else:  # something of what came may be lost
        assert await script.read_end() == b""
    send(one, TWO, 3)
    await recorder(two).until(lambda: recorder(two).values == [3])
    await script.close()
    await recorder(one).until_down(PEER)


async def test_a_large_message_and_small_ones_around_it(make_net: MakeNet) -> None:
    one, two = await pair(make_net)
    large = bytes(range(256)) * (8 * 4096)
    send(one, TWO, 1)
    send(one, TWO, large)
    send(one, TWO, 2)
    send(one, TWO, 3, sender=2)
    await recorder(two).until(lambda: len(recorder(two).values) == 4)
    mine = [value for value in recorder(two).values if value != 3]
    assert mine == [1, large, 2]


async def test_a_large_frame_is_received_where_it_lies(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await pair(make_net, without=Flag.FRAGMENTS)
    filled: list[int] = []
    take = Link.buffers_filled

    def note(link: Link, count: int) -> None:
        filled.append(count)
        take(link, count)

    monkeypatch.setattr(Link, "buffers_filled", note)
    large = bytes(range(256)) * (8 * 4096)
    for value in (1, large, 2, large, 3):
        send(one, TWO, value)
    await recorder(two).until(lambda: len(recorder(two).values) == 5)
    assert recorder(two).values == [1, large, 2, large, 3]
    assert sum(filled) > len(large)


async def test_a_large_frame_begins_in_the_middle_of_a_read(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read much of is handed on by portions, also where the frame wants the next bytes."""
    one, two = await pair(make_net, without=Flag.FRAGMENTS)
    monkeypatch.setattr(channel, "PORTION_BYTES", 1000)
    link = two._links[Atom(ONE)]
    monkeypatch.setattr(link.channel, "_read_bytes", channel.MAX_READ_BYTES)
    large = bytes(range(256)) * 400
    link.pause()
    for value in (1, large, 2, large + large, 3):
        send(one, TWO, value)
    await one.drain(TWO)
    link.resume()
    await recorder(two).until(lambda: len(recorder(two).values) == 5)
    assert recorder(two).values == [1, large, 2, large + large, 3]


async def test_a_close_in_the_middle_of_a_read(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await pair(make_net)
    monkeypatch.setattr(channel, "PORTION_BYTES", 1000)
    link = two._links[Atom(ONE)]
    link.pause()
    for number in range(1000):
        send(one, TWO, number)
    await one.drain(TWO)

    def close(peer: Peer, message: Control, payload: Payload | None) -> None:
        if len(recorder(two).values) == 100:
            two.disconnect(ONE)

    recorder(two).on_control = close
    link.resume()
    await recorder(two).until_down(ONE)
    values = recorder(two).values
    assert values == list(range(len(values)))
    assert len(values) <= 101


async def test_sent_at_once_is_received_before_the_close(make_net: MakeNet) -> None:
    one, two = await pair(make_net)
    for number in range(100):
        send(one, TWO, number)
    assert one.disconnect(TWO)
    await recorder(two).until_down(ONE)
    assert recorder(two).values == list(range(100))
    assert recorder(one).events == [("up", TWO), ("down", TWO, True, "disconnect")]
    assert one.agreed_flags(Atom(TWO)) == 0


async def test_the_sink_may_disconnect_from_within(make_net: MakeNet) -> None:
    """No signal after peer_down, even of those that were read already."""
    one, two = await pair(make_net)
    sink = recorder(two)

    def hang_up(peer: Peer, message: Control, payload: Payload | None) -> None:
        two.disconnect(peer.name)

    sink.on_control = hang_up
    for number in range(10):
        send(one, TWO, number)
    await recorder(one).until_down(TWO)
    assert [event[0] for event in sink.events] == ["up", "control", "down"]


async def test_the_sink_may_send_from_within(make_net: MakeNet) -> None:
    one, two = await pair(make_net)
    recorder(two).on_control = lambda peer, message, payload: send(two, ONE, b"pong")
    for number in range(10):
        send(one, TWO, number)
    await recorder(one).until(lambda: recorder(one).values == [b"pong"] * 10)


async def test_the_sink_may_connect_again_from_peer_down(make_net: MakeNet) -> None:
    one, two = await pair(make_net)
    recorder(one).on_down = lambda node: send(one, TWO, b"again")
    two.disconnect(ONE)
    await recorder(two).until(lambda: b"again" in recorder(two).values)
    assert [event[0] for event in recorder(one).events] == ["up", "down", "up"]


async def test_a_payload_that_is_no_term_costs_the_connection(
    make_net: MakeNet, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await pair(make_net)

    def refuse(peer: Peer, message: Control, payload: Payload | None) -> None:
        raise DecodeError("not a term", 3)

    recorder(two).on_control = refuse
    send(one, TWO, 1)
    send(one, TWO, 2)
    await recorder(one).until_down(TWO)
    assert [event[0] for event in recorder(two).events] == ["up", "control", "down"]
    assert "not a term" in caplog.text


@pytest.mark.parametrize(
    "garbage",
    [b"\0\0\0\x03abc", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\5\x83D\0h\5"],
)
async def test_garbage_costs_the_connection(
    make_net: MakeNet, caplog: pytest.LogCaptureFixture, garbage: bytes
) -> None:
    net = await make_net(ONE)
    script = await scripted(net)
    script.write_raw(garbage)
    assert await script.read_end() == b""
    await gone(net, script)
    assert recorder(net).of("down") == [(PEER, True, "connection_closed")]
    assert PEER in caplog.text
    script = await scripted(net)  # and it may come again
    assert net.disconnect(PEER)
    await script.close()


async def test_a_reset_is_a_loss(make_net: MakeNet) -> None:
    net = await make_net(ONE)
    script = await scripted(net)
    script.writer.transport.abort()
    await recorder(net).until_down(PEER)
    assert recorder(net).of("down") == [(PEER, True, "connection_closed")]


async def test_disconnect_all_closes_all_before_it_tells(make_net: MakeNet) -> None:
    net = await make_net(ONE)
    others = [await make_net(f"n{number}@localhost") for number in range(4)]
    for other in others:
        await net.connect(other.config.name)
    left: list[int] = []
    recorder(net).on_down = lambda node: left.append(len(net.peers()))
    net.disconnect_all()
    assert left == [0, 0, 0, 0]
    for other in others:
        await recorder(other).until_down(ONE)


# --------------------------------------------------------------------------- pressure


async def test_pressure_and_relief(make_net: MakeNet) -> None:
    limits = {"peer_high_water_bytes": 1 << 20, "peer_low_water_bytes": 1 << 18}
    net = await make_net(ONE, limits=limits)
    script = await scripted(net)
    payload = bytes(100_000)
    answers: list[Pressure] = []
    async with asyncio.timeout(PATIENCE):
        while not answers or answers[-1] is Pressure.CLEAR:
            answers.append(send(net, PEER, payload))
            await asyncio.sleep(0)
    assert answers[-1] is Pressure.BUSY
    assert net.queued_bytes(PEER) > 1 << 20
    assert recorder(net).of("drained") == []
    expected = len(answers)
    for _ in range(expected):
        size = 0
        while size < len(payload):
            size += len(await script.read_frame())
    await recorder(net).until(lambda: recorder(net).of("drained"))
    assert recorder(net).of("drained") == [(PEER,)]
    await net.drain(PEER)
    assert net.queued_bytes(PEER) == 0
    await gone(net, script)


async def test_the_hard_limit(make_net: MakeNet) -> None:
    limits = {
        "peer_high_water_bytes": 1 << 20,
        "peer_low_water_bytes": 1 << 18,
        "peer_queue_bytes": 2 << 20,
    }
    net = await make_net(ONE, limits=limits)
    script = await scripted(net)

    async def flood() -> None:
        while True:
            send(net, PEER, bytes(100_000))
            await asyncio.sleep(0)

    with pytest.raises(PeerBusy) as caught:
        await asyncio.wait_for(flood(), PATIENCE)
    assert caught.value.node == PEER
    queued = net.queued_bytes(PEER)
    assert queued <= 2 << 20
    draining = asyncio.create_task(net.drain(PEER), name="test-drain")
    await asyncio.sleep(0)
    net.disconnect(PEER)
    await draining
    assert recorder(net).events[-2:] == [("down", PEER, True, "disconnect"), ("drained", PEER)]
    await script.close()


async def test_pressure_while_connecting(make_net: MakeNet) -> None:
    limits = {
        "peer_high_water_bytes": 10_000,
        "peer_low_water_bytes": 1_000,
        "peer_queue_bytes": 20_000,
    }
    net = await make_net(ONE, limits=limits)
    assert send(net, PEER, bytes(9_000)) is Pressure.CLEAR
    assert send(net, PEER, bytes(9_000)) is Pressure.BUSY
    with pytest.raises(PeerBusy):
        send(net, PEER, bytes(9_000))
    await recorder(net).until(lambda: len(recorder(net).events) == 2)
    assert recorder(net).events == [
        ("down", PEER, False, "connection_setup_failed"),
        ("drained", PEER),
    ]


async def test_a_connect_that_nothing_is_sent_for(make_net: MakeNet) -> None:
    one, two = await make_net(ONE), await make_net(TWO)
    one.request_connect(Atom(TWO))
    await recorder(two).until_up(ONE)
    one.request_connect(Atom(TWO))
    one.request_connect(Atom("nobody@localhost"))
    await recorder(one).until_down("nobody@localhost")
    assert recorder(one).events == [
        ("up", TWO),
        ("down", "nobody@localhost", False, "connection_setup_failed"),
    ]


async def test_flush_before_a_stop(make_net: MakeNet) -> None:
    one, two = await pair(make_net)
    for _ in range(100):
        send(one, TWO, bytes(100_000))
    await one.flush(PATIENCE)
    assert one.queued_bytes(TWO) == 0
    await one.stop()
    await recorder(two).until_down(ONE)
    assert len(recorder(two).values) == 100


async def test_drain_waits_for_the_connection_too(make_net: MakeNet) -> None:
    one, two = await make_net(ONE), await make_net(TWO)
    send(one, TWO, b"x")
    await one.drain(TWO)
    assert one.queued_bytes(TWO) == 0
    assert one.peer(TWO) is not None
    await one.drain("nobody@localhost")
    await recorder(two).until(lambda: recorder(two).values == [b"x"])


# --------------------------------------------------------------------------- reading and ticks


async def test_pausing_is_for_one_peer(make_net: MakeNet) -> None:
    one, two = await pair(make_net)
    three = await make_net("three@localhost")
    await three.connect(TWO)
    two.pause_reading(ONE)
    send(one, TWO, 1)
    send(three, TWO, 3)
    await recorder(two).until(lambda: recorder(two).values)
    send(three, TWO, 4)
    await recorder(two).until(lambda: len(recorder(two).values) == 2)
    assert recorder(two).values == [3, 4]
    two.resume_reading(ONE)
    await recorder(two).until(lambda: len(recorder(two).values) == 3)


async def test_a_paused_peer_is_not_silent(make_net: MakeNet) -> None:
    net = await make_net(ONE, timeouts={"net_ticktime": 0.4})
    script = await scripted(net)
    net.pause_reading(PEER)
    for _ in range(10):  # ten ticks of ours, which is 2.5 times the tick time
        assert await script.read_frame() == b""
    assert recorder(net).of("down") == []
    net.resume_reading(PEER)
    await recorder(net).until_down(PEER)  # now its silence counts
    assert recorder(net).of("down") == [(PEER, True, "net_tick_timeout")]
    await script.close()


async def test_ticks_keep_an_idle_connection(make_net: MakeNet) -> None:
    one, two = await pair(make_net, timeouts={"net_ticktime": 0.4})
    two.set_net_ticktime(0.4)
    script = await scripted(one)
    for _ in range(10):  # 2.5 times the tick time
        assert await script.read_frame() == b""
        script.write_raw(bytes(4))
    assert recorder(one).of("down") == recorder(two).of("down") == []
    await gone(one, script)


async def test_a_silent_peer_is_given_up(
    make_net: MakeNet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "pynode.net")
    net = await make_net(ONE, timeouts={"net_ticktime": 0.4})
    script = await scripted(net)
    started = asyncio.get_running_loop().time()
    await recorder(net).until_down(PEER)
    assert asyncio.get_running_loop().time() - started > 0.75 * 0.4
    assert recorder(net).of("down") == [(PEER, True, "net_tick_timeout")]
    assert "does not respond" in caplog.text
    assert await script.read_end() == bytes(4) * net.counters()["ticks_out"]
    await script.close()


def link_of(net: Net) -> Link:
    """Return the link to the scripted peer, to ask it for ticks by hand."""
    return net._links[Atom(PEER)]


async def heard(net: Net, script: Script) -> None:
    """Let the peer say something, and wait until it was read."""
    before = net.counters()["bytes_in"]
    script.write_raw(bytes(4))
    async with asyncio.timeout(PATIENCE):
        while net.counters()["bytes_in"] == before:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_tick_where_nothing_was_written(make_net: MakeNet) -> None:
    net = await make_net(ONE)
    script = await scripted(net)
    link = link_of(net)
    await heard(net, script)
    assert link.tick()
    assert link.ticks_out == 1
    await heard(net, script)
    send(net, PEER, 1)
    await net.drain(PEER)
    assert link.tick()
    assert link.ticks_out == 1  # what was written is as good
    await heard(net, script)
    assert link.tick()
    assert link.ticks_out == 2
    await gone(net, script)


async def test_no_tick_behind_what_waits(make_net: MakeNet) -> None:
    net = await make_net(ONE)
    script = await scripted(net)
    while not link_of(net).channel.blocked:
        send(net, PEER, bytes(100_000))
    for _ in range(2):  # at the second, nothing was written since the first
        await heard(net, script)
        assert link_of(net).tick()
    assert link_of(net).ticks_out == 0
    net.disconnect(PEER)
    await script.close()


@pytest.mark.parametrize(("hidden", "ticks"), [(True, 1), (False, 0)])
async def test_a_hidden_peer_that_says_nothing_is_ticked(
    make_net: MakeNet, hidden: bool, ticks: int
) -> None:
    """... although we write: a primitive hidden node ticks only when it is ticked."""
    net = await make_net(ONE, hidden=hidden)
    script = await scripted(net)
    send(net, PEER, 1)
    await net.drain(PEER)
    assert link_of(net).tick()
    assert link_of(net).ticks_out == ticks
    await gone(net, script)


async def test_silence_is_four_ticks_after_the_one_that_heard(make_net: MakeNet) -> None:
    net = await make_net(ONE)
    script = await scripted(net)
    link = link_of(net)
    for _ in range(2):
        await heard(net, script)
        assert [link.tick() for _ in range(4)] == [True] * 4
    assert not link.tick()
    link.pause()
    assert [link.tick() for _ in range(9)] == [True] * 9
    link.resume()
    assert [link.tick() for _ in range(4)] == [True, True, True, False]
    await gone(net, script)


async def test_a_flood_does_not_stop_ticks(make_net: MakeNet) -> None:
    """Two peers flood a slow sink; the third, idle one is ticked all the same."""
    net = await make_net(ONE, timeouts={"net_ticktime": 2.0})
    quiet = await scripted(net)
    flooders = [await make_net(f"f{number}@localhost") for number in range(2)]

    def slow(peer: Peer, message: Control, payload: Payload | None) -> None:
        until = asyncio.get_running_loop().time() + 20e-6
        while asyncio.get_running_loop().time() < until:
            pass

    recorder(net).on_control = slow
    ticks = 0
    async with asyncio.timeout(PATIENCE):
        while ticks < 3:
            reading = asyncio.create_task(quiet.read_frame(), name="test-read")
            while not reading.done():
                for flooder in flooders:
                    for _ in range(500):
                        send(flooder, ONE, b"flood")
                quiet.write_raw(bytes(4))
                await asyncio.sleep(0)
            assert await reading == b""
            ticks += 1
    assert recorder(net).of("down") == []
    await gone(net, quiet)


async def test_a_tick_overtakes_what_waits(make_net: MakeNet) -> None:
    """A peer that reads slowly gets its tick between frames, not behind all of them."""
    net = await make_net(ONE, hidden=True)
    script = await scripted(net)
    for number in range(300):
        send(net, PEER, bytes(100_000), sender=number)
    assert link_of(net).tick()
    size, seen = 0, None
    while size < 300 * 100_000:
        frame = await script.read_frame()
        size += len(frame)
        if not frame and seen is None:
            seen = size
    assert seen is not None
    assert seen < 200 * 100_000
    net.disconnect(PEER)
    await script.close()


async def test_a_process_that_sends_to_many(make_net: MakeNet) -> None:
    """Signals to one peer are not held up by another that does not read."""
    net = await make_net(ONE)
    deaf = await scripted(net)
    two = await make_net(TWO)
    pid = Pid(Atom(ONE), 1, 0, net.creation)
    for _ in range(100):
        net.submit(Atom(PEER), pid, RegSend(pid, Atom("inbox")), b"m\0\1\x86\xa0" + bytes(100_000))
        send(net, TWO, 1)
    await recorder(two).until(lambda: len(recorder(two).values) == 100)
    assert net.queued_bytes(PEER) > 0
    net.disconnect(PEER)
    await deaf.close()
