"""What the small services share: a process under a fixed name that answers messages.

A service is a :class:`pynode.process.body.Body`: between two messages it is its mailbox and
nothing else.  Peers send to it what they like, so one message that it cannot handle is logged
and dropped, and the next is served.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.behaviours import gen
from pynode.errors import PeerBusy
from pynode.process.process import current_process
from pynode.shown import shown
from pynode.terms import Atom, Pid, atom

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["NO_ANSWER", "Service", "acting"]

logger = logging.getLogger("pynode.services")

_GEN_CALL: Final = atom("$gen_call")
_GEN_CAST: Final = atom("$gen_cast")


class _NoAnswer:
    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_ANSWER"


#: What :meth:`Service.call` returns when it does not answer, or not yet.
NO_ANSWER: Final = _NoAnswer()


def acting(runtime: Runtime) -> Process:
    """Return the current process if it is of this node, else the node's ``main``."""
    process = current_process()
    return process if process is not None and process.runtime is runtime else runtime.main


class Service:
    """A registered process of every node; ``name`` is what it is registered under."""

    name: ClassVar[str]

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.process: Process = runtime.spawn(self, name=self.name, trap_exit=True)

    def start(self, process: Process) -> Coroutine[Any, Any, object] | None:
        """Body: nothing to do."""
        return None

    def message(self, process: Process, message: Any) -> Coroutine[Any, Any, object] | None:
        """Body: one message."""
        try:
            match message:
                case (tag, (Pid(), _) as caller, request) if tag == _GEN_CALL:
                    answer = self.call(caller, request)
                    if answer is not NO_ANSWER:
                        self.reply(caller, answer)
                case (tag, request) if tag == _GEN_CAST:
                    self.cast(request)
                case _:
                    self.info(message)
        except Exception:
            logger.exception(
                "%s: a message that could not be handled: %r", self.name, shown(message)
            )
        return None

    def terminated(self, process: Process, reason: Any) -> None:
        """Body: nothing to clean up."""

    def call(self, caller: tuple[Any, Any], request: Any) -> Any:
        """Answer a gen call; unknown ones get no answer, as OTP's servers do it."""
        return NO_ANSWER

    def cast(self, request: Any) -> None:
        """Take a cast; unknown ones are dropped."""

    def info(self, message: Any) -> None:
        """Take any other message; unknown ones are dropped."""

    def reply(self, caller: tuple[Any, Any], answer: Any) -> None:
        """Answer a gen call; nobody waits for the answer of a peer that reads nothing."""
        with suppress(PeerBusy):
            gen.reply(self.process, caller, answer)

    def send(self, to: Pid | Atom, message: Any) -> None:
        """Send as this process; dropped where the peer reads nothing."""
        with suppress(PeerBusy):
            self.runtime.send(self.process, to, message)
