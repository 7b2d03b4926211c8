"""The policy question: may this peer do this?  Asked before a payload is decoded."""

from pynode.policy.decide import (
    ALLOW,
    Action,
    Allow,
    Decision,
    Deny,
    Policy,
    default_policy,
    deny,
)
from pynode.policy.introspection import is_introspection

__all__ = [
    "ALLOW",
    "Action",
    "Allow",
    "Decision",
    "Deny",
    "Policy",
    "default_policy",
    "deny",
    "is_introspection",
]
