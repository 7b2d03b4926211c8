"""A peer that is killed, and comes back: who is told, and whom the old pids reach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pynode import Node
from pynode.terms import Atom, Pid, atom
from pynode.testing import Beam, Cluster
from tests.beam.python_peer import PythonPeer

NAME = "mortal@localhost"
INBOX = atom.inbox


class Mortal:
    """A node in an OS process of its own, in either language, with a process ``inbox``."""

    def __init__(self, node: Beam | PythonPeer) -> None:
        self.node = node

    async def live(self) -> Pid:
        """Begin a life; return the pid of the inbox."""
        await asyncio.to_thread(self.node.start)
        if isinstance(self.node, PythonPeer):
            code = 'node.spawn(mortal, name="inbox")'
        else:
            code = """
                Inbox = spawn(fun F() ->
                    receive {take, To} -> To ! {taken, element(2, process_info(self(), messages))}
                    end, F() end),
                register(inbox, Inbox), Inbox.
            """
        pid: Pid = await self.node.aeval(code)
        return pid

    async def took(self) -> list[Any]:
        """Return what the inbox has got."""
        if isinstance(self.node, PythonPeer):
            found = await self.node.aeval('kept(node.whereis("inbox"))')
        else:
            code = "inbox ! {take, self()}, receive {taken, Got} -> Got after 5000 -> none end."
            found = await self.node.aeval(code)
        assert isinstance(found, list)
        return found


@pytest.fixture(params=["beam", "python"])
def mortal(
    request: pytest.FixtureRequest, cluster: Cluster, beam: Callable[..., Beam]
) -> Iterator[Mortal]:
    if request.param == "beam":
        yield Mortal(beam(NAME, language="erlang", start=False))
        return
    peer = PythonPeer(NAME, cookie=cluster.cookie, epmd_port=cluster.epmd_port)
    yield Mortal(peer)
    peer.kill()


async def test_killed_and_back(mortal: Mortal, py_node: Callable[..., Node]) -> None:
    async with py_node() as node:
        old = await mortal.live()
        name, runtime, main = Atom(NAME), node.runtime, node.main
        main.trap_exit = True
        runtime.monitor_nodes(main, True)
        runtime.link(main, old)
        by_pid = runtime.monitor(main, old)
        by_name = runtime.monitor(main, (INBOX, name))
        assert await main.receive(timeout=10) == (atom.nodeup, name)
        runtime.monitor_node(main, name)
        assert await node.ping(name)  # all of the above has arrived there

        await asyncio.to_thread(mortal.node.kill)
        noconnection = atom.noconnection
        told = [await main.receive(timeout=10) for _ in range(5)]
        assert told[0] == (atom.EXIT, old, noconnection)
        downs = [
            (atom.DOWN, by_pid, atom.process, old, noconnection),
            (atom.DOWN, by_name, atom.process, (INBOX, name), noconnection),
        ]
        assert told[1:3] in (downs, downs[::-1])
        assert told[3:] == [(atom.nodedown, name)] * 2
        assert node.nodes("connected") == []

        new = await mortal.live()
        assert new.creation != old.creation
        node.send(old, atom.stale)  # this connects again
        assert await main.receive(timeout=10) == (atom.nodeup, name)
        # The pid of the old life, and what the new one's would have been in it.
        for stale in (old, Pid(name, new.id, new.serial, old.creation)):
            node.send(stale, atom.stale)
            node.exit(stale, atom.kill)
            ref = runtime.monitor(main, stale)
            down = await main.receive(timeout=10)
            assert down == (atom.DOWN, ref, atom.process, stale, atom.noproc)
        node.send((INBOX, name), atom.fresh)
        node.send(new, atom.too)
        assert await node.ping(name)
        assert await mortal.took() == [atom.fresh, atom.too]
        assert node.net.counters()["connections_up"] == 2
