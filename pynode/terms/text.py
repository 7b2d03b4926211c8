"""Charlists and chardata: between Python's str and what Erlang calls a string."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pynode.terms.compound import ImproperList
from pynode.terms.rebuild import rebuild

__all__ = ["charlist", "charlist_text", "to_text"]


def charlist(text: str) -> list[int]:
    """Return the Erlang string of ``text``: ``charlist("manager")`` is ``"manager"`` in Erlang.

    Raises:
        TypeError: not a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"a charlist is made of a str, not of {type(text).__name__}")
    return [ord(character) for character in text]


def charlist_text(data: Any) -> str:
    """Return the text of a charlist, of a binary, or of chardata nested in any way.

    Takes what Erlang's ``unicode:characters_to_list/1`` takes: ``unicode:chardata()``, with
    improper tails, binaries in UTF-8, and str beside them.

    Raises:
        ValueError: it is none: another type, a number that is no code point, invalid UTF-8.
    """
    parts: list[str] = []
    pending = bytearray()  # a character may be cut between two binaries
    stack: list[Iterator[Any]] = []
    items: Iterator[Any] = iter((data,))
    while True:
        for item in items:
            kind = type(item)
            if kind is int:
                _end_binary(pending, parts)
                parts.append(_character(item))
            elif isinstance(item, (bytes, bytearray, memoryview)):
                pending += item
            elif isinstance(item, str):
                _end_binary(pending, parts)
                parts.append(item)
            elif isinstance(item, list):
                stack.append(items)
                items = iter(item)
                break
            elif kind is ImproperList:
                stack.append(items)
                items = iter((*item.elements, item.tail))
                break
            else:
                raise ValueError(f"{kind.__name__} has no place in chardata")
        else:
            if not stack:
                _end_binary(pending, parts)
                return "".join(parts)
            items = stack.pop()


def _end_binary(pending: bytearray, parts: list[str]) -> None:
    if pending:
        parts.append(pending.decode())
        pending.clear()


def _character(number: int) -> str:
    if 0 <= number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF:
        return chr(number)
    raise ValueError(f"{number} is no code point")


def to_text(term: Any) -> Any:
    """Return ``term`` with each binary that is valid UTF-8 as a str, keys of maps included.

    Gives what decoding with ``text=True`` would have given; other leaves stay as they are.

    Raises:
        EncodeError: it is no term.
    """
    return rebuild(term, text=True)
