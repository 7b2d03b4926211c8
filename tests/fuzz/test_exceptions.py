"""Whatever a callback raises ends its own process, with a term for a reason, and no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.behaviours import Agent, GenEventHandler, GenEventManager, GenServer, gen, start
from pynode.errors import CallExit, Exit, StartError
from pynode.etf import encode
from pynode.process import Process, Runtime
from pynode.terms import Atom, atom
from tests.process.wire import until

DEADLINE = 5


class Own(BaseException):
    """Of the program's, and not to be expected."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Odd(Exception):
    """Its name is no atom of 255 characters."""


Odd.__name__ = "x" * 300


def recursion() -> Any:
    return recursion()


def raise_(kind: Any) -> None:
    if kind is RecursionError:
        recursion()
    elif kind is ExceptionGroup:
        raise ExceptionGroup("two", [ValueError(1), TypeError(2)])
    elif kind == "no term":
        raise Exit(object())
    elif kind == "cause":
        try:
            raise ValueError
        except ValueError as error:
            raise Own from error
    else:
        raise kind


KINDS = [
    *(ValueError, StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError),
    *(RecursionError, MemoryError, Own, Mute, Odd, ExceptionGroup, "no term", "cause", Exit),
]


class Server(GenServer):
    def init(self, kind: Any = None, place: str = "") -> Any:
        self.kind, self.place = kind, place
        return self.do("init")

    def do(self, place: str) -> Any:
        if self.place == place:
            raise_(self.kind)
        if self.place == f"async {place}":
            return self.later()
        return None

    async def later(self) -> None:
        await asyncio.sleep(0)
        raise_(self.kind)

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.do("handle_call")

    def handle_cast(self, request: Any) -> Any:
        return self.do("handle_cast")

    def handle_info(self, message: Any) -> Any:
        if message == atom.go_on:
            self.continue_with(1)
        return self.do("handle_info")

    def handle_continue(self, term: Any) -> Any:
        return self.do("handle_continue")

    def terminate(self, reason: Any) -> Any:
        return self.do("terminate")


class Blocking(Server, blocking=True):
    pass


PLACES = ["handle_call", "handle_cast", "handle_info", "handle_continue", "terminate"]


@pytest.fixture
async def faults(runtime: Runtime) -> list[Any]:
    seen: list[Any] = []
    runtime.loop.set_exception_handler(lambda _, context: seen.append(context))
    return seen


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("place", ["init", *PLACES, "async init", *(f"async {p}" for p in PLACES)])
async def test_servers(runtime: Runtime, faults: list[Any], place: str, kind: Any) -> None:
    await one_server(runtime, Server, place, kind)
    assert faults == []


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_blocking_servers(runtime: Runtime, faults: list[Any], kind: Any) -> None:
    for place in ("init", *PLACES):
        await one_server(runtime, Blocking, place, kind)
    assert faults == []


async def one_server(runtime: Runtime, server: Any, place: str, kind: Any) -> None:
    bystander = await start(runtime, Server)
    if place.endswith("init"):
        with pytest.raises((StartError, asyncio.CancelledError, *loose(kind))):
            async with asyncio.timeout(DEADLINE):
                await start(runtime, server, kind, place)
    else:
        pid = await start(runtime, server, kind, place, name="failing")
        process = runtime.local(pid)
        assert process is not None
        me = runtime.main
        if place.endswith("call"):
            with pytest.raises(CallExit):
                await gen.call(me, pid, 1, DEADLINE)
        elif place.endswith("cast"):
            gen.cast(me, pid, 1)
        elif place.endswith("info"):
            runtime.send(me, pid, 1)
        elif place.endswith("continue"):
            runtime.send(me, pid, atom.go_on)
        else:
            with pytest.raises(CallExit):
                await gen.stop(me, pid, atom.normal, DEADLINE)
        await until(lambda: not process.alive)
        encode(process.exit_reason)
        assert runtime.whereis("failing") is None
    assert await gen.call(runtime.main, bystander, 1, DEADLINE) is None


def loose(kind: Any) -> tuple[type[BaseException], ...]:
    return (kind,) if isinstance(kind, type) else ()


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_bare_processes(runtime: Runtime, faults: list[Any], kind: Any) -> None:
    async def at_once(process: Process) -> None:
        raise_(kind)

    async def later(process: Process) -> None:
        await process.receive()
        raise_(kind)

    async def in_clean_up(process: Process) -> None:
        try:
            await process.receive()
        finally:
            raise_(kind)

    def no_coroutine(process: Process) -> Any:
        raise_(kind)

    processes = [runtime.spawn(body) for body in (at_once, later, in_clean_up, no_coroutine)]
    for process in processes[:2]:
        runtime.send(runtime.main, process.pid, 1) if process.alive else None
    await asyncio.sleep(0)
    runtime.exit(runtime.main, processes[2].pid, atom.bye)
    await until(lambda: not any(process.alive for process in processes))
    for process in processes:
        encode(process.exit_reason)
    assert faults == []


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_match_functions(runtime: Runtime, faults: list[Any], kind: Any) -> None:
    """What a match function raises is raised, and the message is where it was."""
    process = runtime.spawn(None)
    runtime.send(runtime.main, process.pid, 1)
    with pytest.raises(BaseException):  # noqa: B017
        await process.receive(lambda _: raise_(kind), timeout=0)
    assert await process.receive(timeout=0) == 1
    assert faults == []


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_handlers_of_events(runtime: Runtime, faults: list[Any], kind: Any) -> None:
    """A handler that fails is taken out; the manager and the other handlers go on."""
    seen: list[Any] = []

    class Failing(GenEventHandler):
        def handle_event(self, event: Any) -> None:
            raise_(kind)

    class Later(GenEventHandler):
        async def handle_event(self, event: Any) -> None:
            raise_(kind)

    class Sane(GenEventHandler):
        def handle_event(self, event: Any) -> None:
            seen.append(event)

    known = {"failing": Failing, "later": Later, "sane": Sane}
    pid = await start(runtime, GenEventManager, known=known)
    me, process = runtime.main, runtime.local(pid)
    assert process is not None
    for name in known:
        answer = await gen.request(me, me.pid, pid, (atom.add_handler, Atom(name), []), DEADLINE)
        assert answer == atom.ok
    runtime.send(me, pid, (atom.notify, 1))
    runtime.send(me, pid, (atom.notify, 2))
    if kind == "cause" or (isinstance(kind, type) and not issubclass(kind, Exception | Exit)):
        await until(lambda: not process.alive or len(seen) == 2)
    else:
        left = await gen.request(me, me.pid, pid, atom.which_handlers, DEADLINE)
        assert left == [Atom("sane")]
        assert seen == [1, 2]
    assert faults == []


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_functions_of_agents(runtime: Runtime, faults: list[Any], kind: Any) -> None:
    functions = {("m", "f", 1): lambda state: raise_(kind)}
    pid = await start(runtime, Agent, 1, functions=functions)
    process = runtime.local(pid)
    assert process is not None
    with pytest.raises(CallExit):
        await gen.call(runtime.main, pid, (atom.get, (atom.m, atom.f, [])), DEADLINE)
    await until(lambda: not process.alive)
    encode(process.exit_reason)
    assert faults == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["coroutine", "server", "terminated"])
def test_what_ends_the_program_ends_it(kind: Any, where: str) -> None:
    """It passes through the loop, when the process is dead and everybody has been told."""
    told: list[Any] = []

    async def program() -> None:
        runtime = Runtime(Atom("py@test"), 7)
        try:
            if where == "server":
                pid = await start(runtime, Server, kind, "handle_cast")
            else:

                class Ending:
                    def start(self, process: Process) -> Any:
                        return None

                    def message(self, process: Process, message: Any) -> Any:
                        return self.later() if where == "coroutine" else raise_(Exit(atom.bye))

                    async def later(self) -> None:
                        raise_(kind)

                    def terminated(self, process: Process, reason: Any) -> None:
                        if where == "terminated":
                            raise_(kind)

                pid = runtime.spawn(Ending()).pid
            watching = runtime.spawn(None)
            runtime.monitor(watching, pid)
            gen.cast(runtime.main, pid, 1)
            try:
                await asyncio.sleep(DEADLINE)
            finally:
                told.append(watching.mailbox)
        finally:
            await runtime.stop(0)

    with pytest.raises(kind):
        asyncio.run(program())
    ((message,),) = told
    assert message[0] == atom.DOWN
