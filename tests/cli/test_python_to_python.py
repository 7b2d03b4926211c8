"""The commands among themselves."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest

from pynode.dist.epmd import NORMAL_NODE, AliveRequest, NodeEntry, encode_request
from pynode.terms import Atom, atom
from pynode.testing import free_port
from pynode.thread import NodeThread
from tests.cli.conftest import Commands

NODE1, NODE2 = "node1@localhost", "node2@localhost"
PUBLISHER = ("publisher", "--name", NODE1)
SUBSCRIBER = ("subscriber", "--name", NODE2, "--connect", NODE1)


def test_the_session(pynode: Commands) -> None:
    publisher = pynode.start(*PUBLISHER)
    assert re.fullmatch(rf"ready {NODE1} #PID<{NODE1}\.\d+\.\d+>", publisher.line())
    subscriber = pynode.start(*SUBSCRIBER)
    assert re.fullmatch(rf"ready {NODE2} #PID<{NODE2}\.\d+\.\d+>", subscriber.line())
    assert pynode.run("publish", "Hello ü !!", "--connect", NODE1) == (
        0,
        "I have published: 'Hello ü !!'\n".strip(),
        "",
    )
    assert subscriber.line() == "I have received: 'Hello ü !!'"
    assert subscriber.end(signal.SIGTERM) == (143, "", "")
    assert publisher.end(signal.SIGINT) == (130, "", "")


def test_names_are_those_of_the_options(pynode: Commands) -> None:
    pynode.ready(*PUBLISHER, "--manager", "boss")
    subscriber = pynode.ready(*SUBSCRIBER, "--manager", "boss", "--as", "me")
    assert pynode.run("publish", "a", "--manager", "boss", "--connect", NODE1).code == 0
    assert subscriber.line() == "I have received: 'a'"
    outcome = pynode.run("publish", "a", "--connect", NODE1)
    assert outcome == (1, "", "pynode: no process has the global name 'manager'")


def test_all_hidden(pynode: Commands) -> None:
    visible = pynode.ready(*PUBLISHER, "--manager", "other")
    hidden = ("--hidden", "--connect", NODE1)
    pynode.ready("publisher", "--name", "hidden@localhost", *hidden)
    subscriber = pynode.ready(*SUBSCRIBER, "--hidden")
    assert pynode.run("publish", "a", "--connect", NODE1).code == 0
    assert subscriber.line() == "I have received: 'a'"
    assert visible.process.poll() is None


def test_ping_and_names(pynode: Commands) -> None:
    pynode.ready(*PUBLISHER)
    assert pynode.run("ping", NODE1) == (0, "pong", "")
    outcome = pynode.run("names")
    assert outcome.code == 0
    assert re.fullmatch(r"node1 \d+", outcome.out)
    assert outcome.err == ""


def test_a_taken_global_name(pynode: Commands) -> None:
    pynode.ready(*PUBLISHER)
    outcome = pynode.run("publisher", "--name", NODE2, "--connect", NODE1)
    assert outcome.code == 1
    assert outcome.out == ""
    assert re.fullmatch(
        rf"pynode: the global name 'manager' is taken, by #PID<{NODE1}\.\d+\.\d+>", outcome.err
    )


def test_a_taken_node_name(pynode: Commands) -> None:
    pynode.ready(*PUBLISHER)
    outcome = pynode.run(*PUBLISHER)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 0)
    assert "node1" in outcome.err


def test_one_peer_of_several_is_enough(pynode: Commands) -> None:
    pynode.ready(*PUBLISHER)
    outcome = pynode.run("publish", "a", "--connect", "nobody@localhost", "--connect", NODE1)
    assert outcome == (0, "I have published: 'a'", "")


CAUSES = {
    "no EPMD": (["ping", NODE1], "not running"),
    "no such host": (["ping", "a@no-such-host.invalid"], "no-such-host.invalid"),
    "no such host for names": (["names", "no-such-host.invalid"], "no-such-host.invalid"),
    "a subscriber and no EPMD": ([*SUBSCRIBER], "EPMD"),
    "publish and no EPMD": (["publish", "a", "--connect", NODE1], "not running"),
    "an empty cookie": (["publisher", "--cookie", ""], "cookie is empty"),
    "no cookie file": (["publisher", "--cookie-file", "/no/such/file"], "/no/such/file"),
}


@pytest.mark.parametrize(("line", "cause"), CAUSES.values(), ids=list(CAUSES))
def test_one_line_for_a_failure_alone(pynode: Commands, line: list[str], cause: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    outcome = pynode.run(*line, ERL_EPMD_PORT=str(port))
    assert outcome.code == 1
    assert outcome.out == ("pang" if line[0] == "ping" else "")
    assert outcome.err.startswith("pynode: ")
    assert outcome.err.count("\n") == 0
    assert cause in outcome.err


OTHERS = {
    "a wrong cookie": (["ping", NODE1, "--cookie", "wrong"], "cookies differ"),
    "an unknown node": (["ping", "nobody@localhost"], "no node named 'nobody'"),
    "long to short": (["ping", NODE1, "--name", "me@127.0.0.1"], "short"),
    "short to long": (["ping", "node1@127.0.0.1", "--name", "me@localhost"], "long"),
    "its own name": (["ping", NODE1, "--name", NODE1], NODE1),
    "an unknown manager": (
        ["subscriber", "--name", NODE2, "--connect", NODE1, "--manager", "x"],
        "no process has the global name 'x'",
    ),
    "a cookie file for all": (["ping", NODE1, "--cookie-file", "{open}"], "chmod 400"),
}


@pytest.mark.parametrize(("line", "cause"), OTHERS.values(), ids=list(OTHERS))
def test_one_line_for_a_failure_with_a_node(
    pynode: Commands, tmp_path: Path, line: list[str], cause: str
) -> None:
    open_file = tmp_path / "cookie"
    open_file.write_text("x")
    open_file.chmod(0o644)
    pynode.ready(*PUBLISHER)
    outcome = pynode.run(*(word.format(open=open_file) for word in line))
    assert outcome.code == 1
    assert outcome.err.startswith("pynode: ")
    assert outcome.err.count("\n") == 0
    assert cause in outcome.err


def test_a_closed_port(pynode: Commands) -> None:
    publisher = pynode.ready(*PUBLISHER)
    pynode.ready("publisher", "--name", "epmd@localhost", "--manager", "other")
    port = pynode.run("names").out.split("node1 ")[1].split()[0]
    publisher.end(signal.SIGKILL)
    # A registration of the same name, whose port nobody listens on.
    epmd = ("127.0.0.1", pynode.cluster.epmd_port)
    with socket.create_connection(epmd) as registration:
        entry = NodeEntry("node1", int(port), NORMAL_NODE)
        registration.sendall(encode_request(AliveRequest(entry)))
        assert registration.recv(1) == b"\x76"
        outcome = pynode.run("ping", NODE1)
    assert (outcome.code, outcome.out) == (1, "pang")
    assert port in outcome.err


def test_cookie_file(pynode: Commands, tmp_path: Path) -> None:
    pynode.ready(*PUBLISHER)
    file = tmp_path / "cookie"
    file.write_text(pynode.cluster.cookie + "\n")
    file.chmod(0o400)
    assert pynode.run("ping", NODE1, "--cookie-file", str(file), PYNODE_COOKIE="wrong").code == 0


def test_a_publisher_that_comes_back(pynode: Commands) -> None:
    publisher = pynode.ready(*PUBLISHER)
    subscriber = pynode.ready(*SUBSCRIBER)
    publisher.end(signal.SIGKILL)
    assert "the publisher is gone (noconnection)" in subscriber.error()
    pynode.ready(*PUBLISHER)
    assert "subscribed again" in subscriber.error()
    assert pynode.run("publish", "a", "--connect", NODE1).code == 0
    assert subscriber.line() == "I have received: 'a'"
    assert subscriber.end(signal.SIGINT).code == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_waiting_for_a_publisher(pynode: Commands, number: int) -> None:
    publisher = pynode.ready(*PUBLISHER)
    subscriber = pynode.ready(*SUBSCRIBER)
    publisher.end(signal.SIGKILL)
    subscriber.error()
    assert subscriber.end(number) == (128 + number, "", "")


def test_the_second_signal_does_not_cut_the_leave_short(pynode: Commands) -> None:
    publisher = pynode.ready(*PUBLISHER)
    publisher.send(signal.SIGINT)
    publisher.send(signal.SIGTERM)
    assert publisher.end() in {(130, "", ""), (143, "", "")}
    assert pynode.run("names").out == ""


IMPORTED = (
    "argparse",
    "pynode.cli.parser",
    "pynode.cli.running",
    "pynode.node",
    "pynode.net.net",
    "pynode.pubsub",
    "pynode.pubsub.publisher",
)


@pytest.mark.parametrize("module", IMPORTED)
def test_ctrl_c_at_any_moment(pynode: Commands, module: str) -> None:
    """Interrupted at ever later moments: when a module is first looked for."""
    program = f"""
import os, signal, sys
from pynode.cli import main

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

for name in list(sys.modules):
    if name.split('.')[0] in ('pynode', 'argparse'):
        if name not in ('pynode', 'pynode.cli'):
            del sys.modules[name]
sys.meta_path.insert(0, Interrupt())
sys.exit(main({list(PUBLISHER)!r}))
"""
    assert pynode.start_python(["-c", program]).end() == (130, "", "")


def test_a_reader_that_goes(pynode: Commands) -> None:
    pynode.ready(*PUBLISHER)
    ours, theirs = os.pipe()
    subscriber = pynode.start_python(["-m", "pynode", *SUBSCRIBER], stdout=theirs)
    os.close(theirs)
    with open(ours, closefd=True) as stdout:
        assert stdout.readline().startswith("ready")
    assert pynode.run("publish", "a", "--connect", NODE1).code == 0
    assert subscriber.end() == (1, "", "pynode: nobody reads stdout any more")


def test_a_line_that_the_terminal_cannot_show(pynode: Commands) -> None:
    pynode.ready(*PUBLISHER)
    subscriber = pynode.ready(*SUBSCRIBER, PYTHONIOENCODING="ascii")
    assert pynode.run("publish", "ü", "--connect", NODE1).code == 0
    assert subscriber.line() == r"I have received: '\xfc'"


def test_without_epmd_on_an_agreed_port(pynode: Commands) -> None:
    """``ERL_DIST_PORT`` is the port of those that serve; what only asks listens elsewhere."""
    agreed = {"ERL_DIST_PORT": str(free_port()), "ERL_EPMD_PORT": "1"}
    pynode.ready(*PUBLISHER, **agreed)
    assert pynode.run("ping", NODE1, **agreed) == (0, "pong", "")
    assert pynode.run("publish", "a", "--connect", NODE1, **agreed).code == 0


@pytest.mark.parametrize(("words", "answer"), [((), atom.error), (("--shell",), atom.module)])
def test_the_shell_is_off_unless_it_is_asked_for(
    pynode: Commands, words: tuple[str, ...], answer: Atom
) -> None:
    pynode.ready(*PUBLISHER, *words)
    with NodeThread(lambda: pynode.cluster.py_node(hidden=True)) as node:
        found = node.rpc.call(NODE1, "code", "ensure_loaded", [atom.shell])
    assert found[0] == answer
