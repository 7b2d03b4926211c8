from pynode.etf._pure_decoder import decode, decode_payload, decode_prefix
from pynode.etf._pure_encoder import encode, encode_payload, encode_pieces

__all__ = [
    "decode",
    "decode_payload",
    "decode_prefix",
    "encode",
    "encode_payload",
    "encode_pieces",
]
