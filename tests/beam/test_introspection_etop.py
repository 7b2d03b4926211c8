"""``etop`` of each release against a Python node: what it shows, and what it leaves behind."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from typing import Any

import pytest

from pynode import GenServer
from pynode.process import Process
from pynode.terms import atom
from pynode.testing import Beam, eventually

MODULE = r"""
defmodule Top do
  # etop needs its modules, which some distributions leave out: from their source, if that is there.
  def available, do: Code.ensure_loaded?(:etop) or compile()

  defp compile do
    case Path.wildcard("#{:code.root_dir()}/lib/observer-*/src/etop.erl") do
      [] -> false
      [file | _] ->
        dir = String.trim(to_string(:os.cmd(~c"mktemp -d")))
        File.mkdir_p!(dir <> "/runtime_tools/include")
        record = "-record(etop_info, {now, n_procs, wall_clock, runtime, run_queue, " <>
          "alloc_areas, memi = [], procinfo = []}).\n" <>
          "-record(etop_proc_info, {pid, mem, reds, name, runtime = 0, cf, mq}).\n"
        File.write!(dir <> "/runtime_tools/include/observer_backend.hrl", record)
        File.write!(dir <> "/etop.hrl", record)
        for name <- ["etop", "etop_txt", "etop_tr"] do
          source = Path.join(Path.dirname(file), name <> ".erl")
          {:ok, m, code} = :compile.file(to_charlist(source), [:binary, {:i, to_charlist(dir)}])
          {:module, ^m} = :code.load_binary(m, to_charlist(source), code)
        end
        File.rm_rf!(dir)
        true
    end
  end

  # Start etop in a process of its own, whose group leader keeps what it prints.
  def start(node, options) do
    {:ok, io} = StringIO.open("")
    options = [node: node, interval: 1, lines: 100] ++ options
    {pid, ref} = spawn_monitor(fn -> Process.group_leader(self(), io); :etop.start(options) end)
    %{io: io, pid: pid, ref: ref}
  end

  # The lists that it has shown since the first `given`, once there are `count` of them.
  def lists(e, given, count, n \\ 600) do
    {_, text} = StringIO.contents(e.io)
    parts = ~r/^====+\n.*?^====+\n/ms |> Regex.scan(text) |> Enum.drop(given) |> Enum.concat()
    ref = e.ref
    cond do
      length(parts) >= count -> Enum.take(parts, count)
      n == 0 -> {:late, text}
      true ->
        receive do
          {:DOWN, ^ref, _, _, why} -> {:died, why, text}
        after
          50 -> lists(e, given, count, n - 1)
        end
    end
  end

  def stop(e) do
    :etop.stop()
    ref = e.ref
    receive do: ({:DOWN, ^ref, _, _, why} -> why)
  end

  # It ends by itself.
  def gone(e) do
    ref = e.ref
    receive do: ({:DOWN, ^ref, _, _, _} -> true)
  end

  def dump(n \\ 600) do
    file = String.trim(to_string(:os.cmd(~c"mktemp")))
    :etop.dump(file)
    text = until(fn -> text = File.read!(file); text =~ ~r/====\n.*====\n/s and text end, n)
    File.rm!(file)
    text
  end

  def tracer_gone(node), do: until(fn -> match?({:error, _}, :dbg.get_tracer(node)) end, 600)

  defp until(f, n) do
    f.() || if n > 0, do: (Process.sleep(50); until(f, n - 1)), else: :late
  end
end
"""


class Idle(GenServer):
    def init(self) -> None:
        pass


async def burn(process: Process) -> None:
    """Compute half of the time, on the loop."""
    while True:
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            pass
        await asyncio.sleep(0.02)


class Thinker(GenServer, blocking=True):
    """Computes in its thread as often as it is told to."""

    def init(self) -> None:
        pass

    def handle_cast(self, message: Any) -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Top:
    """One ``etop`` on ``beam`` that looks at a Python node."""

    def __init__(self, beam: Beam) -> None:
        self.beam = beam
        self._seen = 0

    async def ev(self, code: str, **given: Any) -> Any:
        return await self.beam.aeval(code, timeout=60, text=True, **given)

    async def start(self, node: Any, options: str = "[]", **given: Any) -> None:
        self._seen = 0
        await self.ev(f"e = Top.start(n, {options}); :ok", n=node.name, **given)

    async def lists(self, count: int) -> list[str]:
        """Return the next ``count`` lists that it shows."""
        shown = await self.ev(f"Top.lists(e, {self._seen}, {count})")
        assert isinstance(shown, list), shown
        self._seen += count
        assert not any("garbage" in text or "dropped" in text for text in shown), shown
        return shown

    async def rows(self, count: int) -> list[tuple[str, int]]:
        """Return names and microseconds of the last of the next ``count`` lists."""
        text = (await self.lists(count))[-1]
        found = re.findall(r"^<\d+\.\d+\.\d+> *(\S+) +(\d+|'-') ", text, re.MULTILINE)
        assert found, text
        return [(name, 0 if took == "'-'" else int(took)) for name, took in found]

    async def dump(self) -> Any:
        return await self.ev("Top.dump()")

    async def stop(self) -> Any:
        return await self.ev("Top.stop(e)")


@pytest.fixture
async def top(beam: Any) -> Top:
    ex: Beam = beam()
    await ex.aeval(MODULE, timeout=60)
    if not await ex.aeval("Top.available()", timeout=60):
        pytest.skip("neither etop nor its source is installed (erlang-observer, erlang-src)")
    return Top(ex)


async def test_who_burns_the_processor(top: Top, py_node: Any) -> None:
    async with py_node(introspection=True) as node:
        await node.connect(top.beam.name)
        await node.start(Idle, name="idle")
        node.spawn(burn, name="burner")
        thinker = await node.start(Thinker, name="thinker")
        port = free_port()

        await top.start(node, "[port: p]", p=port)
        [text] = await top.lists(1)
        assert re.search(rf"^ '?{node.name}'? .*\d\d:\d\d:\d\d", text, re.MULTILINE)
        assert re.search(r"procs +\d+ +processes +\d+", text)
        for _ in range(60):
            node.cast(thinker, atom.think)
        rows = await top.rows(2)
        times = dict(rows)
        assert {"idle", "rex", "net_kernel"} <= set(times)
        assert times["burner"] > 50_000
        assert times["thinker"] > 50_000
        assert times["idle"] == 0
        assert {name for name, _ in rows[:2]} == {"burner", "thinker"}
        for sort in ("memory", "reductions", "msg_q"):
            assert await top.ev(f":etop.config(:sort, :{sort})") == atom.ok
        await top.lists(2)
        assert "burner" in await top.dump()
        assert await top.stop() == atom.normal
        await eventually(lambda: can_listen(port), timeout=30)
        assert node.runtime.scheduler.on_turn is None

        # Another one, which is not stopped: its node goes.
        await top.start(node, "[port: p, accumulate: true]", p=port)
        assert dict(await top.rows(3))["burner"] > 50_000
        assert not can_listen(port)
        top.beam.kill()
        await eventually(lambda: can_listen(port), timeout=30)
        assert node.runtime.scheduler.on_turn is None


async def test_stopped_node_and_other_tracers(top: Top, py_node: Any) -> None:
    async with py_node(introspection=True) as node:
        await node.connect(top.beam.name)
        # What cannot be traced here is refused, and nobody waits for ever.
        await top.ev(":dbg.start(); :ok")
        given = {"n": node.name, "p": free_port()}
        others = (":process, {fn _, _ -> :ok end, 1}", ":port, :dbg.trace_port(:file, ~c(x))")
        for tracer in others:
            assert await top.ev(f":dbg.tracer(n, {tracer})", **given) == (atom.ok, node.name)
            assert await top.ev("Top.tracer_gone(n)", **given) is True
        traced = await top.ev(
            ":dbg.tracer(n, :port, :dbg.trace_port(:ip, {p, 5000})); :dbg.p(:all, [:c])", **given
        )
        assert traced[0] == atom.ok
        assert traced[1][0][:3] == (atom.matched, node.name, 0)
        (_, [(_, _, count)]) = await top.ev(":dbg.p(:all, [:running])")
        assert count >= len(node.runtime.processes())
        assert await top.ev(":dbg.flush_trace_port(n)", **given) == atom.ok
        await top.ev(":dbg.stop()")
        await eventually(lambda: can_listen(given["p"]), timeout=30)

        await top.start(node, "[port: p, tracing: :off]", p=given["p"])
        rows = await top.rows(2)
        assert {"rex", "net_kernel"} <= {name for name, _ in rows}
        assert await top.stop() == atom.normal
        await eventually(lambda: can_listen(given["p"]), timeout=30)

        await top.start(node, "[port: p]", p=given["p"])
        await top.lists(1)
    # The node has stopped.
    assert can_listen(given["p"])
    assert await top.ev("Top.gone(e)") is True


def can_listen(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen()
        except OSError:
            return False
    return True
