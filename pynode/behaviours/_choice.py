"""The compiled dispatch of messages, where the compiled codec serves; else its pure roots."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from pynode.etf import IMPLEMENTATION

__all__ = ["CallerRoot", "QuickBody", "set_caller_type"]

#: Says what servers are given as the caller; None: they are given what it says anyhow.
set_caller_type: Any = None


class CallerRoot:
    """What a :class:`pynode.behaviours.gen.Caller` is made of."""

    __slots__ = ("_process", "term")

    def __init__(self, process: Any, term: Any) -> None:
        self._process = process
        self.term: Final = term


class QuickBody:
    """What the body of every behaviour is made of."""

    __slots__ = ("extra", "next", "server")


if not TYPE_CHECKING and IMPLEMENTATION == "compiled":
    try:
        from pynode.behaviours._compiled import CallerRoot, QuickBody, set_caller_type
    except ImportError:  # a checkout whose codec alone was built
        if os.environ.get("PYNODE_IMPL") == "compiled":
            raise
