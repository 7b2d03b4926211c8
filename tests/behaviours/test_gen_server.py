"""GenServer: callbacks, control flow, the end."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from pynode.behaviours import GenServer, gen, start, sys
from pynode.errors import (
    NO_REPLY,
    CallExit,
    Exit,
    FunctionClause,
    NoProcess,
    Stop,
)
from pynode.process.runtime import Runtime
from pynode.terms import ImproperList, Pid, Reference, atom

from .helpers import DEADLINE, Echo, reason_of_death, receive


class Counter(GenServer):
    count: int
    waiting: gen.Caller

    def init(self, first: int) -> None:
        self.count = first

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        match request:
            case atom.bump:
                self.count += 1
                return self.count
            case atom.later:
                self.waiting = caller
                return NO_REPLY
            case atom.now:
                self.waiting.reply(self.count)
                return atom.ok
            case atom.stop:
                raise Stop(atom.normal, reply=atom.bye)
            case _:
                raise FunctionClause(request)


async def test_the_example_of_the_documentation(runtime: Runtime) -> None:
    pid = await start(runtime, Counter, 10, name="counter")
    main = runtime.main
    assert await gen.call(main, pid, atom.bump) == 11
    assert await gen.call(main, "counter", atom.bump) == 12
    late = asyncio.create_task(gen.call(main, pid, atom.later))
    await asyncio.sleep(0)
    assert await gen.call(main, pid, atom.now) == atom.ok
    assert await late == 12
    assert await gen.call(main, pid, atom.stop) == atom.bye
    assert await reason_of_death(runtime, pid) in (atom.normal, atom.noproc)
    assert runtime.whereis("counter") is None


async def test_casts_and_messages_keep_their_order(runtime: Runtime) -> None:
    pid = await start(runtime, Echo)
    expected: list[Any] = []
    for number in range(100):
        gen.cast(runtime.main, pid, number)
        runtime.send(runtime.main, pid, (atom.plain, number))
        expected += [(b"cast", number), (b"info", (atom.plain, number))]
    assert await gen.call(runtime.main, pid, atom.seen) == expected


async def test_an_unknown_call_ends_the_server_as_function_clause_does(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await start(runtime, Counter, 0, name="counter")
    with pytest.raises(CallExit) as caught:
        await gen.call(runtime.main, pid, atom.nonsense)
    reason = caught.value.reason
    assert reason[0] == atom.function_clause
    assert any(frame[1].name.endswith("handle_call") for frame in reason[1])
    assert caught.value.call == (atom.gen_server, atom.call, [pid, atom.nonsense, 5000])
    assert runtime.whereis("counter") is None
    assert [r.levelname for r in caplog.records if r.name == "pynode.process"] == ["ERROR"]


async def test_a_callback_that_is_not_there_is_named(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """In the report, in the exception and in the reason; without the frames of this package."""

    class Bare(GenServer):
        pass

    class Threaded(GenServer, blocking=True, module="Threaded"):
        pass

    server: type[GenServer]
    for server, module in ((Bare, atom.Bare), (Threaded, atom.Threaded)):
        pid = await start(runtime, server)
        with pytest.raises(CallExit) as caught:
            await gen.call(runtime.main, pid, (atom.get, 1))
        assert caught.value.reason == (atom.function_clause, [(module, atom.handle_call, 3, [])])
        text = f"{module} defines no handle_call, and there was (atom.get, 1) for it"
        record = next(r for r in caplog.records if r.levelname == "ERROR")
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == text
        assert record.exc_info[2] is None
        caplog.clear()
        pid = await start(runtime, server)
        gen.cast(runtime.main, pid, 1)
        reason = await reason_of_death(runtime, pid)
        assert reason == (atom.function_clause, [(module, atom.handle_cast, 2, [])])
        caplog.clear()


async def test_the_defaults_refuse_casts_and_log_messages(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    class Bare(GenServer):
        pass

    pid = await start(runtime, Bare)
    runtime.send(runtime.main, pid, atom.hello)
    gen.cast(runtime.main, pid, atom.hello)
    reason = await reason_of_death(runtime, pid)
    assert reason[0] == atom.function_clause
    # On a loaded machine there may be one about a slow callback too.
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("unexpected message" in text and "atom.hello" in text for text in warnings)


class Recorder(GenServer):
    """Tells a pid what is called."""

    def init(self, to: Pid) -> None:
        self.to = to

    def tell(self, what: Any) -> None:
        self.node_runtime.send(self.process, self.to, what)

    @property
    def node_runtime(self) -> Runtime:
        return self.process.runtime

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return self.act(request)

    def handle_cast(self, request: Any) -> None:
        self.act(request)

    def act(self, request: Any) -> Any:
        match request:
            case atom.crash:
                raise ValueError("text")
            case (atom.stop, reason):
                raise Stop(reason)
            case (atom.exit, reason):
                raise Exit(reason)
            case atom.trap:
                self.trap_exit = True
                return atom.ok
        return request

    def terminate(self, reason: Any) -> None:
        self.tell((atom.terminate, reason))


@pytest.mark.parametrize("by_call", [True, False])
async def test_a_crash_ends_it_as_erlang_would_write_it(
    runtime: Runtime, by_call: bool, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await start(runtime, Recorder, runtime.main.pid)
    if by_call:
        with pytest.raises(CallExit) as caught:
            await gen.call(runtime.main, pid, atom.crash)
        reason = caught.value.reason
    else:
        with runtime.open_call(runtime.main, pid) as slot:
            gen.cast(runtime.main, pid, atom.crash)
            with pytest.raises(CallExit) as caught:
                await slot.wait(DEADLINE)
        reason = caught.value.reason
    assert reason[0] == (atom.python_error, atom.ValueError, b"text")
    module, function, arity, location = reason[1][0]
    assert module == atom(__name__)
    assert function == atom("Recorder.act")
    assert arity == 2
    assert dict(location)[atom.line] > 0
    assert all(not frame[0].name.startswith("pynode.behaviours") for frame in reason[1])
    assert await receive(runtime.main) == (atom.terminate, reason)
    record = next(r for r in caplog.records if r.name == "pynode.process")
    assert record.exc_info is not None
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1


@pytest.mark.parametrize("how", [atom.stop, atom.exit])
@pytest.mark.parametrize("by_call", [True, False])
async def test_stop_and_exit_call_terminate_with_the_reason(
    runtime: Runtime, how: Any, by_call: bool, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await start(runtime, Recorder, runtime.main.pid)
    if by_call:
        with pytest.raises(CallExit) as caught:
            await gen.call(runtime.main, pid, (how, atom.shutdown))
        assert caught.value.reason == atom.shutdown
    else:
        gen.cast(runtime.main, pid, (how, atom.shutdown))
    assert await receive(runtime.main) == (atom.terminate, atom.shutdown)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_stop_with_reply_terminates_first_and_replies_before_the_end(
    runtime: Runtime,
) -> None:
    order: list[str] = []

    class Last(GenServer):
        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            raise Stop(atom.normal, reply=atom.bye)

        def terminate(self, reason: Any) -> None:
            order.append("terminate")

    pid = await start(runtime, Last)
    assert await gen.call(runtime.main, pid, atom.x) == atom.bye
    assert order == ["terminate"]


async def test_a_failing_terminate_gives_the_reason(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(GenServer):
        def handle_cast(self, request: Any) -> None:
            raise Stop(atom.normal)

        def terminate(self, reason: Any) -> None:
            raise Exit(atom.worse)

    pid = await start(runtime, Bad)
    with runtime.open_call(runtime.main, pid) as slot:
        gen.cast(runtime.main, pid, 1)
        with pytest.raises(CallExit) as caught:
            await slot.wait(DEADLINE)
    assert caught.value.reason == atom.worse


async def test_the_parents_exit_ends_a_server_that_traps(runtime: Runtime) -> None:
    parent = runtime.spawn(None, trap_exit=True)
    pid = await start(runtime, Recorder, runtime.main.pid, link_to=parent.pid)
    other = runtime.spawn(None)
    assert await gen.call(runtime.main, pid, atom.trap) == atom.ok
    runtime.exit(runtime.main, pid, atom.ignored)  # a message, not from the parent
    assert await gen.call(runtime.main, pid, atom.alive) == atom.alive
    assert other.alive
    runtime.exit(parent, pid, (atom.shutdown, 1))
    assert await receive(runtime.main) == (atom.terminate, (atom.shutdown, 1))
    assert await receive(parent) == (atom.EXIT, pid, (atom.shutdown, 1))


async def test_an_exit_signal_without_trapping_calls_no_terminate(runtime: Runtime) -> None:
    pid = await start(runtime, Recorder, runtime.main.pid)
    runtime.exit(runtime.main, pid, atom.away)
    with pytest.raises(NoProcess):
        await gen.call(runtime.main, pid, 1)
    assert not runtime.main.mailbox


async def test_async_callbacks_are_stepped_to_their_end(runtime: Runtime) -> None:
    order: list[Any] = []

    class Slow(GenServer):
        async def init(self) -> None:
            await asyncio.sleep(0)
            order.append("init")

        async def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            order.append(("in", request))
            await asyncio.sleep(0)
            order.append(("out", request))
            return request

        async def handle_cast(self, request: Any) -> None:
            order.append(("in", request))
            await asyncio.sleep(0.001)
            order.append(("out", request))

        async def handle_info(self, message: Any) -> None:
            await self.handle_cast(message)

        async def terminate(self, reason: Any) -> None:
            await asyncio.sleep(0)
            order.append(("terminate", reason))

    pid = await start(runtime, Slow)
    main = runtime.main
    gen.cast(main, pid, 1)
    runtime.send(main, pid, 2)
    assert await gen.call(main, pid, 3) == 3
    await gen.stop(main, pid)
    assert order == [
        "init",
        ("in", 1),
        ("out", 1),
        ("in", 2),
        ("out", 2),
        ("in", 3),
        ("out", 3),
        ("terminate", atom.normal),
    ]


@pytest.mark.parametrize("wrong", [ValueError("x"), Stop(atom.enough), Exit(atom.enough)])
async def test_an_async_callback_that_raises_ends_the_server_once(
    runtime: Runtime, wrong: BaseException
) -> None:
    ended: list[Any] = []

    class Wrong(GenServer):
        async def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            await asyncio.sleep(0)
            raise wrong

        def terminate(self, reason: Any) -> None:
            ended.append(reason)

    pid = await start(runtime, Wrong)
    with pytest.raises(CallExit) as caught:
        await gen.call(runtime.main, pid, 1)
    assert ended == [caught.value.reason]


async def test_continue_comes_before_any_message(runtime: Runtime) -> None:
    class Stepwise(GenServer):
        def init(self) -> None:
            self.order: list[Any] = []
            self.continue_with(atom.first)

        def handle_continue(self, term: Any) -> None:
            self.order.append(term)
            if term == atom.first:
                self.continue_with(atom.second)

        def handle_cast(self, request: Any) -> None:
            self.order.append(request)
            self.continue_with((atom.after, request))

        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            if request == atom.order:
                return self.order
            self.continue_with(request)
            return atom.ok

    pid = await start(runtime, Stepwise)
    main = runtime.main
    gen.cast(main, pid, 1)
    gen.cast(main, pid, 2)
    assert await gen.call(main, pid, 3) == atom.ok
    assert await gen.call(main, pid, atom.order) == [
        atom.first,
        atom.second,
        1,
        (atom.after, 1),
        2,
        (atom.after, 2),
        3,
    ]


async def test_a_continue_that_fails_after_a_reply_ends_the_server_once(runtime: Runtime) -> None:
    ended: list[Any] = []

    class Bad(GenServer):
        async def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            self.continue_with(request)
            return atom.ok

        def handle_continue(self, term: Any) -> None:
            raise Stop(term)

        def terminate(self, reason: Any) -> None:
            ended.append(reason)

    pid = await start(runtime, Bad)
    with runtime.open_call(runtime.main, pid) as slot:
        assert await gen.call(runtime.main, pid, atom.over) == atom.ok
        with pytest.raises(CallExit) as caught:
            await slot.wait(DEADLINE)
    assert caught.value.reason == atom.over
    assert ended == [atom.over]


class Impatient(GenServer):
    def init(self, to: Pid, seconds: float) -> None:
        self.to = to
        self.seconds = seconds
        self.set_timeout(seconds)

    def handle_cast(self, request: Any) -> None:
        if request == atom.again:
            self.set_timeout(self.seconds)

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return request

    def handle_info(self, message: Any) -> None:
        self.process.runtime.send(self.process, self.to, (atom.got, message))


async def test_a_timeout_arrives_when_nothing_else_does(runtime: Runtime) -> None:
    pid = await start(runtime, Impatient, runtime.main.pid, 0.001)
    assert await receive(runtime.main) == (atom.got, atom.timeout)
    gen.cast(runtime.main, pid, atom.again)
    assert await receive(runtime.main) == (atom.got, atom.timeout)


async def test_any_message_cancels_the_timeout(runtime: Runtime) -> None:
    pid = await start(runtime, Impatient, runtime.main.pid, 0.05)
    assert await gen.call(runtime.main, pid, 1) == 1  # cancels
    with pytest.raises(TimeoutError):
        await runtime.main.receive(timeout=0.15)
    runtime.send(runtime.main, pid, atom.timeout)  # a message like any other
    assert await receive(runtime.main) == (atom.got, atom.timeout)


async def test_text_of_a_class_is_text_in_requests(runtime: Runtime) -> None:
    class Words(GenServer, text=True):
        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            return [type(request).__name__, request]

    pid = await start(runtime, Words)
    assert await gen.call(runtime.main, pid, b"caf\xc3\xa9") == [b"str", "café".encode()]
    assert await gen.call(runtime.main, pid, "café", text=True) == ["str", "café"]
    assert await gen.call(runtime.main, pid, b"\xff", text=True) == ["bytes", b"\xff"]


async def test_replies_go_to_the_alias_or_to_the_pid(runtime: Runtime) -> None:
    pid = await start(runtime, Echo)
    main = runtime.main
    ref = runtime.make_ref()
    tags: list[Any] = [ref, (ref, atom("n@h")), [ref], [], b"any", ImproperList([1], ref)]
    for tag in tags:
        runtime.send(main, pid, (atom("$gen_call"), (main.pid, tag), atom.hi))
        assert await receive(main) == (tag, atom.hi)
    alias = runtime.alias(main)
    inner = ImproperList([atom.alias], alias)
    nobody = Pid(runtime.node_name, 99999, 0, runtime.creation)
    tags = [inner, ImproperList([inner], ref), [inner], [inner, 1]]
    for tag in tags:
        runtime.send(main, pid, (atom("$gen_call"), (nobody, tag), atom.hi))
        assert await receive(main) == (tag, atom.hi)


async def test_a_from_that_is_rubbish_harms_nobody(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Echo)
    senders: list[Any] = [1, b"x", [], None, "nobody", ("nobody", runtime.node_name), ("a", 1, 2)]
    for sender in senders:
        for label in ("$gen_call", "system"):
            runtime.send(main, pid, (atom(label), (sender, runtime.make_ref()), atom.get_state))
    runtime.register("main", main.pid)
    runtime.send(main, pid, (atom("$gen_call"), (atom.main, 1), atom.hi))  # a name will do
    assert await receive(main) == (1, atom.hi)
    assert await gen.call(main, pid, atom.hi) == atom.hi


async def test_a_reply_that_is_no_term_ends_the_server(runtime: Runtime) -> None:
    class Odd(GenServer):
        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            return object()

    pid = await start(runtime, Odd)
    with pytest.raises(CallExit) as caught:
        await gen.call(runtime.main, pid, 1)
    assert caught.value.reason[0][:2] == (atom.python_error, atom.EncodeError)


async def test_callers_compare_and_travel(runtime: Runtime) -> None:
    class Keeper(GenServer):
        def init(self) -> None:
            self.kept: list[gen.Caller] = []

        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            if request == atom.forward:
                return caller.term
            self.kept.append(caller)
            assert caller == gen.Caller(self.process, caller.term)
            assert hash(caller) == hash(gen.Caller(self.process, caller.term))
            assert isinstance(caller.pid, Pid)
            return NO_REPLY

        def handle_cast(self, request: Any) -> None:
            gen.reply(self.process, self.kept.pop(0).term, request)

    pid = await start(runtime, Keeper)
    waiting = asyncio.create_task(gen.call(runtime.main, pid, atom.keep))
    await asyncio.sleep(0)
    gen.cast(runtime.main, pid, atom.given)
    assert await waiting == atom.given
    origin = await gen.call(runtime.main, pid, atom.forward)
    assert origin[0] == runtime.main.pid
    assert isinstance(origin[1].tail, Reference)


async def test_a_cancelled_error_of_ones_own_does_not_run_terminate_twice(
    runtime: Runtime,
) -> None:
    ended: list[Any] = []

    class Odd(GenServer):
        async def handle_cast(self, request: Any) -> None:
            task = asyncio.create_task(asyncio.sleep(100))
            task.cancel()
            await task

        def terminate(self, reason: Any) -> None:
            ended.append(reason)

    pid = await start(runtime, Odd)
    with runtime.open_call(runtime.main, pid) as slot:
        gen.cast(runtime.main, pid, 1)
        with pytest.raises(CallExit) as caught:
            await slot.wait(DEADLINE)
    assert caught.value.reason[0][1] == atom.CancelledError


async def test_killed_in_an_async_callback_it_is_gone_at_once(runtime: Runtime) -> None:
    class Stuck(GenServer):
        async def handle_cast(self, request: Any) -> None:
            await asyncio.Event().wait()

    pid = await start(runtime, Stuck, name="stuck")
    gen.cast(runtime.main, pid, 1)
    await asyncio.sleep(0)
    runtime.exit(runtime.main, pid, atom.kill)
    assert runtime.local(pid) is None
    assert runtime.whereis("stuck") is None


async def test_the_process_dictionary_knows_where_it_comes_from(runtime: Runtime) -> None:
    runtime.register("boss", runtime.main.pid)
    pid = await start(runtime, Counter, 0, link_to=runtime.main.pid)

    async def dictionary(pid: Pid) -> dict[Any, Any]:
        status = await sys.get_status(runtime.main, pid)
        return dict(status[3][0])

    process = runtime.local(pid)
    assert process is not None
    process.dictionary[atom.mine] = 1
    assert await dictionary(pid) == {
        atom("$ancestors"): [atom.boss],
        atom("$initial_call"): (atom.Counter, atom.init, 1),
        atom.mine: 1,
    }
    child = await start(runtime, Counter, 0, link_to=pid)
    assert (await dictionary(child))[atom("$ancestors")] == [pid, atom.boss]


async def test_a_timeout_that_fired_too_late_is_no_message(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Impatient, main.pid, 0.001)
    assert await receive(main) == (atom.got, atom.timeout)
    gen.cast(main, pid, atom.again)
    assert await gen.call(main, pid, 1, timeout=None) in (1,)  # cancels what `again` began
    gen.cast(main, pid, atom.again)
    await asyncio.sleep(0)
    process = runtime.local(pid)
    assert process is not None
    # In one round of the loop a message is sent first, then the timer fires: both wait together.
    runtime.loop.call_soon(runtime.send, main, pid, atom.first)
    time.sleep(0.005)  # noqa: ASYNC251  lets the timer come due, with the loop held
    assert await receive(main) == (atom.got, atom.first)
    assert await gen.call(main, pid, 1) == 1
    assert not main.mailbox
    assert process.body.extra is None  # type: ignore[union-attr]


async def test_a_suspended_server_counts_its_timeout_anew(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Impatient, main.pid, 0.02)
    await sys.suspend(main, pid)
    with pytest.raises(TimeoutError):
        await main.receive(timeout=0.06)
    await sys.resume(main, pid)
    assert await receive(main) == (atom.got, atom.timeout)


async def test_a_callback_that_holds_the_loop_is_named(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    class Hog(GenServer):
        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            time.sleep(0.02)

    runtime.scheduler.slow = 0.01
    pid = await start(runtime, Hog)
    await gen.call(runtime.main, pid, 1)
    assert "Hog" in caplog.text
    assert "blocking=True" in caplog.text
