"""What the Tab key does: names, and attributes of what names lead to."""

from __future__ import annotations

import builtins
import keyword
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pynode.terms import Atom, charlist, charlist_text

__all__ = ["expand"]

_DOTTED: Final = re.compile(r"[\w.]*\Z")
_INDENT: Final = "    "
#: More than these nobody reads.
_MOST: Final = 200
_YES: Final = Atom("yes")
_NO: Final = Atom("no")


def expand(names: Mapping[str, Any], before: Any) -> tuple[Atom, list[int], list[list[int]]]:
    """Return ``{yes | no, Add, Matches}`` for the text before the cursor, a reversed charlist.

    Attributes are read from the objects, as Python's own completion does it, so a property runs.
    """
    text = charlist_text(before)[::-1]
    if not text.strip():
        return _YES, charlist(_INDENT), []
    word = _DOTTED.search(text).group()  # type: ignore[union-attr]
    if not word or word.startswith("."):
        return _NO, [], []
    path, _, start = word.rpartition(".")
    found = sorted({name for name in _candidates(names, path) if name.startswith(start)})
    if not start:
        found = [name for name in found if not name.startswith("_")]
    if not found:
        return _NO, [], []
    # The first and the last of sorted names differ as early as any two do.
    common = len(os.path.commonprefix((found[0], found[-1])))  # noqa: RUF071
    add = found[0][len(start) : common]
    if add or len(found) == 1:
        return _YES, charlist(add), []
    return _YES, [], [charlist(name) for name in found[:_MOST]]


def _candidates(names: Mapping[str, Any], path: str) -> Iterable[str]:
    if not path:
        return {*(name for name in names if name.isidentifier()), *dir(builtins), *keyword.kwlist}
    first, *rest = path.split(".")
    try:
        value = names[first] if first in names else getattr(builtins, first)
        for name in rest:
            value = getattr(value, name)
        return dir(value)
    except Exception:  # whatever the objects raise: there is nothing to offer
        return ()
