"""The worked example, and the wheel that brings it to a user."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.beam
@pytest.mark.elixir
def test_the_worked_example(pytester: pytest.Pytester) -> None:
    arguments = ("-p", "no:cacheprovider", "-p", "no:asyncio")
    result = pytester.runpytest_subprocess(
        *arguments, "--pyargs", "pynode.examples.test_pubsub_cluster"
    )
    result.assert_outcomes(passed=3)


#: What pip says where it cannot reach an index; whatever else goes wrong is a failure.
NO_INDEX = ("Retrying (Retry(", "Could not fetch URL")


@pytest.mark.beam
@pytest.mark.elixir
@pytest.mark.timeout(300)
def test_the_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    """Installed with nothing but pytest and hypothesis, in a folder with nothing in it."""
    pytest.importorskip("ensurepip")
    python = tmp_path / "venv/bin/python"
    # Without the variables that would have it find the checkout, or another configuration.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST_"))}

    def run(*command: str | Path, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip

    def pip(*arguments: str | Path) -> None:
        done = run(python, "-m", "pip", "--disable-pip-version-check", *arguments)
        if done.returncode and any(words in done.stdout for words in NO_INDEX):
            pytest.skip("pip cannot reach a package index")
        assert done.returncode == 0, done.stdout

    assert run(sys.executable, "-m", "venv", tmp_path / "venv").returncode == 0
    pip("wheel", "--no-deps", "-w", tmp_path, CHECKOUT)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
    assert "pynode/elixir_side/mix.exs" in files
    assert "pynode/guides/testing.md" in files
    assert "pynode/py.typed" in files
    assert not [f for f in files if "_build" in f or f.endswith(".beam") or "/tests/" in f]
    pip("install", f"{wheel}[testing]")
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(python, "-c", "import pynode; print(pynode.__file__)", cwd=empty).stdout
    assert Path(where).is_relative_to(tmp_path / "venv")
    helps = run(python, "-m", "pytest", "--fixtures", "-p", "no:cacheprovider", cwd=empty).stdout
    for fixture in ("beam", "py_node", "faults", "cluster"):
        assert f"\n{fixture} -- " in helps
    done = run(
        python, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "--beam-required",
        "pynode.examples.test_pubsub_cluster", cwd=empty,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    assert list(empty.iterdir()) == []
