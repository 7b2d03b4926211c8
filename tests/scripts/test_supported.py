"""What the README says is supported is what ``scripts/beam`` fetches, and what was got."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from pynode.testing import Release
from tests.beam.releases import NAMES, otp_of

ROOT = Path(__file__).resolve().parents[2]


class Row(NamedTuple):
    """A release; empty is what it has none of."""

    name: str
    otp: str
    elixir: str
    python: str


def claimed() -> list[Row]:
    """Return the table of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, after = text.partition("| Tests run on | Erlang/OTP | Elixir | CPython | how much |\n")
    assert after, "the README has no table of releases"
    found = []
    for line in after.splitlines()[1:]:
        if not line.startswith("|"):
            break
        name, *versions, _ = (cell.strip().strip("`") for cell in line.strip("|").split("|"))
        found.append(Row(name, *("" if version == "none" else version for version in versions)))
    return found


def fetched() -> list[Row]:
    """Return what ``scripts/beam`` says that it can fetch."""
    usage = subprocess.run(
        [ROOT / "scripts/beam", "--help"], check=True, capture_output=True, text=True
    ).stdout
    lines = re.findall(r"scripts/beam (\w+) +OTP (\d+)(.*)", usage)
    return [
        Row(name, otp, named("Elixir", rest), named("Python", rest)) for name, otp, rest in lines
    ]


def named(what: str, text: str) -> str:
    """Return the version behind a word, as ``1.18``."""
    found = re.search(rf"{what} (\d+\.\d+)", text, re.IGNORECASE)
    return found[1] if found else ""


def test_the_readme_claims_what_can_be_fetched() -> None:
    machine, *others = claimed()
    assert sorted(others) == sorted(fetched())
    assert {row.name for row in others} == set(NAMES) - {"host"}
    assert machine == ("the machine itself, Debian bookworm", "25", "1.14", "3.11")


@pytest.mark.parametrize("row", claimed()[1:], ids=lambda row: row.name)
def test_what_was_got_is_what_is_claimed(row: Row) -> None:
    versions = ROOT / ".beam" / f"{row.name}.versions"
    if not versions.exists():
        pytest.skip(f"scripts/beam {row.name} has not run here")
    text = versions.read_text()
    assert re.search(rf"^erlang/OTP {row.otp}$", text, re.MULTILINE), text
    assert (named("elixir", text), named("Python", text)) == (row.elixir, row.python)


def test_the_machine_s_own_where_it_is_the_one_claimed() -> None:
    machine = claimed()[0]
    system = Path("/etc/os-release").read_text()
    if "bookworm" not in system:
        pytest.skip("this is no Debian bookworm")
    if not Release().has("erl"):
        pytest.skip("there is no Erlang on this machine")
    assert otp_of(Release()) == int(machine.otp)


def test_the_package_says_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = {row.python for row in claimed() if row.python}
    lowest = min(pythons, key=lambda version: int(version.partition(".")[2]))
    assert project["requires-python"] == f">={lowest}"
    classified = {line.rpartition(" ")[2] for line in project["classifiers"] if ":: 3." in line}
    assert pythons <= classified
    assert sys.version_info >= tuple(map(int, lowest.split(".")))


def test_scripts_test_knows_each_python() -> None:
    text = (ROOT / "scripts/test").read_text()
    known = dict(re.findall(r"^ +(3\.\d+)\) in_release (\w+)", text, re.MULTILINE))
    assert known == {row.python: row.name for row in claimed()[1:] if row.python}
