"""One runtime per test, with nothing behind it: these tests need no network."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pynode.process.runtime import Runtime
from pynode.terms import Atom


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    made = Runtime(Atom("py@test"), 7)
    yield made
    await made.stop(0)  # some processes of these tests trap exits and never look
