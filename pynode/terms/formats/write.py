"""``~w``: a term on one line, every string as the list it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pynode.errors import EncodeError
from pynode.terms.compound import ImproperList, Record

from .leaves import BINARIES, atom_name, bits_of, write_atom, write_bytes, write_leaf
from .order import pairs_of
from .settings import DEFAULT, Settings

__all__ = ["write_term"]


class _Text(str):
    """Text that is part of the result already."""

    __slots__ = ()


def write_term(
    term: Any,
    depth: int = -1,
    *,
    latin1: bool = False,
    order: str | None = None,
    settings: Settings = DEFAULT,
) -> str:
    """Return ``term`` as ``~w`` writes it (``io_lib:write/1,2``).

    Args:
        depth: how deep and how far into its containers, then ``...``; below 0 all.
        latin1: escape what is beyond Latin-1 in atoms, ``~w`` against ``~tw``.
        order: "ordered" or "reversed" for maps by the order of their keys, ``~kw``.
        settings: see :class:`Settings`.

    Raises:
        EncodeError: it is no term.
        NotHere: it has an integer that takes too long to write.
    """
    parts: list[str] = []
    pending: list[tuple[Any, int]] = [(term, depth)]
    while pending:
        value, depth = pending.pop()
        if type(value) is _Text:
            parts.append(value)
        elif depth == 0:
            parts.append("...")
        else:
            text = write_leaf(value, settings, latin1=latin1)
            if text is not None:
                parts.append(text)
            else:
                children = _children(value, depth, latin1, order)
                children.reverse()
                pending += children
    return "".join(parts)


def _children(value: Any, depth: int, latin1: bool, order: str | None) -> list[tuple[Any, int]]:
    kind = type(value)
    if isinstance(value, BINARIES):
        data, bits = bits_of(value)
        return [(_Text(write_bytes(data, bits, depth)), 0)]
    if kind is tuple:
        return _sequence("{", value, None, ",", "}", depth)
    if kind is ImproperList:
        return _sequence("[", value.elements, (value.tail,), "|", "]", depth)
    if kind is Record:
        return _record(value, depth, latin1)
    if isinstance(value, list):
        return _sequence("[", value, None, "|", "]", depth)
    pairs = pairs_of(value, order)
    if pairs is None:
        raise EncodeError(f"a value of type {kind.__name__} is no Erlang term")
    return _map(pairs, depth)


def _sequence(
    opening: str,
    items: Iterable[Any],
    tail: tuple[Any] | None,
    separator: str,
    closing: str,
    depth: int,
) -> list[tuple[Any, int]]:
    """The items of a tuple or a list; what comes later may be less deep."""
    items = list(items)
    children: list[tuple[Any, int]] = [(_Text(opening), 0)]
    for at, item in enumerate(items):
        if depth == 1:
            children.append((_Text(f"{separator}..." if at else "..."), 0))
            break
        depth -= 1
        if at:
            children.append((_Text(","), 0))
            children.append((item, depth))
        else:
            children.append((item, depth))
    else:
        if tail is not None:
            end = (_Text("..."), 0) if depth == 1 else (tail[0], depth - 1)
            children += ((_Text("|"), 0), end)
    children.append((_Text(closing), 0))
    return children


def _map(pairs: Iterable[tuple[Any, Any]], depth: int) -> list[tuple[Any, int]]:
    if depth == 1:
        return [(_Text("#{}"), 0)]
    children: list[tuple[Any, int]] = [(_Text("#{"), 0)]
    left = inner = depth - 1
    for at, (key, value) in enumerate(pairs):
        if at:
            children.append((_Text(","), 0))
        children += ((key, inner), (_Text(" => "), 0), (value, inner))
        if left == 1:
            children.append((_Text(",..."), 0))  # as OTP has it, also behind the last one
            break
        left -= 1
    children.append((_Text("}"), 0))
    return children


def _record(value: Record, depth: int, latin1: bool) -> list[tuple[Any, int]]:
    def name(atom: Any) -> str:
        return write_atom(atom_name(atom) or "", latin1=latin1)

    children: list[tuple[Any, int]] = [(_Text(f"#{name(value.module)}:{name(value.name)}{{"), 0)]
    for at, (field, item) in enumerate(value.fields):
        if at:
            children.append((_Text(","), 0))
        if depth == 1:
            children.append((_Text("..."), 0))
            break
        depth -= 1
        children += ((_Text(f"{name(field)} = "), 0), (item, depth))
    children.append((_Text("}"), 0))
    return children
