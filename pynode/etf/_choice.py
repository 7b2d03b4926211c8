"""The one module that chooses which codec serves."""

from __future__ import annotations

from typing import Final

from pynode.etf._pure_decoder import decode, decode_payload, decode_prefix
from pynode.etf._pure_encoder import encode, encode_payload

__all__ = [
    "IMPLEMENTATION",
    "decode",
    "decode_payload",
    "decode_prefix",
    "encode",
    "encode_payload",
]

IMPLEMENTATION: Final = "pure"
