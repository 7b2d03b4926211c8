"""The one module that chooses which codec serves; see :mod:`pynode.terms._choice`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynode.terms._choice import IMPLEMENTATION

if TYPE_CHECKING or IMPLEMENTATION == "pure":
    from pynode.etf._pure_decoder import decode, decode_payload, decode_prefix
    from pynode.etf._pure_encoder import encode, encode_payload, encode_pieces
else:
    from pynode.etf._compiled import (
        decode,
        decode_payload,
        decode_prefix,
        encode,
        encode_payload,
        encode_pieces,
    )

__all__ = [
    "IMPLEMENTATION",
    "decode",
    "decode_payload",
    "decode_prefix",
    "encode",
    "encode_payload",
    "encode_pieces",
]
