"""The attributes of a Python object as a term, for ``sys:get_state``."""

from __future__ import annotations

from typing import Any

from pynode.errors import EncodeError
from pynode.shown import shown
from pynode.terms import Atom, TermMap, copy_term, identical

__all__ = ["attributes_term", "put_attributes", "term_or_repr"]


def term_or_repr(value: Any) -> Any:
    """Return ``value`` as a term, or the text of its repr where it is none."""
    try:
        return copy_term(value)
    except EncodeError:
        return repr(value).encode("utf-8", "backslashreplace")


def attributes_term(attributes: dict[str, Any]) -> dict[Any, Any]:
    """Return ``#{name => value}`` of an object's attributes."""
    return {_key(name): term_or_repr(value) for name, value in attributes.items()}


def put_attributes(attributes: dict[str, Any], state: Any) -> None:
    """Take over the values that differ from :func:`attributes_term`.

    Only what was changed is set, so that what is no term survives a round trip as a text.

    Raises:
        TypeError: ``state`` is no map, or has a key that names no attribute; nothing was changed.
    """
    if type(state) is not dict and type(state) is not TermMap:
        raise TypeError(f"the new state is no map: {shown(state)!r}")
    before = attributes_term(attributes)
    changes = {}
    for key, value in state.items():
        if key not in before or not identical(before[key], value):
            changes[_name(key)] = value
    attributes.update(changes)


def _key(name: str) -> Any:
    return Atom(name) if name not in ("true", "false", "nil") else name.encode()


def _name(key: Any) -> str:
    if type(key) is Atom:
        return str(key)
    if type(key) is bytes:
        return key.decode()
    raise TypeError(f"not the name of an attribute: {shown(key)!r}")
