"""Control messages of every operation with fields of any kind, from a peer that has the cookie.

Each is taken, or refused with the one documented error that costs the connection; and when the
connection is gone, nothing of what it caused is left.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, strategies as st

from pynode.behaviours import GenServer, gen, start
from pynode.dist.control_decoder import _OPERATIONS, decode_control
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Payload, Peer
from pynode.errors import DecodeError, FrameError
from pynode.etf import decode_payload, encode_payload
from pynode.process import Process, Runtime
from pynode.terms import Atom, Pid, Reference, atom
from pynode.testing.strategies import terms
from tests.process.wire import Recorder

from .vocabulary import FUZZ, MONSTERS, OTHER_NODE, PEER_NODE, Faults, Monster, grown, run

ME = Atom("py@host")
PEER = Peer(PEER_NODE, 9, OUR_FLAGS, hidden=False)
OTHER = Peer(OTHER_NODE, 9, OUR_FLAGS, hidden=False)
THEIRS = Pid(OTHER_NODE, 1, 0, 9)
ALIAS = Reference(ME, 7, (1, 0, 0))
MONITOR = Reference(PEER_NODE, 9, (1, 2, 3))

own_pids = st.builds(Pid, st.just(ME), st.integers(0, 8), st.just(0), st.sampled_from([7, 6]))
their_pids = st.builds(Pid, st.just(PEER_NODE), st.integers(0, 4), st.just(0), st.just(9))
references = st.one_of(
    st.just(MONITOR),
    st.builds(
        Reference,
        st.sampled_from([PEER_NODE, ME, OTHER_NODE]),
        st.sampled_from([7, 9]),
        st.tuples(st.integers(0, 6), st.just(0), st.just(0)),
    ),
)
options = st.lists(
    st.sampled_from(
        [
            *(atom.link, atom.monitor, (atom.monitor, []), (atom.link, [atom.priority])),
            *((atom.priority, atom.high), (atom.min_heap_size, 1), atom.nonsense, 1),
        ]
    ),
    max_size=3,
)
mfas = st.tuples(
    st.sampled_from([atom.erlang, atom.test, atom.proc_lib, atom.erpc, None]),
    st.sampled_from([atom.apply, atom.run, atom.init_p, atom.execute_call, atom.node, True]),
    st.sampled_from([0, 1, 2, 3, 4, 5, -1, 2**70]),
)
fields = st.one_of(
    own_pids,
    own_pids,
    their_pids,
    their_pids,
    references,
    references,
    options,
    mfas,
    st.sampled_from([0, 1, 2, 3, 4, 5, 8, 9, 12, 16, 17, 20, 2**64 - 1, 2**64, 2**70, -1]),
    st.sampled_from([atom("server"), atom.normal, atom.kill, atom.nobody, atom(""), None, True]),
    st.just(THEIRS),
    terms(max_leaves=4),
    st.integers(0, len(MONSTERS) - 1).map(Monster),
)
payloads = st.one_of(
    st.none(),
    st.sampled_from(
        [
            *(atom.kill, atom.normal, [], [[]], [1, 2, 3, 4], [atom.erlang, atom.node, []]),
            [MONITOR, atom.erlang, atom.node, []],
            [atom.parent, [], atom.test, atom.run, [1]],
            (atom("$gen_call"), (Pid(PEER_NODE, 1, 0, 9), MONITOR), atom.hello),
        ]
    ),
    st.lists(terms(max_leaves=3), max_size=5),
    terms(max_leaves=6),
    st.integers(0, len(MONSTERS) - 1).map(Monster),
    st.sampled_from([b"", b"\xff", b"a", b"m\xff\xff\xff\xff", b"l\xff\xff\xff\xff"]),
)


def messages() -> st.SearchStrategy[tuple[Any, Any]]:
    """Return control messages, of the right size mostly, with a payload."""

    def sized(operation: int) -> st.SearchStrategy[tuple[Any, ...]]:
        arity = _OPERATIONS[operation][0] or 4
        right = st.tuples(st.just(operation), *[fields] * (arity - 1))
        return right | right | st.lists(fields, max_size=6).map(lambda more: (operation, *more))

    control = st.sampled_from(sorted(_OPERATIONS)).flatmap(sized)
    return st.tuples(control, payloads)


class Server(GenServer):
    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return request

    def handle_cast(self, request: Any) -> None:
        pass

    def handle_info(self, message: Any) -> None:
        pass


async def scenario(sent: list[tuple[Any, Any]]) -> None:
    runtime, out = Runtime(ME, 7), Recorder()
    runtime.attach(out)
    ran: list[Any] = []
    runtime.resolver.expose(lambda *args: ran.append(args), module="test", name="run")

    async def trapping(process: Process) -> None:
        process.trap_exit = True
        async for _ in process:
            pass

    with Faults() as faults:
        runtime.main  # noqa: B018  the first pid
        bystander = runtime.spawn(None)
        runtime.link(bystander, THEIRS)
        watch = runtime.monitor(bystander, THEIRS)
        victims = [runtime.spawn(None), runtime.spawn(trapping)]
        runtime.monitor(victims[0], Pid(PEER_NODE, 1, 0, 9))
        runtime.link(victims[1], Pid(PEER_NODE, 2, 0, 9))
        runtime.alias(victims[1])
        await start(runtime, Server, name="server")
        for peer in (PEER, OTHER):
            runtime.peer_up(peer)
        for term, payload in sent:
            # Only policy keeps a peer from ending a process; this one is to be there at the end.
            if bystander.pid in term:
                continue
            data = (
                payload if type(payload) is bytes else encode_payload(grown(payload), records=True)
            )
            try:
                encoded = encode_payload(grown(term), records=True)
                message = decode_control(decode_payload(encoded, 0)[0], PEER_NODE, ME)
                runtime.control(PEER, message, None if payload is None else Payload(data, 0, ()))
            except (FrameError, DecodeError):
                pass  # costs the connection; the others go on as if it had not
        runtime.batch_end()
        for _ in range(5):
            await asyncio.sleep(0)
        # What is between others is as it was.
        assert bystander.alive
        assert bystander.links == {THEIRS: 0}
        assert bystander.monitors is not None
        assert list(bystander.monitors) == [watch]
        assert not bystander.mailbox
        runtime.peer_down(PEER_NODE, PEER, atom.connection_closed)
        runtime.batch_end()
        for _ in range(5):
            await asyncio.sleep(0)
        for process in runtime.processes():
            assert not [pid for pid in process.links or () if pid.node == PEER_NODE]
            assert not [ref for ref in process.watchers or () if ref.node == PEER_NODE]
        assert [remote.name for remote in runtime.nodes.all()] == [OTHER_NODE]
        assert not {one.node for one in out.sent} - {PEER_NODE, OTHER_NODE}
        assert faults.records == []
        await runtime.stop(0)
    assert not any(runtime.pending().values())


@FUZZ
@given(st.lists(messages(), max_size=30))
def test_any_control_message(sent: list[tuple[Any, Any]]) -> None:
    run(scenario(sent))
