"""GenStatem: what each return value and action does; the order of events is in tests/beam."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from pynode import Exit, Ignore, StartError, StartIgnored, Stop, atom, self_
from pynode.behaviours import GenStatem, gen, start, statem, sys
from pynode.errors import CallExit, CallTimeout, NoProcess
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import ExportFun, Pid, charlist_text
from pynode.testing import eventually

from .helpers import DEADLINE, reason_of_death, receive


class Door(GenStatem, callback_mode="state_functions", state_enter=True):
    """The example of the documentation, with a short time."""

    def init(self, code: int, seconds: float = 10.0) -> Any:
        self.code = code
        self.seconds = seconds
        return "locked"

    def locked(self, event: Any, content: Any) -> Any:
        match event, content:
            case (atom.call, caller), (atom.unlock, code) if code == self.code:
                return statem.NextState(atom.open, statem.Reply(caller, atom.ok))
            case (atom.call, caller), _:
                return statem.KeepState(statem.Reply(caller, atom.error))
        return None

    def open(self, event: Any, content: Any) -> Any:
        match event, content:
            case atom.enter, _:
                return statem.KeepState(statem.StateTimeout(self.seconds, atom.lock))
            case atom.state_timeout, atom.lock:
                return statem.NextState(atom.locked)
            case (atom.call, _), _:
                return statem.KeepState(statem.Postpone())
        return None


async def test_the_example_of_the_documentation(runtime: Runtime) -> None:
    pid = await start(runtime, Door, 42, seconds=0.01)
    main = runtime.main
    assert await gen.statem_call(main, pid, (atom.unlock, 1)) == atom.error
    assert await gen.statem_call(main, pid, (atom.unlock, 42)) == atom.ok
    assert await gen.statem_call(main, pid, atom.hello) == atom.error  # postponed till it locks
    state = {atom.code: 42, atom.seconds: 0.01}
    assert await sys.get_state(main, pid) == (atom.locked, state)
    await gen.stop(main, pid)


class Machine(GenStatem, state_enter=True):
    """Does what it is told: an event's content is a function of the machine and the event."""

    def init(self, to: Pid, *actions: Any) -> Any:
        self.to = to
        return statem.NextState(atom.first, *actions)

    def handle_event(self, event: Any, content: Any, state: Any) -> Any:
        if callable(content):  # what tests put there never leaves the node
            return content(self, event)
        shown = atom.call if isinstance(event, tuple) and event[0] == atom.call else event
        self.process.runtime.send(self.process, self.to, (shown, content, state))
        return None

    def terminate(self, reason: Any, state: Any) -> None:
        self.process.runtime.send(self.process, self.to, (atom.terminate, reason, state))


def tell(runtime: Runtime, pid: Pid, function: Any) -> None:
    """Put an event with a function in it straight into the mailbox."""
    process = runtime.local(pid)
    assert process is not None
    runtime.put(process, (atom("$gen_cast"), function))


async def machine(runtime: Runtime, *actions: Any) -> Pid:
    pid = await start(runtime, Machine, runtime.main.pid, *actions)
    assert await receive(runtime.main) == (atom.enter, atom.first, atom.first)
    return pid


async def test_the_kinds_of_events(runtime: Runtime) -> None:
    main = runtime.main
    pid = await machine(runtime)
    runtime.send(main, pid, atom.message)
    assert await receive(main) == (atom.info, atom.message, atom.first)
    gen.cast(main, pid, 1)
    assert await receive(main) == (atom.cast, 1, atom.first)
    with pytest.raises(CallTimeout):
        await gen.call(main, pid, 2, timeout=0.01)
    assert await receive(main) == (atom.call, 2, atom.first)
    for kind in (atom.internal, atom.state_timeout, (atom.timeout, 1), atom.timeout, "info"):
        tell(runtime, pid, lambda m, e, k=kind: statem.KeepState(statem.NextEvent(k, atom.x)))
        assert (await receive(main))[0] == (atom.info if kind == "info" else kind)
    tell(runtime, pid, lambda m, e: statem.KeepState(statem.EventTimeout(0.001, atom.y)))
    assert await receive(main) == (atom.timeout, atom.y, atom.first)
    tell(runtime, pid, lambda m, e: statem.KeepState(statem.Timeout("name", 0.001, atom.z)))
    assert await receive(main) == ((atom.timeout, atom.name), atom.z, atom.first)


async def test_absolute_cancelled_and_changed_timeouts(runtime: Runtime) -> None:
    main = runtime.main
    pid = await machine(runtime, statem.StateTimeout(0, atom.zero))
    assert await receive(main) == (atom.state_timeout, atom.zero, atom.first)
    soon = runtime.loop.time() + 0.01
    for seconds in (soon, soon - 1000):
        action = statem.StateTimeout(seconds, atom.due, absolute=True)
        tell(runtime, pid, lambda m, e, a=action: statem.KeepState(a))
        assert await receive(main) == (atom.state_timeout, atom.due, atom.first)
    tell(
        runtime,
        pid,
        lambda m, e: statem.KeepState(
            statem.Timeout(1, 60, atom.old),
            statem.Timeout(2, 60, atom.never),
            statem.StateTimeout(60, atom.never),
            statem.EventTimeout(60, atom.never),
        ),
    )
    tell(
        runtime,
        pid,
        lambda m, e: statem.KeepState(
            statem.Timeout.update(1, atom.new),
            statem.Timeout.cancel(2),
            statem.StateTimeout.cancel(),
            statem.EventTimeout.update(atom.at_once),  # the event itself has stopped it
            statem.Timeout.update(3, atom.too),
        ),
    )
    assert await receive(main) == (atom.timeout, atom.at_once, atom.first)
    assert await receive(main) == ((atom.timeout, 3), atom.too, atom.first)
    status = await sys.get_status(main, pid)
    facts = {charlist_text(key): value for key, value in status[3][4][1][1]}
    assert facts["Time-outs"] == (1, [((atom.timeout, 1), atom.new)])
    tell(runtime, pid, lambda m, e: statem.KeepState(statem.Timeout(1, None, atom.gone)))
    status = await sys.get_status(main, pid)
    facts = {charlist_text(key): value for key, value in status[3][4][1][1]}
    assert facts["Time-outs"] == (0, [])


async def test_a_timer_that_was_cancelled_too_late_is_no_event(runtime: Runtime) -> None:
    main = runtime.main
    pid = await machine(runtime)
    process = runtime.local(pid)
    assert process is not None
    await sys.suspend(main, pid)
    tell(runtime, pid, lambda m, e: statem.KeepState(statem.StateTimeout.cancel()))
    await sys.resume(main, pid)
    tell(runtime, pid, lambda m, e: statem.KeepState(statem.StateTimeout(0.001, atom.late)))
    await sys.get_status(main, pid)
    await sys.suspend(main, pid)
    body: Any = process.body
    await eventually(lambda: body.extra.held)  # the timer's message has come
    body.extra.held.appendleft(
        (atom("$gen_cast"), lambda m, e: statem.KeepState(statem.StateTimeout.cancel()))
    )
    await sys.resume(main, pid)
    runtime.send(main, pid, (atom.timeout, runtime.make_ref(), atom.state_timeout))
    kind, message, _ = await receive(main)
    assert (kind, message[0]) == (atom.info, atom.timeout)  # of another's timer: a message
    assert not main.mailbox


@pytest.mark.parametrize(
    ("result", "tag"),
    [
        ("rubbish", "bad_return_from_state_function"),
        ((atom.next_state, atom.x), "bad_return_from_state_function"),
        (statem.KeepState("rubbish"), "bad_action_from_state_function"),  # type: ignore[arg-type]
        (statem.KeepState(statem.StateTimeout(-1.0)), "bad_action_from_state_function"),
        (statem.KeepState(statem.StateTimeout(True)), "bad_action_from_state_function"),
        (statem.KeepState(statem.Timeout(1, "soon")), "bad_action_from_state_function"),  # type: ignore[arg-type]
        (statem.KeepState(statem.Reply((1, 2), 3)), "bad_action_from_state_function"),
        (statem.KeepState(statem.NextEvent("rubbish", 1)), "bad_action_from_state_function"),
        (statem.KeepState(statem.NextEvent((atom.call, 1), 1)), "bad_action_from_state_function"),
        (statem.KeepState(statem.PopCallbackModule()), "bad_action_from_state_function"),
        (statem.KeepState(statem.PushCallbackModule(int)), "bad_action_from_state_function"),
        (statem.StopAndReply(1, statem.Reply(1, 2)), "bad_reply_action_from_state_function"),  # type: ignore[arg-type]
        (statem.StopAndReply(1, statem.Postpone()), "bad_reply_action_from_state_function"),  # type: ignore[arg-type]
    ],
)
async def test_what_a_callback_cannot_return(
    runtime: Runtime, result: Any, tag: str, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    pid = await machine(runtime)
    with runtime.open_call(main, pid) as slot:
        tell(runtime, pid, lambda m, e: result)
        with pytest.raises(CallExit) as caught:
            await slot.wait(DEADLINE)
    (word, _), stack = caught.value.reason
    assert (word, stack) == (atom(tag), [])
    told, (reason, _), state = await receive(main)
    assert (told, reason, state) == (atom.terminate, atom(tag), atom.first)
    (record,) = (r for r in caplog.records if r.levelno == logging.ERROR)
    assert tag in record.getMessage()
    assert record.exc_info is None  # it was no code of the program's that raised


@pytest.mark.parametrize(
    ("result", "tag"),
    [
        (statem.NextState(atom.third), "bad_state_enter_return_from_state_function"),
        (statem.KeepState(statem.Postpone()), "bad_state_enter_action_from_state_function"),
        (
            statem.KeepState(statem.NextEvent("internal", 1)),
            "bad_state_enter_action_from_state_function",
        ),
        (
            statem.KeepState(statem.ChangeCallbackModule(Machine)),
            "bad_state_enter_action_from_state_function",
        ),
    ],
)
async def test_what_a_state_enter_call_cannot_return(
    runtime: Runtime, result: Any, tag: str
) -> None:
    class Enters(Machine):
        def handle_event(self, event: Any, content: Any, state: Any) -> Any:
            if event != atom.enter:
                return statem.NextState(atom.second)
            return result if state == atom.second else None

    main = runtime.main
    pid = await start(runtime, Enters, main.pid)
    gen.cast(main, pid, atom.go)
    told, (reason, _), state = await receive(main)
    assert (told, reason, state) == (atom.terminate, atom(tag), atom.second)


async def test_a_state_enter_call_may_stop_or_repeat(runtime: Runtime) -> None:
    class Enters(Machine):
        count = 0

        def handle_event(self, event: Any, content: Any, state: Any) -> Any:
            if event != atom.enter:
                return statem.NextState(content, statem.Reply(event[1], atom.ok))
            if state == atom.again:
                self.count += 1
                if self.count < 3:
                    return statem.RepeatState(statem.Postpone(False))
            if state == atom.halt:
                raise Stop(atom.shutdown)
            return None

    main = runtime.main
    pid = await start(runtime, Enters, main.pid)
    assert await gen.call(main, pid, atom.again) == atom.ok
    assert (await sys.get_state(main, pid))[1][atom.count] == 3
    assert await gen.call(main, pid, atom.halt) == atom.ok
    assert await receive(main) == (atom.terminate, atom.shutdown, atom.halt)


async def test_the_ways_to_stop(runtime: Runtime) -> None:
    main = runtime.main

    class Stops(Machine):
        def handle_event(self, event: Any, content: Any, state: Any) -> Any:
            match content:
                case atom.stop:
                    raise Stop(atom.shutdown, reply=atom.bye)
                case atom.reply:
                    replies = [statem.Reply(event[1], n) for n in (1,)]
                    return statem.StopAndReply((atom.shutdown, 1), *replies)
                case atom.exit:
                    raise Exit(atom.enough)
                case atom.crash:
                    raise ValueError("text")
            return None

    for request, reply, reason in (
        (atom.stop, atom.bye, atom.shutdown),
        (atom.reply, 1, (atom.shutdown, 1)),
        (atom.exit, None, atom.enough),
        (atom.crash, None, (atom.python_error, atom.ValueError, b"text")),
    ):
        pid = await start(runtime, Stops, main.pid)
        if reply is None:
            with pytest.raises(CallExit):
                await gen.call(main, pid, request)
        else:
            assert await gen.call(main, pid, request) == reply
        assert await receive(main) == (atom.terminate, reason, atom.first)


async def test_how_init_declines(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    class Declines(GenStatem):
        def init(self, result: Any) -> Any:
            if isinstance(result, BaseException):
                raise result
            return result

    with pytest.raises(StartIgnored):
        await start(runtime, Declines, Ignore())
    for result, reason in (
        (Stop(atom.no), atom.no),
        (None, (atom.bad_return_from_init, None)),
        (statem.KeepState(), (atom.bad_return_from_init, b"KeepState(actions=())")),
    ):
        with pytest.raises(StartError) as caught:
            await start(runtime, Declines, result, name="declines")
        assert caught.value.reason == reason
        assert runtime.whereis("declines") is None
    with pytest.raises(StartError) as caught:
        await start(runtime, GenStatem)
    assert caught.value.reason[0][1] == atom.NotImplementedError
    for state in (True, [1], "text", (atom.a, 1)):
        pid = await start(runtime, Declines, state)
        assert (await sys.get_state(runtime.main, pid))[0] == (
            state.encode() if isinstance(state, str) else state
        )


async def test_state_functions_that_are_not_there(runtime: Runtime) -> None:
    main = runtime.main
    for state in ("nowhere", "init", "_drive", 7):

        class Lost(GenStatem, callback_mode="state_functions"):
            where: Any = state

            def init(self) -> Any:
                return statem.NextState(self.where)

            def _drive(self, event: Any, content: Any) -> None:
                raise AssertionError

        pid = await start(runtime, Lost)
        with runtime.open_call(main, pid) as slot:
            gen.cast(main, pid, 1)
            with pytest.raises(CallExit) as caught:
                await slot.wait(DEADLINE)
        expected = atom(state) if isinstance(state, str) else state
        assert caught.value.reason == (atom.undef, [(atom.Lost, expected, 3, [])])


def test_what_a_class_cannot_be() -> None:
    with pytest.raises(ValueError, match="callback_mode"):

        class Wrong(GenStatem, callback_mode="rubbish"):
            pass

    with pytest.raises(TypeError, match="open is async"):

        class Async(GenStatem, callback_mode="state_functions", blocking=True):
            async def open(self, event: Any, content: Any) -> None:
                pass


@pytest.mark.parametrize("blocking", [False, True])
async def test_async_and_blocking_callbacks(runtime: Runtime, blocking: bool) -> None:
    main = runtime.main
    seen: list[Any] = []

    class Threads(GenStatem, callback_mode="state_functions", blocking=True):
        def init(self) -> Any:
            return atom.only

        def only(self, event: Any, content: Any) -> Any:
            assert self_() == self.pid
            seen.append(threading.get_ident() != runtime.thread_id)
            return statem.KeepState(statem.Reply(event[1], content))

        def terminate(self, reason: Any, state: Any) -> None:
            seen.append((reason, state))

    class Waits(GenStatem):
        async def init(self) -> Any:
            await asyncio.sleep(0)
            return atom.only

        async def handle_event(self, event: Any, content: Any, state: Any) -> Any:
            await asyncio.sleep(0)
            seen.append(True)
            return statem.KeepState(statem.Reply(event[1], content))

        async def terminate(self, reason: Any, state: Any) -> None:
            await asyncio.sleep(0)
            seen.append((reason, state))

    pid = await start(runtime, Threads if blocking else Waits)
    assert await gen.call(main, pid, 7) == 7
    await gen.stop(main, pid, atom.shutdown)
    assert seen == [True, (atom.shutdown, atom.only)]


async def test_a_machine_that_only_talks_to_itself_leaves_room_for_others(
    runtime: Runtime,
) -> None:
    main = runtime.main

    class Restless(GenStatem):
        def init(self) -> Any:
            self.rounds = 0
            return statem.NextState(atom.on, statem.NextEvent("internal", 1))

        def handle_event(self, event: Any, content: Any, state: Any) -> Any:
            self.rounds += 1
            return statem.KeepState(statem.NextEvent("internal", 1))

    pid = await start(runtime, Restless)
    other = await start(runtime, Door, 1)
    for _ in range(3):
        assert await gen.call(main, other, 1) == atom.error
    with pytest.raises(CallTimeout):  # but it never looks at a message
        await gen.call(main, pid, 1, timeout=0.05)
    runtime.exit(main, pid, atom.kill)


async def test_another_class_goes_on_with_the_same_data(runtime: Runtime) -> None:
    class First(GenStatem, state_enter=True):
        def init(self) -> Any:
            self.seen: list[Any] = []
            return atom.a

        def handle_event(self, event: Any, content: Any, state: Any) -> Any:
            if event == atom.enter:
                return self.seen.append(atom.first)
            actions = {
                atom.push: statem.PushCallbackModule(Second),
                atom.change: statem.ChangeCallbackModule(Second),
            }
            return statem.NextState(content, actions[content], statem.Reply(event[1], atom.ok))

    class Second(GenStatem, callback_mode="state_functions", state_enter=True):
        def push(self, event: Any, content: Any) -> Any:
            if event == atom.enter:
                return self.seen.append(atom.second)
            return statem.KeepState(statem.PopCallbackModule(), statem.Reply(event[1], self.seen))

        change = push
        seen: list[Any]

    main = runtime.main
    pid = await start(runtime, First)
    assert await gen.call(main, pid, atom.push) == atom.ok
    assert await gen.call(main, pid, atom.x) == [atom.first, atom.second]
    assert await gen.call(main, pid, atom.change) == atom.ok
    status = await sys.get_status(main, pid)
    facts = {charlist_text(key): value for key, value in status[3][4][1][1]}
    assert facts["Modules"] == [atom.Second]


async def test_a_reply_that_is_no_term_names_the_machine(runtime: Runtime) -> None:
    main = runtime.main

    class Odd(GenStatem):
        def init(self) -> Any:
            return atom.only

        def handle_event(self, event: Any, content: Any, state: Any) -> Any:
            return statem.KeepState(statem.Reply(event[1], object()))

    pid = await start(runtime, Odd)
    with pytest.raises(CallExit) as caught:
        await gen.call(main, pid, 1)
    (word, kind, text), _ = caught.value.reason
    assert (word, kind) == (atom.python_error, atom.EncodeError)
    assert b"Odd in state atom.only" in text


async def test_later_replies_and_a_parents_exit(runtime: Runtime) -> None:
    main = runtime.main

    class Later(Machine):
        waiting: gen.Caller

        def handle_event(self, event: Any, content: Any, state: Any) -> Any:
            if event == atom.cast:
                self.waiting.reply(content)
            elif event != atom.enter:
                self.trap_exit = True
                self.waiting = event[1]

    parent = runtime.spawn(None, trap_exit=True)
    pid = await start(runtime, Later, main.pid, link_to=parent.pid)
    waiting = asyncio.create_task(gen.call(main, pid, 1))
    await asyncio.sleep(0)
    gen.cast(main, pid, atom.at_last)
    assert await waiting == atom.at_last
    runtime.exit(parent, pid, atom.shutdown)
    assert await receive(main) == (atom.terminate, atom.shutdown, atom.first)
    assert await receive(parent) == (atom.EXIT, pid, atom.shutdown)


# --------------------------------------------------------------------------- sys


def expose(runtime: Runtime, name: str, function: Any) -> ExportFun:
    runtime.resolver.expose(function, module="test", name=name)
    return ExportFun("test", name, function.__code__.co_argcount)


async def test_the_state_is_state_and_data(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Door, 42)
    change = expose(runtime, "change", lambda pair: (atom.open, pair[1] | {atom.code: 43}))
    after = (atom.open, {atom.code: 43, atom.seconds: 10.0})
    assert await sys.replace_state(main, pid, change) == after
    assert await sys.get_state(main, pid) == after
    wrong = expose(runtime, "wrong", lambda pair: 1)
    with pytest.raises(Exception, match="state machine's state is"):
        await sys.replace_state(main, pid, wrong)
    await sys.suspend(main, pid)

    assert await sys.change_code(main, pid, "Door", 1, 2) == atom.ok
    assert await sys.get_state(main, pid) == after


async def test_what_format_status_hides(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    class Secret(Door):
        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            keys = {"state", "data", "postponed", "timeouts", "log"}
            assert status.keys() >= keys
            return status | {"data": status["data"] | {atom.code: atom.hidden}}

    main = runtime.main
    pid = await start(runtime, Secret, 4711, name="secret")
    status = await sys.get_status(main, pid)
    header, data, state = status[3][4]
    assert charlist_text(header[1]) == "Status for state machine secret"
    names = [charlist_text(name) for name, _ in data[1]]
    assert names == ["Status", "Parent", "Modules", "Time-outs", "Logged Events", "Postponed"]
    shown = (atom.locked, {atom.code: atom.hidden, atom.seconds: 10.0})
    assert state == (atom.data, [([*b"State"], shown)])
    await gen.stop(main, pid, atom.why)
    (record,) = (r for r in caplog.records if r.levelno == logging.ERROR)
    assert "4711" not in record.getMessage()
    assert record.report["state"] == shown  # type: ignore[attr-defined]
    assert record.report["callback_mode"] == "state_functions"  # type: ignore[attr-defined]


async def test_the_record_of_a_crash_has_the_event_and_what_waited(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    pid = await machine(runtime)
    body: Any = runtime.local(pid).body  # type: ignore[union-attr]
    tell(runtime, pid, lambda m, e: statem.KeepState(statem.Postpone()))
    tell(
        runtime,
        pid,
        lambda m, e: statem.KeepState(
            statem.NextEvent("internal", _crash),
            statem.NextEvent("internal", atom.waits),
            statem.Timeout(1, 60, atom.later),
        ),
    )
    assert (await receive(main))[0] == atom.terminate
    (record,) = (r for r in caplog.records if r.levelno == logging.ERROR)
    report = record.report  # type: ignore[attr-defined]
    assert report["last_event"] == (atom.internal, _crash)
    assert report["queued"] == [(atom.internal, atom.waits)]
    assert len(report["postponed"]) == 1
    assert report["timeouts"] == [((atom.timeout, 1), atom.later)]
    assert report["initial_call"] == (atom.Machine, atom.init, 1)
    assert record.exc_info[0] is ZeroDivisionError  # type: ignore[index]
    assert body.extra is None


def _crash(machine: Machine, event: Any) -> Any:
    return 1 / 0


async def test_debug_output_is_gen_statems(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    pid = await start(runtime, Door, 42, name="door")
    for what in ((atom.trace, True), (atom.log, True), (atom.statistics, True)):
        assert await sys.debug(main, pid, what) == atom.ok
    with caplog.at_level(logging.INFO, "pynode.sys"):
        await gen.call(main, pid, (atom.unlock, 42))
        gen.cast(main, pid, 1)
        with pytest.raises(CallTimeout):
            await gen.call(main, pid, 1, timeout=0.01)
    lines = [r.getMessage() for r in caplog.records if r.name == "pynode.sys"]
    me = f"#Pid<py@test.{main.pid.id}.0>"
    call = f"call {{unlock,42}} from {me}"
    assert lines == [
        f"*DBG* door receive {call} in state locked",
        f"*DBG* door send ok to {me}",
        f"*DBG* door consume {call} in state locked => open",
        "*DBG* door start_timer {state_timeout,10000,lock,[]} in state open",
        "*DBG* door receive cast 1 in state open",
        "*DBG* door consume cast 1 in state open",
        f"*DBG* door receive call 1 from {me} in state open",
        f"*DBG* door postpone call 1 from {me} in state open",
    ]
    ok, events = await sys.debug(main, pid, (atom.log, atom.get))
    assert (ok, len(events)) == (atom.ok, 8)
    assert events[-1][:1] == (atom.postpone,)
    counts = dict((await sys.debug(main, pid, (atom.statistics, atom.get)))[1])
    assert (counts[atom.messages_in], counts[atom.messages_out]) == (3, 1)


# --------------------------------------------------------------------------- enter_loop


async def test_a_process_may_become_a_machine(runtime: Runtime) -> None:
    main = runtime.main

    async def body(process: Process) -> None:
        message = await process.receive()
        await Door.enter_loop(
            process, atom.open, {"code": message, "seconds": 10.0}, statem.Timeout(1, 0, atom.x)
        )

    process = runtime.spawn(body)
    runtime.send(main, process.pid, 43)
    runtime.send(main, process.pid, (atom("$gen_cast"), 1))
    state = (atom.open, {atom.code: 43, atom.seconds: 10.0})
    assert await sys.get_state(main, process.pid) == state
    await gen.stop(main, process.pid, atom.shutdown)
    with pytest.raises(NoProcess):
        await gen.call(main, process.pid, 1)
    assert await reason_of_death(runtime, process.pid) == atom.noproc
