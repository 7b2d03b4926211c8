"""Which implementation is taken: PYNODE_IMPL, or the best there is."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pynode
from pynode.etf import IMPLEMENTATION
from pynode.terms import ImproperList, Pid, Reference, atom

PACKAGE = Path(pynode.__file__).parent
PROGRAM = "from pynode import etf; print(etf.IMPLEMENTATION, etf.decode(etf.encode(b'x')))"


def run(
    wanted: str, path: Path = PACKAGE.parent, program: str = PROGRAM
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(path), "PYNODE_IMPL": wanted},
        capture_output=True,
        text=True,
        check=False,
        cwd=path,  # which comes before PYTHONPATH
    )


@pytest.fixture
def pure_package(tmp_path: Path) -> Path:
    """The package as it is where nothing was compiled."""
    unwanted = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "pynode", ignore=unwanted)
    return tmp_path


def test_pure() -> None:
    assert run("pure").stdout == "pure b'x'\n"


@pytest.mark.skipif(IMPLEMENTATION != "compiled", reason="the compiled codec is not in use")
@pytest.mark.parametrize("wanted", ["", "compiled"])
def test_compiled(wanted: str) -> None:
    assert run(wanted).stdout == "compiled b'x'\n"


def test_not_compiled(pure_package: Path) -> None:
    assert run("", pure_package).stdout == "pure b'x'\n"
    done = run("compiled", pure_package)
    assert done.returncode == 1
    assert "ImportError: PYNODE_IMPL is 'compiled', but the compiled modules are" in done.stderr


def test_another_word() -> None:
    done = run("fast")
    assert done.returncode == 1
    assert "ImportError: PYNODE_IMPL is 'fast', and may be 'pure' or 'compiled'" in done.stderr


@pytest.mark.skipif(IMPLEMENTATION != "compiled", reason="the compiled codec is not in use")
def test_the_compiled_codec_does_not_serve_pure_values() -> None:
    done = run("pure", program="import pynode.etf._compiled")
    assert "ImportError: the compiled codec goes with the compiled values" in done.stderr


@pytest.mark.parametrize("reader", ["pure", ""])
def test_pickles_of_one_are_read_by_the_other(reader: str) -> None:
    term = [atom.ok, Pid(atom("a@b"), 1, 2, 3), Reference(atom("a@b"), 1, (2, 3, 4))]
    term.append(ImproperList([1], term[0]))
    program = f"import pickle; print(pickle.loads({pickle.dumps(term)!r}))"
    done = run(reader, program=program)
    assert done.stdout == f"{term!r}\n", done.stderr
