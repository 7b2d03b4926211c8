"""Messages of any shape to servers, managers and agents: they end by their own rules, or not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pynode.behaviours import (
    Agent,
    ChildSpec,
    DynamicSupervisor,
    GenEventHandler,
    GenEventManager,
    GenServer,
    GenStatem,
    Supervisor,
    TaskSupervisor,
    gen,
    start,
)
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
    "machine": "hello timeout state internal",
    "supervisor": "start_child terminate_child restart_child delete_child which_children"
    " count_children get_childspec which_child start_task m run",
    "simple": "start_child terminate_child restart_child which_children count_children which_child",
    "dynamic": "start_child terminate_child which_children count_children start_task m run",
    "tasks": "start_task start_child terminate_child which_children count_children monitor m run",
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


class Machine(GenStatem):
    mode = "handle_event"

    def init(self) -> Any:
        return atom.only

    def handle_event(self, kind: Any, content: Any, state: Any) -> Any:
        return None


KINDS: dict[str, Any] = {
    "server": Server,
    "blocking": Blocking,
    "machine": Machine,
    "supervisor": Supervisor,
    "simple": Supervisor,
    "dynamic": DynamicSupervisor,
    "tasks": TaskSupervisor,
}
#: They end as OTP's do where a call is none of theirs, or too many children have ended.
TREES = ("supervisor", "simple", "dynamic", "tasks")


async def started(runtime: Runtime, kind: str) -> Pid:
    if kind == "manager":
        return await start(runtime, GenEventManager, known={"known": Handler}, name="target")
    if kind == "agent":
        return await start(runtime, Agent, dict, functions=map_functions(), name="target")
    if kind == "supervisor":
        return await start(runtime, Supervisor, [Server], max_restarts=1000, name="target")
    if kind == "simple":
        spec = ChildSpec.mfa("m", "run", restart="temporary")
        return await start(runtime, Supervisor, [spec], strategy="simple_one_for_one")
    return await start(runtime, KINDS[kind], name="target")


def ended_by_rule(process: Any) -> bool:
    """Tell whether a supervisor that ended did so for one of its own reasons."""
    if process.alive or process.exit_reason in (atom.shutdown, atom.normal):
        return True
    reason: Any = process.exit_reason
    return type(reason) is not tuple or "python_error" not in repr(reason[0])[:40]


async def flood(kind: str, messages: list[Any]) -> None:
    runtime = Runtime(ME, 7)
    runtime.attach(Recorder())
    runtime.peer_up(PEER)
    runtime.resolver.expose(lambda *_: object(), module="test", name="no_term")
    runtime.resolver.expose(lambda *given: given[-1], module="test", name="last")
    runtime.resolver.expose(lambda *given: None, module="m", name="run")
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
        ends = kind == "agent" or kind in TREES
        assert process.alive or ends, process.exit_reason
        assert kind not in TREES or ended_by_rule(process), process.exit_reason
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
    if kind in TREES:
        requests = requests | starts(anything)
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


def starts(anything: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Requests to start a child, with some field of the spec replaced by anything."""
    good: dict[Any, Any] = {
        atom.id: atom.child,
        atom.start: (atom.m, atom.run, []),
        atom.restart: atom.temporary,
        atom.significant: False,
        atom.shutdown: 5000,
        atom.type: atom.worker,
        atom.modules: [atom.m],
    }
    numbers = st.sampled_from([0, -1, 2**32, 10**400, 1.5])
    changes = st.dictionaries(st.sampled_from([*good]), anything | numbers, max_size=2)

    def spec(changed: dict[Any, Any]) -> Any:
        return good | changed

    def five(found: Any) -> Any:
        return tuple(
            value for key, value in found.items() if key not in (atom.id, atom.significant)
        )

    specs = changes.map(spec)
    return st.one_of(
        specs.map(lambda found: (atom.start_child, found)),
        specs.map(lambda found: (atom.start_child, (found[atom.id], *five(found)))),
        specs.map(lambda found: (atom.start_child, five(found))),
        st.lists(anything, max_size=3).map(lambda args: (atom.start_child, args)),
        st.tuples(
            st.just(atom.start_task),
            st.tuples(
                st.tuples(anything, anything, st.sampled_from(LIVE) | anything),
                st.sampled_from([atom.monitor, atom.nomonitor]) | anything,
                st.sampled_from([(atom.m, atom.run, [])]) | anything,
            ).map(list),
            st.sampled_from([atom.temporary, atom.permanent]) | anything,
            numbers | anything,
        ),
    )


@pytest.mark.parametrize("kind", WORDS)
def test_any_messages(kind: str) -> None:
    @FUZZ
    @given(messages_to(kind))
    def fuzz(messages: list[Any]) -> None:
        run(flood(kind, messages))

    fuzz()
