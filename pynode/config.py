"""Settings, frozen, with their units in the name or the docstring.

Durations are seconds, ``None`` is infinity; sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Limits", "NodeConfig", "Timeouts"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer may make this node hold; beyond it, a documented error and no allocation."""

    frame_bytes: int = 256 * MIB
    """Longest frame of a connection; longer ones cost the connection."""
    term_bytes: int = 1024 * MIB
    """Longest term after reassembly of fragments, or after decompression."""
    depth: int = 10_000
    """Deepest nesting of a decoded or encoded term."""
    elements: int = 64_000_000
    """Most elements of all containers of one term together."""
    pending_fragments: int = 256
    """Most unfinished fragment sequences of one connection."""
    fragment_bytes: int = 1024 * MIB
    """Most bytes held by one connection's unfinished fragment sequences together."""
    handshakes: int = 64
    """Most incoming handshakes under way at once; further connections wait in the backlog."""
    peer_high_water_bytes: int = 4 * MIB
    """Above this in a peer's output queue the sending process is held at its next await."""
    peer_low_water_bytes: int = 1 * MIB
    """Held processes go on when the queue has shrunk to this."""
    peer_queue_bytes: int = 1024 * MIB
    """Above this in a peer's output queue a send raises :class:`pynode.errors.PeerBusy`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each step may take, in seconds; ``None`` waits for ever."""

    setup: float | None = 7.0
    """Each step of connecting and of the handshake (OTP's ``net_setuptime``)."""
    epmd: float | None = 5.0
    """One question to EPMD."""
    net_ticktime: float = 60.0
    """A silent peer is given up after 0.75 to 1.25 times this (OTP's ``net_ticktime``)."""
    call: float | None = 5.0
    """A call without a timeout of its own (OTP's default, 5 s)."""
    stop: float | None = 5.0
    """``Node.stop()``: how long processes may take to end before they are killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Everything a node is told at its start; :class:`pynode.Node` fills it from its options."""

    name: str
    """Full name, ``alive@host``."""
    cookie: bytes
    hidden: bool = False
    long_names: bool = False
    """True if the host part is fully qualified or an address (OTP's ``-name``)."""
    listen: str | None = None
    """Address to listen on; ``None``: where the host part of the name resolves."""
    port: int = 0
    """Port to listen on; 0: any free one."""
    epmd_address: str | None = None
    """Where our own EPMD is; ``None``: loopback (``ERL_EPMD_ADDRESS`` is for the daemon)."""
    epmd_port: int = 4369
    start_epmd: bool = True
    """Start an embedded EPMD where none answers."""
    connect_all: bool = True
    """Join the full mesh of ``:global`` (OTP's ``connect_all``)."""
    prevent_overlapping_partitions: bool = True
    creation: int | None = None
    """``None``: what EPMD gives, or a random one.  Tests fix it."""
    cookies: dict[str, bytes] = field(default_factory=dict)
    """Cookies of single peers, by node name; others get ``cookie``."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
