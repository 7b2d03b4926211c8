from __future__ import annotations

from typing import Any

import pytest

from pynode.errors import EncodeError
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
    charlist,
    elixir,
    format_elixir,
    format_erlang,
)

NODE = atom("a@b")

BOTH: list[tuple[Any, str, str]] = [
    (5, "5", "5"),
    (-5, "-5", "-5"),
    (1.0, "1.0", "1.0"),
    (1e20, "1.0e20", "1.0e20"),
    (1.5e-7, "1.5e-7", "1.5e-7"),
    (True, "true", "true"),
    (None, "nil", "nil"),
    (atom.ok, "ok", ":ok"),
    (atom("odd name"), "'odd name'", ':"odd name"'),
    (atom("it's"), "'it\\'s'", ':"it\'s"'),
    (atom(""), "''", ':""'),
    (atom("end"), "'end'", ":end"),
    (atom("ok?"), "'ok?'", ":ok?"),
    (atom("été"), "été", ':"été"'),
    (elixir("Foo.Bar"), "'Elixir.Foo.Bar'", "Foo.Bar"),
    (b"", "<<>>", '""'),
    (b"text", '<<"text">>', '"text"'),
    ("é", '<<"é"/utf8>>', '"é"'),
    (b'a"\n#{x}', '<<"a\\"\\n#{x}">>', '"a\\"\\n\\#{x}"'),
    (b"\xff\0", "<<255,0>>", "<<255, 0>>"),
    (bytearray(b"a"), '<<"a">>', '"a"'),
    (BitString(b"\1\xa0", 3), "<<1,5:3>>", "<<1, 5::size(3)>>"),
    (BitString(b"a", 8), '<<"a">>', '"a"'),
    ([], "[]", "[]"),
    ([1, 2], "[1,2]", "[1, 2]"),
    (charlist("manager"), '"manager"', '~c"manager"'),
    (ImproperList([1, 2], atom.t), "[1,2|t]", "[1, 2 | :t]"),
    ((), "{}", "{}"),
    ((1, (2,)), "{1,{2}}", "{1, {2}}"),
    ({}, "#{}", "%{}"),
    ({atom.a: 1, None: 2}, "#{a => 1,nil => 2}", "%{a: 1, nil: 2}"),
    ({b"k": {1: 2}}, '#{<<"k">> => #{1 => 2}}', '%{"k" => %{1 => 2}}'),
    (TermMap([([1], 2)]), "#{[1] => 2}", "%{[1] => 2}"),
    ([(atom.a, 1), (atom("b c"), 2)], "[{a,1},{'b c',2}]", '[a: 1, "b c": 2]'),
    ([(atom.a, 1), 2], "[{a,1},2]", "[{:a, 1}, 2]"),
    (ExportFun("lists", "map", 2), "fun lists:map/2", "&:lists.map/2"),
    (
        ExportFun("Elixir.Enum", "odd name", 1),
        "fun 'Elixir.Enum':'odd name'/1",
        '&Enum."odd name"/1',
    ),
    (Pid(NODE, 1, 2, 3), "#Pid<a@b.1.2>", "#PID<a@b.1.2>"),
    (Port(NODE, 1, 3), "#Port<a@b.1>", "#Port<a@b.1>"),
    (Reference(NODE, 1, (1, 2)), "#Ref<a@b.2.1>", "#Reference<a@b.2.1>"),
    (
        OpaqueFun("m", 1, 2, b"u" * 16, 2, 3, Pid(NODE, 1, 2, 3)),
        "#Fun<m.2.3>",
        "#Fun<m.2.3>",
    ),
    (Record("m", "r", True, [("a", [1])]), "#m:r{a = [1]}", "#:m:r{a: [1]}"),
]


@pytest.mark.parametrize(("term", "erlang", "elixir_text"), BOTH, ids=[row[1] for row in BOTH])
def test_both_notations(term: Any, erlang: str, elixir_text: str) -> None:
    assert format_erlang(term) == erlang
    assert format_elixir(term) == elixir_text


def test_huge_integers_in_hexadecimal() -> None:
    assert format_erlang(-(1 << 20_000)) == "-16#1" + "0" * 5000
    assert format_elixir(1 << 20_000) == "0x1" + "0" * 5000


def test_deep_terms() -> None:
    deep: Any = ()
    for _ in range(50_000):
        deep = (deep,)
    assert format_erlang(deep) == "{" * 50_001 + "}" * 50_001


@pytest.mark.parametrize("value", [object(), [float("nan")], "\ud800"])
def test_what_is_no_term(value: Any) -> None:
    with pytest.raises(EncodeError):
        format_erlang(value)
    with pytest.raises(EncodeError):
        format_elixir(value)
