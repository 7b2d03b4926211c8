from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .name_server import NameServer


@pytest.fixture
async def name_server() -> AsyncIterator[NameServer]:
    async with NameServer() as server:
        yield server
