"""What a connection knows of its own node."""

from __future__ import annotations

from pynode._values import Value

__all__ = ["LocalNode", "split_name"]


class LocalNode(Value):
    """This node, as it presents itself in a handshake.

    A ``name`` without ``@`` is a host alone: the node asks its first peer for a name (NAME_ME).
    """

    name: str
    creation: int
    flags: int
    long_names: bool = False
    """True if hosts are fully qualified names or addresses (OTP's ``-name``)."""


def split_name(name: str) -> tuple[str, str] | None:
    """Return ``(alive, host)`` of ``alive@host``; None unless both are there, with one ``@``."""
    alive, at, host = name.partition("@")
    if not (alive and at and host) or "@" in host:
        return None
    return alive, host
