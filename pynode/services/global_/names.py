"""Names of global that a program gives: any term, but no str.

Where a name may be any term, a ``str`` could mean an atom, a charlist or a binary, and the wrong
one would be registered in silence; so it is refused, and the three are spelled out.
"""

from __future__ import annotations

from typing import Any

from pynode.errors import EncodeError
from pynode.terms import copy_term

__all__ = ["checked_name"]


def checked_name(name: Any, what: str = "global name") -> Any:
    """Return ``name`` as the term it is.

    Raises:
        TypeError: a str, or a value that is no term.
    """
    if isinstance(name, str):
        spelled = f"atom.{name}" if name.isidentifier() else f"atom({name!r})"
        raise TypeError(
            f"a {what} is any term, so the str {name!r} could be three: "
            f"{spelled}, charlist({name!r}) or {name.encode()!r}"
        )
    try:
        return copy_term(name)
    except EncodeError as error:
        raise TypeError(f"a {what} is a term: {error}") from error
