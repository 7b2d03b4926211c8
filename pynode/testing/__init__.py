"""The test kit: real BEAM nodes, network faults, and assertions for clusters.

In pytest the fixtures of :mod:`pynode.testing.plugin` are there without an import: ``beam``,
``py_node``, ``faults``.  :mod:`pynode.testing.strategies` has hypothesis strategies for terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynode._lazy import lazy

if TYPE_CHECKING:
    from pynode.testing.assertions import eventually, members, names, receives
    from pynode.testing.beam import Beam, Shell
    from pynode.testing.cluster import Cluster
    from pynode.testing.epmd import Epmd, free_port
    from pynode.testing.errors import BeamFailed, BeamMissing, BeamTimeout, EvalError
    from pynode.testing.faults import FaultNetwork, Link
    from pynode.testing.project import MixProject
    from pynode.testing.release import Release

__all__ = [
    "Beam",
    "BeamFailed",
    "BeamMissing",
    "BeamTimeout",
    "Cluster",
    "Epmd",
    "EvalError",
    "FaultNetwork",
    "Link",
    "MixProject",
    "Release",
    "Shell",
    "eventually",
    "free_port",
    "members",
    "names",
    "receives",
]

_HOMES = {
    "assertions": ("eventually", "members", "names", "receives"),
    "beam": ("Beam", "Shell"),
    "cluster": ("Cluster",),
    "epmd": ("Epmd", "free_port"),
    "errors": ("BeamFailed", "BeamMissing", "BeamTimeout", "EvalError"),
    "faults": ("FaultNetwork", "Link"),
    "project": ("MixProject",),
    "release": ("Release",),
}

# pytest imports the plugin, and with it this package, in every session of every project in the
# environment; so nothing else is imported before it is asked for.
if not TYPE_CHECKING:  # for type checkers there are just the names above
    __getattr__, __dir__ = lazy(__name__, _HOMES)
