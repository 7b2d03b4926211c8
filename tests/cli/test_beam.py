"""The commands with real Elixir nodes."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from pynode.testing import Beam, eventually
from tests.cli.conftest import Commands

pytestmark = pytest.mark.beam

Start = Callable[..., Beam]


async def test_python_is_the_publisher(beam: Start, pynode: Commands) -> None:
    node2 = beam("node2", project="elixir_side")
    publisher = pynode.ready("publisher", "--name", "py@localhost", "--connect", str(node2.name))
    node2.eval('manager = :global.whereis_name(~c"manager"); {:ok, pid} = Subscriber.start()')
    node2.eval('Publisher.subscribe(manager, ~c"subs_node2", pid)')
    node2.eval('Publisher.notify(manager, "Hello !!")')
    node2.wait_for_line("I have received: 'Hello !!'")
    done = pynode.run("publish", "Hello from a shell", "--connect", str(node2.name))
    assert done == (0, "I have published: 'Hello from a shell'", "")
    node2.wait_for_line("I have received: 'Hello from a shell'")
    assert publisher.end(signal.SIGTERM) == (143, "", "")
    await eventually(
        lambda: node2.eval(':global.whereis_name(~c"manager")') == node2.eval(":undefined")
    )


@pytest.mark.parametrize("hidden", [False, True], ids=["visible", "hidden"])
async def test_python_is_a_subscriber(beam: Start, pynode: Commands, hidden: bool) -> None:
    node1 = beam("node1", project="elixir_side")
    node1.eval('{:ok, manager} = Publisher.start(); :global.register_name(~c"manager", manager)')
    words = ["subscriber", "--name", "py@localhost", "--connect", str(node1.name)]
    subscriber = pynode.ready(*words, *(["--hidden"] if hidden else []))
    assert node1.eval("Node.list() == []") is hidden
    node1.eval('Publisher.notify(manager, "Hello !!")')
    assert subscriber.line() == "I have received: 'Hello !!'"
    assert node1.eval("Map.keys(Publisher.subscribers(manager))", text=True) == [
        [ord(character) for character in "subs_py"]
    ]
    assert subscriber.end(signal.SIGINT) == (130, "", "")
    await eventually(lambda: node1.eval("Publisher.subscribers(manager) == %{}"))


def test_publish_and_ping_are_not_seen(beam: Start, pynode: Commands) -> None:
    node1 = beam("node1", project="elixir_side")
    node1.eval('{:ok, manager} = Publisher.start(); :global.register_name(~c"manager", manager)')
    node1.eval(":net_kernel.monitor_nodes(true)")
    assert pynode.run("ping", str(node1.name)) == (0, "pong", "")
    assert pynode.run("publish", "a", "--connect", str(node1.name)).code == 0
    assert node1.eval("receive do x -> x after 0 -> nil end") is None


def test_publish_waits_until_a_publisher_that_lags_has_it(beam: Start, pynode: Commands) -> None:
    """A message of many fragments is in the mailbox when the command is done."""
    node1 = beam("node1", project="elixir_side")
    node1.eval('manager = self(); :global.register_name(~c"manager", manager)')
    message = "x" * 120_000
    assert pynode.run("publish", message, "--connect", str(node1.name)).code == 0
    size = 'receive do {:"$gen_cast", {:notify, m}} -> byte_size(m) after 0 -> :none end'
    assert node1.eval(size) == len(message)


def test_publish_is_no_success_when_the_publisher_is_dead(beam: Start, pynode: Commands) -> None:
    node1, node2 = beam("node1"), beam("node2")
    node1.eval("Node.connect(:node2@localhost); :global.sync()")
    pid = node2.eval("{pid, ref} = spawn_monitor(fn -> nil end); receive do _ -> pid end")
    # A name that outlives its process, as between a death and the news of it.
    insert = ':ets.insert(:global_names, {~c"manager", pid, :method, nil})'
    node1.eval(f":sys.replace_state(:global_name_server, fn s -> {insert}; s end)", pid=pid)
    outcome = pynode.run("publish", "a", "--connect", "node1@localhost")
    assert (outcome.code, outcome.err.count("\n")) == (1, 0)
    assert outcome.err.endswith("gone: noproc")


def test_a_subscriber_that_is_stopped_from_afar(beam: Start, pynode: Commands) -> None:
    node1 = beam("node1", project="elixir_side")
    node1.eval('{:ok, manager} = Publisher.start(); :global.register_name(~c"manager", manager)')
    words = ["subscriber", "--name", "py@localhost", "--connect", str(node1.name)]
    subscriber = pynode.ready(*words)
    node1.eval("[pid] = Map.values(Publisher.subscribers(manager)); Process.exit(pid, :kill)")
    assert subscriber.end() == (1, "", "pynode: the subscriber has ended: killed")


def test_a_publisher_that_is_stopped_from_afar(beam: Start, pynode: Commands) -> None:
    node1 = beam("node1")
    publisher = pynode.ready("publisher", "--connect", str(node1.name))
    node1.eval('GenServer.stop(:global.whereis_name(~c"manager"))')
    assert publisher.end() == (0, "", "")


def test_a_wrong_cookie(beam: Start, pynode: Commands) -> None:
    node1 = beam("node1", language="erlang")
    outcome = pynode.run("ping", str(node1.name), "--cookie", "wrong")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "pang", 0)
    assert "cookies differ" in outcome.err


def test_a_frozen_node_is_given_up(beam: Start, pynode: Commands) -> None:
    node1 = beam("node1", language="erlang")
    node1.pause()
    outcome = pynode.run("ping", str(node1.name))
    node1.resume()
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "pang", 0)
    assert str(node1.name) in outcome.err


def test_long_names(beam: Start, pynode: Commands) -> None:
    node1 = beam("node1@127.0.0.1", language="erlang")
    assert pynode.run("ping", str(node1.name)) == (0, "pong", "")
    outcome = pynode.run("ping", str(node1.name), "--name", "py@localhost")
    assert (outcome.code, outcome.out) == (1, "pang")
    assert "long" in outcome.err
