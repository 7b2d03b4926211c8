from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from pynode.errors import (
    CallExit,
    EncodeError,
    Exit,
    FunctionClause,
    NameError_,
    NodeDown,
    ProcessDead,
)
from pynode.process import Process, Runtime
from pynode.process.reasons import crash_reason, is_clean, stack
from pynode.terms import Atom, Pid, Reference, atom
from tests.process.wire import until

DEADLINE = 10


async def waiting(process: Process) -> None:
    await process.receive(lambda _: False)


async def gone(runtime: Runtime, *processes: Process) -> None:
    await until(
        lambda: not any(process.alive for process in processes) and not runtime.deaths.zombies
    )


# --------------------------------------------------------------------------- receiving


async def test_receive_at_once_and_later(runtime: Runtime) -> None:
    main = runtime.main
    runtime.send(main, main.pid, 1)
    assert await main.receive() == 1
    asyncio.get_running_loop().call_soon(runtime.send, main, main.pid, 2)
    assert await main.receive(timeout=DEADLINE) == 2


async def test_receive_with_a_timeout(runtime: Runtime) -> None:
    main = runtime.main
    for timeout in (0, -1, 0.001):
        with pytest.raises(TimeoutError):
            await main.receive(timeout=timeout)
    runtime.send(main, main.pid, 1)
    with pytest.raises(TimeoutError):
        await main.receive(lambda message: message == 2, timeout=0.001)
    assert await main.receive(timeout=0) == 1
    assert len(runtime.timers) == 0


async def test_a_cancelled_receive_loses_nothing(runtime: Runtime) -> None:
    main = runtime.main
    task = asyncio.create_task(main.receive())
    await asyncio.sleep(0)
    runtime.send(main, main.pid, 1)
    task.cancel()  # woken already, and cancelled before it ran
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await main.receive(timeout=0) == 1
    assert main.receivers is None


async def test_wait_for_around_receive_loses_nothing(runtime: Runtime) -> None:
    main = runtime.main
    for number in range(20):
        asyncio.get_running_loop().call_later(0.001, runtime.send, main, main.pid, number)
        try:
            got = await asyncio.wait_for(main.receive(), 0.001)
        except TimeoutError:
            got = await main.receive(timeout=DEADLINE)
        assert got == number


async def test_who_waited_first_chooses_first(runtime: Runtime) -> None:
    main = runtime.main
    one, two, other = (
        asyncio.create_task(main.receive(match))
        for match in (None, None, lambda message: message == "x")
    )
    await asyncio.sleep(0)
    for message in (1, 2, atom.unwanted, b"x"):
        runtime.send(main, main.pid, message)
    assert [await one, await two] == [1, 2]
    other.cancel()
    assert await main.receive() == atom.unwanted
    assert await main.receive(text=True) == "x"


async def test_async_iteration_and_text(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        async for message in process:
            got.append(message)
            if message == "end":
                return

    got: list[Any] = []
    process = runtime.spawn(body, text=True)
    for message in (b"one", ["two"], "end"):
        runtime.send(runtime.main, process.pid, message)
    await gone(runtime, process)
    assert got == ["one", ["two"], "end"]


async def test_receive_of_a_process_that_ends(runtime: Runtime) -> None:
    process = runtime.spawn(None)
    task = asyncio.create_task(process.receive())
    await asyncio.sleep(0)
    runtime.exit(runtime.main, process.pid, atom.bye)
    with pytest.raises(ProcessDead) as caught:
        await task
    assert caught.value.reason == atom.bye
    assert str(caught.value) == f"{process.pid!r} has ended: atom.bye"
    with pytest.raises(ProcessDead):
        await process.receive()


async def test_a_process_with_a_backlog_gives_way(runtime: Runtime) -> None:
    runtime.scheduler.budget = 0.0005

    async def greedy(process: Process) -> None:
        for _ in range(20_000):
            await process.receive()
        order.append("greedy")

    order: list[str] = []
    process = runtime.spawn(greedy)
    for _ in range(20_000):
        runtime.put(process, 1)
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(order.append, "loop")
    await gone(runtime, process)
    assert order == ["loop", "greedy"]


# --------------------------------------------------------------------------- sending


async def test_a_message_is_a_copy(runtime: Runtime) -> None:
    main = runtime.main
    message = [1, {2: [3]}]
    runtime.send(main, main.pid, message)
    message.append(4)
    assert await main.receive() == [1, {2: [3]}]


async def test_what_cannot_be_sent(runtime: Runtime) -> None:
    main = runtime.main
    dest: Any
    for dest in (main.pid, (Atom("x"), runtime.node_name), runtime.make_ref()):
        with pytest.raises(EncodeError):
            runtime.send(main, dest, object())
    for dest in (1, None, (1, 2, 3), (1, 2), b"name"):
        with pytest.raises(TypeError):
            runtime.send(main, dest, 1)
    for name in ("nobody", "true", "x" * 256):
        with pytest.raises(NameError_):
            runtime.send(main, name, 1)
    with pytest.raises(TimeoutError):
        await main.receive(timeout=0)


async def test_subclasses_of_str_and_tuple_are_dests(runtime: Runtime) -> None:
    class Name(str):
        __slots__ = ()

    runtime.register("me", runtime.main.pid)
    runtime.send(runtime.main, Name("me"), 1)
    assert await runtime.main.receive(timeout=0) == 1


async def test_without_a_network_other_nodes_are_unreachable(runtime: Runtime) -> None:
    main = runtime.main
    main.trap_exit = True
    far = Pid(Atom("far@host"), 1, 0, 9)
    runtime.send(main, far, 1)
    runtime.link(main, far)
    assert await main.receive(timeout=DEADLINE) == (atom.EXIT, far, atom.noconnection)
    ref = runtime.monitor(main, far)
    down = (atom.DOWN, ref, atom.process, far, atom.noconnection)
    assert await main.receive(timeout=DEADLINE) == down
    runtime.monitor_node(main, "far@host")
    runtime.monitor_node(main, runtime.node_name)
    assert await main.receive(timeout=DEADLINE) == (atom.nodedown, Atom("far@host"))


# --------------------------------------------------------------------------- spawning and bodies


async def test_a_coroutine_that_returns_ends_normal(runtime: Runtime) -> None:
    async def body(process: Process, one: Any, two: Any) -> None:
        got.append((one, two))

    got: list[Any] = []
    handed_over = object()
    process = runtime.spawn(body, 1, handed_over, name="worker", monitor_by=runtime.main.pid)
    assert process.name == Atom("worker")
    assert repr(process) == f"<Process {process.pid!r} worker>"
    down = await runtime.main.receive(timeout=DEADLINE)
    assert down[3:] == (process.pid, atom.normal)
    assert got == [(1, handed_over)]
    assert process.exit_reason == atom.normal
    assert repr(process).endswith("dead>")


async def test_a_plain_function_is_a_short_life(runtime: Runtime) -> None:
    body: Any = lambda process: None  # noqa: E731
    process = runtime.spawn(body)
    await gone(runtime, process)
    assert process.exit_reason == atom.normal


async def test_spawn_with_a_taken_name_makes_nothing(runtime: Runtime) -> None:
    runtime.spawn(None, name="taken")
    before = len(runtime.processes())
    for name in ("taken", "undefined", "true"):
        with pytest.raises(NameError_):
            runtime.spawn(None, name=name)
    assert len(runtime.processes()) == before


async def test_spawn_linked_to_a_dead_process(runtime: Runtime) -> None:
    dead = runtime.spawn(None)
    runtime.exit(runtime.main, dead.pid, atom.bye)
    process = runtime.spawn(None, link_to=dead.pid, monitor_by=dead.pid)
    assert process.alive
    linked = runtime.spawn(None, link_to=process.pid)
    runtime.exit(runtime.main, linked.pid, atom.bye)
    assert process.exit_reason == atom.bye


class Recording:
    """A body that notes what happens to it, and does what its messages say."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.failing = False

    def start(self, process: Process) -> Any:
        self.notes.append("start")

    def message(self, process: Process, message: Any) -> Any:
        self.notes.append(message)
        match message:
            case (atom.call, function):
                return function
            case atom.crash:
                raise ValueError("crash")
            case atom.stop:
                raise Exit(atom.stopped)
            case atom.wait:
                return self.wait(process)

    async def wait(self, process: Process) -> None:
        self.notes.append(("waited", await process.receive(lambda m: m == atom.go)))

    def terminated(self, process: Process, reason: Any) -> None:
        self.notes.append(("terminated", reason))
        if self.failing:
            raise RuntimeError("in terminated")


async def test_a_body_takes_one_message_after_the_other(runtime: Runtime) -> None:
    body = Recording()
    process = runtime.spawn(body)
    for message in (1, atom.wait, 2):
        runtime.send(runtime.main, process.pid, message)
    await asyncio.sleep(0.001)
    assert body.notes == ["start", 1, atom.wait]
    runtime.send(runtime.main, process.pid, atom.go)
    runtime.send(runtime.main, process.pid, atom.stop)
    await gone(runtime, process)
    notes = ["start", 1, atom.wait, ("waited", atom.go), 2, atom.stop, ("terminated", atom.stopped)]
    assert body.notes == notes


async def test_a_start_that_waits_comes_before_any_message(runtime: Runtime) -> None:
    class Slow(Recording):
        def start(self, process: Process) -> Any:
            return self.begin()

        async def begin(self) -> None:
            await asyncio.sleep(0.001)
            self.notes.append("begun")

    body = Slow()
    process = runtime.spawn(body)
    runtime.send(runtime.main, process.pid, atom.stop)
    await gone(runtime, process)
    assert body.notes[:2] == ["begun", atom.stop]


async def test_an_idle_body_holds_no_mailbox(runtime: Runtime) -> None:
    process = runtime.spawn(Recording())
    runtime.send(runtime.main, process.pid, 1)
    await asyncio.sleep(0)
    assert process.mailbox is None
    info = runtime.process_info(process.pid)
    assert info is not None
    assert info["message_queue_len"] == 0


async def test_a_flood_takes_turns(runtime: Runtime) -> None:
    first, second = Recording(), Recording()
    one, two = runtime.spawn(first), runtime.spawn(second)
    for number in range(200):
        runtime.send(runtime.main, one.pid, number)
    runtime.send(runtime.main, two.pid, atom.there)
    runtime.scheduler.budget = -1.0  # one process a turn
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(first.notes) < 200
    assert second.notes == ["start", atom.there]
    runtime.scheduler.budget = 0.003
    await until(lambda: len(first.notes) == 201)


# --------------------------------------------------------------------------- crashes


async def test_a_crash_reads_as_an_erlang_error(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    body = Recording()
    process = runtime.spawn(body)
    runtime.send(runtime.main, process.pid, atom.crash)
    await gone(runtime, process)
    (kind, name, text), trace = process.exit_reason
    assert (kind, name, text) == (atom.python_error, atom.ValueError, b"crash")
    module, function, arity, [(file, path), (line, number)] = trace[0]
    assert module == Atom(__name__)
    assert function == Atom("Recording.message")
    assert (arity, file, line) == (3, atom.file, atom.line)
    assert bytes(path).decode() == __file__
    assert number > 0
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("pynode.process", logging.ERROR)
    assert record.exc_info is not None
    assert "Recording.message" in record.getMessage()


async def test_a_crash_in_a_coroutine(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    async def body(process: Process) -> None:
        await asyncio.sleep(0)
        inner()

    def inner() -> None:
        raise KeyError("x")

    process = runtime.spawn(body)
    await gone(runtime, process)
    names = [frame[1].name.rpartition(".")[2] for frame in process.exit_reason[1]]
    assert names == ["inner", "body"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("reason", "loud"),
    [
        (atom.normal, False),
        (atom.shutdown, False),
        ((atom.shutdown, 1), False),
        (atom.bad, True),
        ((atom.shutdown, 1, 2), True),
        (None, True),
    ],
)
async def test_exits_are_logged_where_they_are_abnormal(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, reason: Any, loud: bool
) -> None:
    async def body(process: Process) -> None:
        raise Exit(reason)

    process = runtime.spawn(body)
    await gone(runtime, process)
    assert process.exit_reason == reason
    assert bool(caplog.records) is loud
    assert is_clean(reason) is not loud


async def test_reasons_go_by_the_rules_of_values(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(process: Process, reason: Any) -> None:
        raise Exit(reason)

    text, no_term = runtime.spawn(body, "text"), runtime.spawn(body, object())
    await gone(runtime, text, no_term)
    assert text.exit_reason == b"text"
    assert no_term.exit_reason[0][:2] == (atom.python_error, atom.EncodeError)
    with pytest.raises(EncodeError):
        runtime.exit(runtime.main, runtime.main.pid, object())


def test_exceptions_that_stand_for_an_exit() -> None:
    call = (atom.gen_server, atom.call, [1])
    assert crash_reason(CallExit(atom.noproc, call)) == (atom.noproc, call)
    assert crash_reason(CallExit(atom.noproc)) == atom.noproc
    assert crash_reason(FunctionClause(1)) == (atom.function_clause, [])


def test_odd_exceptions_have_reasons_too() -> None:
    class true(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert crash_reason(true()) == ((atom.python_error, Atom("_true"), b""), [])
    assert stack(None) == []


def test_keyboard_interrupt_ends_the_process_and_goes_on_to_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def coroutine(process: Process) -> None:
        raise KeyboardInterrupt

    def plain(process: Process) -> Any:
        raise KeyboardInterrupt

    async def cleaning(process: Process) -> None:
        try:
            await process.receive()
        finally:
            raise KeyboardInterrupt

    loop = asyncio.new_event_loop()
    runtime = Runtime(Atom("here@host"), 7, loop=loop)
    other = runtime.spawn(waiting)
    for function in (plain, coroutine):
        process = runtime.spawn(function)
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.sleep(60))
        assert process.exit_reason[0][1] == atom.KeyboardInterrupt
    process = runtime.spawn(cleaning)
    loop.run_until_complete(asyncio.sleep(0))
    runtime.exit(runtime.main, process.pid, atom.bye)
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(60))
    assert other.alive
    loop.run_until_complete(runtime.stop(0))
    loop.close()


async def test_a_failing_terminated_is_logged(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    body = Recording()
    body.failing = True
    process = runtime.spawn(body)
    runtime.exit(runtime.main, process.pid, atom.bye)
    assert "terminated" in caplog.records[0].getMessage()
    assert not process.alive


# --------------------------------------------------------------------------- facts


async def test_process_info(runtime: Runtime) -> None:
    one, two = runtime.spawn(None, name="one"), runtime.spawn(None, trap_exit=True)
    runtime.link(one, two.pid)
    runtime.monitor(one, two.pid)
    one.dictionary["key"] = "value"
    runtime.send(two, one.pid, atom.hello)
    assert runtime.process_info(one.pid) == {
        "registered_name": Atom("one"),
        "trap_exit": False,
        "group_leader": one.group_leader,
        "links": [two.pid],
        "monitors": [two.pid],
        "monitored_by": [],
        "message_queue_len": 1,
        "messages": [atom.hello],
        "dictionary": {"key": "value"},
    }
    info = runtime.process_info(two.pid)
    assert info is not None
    assert info["monitored_by"] == [one.pid]
    assert runtime.process_info(Pid(runtime.node_name, 99, 0, 7)) is None
    assert runtime.registered() == [Atom("one")]
    assert runtime.is_alive(one.pid)
    with pytest.raises(ValueError, match="not of this node"):
        runtime.is_alive(Pid(Atom("far@host"), 1, 0, 1))


async def test_identifiers(runtime: Runtime) -> None:
    one = runtime.spawn(None).pid
    assert (one.node, one.creation, one.serial) == (runtime.node_name, 7, 0)
    refs = {runtime.make_ref() for _ in range(10)}
    assert len(refs) == 10
    assert all(type(ref) is Reference and len(ref.words) == 3 for ref in refs)
    runtime._last_ref = (1 << 50) - 1
    assert runtime.make_ref().words == (0, 0, 1)
    runtime._last_id = (1 << 28) - 2
    last, first = runtime.spawn(None).pid, runtime.spawn(None).pid
    assert (last.id, last.serial) == ((1 << 28) - 1, 0)
    assert first.serial == 1
    assert first.id not in (0, one.id)


async def test_the_group_leader_is_inherited(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        child = runtime.spawn(None)
        leaders.append(child.group_leader)

    leaders: list[Any] = []
    alone = runtime.spawn(None)
    assert alone.group_leader == alone.pid
    assert runtime.spawn(None).group_leader != alone.pid
    main = runtime.main
    assert runtime.spawn(None).group_leader == main.pid
    runtime.default_group_leader = alone.pid
    assert runtime.spawn(None).group_leader == alone.pid
    process = runtime.spawn(body, group_leader=main.pid)
    await gone(runtime, process)
    assert leaders == [main.pid]
    runtime.group_leader(main, alone.pid, main.pid)
    assert alone.group_leader == main.pid
    runtime.group_leader(main, process.pid, main.pid)


async def test_main_is_made_again(runtime: Runtime) -> None:
    first = runtime.main
    assert runtime.main is first
    runtime.exit(first, first.pid, atom.kill)
    assert not first.alive
    assert runtime.main is not first
    assert runtime.main.alive


async def test_the_dead_act_no_more(runtime: Runtime) -> None:
    dead = runtime.spawn(None)
    runtime.exit(runtime.main, dead.pid, atom.bye)
    main = runtime.main.pid
    acts: list[Any] = [
        lambda: runtime.send(dead, main, 1),
        lambda: runtime.exit(dead, main, atom.x),
        lambda: runtime.link(dead, main),
        lambda: runtime.monitor(dead, main),
        lambda: runtime.alias(dead),
        lambda: runtime.open_call(dead, main),
        lambda: runtime.send_after(dead, 1, main, 1),
        lambda: runtime.monitor_node(dead, "x@y"),
        lambda: runtime.monitor_nodes(dead),
        lambda: runtime.group_leader(dead, main, main),
        lambda: runtime.spawn_request(dead, "x@y", "m", "f", []),
    ]
    for act in acts:
        with pytest.raises(ProcessDead):
            act()
    runtime.unlink(dead, main)
    runtime.put(dead, 1)
    runtime.tell_urgent(dead, 1)
    await runtime.stop(0)
    with pytest.raises(NodeDown):
        acts[0]()
    with pytest.raises(NodeDown):
        runtime.spawn(None)
    with pytest.raises(NodeDown):
        _ = runtime.main


async def test_a_slow_callback_is_named(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    runtime.scheduler.slow = -1.0
    body = Recording()
    process = runtime.spawn(body)
    runtime.spawn(waiting)
    runtime.send(runtime.main, process.pid, atom.hello)
    await asyncio.sleep(0)
    texts = [record.getMessage() for record in caplog.records]
    assert any("Recording.message" in text and repr(process.pid) in text for text in texts)
    assert any("waiting" in text for text in texts)
    assert all(record.levelno == logging.WARNING for record in caplog.records)


class Pausing:
    """A body that holds the loop for 10 ms at messages that are true."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def start(self, process: Process) -> None:
        pass

    def message(self, process: Process, message: Any) -> None:
        self.seen.append(message)
        if message is True:
            time.sleep(0.01)

    def terminated(self, process: Process, reason: Any) -> None:
        pass


async def test_a_slow_message_among_quick_ones_is_named(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.scheduler.slow = 0.009
    seen: list[Any] = []
    process = runtime.spawn(Pausing(seen))
    for number in range(30):
        runtime.send(runtime.main, process.pid, number == 13)
    await until(lambda: len(seen) == 30)
    assert any("Pausing.message" in record.getMessage() for record in caplog.records)


async def test_slow_messages_behind_quick_ones_use_the_turn_up(runtime: Runtime) -> None:
    """The next process has its turn after few of them, however quick those before were."""
    seen: list[Any] = []
    slow, other = runtime.spawn(Pausing(seen)), runtime.spawn(Pausing(seen))
    for number in range(40):
        runtime.send(runtime.main, slow.pid, number >= 20)
    runtime.send(runtime.main, other.pid, atom.other)
    await until(lambda: len(seen) == 41)
    assert seen.index(atom.other) <= 22


async def test_nothing_is_said_of_a_quick_callback(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.scheduler.slow = 60.0
    process = runtime.spawn(Recording())
    runtime.send(runtime.main, process.pid, 1)
    await asyncio.sleep(0)
    assert not caplog.records
