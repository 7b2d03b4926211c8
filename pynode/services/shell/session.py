"""One session: the process that a client is linked to, and its read-eval-print loop.

The client's group leader is the terminal: the session asks it for lines and writes to it by the
I/O protocol.  Its exit, or the loss of its node, ends the session, whatever runs; the exit of the
session's process tells the client.

Source: group.erl of OTP 25, 27 and 29; ``IEx.Server``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pynode
from pynode.errors import DeviceError, NodeDown, ProcessDead
from pynode.process import current
from pynode.services.io import client
from pynode.terms import Atom, Pid, atom

from .evaluator import Evaluator
from .names import namespace
from .output import Output
from .streams import ROUTING, Terminal, terminal

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

    from .service import Shell

__all__ = ["Session"]

_log = logging.getLogger("pynode.services")

_EXIT: Final = Atom("EXIT")
_DOWN: Final = Atom("DOWN")
_INTERRUPT: Final = Atom("interrupt")
_INTERRUPTED: Final = Atom("interrupted")
_TERMINATED: Final = Atom("terminated")
#: Reading may fail so often in a row, and then the terminal is given up.
_FAILURES: Final = 5


class Session:
    """One open shell; :meth:`run` is the body of its process.

    Args:
        shell: what it was asked of.
        runtime: of the node.
        leader: the client's terminal.
        options: those of IEx; ``on_eof`` is ``halt`` where the client is there for this alone.
        sync: ``{Module, Function, [Parent, Ref]}``, what an iex wants done at the beginning.
    """

    def __init__(
        self, shell: Shell, runtime: Runtime, leader: Pid, options: dict[Any, Any], sync: Any
    ) -> None:
        self.leader = leader
        self.names: dict[str, Any] = {}
        self._shell = shell
        self._runtime = runtime
        self._sync = sync
        self._halts = options.get(Atom("on_eof")) == Atom("halt")

    async def run(self, process: Process) -> None:
        """Read, evaluate and print, until the client, the user or the node wants no more."""
        self._process = process
        self._output = Output(process, self.leader)
        streams = Terminal(self._output.write, self._ask)
        terminal.set(streams)
        self.names = namespace(process, streams, self._shell.names or {})
        title = f"shell {process.pid.id}"
        self._evaluator = Evaluator(process, self._output, self.names, title)
        self._shell.sessions.append(self)
        _log.info("a shell for %s begins: %r", self.leader.node, process)
        ROUTING.begin()
        ref = self._runtime.monitor(process, self.leader)
        loop = self._runtime.loop
        control = loop.create_task(self._control(ref), name=f"pynode shell {process.pid!r} control")
        reading = loop.create_task(self._read_eval_print(), name=f"pynode shell {process.pid!r}")
        try:
            await asyncio.wait({control, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            streams.closed = True
            self._shell.sessions.remove(self)
            ROUTING.end()
            self._evaluator.close()
            self._output.close()
            control.cancel()
            reading.cancel()
            await asyncio.wait({control, reading})
            _log.info("the shell for %s is over: %r", self.leader.node, process)
        for task in (control, reading):
            if not task.cancelled():
                task.result()  # a fault of ours ends the process with its traceback

    # ------------------------------------------------------------------ signals

    async def _control(self, ref: Any) -> None:
        """Return when the client, or the node, wants the session to end."""

        def is_control(message: Any) -> bool:
            match message:
                case (word, Pid() as sender, reason) if word == _EXIT:
                    return reason == _INTERRUPT or sender in (self.leader, self._runtime.main.pid)
                case (word, found, _, _, _) if word == _DOWN:
                    return bool(found == ref)
            return False

        while True:
            message = await self._process.receive(is_control)
            if message[0] == _DOWN or message[2] != _INTERRUPT:
                return
            self._evaluator.interrupt()

    # ------------------------------------------------------------------ the loop

    async def _read_eval_print(self) -> None:
        with suppress(DeviceError, NodeDown, ProcessDead):  # the terminal, or this process, is gone
            await self._greet()
            if await self._repeat():
                await self._output.drain()
                if self._halts:
                    self._halt_client()

    async def _greet(self) -> None:
        """Do what an iex waits for, and say who is here."""
        match self._sync:
            case (_, _, [Pid() as parent, ref]):
                self._runtime.send(self._process, parent, (Atom("begin"), ref, self._process.pid))
                done = (Atom("done"), ref)
                await self._process.receive(lambda message: bool(message == done))
        python = sys.version.split()[0]
        self._output.write(
            f"Python {python}, pynode {pynode.__version__}, in {self._runtime.node_name}. "
            "await works here; exit() ends the shell, not the node.\n"
        )

    async def _repeat(self) -> bool:
        """Evaluate cell after cell, until the user leaves, or (False) cannot be read from."""
        name = self._runtime.node_name
        lines: list[str] = []
        failures = 0
        while True:
            await self._output.drain()
            prompt = f"({name})... " if lines else f"({name})>>> "
            try:
                line = await client.get_line(self._process, self.leader, prompt)
            except DeviceError as error:
                if error.reason == _TERMINATED:
                    return False
                if error.reason != _INTERRUPTED:
                    failures += 1
                    if failures == _FAILURES:
                        return False
                    self._output.write(f"{error}\n")
                else:
                    self._output.write("KeyboardInterrupt\n")
                lines.clear()
                continue
            failures = 0
            if not isinstance(line, str):
                return True
            lines.append(line.rstrip("\r\n"))
            try:
                if not await self._evaluator.run("\n".join(lines)):
                    lines.clear()
            except SystemExit:
                if not self._halts:
                    self._output.write("To leave this terminal: Ctrl-G, and q.\n")
                return True

    def _halt_client(self) -> None:
        """End the client's node, which was started for this shell, as its end of input would."""
        args = [atom.erlang, Atom("halt"), [0]]
        ref = self._runtime.spawn_request(
            self._process, self.leader.node, "erpc", "execute_cast", args
        )
        self._runtime.spawn_request_abandon(self._process, ref)

    # ------------------------------------------------------------------ input for a cell

    def _ask(self, prompt: str) -> str:
        """Read a line for the code of a cell, in the session's thread."""
        if threading.get_ident() == self._runtime.thread_id:
            raise RuntimeError(
                "input in a cell with await would hold the node's loop up; "
                "read it in a cell of its own first"
            )

        async def ask() -> str | Atom:
            await self._output.drain()
            try:
                return await client.get_line(self._process, self.leader, prompt)
            except DeviceError as error:
                if error.reason == _INTERRUPTED:
                    return _INTERRUPTED
                raise

        line = current.wait(ask())
        if isinstance(line, str):
            return line
        if line == _INTERRUPTED:
            raise KeyboardInterrupt
        return ""
