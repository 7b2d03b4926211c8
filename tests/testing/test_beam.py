"""The launcher, on a real BEAM."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from pynode.terms import Atom, Pid, atom
from pynode.testing import Beam, BeamFailed, BeamMissing, BeamTimeout, Cluster, EvalError

StartBeam = Callable[..., Beam]

pytestmark = pytest.mark.beam


@pytest.fixture(params=["elixir", "erlang"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ---------------------------------------------------------------------- evaluating


def test_elixir_values_variables_and_bindings(beam: StartBeam) -> None:
    node = beam()
    assert node.eval("x = 1 + y", y=2) == 3
    assert node.eval('{x, ~c"abc", "déjà", nil}') == (3, [97, 98, 99], "déjà".encode(), None)
    assert node.eval('"déjà"', text=True) == "déjà"
    node.eval("alias String, as: S; import Enum, only: [sum: 1]")
    assert node.eval('{S.length("abc"), sum([1, 2])}') == (3, 3)
    assert node.elixir_version == node.eval("System.version()", text=True)


def test_erlang_values_variables_and_bindings(beam: StartBeam) -> None:
    node = beam(language="erlang")
    assert node.eval("X = 1 + Y", Y=2) == 3
    assert node.eval("{X, Y}.") == (3, 2)
    assert node.eval("Y", Y=7) == 7
    assert node.eval('io_lib:format("~ts", ["é"]), <<"é"/utf8>>') == "é".encode()
    assert node.elixir_version is None
    assert node.otp_release == int(node.eval("list_to_integer(erlang:system_info(otp_release))"))


def test_a_shell_is_one_process_with_a_mailbox(beam: StartBeam) -> None:
    node = beam()
    me = node.eval("self()")
    assert isinstance(me, Pid)
    assert me.node == node.name
    node.eval("send(self(), :kept)")
    assert node.eval("self()") == me
    assert node.eval("receive do x -> x end") == atom.kept
    other = node.shell()
    assert other.eval("self()") != me
    assert other.eval("binding()") == []


def test_an_error_is_told_as_the_node_tells_it(beam: StartBeam) -> None:
    node = beam()
    with pytest.raises(EvalError, match=r"\*\* \(ArgumentError\) oops") as info:
        node.eval('raise ArgumentError, "oops"')
    assert info.value.kind == "error"
    assert info.value.reason[atom.message] == b"oops"
    with pytest.raises(EvalError, match=r"\(throw\) :up"):
        node.eval("throw :up")
    with pytest.raises(EvalError) as info:
        node.eval("exit {:shutdown, 1}")
    assert (info.value.kind, info.value.reason) == ("exit", (atom.shutdown, 1))
    with pytest.raises(EvalError, match=r"TokenMissingError|SyntaxError"):
        node.eval("1 +")
    assert node.eval("1") == 1


def test_an_erlang_error_is_told_as_the_node_tells_it(beam: StartBeam) -> None:
    node = beam(language="erlang")
    with pytest.raises(EvalError, match="undefined function nowhere:f/0") as info:
        node.eval("nowhere:f()")
    assert info.value.reason == atom.undef
    assert info.value.stack[0][:2] == (atom.nowhere, atom.f)
    with pytest.raises(EvalError, match="syntax error"):
        node.eval("1 +")
    with pytest.raises(EvalError, match="unterminated"):
        node.eval('"abc')


def test_a_shell_that_dies_says_why_and_another_takes_its_place(
    beam: StartBeam, language: str
) -> None:
    node = beam(language=language)
    kill = "Process.exit(self(), :kill)" if language == "elixir" else "exit(self(), kill)"
    with pytest.raises(EvalError, match="ended: killed"):
        node.eval(kill)
    assert node.eval("1") == 1


def test_a_late_value_is_a_timeout_and_the_shell_is_given_up(beam: StartBeam) -> None:
    node = beam()
    me = node.eval("kept = self()")
    with pytest.raises(BeamTimeout, match=r"Process\.sleep.* had no value after 0\.2 s"):
        node.eval("Process.sleep(:infinity)", timeout=0.2)
    assert node.eval("self()") != me
    assert node.eval("Process.alive?(pid)", pid=me) is False


def test_user_output_never_mixes_with_values(beam: StartBeam) -> None:
    node = beam()
    code = 'for n <- 1..200, do: IO.write("\\0\\0\\0\\x01no newline #{n}"); :value'
    assert node.eval(code) == atom.value
    node.eval("IO.puts(:end)")
    assert "no newline 200" in node.wait_for_line("end")


def test_large_values_both_ways(beam: StartBeam) -> None:
    node = beam()
    big = os.urandom(3_000_000)
    assert node.eval("{byte_size(b), b}", b=big) == (len(big), big)


def test_rpc(beam: StartBeam, language: str) -> None:
    node = beam(language=language)
    assert node.rpc("erlang", "node") == node.name
    assert node.rpc("lists", "seq", [1, 3]) == [1, 2, 3]
    with pytest.raises(EvalError) as info:
        node.rpc("erlang", "exit", [atom.why])
    assert (info.value.kind, info.value.reason) == ("exit", atom.why)
    with pytest.raises(BeamTimeout, match="timer:sleep"):
        node.rpc("timer", "sleep", [atom.infinity], timeout=0.2)


async def test_the_async_twins_leave_the_loop_alone(beam: StartBeam) -> None:
    node = beam()
    waiting = asyncio.create_task(node.aeval("receive do x -> x end"))
    pid = await node.shell().aeval("Process.whereis(:init)")
    assert isinstance(pid, Pid)
    assert await node.arpc("erlang", "node") == node.name
    line = asyncio.create_task(node.await_line("from the shell"))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await node.aeval('IO.puts("from the shell"); 5') == 5
    assert await line == "from the shell"
    with pytest.raises(BeamTimeout):
        await node.aeval("Process.sleep(:infinity)", timeout=0.1)
    with pytest.raises(BeamTimeout):
        await node.arpc("timer", "sleep", [1_000_000], timeout=0.1)
    with pytest.raises(BeamTimeout, match="no line with 'never'"):
        await node.await_line("never", timeout=0.1)


async def test_a_timeout_that_held_the_loop_up_says_so(beam: StartBeam) -> None:
    node = beam()
    with pytest.raises(BeamTimeout, match="aeval"):
        node.eval("Process.sleep(:infinity)", timeout=0.1)


# ---------------------------------------------------------------------- life


def test_stop_is_in_good_order_and_kill_is_not(beam: StartBeam) -> None:
    node = beam()
    node.eval("System.at_exit(fn _ -> :ok end)")
    pid = node.os_pid
    node.stop()
    assert node.exit_status == 0
    assert not node.is_running
    node.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    node.start()
    assert node.eval("1") == 1
    node.kill()
    assert node.exit_status == -signal.SIGKILL
    with pytest.raises(BeamFailed, match="is not running"):
        node.eval("1")
    with pytest.raises(BeamFailed, match="is not running"):
        node.pause()


def test_what_it_started_goes_with_it(beam: StartBeam) -> None:
    node = beam(language="erlang")
    node.eval('P = open_port({spawn, "sleep 1000"}, [])')
    child = node.eval("{os_pid, N} = erlang:port_info(P, os_pid), N")
    node.kill()
    until_gone(child)


def test_the_end_of_a_node_reaches_whoever_waits(beam: StartBeam) -> None:
    node = beam()
    with pytest.raises(BeamFailed, match="ended with status 7") as info:
        node.eval('IO.puts("goodbye"); System.halt(7)')
    assert "goodbye" in str(info.value)
    with pytest.raises(BeamFailed, match="ended with status 7"):
        node.wait_for_line("never")
    assert node.wait_for_line("goodbye") == "goodbye"


def test_a_node_that_does_not_start_says_why(beam: StartBeam) -> None:
    with pytest.raises(BeamFailed, match="nodistribution"):
        beam("not a name")


@pytest.mark.elixir
def test_a_node_that_is_not_ready_in_time(cluster: Cluster) -> None:
    node = cluster.beam(start=False, arguments=("-eval", "timer:sleep(infinity)"))
    with pytest.raises(BeamTimeout, match="was not ready after"):
        node.start(timeout=1.0)
    assert not node.is_running


def test_pause_and_resume(beam: StartBeam) -> None:
    node = beam()
    node.pause()
    assert node.is_running
    with pytest.raises(BeamTimeout):
        node.rpc("erlang", "node", timeout=0.3)
    node.resume()
    assert node.rpc("erlang", "node") == node.name
    node.pause()  # and a paused node can be killed


def test_no_node_outlives_the_process_that_started_it() -> None:
    program = textwrap.dedent(
        """
        import os, signal
        from pynode.testing import Cluster
        cluster = Cluster()
        print(cluster.beam(language="erlang").os_pid, cluster.epmd_port, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    pid, port = map(int, done.stdout.split())
    until_gone(pid)
    marker = f"-port\0{port}\0".encode()
    while any(marker in command for command in _commands()):
        pass


def until_gone(pid: int) -> None:
    with suppress(ProcessLookupError, FileNotFoundError):
        while True:  # init may take a moment to reap it; the test has a time limit
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return


def _commands() -> list[bytes]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    found.append(file.read())
            except OSError:
                continue
    return found


# ---------------------------------------------------------------------- clusters


def test_nodes_of_one_cluster_meet_and_others_do_not(beam: StartBeam) -> None:
    one, two = beam("one"), beam("two", language="erlang")
    hidden = beam("hidden", hidden=True)
    assert one.name == Atom("one@localhost")
    assert one.rpc("net_adm", "ping", [two.name]) == atom.pong
    assert hidden.rpc("net_adm", "ping", [one.name]) == atom.pong
    assert one.eval("Node.list()") == [two.name]
    assert one.eval("Node.list(:hidden)") == [hidden.name]
    with Cluster() as other:
        stranger = other.beam("one", language="erlang")
        assert stranger.cookie != one.cookie
        assert stranger.rpc("net_adm", "ping", [two.name]) == atom.pang


def test_settings_reach_the_node(beam: StartBeam) -> None:
    node = beam(
        "long@127.0.0.1",
        language="erlang",
        cookie="a cookie with spaces",
        arguments=("-kernel", "net_ticktime", "8"),
        environment={"PYNODE_TEST": "yes", "HOME": None},
    )
    assert node.name == Atom("long@127.0.0.1")
    assert node.eval("net_kernel:longnames()") is True
    assert node.eval("erlang:get_cookie()") == Atom("a cookie with spaces")
    assert node.eval("net_kernel:get_net_ticktime()") == 8
    assert node.eval('os:getenv("PYNODE_TEST")') == list(b"yes")
    assert node.eval("application:get_env(kernel, inet_dist_use_interface)") == (
        atom.ok,
        (127, 0, 0, 1),
    )


def test_a_node_can_be_opened(beam: StartBeam) -> None:
    arguments = ("-kernel", "inet_dist_use_interface", "{0,0,0,0}")
    node = beam(language="erlang", arguments=arguments)
    assert node.eval("application:get_env(kernel, inet_dist_use_interface)") == (
        atom.ok,
        (0, 0, 0, 0),
    )
    with pytest.raises(ValueError, match="language is 'elixir' or 'erlang', not 'lfe'"):
        beam(language="lfe")


def test_epmd_can_go_and_come_back(cluster: Cluster) -> None:
    node = cluster.beam("kept", language="erlang")
    assert cluster.epmd is not None
    port = cluster.epmd.port
    cluster.epmd.stop()
    assert node.eval("erl_epmd:names(localhost)") == (atom.error, atom.address)
    cluster.epmd.start()
    assert cluster.epmd.port == port
    wait = (
        "Wait = fun Wait() -> case erl_epmd:names(localhost) of {ok, []} -> Wait(); X -> X end end"
    )
    kept = node.eval(f"{wait}, element(1, hd(element(2, Wait())))", text=True)
    assert bytes(kept) == b"kept"


def test_the_lines_are_counted(beam: StartBeam) -> None:
    node = beam()
    node.eval('for n <- 1..3, do: IO.puts("line #{n}")')
    assert node.wait_for_line("line", count=3) == "line 3"
    assert node.wait_for_line(re.compile(r"line [^1]$")) == "line 2"
    assert node.wait_for_line("line 3", timeout=5) == "line 3"
    assert [line for line in node.output if line.startswith("line")] == [
        "line 1",
        "line 2",
        "line 3",
    ]


# ---------------------------------------------------------------------- projects and releases


def test_a_project_is_compiled_started_and_configured(beam: StartBeam, tmp_path: Any) -> None:
    project = tmp_path / "shop"
    (project / "lib").mkdir(parents=True)
    (project / "config").mkdir()
    (project / "mix.exs").write_text(
        "defmodule Shop.MixProject do\n  use Mix.Project\n"
        '  def project, do: [app: :shop, version: "1.0.0"]\n'
        "  def application, do: [mod: {Shop, []}]\nend\n"
    )
    (project / "config/config.exs").write_text(
        "import Config\nconfig :shop, env: config_env(), colour: :red\n"
    )
    source = project / "lib/shop.ex"
    source.write_text(
        "defmodule Shop do\n  use Application\n"
        "  def start(_, _), do: Agent.start_link(fn -> 1 end, name: :till)\n"
        "  def answer, do: 42\nend\n"
    )
    node = beam(project=project)
    assert node.eval("{Shop.answer(), Agent.get(:till, & &1)}") == (42, 1)
    assert node.eval("Application.get_all_env(:shop) |> Enum.sort") == [
        (atom.colour, atom.red),
        (atom.env, atom.dev),
    ]
    source.write_text(source.read_text().replace("42", "43000"))
    assert beam(project=project).eval("Shop.answer()") == 43000
    source.write_text("defmodule Shop do\n  def broken(\nend\n")
    with pytest.raises(BeamFailed, match=r"does not compile[\s\S]*shop\.ex"):
        beam(project=project)
    with pytest.raises(BeamFailed, match="no Mix project 'nowhere'"):
        beam(project="nowhere")


# global tells a new node its names some time after the connection is up; :global.sync/0 may be
# too early to know of the node at all.
FIND_MANAGER = """
manager =
  Enum.find_value(Stream.repeatedly(fn -> Process.sleep(10) end), fn :ok ->
    case :global.whereis_name(~c"manager"), do: (:undefined -> nil; pid -> pid)
  end)
"""


def test_the_seed_in_three_nodes(beam: StartBeam) -> None:
    node1, node2, node3 = (beam(f"node{n}", project="elixir_side") for n in (1, 2, 3))
    node1.eval("{:ok, manager} = Publisher.start()")
    assert node1.eval(':global.register_name(~c"manager", manager)') == atom.yes
    for node in (node2, node3):
        assert node.eval("Node.connect(:node1@localhost)") is True
        node.eval(FIND_MANAGER)
        node.eval("{:ok, subscriber} = Subscriber.start()")
        alive = str(node.name).partition("@")[0]
        name = list(f"subs_{alive}".encode())
        node.eval("Publisher.subscribe(manager, name, subscriber)", name=name)
        node.eval("Publisher.subscribers(manager)")  # which it reads after the subscription
    for node in (node1, node2, node3):
        message = f"Hello !! from {node.name}"
        node.eval("Publisher.notify(manager, message)", message=message)
        assert node.wait_for_line(f"I have published: '{message}'")
        for reader in (node2, node3):
            assert reader.wait_for_line(f"I have received: '{message}'")


def test_an_unknown_release_is_missing(beam: StartBeam, cluster: Cluster) -> None:
    with pytest.raises(BeamMissing, match=r"no release 'otp17'.*PYNODE_BEAM_OTP17"):
        cluster.beam(release="otp17")


@pytest.mark.parametrize("release", ["trixie", "forky"])
def test_a_release_of_another_debian(beam: StartBeam, release: str) -> None:
    other = beam(release=release, project="elixir_side")
    assert other.otp_release == {"trixie": 27, "forky": 29}[release]
    other.eval("{:ok, manager} = Publisher.start()")
    assert other.eval("Publisher.subscribers(manager)") == {}
