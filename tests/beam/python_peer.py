"""A Python node in an OS process of its own, which a test can kill, or put into a namespace.

Run as a program it is that node; :class:`PythonPeer` starts it, and has it evaluate expressions, as
:class:`pynode.testing.Beam` does with a BEAM.  Both speak over a pair of pipes, in the external
term format, so that the node can be asked while it is cut off from all others.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Awaitable, Sequence
from typing import Any, BinaryIO

from pynode import CallExit, Exit, GenServer, Node, etf
from pynode.process.process import Process
from pynode.terms import Atom, Pid, atom, charlist

__all__ = ["PythonPeer"]

#: Seconds that an evaluation may take.
SECONDS = 30.0
_LENGTH = struct.Struct(">I")


class PythonPeer:
    """Starts, asks and kills the node.

    Args:
        name: ``"py@host"``.
        options: of :class:`pynode.Node`, as far as JSON has them.
        prefix: words before the command, such as ``("ip", "netns", "exec", "blue")``.
    """

    def __init__(self, name: str, *, prefix: Sequence[str] = (), **options: Any) -> None:
        self.name = Atom(name)
        self._options = options
        self._prefix = list(prefix)
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return f"<PythonPeer {self.name}>"

    def start(self) -> None:
        """Start it and wait until the node runs; after :meth:`kill`, in a new life."""
        words = [sys.executable, __file__, str(self.name), json.dumps(self._options)]
        self._process = subprocess.Popen(
            [*self._prefix, *words],
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.eval("node.name") == self.name

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()

    def eval(self, code: str, **bindings: Any) -> Any:
        """Return the value of an expression, which may ``await``; ``node`` is the node."""
        process = self._process
        assert process is not None, f"{self.name} does not run"
        assert process.stdin is not None
        assert process.stdout is not None
        with self._turn:
            request = (code.encode(), [(Atom(key), value) for key, value in bindings.items()])
            _write(process.stdin, request)
            answer = _read(process.stdout)
        assert answer is not None, f"{self.name} has ended"
        kind, value = answer
        assert kind == atom.ok, f"{code} on {self.name}: {value.decode()}"
        return value

    async def aeval(self, code: str, **bindings: Any) -> Any:
        """As :meth:`eval`, and the event loop goes on."""
        return await asyncio.to_thread(self.eval, code, **bindings)


# --------------------------------------------------------------------------- on either side


def _write(pipe: BinaryIO | Any, term: Any) -> None:
    data = etf.encode(term)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def _read(pipe: BinaryIO | Any) -> Any:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return etf.decode(pipe.read(*_LENGTH.unpack(head)))


# --------------------------------------------------------------------------- in the program


async def mortal(process: Process) -> None:
    """Live until told ``{die, Reason}``; keep what else comes."""
    kept: list[Any] = []
    async for message in process:
        match message:
            case (atom.die, reason):
                raise Exit(reason)
            case (atom.kept, to):
                process.runtime.send(process, to, (process.pid, kept))
            case _:
                kept.append(message)


async def watcher(process: Process, pid: Pid) -> None:
    """Link to ``pid`` and monitor it; keep what comes of it, in order."""
    runtime = process.runtime
    kept: list[Any] = []
    process.trap_exit = True
    runtime.link(process, pid)
    runtime.monitor(process, pid)
    async for message in process:
        match message:
            case (atom.EXIT, _, reason):
                kept.append((atom.EXIT, reason))
            case (atom.DOWN, _, _, _, reason):
                kept.append((atom.DOWN, reason))
            case (atom.kept, to):
                runtime.send(process, to, (process.pid, kept))


class Echo(GenServer):
    """Answers calls with the name of this node and the request."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        return (self.node.name, request)


async def _kept(node: Node, pid: Pid) -> Any:
    """Return what :func:`mortal` or :func:`watcher` has kept."""
    node.send(pid, (atom.kept, node.main.pid))
    _, kept = await node.main.receive(lambda message: message[0] == pid, timeout=10)
    return kept


async def _reason_of(call: Awaitable[Any]) -> Any:
    """Return the reason that a call exits with."""
    try:
        return (atom.replied, await call)
    except CallExit as error:
        return error.reason


async def _main(name: str, options: dict[str, Any]) -> None:
    async with Node(name, **options) as node:
        await node.start(Echo, name="echo")
        names: dict[str, Any] = {
            "atom": atom,
            "charlist": charlist,
            "kept": lambda pid: _kept(node, pid),
            "mortal": mortal,
            "node": node,
            "reason_of": _reason_of,
            "watcher": watcher,
        }
        while (request := await asyncio.to_thread(_read, sys.stdin.buffer)) is not None:
            _write(sys.stdout.buffer, await _evaluate(request, names))


async def _evaluate(request: Any, names: dict[str, Any]) -> Any:
    code, bindings = request
    try:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compiled = compile(code.decode(), "<test>", "eval", flags=flags, dont_inherit=True)
        value = eval(compiled, names | {str(key): value for key, value in bindings})
        async with asyncio.timeout(SECONDS):
            if inspect.isawaitable(value):
                value = await value
        return (atom.ok, value)
    except Exception as error:  # told, not raised: this program goes on
        return (atom.error, f"{type(error).__name__}: {error}".encode())


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], json.loads(sys.argv[2])))
