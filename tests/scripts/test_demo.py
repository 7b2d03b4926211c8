"""``scripts/demo``: what it prints, writes and returns."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DEMO = Path(__file__).parents[2] / "scripts" / "_demo.py"
LINE = re.compile(r"^\[(node[123]) (python|elixir)\] (I have received: 'Hello !! from node[123]')$")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        env=dict(os.environ, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def shown(output: str) -> list[tuple[str, ...]]:
    return [match.groups() for line in output.splitlines() if (match := LINE.match(line))]


def test_the_python_mix_needs_no_erlang(tmp_path: Path) -> None:
    file = tmp_path / "observed.json"
    done = run("--python-only", "--json", str(file), PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    lines = shown(done.stdout)
    assert len(lines) == 6
    observed = json.loads(file.read_text())
    (one,) = observed["runs"]
    assert [(x["node"], x["language"], x["text"]) for x in one["lines"]] == lines
    assert one["roles"] == {f"node{n}": "python" for n in (1, 2, 3)}
    assert one["first"] == "python"
    assert (one["missing"], one["ok"], observed["ok"]) == ([], True, True)
    assert len(set(one["os_pids"].values())) == 3
    assert "otp" not in observed["versions"]


@pytest.mark.beam
@pytest.mark.elixir
@pytest.mark.timeout(300)
def test_the_eight_mixes(tmp_path: Path) -> None:
    file = tmp_path / "observed.json"
    done = run("--json", str(file))
    assert done.returncode == 0, done.stdout
    assert len(shown(done.stdout)) == 48
    assert "48 of 48 lines came" in done.stdout
    observed: dict[str, Any] = json.loads(file.read_text())
    assert observed["ok"] is True
    assert observed["versions"].keys() >= {"pynode", "python", "elixir", "otp"}
    mixes = {tuple(one["roles"].values()) for one in observed["runs"]}
    assert len(mixes) == len(observed["runs"]) == 8
    for one in observed["runs"]:
        assert len({(x["node"], x["text"]) for x in one["lines"]}) == 6
        assert all(x["language"] == one["roles"][x["node"]] for x in one["lines"])


SPAWNED = re.compile(r"^\[node2 (python|elixir)\] hello world$", re.MULTILINE)


@pytest.mark.beam
def test_spawn_in_the_four_mixes(tmp_path: Path) -> None:
    file = tmp_path / "observed.json"
    done = run("--spawn", "--json", str(file))
    assert done.returncode == 0, done.stdout
    assert SPAWNED.findall(done.stdout) == ["elixir", "python", "elixir", "python"]
    assert "4 of 4 lines came" in done.stdout
    observed: dict[str, Any] = json.loads(file.read_text())
    mixes = [tuple(one["roles"].values()) for one in observed["runs"]]
    assert len(set(mixes)) == len(mixes) == 4
    assert all(one["ok"] and len(one["lines"]) == 1 for one in observed["runs"])


def test_spawn_without_erlang(tmp_path: Path) -> None:
    done = run("--spawn", "--python-only", PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert SPAWNED.findall(done.stdout) == ["python"]


def test_a_line_on_the_wrong_node_is_a_failure() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(DEMO.parent)!r}); import _demo as demo\n"
        "run = demo.planned_spawns()[-1]\n"
        "demo.PythonRole.hello = lambda self: self._tell('spawn node2@localhost')\n"
        "demo.PythonRole.start_ = demo.PythonRole.start\n"
        "demo.PythonRole.start = lambda self: (self.start_(), self._tell('hello'))\n"
        "run.play(print); print(run.ok, run.error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == (
        "False node1 received something else: ['hello world']"
    ), done.stdout


def test_a_role_that_fails_is_told_and_counted() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(DEMO.parent)!r}); "
        "sys.argv[1:] = ['--python-only']; "
        "import _demo; _demo.STEP_SECONDS = 1.0; "
        "_demo.PythonRole.subscriber = lambda self, node: self._tell('no such command'); "
        "sys.exit(_demo.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 1
    assert "FAILED: node2: role: failed: no: ValueError: unknown command 'no'" in done.stdout
    assert "0 of 6 lines came" in done.stdout
    assert "FAILED" in done.stdout.splitlines()[-3]


def imported(code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` with the demo imported as ``demo``."""
    path = f"import sys; sys.path.insert(0, {str(DEMO.parent)!r}); import _demo as demo\n"
    return subprocess.run(
        [sys.executable, "-c", path + code], stdout=subprocess.PIPE, text=True, check=False
    )


def test_all_has_the_mixed_ones_in_both_orders() -> None:
    done = imported(
        "import json; print(json.dumps([[run.roles, run.first] for run in demo.planned(True)]));"
        "print(len(demo.planned(True)) * len(demo.expected()))"
    )
    plan, lines = done.stdout.splitlines()
    assert int(lines) == 84
    runs = [(tuple(roles.values()), first) for roles, first in json.loads(plan)]
    assert len(set(runs)) == len(runs) == 14
    orders: dict[tuple[str, ...], set[str]] = {}
    for mix, first in runs:
        orders.setdefault(mix, set()).add(first)
    assert orders.pop(("python",) * 3) == {"python"}
    assert orders.pop(("elixir",) * 3) == {"beam"}
    assert list(orders.values()) == [{"beam", "python"}] * 6


@pytest.mark.beam
@pytest.mark.elixir
@pytest.mark.parametrize("mix", ["python elixir python", "elixir python elixir"])
def test_python_up_first(mix: str) -> None:
    done = imported(
        f"run = demo.Run(dict(zip(demo.NODES, {mix.split()!r})), 'python'); run.play(print); "
        "print(run.error, file=sys.stderr); sys.exit(not run.ok)"
    )
    assert done.returncode == 0, done.stdout
    assert len(shown(done.stdout)) == 6
