"""The codec, beside msgpack, marshal, orjson, the BEAM's own and other Python codecs."""

from __future__ import annotations

import gc
import importlib
import marshal
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import msgpack  # a reference, not a dependency

from pynode import etf
from pynode.etf import _pure_decoder, _pure_encoder
from pynode.terms import Pid, atom
from pynode.testing import Beam
from scripts.benchmark.rows import MICRO, Row, Scale

__all__ = ["growth", "measure"]


class Corpus(NamedTuple):
    """One of the six: the term, its like for formats without atoms and pids, loops of a round."""

    name: str
    term: Any
    like: Any
    loops: int


def _value(number: int) -> Any:
    return (number, number * 1.5, b"value_%d" % number, True, [number, 2, 3])[number % 5]


def _rows_of(number: int) -> dict[bytes, Any]:
    return {b"id": number, b"name": b"user_%d" % number, b"ok": True}


def _corpora() -> list[Corpus]:
    pid = Pid(atom("node1@myhost"), 59, 0, 1)
    cast = (atom("$gen_cast"), (atom.subscribe, atom.name, pid))
    cast_like = [b"$gen_cast", [b"subscribe", b"name", b"pid-of-27-bytes-on-the-wire"]]
    table = {b"key_%02d" % number: _value(number) for number in range(20)}
    integers = [number * 7 for number in range(1000)]
    floats = [number * 1.1 for number in range(1000)]
    maps = [_rows_of(number) for number in range(1000)]
    blob = bytes(range(256)) * 4096
    return [
        Corpus("small cast", cast, cast_like, 20_000),
        Corpus("map of 20", table, table, 5_000),
        Corpus("1000 ints", integers, integers, 300),
        Corpus("1000 floats", floats, floats, 300),
        Corpus("1000 small maps", maps, maps, 30),
        Corpus("1 MiB binary", blob, blob, 300),
    ]


_PORTIONS: Final = 5
#: Against the BEAM's own: target and floor.
_BEAM: Final = {"small cast": (0.6, 1.0), "map of 20": (1.4, 2.0)}


def _timed(function: Callable[[Any], Any], value: Any, loops: int) -> float:
    """Return microseconds of one: the best of some portions, for others use the machine too."""
    portion = max(1, loops // _PORTIONS)
    best = float("inf")
    for _ in range(_PORTIONS):
        begun = time.perf_counter()
        for _ in range(portion):
            function(value)
        best = min(best, time.perf_counter() - begun)
    return best / portion * MICRO


def _timed_there(beam: Beam, function: str, value: Any, loops: int) -> float:
    """Return the same of the BEAM's own codec."""
    portion = max(1, loops // _PORTIONS)
    spent = (beam.rpc("pynode_bench", function, [value, portion]) for _ in range(_PORTIONS))
    return float(min(spent)) / portion


def measure(scale: Scale, beam: Beam) -> list[Row]:
    """Return the rows of the codec; targets are those of the compiled one."""
    rows: list[Row] = []
    for corpus in _corpora():
        rows += _against_msgpack(corpus, scale)
        if corpus.name in _BEAM:
            rows += _against_beam(corpus, scale, beam)
        if corpus.name in ("map of 20", "1000 small maps"):
            rows += _against_others(corpus, scale)
        rows += _against_rivals(corpus, scale)
    return rows


def growth(scale: Scale) -> Row:
    """Return the row of how much more one of many items takes to decode than one of few.

    Beside msgpack's: memory that the system gives anew, a page at a time, and the collector's
    looks at it have their price for both, most of the growth; ours is what is beyond.
    """
    row = Row("decode: growth to 100,000 items", "msgpack's", "times", 1.2, 1.5)
    unpack = partial(msgpack.unpackb, use_list=False)
    for _ in range(scale.rounds):
        other = _grown(msgpack.packb, unpack, 1, scale)
        row.add(_grown(etf.encode, etf.decode, atom.item, scale), other)
    return row


def _grown(
    encode: Callable[[Any], Any], decode: Callable[[Any], Any], mark: Any, scale: Scale
) -> float:
    """Return the time of one item of many by that of one of few, which are done more often."""
    spent = []
    for size, loops in ((1000, 100), (100_000, 1)):
        size = scale.of(size, 20)
        encoded = encode([(mark, number, b"text") for number in range(size)])
        gc.collect()
        best = float("inf")
        for _ in range(_PORTIONS):
            begun = time.process_time()
            for _ in range(loops):
                decode(encoded)
            best = min(best, time.process_time() - begun)
        spent.append(best / loops / size)
    return spent[1] / spent[0]


def _against_msgpack(corpus: Corpus, scale: Scale) -> list[Row]:
    compiled = etf.IMPLEMENTATION == "compiled"
    large = corpus.name == "1 MiB binary"
    targets = ((0.35, 0.6), (1.0, 1.15) if large else (0.7, 0.9))
    (encode, decode) = (
        Row(f"{verb} {corpus.name}", "msgpack", "us", *(bounds if compiled else ()))
        for verb, bounds in zip(("encode", "decode"), targets, strict=True)
    )
    encoded, packed = etf.encode(corpus.term), msgpack.packb(corpus.like)
    loops = scale.of(corpus.loops, 10)
    for _ in range(scale.rounds):
        other = _timed(msgpack.packb, corpus.like, loops)
        encode.add(_timed(etf.encode, corpus.term, loops), other)
        other = _timed(msgpack.unpackb, packed, loops)
        decode.add(_timed(etf.decode, encoded, loops), other)
    return [encode, decode]


def _against_beam(corpus: Corpus, scale: Scale, beam: Beam) -> list[Row]:
    bounds = _BEAM[corpus.name] if etf.IMPLEMENTATION == "compiled" else ()
    encode = Row(f"encode {corpus.name}", "BEAM", "us", *bounds)
    decode = Row(f"decode {corpus.name}", "BEAM", "us", *bounds)
    encoded = etf.encode(corpus.term)
    loops = scale.of(corpus.loops * 5, 50)
    for _ in range(scale.rounds):
        other = _timed_there(beam, "encode", corpus.term, loops)
        encode.add(_timed(etf.encode, corpus.term, loops), other)
        other = _timed_there(beam, "decode", encoded, loops)
        decode.add(_timed(etf.decode, encoded, loops), other)
    return [encode, decode]


def _against_others(corpus: Corpus, scale: Scale) -> list[Row]:
    """Beside formats that are other languages' or nobody else's: for orientation, no targets."""
    import orjson

    text = _as_text(corpus.like)
    others: list[tuple[str, Any, Callable[[Any], Any], Callable[[Any], Any]]] = [
        ("marshal", corpus.like, marshal.dumps, marshal.loads),
        ("orjson", text, orjson.dumps, orjson.loads),
    ]
    loops = scale.of(corpus.loops, 10)
    encoded = etf.encode(corpus.term)
    rows = []
    for name, like, pack, unpack in others:
        encode = Row(f"encode {corpus.name}", name, "us")
        decode = Row(f"decode {corpus.name}", name, "us")
        packed = pack(like)
        for _ in range(scale.rounds):
            other = _timed(pack, like, loops)
            encode.add(_timed(etf.encode, corpus.term, loops), other)
            other = _timed(unpack, packed, loops)
            decode.add(_timed(etf.decode, encoded, loops), other)
        rows += [encode, decode]
    return rows


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    if isinstance(value, dict):
        return {_as_text(key): _as_text(each) for key, each in value.items()}
    return value


class Rival(NamedTuple):
    """Another codec of this format in pure Python."""

    name: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    atom: Callable[[str], Any]


def _rivals() -> list[Rival]:
    """Return the rivals that are installed."""
    try:
        erlastic: Any = importlib.import_module("erlastic")
    except ImportError:
        return []
    return [Rival("erlastic", erlastic.encode, erlastic.decode, erlastic.Atom)]


def _for_rivals(corpus: Corpus, make: Callable[[str], Any]) -> Any:
    """Return the corpus without pids, whose form has changed since those codecs were written."""
    if corpus.name != "small cast":
        return corpus.like
    return (make("$gen_cast"), (make("subscribe"), make("name"), 59))


def _against_rivals(corpus: Corpus, scale: Scale) -> list[Row]:
    """Our pure codec beside pure ones."""
    loops = max(1, scale.of(corpus.loops, 10) // 10)
    rows = []
    for name, pack, unpack, make in _rivals():
        like, ours = _for_rivals(corpus, make), _for_rivals(corpus, atom)
        try:
            pack(like)
        except NotImplementedError:
            continue  # it knows no maps
        encode = Row(f"encode {corpus.name}, pure", name, "us", 0.5, 0.8)
        decode = Row(f"decode {corpus.name}, pure", name, "us", 0.5, 0.8)
        if corpus.name == "1 MiB binary":  # a copy is a copy
            encode.target = encode.floor = decode.target = decode.floor = None
        encoded, packed = etf.encode(ours), pack(like)
        for _ in range(scale.rounds):
            other = _timed(pack, like, loops)
            encode.add(_timed(_pure_encoder.encode, ours, loops), other)
            other = _timed(unpack, packed, loops)
            decode.add(_timed(_pure_decoder.decode, encoded, loops), other)
        rows += [encode, decode]
    return rows
