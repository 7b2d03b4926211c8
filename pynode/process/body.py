"""What a process does: a coroutine function, or an object of this protocol.

A body object is how servers plug in without a coroutine that waits: between two messages such a
process is its mailbox and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from pynode.shown import shown

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["Body", "CoroutineFunction", "cannot_run"]


class Body(Protocol):
    """The three callbacks of a process, never two of them at the same time.

    Each runs with the process as the current one (:func:`pynode.process.current.self_`), in the
    process's own :class:`contextvars.Context`.  What :meth:`start` and :meth:`message` raise ends
    the process: :class:`pynode.errors.Exit` with its reason, any other exception as
    :func:`pynode.process.reasons.crash_reason` writes it.
    """

    def start(self, process: Process) -> Coroutine[Any, Any, object] | None:
        """Begin.  Called once, on the run queue, before any message.

        A coroutine that is returned is stepped to its end before the first message is taken.
        """

    def message(self, process: Process, message: Any) -> Coroutine[Any, Any, object] | None:
        """Take one message, in the order of arrival.

        A coroutine that is returned is stepped to its end before the next message is taken;
        meanwhile it may ``await process.receive(...)``, which takes from the same mailbox.
        """

    def terminated(self, process: Process, reason: Any) -> None:
        """Clean up.  Called once, synchronously, when the process is dead for everyone.

        Signals of a dead process are refused.  A coroutine of this body may still be unwinding.
        Exceptions are logged and change nothing.
        """


#: ``async def body(process, *args)``; its return ends the process with reason ``normal``.  A plain
#: function does as well if it is quick, and returns None.
CoroutineFunction: TypeAlias = Callable[..., Coroutine[Any, Any, object]]

#: ``inspect.CO_ITERABLE_COROUTINE``: what ``types.coroutine`` has made of a generator function.
_CO_ITERABLE_COROUTINE: Final = 0x100


def cannot_run(process: Process, callback: Any, value: Any) -> TypeError | None:
    """Return the error that ``value``, which ``callback`` returned, is; None: it can be run.

    What can be run is a coroutine.  A function that returns None has ended, and is no error; of
    another value its author expects that something becomes of it.
    """
    if type(value) is CoroutineType or isinstance(value, Coroutine):
        return None
    if type(value) is GeneratorType and value.gi_code.co_flags & _CO_ITERABLE_COROUTINE:
        return None
    name = getattr(callback, "__qualname__", None) or repr(callback)
    if process.body is not None:
        return TypeError(
            f"{name} returned {shown(value)!r}: a process's callback returns None or a coroutine"
        )
    return TypeError(
        f"{name} returned {shown(value)!r}: what a process runs is async def function(process, "
        "...), without a yield; of one that is not async nothing but None is taken"
    )
