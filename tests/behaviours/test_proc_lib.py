"""proc_lib: acknowledged starts, and servers that are spawned."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.behaviours import GenServer, ServerStart, gen, init_ack, init_fail, proc_lib
from pynode.errors import Ignore, StartError, Stop
from pynode.process.current import process as current, self_
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import Atom, atom

from .helpers import DEADLINE, is_clean, reason_of_death

HERE = Atom("py@test")


class Counter(GenServer, module="Elixir.Counter", text=True):
    def init(self, first: Any, *, step: int = 1) -> None:
        if first == atom.ignore:
            raise Ignore
        if first == atom.refuse:
            raise Stop(atom.refused)
        self.count, self.step = first, step

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        self.count += self.step
        return self.count if request == atom.bump else type(request).__name__.encode()


async def begin(kind: Any) -> None:
    if kind == atom.fail:
        init_fail((atom.error, atom.no), atom.normal)
    if kind == atom.good:
        init_ack((atom.ok, self_()))
    if kind == atom.dead:
        return
    await current().receive()


@pytest.fixture
def exposed(runtime: Runtime) -> Runtime:
    runtime.resolver.expose(begin, module="m")
    for name, server in (
        ("start_link", ServerStart(Counter, step=10)),
        ("named", ServerStart(Counter, name="counter", timeout=5)),
    ):
        runtime.resolver.expose(server, module="Elixir.Counter", name=name, arity=1)
    return runtime


async def test_a_start_waits_for_the_word(exposed: Runtime) -> None:
    main = exposed.main

    async def start(kind: Any, **options: Any) -> Any:
        return await proc_lib.start(main, HERE, "m", "begin", [kind], **options)

    ok, pid = await start(atom.good)
    assert ok == atom.ok
    process = exposed.local(pid)
    assert process is not None
    assert proc_lib.initial_call(process) == (atom.m, atom.begin, 1)
    assert process.dictionary[atom("$ancestors")] == [main.pid]
    assert proc_lib.initial_call(main) is None
    before = len(exposed.processes())
    assert await start(atom.fail) == (atom.error, atom.no)
    with pytest.raises(StartError) as failed:
        await start(atom.dead)
    assert failed.value.reason == atom.normal
    with pytest.raises(StartError) as failed:
        await start(atom.mute, timeout=0.01, link=True)
    assert failed.value.reason == atom.timeout
    waiting = asyncio.create_task(start(atom.mute))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert len(exposed.processes()) == before
    assert is_clean(main)


async def test_who_was_not_started_by_proc_lib(exposed: Runtime) -> None:
    errors: list[Exception] = []

    async def body(process: Process) -> None:
        with pytest.raises(RuntimeError, match="proc_lib") as error:
            init_ack(atom.ok)
        errors.append(error.value)
        init_ack(atom.ok, exposed.main.pid)

    pid = exposed.spawn(body).pid
    assert await exposed.main.receive(timeout=DEADLINE) == (atom.ack, pid, atom.ok)
    assert errors


async def test_a_server_is_the_process_that_is_spawned(exposed: Runtime) -> None:
    main = exposed.main
    pid = await proc_lib.spawn(main, HERE, "Elixir.Counter", "start_link", [1], link=True)
    assert await main.receive(timeout=DEADLINE) == (atom.ack, pid, (atom.ok, pid))
    assert await gen.call(main, pid, atom.bump) == 11
    assert await gen.call(main, pid, b"text") == b"str"
    process = exposed.local(pid)
    assert process is not None
    assert proc_lib.initial_call(process) == (atom("Elixir.Counter"), atom.init, 1)
    answer = await proc_lib.start(main, HERE, "Elixir.Counter", "start_link", [atom.refuse])
    assert answer == (atom.error, atom.refused)
    assert await proc_lib.start(main, HERE, "Elixir.Counter", "named", [atom.ignore]) == atom.ignore
    ok, named = await proc_lib.start(main, HERE, "Elixir.Counter", "named", [1])
    assert (ok, exposed.whereis("counter")) == (atom.ok, named)
    # By a plain spawn nobody waits, so nobody is told.
    pid, _ = await exposed.spawn_remote(main, HERE, "Elixir.Counter", "start_link", [1])
    assert await gen.call(main, pid, atom.bump) == 11
    assert is_clean(main)


async def test_a_server_started_by_a_function(exposed: Runtime) -> None:
    async def body(process: Process) -> None:
        start = ServerStart(Counter)
        answers.append(await start(1))
        answers.append(await start(atom.refuse))
        answers.append(await start(atom.ignore))

    answers: list[Any] = []
    assert await reason_of_death(exposed, exposed.spawn(body).pid) == atom.normal
    (ok, pid), refused, ignored = answers
    assert ok == atom.ok
    assert exposed.is_alive(pid)  # it is nobody's child
    assert (refused, ignored) == ((atom.error, atom.refused), atom.ignore)
