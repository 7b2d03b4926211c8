"""The External Term Format: Erlang terms to bytes and back.

``IMPLEMENTATION`` says which codec serves: ``"compiled"`` or ``"pure"``.
"""

from pynode.etf._choice import (
    IMPLEMENTATION,
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
