"""Agents: functions from here, functions by name, closures refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.behaviours import Agent, agent as client, gen, map_functions, start
from pynode.behaviours.functions import FunctionRefused, resolve_function
from pynode.errors import CallExit, NoProcess, StartError
from pynode.process.runtime import Runtime
from pynode.terms import ExportFun, OpaqueFun, Pid, TermMap, atom, charlist

from .helpers import Echo, is_clean, reason_of_death

MAP = "Elixir.Map"
IDENTITY = ExportFun("Elixir.Function", "identity", 1)


def closure(runtime: Runtime, arity: int = 1) -> OpaqueFun:
    return OpaqueFun("Elixir.Iex", arity, 1, bytes(16), 2, 3, runtime.main.pid, [1])


async def test_callables_read_and_change_the_state(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Agent, dict, name="agent")
    await client.update(main, pid, lambda state: state | {b"a": 1})
    assert await client.get(main, "agent", lambda state: state) == {b"a": 1}
    assert await client.get_and_update(main, pid, lambda state: (len(state), {})) == 1
    client.agent_cast(main, pid, lambda state: {b"b": 2})
    assert await client.get(main, ("agent", "py@test"), len) == 1
    agent = runtime.local(pid)
    assert agent is not None
    assert agent.body.lent == {}  # type: ignore[union-attr]
    assert is_clean(main)


async def test_async_callables(runtime: Runtime) -> None:
    async def first() -> int:
        await asyncio.sleep(0)
        return 1

    async def increase(state: int) -> int:
        await asyncio.sleep(0)
        return state + 1

    async def both(state: int) -> tuple[int, int]:
        return state, await increase(state)

    main = runtime.main
    pid = await start(runtime, Agent, first)
    await client.update(main, pid, increase)
    client.agent_cast(main, pid, increase)
    assert await client.get_and_update(main, pid, both) == 3
    assert await client.get(main, pid, increase) == 5
    assert await client.get(main, pid, lambda state: state) == 4


async def test_the_first_state_may_be_a_value_or_fail(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Agent, 5)
    assert await client.get(main, pid, lambda state: state) == 5

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(StartError) as caught:
        await start(runtime, Agent, fail)
    assert caught.value.reason[0] == (atom.python_error, atom.ValueError, b"no")


async def test_what_a_subscription_manager_is_asked(runtime: Runtime) -> None:
    class Subscriptions(Agent):
        functions = map_functions()

    main = runtime.main
    pid = await start(runtime, Subscriptions, dict)
    name, other = charlist("subs_node2"), charlist("subs_node3")
    await client.update(main, pid, (MAP, "put", [name, main.pid]))
    await client.update(main, pid, (atom(MAP), atom.put, [other, pid]))
    expected = TermMap([(name, main.pid), (other, pid)])
    assert await client.get(main, pid, IDENTITY) == expected
    assert await client.get(main, pid, (MAP, "get", [name])) == main.pid
    assert await client.get(main, pid, (MAP, "get", [charlist("x")])) is None
    await client.update(main, pid, (MAP, "delete", [name]))
    assert await client.get(main, pid, (MAP, "keys", [])) == [other]
    popped = await client.get_and_update(main, pid, (MAP, "pop", [other]))
    assert popped == pid
    client.agent_cast(main, pid, (MAP, "put", [b"k", 1]))
    assert await client.get(main, pid, ExportFun(MAP, "to_list", 1)) == [(b"k", 1)]


async def test_reading_with_put_changes_nothing(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Agent, {b"a": 1}, functions=map_functions())
    assert await client.get(main, pid, (MAP, "put", [b"b", 2])) == {b"a": 1, b"b": 2}
    assert await client.get(main, pid, (MAP, "delete", [b"a"])) == {}
    assert await client.get(main, pid, IDENTITY) == {b"a": 1}


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        ("get", [1], b"int"),
        ("get", [1.0], b"float"),
        ("get", [True], None),
        ("get", [True, 7], 7),
        ("fetch", [[1]], (atom.ok, b"list")),
        ("fetch", [2], atom.error),
        ("fetch!", [1], b"int"),
        ("has_key?", [[1]], True),
        ("has_key?", [b"x"], False),
        ("put_new", [1, 2], 3),
        ("put_new", [3, 4], 4),
        ("replace", [1, 2], 3),
        ("replace", [3, 4], 3),
        ("take", [[1, 9]], 1),
        ("drop", [[1, 1.0]], 1),
        ("merge", [{b"x": 1}], 4),
        ("values", [], [b"int", b"float", b"list"]),
    ],
)
def test_the_functions_of_map(function: str, arguments: list[Any], result: Any) -> None:
    state = TermMap([(1, b"int"), (1.0, b"float"), ([1], b"list")])
    before = TermMap(state)
    found = map_functions()[MAP, function, len(arguments) + 1](state, *arguments)
    if isinstance(found, TermMap):
        assert len(found) == result
    else:
        assert found == result
    assert state == before


async def test_an_int_key_in_a_dict_is_not_the_float(runtime: Runtime) -> None:
    put = map_functions()[MAP, "put", 3]
    state = put({1: b"int"}, 1.0, b"float")
    assert len(state) == 2
    assert map_functions()[MAP, "delete", 2](state, True) == state
    assert map_functions()[MAP, "delete", 2]({1: 2}, True) == {1: 2}


@pytest.mark.parametrize("kind", [atom.get, atom.update, atom.get_and_update])
async def test_refused_functions_fail_in_the_caller_and_the_state_stays(
    runtime: Runtime, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    pid = await start(runtime, Agent, 7, functions=map_functions())
    refused: list[tuple[Any, Any]] = [
        ((MAP, "nonsense", []), atom.undef),
        (ExportFun(MAP, "nonsense", 1), atom.undef),
        (ExportFun(MAP, "put", 3), atom.badarity),
        (closure(runtime), atom.closure_refused),
        (b"rubbish", atom.badfun),
        ((1, 2, 3), atom.badfun),
        ((1, 2, []), atom.undef),
    ]
    for function, word in refused:
        with pytest.raises(CallExit) as caught:
            await gen.call(main, pid, (kind, function))
        assert caught.value.reason[0] == word
        assert is_clean(main)
    assert await client.get(main, pid, lambda state: state) == 7
    assert not caplog.records


async def test_the_reason_of_a_refused_closure_says_what_to_do(runtime: Runtime) -> None:
    pid = await start(runtime, Agent, 7)
    with pytest.raises(CallExit) as caught:
        await gen.call(runtime.main, pid, (atom.get, closure(runtime)))
    text = caught.value.reason[1].decode()
    assert "Elixir.Iex" in text
    assert "&Mod.fun/arity" in text


async def test_a_refused_cast_is_logged(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    pid = await start(runtime, Agent, 7)
    client.agent_cast(runtime.main, pid, (MAP, "put", [1, 2]))
    assert await client.get(runtime.main, pid, lambda state: state) == 7
    assert "undef" in caplog.text


async def test_a_call_without_a_monitor_cannot_be_refused_and_is_logged(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    main = runtime.main
    pid = await start(runtime, Agent, 7)
    for tag in (b"any", runtime.make_ref()):
        request = (atom.get, closure(runtime))
        runtime.send(main, pid, (atom("$gen_call"), (main.pid, tag), request))
    assert await client.get(main, pid, lambda state: state) == 7
    assert caplog.text.count("could not refuse") == 2


async def test_a_function_that_raises_ends_the_agent(runtime: Runtime) -> None:
    main = runtime.main
    pid = await start(runtime, Agent, {}, functions=map_functions())
    with pytest.raises(CallExit) as caught:
        await client.get(main, pid, (MAP, "fetch!", [b"absent"]))
    assert caught.value.reason[0][:2] == (atom.python_error, atom.KeyError)
    assert not runtime.is_alive(pid)


async def test_get_and_update_wants_a_pair(runtime: Runtime) -> None:
    pid = await start(runtime, Agent, 1)
    with pytest.raises(CallExit) as caught:
        await client.get_and_update(runtime.main, pid, lambda state: state)
    assert caught.value.reason == (atom.bad_return_value, 1)


async def test_other_requests_end_it_as_function_clause(runtime: Runtime) -> None:
    requests: list[Any] = [atom.x, (atom.get,), (b"get", 1), ([], 1)]
    for request in requests:
        pid = await start(runtime, Agent, 1)
        with pytest.raises(CallExit) as caught:
            await gen.call(runtime.main, pid, request)
        assert caught.value.reason[0] == atom.function_clause
    pid = await start(runtime, Agent, 1)
    gen.cast(runtime.main, pid, (atom.get, 1))
    assert (await reason_of_death(runtime, pid))[0] == atom.function_clause


async def test_callables_go_to_agents_of_this_node_only(runtime: Runtime) -> None:
    main = runtime.main
    echo = await start(runtime, Echo)
    away = Pid(atom("away@test"), 1, 0, 1)
    for dest in (echo, away, ("agent", "away@test")):
        with pytest.raises(TypeError, match="callable"):
            await client.get(main, dest, len)
    for nobody in ("nobody", Pid(runtime.node_name, 9999, 0, runtime.creation)):
        with pytest.raises(NoProcess):
            await client.get(main, nobody, len)
        client.agent_cast(main, nobody, len)


async def test_an_agent_is_stopped_like_any_server(runtime: Runtime) -> None:
    pid = await start(runtime, Agent, 1)
    await gen.stop(runtime.main, pid)
    assert not runtime.is_alive(pid)


def test_resolving_a_function(runtime: Runtime) -> None:
    assert resolve_function(runtime, None, len, 1) is len
    with pytest.raises(FunctionRefused) as caught:
        resolve_function(runtime, None, ExportFun("m", "f", 2), 2)
    assert caught.value.reason == (atom.undef, [(atom.m, atom.f, 2, [])])
    assert "undef" in str(caught.value)
