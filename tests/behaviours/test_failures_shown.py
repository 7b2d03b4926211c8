"""What a program is shown of a failure: its own frames, and the first fault behind the last."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

import pytest

from pynode.behaviours import (
    Agent,
    DynamicSupervisor,
    GenServer,
    GenStatem,
    Supervisor,
    TaskSupervisor,
    gen,
    start,
    statem,
    supervisor_client,
    task_supervisor,
)
from pynode.behaviours.agent import get
from pynode.errors import CallExit, EncodeError, Exit, StartError, Stop
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import Pid, atom

from .helpers import DEADLINE


class Failing(GenServer):
    """Fails to start, in the way it is told."""

    def init(self, how: Any = None) -> None:
        if how == "stop":
            raise Stop(atom.odd)
        if how == "stop from":
            try:
                raise KeyError("config")
            except KeyError as error:
                raise Stop(atom.odd) from error
        raise ValueError("no such file")


class Failing2(Failing, blocking=True):
    """The same in a thread."""


class FailingMachine(GenStatem):
    """A machine that does not start."""

    def init(self) -> Any:
        raise ValueError("no such file")


def functions_of(traceback: TracebackType | None) -> list[str]:
    """Return the names of the functions of a traceback."""
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the records of crashes."""
    return [r for r in caplog.records if r.name == "pynode.process" and r.levelname == "ERROR"]


# --------------------------------------------------------------------------- starts


@pytest.mark.parametrize("server", [Failing, Failing2, FailingMachine])
async def test_the_cause_of_a_start_that_failed(runtime: Runtime, server: Any) -> None:
    with pytest.raises(StartError) as caught:
        await start(runtime, server)
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError)
    assert functions_of(cause.__traceback__) == ["init"]
    text = str(caught.value)
    assert f"(atom.file, charlist({__file__!r}))" in text


async def test_a_stop_is_no_cause_but_may_have_one(runtime: Runtime) -> None:
    with pytest.raises(StartError) as caught:
        await start(runtime, Failing, "stop")
    assert caught.value.__cause__ is None
    with pytest.raises(StartError) as caught:
        await start(runtime, Failing, "stop from")
    assert isinstance(caught.value.__cause__, KeyError)


async def test_the_cause_of_a_tree_that_does_not_start(runtime: Runtime) -> None:
    with pytest.raises(StartError) as caught:
        await start(runtime, Supervisor, [Failing], strategy="one_for_one")
    child = caught.value.__cause__
    assert isinstance(child, StartError)
    assert isinstance(child.__cause__, ValueError)


@pytest.mark.parametrize("tree", [Supervisor, DynamicSupervisor])
async def test_the_cause_of_a_child_that_does_not_start(runtime: Runtime, tree: Any) -> None:
    main = runtime.main
    arguments: tuple[Any, ...] = ([],) if tree is Supervisor else ()
    boss = await start(runtime, tree, *arguments, strategy="one_for_one")
    ask = (
        supervisor_client.start_child
        if tree is Supervisor
        else supervisor_client.start_dynamic_child
    )
    for _ in range(2):
        with pytest.raises(StartError) as caught:
            await ask(main, boss, Failing)
        assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(StartError) as caught:
        await ask(main, boss, (Failing, "stop"))
    assert caught.value.__cause__ is None
    body: Any = runtime.local(boss).body  # type: ignore[union-attr]
    assert (body.lent, body.failed, body.failures) == ({}, {}, None)


# --------------------------------------------------------------------------- terminate


class Twice(GenServer):
    """Fails, and fails again when it cleans up."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == atom.stop:
            raise Stop(atom.normal)
        raise KeyError("first")

    async def handle_cast(self, request: Any) -> Any:
        raise KeyError("first")

    def terminate(self, reason: Any) -> None:
        raise ZeroDivisionError("second")


class TwiceInThread(Twice, blocking=True):
    """The same in a thread."""

    def handle_cast(self, request: Any) -> Any:
        raise KeyError("first")


class TwiceByItself(GenStatem):
    """The same, a machine."""

    def init(self) -> Any:
        return atom.on

    def handle_event(self, event: Any, content: Any, state: Any) -> Any:
        if content == atom.stop:
            raise Stop(atom.normal)
        raise KeyError("first")

    def terminate(self, reason: Any, state: Any) -> None:
        raise ZeroDivisionError("second")


@pytest.mark.parametrize("server", [Twice, TwiceInThread, TwiceByItself])
@pytest.mark.parametrize("by", ["call", "cast"])
async def test_a_terminate_that_fails_does_not_hide_the_first_failure(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, server: Any, by: str
) -> None:
    main = runtime.main
    pid = await start(runtime, server)
    with runtime.open_call(main, pid) as slot:
        if by == "call":
            with pytest.raises(CallExit):
                await gen.call(main, pid, atom.crash)
        else:
            gen.cast(main, pid, atom.crash)
        with pytest.raises(CallExit) as caught:
            await slot.wait(DEADLINE)
    # The reason is the last exception's, as in OTP.
    assert caught.value.reason[0][1] == atom.ZeroDivisionError
    (record,) = errors(caplog)
    assert record.exc_info is not None
    later = record.exc_info[1]
    assert isinstance(later, ZeroDivisionError)
    assert isinstance(later.__context__, KeyError)
    (name,) = functions_of(later.__context__.__traceback__)
    assert name.startswith("handle_")
    facts: dict[str, Any] = record.__dict__["report"]
    assert facts["ending_with"][0][1] == atom.KeyError
    assert "\n  ending with: ((atom.python_error, atom.KeyError" in record.getMessage()


@pytest.mark.parametrize("server", [Twice, TwiceByItself])
async def test_a_terminate_that_fails_tells_which_end_it_was(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, server: Any
) -> None:
    main = runtime.main
    for end in ("stop", "sys"):
        pid = await start(runtime, server)
        caplog.clear()
        ends = gen.stop(main, pid, atom.enough) if end == "sys" else gen.call(main, pid, atom.stop)
        with pytest.raises(CallExit):
            await ends
        (record,) = errors(caplog)
        ending: Any = atom.enough if end == "sys" else atom.normal
        assert record.__dict__["report"]["ending_with"] == ending


async def test_a_failure_of_its_own_keeps_its_context(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    class Layered(Twice):
        def terminate(self, reason: Any) -> None:
            try:
                super().terminate(reason)
            except ZeroDivisionError as error:
                raise OSError("third") from error

    pid = await start(runtime, Layered)
    with pytest.raises(CallExit):
        await gen.call(runtime.main, pid, atom.crash)
    (record,) = errors(caplog)
    assert record.exc_info is not None
    error = record.exc_info[1]
    kinds = []
    while error is not None:
        kinds.append(type(error))
        error = error.__context__
    assert kinds == [OSError, ZeroDivisionError, KeyError]


# --------------------------------------------------------------------------- no terms


class Replies(GenServer):
    """Replies with what is no term."""

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        if request == atom.later:
            caller.reply({1, 2})
        if request == atom.stop:
            raise Stop(atom.normal, reply={1, 2})
        return {1, 2}


class RepliesAsync(GenServer):
    """The same, async."""

    async def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return Replies.handle_call(self, request, caller)  # type: ignore[arg-type]


class RepliesByItself(GenStatem, callback_mode="state_functions"):
    """The same, a machine."""

    def init(self) -> Any:
        return atom.on

    def on(self, event: Any, content: Any) -> Any:
        return statem.KeepState(statem.Reply(event[1], {1, 2}))


@pytest.mark.parametrize("server", [Replies, RepliesAsync, RepliesByItself])
@pytest.mark.parametrize("request_", [atom.now, atom.later, atom.stop])
async def test_a_reply_that_is_no_term_shows_the_program_alone(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, server: Any, request_: Any
) -> None:
    pid = await start(runtime, server)
    with pytest.raises(CallExit) as caught:
        await gen.call(runtime.main, pid, request_)
    (record,) = errors(caplog)
    assert record.exc_info is not None
    _, error, traceback = record.exc_info
    assert isinstance(error, EncodeError)
    assert "a value of type set" in str(error)
    shown = logging.Formatter().formatException((type(error), error, traceback))
    assert "/pynode/" not in shown.replace(__file__, "")
    # The stack in the reason names the callback, and no function of ours.
    stack = caught.value.reason[1]
    assert stack
    if error.callback is None:
        assert functions_of(traceback)[-1] == "handle_call"
        assert str(stack[0][1]).endswith("handle_call")
    else:
        assert stack[0][1] == (atom.on if server is RepliesByItself else atom.handle_call)
    assert not [frame for frame in stack if str(frame[0]).startswith("pynode.")]


async def test_a_message_that_is_no_term_shows_the_line_that_sent_it(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    async def sends(process: Process, to: Pid) -> None:
        process.runtime.send(process, to, object())

    pid = runtime.spawn(sends, runtime.main.pid).pid
    with runtime.open_call(runtime.main, pid) as slot, pytest.raises(CallExit) as caught:
        await slot.wait(DEADLINE)
    (record,) = errors(caplog)
    assert record.exc_info is not None
    assert functions_of(record.exc_info[2]) == ["sends"]
    ((module, _, _, _),) = caught.value.reason[1]
    assert str(module) == __name__


async def test_what_an_agent_cannot_tell(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    class Tags(Agent):
        pass

    pid = await start(runtime, Tags, set)
    with pytest.raises(CallExit) as caught:
        await get(runtime.main, pid, lambda state: state)
    (_, _, text), _ = caught.value.reason
    assert b"what a function of " in text
    assert b"Tags returned is no term: a value of type set" in text


async def test_an_exit_that_terminate_raises_is_the_end(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    class Exits(Twice):
        def terminate(self, reason: Any) -> None:
            raise Exit(atom.odd)

    pid = await start(runtime, Exits)
    with pytest.raises(CallExit) as caught:
        await gen.call(runtime.main, pid, atom.crash)
    assert caught.value.reason == atom.odd
    (record,) = errors(caplog)
    assert isinstance(record.exc_info[1].__context__, KeyError)  # type: ignore[index,union-attr]


async def test_the_stack_of_a_task_that_another_node_wants(runtime: Runtime) -> None:
    def fail() -> None:
        raise ValueError("no")

    runtime.resolver.expose(fail, module="work", name="fail")
    main = runtime.main
    tasks = await start(runtime, TaskSupervisor)
    ref = await task_supervisor.async_nolink(main, tasks, ("work", "fail"))
    with pytest.raises(CallExit) as caught:
        await ref
    stack = caught.value.reason[1]
    assert [str(frame[1]).rpartition(".")[2] for frame in stack] == ["fail"]
