from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from pynode.terms import BitString, ImproperList, TermMap, atom, charlist, charlist_text, to_text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_charlist_and_back(text: str) -> None:
    assert charlist_text(charlist(text)) == text
    assert charlist_text(text.encode()) == text


def test_charlist_of_what_is_no_text() -> None:
    with pytest.raises(TypeError, match="bytes"):
        charlist(b"x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([b"ab", [99, ["d", b"e"]], []], "abcde"),
        (ImproperList([97], b"b"), "ab"),
        ([b"\xc3", b"\xa9"], "é"),
        ([], ""),
    ],
)
def test_chardata(data: Any, text: str) -> None:
    assert charlist_text(data) == text


@pytest.mark.parametrize(
    "data", [[0xD800], [0x110000], [-1], [1.0], [b"\xff"], [b"\xc3", 97], atom.a, [True], [(97,)]]
)
def test_what_is_no_chardata(data: Any) -> None:
    with pytest.raises(ValueError):
        charlist_text(data)


def test_deep_chardata() -> None:
    deep: Any = 97
    for _ in range(100_000):
        deep = [deep]
    assert charlist_text(deep) == "a"


def test_to_text() -> None:
    term = {b"key": [b"value", b"\xff", (1, b"")], atom.a: ImproperList([b"x"], b"y")}
    assert to_text(term) == {
        "key": ["value", b"\xff", (1, "")],
        atom.a: ImproperList(["x"], "y"),
    }
    assert to_text(b"text") == "text"
    assert to_text("text") == "text"
    assert to_text(TermMap([([b"k"], b"v")])) == TermMap([(["k"], "v")])
    assert to_text(BitString(b"a", 8)) == "a"
    assert to_text(BitString(b"a", 7)) == BitString(b"a", 7)


def test_to_text_leaves_its_argument_alone() -> None:
    inner = [b"x"]
    assert to_text([inner]) == [["x"]]
    assert inner == [b"x"]
