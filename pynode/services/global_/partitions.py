"""Which reports of lost connections have been seen.

A node that loses a connection tells all nodes it knows; each hearer tells all it knows in turn,
so that the news reaches everybody even if the reporter dies half-way.  What stops it from going
round for ever is this memory: for each pair of reporter and lost node, the highest number seen
in the reporter's present life.

OTP forgets an entry after an hour.  Here the memory is bounded instead, the oldest entry going
first: no clock, and a peer that invents pairs cannot make it grow.

Source: global.erl, "Prevent Overlapping Partitions Algorithm".
"""

from __future__ import annotations

from typing import Any, Final

from pynode.terms import Atom

__all__ = ["LostConnections"]

_MOST: Final = 65_536


class LostConnections:
    """The newest report of each pair."""

    __slots__ = ("_most", "_seen")

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._seen: dict[tuple[Atom, Atom], tuple[Any, int]] = {}

    def is_news(self, reporter: Atom, life: Any, number: int, lost: Atom) -> bool:
        """Say whether this report is newer than all of that pair, and remember it if so."""
        pair = (reporter, lost)
        seen = self._seen.pop(pair, None)
        news = seen is None or seen[0] != life or number > seen[1]
        self._seen[pair] = (life, number) if news or seen is None else seen
        if len(self._seen) > self._most:
            del self._seen[next(iter(self._seen))]
        return news
