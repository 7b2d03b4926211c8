"""A RabbitMQ broker of a test's own: own ports, own EPMD, own folder, no plugins."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Self

from pynode import Atom
from pynode.testing import Epmd, free_port

#: Not the wrapper that Debian puts into the path, which wants to become the user rabbitmq.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def missing() -> str | None:
    """Return why there can be no broker here, or None."""
    if not SERVER.exists():
        return "RabbitMQ is not installed (Debian's package rabbitmq-server)"
    if shutil.which("erl") is None:
        return "there is no Erlang for RabbitMQ"
    return None


class Rabbit:
    """A broker; also a context manager."""

    def __init__(self, folder: Path, epmd: Epmd) -> None:
        self.name = Atom("rabbit@localhost")
        self.cookie = secrets.token_hex(16)
        self.port = free_port()
        self._folder = folder
        self._epmd_port = epmd.port
        self._dist_port = free_port()
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None

    def start(self, timeout: float = 60.0) -> Self:
        """Start it and wait until it serves."""
        (self._folder / "plugins").write_text("[].\n")
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text(self.cookie)
        cookie.chmod(0o400)
        self._process = subprocess.Popen(
            [str(SERVER)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=self._variables(),
        )
        self._reader = threading.Thread(target=self._read, name="rabbit", daemon=True)
        self._reader.start()
        with self._changed:
            started = self._changed.wait_for(self._decided, timeout)
        if not started or not self.is_running:
            self.kill()
            raise AssertionError("RabbitMQ did not start:\n" + "".join(self._lines[-30:]))
        return self

    def kill(self) -> None:
        """End it without a word to anybody."""
        if self._process is None:
            return
        if self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._reader is not None:
            self._reader.join()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _decided(self) -> bool:
        ready = any(re.search("Server startup complete", line) for line in self._lines)
        return ready or not self.is_running

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        self._process.wait()
        with self._changed:
            self._changed.notify_all()

    def _variables(self) -> dict[str, str]:
        folder = self._folder
        small = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": str(self.name),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none.env"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "feature_flags"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-kernel inet_dist_use_interface {{127,0,0,1}} {small}"
            ),
        }
