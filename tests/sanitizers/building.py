"""A copy of the checkout whose compiled modules are made for the sanitizers of gcc.

    python -m tests.sanitizers.building FOLDER

puts it into ``FOLDER`` (``scripts/test --sanitize`` does); :func:`environment` is what a Python
needs to run it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

#: Addresses, undefined behaviour, and what CPython's macros assert; objects that are freed are
#: freed, and not kept for the next one.  Unoptimized, as compiling takes longer than running.
FLAGS = (
    "-O0 -g1 -UNDEBUG -DCYTHON_USE_FREELISTS=0"
    " -fsanitize=address,undefined -fno-sanitize-recover=undefined"
)


def sanitizer() -> str | None:
    """Return the address sanitizer's library, None where there is no gcc that has it."""
    if shutil.which("gcc") is None or not (ROOT / "scripts" / "build_hook.py").exists():
        return None
    asked = ["gcc", "-print-file-name=libasan.so"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return found if os.path.isabs(found) else None


def copy(folder: Path) -> None:
    """Put the sources into ``folder``, over those of an earlier time."""
    unwanted = shutil.ignore_patterns("*.so", "__pycache__", "_build", "deps")
    for part in ("pynode", "tests", "scripts"):
        shutil.copytree(ROOT / part, folder / part, ignore=unwanted, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)


def build(folder: Path) -> None:
    """Compile what :func:`copy` has put there."""
    words = {"CC": "gcc", "CFLAGS": FLAGS, "LDFLAGS": FLAGS, "PYNODE_ACCEL": "require"}
    done = subprocess.run(
        [sys.executable, folder / "scripts" / "build_hook.py"],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])


def environment(library: str) -> dict[str, str]:
    """Return the variables of a Python that runs in such a folder."""
    return {
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=64",  # leaks: Python has its own
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONFAULTHANDLER": "1",
        "PYNODE_IMPL": "compiled",
    }


if __name__ == "__main__":
    target = Path(sys.argv[1]).absolute()
    library = sanitizer()
    if library is None:
        sys.exit("there is no gcc that has the address sanitizer")
    copy(target)
    build(target)
    for name, value in environment(library).items():
        print(f"{name}={value}")
