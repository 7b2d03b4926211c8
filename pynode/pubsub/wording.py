"""Messages as Elixir's string interpolation shows them."""

from __future__ import annotations

from typing import Any

from pynode.terms import Atom, charlist_text, format_elixir

__all__ = ["spoken"]


def spoken(message: Any) -> str:
    """Return the text of a binary, charlist or atom; any other term in Elixir's notation."""
    if isinstance(message, str):
        return message
    if isinstance(message, Atom):
        return message.name
    if isinstance(message, (bytes, list)):
        try:
            return charlist_text(message)
        except (TypeError, ValueError):
            pass  # neither text nor chardata
    return str(format_elixir(message))
