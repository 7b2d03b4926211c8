"""Terms in texts: as repr writes them where that is short, and something short elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.errors import CallExit, FunctionClause, ProcessDead, RemoteError, StartError
from pynode.shown import shown
from pynode.terms import BitString, ExportFun, ImproperList, Pid, Record, TermMap, atom


def nested(levels: int, leaf: Any = ()) -> Any:
    term = leaf
    for _ in range(levels):
        term = (term,)
    return term


@pytest.mark.parametrize(
    "term",
    [
        atom.ok,
        (),
        (1,),
        (1, b"two", [3.0, None], {atom.k: (True, "text")}),
        [],
        {},
        -(10**100),
        b"x" * 100,
        BitString(b"ab", 3),
        ExportFun("m", "f", 1),
        ImproperList([atom.alias], 1),
        TermMap([([1], 2), (1, 1.0)]),
        Pid(atom("n@h"), 1, 2, 3),
    ],
    ids=repr,
)
def test_short_terms_are_as_repr_has_them(term: Any) -> None:
    assert repr(shown(term)) == str(shown(term)) == f"{shown(term)!r}" == repr(term)


def test_files_of_stack_traces_are_text() -> None:
    assert repr(shown((atom.file, list(b"/a/b c.py")))) == "(atom.file, charlist('/a/b c.py'))"
    assert repr(shown((atom.file, [ord("\u00e9")]))) == "(atom.file, charlist('\u00e9'))"
    for other in ((atom.file, []), (atom.file, [1]), (atom.file, [b"x"]), (atom.line, [100])):
        assert repr(shown(other)) == repr(other)


class Faulty:
    def __repr__(self) -> str:
        raise RuntimeError("on purpose")


MONSTERS: list[Any] = [
    10**6000,
    nested(100_000),
    [nested(100_000), 1],
    {1: nested(100_000)},
    ImproperList([nested(100_000)], 2),
    TermMap([(1, nested(100_000))]),
    Record("m", "n", True, [("field", nested(100_000))]),
    BitString(b"x" * 1_000_000, 3),
    b"x" * 1_000_000,
    "x" * 1_000_000,
    (nested(100_000), [1]),
    (atom.file, list(range(32, 100_000))),
    list(range(1_000_000)),
    dict.fromkeys(range(1_000_000)),
    [[b"x" * 300] * 40] * 40,
    tuple(tuple(tuple(range(40)) for _ in range(40)) for _ in range(40)),
    Faulty(),
]


@pytest.mark.parametrize("term", MONSTERS, ids=range(len(MONSTERS)))
def test_no_term_is_too_much(term: Any) -> None:
    assert len(repr(shown(term))) < 10_000


@pytest.mark.parametrize("term", [10**6000, nested(100_000)], ids=["integer", "nested"])
def test_errors_about_such_terms_have_texts(term: Any) -> None:
    for error in (
        CallExit(term, (atom.m, atom.f, [term])),
        FunctionClause(term),
        ProcessDead(1, term),
        RemoteError("error", term),
        RemoteError("error", atom.undef, [(term, term, [term], [])]),
        StartError(term),
    ):
        assert str(error)


def test_only_the_beginning_is_looked_at() -> None:
    taken = 0

    class Endless:
        def _shown_parts(self) -> tuple[str, Any, str]:
            def parts() -> Any:
                nonlocal taken
                while True:
                    taken += 1
                    yield taken

            return "<", parts(), ">"

    text = repr(shown(Endless()))
    assert text.startswith("<1, 2, 3")
    assert text.endswith("...>")
    assert taken < 100
