"""rpc and erpc of a node in a thread: the same words, and they block."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from pynode import Node
from pynode.errors import NO_REPLY, CallTimeout, NoConnection, RemoteError
from pynode.terms import ExportFun, atom

NOWHERE = atom("nobody@localhost")


@pytest.fixture
def epmd_port() -> int:
    """A free port: the node starts an EPMD there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_rpc_and_erpc_from_another_thread(epmd_port: int) -> None:
    with Node.in_thread("py@localhost", cookie="test", epmd_port=epmd_port) as node:
        me, runtime = node.name, node.node.runtime
        noted: list[Any] = []
        runtime.resolver.expose(lambda x, plus: x * x + plus, module="t", name="square")
        runtime.resolver.expose(noted.append, module="t", name="note", arity=1)

        async def stay() -> None:
            await runtime.main.receive(lambda message: False)

        runtime.resolver.expose(stay, module="t")
        square = ("t", "square", [3, 1])
        assert node.rpc.call(me, *square) == node.rpc.block_call(me, *square) == 10
        assert node.rpc.yield_(node.rpc.async_call(me, *square)) == 10
        assert node.rpc.nb_yield(node.rpc.async_call(me, "t", "stay")) is NO_REPLY
        assert node.rpc.multicall([me, NOWHERE], *square) == ([10], [NOWHERE])
        assert node.rpc.pmap(("t", "square"), [1], [1, 2]) == [2, 5]
        assert node.rpc.parallel_eval([square]) == [10]
        assert node.rpc.sbcast(None, "nobody", 1) == ([], [me])
        node.rpc.cast(me, "t", "note", [1])
        node.rpc.eval_everywhere(None, "t", "note", [2])
        node.erpc.multicast([me], ExportFun("t", "note", 1), [3])
        assert node.rpc.pinfo(node.main.pid, "message_queue_len") == 0
        assert node.erpc.call(me, *square, deadline=time.monotonic() + 20) == 10
        with pytest.raises(CallTimeout):
            node.erpc.call(me, "t", "stay", timeout=0.01)
        with pytest.raises(NoConnection):
            node.erpc.call(NOWHERE, *square)
        with pytest.raises(RemoteError, match="undef"):
            node.erpc.receive_response(node.erpc.send_request(me, "t", "none"), 20)
        collection = node.erpc.reqids_new()
        for number in range(3):
            request = node.erpc.send_request(me, "t", "square", [number, 0])
            node.erpc.reqids_add(request, number, collection)
        answers = [node.erpc.receive_response(collection, 20) for _ in range(3)]
        assert {one.label: one.reply for one in answers} == {0: 0, 1: 1, 2: 4}
        assert node.erpc.check_response(collection) is None
        assert [one.value for one in node.erpc.multicall([me, me], *square)] == [10, 10]
        assert sorted(noted) == [1, 2, 3]
