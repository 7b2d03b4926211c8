"""The compiled way of plain messages, in and out, where the compiled codec serves; else None."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pynode.etf import IMPLEMENTATION

__all__ = ["InboundMessages", "OutboundMessages", "decode_view", "run_messages"]

InboundMessages: Any = None
OutboundMessages: Any = None
decode_view: Any = None
run_messages: Any = None

if not TYPE_CHECKING and IMPLEMENTATION == "compiled":
    try:
        from pynode.process._compiled import (
            InboundMessages,
            OutboundMessages,
            decode_view,
            run_messages,
        )
    except ImportError:  # a checkout whose codec alone was built
        if os.environ.get("PYNODE_IMPL") == "compiled":
            raise
