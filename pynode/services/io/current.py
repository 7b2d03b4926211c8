"""``puts`` and ``io_stream``: output of whoever acts, without waiting.

In a process, in the tasks that it starts, and in its blocking thread they act as that process.
Outside of any they act as ``node.main`` of the one node that runs in this program; where there are
several, ``node.io`` says which.
"""

from __future__ import annotations

from typing import Any

from pynode.process.process import current_process

from . import api
from .api import Io
from .client import Device
from .stream import IoStream

__all__ = ["io_stream", "puts"]


def puts(*values: Any, device: Device = None) -> None:
    """Write ``values`` with blanks between them and a newline, without waiting (``IO.puts/2``).

    Order and loss are those of signals: two calls of one process are written in their order, and a
    device that is gone, or refuses, is not told.  To know that it is written, ``await
    node.io.puts(...)``.

    Args:
        values: a str is written as it is, a binary as UTF-8, an atom by its name, the rest as
            ``str()`` has it.
        device: a pid, a name, ``(name, node)``; None: the group leader of the acting process.

    Raises:
        NameError_: a name that is not registered on this node.
        RuntimeError: outside of processes, unless just one node runs in this program.
    """
    _io().send(device, api.text_of_values(values))


def io_stream(device: Device = None) -> IoStream:
    """Return a device as a text file, for ``print(..., file=...)``; see :class:`IoStream`.

    Raises:
        RuntimeError: outside of processes, unless just one node runs in this program.
    """
    return _io().stream(device)


def _io() -> Io:
    process = current_process()
    return api.only_one() if process is None else api.Io(process.runtime)
