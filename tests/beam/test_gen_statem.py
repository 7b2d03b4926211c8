"""gen_statem of either language: the same events give the same trace."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pynode import GenStatem
from pynode.terms import Pid, atom, identical
from pynode.testing import Beam
from tests.beam.compiled import load
from tests.beam.meshes import erl
from tests.beam.statem_twin import DRIVER, MACHINE, MOST, TwinEvents, TwinStates, script

TWINS: dict[str, type[GenStatem]] = {"twin_states": TwinStates, "twin_events": TwinEvents}
MODES = {"twin_states": "state_functions", "twin_events": "handle_event_function"}
#: The event ``batch`` of several messages is one; between messages of one batch no time passes.
SCRIPTS = 60
PARTS = ("trace", "status", "answers", "terminate", "reason")


async def twins(beam: Any) -> Beam:
    """Return a BEAM with both machines and the driver."""
    ex = erl(beam)
    for module, mode in MODES.items():
        source = MACHINE.replace("%MODULE%", module).replace("%MODE%", mode)
        await load(ex, source.replace("%MOST%", str(MOST)).replace("?M", module))
    await load(ex, DRIVER)
    await ex.aeval("logger:set_primary_config(level, none).")
    return ex


def told(seed: int, module: str, theirs: Any, ours: Any) -> str:
    """Say where two results begin to differ."""
    for part, one, other in zip(PARTS, theirs, ours, strict=True):
        if not identical(one, other):
            if isinstance(one, list) and isinstance(other, list):
                same = 0
                while same < min(len(one), len(other)) and identical(one[same], other[same]):
                    same += 1
                one, other = one[same:], other[same:]
                part += f", after {same} that are the same"
            return f"script {seed} of {module}, {part}: BEAM {one!r}, Python {other!r}"
    return "nothing differs"


async def test_the_same_events_give_the_same_trace(
    beam: Any, py_node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "pynode.process")  # the scripts crash in all ways there are
    ex = await twins(beam)
    async with py_node() as node:
        await node.connect(ex.name)

        async def one(seed: int, module: str) -> tuple[Any, Any]:
            first, events = script(seed)
            shell = ex.shell()
            mine: dict[str, Any] = {"Module": atom(module), "First": first, "Events": events}
            drive = "twin_driver:drive({}, Events)."
            theirs = await shell.aeval(drive.format("twin_driver:start(Module, First)"), **mine)
            shell = ex.shell()
            me: Pid = await shell.aeval("self().")
            pid = await node.start(TWINS[module], me, first)
            return theirs, await shell.aeval(drive.format("Pid"), Pid=pid, Events=events)

        seen = 0
        for begin in range(0, SCRIPTS, 10):
            jobs = [(seed, module) for seed in range(begin, begin + 10) for module in TWINS]
            results = await asyncio.gather(*(one(*job) for job in jobs))
            for job, (theirs, ours) in zip(jobs, results, strict=True):
                for _ in range(3):  # of two timers that are due together either may be first
                    if identical(theirs, ours):
                        break
                    theirs, ours = await one(*job)
                else:
                    raise AssertionError(told(*job, theirs, ours))
                seen += len(theirs[0]) if isinstance(theirs[0], list) else 1
        assert seen > SCRIPTS * 10
