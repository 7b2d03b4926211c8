"""How many records of one kind a log gets: what other nodes cause must not fill it."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Final

__all__ = ["RecordLimit"]

#: Records in one period, and its seconds.
MOST: Final = 20
PERIOD: Final = 10.0


class RecordLimit:
    """Lets :data:`MOST` records through in :data:`PERIOD` seconds, and counts the others.

    Their number is told before the first record of a later period.
    """

    __slots__ = ("_began", "_left_out", "_written")

    def __init__(self) -> None:
        self._began = -PERIOD
        self._written = 0
        self._left_out = 0

    def admits(self, log: logging.Logger, what: str) -> bool:
        """Tell whether one more may be written now; ``what`` names those that were not."""
        now = monotonic()
        if now - self._began >= PERIOD:
            self._began, self._written = now, 0
            left_out, self._left_out = self._left_out, 0
            if left_out:
                log.warning("%d more records of %s were not written", left_out, what)
        self._written += 1
        if self._written <= MOST:
            return True
        self._left_out += 1
        return False
