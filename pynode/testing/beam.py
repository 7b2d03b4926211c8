"""Real Erlang and Elixir nodes for tests.

::

    with Epmd() as epmd, Beam("node1", project="elixir_side", epmd=epmd) as node1:
        assert node1.eval("1 + 1") == 2

A node is a process of its own, distributed on loopback, with an EPMD and a cookie that no other
test knows.  It is ready when :meth:`Beam.start` returns.  It ends with :meth:`Beam.stop` or
:meth:`Beam.kill`, and in any case with the process that started it.

Every call here is synchronous, so that any kind of test may use it.  A call that makes the node
wait for a Python node *in the same event loop* must not hold that loop up: use its async twin
(``aeval`` for ``eval``, ``arpc`` for ``rpc``, ``await_line`` for ``wait_for_line``).
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import selectors
import shlex
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pynode.config import has_long_host
from pynode.terms.atom import Atom
from pynode.testing import _control, _waiting
from pynode.testing._output import Output
from pynode.testing.errors import BeamFailed, BeamTimeout, EvalError
from pynode.testing.project import MixProject
from pynode.testing.release import Release

__all__ = ["Beam", "EpmdPort", "Language", "Shell"]

Language = Literal["elixir", "erlang"]

_LENGTH = struct.Struct(">I")
_ANSWER = struct.Struct(">IB")

# Settings of the caller's shell that would change what a test sees.
_NOT_INHERITED = frozenset(
    {
        "ELIXIR_ERL_OPTIONS",
        "ERL_AFLAGS",
        "ERL_EPMD_ADDRESS",
        "ERL_EPMD_PORT",
        "ERL_FLAGS",
        "ERL_LIBS",
        "ERL_ZFLAGS",
        "MIX_ENV",
    }
)

# In the environment of a node and of all that it starts; another value in each life.
_LIFE = "PYNODE_TEST_NODE"

_counter = itertools.count(1)


class EpmdPort(Protocol):
    """What can be given as ``epmd``: :class:`~pynode.testing.Epmd`, a fault network."""

    def port_for_new_node(self) -> int:
        """Return the port of the EPMD that a node about to start is to use."""


class Shell:
    """A process on the node that evaluates what it is given, as a console does.

    Variables, aliases and imports stay from one ``eval`` to the next, ``self()`` stays the
    same, and messages sent to it wait in its mailbox.  Evaluations of one shell run one after
    another; :meth:`Beam.shell` gives another one.  A shell that does not answer in time is
    killed, and its variables are lost; so are they when something linked to it takes it along.
    """

    def __init__(self, beam: Beam, name: str) -> None:
        self._beam = beam
        self._name = name

    def eval(
        self, code: str, /, *, timeout: float | None = 10.0, text: bool = False, **bindings: Any
    ) -> Any:
        """Evaluate ``code`` in the node's language and return its value as a Python value.

        ``bindings`` become variables: ``eval("node(pid)", pid=pid)``; in Erlang
        ``eval("node(Pid)", Pid=pid)``.  With ``text``, binaries that are UTF-8 come as str.

        Raises:
            EvalError: the code raised, threw or exited; ``str(error)`` is the node's own report.
            BeamTimeout: no value within ``timeout`` seconds.
            BeamFailed: the node is gone, or went meanwhile.
        """
        ident, future = self._submit(code, bindings)
        try:
            return self._beam._value(_waiting.block(future, timeout), text)
        except TimeoutError:
            raise self._late(ident, code, timeout, _waiting.hint()) from None

    async def aeval(
        self, code: str, /, *, timeout: float | None = 10.0, text: bool = False, **bindings: Any
    ) -> Any:
        """Like :meth:`eval`, and the event loop goes on.  Cancelled, it kills the shell."""
        ident, future = self._submit(code, bindings)
        try:
            return self._beam._value(await _waiting.pause(future, timeout), text)
        except TimeoutError:
            raise self._late(ident, code, timeout, "") from None
        except BaseException:
            if future.cancelled():
                self._drop(ident)
            raise

    def _submit(self, code: str, bindings: Mapping[str, Any]) -> tuple[int, Future[bytes]]:
        beam = self._beam
        given = [(Atom(name), value) for name, value in bindings.items()]
        request = (Atom(self._name), Atom(beam.language), code, given)
        return beam._request(_control.OP_EVAL, request)

    def _late(self, ident: int, code: str, timeout: float | None, hint: str) -> BeamTimeout:
        self._drop(ident)
        return self._beam._timeout(f"{code.strip()!r} had no value after {timeout} s{hint}")

    def _drop(self, ident: int) -> None:
        self._beam._forget(ident)
        self._beam._tell(_control.OP_DROP_SHELL, Atom(self._name))


class Beam(Shell):
    """One Erlang or Elixir node; also a context manager, and its own first :class:`Shell`.

    Args:
        name: ``"node1"`` or ``"node1@host"``; None: a new one.  A host with a dot makes a node
            of long names.
        language: what ``eval`` takes, and whether Elixir is loaded.
        project: a Mix project, by path or by the name of its folder (see
            :meth:`MixProject.find`); it is compiled where needed, and its application started.
        release: a :class:`Release` or its name; None: see :meth:`Release.find`.
        hidden: ``-hidden``.
        cookie: None: a random one.
        epmd: an :class:`Epmd`, a fault network, or a port on which one listens.
        host: the host part where ``name`` has none.
        arguments: more words for ``erl``, for example ``("-kernel", "net_ticktime", "8")``; a
            ``inet_dist_use_interface`` among them replaces the one of loopback.
        environment: variables to set for the node; None as a value unsets one.
        prefix: words before the command, such as ``("ip", "netns", "exec", "blue")``.
        near: where ``project`` and ``release`` are looked for; None: the working directory.
        mix_env: ``MIX_ENV`` of the project.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        language: Language = "elixir",
        project: str | os.PathLike[str] | None = None,
        release: Release | str | None = None,
        hidden: bool = False,
        cookie: str | None = None,
        epmd: EpmdPort | int,
        host: str = "localhost",
        arguments: Sequence[str] = (),
        environment: Mapping[str, str | None] | None = None,
        prefix: Sequence[str] = (),
        near: Path | None = None,
        mix_env: str = "dev",
    ) -> None:
        super().__init__(self, "main")
        if language not in ("elixir", "erlang"):
            raise ValueError(f"language is 'elixir' or 'erlang', not {language!r}")
        alive = name or f"beam{next(_counter)}"
        full = alive if "@" in alive else f"{alive}@{host}"
        #: The node's full name.
        self.name = Atom(full)
        self.language: Language = language
        self.hidden = hidden
        self.cookie = cookie or secrets.token_hex(16)
        self.epmd_port = epmd if isinstance(epmd, int) else epmd.port_for_new_node()
        self.release = release if isinstance(release, Release) else Release.find(release, near=near)
        self.project: MixProject | None = None
        #: Known once started: ``25``, and ``"1.14.0"`` or None where Elixir is not loaded.
        self.otp_release = 0
        self.elixir_version: str | None = None
        self._project_name = project
        self._near = near
        self._mix_env = mix_env
        self._arguments = tuple(arguments)
        self._environment = dict(environment or {})
        self._prefix = list(prefix)
        self._shells = itertools.count(1)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._clear()

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"<Beam {self.name} {self.language} {state}>"

    # ------------------------------------------------------------------ life

    def start(self, timeout: float = 30.0) -> Self:
        """Start the node and wait until it is distributed, its project's application started.

        A node that has ended can be started again; it is a new life of the same name.

        Raises:
            BeamMissing: the release has no such program.
            BeamFailed: it ended instead; its last words are in the message.
            BeamTimeout: it was not ready within ``timeout`` seconds (compiling does not count).
        """
        if self.is_running:
            raise BeamFailed(f"{self.name} is running already")
        self.kill()  # clears up after an earlier life
        program = "elixir" if self.language == "elixir" else "erl"
        self.release.command(program)  # says so now if there is none
        if self._project_name is not None and self.project is None:
            source = MixProject.find(self._project_name, near=self._near)
            self.project = MixProject.compile(source, self.release, environment=self._mix_env)
        self._clear()
        self._launch(program)
        try:
            answer = _waiting.block(self._ready, timeout)
            _, otp_release, elixir = self._decode(answer, text=True)
            self.otp_release = int("".join(map(chr, otp_release)))
            self.elixir_version = elixir
            if self.project is not None:
                self._start_project(self.project, timeout)
        except TimeoutError:
            problem = self._timeout(f"{self.name} was not ready after {timeout} s")
            self.kill()
            raise problem from None
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, timeout: float = 10.0) -> None:
        """End the node in its own good order (``init:stop/0``) and wait; kill it after that.

        Does nothing to a node that does not run.
        """
        if self.is_running:
            self._tell(_control.OP_STOP, None)
            self._join(timeout)
        self.kill()

    def kill(self) -> None:
        """End the node and its child processes at once (SIGKILL), and wait until they are gone.

        What its peers see is a closed connection, without a word.
        """
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            with suppress(BeamFailed):
                self._signal_group(signal.SIGKILL)
        self._join(None)
        process.wait()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def pause(self) -> None:
        """Freeze the node (SIGSTOP): it neither reads nor ticks, and nobody is told."""
        self._signal_group(signal.SIGSTOP)
        # Its threads stop a little later; or it has ended, which is left for others to see.
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, self.os_pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a frozen node go on (SIGCONT)."""
        self._signal_group(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Whether the operating system process is there (also while it is paused)."""
        return self._process is not None and self._process.poll() is None

    @property
    def os_pid(self) -> int:
        """The process id of the emulator."""
        if self._process is None:
            raise BeamFailed(f"{self.name} was not started")
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """What the process ended with (negative: by that signal), or None."""
        return self._process.poll() if self._process is not None else None

    def __enter__(self) -> Self:
        return self if self.is_running else self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()

    # ------------------------------------------------------------------ asking

    def shell(self) -> Shell:
        """Return a further shell: another process, with variables of its own."""
        return Shell(self, f"shell{next(self._shells)}")

    def rpc(
        self,
        module: str | Atom,
        function: str | Atom,
        arguments: Sequence[Any] = (),
        *,
        timeout: float | None = 10.0,
        text: bool = False,
    ) -> Any:
        """Apply a function of the node in a process of its own and return the value.

        ``rpc("erlang", "nodes")``, ``rpc("Elixir.Enum", "sum", [[1, 2]])``.  It does not go
        through the distribution, so it also works while the node is cut off.

        Raises:
            EvalError, BeamTimeout, BeamFailed: as :meth:`eval`.
        """
        ident, future = self._apply(module, function, arguments)
        try:
            return self._value(_waiting.block(future, timeout), text)
        except TimeoutError:
            self._forget(ident)
            problem = f"{module}:{function} had no value after {timeout} s{_waiting.hint()}"
            raise self._timeout(problem) from None

    async def arpc(
        self,
        module: str | Atom,
        function: str | Atom,
        arguments: Sequence[Any] = (),
        *,
        timeout: float | None = 10.0,
        text: bool = False,
    ) -> Any:
        """Like :meth:`rpc`, and the event loop goes on."""
        ident, future = self._apply(module, function, arguments)
        try:
            return self._value(await _waiting.pause(future, timeout), text)
        except TimeoutError:
            raise self._timeout(f"{module}:{function} had no value after {timeout} s") from None
        finally:
            self._forget(ident)

    # ------------------------------------------------------------------ output

    @property
    def output(self) -> list[str]:
        """The lines that the node has written so far, standard output and error together."""
        return self._output.lines()

    def last_words(self, count: int = 30) -> str:
        """Return the last ``count`` lines of the output as one text."""
        return self._output.tail(count)

    def wait_for_line(
        self, pattern: str | re.Pattern[str], *, timeout: float | None = 10.0, count: int = 1
    ) -> str:
        """Wait until the node has written a line with ``pattern`` in it, and return the line.

        A str is taken literally, a compiled expression is searched for.  Lines written before
        the call count too; with ``count=2`` it is the second such line that is waited for.

        Raises:
            BeamTimeout: not within ``timeout`` seconds; the last words are in the message.
            BeamFailed: the node ended without writing it.
        """
        try:
            return _waiting.block(self._output.line(pattern, count), timeout)
        except TimeoutError:
            raise self._no_line(pattern, timeout, _waiting.hint()) from None

    async def await_line(
        self, pattern: str | re.Pattern[str], *, timeout: float | None = 10.0, count: int = 1
    ) -> str:
        """Like :meth:`wait_for_line`, and the event loop goes on."""
        try:
            return await _waiting.pause(self._output.line(pattern, count), timeout)
        except TimeoutError:
            raise self._no_line(pattern, timeout, "") from None

    # ------------------------------------------------------------------ starting

    def _clear(self) -> None:
        self._output = Output()
        self._token = secrets.token_hex(16)
        self._ids = itertools.count(1)
        self._ready: Future[bytes] = Future()
        self._pending: dict[int, Future[bytes]] = {0: self._ready}

    def _launch(self, program: str) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        with theirs:
            command = [*self._prefix, *self.release.command(program, *self._words(theirs.fileno()))]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env=self._variables(),
                start_new_session=True,
            )
        self._thread = threading.Thread(
            target=self._read, args=(self._process, ours), name=f"beam {self.name}", daemon=True
        )
        self._thread.start()
        self._write(_control.SERVER.strip().encode())

    def _words(self, fd: int) -> list[str]:
        boot = _control.boot(self.language, fd)
        if self.language == "erlang":
            return ["-noinput", "-eval", boot]
        paths = [word for path in self._code_paths() for word in ("-pa", path)]
        return ["--no-halt", *paths, "-e", boot]

    def _code_paths(self) -> tuple[str, ...]:
        return self.project.code_paths if self.project is not None else ()

    def _variables(self) -> dict[str, str]:
        variables = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
        long_names = has_long_host(self.name.name)
        flags = [
            *("-name" if long_names else "-sname", self.name.name),
            *("-setcookie", self.cookie),
            *(["-hidden"] if self.hidden else []),
            # epmd runs already; and whatever the host's name resolves to, stay on loopback.
            *("-start_epmd", "false"),
            *([] if self._is_open() else ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]),
            # Several small nodes share few processors: do not spin while waiting for work.
            *("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"),
            *self._arguments,
        ]
        variables |= {
            _LIFE: self._token,
            "ERL_AFLAGS": shlex.join(flags),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_CRASH_DUMP_SECONDS": "0",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
        }
        if self.release.chrooted:
            variables |= {"HOME": "/tmp", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}  # noqa: S108
        for name, value in self._environment.items():
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
        return variables

    def _is_open(self) -> bool:
        """Whether it may listen on other addresses; of two settings, Erlang takes the first."""
        return bool(self._prefix) or "inet_dist_use_interface" in self._arguments

    def _start_project(self, project: MixProject, timeout: float) -> None:
        code = (
            "for file <- files, do: Application.put_all_env("
            "Config.Reader.read!(file, env: env, target: :host)); "
            "{:ok, _} = Application.ensure_all_started(application); nil"
        )
        # A shell of its own: a crash at the start of the application must not reach the user's.
        self.shell().eval(
            code,
            timeout=timeout,
            files=list(project.configuration),
            env=Atom(project.environment),
            application=Atom(project.application),
        )

    # ------------------------------------------------------------------ the control socket

    def _apply(
        self, module: str | Atom, function: str | Atom, arguments: Sequence[Any]
    ) -> tuple[int, Future[bytes]]:
        names = [word if isinstance(word, Atom) else Atom(word) for word in (module, function)]
        request = (Atom(self.language), *names, list(arguments))
        return self._request(_control.OP_RPC, request)

    def _request(self, operation: int, term: Any) -> tuple[int, Future[bytes]]:
        future: Future[bytes] = Future()
        with self._lock:
            ident = next(self._ids)
            self._pending[ident] = future
        try:
            self._send(operation, ident, term)
        except BaseException:
            self._forget(ident)
            raise
        return ident, future

    def _tell(self, operation: int, term: Any) -> None:
        if self.is_running:
            self._send(operation, 0, term)

    def _send(self, operation: int, ident: int, term: Any) -> None:
        from pynode import etf

        self._write(bytes((operation,)) + _LENGTH.pack(ident) + etf.encode(term))

    def _write(self, data: bytes) -> None:
        if self._socket is None:
            raise BeamFailed(f"{self.name} is not running", self.last_words())
        # Should the node be gone: the reading thread gives every waiting call the reason.
        with self._lock, suppress(OSError):
            self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def _forget(self, ident: int) -> None:
        with self._lock:
            self._pending.pop(ident, None)

    def _value(self, answer: bytes, text: bool) -> Any:
        value = self._decode(answer, text=text)
        if answer[_LENGTH.size] == _control.STATUS_VALUE:
            return value
        kind, reason, stack, report = value
        words = report if isinstance(report, str) else report.decode("utf-8", "replace")
        raise EvalError(str(kind), reason, stack, words)

    def _decode(self, answer: bytes, *, text: bool) -> Any:
        from pynode import etf

        return etf.decode(answer[_ANSWER.size :], text=text)

    # ------------------------------------------------------------------ the reading thread

    def _read(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        """Read answers and output until the node is gone; runs in a thread of its own."""
        assert process.stdout is not None
        parse = _Frames(self._answered)
        with selectors.DefaultSelector() as selector, process.stdout as pipe:
            selector.register(control, selectors.EVENT_READ, parse.feed)
            selector.register(pipe, selectors.EVENT_READ, self._output.feed)
            gone = False
            while selector.get_map():
                ready = selector.select(timeout=0.2 if gone else None)
                if gone and not ready:
                    break  # a child of the node holds its output open
                for key, _ in ready:
                    data = _read_some(key.fd)
                    if data:
                        key.data(data)
                        continue
                    selector.unregister(key.fileobj)
                    gone = True
            status = process.wait()
        _end_descendants(self._token)
        self._ended(status)

    def _answered(self, frame: bytes) -> None:
        ident, _ = _ANSWER.unpack_from(frame)
        with self._lock:
            future = self._pending.pop(ident, None)
        if future is not None and future.set_running_or_notify_cancel():
            future.set_result(frame)

    def _ended(self, status: int) -> None:
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        with self._lock:
            pending = list(self._pending.values())
            self._pending.clear()
        problem = f"{self.name} ended {how}"
        self._output.close(BeamFailed(problem, self.last_words()))
        for future in pending:
            if not future.done() and future.set_running_or_notify_cancel():
                future.set_exception(BeamFailed(problem, self.last_words()))

    def _join(self, timeout: float | None) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    def _signal_group(self, number: signal.Signals) -> None:
        # The node leads a process group of its own (start_new_session), and is not reaped yet
        # or poll() would have said so: the number cannot have passed to somebody else.
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
                return
        raise BeamFailed(f"{self.name} is not running", self.last_words())

    def _timeout(self, problem: str) -> BeamTimeout:
        return BeamTimeout(f"{self.name}: {problem}", self.last_words())

    def _no_line(
        self, pattern: str | re.Pattern[str], timeout: float | None, hint: str
    ) -> BeamTimeout:
        wanted = pattern if isinstance(pattern, str) else pattern.pattern
        return self._timeout(f"no line with {wanted!r} after {timeout} s{hint}")


class _Frames:
    """Cuts a byte stream into frames with 4-byte lengths."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            self._take(bytes(buffer[start + _LENGTH.size : end]))
            start = end
        del buffer[:start]


def _read_some(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except ConnectionResetError:
        return b""


def _end_descendants(token: str) -> None:
    """Kill the programs that a node started and left behind when it ended.

    A BEAM gives each a session of its own, and one that does not read its standard input stays
    for ever; what they all have is the node's environment.
    """
    marker = f"{_LIFE}={token}".encode()
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with suppress(OSError):
            with open(f"/proc/{entry}/environ", "rb") as file:
                found = marker in file.read().split(b"\0")
            if found:
                os.kill(int(entry), signal.SIGKILL)
