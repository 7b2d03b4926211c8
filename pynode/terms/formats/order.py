"""The pairs of a map, in the order in which they are to be written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pynode.terms.order import sort_key

__all__ = ["pairs_of"]


def pairs_of(value: Any, order: str | None) -> Iterable[tuple[Any, Any]] | None:
    """Return the pairs of a map, None if ``value`` is none.

    Without ``order`` they come as they are, which is the order of the node that sent them.
    """
    if not isinstance(value, Mapping):
        return None
    if order is None:
        return value.items()
    return sorted(
        value.items(), key=lambda pair: sort_key(pair[0], exact=True), reverse=order == "reversed"
    )
