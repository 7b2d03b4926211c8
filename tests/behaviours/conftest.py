"""One runtime per test, with nothing behind it: these tests need no network."""

from __future__ import annotations

import pytest

from pynode.process.runtime import Runtime
from pynode.terms import Atom


@pytest.fixture
async def runtime() -> Runtime:
    return Runtime(Atom("py@test"), 7)
