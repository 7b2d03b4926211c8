"""Every compiled module, under gcc's address and undefined behaviour sanitizers, is driven hard.

What is driven are programs of their own, as the sanitizer has to be there before Python is.  They
go through the public ways, so a module that is new is driven as well; one that they never load
fails the test.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pynode.etf import IMPLEMENTATION
from tests.sanitizers import building

#: Each program with how much it is to do, and the least that has to have come of it.
PROGRAMS = {
    "tests.etf.corpus": (3000, (300,)),
    "tests.sanitizers.values": (60, (300, 100)),
    "tests.sanitizers.streams": (60, (15, 300, 500)),
    "tests.sanitizers.churn": (12, (200,)),
}
#: Runs one, and tells which compiled modules it had.
RUN = """
import os, runpy, sys
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
found = sorted(name for name, file in files.items()
               if name.startswith("pynode.") and file.endswith(".so"))
assert all(files[name].startswith(os.getcwd()) for name in found), files
print(*found)
"""


@pytest.mark.timeout(400)  # compiling is most of it, and slow on a busy machine
def test_under_the_sanitizers(tmp_path: Path) -> None:
    library = building.sanitizer()
    if library is None:
        pytest.skip("no gcc with the address sanitizer")
    if IMPLEMENTATION != "compiled":
        pytest.skip("the compiled modules are not in use")
    building.copy(tmp_path)
    building.build(tmp_path)
    compiled = {
        ".".join(path.relative_to(tmp_path).with_suffix("").parts)
        for path in (tmp_path / "pynode").rglob("*.pyx")
    }
    loaded: set[str] = set()
    for program, (rounds, least) in PROGRAMS.items():
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", RUN, program, str(rounds)],
            cwd=tmp_path,
            env={**os.environ, **building.environment(library), "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stderr[-6000:]}"
        counted, modules = done.stdout.splitlines()
        found = [int(word) for word in counted.split()]
        print(program, *found, f"{time.perf_counter() - begin:.1f} s")
        assert all(one >= bound for one, bound in zip(found, least, strict=True)), (program, found)
        loaded.update(modules.split())
    assert loaded == compiled
