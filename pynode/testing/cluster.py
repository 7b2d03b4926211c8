"""The nodes of one test: one EPMD, one cookie, everything gone at the end."""

from __future__ import annotations

import itertools
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pynode.testing.beam import Beam
from pynode.testing.epmd import Epmd, free_port
from pynode.testing.release import Release

if TYPE_CHECKING:
    from pynode.node import Node
    from pynode.testing.faults import FaultNetwork

__all__ = ["Cluster"]


class Cluster:
    """Makes BEAM and Python nodes that can find each other, and nobody else's.

    The fixtures ``beam``, ``py_node`` and ``faults`` are its methods.  By itself it serves a
    fixture of a wider scope, or a script::

        @pytest.fixture(scope="module")
        def cluster():
            with Cluster() as cluster:
                yield cluster

    Args:
        release: the release of nodes that are not told another.
        project: the Mix project of nodes that are not told another.
        near: where releases and projects are looked for; None: the working directory.
        timeout: how long, in seconds, a node may take to start.
    """

    def __init__(
        self,
        *,
        release: Release | str | None = None,
        project: str | None = None,
        near: Path | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.cookie = secrets.token_hex(16)
        #: The BEAM nodes made so far, the ended ones too.
        self.beams: list[Beam] = []
        self._release = release
        self._project = project
        self._near = near
        self._timeout = timeout
        self._epmd: Epmd | None = None
        self._epmd_port: int | None = None
        self._faults: FaultNetwork | None = None
        self._numbers = itertools.count(1)

    def beam(self, name: str | None = None, *, start: bool = True, **options: Any) -> Beam:
        """Start a BEAM node; ``options`` are those of :class:`Beam`.

        Without ``name`` it is ``beam1``, ``beam2`` ...  With ``start=False`` it is only made.

        Raises:
            BeamMissing, BeamFailed, BeamTimeout: as :meth:`Beam.start`.
        """
        options.setdefault("release", self._release)
        options.setdefault("cookie", self.cookie)
        options.setdefault("near", self._near)
        if options.get("language", "elixir") == "elixir":
            options.setdefault("project", self._project)
        if not isinstance(options["release"], Release):
            options["release"] = Release.find(options["release"], near=self._near)
        if "epmd" not in options:
            options["release"].command("erl")  # before all else, say that there is no Erlang
            options["epmd"] = self.epmd_port
        node = Beam(name or f"beam{next(self._numbers)}", **options)
        self.beams.append(node)
        return node.start(self._timeout) if start else node

    def py_node(self, name: str | None = None, *, host: str = "localhost", **options: Any) -> Node:
        """Make a Python node, not started: ``async with py_node() as node``.

        ``options`` are those of :class:`pynode.Node`, and ``epmd`` as for a BEAM node.  Without
        ``name`` it is ``py1``, ``py2`` ...  Where there is no Erlang, the first one to start
        serves as EPMD for the others.
        """
        from pynode.node import Node

        alive = name or f"py{next(self._numbers)}"
        full = alive if "@" in alive else f"{alive}@{host}"
        epmd = options.pop("epmd", None)
        if epmd is False:
            options["epmd"] = False  # the node's own option: it does without
        elif epmd is not None:
            options["epmd_port"] = epmd if isinstance(epmd, int) else epmd.port_for_new_node()
        elif "epmd_port" not in options:
            options["epmd_port"] = self.epmd_port
        options.setdefault("cookie", self.cookie)
        return Node(full, **options)

    @property
    def epmd_port(self) -> int:
        """The port of the cluster's EPMD, which is started where there is one to start."""
        if self._epmd_port is None:
            maker = self._epmd_maker()
            if maker is None:
                self._epmd_port = free_port()
            else:
                self._epmd = Epmd(release=maker).start()
                self._epmd_port = self._epmd.port
        return self._epmd_port

    @property
    def epmd(self) -> Epmd | None:
        """The running EPMD, or None where there is no Erlang or nobody needed one yet."""
        return self._epmd

    @property
    def faults(self) -> FaultNetwork:
        """A network that can be broken, started at its first use."""
        if self._faults is None:
            from pynode.testing.faults import FaultNetwork

            self._faults = FaultNetwork().start()
        return self._faults

    def close(self) -> None:
        """Kill every BEAM node, then end the fault network and the EPMD."""
        for node in self.beams:
            node.kill()
        if self._faults is not None:
            self._faults.stop()
            self._faults = None
        if self._epmd is not None:
            self._epmd.stop()
            self._epmd = None
        self._epmd_port = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _epmd_maker(self) -> Release | None:
        host = Release()
        if host.has("epmd"):
            return host
        if self._release is None:
            return None
        chosen = self._release
        release = chosen if isinstance(chosen, Release) else Release.find(chosen, near=self._near)
        return release if release.has("epmd") else None
