"""Plain messages go a compiled way of their own: what comes out must be the same."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pynode.config import Limits
from pynode.dist.connection import Connection
from pynode.dist.control import SendSender
from pynode.dist.flags import offered
from pynode.dist.local import LocalNode
from pynode.dist.seam import Payload, Peer
from pynode.errors import ProtocolError, TermError
from pynode.etf import encode_payload
from pynode.policy import Action, deny
from pynode.process import Runtime
from pynode.terms import Atom, ImproperList, Pid, Reference, atom
from tests.process.conftest import MakeRuntime

ME, THEM = Atom("here@host"), Atom("there@host")
FLAGS = int(offered(hidden=False))
LIMITS = Limits(frame_bytes=1 << 20)
SENDER = Pid(THEM, 9, 0, 3)


def frame(control: Any, payload: bytes = b"", header: bytes = b"\0") -> bytes:
    body = b"\x83D" + header + encode_payload(control) + payload
    return len(body).to_bytes(4, "big") + body


def fragments(to: Pid, payload: bytes) -> bytes:
    """Return a message in fragments, as a connection sends it."""
    sender = Connection(LocalNode(str(THEM), 3, FLAGS), Peer(ME, 7, FLAGS, hidden=False))
    sender.send(SENDER, SendSender(SENDER, to), payload)
    return b"".join(sender.data_to_send(1 << 30))


class Side:
    """One runtime behind one connection."""

    def __init__(self, runtime: Runtime, *, quick: bool) -> None:
        self.runtime = runtime
        self.process = runtime.spawn(None, name="named")
        self.text = runtime.spawn(None, name="texts", text=True)
        self.alias = runtime.alias(self.process)
        self.peer = Peer(THEM, 3, FLAGS, hidden=False)
        messages = runtime.messages if quick else None
        self.connection = Connection(
            LocalNode(str(ME), 7, FLAGS), self.peer, LIMITS, messages=messages
        )
        runtime.peer_up(self.peer)

    def feed(self, chunks: list[bytes]) -> tuple[Any, ...]:
        """Return everything that can be seen afterwards."""
        told: Any = None

        def on_control(message: Any, payload: Payload | None) -> None:
            self.runtime.control(self.peer, message, payload)

        try:
            for chunk in chunks:
                self.runtime.batch_begin()
                try:
                    self.connection.receive_data(chunk, on_control)
                finally:
                    self.runtime.batch_end()
        except (ProtocolError, TermError) as error:
            told = (type(error), str(error), getattr(error, "offset", None))
        connection = self.connection
        boxes = [
            [] if process.mailbox is None else process.mailbox.messages()
            for process in (self.process, self.text)
        ]
        counted = (connection.frames_received, connection.ticks_received, connection.closed)
        watchers = [
            sorted(map(repr, process.watchers or {})) for process in (self.process, self.text)
        ]
        remote = self.runtime.nodes.remote(THEM)
        watched = sorted(map(repr, remote.watchers))
        return told, repr(boxes), counted, self.runtime.inbound.denied, watchers, watched


def stream(side: Side) -> bytes:
    """Return frames of every kind that matters, to the processes of ``side``."""
    to, text = side.process.pid, side.text.pid
    term = encode_payload((atom("$gen_cast"), [b"abc", 1.5, {b"k": atom.v}]))
    tag = encode_payload((ImproperList((atom.alias,), side.alias), "reply"))
    Reference(ME, 7, (1, 2, 3))
    # One atom for slot 5, new, and then known.
    fresh, known = b"\x01\x08\x05\x02hi", b"\x01\x00\x05"
    cached = b"h\x02R\x00a\x07"
    return b"".join(
        [
            frame((22, SENDER, to), term),
            frame((22, SENDER, to), term),
            b"\0\0\0\0",
            frame((22, SENDER, to), cached, fresh),
            frame((22, SENDER, to), cached, known),
            frame((22, SENDER, to), cached, known),
            frame((22, SENDER, text), encode_payload([b"text", b"\xff"])),
            frame((2, Atom(""), to), term),
            frame((6, SENDER, Atom(""), atom.named), term),
            frame((6, SENDER, Atom(""), atom.nobody), b"not decoded"),
            frame((22, SENDER, Pid(ME, 9999, 0, 7)), b"\x01"),
            frame((33, SENDER, side.alias), tag),
            frame((37, 4, SENDER, side.alias), tag),
            frame((37, 0, SENDER, to), term),
            frame((37, 8, SENDER, atom.named), term),
            frame((37, 1, SENDER, to), term),
            frame((19, SENDER, to, Reference(THEM, 3, (1, 2, 3)))),
            frame((19, SENDER, to, Reference(THEM, 3, (1, 2, 3)))),
            frame((19, SENDER, text, Reference(THEM, 3, (2, 2, 3)))),
            frame((19, SENDER, atom.named, Reference(THEM, 3, (3, 2, 3)))),
            frame((20, SENDER, to, Reference(THEM, 3, (1, 2, 3)))),
            frame((20, SENDER, to, Reference(THEM, 3, (9, 2, 3)))),
            frame((20, Pid(THEM, 8, 0, 3), text, Reference(THEM, 3, (2, 2, 3)))),
            frame((22, SENDER, to), term),
            frame((22, SENDER, to), term),
            frame((23, SENDER, to, b"token"), term),
            frame((22, SENDER, to), encode_payload(bytes(70_000))),
            fragments(to, encode_payload([b"large", bytes(150_000)])),
            fragments(to, encode_payload([b"large", bytes(150_000)])[:-1]),
            frame((22, SENDER, to), term),
        ]
    )


def chunked(data: bytes, chance: random.Random) -> list[bytes]:
    chunks = []
    while data:
        size = chance.choice((1, 3, 40, 500, 5000, 100_000))
        chunks.append(data[:size])
        data = data[size:]
    return chunks


@pytest.fixture
def sides(make_runtime: MakeRuntime) -> Callable[..., tuple[Side, Side]]:
    def make(**options: Any) -> tuple[Side, Side]:
        quick, plain = make_runtime(**options), make_runtime(**options)
        if quick.messages is None:
            pytest.skip("the short way is compiled")
        return Side(quick, quick=True), Side(plain, quick=False)

    return make


async def test_the_same_comes_out(sides: Any) -> None:
    chance = random.Random(1)
    for _ in range(10):
        quick, plain = sides()
        data = stream(quick)
        assert data == stream(plain)
        chunks = chunked(data, chance)
        found = quick.feed(chunks)
        assert found == plain.feed(chunks)
        assert found[0] is not None  # the last large message is cut short
        assert quick.connection.messages_received > 3


async def test_a_slot_that_a_frame_in_parts_has_filled_anew(sides: Any) -> None:
    quick, plain = sides()
    one, again, two = b"\x01\x08\x05\x03one", b"\x01\x00\x05", b"\x01\x08\x05\x03two"
    to, term = quick.process.pid, b"R\x00"
    first, known, anew = (frame((22, SENDER, to), term, header) for header in (one, again, two))
    for chunks in ([first, known, known], [anew[:9], anew[9:], known]):
        assert quick.feed(chunks) == plain.feed(chunks)
    assert quick.process.mailbox.messages() == [atom.one] * 3 + [atom.two] * 2


async def test_a_tick_in_parts(sides: Any) -> None:
    quick, plain = sides()
    whole = frame((22, SENDER, quick.process.pid), encode_payload(1))
    for size in (1, 2, 3):
        chunks = [bytes(size), bytes(4 - size) + whole + bytes(size), bytes(4 - size)]
        assert quick.feed(chunks) == plain.feed(chunks)
    assert quick.connection.ticks_received == plain.connection.ticks_received == 6
    assert quick.process.mailbox.messages() == [1] * 3


async def test_the_same_is_refused(sides: Any) -> None:
    """With the same words and offset, whatever byte is wrong."""
    chance = random.Random(2)
    refused = set()
    for _ in range(150):
        quick, plain = sides()
        data = bytearray(stream(quick)[:1500])
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 97, 104, 131, 255))
        chunks = chunked(bytes(data), chance)
        found = quick.feed(chunks)
        assert found == plain.feed(chunks)
        refused.add(found[0])
    assert len(refused) > 10


@pytest.mark.parametrize(
    "between",
    [
        frame((26, SENDER, Pid(ME, 1, 0, 7)), encode_payload(atom.kill)),
        frame((26, SENDER, Pid(ME, 1, 0, 7)), encode_payload(atom.normal)),
        frame((22, SENDER, Pid(ME, 2, 0, 7)), encode_payload(1)),
        frame((22, SENDER, Pid(ME, 2, 0, 7)), b"\x01"),
        frame((7, SENDER, Pid(ME, 1, 0, 7), SENDER)),
        frame((19, SENDER, Pid(ME, 1, 0, 7), Reference(ME, 7, (1, 2, 3)))),
        frame((19, SENDER, atom.named, Reference(THEM, 3, (1, 2, 3)))),
        b"\0\0\0\0",
    ],
)
async def test_one_after_the_other_with_something_between(sides: Any, between: bytes) -> None:
    """What a process is may change in the middle of its messages."""
    quick, plain = sides()
    assert quick.process.pid == Pid(ME, 1, 0, 7)
    same = [frame((22, SENDER, quick.process.pid), encode_payload(n)) for n in range(6)]
    chunks = [b"".join([*same[:3], between, *same[3:]]), same[0] * 2]
    assert quick.feed(chunks) == plain.feed(chunks)
    assert quick.process.alive == plain.process.alive


async def test_a_process_that_begins_to_trap_or_to_read_text(sides: Any) -> None:
    quick, plain = sides()
    one = frame((22, SENDER, quick.process.pid), encode_payload(b"one"))
    found = []
    for side in (quick, plain):
        seen = [side.feed([one * 2])]
        side.process.text = True
        seen.append(side.feed([one * 2]))
        side.runtime.policy = deny(Action.SEND)
        seen.append(side.feed([one * 2]))
        found.append(seen)
    assert found[0] == found[1]
    assert quick.process.mailbox.messages() == [b"one", b"one", "one", "one"]
    assert quick.runtime.inbound.denied == 2


async def test_nobody_is_kept_when_a_read_is_done(sides: Any) -> None:
    quick, _ = sides()
    process = quick.runtime.spawn(None)
    one = frame((22, SENDER, process.pid), encode_payload(b"one"))
    quick.feed([one * 3])
    box = process.mailbox
    before = sys.getrefcount(box)
    quick.feed([one * 3])
    assert sys.getrefcount(box) == before
    process.runtime.deaths.end(process, atom.normal)
    del process
    nobodys = type(box)()
    assert sys.getrefcount(box) == sys.getrefcount(nobodys)


async def test_policy_is_asked_before_the_payload_is_read(sides: Any) -> None:
    quick, plain = sides(policy=deny(Action.SEND))
    data = frame((22, SENDER, quick.process.pid), b"\x01") * 3
    assert quick.feed([data]) == plain.feed([data])
    assert quick.runtime.inbound.denied == 3


async def test_a_closed_connection_delivers_nothing_more(sides: Any) -> None:
    quick, _ = sides()

    slot = quick.runtime.open_call(quick.process, quick.text.pid)
    slot.add_done_callback(lambda _: quick.connection.close())
    reply = encode_payload((slot.tag, 1))
    one = frame((33, SENDER, slot.ref), reply)
    two = frame((22, SENDER, quick.process.pid), encode_payload(1))
    quick.feed([one + two])
    assert slot.result() == 1
    assert not quick.process.mailbox
    assert quick.connection.closed
