"""Finding the nodes of a cluster, and connecting to them.

::

    from pynode.discovery import Dns, EpmdHosts

    node.discover(EpmdHosts(["box1", "box2"]))
    node.discover(Dns("app.default.svc.cluster.local", basename="app"), interval=5)

What libcluster's users know as strategies: a list of nodes (``Cluster.Strategy.Epmd``), the EPMDs
of hosts (``LocalEpmd``), ``.hosts.erlang`` (``ErlangHosts``), and DNS (``DNSPoll``,
``Kubernetes.DNS``, ``Kubernetes.DNSSRV``).  A strategy is an object with ``async def
find(self, net)``; see :class:`Strategy`.
"""

from __future__ import annotations

from pynode.discovery.dns import Dns, DnsSrv
from pynode.discovery.runner import Discovery
from pynode.discovery.strategies import EpmdHosts, Found, HostsFile, NodeList, Strategy

__all__ = [
    "Discovery",
    "Dns",
    "DnsSrv",
    "EpmdHosts",
    "Found",
    "HostsFile",
    "NodeList",
    "Strategy",
]
