"""The compiled short way of plain messages, where the compiled codec serves; else None.

What it does, :mod:`pynode.dist.connection` and :mod:`pynode.dist.outbox` do as well.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pynode.etf import IMPLEMENTATION

__all__ = ["Gather", "Intake", "Place"]

Gather: Any = None
Intake: Any = None
Place: Any = None

if not TYPE_CHECKING and IMPLEMENTATION == "compiled":
    try:
        from pynode.dist._compiled import Gather, Intake, Place
    except ImportError:  # a checkout whose codec alone was built
        if os.environ.get("PYNODE_IMPL") == "compiled":
            raise
