"""The command line: options, defaults, and usage errors in one line."""

from __future__ import annotations

import socket

import pytest

from pynode.cli.parser import COMMANDS, Options, parse

HOST = socket.gethostname().partition(".")[0]


def test_publisher_defaults() -> None:
    assert parse(["publisher"]) == Options(command="publisher")


def test_every_option_of_subscriber() -> None:
    line = "subscriber --name py --cookie c --connect a --connect b@h --manager m --as x"
    assert parse([*line.split(), "--hidden", "--shell"]) == Options(
        command="subscriber",
        name="py",
        cookie="c",
        connect=[f"a@{HOST}", "b@h"],
        manager="m",
        as_name="x",
        hidden=True,
        shell=True,
    )


def test_one_command_line_does_not_leak_into_the_next() -> None:
    parse(["publisher", "--connect", "a@h"])
    assert parse(["publisher"]).connect == []


def test_positional_arguments() -> None:
    assert parse(["publish", "Hello !!", "--connect", "a@h"]).message == "Hello !!"
    assert parse(["ping", "node1"]).node == f"node1@{HOST}"
    assert parse(["names"]).host == "localhost"
    assert parse(["names", "other"]).host == "other"
    assert parse(["ping", "a@h", "--cookie-file", "f"]).cookie_file == "f"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "COMMAND"),
        ("dance", "dance"),
        ("publish --connect a", "MESSAGE"),
        ("publish hello", "--connect"),
        ("subscriber", "--connect"),
        ("publisher --hidden", "--connect"),
        ("publisher --name a@b@c", "'a@b@c'"),
        ("publisher --name @h", "'@h'"),
        ("publisher --connect", "--connect"),
        ("publisher --cookie a --cookie-file b", "--cookie"),
        ("publisher --hid", "--hid"),
        ("ping", "NODE"),
        ("ping a@", "'a@'"),
        ("names a b", "b"),
        ("names --name a", "--name"),
    ],
)
def test_usage_error_is_one_line_and_code_2(
    line: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(line.split())
    assert exit_.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("pynode")
    assert problem in output.err
    assert "--help" in output.err


def test_an_unknown_option_points_to_the_help_of_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(["publisher", "--hiden"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error == (
        "pynode publisher: unrecognized arguments: --hiden (see pynode publisher --help)\n"
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse([*([command] if command else []), "--help"])
    assert exit_.value.code == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert max(map(len, output.out.splitlines())) <= 100


def test_help_says_who_sees_the_cookie(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["ping", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "other users of this machine can see it" in text
    assert "PYNODE_COOKIE" in text
    assert "~/.erlang.cookie" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("pynode ")
