"""Frozen values with named fields, written as dataclasses are.

``dataclasses`` writes and compiles source for each class, which was a tenth of what importing
this package takes; here all classes share their methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from inspect import Signature
    from typing import Self

__all__ = ["Value", "given"]

T = TypeVar("T")

_MISSING: Final[Any] = object()


class _Given(Generic[T]):
    """What :func:`given` says of a field."""

    def __init__(self, default: T, default_factory: Callable[[], T] | None, shown: bool) -> None:
        self.default = default
        self.default_factory = default_factory
        self.shown = shown


def given(
    *, default: Any = _MISSING, default_factory: Callable[[], Any] | None = None, repr: bool = True
) -> Any:
    """Say more of a field than its default: a factory of that, or that ``repr`` is to hide it."""
    return _Given(default, default_factory, repr)


class _Signature:
    """The signature of a class, for ``help``; made when it is asked for."""

    def __get__(self, value: Any, owner: type[Value]) -> Signature:
        from inspect import Parameter, Signature

        kind = Parameter.KEYWORD_ONLY if owner._kw_only else Parameter.POSITIONAL_OR_KEYWORD
        return Signature(
            [
                Parameter(
                    name,
                    kind,
                    default=Parameter.empty if said.default is _MISSING else said.default,
                    annotation=owner.__annotations__[name],
                )
                for name, said in owner._fields.items()
            ]
        )


@dataclass_transform(frozen_default=True, field_specifiers=(given,))
class Value:
    """Equal by value, hashable as far as what it holds is; the annotations are its fields.

    A class with ``kw_only=True`` takes them by keyword only.
    """

    _fields: ClassVar[dict[str, _Given[Any]]] = {}
    _kw_only: ClassVar[bool] = False
    __match_args__: ClassVar[tuple[str, ...]] = ()
    __signature__ = _Signature()

    def __init_subclass__(cls, kw_only: bool = False) -> None:
        cls._kw_only = kw_only
        cls._fields = {}
        for name in cls.__annotations__:
            said = cls.__dict__.get(name, _MISSING)
            cls._fields[name] = said if type(said) is _Given else _Given(said, None, True)
        cls.__match_args__ = () if kw_only else tuple(cls._fields)  # type: ignore[misc]

    def __init__(self, *args: Any, **values: Any) -> None:
        """Take each field by its name, or by its place.

        Raises:
            TypeError: one is missing, given twice, or unknown.
        """
        fields = self._fields
        if args:
            if self._kw_only or len(args) > len(fields):
                raise TypeError(f"{type(self).__name__}() got {len(args)} arguments by their place")
            by_place = dict(zip(fields, args, strict=False))
            if by_place.keys() & values.keys():
                raise TypeError(f"{type(self).__name__}() got an argument twice")
            values |= by_place
        for name, said in fields.items():
            value = values.pop(name, said.default)
            if value is _MISSING:
                if said.default_factory is None:
                    raise TypeError(f"{type(self).__name__}() needs {name!r}")
                value = said.default_factory()
            object.__setattr__(self, name, value)
        if values:
            raise TypeError(f"{type(self).__name__}() has no {next(iter(values))!r}")
        self._check()

    def _check(self) -> None:
        """Raise what is to be said of the values; for classes that look at them."""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**{name: getattr(self, name) for name in self._fields} | changes)

    __replace__ = replace  # what copy.replace() calls, from Python 3.13 on

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is type(self):
            return self._values() == other._values()
        return NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *self._values()))

    def __repr__(self) -> str:
        shown = [
            f"{name}={getattr(self, name)!r}" for name, said in self._fields.items() if said.shown
        ]
        return f"{type(self).__qualname__}({', '.join(shown)})"
