"""The compiled core of processes where it was built and the compiled codec serves; else None."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pynode.etf import IMPLEMENTATION

__all__ = ["send_here", "spawn_function", "stepping"]

stepping: Any = None

if not TYPE_CHECKING and IMPLEMENTATION == "compiled":
    try:
        from pynode.process import _stepping as stepping
    except ImportError:  # a checkout whose codec alone was built
        if os.environ.get("PYNODE_IMPL") == "compiled":
            raise

#: ``send_here(runtime, dest, message)`` and ``spawn_function(runtime, function, args)`` do what is
#: plain, and answer False or None to what needs a closer look; None: there is no such way.
send_here: Any = None if stepping is None else stepping.send_here
spawn_function: Any = None if stepping is None else stepping.spawn_function
