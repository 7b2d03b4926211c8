"""Terms that Python has no type of its own for: bit strings, improper lists, funs, records.

All are frozen, and hashable as far as what they hold is.  ``==`` is Python's comparison of the
parts; :func:`pynode.terms.identical` is Erlang's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, final

from pynode.terms._choice import ImproperList, Pid
from pynode.terms._pure_values import Frozen
from pynode.terms.atom import Atom

__all__ = ["BitString", "ExportFun", "ImproperList", "OpaqueFun", "Record"]

_set: Final = object.__setattr__


@final
class BitString(Frozen):
    """A bit string whose length is not a multiple of 8: ``<<5:3>>`` is ``BitString(b"\\xa0", 3)``.

    ``data`` holds the bits from the most significant of its first byte on; of the last byte
    ``bits`` (1 to 8) count, the others are cleared.  With 8 it is the same term as ``data``.

    Raises:
        ValueError: ``bits`` is not 1 to 8, or not 8 for empty data.
    """

    __slots__ = ("bits", "data")

    data: bytes
    bits: int

    def __init__(self, data: bytes, bits: int = 8) -> None:
        data = bytes(data)
        if not 1 <= bits <= 8 or (not data and bits != 8):
            raise ValueError(f"{bits} bits in the last of {len(data)} bytes")
        if bits != 8:
            data = data[:-1] + bytes((data[-1] & (0xFF00 >> bits),))
        _set(self, "data", data)
        _set(self, "bits", bits)

    @property
    def total(self) -> int:
        """The length in bits."""
        return 8 * len(self.data) - 8 + self.bits if self.data else 0

    def __eq__(self, other: object) -> bool:
        if type(other) is BitString:
            return self.bits == other.bits and self.data == other.data
        return NotImplemented

    def __hash__(self) -> int:
        return hash((BitString, self.data, self.bits))

    def __repr__(self) -> str:
        return f"BitString({self.data!r}, {self.bits})"

    def _shown_parts(self) -> tuple[str, Iterable[Any], str]:
        return "BitString(", (self.data, self.bits), ")"

    def __reduce__(self) -> tuple[Any, ...]:
        return BitString, (self.data, self.bits)


@final
class ExportFun(Frozen):
    """``fun Module:Function/Arity``, in Elixir ``&Module.function/arity``."""

    __slots__ = ("arity", "function", "module")

    module: Any
    """An :class:`Atom`; True, False or None for the three atoms that Python has values for."""
    function: Any
    arity: int

    def __init__(self, module: Any, function: Any, arity: int) -> None:
        """A ``str`` as module or function is an atom.

        Raises:
            TypeError: the module or the function is no atom, or the arity no int.
            ValueError: the arity is not 0 to 255.
        """
        _set(self, "module", _atom(module, "module"))
        _set(self, "function", _atom(function, "function"))
        _set(self, "arity", _arity(arity))

    def __eq__(self, other: object) -> bool:
        if type(other) is ExportFun:
            return (
                self.arity == other.arity
                and self.function == other.function
                and self.module == other.module
            )
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.module, self.function, self.arity))

    def __repr__(self) -> str:
        return f"ExportFun({self.module!r}, {self.function!r}, {self.arity})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ExportFun, (self.module, self.function, self.arity)


@final
class OpaqueFun(Frozen):
    """A fun made by a BEAM module's own code: it cannot run here, and goes back as it came.

    The parts are those of NEW_FUN_EXT.  ``env`` are the values the fun closes over, ``pid`` its
    creator (from OTP 27 on without meaning); the name of its function is not on the wire.  Two are
    equal whoever made them, as on a BEAM.
    """

    __slots__ = ("arity", "env", "index", "module", "old_index", "old_uniq", "pid", "uniq")

    module: Any
    arity: int
    index: int
    uniq: bytes
    """16 bytes, the MD5 of the code that made the fun."""
    old_index: int
    old_uniq: int
    pid: Pid
    env: tuple[Any, ...]

    def __init__(
        self,
        module: Any,
        arity: int,
        index: int,
        uniq: bytes,
        old_index: int,
        old_uniq: int,
        pid: Pid,
        env: Iterable[Any] = (),
    ) -> None:
        if len(uniq) != 16:
            raise ValueError(f"uniq has 16 bytes, not {len(uniq)}")
        if type(pid) is not Pid:
            raise TypeError(f"the creator is a Pid, not {type(pid).__name__}")
        if not (type(index) is type(old_index) is type(old_uniq) is int):
            raise TypeError("index, old_index and old_uniq are ints")
        _set(self, "module", _atom(module, "module"))
        _set(self, "arity", _arity(arity))
        _set(self, "index", index)
        _set(self, "uniq", bytes(uniq))
        _set(self, "old_index", old_index)
        _set(self, "old_uniq", old_uniq)
        _set(self, "pid", pid)
        _set(self, "env", tuple(env))

    def _parts(self) -> tuple[Any, ...]:
        return (
            self.module,
            self.arity,
            self.index,
            self.uniq,
            self.old_index,
            self.old_uniq,
            self.pid,
            self.env,
        )

    def _compared(self) -> tuple[Any, ...]:
        return self.module, self.index, self.uniq, self.arity, self.old_uniq, self.env

    def __eq__(self, other: object) -> bool:
        if type(other) is OpaqueFun:
            return self._compared() == other._compared()
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._compared())

    def __repr__(self) -> str:
        return f"#Fun<{self.module}.{self.index}.{self.old_uniq}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return OpaqueFun, self._parts()


@final
class Record(Frozen):
    """A native record (OTP 29): ``#Module:Name{Field = Value, ...}``.

    ``fields`` are ``(name, value)`` pairs in the order of the definition; ``exported`` says
    whether the record's definition is.  Only a peer that agreed to NATIVE_RECORDS can be sent one.
    """

    __slots__ = ("exported", "fields", "module", "name")

    module: Any
    name: Any
    exported: bool
    fields: tuple[tuple[Any, Any], ...]

    def __init__(
        self, module: Any, name: Any, exported: bool, fields: Iterable[tuple[Any, Any]]
    ) -> None:
        """A ``str`` as module, name or field name is an atom.

        Raises:
            TypeError: one of those is no atom.
            ValueError: a field occurs twice.
        """
        pairs = tuple((_atom(key, "field name"), value) for key, value in fields)
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a field occurs twice")
        _set(self, "module", _atom(module, "module"))
        _set(self, "name", _atom(name, "name"))
        _set(self, "exported", bool(exported))
        _set(self, "fields", pairs)

    def __getitem__(self, field: Any) -> Any:
        """Return the value of a field, named by a str or an atom.

        Raises:
            KeyError: the record has no such field.
        """
        wanted = _atom(field, "field name")
        for key, value in self.fields:
            if key == wanted:
                return value
        raise KeyError(field)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is Record:
            return (
                self.module == other.module
                and self.name == other.name
                and self.exported == other.exported
                and self.fields == other.fields
            )
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.module, self.name, self.exported, self.fields))

    def __repr__(self) -> str:
        fields = ", ".join(f"{key}={value!r}" for key, value in self.fields)
        return f"#{self.module}:{self.name}{{{fields}}}"

    def _shown_parts(self) -> tuple[str, Iterable[Any], str]:
        return f"#{self.module}:{self.name}{{", self.fields, "}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Record, (self.module, self.name, self.exported, self.fields)


_PYTHON: Final = {"true": True, "false": False, "nil": None}


def _atom(value: Any, what: str) -> Any:
    """Return ``value`` as an atom: an Atom, True, False or None; a str names one."""
    if type(value) is Atom or value is True or value is False or value is None:
        return value
    if isinstance(value, str):
        return _PYTHON[value] if value in _PYTHON else Atom(value)
    raise TypeError(f"the {what} is an atom, not {type(value).__name__}")


def _arity(value: int) -> int:
    if type(value) is not int:
        raise TypeError(f"the arity is an int, not {type(value).__name__}")
    if not 0 <= value <= 255:
        raise ValueError(f"an arity is 0 to 255, not {value}")
    return value
