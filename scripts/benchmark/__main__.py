"""Measure this package beside its references, interleaved in one run.

Machines are noisy, so only ratios mean anything: each round measures the reference and ours, and
the ratio is taken within the round.  The table has the median of the rounds with the smallest
and the largest.  Exit code 1: a row was not measured, or is worse than its floor.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from pynode import Node
from pynode.config import Timeouts
from pynode.terms import atom, charlist
from pynode.testing import Beam, Epmd, Release
from scripts.benchmark import cluster, codec, local, messages, report
from scripts.benchmark.rows import Row, Scale


class Stage(NamedTuple):
    """What there is to measure with."""

    epmd: Epmd
    node: Node
    #: The same, but for its loop, which sleeps whenever it has nothing to do.
    asleep: Node
    beam: Beam
    other: Beam


Rows = list[Row]
Measure = Callable[[Scale, Stage], Awaitable[Row | Rows | None]]


async def _codec(scale: Scale, stage: Stage) -> Rows:
    return await asyncio.to_thread(codec.measure, scale, stage.beam)


PARTS: Final[dict[str, Measure]] = {
    "codec": _codec,
    "calls": lambda scale, on: messages.calls(scale, on.node, on.asleep, on.beam, on.other),
    "casts": lambda scale, on: messages.casts(scale, on.node, on.beam, on.other),
    "large": lambda scale, on: messages.large(scale, on.node, on.beam, on.other),
    "fanout": lambda scale, on: local.fan_out(scale, on.node, on.beam),
    "processes": lambda scale, on: local.processes(scale, on.node, on.beam),
    "peers": lambda scale, on: cluster.peers(scale, on.epmd, on.node, on.beam),
    "import": lambda scale, on: cluster.imports(scale),
    "joining": lambda scale, on: cluster.joining(scale, on.epmd, on.beam),
    "uvloop": lambda scale, on: cluster.uvloop(scale, on.epmd, on.node, on.beam),
    "growth": lambda scale, on: local.growth(scale, on.node),
    "endurance": lambda scale, on: local.endurance(scale, on.node, on.beam),
}


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    code = _compiled(Path(__file__).with_name("pynode_bench.erl"))

    def start(name: str) -> Beam:
        beam = Beam(name, language="erlang", hidden=True, epmd=epmd, cookie=cluster.COOKIE).start()
        beam.rpc("code", "load_binary", [atom.pynode_bench, charlist("pynode_bench.beam"), code])
        return beam

    with Epmd() as epmd:
        one, two = await asyncio.gather(*(asyncio.to_thread(start, n) for n in ("one", "two")))
        try:
            options: dict[str, Any] = {
                "cookie": cluster.COOKIE,
                "epmd_port": epmd.port,
                "hidden": True,
            }
            sleepy = Timeouts(busy_wait=None)
            async with (
                Node("bench@localhost", **options) as node,
                Node("asleep@localhost", timeouts=sleepy, **options) as asleep,
            ):
                await node.connect(one.name)
                await node.connect(two.name)
                await asleep.connect(one.name)
                yield Stage(epmd, node, asleep, one, two)
        finally:
            one.kill()
            two.kill()


def _compiled(source: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(Release().command("erlc", "-o", folder, str(source)), check=True)
        return Path(folder, source.stem).with_suffix(".beam").read_bytes()


async def measure(scale: Scale, parts: list[str]) -> tuple[Rows, dict[str, str]]:
    """Measure the parts; one that fails is a row that was not measured."""
    rows: Rows = []
    async with _stage() as stage:
        for part in parts:
            print(f"{part} ...", file=sys.stderr, flush=True)
            try:
                found = await PARTS[part](scale, stage)
            except Exception:
                traceback.print_exc()
                found = Row(part, "", "")
            if found is not None:
                rows += [found] if isinstance(found, Row) else found
        return rows, report.versions(stage.beam)


def main() -> int:
    """Measure, and show what was found."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="each once and small: does it run?")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every row to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios (.svg, .png)")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    scale = Scale(1, 0.01) if options.quick else Scale(options.rounds, 1.0)
    rows, found = asyncio.run(measure(scale, options.parts or list(PARTS)))
    print(", ".join(f"{name} {version}" for name, version in found.items()))
    print()
    print(report.table(rows))
    if options.json is not None:
        report.write_json(options.json, rows, found)
    if options.plot is not None:
        report.plot(options.plot, rows, found)
    failed = (lambda row: not row.measured) if options.quick else (lambda row: row.missed)
    return 1 if any(failed(row) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
