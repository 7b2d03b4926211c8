"""``global``: names, locks and the mesh of visible nodes, protocol version 8.

The parts, from pure to running: :mod:`.wire` (shapes of messages), :mod:`.tables` (names and
locks), :mod:`.partitions`, :mod:`.server` (the name server's state machine), :mod:`.dispatch`,
:mod:`.locking`, :mod:`.locker`, :mod:`.registrar`, :mod:`.resolve` (sequential parts, over
:mod:`.ports`), :mod:`.processes` (all of it on a node), :mod:`.api` (``node.global_``).
"""

from .api import Global

__all__ = ["Global"]
