"""``c:i/0`` and ``c:regs/0``: lists of processes, printed where the caller's output goes.

Source: c.erl.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.status import pid_text
from pynode.process.spawned import name_of_mfa
from pynode.services.io.api import Io
from pynode.terms import atom

from .facts import ITEMS, current_function, named_after

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["PrintedFunctions"]

_QUEUE_LEN: Final = ITEMS[atom.message_queue_len]
_HEAP: Final = ITEMS[atom.heap_size]


class PrintedFunctions:
    """The printing functions of one node."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._io = Io(runtime)

    def table(self) -> dict[tuple[str, str, int], Callable[..., Any]]:
        """Return the functions."""
        return {("c", "i", 0): self._i, ("c", "regs", 0): self._regs}

    async def _i(self) -> Any:
        """``c:i/0``: two lines for each process."""
        rows = [("Pid", "Initial Call", "Heap", "Reds", "Msgs")]
        rows.append(("Registered", "Current Function", "Stack", "", ""))
        for process in self._runtime.processes():
            rows.append((*_who(process), str(_HEAP(process)), "0", str(_QUEUE_LEN(process))))
            name = "" if process.name is None else str(process.name)
            rows.append((name, name_of_mfa(*current_function(process)), "0", "", ""))
        return await self._print(rows, (21, 33, 8, 8, 4))

    async def _regs(self) -> Any:
        """``c:regs/0``: one line for each registered process."""
        rows = [("Name", "Pid", "Initial Call", "Reds", "Msgs")]
        for name in sorted(self._runtime.registered(), key=str):
            process = self._runtime.names.find(name)
            if process is not None:
                rows.append((str(name), *_who(process), "0", str(_QUEUE_LEN(process))))
        heading = f"\n** Registered procs on node {self._runtime.node_name} **\n"
        return await self._print(rows, (21, 12, 25, 12, 4), heading)

    async def _print(
        self, rows: Iterable[tuple[str, ...]], widths: tuple[int, ...], heading: str = ""
    ) -> Any:
        lines = []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append(" ".join(cells).rstrip() + "\n")
        await self._io.put_chars(heading + "".join(lines))
        return atom.ok


def _who(process: Process) -> tuple[str, str]:
    return pid_text(process.pid), name_of_mfa(*named_after(process))
