"""What every node runs: net_kernel, global, rex, erpc, the logger's proxy, the group leader."""

from __future__ import annotations

from pynode.services.services import Services

__all__ = ["Services"]
