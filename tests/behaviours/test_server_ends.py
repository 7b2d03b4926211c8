"""How servers end: what is called, what is told of it, what a wrong return value does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pynode.behaviours import GenEventHandler, GenServer, gen, start, sys
from pynode.errors import NO_REPLY, CallExit, Exit, StartError, Stop
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import ExportFun, Pid, atom, charlist_text

from .helpers import DEADLINE, receive


class Told(GenServer):
    """Does what it is told, and says how it ends."""

    def init(self, to: Pid, *, trap: bool = False) -> None:
        self.to = to
        self.secret = b"password"
        self.trap_exit = trap

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return self.act(request)

    def handle_cast(self, request: Any) -> Any:
        return self.act(request)

    def act(self, request: Any) -> Any:
        match request:
            case (atom.stop, reason):
                raise Stop(reason, reply=atom.bye)
            case (atom.exit, reason):
                raise Exit(reason)
            case atom.crash:
                return 1 / 0
            case atom.object:
                return object()
        return request

    def terminate(self, reason: Any) -> None:
        self.process.runtime.send(self.process, self.to, (atom.terminate, reason))


def errors(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [r for r in caplog.records if r.name == "pynode.process" and r.levelname == "ERROR"]


async def end_of(runtime: Runtime, pid: Pid, end: Callable[[], object]) -> Any:
    """Return the reason with which ``pid`` ends after ``end()``."""
    with runtime.open_call(runtime.main, pid) as slot:
        end()
        with pytest.raises(CallExit) as caught:
            await slot.wait(DEADLINE)
    return caught.value.reason


# --------------------------------------------------------------------------- records


async def test_the_record_of_a_crash(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    main = runtime.main
    runtime.register("boss", main.pid)
    pid = await start(runtime, Told, main.pid, name="told", link_to=main.pid)
    runtime.unlink(main, pid)
    with pytest.raises(CallExit):
        await gen.call(main, pid, atom.crash)
    (record,) = errors(caplog)
    report = record.report
    assert report["name"] == atom.told
    assert report["last_message"] == atom.crash
    assert report["state"][atom.secret] == b"password"
    assert report["client"] == main.pid
    assert report["initial_call"] == (atom.Told, atom.init, 1)
    assert report["ancestors"] == [atom.boss]
    assert report["reason"][0][1] == atom.ZeroDivisionError
    text = record.getMessage()
    for words in ("last message: atom.crash", "state: {", "initial call: Told:init/1", "boss"):
        assert words in text
    # The traceback begins in the program, not in what has called it.
    assert record.exc_info[2].tb_frame.f_code.co_name == "handle_call"


@pytest.mark.parametrize(
    "reason", [atom.normal, atom.shutdown, (atom.shutdown, 1), atom.odd, (atom.odd, 1)]
)
@pytest.mark.parametrize("how", ["stop", "call", "cast", "exit"])
async def test_only_odd_reasons_are_told_of(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, reason: Any, how: str
) -> None:
    main = runtime.main
    pid = await start(runtime, Told, main.pid)
    if how == "stop":
        await gen.stop(main, pid, reason)
    elif how == "call":
        assert await gen.call(main, pid, (atom.stop, reason)) == atom.bye
    else:
        word = atom.stop if how == "cast" else atom.exit
        ended = await end_of(runtime, pid, lambda: gen.cast(main, pid, (word, reason)))
        assert ended == reason
    assert await receive(main) == (atom.terminate, reason)
    found = errors(caplog)
    odd = reason == atom.odd or (isinstance(reason, tuple) and reason[0] == atom.odd)
    assert len(found) == odd
    if odd:
        # No code of the program's failed, unless it raised Exit itself.
        assert (found[0].exc_info is not None) == (how == "exit")


async def test_when_terminate_is_called(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """By the parent's exit if it traps exits; by others' it gets a message; never when killed."""
    main = runtime.main
    parent = runtime.spawn(None, trap_exit=True)
    for reason in (atom.shutdown, atom.odd):
        pid = await start(runtime, Told, main.pid, trap=True, link_to=parent.pid)
        ended = await end_of(runtime, pid, partial(runtime.exit, parent, pid, reason))
        assert ended == reason
        assert await receive(main) == (atom.terminate, reason)
    (record,) = errors(caplog)
    assert record.report["last_message"] == (atom.EXIT, parent.pid, atom.odd)
    pid = await start(runtime, Told, main.pid, trap=True)
    runtime.exit(main, pid, atom.odd)  # not from its parent: an info, which the class only logs
    assert await gen.call(main, pid, 1) == 1
    for trap in (True, False):
        pid = await start(runtime, Told, main.pid, trap=trap)
        kill = atom.kill if trap else atom.odd
        ended = await end_of(runtime, pid, partial(runtime.exit, main, pid, kill))
        assert ended == (atom.killed if trap else atom.odd)
    assert not main.mailbox
    assert len(errors(caplog)) == 1


# --------------------------------------------------------------------------- format_status


class Hides(Told):
    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        return status | {"state": status["state"] | {atom.secret: atom.hidden}}


class HidesAsBefore(Told):
    def format_status(self, why: Any, pair: Any) -> Any:  # type: ignore[override]
        dictionary, state = pair
        assert dict(dictionary)[atom("$initial_call")]
        shown = state | {atom.secret: (atom.hidden, why)}
        return shown if why == atom.terminate else [(atom.data, [(b"State", shown)])]


class Fails(Told):
    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        raise ValueError


class Forgets(Told):
    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        return {}


class NoMap(Told):
    def format_status(self, status: dict[str, Any]) -> Any:
        return 1


@pytest.mark.parametrize(
    ("cls", "shown"),
    [
        (Hides, "hidden"),
        (HidesAsBefore, "hidden"),
        (Fails, "Fails:format_status/1 crashed"),
        (Forgets, "Forgets:format_status/1 returned a map without"),
        (NoMap, "NoMap:format_status/1 did not return a map"),
    ],
)
async def test_what_a_server_hides(
    runtime: Runtime, cls: Any, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    pid = await start(runtime, cls, main.pid)
    status = await sys.get_status(main, pid)
    header, _, state = status[3][4]
    assert charlist_text(header[1]).startswith("Status for generic server <0.")
    assert "password" not in repr(state)
    assert shown in _text(state)
    await gen.stop(main, pid, atom.odd)
    (record,) = errors(caplog)
    assert "password" not in record.getMessage()
    assert shown in _text(record.report["state"])


def _text(term: Any) -> str:
    """Return the texts in a term, charlists among them."""
    if isinstance(term, list) and term and all(isinstance(each, int) for each in term):
        return charlist_text(term)
    if isinstance(term, list | tuple):
        return " ".join(map(_text, term))
    return repr(term)


async def test_what_a_handler_hides(runtime: Runtime) -> None:
    class Handler(GenEventHandler):
        def init(self, *args: Any) -> None:
            self.secret = b"password"

        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            return status | {"state": atom.hidden}

    pid = await start(runtime, Handler)
    status = await sys.get_status(runtime.main, pid)
    _, (_, handlers) = status[3][4][2]
    assert handlers == [(atom.handler, atom.Handler, atom.Handler, atom.hidden, None)]


# --------------------------------------------------------------------------- wrong values


@pytest.mark.parametrize("by_call", [True, False])
async def test_a_reply_that_is_no_term_names_the_callback(
    runtime: Runtime, by_call: bool, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main

    class Odd(Told):
        async def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            if by_call:
                return object()
            raise Stop(atom.normal, reply=object())

    for cls in (Told, Odd) if by_call else (Odd,):
        pid = await start(runtime, cls, main.pid)
        with pytest.raises(CallExit) as caught:
            await gen.call(main, pid, atom.object)
        (word, kind, text), _ = caught.value.reason
        assert (word, kind) == (atom.python_error, atom.EncodeError)
        assert f"{cls.__name__}.handle_call".encode() in text
        await receive(main)


@pytest.mark.parametrize(
    "result", [(atom.noreply, 1), (atom.stop, atom.normal, 1), (atom.reply, 1, 2)]
)
async def test_a_return_value_of_erlangs_is_refused(runtime: Runtime, result: Any) -> None:
    main = runtime.main

    class Confused(Told):
        async def handle_info(self, message: Any) -> Any:
            return message

        def handle_continue(self, term: Any) -> Any:
            return term

        def handle_cast(self, request: Any) -> Any:
            if request[0] == atom.later:
                return self.continue_with(request[1])
            return request

    for send in (
        lambda pid: gen.cast(main, pid, result),
        lambda pid: runtime.send(main, pid, result),
        lambda pid: gen.cast(main, pid, (atom.later, result)),
    ):
        pid = await start(runtime, Confused, main.pid)
        reason = await end_of(runtime, pid, partial(send, pid))
        assert reason == (atom.bad_return_value, result)
        assert await receive(main) == (atom.terminate, reason)
    pid = await start(runtime, Confused, main.pid)
    for harmless in ((1, 2), (atom.ok, 1), (atom.stop, 1)):
        gen.cast(main, pid, harmless)  # what cannot be meant so is nobody's mistake
    assert await gen.call(main, pid, result) == result  # and a reply may be anything


async def test_a_reason_that_is_no_term(runtime: Runtime) -> None:
    main = runtime.main

    class Odd(Told):
        def init(self, to: Pid) -> None:  # type: ignore[override]
            if to is None:
                raise Stop(object())

        def handle_cast(self, request: Any) -> Any:
            raise Stop(object())

        def terminate(self, reason: Any) -> None:
            pass

    pid = await start(runtime, Odd, main.pid)
    reason = await end_of(runtime, pid, lambda: gen.cast(main, pid, 1))
    assert reason[0][:2] == (atom.python_error, atom.EncodeError)
    with pytest.raises(StartError) as caught:
        await start(runtime, Odd, None)
    assert caught.value.reason[0][:2] == (atom.python_error, atom.EncodeError)


# --------------------------------------------------------------------------- timeouts


class Waits(GenServer):
    def init(self, to: Pid) -> None:
        self.to = to

    def handle_cast(self, request: Any) -> None:
        if isinstance(request, tuple):
            self.set_timeout(*request)
        else:
            self.handle_info(request)

    def handle_info(self, message: Any) -> None:
        self.process.runtime.send(self.process, self.to, message)


async def test_a_timeout_has_the_message_it_is_given(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Waits, main.pid)
    gen.cast(main, pid, (0.001, atom.late))
    assert await receive(main) == atom.late
    gen.cast(main, pid, (0, atom.at_once))  # before what waits already
    gen.cast(main, pid, (0,))  # after what waits already: never
    gen.cast(main, pid, atom.waits)
    assert [await receive(main), await receive(main)] == [atom.at_once, atom.waits]
    gen.cast(main, pid, (0,))
    assert await receive(main) == atom.timeout
    gen.cast(main, pid, (60, atom.never))
    await sys.get_state(main, pid)  # system messages do not count
    await sys.suspend(main, pid)
    await sys.resume(main, pid)
    server = runtime.local(pid).body.instance  # type: ignore[union-attr]
    assert server._body.extra.timer is not None
    for wrong in (-1, "1", True, None, float("nan")):
        with pytest.raises(ValueError, match="seconds"):
            server.set_timeout(wrong)


# --------------------------------------------------------------------------- beginnings


async def test_a_process_may_become_a_server(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main

    async def body(process: Process, blocking: bool) -> None:
        message = await process.receive()
        cls = Thread if blocking else Plain
        await cls.enter_loop(process, {"count": message, "to": main.pid}, parent=main.pid)

    class Plain(Told):
        count: int

        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            self.count += request
            if self.count == 4:
                caller.reply(self.count)
                return NO_REPLY
            return self.count

    class Thread(Plain, blocking=True):
        pass

    for blocking in (False, True):
        process = runtime.spawn(body, blocking, name="enters")
        runtime.send(main, process.pid, 1)
        assert await gen.call(main, process.pid, 2) == 3
        assert await gen.call(main, process.pid, 1) == 4
        assert (await sys.get_state(main, process.pid))[atom.count] == 4
        status = await sys.get_status(main, process.pid)
        assert dict(status[3][0])[atom("$initial_call")][1:] == (atom.init, 1)
        reason = await end_of(
            runtime, process.pid, partial(gen.cast, main, process.pid, atom.crash)
        )
        assert reason[0][1] == atom.ZeroDivisionError
        assert (await receive(main))[1][0] == reason[0]
    assert len(errors(caplog)) == 2


async def test_debug_options_of_the_start(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    seen: list[Any] = []

    def watch(state: Any, event: Any, name: Any) -> Any:
        seen.append((state, name))
        return state + 1

    options = ["trace", (atom.log, 2), atom.statistics, ("install", (watch, 1)), "unknown"]
    with caplog.at_level(logging.INFO, "pynode.sys"):
        pid = await start(runtime, Told, main.pid, name="seen", sys_debug=options)
        await gen.call(main, pid, 1)
    assert seen == [(1, atom.seen), (2, atom.seen)]
    assert len([r for r in caplog.records if r.name == "pynode.sys"]) == 2
    assert len(await sys.log(main, pid, "get") or ()) == 2
    counts = await sys.statistics(main, pid)
    assert counts is not None
    assert counts["messages_in"] == 1
    await sys.no_debug(main, pid)
    assert await sys.statistics(main, pid) is None


async def test_where_a_process_comes_from_is_in_its_dictionary(runtime: Runtime) -> None:
    runtime.register("boss", runtime.main.pid)

    async def starts(process: Process) -> None:
        pid = await start(runtime, Told, process.pid)  # not linked, and still started by it
        runtime.send(process, runtime.main.pid, pid)
        await process.receive()

    starter = runtime.spawn(starts)
    pid = await receive(runtime.main)
    info = runtime.process_info(pid)
    assert info is not None
    assert info["dictionary"] == {
        atom("$ancestors"): [starter.pid],
        atom("$initial_call"): (atom.Told, atom.init, 1),
    }
    info = runtime.process_info(runtime.main.pid)
    assert info is not None
    assert info["dictionary"] == {}


# --------------------------------------------------------------------------- the client of sys


async def test_every_debug_function_by_its_name(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    pid = await start(runtime, Told, main.pid)
    await sys.log(main, pid, 3)
    await sys.statistics(main, pid, True)
    with caplog.at_level(logging.INFO, "pynode.sys"):
        await sys.trace(main, pid, True)
        await gen.call(main, pid, 1)
        await sys.trace(main, pid, False)
        assert await sys.log(main, pid, "print") is None
    assert caplog.text.count("*DBG*") == 4
    await sys.log(main, pid, False)
    assert await sys.log(main, pid, "get") == []
    assert await sys.log_to_file(main, pid, "/tmp/x") == (atom.error, atom.open_file)
    assert await sys.log_to_file(main, pid, False) == atom.ok
    runtime.resolver.expose(lambda s, e, n: atom.done, module="t", name="f", arity=3)
    fun = ExportFun("t", "f", 3)
    assert await sys.install(main, pid, fun, 1) == atom.ok
    await sys.remove(main, pid, fun)
    assert await sys.install(main, pid, fun, 1, name=b"id") == atom.ok
    await sys.remove(main, pid, b"id")
    await sys.statistics(main, pid, False)
    process = runtime.local(pid)
    assert process is not None
    assert process.body.extra is None  # type: ignore[union-attr]
    with pytest.raises(CallExit) as caught:
        await sys.trace(main, "nobody", True)
    assert caught.value.call == (atom.sys, atom.trace, ["nobody", True, 5000])
