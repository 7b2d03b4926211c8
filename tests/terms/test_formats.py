"""The formats of io_lib; whether they are OTP's is tested in ``tests/beam/test_io.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pynode.errors import EncodeError
from pynode.terms import (
    Atom,
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
)
from pynode.terms.formats import (
    FormatError,
    NotHere,
    Settings,
    format_text,
    print_term,
    write_term,
)

HERE = Atom("a@host")
PID = Pid(HERE, 59, 0, 1)
FUN = OpaqueFun("mod", 1, 2, b"0" * 16, 3, 77, PID, ())

ALIKE: list[tuple[str, list[Any], str]] = [
    ("plain ~~ ~n", [], "plain ~ \n"),
    ("~3n~3~", [], "\n\n\n~~~"),
    ("~i~w", [1, 2], "2"),
    ("~c~5c~.3c~5.2c|~-5.2.xc", [65, 66, 67, 68, 69], "ABBBBBCCC   DD|EExxx"),
    ("~c ~tc", [0x141, 0x20AC], "A \u20ac"),
    ("~s ~s ~s", [b"bin\xe9", charlist("list"), atom.name], "bin\u00e9 list name"),
    ("~ts ~ts", ["caf\u00e9".encode(), b"\xff"], "caf\u00e9 \u00ff"),
    ("~10s|~-10s|~.2s|~5.2s|~-5.2s|~3s", [b"abc"] * 6, "       abc|abc       |ab|   ab|ab   |abc"),
    ("~8.3.*s", [ord("+"), b"x"], "+++++x++"),
    ("~*w ~-*w", [5, 1, 5, 2], "    1 2    "),
    ("~3w ~5.2w", [12345, 123], "***    **"),
    ("~w ~tw", [[Atom("\u0436")]] * 2, "['\\x{436}'] ['\u0436']"),
    ("~b ~B ~.16b ~.16B ~.36b ~.3b", [-10, 10, 255, -255, 35, 5], "-10 10 ff -FF z 12"),
    ("~x ~.16X ~+ ~.16#", [10, charlist("0d"), -255, atom.h, 9, 255], "0d10 -hFF 10#9 16#FF"),
    ("~e ~.3e ~12.2e", [1.5, -0.00012345, 99.9], "1.50000e+0 -1.23e-4       1.0e+2"),
    ("~f ~.1f ~10.2f", [1.5, -0.25, 3.14159], "1.500000 -0.3       3.14"),
    ("~g ~g ~.3g ~g", [0.5, 1.0e10, 12.345, -0.0], "0.500000 1.00000e+10 12.3 -0.00000e+0"),
    ("~p ~p", [charlist("text"), [300]], '"text" [300]'),
    ("~lp ~lp", [charlist("a"), b"a"], "[97] <<97>>"),
    ("~p ~tp", [charlist("\u20ac")] * 2, '[8364] "\u20ac"'),
    ("~P ~W", [[1, 2, 3], 2, {1: 2, 3: 4}, 2], "[1|...] #{1 => 2,...}"),
    ("~p", [b"\x00\x01"], "<<0,1>>"),
    ("~p", [TermMap([(1, atom.a), (1.0, atom.b)])], "#{1 => a,1.0 => b}"),
    ("~kp ~Kp", [{2: 1, 1: 2}, atom.reversed, {1: 2, 2: 1}], "#{1 => 2,2 => 1} #{2 => 1,1 => 2}"),
    ("~p", ["str"], '<<"str">>'),
]  # fmt: skip


@pytest.mark.parametrize(("control", "arguments", "text"), ALIKE)
def test_controls(control: str, arguments: list[Any], text: str) -> None:
    assert format_text(control, arguments) == text


def test_control_strings_of_any_kind() -> None:
    assert format_text(atom("~w"), [1]) == "1"
    assert format_text(b"\xe9~w", [1]) == "\u00e91"
    assert format_text(charlist("\u20ac~w"), [1]) == "\u20ac1"
    assert format_text(None, []) == "nil"


WRONG: list[tuple[Any, Any]] = [
    ("~w", []), ("~w", [1, 2]), ("~", []), ("~5", []), ("~y", [1]), ("~-w", [1]), ("~*w", [1.0, 1]),
    ("~w", atom.x), (7, []), ([-1], []), ("~s", [7]), ("~s", [[0x20AC]]), ("~s", [[1.5]]),
    ("~s", [Atom("\u20ac")]), ("~ts", [[0x110000]]), ("~s", [ImproperList([65], 66)]),
    ("~c", [b"a"]), ("~tc", [-1]), ("~tc", [0xD800]), ("~2.5s", [b"x"]), ("~2.5c", [65]),
    ("~.*s", [-1, b"x"]),
    ("~e", [1]), ("~.1e", [1.0]), ("~.0f", [1.0]), ("~.0g", [1.0]), ("~b", [1.0]), ("~.1b", [1]),
    ("~.37b", [1]), ("~x", [1, 2]), ("~-5p", [1]), ("~-2n", []), ("~W", [1, 2.0]),
    ("~P", [1, atom.x]), ("~Kp", [atom.sideways, 1]), ("~999999999999999999999w", [1]),
    ("~999999999s", [b"x"]),
    ("~.999999999f", [1.0]), ("~p", [object()]), ("~w", [{object(): 1}]), ("~p", [float("nan")]),
    ("~.*c", [-1, 65]), ("~5..", [1]),
]  # fmt: skip


@pytest.mark.parametrize(("control", "arguments"), WRONG)
def test_what_does_not_fit_is_an_error(control: Any, arguments: Any) -> None:
    with pytest.raises(FormatError):
        format_text(control, arguments)


def test_what_takes_a_beam() -> None:
    for control, arguments in (
        ("~Kp", [ExportFun("lists", "sort", 2), {}]),
        ("~w", [1 << 300_000]),
        ("~.3b", [1 << 300_000]),
        ("~p", [[1 << 300_000]]),
    ):
        with pytest.raises(NotHere):
            format_text(control, arguments)


def test_long_integers_are_exact() -> None:
    for value in (10**4000, -(10**9000) - 7, (1 << 200_000) - 1):
        text = write_term(value)
        digits = text.lstrip("-")
        assert text.startswith("-") == (value < 0)
        read = 0
        for at in range(0, len(digits), 3000):
            piece = digits[at : at + 3000]
            read = read * 10 ** len(piece) + int(piece)
        assert read == abs(value)
    assert int(format_text("~.7b", [7**1000 + 3]), 7) == 7**1000 + 3


def test_identifiers_have_their_node() -> None:
    term = [PID, Port(HERE, 7, 1), Reference(HERE, 1, (1, 2, 3)), ExportFun("m", "F", 2), FUN]
    assert write_term(term) == (
        "[<a@host.59.0>,#Port<a@host.7>,#Ref<a@host.3.2.1>,fun m:'F'/2,#Fun<mod.3.77>]"
    )
    here = Settings(node=HERE)
    assert print_term(term[:3], settings=here) == "[<0.59.0>,#Port<0.7>,#Ref<0.3.2.1>]"


def test_atoms_and_strings_are_escaped() -> None:
    odd = [Atom(name) for name in ("it's", "A", "", "a b", "x@1", "\n\x01\x7f\\", "fun", "\u00e9")]
    assert write_term(odd) == "['it\\'s','A','','a b',x@1,'\\n\\001\\d\\\\','fun',\u00e9]"
    assert print_term(charlist('"\\\t\x1b\r\v\b\f')) == '"\\"\\\\\\t\\e\\r\\v\\b\\f"'


def test_records_and_bit_strings() -> None:
    record = Record("mod", "Name", True, [("a", 1), ("b", b"text")])
    assert print_term(record) == "#mod:'Name'{a = 1,b = <<\"text\">>}"
    assert write_term(record) == "#mod:'Name'{a = 1,b = <<116,101,120,116>>}"
    assert write_term(BitString(b"a\x50", 5)) == "<<97,10:5>>"


def test_lines_are_broken() -> None:
    term = (atom.tag, list(range(20)), {atom.key: [b"value"] * 3})
    assert print_term(term, width=40) == (
        "{tag,[0,1,2,3,4,5,6,7,8,9,10,11,12,13,\n"
        "      14,15,16,17,18,19],\n"
        "     #{key =>\n"
        '           [<<"value">>,<<"value">>,\n'
        '            <<"value">>]}}'
    )
    assert "\n" not in print_term(term, width=0)
    assert print_term(list(range(8)), width=12, column=5) == (
        "[0,1,\n     2,3,\n     4,5,\n     6,7]"
    )
    tab = format_text("\t~10p", [list(range(8))])
    assert tab.startswith("\t[0,")


def test_clusters_count_as_one() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    flags = "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7"
    hangul = "\u1112\u1161\u11ab"
    for text, size in (
        ("e\u0301\u20ac", 2),
        (family, 1),
        (flags, 2),
        (hangul + "\uac00", 2),
        ("\u0436", 1),
    ):
        assert format_text("~10ts", [text]) == " " * (10 - size) + text
        assert format_text("~.1ts", [text + "x"]) != text + "x"


NESTINGS: list[Callable[[Any], Any]] = [
    lambda x: [x],
    lambda x: (atom.t, x),
    lambda x: {1: x},
    lambda x: ImproperList([1], x),
]


@pytest.mark.parametrize("nested", NESTINGS)
def test_depth_does_not_matter(nested: Callable[[Any], Any]) -> None:
    term: Any = b"leaf"
    for level in range(10_000):
        term = nested(term)
        if level == 2000:
            assert "leaf" in print_term(term)
    assert "leaf" in print_term(term, width=0)
    assert write_term(term).count("108") == 1
    assert len(print_term(term, 20)) < 4000


def test_indentation_is_bounded() -> None:
    term: Any = b"leaf"
    for _ in range(2000):
        term = {1: term}
    with pytest.raises(FormatError, match="characters"):
        print_term(term, settings=Settings(characters=1_000_000))


def test_what_is_no_term() -> None:
    for term in (object(), [1, {2: object()}], (set(),)):
        with pytest.raises(EncodeError):
            write_term(term)
        with pytest.raises(EncodeError):
            print_term(term)
