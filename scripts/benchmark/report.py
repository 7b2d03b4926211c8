"""A table for the eye, JSON for programs, a plot for the README."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from pathlib import Path
from typing import Any

from pynode import etf
from pynode.testing import Beam
from scripts.benchmark.rows import Row

__all__ = ["plot", "table", "versions", "write_json"]


def versions(beam: Beam) -> dict[str, str]:
    """Return what was measured, and with what."""
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {_processor()}",
        "otp": str(beam.otp_release),
        "codec": etf.IMPLEMENTATION,
    }
    for name in ("msgpack", "orjson", "uvloop", "erlastic"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else "unknown processor"


def table(rows: list[Row]) -> str:
    """Return the rows as a table of Markdown."""
    heads = ("", "ours", "beside", "ratio", "spread", "target", "floor", "")
    lines: list[tuple[str, ...]] = [
        heads,
        ("---", "---:", "---", "---:", "---:", "---:", "---:", "---"),
    ]
    lines += [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    padded = (
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "\n".join(f"| {line} |" for line in padded)


def _cells(row: Row) -> tuple[str, ...]:
    bounds = tuple("" if bound is None else f"{bound:g}" for bound in (row.target, row.floor))
    if not row.measured:
        return (row.name, "not measured", row.reference_name, "", "", *bounds, "")
    note = "worse than its floor" if row.missed else "short of its target" if row.short else ""
    spread = f"{row.ratios[0]:.2f} to {row.ratios[-1]:.2f}"
    ours = f"{row.value:,.3g} {row.unit}" if row.value < 1000 else f"{row.value:,.0f} {row.unit}"
    return (row.name, ours, row.reference_name, f"{row.ratio:.2f}", spread, *bounds, note)


def write_json(file: Path, rows: list[Row], found: dict[str, str]) -> None:
    """Write every row, measured or not."""
    content: dict[str, Any] = {"versions": found, "rows": [row.as_dict() for row in rows]}
    file.write_text(json.dumps(content, indent=1) + "\n")


def plot(file: Path, rows: list[Row], found: dict[str, str]) -> None:
    """Draw the ratios of the rows that have a target, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("svg" if file.suffix == ".svg" else "agg")
    from matplotlib import pyplot

    shown = [row for row in rows if row.measured and row.target is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.27 * len(shown)))
    for place, row in enumerate(shown):
        # Where more is better the inverse, so that left is better everywhere.
        values = [1 / each if row.more_is_better else each for each in row.ratios]
        middle = 1 / row.ratio if row.more_is_better else row.ratio
        colour = "tab:red" if row.missed else "tab:orange" if row.short else "tab:green"
        axes.plot([min(values), max(values)], [place, place], color=colour, alpha=0.4, lw=5)
        axes.plot([middle], [place], "o", color=colour)
        assert row.target is not None
        axes.plot([1 / row.target if row.more_is_better else row.target], [place], "k|", ms=9)
    axes.set_yticks(range(len(shown)), [f"{row.name} / {row.reference_name}" for row in shown])
    axes.set_xscale("log")
    axes.axvline(1.0, color="grey", lw=0.5)
    axes.set_xlabel("ratio to the reference (left is better); the bar is the target")
    axes.set_title(
        f"{found['date']}, Python {found['python']}, OTP {found['otp']}, {found['machine']}",
        fontsize=8,
    )
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)
