"""Thirty nodes at once: 8 BEAMs, and 22 Python nodes in 4 operating system processes.

They settle with one table of global and one view of pg; and again when some are killed.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pynode import Atom, etf
from pynode.testing import Beam, Cluster

WORKER = Path(__file__).with_name("mesh_worker.py")
#: As small as a BEAM can be started.
SMALL = ("+S", "1:1", "+SDcpu", "1:1", "+SDio", "1", "+A", "1")
#: Seconds for each step; a machine with two processors needs about two.
DEADLINE = 50.0

JOIN = """
    {ok, _} = pg:start(pg),
    Me = spawn(fun F() -> receive stop -> ok; _ -> F() end end),
    ok = pg:join(everybody, Me),
    Ping = fun(Seed) -> Seed =:= node() orelse net_adm:ping(Seed) end,
    Register = fun() -> global:register_name({node, node()}, Me) end,
    View = fun() ->
        Names = lists:sort(global:registered_names()),
        Table = [{Name, global:whereis_name(Name)} || Name <- Names],
        {node(), lists:sort(nodes()), Table, lists:sort(pg:get_members(everybody))}
    end,
    ok
"""


class Worker:
    """One process of Python nodes."""

    def __init__(self, cluster: Cluster, seed: Atom, names: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), str(cluster.epmd_port), str(seed), *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYNODE_COOKIE": cluster.cookie,
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
        )

    def read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise AssertionError(self._process.communicate()[1])
        return line

    def joined(self) -> None:
        assert self.read() == "joined"

    def views(self) -> list[Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("view\n")
        self._process.stdin.flush()
        views: list[Any] = etf.decode(base64.b64decode(self.read()))
        return views

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self) -> None:
        if self._process.returncode is not None:
            return  # killed
        try:
            _, said = self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        # Warnings may be there: nodes that go one after another are lost to the others at
        # slightly different times, which global takes for the beginning of a partition.
        assert self._process.returncode == 0, said
        assert "Traceback" not in said, said


@pytest.fixture
def beams(cluster: Cluster) -> list[Beam]:
    options: dict[str, Any] = {"language": "erlang", "arguments": SMALL, "start": False}
    made = [cluster.beam(f"b{number}", **options) for number in range(8)]
    with ThreadPoolExecutor(2) as pool:  # as many at a time as there are processors
        for beam in pool.map(lambda beam: beam.start(60), made):
            beam.eval(JOIN)
    return made


@pytest.mark.timeout(150)
def test_a_mesh_of_thirty(cluster: Cluster, beams: list[Beam]) -> None:
    seed = beams[0].name
    names = [f"p{number}@localhost" for number in range(22)]
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(12))
        workers = []
        for first in range(4):
            worker = Worker(cluster, seed, names[first::4])
            stack.callback(worker.end)
            workers.append(worker)
        together(pool, [(beam, "Ping(S)") for beam in beams], S=seed)
        joining = [pool.submit(worker.joined) for worker in workers]
        together(pool, [(beam, "Register()") for beam in beams])
        for one in joining:
            one.result()
        settle(pool, beams, workers, {str(beam.name) for beam in beams} | set(names))
        # A BEAM and a process with five or six nodes are gone without a word.
        beams.pop().kill()
        workers.pop().kill()
        left = set(names) - set(names[3::4])
        settle(pool, beams, workers, {str(beam.name) for beam in beams} | left)


def together(pool: ThreadPoolExecutor, tasks: list[tuple[Beam, str]], **bindings: Any) -> None:
    """Evaluate at all nodes at once."""
    asked = [pool.submit(beam.eval, code, timeout=DEADLINE, **bindings) for beam, code in tasks]
    for answer in asked:
        answer.result()


def settle(
    pool: ThreadPoolExecutor, beams: list[Beam], workers: list[Worker], everybody: set[str]
) -> None:
    """Look at all nodes until they see the same: ``everybody``."""
    started = time.monotonic()
    while problem := unsettled(look(pool, beams, workers), everybody):
        assert time.monotonic() - started < DEADLINE, problem
    print(f"{len(everybody)} nodes settled after {time.monotonic() - started:.1f} s")


def look(pool: ThreadPoolExecutor, beams: list[Beam], workers: list[Worker]) -> list[Any]:
    """Return what each node sees."""
    of_beams = [pool.submit(beam.eval, "View()", timeout=60) for beam in beams]
    of_workers = [pool.submit(worker.views) for worker in workers]
    return [answer.result() for answer in of_beams] + [
        view for answer in of_workers for view in answer.result()
    ]


def unsettled(views: list[Any], everybody: set[str]) -> str | None:
    """Return what is not yet one mesh, one table of names and one group; None if all is."""
    assert {str(name) for name, *_ in views} == everybody
    for name, nodes, table, members in views:
        others = everybody - {str(name)}
        if {str(node) for node in nodes} != others:
            return f"{name} misses {sorted(others - {str(node) for node in nodes})}"
        if {str(pid.node) for pid in members if hasattr(pid, "node")} != everybody:
            return f"{name} sees {len(members)} members of the group"
        if [str(key[1]) for key, _ in table] != sorted(everybody):
            return f"{name} knows {len(table)} names"
    if any(view[2:] != views[0][2:] for view in views):
        return "the nodes do not see the same pids"
    return None
