"""``node.rpc`` between two nodes in memory, and on one; and ``rex``, as it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pynode.behaviours import gen
from pynode.errors import (
    NO_REPLY,
    CallExit,
    CallTimeout,
    EncodeError,
    NoConnection,
    NoProcess,
    ProcessDead,
    RemoteError,
)
from pynode.policy import Action, Deny, default_policy
from pynode.process import Process
from pynode.process.current import self_
from pynode.process.stacks import stack_lines
from pynode.services.rpc import Rpc
from pynode.terms import Atom, ExportFun, atom, charlist
from pynode.testing import eventually

from .rpc_pair import DEADLINE, HERE, NOWHERE, THERE, RpcPair, rpc_pair

EXIT = atom("EXIT")


@pytest.fixture
async def pair() -> AsyncIterator[RpcPair]:
    async with rpc_pair() as made:
        yield made


@pytest.fixture
def rpc(pair: RpcPair) -> Rpc:
    return pair.here.rpc


@pytest.fixture(params=[HERE, THERE], ids=["here", "there"])
def node(request: pytest.FixtureRequest) -> Atom:
    found: Atom = request.param
    return found


def main(pair: RpcPair) -> Process:
    return pair.here._runtime.main


def expose(pair: RpcPair, name: str, function: Any, **options: Any) -> None:
    for services in (pair.here, pair.there):
        services._runtime.resolver.expose(function, module="t", name=name, **options)


# --------------------------------------------------------------------------- call, block_call


@pytest.mark.parametrize("how", ["call", "block_call"])
async def test_calls(pair: RpcPair, rpc: Rpc, node: Atom, how: str) -> None:
    call = getattr(rpc, how)
    assert await call(node, "t", "echo", [1, "x"]) == [1, b"x"]
    assert await call(node, ExportFun("t", "echo", 1), ["x"], text=True) == ["x"]
    assert await call(node, "t", "throw", [b"ball"]) == b"ball"
    with pytest.raises(RemoteError) as caught:
        await call(node, "t", "leave", [atom.gone])
    assert (caught.value.kind, caught.value.reason) == ("exit", atom.gone)
    with pytest.raises(RemoteError) as caught:
        await call(node, "t", "fail", ["x"])
    assert str(caught.value) == f"ValueError on {node}: x"
    assert caught.value.stack[-1] == (atom.t, atom.fail, 1, [])
    with pytest.raises(RemoteError) as caught:
        await call(node, "os", "cmd", [charlist("id")])
    assert (caught.value.kind, caught.value.reason) == ("error", atom.undef)
    with pytest.raises(CallTimeout) as late:
        await call(node, "t", "stay", timeout=0.01)
    assert late.value.call is not None
    with pytest.raises(NoConnection) as lost:
        await call(NOWHERE, "t", "echo")
    assert NOWHERE in lost.value.call[2]
    with pytest.raises(EncodeError):
        await call(node, "t", "echo", [object()])
    with pytest.raises(TypeError):
        await call(node, "t", "echo", "abc")


@pytest.mark.parametrize("function", ["echo", "throw"])
async def test_an_exit_tuple_is_an_error(
    pair: RpcPair, rpc: Rpc, node: Atom, function: str
) -> None:
    expose(pair, "echo", lambda term: term)
    stack: list[Any] = [(atom.m, atom.f, 1, [])]
    for term, kind, reason in (
        ((EXIT, atom.gone), "exit", atom.gone),
        ((EXIT, (atom.badarith, stack)), "error", atom.badarith),
        ((EXIT, (atom.why, [])), "exit", (atom.why, [])),
        ((EXIT, (atom.why, [1])), "exit", (atom.why, [1])),
    ):
        with pytest.raises(RemoteError) as caught:
            await rpc.call(node, "t", function, [term])
        assert (caught.value.kind, caught.value.reason) == (kind, reason)
        with pytest.raises(RemoteError) as caught:
            await rpc.yield_(rpc.async_call(node, "t", function, [term]))
        assert (caught.value.kind, caught.value.reason) == (kind, reason)
        [result], [] = await rpc.multicall([node], "t", function, [term])
        assert isinstance(result, RemoteError)
        assert (result.kind, result.reason) == (kind, reason)


async def test_badrpc_of_a_block_call(pair: RpcPair, rpc: Rpc, node: Atom) -> None:
    expose(pair, "echo", lambda term: term)
    wanted = ((atom.nodedown, NoConnection), (atom.timeout, CallTimeout), (atom.odd, CallExit))
    for reason, error in wanted:
        with pytest.raises(error) as caught:
            await rpc.block_call(node, "t", "echo", [(atom.badrpc, reason)])
        assert caught.value.call == (
            atom.rpc,
            atom.block_call,
            [node, atom.t, atom.echo, [(atom.badrpc, reason)]],
        )


async def test_block_calls_run_one_after_the_other(pair: RpcPair, rpc: Rpc, node: Atom) -> None:
    running: list[int] = []
    go = asyncio.Event()

    async def work(number: int) -> Any:
        running.append(number)
        await go.wait()
        return self_(), len(running)

    expose(pair, "work", work)
    calls = [asyncio.ensure_future(rpc.block_call(node, "t", "work", [n])) for n in range(3)]
    await eventually(lambda: running)
    answer = await rpc.call(node, "t", "echo", [1])  # which does not wait for rex
    assert (answer, running) == ([1], [0])
    go.set()
    results = await asyncio.gather(*calls)
    services = pair.here if node == HERE else pair.there
    rex = services._runtime.whereis("rex")
    assert results == [(rex, 1), (rex, 2), (rex, 3)]


async def test_a_block_call_has_the_callers_group_leader_for_its_time(
    pair: RpcPair, rpc: Rpc
) -> None:
    def leader() -> Any:
        process = pair.there._runtime.current()
        assert process is not None
        return process.group_leader

    expose(pair, "leader", leader)
    assert await rpc.block_call(THERE, "t", "leader") == main(pair).group_leader
    rex = pair.there._runtime.local(pair.there._runtime.whereis("rex"))  # type: ignore[arg-type]
    assert rex is not None
    assert rex.group_leader == pair.there.user.process.pid


async def test_a_cancelled_block_call(pair: RpcPair, rpc: Rpc) -> None:
    task = asyncio.ensure_future(rpc.block_call(THERE, "t", "stay"))
    await eventually(lambda: pair.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not main(pair).monitors


# --------------------------------------------------------------------------- async_call


async def test_yield(pair: RpcPair, rpc: Rpc, node: Atom) -> None:
    keys = [rpc.async_call(node, "t", "echo", [n]) for n in range(3)]
    assert [await rpc.yield_(key) for key in reversed(keys)] == [[2], [1], [0]]
    assert await rpc.yield_(rpc.async_call(node, "t", "throw", [b"ball"])) == b"ball"
    with pytest.raises(RemoteError, match="ValueError"):
        await rpc.yield_(rpc.async_call(node, "t", "fail", ["x"]))
    with pytest.raises(NoConnection):
        await rpc.yield_(rpc.async_call(NOWHERE, "t", "echo"))


async def test_nb_yield(pair: RpcPair, rpc: Rpc, node: Atom) -> None:
    key = rpc.async_call(node, "t", "stay")
    assert await rpc.nb_yield(key) is NO_REPLY
    assert await rpc.nb_yield(key, 0.01) is NO_REPLY
    key.close()
    key = rpc.async_call(node, "t", "echo", [1])
    assert await rpc.nb_yield(key, DEADLINE) == [1]
    assert await rpc.nb_yield(key) == [1]
    with pytest.raises(RemoteError):
        await rpc.nb_yield(rpc.async_call(node, "t", "fail", ["x"]), None)


# --------------------------------------------------------------------------- several nodes


async def test_multicall(pair: RpcPair, rpc: Rpc) -> None:
    results, bad = await rpc.multicall([THERE, NOWHERE, HERE], "t", "echo", [1])
    assert (results, bad) == ([[1], [1]], [NOWHERE])
    results, bad = await rpc.multicall(None, "t", "where")
    assert [one[0] for one in results] == [HERE, THERE]
    pair.there._runtime.resolver.withdraw("t", "where")
    [one, other], bad = await rpc.multicall([HERE, THERE], "t", "where", timeout=DEADLINE)
    assert one[0] == HERE
    assert isinstance(other, RemoteError)
    assert (other.reason, bad) == (atom.undef, [])
    assert await rpc.multicall(None, "t", "throw", [7]) == ([7, 7], [])
    assert await rpc.multicall([HERE, THERE], "t", "stay", timeout=0.01) == ([], [HERE, THERE])
    [killed, _], bad = await rpc.multicall([HERE, THERE], "t", "die", [atom.kill])
    assert isinstance(killed, CallExit)
    assert killed.reason == (atom.signal, atom.killed)
    with pytest.raises(EncodeError):
        await rpc.multicall(None, "t", "echo", [object()])


async def test_a_hidden_node_is_none_of_all() -> None:
    async with rpc_pair(hidden=True) as pair:
        assert await pair.here.rpc.multicall(None, "t", "echo", [1]) == ([[1]], [])
        assert await pair.here.rpc.multicall([THERE], "t", "echo", [1]) == ([[1]], [])


async def test_parallel_eval_and_pmap(pair: RpcPair, rpc: Rpc) -> None:
    expose(pair, "where", lambda *args: (self_().node, *args))
    calls: list[Any] = [("t", "where", [n]) for n in range(5)]
    found = await rpc.parallel_eval(calls)
    assert found == [(HERE, 0), (THERE, 1), (HERE, 2), (THERE, 3), (HERE, 4)]
    one, other, third = await rpc.parallel_eval([calls[0], ("t", "fail", ["x"]), calls[1]])
    assert (one, third) == ((HERE, 0), (HERE, 1))
    assert isinstance(other, RemoteError)
    assert await rpc.parallel_eval([]) == []
    with pytest.raises(TypeError):
        await rpc.parallel_eval([calls[0], (1, 2, [])])
    assert not main(pair).monitors
    expose(pair, "add", lambda a, b: a + b)
    assert await rpc.pmap(("t", "add"), [10], range(4)) == [10, 11, 12, 13]
    assert await rpc.pmap(ExportFun("t", "add", 2), (1,), [1, 2]) == [2, 3]
    with pytest.raises(RemoteError, match="TypeError"):
        await rpc.pmap(("t", "add"), [10], [1, atom.x])


async def test_eval_everywhere(pair: RpcPair, rpc: Rpc) -> None:
    got: list[Any] = []
    expose(pair, "note", lambda term: got.append((self_().node, term)))
    rpc.eval_everywhere(None, "t", "note", [1])
    rpc.eval_everywhere([THERE, NOWHERE], ExportFun("t", "note", 1), [2])
    rpc.cast(HERE, "t", "note", [3])
    await eventually(lambda: len(got) == 4)
    assert set(got) == {(HERE, 1), (THERE, 1), (THERE, 2), (HERE, 3)}


async def test_abcast_and_sbcast(pair: RpcPair, rpc: Rpc) -> None:
    boxes = [services._runtime.main for services in (pair.here, pair.there)]
    for box in boxes:
        box.runtime.register("box", box.pid)
    rpc.abcast(None, "box", b"all")
    rpc.abcast([HERE, NOWHERE], "nobody", b"none")
    rpc.abcast([THERE], "box", b"one")
    assert await rpc.sbcast(None, "box", "sync") == ([HERE, THERE], [])
    nodes = [NOWHERE, THERE, HERE]
    assert await rpc.sbcast(nodes, "box", b"again") == ([THERE, HERE], [NOWHERE])
    boxes[0].runtime.unregister("box")
    assert await rpc.sbcast([HERE, THERE], "box", b"last") == ([THERE], [HERE])
    here, there = [[message async for message in _left(box)] for box in boxes]
    assert here == [b"all", b"sync", b"again"]
    assert there == [b"all", b"one", b"sync", b"again", b"last"]
    with pytest.raises(EncodeError):
        rpc.abcast(None, "box", object())
    with pytest.raises(EncodeError):
        await rpc.sbcast(None, "box", object())
    with pytest.raises(TypeError):
        rpc.abcast(HERE, "box", 1)  # type: ignore[arg-type]


async def _left(process: Process) -> AsyncIterator[Any]:
    while True:
        try:
            yield await process.receive(timeout=0)
        except TimeoutError:
            return


async def test_sbcast_to_a_node_that_does_not_answer(pair: RpcPair, rpc: Rpc) -> None:
    await eventually(lambda: rpc._all_nodes() == [HERE, THERE])
    task = asyncio.ensure_future(rpc.block_call(THERE, "t", "stay"))
    await eventually(lambda: pair.running)
    before = len(pair.here._runtime.processes())
    box = main(pair)
    box.runtime.register("box", box.pid)
    assert await rpc.sbcast(None, "box", 1, timeout=0.05) == ([HERE], [THERE])
    waiting = asyncio.ensure_future(rpc.sbcast(None, "box", 1))
    await eventually(lambda: len(pair.here._runtime.processes()) == before + 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(pair.here._runtime.processes()) == before  # the helper went with it
    known = {process.pid for process in pair.here._runtime.processes()}
    waiting = asyncio.ensure_future(rpc.sbcast(None, "box", 1))
    await eventually(lambda: len(pair.here._runtime.processes()) == before + 1)
    [helper] = {process.pid for process in pair.here._runtime.processes()} - known
    box.runtime.exit(box, helper, atom.kill)
    with pytest.raises(ProcessDead):
        await waiting
    task.cancel()


# --------------------------------------------------------------------------- named servers


async def test_server_call(pair: RpcPair, rpc: Rpc, node: Atom) -> None:
    async def serve(process: Process) -> None:
        async for sender, message in process:
            if message == atom.stop:
                return
            if message != atom.mute:
                process.runtime.send(process, sender, (atom.other, node, 1))
                process.runtime.send(process, sender, (atom.srv, atom("else@test"), 1))
                process.runtime.send(process, sender, (atom.srv, process.pid.node, message))

    for services in (pair.here, pair.there):
        services._runtime.spawn(serve, name="srv")
    assert await rpc.server_call(node, "srv", atom.srv, 5, timeout=DEADLINE) == 5
    assert await rpc.multi_server_call(None, "srv", 6) == ([6, 6], [])
    nodes = [NOWHERE, node]
    assert await rpc.multi_server_call(nodes, "srv", 7) == ([7], [NOWHERE])
    assert await rpc.multi_server_call([node], "srv", atom.mute, timeout=0.01) == ([], [node])
    with pytest.raises(CallTimeout):
        await rpc.server_call(node, "srv", atom.srv, atom.mute, timeout=0.01)
    with pytest.raises(NoProcess):
        await rpc.server_call(node, "nobody", atom.srv, 5)
    with pytest.raises(NoConnection):
        await rpc.server_call(NOWHERE, "srv", atom.srv, 5)
    with pytest.raises(CallExit) as caught:
        await rpc.server_call(node, "srv", atom.srv, atom.stop)
    assert caught.value.reason == atom.normal


async def test_pinfo(pair: RpcPair, rpc: Rpc) -> None:
    facts = await rpc.pinfo(main(pair).pid)
    assert facts["message_queue_len"] == 0
    assert await rpc.pinfo(main(pair).pid, "message_queue_len") == 0
    assert await rpc.pinfo(main(pair).pid, [atom.trap_exit]) == {"trap_exit": main(pair).trap_exit}
    with pytest.raises(RemoteError):
        await rpc.pinfo(main(pair).pid, "nothing")
    pid = pair.here._runtime.spawn(None).pid
    pair.here._runtime.exit(main(pair), pid, atom.kill)
    assert await rpc.pinfo(pid) is None
    there = pair.there._runtime.main.pid
    asked: list[Any] = []

    def process_info(*args: Any) -> Any:
        asked.append(args)
        return answers.pop(0)

    answers: list[Any] = [
        [(atom.memory, 1), (atom.status, atom.waiting)],
        (atom.memory, 2),
        [(atom.memory, 3), ((atom.dictionary, 1), 4)],
        [],
        atom.undefined,
    ]
    pair.there._runtime.resolver.expose(process_info, module="erlang", arity=(1, 2))
    assert await rpc.pinfo(there) == {"memory": 1, "status": atom.waiting}
    assert await rpc.pinfo(there, "memory") == 2
    wanted = ["memory", (atom.dictionary, 1)]
    assert await rpc.pinfo(there, wanted) == {"memory": 3, (atom.dictionary, 1): 4}
    assert await rpc.pinfo(there, "registered_name") == []
    assert await rpc.pinfo(there, timeout=DEADLINE) is None
    assert asked == [
        (there,),
        (there, atom.memory),
        (there, [atom.memory, (atom.dictionary, 1)]),
        (there, atom.registered_name),
        (there,),
    ]


# --------------------------------------------------------------------------- rex


async def ask(pair: RpcPair, request: Any) -> Any:
    return await gen.call(main(pair), ("rex", THERE), request, DEADLINE)


async def test_rex_runs_calls_and_tells_of_those_that_are_killed(pair: RpcPair) -> None:
    leader = main(pair).group_leader

    def call(function: str, *args: Any) -> Any:
        return (atom.call, atom.t, atom(function), list(args), leader)

    assert await ask(pair, call("echo", 1)) == [1]
    assert await ask(pair, call("throw", 2)) == 2
    assert await ask(pair, call("leave", 3)) == (atom.badrpc, (EXIT, 3))
    assert await ask(pair, call("die", atom.kill)) == (atom.badrpc, (EXIT, atom.killed))
    me = main(pair)
    me.runtime.send(me, ("rex", THERE), (me.pid, call("die", atom.my)))
    assert await me.receive(timeout=DEADLINE) == (atom.rex, (atom.badrpc, (EXIT, atom.my)))
    me.runtime.send(me, ("rex", THERE), (me.pid, call("echo", 4)))
    assert await me.receive(timeout=DEADLINE) == (atom.rex, [4])
    apply = (atom.call, atom.erlang, atom.apply, [ExportFun("t", "echo", 0), []], leader)
    assert await ask(pair, apply) == []
    rex = pair.there._runtime.local(pair.there._runtime.whereis("rex"))  # type: ignore[arg-type]
    assert rex is not None
    assert not rex.monitors


async def test_rex_runs_no_more_than_the_limit(
    pair: RpcPair, rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = pair.there._runtime
    monkeypatch.setattr(there, "limits", there.limits.replace(spawned_processes=2))
    leader, me = main(pair).group_leader, main(pair)
    cast = (atom("$gen_cast"), (atom.cast, atom.t, atom.stay, list[Any](), leader))
    for _ in range(4):
        me.runtime.send(me, ("rex", THERE), cast)
    await eventually(lambda: len(pair.running) == 2)
    request = (atom.call, atom.t, atom.echo, [1], leader)
    assert await ask(pair, request) == (atom.badrpc, (EXIT, atom.system_limit))
    assert len(pair.running) == 2
    there.exit(there.main, pair.running[0], atom.kill)
    assert await ask(pair, request) == [1]
    monkeypatch.setattr(there, "limits", there.limits.replace(spawned_processes=0))
    with pytest.raises(CallExit) as caught:
        await rpc.call(THERE, "t", "echo")
    assert caught.value.reason == atom.system_limit


async def test_what_is_unknown_is_harmless(
    pair: RpcPair, rpc: Rpc, caplog: pytest.LogCaptureFixture
) -> None:
    me = main(pair)
    runtime = me.runtime
    gen_call, gen_cast = atom("$gen_call"), atom("$gen_cast")
    ref = runtime.make_ref()
    rubbish: list[Any] = [
        atom.x, (), [], {}, (1, 2, 3), (me.pid, atom.y), (me.pid, (atom.sbcast, 1)),
        (me.pid, (atom.call, 1, 2)), (atom.DOWN, ref, atom.process, me.pid, atom.z),
        (gen_call, (me.pid, ref), atom.stop), (gen_call, me.pid, atom.stop),
        (gen_call, (me.pid, ref), (atom.call, 1)), (gen_cast, atom.x), (gen_cast, (atom.cast, 1)),
        (gen_cast, (atom.cast, 1, 2, 3, 4)), (me.pid, (atom.call, 1, 2, 3, 4)),
        (gen_call, (me.pid, ref), (atom.block_call, 1, 2, 3, 4)),
    ]  # fmt: skip
    for message in rubbish:
        runtime.send(me, ("rex", THERE), message)
    runtime.exit(me, pair.there._runtime.whereis("rex"), atom.gone)  # type: ignore[arg-type]
    assert await rpc.block_call(THERE, "t", "echo", [1]) == [1]
    assert [
        r for r in caplog.records if r.levelname == "ERROR" and "cast of" not in r.message
    ] == []


async def test_policy_sees_what_is_called_however_it_is_asked(pair: RpcPair, rpc: Rpc) -> None:
    def policy(peer: Any, action: Action, target: Any) -> Any:
        if action is Action.SPAWN and target == (atom.t, atom.echo, 1):
            return Deny("not that one")
        return default_policy(peer, action, target)

    pair.there._runtime.policy = policy
    ref = pair.here._runtime.make_ref()
    fun = ExportFun("t", "echo", 1)
    asked: list[Any] = [
        ("t", "echo", [1]),
        ("erlang", "apply", [atom.t, atom.echo, [1]]),
        ("erlang", "apply", [fun, [1]]),
        ("erlang", "apply", [atom.erlang, atom.apply, [fun, [1]]]),
        ("erpc", "execute_call", [ref, atom.t, atom.echo, [1]]),
        ("erpc", "execute_cast", [atom.t, atom.echo, [1]]),
        ("erlang", "apply", [atom.erpc, atom.execute_call, [ref, atom.t, atom.echo, [1]]]),
    ]
    for each in asked:
        for call in (rpc.call, rpc.block_call):
            with pytest.raises((RemoteError, CallExit)) as caught:
                await call(THERE, *each)
            assert caught.value.reason in (atom.notsup, atom.undef)  # type: ignore[attr-defined]
    assert await rpc.call(THERE, "t", "echo", [1, 2]) == [1, 2]


async def test_policy_is_asked_about_a_method_of_global(pair: RpcPair, rpc: Rpc) -> None:
    def policy(peer: Any, action: Action, target: Any) -> Any:
        if action is Action.SPAWN and target == (atom.t, atom.echo, 3):
            return Deny("not that one")
        return default_policy(peer, action, target)

    pid = pair.here._runtime.main.pid
    asked: list[Any] = ["global", "resolve_it", [ExportFun("t", "echo", 3), b"name", pid, pid]]
    assert await rpc.call(THERE, *asked) == [b"name", pid, pid]
    pair.there._runtime.policy = policy
    with pytest.raises(RemoteError) as caught:  # what `catch` makes of it, and rpc of that
        await rpc.call(THERE, *asked)
    assert caught.value.reason == atom.undef


# --------------------------------------------------------------------------- stacks as text


def test_stack_lines() -> None:
    place = [(atom.file, charlist("lib/enum.ex")), (atom.line, 7)]
    stack: list[Any] = [
        (Atom("Elixir.Enum"), atom.map, 2, place),
        (atom.lists, atom.nth, [1, [2]], [(atom.file, charlist("lists.erl"))]),
        (None, True, 0, []),
        (ExportFun("m", "f", 1), [1], []),
        (atom.m, atom.f, 1, [(atom.file, atom.none), (atom.line, 1), 7, (1, 2)]),
        (atom.m, atom.f, 1, [(atom.file, b"x"), (atom.line, -1)]),
        7,
    ]
    assert stack_lines(stack) == [
        "Enum.map/2 (lib/enum.ex:7)",
        "lists:nth/2 (lists.erl)",
        "nil:true/0",
        f"{ExportFun('m', 'f', 1)!r}/1",
        "m:f/1",
        "m:f/1 (x)",
    ]
    assert stack_lines(atom.x) == []
    assert len(stack_lines([stack[0]] * 1000)) == 50
