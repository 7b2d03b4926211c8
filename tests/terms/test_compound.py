from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from pynode.terms import (
    BitString,
    ExportFun,
    ImproperList,
    OpaqueFun,
    Pid,
    Port,
    Record,
    Reference,
    TermMap,
    atom,
)

NODE = atom("a@b")
PID = Pid(NODE, 1, 2, 3)
FUN = OpaqueFun("mod", 2, 3, b"u" * 16, 3, 77, PID, [1, 2])
VALUES = [
    BitString(b"\xa0", 3),
    ImproperList([1, 2], atom.tail),
    ExportFun("lists", "map", 2),
    FUN,
    Record("m", "r", True, [("a", 1)]),
    PID,
    Port(NODE, 1, 2),
    Reference(NODE, 1, (1, 2, 3)),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_frozen_hashable_and_copied(value: Any) -> None:
    assert hash(value) == hash(copy.deepcopy(value))
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(AttributeError):
        value.anything = 1
    name = next(name for name in type(value).__slots__ if not name.startswith("_"))
    with pytest.raises(AttributeError):
        setattr(value, name, 1)
    with pytest.raises(AttributeError):
        delattr(value, name)


def test_bit_string_clears_what_does_not_count() -> None:
    assert BitString(b"\xff", 3) == BitString(b"\xe0", 3)
    assert BitString(b"\xff", 3) != BitString(b"\xe0", 4)
    assert BitString(b"\1\2", 3).total == 11
    assert BitString(b"").total == 0


@pytest.mark.parametrize(("data", "bits"), [(b"a", 0), (b"a", 9), (b"", 3)])
def test_bit_string_refuses(data: bytes, bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        BitString(data, bits)


def test_improper_list_has_one_form() -> None:
    assert ImproperList([1], ImproperList([2], 3)) == ImproperList((1, 2), 3)
    with pytest.raises(ValueError, match="a list"):
        ImproperList([1], [2])
    with pytest.raises(ValueError, match="at least one"):
        ImproperList([], 2)


def test_export_fun_takes_str_for_atoms() -> None:
    assert ExportFun("lists", "map", 2) == ExportFun(atom.lists, atom.map, 2)
    assert ExportFun("nil", "true", 0).module is None
    with pytest.raises(TypeError, match="function"):
        ExportFun("m", b"f", 1)
    with pytest.raises(ValueError, match="arity"):
        ExportFun("m", "f", 256)
    with pytest.raises(TypeError, match="arity"):
        ExportFun("m", "f", True)


def test_opaque_fun_refuses_wrong_parts() -> None:
    with pytest.raises(ValueError, match="16"):
        OpaqueFun("m", 1, 0, b"short", 0, 0, PID)
    with pytest.raises(TypeError, match="ints"):
        OpaqueFun("m", 1, 0, b"u" * 16, 0, "0", PID)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Pid"):
        OpaqueFun("m", 1, 0, b"u" * 16, 0, 0, atom.a)  # type: ignore[arg-type]


def test_opaque_funs_are_equal_whoever_made_them() -> None:
    made_by = [
        OpaqueFun("m", 1, 0, b"u" * 16, 0, 7, Pid(atom("a@b"), number, 0, 1)) for number in (1, 2)
    ]
    assert made_by[0] == made_by[1]
    assert len(set(made_by)) == len(TermMap(dict.fromkeys(made_by))) == 1
    assert made_by[0] != OpaqueFun("m", 1, 0, b"u" * 16, 0, 8, made_by[0].pid)


def test_record_fields_by_name() -> None:
    record = Record("m", "r", False, [("a", 1), ("b", 2)])
    assert record["b"] == 2
    assert record[atom.a] == 1
    assert list(record) == [(atom.a, 1), (atom.b, 2)]
    with pytest.raises(KeyError):
        record["c"]
    with pytest.raises(ValueError, match="twice"):
        Record("m", "r", False, [("a", 1), ("a", 2)])


def test_shown_as_the_shell_shows_them() -> None:
    assert repr(PID) == "#PID<a@b.1.2>"
    assert repr(Reference(NODE, 1, (1, 2, 3))) == "#Reference<a@b.3.2.1>"
    assert repr(FUN) == "#Fun<mod.3.77>"
    assert repr(Record("m", "r", True, [("a", 1)])) == "#m:r{a=1}"
