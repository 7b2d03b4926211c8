"""Terms without parts as ``~w`` writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from pynode.terms.atom import Atom
from pynode.terms.compound import BitString, ExportFun, OpaqueFun
from pynode.terms.identifiers import Pid, Port, Reference

from .characters import escaped
from .errors import FormatError
from .numbers import integer, shortest
from .settings import Settings

__all__ = ["BINARIES", "atom_name", "bits_of", "write_atom", "write_bytes", "write_leaf"]

_PYTHON_ATOMS: Final[dict[Any, str]] = {True: "true", False: "false", None: "nil"}
_PLAIN: Final = re.compile(r"[a-zß-öø-ÿ][A-Za-z0-9_@À-ÖØ-öø-ÿ]*")
_RESERVED: Final = frozenset(
    {"after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case"}
    | {"catch", "cond", "div", "else", "end", "fun", "if", "let", "maybe", "not", "of", "or"}
    | {"orelse", "receive", "rem", "try", "when", "xor"}
)
#: The types that are binaries or bit strings.
BINARIES: Final = (bytes, str, BitString, bytearray, memoryview)


def atom_name(value: Any) -> str | None:
    """Return the name of an atom, None for any other term."""
    if type(value) is Atom:
        return value.name
    if value is True or value is False or value is None:
        return _PYTHON_ATOMS[value]
    return None


def write_atom(name: str, *, latin1: bool) -> str:
    """Write an atom, in quotes where it needs them."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    return escaped(name, "'", latin1=latin1)


def bits_of(value: Any) -> tuple[bytes, int]:
    """Return the bytes of a binary, and how many bits of the last one count."""
    if type(value) is BitString:
        return value.data, value.bits
    if isinstance(value, str):
        try:
            return value.encode(), 8
        except UnicodeEncodeError as error:
            raise FormatError(f"a str that is no UTF-8: {error.reason}") from None
    return bytes(value), 8


def write_bytes(data: bytes, bits: int, depth: int) -> str:
    """Write a binary by its numbers, no more than ``depth`` things; below 0 all."""
    shown = data if depth < 0 or len(data) < depth else data[: depth - 1]
    numbers = list(map(str, shown))
    if len(shown) < len(data):
        numbers.append("...")
    elif bits != 8 and numbers:
        numbers[-1] = f"{data[-1] >> (8 - bits)}:{bits}"
    return f"<<{','.join(numbers)}>>"


def write_leaf(value: Any, settings: Settings, *, latin1: bool) -> str | None:
    """Write a term that has no parts; None for others, and for binaries."""
    kind = type(value)
    if kind is int:
        return integer(value)
    name = atom_name(value)
    if name is not None:
        return write_atom(name, latin1=latin1)
    writer = _WRITERS.get(kind)
    if writer is not None:
        return writer(value, settings)
    for base in (int, float):
        if isinstance(value, base):
            return integer(int(value)) if base is int else shortest(value)
    return None


def _node(node: Atom, settings: Settings) -> str:
    return "0" if node == settings.node else node.name


def _pid(value: Pid, settings: Settings) -> str:
    return f"<{_node(value.node, settings)}.{value.id}.{value.serial}>"


def _port(value: Port, settings: Settings) -> str:
    return f"#Port<{_node(value.node, settings)}.{value.id}>"


def _reference(value: Reference, settings: Settings) -> str:
    words = ".".join(str(word) for word in reversed(value.words))
    return f"#Ref<{_node(value.node, settings)}.{words}>"


def _export(value: ExportFun, settings: Settings) -> str:
    module, function = atom_name(value.module), atom_name(value.function)
    called = f"{write_atom(module or '', latin1=False)}:{write_atom(function or '', latin1=False)}"
    return f"fun {called}/{value.arity}"


def _fun(value: OpaqueFun, settings: Settings) -> str:
    module = write_atom(atom_name(value.module) or "", latin1=False)
    return f"#Fun<{module}.{value.old_index}.{value.old_uniq}>"


_WRITERS: Final[dict[type, Callable[[Any, Settings], str]]] = {
    float: lambda value, settings: shortest(value),
    Pid: _pid,
    Port: _port,
    Reference: _reference,
    ExportFun: _export,
    OpaqueFun: _fun,
}
