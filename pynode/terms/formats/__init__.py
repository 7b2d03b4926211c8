"""Erlang's formatted output: the control sequences ``~p``, ``~s``, ``~w`` and the others.

What a BEAM sends to a group leader is the control string and its arguments, so whoever leads a
BEAM's processes needs the formats of ``io_lib``.  The text is that of OTP, broken into lines as
OTP does it.  Three things are this node's own: identifiers of other nodes, which are shown with
the name of their node; maps, which keep the order in which they came (a BEAM reorders those of
more than 32 keys); and the clusters of combining characters, by a short form of Unicode's rules.

Depth of terms does not matter, nothing here recurses.  Source: io_lib.erl, io_lib_format.erl,
io_lib_pretty.erl.
"""

from __future__ import annotations

from .control import format_text
from .errors import FormatError, NotHere, TooLong
from .pretty import print_term
from .settings import Settings
from .write import write_term

__all__ = [
    "FormatError",
    "NotHere",
    "Settings",
    "TooLong",
    "format_text",
    "print_term",
    "write_term",
]
