"""Hostile bytes from a peer, in odd pieces, and callbacks that make trouble while they are read.

    python -m tests.sanitizers.streams ROUNDS

Every stream goes the compiled way and the other one, and has to do the same; then once more
where policy, replies to calls, match functions and finalizers do harm in the middle of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import sys
from collections.abc import Iterator
from typing import Any, Final

from pynode.config import Limits
from pynode.dist.connection import Connection
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.local import LocalNode
from pynode.dist.seam import Payload, Peer
from pynode.errors import ProtocolError, TermError
from pynode.etf import encode_payload
from pynode.policy import ALLOW, Allow, Deny
from pynode.process import Process, Runtime
from pynode.terms import Atom, ImproperList, Pid, Reference, atom
from tests.sanitizers.trouble import Trouble

ME: Final = Atom("me@host")
THEM: Final = Atom("them@host")
SENDER: Final = Pid(THEM, 9, 0, 3)
REF: Final = Reference(THEM, 3, (1, 2, 3))
LIMITS: Final = Limits(frame_bytes=300_000, pending_fragments=4)
PEER: Final = Peer(THEM, 3, OUR_FLAGS, hidden=False)
#: An atom for slot 5 of the cache, new and then known; two of them with long names.
HEADERS: Final = (b"\0", b"\0", b"\0", b"\1\x08\5\2hi", b"\1\x08\5\3odd", b"\2\x88\0\5\2ab\7\2cd")
KNOWN: Final = (b"\1\0\5", b"\2\0\0\5\7")
BAD_HEADERS: Final = (
    *(b"\1\0\6", b"\1", b"\2\x88\1\5\0\2ab\7\0\2cd", b"\1\x10\5\2hi", b"\1\x08\5\xffhi"),
    b"\xff" + b"\x88" * 128 + b"\1\1a" * 255,
    b"\xff" + b"\x88" * 60,
)
#: What a term may claim to have, and has not.
MONSTERS: Final = (
    *(b"h\xff", b"i\xff\xff\xff\xff", b"l\xff\xff\xff\xff", b"t\xff\xff\xff\xff", b"k\xff\xff"),
    *(b"m\xff\xff\xff\xff", b"M\xff\xff\xff\xff\7", b"o\xff\xff\xff\xff\1", b"n\xff\1", b"w\xff"),
    *(b"v\xff\xff", b"p\xff\xff\xff\xff", b"P\xff\xff\xff\xffx", b"Z\xff\xffw\1a", b"R\xff"),
    *(b"h\1" * 20_000, b"l\0\0\0\1" * 12_000, b"t\0\0\0\1a\1" * 5000, b"", b"\x83", b"a\1a\1"),
)


def terms(side: Side) -> Iterator[bytes]:
    """Yield what messages carry."""
    term = (atom("$gen_cast"), [b"abc", 1.5, {b"k": atom.v}, SENDER, REF, 2**70, -1, "text"])
    yield encode_payload(term)
    yield encode_payload((ImproperList((atom.alias,), side.slot.ref), [atom.reply]))
    yield encode_payload((side.alias, 1))
    yield encode_payload([b"x" * 70_000])
    yield b"h\2R\0R\1"
    yield from MONSTERS


def controls(side: Side) -> list[Any]:
    """Return control messages of all kinds, to whom there is."""
    to, nobody = side.first.pid, Pid(ME, 9999, 0, 7)
    found: list[Any] = []
    for pid in (to, to, side.second.pid, nobody):
        found += [(22, SENDER, pid), (22, SENDER, pid), (2, Atom(""), pid), (37, 0, SENDER, pid)]
        found += [(19, SENDER, pid, REF), (20, SENDER, pid, REF), (1, SENDER, pid)]
        found += [(24, SENDER, pid), (35, 5, SENDER, pid), (36, 5, SENDER, pid), (26, SENDER, pid)]
        found += [(7, SENDER, pid), (23, SENDER, pid, b"token")]
    for name in (atom.first, atom.body, atom.nobody):
        found += [(6, SENDER, Atom(""), name), (37, 8, SENDER, name), (19, SENDER, name, REF)]
    for ref in (side.alias, side.slot.ref, REF):
        found += [(33, SENDER, ref), (37, 4, SENDER, ref), (31, ref, to, 0, SENDER)]
    return [*found, (29, REF, SENDER, SENDER, (atom.m, atom.f, 1), [])]


def wrong_controls(side: Side) -> list[Any]:
    """Return what is none, or comes from somebody else."""
    to = side.first.pid
    return [
        *((22, SENDER, SENDER), (22, to, to), (22, SENDER, 1), (22,), (22, SENDER, to, 1)),
        *((6, SENDER, Atom(""), 1), (33, SENDER, to), (37, 2**70, SENDER, to), (37, 4, SENDER)),
        *((19, to, to, REF), (19, SENDER, to, 1), (20, SENDER, SENDER, REF), (19, SENDER, to)),
        *((), (99,), 1, [22, SENDER, to], (22, SENDER, to) * 90, (1.5, SENDER, to), None),
    ]


def frame(body: bytes, size: int | None = None) -> bytes:
    """Return a body behind its length, or a length that is none."""
    return (len(body) if size is None else size).to_bytes(4, "big") + body


def fragments(chance: random.Random, control: bytes, payload: bytes, bad: float) -> Iterator[bytes]:
    """Yield a message in fragments, now and then with one that is wrong."""
    count, sequence = chance.randint(1, 4), chance.choice((1, 2, 2**64 - 1))
    size = len(payload) // count + 1
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    for number, part in zip(range(len(parts), 0, -1), parts, strict=True):
        first = number == len(parts)
        if chance.random() < bad:
            number = chance.choice((0, 1, 7, 2**64 - 1))
        head = sequence.to_bytes(8, "big") + number.to_bytes(8, "big")
        if first:
            yield frame(b"\x83E" + head + chance.choice(HEADERS) + control + part)
        else:
            yield frame(b"\x83F" + head + part)


def stream(chance: random.Random, side: Side) -> list[bytes]:
    """Return some forty frames."""
    payloads, good, wrong = list(terms(side)), controls(side), wrong_controls(side)
    bad = chance.choice((0.0, 0.0, 0.01, 0.2))
    found = [frame(b"\x83D" + HEADERS[5] + encode_payload(good[0]) + b"h\2R\0R\1")]
    control = encode_payload(good[0])
    for _ in range(40):
        if chance.random() < 0.5:
            control = encode_payload(chance.choice(good))
        payload = chance.choice(payloads[:4])
        header = chance.choice(HEADERS + KNOWN)
        if header == KNOWN[1]:
            payload = payloads[4]
        if chance.random() < bad:
            header = chance.choice(BAD_HEADERS)
        if chance.random() < bad:
            payload = chance.choice(MONSTERS)
        if chance.random() < bad:
            control = encode_payload(chance.choice(wrong))
        body = b"\x83D" + header + control + payload
        if chance.random() < bad:
            changed = bytearray(body)
            for _ in range(chance.randint(1, 3)):
                changed[chance.randrange(min(len(changed), 60))] = chance.choice(
                    b"\0\1ahmRD\x83\xff"
                )
            body = bytes(changed)
        if chance.random() < bad:
            sizes = (0, 1, 2, 3, 4, len(body) - 1, len(body) + 1, 299_999, 300_001, 0xFFFFFFFF)
            found.append(frame(body, chance.choice(sizes)))
        elif chance.random() < 0.1:
            found += fragments(chance, control, payload, bad)
        else:
            found.append(frame(body))
        if chance.random() < 0.1:
            found.append(b"\0\0\0\0")
        if chance.random() < bad:
            found.append(frame(body[: chance.randrange(min(len(body), 90))]))
    if chance.random() < 0.3:
        at = chance.randrange(len(found) + 1)
        found[at:at] = large(chance, encode_payload(good[0]), bad)
    return found


def large(chance: random.Random, control: bytes, bad: float) -> list[bytes]:
    """Return a message that is received where its binary will lie, or one that is not so."""
    size = chance.randrange(1 << 20, 3 << 20)
    payload = bytearray(
        encode_payload([atom.body, {b"k": bytes(size)}, bytes(chance.randrange(9))])
    )
    if chance.random() < 2 * bad:
        changed = payload.index(b"m\0") + chance.randrange(1, 5) if chance.random() < 0.8 else 0
        payload[changed] = chance.choice(b"\0\x10\x20h")
    parts = [payload[at : at + 65536] for at in range(0, len(payload), 65536)]
    if chance.random() < bad:
        del parts[chance.randrange(len(parts)) :]
    found: list[bytes] = []
    for number, part in zip(range(len(parts), 0, -1), parts, strict=True):
        if chance.random() < bad / 20:
            number = chance.choice((0, 1, 7, 2**64 - 1))
        head = bytes(7) + b"\3" + number.to_bytes(8, "big")
        kind = b"\x83F" + head if found else b"\x83E" + head + HEADERS[0] + control
        found.append(frame(kind + part))
        if chance.random() < 0.02:
            found.append(b"\0\0\0\0")
    return found


def chunks(chance: random.Random, frames: list[bytes]) -> Iterator[bytes]:
    """Yield them one by one, so that nothing lies behind the end, or in pieces as they come."""
    if chance.random() < 0.4:
        yield from frames
        return
    data = b"".join(frames)
    sizes = chance.choice(((1, 2, 3, 4, 5), (40, 500), (5000, 100_000), (1, 70, 100_000)))
    at = 0
    while at < len(data):
        size = chance.choice(sizes) if at < 3000 else 50_000
        yield data[at : at + size]
        at += size


class Side:
    """A runtime behind one connection."""

    def __init__(self, runtime: Runtime, *, quick: bool) -> None:
        self.runtime = runtime
        self.first = runtime.spawn(None, name="first")
        self.second = runtime.spawn(None, text=True)
        self.alias = runtime.alias(self.first)
        self.slot = runtime.open_call(self.first, self.second.pid)
        messages = runtime.messages if quick else None
        local = LocalNode(str(ME), 7, OUR_FLAGS)
        self.connection = Connection(local, PEER, LIMITS, messages=messages)
        runtime.peer_up(PEER)

    def feed(self, pieces: list[bytes]) -> Any:
        """Return what became of it all."""
        told = None
        connection, runtime = self.connection, self.runtime

        def on_control(message: Any, payload: Payload | None) -> None:
            runtime.control(PEER, message, payload)

        runtime.batch_begin()
        try:
            for piece in pieces:
                buffers = connection.get_buffers()
                if buffers is None:
                    connection.receive_data(piece, on_control)
                    continue
                size = 0
                for buffer in buffers:
                    part = piece[size : size + len(buffer)]
                    buffer[: len(part)] = part
                    size += len(part)
                del buffer
                connection.buffers_filled(size, on_control)
                if piece[size:]:
                    connection.receive_data(piece[size:], on_control)
        except (ProtocolError, TermError) as error:
            told = (type(error), str(error))
        finally:
            runtime.batch_end()
        boxes = [one.mailbox and one.mailbox.messages() for one in (self.first, self.second)]
        counted = (connection.frames_received, connection.ticks_received, connection.closed)
        return told, repr(boxes), counted, runtime.inbound.denied, self.slot.done


async def the_same(chance: random.Random) -> bool:
    """Compare both ways; return whether anything was wrong with the stream."""
    found, seed = [], chance.random()
    for quick in (True, False):
        runtime, again = Runtime(ME, 7), random.Random(seed)
        side = Side(runtime, quick=quick)
        pieces = list(chunks(again, stream(again, side)))
        found.append(side.feed(pieces))
        await runtime.stop(0)
    assert found[0] == found[1], (seed, found)
    return found[0][0] is not None


async def cut_short(chance: random.Random) -> int:
    """Give the intake itself each front of each frame; return how many it took for whole."""
    runtime, taken = Runtime(ME, 7), 0
    side = Side(runtime, quick=True)
    intake = side.connection._intake

    def nothing(*_: Any) -> None:
        pass

    for count in (0, 1, 2, 3, 255):
        for size in range(12):
            intake.take(frame(bytes((131, 68, count)) + bytes(size)), 0, nothing, nothing)
    for whole in stream(chance, side):
        for size in range(min(len(whole) - 4, 120)):
            # Those that are wrong in their control message or payload are refused.
            with contextlib.suppress(ProtocolError, TermError):
                intake.take(frame(whole[4 : 4 + size]), 0, nothing, nothing)
                taken += intake.frames
    await runtime.stop(0)
    return taken


async def in_trouble(chance: random.Random) -> int:
    """Do as much harm as can be done while a stream is read; return how often it was done."""
    trouble: Any = None

    def policy(*_: Any) -> Allow | Deny:
        if trouble is not None:
            trouble()
        return ALLOW

    runtime = Runtime(ME, 7, policy=policy)
    trouble = Trouble(chance, runtime, 0.1)

    class Body:
        def start(self, process: Process) -> None:
            trouble()

        def message(self, process: Process, message: Any) -> Any:
            trouble()
            return self.later(process) if chance.random() < 0.2 else None

        async def later(self, process: Process) -> None:
            await process.receive(match=trouble.accepts, timeout=0.001)
            trouble()

        def terminated(self, process: Process, reason: Any) -> None:
            trouble()

    side = Side(runtime, quick=True)
    trouble.pids = [side.first.pid, side.second.pid, SENDER]
    trouble.victims = [runtime.spawn(Body()) for _ in range(4)]
    runtime.register("body", trouble.victims[0].pid)
    trouble.more = [side.connection.close] if chance.random() < 0.5 else []
    side.slot.add_done_callback(trouble)

    async def receives(process: Process) -> None:
        while True:
            await process.receive(match=trouble.accepts)

    trouble.victims.append(runtime.spawn(receives))
    await asyncio.sleep(0)
    data = stream(chance, side)
    for process in trouble.victims[:3]:
        told = encode_payload((22, SENDER, process.pid)) + encode_payload([atom.told, 1])
        data = [frame(b"\x83D\0" + told) * 3, *data]
    for piece in chunks(chance, data):
        side.feed([piece])
        trouble()
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    if chance.random() < 0.5:
        runtime.peer_down(THEM, PEER, atom.connection_closed)
    await runtime.stop(0)
    trouble.often = 0.0
    return int(trouble.made)


async def run(rounds: int) -> tuple[int, int, int]:
    """Return how many streams were refused, fronts taken, and how often there was trouble."""
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    logging.disable()
    gc.set_threshold(50)
    refused = fronts = made = 0
    for number in range(rounds):
        refused += await the_same(random.Random(number))
        made += await in_trouble(random.Random(number))
        if number % 10 == 0:
            fronts += await cut_short(random.Random(number))
    assert not complaints, complaints[0]
    return refused, fronts, made


if __name__ == "__main__":
    print(*asyncio.run(run(int(sys.argv[1]))))
