"""sys towards servers, managers and agents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pynode.behaviours import (
    Agent,
    DynamicSupervisor,
    GenEventHandler,
    GenEventManager,
    GenServer,
    Supervisor,
    event_client,
    gen,
    start,
    sys,
)
from pynode.errors import CallExit, NoProcess, RemoteError, Stop
from pynode.process.runtime import Runtime
from pynode.terms import ExportFun, ImproperList, Pid, Reference, atom, charlist_text

from .helpers import DEADLINE, reason_of_death, receive


class Server(GenServer):
    def init(self, count: int = 0) -> None:
        self.count = count
        self.lock = asyncio.Lock()  # no term
        self.true = b"a name that no atom can have"

    def handle_cast(self, request: Any) -> None:
        self.count += request

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return self.count

    def code_change(self, old_version: Any, extra: Any) -> None:
        if extra == atom.fail:
            raise ValueError("code")
        self.count = extra


class Handler(GenEventHandler):
    def init(self, *args: Any) -> None:
        self.count = 0

    def handle_event(self, event: Any) -> None:
        self.count += event

    def code_change(self, old_version: Any, extra: Any) -> None:
        self.count = extra


def expose(runtime: Runtime, name: str, function: Callable[..., Any]) -> ExportFun:
    runtime.resolver.expose(function, module="test", name=name)
    return ExportFun("test", name, function.__code__.co_argcount)


# --------------------------------------------------------------------------- state


async def test_the_state_of_a_server_is_a_map_of_its_attributes(runtime: Runtime) -> None:
    pid = await start(runtime, Server, 5)
    state = await sys.get_state(runtime.main, pid)
    assert state[atom.count] == 5
    assert b"Lock" in state[atom.lock]
    assert state[b"true"] == b"a name that no atom can have"


async def test_a_server_may_show_another_state(runtime: Runtime) -> None:
    class Shy(Server):
        def system_get_state(self) -> Any:
            if self.count < 0:
                raise ValueError("negative")
            return (atom.ok, self.count)

    pid = await start(runtime, Shy, 5)
    main = runtime.main
    # In a local caller's tag nothing asks for the {ok, State} of later releases.
    raw = await gen.request(main, atom.system, pid, atom.get_state, DEADLINE)
    assert raw == (atom.ok, 5)
    assert await sys.get_state(main, pid) == (atom.ok, 5)
    gen.cast(main, pid, -10)
    with pytest.raises(RemoteError) as caught:
        await sys.get_state(main, pid)
    failed, where, (kind, reason) = caught.value.reason
    assert (failed, where) == (
        atom.callback_failed,
        (atom.gen_server, atom.system_get_state),
    )
    assert kind == atom.error
    assert reason[0] == (atom.python_error, atom.ValueError, b"negative")
    assert runtime.is_alive(pid)


@pytest.mark.parametrize("request_", [atom.get_state, "replace"])
async def test_the_form_of_a_state_depends_on_the_callers_release(
    runtime: Runtime, request_: Any
) -> None:
    main = runtime.main
    pid = await start(runtime, Agent, 7)
    same = expose(runtime, "same", lambda state: state)
    request = (atom.replace_state, same) if request_ == "replace" else request_
    for words, expected in ((3, 7), (5, (atom.ok, 7))):
        # The reply comes to the pid if the reference is no alias of ours; so make it one.
        ref = Reference(runtime.node_name, runtime.creation, tuple(range(1, words + 1)))
        runtime.add_alias(main, ref, "reply")
        tag = ImproperList([atom.alias], ref)
        runtime.send(main, pid, (atom.system, (main.pid, tag), request))
        assert await receive(main) == (tag, expected)


async def test_replacing_the_state(runtime: Runtime) -> None:
    main = runtime.main
    bump = expose(runtime, "bump", lambda state: state | {atom.count: state[atom.count] + 1})
    pid = await start(runtime, Server, 5)
    assert (await sys.replace_state(main, pid, bump))[atom.count] == 6
    assert await gen.call(main, pid, 1) == 6
    server = runtime.local(pid)
    assert server is not None
    assert isinstance(server.body.instance.lock, asyncio.Lock)  # type: ignore[union-attr]
    wrong = expose(runtime, "wrong", lambda state: [1])
    unknown = ExportFun("test", "unknown", 1)
    for function, reason in ((wrong, atom.python_error), (unknown, atom.undef)):
        with pytest.raises(RemoteError) as caught:
            await sys.replace_state(main, pid, function)
        assert repr(reason) in repr(caught.value.reason[2][1][0])
    assert await gen.call(main, pid, 1) == 6


async def test_the_state_of_an_agent_and_of_a_manager(runtime: Runtime) -> None:
    main = runtime.main
    double = expose(runtime, "double", lambda state: state * 2)
    agent = await start(runtime, Agent, 5)
    assert await sys.get_state(main, agent) == 5
    assert await sys.replace_state(main, agent, double) == 10
    for dialect, ids in (("elixir", (atom.Handler, (atom.Handler, 2))), ("erlang", (False, 2))):
        manager = await start(runtime, GenEventManager, [Handler], dialect=dialect)
        await event_client.add_handler(main, manager, ("Handler", 2))
        await event_client.sync_notify(main, manager, 3)
        state = {atom.count: 3}
        expected = [(atom.Handler, ids[1], state), (atom.Handler, ids[0], state)]
        assert await sys.get_state(main, manager) == expected
        only_two = expose(runtime, "only_two", _only_two)
        changed = await sys.replace_state(main, manager, only_two)
        assert changed == [(atom.Handler, ids[1], {atom.count: 9}), expected[1]]
        assert await sys.get_state(main, manager) == changed


def _only_two(entry: Any) -> Any:
    module, name, _ = entry
    if name in (2, (atom.Handler, 2)):
        return (module, name, {atom.count: 9})
    return (module, b"another", 1)


async def test_the_status(runtime: Runtime) -> None:
    main = runtime.main
    for server, module in ((Server, atom.gen_server), (Handler, atom.gen_event)):
        pid = await start(runtime, server, name="named")
        for state in (atom.running, atom.suspended):
            status = await sys.get_status(main, pid)
            assert status[:3] == (atom.status, pid, (atom.module, module))
            dictionary, running, parent, debug, misc = status[3]
            assert (running, parent, debug) == (state, pid, [])
            assert atom("$initial_call") in dict(dictionary)
            assert "named" in charlist_text(misc[0][1])
            await sys.suspend(main, pid)
        await gen.stop(main, pid)


# --------------------------------------------------------------------------- suspend, resume, end


async def test_a_suspended_server_holds_messages_back_in_order(runtime: Runtime) -> None:
    class Ordered(GenServer):
        def init(self) -> None:
            self.seen: list[Any] = []

        async def handle_cast(self, request: Any) -> None:
            await asyncio.sleep(0)
            self.seen.append(request)

        def handle_info(self, message: Any) -> None:
            self.seen.append(message)

        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            return self.seen

    main = runtime.main
    pid = await start(runtime, Ordered)
    await sys.suspend(main, pid)
    await sys.suspend(main, pid)
    calling = asyncio.create_task(gen.call(main, pid, 1))
    await asyncio.sleep(0)
    for number in range(3):
        gen.cast(main, pid, number)
        runtime.send(main, pid, (atom.info, number))
    assert (await sys.get_state(main, pid))[atom.seen] == []
    assert not calling.done()
    await sys.resume(main, pid)
    gen.cast(main, pid, atom.last)
    assert await calling == []
    await sys.resume(main, pid)
    expected = [x for n in range(3) for x in (n, (atom.info, n))]
    assert await gen.call(main, pid, 1) == [*expected, atom.last]
    process = runtime.local(pid)
    assert process is not None
    assert process.body.extra is None  # type: ignore[union-attr]


async def test_a_held_back_message_may_end_the_server(runtime: Runtime) -> None:
    class Fragile(GenServer):
        def handle_cast(self, request: Any) -> None:
            raise Stop(request)

    main = runtime.main
    pid = await start(runtime, Fragile)
    await sys.suspend(main, pid)
    gen.cast(main, pid, atom.enough)
    gen.cast(main, pid, atom.never)
    with runtime.open_call(main, pid) as slot:
        await sys.resume(main, pid)
        with pytest.raises(CallExit) as caught:
            await slot.wait(DEADLINE)
    assert caught.value.reason == atom.enough


async def test_a_suspended_server_follows_its_parent(runtime: Runtime) -> None:
    class Trapper(Server):
        def init(self, count: int = 0) -> None:
            self.trap_exit = True

    parent = runtime.spawn(None, trap_exit=True)
    pid = await start(runtime, Trapper, link_to=parent.pid)
    await sys.suspend(runtime.main, pid)
    runtime.exit(parent, pid, atom.shutdown)
    assert await receive(parent) == (atom.EXIT, pid, atom.shutdown)


@pytest.mark.parametrize("server", [Server, Handler, Agent])
async def test_terminate(runtime: Runtime, server: Any) -> None:
    pid = await start(runtime, server)
    await sys.suspend(runtime.main, pid)
    with runtime.open_call(runtime.main, pid) as slot:
        await sys.terminate(runtime.main, pid, atom.shutdown)
        with pytest.raises(CallExit) as caught:
            await slot.wait(DEADLINE)
    assert caught.value.reason == atom.shutdown


async def test_code_change_only_while_suspended(runtime: Runtime) -> None:
    main = runtime.main
    for server in (Server, Handler):
        pid = await start(runtime, server)
        change = ("Handler", atom.undefined, 42)
        answer = await sys.change_code(main, pid, *change)
        unknown = (atom.change_code, atom.Handler, atom.undefined, 42)
        assert answer == (atom.error, (atom.unknown_system_msg, unknown))
        await sys.suspend(main, pid)
        assert await sys.change_code(main, pid, *change) == atom.ok
        await sys.resume(main, pid)
        assert "42" in repr(await sys.get_state(main, pid))
    pid = await start(runtime, Server)
    await sys.suspend(main, pid)
    tag, reason = await sys.change_code(main, pid, "m", 1, atom.fail)
    assert tag == atom.error
    assert reason[0] == atom.EXIT


async def test_what_nobody_knows(runtime: Runtime) -> None:
    pid = await start(runtime, Server)
    main = runtime.main
    for request in (atom.dance, (atom.terminate,), (), 1, (atom.debug, 1, 2)):
        answer = await gen.request(main, atom.system, pid, request, DEADLINE)
        assert answer == (atom.error, (atom.unknown_system_msg, request))


async def test_errors_of_the_client_name_the_function(runtime: Runtime) -> None:
    with pytest.raises(NoProcess) as caught:
        await sys.replace_state(runtime.main, "nobody", ExportFun("m", "f", 1))
    called = (atom.sys, atom.replace_state, ["nobody", ExportFun("m", "f", 1), 5000])
    assert caught.value.call == called


# --------------------------------------------------------------------------- debug


async def test_statistics(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Server)
    get = (atom.statistics, atom.get)
    assert await sys.debug(main, pid, get) == (atom.ok, atom.no_statistics)
    assert await sys.debug(main, pid, (atom.statistics, True)) == atom.ok
    gen.cast(main, pid, 1)
    await gen.call(main, pid, 1)
    ok, counts = await sys.debug(main, pid, get)
    counts = dict(counts)
    assert (ok, counts[atom.messages_in], counts[atom.messages_out]) == (atom.ok, 2, 1)
    assert len(counts[atom.start_time][0]) == 3
    assert await sys.debug(main, pid, (atom.statistics, False)) == atom.ok
    process = runtime.local(pid)
    assert process is not None
    assert process.body.extra is None  # type: ignore[union-attr]


async def test_the_log(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    main = runtime.main
    pid = await start(runtime, Server)
    assert await sys.debug(main, pid, (atom.log, (True, 2))) == atom.ok
    for number in range(3):
        gen.cast(main, pid, number)
    ok, events = await sys.debug(main, pid, (atom.log, atom.get))
    assert ok == atom.ok
    assert [event[0] for event in events] == [atom("in"), atom.noreply]
    assert events[0] == (atom("in"), (atom("$gen_cast"), 2))
    with caplog.at_level(logging.INFO, "pynode.sys"):
        assert await sys.debug(main, pid, (atom.log, atom("print"))) == atom.ok
    assert caplog.text.count("*DBG*") == 2
    assert await sys.debug(main, pid, (atom.log, True)) == atom.ok
    assert await sys.debug(main, pid, (atom.log, False)) == atom.ok
    assert await sys.debug(main, pid, (atom.log, atom.get)) == (atom.ok, [])


async def test_trace(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    main = runtime.main
    pid = await start(runtime, Server, name="traced")
    assert await sys.debug(main, pid, (atom.trace, True)) == atom.ok
    with caplog.at_level(logging.INFO, "pynode.sys"):
        await gen.call(main, pid, atom.question)
    # There is no group leader that serves I/O in this runtime, so the lines are log records.
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("*DBG* traced got call question from ")
    assert lines[1].startswith("*DBG* traced sent 0 to ")
    assert "new state #{" in lines[1]
    assert await sys.debug(main, pid, atom.no_debug) == atom.ok
    process = runtime.local(pid)
    assert process is not None
    assert process.body.extra is None  # type: ignore[union-attr]


async def test_installed_functions(runtime: Runtime) -> None:
    main = runtime.main
    seen: list[Any] = []

    def watch(state: Any, event: Any, name: Any) -> Any:
        seen.append((state, event[0]))
        if state == 3:
            raise ValueError
        return atom.done if state == 2 else state + 1

    function = expose(runtime, "watch", watch)
    pid = await start(runtime, Handler)
    for first, count in ((1, 2), (3, 1)):
        seen.clear()
        assert await sys.debug(main, pid, (atom.install, (function, first))) == atom.ok
        for _ in range(3):
            await event_client.sync_notify(main, pid, 1)
        assert len(seen) == count
    assert await sys.debug(main, pid, (atom.install, (b"id", function, 0))) == atom.ok
    assert await sys.debug(main, pid, (atom.install, (b"id", function, 0))) == atom.ok
    assert await sys.debug(main, pid, (atom.remove, b"id")) == atom.ok
    seen.clear()
    await event_client.sync_notify(main, pid, 1)
    assert seen == []
    refused = await sys.debug(main, pid, (atom.install, (ExportFun("m", "f", 3), 1)))
    assert refused == (atom.error, (atom.undef, [(atom.m, atom.f, 3, [])]))


async def test_what_debug_refuses(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Server)
    assert await sys.debug(main, pid, (atom.log_to_file, [1])) == (atom.error, atom.open_file)
    assert await sys.debug(main, pid, (atom.log_to_file, False)) == atom.ok
    odd: list[Any] = [
        atom.dance,
        (atom.trace, 1),
        (atom.log, (True, 0)),
        (atom.log, atom.maybe),
        (atom.statistics, 1),
        (atom.install, 1),
        (atom.nonsense, 1),
    ]
    for what in odd:
        assert await sys.debug(main, pid, what) == atom.unknown_debug
    assert await reason_of_death(runtime, Pid(runtime.node_name, 99, 0, 1)) == atom.noproc


@pytest.mark.parametrize(
    ("server", "arguments", "module"),
    [
        (Agent, (5,), atom.gen_server),
        (Supervisor, ([],), atom.gen_server),
        (DynamicSupervisor, (), atom.gen_server),
    ],
)
async def test_every_behaviour_answers(
    runtime: Runtime, server: Any, arguments: tuple[Any, ...], module: Any
) -> None:
    """What is built on a server has all of it; servers, machines, managers: tests/beam/test_sys."""
    main = runtime.main
    pid = await start(runtime, server, *arguments, name="asked")
    await sys.statistics(main, pid, True)
    await sys.log(main, pid, 5)
    await sys.trace(main, pid, True)
    state = await sys.get_state(main, pid)
    same = expose(runtime, "same", lambda state: state)
    if server is Agent:
        assert await sys.replace_state(main, pid, same) == state
    else:
        with pytest.raises(RemoteError, match="cannot be replaced"):
            await sys.replace_state(main, pid, same)
    await sys.suspend(main, pid)
    status = await sys.get_status(main, pid)
    assert status[:3] == (atom.status, pid, (atom.module, module))
    assert (status[3][1], len(status[3][3])) == (atom.suspended, 3)
    header, data, *_ = status[3][4]
    assert charlist_text(header[1]) == "Status for generic server asked"
    assert (charlist_text(data[1][0][0]), data[1][0][1]) == ("Status", atom.suspended)
    assert await sys.change_code(main, pid, "Any", 1, []) == atom.ok
    await sys.resume(main, pid)
    runtime.send(main, pid, atom.hello)
    assert await sys.log(main, pid, "get")
    counts = await sys.statistics(main, pid)
    assert counts is not None
    assert counts["messages_in"] == 1
    await sys.no_debug(main, pid)
    with runtime.open_call(main, pid) as slot:
        await sys.terminate(main, pid, (atom.shutdown, atom.over))
        with pytest.raises(CallExit) as caught:
            await slot.wait(DEADLINE)
    assert caught.value.reason == (atom.shutdown, atom.over)
