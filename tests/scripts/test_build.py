"""What is built: a compiled wheel where there is a compiler, a pure one where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
pytest.importorskip("Cython")

ROOT = Path(__file__).parent.parent.parent
PARTS = ("pynode", "elixir_side", "scripts", "pyproject.toml", "README.md", "LICENSE", ".gitignore")
NO_COMPILER = {"CC": "/nowhere/cc"}
QUICK = {"CFLAGS": "-O0"}
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")

HAS_COMPILER = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("cc", "gcc", "clang")), reason="no C compiler"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is built, with compiled modules of another Python lying about in it."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    unwanted = shutil.ignore_patterns("_build", "deps", "__pycache__", "*.so")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=unwanted)
        else:
            shutil.copy(ROOT / part, copy / part)
    (copy / "tests").mkdir()
    shutil.copy(ROOT / "CHANGELOG.md", copy)
    (copy / "pynode" / "etf" / "_compiled.cpython-399-old.so").touch()
    return copy


def build(
    folder: Path, kind: str, variables: dict[str, str]
) -> tuple[subprocess.CompletedProcess[str], Path | None]:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", "out"],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    made = list((folder / "out").glob("*"))
    return done, made[0] if made else None


def compiled_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as file:
        return sorted(name for name in file.namelist() if name.endswith((".so", ".c")))


@pytest.mark.parametrize("variables", [{}, NO_COMPILER], ids=["compiler", "none"])
def test_off(checkout: Path, variables: dict[str, str]) -> None:
    done, wheel = build(checkout, "wheel", {"PYNODE_ACCEL": "off", **variables})
    assert wheel is not None, done.stderr
    assert wheel.name.endswith("-py3-none-any.whl")
    assert compiled_in(wheel) == []


def test_auto_without_a_compiler_is_pure_and_says_so(checkout: Path) -> None:
    done, wheel = build(checkout, "wheel", {"PYNODE_ACCEL": "auto", **NO_COMPILER})
    assert wheel is not None, done.stderr
    assert wheel.name.endswith("-py3-none-any.whl")
    assert compiled_in(wheel) == []
    assert "stays pure Python" in done.stdout + done.stderr


def test_require_without_a_compiler_fails(checkout: Path) -> None:
    done, wheel = build(checkout, "wheel", {"PYNODE_ACCEL": "require", **NO_COMPILER})
    assert done.returncode != 0
    assert wheel is None
    assert "PYNODE_ACCEL=require" in done.stderr


def test_another_word(checkout: Path) -> None:
    done, wheel = build(checkout, "wheel", {"PYNODE_ACCEL": "on"})
    assert wheel is None
    assert "'on'" in done.stderr


@HAS_COMPILER
def test_sdist_to_compiled_wheel(checkout: Path, tmp_path: Path) -> None:
    done, sdist = build(checkout, "sdist", {"PYNODE_ACCEL": "require", **NO_COMPILER})
    assert sdist is not None, done.stderr
    with tarfile.open(sdist) as file:
        assert not [name for name in file.getnames() if name.endswith((".so", ".c"))]
        file.extractall(tmp_path, filter="data")
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    done, wheel = build(unpacked, "wheel", QUICK)  # auto is what is done without a word
    assert wheel is not None, done.stderr
    major, minor = sys.version_info[:2]
    assert f"-cp{major}{minor}-cp{major}{minor}-" in wheel.name
    modules = sorted(
        path.relative_to(ROOT).with_suffix(SUFFIX).as_posix()
        for path in (ROOT / "pynode").rglob("*.pyx")
    )
    assert compiled_in(wheel) == modules
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed)
    program = "import pynode; print(pynode.__file__, pynode.etf.IMPLEMENTATION)"
    for wanted, found in (("", "compiled"), ("pure", "pure"), ("compiled", "compiled")):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(installed), "PYNODE_IMPL": wanted},
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        assert done.stdout.split() == [str(installed / "pynode" / "__init__.py"), found]


@HAS_COMPILER
def test_for_another_python(checkout: Path, tmp_path: Path) -> None:
    """With the headers of this one, under the name of another: it can be loaded here."""
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        pytest.skip("no headers of this Python")
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "python3.99").symlink_to(include)
    for path in (checkout / "pynode").rglob("*.pyx"):
        if path.parent.name != "terms":
            path.unlink()  # one is enough, and quicker
    ours = checkout / "pynode" / "terms" / f"_compiled{SUFFIX}"
    ours.touch()
    done = subprocess.run(
        [sys.executable, checkout / "scripts" / "build_hook.py", "3.99", tmp_path / "include"],
        env={**os.environ, "PYNODE_ACCEL": "require", **QUICK},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tag = sys.implementation.cache_tag
    made = ours.with_name(ours.name.replace(tag, "cpython-399"))
    assert made != ours
    assert ours.stat().st_size == 0, "what this Python has was not to be touched"
    made.replace(ours)
    program = "from pynode.terms import _choice; print(_choice.IMPLEMENTATION, _choice.Pid)"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(checkout), "PYNODE_IMPL": ""},
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
    )
    assert loaded.stdout.startswith("compiled "), loaded.stderr
