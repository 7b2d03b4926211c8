from __future__ import annotations

import pytest

from pynode.dist.seam import Peer
from pynode.policy import ALLOW, Action, Allow, Deny, default_policy, deny
from pynode.terms import Atom

PEER = Peer(Atom("peer@host"), 1, 0, hidden=True)


@pytest.mark.parametrize("action", Action)
def test_default_allows_every_signal(action: Action) -> None:
    assert default_policy(PEER, action, None) is ALLOW


def test_deny_denies_what_it_names_and_asks_another_for_the_rest() -> None:
    policy = deny(Action.SPAWN, Action.EXIT, rule="quiet", otherwise=deny(Action.LINK))
    assert policy(PEER, Action.SPAWN, None) == Deny("quiet")
    assert policy(PEER, Action.EXIT, None) == Deny("quiet")
    assert policy(PEER, Action.LINK, None) == Deny("denied")
    assert policy(PEER, Action.SEND, None) == Allow()


def test_decisions_are_bools_that_cannot_be_mixed_up() -> None:
    assert bool(ALLOW)
    assert not Deny("rule")
