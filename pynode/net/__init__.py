"""Sockets, peers, dialling, listening, EPMD: everything that waits for the network."""

from __future__ import annotations

from pynode.net.epmd_client import epmd_names
from pynode.net.epmd_server import EpmdServer
from pynode.net.net import Net

__all__ = ["EpmdServer", "Net", "epmd_names"]
