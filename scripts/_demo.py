#!/usr/bin/env python3
"""Run the Publisher/Subscriber session in every mix of Elixir and Python.

Three nodes, each an operating system process of its own: node1 starts a Publisher and registers
it in :global as ~c"manager"; node2 and node3 connect to node1, find it there, start a Subscriber
and subscribe it.  Then each of the three publishes, and both subscribers must print it.

With --spawn two nodes, in the four mixes: node2 has node1 run Hello.world/0, which prints a line;
the line must come out on node2, and only there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pynode.testing import Beam, BeamFailed, Epmd, Release, _waiting, free_port
from pynode.testing._output import Output

SCRIPTS = Path(__file__).resolve().parent
COOKIE = "pubsub"
NODES = ("node1", "node2", "node3")
SUBSCRIBERS = NODES[1:]
START_SECONDS = 30.0
STEP_SECONDS = 20.0
LINE_SECONDS = 10.0


class Role(Protocol):
    """One node of the session, in either language."""

    @property
    def os_pid(self) -> int: ...
    def start(self) -> None: ...
    def publisher(self) -> None: ...
    def subscriber(self, publisher_node: str) -> None: ...
    def subscribed(self, count: int) -> None: ...
    def notify(self, message: str) -> None: ...
    def hello(self) -> None: ...
    def spawn(self, node: str) -> None: ...
    def wait_for_line(self, text: str) -> str: ...
    def output(self) -> list[str]: ...
    def end(self) -> None: ...


class ElixirRole:
    """A BEAM with the modules of elixir_side."""

    def __init__(self, name: str, epmd_port: int) -> None:
        self.beam = Beam(name, project="elixir_side", near=SCRIPTS, cookie=COOKIE, epmd=epmd_port)

    @property
    def os_pid(self) -> int:
        return self.beam.os_pid

    def start(self) -> None:
        self.beam.start(START_SECONDS)

    def publisher(self) -> None:
        self._run("{:ok, manager} = Publisher.start()")
        self._run(':yes = :global.register_name(~c"manager", manager)')

    def subscriber(self, publisher_node: str) -> None:
        self._run(f"true = Node.connect(:{json.dumps(publisher_node)})")
        self._run(
            """
            manager =
              Enum.find_value(Stream.repeatedly(fn -> Process.sleep(20) end), fn :ok ->
                case :global.whereis_name(~c"manager"), do: (:undefined -> nil; pid -> pid)
              end)
            """
        )
        self._run("{:ok, subscriber} = Subscriber.start()")
        name = list(b"subs_" + self.beam.name.name.partition("@")[0].encode())
        self._run("Publisher.subscribe(manager, name, subscriber)", name=name)

    def subscribed(self, count: int) -> None:
        self._run(
            """
            Enum.find(Stream.repeatedly(fn -> Process.sleep(20) end), fn :ok ->
              map_size(Publisher.subscribers(manager)) >= count
            end)
            """,
            count=count,
        )

    def notify(self, message: str) -> None:
        self._run("Publisher.notify(manager, message)", message=message)

    def hello(self) -> None:
        self._run("{:module, Hello} = Code.ensure_loaded(Hello)")

    def spawn(self, node: str) -> None:
        self._run(f"Node.spawn_link(:{json.dumps(node)}, fn -> Hello.world end)")

    def wait_for_line(self, text: str) -> str:
        return self.beam.wait_for_line(text, timeout=LINE_SECONDS)

    def output(self) -> list[str]:
        return self.beam.output

    def end(self) -> None:
        self.beam.kill()

    def _run(self, code: str, **bindings: Any) -> None:
        self.beam.eval(code, timeout=STEP_SECONDS, **bindings)


class PythonRole:
    """A Python process with the classes of pynode.pubsub; see _role.py."""

    def __init__(self, name: str, epmd_port: int) -> None:
        self.name = name
        self._environment = dict(os.environ, ERL_EPMD_PORT=str(epmd_port))
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._output = Output()
        self._answers = 0

    @property
    def os_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / "_role.py"), f"{self.name}@localhost", COOKIE],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self._answer(START_SECONDS)

    def publisher(self) -> None:
        self._tell("publisher")

    def subscriber(self, publisher_node: str) -> None:
        self._tell(f"subscriber {publisher_node}")

    def subscribed(self, count: int) -> None:
        self._tell(f"subscribed {count}")

    def notify(self, message: str) -> None:
        self._tell(f"notify {message}")

    def hello(self) -> None:
        self._tell("hello")

    def spawn(self, node: str) -> None:
        self._tell(f"spawn {node}")

    def wait_for_line(self, text: str) -> str:
        return self._line(text, 1, LINE_SECONDS)

    def output(self) -> list[str]:
        return self._output.lines()

    def end(self) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
        if self._thread is not None:
            self._thread.join()

    def _tell(self, command: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):  # an ended role says so below
            self._process.stdin.write(command.encode() + b"\n")
            self._process.stdin.flush()
        self._answer(STEP_SECONDS)

    def _answer(self, timeout: float) -> None:
        self._answers += 1
        answer = self._line("role: ", self._answers, timeout)
        if answer.startswith("role: failed"):
            raise BeamFailed(f"{self.name}: {answer}", self._output.tail())

    def _line(self, text: str, count: int, timeout: float) -> str:
        try:
            return _waiting.block(self._output.line(text, count), timeout)
        except TimeoutError:
            problem = f"{self.name}: no line with {text!r} after {timeout:g} s"
            raise BeamFailed(problem, self._output.tail()) from None

    def _read(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with process.stdout as pipe:
            for line in pipe:
                self._output.feed(line)
        status = process.wait()
        ended = BeamFailed(f"{self.name} ended with status {status}", self._output.tail())
        self._output.close(ended)


ROLES: dict[str, Callable[[str, int], Role]] = {"elixir": ElixirRole, "python": PythonRole}


@dataclass
class Run:
    """One mix, and what was observed."""

    word: ClassVar[str] = "I have received"

    roles: dict[str, str]
    first: str
    os_pids: dict[str, int] = field(default_factory=dict)
    lines: list[dict[str, str]] = field(default_factory=list)
    missing: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0

    @property
    def expected(self) -> list[tuple[str, str]]:
        """The lines that must come, and on which node."""
        return expected()

    @property
    def ok(self) -> bool:
        return not self.missing and self.error is None

    def play(self, show: Callable[[str], None]) -> None:
        """Start the nodes, go through the session, end the nodes."""
        begin = time.monotonic()
        with ExitStack() as stack:
            try:
                self._session(stack, show)
            except (BeamFailed, OSError) as error:
                self.error = str(error)
            except Exception as error:  # a fault of the session, such as an EvalError
                self.error = f"{type(error).__name__}: {error}"
        if self.error is not None:
            seen = {(line["node"], line["text"]) for line in self.lines}
            self.missing = [
                {"node": node, "text": text}
                for node, text in self.expected
                if (node, text) not in seen
            ]
        self.seconds = time.monotonic() - begin

    def _session(self, stack: ExitStack, show: Callable[[str], None]) -> None:
        pool, nodes = self._start(stack)
        self._speak(pool, nodes, show)
        for name, node in nodes.items():
            self._check_nothing_else(name, node)

    def _start(self, stack: ExitStack) -> tuple[ThreadPoolExecutor, dict[str, Role]]:
        epmd_port = self._epmd(stack)
        nodes = {name: ROLES[language](name, epmd_port) for name, language in self.roles.items()}
        pool = stack.enter_context(ThreadPoolExecutor(len(nodes)))
        stack.callback(lambda: list(pool.map(lambda node: node.end(), nodes.values())))
        early = "python" if self.first == "python" else "elixir"
        for group in (early, {"python": "elixir", "elixir": "python"}[early]):
            members = [nodes[name] for name, language in self.roles.items() if language == group]
            list(pool.map(lambda node: node.start(), members))
        self.os_pids = {name: node.os_pid for name, node in nodes.items()}
        return pool, nodes

    def _speak(
        self, pool: ThreadPoolExecutor, nodes: dict[str, Role], show: Callable[[str], None]
    ) -> None:
        nodes["node1"].publisher()
        list(pool.map(lambda name: nodes[name].subscriber("node1@localhost"), SUBSCRIBERS))
        nodes["node1"].subscribed(len(SUBSCRIBERS))
        for speaker in NODES:
            nodes[speaker].notify(f"Hello !! from {speaker}")
            for name in SUBSCRIBERS:
                self._expect(name, nodes[name], heard(speaker), show)

    def _expect(self, name: str, node: Role, text: str, show: Callable[[str], None]) -> None:
        try:
            line = node.wait_for_line(text)
        except BeamFailed as error:
            self.missing.append({"node": name, "text": text})
            show(f"missing: {error}")
            return
        language = self.roles[name]
        self.lines.append({"node": name, "language": language, "text": line})
        show(f"[{name} {language}] {line}")

    def _check_nothing_else(self, name: str, node: Role) -> None:
        """Take it as an error when a node received a message twice, or one not meant for it."""
        received = [line for line in node.output() if self.word in line]
        shown = [line["text"] for line in self.lines if line["node"] == name]
        if sorted(received) != sorted(shown):
            self.error = f"{name} received something else: {received}"

    def _epmd(self, stack: ExitStack) -> int:
        """Return the port of this run's own EPMD: Erlang's, or that of the first Python node."""
        if self.first == "python":
            return free_port()
        return stack.enter_context(Epmd()).port

    def observed(self) -> dict[str, Any]:
        """Return what goes into the JSON file."""
        record = {
            "roles": self.roles,
            "first": self.first,
            "os_pids": self.os_pids,
            "lines": self.lines,
            "missing": self.missing,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
        }
        return record if self.error is None else record | {"error": self.error}


class SpawnRun(Run):
    """Two nodes: node2 has node1 run a function, whose output comes out on node2."""

    word = "hello world"

    @property
    def expected(self) -> list[tuple[str, str]]:
        return [("node2", self.word)]

    def _speak(
        self, pool: ThreadPoolExecutor, nodes: dict[str, Role], show: Callable[[str], None]
    ) -> None:
        nodes["node1"].hello()
        nodes["node2"].spawn("node1@localhost")
        self._expect("node2", nodes["node2"], self.word, show)


def heard(speaker: str) -> str:
    return f"I have received: 'Hello !! from {speaker}'"


def expected() -> list[tuple[str, str]]:
    return [(name, heard(speaker)) for speaker in NODES for name in SUBSCRIBERS]


def planned(both_orders: bool) -> list[Run]:
    """Return the eight mixes; with ``both_orders`` the six mixed ones in either order."""
    runs = []
    for languages in itertools.product(("elixir", "python"), repeat=len(NODES)):
        roles = dict(zip(NODES, languages, strict=True))
        kinds = set(languages)
        if kinds == {"python"}:
            orders: Iterable[str] = ("python",)
        elif kinds == {"elixir"} or not both_orders:
            orders = ("beam",)
        else:
            orders = ("beam", "python")
        runs += [Run(roles, first) for first in orders]
    return runs


def planned_spawns() -> list[Run]:
    """Return the four mixes of who is asked and who asks."""
    return [
        SpawnRun({"node1": there, "node2": here}, "python" if there == here == "python" else "beam")
        for there, here in itertools.product(("elixir", "python"), repeat=2)
    ]


def versions() -> dict[str, str]:
    """Return what the session runs on."""
    found = {
        "pynode": version("pynode-beam"),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    if Release().has("elixir"):
        with Epmd() as epmd, Beam(near=SCRIPTS, project="elixir_side", epmd=epmd) as beam:
            found["elixir"] = str(beam.elixir_version)
            found["otp"] = str(beam.otp_release)
            beam.kill()
    return found


def table(runs: list[Run]) -> str:
    """Return the closing table."""
    nodes = list(runs[0].roles) if runs else list(NODES)
    head = (*nodes, "up first", "lines", "seconds", "result")
    rows = [
        (
            *(run.roles[name] for name in nodes),
            run.first,
            f"{len(run.lines)}/{len(run.expected)}",
            f"{run.seconds:.1f}",
            "ok" if run.ok else "FAILED",
        )
        for run in runs
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
             for row in (head, tuple("-" * width for width in widths), *rows)]  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument(
        "--all",
        action="store_true",
        help="the six mixed ones twice: with the BEAM and with the Python nodes up first",
    )
    parser.add_argument("--json", metavar="FILE", help="write what was observed to FILE")
    parser.add_argument(
        "--python-only", action="store_true", help="only the mix that needs no Erlang"
    )
    parser.add_argument(
        "--spawn", action="store_true", help="instead: one node has another one run a function"
    )
    options = parser.parse_args()

    runs = planned_spawns() if options.spawn else planned(options.all)
    if options.python_only:
        runs = [run for run in runs if set(run.roles.values()) == {"python"}]
    found = versions()
    print(", ".join(f"{name} {value}" for name, value in found.items()), flush=True)
    for number, run in enumerate(runs, 1):
        mix = ", ".join(f"{name} {language}" for name, language in run.roles.items())
        print(f"\nrun {number} of {len(runs)}: {mix}; {run.first} first", flush=True)
        run.play(lambda line: print(line, flush=True))
        if run.error is not None:
            print(f"FAILED: {run.error}", flush=True)

    ok = all(run.ok for run in runs)
    came = sum(len(run.lines) for run in runs)
    due = sum(len(run.expected) for run in runs)
    print(f"\n{table(runs)}\n\n{came} of {due} lines came", flush=True)
    if options.json is not None:
        record = {"versions": found, "runs": [run.observed() for run in runs], "ok": ok}
        Path(options.json).write_text(json.dumps(record, indent=2) + "\n")
    return 0 if ok else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
