"""Tuples with named fields, written as those of :class:`typing.NamedTuple` are.

``typing.NamedTuple`` writes and compiles source for each class, a tenth of a millisecond each;
here all classes share their methods.  What they can do is the same.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

try:
    from _collections import _tuplegetter  # type: ignore[import-not-found]
except ImportError:  # not CPython's

    def _tuplegetter(index: int, doc: str) -> property:
        return property(itemgetter(index), doc=doc)


if TYPE_CHECKING:
    from collections.abc import Iterable
    from inspect import Signature
    from typing import NamedTuple, Self

__all__ = ["NamedTuple"]

_tuple_new: Final = tuple.__new__


class _Signature:
    """The signature of a class, for ``help``; made when it is asked for."""

    def __get__(self, value: Any, owner: type[_Fields]) -> Signature:
        from inspect import Parameter, Signature

        defaults = owner._field_defaults
        return Signature(
            [
                Parameter(
                    name,
                    Parameter.POSITIONAL_OR_KEYWORD,
                    default=defaults.get(name, Parameter.empty),
                    annotation=owner.__annotations__[name],
                )
                for name in owner._fields
            ]
        )


class _Fields(tuple[Any, ...]):
    """What all of them share."""

    __slots__ = ()
    __signature__ = _Signature()

    if TYPE_CHECKING:  # of each class; not among the annotations of every one
        _count: int
        _fields: tuple[str, ...]
        _field_defaults: dict[str, Any]
        _last_defaults: tuple[Any, ...]

    def __new__(cls, /, *values: Any, **named: Any) -> Self:
        if named or len(values) != cls._count:
            values = cls._filled(values, named)
        return _tuple_new(cls, values)

    @classmethod
    def _filled(cls, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Return all values: those given by place, and for the other fields by name or default.

        Raises:
            TypeError: one is missing, given twice, or unknown.
        """
        missing = cls._count - len(values)
        if missing < 0:
            raise TypeError(f"{cls.__name__}() takes {cls._count} values, not {len(values)}")
        if not named and missing <= len(cls._last_defaults):
            return values + cls._last_defaults[-missing:]
        others = cls._fields[-missing:] if missing else ()
        for name in named:
            if name not in others:
                what = f"got {name!r} twice" if name in cls._fields else f"has no {name!r}"
                raise TypeError(f"{cls.__name__}() {what}")
        known = cls._field_defaults | named
        try:
            return values + tuple([known[name] for name in others])
        except KeyError as error:
            raise TypeError(f"{cls.__name__}() needs {error}") from None

    @classmethod
    def _make(cls, values: Iterable[Any]) -> Self:
        """Return a tuple of these values."""
        found = _tuple_new(cls, values)
        if len(found) != cls._count:
            raise TypeError(f"{cls.__name__}() takes {cls._count} values, not {len(found)}")
        return found

    def _asdict(self) -> dict[str, Any]:
        """Return the values by the names of the fields."""
        return dict(zip(self._fields, self, strict=True))

    def _replace(self, /, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**self._asdict() | changes)

    __replace__ = _replace  # what copy.replace() calls, from Python 3.13 on

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True)]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)


class _Maker(type):
    """Makes a class of fields of a class that was written as a ``NamedTuple``."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, namespace)
        fields = tuple(namespace.get("__annotations__", ()))
        defaults = {field: namespace.pop(field) for field in fields if field in namespace}
        if fields[len(fields) - len(defaults) :] != tuple(defaults):
            raise TypeError(f"{name}: a field without a default stands behind one with a default")
        namespace["_field_defaults"] = defaults
        namespace["_last_defaults"] = tuple(defaults.values())
        namespace["_fields"] = namespace["__match_args__"] = fields
        namespace["_count"] = len(fields)
        namespace["__slots__"] = ()
        while len(_getters) < len(fields):
            index = len(_getters)
            _getters.append(_tuplegetter(index, f"Alias for field number {index}"))
        namespace.update(zip(fields, _getters, strict=False))
        return type(name, (_Fields,), namespace)


_getters: list[Any] = []

if not TYPE_CHECKING:

    class NamedTuple(metaclass=_Maker):
        """For type checkers, and in what its classes can do, :class:`typing.NamedTuple`."""
