"""``.hosts.erlang``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pynode import Atom, ConfigError
from pynode.services.net_adm import host_file, node_at


def test_names_that_no_node_can_have() -> None:
    assert node_at("a", "host") == Atom("a@host")
    for name, host in [
        ("", "host"),
        ("a@b", "host"),
        ("a", ""),
        ("a", "h" * 254),
        ("a" * 255, "h"),
    ]:
        assert node_at(name, host) is None


def test_hosts_as_erlang_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(
        "% the cluster's hosts\n"
        "'one.example.org'.\n"
        "  two . 'three'.% and\n"
        '"four-4.example.org".\n'
        "'10.0.0.5'.\n\n"
    )
    hosts = ["one.example.org", "two", "three", "four-4.example.org", "10.0.0.5"]
    assert host_file(path) == hosts


@pytest.mark.parametrize("empty", ["", "  \n", "% nobody", "%\n%\n"])
def test_no_hosts(tmp_path: Path, empty: str) -> None:
    path = tmp_path / "hosts"
    path.write_text(empty)
    assert host_file(path) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "one.example.org.",
        "'one'",
        "'one'.'two'.",
        "'one' 'two'.",
        "Host.",
        "{'one'}.",
        "''.",
        "'a\\'b'.",
        "'one\n'.",
        "'one",
    ],
)
def test_what_is_no_host_is_named_with_its_line(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "hosts"
    path.write_text(f"'fine'.\n{wrong}\n")
    with pytest.raises(ConfigError, match=f"hosts file {path}, line 2: each host is written"):
        host_file(path)


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    with pytest.raises(ConfigError, match=r"no hosts file: \.hosts\.erlang or .*home/\.hosts"):
        host_file()
    (home / ".hosts.erlang").write_text("'from_home'.")
    assert host_file() == ["from_home"]
    (here / ".hosts.erlang").write_text("'from_here'.")
    assert host_file() == ["from_here"]
    (here / ".hosts.erlang").write_bytes(b"'\xff'.")
    with pytest.raises(ConfigError, match="codec can't decode"):
        host_file()
    (here / ".hosts.erlang").unlink()
    (here / ".hosts.erlang").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        host_file()
