"""Timers of processes: ``send_after/3``, ``start_timer/3``, ``cancel_timer``, ``read_timer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynode.process.words import TIMEOUT
from pynode.terms import Atom, Pid, Reference, copy_term

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime
    from pynode.process.timers import Timer

__all__ = ["UserTimers"]


class UserTimers:
    """The messages that are to be sent later."""

    __slots__ = ("_runtime", "_table")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._table: dict[Reference, Timer] = {}

    def start(self, seconds: float, dest: Pid | Atom, message: Any, *, wrapped: bool) -> Reference:
        """Send ``message``, ``wrapped`` as ``{timeout, Ref, message}``, in ``seconds``."""
        runtime = self._runtime
        message = copy_term(message)
        ref = runtime.make_ref()
        if wrapped:
            message = (TIMEOUT, ref, message)
        target: Process | Atom | None = dest if type(dest) is Atom else None
        if type(dest) is Pid:
            if not runtime.is_own(dest):
                raise ValueError(f"a timer needs a process of this node, not {dest!r}")
            target = runtime.local(dest)
            if target is None:
                return ref  # gone already: such a timer is cancelled by the end of its process
            target.extra.on_death[ref] = lambda _: self.cancel(ref)
        assert target is not None  # noqa: S101
        timer = runtime.timers.after(seconds, self._fire, ref, target, message)
        self._table[ref] = timer
        return ref

    def _fire(self, ref: Reference, target: Process | Atom, message: Any) -> None:
        del self._table[ref]
        process = self._runtime.names.find(target) if type(target) is Atom else target
        if process is not None:
            if process is target:
                process.extra.on_death.pop(ref, None)
            self._runtime.tell(process, message)

    def cancel(self, ref: Reference) -> float | None:
        """Cancel; return the seconds that were left, None if there is no such timer."""
        timer = self._table.pop(ref, None)
        if timer is None:
            return None
        left = timer.left
        process = timer.args[1]
        timer.cancel()
        if type(process) is not Atom:
            process.extra.on_death.pop(ref, None)
        return left

    def read(self, ref: Reference) -> float | None:
        """Return the seconds left, None if there is no such timer."""
        timer = self._table.get(ref)
        return None if timer is None else timer.left
