"""Spawn requests of every way round to a function: what was not exposed, or is denied, never runs.

``apply``, ``proc_lib`` and ``erpc`` around each other, funs whose code is anything, and calls
through ``rex``; policy lets nobody run ``m:denied``, and ``m:hidden`` is not exposed.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from pynode.config import NodeConfig
from pynode.dist import control as c
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Payload, Peer
from pynode.etf import encode_payload
from pynode.net import Net
from pynode.policy import ALLOW, Action, Decision, Deny
from pynode.process import Runtime
from pynode.services import Services
from pynode.terms import Atom, ExportFun, OpaqueFun, Pid, Reference, atom
from pynode.testing import eventually
from tests.process.wire import Recorder

from .vocabulary import FUZZ, PEER_NODE, Faults, grown, run, vocabulary, words_of

ME = Atom("py@host")
PEER = Peer(PEER_NODE, 9, OUR_FLAGS, hidden=False)
THEIRS = Pid(PEER_NODE, 1, 0, 9)
ERLANG, APPLY, PROC_LIB, ERPC, M = map(Atom, ("erlang", "apply", "proc_lib", "erpc", "m"))
REF = Reference(PEER_NODE, 9, (1, 2, 3))
NONE: Any = (None, 1)

anything = vocabulary(words_of("m f run denied erl_eval clause call remote atom var X"), [THEIRS])
names = st.sampled_from([Atom("run"), Atom("denied"), Atom("hidden")])


def literal(value: Any, depth: int = 0) -> Any:
    """Return abstract code that stands for ``value``, as far as it is made of simple things."""
    if type(value) is Atom:
        return (atom.atom, 1, value)
    if type(value) is tuple and depth < 50:
        return (atom.tuple, 1, [literal(part, depth + 1) for part in value])
    if type(value) is list and depth < 50:
        chain: Any = NONE
        for part in reversed(value):
            chain = (atom.cons, 1, literal(part, depth + 1), chain)
        return chain
    return (atom.value, 1, value)


def closure(call: tuple[Any, Any, list[Any]], rubbish: Any = None) -> OpaqueFun:
    module, function, args = grown(call)
    named = (atom.remote, 1, (atom.atom, 1, module), (atom.atom, 1, function))
    body: Any = (atom.call, 1, named, [literal(each) for each in args])
    clauses = [(atom.clause, 1, [], [], [body])] if rubbish is None else rubbish
    env: Any = (1, [(atom.X, 1)], atom.none, atom.none, {}, clauses)
    return OpaqueFun("erl_eval", 0, 43, bytes(16), 43, 1, THEIRS, (env,))


def wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Put one way more around a call."""
    owner = st.sampled_from([THEIRS, atom.x])
    return st.one_of(
        inner.map(lambda call: (ERLANG, APPLY, [*call])),
        inner.map(lambda call: (ERLANG, APPLY, [closure(call), []])),
        inner.map(lambda call: (ERLANG, APPLY, [ExportFun(call[0], call[1], 0), call[2]])),
        st.tuples(owner, anything, inner).map(
            lambda of: (PROC_LIB, Atom("init_p"), [of[0], of[1], *of[2]])
        ),
        inner.map(lambda call: (PROC_LIB, Atom("init_p"), [THEIRS, [], closure(call)])),
        inner.map(lambda call: (ERPC, Atom("execute_call"), [REF, *call])),
        inner.map(lambda call: (ERPC, Atom("execute_cast"), [*call])),
        st.tuples(inner, anything).map(
            lambda pair: (ERLANG, APPLY, [closure(pair[0], grown(pair[1])), []])
        ),
    )


plain: st.SearchStrategy[Any] = st.tuples(st.just(M), names, st.just([]))
calls = st.recursive(plain, wrapped, max_leaves=4) | st.tuples(
    st.sampled_from([ERLANG, PROC_LIB, ERPC, M]),
    st.sampled_from([APPLY, Atom("init_p"), Atom("execute_call"), Atom("execute_cast")]),
    st.lists(anything, max_size=5),
)


async def scenario(requests: list[tuple[str, Any]]) -> None:
    ran: list[str] = []

    def policy(peer: Peer, action: Action, target: Any) -> Decision:
        return Deny("rule") if target == (M, Atom("denied"), 0) else ALLOW

    runtime = Runtime(ME, 7, policy=policy)
    runtime.attach(Recorder())
    config = NodeConfig(name=str(ME), cookie=b"c")
    services = Services(runtime, Net(config, OUR_FLAGS, runtime), config)
    services.start()
    for name in ("run", "denied"):
        runtime.resolver.expose(lambda name=name: ran.append(name), module="m", name=name, arity=0)
    runtime.peer_up(PEER)
    rex = runtime.whereis("rex")
    assert rex is not None
    expected = sum(way == "plain" and call == (M, Atom("run"), []) for way, call in requests)
    try:
        with Faults() as faults:
            for number, (way, call) in enumerate(requests):
                module, function, args = grown(call)
                if way == "rex":
                    leader = runtime.main.pid
                    asked = (atom.call, module, function, args, leader)
                    runtime.send(runtime.main, rex, (THEIRS, asked))
                    blocking = (atom.block_call, module, function, args, leader)
                    caller = (THEIRS, REF)
                    runtime.send(runtime.main, rex, (atom("$gen_call"), caller, blocking))
                    continue
                ref = Reference(PEER_NODE, 9, (number, 0, 0))
                mfa = (module, function, len(args))
                request = c.SpawnRequest(ref, THEIRS, THEIRS, mfa, [atom.monitor])
                runtime.control(PEER, request, Payload(encode_payload(args, records=True), 0, ()))
            runtime.send(runtime.main, rex, (runtime.main.pid, atom.features_request))
            await runtime.main.receive(lambda m: type(m) is tuple and len(m) == 3, timeout=5)
            await eventually(lambda: not runtime.spawning.count)
        assert "denied" not in ran
        assert ran.count("run") >= expected
        assert faults.records == []
    finally:
        await services.stop()
        await runtime.stop(0)
    assert not any(runtime.pending().values())


@FUZZ
@given(st.lists(st.tuples(st.sampled_from(["plain", "plain", "rex"]), calls), max_size=8))
def test_any_way_to_a_function(requests: list[tuple[str, Any]]) -> None:
    run(scenario(requests))
