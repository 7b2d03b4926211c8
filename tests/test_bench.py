"""The benchmark runs, and measures every row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "scripts" / "bench.py"


@pytest.mark.beam
@pytest.mark.elixir
def test_each_row_is_measured_once(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, BENCH, "--quick", "--json", file],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert {row["name"] for row in found["rows"]} >= {
        "call, Python to BEAM",
        "casts, Python to BEAM",
    }
    tripwires = {row["name"] for row in found["rows"] if row["floor"] is not None}
    assert tripwires >= {"call, Python to BEAM", "casts, Python to BEAM"}
    for row in found["rows"]:
        assert len(row["ours"]) == len(row["reference"]) == 1
        assert row["ratio"] > 0
        assert row["name"] in done.stdout


@pytest.mark.parametrize(("ratio", "code"), [(2.0, 0), (4.0, 1), (None, 1)])
def test_a_row_that_is_worse_than_its_floor_or_missing_is_a_failure(
    ratio: float | None, code: int
) -> None:
    measured = "" if ratio is None else f"row.ours += [{ratio}]; row.reference += [1.0];"
    program = (
        f"import sys; sys.path.insert(0, {str(BENCH.parent)!r}); sys.argv[1:] = ['--quick'];"
        "import bench; row = bench.Row('calls', 'others', None, 3.0);"
        f"{measured} bench.asyncio.run = lambda measuring: measuring.close() or [row];"
        "sys.exit(bench.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert ("worse than its floor" in done.stdout) == (ratio == 4.0)
    assert ("not measured" in done.stdout) == (ratio is None)
