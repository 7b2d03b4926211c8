"""The pytest plugin, active wherever this package is installed.

Fixtures, all synchronous, so that they serve tests of any kind:

``beam``
    ``beam(name=None, **options)`` starts a BEAM node; see :meth:`pynode.testing.Cluster.beam`.
``py_node``
    ``py_node(name=None, **options)`` makes a Python node in the same cluster: the same EPMD and
    cookie, which no other test has.
``faults``
    a network between nodes that can be broken: :class:`pynode.testing.FaultNetwork`.
``cluster``
    the :class:`pynode.testing.Cluster` behind the three.

A test that uses ``beam`` is marked ``beam``; where there is no Erlang it is skipped, saying so.
When it fails, what each of its nodes wrote is part of the report.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

# pytest imports this module in every session of every project in the environment: what needs
# more than pytest is imported when a fixture is used.
if TYPE_CHECKING:
    from pynode.node import Node
    from pynode.testing.beam import Beam
    from pynode.testing.cluster import Cluster
    from pynode.testing.faults import FaultNetwork

__all__ = ["beam", "cluster", "faults", "py_node"]

_CLUSTER: pytest.StashKey[Cluster] = pytest.StashKey()

_OPTIONS: tuple[tuple[str, str, str], ...] = (
    ("release", "NAME", "the release that BEAM nodes run on, instead of the machine's own Erlang"),
    ("project", "FOLDER", "the Mix project that Elixir nodes have, when they are not told one"),
    ("timeout", "SECONDS", "how long a BEAM node may take to start (default: 30)"),
    ("output-lines", "N", "lines of a node's output in a failure's report (default: 100)"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--beam-...`` and the settings of the same names, ``beam_...``."""
    group = parser.getgroup("beam", "Erlang and Elixir nodes (pynode)")
    for name, value, text in _OPTIONS:
        group.addoption(f"--beam-{name}", metavar=value, default=None, help=text)
        parser.addini(f"beam_{name.replace('-', '_')}", text)
    text = "fail, rather than skip, where there is no Erlang or Elixir"
    group.addoption("--beam-required", action="store_true", default=None, help=text)
    parser.addini("beam_required", text, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "beam: starts a real Erlang or Elixir node")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the release, where one was chosen."""
    release = _setting(config, "release")
    return f"beam release: {release}" if release else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses ``beam``, so that ``-m 'not beam'`` leaves it out."""
    for item in items:
        if "beam" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.beam)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the nodes wrote to the report of a failure."""
    report = yield
    cluster = item.stash.get(_CLUSTER, None)
    if report.failed and cluster is not None:
        count = int(_setting(item.config, "output-lines") or 100)
        for node in cluster.beams:
            release = f", OTP {node.otp_release}" if node.otp_release else ""
            title = f"output of {node.name}{release}"
            report.sections.append((title, node.last_words(count) or "(nothing)"))
    return report


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Generator[Cluster]:
    """The BEAM and Python nodes of this test."""
    from pynode.testing.cluster import Cluster

    config = request.config
    made = Cluster(
        release=_setting(config, "release"),
        project=_setting(config, "project"),
        near=request.path.parent,
        timeout=float(_setting(config, "timeout") or 30),
    )
    request.node.stash[_CLUSTER] = made
    with made:
        yield made


@pytest.fixture
def beam(cluster: Cluster, request: pytest.FixtureRequest) -> Callable[..., Beam]:
    """``beam(name=None, **options)``: start a BEAM node; it is killed after the test."""
    from pynode.testing.errors import BeamMissing

    def start(name: str | None = None, **options: Any) -> Beam:
        __tracebackhide__ = True
        try:
            return cluster.beam(name, **options)
        except BeamMissing as error:
            config = request.config
            if config.getoption("--beam-required") or config.getini("beam_required"):
                raise
            pytest.skip(str(error))

    return start


@pytest.fixture
def py_node(cluster: Cluster) -> Callable[..., Node]:
    """``py_node(name=None, **options)``: make a Python node for ``async with``."""
    return cluster.py_node


@pytest.fixture
def faults(cluster: Cluster) -> FaultNetwork:
    """A network for ``epmd=faults``, whose links can be cut, stalled, slowed, made to lose."""
    return cluster.faults


def _setting(config: pytest.Config, name: str) -> str | None:
    """Return an option: of the command line, else of the environment, else of the ini file."""
    given = config.getoption(f"--beam-{name}")
    key = f"beam_{name.replace('-', '_')}"
    value = given or os.environ.get(f"PYNODE_{key.upper()}") or config.getini(key)
    return str(value) if value else None
