"""sys requests that must not end the server they are about."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.behaviours import GenEventHandler, GenEventManager, GenServer, gen, start, sys
from pynode.behaviours.debug import LOG_BYTES
from pynode.dist import control as c
from pynode.dist.seam import Peer
from pynode.errors import CallExit, CallTimeout
from pynode.process.runtime import Runtime
from pynode.terms import Atom, ExportFun, ImproperList, Pid, Record, Reference, atom
from tests.process.wire import Recorder

from .helpers import DEADLINE, Echo

SYSTEM = atom.system


@pytest.fixture
def out(runtime: Runtime) -> Recorder:
    recorder = Recorder()
    runtime.attach(recorder)
    return recorder


class Opaque(GenServer):
    """Its state is no term, its dictionary neither."""

    def init(self, fails: bool = False) -> None:
        self.fails = fails
        self.process.dictionary["key"] = object()

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return request

    def system_get_state(self) -> Any:
        if self.fails:
            raise ValueError("on purpose")
        return object()


class Handler(GenEventHandler):
    def handle_event(self, event: Any) -> None:
        pass

    def system_get_state(self) -> Any:
        return object()


def nested(levels: int) -> Any:
    term: Any = 1
    for _ in range(levels):
        term = (term,)
    return term


async def ask(runtime: Runtime, server: Pid, request: Any) -> Any:
    return await gen.request(runtime.main, SYSTEM, server, request, DEADLINE)


REQUESTS: list[Any] = [
    atom.get_state,
    atom.get_status,
    (atom.debug, (atom.trace, True)),
    (atom.debug, (atom.log, (True, 2**70))),
    (atom.debug, (atom.log, (True, 10**12))),
    (atom.debug, (atom.log, atom.get)),
    (atom.debug, (atom.install, (ExportFun("test", "no_term", 3), 1))),
    (atom.debug, (atom.install, (ExportFun("test", "nobody", 3), 1))),
    (atom.replace_state, ExportFun("test", "no_term", 3)),
    nested(9990),
    (nested(9990),),
    10**6000,
]


@pytest.mark.parametrize(
    "server", [Echo, Opaque, (Opaque, True), GenEventManager, Handler], ids=repr
)
async def test_looking_at_a_server_does_not_end_it(runtime: Runtime, server: Any) -> None:
    runtime.resolver.expose(lambda *_: object(), module="test", name="no_term", arity=(1, 3))
    kind, *arguments = server if isinstance(server, tuple) else (server,)
    pid = await start(runtime, kind, *arguments)
    for request in REQUESTS:
        await ask(runtime, pid, request)
        runtime.send(runtime.main, pid, (atom.some, atom.message))
        if issubclass(kind, GenServer):
            assert await gen.call(runtime.main, pid, atom.still, DEADLINE) == atom.still
        else:
            await gen.request(runtime.main, runtime.main.pid, pid, atom.which_handlers, DEADLINE)
    assert runtime.is_alive(pid)


async def test_an_echo_that_the_caller_cannot_get(runtime: Runtime) -> None:
    """A native record in a request is one that this caller's node could not be sent back."""
    pid = await start(runtime, Echo)
    record = Record("m", "n", True, [])
    assert await ask(runtime, pid, record) == (atom.error, (atom.unknown_system_msg, record))
    far = Pid(atom("far@host"), 1, 0, 1)
    for caller in ((far, atom.tag), (far, record), (far, [record])):
        runtime.send(runtime.main, pid, (SYSTEM, caller, record))
    assert await gen.call(runtime.main, pid, 1, DEADLINE) == 1


async def test_a_log_has_an_end(runtime: Runtime) -> None:
    pid = await start(runtime, Echo)
    assert await ask(runtime, pid, (atom.debug, (atom.log, (True, 2**70)))) == atom.ok
    body: Any = runtime.local(pid).body  # type: ignore[union-attr]
    assert body.extra.debug.log.maxlen <= 100_000


async def test_a_call_that_nobody_answers_is_only_that(runtime: Runtime) -> None:
    pid = await start(runtime, Echo)
    runtime.send(runtime.main, pid, (SYSTEM, 1, atom.get_state))
    with pytest.raises(CallTimeout):
        await gen.request(runtime.main, atom.nonsense, pid, 1, 0)
    assert runtime.is_alive(pid)


@pytest.mark.parametrize("caller", [1, (), (1,), (1, 2, 3), [1, 2], atom.a, b"", None], ids=repr)
@pytest.mark.parametrize("tag", [SYSTEM, atom("$gen_call")], ids=str)
@pytest.mark.parametrize("server", [Echo, GenEventManager])
async def test_who_calls_as_nobody(runtime: Runtime, server: Any, tag: Any, caller: Any) -> None:
    pid = await start(runtime, server)
    runtime.send(runtime.main, pid, (tag, caller, atom.get_state))
    await ask(runtime, pid, atom.get_state)
    assert runtime.is_alive(pid)


async def test_a_reply_that_only_the_callers_node_cannot_take(
    runtime: Runtime, out: Recorder
) -> None:
    """What one node put into a cache, and an older one asks for: its call fails, nobody ends."""
    out.flags = 0
    far = Pid(atom("far@host"), 1, 0, 1)
    ref = Reference(far.node, 1, (1, 2, 3))
    runtime.peer_up(Peer(far.node, 1, 0, hidden=False))
    pid = await start(runtime, Echo)
    peer = Peer(far.node, 1, 0, hidden=False)
    runtime.control(peer, c.Monitor(far, pid, ref), None)
    record = Record("m", "n", True, [])
    for tag in (ImproperList([atom.alias], ref), (record, 1)):
        runtime.send(runtime.main, pid, (atom("$gen_call"), (far, tag), record))
    assert await gen.call(runtime.main, pid, 1, DEADLINE) == 1
    ((message, reason),) = out.take()
    assert message == c.MonitorExit(pid, far, ref, c.IN_PAYLOAD)
    assert reason[0][:2] == (atom.python_error, atom.EncodeError)


async def test_a_reply_that_is_no_term_is_the_servers_fault(runtime: Runtime) -> None:
    class Wrong(GenServer):
        def handle_call(self, request: Any, caller: gen.Caller) -> Any:
            return object()

    pid = await start(runtime, Wrong)
    with pytest.raises(CallExit):
        await gen.call(runtime.main, pid, 1, DEADLINE)
    assert not runtime.is_alive(pid)


@pytest.mark.parametrize(
    "address", [nested(5000), (nested(5000), 1), (1, nested(5000)), (10**6000, 1)], ids=range(4)
)
async def test_a_caller_whose_address_cannot_be_printed(runtime: Runtime, address: Any) -> None:
    pid = await start(runtime, Echo)
    for tag in (atom("$gen_call"), SYSTEM):
        runtime.send(runtime.main, pid, (tag, (address, 1), atom.get_state))
    assert await gen.call(runtime.main, pid, 1, DEADLINE) == 1


class Deaf(GenServer):
    def init(self) -> None:
        pass

    def handle_cast(self, request: Any) -> None:
        pass


async def test_a_log_is_bounded_by_weight(runtime: Runtime) -> None:
    """Not by the number of its events alone: what a peer sends may be large."""
    server = await start(runtime, Deaf)
    main = runtime.main

    async def logged() -> list[Any]:
        events: Any = await sys.log(main, server, "get")
        return [
            event[1][1][0] for event in events if event[0] == Atom("in") and event[1][0] != SYSTEM
        ]

    await sys.log(main, server, 1000)
    large = b"x" * (LOG_BYTES // 4)
    for number in range(6):
        gen.cast(main, server, (number, large))
    assert await logged() == [3, 4, 5]
    gen.cast(main, server, (6, large * 5))  # weighs too much by itself
    assert await logged() == []
    for number in range(3000):
        gen.cast(main, server, (number,))
    found = await logged()
    assert found == list(range(2500, 3000))  # each is two events: in, and noreply
