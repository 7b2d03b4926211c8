"""Control strings: ``~p ~s ~w`` and the others, with width, precision, padding and modifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pynode.errors import EncodeError
from pynode.terms.compound import ExportFun, ImproperList, OpaqueFun
from pynode.terms.text import charlist_text

from . import numbers
from .characters import length, take
from .errors import FormatError, NotHere
from .leaves import atom_name
from .pretty import print_term
from .settings import DEFAULT, Settings
from .write import write_term

__all__ = ["format_text"]


class _Control:
    """One control sequence, with the arguments it has taken."""

    __slots__ = (
        "arguments",
        "character",
        "left",
        "order",
        "padding",
        "precision",
        "strings",
        "unicode",
        "width",
    )

    def __init__(self) -> None:
        self.character = ""
        self.arguments: list[Any] = []
        self.width: int | None = None
        self.left = False
        self.precision: int | None = None
        self.padding = " "
        self.unicode = False
        self.strings = True
        self.order: str | None = None


def format_text(control: Any, arguments: Any, settings: Settings = DEFAULT) -> str:
    """Return what ``io_lib:format(Control, Arguments)`` makes.

    Args:
        control: an atom, a binary or chardata.
        arguments: a list of terms.
        settings: see :class:`Settings`.

    Raises:
        FormatError: they do not fit each other, as where OTP raises ``badarg``; or the text would
            be too long.
        NotHere: it takes a BEAM: a fun that orders a map's keys, an integer of very many digits.
    """
    if not isinstance(arguments, list):
        raise FormatError("the arguments are no list")
    try:
        pieces = _scan(_control_text(control), list(arguments))
        return _build(pieces, settings)
    except EncodeError as error:
        raise FormatError(str(error)) from None


def _control_text(control: Any) -> str:
    name = atom_name(control)
    if name is not None:
        return name
    if isinstance(control, bytes | bytearray | memoryview):
        return bytes(control).decode("latin-1")
    if isinstance(control, int):
        raise FormatError("an integer is no control string")
    try:
        return charlist_text(control)
    except (ValueError, TypeError) as error:
        raise FormatError(f"no control string: {error}") from None


# --------------------------------------------------------------------------- scanning


class _Scanner:
    """A control string and its arguments, both from the front."""

    def __init__(self, text: str, arguments: list[Any]) -> None:
        self._text = text
        self._at = 0
        self._arguments = arguments
        self._next = 0

    def literal(self) -> str:
        """Take the text up to the next tilde."""
        end = self._text.find("~", self._at)
        begin, self._at = self._at, len(self._text) if end < 0 else end
        return self._text[begin : self._at]

    @property
    def done(self) -> bool:
        return self._at >= len(self._text)

    @property
    def unused(self) -> bool:
        return self._next < len(self._arguments)

    def take(self) -> str:
        """Take one character."""
        if self.done:
            raise FormatError("the control string ends within a control sequence")
        self._at += 1
        return self._text[self._at - 1]

    def takes(self, wanted: str) -> bool:
        """Take ``wanted`` if it is next."""
        if not self._text.startswith(wanted, self._at):
            return False
        self._at += len(wanted)
        return True

    def argument(self) -> Any:
        """Take one argument."""
        if not self.unused:
            raise FormatError("not enough arguments")
        self._next += 1
        return self._arguments[self._next - 1]

    def number(self) -> int | None:
        """Take digits, or an asterisk and the argument it stands for; None if neither is next."""
        if self.takes("*"):
            value = self.argument()
            if type(value) is not int:
                raise FormatError(f"* takes an integer, not {type(value).__name__}")
            return value
        begin = self._at
        while not self.done and self._text[self._at] in "0123456789":
            self._at += 1
        digits = self._text[begin : self._at]
        if len(digits) > 18:
            raise FormatError("a number of too many digits")
        return int(digits) if digits else None


def _scan(text: str, arguments: list[Any]) -> list[str | _Control]:
    scanner = _Scanner(text, arguments)
    pieces: list[str | _Control] = []
    while not scanner.done:
        literal = scanner.literal()
        if literal:
            pieces.append(literal)
        if not scanner.done:
            scanner.take()
            pieces.append(_sequence(scanner))
    if scanner.unused:
        raise FormatError("more arguments than the control string takes")
    return pieces


def _sequence(scanner: _Scanner) -> _Control:
    found = _Control()
    negative = scanner.takes("-")
    found.width = scanner.number()
    if negative:
        if found.width is None:
            raise FormatError("a minus without a width")
        found.width = -found.width
    if found.width is not None and found.width < 0:
        found.width, found.left = -found.width, True
    if scanner.takes("."):
        found.precision = scanner.number()
    if scanner.takes(".*"):
        found.padding = _character(scanner.argument())
    elif scanner.takes("."):
        found.padding = scanner.take()
    character = scanner.take()
    while character in _MODIFIERS:
        _MODIFIERS[character](found, scanner)
        character = scanner.take()
    count = _ARGUMENTS.get(character)
    if count is None:
        raise FormatError(f"there is no ~{character}")
    found.character = character
    found.arguments = [scanner.argument() for _ in range(count)]
    return found


def _text_modifier(found: _Control, scanner: _Scanner) -> None:
    found.unicode = True


def _list_modifier(found: _Control, scanner: _Scanner) -> None:
    found.strings = False


def _ordered(found: _Control, scanner: _Scanner) -> None:
    found.order = "ordered"


def _order_argument(found: _Control, scanner: _Scanner) -> None:
    order = scanner.argument()
    if isinstance(order, ExportFun | OpaqueFun):
        raise NotHere("a fun that orders the keys of maps")
    name = atom_name(order)
    if name not in ("undefined", "ordered", "reversed"):
        raise FormatError("~K takes undefined, ordered, reversed or a fun")
    found.order = None if name == "undefined" else name


_MODIFIERS: Final[dict[str, Callable[[_Control, _Scanner], None]]] = {
    "t": _text_modifier,
    "l": _list_modifier,
    "k": _ordered,
    "K": _order_argument,
}
_ARGUMENTS: Final = {
    **dict.fromkeys("wpsefgbB+#ci", 1),
    **dict.fromkeys("WPxX", 2),
    **dict.fromkeys("~n", 0),
}


# --------------------------------------------------------------------------- building


def _build(pieces: list[str | _Control], settings: Settings) -> str:
    out: list[str] = []
    column = total = 0
    for piece in pieces:
        if isinstance(piece, str):
            text = piece
        else:
            for size in (piece.width, piece.precision):
                settings.check(size or 0)
            text = _CONTROLS[piece.character](piece, column, settings)
        total += len(text)
        settings.check(total)
        out.append(text)
        column = _column_after(text, column)
    return "".join(out)


def _column_after(text: str, column: int) -> int:
    """Return where a line stands after ``text``; a tab goes to the next multiple of 8."""
    line = text.rpartition("\n")
    if line[1]:
        column = 0
    pieces = line[2].split("\t")
    for piece in pieces[:-1]:
        column = (column + len(piece) + 8) // 8 * 8
    return column + len(pieces[-1])


def _adjusted(text: str, padding: str, *, left: bool) -> str:
    return text + padding if left else padding + text


def _in_field(text: str, found: _Control, precision: int | None = None) -> str:
    """Put a term in its field: asterisks where it has no room."""
    width = found.width
    if width is None and precision is None:
        return text
    if width is None:
        width = precision
    assert width is not None  # noqa: S101
    size = length(text)
    most = width if precision is None else min(precision, width)
    if size > most:
        return _adjusted("*" * most, found.padding * (width - most), left=found.left)
    return _adjusted(text, found.padding * (width - size), left=found.left)


def _write(found: _Control, column: int, settings: Settings) -> str:
    depth = _depth(found)
    text = write_term(
        found.arguments[0],
        depth,
        latin1=not found.unicode,
        order=found.order,
        settings=settings,
    )
    return _in_field(text, found, found.precision)


def _print(found: _Control, column: int, settings: Settings) -> str:
    if found.left:
        raise FormatError("~p cannot be aligned to the left")
    return print_term(
        found.arguments[0],
        _depth(found),
        column=column + 1 if found.precision is None else found.precision,
        width=80 if found.width is None else found.width,
        latin1=not found.unicode,
        strings=found.strings,
        order=found.order,
        settings=settings,
    )


def _depth(found: _Control) -> int:
    if len(found.arguments) == 1:
        return -1
    depth = found.arguments[1]
    if type(depth) is not int:
        raise FormatError("a depth is an integer")
    return depth


# --------------------------------------------------------------------------- ~s


def _string(found: _Control, column: int, settings: Settings) -> str:
    value = found.arguments[0]
    name = atom_name(value)
    text = name if name is not None else _chars(value, found.unicode)
    if not found.unicode and not _is_latin1(text):
        raise FormatError("~s takes characters of Latin-1; ~ts all")
    size, width, precision = length(text), found.width, found.precision
    if width is None and precision is None:
        return text
    if precision is None or precision == width:
        assert width is not None  # noqa: S101
        return _string_in_field(text, size, width, found)
    if width is None:
        return _string_in_field(text, size, precision, found, left=True)
    if width < precision:
        raise FormatError("a precision beyond the width")
    if size > precision:
        text, size = _cut(text, precision, found), precision
    text += found.padding * (precision - size)
    return _adjusted(text, found.padding * (width - precision), left=found.left)


def _string_in_field(
    text: str, size: int, width: int, found: _Control, *, left: bool = False
) -> str:
    if width < 0:
        raise FormatError("a negative precision")
    if size > width:
        return _cut(text, width, found)
    return _adjusted(text, found.padding * (width - size), left=left or found.left)


def _cut(text: str, count: int, found: _Control) -> str:
    return take(text, count) if found.unicode else text[:count]


def _is_latin1(text: str) -> bool:
    return text.isascii() or all(character <= "\xff" for character in text)


def _chars(value: Any, unicode: bool) -> str:
    """Return the text of an iolist (``~s``) or of chardata (``~ts``).

    A binary is Latin-1 in the one; in the other, where it is no UTF-8.
    """
    if type(value) is int:
        raise FormatError("an integer is no string")
    parts: list[str] = []
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is int:
            parts.append(_character(item))
        elif isinstance(item, list):
            pending += reversed(item)
        elif kind is ImproperList:
            # The tail may be a binary, and nothing else.
            if not isinstance(item.tail, bytes):
                raise FormatError("an improper list")
            pending.append(item.tail)
            pending += reversed(item.elements)
        elif isinstance(item, str):
            parts.append(item if unicode else item.encode().decode("latin-1"))
        elif isinstance(item, bytes | bytearray | memoryview):
            parts.append(_binary_text(bytes(item), unicode))
        else:
            raise FormatError(f"{kind.__name__} has no place in a string")
    return "".join(parts)


def _binary_text(data: bytes, unicode: bool) -> str:
    if unicode:
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    return data.decode("latin-1")


def _character(value: Any) -> str:
    if type(value) is not int or not 0 <= value <= 0x10FFFF or 0xD800 <= value <= 0xDFFF:
        raise FormatError("no character")
    return chr(value)


# --------------------------------------------------------------------------- numbers, the rest


def _float(
    write: Callable[[float, int], str],
) -> Callable[[_Control, int, Settings], str]:
    def control(found: _Control, column: int, settings: Settings) -> str:
        value = found.arguments[0]
        if type(value) is not float:
            raise FormatError("~e, ~f and ~g take a float")
        precision = 6 if found.precision is None else found.precision
        return _in_field(write(value, precision), found)

    return control


def _integer(
    *, lower: bool, prefix: Callable[[_Control, int], str] | None = None
) -> Callable[[_Control, int, Settings], str]:
    def control(found: _Control, column: int, settings: Settings) -> str:
        value = found.arguments[0]
        if type(value) is not int:
            raise FormatError(f"~{found.character} takes an integer")
        base = 10 if found.precision is None else found.precision
        text = numbers.in_base(abs(value), base)
        before = "" if prefix is None else prefix(found, base)
        sign = "-" if value < 0 else ""
        return _in_field(sign + before + (text.lower() if lower else text), found)

    return control


def _given_prefix(found: _Control, base: int) -> str:
    value = found.arguments[1]
    name = atom_name(value)
    if name is not None:
        return name
    if not isinstance(value, list):
        raise FormatError("a prefix is a string or an atom")
    return _chars(value, unicode=True)


def _base_prefix(found: _Control, base: int) -> str:
    return f"{base}#"


def _one_character(found: _Control, column: int, settings: Settings) -> str:
    value = found.arguments[0]
    if type(value) is not int:
        raise FormatError("~c takes an integer")
    return _repeated(_character(value if found.unicode else value & 0xFF), found)


def _tilde(found: _Control, column: int, settings: Settings) -> str:
    return _repeated("~", found)


def _repeated(character: str, found: _Control) -> str:
    width, precision = found.width, found.precision
    if width is None or precision is None:
        count = precision if width is None else width
        if count is not None and count < 0:
            raise FormatError("a negative precision")
        return character * (1 if count is None else count)
    if width < precision or precision < 0:
        raise FormatError("a precision beyond the width")
    return _adjusted(character * precision, found.padding * (width - precision), left=found.left)


def _newline(found: _Control, column: int, settings: Settings) -> str:
    if found.left:
        raise FormatError("~n cannot be aligned to the left")
    return "\n" * (1 if found.width is None else found.width)


_CONTROLS: Final[dict[str, Callable[[_Control, int, Settings], str]]] = {
    "w": _write,
    "W": _write,
    "p": _print,
    "P": _print,
    "s": _string,
    "e": _float(numbers.exponential),
    "f": _float(numbers.fixed),
    "g": _float(numbers.general),
    "b": _integer(lower=True),
    "B": _integer(lower=False),
    "x": _integer(lower=True, prefix=_given_prefix),
    "X": _integer(lower=False, prefix=_given_prefix),
    "+": _integer(lower=True, prefix=_base_prefix),
    "#": _integer(lower=False, prefix=_base_prefix),
    "c": _one_character,
    "~": _tilde,
    "n": _newline,
    "i": lambda found, column, settings: "",
}
