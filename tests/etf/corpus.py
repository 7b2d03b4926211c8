"""Hostile bytes and odd values for the compiled codec: for test_memory, and as a program.

    python -m tests.etf.corpus ROUNDS

It compares with the pure codec as it goes, so what it reads is read for what it is; a process
under the address sanitizer or valgrind tells of reads and writes beyond their places.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

from pynode.config import Limits
from pynode.errors import DecodeError, EncodeError
from pynode.etf import _compiled, _pure_decoder, _pure_encoder
from pynode.terms import (
    BitString,
    ExportFun,
    ImproperList,
    OpaqueFun,
    Pid,
    Port,
    Record,
    Reference,
    TermMap,
    atom,
)

NODE = atom("node1@host")
PID = Pid(NODE, 59, 0, 77)
REF = Reference(NODE, 77, (1, 2, 3))
ATOMS = (atom.a, True, None, NODE)

TERMS: list[Any] = [
    (atom("$gen_cast"), (atom.subscribe, b"name", PID)),
    (atom("$gen_call"), (PID, ImproperList([atom.alias], REF)), {b"key": [1, 2, 3]}),
    {b"key_%02d" % number: [number * 1000, number * 1.5, None] for number in range(8)},
    {b"k" * number: b"v" * number for number in range(28, 36)},
    [0, 255, 256, -1, 2**31, -(2**31) - 1, 2**63, -(2**63), 2**64, 2**200, 2**2048, 1.5, -0.0],
    list(range(300)),
    [1.5] * 20,
    (1,) * 300,
    [
        b"x" * 300,
        b"",
        "é".encode(),
        BitString(b"\xa0", 3),
        ExportFun("m", "f", 2),
        Port(NODE, 1, 2),
    ],
    TermMap([(1, 2), (1.0, 3), (True, 4), ([1], 5), ({1: 2}, 6)]),
    {(1, b"a"): 1, (2, b"a"): 2, 1.5: 3, None: 4, REF: 5, PID: 6},
    OpaqueFun("m", 1, 0, b"u" * 16, 0, 0, PID, [[1000], PID, {b"a": 1}]),
    Record("m", "r", True, [("a", 1), ("b", [b"x"])]),
    [[[[[[[{}]]]]]]],
    [Reference(NODE, 1, tuple(range(1, count + 1))) for count in range(1, 6)],
    [atom("é" * 200), atom("a" * 255), atom("")],
]
WIRES = [_pure_encoder.encode(term)[1:] for term in TERMS] + [
    b"h\x03R\x00R\x01XR\x03" + bytes(range(12)),
    b"Z\0\3R\x03" + bytes(range(16)),
    b"l\0\0\0\1a\1l\0\0\0\1a\2k\0\3abc",
    b"l\0\0\0\1a\1w\1t",
    b"gd\0\4n@ho" + bytes(9),
    b"c1.50000000000000000000e+00" + bytes(5),
]
ODD: list[Any] = [
    *(object(), float("nan"), "\ud800", {1, 2}, [[float("inf")]], {"a": 1, b"a": 2}),
    *(Pid(NODE, 2**32, 0, 1), Reference(NODE, 1, ()), Port(NODE, -1, 1)),
    *([bytearray(b"x"), 1, {}], {1: (memoryview(b"abc")[::2],)}, TermMap([(0.0, 1), (-0.0, 2)])),
]
LIMITS = [Limits(), Limits(depth=3), Limits(elements=10)]


def mutations(rounds: int, seed: int = 1) -> Iterator[bytes]:
    """Yield each wire cut off at each place, then as many with random changes."""
    chance = random.Random(seed)
    for wire in WIRES:
        yield wire
        for size in range(0, len(wire), max(1, len(wire) // 40)):
            yield wire[:size]
    for _ in range(rounds):
        data = bytearray(chance.choice(WIRES)[: chance.choice((30, 400, 5000))])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(5):
                case 0:
                    data[at : at + 1] = bytes((chance.randrange(256),))
                case 1:
                    data[at : at + 1] = chance.choice(
                        b"abcdefghijklmnopqrstvwxyzCFMPRXYZ"
                    ).to_bytes()
                case 2:
                    data[at:at] = chance.choice(WIRES)[: chance.randint(1, 12)]
                case 3:
                    del data[at : at + chance.randint(1, 4)]
                case _:
                    data[at : at + 4] = chance.choice(
                        (b"\xff\xff\xff\xff", b"\0\0\0\2", b"\0\0\1\0")
                    )
        yield bytes(data)


def outcome(module: Any, data: bytes, text: bool, limits: Limits) -> Any:
    """Return what decoding gives, or its error."""
    try:
        term, end = module.decode_payload(data, 0, ATOMS, text=text, limits=limits)
    except DecodeError as error:
        return str(error)
    return repr(term), end


def run(rounds: int) -> int:
    """Decode all, encode what comes out and the odd values; return how many were terms."""
    taken = 0
    for number, data in enumerate(mutations(rounds)):
        text, limits = number % 3 == 0, LIMITS[number % 7 % 3]
        found = outcome(_compiled, data, text, limits)
        assert found == outcome(_pure_decoder, data, text, limits), data.hex()
        if type(found) is tuple:
            taken += 1
            term, _ = _compiled.decode_payload(data, 0, ATOMS, text=text)
            _compiled.encode(term)
    for value in ODD:
        for term in (
            value,
            [value],
            (1, {b"a": value}),
            [[1], {2: [value]}],
            [PID, REF, value] * 99,
        ):
            try:
                _compiled.encode_payload(term)
            except EncodeError:
                taken += 1
    return taken


if __name__ == "__main__":
    print(run(int(sys.argv[1])))
