"""What is said of a value that is no Erlang term."""

from __future__ import annotations

from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final

__all__ = ["no_term"]

#: By the name of the type with its module, which is not imported for this.
_INSTEAD: Final = {
    "set": "a list, list(it), or a map with True for each",
    "frozenset": "a list, list(it), or a map with True for each",
    "complex": "a tuple of two floats",
    "range": "a list, list(it)",
    "datetime.datetime": "text, its .isoformat(), or its .timestamp()",
    "datetime.date": "text, its .isoformat()",
    "datetime.time": "text, its .isoformat()",
    "datetime.timedelta": "its .total_seconds()",
    "decimal.Decimal": "text, str(it), or float(it)",
    "fractions.Fraction": "its .as_integer_ratio()",
    "uuid.UUID": "its .bytes, or text, str(it)",
}


def no_term(value: Any) -> str:
    """Return the text of the EncodeError for ``value``: its type, and what may be meant instead.

    Runs nothing of the value's own.
    """
    kind = type(value)
    text = f"a value of type {_name(kind)} is no Erlang term"
    hint = _hint(kind)
    return text if hint is None else f"{text}: {hint}"


def _name(kind: type) -> str:
    module = kind.__module__
    name = kind.__qualname__
    return name if module == "builtins" or not isinstance(module, str) else f"{module}.{name}"


def _hint(kind: type) -> str | None:
    name = _name(kind)
    if issubclass(kind, CoroutineType):
        return "await it, and pass what it returns"
    if issubclass(kind, GeneratorType | AsyncGeneratorType):
        return "pass a list of what it yields"
    attributes = {each for base in kind.__mro__ for each in vars(base)}
    if "tolist" in attributes:
        if "item" in attributes and name.startswith("numpy.") and kind.__name__ != "ndarray":
            return "pass its .item()"
        return "pass its .tolist()"
    if "__dataclass_fields__" in attributes:
        return "pass dataclasses.asdict(it), or a tuple of its fields"
    instead = next(
        (_INSTEAD[known] for known in map(_name, kind.__mro__) if known in _INSTEAD), None
    )
    return None if instead is None else f"pass {instead}"
