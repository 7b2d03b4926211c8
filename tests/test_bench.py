"""The benchmark runs, and measures every row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "scripts" / "bench.py"


@pytest.mark.beam
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
    for row in found["rows"]:
        assert len(row["ours"]) == len(row["reference"]) == 1
        assert row["ratio"] > 0
        assert row["name"] in done.stdout
