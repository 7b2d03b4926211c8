"""Both ways from a message to a callback do the same: ``step`` and the compiled dispatch."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pynode import NO_REPLY, FunctionClause, GenServer, Node, Stop, atom
from pynode.behaviours.body import BehaviourBody
from pynode.behaviours.gen_server import ServerBody
from pynode.errors import CallExit
from pynode.terms import ImproperList, Pid, Reference

PyNode = Callable[..., Node]

GEN_CALL, GEN_CAST = atom("$gen_call"), atom("$gen_cast")


class Plain(GenServer):
    """Notes what it is given, and does what the requests say."""

    def init(self, seen: list[Any]) -> None:
        self.seen = seen

    def act(self, kind: str, value: Any) -> Any:
        self.seen.append((kind, value))
        match value:
            case atom.fail:
                raise ValueError("fail")
            case atom.clause:
                raise FunctionClause(value)
            case atom.stop:
                raise Stop(atom.normal, reply=b"stopped")
            case atom.shutdown:
                raise Stop(atom.shutdown)
            case atom.theirs:
                return (atom.noreply, 1)
            case atom.go_on:
                self.continue_with(atom.more)
            case atom.patience:
                self.set_timeout(0)
            case atom.no_term:
                return object()
        return None

    def handle_call(self, request: Any, caller: Any) -> Any:
        assert caller.pid == caller.term[0]
        if request == atom.later:
            caller.reply(b"later")
            return NO_REPLY
        answer = self.act("call", request)
        return request if answer is None else answer

    def handle_cast(self, request: Any) -> Any:
        return self.act("cast", request)

    def handle_info(self, message: Any) -> Any:
        return self.act("info", message)

    def handle_continue(self, term: Any) -> Any:
        return self.act("continue", term)

    def terminate(self, reason: Any) -> Any:
        self.seen.append(("terminate", reason if type(reason) is not tuple else reason[0]))


class Async(Plain):
    """The same in coroutines."""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        return super().handle_call(request, caller)

    async def handle_cast(self, request: Any) -> Any:
        return super().handle_cast(request)

    async def handle_info(self, message: Any) -> Any:
        return super().handle_info(message)


PID = Pid(atom("x@y"), 1, 2, 3)
REF = Reference(atom("x@y"), 3, (1, 2, 3))
ACTS = [
    atom.plain, atom.fail, atom.clause, atom.stop, atom.shutdown, atom.theirs, atom.go_on,
    atom.patience, atom.no_term, atom.later,
]  # fmt: skip
MESSAGES: list[Any] = [
    *((GEN_CAST, act) for act in ACTS),
    *ACTS,
    (),
    (GEN_CAST,),
    (GEN_CAST, 1, 2),
    ("$gen_cast", 1),
    (b"$gen_cast", 1),
    (GEN_CALL, 1),
    (GEN_CALL, PID, atom.plain),
    (GEN_CALL, (), atom.plain),
    (GEN_CALL, [PID, REF], atom.plain),
    (GEN_CALL, (PID, REF), atom.plain),
    (GEN_CALL, (PID, ImproperList((atom.alias,), REF)), atom.plain),
    (GEN_CALL, (PID, [ImproperList((atom.alias,), REF), 1]), atom.plain),
    (GEN_CALL, (PID, ImproperList((ImproperList((atom.alias,), REF), 2), REF)), atom.plain),
    (GEN_CALL, (PID, ImproperList((atom.other,), REF)), atom.plain),
    (GEN_CALL, (PID, ImproperList((atom.alias, 1), REF)), atom.plain),
    (GEN_CALL, (PID, []), atom.plain),
    (GEN_CALL, (1, 2), atom.plain),
    (GEN_CALL, (atom.nobody, 2), atom.plain),
    (GEN_CALL, ((atom.nobody, atom("x@y")), 2), atom.plain),
    (atom.system, 1, 2),
    (atom("EXIT"), PID, atom.normal),
    (True, 1),
    (None, 1, 2),
    [GEN_CAST, 1],
    ImproperList((GEN_CAST,), 1),
    {GEN_CAST: 1},
    1.5,
]


async def outcome(
    node: Node, server: type[Plain], messages: list[Any]
) -> tuple[list[Any], Any, list[Any]]:
    """Return what a server has seen, how it ended (None: it lives), and what came to ``main``."""
    seen: list[Any] = []
    pid = await node.start(server, seen)
    ref = node.monitor(pid)
    for message in messages:
        node.send(pid, message)
    came = []
    try:
        reply: Any = await node.call(pid, b"last")
        came.append(reply)
        node.demonitor(ref, flush=True)
        await node.stop_server(pid)
        reason: Any = None
    except CallExit:
        down: Any = await node.main.receive(lambda found: found[0] == atom.DOWN, timeout=20)
        reason = down[4] if type(down[4]) is not tuple else down[4][0]
    return seen, reason, came


async def calls(node: Node, server: type[Plain]) -> list[Any]:
    """Return what calls of each kind lead to."""
    found: list[Any] = []
    for act in ACTS:
        seen: list[Any] = []
        pid = await node.start(server, seen)
        try:
            found.append((await node.call(pid, act, timeout=20), seen))
            await node.stop_server(pid)
        except CallExit as error:
            reason = error.reason
            found.append((reason[0] if type(reason) is tuple else reason, seen))
    return found


@pytest.fixture(params=["dispatch", "step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "step":
        monkeypatch.setattr(ServerBody, "message", BehaviourBody.message)
    return str(request.param)


@pytest.mark.parametrize("server", [Plain, Async])
async def test_both_ways_do_the_same(
    py_node: PyNode,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    server: type[Plain],
) -> None:
    caplog.set_level(logging.CRITICAL, "pynode")
    found = []
    for way in ("dispatch", "step"):
        if way == "step":
            monkeypatch.setattr(ServerBody, "message", BehaviourBody.message)
        async with py_node() as node:
            each = [await outcome(node, server, [message]) for message in MESSAGES]
            found.append((each, await calls(node, server)))
    dispatched, stepped = found
    for message, one, other in zip(MESSAGES, dispatched[0], stepped[0], strict=True):
        assert one == other, message
    assert dispatched[1] == stepped[1]
    kinds = {kind for seen, _, _ in dispatched[0] for kind, _ in seen}
    assert kinds == {"call", "cast", "info", "continue", "terminate"}


async def test_calls_from_another_node(py_node: PyNode, way: str) -> None:
    """Replies go to the alias, and the caller's node is told what is no term."""
    async with py_node("a") as a, py_node("b") as b:
        await a.connect(b.name)
        seen: list[Any] = []
        pid = await b.start(Plain, seen)
        for request in (atom.plain, b"x" * 100_000, {1: [2, 3.5]}, (atom.tuple, None)):
            assert await a.call(pid, request) == request
        assert await a.call(pid, atom.later) == b"later"
        monitored = a.monitor(pid)
        with pytest.raises(CallExit) as failed:
            await a.call(pid, atom.no_term)
        assert failed.value.reason[0][1] == atom.EncodeError
        down: Any = await a.main.receive(lambda found: found[1] == monitored, timeout=20)
        assert down[4][0][1] == atom.EncodeError


async def test_nothing_is_left_behind(py_node: PyNode, way: str) -> None:
    async with py_node("a") as a, py_node("b") as b:
        await a.connect(b.name)
        pid = await b.start(Plain, [])
        request = (atom.some, b"thing")
        process = b.runtime.local(pid)
        assert process is not None

        async def some(count: int) -> int:
            for _ in range(count):
                a.cast(pid, atom.plain)
                a.send(pid, atom.plain)
                await a.call(pid, request)
                process.body.instance.seen.clear()  # type: ignore[union-attr]
            gc.collect()
            return sys.getrefcount(process) + sys.getrefcount(process.body)

        before = await some(20)
        objects = len(gc.get_objects())
        assert await some(300) == before
        assert len(gc.get_objects()) - objects < 200


async def test_the_alias_gets_the_reply_and_not_the_pid(py_node: PyNode, way: str) -> None:
    async with py_node("a") as a, py_node("b") as b:
        await a.connect(b.name)
        pid = await b.start(Plain, [])
        other = await a.start(Plain, [])
        alias = a.runtime.alias(a.runtime.main)
        inner = ImproperList((atom.alias,), alias)
        for tag in (inner, [inner, 1], ImproperList((inner,), alias)):
            a.send(pid, (GEN_CALL, (other, tag), b"request"))
            assert await a.main.receive(timeout=20) == (tag, b"request")
        a.send(pid, (GEN_CALL, (a.main.pid, [1]), b"request"))
        assert await a.main.receive(timeout=20) == ([1], b"request")


async def test_the_parents_exit_ends_a_server(py_node: PyNode, way: str) -> None:
    async with py_node() as node:
        seen: list[Any] = []
        pid = await node.start(Plain, seen)  # nobody's child is its own
        ref = node.monitor(pid)
        node.send(pid, (atom("EXIT"), pid, atom.shutdown))
        down: Any = await node.main.receive(timeout=20)
        assert (down[1], down[4]) == (ref, atom.shutdown)
        assert seen == [("terminate", atom.shutdown)]
