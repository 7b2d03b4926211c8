"""The guides name tests; those tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"\btests/[\w/]+\.py(?:::\w+)*")


def named_tests() -> list[str]:
    guides = sorted((ROOT / "pynode" / "guides").glob("*.md"))
    return sorted({name for guide in guides for name in NAMED.findall(guide.read_text())})


@pytest.mark.parametrize("name", named_tests())
def test_a_named_test_exists(name: str) -> None:
    path, *names = name.split("::")
    text = (ROOT / path).read_text()
    for each in names:
        assert re.search(rf"^\s*(?:async )?(?:def|class) {each}\b", text, re.MULTILINE), name
