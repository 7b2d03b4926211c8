"""A callback that holds the loop is named, with its process, above a time that can be set."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from pynode import GenServer, GenStatem, Timeouts, atom, statem
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
