"""Large binaries: their memory is the system's, whole huge pages where it has them."""

from __future__ import annotations

import random

import pytest

from pynode.etf import decode, encode

MIB = 1024 * 1024


@pytest.mark.parametrize("size", [4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 4097])
def test_every_byte_arrives(size: int) -> None:
    blob = random.Random(size).randbytes(size)
    term = [b"before", blob, (blob[: size - 1], 1), b"after"]
    assert decode(encode(term)) == term


def test_as_text() -> None:
    blob = "\N{SNOWMAN}" * (2 * MIB)
    assert decode(encode(blob), text=True) == blob
    assert decode(encode(blob.encode() + b"\xff"), text=True) == blob.encode() + b"\xff"
