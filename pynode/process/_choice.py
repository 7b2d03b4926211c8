"""What is compiled here, where the compiled codec serves; else None.

The way of plain messages, in and out, the calls, and the timers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pynode.etf import IMPLEMENTATION

__all__ = [
    "CallSlot",
    "InboundMessages",
    "OutboundMessages",
    "TimerHeap",
    "decode_view",
    "sender",
]

CallSlot: Any = None
InboundMessages: Any = None
OutboundMessages: Any = None
TimerHeap: Any = None
sender: Any = None
decode_view: Any = None

if not TYPE_CHECKING and IMPLEMENTATION == "compiled":
    try:
        from pynode.process._calls import CallSlot, OutboundMessages, sender
        from pynode.process._compiled import InboundMessages, decode_view
        from pynode.process._timers import TimerHeap
    except ImportError:  # a checkout whose codec alone was built
        if os.environ.get("PYNODE_IMPL") == "compiled":
            raise
