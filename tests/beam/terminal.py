"""A program on a terminal, for tests that type: a pane of a tmux of its own.

tmux is the terminal that the programs see, with its width, its cursor and its keys; what stands
on it is read back as a person would read it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

__all__ = ["TMUX", "Terminal"]

TMUX = shutil.which("tmux")


class Terminal:
    """``with Terminal(folder, command) as terminal:`` types and waits.

    Args:
        folder: for the socket; of this terminal alone.
        command: the program and its arguments.
        environment: all its variables.
    """

    def __init__(
        self, folder: Path, command: Sequence[str], *, environment: Mapping[str, str]
    ) -> None:
        self._socket = folder / "tmux"
        self._command = list(command)
        self._environment = {
            **environment,
            "TERM": "screen",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
        }
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert TMUX is not None
        # Not a daemon: it is ours to end, by its process id.
        self._server = subprocess.Popen(
            [TMUX, "-D", "-S", str(self._socket), "-f", "/dev/null"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 20
            while self._run("show-options", "-g").returncode != 0:
                assert time.monotonic() < deadline, "tmux does not answer"
                assert self._server.poll() is None, "tmux has ended"
                time.sleep(0.01)
            self._tmux("set-option", "-g", "remain-on-exit", "on")
            self._tmux("set-option", "-g", "history-limit", "50000")
            command = shlex.join(self._command)
            self._tmux("new-session", "-d", "-x", "100", "-y", "50", f"exec {command}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program, with what it started, and the terminal."""
        server, self._server = self._server, None
        if server is None:
            return
        pane = self._query("#{pane_pid}", server)
        if pane.isdigit():
            kill_session(int(pane))
        server.kill()
        server.wait()

    def _query(self, what: str, server: subprocess.Popen[bytes]) -> str:
        if server.poll() is not None:
            return ""
        return self._run("display-message", "-p", what).stdout.strip()

    def _tmux(self, *words: str) -> str:
        done = self._run(*words)
        assert done.returncode == 0, f"tmux {words}: {done.stderr}"
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(TMUX), "-S", str(self._socket), *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=20,
        )

    # ------------------------------------------------------------------ the keyboard

    def keys(self, *names: str) -> None:
        """Press keys by tmux's names: ``C-g``, ``Enter``, ``Tab``."""
        self._tmux("send-keys", *names)

    def type(self, text: str) -> None:
        """Type a line, and Enter."""
        self._tmux("send-keys", "-l", text)
        self.keys("Enter")

    # ------------------------------------------------------------------ the screen

    def screen(self) -> str:
        """Return everything that was written, the lines that have scrolled away too."""
        return self._tmux("capture-pane", "-p", "-J", "-S", "-").rstrip()

    def wait(
        self, pattern: str | re.Pattern[str], *, count: int = 1, timeout: float = 40.0
    ) -> None:
        """Wait until ``pattern`` is to be seen ``count`` times, the lines scrolled away included.

        A str is a line of its own, whatever blanks stand behind.
        """
        if isinstance(pattern, str):
            pattern = re.compile(rf"^{re.escape(pattern)} *$", re.MULTILINE)
        deadline = time.monotonic() + timeout
        while len(pattern.findall(text := self.screen())) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"no {pattern.pattern!r} after {timeout} s on:\n{text}")
            time.sleep(0.05)

    def wait_for_end(self, timeout: float = 40.0) -> None:
        """Wait until the program has ended."""
        deadline = time.monotonic() + timeout
        assert self._server is not None
        while self._query("#{pane_dead}", self._server) != "1":
            if time.monotonic() > deadline:
                raise AssertionError(f"it has not ended after {timeout} s:\n{self.screen()}")
            time.sleep(0.05)


def kill_session(leader: int) -> None:
    """Kill the program of a pane, which leads a session, and what it has started."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.getsid(int(entry)) == leader:
                os.kill(int(entry), signal.SIGKILL)
        except OSError:
            continue
