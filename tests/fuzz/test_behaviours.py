"""Messages of any shape to servers, managers and agents: they end by their own rules, or not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pynode.behaviours import Agent, GenEventHandler, GenEventManager, GenServer, gen, start
from pynode.behaviours.functions import map_functions
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Peer
from pynode.errors import CallExit
from pynode.process.runtime import Runtime
from pynode.terms import Atom, ExportFun, Pid, atom
from tests.process.wire import Recorder

from .vocabulary import FUZZ, PEER_NODE, grown, run, vocabulary, words_of

ME = Atom("py@host")
LIVE = [Pid(ME, number, 0, 7) for number in range(1, 5)]
PEER = Peer(PEER_NODE, 9, OUR_FLAGS, hidden=False)
DEADLINE = 5

SYSTEM = "get_state get_status suspend resume replace_state change_code debug"
DEBUG = "trace log log_to_file statistics install remove no_debug get print"
WORDS = {
    "server": "hello",
    "blocking": "hello",
    "manager": "notify sync_notify which_handlers call add_handler delete_handler add_sup_handler"
    " swap_handler swap_sup_handler ack_notify add_mon_handler swap_mon_handler known other DOWN"
    " EXIT process",
    "agent": "get update get_and_update cast Elixir.Map put new fetch pop take",
}


class Server(GenServer):
    """Survives all but what says that it is to end."""

    def init(self) -> None:
        self.seen = 0

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return request

    def handle_cast(self, request: Any) -> None:
        self.seen += 1

    def handle_info(self, message: Any) -> None:
        self.seen += 1


class Blocking(Server, blocking=True):
    pass


class Handler(GenEventHandler):
    def init(self, argument: Any = None) -> None:
        self.seen = 0

    def handle_event(self, event: Any) -> None:
        self.seen += 1

    def handle_call(self, request: Any) -> Any:
        return request


KINDS: dict[str, Any] = {"server": Server, "blocking": Blocking, "agent": Agent}


async def started(runtime: Runtime, kind: str) -> Pid:
    if kind == "manager":
        return await start(runtime, GenEventManager, known={"known": Handler}, name="target")
    if kind == "agent":
        return await start(runtime, Agent, dict, functions=map_functions(), name="target")
    return await start(runtime, KINDS[kind], name="target")


async def flood(kind: str, messages: list[Any]) -> None:
    runtime = Runtime(ME, 7)
    runtime.attach(Recorder())
    runtime.peer_up(PEER)
    runtime.resolver.expose(lambda *_: object(), module="test", name="no_term")
    runtime.resolver.expose(lambda *given: given[-1], module="test", name="last")
    try:
        runtime.main  # noqa: B018  the first pid
        pid = await started(runtime, kind)
        process = runtime.local(pid)
        assert process is not None
        for message in messages:
            runtime.send(runtime.main, pid, grown(message))
        runtime.send(runtime.main, pid, (atom.system, (pid, 1), atom.resume))
        with suppress(CallExit):
            await gen.request(runtime.main, atom.system, pid, atom.get_state, DEADLINE)
        # An agent has no clause for what is no request, as Elixir's.
        assert process.alive or kind == "agent", process.exit_reason
        for _ in range(3):
            await asyncio.sleep(0)
    finally:
        await runtime.stop(1)
    assert not any(runtime.pending().values())


def messages_to(kind: str) -> st.SearchStrategy[list[Any]]:
    words = words_of(WORDS[kind])
    funs = [ExportFun("test", name, arity) for name in ("no_term", "last") for arity in (0, 1, 3)]
    anything = vocabulary([*words, *words_of(DEBUG)], LIVE, funs)
    callers = st.one_of(st.tuples(st.sampled_from(LIVE), anything), anything)

    def tagged(some: list[Any]) -> st.SearchStrategy[Any]:
        return st.tuples(st.sampled_from(some), st.lists(anything, max_size=4)).map(
            lambda pair: (pair[0], *pair[1])
        )

    debug = st.tuples(st.just(atom.debug), tagged(words_of(DEBUG)) | anything)
    system = st.one_of(
        st.sampled_from(words_of(SYSTEM)), tagged(words_of(SYSTEM)), debug, debug, anything
    )
    requests = st.one_of(tagged(words), st.sampled_from(words), anything)
    return st.lists(
        st.one_of(
            requests,
            st.tuples(st.just(atom("$gen_call")), callers, requests),
            st.tuples(st.just(atom("$gen_cast")), requests),
            st.tuples(st.sampled_from(LIVE), callers, requests),
            st.tuples(st.just(atom.system), callers, system),
            st.tuples(st.just(atom.system), st.tuples(st.sampled_from(LIVE), st.just(1)), system),
        ),
        max_size=20,
    )


@pytest.mark.parametrize("kind", WORDS)
def test_any_messages(kind: str) -> None:
    @FUZZ
    @given(messages_to(kind))
    def fuzz(messages: list[Any]) -> None:
        run(flood(kind, messages))

    fuzz()
