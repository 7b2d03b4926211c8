"""Runtimes that are stopped after the test, and must be empty then."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from pynode.process import Runtime
from pynode.terms import Atom
from tests.process.wire import Recorder

MakeRuntime = Callable[..., Runtime]


@pytest.fixture
async def make_runtime() -> AsyncGenerator[MakeRuntime]:
    made: list[Runtime] = []

    def make(name: str = "here@host", creation: int = 7, **options: Any) -> Runtime:
        runtime = Runtime(Atom(name), creation, **options)
        made.append(runtime)
        return runtime

    yield make
    for runtime in made:
        await runtime.stop(0)
        assert not any(runtime.pending().values()), runtime.pending()


@pytest.fixture
async def runtime(make_runtime: MakeRuntime) -> Runtime:
    return make_runtime()


@pytest.fixture
async def out(runtime: Runtime) -> Recorder:
    recorder = Recorder()
    runtime.attach(recorder)
    return recorder
