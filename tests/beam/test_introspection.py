"""What the tools of a BEAM see of a Python node: etop, observer, c:ni, Process.info."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from pynode import GenServer
from pynode.process import Process
from pynode.terms import atom, charlist_text
from pynode.testing import Beam

MODULE = r"""
defmodule Look do
  @items ~w(backtrace binary catchlevel current_function current_location current_stacktrace
            dictionary error_handler fullsweep_after garbage_collection garbage_collection_info
            group_leader heap_size initial_call last_calls links max_heap_size memory
            message_queue_data message_queue_len messages min_bin_vheap_size min_heap_size
            monitored_by monitors parent priority reductions registered_name
            sequential_trace_token stack_size status suspending total_heap_size trace trap_exit
            label async_dist priority_messages)a

  @statistics ~w(active_tasks context_switches exact_reductions garbage_collection io reductions
                 run_queue run_queue_lengths runtime total_active_tasks total_run_queue_lengths
                 wall_clock)a

  @system ~w(alloc_util_allocators atom_count atom_limit build_type compat_rel creation
             debug_compiled dirty_cpu_schedulers dist_buf_busy_limit dist_ctrl driver_version
             dynamic_trace ets_count ets_limit fullsweep_after garbage_collection heap_type
             kernel_poll logical_processors machine message_queue_data min_heap_size
             multi_scheduling nif_version otp_release port_count port_limit port_parallelism
             process_count process_limit schedulers schedulers_online smp_support start_time
             system_architecture system_version thread_pool_size threads time_correction
             trace_control_word version wordsize)a

  def rpc(node, m, f, a) do
    :erpc.call(node, m, f, a)
  rescue
    e in ErlangError -> shape_error(e.original)
    ArgumentError -> :badarg
    FunctionClauseError -> :function_clause
    UndefinedFunctionError -> :undef
  catch
    kind, reason -> {kind, reason}
  end

  defp shape_error({:exception, reason, _}), do: reason
  defp shape_error(other), do: other

  # What kind of term it is; of tuples and maps, each part's.
  def shape({:file, f}) when is_list(f), do: {:file, :text}
  def shape(t) when is_tuple(t), do: t |> Tuple.to_list() |> Enum.map(&shape/1) |> List.to_tuple()
  def shape(m) when is_map(m), do: :map
  def shape(true), do: :boolean
  def shape(false), do: :boolean
  def shape(a) when is_atom(a), do: :atom
  def shape(n) when is_number(n), do: :number
  def shape(b) when is_binary(b), do: :binary
  def shape(p) when is_pid(p), do: :pid
  def shape(l) when is_list(l), do: :list

  def differences(node, theirs) do
    own = spawn(fn -> receive do: (:stop -> :ok) end)
    release = :erlang.system_info(:otp_release) |> List.to_integer()
    items = Enum.reject(@items, &((&1 in [:label, :async_dist] and release < 27) or
                                  (&1 == :priority_messages and release < 28) or
                                  &1 == :parent))
    calls =
      for(i <- items, do: {:process_info, [own, i], [theirs, i]}) ++
      for(i <- @statistics, do: {:statistics, [i], [i]}) ++
      for(i <- @system, do: {:system_info, [i], [i]}) ++
      [{:memory, [], []}, {:memory, [[:total]], [[:total]]}, {:nodes, [:this], [:this]},
       {:process_info, [own], [theirs]}, {:processes, [], []}, {:registered, [], []},
       {:whereis, [:nobody], [:nobody]}, {:whereis, [:rex], [:rex]}, {:ports, [], []},
       {:is_process_alive, [own], [theirs]},
       {:process_info, [own, [:status, :links]], [theirs, [:status, :links]]}]
    for {f, ours, those} <- calls,
        a = shape(rpc(node(), :erlang, f, ours)), b = shape(rpc(node, :erlang, f, those)), a != b,
        do: {f, those, a, b}
  end

  def errors(node, theirs) do
    dead = spawn(fn -> :ok end)
    ref = Process.monitor(dead)
    receive do: ({:DOWN, ^ref, _, _, _} -> :ok)
    bad = fn own ->
      [{:process_info, [own, :foo]}, {:process_info, [own, [:status, :foo]]},
       {:process_info, [own, [:status | :x]]}, {:process_info, [own, "status"]},
       {:process_info, [own, nil]}, {:process_info, [:a, :status]}, {:process_info, [:a]},
       {:process_info, [own, []]}, {:is_process_alive, [:a]}, {:is_process_alive, [[]]},
       {:whereis, ['a']}, {:whereis, [true]}, {:memory, [:foo]}, {:memory, [[]]},
       {:memory, [[:total, :foo]]}, {:memory, [[:total | :x]]}, {:system_info, [:foo]},
       {:system_info, [1]}, {:statistics, [[]]}, {:statistics, [:foo]}, {:nodes, [[]]},
       {:nodes, [[:foo]]}, {:nodes, [1]}, {:nodes, [[:visible | :x]]}, {:port_info, [:a]},
       {:module_loaded, [1]}, {:function_exported, [1, 2, 3]},
       {:function_exported, [:erlang, :node, 3]}, {:process_info, [own, :status, 1]}]
    end
    foreign = [{:process_info, [theirs]}, {:is_process_alive, [theirs]}]
    other = [{:process_info, [self()]}, {:is_process_alive, [self()]}]
    one = for {f, a} <- bad.(self()) ++ foreign, do: {f, rpc(node(), :erlang, f, a)}
    two = for {f, a} <- bad.(theirs) ++ other, do: {f, rpc(node, :erlang, f, a)}
    for {a, b} <- Enum.zip(one, two), a != b, do: {a, b}
  end

  # What observer does with a node, page by page.
  def observe(node, pid) do
    me = self()
    true = :rpc.call(node, :erlang, :function_exported, [:observer_backend, :procs_info, 1])
    sys = rpc(node, :observer_backend, :sys_info, [])
    for {count, limit} <- [atom_count: :atom_limit, process_count: :process_limit,
                           port_count: :port_limit, ets_count: :ets_limit],
        do: true = sys[count] / sys[limit] < 1
    [{_, [{_, _, [{_, [{:blocks, [{_, [{:size, s, _, _}]}]}, {:carriers_size, c, _, _}]}]}]}] =
      sys[:alloc_info]
    true = s / c <= 1
    lister = :erlang.spawn_link(node, :observer_backend, :procs_info, [me])
    rows = receive do: ({:procs_info, ^lister, rows} -> rows)
    stats = :erlang.spawn_link(node, :observer_backend, :fetch_stats, [me, 20])
    for _ <- 1..2, do: receive(do: ({:stats, _, [_ | _], {{_, _}, {_, _}}, [_ | _]} -> :ok))
    send(stats, :exit)
    0 = rpc(node, :erlang, :system_info, [:dirty_cpu_schedulers])
    [] = rpc(node, :observer_backend, :get_port_list, [])
    [] = rpc(node, :observer_backend, :get_socket_list, [])
    [] = rpc(node, :observer_backend, :get_table_list, [:ets, [sys_hidden: true]])
    {:error, text} = :rpc.call(node, :observer_backend, :get_table_list, [:mnesia, []])
    true = is_list(text)
    {length(rows), process_page(node, pid), applications(node)}
  end

  defp process_page(node, pid) do
    8 = rpc(node, :erlang, :system_info, [:wordsize])
    items = @items -- [:backtrace, :messages, :dictionary]
    facts = rpc(node, :erlang, :process_info, [pid, items])
    0 = facts[:garbage_collection][:min_heap_size]
    [] = facts[:binary]
    {:messages, []} = rpc(node, :erlang, :process_info, [pid, :messages])
    {:dictionary, [_ | _]} = rpc(node, :erlang, :process_info, [pid, :dictionary])
    {:current_stacktrace, [{_, _, _, [file: _, line: _]} | _]} =
      rpc(node, :erlang, :process_info, [pid, :current_stacktrace])
    {m, _, _} = :rpc.call(node, :proc_lib, :translate_initial_call, [pid])
    [behaviour: [b]] = :rpc.call(node, m, :module_info, [:attributes])
    {:status, ^pid, {:module, _}, [_, :running, _, _, [_, {:data, _}, {:data, _} | _]]} =
      :rpc.call(node, :sys, :get_status, [pid, 200])
    b
  end

  defp applications(node) do
    Process.flag(:trap_exit, true)
    {:ok, server} = :appmon_info.start_link(node, self(), [])
    :appmon_info.app_ctrl(server, node, true, [])
    :appmon_info.app(server, :pynode, true, [])
    apps = receive do: ({:delivery, ^server, :app_ctrl, ^node, apps} -> apps)
    {_root, _names, links, []} = receive do: ({:delivery, ^server, :app, :pynode, t} -> t)
    true = Process.exit(server, :normal)
    receive do: ({:EXIT, ^server, :normal} -> :ok)
    {for({_, name, {_, _, _}} <- apps, do: name), {'user', 'counter'} in links}
  end

  def captured(f) do
    {:ok, io} = StringIO.open("")
    me = self()
    pid = spawn(fn -> Process.group_leader(self(), io); f.(); send(me, {:done, self()}) end)
    receive do: ({:done, ^pid} -> :ok)
    {_, text} = StringIO.contents(io)
    text
  end

  # observer itself: choose the node in its menu, open each page, and a process's window.
  def observer(node, pid) do
    :ok = :observer.start()
    me = self()
    send(:observer, {:get_debug_info, me})
    {env, book} = receive do: ({:observer_debug, env, book, _} -> {env, book})
    :wx.set_env(env)
    state = :observer |> :sys.get_state() |> Enum.at(1) |> Tuple.to_list()
    nodes = Enum.find(state, &(is_list(&1) and node in &1))
    panels = Enum.find(state, &match?([{:sys_panel, _, _} | _], &1))
    chosen = 1001 + Enum.find_index(nodes, &(&1 == node))
    send(:observer, {:wx, chosen, nil, [], {:wxCommand, :command_menu_selected, [], 0, 0}})
    until(fn -> :observer_wx.get_active_node() == node end)
    titles =
      for {{name, panel, title}, at} <- Enum.with_index(panels) do
        :wxNotebook.setSelection(book, at)
        for _ <- 1..3, do: ^node = sync(panel, node)
        if name in [:perf_panel, :allc_panel], do: until(fn -> samples(elem(panel, 3)) > 1 end)
        title
      end
    send(:observer, {:open_link, pid})
    until(fn -> windows() != [] end)
    for window <- windows(), do: send(window, {:get_debug_info, me})
    pages = receive do: ({:procinfo_debug, pages} -> pages)
    count = :wxNotebook.getPageCount(pages)
    true = is_pid(Process.whereis(:observer))
    :observer.stop()
    {titles, count}
  end

  defp sync(panel, node) do
    :wx_object.call(panel, :get_config)
    :erpc.call(node, :erlang, :processes, [])
    :observer_wx.get_active_node()
  end

  # How often a page with charts has heard of the node.
  defp samples(panel) do
    state = panel |> :sys.get_state() |> Enum.at(1)
    Enum.find_value(Tuple.to_list(state), 0, fn
      {n, {a, b}} when is_integer(n) and is_list(a) and is_list(b) -> n
      _ -> nil
    end)
  end

  defp windows do
    for p <- Process.list(), {:observer_procinfo, _, _} <- [:proc_lib.translate_initial_call(p)],
        do: p
  end

  defp until(f, n \\ 400) do
    cond do
      f.() -> :ok
      n > 0 -> Process.sleep(25); until(f, n - 1)
    end
  end
end
"""


class Counter(GenServer):
    def init(self, count: int) -> None:
        self.count = count


async def idle(process: Process) -> None:
    await process.receive()


async def test_answers_are_those_of_a_beam(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    await ex.aeval(MODULE, timeout=60)
    async with py_node(introspection=True) as node:
        await node.connect(ex.name)
        pid = node.spawn(idle)
        given = {"n": node.name, "p": pid}
        assert await ex.aeval("Look.differences(n, p)", timeout=60, **given) == []
        assert await ex.aeval("Look.errors(n, p)", timeout=60, **given) == []
        alive = await ex.aeval(
            "{:rpc.pinfo(p) |> is_list(), :rpc.pinfo(p, :status),"
            " :erpc.call(n, Process, :info, [p, :status]), :erpc.call(n, Process, :alive?, [p]),"
            " node() in :erpc.call(n, Node, :list, [])}",
            **given,
        )
        waits = (atom.status, atom.waiting)
        assert alive == (True, waits, waits, True, True)
        node.exit(pid, atom.kill)
        gone = await ex.aeval(
            "{:rpc.pinfo(p), :erpc.call(n, Process, :info, [p]), :rpc.pinfo(p, :status)}", **given
        )
        assert gone == (atom.undefined, None, atom.undefined)


async def test_off_it_is_a_node_without_them(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        given = {"n": node.name, "p": node.main.pid}
        assert (
            await ex.aeval(
                "for {m, f, a} <- [{:erlang, :processes, []}, {:erlang, :process_info, [p]},"
                " {:observer_backend, :vsn, []}, {:sys, :get_state, [:rex]}],"
                " do: :rpc.call(n, m, f, a) |> then(fn {:badrpc, {:EXIT, {e, _}}} -> e end)",
                **given,
            )
            == [atom.undef] * 4
        )


async def test_tools(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    await ex.aeval(MODULE, timeout=60)
    async with py_node(introspection=True) as node:
        await node.connect(ex.name)
        counter = await node.start(Counter, 3, name="counter")
        given = {"n": node.name, "p": counter}

        count, behaviour, applications = await ex.aeval("Look.observe(n, p)", timeout=60, **given)
        assert count >= 9
        assert behaviour == atom.gen_server
        assert applications == ([atom.pynode], True)

        text = await ex.aeval(
            "Look.captured(fn -> :c.i(:rpc.call(n, :erlang, :processes, [])) end)",
            timeout=60,
            text=True,
            **given,
        )
        assert re.search(r"'Counter':init/1", text)
        text = await ex.aeval("Look.captured(&:c.nregs/0)", timeout=60, text=True)
        assert f"Registered procs on node {node.name}" in text.replace("'", "")
        assert re.search(r"^counter +<\d+\.\d+\.0> +'?\S*Counter'?:init/1", text, re.MULTILINE)
        text = await ex.aeval(
            "Look.captured(fn -> :rpc.call(n, :c, :i, []) end)", timeout=60, text=True, **given
        )
        assert f"<0.{counter.id}.0>" in text
        assert await ex.aeval(":erpc.call(n, :sys, :get_state, [:counter])", **given) == {
            atom.count: 3
        }
        pid = await ex.aeval(":erpc.call(n, :c, :pid, [0, i, 0])", i=counter.id, n=node.name)
        assert pid == counter


@pytest.fixture
def display() -> Iterator[str]:
    """A display that nobody sees."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed (xvfb)")
    ours, theirs = os.pipe()
    words = [program, "-displayfd", str(theirs), "-nolisten", "tcp", "-screen", "0", "1000x800x24"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, pass_fds=[theirs], stdout=quiet, stderr=quiet) as server:
        os.close(theirs)
        try:
            with open(ours, "rb") as number:
                yield f":{int(number.readline())}"
        finally:
            server.terminate()


async def test_observer(beam: Any, py_node: Any, display: str) -> None:
    ex: Beam = beam(environment={"DISPLAY": display, "HOME": "/tmp"})
    if not await ex.aeval("Code.ensure_loaded?(:observer) and Code.ensure_loaded?(:wx)"):
        pytest.skip("observer or wx is not installed (erlang-observer)")
    await ex.aeval(MODULE, timeout=60)
    async with py_node(introspection=True) as node:
        await node.connect(ex.name)
        counter = await node.start(Counter, 3, name="counter")
        given = {"n": node.name, "p": counter}
        titles, pages = await ex.aeval("Look.observer(n, p)", timeout=60, **given)
        assert {"System", "Processes", "Applications"} <= set(map(charlist_text, titles))
        assert pages == 5
