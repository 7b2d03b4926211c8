"""Numbers as text: integers in any base, floats in the shortest form and in ``~e ~f ~g``."""

from __future__ import annotations

from math import isfinite
from typing import Final

from .errors import FormatError, NotHere

__all__ = ["exponential", "fixed", "general", "in_base", "integer", "shortest"]

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Larger ones take too long to be written here.
_MOST_BITS: Final = 1 << 18
#: Python writes integers of so many digits at once.
_PIECE: Final = 4000
_PIECE_BITS: Final = 13_000
_EXACT: Final = 2.0**53


def integer(value: int) -> str:
    """Return ``value`` in decimal.

    Raises:
        NotHere: it has too many digits.
    """
    if value.bit_length() <= _PIECE_BITS:
        return int.__repr__(value)
    if value.bit_length() > _MOST_BITS:
        raise NotHere(f"an integer of {value.bit_length()} bits")
    sign, value = ("-", -value) if value < 0 else ("", value)
    pieces = []
    unit = 10**_PIECE
    while value >= unit:
        value, piece = divmod(value, unit)
        pieces.append(f"{piece:0{_PIECE}d}")
    pieces.append(str(value))
    return sign + "".join(reversed(pieces))


def in_base(value: int, base: int) -> str:
    """Return ``value``, not negative, in capitals.

    Raises:
        FormatError: no such base.
        NotHere: it has too many digits.
    """
    if not 2 <= base <= 36:
        raise FormatError(f"there is no base {base}")
    if base == 10:
        return integer(value)
    if value.bit_length() > _MOST_BITS:
        raise NotHere(f"an integer of {value.bit_length()} bits")
    if base in _PYTHONS:
        return format(value, _PYTHONS[base])
    digits = []
    unit = base**100  # a hundred digits at a time, for dividing a long one is slow
    while value:
        value, piece = divmod(value, unit)
        for _ in range(100):
            piece, digit = divmod(piece, base)
            digits.append(_DIGITS[digit])
    return "".join(reversed(digits)).lstrip("0") or "0"


_PYTHONS: Final = {2: "b", 8: "o", 16: "X"}


def shortest(value: float) -> str:
    """Return the shortest text that reads back as ``value``: plain or with an exponent."""
    if not isfinite(value):
        raise FormatError(f"{value!r} is no Erlang float")
    sign, digits, point = _shortest_digits(value)
    scientific = f"{digits[0]}.{digits[1:] or '0'}e{point - 1}"
    if abs(value) >= _EXACT:
        return sign + scientific
    if point <= 0:
        plain = f"0.{'0' * -point}{digits}"
    elif point >= len(digits):
        plain = f"{digits}{'0' * (point - len(digits))}.0"
    else:
        plain = f"{digits[:point]}.{digits[point:]}"
    return sign + (plain if len(plain) <= len(scientific) else scientific)


def _shortest_digits(value: float) -> tuple[str, str, int]:
    """Return the sign, the digits, and where the point stands after the first digits."""
    text = float.__repr__(value)
    sign, text = ("-", text[1:]) if text[0] == "-" else ("", text)
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    stripped = stripped.rstrip("0")
    return (sign, stripped, point) if stripped else (sign, "0", 1)


# --------------------------------------------------------------------------- ~e ~f ~g


def _digits(value: float) -> tuple[str, str, int]:
    """Return sign, 21 digits, and where the point stands after the first digits."""
    mantissa, _, exponent = f"{value:.20e}".partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    return sign, mantissa.lstrip("-").replace(".", ""), int(exponent) + 1


def _rounded(digits: str, count: int) -> str:
    """Return ``count`` digits, one more if the rounding carries."""
    if count >= len(digits):
        return digits + "0" * (count - len(digits))
    kept = digits[:count]
    if digits[count] < "5":
        return kept
    return str(int(kept or "0") + 1).zfill(count)


def exponential(value: float, precision: int) -> str:
    """Return ``~e``: ``precision`` digits."""
    if precision < 2:
        raise FormatError("~e has two digits at least")
    sign, digits, point = _digits(value)
    text = _rounded(digits, precision)
    if len(text) > precision:
        text, point = text[:-1], point + 1
    exponent = point - 1
    return f"{sign}{text[0]}.{text[1:]}e{'+' if exponent >= 0 else ''}{exponent}"


def fixed(value: float, precision: int) -> str:
    """Return ``~f``: ``precision`` digits after the point."""
    if precision < 1:
        raise FormatError("~f has one digit at least")
    sign, digits, point = _digits(value)
    if point <= 0:
        digits, point = "0" * (1 - point) + digits, 1
    text = _rounded(digits, point + precision)
    return f"{sign}{text[:-precision]}.{text[-precision:]}"


def general(value: float, precision: int) -> str:
    """Return ``~g``: fixed between 0.1 and 10000 if there are digits enough."""
    if precision < 1:
        raise FormatError("~g has one digit at least")
    size = abs(value)
    bounds = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
    exponent = next((at - 2 for at, bound in enumerate(bounds) if size < bound), None)
    if exponent is not None and (
        (precision <= 1 and exponent == -1) or (precision - 1 > exponent >= -1)
    ):
        return fixed(value, precision - 1 - exponent)
    return exponential(value, max(precision, 2))
