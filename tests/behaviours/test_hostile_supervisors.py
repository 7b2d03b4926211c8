"""What a peer could get a supervisor to do: policy is asked, whatever pid the request bears."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.behaviours import DynamicSupervisor, Supervisor, TaskSupervisor, gen, start
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Peer
from pynode.policy import ALLOW, Action, Decision, Deny
from pynode.process.runtime import Runtime
from pynode.terms import Atom, ImproperList, Pid, atom
from tests.process.wire import Recorder

from .helpers import DEADLINE

FAR, OTHER = Atom("far@host"), Atom("other@host")
MILLISECONDS = 10**400


def policy(peer: Peer, action: Action, target: Any) -> Decision:
    """Of what is exposed, far may run nothing, and other all."""
    return Deny("far") if peer.name == FAR and action is Action.SPAWN else ALLOW


@pytest.fixture
async def guarded() -> Any:
    runtime = Runtime(Atom("py@test"), 7, policy=policy)
    runtime.attach(Recorder())
    yield runtime
    await runtime.stop(0)


def spec(module: str = "m", *args: Any, shutdown: Any = 5000) -> Any:
    return {
        atom.id: atom.child,
        atom.start: (Atom(module), atom.run if module == "m" else atom.execute_call, [*args]),
        atom.restart: atom.temporary,
        atom.shutdown: shutdown,
    }


@pytest.mark.parametrize("asker", ["far@host", "other@host", "py@test"])
@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor, TaskSupervisor])
async def test_a_pid_that_is_made_up(guarded: Runtime, asker: str, kind: Any) -> None:
    ran: list[str] = []
    guarded.resolver.expose(lambda: ran.append("it"), module="m", name="run")
    supervisor = await start(guarded, kind, *([[]] if kind is Supervisor else []))
    for name in (FAR, OTHER):
        guarded.peer_up(Peer(name, 9, OUR_FLAGS, hidden=False))
    alias = guarded.alias(guarded.main)
    caller = Pid(Atom(asker), 1, 0, 7), ImproperList([atom.alias], alias)
    call: Any = (atom.m, atom.run, [])
    hidden = spec("erpc", atom.ref, *call)
    requests: list[Any] = [(atom.start_child, spec()), (atom.start_child, hidden)]
    if kind is TaskSupervisor:
        owner = (Atom(asker), caller[0], caller[0])
        args: Any = [owner, [], call]
        requests.append((atom.start_task, args, atom.temporary, 5000))
    for request in requests:
        guarded.send(guarded.main, supervisor, (atom("$gen_call"), caller, request))
        tag, answer = await guarded.main.receive(timeout=DEADLINE)
        assert tag == caller[1]
        assert answer == (atom.error, atom.notsup)
    assert ran == []
    assert guarded.local(supervisor) is not None


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_a_time_that_is_too_long(runtime: Runtime, kind: Any) -> None:
    """2^32 ms is as good as more than a float holds."""
    runtime.resolver.expose(lambda: None, module="m", name="run")
    supervisor = await start(runtime, kind, *([[]] if kind is Supervisor else []))
    request = (atom.start_child, spec(shutdown=MILLISECONDS))
    answer = await gen.call(runtime.main, supervisor, request, DEADLINE)
    assert answer in ((atom.ok, atom.undefined), atom.ignore)


@pytest.mark.parametrize("asker", [Pid(OTHER, 1, 0, 7), atom.nobody])
async def test_a_call_in_a_call_and_a_caller_that_is_no_pid(guarded: Runtime, asker: Any) -> None:
    ran: list[str] = []

    async def execute_call(*args: Any) -> None:
        ran.append("it")

    guarded.resolver.build_in("erpc", "execute_call", 4, execute_call)
    guarded.resolver.expose(lambda: ran.append("it"), module="m", name="run")
    guarded.peer_up(Peer(OTHER, 9, OUR_FLAGS, hidden=False))
    supervisor = await start(guarded, DynamicSupervisor)
    hidden = spec("erpc", atom.ref, atom.m, atom.run, [])
    requests = [hidden] if type(asker) is Pid else [hidden, spec()]
    for request in requests:
        caller = asker, ImproperList([atom.alias], guarded.alias(guarded.main))
        message = (atom("$gen_call"), caller, (atom.start_child, request))
        guarded.send(guarded.main, supervisor, message)
    await gen.call(guarded.main, supervisor, atom.count_children, DEADLINE)
    assert ran == []
