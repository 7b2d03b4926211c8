"""The command as a user runs it: a process of its own, in a cluster of its own."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, NamedTuple

import pytest

from pynode.testing import Cluster

SECONDS = 30.0


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Running:
    """A command that runs, its output read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.errors: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=pair)
            for pair in ((process.stdout, self.lines), (process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: IO[str] | None, lines: queue.Queue[str | None]) -> None:
        if stream is not None:
            with stream:
                for line in stream:
                    lines.put(line.rstrip("\n"))
        lines.put(None)

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()

    def line(self) -> str:
        """Return the next line of stdout."""
        line = self.lines.get(timeout=SECONDS)
        assert line is not None, f"ended: {self.rest(self.errors)}"
        return line

    def error(self) -> str:
        """Return the next line of stderr."""
        line = self.errors.get(timeout=SECONDS)
        assert line is not None, "stderr has ended"
        return line

    def rest(self, lines: queue.Queue[str | None]) -> list[str]:
        """Return what is left until the end."""
        left = []
        while (line := lines.get(timeout=SECONDS)) is not None:
            left.append(line)
        return left

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, number: int | None = None) -> Outcome:
        """Wait for the end, after a signal if one is given."""
        if number is not None:
            self.send(number)
        code = self.process.wait(SECONDS)
        return Outcome(code, "\n".join(self.rest(self.lines)), "\n".join(self.rest(self.errors)))


class Commands:
    """Runs commands in one cluster: its EPMD, its cookie."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.environment = dict(
            os.environ,
            ERL_EPMD_PORT=str(cluster.epmd_port),
            PYNODE_COOKIE=cluster.cookie,
            PYTHONWARNINGS="error",
        )
        self.environment.pop("PYTHONUNBUFFERED", None)
        self.running: list[Running] = []

    def start(self, *words: str, **environment: str) -> Running:
        """Start a command."""
        return self.start_python(["-m", "pynode", *words], environment=environment)

    def start_python(
        self,
        words: Sequence[str],
        stdout: int = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
    ) -> Running:
        """Start Python with these arguments."""
        process = subprocess.Popen(
            [sys.executable, *words],
            env=self.environment | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        running = Running(process)
        self.running.append(running)
        return running

    def ready(self, *words: str, **environment: str) -> Running:
        """Start a role and wait until it is ready."""
        role = self.start(*words, **environment)
        assert role.line().startswith("ready ")
        return role

    def run(self, *words: str, **environment: str) -> Outcome:
        """Run a command to its end."""
        return self.start(*words, **environment).end()

    def close(self) -> None:
        """Kill what still runs."""
        for running in self.running:
            running.close()


@pytest.fixture
def pynode(cluster: Cluster) -> Iterator[Commands]:
    """The command, in a cluster of its own."""
    commands = Commands(cluster)
    yield commands
    commands.close()
