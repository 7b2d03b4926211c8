"""Accepting: what a dialler can do right and wrong, and what the node does about it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from functools import partial
from pathlib import Path

import pytest

from pynode.dist.flags import OUR_FLAGS, Flag
from pynode.errors import (
    ConnectError,
    ConnectTimeout,
    CookieError,
    FlagError,
    HandshakeError,
    NodeNameError,
    NotAllowed,
)
from pynode.net import Net
from pynode.telemetry import Event
from pynode.terms import Atom

from .conftest import MakeNet
from .harness import PATIENCE, Script, recorder, send

DIALLER = "dialler@localhost"
_SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
_AT_ONCE = min(500, int(_SOMAXCONN.read_text())) if _SOMAXCONN.exists() else 0


def refusals(net: Net) -> list[ConnectError]:
    """Return a list that each refusal of ``net`` is added to."""
    errors: list[ConnectError] = []

    def note(event: Event) -> None:
        errors.append(event.facts["error"])

    net.telemetry.attach("refused", note)
    return errors


async def test_a_plain_handshake(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    script = await Script.connect(net.port)
    await script.shake_hands(DIALLER)
    await recorder(net).until_up(DIALLER)
    peer = net.peer(DIALLER)
    assert peer is not None
    assert (peer.creation, peer.hidden) == (9, False)
    assert peer.address[0] == "127.0.0.1"
    assert await net.connect(DIALLER) is peer
    await script.close()
    await recorder(net).until_down(DIALLER)
    assert net.peers() == []


@pytest.mark.parametrize(("mine", "theirs"), [(False, False), (True, False), (False, True)])
async def test_hidden_unless_both_are_visible(make_net: MakeNet, mine: bool, theirs: bool) -> None:
    net = await make_net("me@localhost", hidden=mine)
    script = await Script.connect(net.port)
    flags = OUR_FLAGS if theirs else OUR_FLAGS | Flag.PUBLISHED
    script.send_name(DIALLER, flags=flags, extra=b"ignored")
    assert await script.read() == b"sok"
    offered = await script.answer_challenge()
    assert bool(offered & Flag.PUBLISHED) is not mine
    await script.read()
    await recorder(net).until_up(DIALLER)
    peer = net.peer(DIALLER)
    assert peer is not None
    assert peer.hidden is (mine or theirs)
    await script.close()
    await recorder(net).until_down(DIALLER)


async def test_the_first_signal_comes_with_the_digest(make_net: MakeNet) -> None:
    """Bytes behind the handshake belong to the connection, in order, after peer_up."""
    other = await make_net("other@localhost", without=Flag.DIST_HDR_ATOM_CACHE | Flag.FRAGMENTS)
    net = await make_net("me@localhost")
    for number in range(10):
        send(other, "me@localhost", number)
    await recorder(net).until(lambda: len(recorder(net).values) == 10)
    assert recorder(net).events[0] == ("up", "other@localhost")
    assert recorder(net).values == list(range(10))


async def _refused(
    net: Net, script: Script, errors: list[ConnectError], answer: bytes
) -> ConnectError:
    assert await script.read_end() == answer
    await script.close()
    assert len(errors) == 1
    assert net.telemetry.refused == 1
    assert net.telemetry.connections_failed == 0  # that counts attempts of our own
    assert net.peers() == []
    assert recorder(net).events == []
    return errors[0]


def message(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body


async def test_a_wrong_cookie(make_net: MakeNet, caplog: pytest.LogCaptureFixture) -> None:
    net = await make_net("me@localhost")
    errors = refusals(net)
    script = await Script.connect(net.port)
    script.send_name(DIALLER)
    assert await script.read() == b"sok"
    await script.answer_challenge(b"wrong")
    error = await _refused(net, script, errors, b"")
    assert type(error) is CookieError
    assert any(DIALLER in record.message for record in caplog.records)
    script = await Script.connect(net.port)
    await script.shake_hands(DIALLER)
    await recorder(net).until_up(DIALLER)
    await script.close()
    await recorder(net).until_down(DIALLER)


async def test_a_wrong_cookie_does_not_disturb_the_connection(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    first = await Script.connect(net.port)
    await first.shake_hands(DIALLER)
    second = await Script.connect(net.port)
    second.send_name(DIALLER)
    assert await second.read() == b"salive"
    third = await Script.connect(net.port)
    third.send_name(DIALLER)
    assert await third.read() == b"salive"
    assert await second.read_end() == b""  # one contender at a time: the latest
    await second.close()
    third.write(b"strue")
    await third.answer_challenge(b"wrong")
    assert await third.read_end() == b""
    await third.close()
    assert recorder(net).events == [("up", DIALLER)]
    send(net, DIALLER, b"still here")
    assert b"still here" in await first.read_frame()
    await first.close()
    await recorder(net).until_down(DIALLER)


async def test_alive_true_replaces_the_connection(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    first = await Script.connect(net.port)
    await first.shake_hands(DIALLER)
    await recorder(net).until_up(DIALLER)
    second = await Script.connect(net.port)
    second.send_name(DIALLER, creation=10)
    assert await second.read() == b"salive"
    second.write(b"strue")
    assert recorder(net).of("down") == []
    await second.answer_challenge()
    assert (await second.read())[:1] == b"a"
    assert await first.read_end() == b""
    assert recorder(net).events == [
        ("up", DIALLER),
        ("down", DIALLER, True, "connection_closed"),
        ("up", DIALLER),
    ]
    peer = net.peer(DIALLER)
    assert peer is not None
    assert peer.creation == 10
    await first.close()
    await second.close()
    await recorder(net).until_down(DIALLER, times=2)


async def test_alive_false_keeps_the_connection(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    first = await Script.connect(net.port)
    await first.shake_hands(DIALLER)
    for _ in range(2):  # the place of the contender is free again
        second = await Script.connect(net.port)
        second.send_name(DIALLER)
        assert await second.read() == b"salive"
        second.write(b"sfalse")
        assert await second.read_end() == b""
        await second.close()
    assert recorder(net).events == [("up", DIALLER)]
    await first.close()
    await recorder(net).until_down(DIALLER)


async def test_the_old_connection_dies_while_the_new_one_is_asked(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    first = await Script.connect(net.port)
    await first.shake_hands(DIALLER)
    second = await Script.connect(net.port)
    second.send_name(DIALLER)
    assert await second.read() == b"salive"
    await first.close()
    await recorder(net).until_down(DIALLER)
    assert net.is_connecting(DIALLER)
    send(net, DIALLER, b"for the new one")
    second.write(b"strue")
    await second.answer_challenge()
    assert (await second.read())[:1] == b"a"
    assert b"for the new one" in await second.read_frame()
    await second.close()
    await recorder(net).until_down(DIALLER, times=2)


@pytest.mark.parametrize("name", ["nothing", "@localhost", "a@", "a@b@c"])
async def test_no_node_name_is_a_bare_close(make_net: MakeNet, name: str) -> None:
    net = await make_net("me@localhost")
    errors = refusals(net)
    script = await Script.connect(net.port)
    script.send_name(name)
    assert type(await _refused(net, script, errors, b"")) is HandshakeError


async def test_a_long_name_among_short_ones(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    errors = refusals(net)
    script = await Script.connect(net.port)
    script.send_name("dialler@10.0.0.1")
    error = await _refused(net, script, errors, message(b"snot_allowed"))
    assert type(error) is NodeNameError


async def test_our_own_name(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    errors = refusals(net)
    script = await Script.connect(net.port)
    script.send_name("me@localhost")
    assert type(await _refused(net, script, errors, message(b"snok"))) is NodeNameError


async def test_not_on_the_list(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    net.allow = {"friend@localhost", "guest@"}
    errors = refusals(net)
    script = await Script.connect(net.port)
    script.send_name(DIALLER)
    assert type(await _refused(net, script, errors, message(b"snot_allowed"))) is NotAllowed
    script = await Script.connect(net.port)
    await script.shake_hands("guest@localhost")
    await script.close()
    await recorder(net).until_down("guest@localhost")


async def test_a_missing_flag(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    errors = refusals(net)
    script = await Script.connect(net.port)
    script.send_name(DIALLER, flags=OUR_FLAGS & ~Flag.BIG_CREATION & ~Flag.MANDATORY_25_DIGEST)
    error = await _refused(net, script, errors, message(b"snot_allowed"))
    assert type(error) is FlagError
    assert "BIG_CREATION" in str(error)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "GET"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
        (b"\x00\x00", "name"),
        (b"\x00\x03n\x00\x05", "name"),
    ],
)
async def test_garbage(make_net: MakeNet, data: bytes, word: str) -> None:
    net = await make_net("me@localhost")
    errors = refusals(net)
    script = await Script.connect(net.port)
    script.write_raw(data)
    error = await _refused(net, script, errors, b"")
    assert type(error) is HandshakeError
    assert word in str(error)


async def test_silence_ends_at_the_deadline(make_net: MakeNet) -> None:
    net = await make_net("me@localhost", timeouts={"setup": 0.2})
    errors = refusals(net)
    script = await Script.connect(net.port)
    assert type(await _refused(net, script, errors, b"")) is ConnectTimeout


async def test_silence_at_a_later_step_ends_at_the_deadline(make_net: MakeNet) -> None:
    """After the name, and after the status alive; the error names what did not come."""
    net = await make_net("me@localhost", timeouts={"setup": 0.3})
    errors = refusals(net)
    script = await Script.connect(net.port)
    script.send_name(DIALLER)
    assert await script.read() == b"sok"
    await script.read()  # the challenge, which is not answered
    assert "the reply to the challenge" in str(await _refused(net, script, errors, b""))
    first = await Script.connect(net.port)
    await first.shake_hands(DIALLER)
    second = await Script.connect(net.port)
    second.send_name(DIALLER)
    assert await second.read() == b"salive"
    assert await second.read_end() == b""
    assert "the answer to alive" in str(errors[1])
    assert [type(error) for error in errors] == [ConnectTimeout] * 2
    await second.close()
    assert net.peer(DIALLER) is not None
    await first.close()
    await recorder(net).until_down(DIALLER)


async def test_a_dialler_that_goes_is_no_news(
    make_net: MakeNet, caplog: pytest.LogCaptureFixture
) -> None:
    """A port scan must not fill the log."""
    caplog.set_level(logging.INFO, "pynode.net")
    net = await make_net("me@localhost")
    refused = asyncio.Event()
    net.telemetry.attach("refused", lambda event: refused.set())
    script = await Script.connect(net.port)
    await script.close()
    async with asyncio.timeout(PATIENCE):
        await refused.wait()
    assert not caplog.records


async def test_handshakes_are_limited(make_net: MakeNet) -> None:
    """Above the limit connections wait in the backlog, and are served when there is room."""
    net = await make_net("me@localhost", limits={"handshakes": 2})
    idle = [await Script.connect(net.port) for _ in range(2)]
    late = await Script.connect(net.port)
    late.send_name(DIALLER)
    reading = asyncio.create_task(late.read(), name="test-read")
    done, _ = await asyncio.wait([reading], timeout=0.2)
    assert not done
    await idle[0].close()
    assert await reading == b"sok"
    await idle[1].close()
    await late.close()


@pytest.mark.skipif(not _AT_ONCE, reason="not Linux")
async def test_a_whole_cluster_may_come_at_once(make_net: MakeNet) -> None:
    """Also while the loop is busy: whom the kernel has to turn away tries again after a second."""
    net = await make_net("me@localhost")
    with contextlib.ExitStack() as stack:
        for _ in range(_AT_ONCE):  # nothing is accepted meanwhile
            coming = stack.enter_context(socket.socket())
            coming.settimeout(0.9)
            coming.connect(("127.0.0.1", net.port))
        await net.stop()


async def test_silent_handshakes_give_way(make_net: MakeNet) -> None:
    """Who opens connections and says nothing keeps nobody out, though they never time out."""
    net = await make_net("me@localhost", limits={"handshakes": 2}, timeouts={"setup": None})
    errors = refusals(net)
    idle = [await Script.connect(net.port) for _ in range(2)]
    idle[1].send_name("other@localhost")
    assert await idle[1].read() == b"sok"
    script = await Script.connect(net.port)
    await script.shake_hands(DIALLER)
    await recorder(net).until_up(DIALLER)
    assert [type(error) for error in errors] == [ConnectTimeout]
    assert await idle[0].read_end() == b""
    for each in (*idle, script):
        await each.close()
    await recorder(net).until_down(DIALLER)


async def test_who_only_says_a_name_does_not_keep_its_owner_out(make_net: MakeNet) -> None:
    net = await make_net("me@localhost")
    for name in ("alpha@localhost", "zulu@localhost"):
        squatter = await Script.connect(net.port)
        squatter.send_name(name)
        assert await squatter.read() == b"sok"
        await squatter.read()  # the challenge
        owner = await Script.connect(net.port)
        await owner.shake_hands(name)  # answered ok: there is no attempt of ours
        assert await squatter.read_end() == b""
        await recorder(net).until_up(name)
        for script in (squatter, owner):
            await script.close()
        await recorder(net).until_down(name)


async def test_who_only_says_a_name_keeps_us_from_nobody(make_net: MakeNet) -> None:
    """A connect that joined the attempt of a stranger is made after all when that has failed."""
    other = await make_net("other@localhost")
    net = await make_net("me@localhost")
    squatter = await Script.connect(net.port)
    squatter.send_name("other@localhost")
    assert await squatter.read() == b"sok"
    connecting = asyncio.create_task(net.connect("other@localhost"), name="test-connect")
    send(net, "other@localhost", b"waiting")
    await squatter.answer_challenge(b"wrong")
    async with asyncio.timeout(PATIENCE):
        assert (await connecting).name == Atom("other@localhost")
    await recorder(other).until(lambda: recorder(other).values)
    assert recorder(other).values == [b"waiting"]
    assert recorder(net).events == [("up", "other@localhost")]
    await squatter.close()


async def test_a_peer_without_a_name_gets_one(make_net: MakeNet) -> None:
    """NAME_ME: a name at its host; its next life gets the same one with the next creation."""
    net = await make_net("me@localhost")
    given = []
    for life in range(2):
        script = await Script.connect(net.port)
        script.send_name("localhost", flags=OUR_FLAGS | Flag.NAME_ME, creation=0)
        status = await script.read()
        assert status[:7] == b"snamed:"
        size = int.from_bytes(status[7:9], "big")
        name = status[9 : 9 + size].decode()
        creation = int.from_bytes(status[9 + size : 13 + size], "big")
        given.append((name, creation))
        flags = await script.answer_challenge()
        assert flags & Flag.NAME_ME
        assert (await script.read())[:1] == b"a"
        await recorder(net).until(lambda n=name: net.peer(n) is not None)  # type: ignore[misc]
        peer = net.peer(name)
        assert peer is not None
        assert peer.hidden
        assert peer.dynamic
        assert peer.creation == creation
        await script.close()
        await recorder(net).until_down(name, times=life + 1)
    assert given[0][0].endswith("@localhost")
    assert given[1] == (given[0][0], given[0][1] + 1)


async def test_invented_names_are_not_remembered_for_ever(
    make_net: MakeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pynode.net.naming.MOST_NAME_HOSTS", 3)
    net = await make_net("me@localhost")

    def so_many(kind: str, count: int) -> bool:
        return len(recorder(net).of(kind)) == count

    for number in range(6):
        script = await Script.connect(net.port)
        script.send_name(f"host{number}", flags=OUR_FLAGS | Flag.NAME_ME, creation=0)
        assert (await script.read())[:7] == b"snamed:"
        await script.answer_challenge()
        assert (await script.read())[:1] == b"a"
        await recorder(net).until(partial(so_many, "up", number + 1))
        await script.close()
        await recorder(net).until(partial(so_many, "down", number + 1))
    assert net._invented.hosts() == ["host3", "host4", "host5"]


async def test_stop_closes_handshakes_under_way(make_net: MakeNet) -> None:
    net = await make_net("me@localhost", timeouts={"setup": None})
    nameless = await Script.connect(net.port)
    script = await Script.connect(net.port)
    script.send_name(DIALLER)
    assert await script.read() == b"sok"
    await net.stop()
    await script.read()  # the challenge was under way
    assert await script.read_end() == b""
    assert await nameless.read_end() == b""
    await script.close()
    await nameless.close()
