"""Terms as text, as an Erlang or an Elixir programmer writes them.

For people, and where a shell is to read it: what has a literal form is written so that ``erl`` or
``iex`` reads the same term back.  Identifiers and closures have none, and are shown as
``#Pid<...>`` (``#PID<...>``), with the name of their node.  Like the shells, a list of printable
characters is shown as text.  A stack of its own: depth does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, MutableMapping
from math import isfinite
from typing import Any, Final, final

from pynode.errors import EncodeError
from pynode.terms.atom import Atom
from pynode.terms.compound import BitString, ExportFun, ImproperList, OpaqueFun, Record
from pynode.terms.identifiers import Pid, Port, Reference

__all__ = ["format_elixir", "format_erlang"]

_PYTHON_ATOMS: Final[dict[Any, str]] = {True: "true", False: "false", None: "nil"}
_MOST_DECIMAL_BITS: Final = 8192
"""Larger integers are written in hexadecimal: decimal takes quadratic time, and Python refuses."""


def format_erlang(term: Any) -> str:
    """Return ``term`` in Erlang's notation: ``{ok,<<"text">>,[1,2|tail]}``.

    Raises:
        EncodeError: it is no term.
    """
    return _format(term, _ERLANG)


def format_elixir(term: Any) -> str:
    """Return ``term`` in Elixir's notation: ``{:ok, "text", %{key: [1, 2]}}``.

    Raises:
        EncodeError: it is no term.
    """
    return _format(term, _ELIXIR)


@final
class _Text(str):
    """Text that is part of the result already, among terms that are to be written."""

    __slots__ = ()


_Leaf = Callable[[Any], str]
_Container = Callable[[Any], "list[Any]"]


@final
class _Notation:
    """The parts in which the two notations differ."""

    __slots__ = ("containers", "leaves")

    def __init__(self, leaves: dict[type, _Leaf], containers: dict[type, _Container]) -> None:
        self.leaves = leaves
        self.containers = containers


def _format(term: Any, notation: _Notation) -> str:
    parts: list[str] = []
    pending: list[Any] = [term]  # what is to be written next is at the end
    leaves = notation.leaves
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind is _Text:
            parts.append(value)
        elif kind in leaves:
            parts.append(leaves[kind](value))
        else:
            children = _children(value, notation)
            children.reverse()
            pending += children
    return "".join(parts)


def _children(value: Any, notation: _Notation) -> list[Any]:
    kind = type(value)
    container = notation.containers.get(kind)
    if container is not None:
        return container(value)
    for base, container in notation.containers.items():
        if isinstance(value, base):
            return container(value)
    for leaf_base in (int, float, str, bytes):
        if isinstance(value, leaf_base):
            return [_Text(notation.leaves[leaf_base](value))]
    raise EncodeError(f"a value of type {kind.__name__} is no Erlang term")


def _joined(opening: str, items: Iterable[Any], separator: str, closing: str) -> list[Any]:
    """Return ``items`` with text around and between them."""
    between = _Text(separator)
    result: list[Any] = [_Text(opening)]
    for item in items:
        result.append(item)
        result.append(between)
    if len(result) > 1:
        result.pop()
    result.append(_Text(closing))
    return result


# --------------------------------------------------------------------------- numbers and text


def _integer(value: int, prefix: str) -> str:
    if value.bit_length() <= _MOST_DECIMAL_BITS:
        return int.__repr__(value)
    return f"{'-' if value < 0 else ''}{prefix}{abs(value):X}"


def _float(value: float) -> str:
    if not isfinite(value):
        raise EncodeError(f"{value!r} is no Erlang float")
    digits, e, exponent = float.__repr__(value).partition("e")
    if "." not in digits:
        digits += ".0"
    return f"{digits}e{int(exponent)}" if e else digits


_ESCAPES: Final = {
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\b": "\\b",
    "\f": "\\f",
    "\x1b": "\\e",
    "\\": "\\\\",
}


def _quoted(text: str, quote: str, hexadecimal: str, also: str = "") -> str:
    """Quote ``text``; ``also`` are further characters to put a backslash before."""
    parts = []
    for character in text:
        if character == quote or character in also:
            parts.append("\\" + character)
        elif character in _ESCAPES:
            parts.append(_ESCAPES[character])
        elif character.isprintable():
            parts.append(character)
        else:
            parts.append(hexadecimal % ord(character))
    return f"{quote}{''.join(parts)}{quote}"


def _is_text(text: str) -> bool:
    return all(character.isprintable() or character in _ESCAPES for character in text)


def _utf8(data: bytes) -> str | None:
    """Return the text of a binary, None where it is not printable."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if _is_text(text) else None


def _characters(value: Iterable[Any]) -> str | None:
    """Return the text of a charlist, None where a list is not one, or is empty."""
    parts = []
    for item in value:
        if type(item) is not int or not 0 <= item <= 0x10FFFF or 0xD800 <= item <= 0xDFFF:
            return None
        parts.append(chr(item))
    text = "".join(parts)
    return text if text and _is_text(text) else None


def _bytes_text(data: bytes, bits: int, separator: str, size: str) -> str:
    numbers = [str(byte) for byte in data]
    if bits != 8:
        numbers[-1] = f"{data[-1] >> (8 - bits)}{size}{bits}"
    return f"<<{separator.join(numbers)}>>"


def _name(value: Any) -> str:
    return value.name if type(value) is Atom else _PYTHON_ATOMS[value]


def _str_bytes(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"a str that is no UTF-8: {error.reason}") from None


# --------------------------------------------------------------------------- Erlang

# re compiles each when it is first used, and remembers it.
_ERLANG_PLAIN: Final = r"[a-zß-öø-ÿ][A-Za-z0-9_@À-ÖØ-öø-ÿ]*"
_ERLANG_RESERVED: Final = frozenset(
    {"after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case"}
    | {"catch", "cond", "div", "else", "end", "fun", "if", "let", "maybe", "not", "of", "or"}
    | {"orelse", "receive", "rem", "try", "when", "xor"}
)


def _erlang_atom(value: Any) -> str:
    name = _name(value)
    if re.fullmatch(_ERLANG_PLAIN, name) and name not in _ERLANG_RESERVED:
        return name
    return _quoted(name, "'", "\\x{%x}")


def _erlang_binary(value: Any) -> str:
    data = bytes(value)
    text = _utf8(data)
    if text is None:
        return _bytes_text(data, 8, ",", ":")
    if not text:
        return "<<>>"
    kind = "" if text.isascii() else "/utf8"
    return "<<" + _quoted(text, '"', "\\x{%x}") + kind + ">>"


def _erlang_fun(value: ExportFun) -> str:
    return f"fun {_erlang_atom(value.module)}:{_erlang_atom(value.function)}/{value.arity}"


def _erlang_list(value: list[Any]) -> list[Any]:
    text = _characters(value)
    if text is not None:
        return [_Text(_quoted(text, '"', "\\x{%x}"))]
    return _joined("[", value, ",", "]")


def _erlang_improper(value: ImproperList) -> list[Any]:
    return [*_joined("[", value.elements, ",", "|"), value.tail, _Text("]")]


def _erlang_map(value: Any) -> list[Any]:
    items: list[Any] = []
    for key, item in value.items():
        items += (_Text(","), key, _Text(" => "), item)
    return [_Text("#{"), *items[1:], _Text("}")]


def _erlang_record(value: Record) -> list[Any]:
    items: list[Any] = []
    for key, item in value.fields:
        items += (_Text(","), key, _Text(" = "), item)
    head = f"#{_erlang_atom(value.module)}:{_erlang_atom(value.name)}{{"
    return [_Text(head), *items[1:], _Text("}")]


# --------------------------------------------------------------------------- Elixir

_ELIXIR_PLAIN: Final = r"[A-Za-z_][A-Za-z0-9_@]*[?!]?"
_ELIXIR_FUNCTION: Final = r"[a-z_][A-Za-z0-9_]*[?!]?"
_ELIXIR_KEY: Final = r"[A-Za-z_][A-Za-z0-9_]*[?!]?"
_ELIXIR_MODULE: Final = r"Elixir(\.[A-Z][A-Za-z0-9_]*)+"


def _elixir_atom(value: Any) -> str:
    if type(value) is not Atom:
        return _PYTHON_ATOMS[value]
    name = value.name
    if re.fullmatch(_ELIXIR_MODULE, name):
        return name.removeprefix("Elixir.")
    if re.fullmatch(_ELIXIR_PLAIN, name):
        return ":" + name
    return ":" + _elixir_quoted(name)


def _elixir_quoted(text: str) -> str:
    return _quoted(text, '"', "\\u{%X}").replace("#{", "\\#{")


def _elixir_binary(value: Any) -> str:
    data = bytes(value)
    text = _utf8(data)
    return _bytes_text(data, 8, ", ", "::size(") if text is None else _elixir_quoted(text)


def _elixir_bits(value: BitString) -> str:
    if value.bits == 8:
        return _elixir_binary(value.data)
    return _bytes_text(value.data, value.bits, ", ", "::size(")[:-2] + ")>>"


def _elixir_fun(value: ExportFun) -> str:
    name = _name(value.function)
    if not re.fullmatch(_ELIXIR_FUNCTION, name):
        name = _elixir_quoted(name)
    return f"&{_elixir_atom(value.module)}.{name}/{value.arity}"


def _elixir_key(value: Any) -> str | None:
    """Return ``key:`` for an atom that may be written so, None for other terms."""
    if value is True or value is False or value is None:
        return f"{_PYTHON_ATOMS[value]}: "
    if type(value) is not Atom or re.fullmatch(_ELIXIR_MODULE, value.name):
        return None
    if re.fullmatch(_ELIXIR_KEY, value.name):
        return f"{value.name}: "
    return _elixir_quoted(value.name) + ": "


def _elixir_pairs(pairs: Iterable[tuple[Any, Any]]) -> list[Any] | None:
    """Return ``key: value, ...``, None where not every key may be written so."""
    items: list[Any] = []
    for key, item in pairs:
        text = _elixir_key(key)
        if text is None:
            return None
        items += (_Text(", "), _Text(text), item)
    return items[1:]


def _elixir_list(value: list[Any]) -> list[Any]:
    text = _characters(value)
    if text is not None:
        return [_Text("~c" + _elixir_quoted(text))]
    if value and all(type(item) is tuple and len(item) == 2 for item in value):
        pairs = _elixir_pairs(value)
        if pairs is not None:
            return [_Text("["), *pairs, _Text("]")]
    return _joined("[", value, ", ", "]")


def _elixir_improper(value: ImproperList) -> list[Any]:
    return [*_joined("[", value.elements, ", ", " | "), value.tail, _Text("]")]


def _elixir_map(value: Any) -> list[Any]:
    pairs = _elixir_pairs(value.items())
    if pairs is None:
        pairs = []
        for key, item in value.items():
            pairs += (_Text(", "), key, _Text(" => "), item)
        del pairs[:1]
    return [_Text("%{"), *pairs, _Text("}")]


def _elixir_record(value: Record) -> list[Any]:
    fields = _elixir_pairs(value.fields)
    if fields is None:
        fields = []
        for key, item in value.fields:
            fields += (_Text(", "), key, _Text(" = "), item)
        del fields[:1]
    return [_Text(f"#{_elixir_atom(value.module)}:{_name(value.name)}{{"), *fields, _Text("}")]


# --------------------------------------------------------------------------- the tables


def _words(value: Reference) -> str:
    return ".".join(str(word) for word in reversed(value.words))


_ERLANG: Final = _Notation(
    {
        int: lambda value: _integer(value, "16#"),
        float: _float,
        bool: _erlang_atom,
        type(None): _erlang_atom,
        Atom: _erlang_atom,
        str: lambda value: _erlang_binary(_str_bytes(value)),
        bytes: _erlang_binary,
        bytearray: _erlang_binary,
        memoryview: _erlang_binary,
        BitString: lambda value: (
            _erlang_binary(value.data)
            if value.bits == 8
            else _bytes_text(value.data, value.bits, ",", ":")
        ),
        Pid: lambda value: f"#Pid<{value.node}.{value.id}.{value.serial}>",
        Port: lambda value: f"#Port<{value.node}.{value.id}>",
        Reference: lambda value: f"#Ref<{value.node}.{_words(value)}>",
        ExportFun: _erlang_fun,
        OpaqueFun: repr,
    },
    {
        tuple: lambda value: _joined("{", value, ",", "}"),
        list: _erlang_list,
        dict: _erlang_map,
        MutableMapping: _erlang_map,
        ImproperList: _erlang_improper,
        Record: _erlang_record,
    },
)

_ELIXIR: Final = _Notation(
    {
        int: lambda value: _integer(value, "0x"),
        float: _float,
        bool: _elixir_atom,
        type(None): _elixir_atom,
        Atom: _elixir_atom,
        str: lambda value: _elixir_binary(_str_bytes(value)),
        bytes: _elixir_binary,
        bytearray: _elixir_binary,
        memoryview: _elixir_binary,
        BitString: _elixir_bits,
        Pid: repr,
        Port: repr,
        Reference: repr,
        ExportFun: _elixir_fun,
        OpaqueFun: repr,
    },
    {
        tuple: lambda value: _joined("{", value, ", ", "}"),
        list: _elixir_list,
        dict: _elixir_map,
        MutableMapping: _elixir_map,
        ImproperList: _elixir_improper,
        Record: _elixir_record,
    },
)
