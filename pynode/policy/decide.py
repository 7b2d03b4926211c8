"""May this peer do this?  Pure functions of the peer, the action and its target.

A policy is any callable ``decide(peer, action, target) -> Allow | Deny``.  The peer is the
connection's (:class:`pynode.dist.seam.Peer`), never the pid that a message names; the target is
what the control message says, before anything of the payload has been read:

==================  =====================================================================
action              target
==================  =====================================================================
``SEND``            the receiving pid, registered name (Atom) or alias (Reference)
``LINK``            the pid
``MONITOR``         the pid or registered name
``EXIT``            the pid, name or alias that would get the exit signal
``GROUP_LEADER``    the pid
``SPAWN``           ``(module, function, arity)``
==================  =====================================================================

What a denial looks like to the peer: a message or an exit signal is gone; a link gets its EXIT
and a monitor its DOWN with ``noproc``, as if nobody were there; a spawn request is answered
``notsup``.  Signals that undo or answer (unlink, demonitor, acknowledgements, the exits and
downs of existing links and monitors, spawn replies) are never asked about.

:func:`default_policy` allows all of it: a signal can do no more than the process that takes it
lets it, and a spawn request reaches only the functions that the program has exposed
(:class:`pynode.process.resolver.Resolver`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pynode._values import Value

if TYPE_CHECKING:
    from pynode.dist.seam import Peer

__all__ = ["ALLOW", "Action", "Allow", "Decision", "Deny", "Policy", "default_policy", "deny"]


class Action(Enum):
    """What a peer asks to do."""

    SEND = "send"
    LINK = "link"
    MONITOR = "monitor"
    EXIT = "exit"
    GROUP_LEADER = "group_leader"
    SPAWN = "spawn"


class Allow(Value):
    """Yes.  True as a bool."""

    def __bool__(self) -> bool:
        return True


class Deny(Value):
    """No; ``rule`` names the rule, for the counters and for the log.  False as a bool."""

    rule: str

    def __bool__(self) -> bool:
        return False


Decision: TypeAlias = Allow | Deny
Policy: TypeAlias = "Callable[[Peer, Action, Any], Decision]"

ALLOW: Final = Allow()


def default_policy(peer: Peer, action: Action, target: Any) -> Decision:
    """Allow every signal, and the spawn of what the program has exposed."""
    return ALLOW


def deny(*actions: Action, rule: str = "denied", otherwise: Policy = default_policy) -> Policy:
    """Return a policy that denies ``actions`` to every peer and leaves the rest to another."""
    denied = frozenset(actions)
    decision = Deny(rule)

    def decide(peer: Peer, action: Action, target: Any) -> Decision:
        return decision if action in denied else otherwise(peer, action, target)

    return decide
