"""The worked example, and the wheel that brings it to a user."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.beam
def test_the_worked_example(pytester: pytest.Pytester) -> None:
    arguments = ("-p", "no:cacheprovider", "-p", "no:asyncio")
    result = pytester.runpytest_subprocess(
        *arguments, "--pyargs", "pynode.examples.test_pubsub_cluster"
    )
    result.assert_outcomes(passed=3)


@pytest.mark.beam
@pytest.mark.timeout(300)
def test_the_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    """Installed with nothing but pytest and hypothesis, in a folder with nothing in it."""
    pytest.importorskip("ensurepip")
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip: list[str | Path] = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", tmp_path, CHECKOUT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
    assert "pynode/elixir_side/mix.exs" in files
    assert "pynode/py.typed" in files
    assert not [f for f in files if "_build" in f or f.endswith(".beam") or "/tests/" in f]
    subprocess.run([*pip, "install", f"{wheel}[testing]"], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [python, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "--beam-required",
         "pynode.examples.test_pubsub_cluster"],
        cwd=empty, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    assert list(empty.iterdir()) == []
