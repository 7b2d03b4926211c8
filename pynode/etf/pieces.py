"""An encoded term in pieces, of which the large binaries are the values themselves, not copies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

__all__ = ["PIECE_BYTES", "Encoded", "Pieces", "in_pieces"]

#: A binary from this size on is a piece of its own.  Below, a copy costs less than the care.
PIECE_BYTES: Final = 128 * 1024


class Pieces:
    """The pieces, to be written in order; its length is that of all."""

    __slots__ = ("_size", "pieces")

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces: Final = tuple(pieces)
        self._size: Final = sum(map(len, self.pieces))

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)


Encoded: TypeAlias = bytes | Pieces


def in_pieces(parts: Iterable[bytes]) -> Encoded:
    """Join the small ones of ``parts``; return a Pieces only where there is a large one."""
    pieces: list[bytes] = []
    small: list[bytes] = []
    for part in parts:
        if len(part) < PIECE_BYTES:
            small.append(part)
            continue
        if small:
            pieces.append(b"".join(small))
            small.clear()
        pieces.append(part)
    if not pieces:
        return b"".join(small)
    if any(small):
        pieces.append(b"".join(small))
    return Pieces(pieces)
