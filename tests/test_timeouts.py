"""A timeout that is none is told at once, everywhere in the same words, and nothing is sent."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pynode import GenServer, Node, Task, atom
from pynode.behaviours import gen
from pynode.behaviours.gen import milliseconds
from pynode.process.timeouts import check_deadline, check_timeout


class Served(GenServer):
    def init(self) -> None:
        self.served = 0

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == atom.served:
            return self.served
        self.served += 1
        return request


async def answer() -> int:
    return 1


Use = Callable[[Node, Any, Any, Any], Any]


def requested(node: Node, name: Any) -> Any:
    return node.erpc.send_request(name, "t", "f", [])


#: By name: (node, the other node's name, a server there, the timeout) -> what is awaited.
USES: dict[str, Use] = {
    "call": lambda n, o, p, t: n.call(p, 1, timeout=t),
    "call by name": lambda n, o, p, t: n.call(("served", o), 1, timeout=t),
    "stop_server": lambda n, o, p, t: n.stop_server(p, timeout=t),
    "start": lambda n, o, p, t: n.start(Served, timeout=t),
    "multi_call": lambda n, o, p, t: gen.multi_call(n.main, [o], "served", 1, t),
    "gen_statem.call": lambda n, o, p, t: n.gen_statem.call(p, 1, t),
    "gen_event.call": lambda n, o, p, t: n.gen_event.call(p, "handler", 1, t),
    "sys.get_state": lambda n, o, p, t: n.sys.get_state(p, t),
    "agent.get": lambda n, o, p, t: n.agent.get(p, ("t", "f", []), t),
    "rpc.call": lambda n, o, p, t: n.rpc.call(o, "t", "f", [], timeout=t),
    "rpc.block_call": lambda n, o, p, t: n.rpc.block_call(o, "t", "f", [], timeout=t),
    "rpc.multicall": lambda n, o, p, t: n.rpc.multicall([o], "t", "f", [], timeout=t),
    "rpc.nb_yield": lambda n, o, p, t: n.rpc.nb_yield(n.rpc.async_call(o, "t", "f", []), t),
    "rpc.sbcast": lambda n, o, p, t: n.rpc.sbcast([o], "served", 1, timeout=t),
    "rpc.server_call": lambda n, o, p, t: n.rpc.server_call(o, "served", 1, 1, timeout=t),
    "rpc.multi_server_call": lambda n, o, p, t: n.rpc.multi_server_call(
        [o], "served", 1, timeout=t
    ),
    "rpc.pinfo": lambda n, o, p, t: n.rpc.pinfo(n.main.pid, timeout=t),
    "erpc.call": lambda n, o, p, t: n.erpc.call(o, "t", "f", [], timeout=t),
    "erpc.multicall": lambda n, o, p, t: n.erpc.multicall([o], "t", "f", [], timeout=t),
    "erpc.receive_response": lambda n, o, p, t: n.erpc.receive_response(requested(n, o), t),
    "erpc.wait_response": lambda n, o, p, t: n.erpc.wait_response(requested(n, o), t),
    "task.await_": lambda n, o, p, t: n.task.async_(answer).await_(t),
    "task.yield_": lambda n, o, p, t: n.task.async_(answer).yield_(t),
    "task.shutdown": lambda n, o, p, t: n.task.async_(answer).shutdown(t),
    "Task.await_many": lambda n, o, p, t: Task.await_many([n.task.async_(answer)], t),
    "Task.yield_many": lambda n, o, p, t: Task.yield_many([n.task.async_(answer)], t),
}
#: Those that give a time for what was asked for before.
ASKED_BEFORE = {"rpc.nb_yield", "erpc.receive_response", "erpc.wait_response"}
WRONG: list[tuple[Any, type[Exception]]] = [
    ("5", TypeError),
    (b"5", TypeError),
    (True, TypeError),
    (1j, TypeError),
    ([], TypeError),
    (-1, ValueError),
    (-0.001, ValueError),
    (math.nan, ValueError),
    (-math.inf, ValueError),
]


async def test_everywhere() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        options: dict[str, Any] = {"cookie": "test", "epmd_port": probe.getsockname()[1]}
    ran: list[int] = []
    expose: Any = {"t": {"f": lambda: ran.append(1)}}
    async with (
        Node("one@localhost", **options) as node,
        Node("two@localhost", expose=expose, **options) as other,
    ):
        server = await other.start(Served, name="served")
        await node.connect(other.name)
        for name, use in sorted(USES.items(), key=lambda item: item[0] in ASKED_BEFORE):
            for timeout, error in WRONG:
                with pytest.raises(error, match="timeout is seconds") as caught:
                    await use(node, other.name, server, timeout)
                assert repr(timeout) in str(caught.value), name
            if name not in ASKED_BEFORE:
                assert ran == [], name
                assert await node.call(server, atom.served) == 0, name
        with pytest.raises(TypeError, match="deadline is a time"):
            await node.erpc.call(other.name, "t", "f", [], deadline="5")  # type: ignore[arg-type]
        for timeout, error in WRONG:  # of a receive, whose time may be over
            over = isinstance(timeout, int | float) and timeout < 0
            with pytest.raises(TimeoutError if over else error):
                await node.main.receive(lambda message: False, timeout=timeout)
        # What is a time is taken, infinity as well.
        for timeout in (5, 5.0, math.inf, None):
            assert await node.call(server, 2, timeout=timeout) == 2
            assert await node.erpc.call(other.name, "erlang", "node", timeout=timeout) == other.name


def test_words() -> None:
    for good in (None, 0, 0.0, 1, 1.5, math.inf, type("F", (float,), {})(1.0)):
        check_timeout(good)
        check_deadline(good)
    check_deadline(-1)
    with pytest.raises(ValueError, match="deadline"):
        check_deadline(math.nan)
    assert milliseconds(math.inf) == milliseconds(None) == milliseconds(1e308) == atom.infinity
