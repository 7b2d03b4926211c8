"""What the test kit raises.

::

    PynodeError
    +-- BeamMissing        the release, or a program of it, is not on this machine
    +-- BeamFailed         a node did not start, or ended; carries its last words
    +-- RemoteError
        +-- EvalError      code that the test sent raised on the node
    TimeoutError
    +-- BeamTimeout        the node, or a line of its output, did not come in time
"""

from __future__ import annotations

from typing import Any, Final

from pynode.errors import PynodeError, RemoteError

__all__ = ["BeamFailed", "BeamMissing", "BeamTimeout", "EvalError"]


class BeamMissing(PynodeError):
    """There is no such Erlang or Elixir on this machine; the plugin skips the test."""


class BeamFailed(PynodeError):
    """A node did not start, or is gone.

    ``last_words`` are the last lines that it wrote, and part of ``str(error)``.
    """

    def __init__(self, problem: str, last_words: str = "") -> None:
        super().__init__(problem, last_words)
        self.problem: Final = problem
        self.last_words: Final = last_words

    def __str__(self) -> str:
        return _with_last_words(self.problem, self.last_words)


class BeamTimeout(BeamFailed, TimeoutError):
    """An answer, or a line of output, did not come in time; the node may well be alive."""


class EvalError(RemoteError):
    """Code that ran on the node for the test raised, threw or exited.

    ``text`` is how the node itself would print it, and is ``str(error)``.
    """

    def __init__(self, kind: str, reason: Any, stack: Any = (), text: str = "") -> None:
        super().__init__(kind, reason, stack)
        self.text: Final = text

    def __str__(self) -> str:
        return self.text or super().__str__()


def _with_last_words(problem: str, last_words: str) -> str:
    if not last_words:
        return f"{problem}; it wrote nothing"
    indented = "\n".join(f"    {line}" for line in last_words.splitlines())
    return f"{problem}; its last words:\n{indented}"
