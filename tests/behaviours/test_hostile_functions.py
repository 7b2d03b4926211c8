"""What policy keeps a peer from calling is not reached by a message to a server either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pynode.behaviours import Agent, GenServer, gen, start
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Peer
from pynode.errors import CallExit
from pynode.policy import ALLOW, Action, Decision, Deny
from pynode.process.runtime import Runtime
from pynode.terms import Atom, ExportFun, ImproperList, Pid, atom
from tests.process.wire import Recorder

from .helpers import DEADLINE

FAR, OTHER = Atom("far@host"), Atom("other@host")
SECRET = ExportFun("calc", "secret", 1)


def policy(peer: Peer, action: Action, target: Any) -> Decision:
    """Let far run everything but ``calc:secret``."""
    denied = action is Action.SPAWN and peer.name == FAR and target[:2] == (atom.calc, atom.secret)
    return Deny("secret") if denied else ALLOW


class Place:
    """A runtime with a policy, two peers, and functions that note that they ran."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.ran: list[str] = []
        for name in ("secret", "open"):
            runtime.resolver.expose(self._of(name), module="calc", name=name, arity=(1, 2, 3))
        for peer in (FAR, OTHER):
            runtime.peer_up(Peer(peer, 9, OUR_FLAGS, hidden=False))

    def _of(self, name: str) -> Any:
        def function(state: Any, *more: Any) -> Any:
            self.ran.append(name)
            return state

        return function

    async def ask(self, server: Pid, asker: Any, tag: str, request: Any) -> Any:
        """Send a call under a made-up pid; return the answer, or the reason it fails with."""
        runtime = self.runtime
        with runtime.open_call(runtime.main, server) as slot:
            caller = (asker, ImproperList([atom.alias], slot.ref))
            runtime.send(runtime.main, server, (Atom(tag), caller, request))
            try:
                return await slot.wait(DEADLINE)
            except CallExit as error:
                return error.reason


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    runtime = Runtime(Atom("py@test"), 7, policy=policy)
    runtime.attach(Recorder())
    yield Place(runtime)
    await runtime.stop(0)


ASKERS = [Pid(FAR, 1, 0, 7), Pid(OTHER, 1, 0, 7), Pid(Atom("py@test"), 1, 0, 7)]
STRANGERS = [atom.nobody, Pid(Atom("gone@host"), 1, 0, 7)]


@pytest.mark.parametrize("asker", ASKERS)
async def test_an_agent(place: Place, asker: Any) -> None:
    agent = await start(place.runtime, Agent, 1)
    hidden = (atom.erpc, atom.execute_cast, [atom.calc, atom.secret])
    for kind in (atom.get, atom.update, atom.get_and_update):
        for what in (SECRET, (atom.calc, atom.secret, []), (atom.calc, atom.secret, [2]), hidden):
            answer = await place.ask(agent, asker, "$gen_call", (kind, what))
            assert answer in (atom.notsup, (atom.undef, [(*hidden[:2], 3, [])]))
    assert place.ran == []
    assert await place.ask(agent, asker, "$gen_call", (atom.get, ExportFun("calc", "open", 1))) == 1
    assert place.ran == ["open"]


async def test_a_cast_to_an_agent(place: Place) -> None:
    agent = await start(place.runtime, Agent, 1)
    for what in (SECRET, ExportFun("calc", "open", 1)):
        gen.cast(place.runtime.main, agent, (atom.cast, what))
    assert await gen.call(place.runtime.main, agent, (atom.get, ExportFun("calc", "open", 1))) == 1
    assert place.ran == ["open", "open"]


@pytest.mark.parametrize("asker", STRANGERS)
async def test_an_asker_that_is_nobody(place: Place, asker: Any) -> None:
    agent = await start(place.runtime, Agent, 1)
    request = (atom.get, ExportFun("calc", "open", 1))
    assert await place.ask(agent, asker, "$gen_call", request) == atom.notsup
    assert place.ran == []


async def test_the_functions_of_an_agent_are_its_own(place: Place) -> None:
    functions = {("calc", "secret", 1): lambda state: state + 1}
    agent = await start(place.runtime, Agent, 1, functions=functions)
    assert await place.ask(agent, ASKERS[0], "$gen_call", (atom.get, SECRET)) == 2


@pytest.mark.parametrize("asker", ASKERS)
async def test_sys(place: Place, asker: Any) -> None:
    class Server(GenServer):
        def init(self) -> None:
            self.value = 1

        def handle_call(self, request: Any, caller: Any) -> Any:
            return self.value

    server = await start(place.runtime, Server)
    answer = await place.ask(server, asker, "system", (atom.replace_state, SECRET))
    assert answer[0] == atom.error
    assert answer[1][2] == (atom.error, atom.notsup)
    watch = (ExportFun("calc", "secret", 3), 0)
    answer = await place.ask(server, asker, "system", (atom.debug, (atom.install, watch)))
    assert answer == (atom.error, atom.notsup)
    assert await place.ask(server, asker, "$gen_call", 1) == 1
    assert place.ran == []
    watch = (ExportFun("calc", "open", 3), 0)
    answer = await place.ask(server, asker, "system", (atom.debug, (atom.install, watch)))
    assert answer == atom.ok
    assert await place.ask(server, asker, "$gen_call", 1) == 1
    assert set(place.ran) == {"open"}
