"""The remote shell without a terminal: a client that a test scripts, on the same runtime."""

from __future__ import annotations

import asyncio
import io
import linecache
import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pynode.errors import Exit
from pynode.process import Process, Runtime
from pynode.services.shell import Shell, output
from pynode.services.shell.completion import expand
from pynode.services.shell.streams import Terminal, terminal
from pynode.terms import Atom, Pid, atom, charlist, charlist_text
from pynode.testing import eventually

ME = Atom("py@test")
PROMPT = "(py@test)>>> "
MORE = "(py@test)... "
DEADLINE = 20.0


class Program:
    """Stands for the node."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.services = None

    def touch(self) -> str:
        self.threads.append(threading.get_ident())
        return "touched"

    async def later(self) -> str:
        return "later"


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    made = Runtime(ME, 7)
    made.node = Program()
    yield made
    await made.stop(5)
    assert not any(made.pending().values()), made.pending()


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def shell(runtime: Runtime, released: threading.Event) -> Shell:
    made = Shell(runtime)
    made.enable({"answer": 42, "released": released})
    return made


class Client:
    """A terminal: shows what it is sent, and hands out the lines that are typed."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.screen = ""
        self.lines: deque[Any] = deque()
        self.asked: tuple[Pid, Any] | None = None
        self.takes = True
        #: Lives on when the node stops, until it is killed.
        self.stays = False
        self.held: list[tuple[Pid, Any]] = []
        self.messages: list[Any] = []
        self.process: Process = runtime.spawn(self, trap_exit=True)
        self.shell: Pid

    def start(self, process: Process) -> None:
        """Body."""

    def message(self, process: Process, message: Any) -> None:
        """Body: I/O requests, and what else comes."""
        match message:
            case (atom.io_request, Pid() as sender, ref, (atom.put_chars, atom.unicode, text)):
                self.screen += text.decode()
                if self.takes:
                    self.reply(sender, ref, atom.ok)
                else:
                    self.held.append((sender, ref))
            case (atom.io_request, Pid() as sender, ref, (atom.get_line, atom.unicode, prompt)):
                self.screen += prompt.decode()
                self.asked = sender, ref
                self.hand_out()
            case (_, _, atom.shutdown) if not self.stays:
                raise Exit(atom.shutdown)
            case _:
                self.messages.append(message)

    def terminated(self, process: Process, reason: Any) -> None:
        """Body."""

    def reply(self, to: Pid, ref: Any, answer: Any) -> None:
        self.runtime.send(self.process, to, (atom.io_reply, ref, answer))

    def hand_out(self) -> None:
        if self.asked is not None and self.lines:
            (sender, ref), self.asked = self.asked, None
            line = self.lines.popleft()
            if isinstance(line, str):
                self.screen += line + "\n"
                line = charlist(line + "\n")
            self.reply(sender, ref, line)

    # ------------------------------------------------------------------ for the tests

    async def open(self, module: str = "shell", *args: Any) -> Process:
        """Ask for a shell, as a spawned process with this terminal as group leader does."""
        self.shell = await self.ask(module, "start", *args)
        self.runtime.link(self.process, self.shell)
        found = self.runtime.local(self.shell)
        assert found is not None
        return found

    async def ask(self, module: str, function: str, *args: Any) -> Any:
        entry = self.runtime.resolver.entry(Atom(module), Atom(function), len(args))
        assert entry is not None
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def run(process: Process) -> None:
            if entry.blocking:
                answer.set_result(await process.run_blocking(entry.function, *args))
            else:
                answer.set_result(entry.function(*args))

        self.runtime.spawn(run, group_leader=self.process.pid)
        return await asyncio.wait_for(answer, DEADLINE)

    def type(self, *lines: Any) -> None:
        self.lines += lines
        self.hand_out()

    async def shows(self, text: str) -> None:
        """Wait for a text on the screen, and forget what stands before."""
        await eventually(lambda: text in self.screen, timeout=DEADLINE)
        self.screen = self.screen.partition(text)[2]

    async def run(self, *lines: str) -> str:
        """Type lines, and return what is written until the next prompt for a new cell."""
        await eventually(lambda: self.asked is not None, timeout=DEADLINE)
        self.screen = ""
        self.type(*lines)
        await eventually(lambda: self.screen.endswith(PROMPT) and not self.lines, timeout=DEADLINE)
        text = self.screen.replace(PROMPT, "")
        for line in lines:
            text = text.replace(f"{line}\n", "", 1)
        return text.replace(MORE, "")

    def interrupt(self) -> None:
        self.runtime.exit(self.process, self.shell, atom.interrupt)

    async def ended(self) -> Any:
        """Return the reason with which the shell has ended."""
        found = (Atom("EXIT"), self.shell)
        await eventually(lambda: any(each[:2] == found for each in self.messages), timeout=DEADLINE)
        return next(each[2] for each in self.messages if each[:2] == found)


@pytest.fixture
async def client(runtime: Runtime, shell: Shell) -> AsyncIterator[Client]:
    made = Client(runtime)
    before = sys.stdin, sys.stdout, sys.stderr
    yield made
    await runtime.stop(5)
    assert not shell.sessions
    assert (sys.stdin, sys.stdout, sys.stderr) == before


# --------------------------------------------------------------------------- what is evaluated


async def test_a_session_says_who_is_there_and_asks(client: Client) -> None:
    await client.open()
    await client.shows("in py@test.")
    await client.shows(PROMPT)


CELLS = [
    (["1 + 1"], "2\n"),
    (["None"], ""),
    ([""], ""),
    (["# nothing"], ""),
    (["x = 5; x; x + 1"], "5\n6\n"),
    (["for i in range(2): i", ""], "0\n1\n"),
    (["def f(x):", "    'no value to show'", "    return x * 2", "", "f(21)"], "42\n"),
    (["class A:", "    5", "", "A.__name__"], "'A'\n"),
    (["'''a", "b'''"], "'a\\nb'\n"),
    (["if answer:", "    'yes'", "else:", "    'no'", ""], "'yes'\n"),
    (["'grün \U0001f600'"], "'grün \U0001f600'\n"),
    (["6 * 7", "_ + 1"], "42\n43\n"),
    (["answer"], "42\n"),
    (["await node.later()"], "'later'\n"),
    (["await node.later(); 5", "_"], "'later'\n5\n5\n"),
    (["[await node.later() for _ in range(2)]"], "['later', 'later']\n"),
    (["if True:", "    await node.later()", ""], "'later'\n"),
    (["async def g():", "    return await node.later()", "", "await g()"], "'later'\n"),
    (["print('a', end=''); print('b')"], "ab\n"),
    (["import sys; print('wrong', file=sys.stderr)"], "wrong\n"),
    (["from __future__ import annotations", "def f(x: Missing): 0", "", "f.__annotations__"], None),
    (["__name__"], "'__console__'\n"),
    (["'\\ud800'"], "'\\ud800'\n"),
    (["print('\\ud800')"], "\\ud800\n"),
    (["exit"], "exit() ends this shell; the node goes on\n"),
    (["'\\d'"], None),
]


async def test_cells(client: Client) -> None:
    await client.open()
    text = ""
    for lines, expected in CELLS:
        text = await client.run(*lines)
        assert "Traceback" not in text, text
        if expected is not None:
            assert text == expected, lines
    assert "SyntaxWarning" in text or "DeprecationWarning" in text
    assert await client.run("f.__annotations__") == "{'x': 'Missing'}\n"


async def test_errors_show_the_cell_and_nothing_of_ours(client: Client) -> None:
    process = await client.open()
    await client.run("def f(x):", "    return 1 / x", "")
    number = process.pid.id
    text = await client.run("f(0)")
    assert text.startswith("Traceback (most recent call last):\n  File ")
    assert f'File "<shell {number} 2>", line 1, in <module>\n    f(0)\n' in text
    assert f'File "<shell {number} 1>", line 2, in f\n    return 1 / x\n' in text
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert text.count("File") == 2
    text = await client.run("await node.later(); f(0)")
    assert text.count("File") == 2
    assert f'File "<shell {number} 3>", line 1, in <module>\n    await node.later(); f(0)\n' in text
    text = await client.run("send('nobody', 1)")
    assert text.count("File") == 1
    assert text.endswith("NameError_: nobody is not registered\n")
    text = await client.run(
        "try: f(0)", "except ZeroDivisionError as e: raise KeyError(1) from e", ""
    )
    assert text.count("Traceback") == 2
    assert text.count("File") == 3
    text = await client.run("await receive(timeout=0)")
    assert text.count("File") == 1
    assert "TimeoutError" in text


async def test_syntax_errors_have_a_caret_and_no_traceback(client: Client) -> None:
    await client.open()
    text = await client.run("x = = 2")
    assert "    x = = 2\n        ^\nSyntaxError: invalid syntax\n" in text
    assert "Traceback" not in text
    assert "was never closed" not in await client.run("(1,", "2)")
    assert "IndentationError" in await client.run("  x = 1")
    assert "source code string cannot contain null bytes" in await client.run("x = '\0'")
    assert "outside" in await client.run("return 5")
    assert await client.run("1") == "1\n"


async def test_what_is_shown_may_fail(client: Client) -> None:
    await client.open()
    await client.run("class Bad:", "    def __repr__(self): raise KeyError('no repr')", "")
    for line in ("Bad()", "await node.later(); Bad()"):
        assert (await client.run(line)).endswith("KeyError: 'no repr'\n")
    await client.run(
        "class Worse(Exception):", "    def __str__(self): raise KeyError('no str')", ""
    )
    assert "Worse" in await client.run("raise Worse")
    assert await client.run("1") == "1\n"


async def test_a_coroutine_that_is_not_awaited_says_so(client: Client) -> None:
    await client.open()
    assert "write await before it" in await client.run("node.later()")
    assert await client.run("await _") == "'later'\n"


async def test_what_ends_a_program_elsewhere_does_not_end_this_one(client: Client) -> None:
    await client.open()
    for line in ("raise KeyboardInterrupt", "raise GeneratorExit", "raise pynode.Exit('x')"):
        name = line.split()[1].split("(")[0].rpartition(".")[2]
        assert name in await client.run(line)
        assert name in await client.run(f"await node.later(); {line}")
    assert await client.run("1") == "1\n"


# --------------------------------------------------------------------------- as a process


async def test_all_cells_are_one_process(client: Client, runtime: Runtime) -> None:
    process = await client.open()
    assert await client.run("self_()") == f"{process.pid!r}\n"
    assert await client.run("(await node.later(), self_())[1]") == f"{process.pid!r}\n"
    await client.run("send(self_(), 'one'); send(self_(), atom.two)")
    assert await client.run("await receive()") == "b'one'\n"
    assert await client.run("flush()") == f"{atom.two!r}\n"
    assert await client.run("flush()") == ""
    await client.run("register('prompt')")
    assert runtime.whereis("prompt") == process.pid
    assert "write await" in await client.run("await node.later(); wait(node.later())")
    assert "write await" in await client.run("await node.later(); flush()")
    assert "SystemExit" in await client.run(
        "async def leave(): raise SystemExit",
        "",
        "try: wait(leave())",
        "except SystemExit as e: repr(e)",
        "",
    )
    assert await client.run("wait(node.later())") == "'later'\n"


async def test_exits_that_it_traps_are_messages_for_the_user(client: Client) -> None:
    await client.open()
    await client.run("async def die(process): raise pynode.Exit(atom.broken)", "")
    await client.run("pid = spawn_link(die)")
    assert await client.run("(await receive())[2] == atom.broken") == "True\n"


async def test_plain_methods_of_the_node_are_called_on_the_loop(
    client: Client, runtime: Runtime
) -> None:
    await client.open()
    await client.run("import threading")
    assert await client.run("node.touch()", "await node.later(); node.touch()") == (
        "'touched'\n'later'\n'touched'\n"
    )
    assert runtime.node.threads == [threading.get_ident()] * 2
    assert await client.run("threading.get_ident()") != f"{threading.get_ident()}\n"
    assert await client.run("on_loop(threading.get_ident)") == f"{threading.get_ident()}\n"
    await client.run("node.services = 5")
    assert runtime.node.services == 5
    assert await client.run("'touch' in dir(node), 'Program' in repr(node)") == "(True, True)\n"


async def test_a_cell_that_computes_leaves_the_loop_alone(client: Client) -> None:
    await client.open()
    client.type("import time", "end = time.monotonic() + 0.5")
    client.type("while time.monotonic() < end: pass", "", "'done'")
    turns = 0
    while not client.screen.endswith(f"'done'\n'done'\n{PROMPT}"):
        await asyncio.sleep(0.005)
        turns += 1
        assert turns < 10_000
    assert turns > 10


# --------------------------------------------------------------------------- interrupts


async def busy(client: Client, *lines: str) -> None:
    """Type what does not end, and wait until it runs."""
    await eventually(lambda: client.asked is not None, timeout=DEADLINE)
    client.screen = ""
    client.type(*lines)
    await eventually(lambda: "\nrunning\n" in client.screen, timeout=DEADLINE)


@pytest.mark.parametrize(
    "lines",
    [
        ["print('running')", "while True: pass", ""],
        ["await node.later(); print('running'); await __import__('asyncio').sleep(1000)"],
        ["print('running'); wait(__import__('asyncio').sleep(1000))"],
        ["print('running'); wait(receive())"],
        ["print('running')", "while True: print('x' * 1000)", ""],
    ],
    ids=["computing", "awaiting", "waiting", "receiving", "printing"],
)
async def test_an_interrupt_stops_what_runs(client: Client, lines: list[str]) -> None:
    await client.open()
    await busy(client, *lines)
    await eventually(lambda: not client.lines and client.asked is None, timeout=DEADLINE)
    client.interrupt()
    await client.shows("KeyboardInterrupt\n")
    assert await client.run("1 + 1") == "2\n"
    client.interrupt()  # of nothing
    assert await client.run("2 + 2") == "4\n"


async def test_an_interrupt_of_what_only_shows_a_value(client: Client) -> None:
    await client.open()
    await client.run(
        "class Endless:",
        "    def __repr__(self):",
        "        print('running')",
        "        while True: pass",
        "",
    )
    for line in ("Endless()", "await node.later(); Endless()"):
        await busy(client, line)
        client.interrupt()
        await client.shows("KeyboardInterrupt\n")
        assert await client.run("1 + 1") == "2\n"


async def test_what_swallows_an_interrupt_is_interrupted_again(client: Client) -> None:
    await client.open()
    await client.run(
        "async def stubborn():",
        "    try: print('running'); await __import__('asyncio').sleep(1000)",
        "    except BaseException: print('again'); await __import__('asyncio').sleep(1000)",
        "",
    )
    await busy(client, "await stubborn() or 'running'")
    client.interrupt()
    await client.shows("again\n")
    client.interrupt()
    await client.shows("KeyboardInterrupt\n")
    assert await client.run("1") == "1\n"


async def test_a_thread_that_does_not_return_is_left_behind(
    client: Client, released: threading.Event
) -> None:
    await client.open()
    await client.run("kept = 5")
    await busy(client, "print('running'); released.wait()")
    client.interrupt()
    client.interrupt()
    await client.shows("its thread is left behind\n")
    assert await client.run("kept") == "5\n"
    released.set()


async def test_an_interrupt_at_the_prompt_drops_the_lines_so_far(client: Client) -> None:
    await client.open()
    client.type("def f():", "    return 1")
    await client.shows(MORE + "    return 1\n" + MORE)
    client.type((atom.error, atom.interrupted))
    await client.shows("KeyboardInterrupt\n" + PROMPT)
    assert "NameError" in await client.run("f")


# --------------------------------------------------------------------------- streams


async def test_what_the_shell_has_started_prints_there_and_the_program_does_not(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await client.open()
    await client.run("async def loud(process): print('from the process')", "")
    for line in ("spawn(loud)", "node.touch(); print('x')"):
        client.type(line)
    await client.shows("from the process\n")
    await client.shows("x\n")
    print("from the program")
    captured = capsys.readouterr()
    assert captured.out == "from the program\n"
    assert "from the program" not in client.screen


async def test_when_the_session_is_over_its_processes_print_as_the_program_does(
    client: Client, capsys: pytest.CaptureFixture[str], released: threading.Event
) -> None:
    await Client(client.runtime).open()  # stays, and so do the streams that tell whose they are
    await client.open()
    await client.run(
        "async def late(process):",
        "    await process.receive()",
        "    print('late words')",
        "    released.set()",
        "",
    )
    await client.run("register('late', spawn(late))")
    client.type("exit()")
    assert await client.ended() == atom.normal
    client.runtime.send(client.process, "late", atom.go)
    await eventually(released.is_set, timeout=DEADLINE)
    assert capsys.readouterr().out == "late words\n"
    assert "late words" not in client.screen


async def test_input_and_help(client: Client) -> None:
    await client.open()
    assert await client.run("input('name? ')", "Zoë") == "name? 'Zoë'\n"
    assert await client.run("import builtins; builtins.input('name? ')", "Zoë") == "name? 'Zoë'\n"
    assert await client.run("import sys; sys.stdin.readline()", "line") == "'line\\n'\n"
    assert "hold the node's loop up" in await client.run("await node.later(); input('?')")
    text = await client.run("help(len)")
    assert "Help on built-in function len" in text
    assert "Return the number of items" in text
    assert "You are now leaving help" in await client.run("help()", "quit")
    assert "help(name)" in await client.run("await node.later(); help()")
    client.type("input()", Atom("eof"))
    await client.shows("EOFError\n" + PROMPT)
    client.type("input()", (atom.error, atom.interrupted))
    await client.shows("KeyboardInterrupt\n" + PROMPT)
    client.type("input()", (atom.error, atom.enotsup))
    await client.shows("DeviceError")


async def test_streams_outside_a_session_are_those_of_the_program(client: Client) -> None:
    original = sys.stdout
    await client.open()
    await client.shows(PROMPT)
    assert sys.stdout is not original
    replaced = io.StringIO()
    sys.stdout = replaced
    try:
        assert await client.run("print('here')") == ""
        assert replaced.getvalue() == "here\n"  # the program has put it in place
    finally:
        sys.stdout = original
    client.type("exit()")
    await client.ended()
    assert sys.stdout is original


def test_a_terminal_takes_text_only() -> None:
    lines = iter(["one\n", "two\n", "", ""])
    written: list[str] = []
    streams = Terminal(written.append, lambda prompt: next(lines))
    assert terminal.get() is None
    assert list(streams.stdin) == ["one\n", "two\n"]
    assert streams.stdin.read() == ""
    assert streams.stdout.write("text") == 4
    with pytest.raises(TypeError):
        streams.stdout.write(b"bytes")  # type: ignore[arg-type]
    assert written == ["text"]
    assert not streams.stdout.isatty()
    with pytest.raises(io.UnsupportedOperation):
        streams.stdin.fileno()
    streams.stdout.close()
    streams.stdin.close()
    assert streams.stdout.writable()
    assert streams.stdin.readable()
    assert streams.stdout.encoding == streams.stdin.encoding == "utf-8"


async def test_a_slow_terminal_holds_the_thread_up_and_not_the_node(client: Client) -> None:
    await client.open()
    await client.shows(PROMPT)
    client.takes = False
    client.type("for n in range(100_000): _ = print('x' * 99)", "")
    await eventually(lambda: bool(client.held), timeout=DEADLINE)
    before = len(client.screen)
    for _ in range(50):
        await asyncio.sleep(0.002)
    assert len(client.held) == 1  # the next piece comes when this has been taken
    assert len(client.screen) == before <= 64 * 1024
    client.interrupt()
    client.takes = True
    client.reply(*client.held.pop(), atom.ok)
    await eventually(lambda: "KeyboardInterrupt\n" in client.screen, timeout=DEADLINE)
    assert client.screen.index("Traceback") == before  # what was not sent yet is dropped
    assert await client.run("1") == "1\n"


async def test_what_the_loop_prints_beyond_all_bounds_is_dropped(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "HARD_LIMIT", 120)
    await client.open()
    await client.run("async def much():", "    for _ in range(40): print('x' * 99_999)", "")
    text = await client.run("await much()")
    assert 400_000 < len(text) < 700_000
    assert "characters were dropped here" in text
    assert await client.run("await node.later(); print('next')") == "'later'\nnext\n"


# --------------------------------------------------------------------------- the end


@pytest.mark.parametrize(
    "line", ["exit()", "quit()", "raise SystemExit", "import sys; sys.exit(3)"]
)
async def test_leaving(client: Client, line: str) -> None:
    await client.open()
    client.type(line)
    await client.shows("Ctrl-G")
    assert await client.ended() == atom.normal


async def test_leaving_from_a_cell_that_awaits(client: Client) -> None:
    await client.open()
    client.type("await node.later(); exit()")
    assert await client.ended() == atom.normal


async def test_the_end_of_the_input_is_the_end(client: Client) -> None:
    await client.open()
    client.type("1", Atom("eof"))
    assert await client.ended() == atom.normal


async def test_a_terminal_that_only_fails_is_given_up(client: Client) -> None:
    await client.open()
    client.type(*[(atom.error, atom.enotsup)] * 5)
    assert await client.ended() == atom.normal


async def test_the_end_of_the_terminal_ends_the_shell_whatever_runs(
    client: Client, runtime: Runtime, shell: Shell
) -> None:
    for lines in (
        ["print('running')", "while True: pass", ""],
        ["await node.later(); print('running'); await __import__('asyncio').sleep(1000)"],
        ["print('running'); input()"],
        ["print('running')"],
    ):
        other = Client(runtime)
        process = await other.open()
        runtime.unlink(other.process, other.shell)
        await busy(other, *lines)
        runtime.exit(client.process, other.process.pid, atom.kill)
        await eventually(lambda: not process.alive, timeout=DEADLINE)  # noqa: B023
        assert process.exit_reason == atom.normal
        await eventually(lambda: not shell.sessions, timeout=DEADLINE)
    await eventually(
        lambda: not [each for each in threading.enumerate() if each.name.startswith("pynode #")],
        timeout=DEADLINE,
    )
    assert not [name for name in linecache.cache if name.startswith("<shell")]


async def test_a_killed_shell_leaves_nothing(client: Client, runtime: Runtime) -> None:
    await client.open()
    await busy(client, "print('running')", "while True: pass", "")
    runtime.exit(client.process, client.shell, atom.kill)
    assert await client.ended() == atom.killed


async def test_the_stop_of_the_node_ends_it(client: Client, runtime: Runtime) -> None:
    process = await client.open()
    await busy(
        client, "await node.later(); print('running'); await __import__('asyncio').sleep(1000)"
    )
    client.stays = True
    await runtime.stop(1)
    assert not process.alive
    assert process.exit_reason == atom.normal  # it went when it was told to


async def test_two_sessions_have_names_of_their_own(client: Client, runtime: Runtime) -> None:
    other = Client(runtime)
    await client.open()
    await other.open()
    await client.run("x = 1")
    assert "NameError" in await other.run("x")
    assert await other.run("print('there')") == "there\n"
    assert "there" not in client.screen
    other.type("exit()")
    await other.ended()
    assert await client.run("print(x)") == "1\n"


# --------------------------------------------------------------------------- what clients ask


async def test_without_the_shell_there_is_no_such_module(runtime: Runtime) -> None:
    Shell(runtime)
    client = Client(runtime)
    for module in ("shell", "iex", "Elixir.IEx"):
        found = await client.ask("code", "ensure_loaded", Atom(module))
        assert found == (atom.error, atom.nofile)
    for name, arity in (("start", 0), ("start", 2)):
        for module in ("shell", "iex", "Elixir.IEx"):
            assert runtime.resolver.entry(Atom(module), Atom(name), arity) is None


async def test_what_a_client_asks_before_the_shell(client: Client) -> None:
    for module in ("shell", "iex", "Elixir.IEx"):
        name = Atom(module)
        assert await client.ask("code", "ensure_loaded", name) == (atom.module, name)
    assert await client.ask("code", "ensure_loaded", atom.other) == (atom.error, atom.nofile)
    version = charlist_text(await client.ask("erlang", "system_info", atom.system_version))
    assert "Python" in version
    assert "py@test" in version
    release = charlist_text(await client.ask("erlang", "system_info", atom.otp_release))
    assert int(release) >= 26
    slogan = await client.ask("application", "get_env", atom.stdlib, atom.shell_slogan, b"text")
    assert slogan == b"text"


async def test_an_iex_is_told_when_the_shell_begins_and_halts_when_it_ends(
    client: Client, runtime: Runtime
) -> None:
    halted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    runtime.resolver.expose(
        lambda *args: halted.set_result(args), module="erpc", name="execute_cast", arity=3
    )
    parent, ref = runtime.spawn(None), runtime.make_ref()
    options = [(Atom("dot_iex"), None), (atom.on_eof, atom.halt), Atom("odd")]
    for module in ("iex", "Elixir.IEx"):
        halted = asyncio.get_running_loop().create_future()
        await client.open(module, options, (atom.iex, atom.sync_remote, [parent.pid, ref]))
        begin = await parent.receive(timeout=DEADLINE)
        assert begin == (atom.begin, ref, client.shell)
        for _ in range(20):  # turns in which it would have begun
            await asyncio.sleep(0)
        assert client.screen == ""
        runtime.send(parent, client.shell, (atom.done, ref))
        assert await client.run("1") == "1\n"
        client.type("exit()")
        assert await client.ended() == atom.normal
        assert await asyncio.wait_for(halted, DEADLINE) == (atom.erlang, atom.halt, [0])
        client.screen = ""


COMPLETIONS: list[tuple[str, str, list[str]]] = [
    ("", "    ", []),
    ("  ", "    ", []),
    ("ans", "wer", []),
    ("print(ans", "wer", []),
    ("answer.bit_l", "ength", []),
    ("answer.bit_", "", ["bit_count", "bit_length"]),
    ("answer.rea", "l", []),
    ("node.tou", "ch", []),
    ("whil", "e", []),
    ("Zero", "DivisionError", []),
    ("nothing.x", "", []),
    ("nothing_such", "", []),
    ("f().x", "", []),
    ("1 +", "", []),
]


async def test_completion(client: Client) -> None:
    await client.open()
    await client.shows(PROMPT)
    for before, add, matches in COMPLETIONS:
        rest: list[Any]
        for rest in ([], [[]]):
            answer = await client.ask("edlin_expand", "expand", charlist(before[::-1]), *rest)
            assert charlist_text(answer[1]) == add, before
            assert [charlist_text(each) for each in answer[2]] == matches, before
            assert answer[0] == (atom.yes if add or matches else atom.no), before


def test_completion_of_an_object_that_fails() -> None:
    class Bad:
        def __getattr__(self, name: str) -> Any:
            raise ZeroDivisionError

    assert expand({"bad": Bad()}, charlist("bad.x.y"[::-1])) == (atom.no, [], [])


_TRACED = """
import sys, threading
from pynode.services.shell.evaluator import _Guard

def evaluate(late):
    guard = _Guard()
    thread = threading.Thread(target=guard.run, args=(lambda: late and guard.interrupt(),))
    thread.start()
    thread.join()

evaluate(late=False)
evaluate(late=True)
sys.settrace(lambda *event: None)
sum(number for number in range(1000))
sys.settrace(None)
"""


def test_nothing_stays_pending_in_the_interpreter() -> None:
    """An interrupt that nobody raised would have a tracer hang, and all threads look for it."""
    subprocess.run([sys.executable, "-c", _TRACED], check=True, timeout=30)
