"""Each example is run, with what its own text says is typed on the other side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pynode.testing import Beam, Cluster, eventually

pytestmark = pytest.mark.beam

Start = Callable[..., Beam]
Example = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def example(cluster: Cluster) -> Iterator[Example]:
    """``example(name)``: run one of ``pynode.examples``."""
    started: list[subprocess.Popen[str]] = []

    def run(name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            # Where the tests run in the background of a script, Ctrl-C would be ignored.
            ["env", "--default-signal=INT", sys.executable, "-m", f"pynode.examples.{name}"],
            env=os.environ
            | {
                "ERL_EPMD_PORT": str(cluster.epmd_port),
                "PYNODE_COOKIE": cluster.cookie,
                "PYTHONWARNINGS": "error",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line of output."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C, and return what it wrote after that."""
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return output


def test_counter(beam: Start, example: Example) -> None:
    counter = example("counter")
    assert line(counter) == "counter is ready"
    someone = beam("someone")
    someone.eval("counter = {:counter, :py@localhost}")
    assert someone.eval("GenServer.call(counter, :bump)") == 11
    assert someone.eval("GenServer.call(counter, {:add, 5})") == 16
    someone.eval("GenServer.cast(counter, :reset)")
    assert someone.eval("GenServer.call(counter, :bump)") == 1
    assert interrupted(counter) == ""


def test_counter_crashes_as_elixir_expects(beam: Start, example: Example) -> None:
    counter = example("counter")
    assert line(counter) == "counter is ready"
    someone = beam("someone")
    code = 'catch_exit = try do GenServer.call({:counter, :py@localhost}, {:add, "five"})'
    reason = someone.eval(f"{code} catch :exit, reason -> Exception.format_exit(reason) end")
    assert b"exited in: GenServer.call({:counter, :py@localhost}" in reason
    assert b"function clause" in reason
    assert "FunctionClause" in line(counter)


def test_echo(beam: Start, example: Example) -> None:
    echo = example("echo")
    assert line(echo) == "echo is ready"
    someone = beam("someone")
    someone.eval('send({:echo, :py@localhost}, {self(), "Hello"})')
    answer = "receive do {pid, text} -> {node(pid), text} after 10_000 -> nil end"
    assert someone.eval(answer) == (someone.eval(":py@localhost"), b"Hello")
    someone.eval("send({:echo, :py@localhost}, :stop)")
    assert echo.wait(30) == 0


def test_hello(beam: Start, example: Example) -> None:
    hello = example("hello")
    assert line(hello) == "hello@localhost is up"
    someone = beam("someone")
    someone.eval('Node.spawn_link(:"hello@localhost", fn -> Hello.world end)')
    assert someone.wait_for_line("hello world") == "hello world"
    assert interrupted(hello) == ""


def test_calling(beam: Start, example: Example) -> None:
    node1 = beam("node1")
    node1.eval('{:ok, agent} = Agent.start(fn -> [] end); :global.register_name(~c"notes", agent)')
    calling = example("calling")
    assert calling.communicate(timeout=30)[0].splitlines() == [
        "node1@localhost says 6",
        "after a note: ['from Python']",
        "it has ended: killed",
    ]
    assert calling.returncode == 0


@pytest.mark.parametrize("name", ["calling", "subscriber", "threaded"])
def test_nobody_to_call(cluster: Cluster, example: Example, name: str) -> None:
    alone = example(name)
    output = alone.communicate(timeout=30)[0]
    assert alone.returncode == 1
    assert output.count("\n") == 1
    assert "no node named 'node1'" in output


async def test_subscriber(beam: Start, example: Example) -> None:
    node1 = beam("node1", project="elixir_side")
    node1.eval('{:ok, manager} = Publisher.start(); :global.register_name(~c"manager", manager)')
    subscriber = example("subscriber")
    assert line(subscriber).startswith("subscribed to #PID<node1@localhost.")
    await eventually(lambda: node1.eval("map_size(Publisher.subscribers(manager))") == 1)
    node1.eval('Publisher.notify(manager, "Hello !!")')
    assert line(subscriber) == "I have received: 'Hello !!'"
    assert interrupted(subscriber) == ""


def test_model(beam: Start, example: Example) -> None:
    model = example("model")
    assert line(model) == "primes is ready"
    someone = beam("someone")
    code = """
    task = Task.async(fn -> GenServer.call({:primes, :py@localhost}, {:below, 300_000}, 60_000) end)
    pong = Node.ping(:py@localhost)
    {pong, Task.await(task, 60_000)}
    """
    assert someone.eval(code, timeout=60) == (someone.eval(":pong"), 25_997)
    assert interrupted(model) == ""


def test_threaded(beam: Start, example: Example) -> None:
    beam("node1")
    threaded = example("threaded")
    assert threaded.communicate(timeout=30)[0].splitlines() == [
        "nodes of node1@localhost: ['py@localhost']",
        "the node has ticked while this program computed 1000000",
    ]
    assert threaded.returncode == 0
