"""What formatting depends on beside the term."""

from __future__ import annotations

from pynode._values import Value
from pynode.terms.atom import Atom

from .errors import TooLong

__all__ = ["DEFAULT", "Settings"]


class Settings(Value):
    """Where text is made, and how much of it."""

    node: Atom | None = None
    """The node whose pids and references are local, shown with 0; None: all have a name."""
    unicode: bool = True
    """``~tp`` takes all printable characters for text, as after ``erl +pc unicode``."""
    characters: int = 32 * 1024 * 1024
    """Most characters; more is an error, for a width of a billion is easily written."""

    def check(self, characters: int) -> None:
        """Refuse to make that many."""
        if characters > self.characters:
            raise TooLong(f"more than {self.characters} characters")


DEFAULT = Settings()
