"""The group leader: what it answers, what it writes, and how its input goes to those who ask."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pynode.dist import seam
from pynode.dist.flags import OUR_FLAGS
from pynode.errors import CallExit, RemoteError
from pynode.policy import ALLOW, Action, Deny
from pynode.process import Process, Runtime
from pynode.services.io.stdin import NoInput, Stdin
from pynode.services.io.user import StandardError, User
from pynode.terms import Atom, ImproperList, Pid, atom, charlist
from pynode.testing import eventually
from tests.process.wire import Recorder

ME = Atom("py@test")
PUT = (atom.put_chars, atom.unicode)
UNKNOWN = (atom.error, atom.request)
NO_SUPPORT = (atom.error, atom.enotsup)


class Typed(Stdin):
    """Input that a test gives, and that is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.given: asyncio.Queue[bytes | str] = asyncio.Queue()
        self.reads = 0

    async def read(self) -> bytes | str:
        self.reads += 1
        return await self.given.get()

    def type(self, *texts: bytes | str) -> None:
        for text in texts:
            self.given.put_nowait(text)


class NoErpc:
    """Asks nobody; remembers what it was to ask."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.result: Any = b"made elsewhere"

    async def call_as(self, process: Process, node: Atom, *call: Any, timeout: float) -> Any:
        self.asked.append((node, *call))
        if isinstance(self.result, Exception):
            raise self.result
        if callable(self.result):
            return self.result(*call)
        return self.result


class Console:
    """A ``user`` with what it has written, and a process to ask it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.written: list[str] = []
        self.stdin = Typed()
        self.erpc = NoErpc()
        self.user = User(
            runtime,
            self.written.append,
            erpc=self.erpc,  # type: ignore[arg-type]
            stdin=self.stdin,
        )
        self.pid = self.user.process.pid

    def tell(self, request: Any, process: Process | None = None, ref: Any = atom.ref) -> None:
        process = process or self.runtime.main
        self.runtime.send(process, self.pid, (atom.io_request, process.pid, ref, request))

    async def told(self, process: Process | None = None, ref: Any = atom.ref) -> Any:
        process = process or self.runtime.main
        tag, answered, answer = await process.receive(timeout=5)
        assert (tag, answered) == (atom.io_reply, ref)
        return answer

    async def ask(self, request: Any) -> Any:
        self.tell(request)
        return await self.told()

    @property
    def text(self) -> str:
        return "".join(self.written)


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    made = Runtime(ME, 7)
    yield made
    await made.stop(0)


@pytest.fixture
def console(runtime: Runtime) -> Console:
    return Console(runtime)


# --------------------------------------------------------------------------- output


async def test_chars_in_both_encodings_and_the_old_form(console: Console) -> None:
    assert await console.ask((*PUT, "caf\u00e9".encode())) == atom.ok
    assert await console.ask((*PUT, ImproperList([0x20AC, [b" \xc3", b"\xa9"]], b"!"))) == atom.ok
    assert await console.ask((atom.put_chars, atom.latin1, b"\xe9")) == atom.ok
    assert await console.ask((atom.put_chars, [97, [b"\xff"], 0xE9])) == atom.ok
    assert console.written == ["caf\u00e9", "\u20ac \u00e9!", "\u00e9", "a\u00ff\u00e9"]


async def test_bad_chars_are_told(console: Console) -> None:
    deep: Any = 7.5
    for _ in range(9000):
        deep = [deep]
    wrong: list[Any] = [[-1], b"\xff", [0xD800], atom.text, 65, {}, [b"\xc3", 1.0], deep]
    for chars in wrong:
        for encoding in (atom.unicode, atom.latin1):
            if encoding == atom.latin1 and chars == b"\xff":
                continue
            answer = await console.ask((atom.put_chars, encoding, chars))
            assert answer[0] == atom.error
            assert answer[1][:2] == (atom.put_chars, encoding)
    assert (await console.ask((atom.put_chars, atom.latin1, [256])))[0] == atom.error
    assert (await console.ask((atom.put_chars, atom.utf7, b"x")))[0] == atom.error
    text: Any = b"deep"
    for _ in range(9000):
        text = [text]
    assert await console.ask((*PUT, text)) == atom.ok
    assert await console.ask((atom.put_chars, text)) == atom.ok
    assert console.text.replace("A", "") == "deepdeep"


async def test_formats_are_made_here(console: Console) -> None:
    formatted = (*PUT, atom.io_lib, atom.format)
    assert await console.ask((*formatted, [charlist("~p ~s~n"), [{1: [atom.a]}, b"x"]])) == atom.ok
    assert await console.ask((*PUT, atom.io_lib, atom.fwrite, [b"~w", [charlist("a")]])) == atom.ok
    assert await console.ask((*PUT, atom.io_lib, atom.write, [(1, b"a")])) == atom.ok
    assert await console.ask((*PUT, atom.io_lib, atom.write, [[1, 2, 3], 2])) == atom.ok
    assert await console.ask((*PUT, atom.io_lib, atom.print, [b"a"])) == atom.ok
    assert await console.ask((*PUT, atom.io_lib, atom.print, [[300, 400], 1, 6, -1])) == atom.ok
    assert await console.ask((*PUT, atom.io_lib, atom.nl, [])) == atom.ok
    assert await console.ask((atom.put_chars, atom.io_lib, atom.write, [atom.old])) == atom.ok
    assert console.written == [
        "#{1 => [a]} x\n", "[97]", "{1,<<97>>}", "[1|...]", '<<"a">>', "[300,\n 400]", "\n", "old",
    ]  # fmt: skip
    assert console.erpc.asked == []


async def test_formats_that_do_not_fit_are_errors(console: Console) -> None:
    for args in (
        [b"~p", []], [b"~p", [1, 2]], [b"~y", [1]], [b"~999999999c", [65]], [b"~p", 7], [1.5, []],
    ):  # fmt: skip
        answer = await console.ask((*PUT, atom.io_lib, atom.format, args))
        assert answer == (atom.error, atom.format), args
    answer = await console.ask((*PUT, atom.io_lib, atom.format, atom.args))
    assert answer == (atom.error, atom.format)
    beyond = (atom.put_chars, atom.latin1, atom.io_lib, atom.format, [b"~tc", [0x20AC]])
    assert await console.ask(beyond) == (atom.error, atom.format)
    assert console.written == []


async def test_other_functions_are_applied_on_the_node_of_who_asks(console: Console) -> None:
    assert await console.ask((*PUT, atom.mine, atom.text, [1])) == atom.ok
    limited: Any = [b"~p", [1], [(atom.chars_limit, 9)]]
    assert await console.ask((*PUT, atom.io_lib, atom.format, limited)) == atom.ok
    assert console.written == ["made elsewhere"] * 2
    assert console.erpc.asked == [
        (ME, atom.mine, atom.text, [1]),
        (ME, atom.io_lib, atom.format, limited),
    ]
    for result in (atom.undefined, RemoteError("error", atom.undef), CallExit(atom.killed), 1.5):
        console.erpc.result = result
        answer = await console.ask((*PUT, atom.mine, atom.text, [1]))
        assert answer == (atom.error, atom.text)
    assert await console.ask((*PUT, b"mine", 7, [1])) == (atom.error, 7)


async def test_a_function_of_a_node_that_is_not_connected_is_not_asked_for(
    console: Console,
) -> None:
    stranger = Pid(Atom("nobody@nowhere"), 9, 0, 1)
    answer = console.user.request((*PUT, atom.os, atom.cmd, [b"ls"]), stranger)
    assert await answer.start() == (atom.error, atom.cmd)
    assert console.erpc.asked == []


class Peer(NamedTuple):
    """A connection, as policy sees it."""

    name: Atom


async def test_policy_is_asked_for_every_peer(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = [Peer(Atom("one@host")), Peer(Atom("two@host"))]
    asked: list[Any] = []

    def policy(peer: Any, action: Action, target: Any) -> Any:
        asked.append((peer.name, action, target))
        return Deny("of this test") if peer.name == atom("two@host") else ALLOW

    monkeypatch.setattr(console.runtime, "policy", policy)
    monkeypatch.setattr(type(console.runtime.nodes), "connected", lambda nodes: peers)
    stranger = Pid(peers[0].name, 9, 0, 1)

    async def applied(asker: Pid, *call: Any) -> Any:
        answer = console.user.request((*PUT, *call), asker)
        return await answer.start()

    limited: Any = [b"~p", [1], []]
    assert await applied(stranger, atom.io_lib, atom.format, limited) == atom.ok
    assert asked == []
    # A pid of this node may be made up as well: nothing of the program's is run that way.
    for asker in (stranger, console.pid):
        assert await applied(asker, atom.mine, atom.text, []) == (atom.error, atom.text)
        assert asked.pop() == (atom("two@host"), Action.SPAWN, (atom.mine, atom.text, 0))
    assert await applied(console.pid, atom.io_lib, atom.format, limited) == (
        atom.error, atom.format,
    )  # fmt: skip
    peers.pop()
    assert await applied(stranger, atom.mine, atom.text, []) == atom.ok


async def test_what_takes_long_to_format_is_made_in_a_thread_or_elsewhere(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    long: Any = [b"~w~n", [[300] * 20_000]]
    assert await console.ask((*PUT, atom.io_lib, atom.format, long)) == atom.ok
    assert console.text == "[" + ",".join(["300"] * 20_000) + "]\n"
    wrong: Any = [b"~w~w~n", [[300] * 20_000]]
    assert await console.ask((*PUT, atom.io_lib, atom.format, wrong)) == (atom.error, atom.format)
    many_digits: Any = [b"~p~n", [1 << 5_000_000]]
    assert await console.ask((*PUT, atom.io_lib, atom.format, many_digits)) == atom.ok
    assert console.erpc.asked == [(ME, atom.io_lib, atom.format, many_digits)]
    peer = Peer(Atom("one@host"))
    monkeypatch.setattr(type(console.runtime.nodes), "connected", lambda nodes: [peer])
    monkeypatch.setattr("pynode.services.io.calls._HERE", 100_000)
    stranger = Pid(peer.name, 9, 0, 1)
    answer = console.user.request((*PUT, atom.io_lib, atom.format, long), stranger)
    assert await answer.start() == atom.ok
    assert console.erpc.asked[1:] == [(peer.name, atom.io_lib, atom.format, long)]
    assert console.written[1:] == ["made elsewhere"] * 2


async def test_batches_end_with_the_first_that_fails(console: Console) -> None:
    several = (atom.requests, [(*PUT, b"1"), atom.rubbish, (*PUT, b"2")])
    assert await console.ask(several) == UNKNOWN
    inner = (atom.requests, [(*PUT, b"3"), (atom.requests, [(*PUT, b"4")])])
    assert await console.ask((atom.requests, [inner, atom.getopts])) == console.user._getopts()
    assert await console.ask((atom.requests, [])) == atom.ok
    assert console.text == "134"
    console.stdin.type(b"a line\nanother\n")
    line = (atom.get_line, atom.unicode, b"? ")
    reading = (atom.requests, [(*PUT, b"5"), line, (*PUT, b"6"), line])
    assert await console.ask(reading) == b"another\n"
    assert console.text == "1345? 6? "
    many = (atom.requests, [(*PUT, b"")] * 10_001)
    assert await console.ask(many) == UNKNOWN
    for rubbish in (1, atom.x, ImproperList([1], 2)):
        assert await console.ask((atom.requests, rubbish)) == UNKNOWN


async def test_unknown_requests_are_refused(console: Console) -> None:
    line = (atom.get_line, atom.utf7, b"")
    wrong: list[Any] = [atom.rubbish, 7, (), ([],), (atom.put_chars,), (1, 2), b"", line]
    for request in wrong:
        assert await console.ask(request) == UNKNOWN
    console.runtime.send(console.runtime.main, console.pid, (atom.io_request, 1, 2, 3))
    console.runtime.send(console.runtime.main, console.pid, atom.rubbish)
    assert await console.ask((*PUT, b"alive")) == atom.ok


async def test_a_leader_that_cannot_write_says_so(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(text: str) -> None:
        raise BrokenPipeError

    user = User(runtime, broken)
    main = runtime.main
    requests: list[Any] = [(*PUT, b"x"), (*PUT, atom.io_lib, atom.nl, [])]
    for request in requests:
        runtime.send(main, user.process.pid, (atom.io_request, main.pid, 1, request))
        answer = await main.receive(timeout=5)
        assert answer == (atom.io_reply, 1, (atom.error, atom.terminated))
    assert "BrokenPipeError" in caplog.text


async def test_text_that_stdout_cannot_encode_is_escaped(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    user = User(runtime)
    assert user.request((*PUT, "caf\u00e9 \u20ac")) == atom.ok
    assert raw.getvalue() == b"caf\xe9 \\x{20AC}"
    monkeypatch.setattr(sys, "stdout", None)
    assert user.request((*PUT, b"x")) == atom.ok


# --------------------------------------------------------------------------- options


async def test_options(console: Console) -> None:
    options = dict(await console.ask(atom.getopts))
    assert options[atom.binary] is True
    assert options[atom.encoding] == atom.unicode
    assert options[atom.expand_fun] is False
    assert {type(options[Atom(n)]) for n in ("terminal", "stdin", "stdout", "stderr")} == {bool}
    refused: list[Any] = [
        [atom.rubbish], [(atom.encoding, atom.utf7)], [(atom.binary, 1)], [atom.list, atom.rubbish],
    ]  # fmt: skip
    for wrong in refused:
        assert await console.ask((atom.setopts, wrong)) == NO_SUPPORT
    assert await console.ask((atom.setopts, atom.x)) == UNKNOWN
    assert dict(await console.ask(atom.getopts)) == options
    assert await console.ask((atom.setopts, [atom.list, (atom.echo, False)])) == atom.ok
    console.stdin.type(b"caf\xc3\xa9\n")
    assert await console.ask((atom.get_line, atom.unicode, b"")) == charlist("caf\u00e9\n")
    assert await console.ask((atom.setopts, [(atom.encoding, atom.latin1)])) == atom.ok
    assert await console.ask((*PUT, "\u00e9\u20ac")) == atom.ok
    assert console.text == "\u00e9\\x{20AC}"
    console.stdin.type(b"\xe9\n")
    assert await console.ask((atom.get_line, atom.unicode, b"")) == [0xE9, 10]
    assert await console.ask((atom.setopts, [atom.binary, atom.unicode])) == atom.ok


async def test_geometry(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await console.ask((atom.get_geometry, atom.columns)) == NO_SUPPORT
    assert await console.ask((atom.get_geometry, atom.depth)) == NO_SUPPORT
    primary, secondary = os.openpty()
    with open(secondary, "w") as terminal:  # noqa: ASYNC230
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((99, 42)))
        assert await console.ask((atom.get_geometry, atom.columns)) == 99
        assert await console.ask((atom.get_geometry, atom.rows)) == 42
        monkeypatch.undo()
    os.close(primary)


async def test_standard_error_writes_only(runtime: Runtime) -> None:
    written: list[str] = []
    device = StandardError(runtime, written.append)
    assert runtime.whereis("standard_error") == device.process.pid
    assert device.request((*PUT, b"oops")) == atom.ok
    assert device.request((atom.get_line, atom.unicode, b"")) == UNKNOWN
    assert device.request(atom.getopts) == [(atom.encoding, atom.unicode)]
    assert device.request((atom.setopts, [atom.binary])) == NO_SUPPORT
    assert device.request((atom.setopts, [(atom.encoding, atom.latin1)])) == atom.ok
    assert written == ["oops"]


# --------------------------------------------------------------------------- input


async def test_lines_chars_and_the_end(console: Console) -> None:
    line = (atom.get_line, atom.unicode, b"> ")
    console.stdin.type(b"one\ntw", b"o\xc3", b"\xa9\nthree\r\n", "four", b"")
    assert await console.ask(line) == b"one\n"
    assert await console.ask((atom.get_line, charlist("old "))) == b"two\xe9\n"
    assert await console.ask((atom.get_chars, atom.unicode, b"", 2)) == b"th"
    assert await console.ask((atom.get_chars, atom.unicode, b"", 0)) == b""
    assert await console.ask((atom.get_line, atom.unicode, atom(""))) == b"ree\n"
    assert await console.ask(line) == b"four"
    console.stdin.type(b"")
    assert await console.ask(line) == atom.eof
    console.stdin.type(b"")
    assert await console.ask((atom.get_chars, b"", 3)) == atom.eof
    console.stdin.type("\u20ac\n".encode(), b"abc", b"")
    assert await console.ask((atom.get_line, atom.latin1, b"")) == (
        atom.error, (atom.no_translation, atom.unicode, atom.latin1),
    )  # fmt: skip
    assert await console.ask((atom.get_chars, atom.unicode, b"", 9)) == b"abc"
    for count in (-1, atom.x, 1.5):
        answer = await console.ask((atom.get_chars, atom.unicode, b"", count))
        assert answer == (atom.error, atom.get_chars)
    assert console.text == "> old > > "


async def test_prompts(console: Console) -> None:
    for prompt in (
        b"b",
        atom.a,
        [0x20AC, b"c"],
        (atom.format, b"~p!", [1]),
        (1, b"t"),
        7,
        [b"\xff"],
    ):
        console.stdin.type(b"\n")
        await console.ask((atom.get_line, atom.unicode, prompt))
    assert console.written[:6] == ["b", "a", "\u20acc", "1!", '{1,<<"t">>}', "7"]
    console.stdin.type(b"\n")
    await console.ask((atom.get_line, atom.unicode, (atom.format, b"~p", [])))
    assert console.written[-1] == "???"


async def test_nothing_is_read_before_somebody_asks(console: Console) -> None:
    await console.ask((*PUT, b"x"))
    assert console.stdin.reads == 0
    console.stdin.type(b"a\nb\n")
    await console.ask((atom.get_line, atom.unicode, b""))
    await console.ask((atom.get_line, atom.unicode, b""))
    assert console.stdin.reads == 1


async def test_several_askers_are_served_in_order_and_output_goes_on(console: Console) -> None:
    askers = [console.runtime.spawn(None) for _ in range(3)]
    for number, asker in enumerate(askers):
        console.tell((atom.get_line, atom.unicode, b"%d? " % number), asker)
    assert await console.ask((*PUT, b"meanwhile ")) == atom.ok
    await eventually(lambda: console.stdin.reads == 1)
    console.stdin.type(b"first\n", b"second\nthird\n")
    answers = [await console.told(asker) for asker in askers]
    assert answers == [b"first\n", b"second\n", b"third\n"]
    assert console.text == "meanwhile 0? 1? 2? " or console.text == "0? meanwhile 1? 2? "


async def test_requests_of_one_asker_keep_their_order(console: Console) -> None:
    console.tell((atom.get_line, atom.unicode, b"? "), ref=1)
    console.tell((*PUT, b"behind"), ref=2)
    console.tell((atom.get_line, atom.unicode, b"?? "), ref=3)
    await eventually(lambda: console.stdin.reads == 1)
    assert console.text == "? "
    console.stdin.type(b"a\nb\n")
    assert await console.told(ref=1) == b"a\n"
    assert await console.told(ref=2) == atom.ok
    assert await console.told(ref=3) == b"b\n"
    assert console.text == "? behind?? "
    assert console.user._waiting == {}
    assert console.user._queued == 0


async def test_an_asker_that_ends_gives_its_turn_back(console: Console) -> None:
    runtime = console.runtime
    gone, other = runtime.spawn(None), runtime.spawn(None)
    line = (atom.get_line, atom.unicode, b"")
    console.tell(line, gone)
    console.tell(line, gone)
    console.tell(line, other)
    await eventually(lambda: console.stdin.reads == 1)
    console.stdin.type(b"half")
    await eventually(lambda: console.stdin.reads == 2)
    runtime.exit(runtime.main, gone.pid, atom.kill)
    console.stdin.type(b" and half\n")
    assert await console.told(other) == b"half and half\n"
    assert console.user._waiting == {}
    assert console.user._queued == 0


async def test_too_many_waiting_requests_are_refused(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pynode.services.io.user._MOST_REQUESTS", 3)
    monkeypatch.setattr("pynode.services.io.user._MOST_OF_A_NODE", 1)
    line = (atom.get_line, atom.unicode, b"")
    console.tell(line, ref=1)
    console.tell(line, ref=2)
    console.tell(line, ref=3)
    other = console.runtime.spawn(None)
    console.tell(line, other)
    assert await console.told(ref=3) == (atom.error, atom.system_limit)
    assert await console.told(other) == (atom.error, atom.system_limit)
    console.stdin.type(b"a\nb\n")
    assert await console.told(ref=1) == b"a\n"
    assert await console.told(ref=2) == b"b\n"


async def test_requests_of_one_node_leave_room_for_others(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pynode.services.io.user._MOST_OF_A_NODE", 3)
    monkeypatch.setattr("pynode.services.io.user._MOST_REQUESTS", 12)
    user, runtime = console.user, console.runtime
    runtime.attach(Recorder())
    line = (atom.get_line, atom.unicode, b"")
    answers: list[tuple[Pid, Any, Any]] = []
    monkeypatch.setattr(
        user, "_answer", lambda asker, ref, answer: answers.append((asker, ref, answer))
    )
    greedy, other = atom("greedy@host"), atom("other@host")
    for peer in (greedy, other):
        runtime.peer_up(seam.Peer(peer, 1, OUR_FLAGS, hidden=False))
    for number in range(3):  # several processes of it, and several requests of one
        user.info((atom.io_request, Pid(greedy, 1 + number % 2, 0, 1), number, line))
    for number in (1, 3):
        user.info((atom.io_request, Pid(greedy, number, 0, 1), atom.late, line))
    busy = (atom.error, atom.system_limit)
    late = [(Pid(greedy, number, 0, 1), atom.late, busy) for number in (1, 3)]
    assert answers == late
    for number in range(3):
        user.info((atom.io_request, Pid(other, 1, 0, 1), number, line))
    # Pids of nodes that nobody knows share one room, however many there are.
    for number in range(5):
        user.info((atom.io_request, Pid(atom(f"made_up{number}@host"), 1, 0, 1), number, line))
    assert [answer for _, _, answer in answers[2:]] == [busy] * 2
    own = runtime.node_name
    assert user._queued_of == {greedy: 3, other: 3, None: 3}
    # Those were told to be gone: they cannot be reached.
    for number in range(5):
        runtime.peer_down(atom(f"made_up{number}@host"), None, atom.nobody)
    await eventually(lambda: user._queued_of == {greedy: 3, other: 3})
    runtime.peer_down(greedy, seam.Peer(greedy, 1, OUR_FLAGS, hidden=False), atom.gone)
    await eventually(lambda: user._queued_of == {other: 3})
    # This node's own have more, and leave room for one other.
    for number in range(10):
        user.info((atom.io_request, runtime.main.pid, number, line))
    assert user._queued_of == {other: 3, own: 9}
    assert answers[4:] == [(runtime.main.pid, 9, busy)]
    runtime.peer_down(other, seam.Peer(other, 1, OUR_FLAGS, hidden=False), atom.gone)
    console.stdin.type(b"\n" * 10)
    await eventually(lambda: user._queued_of == {})
    assert user._queued == 0


async def test_a_stop_does_not_wait_for_input() -> None:
    made = Runtime(ME, 7)
    console = Console(made)
    console.tell((atom.get_line, atom.unicode, b""))
    await eventually(lambda: console.stdin.reads == 1)
    made.system.add(console.user.process)
    async with asyncio.timeout(5):
        await made.stop(None)


async def test_get_until_asks_the_node_of_the_asker(console: Console) -> None:
    seen: list[Any] = []

    def tokens(module: Atom, function: Atom, args: list[Any]) -> Any:
        seen.append((module, function, args))
        continuation, chars, extra = args
        assert extra == 1
        if continuation == []:
            return atom.more, (atom.so_far, chars)
        return atom.done, (atom.ok, continuation[1]), charlist("rest\n")

    console.erpc.result = tokens
    console.stdin.type(b"one\ntwo\n")
    until = (atom.get_until, atom.unicode, b"> ", atom.erl_scan, atom.tokens, [1])
    assert await console.ask(until) == (atom.ok, charlist("one\n"))
    assert seen[1] == (
        atom.erl_scan, atom.tokens, [(atom.so_far, charlist("one\n")), charlist("two\n"), 1],
    )  # fmt: skip
    assert await console.ask((atom.get_line, atom.unicode, b"")) == b"rest\n"
    console.erpc.result = lambda *call: (atom.done, charlist("text"), atom.eof)
    console.stdin.type(b"x\n")
    assert await console.ask(until) == b"text"
    console.stdin.type(b"")
    console.erpc.result = lambda module, function, args: (atom.done, args[1], [])
    assert await console.ask((atom.get_until, b"", *until[3:])) == atom.eof
    for wrong in (7, (atom.done, 1), RemoteError("error", atom.undef)):
        console.erpc.result = wrong
        console.stdin.type(b"x\n")
        assert await console.ask(until) == (atom.error, atom.tokens)
    assert await console.ask((*until[:5], atom.no_list)) == (atom.error, atom.tokens)


async def test_no_password_without_a_terminal(console: Console) -> None:
    assert await console.ask((atom.get_password, atom.unicode)) == NO_SUPPORT


# --------------------------------------------------------------------------- stdin


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that replaces the program's input."""
    opened: list[Any] = []

    def replace(stream: Any) -> None:
        opened.append(stream)
        monkeypatch.setattr(sys, "stdin", stream)

    yield replace
    monkeypatch.undo()
    for stream in opened:
        if stream is not None:
            stream.close()


async def test_a_pipe_is_waited_for_by_the_loop(stdin: Any) -> None:
    reading, writing = os.pipe()
    stdin(os.fdopen(reading))
    descriptors = set(os.listdir("/proc/self/fd"))
    waited_for = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]
    before = len(waited_for)
    found = asyncio.ensure_future(Stdin().read())
    await asyncio.sleep(0)
    assert not found.done()
    assert len(waited_for) == before + 1
    found.cancel()  # it loses nothing
    await asyncio.wait([found])
    assert len(waited_for) == before
    assert set(os.listdir("/proc/self/fd")) == descriptors
    found = asyncio.ensure_future(Stdin().read())
    os.write(writing, b"text")
    async with asyncio.timeout(5):
        assert await found == b"text"
        os.close(writing)
        assert await Stdin().read() == b""
    assert len(os.listdir("/proc/self/fd")) == len(descriptors) - 1


async def test_a_stop_closes_what_was_waited_for(stdin: Any) -> None:
    reading, writing = os.pipe()
    stdin(os.fdopen(reading))
    descriptors = set(os.listdir("/proc/self/fd"))
    made = Runtime(ME, 7)
    console = Console(made)
    made.system.add(console.user.process)
    console.user.stdin = Stdin()
    console.tell((atom.get_line, atom.unicode, b"? "))
    await eventually(lambda: len(os.listdir("/proc/self/fd")) == len(descriptors) + 1)
    async with asyncio.timeout(5):
        await made.stop(None)
    assert set(os.listdir("/proc/self/fd")) == descriptors
    os.close(writing)


async def test_a_file_and_no_input(stdin: Any, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"content")
    stdin(path.open())
    assert await Stdin().read() == b"content"
    assert await Stdin().read() == b""
    null = Path(os.devnull)
    stdin(null.open())  # noqa: ASYNC230
    assert await Stdin().read() == b""
    stdin(io.StringIO("line\nline"))
    assert await Stdin().read() == "line\n"
    closed = io.StringIO()
    closed.close()
    stdin(closed)
    assert await Stdin().read() == b""
    stdin(None)
    assert await Stdin().read() == b""
    assert not Stdin().is_terminal


class Editor:
    """The console of an editor: no descriptor, and it may raise."""

    def __init__(self, line: Any) -> None:
        self.line = line

    def readline(self) -> str:
        if isinstance(self.line, Exception):
            raise self.line
        return str(self.line)

    def isatty(self) -> bool:
        raise ValueError

    def close(self) -> None: ...


async def test_a_console_without_descriptor_is_read_in_a_thread(stdin: Any) -> None:
    stdin(Editor("typed\n"))
    source = Stdin()
    assert await source.read() == "typed\n"
    assert not source.is_terminal
    for error in (OSError("no"), RuntimeError("no"), StopIteration()):
        stdin(Editor(error))
        with pytest.raises(NoInput):
            await source.read()


async def test_no_input_is_an_answer(
    runtime: Runtime, stdin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stdin(Editor(OSError("no")))
    console = Console(runtime)
    console.user.stdin = Stdin()
    assert await console.ask((atom.get_line, atom.unicode, b"")) == NO_SUPPORT
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_password_is_not_shown(runtime: Runtime, stdin: Any) -> None:
    termios = pytest.importorskip("termios")
    primary, secondary = os.openpty()
    stdin(os.fdopen(secondary))
    console = Console(runtime)
    console.user.stdin = Stdin()
    before = termios.tcgetattr(secondary)
    console.tell((atom.get_password, atom.unicode))

    def silent() -> bool:
        return not termios.tcgetattr(secondary)[3] & termios.ECHO

    await eventually(silent)
    os.write(primary, b"secret\n")
    assert await console.told() == b"secret"
    assert termios.tcgetattr(secondary) == before
    assert console.text == "\n"
    os.close(primary)


# --------------------------------------------------------------------------- hostile askers


async def test_a_batch_of_much_work_lets_others_have_their_turn(console: Console) -> None:
    """Little is sent, and much text is to be made of it: the loop goes round meanwhile."""
    much: Any = (*PUT, atom.io_lib, atom.format, [b"~200000c", [65]])
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    before = turns
    assert await console.ask((atom.requests, [much] * 300)) == atom.ok
    counting.cancel()
    assert len(console.text) == 60_000_000
    assert turns - before > 2
    assert await console.ask((atom.requests, [much] * 20 + [atom.rubbish, much])) == UNKNOWN
    assert len(console.text) == 64_000_000


async def test_long_text_is_made_in_few_threads(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask for it, also where they are gone before it is made."""
    go_on, running, most = threading.Event(), 0, 0

    def apply_here(*_: Any) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        go_on.wait(30)
        running -= 1
        return "made"

    monkeypatch.setattr("pynode.services.io.user.apply_here", apply_here)
    monkeypatch.setattr("pynode.services.io.user.takes_long", lambda args: True)
    askers = [console.runtime.spawn(None) for _ in range(20)]
    for asker in askers:
        console.tell((*PUT, atom.io_lib, atom.format, [b"~p", [1]]), asker)
    await eventually(lambda: running == 2)
    for asker in askers[:10]:
        console.runtime.exit(console.runtime.main, asker.pid, atom.kill)
    await eventually(lambda: len(console.user._waiting) == 10)
    assert running == 2
    go_on.set()
    for asker in askers[10:]:
        assert await console.told(asker) == atom.ok
    assert most == 2
    assert console.user._threads.count <= 2


async def test_long_prompts_do_not_hold_the_node(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread: Any = []
    long = (atom.format, b"~w", [[300] * 20_000])
    shown = console.user._made_aside

    async def aside(*call: Any) -> str:
        thread.append(call[0])
        return await shown(*call)

    monkeypatch.setattr(console.user, "_made_aside", aside)
    console.stdin.type(b"\n\n")
    await console.ask((atom.get_line, atom.unicode, long))
    assert len(thread) == 1
    assert console.written == ["[" + ",".join(["300"] * 20_000) + "]"]
    await console.ask((atom.get_line, atom.unicode, (atom.format, b"~30000000c", [65])))
    assert console.written[1:] == ["???"]
