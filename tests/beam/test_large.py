"""Large terms between this node and a BEAM: every byte, in order, whatever goes on beside them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pynode import GenServer, Node
from pynode.terms import ImproperList, Pid, Reference, atom
from pynode.testing import Beam

MIB = 1024 * 1024
DEADLINE = 60
BLOB = random.Random(7).randbytes(9 * MIB + 41)
TERMS: tuple[Any, ...] = (
    BLOB,
    BLOB[: MIB - 1],
    BLOB[: 2 * MIB],
    (atom.tagged, [BLOB[:100_000], 1], BLOB, [BLOB[5 : 3 * MIB], 1.5], b"end"),
    {b"one": BLOB, b"two": BLOB[:200_000], 3: [b"x"] * 1000},
    [list(range(100_000)), ImproperList([BLOB[1:]], BLOB[2 : 4 * MIB])],
    b"small",
)
ECHO = """
    spawn(fun F() -> receive
        {exit, Reason} -> exit(Reason);
        {From, Ref, Term} -> From ! {Ref, Term}, F()
    end end).
"""


class Server(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


async def echoed(node: Node, echo: Pid, terms: tuple[Any, ...]) -> list[Any]:
    """Return what came back, which is to be in the order in which it went out."""
    refs: list[Reference] = [node.make_ref() for _ in terms]
    for ref, term in zip(refs, terms, strict=True):
        node.send(echo, (node.main.pid, ref, term))
    found = [await node.main.receive(timeout=DEADLINE) for _ in terms]
    assert [message[0] for message in found] == refs
    return [message[1] for message in found]


@pytest.mark.timeout(240)
async def test_large_terms_there_and_back(beam: Any, py_node: Any) -> None:
    ex: Beam = beam(language="erlang")
    async with py_node() as node:
        await node.connect(ex.name)
        echo: Pid = await ex.aeval(ECHO)
        assert await echoed(node, echo, TERMS) == list(TERMS)
        # By a name, and by a call to an alias and its reply.
        assert await node.rpc.call(ex.name, "erlang", "register", [atom.echo, echo]) is True
        ref = node.make_ref()
        node.send(("echo", ex.name), (node.main.pid, ref, TERMS[3]))
        assert await node.main.receive(timeout=DEADLINE) == (ref, TERMS[3])
        found = await node.rpc.call(ex.name, "erlang", "hd", [[TERMS[3]]], timeout=DEADLINE)
        assert found == TERMS[3]
        # Several senders by turns: their fragments come in between each other's.
        code = "[spawn(fun() -> To ! {N, binary:copy(<<N>>, 4194304 + N)} end) || N <- [1, 2, 3]]."
        await ex.aeval(code, To=node.main.pid)
        turns = [await node.main.receive(timeout=DEADLINE) for _ in range(3)]
        assert sorted(turns) == [(n, bytes([n]) * (4 * MIB + n)) for n in (1, 2, 3)]
        # A reason.
        node.monitor(echo)
        node.send(echo, (atom.exit, TERMS[3]))
        down = await node.main.receive(timeout=DEADLINE)
        assert (down[0], down[4]) == (atom.DOWN, TERMS[3])


async def test_large_calls_in(beam: Any, py_node: Any) -> None:
    ex: Beam = beam(language="erlang")
    async with py_node() as node:
        await node.connect(ex.name)
        server = await node.start(Server)
        code = """
            B = binary:copy(<<"0123456789abcdef">>, 300000),
            Terms = [B, {a, B, [B], #{k => B}}, <<B/binary, 1:3>>, [B | B], small],
            [T =:= gen_server:call(To, T, 60000) || T <- Terms].
        """
        assert await ex.aeval(code, To=server, timeout=DEADLINE) == [True] * 5
