"""Event managers: every message of Elixir's GenEvent and of Erlang's gen_event."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.behaviours import GenEventHandler, GenEventManager, event_client as client, gen, start
from pynode.behaviours.requests import send_request
from pynode.errors import CallExit, NoProcess, RemoveHandler, StartError, Stop, SwapHandler
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import Pid, atom

from .helpers import DEADLINE, is_clean, reason_of_death, receive

heard: list[Any] = []


@pytest.fixture(autouse=True)
def _clear_log() -> None:
    heard.clear()


class Keeper(GenEventHandler):
    """Keeps its events; does what a request or event tells it to."""

    def init(self, argument: Any = None) -> Any:
        if argument == atom.refuse:
            raise Stop(atom.refused)
        if argument == atom.crash:
            raise ValueError("init")
        self.argument = argument
        self.events: list[Any] = []

    def handle_event(self, event: Any) -> Any:
        self.act(event)
        self.events.append(event)
        heard.append((self.argument, event))

    def handle_info(self, message: Any) -> None:
        self.act(message)
        self.events.append((atom.info, message))

    def handle_call(self, request: Any) -> Any:
        if request == atom.events:
            return self.events
        return self.act(request)

    def act(self, what: Any) -> Any:
        match what:
            case atom.crash:
                raise ValueError("act")
            case atom.leave:
                raise RemoveHandler
            case (atom.leave, reply):
                raise RemoveHandler(reply)
            case (atom.swap, other, reply):
                raise SwapHandler(atom.going, other, atom.coming, reply=reply)
            case atom.no_term:
                return object()
        return (atom.echo, what)

    def terminate(self, argument: Any) -> Any:
        heard.append((atom.terminate, self.argument, argument))
        if argument == atom.crash:
            raise ValueError("terminate")
        return (atom.ended, argument)


class Other(Keeper, module="Elixir.Other"):
    pass


class Slow(Keeper):
    async def init(self, argument: Any = None) -> None:
        await asyncio.sleep(0)
        super().init(argument)

    async def handle_event(self, event: Any) -> None:
        await asyncio.sleep(0)
        super().handle_event(event)

    async def handle_call(self, request: Any) -> Any:
        await asyncio.sleep(0)
        return super().handle_call(request)

    async def terminate(self, argument: Any) -> Any:
        await asyncio.sleep(0)
        return super().terminate(argument)


async def manager_of(runtime: Runtime, *handlers: Any, dialect: str = "elixir") -> Pid:
    return await start(
        runtime, GenEventManager, handlers, known=[Keeper, Other, Slow], dialect=dialect
    )


async def events_of(runtime: Runtime, manager: Pid, handler: Any = Keeper) -> Any:
    return await client.call_handler(runtime.main, manager, handler, atom.events)


BOTH = pytest.mark.parametrize("kind", [Keeper, Slow])
DIALECTS = pytest.mark.parametrize("dialect", ["elixir", "erlang"])

# --------------------------------------------------------------------------- events


async def test_a_handler_can_be_started_as_a_manager_with_itself(runtime: Runtime) -> None:
    class Printer(GenEventHandler, text=True):
        def handle_event(self, event: Any) -> None:
            heard.append(f"I have received: '{event}'")

    manager = await start(runtime, Printer, name="printer")
    client.notify(runtime.main, manager, "Hello !!")
    client.notify(runtime.main, "printer", b"caf\xc3\xa9")
    await client.sync_notify(runtime.main, manager, b"\xff")
    assert heard == [
        "I have received: 'Hello !!'",
        "I have received: 'café'",
        "I have received: 'b'\\xff''",
    ]
    assert await client.which_handlers(runtime.main, manager) == [atom.Printer]


@BOTH
@DIALECTS
async def test_every_kind_of_notify(runtime: Runtime, kind: Any, dialect: str) -> None:
    manager = await manager_of(runtime, kind, dialect=dialect)
    main = runtime.main
    client.notify(main, manager, 1)
    await client.ack_notify(main, manager, 2)
    await client.sync_notify(main, manager, 3)
    assert heard == [(None, 1), (None, 2), (None, 3)]
    runtime.send(main, manager, atom.hello)
    tag = (main.pid, runtime.make_ref())
    runtime.send(main, manager, (main.pid, tag, (atom.notify, 4)))  # GenEvent's other form
    assert await events_of(runtime, manager, kind) == [1, 2, 3, (atom.info, atom.hello), 4]
    assert is_clean(main)


async def test_ack_comes_before_and_sync_after_the_handlers(runtime: Runtime) -> None:
    gate = asyncio.Event()

    class Gated(GenEventHandler):
        async def handle_event(self, event: Any) -> None:
            await gate.wait()
            heard.append(event)

    manager = await start(runtime, Gated)
    await client.ack_notify(runtime.main, manager, 1)
    assert heard == []
    waiting = asyncio.create_task(client.sync_notify(runtime.main, manager, 2))
    await asyncio.sleep(0.001)
    assert not waiting.done()
    gate.set()
    await waiting
    assert heard == [1, 2]


async def test_the_order_of_handlers_is_the_dialects(runtime: Runtime) -> None:
    for dialect, order in (("elixir", [1, 2, 3]), ("erlang", [3, 2, 1])):
        heard.clear()
        manager = await manager_of(runtime, (Keeper, 1), (Other, 2), (Slow, 3), dialect=dialect)
        await client.sync_notify(runtime.main, manager, atom.x)
        assert heard == [(number, atom.x) for number in order]
        assert await client.which_handlers(runtime.main, manager) == [
            atom.Slow,
            atom("Elixir.Other"),
            atom.Keeper,
        ]


# --------------------------------------------------------------------------- adding, deleting


@BOTH
@DIALECTS
async def test_add_call_delete(runtime: Runtime, kind: Any, dialect: str) -> None:
    manager = await manager_of(runtime, dialect=dialect)
    main = runtime.main
    name = kind._module
    assert await client.add_handler(main, manager, name, 1) == atom.ok
    assert await client.add_handler(main, manager, (name, b"id"), 2) == atom.ok
    assert await client.which_handlers(main, manager) == [(name, b"id"), name]
    await client.sync_notify(main, manager, atom.e)
    assert await client.call_handler(main, manager, name, 7) == (atom.echo, 7)
    assert await client.call_handler(main, manager, (name, b"id"), atom.events) == [atom.e]
    assert await client.delete_handler(main, manager, (name, b"id"), 9) == (atom.ended, 9)
    assert await client.which_handlers(main, manager) == [name]
    assert heard[-1] == (atom.terminate, 2, 9)


@pytest.mark.parametrize(
    ("dialect", "again", "unknown", "crash", "call", "delete"),
    [
        (
            "elixir",
            (atom.error, atom.already_present),
            (atom.error, (atom.undef, [(atom.Nobody, atom.init, [5], [])])),
            atom.error,
            (atom.error, atom.not_found),
            (atom.error, atom.not_found),
        ),
        (
            "erlang",
            atom.ok,
            (atom.EXIT, (atom.undef, [(atom.Nobody, atom.init, [5], [])])),
            atom.EXIT,
            (atom.error, atom.bad_module),
            (atom.error, atom.module_not_found),
        ),
    ],
)
async def test_what_cannot_be_done_is_said_in_the_dialect(
    runtime: Runtime, dialect: str, again: Any, unknown: Any, crash: Any, call: Any, delete: Any
) -> None:
    manager = await manager_of(runtime, dialect=dialect)
    main = runtime.main
    assert await client.add_handler(main, manager, Keeper, 1) == atom.ok
    assert await client.add_handler(main, manager, Keeper, 1) == again
    assert await client.add_handler(main, manager, "Nobody", 5) == unknown
    refused = await client.add_handler(main, manager, Other, atom.refuse)
    assert refused == (atom.error, atom.refused)
    tag, reason = await client.add_handler(main, manager, Other, atom.crash)
    assert tag == crash
    assert reason[0] == (atom.python_error, atom.ValueError, b"init")
    assert await client.call_handler(main, manager, Other, 1) == call
    assert await client.delete_handler(main, manager, (atom.Keeper, 3), 1) == delete
    assert is_clean(main)


async def test_a_terminate_that_fails_is_the_answer_of_delete(runtime: Runtime) -> None:
    for dialect, word in (("elixir", atom.error), ("erlang", atom.EXIT)):
        manager = await manager_of(runtime, Keeper, dialect=dialect)
        answer = await client.delete_handler(runtime.main, manager, Keeper, atom.crash)
        assert answer[0] == word
        assert answer[1][0] == (atom.python_error, atom.ValueError, b"terminate")


# --------------------------------------------------------------------------- handlers that fail


@BOTH
@pytest.mark.parametrize("by", ["event", "info", "call"])
async def test_a_handler_that_crashes_goes_and_the_manager_stays(
    runtime: Runtime, kind: Any, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    for dialect in ("elixir", "erlang"):
        heard.clear()
        manager = await manager_of(runtime, (kind, 1), (Other, 2), dialect=dialect)
        answer: Any = None
        if by == "event":
            # Only the first of the two must see it: the other one crashes of it as well.
            await client.delete_handler(main, manager, Other, atom.x)
            await client.sync_notify(main, manager, atom.crash)
        elif by == "info":
            await client.delete_handler(main, manager, Other, atom.x)
            runtime.send(main, manager, atom.crash)
        else:
            answer = await client.call_handler(main, manager, kind, atom.crash)
            assert answer[0] == atom.error
        assert kind._module not in await client.which_handlers(main, manager)
        ended = heard[-1]
        assert ended[:2] == (atom.terminate, 1)
        word, reason = ended[2]
        assert word == atom.error
        if dialect == "erlang":
            assert reason[0] == atom.EXIT
            reason = reason[1]
        assert reason[0] == (atom.python_error, atom.ValueError, b"act")
        if by == "call":
            assert answer == ended[2]
        assert "event handler" in caplog.text


async def test_one_handlers_crash_does_not_keep_the_event_from_the_others(
    runtime: Runtime,
) -> None:
    class Bad(GenEventHandler):
        def handle_event(self, event: Any) -> None:
            raise ValueError(event)

    for kinds in ((Keeper, Bad, Other), (Bad, Keeper, Slow), (Slow, Bad, Other)):
        heard.clear()
        manager = await start(runtime, GenEventManager, kinds)
        await client.sync_notify(runtime.main, manager, atom.e)
        assert heard == [(None, atom.e), (None, atom.e)]
        await client.sync_notify(runtime.main, manager, atom.f)
        assert len(heard) == 4


async def test_an_answer_that_is_no_term_fails_the_handler(runtime: Runtime) -> None:
    manager = await manager_of(runtime, Keeper)
    answer = await client.call_handler(runtime.main, manager, Keeper, atom.no_term)
    assert answer[1][0][:2] == (atom.python_error, atom.EncodeError)
    assert await client.which_handlers(runtime.main, manager) == []


async def test_the_default_handle_call_fails_the_handler(runtime: Runtime) -> None:
    class Mute(GenEventHandler):
        pass

    manager = await start(runtime, Mute)
    answer = await client.call_handler(runtime.main, manager, Mute, 1)
    assert answer[0] == atom.error
    assert answer[1][0] == atom.function_clause


@BOTH
async def test_leaving(runtime: Runtime, kind: Any) -> None:
    manager = await manager_of(runtime, (kind, 1))
    main = runtime.main
    await client.sync_notify(main, manager, atom.leave)
    assert heard == [(atom.terminate, 1, atom.remove_handler)]
    await client.add_handler(main, manager, kind, 2)
    answer = await client.call_handler(main, manager, kind, (atom.leave, atom.bye))
    assert answer == atom.bye
    assert await client.which_handlers(main, manager) == []


# --------------------------------------------------------------------------- swapping


@BOTH
@DIALECTS
async def test_swap_hands_the_state_over(runtime: Runtime, kind: Any, dialect: str) -> None:
    manager = await manager_of(runtime, (kind, 1), dialect=dialect)
    main = runtime.main
    answer = await client.swap_handler(main, manager, (kind, atom.a), ((Other, 5), atom.b))
    assert answer == atom.ok
    assert await client.which_handlers(main, manager) == [(atom("Elixir.Other"), 5)]
    await client.sync_notify(main, manager, atom.e)
    assert heard == [
        (atom.terminate, 1, atom.a),
        ((atom.b, (atom.ended, atom.a)), atom.e),
    ]


async def test_swap_of_a_handler_that_is_not_there(runtime: Runtime) -> None:
    for dialect, state in (("elixir", (atom.error, atom.not_found)), ("erlang", atom.error)):
        manager = await manager_of(runtime, dialect=dialect)
        answer = await client.swap_handler(runtime.main, manager, ("X", 1), (Keeper, 2))
        assert answer == atom.ok
        await client.sync_notify(runtime.main, manager, atom.e)
        assert heard[-1] == ((2, state), atom.e)


async def test_swap_to_a_handler_that_fails(runtime: Runtime) -> None:
    main = runtime.main
    manager = await manager_of(runtime, Keeper)
    answer = await client.swap_handler(main, manager, (Keeper, 1), ("Nobody", 2))
    undefined: Any = (atom.undef, [(atom.Nobody, atom.init, [(2, (atom.ended, 1))], [])])
    assert answer == (atom.error, undefined)
    assert await client.which_handlers(main, manager) == []
    manager = await manager_of(runtime, Keeper, dialect="erlang")
    answer = await client.swap_handler(main, manager, (Keeper, 1), ("Nobody", 2))
    assert answer == (atom.error, (atom.EXIT, undefined))


async def test_a_handler_swaps_itself(runtime: Runtime) -> None:
    manager = await manager_of(runtime, (Keeper, 1))
    main = runtime.main
    request = (atom.swap, atom("Elixir.Other"), atom.answer)
    assert await client.call_handler(main, manager, Keeper, request) == atom.answer
    assert await client.which_handlers(main, manager) == [atom("Elixir.Other")]
    await client.sync_notify(main, manager, atom.e)
    assert heard[-1] == ((atom.coming, (atom.ended, atom.going)), atom.e)


# --------------------------------------------------------------------------- watching

WATCHED = pytest.mark.parametrize(
    ("add", "swap"),
    [
        (client.add_mon_handler, client.swap_mon_handler),
        (client.add_sup_handler, client.swap_sup_handler),
    ],
    ids=["monitored", "supervised"],
)


@WATCHED
@DIALECTS
async def test_who_watches_is_told(runtime: Runtime, add: Any, swap: Any, dialect: str) -> None:
    manager = await manager_of(runtime, dialect=dialect)
    main = runtime.main

    async def add_and(what: Any) -> Any:
        assert await add(main, manager, Keeper, 1) == atom.ok
        await what
        return await receive(main)

    gone = await add_and(client.delete_handler(main, manager, Keeper, 1))
    assert gone == (atom.gen_event_EXIT, atom.Keeper, atom.normal)
    gone = await add_and(client.sync_notify(main, manager, atom.leave))
    assert gone == (atom.gen_event_EXIT, atom.Keeper, atom.normal)
    gone = await add_and(client.sync_notify(main, manager, atom.crash))
    reason = gone[2][1] if dialect == "erlang" else gone[2]
    assert reason[0] == (atom.python_error, atom.ValueError, b"act")
    gone = await add_and(swap(main, manager, (Keeper, 1), ((Other, b"x"), 2)))
    swapped = (atom.swapped, (atom("Elixir.Other"), b"x"), main.pid)
    assert gone == (atom.gen_event_EXIT, atom.Keeper, swapped)
    main.trap_exit = True
    await gen.stop(main, manager)
    gone = await receive(main)
    assert gone == (atom.gen_event_EXIT, (atom("Elixir.Other"), b"x"), atom.shutdown)
    if add is client.add_sup_handler:
        assert await receive(main) == (atom.EXIT, manager, atom.normal)
    assert is_clean(main)


@WATCHED
@DIALECTS
async def test_the_handler_goes_with_who_watches(
    runtime: Runtime, add: Any, swap: Any, dialect: str
) -> None:
    manager = await manager_of(runtime, dialect=dialect)
    watcher = runtime.spawn(None)
    assert await add(watcher, manager, Keeper, 1) == atom.ok
    runtime.exit(runtime.main, watcher.pid, atom.away)
    assert await client.which_handlers(runtime.main, manager) == []
    assert heard == [(atom.terminate, 1, (atom.stop, atom.away))]
    assert runtime.is_alive(manager)


async def test_a_refused_handler_is_not_watched(runtime: Runtime) -> None:
    manager = await manager_of(runtime)
    main = runtime.main
    answer = await client.add_mon_handler(main, manager, Keeper, atom.refuse)
    assert answer == (atom.error, atom.refused)
    process = runtime.local(manager)
    assert process is not None
    assert not process.monitors


async def test_a_down_of_ones_own_is_information(runtime: Runtime) -> None:
    manager = await manager_of(runtime, Keeper)
    down = (atom.DOWN, runtime.make_ref(), atom.process, runtime.main.pid, atom.x)
    runtime.send(runtime.main, manager, down)
    assert await events_of(runtime, manager) == [(atom.info, down)]


# --------------------------------------------------------------------------- the manager's end


@BOTH
async def test_stop_terminates_every_handler(runtime: Runtime, kind: Any) -> None:
    manager = await manager_of(runtime, (kind, 1), (Other, 2))
    await gen.stop(runtime.main, manager, atom.shutdown)
    assert heard == [(atom.terminate, 2, atom.stop), (atom.terminate, 1, atom.stop)]
    with pytest.raises(NoProcess):
        await client.sync_notify(runtime.main, manager, 1)
    client.notify(runtime.main, manager, 1)


async def test_the_old_stop_request(runtime: Runtime) -> None:
    manager = await manager_of(runtime, (Keeper, 1))
    main = runtime.main
    assert await gen.request(main, main.pid, manager, atom.stop, DEADLINE) == atom.ok
    assert await reason_of_death(runtime, manager) in (atom.normal, atom.noproc)
    assert heard == [(atom.terminate, 1, atom.stop)]


async def test_the_parents_exit(runtime: Runtime) -> None:
    parent = runtime.spawn(None, trap_exit=True)
    manager = await start(
        runtime, GenEventManager, [(Keeper, 1)], dialect="erlang", link_to=parent.pid
    )
    other = runtime.spawn(None)
    runtime.exit(other, manager, atom.noise)  # trapped: information for the handlers
    noise = (atom.info, (atom.EXIT, other.pid, atom.noise))
    assert await events_of(runtime, manager) == [noise]
    runtime.exit(parent, manager, atom.shutdown)
    assert await receive(parent) == (atom.EXIT, manager, atom.shutdown)
    assert heard == [(atom.terminate, 1, atom.stop)]


async def test_a_first_handler_that_fails_fails_the_start(runtime: Runtime) -> None:
    with pytest.raises(StartError) as caught:
        await start(runtime, Keeper, atom.refuse)
    assert caught.value.reason == atom.refused


async def test_streams_are_refused_with_the_reason(runtime: Runtime) -> None:
    manager = await manager_of(runtime)
    main = runtime.main
    term = (atom.add_process_handler, main.pid, main.pid)
    answer = await gen.request(main, main.pid, manager, term, DEADLINE, text=True)
    assert answer[:2] == (atom.error, atom.stream_not_supported)
    assert "Python" in answer[2]


async def test_get_modules_and_unknown_requests(runtime: Runtime) -> None:
    manager = await manager_of(runtime, Keeper)
    main = runtime.main
    await client.add_handler(main, manager, (Keeper, 2))
    modules = await gen.request(main, main.pid, manager, atom.get_modules, DEADLINE)
    assert modules == [atom.Keeper]
    odd = (main.pid, (main.pid, runtime.make_ref()), (atom.call, 1))
    not_a_call = (main.pid, main.pid, atom.which_handlers)
    messages: list[Any] = [odd, (), (1,), {}, (atom.notify,), not_a_call]
    for message in messages:
        runtime.send(main, manager, message)
    assert len(await events_of(runtime, manager)) == 6


async def test_a_class_can_be_added_here_and_only_here(runtime: Runtime) -> None:
    class Fresh(Keeper):
        pass

    manager = await start(runtime, GenEventManager)
    main = runtime.main
    assert await client.add_handler(main, manager, Fresh, 1) == atom.ok
    assert await client.which_handlers(main, manager) == [atom.Fresh]
    with pytest.raises(TypeError, match="class"):
        await client.add_handler(main, Pid(atom("x@y"), 1, 0, 1), Fresh, 1)
    with pytest.raises(CallExit):
        await client.add_handler(main, "nobody", Fresh, 1)


async def test_known_handlers_may_be_named_at_will(runtime: Runtime) -> None:
    manager = await start(runtime, GenEventManager, known={"Elixir.My.Handler": Keeper})
    main = runtime.main
    assert await client.add_handler(main, manager, "Elixir.My.Handler") == atom.ok
    assert await client.which_handlers(main, manager) == [atom("Elixir.My.Handler")]
    with pytest.raises(ValueError, match="dialect"):
        await start(runtime, GenEventManager, dialect="latin")


async def test_requests_for_a_handler_can_be_sent_ahead(runtime: Runtime) -> None:
    manager = await manager_of(runtime, Keeper)
    main: Process = runtime.main
    request = send_request(main, manager, (atom.call, atom.Keeper, 3), tag=main.pid)
    assert await request.receive_response(DEADLINE) == (atom.echo, 3)
