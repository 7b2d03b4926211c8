"""Naps: a flood is read in large portions, and nothing waits for long or for ever."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

import pytest

from pynode import Node, atom, etf
from pynode.dist.control import Control, RegSend
from pynode.dist.control_encoder import encode_control
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Payload, Peer
from pynode.net import Net, channel, nap
from pynode.net.link import Link
from pynode.terms import Atom, Pid
from pynode.testing import eventually

from .conftest import MakeNet
from .harness import Recorder, Script, recorder, send
from .test_tls import Certificates, certificates

__all__ = ["certificates"]

ONE, PEER = "one@localhost", "peer@localhost"
NEVER = 3600.0
FLOOD = nap.FLOOD_FRAMES
TICK = bytes(4)

pytestmark = pytest.mark.skipif(not hasattr(termios, "FIONREAD"), reason="no FIONREAD")


@pytest.fixture(autouse=True)
def slow_floods(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine's floods count too, and it is not slow."""
    monkeypatch.setattr(nap, "FLOOD_SECONDS", float("inf"))
    monkeypatch.setattr(channel, "TURN_SECONDS", float("inf"))


def frame(value: Any, sender: int = 1) -> bytes:
    pid = Pid(Atom(PEER), sender, 0, 9)
    body = b"\x83D\0" + encode_control(RegSend(pid, Atom("inbox")), OUR_FLAGS)
    body += etf.encode_payload(value)
    return len(body).to_bytes(4, "big") + body


def frames(values: range) -> bytes:
    return b"".join(map(frame, values))


class Flooded:
    """A net, and a scripted peer that floods it."""

    def __init__(self, net: Net, script: Script) -> None:
        self.net = net
        self.script = script
        self.sink: Recorder = recorder(net)
        self.link: Link = net._links[Atom(PEER)]
        self.sent = 0

    @classmethod
    async def begin(cls, make_net: MakeNet) -> Flooded:
        net = await make_net(ONE)
        script = await Script.connect(net.port)
        await script.shake_hands(PEER)
        await recorder(net).until_up(PEER)
        return cls(net, script)

    @property
    def napping(self) -> bool:
        return self.link._nap.napping

    def flood(self, count: int) -> None:
        self.script.write_raw(frames(range(self.sent, self.sent + count)))
        self.sent += count

    async def until(self, count: int) -> None:
        await self.sink.until(lambda: len(self.sink.values) >= count)
        assert self.sink.values == list(range(count))

    async def asleep(self) -> None:
        """Flood until the reader naps."""
        self.flood(FLOOD)
        await self.until(self.sent)
        assert self.napping

    async def arrived(self) -> int:
        """Wait for what the peer has written to be in the kernel, and not read by the loop."""
        await self.script.writer.drain()
        own = self.link.channel.sock

        def waiting() -> int:
            room = fcntl.ioctl(own, termios.FIONREAD, struct.pack("i", 0))
            return int(struct.unpack("i", room)[0])

        await eventually(waiting)
        for _ in range(20):
            await asyncio.sleep(0)
        return waiting()

    async def gone(self) -> None:
        await self.script.close()
        await self.sink.until_down(PEER)


async def test_the_kernel_wakes_us_for_much_only(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nap, "NAP_SECONDS", NEVER)
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    before = flooded.sent
    flooded.flood(10)
    assert await flooded.arrived()
    assert len(flooded.sink.values) == before
    flooded.link.channel._read_bytes = channel.MAX_READ_BYTES
    flooded.flood(nap.WAKE_BYTES // len(frame(before)) + 1)
    await flooded.until(flooded.sent)
    assert flooded.napping
    await flooded.gone()


def test_what_wakes_us_is_read_at_once() -> None:
    assert nap.WAKE_BYTES <= channel.FIRST_READ_BYTES


async def test_a_nap_goes_on_while_enough_comes(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nap, "NAP_SECONDS", NEVER)
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    for count, napping in ((nap.LEAST_FRAMES, True), (nap.LEAST_FRAMES - 1, False)):
        flooded.flood(count)
        assert await flooded.arrived()
        flooded.link._nap._over()
        await flooded.until(flooded.sent)
        assert flooded.napping == napping
    await flooded.gone()


async def test_the_waits_of_a_long_flood_get_longer(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nap, "NAP_SECONDS", NEVER)
    monkeypatch.setattr(nap, "LONGEST_SECONDS", 3 * NEVER)
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    own = flooded.link._nap
    many, few = nap.MANY_FRAMES, nap.MANY_FRAMES - 1
    for count, seconds in ((many, 2), (many, 3), (many, 3), (few, 1), (many, 2)):
        flooded.flood(count)
        assert await flooded.arrived()
        assert own.timer is not None
        own.timer.cancel()
        own._over()
        await flooded.until(flooded.sent)
        left = own.timer.when() - asyncio.get_running_loop().time()
        assert (seconds - 0.5) * NEVER < left <= seconds * NEVER
    await flooded.gone()


async def test_a_flood_that_goes_on_is_known_sooner(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooded = await Flooded.begin(make_net)
    flooded.flood(nap.AGAIN_FRAMES)
    await flooded.until(flooded.sent)
    assert not flooded.napping
    for again in (True, False):
        await flooded.asleep()
        flooded.link._nap.end()
        monkeypatch.setattr(nap, "AGAIN_SECONDS", NEVER if again else 0.0)
        monkeypatch.setattr(nap, "NAP_SECONDS", NEVER)
        flooded.flood(nap.AGAIN_FRAMES)
        await flooded.until(flooded.sent)
        assert flooded.napping == again
        flooded.link._nap.end()
    await flooded.gone()


async def test_who_is_slow_does_not_nap(make_net: MakeNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not read all that has woken it, and the kernel would not wake it for the rest."""
    monkeypatch.setattr(nap, "NAP_SECONDS", NEVER)
    monkeypatch.setattr(nap, "WAKE_BYTES", 3 * channel.MIN_READ_BYTES)
    monkeypatch.setattr(channel, "TURN_SECONDS", 0.0)
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    flooded.link.channel._read_bytes = channel.MIN_READ_BYTES
    flooded.flood(nap.WAKE_BYTES // len(frame(0)) + 1)
    await flooded.until(flooded.sent)
    assert not flooded.napping
    flooded.flood(2 * FLOOD)
    await flooded.until(flooded.sent)
    assert not flooded.napping
    await flooded.gone()


async def test_what_is_large_ends_a_nap(make_net: MakeNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rest, too little to wake us, is taken as it comes."""
    monkeypatch.setattr(nap, "NAP_SECONDS", NEVER)
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    whole = frame(bytes(3 * nap.WAKE_BYTES))
    flooded.script.write_raw(whole[:-1000])
    await eventually(lambda: not flooded.napping)
    flooded.script.write_raw(whole[-1000:])
    await flooded.sink.until(lambda: len(flooded.sink.values) > flooded.sent)
    await flooded.gone()


async def test_silence_after_a_flood(make_net: MakeNet) -> None:
    """The last message comes without another behind it, and then the nap is over."""
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    flooded.flood(1)
    await flooded.until(flooded.sent)
    await eventually(lambda: not flooded.napping)
    flooded.flood(1)
    await flooded.until(flooded.sent)
    await flooded.gone()


async def test_few_messages_are_no_flood(make_net: MakeNet) -> None:
    flooded = await Flooded.begin(make_net)
    flooded.flood(FLOOD - 1)
    await flooded.until(flooded.sent)
    assert not flooded.napping
    await flooded.gone()


async def test_many_messages_in_a_long_time_are_no_flood(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nap, "FLOOD_SECONDS", 0.0)
    flooded = await Flooded.begin(make_net)
    for _ in range(3):
        flooded.flood(FLOOD)
        await flooded.until(flooded.sent)
        assert not flooded.napping
    await flooded.gone()


async def test_who_waits_for_answers_is_not_let_wait(make_net: MakeNet) -> None:
    flooded = await Flooded.begin(make_net)

    def answer(peer: Peer, message: Control, payload: Payload | None) -> None:
        send(flooded.net, PEER, b"answer")

    flooded.sink.on_control = answer
    for _ in range(3):
        flooded.flood(FLOOD)
        await flooded.until(flooded.sent)
        assert not flooded.napping
    await flooded.gone()


async def test_whatever_is_sent_ends_the_nap(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nap, "NAP_SECONDS", NEVER)
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    send(flooded.net, PEER, b"late answer")
    assert (await flooded.script.read_frame())[:2] == b"\x83D"
    assert not flooded.napping
    flooded.flood(1)
    await flooded.until(flooded.sent)
    await flooded.gone()


async def test_ticks_in_a_flood(make_net: MakeNet) -> None:
    """The peer's are counted, ours go out, and do not end the nap."""
    flooded = await Flooded.begin(make_net)
    half = frames(range(FLOOD // 2))
    flooded.script.write_raw(half + TICK + frames(range(FLOOD // 2, FLOOD)))
    flooded.sent = FLOOD
    await flooded.until(FLOOD)
    assert flooded.napping
    flooded.link.tick()  # it was heard, and nothing was written
    assert await flooded.script.read_frame() == b""
    assert flooded.net.counters()["ticks_in"] == 1
    flooded.script.write_raw(TICK)
    await eventually(lambda: flooded.net.counters()["ticks_in"] == 2)
    await eventually(lambda: not flooded.napping)
    await flooded.gone()


async def test_a_frame_in_parts_across_a_nap(make_net: MakeNet) -> None:
    flooded = await Flooded.begin(make_net)
    whole = frame(FLOOD)
    for cut in (1, 4, 5, len(whole) - 1):
        flooded.sent = 0
        flooded.sink.events.clear()
        flooded.script.write_raw(frames(range(FLOOD)) + whole[:cut])
        await flooded.until(FLOOD)
        await eventually(lambda: not flooded.napping)
        flooded.script.write_raw(whole[cut:])
        await flooded.until(FLOOD + 1)
    await flooded.gone()


async def test_our_close_in_a_nap(make_net: MakeNet) -> None:
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    timer = flooded.link._nap.timer
    assert flooded.net.disconnect(PEER)
    assert not flooded.napping
    assert timer is not None
    assert timer.cancelled()
    assert await flooded.script.read_end() == b""
    await flooded.gone()


async def test_the_peers_close_in_a_nap(make_net: MakeNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed at once, behind what came before it."""
    monkeypatch.setattr(nap, "NAP_SECONDS", NEVER)
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    flooded.flood(3)
    await flooded.gone()
    assert flooded.sink.values == list(range(flooded.sent))
    assert not flooded.napping


async def test_paused_in_a_nap(make_net: MakeNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nap, "NAP_SECONDS", NEVER)
    flooded = await Flooded.begin(make_net)
    await flooded.asleep()
    before = flooded.sent
    flooded.link.pause()
    assert not flooded.napping
    flooded.flood(FLOOD)
    assert await flooded.arrived()
    assert len(flooded.sink.values) == before
    flooded.link.resume()
    await flooded.until(flooded.sent)
    await flooded.gone()


async def test_a_kernel_that_knows_no_such_thing(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooded = await Flooded.begin(make_net)
    monkeypatch.setattr(socket, "SO_RCVLOWAT", 0x7FFF)
    flooded.flood(FLOOD)
    await flooded.until(flooded.sent)
    assert not flooded.napping
    await flooded.gone()


async def test_a_flood_over_tls(
    py_node: Callable[..., Node], certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[bool] = []
    read = nap.Nap.read

    def note(self: nap.Nap, count: int) -> None:
        read(self, count)
        naps.append(self.napping)

    monkeypatch.setattr(nap.Nap, "read", note)
    tls = certificates.tls
    async with py_node("a", tls=tls) as a, py_node("b", tls=tls) as b:
        await a.connect(b.name)
        b.register("inbox", b.main.pid)
        for number in range(10 * FLOOD):
            a.send(("inbox", b.name), (atom.number, number))
            if number % FLOOD == 0:
                await asyncio.sleep(0)
        found = [await b.main.receive(timeout=20) for _ in range(10 * FLOOD)]
        assert found == [(atom.number, number) for number in range(10 * FLOOD)]
        assert any(naps)
        a.send(("inbox", b.name), atom.last)
        assert await b.main.receive(timeout=20) == atom.last
