"""The remote shell: a Python prompt for ``iex --remsh`` and ``erl -remsh``."""

from __future__ import annotations

from .service import Shell

__all__ = ["Shell"]
