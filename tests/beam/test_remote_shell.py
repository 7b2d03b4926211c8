"""``iex --remsh`` and ``erl -remsh`` into a Python node, typed on a terminal."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pynode.terms import Atom
from pynode.testing import BeamMissing, Cluster, Release, eventually
from pynode.thread import NodeThread
from tests.beam.releases import otp_of
from tests.beam.terminal import TMUX, Terminal

pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed: scripts/test does it")

PROMPT = re.compile(r"^\(py@localhost\)>>> *$", re.MULTILINE)
MORE = re.compile(r"^\(py@localhost\)\.\.\. *$", re.MULTILINE)
SWITCH = re.compile(r"^ --> *$", re.MULTILINE)


@pytest.fixture
def release(request: pytest.FixtureRequest) -> Release:
    name = request.config.getoption("--beam-release") or os.environ.get("PYNODE_BEAM_RELEASE")
    try:
        return Release.find(name, near=Path(__file__))
    except BeamMissing as error:
        pytest.skip(str(error))


@pytest.fixture(params=["iex", "erl"])
def program(request: pytest.FixtureRequest, release: Release) -> str:
    if not release.has(request.param):
        pytest.skip(f"{release} has no {request.param}")
    return str(request.param)


def client(folder: Path, release: Release, program: str, cluster: Cluster, home: Path) -> Terminal:
    """Return a terminal with a client of the node ``py@localhost``."""
    words = {
        "iex": ("--sname", "client@localhost", "--cookie", cluster.cookie, "--remsh"),
        "erl": ("-sname", "client@localhost", "-setcookie", cluster.cookie, "-remsh"),
    }
    flags = ["-start_epmd", "false", "-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
    environment = {
        "ERL_AFLAGS": shlex.join(flags),
        "ERL_CRASH_DUMP_SECONDS": "0",
        "ERL_EPMD_PORT": str(cluster.epmd_port),
        "HOME": "/tmp" if release.chrooted else str(home),
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin" if release.chrooted else os.environ["PATH"],
    }
    command = release.command(program, *words[program], "py@localhost")
    return Terminal(folder, command, environment=environment)


@contextmanager
def session(
    tmp_path: Path, cluster: Cluster, release: Release, program: str, shell: Any
) -> Iterator[tuple[NodeThread, Terminal]]:
    with (
        NodeThread(lambda: cluster.py_node("py", listen="127.0.0.1", shell=shell)) as node,
        client(tmp_path, release, program, cluster, tmp_path) as terminal,
    ):
        yield node, terminal


def until(condition: Callable[[], object]) -> None:
    asyncio.run(eventually(condition, timeout=40))


def interrupt(terminal: Terminal, count: int) -> None:
    """Press Ctrl-G, and i; and c to go on."""
    terminal.keys("C-g")
    terminal.wait(SWITCH)
    terminal.type("i")
    terminal.wait(SWITCH)
    terminal.type("c")
    terminal.wait("KeyboardInterrupt", count=count)
    terminal.keys("Enter")  # the prompt is drawn anew
    terminal.wait(PROMPT)


def test_a_session(tmp_path: Path, cluster: Cluster, release: Release, program: str) -> None:
    with session(tmp_path, cluster, release, program, {"answer": 42}) as (node, terminal):
        terminal.wait(PROMPT)
        terminal.wait(re.compile(r"in py@localhost\. await works here"))
        terminal.type("answer + 1")
        terminal.wait("43")

        terminal.type("def triple(x):")
        terminal.wait(MORE)
        terminal.type("    return x * 3")
        terminal.wait(MORE)
        terminal.type("")
        terminal.wait(PROMPT)
        terminal.type("triple(37)")
        terminal.wait("111")

        terminal.type("import asyncio")
        terminal.type('await asyncio.sleep(0.1, "grün " + "✓")')
        terminal.wait("'grün ✓'")
        terminal.type('"Zoë"[::-1]')
        terminal.wait("'ëoZ'")
        terminal.type("1 / 0")
        terminal.wait("ZeroDivisionError: division by zero")
        terminal.type("spawn(lambda process: asyncio.sleep(0, print('from a', 'process'))).node")
        terminal.wait("from a process")
        terminal.type("f\"{input('your ' + 'name? ')}!\"")
        terminal.wait(re.compile(r"^your name\? *$", re.MULTILINE))
        terminal.type("Ünal")
        terminal.wait("'Ünal!'")
        assert node.nodes("connected") == [Atom("client@localhost")]

        terminal.type("while True: pass")
        terminal.wait(MORE)
        terminal.type("")
        until(lambda: terminal.screen().endswith("\n(py@localhost)..."))
        interrupt(terminal, 1)
        terminal.type("await asyncio.sleep(1000)")
        until(lambda: terminal.screen().endswith("sleep(1000)"))
        interrupt(terminal, 2)

        if program == "erl" or (otp_of(release) or 0) > 25:
            terminal.keys("-l", "answ")
            terminal.keys("Tab")
            terminal.wait(re.compile(r"^\(py@localhost\)>>> answer *$", re.MULTILINE))
            terminal.type(" * 2")
            terminal.wait("84")

        terminal.type("exit()")
        if program == "erl":
            terminal.wait(re.compile(r"\*\*\* Shell process terminated!"))
            terminal.keys("C-g")
            terminal.wait(SWITCH)
            terminal.type("q")
        terminal.wait_for_end()
        gone(node)


def test_the_end_of_the_client_ends_what_runs(
    tmp_path: Path, cluster: Cluster, release: Release, program: str
) -> None:
    threads = threading.active_count()
    with session(tmp_path, cluster, release, program, True) as (node, terminal):
        terminal.wait(PROMPT)
        terminal.type("print('begins ' + 'now'); any(iter(int, 1) for _ in iter(int, 1) if 0)")
        terminal.wait("begins now")
        assert len(node.node.services.shell.sessions) == 1
        before = threading.active_count()
        terminal.close()
        gone(node)
        until(lambda: threading.active_count() < before)
    until(lambda: threading.active_count() == threads)


def gone(node: NodeThread) -> None:
    """Wait until nothing of a session is left; the node lives on."""
    until(lambda: not node.node.services.shell.sessions)
    until(lambda: node.nodes("connected") == [])
    pid = node.spawn(lambda process: process.receive())
    node.exit(pid, "kill")


def test_without_the_shell_the_client_says_so(
    tmp_path: Path, cluster: Cluster, release: Release, program: str
) -> None:
    otp = otp_of(release) or 0
    with session(tmp_path, cluster, release, program, False) as (_, terminal):
        if program == "iex" and otp <= 25:
            terminal.wait(re.compile("Could not find IEx on remote node py@localhost"))
        elif otp <= 25:
            terminal.wait(re.compile(r"\*\*\* ERROR: Shell process terminated!"))
            return
        else:
            module = "iex" if program == "iex" else "shell"
            terminal.wait(re.compile(rf'Could not load "py@localhost" on {module} \(nofile\)'))
        terminal.wait_for_end()
