"""What a timeout may be: checked where the program gives one, before anything is sent.

Source: the guards of ``gen``, ``rpc`` and ``erpc``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["check_deadline", "check_timeout"]


def check_timeout(timeout: Any, past: bool = False) -> None:
    """Refuse what is no time to wait: seconds from 0 on, or None for ever.

    ``past``: a negative one is taken for 0, as of a time that is over; a receive takes it so.

    Raises:
        TypeError: no int or float; a bool is none, though Python counts with it.
        ValueError: negative, or not a number (``nan``).
    """
    kind = type(timeout)
    if timeout is None or ((kind is float or kind is int) and timeout >= 0):
        return
    _check_type(timeout, "timeout is seconds, an int or a float, or None for ever")
    if not timeout >= 0 and not (past and timeout < 0):
        raise ValueError(f"timeout is seconds from 0 on, or None for ever, not {timeout!r}")


def check_deadline(deadline: Any) -> None:
    """Refuse what is no time of the loop's clock, or None.

    Raises:
        TypeError: no int or float.
        ValueError: not a number (``nan``).
    """
    if deadline is None:
        return
    words = "deadline is a time of the loop's clock, an int or a float, or None"
    _check_type(deadline, words)
    if deadline != deadline:
        raise ValueError(f"{words}, not {deadline!r}")


def _check_type(value: Any, words: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{words}, not {value!r}")
