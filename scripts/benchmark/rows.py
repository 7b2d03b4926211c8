"""What is measured: our figures and the reference's, by round, and what is asked of them."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["MICRO", "Row", "Scale", "interleave"]

MICRO: Final = 1e6


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    rounds: int
    part: float

    def of(self, amount: int, least: int = 1) -> int:
        """Return the part of ``amount``."""
        return max(least, int(amount * self.part))


@dataclass
class Row:
    """One measurement.

    The ratio of a round is ours to the reference's.  Less is better, or more where the row says
    so: then the figures are rates.  ``target`` and ``floor`` are ratios.
    """

    name: str
    reference_name: str
    unit: str
    target: float | None = None
    floor: float | None = None
    more_is_better: bool = False
    ours: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)

    def add(self, ours: float, reference: float) -> None:
        """Note what one round has found."""
        self.ours.append(ours)
        self.reference.append(reference)

    @property
    def ratios(self) -> list[float]:
        return sorted(mine / other for mine, other in zip(self.ours, self.reference, strict=True))

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def value(self) -> float:
        return statistics.median(self.ours)

    @property
    def measured(self) -> bool:
        return bool(self.ours) and len(self.ours) == len(self.reference)

    def _reaches(self, bound: float) -> bool:
        return self.ratio >= bound if self.more_is_better else self.ratio <= bound

    @property
    def missed(self) -> bool:
        """Whether it was not measured, or is worse than its floor."""
        return not self.measured or (self.floor is not None and not self._reaches(self.floor))

    @property
    def short(self) -> bool:
        """Whether it does not reach its target."""
        return self.measured and self.target is not None and not self._reaches(self.target)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` writes of it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value if self.measured else None,
            "reference_name": self.reference_name,
            "reference": statistics.median(self.reference) if self.measured else None,
            "ratio": self.ratio if self.measured else None,
            "spread": [self.ratios[0], self.ratios[-1]] if self.measured else None,
            "more_is_better": self.more_is_better,
            "target": self.target,
            "floor": self.floor,
            "missed": self.missed,
            "rounds": len(self.ours),
        }


async def interleave(
    row: Row,
    rounds: int,
    reference: Callable[[], Awaitable[float]],
    ours: Callable[[], Awaitable[float]],
) -> None:
    """Measure the reference and ours in turn."""
    for _ in range(rounds):
        beside = await reference()
        row.add(await ours(), beside)
