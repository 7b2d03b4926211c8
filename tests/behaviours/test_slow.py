"""A callback that holds the loop is named, with its process, above a time that can be set."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from pynode import (
    Agent,
    Exports,
    GenEventHandler,
    GenServer,
    GenStatem,
    Timeouts,
    atom,
    statem,
)
from pynode.behaviours import gen


class Hog(GenServer):
    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        time.sleep(request)
        return atom.ok


class Machine(GenStatem, callback_mode="state_functions"):
    def init(self) -> Any:
        return atom.only

    def only(self, event: Any, content: Any) -> Any:
        time.sleep(content)
        return statem.KeepState(statem.Reply(event[1], atom.ok))


@pytest.mark.parametrize(("slow", "warned"), [(0.01, True), (None, False)])
async def test_the_time_is_an_option_of_the_node(
    py_node: Any, caplog: pytest.LogCaptureFixture, slow: float | None, warned: bool
) -> None:
    async with py_node(timeouts=Timeouts(slow=slow)) as node:
        for server in (Hog, Machine):
            caplog.clear()
            pid = await node.start(server, name="hog", sys_debug=["statistics"])
            assert await node.call(pid, 0.03) == atom.ok
            found = [
                r.getMessage()
                for r in caplog.records
                if r.levelno == logging.WARNING and "held the event loop" in r.getMessage()
            ]
            named = [text for text in found if server.__name__ in text and " hog>" in text]
            assert bool(named) == warned
            assert (await node.sys.statistics(pid))["messages_in"] == 1
            await node.stop_server(pid)


def hog(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


async def hog_async(seconds: float) -> float:
    time.sleep(seconds)  # noqa: ASYNC251  on purpose
    return seconds


class SlowHandler(GenEventHandler):
    def handle_event(self, event: Any) -> None:
        time.sleep(event)


async def test_each_is_named_with_what_helps(
    py_node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def told(*words: str) -> None:
        found = [r.getMessage() for r in caplog.records if "held the event loop" in r.getMessage()]
        assert [text for text in found if all(word in text for word in words)], found
        assert not [text for text in found if "execute_call" in text or "Rex" in text], found
        caplog.clear()

    exposed = Exports("work")
    exposed.export(blocking=False)(hog)
    exposed.export(hog_async)
    exposed.export(name="threaded")(hog)
    async with (
        py_node(timeouts=Timeouts(slow=0.02), expose=[exposed]) as node,
        py_node() as other,
    ):
        await other.connect(node.name)
        plain = "exposed as a plain function without blocking=False, it runs in a thread"
        for name in ("hog", "hog_async"):
            assert await other.erpc.call(node.name, "work", name, [0.05]) == 0.05
            told(f"work:{name}/1 in", plain)
            assert await other.rpc.block_call(node.name, "work", name, [0.05]) == 0.05
            told(f"work:{name}/1 in", plain)
            await other.spawn_monitor(node.name, "work", name, [0.05])
            await other.main.receive()
            told(f"work:{name}/1 in", plain)
        assert await other.erpc.call(node.name, "work", "threaded", [0.05]) == 0.05
        assert "work:threaded" not in caplog.text
        server = await node.start(Hog)
        await node.call(server, 0.05)
        told("Hog", "a server that computes for long says blocking=True")
        agent = await node.start(Agent, 0.05)
        await node.agent.get(agent, hog)
        told("Agent", "computed by the caller")
        manager = await node.start(SlowHandler)
        await node.gen_event.sync_notify(manager, 0.05)
        told("the work of a server that says blocking=True")

        async def body(process: Any) -> None:
            await hog_async(0.05)

        node.monitor(node.spawn(body))
        await node.main.receive()
        told("body", "await process.run_blocking(function)")
