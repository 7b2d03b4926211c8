"""Who speaks when a client function of this package is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynode.process.process import current_process

if TYPE_CHECKING:
    from pynode.node import Node
    from pynode.process.process import Process

__all__ = ["acting"]


def acting(node: Node | None) -> Process:
    """Return the current process, or the one that speaks for ``node``.

    Raises:
        RuntimeError: outside any process, and without a node.
    """
    if node is not None:
        return node.actor()
    process = current_process()
    if process is None:
        raise RuntimeError("outside a process, say which node is to send: pass node=...")
    return process
