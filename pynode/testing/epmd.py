"""An EPMD of one's own, so that a test neither sees nor disturbs the machine's."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Self

from pynode.testing.errors import BeamFailed
from pynode.testing.release import Release

__all__ = ["Epmd", "free_port"]

# Above what servers usually have, below Linux's first port for outgoing connections.
_LOWEST, _HIGHEST = 20_000, 32_000

# epmd has no way to end with its parent.  This shell has: when its standard input closes, which it
# does when the process at the other end is gone, in whatever way, it kills epmd; and it ends
# when epmd does.
_GUARD = '"$@" </dev/null & pid=$!; { read -r _; kill -9 $pid; } <&3 & wait $pid'


def free_port() -> int:
    """Return a TCP port that nothing on loopback listens on at this moment.

    It is below those that the system gives to outgoing connections.  One of these could be taken
    by any connection until it is used; and who dials one that nobody listens on may, now and
    then, be given the very same port for its own end, and find itself connected to itself.
    """
    for _ in range(1000):
        port = secrets.randbelow(_HIGHEST - _LOWEST) + _LOWEST
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise BeamFailed(f"there is no free port between {_LOWEST} and {_HIGHEST}")


class Epmd:
    """Erlang's own ``epmd`` on loopback, on a port of its own; also a context manager.

    ``port`` is known before the start, and stays over :meth:`stop` and :meth:`start`.
    ``prefix`` are words before the command, such as ``ip netns exec NAME``; then ``address``
    may be None, for every address of that namespace.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        address: str | None = "127.0.0.1",
        release: Release | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.port = port or free_port()
        self._fixed = port is not None
        self._address = address
        self._release = release or Release()
        self._prefix = list(prefix)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 10.0) -> Self:
        """Start it and wait until it answers.

        Raises:
            BeamMissing: there is no ``epmd``.
            BeamFailed: it ended, or did not answer within ``timeout`` seconds.
        """
        for _ in range(5):
            if self._attempt(timeout):
                return self
            if self._fixed:
                break
            self.port = free_port()  # somebody else was quicker to take the port
        raise BeamFailed(f"epmd did not start on port {self.port}")

    def stop(self) -> None:
        """Kill it; the nodes that were registered see their connection to it close."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        process.wait()

    def port_for_new_node(self) -> int:
        """Return the port that a node about to start is to be given: everybody's the same."""
        return self.port

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _attempt(self, timeout: float) -> bool:
        address = ["-address", self._address] if self._address else []
        command = self._release.command("epmd", "-port", str(self.port), *address)
        self._process = subprocess.Popen(
            [*self._prefix, "sh", "-c", f"exec 3<&0; {_GUARD}", "epmd", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return True
            time.sleep(0.005)
        self.stop()
        return False

    def _answers(self) -> bool:
        if self._prefix:  # another namespace, which only a program in it can reach
            names = self._release.command("epmd", "-port", str(self.port), "-names")
            asked = subprocess.run([*self._prefix, *names], capture_output=True, check=False)
            return asked.returncode == 0
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False
