"""The benchmark runs, and measures every row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.benchmark import report
from scripts.benchmark.rows import Row

ROOT = Path(__file__).parent.parent

#: What the mission asks to be measured: the beginnings of names.
ASKED = (
    *(
        f"{verb} {corpus}"
        for verb in ("encode", "decode")
        for corpus in (
            "small cast",
            "map of 20",
            "1000 ints",
            "1000 floats",
            "1000 small maps",
            "1 MiB binary",
        )
    ),
    "call out, median",
    "call out, 99th",
    "call in, median",
    "call in, 99th",
    "casts out",
    "casts in",
    "own CPU of a cast out",
    "own CPU of a cast in",
    "64 MiB out",
    "64 MiB in",
    "notify 10 ",
    "notify 1,000 ",
    "notify 10,000 ",
    "bytes of a waiting GenServer",
    "spawn 100,000",
    "once around a ring",
    "200 peers",
    "import of Node",
    "start until joined",
    "memory after 10 million",
    "decode: ",
    "fan-out: ",
    "mailbox, oldest first: ",
    "local names: ",
    "links of one process: ",
    "names of :global: ",
)


@pytest.mark.beam
def test_each_row_is_measured_once(tmp_path: Path) -> None:
    file, drawing = tmp_path / "bench.json", tmp_path / "bench.svg"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scripts.benchmark", "--quick"),
            *("--json", file, "--plot", drawing),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["versions"]["otp"].isdigit()
    names = [row["name"] for row in found["rows"]]
    assert [asked for asked in ASKED if not any(name.startswith(asked) for name in names)] == []
    for row in found["rows"]:
        assert row["rounds"] >= 1, row
        assert row["ratio"] > 0, row
        assert row["name"] in done.stdout
    assert "<svg" in drawing.read_text()


def row(*, more: bool = False, floor: float | None = 3.0, ours: float | None = None) -> Row:
    made = Row("calls", "others", "us", 1.0, floor, more_is_better=more)
    if ours is not None:
        made.add(ours, 1.0)
    return made


@pytest.mark.parametrize(
    ("measured", "missed", "short"),
    [
        (row(ours=1.0), False, False),
        (row(ours=2.0), False, True),
        (row(ours=4.0), True, True),
        (row(floor=None, ours=4.0), False, True),
        (row(), True, False),
        (row(floor=0.75, more=True, ours=1.1), False, False),
        (row(floor=0.75, more=True, ours=0.8), False, True),
        (row(floor=0.75, more=True, ours=0.7), True, True),
    ],
)
def test_what_misses_its_floor_or_its_target(measured: Row, missed: bool, short: bool) -> None:
    assert (measured.missed, measured.short) == (missed, short)
    table = report.table([measured])
    assert ("worse than its floor" in table) == (missed and measured.measured)
    assert ("short of its target" in table) == (short and not missed)
    assert ("not measured" in table) == (not measured.measured)


@pytest.mark.parametrize(("ours", "quick", "code"), [(2, 0, 0), (4, 0, 1), (4, 1, 0), (None, 1, 1)])
def test_the_exit_code(ours: float | None, quick: int, code: int) -> None:
    """A floor that is missed is a failure, unless each was measured but once; nothing measured is
    one at all times."""
    program = (
        "import sys; import scripts.benchmark.__main__ as bench;"
        "from scripts.benchmark import rows;"
        "row = rows.Row('calls', 'others', 'us', 1.0, 3.0);"
        f"[row.add(each, 1.0) for each in [{ours}] if each is not None];"
        "bench.asyncio.run = lambda measuring: measuring.close() or ([row], {});"
        f"sys.argv[1:] = ['--quick'] * {quick}; sys.exit(bench.main())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == code
