"""A map whose keys differ in 0.0 and -0.0: two terms from OTP 27 on, one before."""

from __future__ import annotations

from typing import Any

import pytest

from pynode import EncodeError
from pynode.dist.flags import Flag
from pynode.terms import TermMap, atom, identical
from pynode.testing import receives
from tests.beam.meshes import erl

ECHO = "spawn(fun Loop() -> receive {From, X} -> From ! {self(), X}, Loop() end end)."
BOTH = TermMap([(0.0, b"plus"), (-0.0, b"minus")])
TOLD = """
    M = maps:from_list([{0.0, <<"plus">>}, {-0.0, <<"minus">>}]), Pid ! M, maps:size(M).
"""


@pytest.mark.parametrize("term", [BOTH, [{b"key": (1, BOTH)}]], ids=["map", "nested"])
async def test_sent_to_a_new_node_and_refused_for_an_old_one(
    beam: Any, py_node: Any, term: Any
) -> None:
    ex = erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        echo = await ex.aeval(ECHO)
        if node.net.agreed_flags(ex.name) & Flag.NATIVE_RECORDS:
            node.send(echo, (node.main.pid, term))
            _, back = await receives(node.main, lambda m: m[0] == echo)
            assert identical(back, term)
        else:
            with pytest.raises(EncodeError, match=r"0\.0 and -0\.0.*has not agreed"):
                node.send(echo, (node.main.pid, term))
        # It harmed nothing: it is still the same connection.
        node.send(echo, (node.main.pid, atom.alive))
        await receives(node.main, (echo, atom.alive))
        assert await ex.aeval(TOLD, Pid=node.main.pid) == (2 if ex.otp_release >= 27 else 1)
        told = await node.main.receive(timeout=10)
        assert len(told) == (2 if ex.otp_release >= 27 else 1)
        assert type(told) is (TermMap if ex.otp_release >= 27 else dict)
