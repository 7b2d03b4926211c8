"""A map whose keys may be any term, compared as Erlang compares them."""

from __future__ import annotations

from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import Any, final

from pynode.terms.order import key_form

__all__ = ["TermMap"]


class _Items(ItemsView[Any, Any]):
    """The pairs as they are kept: nothing is looked up, so no key is compared again."""

    __slots__ = ()
    _mapping: TermMap

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._mapping._items.values())


class _Values(ValuesView[Any]):
    __slots__ = ()
    _mapping: TermMap

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping._items.values())


@final
class TermMap(MutableMapping[Any, Any]):
    """A mapping with any terms as keys, found by ``=:=``: 1, 1.0 and True are three keys.

    Lists (charlists), maps and improper lists may be keys.  ``b"a"`` and ``"a"`` are one key, as
    they are one term.  Order is that of insertion.  A key must not be changed while it is in.
    Decoding gives one only for maps that a dict would refuse, merge, or be slow with.

    Raises:
        EncodeError: a key is no term (also in ``in`` and ``[...]``).
    """

    __slots__ = ("_items",)

    _items: dict[Any, tuple[Any, Any]]

    def __init__(
        self, items: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (), /, **named: Any
    ) -> None:
        self._items = {}
        self.update(items, **named)

    @classmethod
    def _of_pairs(cls, keys: list[Any], values: list[Any], known: dict[int, bytes]) -> TermMap:
        """Return the map of ``keys`` and ``values``; see :func:`key_form` for ``known``."""
        self = cls.__new__(cls)
        forms = [key_form(key, known) for key in keys]
        self._items = dict(zip(forms, zip(keys, values, strict=True), strict=True))
        return self

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._items[key_form(key)][1]
        except KeyError:
            raise KeyError(key) from None

    def __setitem__(self, key: Any, value: Any) -> None:
        form = key_form(key)
        old = self._items.get(form)
        self._items[form] = (key if old is None else old[0], value)

    def __delitem__(self, key: Any) -> None:
        try:
            del self._items[key_form(key)]
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return key_form(key) in self._items

    def __iter__(self) -> Iterator[Any]:
        for key, _ in self._items.values():
            yield key

    def items(self) -> ItemsView[Any, Any]:
        """Return the keys with their values."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """Return the values."""
        return _Values(self)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        """Equal to a map with the same keys by ``=:=`` and values that are ``==``."""
        if not isinstance(other, Mapping):
            return NotImplemented
        if type(other) is not TermMap:
            other = TermMap(other)
        if self._items.keys() != other._items.keys():
            return False
        return all(value == other._items[form][1] for form, (_, value) in self._items.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TermMap([{', '.join(repr(pair) for pair in self._items.values())}])"

    def _shown_parts(self) -> tuple[str, Iterable[Any], str]:
        return "TermMap([", self._items.values(), "])"

    def __copy__(self) -> TermMap:
        return TermMap(self._items.values())

    def __reduce__(self) -> tuple[Any, ...]:
        return TermMap, (list(self._items.values()),)
