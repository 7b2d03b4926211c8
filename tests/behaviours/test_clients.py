"""The clients as namespaces: who acts, and from which thread."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pynode.behaviours import (
    Agent,
    GenEventHandler,
    GenServer,
    clients,
    gen,
    map_functions,
    start,
)
from pynode.process.current import wait
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import Pid, atom

from .helpers import Echo, receive


class Keeper(GenEventHandler):
    def init(self, *args: Any) -> None:
        self.events: list[Any] = []

    def handle_event(self, event: Any) -> None:
        self.events.append(event)

    def handle_call(self, request: Any) -> Any:
        return self.events


async def use_everything(echo: Pid, manager: Pid, agent: Pid) -> Any:
    """Use each namespace as the current process."""
    clients.gen_server.cast(echo, 1)
    clients.gen_event.notify(manager, 2)
    await clients.gen_event.sync_notify(manager, 3)
    clients.agent.cast(agent, lambda state: state + 1)
    return [
        await clients.gen_server.call(echo, atom.seen),
        await clients.gen_event.call(manager, Keeper, atom.events),
        await clients.agent.get(agent, lambda state: state),
        await clients.sys_.get_state(agent),
        await clients.gen_server.send_request(echo, 5).receive_response(5),
    ]


EXPECTED = [[(b"cast", 1)], [2, 3], 2, 2, 5]


async def test_as_the_current_process(runtime: Runtime) -> None:
    pids = [
        await start(runtime, Echo),
        await start(runtime, Keeper),
        await start(runtime, Agent, 1),
    ]

    async def body(process: Process) -> None:
        runtime.send(process, runtime.main.pid, await use_everything(*pids))

    runtime.spawn(body)
    assert await receive(runtime.main) == EXPECTED


async def test_from_the_thread_of_a_blocking_server(runtime: Runtime) -> None:
    class Model(GenServer, blocking=True):
        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            echo, manager, agent = request
            clients.gen_server.cast(echo, 1)
            clients.gen_event.notify(manager, 2)
            wait(clients.gen_event.sync_notify(manager, 3))
            clients.agent.cast(agent, ("Elixir.Function", "identity", []))
            return [
                wait(clients.gen_server.call(echo, atom.seen)),
                wait(clients.gen_event.call(manager, Keeper, atom.events)),
                wait(clients.agent.get(agent, ("Elixir.Function", "identity", []))),
            ]

    pids = [await start(runtime, Echo), await start(runtime, Keeper)]
    pids.append(await start(runtime, Agent, 2, functions=map_functions()))
    model = await start(runtime, Model)
    assert await gen.call(runtime.main, model, tuple(pids)) == EXPECTED[:3]


async def test_as_a_given_process(runtime: Runtime) -> None:
    manager = await start(runtime, Keeper)
    client = clients.GenEvent(lambda: runtime.main)
    assert await client.which_handlers(manager) == [atom.Keeper]
    await client.stop(manager)
    assert not runtime.is_alive(manager)


async def test_outside_any_process_it_says_what_to_use_instead(runtime: Runtime) -> None:
    with pytest.raises(RuntimeError, match=r"node\.call"):
        clients.gen_event.notify("x", 1)


def test_help_shows_the_function() -> None:
    assert clients.GenEvent.notify.__doc__ == clients.gen_event.notify.__doc__
    assert "event" in str(inspect.signature(clients.gen_event.notify))
