"""The guide: what it shows runs, what it lists is all there is."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

import pytest

import pynode
from pynode.testing import Beam, plugin

GUIDE = Path(pynode.__file__).with_name("guides").joinpath("testing.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)

PROJECT = """
defmodule Shop.MixProject do
  use Mix.Project
  def project, do: [app: :shop, version: "1.0.0", elixir: "~> 1.14"]
end
"""
SHOP = """
defmodule Shop do
  def total(prices), do: Enum.sum(prices)
end
"""
PREAMBLE = """
import asyncio
import pytest
from hypothesis import given, settings
from pynode.terms import atom, charlist, identical
from pynode.testing import Cluster, eventually, members, names, receives
from pynode.testing.strategies import terms
"""
ASSERTIONS = """
def test_assertions(beam, py_node):
    async def main():
        node = beam(language="erlang")
        async with py_node() as py:
            py.monitor_nodes()
            await py.connect(node.name)
            await node.aeval("global:register_name(\\\"manager\\\", self()), pg:start(pg).")
            await node.aeval("[pg:join(workers, self()) || _ <- [1, 2, 3]].")
{block}

    asyncio.run(main())
"""


def block(*words: str) -> str:
    (found,) = [text for text in BLOCKS if all(word in text for word in words)]
    return str(found)


@pytest.mark.beam
@pytest.mark.elixir
def test_its_examples_run(pytester: pytest.Pytester) -> None:
    shop = pytester.mkdir("shop")
    (shop / "lib").mkdir()
    (shop / "mix.exs").write_text(PROJECT)
    (shop / "lib/shop.ex").write_text(SHOP)
    waiting = block("await eventually")
    rest = [text for text in BLOCKS if text != waiting]
    last = "await receives("
    assert last in waiting
    shown = textwrap.indent(waiting.replace(last, f"node.kill(); {last}"), " " * 12)
    pytester.makepyfile(PREAMBLE + "\n\n".join([*rest, ASSERTIONS.replace("{block}", shown)]))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:asyncio")
    result.assert_outcomes(passed=len(re.findall(r"^def test_", "".join(rest), re.MULTILINE)) + 1)


def test_its_table_of_settings() -> None:
    table = re.findall(
        r"^\| `--beam-([a-z-]+)[ `].*\| `(beam_\w+)` \| (.*?) ?\|", GUIDE, re.MULTILINE
    )
    names = [name for name, _, _ in plugin._OPTIONS]
    assert [option for option, _, _ in table] == [*names, "required"]
    for option, ini, environment in table:
        key = f"beam_{option.replace('-', '_')}"
        assert ini == key
        assert environment == ("" if option == "required" else f"`PYNODE_{key.upper()}`")


def test_the_fixtures_and_options_that_it_names() -> None:
    for fixture in re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE):
        assert fixture in plugin.__all__
    known = set(inspect.signature(Beam.__init__).parameters)
    for option in (
        "language",
        "project",
        "release",
        "hidden",
        "cookie",
        "arguments",
        "environment",
    ):
        assert f"`{option}" in GUIDE or f"{option}=" in GUIDE
        assert option in known
    for verb in (
        "eval",
        "aeval",
        "rpc",
        "arpc",
        "shell",
        "stop",
        "kill",
        "pause",
        "resume",
        "start",
    ):
        assert f"`{verb}" in GUIDE or f".{verb}(" in GUIDE or f"node.{verb}" in GUIDE
        assert callable(getattr(Beam, verb))
