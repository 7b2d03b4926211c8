"""What goes wrong when text is made of a control string."""

from __future__ import annotations

__all__ = ["FormatError", "NotHere", "TooLong"]


class FormatError(ValueError):
    """Control string and arguments do not fit; ``io_lib:format/2`` raises ``badarg``."""


class TooLong(FormatError):
    """The text has more characters than :attr:`Settings.characters`."""


class NotHere(Exception):
    """It can be formatted, but not here: another node has what it takes."""
