"""One supervisor's life told as a trace, by OTP's supervisor and by ours.

A scenario is the flags, the children and a list of steps; its trace has, for each step, what the
step was answered, what was started and ended by it and in which order, and ``which_children``
afterwards.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from pynode import ChildSpec, Exit, Ignore, StartError, StartIgnored, spawn_link
from pynode.behaviours import Supervisor, gen
from pynode.errors import CallExit
from pynode.node import Node
from pynode.process.process import Process
from pynode.terms import Atom, Pid, atom

IDS = ("a", "b", "c", "d", "e")
REASONS: tuple[Any, ...] = (
    atom.normal,
    atom.shutdown,
    (atom.shutdown, atom.why),
    atom.crash,
    atom.kill,
)
#: What a child's next starts do: fail so often; -1: decline once.
FAILURES = (1, 1, 2, 9, -1)
LONG = 1000
NOTHING = atom.undefined


def scenario(seed: int) -> tuple[Any, list[Any], list[Any]]:
    """Return flags, children ``(id, restart, significant)`` and steps, as terms."""
    dice = random.Random(seed)
    strategy = dice.choice(("one_for_one", "one_for_all", "rest_for_one"))
    auto = dice.choice(("never", "never", "any_significant", "all_significant"))
    flags = (Atom(strategy), dice.randint(1, 6), Atom(auto))

    def child(name: str) -> Any:
        restart = dice.choice(("permanent", "transient", "temporary"))
        significant = auto != "never" and restart != "permanent" and dice.random() < 0.6
        return (Atom(name), Atom(restart), significant)

    children = [child(name) for name in IDS[: dice.randint(1, 4)]]
    steps: list[Any] = []
    for _ in range(dice.randint(4, 10)):
        name = Atom(dice.choice(IDS))
        kind = dice.random()
        if kind < 0.5:
            steps.append((atom.die, name, dice.choice(REASONS)))
        elif kind < 0.65:
            steps.append((atom.fail, name, dice.choice(FAILURES)))
        elif kind < 0.75:
            steps.append((atom.terminate, name, NOTHING))
        elif kind < 0.82:
            steps.append((atom.restart, name, NOTHING))
        elif kind < 0.9:
            steps.append((atom.delete, name, NOTHING))
        else:
            steps.append((atom.start, name, child(str(name))))
    return flags, children, steps


BEAMS_SIDE = """
defmodule Kid do
  def start_link(id, log, table) do
    case :ets.lookup(table, id) do
      [{_, n}] when n > 0 ->
        :ets.insert(table, {id, n - 1})
        send(log, {:note, {:failed, id}})
        {:error, :nope}
      [{_, n}] when n < 0 ->
        :ets.insert(table, {id, n + 1})
        send(log, {:note, {:declined, id}})
        :ignore
      _ ->
        send(log, {:note, {:started, id}})
        top = self()
        pid = spawn_link(fn ->
          Process.flag(:trap_exit, true)
          send(top, {:ready, self()})
          loop(id, log)
        end)
        receive do {:ready, ^pid} -> {:ok, pid} end
    end
  end

  defp loop(id, log) do
    receive do
      {:EXIT, _, reason} -> send(log, {:note, {:ended, id, reason}}); exit(reason)
      {:die, reason} -> exit(reason)
    end
  end
end

defmodule Top do
  def init({flags, children}), do: {:ok, {flags, children}}
end

defmodule Scenario do
  def spec({id, restart, significant}, log, table) do
    %{id: id, start: {Kid, :start_link, [id, log, table]}, restart: restart,
      significant: significant}
  end

  def run({{strategy, intensity, auto}, children, steps}) do
    Process.flag(:trap_exit, true)
    table = :ets.new(:fails, [:public, :set])
    flags = %{strategy: strategy, intensity: intensity, period: 1000, auto_shutdown: auto}
    {:ok, top} = :supervisor.start_link(Top, {flags, Enum.map(children, &spec(&1, self(), table))})
    first = {:none, notes(), settled(top)}
    trace = [first | Enum.map(steps, fn step -> play(step, top, table) end)]
    if Process.alive?(top), do: (Process.exit(top, :shutdown))
    receive do {:EXIT, ^top, reason} -> trace ++ [{:end, reason, notes()}] end
  end

  defp play(step, top, table) do
    answer = try do play1(step, top, table) catch :exit, _ -> :gone end
    state = settled(top)
    {answer, notes(), state}
  end

  defp play1({:die, id, reason}, top, _) do
    case List.keyfind(:supervisor.which_children(top), id, 0) do
      {_, pid, _, _} when is_pid(pid) ->
        ref = Process.monitor(pid)
        if reason == :kill, do: Process.exit(pid, :kill), else: send(pid, {:die, reason})
        receive do {:DOWN, ^ref, _, _, _} -> :ok end
      _ -> :absent
    end
  end
  defp play1({:fail, id, n}, _, table), do: :ets.insert(table, {id, n})
  defp play1({:terminate, id, _}, top, _), do: plain(:supervisor.terminate_child(top, id))
  defp play1({:restart, id, _}, top, _), do: plain(:supervisor.restart_child(top, id))
  defp play1({:delete, id, _}, top, _), do: plain(:supervisor.delete_child(top, id))
  defp play1({:start, _, child}, top, table) do
    plain(:supervisor.start_child(top, spec(child, self(), table)))
  end

  defp plain({:ok, pid}) when is_pid(pid), do: :pid
  defp plain({:error, {:already_started, _}}), do: :already_started
  defp plain({:error, {reason, child}}) when elem(child, 0) == :child, do: {:failed, reason}
  defp plain(other), do: other

  defp settled(top) do
    children = :supervisor.which_children(top)
    pids = for {_, pid, _, _} <- children, is_pid(pid), do: pid
    restarting = Enum.any?(children, &(elem(&1, 1) == :restarting))
    if restarting or not Enum.all?(pids, &Process.alive?/1) do
      settled(top)
    else
      counts = :supervisor.count_children(top)
      {Enum.map(children, fn {id, pid, _, _} -> {id, is_pid(pid)} end), counts}
    end
  catch
    :exit, _ -> :gone
  end

  defp notes() do
    receive do {:note, note} -> [note | notes()] after 0 -> [] end
  end
end
"""


class OurSide:
    """Plays a scenario on our supervisor."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.notes: list[Any] = []
        self.failures: dict[Any, int] = {}

    def spec(self, child: Any) -> ChildSpec:
        name, restart, significant = child
        return ChildSpec.calling(
            self.start_kid, name, id=name, restart=str(restart), significant=significant
        )

    def start_kid(self, name: Any) -> Pid:
        left = self.failures.get(name, 0)
        if left > 0:
            self.failures[name] = left - 1
            self.notes.append((atom.failed, name))
            raise StartError(atom.nope)
        if left < 0:
            self.failures[name] = left + 1
            self.notes.append((atom.declined, name))
            raise Ignore
        self.notes.append((atom.started, name))
        return spawn_link(self.kid, name, trap_exit=True)

    async def kid(self, process: Process, name: Any) -> None:
        match await process.receive():
            case (atom.EXIT, _, reason):
                self.notes.append((atom.ended, name, reason))
                raise Exit(reason)
            case (atom.die, reason):
                raise Exit(reason)

    async def run(self, flags: Any, children: list[Any], steps: list[Any]) -> list[Any]:
        strategy, intensity, auto = flags
        top = await self.node.start(
            Supervisor,
            [self.spec(child) for child in children],
            strategy=str(strategy),
            max_restarts=intensity,
            max_seconds=LONG,
            auto_shutdown=str(auto),
        )
        with self.node.runtime.open_call(self.node.main, top) as slot:
            trace: list[Any] = [(atom.none, self.noted(), await self.settled(top))]
            for step in steps:
                try:
                    answer = await self.play(step, top)
                except CallExit:
                    answer = atom.gone
                state = await self.settled(top)
                trace.append((answer, self.noted(), state))
            if trace[-1][2] != atom.gone:
                await self.node.stop_server(top, atom.shutdown)
            with pytest.raises(CallExit) as down:
                await slot.wait()
        return [*trace, (atom.end, down.value.reason, self.noted())]

    def noted(self) -> list[Any]:
        found, self.notes = self.notes, []
        return found

    async def play(self, step: Any, top: Pid) -> Any:
        word, name, more = step
        if word == atom.fail:
            self.failures[name] = more
            return True
        if word == atom.die:
            return await self.die(name, more, top)
        request = {
            atom.terminate: (atom.terminate_child, name),
            atom.restart: (atom.restart_child, name),
            atom.delete: (atom.delete_child, name),
        }.get(word)
        if request is not None:
            return plain(await self.node.call(top, request, timeout=None))
        try:
            await self.node.supervisor.start_child(top, self.spec(more))
        except StartIgnored:
            return (atom.ok, NOTHING)
        except StartError as error:
            return plain((atom.error, error.reason))
        return atom.pid

    async def die(self, name: Any, reason: Any, top: Pid) -> Any:
        children = await self.node.supervisor.which_children(top)
        pid = next((child.pid for child in children if child.id == name), None)
        if pid is None:
            return atom.absent
        with self.node.runtime.open_call(self.node.main, pid) as slot:
            if reason == atom.kill:
                self.node.exit(pid, reason)
            else:
                self.node.send(pid, (atom.die, reason))
            with pytest.raises(CallExit):
                await slot.wait()
        return atom.ok

    async def settled(self, top: Pid) -> Any:
        call = gen.call
        main = self.node.main
        while True:
            try:
                children = await call(main, top, atom.which_children)
                counts = await call(main, top, atom.count_children)
            except CallExit:
                return atom.gone
            pids = [pid for _, pid, _, _ in children if type(pid) is Pid]
            waiting = any(pid == atom.restarting for _, pid, _, _ in children)
            if not waiting and all(self.node.runtime.is_alive(pid) for pid in pids):
                return [(name, type(pid) is Pid) for name, pid, _, _ in children], counts
            await asyncio.sleep(0)


def plain(answer: Any) -> Any:
    """Leave out of an answer what differs from run to run: pids."""
    match answer:
        case (atom.ok, Pid()):
            return atom.pid
        case (atom.error, (atom.already_started, _)):
            return atom.already_started
        case (atom.error, (reason, (atom.child, *_))):
            return (atom.failed, reason)
    return answer
