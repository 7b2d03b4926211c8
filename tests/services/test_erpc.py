"""``node.erpc`` between two nodes in memory, and on one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pynode.behaviours import Requests
from pynode.config import Limits
from pynode.errors import (
    NO_REPLY,
    CallExit,
    CallTimeout,
    EncodeError,
    NoConnection,
    PynodeError,
    RemoteError,
)
from pynode.process import Process
from pynode.services.erpc import Erpc
from pynode.terms import Atom, ExportFun, ImproperList, OpaqueFun, atom, copy_term
from pynode.testing import eventually

from .rpc_pair import DEADLINE, HERE, NOWHERE, THERE, RpcPair, rpc_pair


@pytest.fixture
async def pair() -> AsyncIterator[RpcPair]:
    async with rpc_pair() as made:
        yield made


@pytest.fixture
def erpc(pair: RpcPair) -> Erpc:
    return pair.here.erpc


@pytest.fixture(params=[HERE, THERE], ids=["here", "there"])
def node(request: pytest.FixtureRequest) -> Atom:
    found: Atom = request.param
    return found


def main(pair: RpcPair) -> Process:
    return pair.here._runtime.main


def is_clean(pair: RpcPair) -> bool:
    """Nothing is left of any call."""
    process = main(pair)
    calls = process.rare is not None and process.extra.calls
    mailbox = process.mailbox
    return not calls and not process.monitors and (mailbox is None or not mailbox.total())


# --------------------------------------------------------------------------- call


async def test_a_call_runs_in_a_process_of_its_own(pair: RpcPair, erpc: Erpc, node: Atom) -> None:
    where, pid = await erpc.call(node, "t", "where")
    assert where == node
    assert pid not in (main(pair).pid, pair.there._runtime.main.pid)
    assert is_clean(pair)


async def test_what_may_be_called(erpc: Erpc, node: Atom) -> None:
    assert await erpc.call(str(node), "t", "echo", [1, "x"]) == [1, b"x"]
    assert await erpc.call(node, atom.t, atom.echo, (1,), text=True) == [1]
    assert await erpc.call(node, "t", "echo", args=["x"], text=True) == ["x"]
    assert await erpc.call(node, ExportFun("t", "echo", 2), [1, 2]) == [1, 2]
    assert await erpc.call(node, ExportFun("t", "where", 0)) != []
    assert await erpc.call(node, "erlang", "apply", [atom.t, atom.echo, [3]]) == [3]
    assert await erpc.call(node, "erlang", "apply", [ExportFun("t", "echo", 1), [4]]) == [4]


@pytest.mark.parametrize(
    "wrong",
    [
        (1, "t", "echo", []),
        (HERE, 1, "echo", []),
        (HERE, "t", 2.0, []),
        (HERE, "t", "echo", "abc"),
        (HERE, "t", "echo", b"abc"),
        (HERE, "t", "echo", {}),
        (HERE, ExportFun("t", "echo", 2), [1]),
        (HERE, ExportFun("t", "echo", 1), [1], [2]),
        (HERE, ExportFun("t", "echo", 1), "x"),
    ],
)
async def test_badarg_is_a_type_error(pair: RpcPair, erpc: Erpc, wrong: Any) -> None:
    with pytest.raises(TypeError):
        await erpc.call(*wrong)
    with pytest.raises(TypeError):
        erpc.cast(*wrong)
    with pytest.raises(TypeError):
        erpc.send_request(*wrong)
    node, *rest = wrong
    with pytest.raises(TypeError):
        await erpc.multicall([node], *rest)
    with pytest.raises(TypeError):
        erpc.multicast([node], *rest)
    assert is_clean(pair)


async def test_one_node_where_several_are_wanted(erpc: Erpc) -> None:
    with pytest.raises(TypeError, match="several"):
        await erpc.multicall("here@test", "t", "where")
    with pytest.raises(TypeError, match="several"):
        erpc.multicast(HERE, "t", "where")  # type: ignore[arg-type]


async def test_the_three_classes(erpc: Erpc, node: Atom) -> None:
    with pytest.raises(RemoteError) as caught:
        await erpc.call(node, "t", "throw", [b"ball"])
    assert (caught.value.kind, caught.value.reason, caught.value.stack) == ("throw", b"ball", ())
    assert str(caught.value) == f"throw on {node}: b'ball'"
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(RemoteError) as caught:
        await erpc.call(node, "t", "leave", [atom.gone])
    assert (caught.value.kind, caught.value.reason) == ("exit", atom.gone)
    with pytest.raises(RemoteError) as caught:
        await erpc.call(node, "t", "fail", ["caf\u00e9"])
    error = caught.value
    assert (error.kind, error.node) == ("error", node)
    assert error.reason == (atom.python_error, atom.ValueError, "caf\u00e9".encode())
    assert (error.exception, error.message) == ("ValueError", "caf\u00e9")
    assert str(error) == f"ValueError on {node}: caf\u00e9"


async def test_the_stack_begins_with_the_function_and_ends_with_the_call(
    erpc: Erpc, node: Atom
) -> None:
    with pytest.raises(RemoteError) as caught:
        await erpc.call(node, "t", "fail", ["x"])
    [frame, called] = caught.value.stack
    assert frame[:3] == (Atom("tests.services.rpc_pair"), atom.fail, 1)
    assert called == (atom.t, atom.fail, 1, [])
    [note] = caught.value.__notes__
    first, second, third = note.splitlines()
    assert first == f"stack on {node}:"
    assert second.startswith("  tests.services.rpc_pair:fail/1 (/")
    assert third == "  t:fail/1"


async def test_a_blocking_function_has_the_same_stack(pair: RpcPair, erpc: Erpc) -> None:
    def work(number: int) -> float:
        return 1 / number

    pair.there._runtime.resolver.expose(work, module="t", blocking=True)
    assert await erpc.call(THERE, "t", "work", [2]) == 0.5
    with pytest.raises(RemoteError) as caught:
        await erpc.call(THERE, "t", "work", [0])
    assert len(caught.value.stack) == 2
    assert caught.value.exception == "ZeroDivisionError"


async def test_too_many_arguments_for_the_python_function(pair: RpcPair, erpc: Erpc) -> None:
    pair.there._runtime.resolver.expose(lambda: 1, module="t", name="none", arity=1)
    with pytest.raises(RemoteError) as caught:
        await erpc.call(THERE, "t", "none", [1])
    assert caught.value.exception == "TypeError"
    assert caught.value.stack == [(atom.t, atom.none, 1, [])]


@pytest.mark.parametrize(
    ("call", "reason", "frame"),
    [
        (("nowhere", "none", [1]), atom.undef, (atom.nowhere, atom.none, [1], [])),
        (("t", "echo_", []), atom.undef, (atom.t, atom.echo_, [], [])),
        (
            ("erlang", "apply", [atom.x, []]),
            (atom.badfun, atom.x),
            (atom.erlang, atom.apply, 2, []),
        ),
        (
            ("erlang", "apply", [ExportFun("t", "echo", 1), []]),
            (atom.badarity, (ExportFun("t", "echo", 1), [])),
            (atom.erlang, atom.apply, 2, []),
        ),
        (
            ("erlang", "apply", [atom.t, atom.echo, 7]),
            atom.badarg,
            (atom.erlang, atom.apply, [atom.t, atom.echo, 7], []),
        ),
    ],
)
async def test_what_is_no_function(
    erpc: Erpc, node: Atom, call: Any, reason: Any, frame: Any
) -> None:
    with pytest.raises(RemoteError) as caught:
        await erpc.call(node, *call)
    error = caught.value
    assert (error.kind, error.reason, error.stack) == ("error", reason, [frame])


async def test_a_fun_of_a_module_that_is_not_here(erpc: Erpc, node: Atom) -> None:
    pid = (await erpc.call(node, "t", "where"))[1]
    fun = OpaqueFun(atom.m, 0, 0, bytes(16), 0, 0, pid, ())
    with pytest.raises(RemoteError) as caught:
        await erpc.call(node, fun)
    assert caught.value.reason[0] == atom.closure_refused


async def test_a_process_that_is_ended_from_outside(erpc: Erpc, node: Atom) -> None:
    for sent, got in ((atom.kill, atom.killed), ((atom.my, 1), (atom.my, 1))):
        with pytest.raises(CallExit) as caught:
            await erpc.call(node, "t", "die", [sent])
        assert caught.value.reason == (atom.signal, got)
        assert caught.value.call == (atom.erpc, atom.call, [node, atom.t, atom.die, [sent]])


async def test_a_result_that_is_no_term(pair: RpcPair, erpc: Erpc, node: Atom) -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]

    edge: Any = []  # as deep as a term may be, but not inside of another
    for _ in range(Limits().depth - 1):
        edge = [edge]
    copy_term(edge)
    with pytest.raises(EncodeError):
        copy_term((edge,))
    for services in (pair.here, pair.there):
        services._runtime.resolver.expose(lambda: edge, module="t", name="edge")
        services._runtime.resolver.expose(lambda: object(), module="t", name="thing")
        services._runtime.resolver.expose(lambda: deep, module="t", name="deep")
    for function in ("thing", "deep", "edge"):
        with pytest.raises(RemoteError) as caught:
            await erpc.call(node, "t", function)
        assert caught.value.exception == "EncodeError", function
        stack: list[Any] = [] if function == "edge" else [(atom.t, Atom(function), 0, [])]
        assert caught.value.stack == stack, "frames of ours"
    with pytest.raises(EncodeError):
        await erpc.call(node, "t", "echo", [object()])
    assert await erpc.call(node, "t", "echo", [1]) == [1]
    assert is_clean(pair)


async def test_timeouts(pair: RpcPair, erpc: Erpc, node: Atom) -> None:
    with pytest.raises(CallTimeout) as caught:
        await erpc.call(node, "t", "stay", timeout=0.01)
    assert caught.value.call == (atom.erpc, atom.call, [node, atom.t, atom.stay, []])
    loop = asyncio.get_running_loop()
    with pytest.raises(CallTimeout):
        await erpc.call(node, "t", "stay", deadline=loop.time() + 0.01)
    with pytest.raises(CallTimeout):
        await erpc.call(node, "t", "stay", deadline=loop.time() - 1)
    with pytest.raises(ValueError, match="not both"):
        await erpc.call(node, "t", "stay", timeout=1, deadline=1)
    assert await erpc.call(node, "t", "echo", deadline=loop.time() + DEADLINE) == []
    assert is_clean(pair)


async def test_a_cancelled_call_leaves_nothing(pair: RpcPair, erpc: Erpc, node: Atom) -> None:
    task = asyncio.ensure_future(erpc.call(node, "t", "stay"))
    await eventually(lambda: pair.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_clean(pair)
    runtime = pair.here._runtime if node == HERE else pair.there._runtime
    assert runtime.is_alive(pair.running[0])  # it runs on over there
    await eventually(lambda: not runtime.local(pair.running[0]).watchers)  # type: ignore[union-attr]


async def test_no_connection(pair: RpcPair, erpc: Erpc) -> None:
    with pytest.raises(NoConnection) as caught:
        await erpc.call(NOWHERE, "t", "echo")
    assert caught.value.reason == atom.noconnection
    call = asyncio.ensure_future(erpc.call(THERE, "t", "stay"))
    await eventually(lambda: pair.running)
    pair.wire.cut()
    with pytest.raises(NoConnection):
        await call
    assert is_clean(pair)


async def test_the_caller_dies_meanwhile(pair: RpcPair, erpc: Erpc, node: Atom) -> None:
    ended: list[str] = []

    async def body(process: Process) -> None:
        try:
            await erpc.call(node, "t", "stay")
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    runtime = pair.here._runtime
    process = runtime.spawn(body)
    await eventually(lambda: pair.running)
    runtime.exit(runtime.main, process.pid, atom.kill)
    await eventually(lambda: ended == ["CancelledError"])
    there = runtime if node == HERE else pair.there._runtime
    waiting = there.local(pair.running[0])
    assert waiting is not None
    await eventually(lambda: not waiting.watchers)


# --------------------------------------------------------------------------- forged and malformed


@pytest.mark.parametrize(
    "end",
    [
        lambda ref: (ref,),
        lambda ref: (ref, atom("return")),
        lambda ref: (ref, atom("return"), 1, 2),
        lambda ref: (ref, atom.error, 1, [], 2),
        lambda ref: (ref, atom.other, 1),
        lambda ref: [ref, atom("return"), 1],
        lambda ref: (None, atom("return"), 1),
        lambda ref: (),
    ],
)
async def test_an_answer_of_another_shape(pair: RpcPair, erpc: Erpc, end: Any) -> None:
    forged: list[Any] = []

    async def execute_call(ref: Any, module: Any, function: Any, args: Any) -> None:
        from pynode.errors import Exit

        forged.append(end(ref))
        raise Exit(forged[-1])

    pair.there._runtime.resolver.expose(execute_call, module="erpc", arity=4)
    with pytest.raises(CallExit) as caught:
        await erpc.call(THERE, "t", "echo", timeout=DEADLINE)
    assert caught.value.reason == (atom.signal, forged[0])


@pytest.mark.parametrize("stack", [[], 7, [7, ()], [(1, 2, 3, 4)], [(atom.m, atom.f, 1, [()])]])
async def test_an_error_with_any_stack(pair: RpcPair, erpc: Erpc, stack: Any) -> None:
    async def execute_call(ref: Any, module: Any, function: Any, args: Any) -> None:
        from pynode.errors import Exit

        raise Exit((ref, atom.error, atom.badarg, stack))

    pair.there._runtime.resolver.expose(execute_call, module="erpc", arity=4)
    with pytest.raises(RemoteError, match="badarg") as caught:
        await erpc.call(THERE, "t", "echo", timeout=DEADLINE)
    assert caught.value.stack == stack


async def test_an_error_of_erpc_itself(pair: RpcPair, erpc: Erpc) -> None:
    async def execute_call(ref: Any, module: Any, function: Any, args: Any) -> None:
        from pynode.errors import Exit

        raise Exit((ref, atom.error, (atom.erpc, atom.system_limit)))

    pair.there._runtime.resolver.expose(execute_call, module="erpc", arity=4)
    with pytest.raises(CallExit) as caught:
        await erpc.call(THERE, "t", "echo")
    assert caught.value.reason == atom.system_limit


async def test_a_message_is_no_answer(pair: RpcPair, erpc: Erpc) -> None:
    """Who knows the pid, and even the request's reference, cannot answer by a message."""
    request = erpc.send_request(THERE, "t", "stay")
    await eventually(lambda: pair.running)
    there = pair.there._runtime
    [ref] = (watcher.ref for watcher in there.local(pair.running[0]).watchers.values())  # type: ignore[union-attr]
    me = main(pair).pid
    forged = [
        (atom.DOWN, ref, atom.process, pair.running[0], atom.forged),
        (atom.spawn_reply, ref, atom.error, atom.notsup),
        (ref, atom.forged),
        (ImproperList([atom.alias], ref), atom.forged),
    ]
    for message in forged:
        there.send(there.main, me, message)
    for message in forged:
        assert await main(pair).receive(timeout=DEADLINE) == message
    assert not request.done
    request.close()


# --------------------------------------------------------------------------- cast


async def test_casts(pair: RpcPair, erpc: Erpc, caplog: pytest.LogCaptureFixture) -> None:
    got: list[Any] = []
    for services in (pair.here, pair.there):
        services._runtime.resolver.expose(got.append, module="t", name="note", arity=1)
    erpc.cast(THERE, "t", "note", [1])
    erpc.cast(HERE, ExportFun("t", "note", 1), [2])
    erpc.multicast([HERE, NOWHERE, THERE], "t", "note", [3])
    await eventually(lambda: sorted(got) == [1, 2, 3, 3])
    erpc.cast(THERE, "t", "fail", ["x"])
    await eventually(lambda: "cast of" in caplog.text)
    with pytest.raises(EncodeError):
        erpc.multicast([HERE, THERE], "t", "note", [object()])
    assert is_clean(pair)


# --------------------------------------------------------------------------- multicall


async def test_multicall_in_the_order_of_the_nodes(pair: RpcPair, erpc: Erpc) -> None:
    results = await erpc.multicall([THERE, NOWHERE, HERE, THERE], "t", "where")
    assert [one.node for one in results] == [THERE, NOWHERE, HERE, THERE]
    assert [one.ok for one in results] == [True, False, True, True]
    assert [one.value[0] for one in results if one.ok] == [THERE, HERE, THERE]
    assert isinstance(results[1].error, NoConnection)
    with pytest.raises(NoConnection):
        results[1].result()
    assert results[0].result() == results[0].value
    assert await erpc.multicall([], "t", "where") == []
    assert is_clean(pair)


async def test_multicall_with_errors_and_timeouts(pair: RpcPair, erpc: Erpc) -> None:
    [one, other] = await erpc.multicall([HERE, THERE], "t", "fail", ["x"])
    assert isinstance(one.error, RemoteError)
    assert (str(one.error), str(other.error)) == (
        f"ValueError on {HERE}: x",
        f"ValueError on {THERE}: x",
    )
    [one, other] = await erpc.multicall([HERE, THERE], "t", "stay", timeout=0.05)
    assert isinstance(one.error, CallTimeout)
    assert isinstance(other.error, CallTimeout)
    assert len(pair.running) == 2  # both were under way at once
    with pytest.raises(EncodeError):
        await erpc.multicall([HERE, THERE], "t", "echo", [object()])
    assert is_clean(pair)


async def test_a_cancelled_multicall_leaves_nothing(pair: RpcPair, erpc: Erpc) -> None:
    task = asyncio.ensure_future(erpc.multicall([HERE, THERE], "t", "stay"))
    await eventually(lambda: len(pair.running) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_clean(pair)


async def test_a_node_is_lost_in_a_multicall(pair: RpcPair, erpc: Erpc) -> None:
    task = asyncio.ensure_future(erpc.multicall([THERE, HERE], "t", "stay", timeout=0.5))
    await eventually(lambda: len(pair.running) == 2)
    pair.wire.cut()
    [lost, late] = await task
    assert isinstance(lost.error, NoConnection)
    assert isinstance(late.error, CallTimeout)


# --------------------------------------------------------------------------- requests


async def test_a_result_is_fetched_later(pair: RpcPair, erpc: Erpc, node: Atom) -> None:
    request = erpc.send_request(node, "t", "echo", ["x"], text=True)
    assert await erpc.receive_response(request, DEADLINE) == ["x"]
    assert erpc.check_response(request) == ["x"]
    failing = erpc.send_request(node, ExportFun("t", "fail", 1), ["x"])
    with pytest.raises(RemoteError, match="ValueError"):
        await erpc.wait_response(failing, DEADLINE)
    with pytest.raises(RemoteError, match="ValueError"):
        erpc.check_response(failing)
    assert is_clean(pair)


async def test_wait_goes_on_after_a_timeout_and_receive_does_not(
    pair: RpcPair, erpc: Erpc, node: Atom
) -> None:
    request = erpc.send_request(node, "t", "stay")
    await eventually(lambda: pair.running)
    assert erpc.check_response(request) is NO_REPLY
    with pytest.raises(CallTimeout) as caught:
        await erpc.wait_response(request)
    assert caught.value.call is not None
    loop = asyncio.get_running_loop()
    with pytest.raises(CallTimeout):
        await erpc.wait_response(request, deadline=loop.time())
    task = asyncio.ensure_future(erpc.wait_response(request, None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not request.done
    with pytest.raises(CallTimeout):
        await erpc.receive_response(request, 0.01)
    assert request.done
    with pytest.raises(RuntimeError):
        request.result()
    assert "done" in repr(request)
    assert is_clean(pair)


async def test_a_request_to_nowhere(pair: RpcPair, erpc: Erpc) -> None:
    with erpc.send_request(NOWHERE, "t", "echo") as request, pytest.raises(NoConnection) as caught:
        await request.receive_response(DEADLINE)
    assert caught.value.call == (atom.erpc, atom.call, [NOWHERE, atom.t, atom.echo, []])


async def test_a_collection(pair: RpcPair, erpc: Erpc) -> None:
    collection = erpc.reqids_new()
    assert await erpc.receive_response(collection) is None
    first = erpc.send_request(THERE, "t", "echo", [1], label="one", collection=collection)
    second = erpc.send_request(HERE, "t", "fail", ["x"])
    assert erpc.reqids_add(second, "two", collection) is collection
    with pytest.raises(ValueError, match="already"):
        erpc.reqids_add(second, "three", collection)
    assert erpc.reqids_size(collection) == 2
    assert erpc.reqids_to_list(collection) == [(first, "one"), (second, "two")]
    answers: dict[Any, Any] = {}
    while erpc.reqids_size(collection):
        answer = await erpc.receive_response(collection, DEADLINE)
        assert answer is not None
        answers[answer.label] = answer
    assert answers["one"].result() == [1]
    assert isinstance(answers["two"].error, RemoteError)
    with pytest.raises(RemoteError):
        answers["two"].result()
    assert is_clean(pair)


async def test_a_collection_that_times_out(pair: RpcPair, erpc: Erpc) -> None:
    collection: Requests = erpc.reqids_new()
    for node in (HERE, THERE):
        erpc.send_request(node, "t", "stay", collection=collection)
    await eventually(lambda: len(pair.running) == 2)
    with pytest.raises(CallTimeout):
        await erpc.wait_response(collection, 0.01)
    assert erpc.check_response(collection) is None
    assert erpc.reqids_size(collection) == 2
    erpc.send_request(THERE, "t", "echo", [3], label=3, collection=collection)
    answer = await erpc.wait_response(collection, DEADLINE, delete=False)
    assert answer is not None
    assert (answer.label, answer.reply) == (3, [3])
    assert erpc.check_response(collection) == answer
    assert erpc.reqids_size(collection) == 2
    with pytest.raises(CallTimeout):
        await erpc.receive_response(collection, deadline=asyncio.get_running_loop().time() + 0.01)
    assert erpc.reqids_size(collection) == 0
    assert is_clean(pair)


async def test_the_caller_dies_before_it_fetches(pair: RpcPair, erpc: Erpc) -> None:
    requests: list[Any] = []

    async def body(process: Process) -> None:
        requests.append(erpc.send_request(THERE, "t", "stay"))
        await process.receive()

    runtime = pair.here._runtime
    process = runtime.spawn(body)
    await eventually(lambda: requests)
    runtime.exit(runtime.main, process.pid, atom.kill)
    with pytest.raises(PynodeError, match="ended"):
        await requests[0].wait_response(DEADLINE)
