"""Values that change while they are encoded, and terms decoded while finalizers run.

python -m tests.sanitizers.values ROUNDS
"""

from __future__ import annotations

import contextlib
import gc
import random
import sys
from collections.abc import Iterator
from typing import Any, Final

from pynode import etf
from pynode.errors import DecodeError, EncodeError
from pynode.etf.pieces import PIECE_BYTES
from pynode.terms import (
    Atom,
    BitString,
    ExportFun,
    ImproperList,
    OpaqueFun,
    Pid,
    Record,
    Reference,
    TermMap,
    atom,
    identical,
)
from tests.sanitizers.trouble import Finalizer

NODE: Final = atom("n@h")
#: A piece of its own.
LARGE: Final = b"L" * PIECE_BYTES


class Harm:
    """Whatever is being encoded just now is emptied, filled or replaced."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.lists: list[list[Any]] = []
        self.dicts: list[dict[Any, Any]] = []
        self.arrays: list[bytearray] = []
        self.made = 0
        self._deep = 0

    def __call__(self) -> None:
        if self._deep > 2:
            return
        self._deep += 1
        self.made += 1
        chance = self.chance
        try:
            for one in self.lists:
                if chance.random() < 0.3:
                    one[:] = [] if chance.random() < 0.5 else [object(), b"x" * 90] * 40
            for place in self.dicts:
                if chance.random() < 0.3:
                    place.clear()
                elif chance.random() < 0.3:
                    place.update({bytes((number,)): [number] for number in range(60)})
            for array in self.arrays:
                if chance.random() < 0.3:
                    del array[: chance.randrange(3)]
                    array += b"y" * chance.randrange(5000)
            if chance.random() < 0.3:
                gc.collect()
            if chance.random() < 0.3:
                etf.decode(etf.encode([{b"inner": (1, 2)}, Pid(NODE, 1, 2, 3), atom.inner] * 9))
        except (EncodeError, BufferError):
            pass
        finally:
            self._deep -= 1


def harmful(harm: Harm) -> dict[str, type]:
    """Return classes whose instances do harm when they are looked at."""

    class List(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            harm()
            return super().__iter__()

        def __len__(self) -> int:
            harm()
            return super().__len__()

        def __getitem__(self, index: Any) -> Any:
            harm()
            return super().__getitem__(index)

    class Tuple(tuple[Any, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[Any]:
            harm()
            return super().__iter__()

        def __len__(self) -> int:
            harm()
            return super().__len__()

    class Dict(dict[Any, Any]):
        def items(self) -> Any:
            harm()
            return super().items()

        def __iter__(self) -> Iterator[Any]:
            harm()
            return super().__iter__()

        def __len__(self) -> int:
            harm()
            return super().__len__()

    class Text(str):
        def encode(self, *_: Any) -> bytes:
            harm()
            return b"\xff"

        def __hash__(self) -> int:
            harm()
            return 1

        def __eq__(self, other: object) -> bool:
            harm()
            return self is other

    class Number(int):
        def __index__(self) -> int:
            harm()
            return 7

        def __int__(self) -> int:
            harm()
            return 2**90

        def __abs__(self) -> int:
            harm()
            return -1

        def bit_length(self) -> int:
            harm()
            return 2**40

        def __hash__(self) -> int:
            harm()
            return 1

    class Float(float):
        def __float__(self) -> float:
            harm()
            return float("nan")

    class Data(bytes):
        def __bytes__(self) -> bytes:
            harm()
            return b""

        def __len__(self) -> int:
            harm()
            return 2**40

    return {kind.__name__: kind for kind in (List, Tuple, Dict, Text, Number, Float, Data)}


def value(chance: random.Random, kinds: dict[str, type], harm: Harm, depth: int) -> Any:
    """Return a value, most of it a term."""
    more = chance.randrange(0, 5) if depth else 0
    parts = [value(chance, kinds, harm, depth - 1) for _ in range(more)]
    match chance.randrange(22):
        case 0:
            harm.lists.append(parts)
            return parts
        case 1:
            return tuple(parts)
        case 2:
            place = dict(enumerate(parts))
            harm.dicts.append(place)
            return place
        case 3:
            made = kinds["List"](parts)
            harm.lists.append(made)
            return made
        case 4:
            return kinds["Tuple"](parts)
        case 5:
            made = kinds["Dict"]({(number, b"k"): part for number, part in enumerate(parts)})
            harm.dicts.append(made)
            return made
        case 6:
            return kinds["Text"]("text")
        case 7:
            return kinds["Number"](chance.choice((0, 300, -(2**70))))
        case 8:
            return kinds["Float"](1.5)
        case 9:
            return kinds["Data"](b"data")
        case 10:
            array = bytearray(b"array" * chance.randrange(1, 2000))
            harm.arrays.append(array)
            return chance.choice((array, memoryview(bytes(array)), memoryview(b"abc")[::2]))
        case 11:
            return TermMap([(1, parts), (1.0, 2), (True, parts), ([1], 3)])
        case 12:
            return ImproperList([1, *parts], kinds["Text"]("tail"))
        case 13:
            return OpaqueFun("m", 1, 0, b"u" * 16, 0, 0, Pid(NODE, 1, 2, 3), parts)
        case 14:
            return Record("m", "r", True, [("a", parts), ("b", kinds["Number"](5))])
        case 15:
            return {kinds["Text"]("key"): parts, kinds["Number"](1): 1, "key": 2, b"key": 3}
        case 16:
            return Pid(NODE, chance.choice((1, 2**32, kinds["Number"](4))), 0, 1)
        case 17:
            return Reference(NODE, 1, chance.choice(((1, 2, 3), (), (1, 2**40))))
        case 18:
            return [1, 2, 255, *parts, 3]
        case 19:
            return BitString(b"\xa0", 3)
        case _:
            if chance.random() < 0.02:
                return chance.choice(("\ud800", object()))
            leaves = (1, -1, 2**64, 1.5, None, True, b"b" * 300, "é", atom.a, LARGE)
            return chance.choice((*leaves, ExportFun("m", "f", 2)))


def encoded(chance: random.Random) -> int:
    """Encode what does harm; return how often it did."""
    harm = Harm(chance)
    given = [value(chance, harmful(harm), harm, 4) for _ in range(3)]
    harm.lists.append(given)
    for records in (True, False):
        loop: list[Any] = [Finalizer(harm)]
        loop.append(loop)
        del loop
        with contextlib.suppress(EncodeError, DecodeError):
            etf.decode_payload(etf.encode_payload(given, records=records), 0)
        with contextlib.suppress(EncodeError, DecodeError):
            etf.decode_payload(bytes(etf.encode_pieces(given, records=records)), 0)
    return harm.made


def decoded(chance: random.Random) -> int:
    """Decode what has many containers while the collector runs finalizers all the time."""
    made = 0
    term = [({b"key": [number]}, {number: (number,)}, [[number]], Pid(NODE, number, 0, 1))
            for number in range(30)]  # fmt: skip
    wire = etf.encode([term, Atom(f"new {chance.random()}")])

    class Inner:
        def __del__(self) -> None:
            nonlocal made
            made += 1
            if made % 3:
                assert len(etf.decode(wire)[0]) == 30
            else:
                assert etf.encode([term, *[{b"key": None}] * 3])

    for _ in range(20):
        loop: list[Any] = [Inner()]
        loop.append(loop)
        del loop
        found = etf.decode(wire)
        assert identical(found[0], term)
        assert etf.encode(found) == wire
    return made


def run(rounds: int) -> tuple[int, int]:
    """Return how often harm was done to encoding, and to decoding."""
    gc.set_threshold(20)
    one = two = 0
    for number in range(rounds):
        one += encoded(random.Random(number))
        if number % 10 == 0:
            two += decoded(random.Random(number))
    return one, two


if __name__ == "__main__":
    print(*run(int(sys.argv[1])))
