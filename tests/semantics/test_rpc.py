"""Calls of functions by erpc: the value, or the class and the reason of what came instead."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.terms import Atom, ExportFun, atom
from tests.semantics.sides import DEADLINE, INFINITY, Acting, Pair, nothing_more

SEMANTICS = Atom("semantics")
NOWHERE = Atom("nobody@nowhere")


async def erpc(a: Acting, pair: Pair, function: str, *args: Any, timeout: Any = INFINITY) -> Any:
    return await a.do("erpc", pair.b.node, SEMANTICS, Atom(function), list(args), timeout)


async def test_returned(pair: Pair, a: Acting) -> None:
    fun = ExportFun("semantics", "tell", 2)
    for how in (
        (SEMANTICS, atom.tell, [a.pid, b"x"]),
        (atom.erlang, atom.apply, [SEMANTICS, atom.tell, [a.pid, b"x"]]),
        (atom.erlang, atom.apply, [fun, [a.pid, b"x"]]),
    ):
        word, _ = await a.do("erpc", pair.b.node, *how, INFINITY)
        assert word == atom.ok
        pid, told = await a.next()
        assert told == b"x"
        assert pid.node == pair.b.node


@pytest.mark.parametrize("timeout", [INFINITY, int(DEADLINE * 1000)], ids=["for_ever", "in_time"])
async def test_raised(pair: Pair, a: Acting, timeout: Any) -> None:
    reason = (atom.my, [b"reason"])
    for kind, caught in (
        (atom.throw, (atom.throw, reason)),
        (atom.exit, (atom.exit, (atom.exception, reason))),
        (atom.error, (atom.error, (atom.exception, reason))),
    ):
        assert await erpc(a, pair, "fail", kind, reason, timeout=timeout) == caught


async def test_no_such_function(pair: Pair, a: Acting) -> None:
    undef = (atom.error, (atom.exception, atom.undef))
    assert await erpc(a, pair, "none") == undef
    assert await a.do("erpc", pair.b.node, atom.no_module, atom.none, [1], INFINITY) == undef


async def test_ended_from_outside(pair: Pair, a: Acting, b: Acting) -> None:
    long = int(DEADLINE * 1000)  # which makes a BEAM spawn for a call of its own node, too
    for sent, got in ((atom.kill, atom.killed), ((atom.my, 1), (atom.my, 1))):
        answer = a.ask("erpc", pair.b.node, SEMANTICS, atom.stay, [b.pid], long)
        word, pid = await b.next()
        assert word == atom.staying
        await b.do("exit", pid, sent)
        assert await answer == (atom.exit, (atom.signal, got))


async def test_out_of_time(pair: Pair, a: Acting, b: Acting) -> None:
    assert await erpc(a, pair, "stay", b.pid, timeout=50) == (atom.error, (atom.erpc, atom.timeout))
    word, pid = await b.next()
    assert word == atom.staying
    await b.do("exit", pid, atom.kill)
    await nothing_more(b, a)


async def test_nowhere(a: Acting) -> None:
    answer = await a.do("erpc", NOWHERE, SEMANTICS, atom.tell, [a.pid, 1], INFINITY)
    assert answer == (atom.error, (atom.erpc, atom.noconnection))


async def test_lost_in_the_middle(apart: Pair, a: Acting, b: Acting) -> None:
    assert apart.cut is not None
    answer = a.ask("erpc", apart.b.node, SEMANTICS, atom.stay, [b.pid], INFINITY)
    _, pid = await b.next()
    await apart.cut()
    assert await answer == (atom.error, (atom.erpc, atom.noconnection))
    await b.do("exit", pid, atom.kill)
    await nothing_more(b, a)


async def test_cast(pair: Pair, a: Acting) -> None:
    cast = (SEMANTICS, atom.tell, [a.pid, b"x"])
    await a.do("erpc_cast", pair.b.node, *cast)
    assert (await a.next())[1] == b"x"
    await a.do("erpc_cast", NOWHERE, *cast)
    await a.do("erpc_cast", pair.b.node, SEMANTICS, atom.none, [])
    await a.do("erpc_cast", pair.b.node, *cast)
    assert (await a.next())[1] == b"x"


async def test_several_nodes(pair: Pair, a: Acting) -> None:
    nodes = [pair.b.node, NOWHERE, pair.a.node]
    call = [nodes, SEMANTICS, atom.fail, [atom.throw, atom.ball], INFINITY]
    assert await a.do("erpc_multicall", *call) == [
        (atom.throw, atom.ball),
        (atom.error, (atom.erpc, atom.noconnection)),
        (atom.throw, atom.ball),
    ]
    assert await a.do("erpc_multicall", [], SEMANTICS, atom.none, [], INFINITY) == []
