"""``sys.stdin``, ``sys.stdout`` and ``sys.stderr`` of the code that a shell runs.

While a session is open, the three are objects that ask a context variable whose they are: in the
shell's evaluations, and in the tasks and processes that these start, the client's terminal; for
everything else, and when the session is over, what they were before.
"""

from __future__ import annotations

import contextvars
import io
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["ROUTING", "Routing", "Terminal", "terminal"]


class Terminal:
    """The three streams of one session.

    Args:
        write: takes text.
        ask: takes a prompt; returns a line with its newline, ``""`` at the end of the input.
    """

    def __init__(self, write: Callable[[str], None], ask: Callable[[str], str]) -> None:
        self.ask = ask
        self.stdin = _Input(ask)
        self.stdout = _Output(write)
        self.stderr = self.stdout
        self.closed = False


#: Whose streams they are.
terminal: Final[contextvars.ContextVar[Terminal | None]] = contextvars.ContextVar(
    "pynode_terminal", default=None
)


class _Output(io.TextIOBase):
    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() takes a str, not {type(text).__name__}")
        self._write(text)
        return len(text)

    def close(self) -> None:
        """Stay open: it is the session's."""


class _Input(io.TextIOBase):
    def __init__(self, ask: Callable[[str], str]) -> None:
        self._ask = ask

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        return self._ask("")

    def read(self, size: int | None = -1) -> str:
        return "".join(self)

    def close(self) -> None:
        """Stay open: it is the session's."""


class _Nothing(io.TextIOBase):
    """Stands for a stream that the program does not have."""

    def write(self, text: str) -> int:
        return len(text)

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        return ""


class _Routed:
    """One of the three, for everybody."""

    def __init__(self, name: str, original: Any) -> None:
        self._name = name
        self.original = _Nothing() if original is None else original

    def _now(self) -> Any:
        owner = terminal.get()
        if owner is None or owner.closed:
            return self.original
        return getattr(owner, self._name)

    def write(self, text: str) -> Any:
        return self._now().write(text)

    def __iter__(self) -> Iterator[str]:
        found: Iterator[str] = iter(self._now())
        return found

    def __next__(self) -> str:
        found: str = next(self._now())
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(), name)

    def __repr__(self) -> str:
        return repr(self._now())


class Routing:
    """Puts the three in place with the first session, and takes them away with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions = 0
        self._placed: dict[str, tuple[_Routed, Any]] = {}

    def begin(self) -> None:
        """A session opens."""
        with self._lock:
            self._sessions += 1
            if self._sessions == 1:
                for name in ("stdin", "stdout", "stderr"):
                    original = getattr(sys, name)
                    routed = _Routed(name, original)
                    self._placed[name] = routed, original
                    setattr(sys, name, routed)

    def end(self) -> None:
        """A session is over.  What the program has put in their place meanwhile stays."""
        with self._lock:
            self._sessions -= 1
            if self._sessions == 0:
                for name, (routed, original) in self._placed.items():
                    if getattr(sys, name) is routed:
                        setattr(sys, name, original)
                self._placed.clear()


#: Of the interpreter: all nodes share its streams.
ROUTING: Final = Routing()
