"""Each tag by its name, byte for byte, as OTP writes it (seen with ``term_to_binary``)."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from pynode.errors import DecodeError, EncodeError
from pynode.etf import decode, decode_payload, decode_prefix, encode, encode_payload
from pynode.etf.tags import NAMES
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
    identical,
)

NODE = "770361406a"  # 'a@j'
J = atom("a@j")
PID = Pid(J, 1, 2, 3)

FUN_HEX = (
    "70 0000003b 02 75757575757575757575757575757575 00000003 00000001 77016d 6103 614d"
    f"58 {NODE} 00000001 00000002 00000003 6b0002 0102"
).replace(" ", "")

#: Tag, bytes after 131, term: written so, and read so.
BOTH_WAYS: list[tuple[str, str, Any]] = [
    ("SMALL_INTEGER_EXT", "6100", 0),
    ("SMALL_INTEGER_EXT", "61ff", 255),
    ("INTEGER_EXT", "6200000100", 256),
    ("INTEGER_EXT", "62ffffffff", -1),
    ("INTEGER_EXT", "627fffffff", 2**31 - 1),
    ("INTEGER_EXT", "6280000000", -(2**31)),
    ("SMALL_BIG_EXT", "6e040000000080", 2**31),
    ("SMALL_BIG_EXT", "6e040101000080", -(2**31) - 1),
    ("SMALL_BIG_EXT", "6e0800ffffffffffffffff", 2**64 - 1),
    ("SMALL_BIG_EXT", "6eff00" + "00" * 254 + "80", 1 << 255 * 8 - 1),
    ("LARGE_BIG_EXT", "6f0000010001" + "00" * 255 + "01", -(1 << 255 * 8)),
    ("NEW_FLOAT_EXT", "463ff8000000000000", 1.5),
    ("NEW_FLOAT_EXT", "468000000000000000", -0.0),
    ("SMALL_ATOM_UTF8_EXT", "77026f6b", atom.ok),
    ("SMALL_ATOM_UTF8_EXT", "7700", atom("")),
    ("SMALL_ATOM_UTF8_EXT", "7702c3a9", atom("é")),
    ("SMALL_ATOM_UTF8_EXT", "770474727565", True),
    ("SMALL_ATOM_UTF8_EXT", "770566616c7365", False),
    ("SMALL_ATOM_UTF8_EXT", "77036e696c", None),
    ("ATOM_UTF8_EXT", "7601fe" + "c3a9" * 255, atom("é" * 255)),
    ("NIL_EXT", "6a", []),
    ("STRING_EXT", "6b0003010203", [1, 2, 3]),
    ("STRING_EXT", "6bffff" + "00" * 65535, [0] * 65535),
    ("LIST_EXT", "6c00010000" + "6101" * 65536 + "6a", [1] * 65536),
    ("LIST_EXT", "6c000000016200000100" + "6a", [256]),
    ("LIST_EXT", "6c000000026101463ff00000000000006a", [1, 1.0]),
    ("LIST_EXT", "6c0000000161016102", ImproperList([1], 2)),
    ("LIST_EXT", "6c000000017705616c6961736d00000000", ImproperList([atom.alias], b"")),
    ("SMALL_TUPLE_EXT", "6800", ()),
    ("SMALL_TUPLE_EXT", "68026101" + "6800", (1, ())),
    ("SMALL_TUPLE_EXT", "68ff" + "6a" * 255, ([],) * 255),
    ("LARGE_TUPLE_EXT", "6900000100" + "6a" * 256, ([],) * 256),
    ("MAP_EXT", "7400000000", {}),
    ("MAP_EXT", "74000000016d0000000161" + "6102", {b"a": 2}),
    (
        "MAP_EXT",
        "74000000026101" + "6a" + "463ff0000000000000" + "6a",
        TermMap([(1, []), (1.0, [])]),
    ),
    ("MAP_EXT", "74000000016b000161" + "6a", TermMap([([97], [])])),
    ("BINARY_EXT", "6d00000000", b""),
    ("BINARY_EXT", "6d00000003616200", b"ab\0"),
    ("BIT_BINARY_EXT", "4d000000010380", BitString(b"\x80", 3)),
    ("BIT_BINARY_EXT", "4d0000000207ff80", BitString(b"\xff\x80", 7)),
    ("NEW_PID_EXT", f"58{NODE}000000010000000200000003", PID),
    ("NEW_PID_EXT", f"58{NODE}ffffffffffffffffffffffff", Pid(J, 2**32 - 1, 2**32 - 1, 2**32 - 1)),
    ("V4_PORT_EXT", f"78{NODE}000000000000000600000003", Port(J, 6, 3)),
    ("V4_PORT_EXT", f"78{NODE}ffffffffffffffff00000003", Port(J, 2**64 - 1, 3)),
    *[
        (
            "NEWER_REFERENCE_EXT",
            f"5a{count:04x}{NODE}00000003" + "".join(f"{word:08x}" for word in range(1, count + 1)),
            Reference(J, 3, tuple(range(1, count + 1))),
        )
        for count in range(1, 6)
    ],
    ("EXPORT_EXT", "7177056c69737473" + "77036d6170" + "6102", ExportFun("lists", "map", 2)),
    ("EXPORT_EXT", "7177036e696c" + "770474727565" + "6100", ExportFun(None, True, 0)),
    ("NEW_FUN_EXT", FUN_HEX, OpaqueFun("m", 2, 3, b"u" * 16, 3, 77, PID, [[1, 2]])),
    (
        "RECORD_EXT",
        "43000000020177016d7701727701617701626101" + "6a",
        Record("m", "r", True, [("a", 1), ("b", [])]),
    ),
    ("RECORD_EXT", "43000000000077016d770172", Record("m", "r", False, [])),
]

#: Tag, bytes after 131, term: read so, written otherwise.
READ_ONLY: list[tuple[str, str, Any]] = [
    ("FLOAT_EXT", "63" + b"1.50000000000000000000e+00".ljust(31, b"\0").hex(), 1.5),
    ("FLOAT_EXT", "63" + b"-2.50000000000000000000e-03".ljust(31, b"\0").hex(), -0.0025),
    ("ATOM_EXT", "6400026f6b", atom.ok),
    ("ATOM_EXT", "640001e9", atom("é")),
    ("ATOM_EXT", "64000474727565", True),
    ("SMALL_ATOM_EXT", "73026f6b", atom.ok),
    ("SMALL_ATOM_EXT", "7301e9", atom("é")),
    ("SMALL_ATOM_EXT", "73036e696c", None),
    ("ATOM_UTF8_EXT", "7600026f6b", atom.ok),
    ("PID_EXT", f"67{NODE}000000010000000203", PID),
    ("PORT_EXT", f"66{NODE}0000000603", Port(J, 6, 3)),
    ("NEW_PORT_EXT", f"59{NODE}0000000600000003", Port(J, 6, 3)),
    ("REFERENCE_EXT", f"65{NODE}0000000103", Reference(J, 3, (1,))),
    ("NEW_REFERENCE_EXT", f"720002{NODE}030000000100000002", Reference(J, 3, (1, 2))),
    ("NEW_PID_EXT", "58640003" + "61406a" + "000000010000000200000003", PID),
    ("SMALL_BIG_EXT", "6e0000", 0),
    ("SMALL_BIG_EXT", "6e0001", 0),
    ("SMALL_BIG_EXT", "6e030005" + "0000", 5),
    ("SMALL_BIG_EXT", "6e010205", -5),
    ("LARGE_BIG_EXT", "6f000000020000" + "01", 256),
    ("STRING_EXT", "6b0000", []),
    ("LARGE_TUPLE_EXT", "69000000016a", ([],)),
    ("LARGE_TUPLE_EXT", "6900000000", ()),
    ("LIST_EXT", "6c000000006a", []),
    ("LIST_EXT", "6c000000006105", 5),
    ("LIST_EXT", "6c0000000161016b00020203", [1, 2, 3]),
    ("LIST_EXT", "6c0000000161016c0000000161026a", [1, 2]),
    ("LIST_EXT", "6c0000000161016c0000000161026103", ImproperList([1, 2], 3)),
    ("BIT_BINARY_EXT", "4d0000000108ff", b"\xff"),
    ("BIT_BINARY_EXT", "4d0000000103ff", BitString(b"\xe0", 3)),
    ("EXPORT_EXT", "7177016d770166" + "6200000002", ExportFun("m", "f", 2)),
    (
        "COMPRESSED",
        "5000000007" + zlib.compress(bytes.fromhex("6b000400000000")[:7]).hex(),
        [0] * 4,
    ),
]


def case_id(case: tuple[str, str, Any]) -> str:
    return f"{case[0]}-{case[1][:24]}"


@pytest.mark.parametrize("case", BOTH_WAYS, ids=case_id)
def test_written_and_read(case: tuple[str, str, Any]) -> None:
    name, data, term = case
    wire = b"\x83" + bytes.fromhex(data)
    assert NAMES[wire[1]] == name
    assert encode(term).hex() == wire.hex()
    found = decode(wire)
    assert type(found) is type(term)
    assert identical(found, term)
    assert repr(found) == repr(term)
    assert encode_payload(term, records=True) == wire[1:]
    assert decode_payload(b"before" + wire[1:] + b"after", 6, ()) == (found, 6 + len(wire) - 1)


@pytest.mark.parametrize("case", READ_ONLY, ids=case_id)
def test_read(case: tuple[str, str, Any]) -> None:
    name, data, term = case
    wire = b"\x83" + bytes.fromhex(data)
    assert NAMES[wire[1]] == name
    found = decode(wire)
    assert type(found) is type(term)
    assert identical(found, term)


@pytest.mark.parametrize("case", BOTH_WAYS + READ_ONLY, ids=case_id)
def test_every_truncation_is_refused(case: tuple[str, str, Any]) -> None:
    wire = b"\x83" + bytes.fromhex(case[1])
    step = max(1, len(wire) // 300)
    for size in range(0, len(wire), step):
        with pytest.raises(DecodeError) as caught:
            decode(wire[:size])
        assert 0 <= caught.value.offset <= size


#: Bytes after 131, offset, a part of the message.
REFUSED: list[tuple[str, int, str]] = [
    ("", 1, "truncated"),
    ("00", 1, "unknown tag 0"),
    ("83", 1, "unknown tag 131"),
    ("75" + "00" * 30, 1, "FUN_EXT"),
    ("79" + "00" * 30, 1, "LOCAL_EXT"),
    ("5200", 1, "no atom 0"),
    ("6801" + "50", 3, "COMPRESSED"),
    ("6d00000005616263", 1, "truncated"),
    ("6dffffffff", 1, "truncated"),
    ("6cffffffff6a", 1, "truncated"),
    ("69ffffffff6a", 1, "truncated"),
    ("74ffffffff6a", 1, "truncated"),
    ("6fffffffff0001", 1, "truncated"),
    ("43ffffffff0177016d770172", 1, "truncated"),
    ("6bffff00", 1, "truncated"),
    ("6802" + "6101" + "61", 5, "truncated"),
    ("6802" + "6101" + "6d00000009", 5, "truncated"),
    ("6802" + "6101", 5, "truncated"),
    ("467ff0000000000000", 1, "not finite"),
    ("46fff8000000000000", 1, "not finite"),
    ("68016c00000009" + "460000000000000000" * 8 + "467ff0000000000001" + "6a", 80, "not finite"),
    ("63" + "ff" * 31, 1, "FLOAT_EXT"),
    ("63" + b"1e400".ljust(31, b"\0").hex(), 1, "FLOAT_EXT"),
    ("63" + b"1.0e999".ljust(31, b"\0").hex(), 1, "not finite"),
    ("63" + b"nan".ljust(31, b"\0").hex(), 1, "FLOAT_EXT"),
    ("7701ff", 1, "no UTF-8"),
    ("7703eda080", 1, "no UTF-8"),
    ("760100" + "61" * 256, 1, "256 characters"),
    ("640100" + "61" * 256, 1, "256 characters"),
    ("4d000000010980", 1, "9 bits"),
    ("4d000000010080", 1, "0 bits"),
    ("4d0000000003", 1, "3 bits"),
    ("7400000002" + "6101" + "6a" + "6101" + "6a", 1, "two keys"),
    ("7400000002" + "6b000161" + "6a" + "6b000161" + "6a", 1, "two keys"),
    ("7400000002" + "6c0000000161616a" + "6a" + "6b000161" + "6a", 1, "two keys"),
    ("5a0000" + NODE + "00000003", 1, "0 words"),
    ("5a0006" + NODE + "00000003" + "00" * 24, 1, "6 words"),
    ("58770474727565000000010000000200000003", 2, "name of a node"),
    ("58" + "6101" + "000000010000000200000003", 2, "where an atom belongs"),
    (f"67{NODE}000000010000000204", 1, "creation of 4"),
    (f"66{NODE}0000000604", 1, "creation of 4"),
    (f"65{NODE}0000000104", 1, "creation of 4"),
    (f"720001{NODE}0400000001", 1, "creation of 4"),
    ("7177016d770166" + "62ffffffff", 1, "arity"),
    ("7177016d770166" + "770161", 8, "where an integer belongs"),
    (FUN_HEX.replace("58" + NODE, "68" + NODE), 38, "where a pid belongs"),
    ("43000000000277016d770172", 1, "exported"),
    ("430000000201" + "77016d" + "770172" + "770161" * 2 + "6a6a", 1, "twice"),
    ("430000000101" + "77016d" + "770172" + "6101" + "6a", 13, "where an atom belongs"),
    ("5000000005" + "00", 1, "decompressed"),
    ("5000000004" + zlib.compress(b"\x6a").hex(), 1, "not 4 bytes"),
    ("5000000001" + zlib.compress(b"\x6a\x6a").hex(), 1, "not 1 bytes"),
    ("5000000000" + zlib.compress(b"").hex(), 1, "truncated"),
    ("5000000002" + zlib.compress(b"\x6a\x6a").hex(), 1, "1 bytes after"),
    ("50ffffffff" + zlib.compress(b"\x6a").hex(), 1, "term_bytes"),
    ("6a6a", 2, "1 bytes after the term"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0][:24]}-{case[2]}")
def test_refused(case: tuple[str, int, str]) -> None:
    data, offset, problem = case
    with pytest.raises(DecodeError, match=problem) as caught:
        decode(b"\x83" + bytes.fromhex(data))
    assert caught.value.offset == offset


@pytest.mark.parametrize("data", [b"", b"\x82a\1", b"a\1"])
def test_version_byte(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert caught.value.offset == 0


def test_prefix() -> None:
    data = b"xx" + encode(1) + encode([256]) + b"rest"
    first, offset = decode_prefix(data, 2)
    assert (first, offset) == (1, 5)
    assert decode_prefix(data, offset) == ([256], len(data) - 4)
    compressed = b"\x83P\0\0\0\1" + zlib.compress(b"j")
    assert decode_prefix(compressed + b"rest") == ([], len(compressed))
    with pytest.raises(DecodeError) as caught:
        decode_prefix(b"ab", 9)
    assert caught.value.offset == 2


def test_any_bytes_like() -> None:
    wire = encode((b"x", atom.a))
    assert decode(bytearray(wire)) == decode(memoryview(wire)) == (b"x", atom.a)
    assert decode_payload(memoryview(wire), 1, ()) == ((b"x", atom.a), len(wire))


def test_atom_cache_references() -> None:
    data = bytes.fromhex("6803" + "5200" + "5202" + "58" + "5201" + "000000010000000200000003")
    term, end = decode_payload(data, 0, [atom.x, J, True])
    assert term == (atom.x, True, PID)
    assert end == len(data)
    with pytest.raises(DecodeError, match="no atom 2") as caught:
        decode_payload(data, 0, [atom.x, J])
    assert caught.value.offset == 4
    with pytest.raises(DecodeError, match="name of a node") as caught:
        decode_payload(data, 0, [atom.x, None, True])
    assert caught.value.offset == 7


def test_records_only_where_they_are_agreed() -> None:
    record = Record("m", "r", True, [])
    with pytest.raises(EncodeError, match="record"):
        encode_payload([record])
    assert encode_payload(record, records=True)[0] == 67


def test_text() -> None:
    wire = encode([b"text", b"\xff", {b"k": (b"v",)}, BitString(b"a", 3)])
    assert decode(wire, text=True) == ["text", b"\xff", {"k": ("v",)}, BitString(b"a", 3)]
    assert decode_payload(wire, 1, (), text=True)[0][0] == "text"
    assert decode(bytes.fromhex("834d000000010861"), text=True) == "a"
