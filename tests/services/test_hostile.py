"""What a peer could get a service to do in its place."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.config import NodeConfig
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Peer
from pynode.errors import PeerBusy
from pynode.net import Net
from pynode.policy import ALLOW, Action, Decision, Deny
from pynode.process.runtime import Runtime
from pynode.services import Services
from pynode.services.global_.tables import LockTable
from pynode.services.global_.wire import MOST_NODES, Malformed, parse_known
from pynode.terms import Atom, Pid, Reference, atom

ME, FAR = Atom("py@host"), Atom("far@host")
PEER = Peer(FAR, 9, OUR_FLAGS, hidden=False)


async def test_rex_carries_no_message_that_policy_denies() -> None:
    """``{From, {sbcast, Name, Msg}}``: sent by rex, but on behalf of whoever is connected."""
    asked: list[Any] = []

    def policy(peer: Peer, action: Action, target: Any) -> Decision:
        asked.append((peer.name, action, target))
        return Deny("secret") if target == atom.secret else ALLOW

    runtime = Runtime(ME, 7, policy=policy)
    config = NodeConfig(name=str(ME), cookie=b"c")
    services = Services(runtime, Net(config, OUR_FLAGS, runtime), config)
    services.start()
    runtime.peer_up(PEER)
    secret, public = runtime.spawn(None, name="secret"), runtime.spawn(None, name="public")
    me = runtime.main
    for name in ("secret", "public"):
        for kind in (atom.sbcast, atom.send):
            runtime.send(me, Atom("rex"), (me.pid, (kind, Atom(name), kind)))
    answers = [await me.receive(timeout=5) for _ in range(3)]
    assert not secret.mailbox
    assert public.mailbox is not None
    assert public.mailbox.messages() == [atom.sbcast, (me.pid, atom.send)]
    assert answers == [
        (atom.rex, ME, (atom.nonexisting_name, atom.secret)),
        (atom.rex, ME, (atom.nonexisting_name, atom.secret)),
        (atom.rex, ME, ME),
    ]
    assert (FAR, Action.SEND, atom.public) in asked
    await services.stop()
    await runtime.stop(0)


def test_no_cluster_has_that_many_nodes() -> None:
    """Each node that a peer names is connected to, and each that fails is told to all."""
    known = [(Atom(f"n{number}@host"), 8) for number in range(MOST_NODES)]
    assert parse_known(known) == known
    with pytest.raises(Malformed):
        parse_known([*known, Atom("one@more")])


async def test_a_lock_for_a_process_that_cannot_be_watched_is_no_lock() -> None:
    class Host:
        full = True

        def monitor(self, pid: Pid) -> Reference:
            if self.full:
                raise PeerBusy(str(pid.node), 1)
            return Reference(ME, 7, (1, 0, 0))

        def demonitor(self, ref: Reference) -> None:
            pass

    host = Host()
    table, pid = LockTable(host), Pid(FAR, 1, 0, 9)  # type: ignore[arg-type]
    with pytest.raises(PeerBusy):
        table.set(atom.resource, atom.requester, pid)
    assert len(table) == 0
    assert table.can_set(atom.resource, atom.other)
    host.full = False
    assert table.set(atom.resource, atom.requester, pid)
    assert not table.can_set(atom.resource, atom.other)
