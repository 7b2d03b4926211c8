"""The command ``pynode``: one role of the Publisher/Subscriber cluster, or a question to a node.

``main`` is what the installed command and ``python -m pynode`` call.  It owns the process: it
sets the handlers of SIGINT and SIGTERM and configures logging, so it is not for calling from a
program; :func:`pynode.cli.parser.parse` and :mod:`pynode.cli.commands` are.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1, 2, 130 or 143.

    0 is success, 1 a failure, 2 a usage error; 130 and 143 follow Ctrl-C and SIGTERM.
    """
    # Before and after the event loop there is nothing to leave; a KeyboardInterrupt here could
    # only become a traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _quit)
    # Imported here, after the handlers: most of the time of a short command is importing.
    from pynode.cli import parser, running

    try:
        options = parser.parse(sys.argv[1:] if arguments is None else arguments)
    except SystemExit as done:  # --help, --version, and usage errors; all is printed
        return int(done.code or 0)
    return running.run(options)


def _quit(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)
