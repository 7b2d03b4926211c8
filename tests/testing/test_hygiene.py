"""``tests/conftest.py``: a test that leaves something behind fails, and only that one."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.fixture(autouse=True)
def own_folder(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    pytester.makeconftest(CONFTEST.read_text())


LEAKS = {
    "a child process": """
        import subprocess

        def test_leaks():
            global kept
            kept = subprocess.Popen(["sleep", "1000"])
    """,
    "a socket": """
        import socket

        def test_leaks():
            global kept
            kept = socket.socketpair()
    """,
    "a thread": """
        import threading

        def test_leaks():
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    """,
    "tasks running: forgotten": """
        import asyncio

        async def test_leaks():
            asyncio.create_task(asyncio.sleep(1000), name="forgotten")
    """,
}


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_fails_the_test_that_leaked(pytester: pytest.Pytester, what: str) -> None:
    pytester.makepyfile(LEAKS[what], test_other="async def test_after(): pass")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", f"the test left *{what}*"])


def test_what_is_cleared_up_is_no_leak(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, socket, subprocess, threading
        import pytest

        @pytest.fixture
        async def server():
            async with asyncio.TaskGroup() as group:
                task = group.create_task(asyncio.sleep(1000))
                yield
                task.cancel()

        async def test_clean(server):
            thread = threading.Thread(target=lambda: None)
            thread.start()
            await asyncio.to_thread(subprocess.run, ["true"])
            with socket.socket():
                pass
            thread.join()
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
