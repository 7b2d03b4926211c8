"""The first bytes of a frame: which form it has, and its atom cache references.

==============  ==========================================================================
131, 68         distribution header: references, then control message and payload
131, 69         the same for the first fragment, with sequence and number of fragments
131, 70         a further fragment: sequence, number of those left, bytes
112             pass-through, where neither cache nor fragments are agreed: each term has
                its own 131
==============  ==========================================================================

Source: "External Term Format", section "Distribution Header"; ``erts_prepare_dist_ext`` in
``external.c``.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = [
    "CONTINUE_HEAD",
    "EMPTY_HEADER",
    "FRAGMENT",
    "FRAGMENT_CONTINUE",
    "FRAGMENT_START",
    "FRAME_HEAD",
    "HEADER",
    "PASS_THROUGH",
    "START_HEAD",
    "VERSION",
]

VERSION: Final = 131
HEADER: Final = 68
FRAGMENT_START: Final = 69
FRAGMENT_CONTINUE: Final = 70
PASS_THROUGH: Final = 112

#: Length, 131, 68, no references: in front of a whole message.
FRAME_HEAD: Final = struct.Struct(">IBBB")
#: Length, 131, 69, sequence, fragments, no references.
START_HEAD: Final = struct.Struct(">IBBQQB")
#: Length, 131, 70, sequence, fragments left.
CONTINUE_HEAD: Final = struct.Struct(">IBBQQ")
#: Sequence and fragment, behind the first two bytes.
FRAGMENT: Final = struct.Struct(">QQ")
EMPTY_HEADER: Final = 3
"""Bytes of a header without references: 131, 68, 0."""
