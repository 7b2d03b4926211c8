"""What holds for every test: whoever leaves something behind fails.

Left behind are asyncio tasks, sockets, threads and child processes that were not there before the
test and outlive it and its fixtures.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import os
import signal
import threading
import time
from collections.abc import AsyncGenerator, Generator

import pytest

from pynode.etf import IMPLEMENTATION
from pynode.testing import BeamMissing, Release

_GRACE = 2.0


def pytest_report_header() -> str:
    """Say which codec is tested (``PYNODE_IMPL``)."""
    return f"pynode: the {IMPLEMENTATION} codec"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``elixir`` where the release under test has none."""
    if item.get_closest_marker("elixir") is None or item.config.getoption("--beam-required"):
        return
    with contextlib.suppress(BeamMissing):
        if Release.find(item.config.getoption("--beam-release")).has("elixir"):
            return
    pytest.skip("there is no Elixir in the release")


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Generator[None]:
    """Fail the test that leaks a socket, a thread or a child process, and clear up after it."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("no_task_left")
    sockets, threads, children = _sockets(), _threads(), _children()
    yield
    left = _left_behind(sockets, threads, children)
    if not left:
        return
    gc.collect()  # a reference cycle is no leak, only late
    deadline = time.monotonic() + _GRACE
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left = _left_behind(sockets, threads, children)
    for child in _children() - children:
        os.kill(child, signal.SIGKILL)
    if left:
        pytest.fail(f"the test left behind: {', '.join(left)}", pytrace=False)


@pytest.fixture
async def no_task_left() -> AsyncGenerator[None]:
    """Fail the test that leaves an asyncio task running."""
    before = asyncio.all_tasks()
    yield
    own = asyncio.current_task()
    left = {task for task in asyncio.all_tasks() - before if task is not own}
    if left:
        # Tasks that are on their way out may finish; what waits for something may not.
        _, left = await asyncio.wait(left, timeout=0.1)
    if left:
        names = ", ".join(sorted(f"{task.get_name()} ({task.get_coro()!r})" for task in left))
        pytest.fail(f"the test left tasks running: {names}", pytrace=False)


def _left_behind(
    sockets: set[str], threads: set[threading.Thread], children: set[int]
) -> list[str]:
    return [
        *(f"a socket ({link})" for link in _sockets() - sockets),
        *(f"a thread ({thread.name})" for thread in _threads() - threads),
        *(f"a child process ({_command(pid)})" for pid in _children() - children),
    ]


def _sockets() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # the descriptor of this very listing
        if link.startswith("socket:"):
            found.add(f"{link} fd {fd}")
    return found


def _threads() -> set[threading.Thread]:
    # The threads of asyncio.to_thread end with their event loop, which may be after this.
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def _children() -> set[int]:
    """Return the direct children of this process, those that have ended but for wait() too."""
    me = os.getpid()
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == me:
                found.add(int(entry))
    return found


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        words = ""
    return f"{pid}: {words[:120]}" if words else str(pid)
