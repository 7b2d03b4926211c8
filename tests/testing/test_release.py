"""Where releases are found, and how their programs are called."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pynode.testing import BeamMissing, Release


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("PYNODE_BEAM"):
            monkeypatch.delenv(name)
    return tmp_path


def program(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_the_machines_own(shelf: Path) -> None:
    for name in (None, "host"):
        release = Release.find(name)
        assert (release.name, release.root, release.chrooted) == ("host", None, False)
    assert Release().command("sh", "-c", "true")[1:] == ["-c", "true"]
    assert Release().inside(Path("/a/b")) == "/a/b"
    with pytest.raises(BeamMissing, match="there is no no-such-program on PATH"):
        Release().command("no-such-program")


def test_the_order_in_which_a_release_is_looked_for(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = shelf / "project/tests"
    deep.mkdir(parents=True)
    with pytest.raises(BeamMissing, match=r"no release 'odd'.*PYNODE_BEAM_ODD.*PYNODE_BEAMS"):
        Release.find("odd", near=deep)
    (shelf / ".beam/odd").mkdir(parents=True)
    assert Release.find("odd", near=deep).root == shelf / ".beam/odd"
    (shelf / "releases/odd").mkdir(parents=True)
    monkeypatch.setenv("PYNODE_BEAMS", str(shelf / "releases"))
    assert Release.find("odd", near=deep).root == shelf / "releases/odd"
    (shelf / "direct").mkdir()
    monkeypatch.setenv("PYNODE_BEAM_ODD", str(shelf / "direct"))
    assert Release.find("odd", near=deep).root == shelf / "direct"


def test_the_one_that_the_environment_chooses(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shelf / ".beam/odd").mkdir(parents=True)
    monkeypatch.setenv("PYNODE_BEAM_RELEASE", "odd")
    assert Release.find(near=shelf).root == shelf / ".beam/odd"
    assert Release.find("host", near=shelf) == Release()


def test_an_unpacked_otp(shelf: Path) -> None:
    program(shelf / "bin/erl")
    release = Release("otp", shelf)
    assert not release.chrooted
    assert release.command("erl", "-v") == [str(shelf / "bin/erl"), "-v"]
    assert not release.has("elixir")
    with pytest.raises(BeamMissing, match="there is no elixir in the release otp"):
        release.command("elixir")


@pytest.mark.parametrize(("user", "words"), [(0, ["chroot", "{root}"]), (1000, ["unshare"])])
def test_a_debian(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, user: int, words: list[str]
) -> None:
    program(shelf / "usr/bin/erl")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    release = Release("debian", shelf)
    assert release.chrooted
    command = release.command("erl", "-v")
    assert command[: len(words)] == [word.format(root=shelf) for word in words]
    assert command[-2:] == ["/usr/bin/erl", "-v"]
    assert release.inside(shelf / "var/tmp/x") == "/var/tmp/x"
