"""``pg``: groups of processes, replicated among the visible nodes that run the same scope.

The parts, from pure to running: :mod:`.wire` (shapes of messages), :mod:`.groups` (who is in
which group, by whose word), :mod:`.scope` (what a scope process does, over a host),
:mod:`.processes` (the scope process on a node), :mod:`.api` (``node.pg``).
"""

from .api import Pg

__all__ = ["Pg"]
