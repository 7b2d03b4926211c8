"""Supervisors, tasks and proc_lib of either language, used by the other one."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pynode import (
    ChildError,
    ChildSpec,
    DynamicSupervisor,
    Exit,
    GenServer,
    NoProcess,
    PartitionSupervisor,
    ServerStart,
    StartError,
    Stop,
    Supervisor,
    TaskExit,
    TaskOk,
    TaskSupervisor,
    init_ack,
    init_fail,
    self_,
)
from pynode.behaviours import gen
from pynode.node import Node
from pynode.policy import Action, deny
from pynode.process.current import process as current
from pynode.terms import ExportFun, Pid, atom, elixir
from pynode.testing import Beam, eventually

from .supervision import BEAMS_SIDE, OurSide, scenario

COUNTER = elixir("Counter")


class Counter(GenServer, module="Elixir.Counter"):
    def init(self, first: Any) -> None:
        if first == atom.refuse:
            raise Stop(atom.refused)
        self.count = first

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        match request:
            case atom.bump:
                self.count += 1
                return self.count
            case atom.dictionary:
                return self._body.dictionary()
            case (atom.stop, reason):
                raise Stop(reason, reply=atom.ok)


def expose_counter(node: Node) -> None:
    node.expose(COUNTER, {"start_link": ServerStart(Counter)})


SEEDS = range(300)


async def test_the_same_lives_as_under_otp(beam: Any, py_node: Any) -> None:
    """Random deaths, failing restarts and requests give the same trace on both sides."""
    ex: Beam = beam()
    await ex.aeval(BEAMS_SIDE)
    scenarios = [scenario(seed) for seed in SEEDS]
    logging.getLogger("pynode.process").setLevel(logging.CRITICAL)
    try:
        code = "Logger.configure(level: :none); Enum.map(s, fn one -> "
        code += "Task.await(Task.async(fn -> Scenario.run(one) end), :infinity) end)"
        theirs = await ex.aeval(code, s=scenarios, timeout=60)
        async with py_node() as node:
            ours = [await OurSide(node).run(*each) for each in scenarios]
    finally:
        logging.getLogger("pynode.process").setLevel(logging.NOTSET)
    for seed, one, other in zip(SEEDS, ours, theirs, strict=True):
        for step, (mine, otps) in enumerate(zip(one, other, strict=True)):
            assert mine == otps, (seed, step, scenario(seed))
    words = {note[0] for one in ours for entry in one[:-1] for note in entry[1]}
    assert words == {atom.started, atom.failed, atom.declined, atom.ended}
    assert any(entry[2] == atom.gone for one in ours for entry in one[:-1])


# --------------------------------------------------------------------------- from Elixir


async def test_elixir_asks_a_python_supervisor(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        expose_counter(node)
        top = await node.start(
            Supervisor,
            [
                ChildSpec(Counter, 10, name="one"),
                ChildSpec(DynamicSupervisor, id="many", restart="transient"),
            ],
            name="top",
        )

        async def run(code: str) -> Any:
            return await ex.aeval(f"s = {{:top, n}}; {code}", n=node.name, t=top)

        one, many = node.whereis("one"), (await node.supervisor.which_child(top, "many")).pid
        assert await run("Supervisor.which_children(s)") == [
            (atom.many, many, atom.supervisor, [elixir("DynamicSupervisor")]),
            (atom.one, one, atom.worker, [COUNTER]),
        ]
        counted = {atom.specs: 2, atom.active: 2, atom.supervisors: 1, atom.workers: 1}
        assert await run("Supervisor.count_children(s)") == counted
        assert await run(":supervisor.count_children(t)") == list(counted.items())
        ok, spec = await run(":supervisor.get_childspec(s, :one)")
        assert (ok, spec) == (
            atom.ok,
            {
                atom.id: atom.one,
                atom.start: (COUNTER, atom.start_link, [10]),
                atom.restart: atom.permanent,
                atom.significant: False,
                atom.shutdown: 5000,
                atom.type: atom.worker,
                atom.modules: [COUNTER],
            },
        )
        assert await run(":supervisor.get_childspec(s, :absent)") == (atom.error, atom.not_found)
        # OTP 29's, which any release can send.
        which = "GenServer.call(s, {:which_child, :one})"
        assert await run(which) == (atom.ok, (atom.one, one, atom.worker, [COUNTER]))
        assert await run("function_exported?(:supervisor, :which_child, 2)") in (True, False)

        # Children by name, of what is exposed.
        child = "%{id: :three, start: {Counter, :start_link, [3]}, restart: :transient}"
        ok, three = await run(f"Supervisor.start_child(s, {child})")
        assert (ok, await node.call(three, atom.bump)) == (atom.ok, 4)
        again = await run(f"Supervisor.start_child(s, {child})")
        assert again == (atom.error, (atom.already_started, three))
        assert await run("Supervisor.delete_child(s, :three)") == (atom.error, atom.running)
        assert await run("Supervisor.terminate_child(s, :three)") == atom.ok
        assert not node.runtime.is_alive(three)
        assert await run(f"Supervisor.start_child(s, {child})") == (
            atom.error,
            atom.already_present,
        )
        ok, pid = await run("Supervisor.restart_child(s, :three)")
        assert ok == atom.ok
        assert node.runtime.is_alive(pid)
        assert await run("Supervisor.restart_child(s, :three)") == (atom.error, atom.running)
        assert await run("Supervisor.terminate_child(s, :three)") == atom.ok
        assert await run("Supervisor.delete_child(s, :three)") == atom.ok
        assert await run("Supervisor.delete_child(s, :three)") == (atom.error, atom.not_found)

        # The old form of a spec; what cannot start, and what is no spec.
        old = "{:old, {Counter, :start_link, [1]}, :temporary, :brutal_kill, :worker, [Counter]}"
        ok, pid = await run(f":supervisor.start_child(s, {old})")
        assert ok == atom.ok
        await run("Supervisor.terminate_child(s, :old)")
        refused = "%{id: :no, start: {Counter, :start_link, [:refuse]}}"
        error, (reason, record) = await run(f":supervisor.start_child(s, {refused})")
        assert (error, reason) == (atom.error, atom.refused)
        assert record[:4] == (
            atom.child,
            atom.undefined,
            atom.no,
            (COUNTER, atom.start_link, [atom.refuse]),
        )
        error, (reason, _) = await run(":supervisor.start_child(s, %{id: 1, start: {A, :b, []}})")
        assert reason == (atom.EXIT, (atom.undef, [(elixir("A"), atom.b, [], [])]))
        for wrong, problem in (
            ("%{start: {A, :b, []}}", atom.missing_id),
            ("%{id: 1}", atom.missing_start),
            ("%{id: 1, start: :x}", (atom.invalid_mfa, atom.x)),
            ("%{id: 1, start: {A, :b, []}, restart: :x}", (atom.invalid_restart_type, atom.x)),
            ("%{id: 1, start: {A, :b, []}, shutdown: -1}", (atom.invalid_shutdown, -1)),
            ("%{id: 1, start: {A, :b, []}, shutdown: :x}", (atom.invalid_shutdown, atom.x)),
            ("%{id: 1, start: {A, :b, []}, type: :x}", (atom.invalid_child_type, atom.x)),
            ("%{id: 1, start: {A, :b, []}, modules: 1}", (atom.invalid_modules, 1)),
            ("%{id: 1, start: {A, :b, []}, modules: [1]}", (atom.invalid_module, 1)),
            ("%{id: 1, start: {A, :b, []}, significant: 1}", (atom.invalid_significant, 1)),
            (":x", (atom.invalid_child_spec, atom.x)),
        ):
            found = await run(f":supervisor.start_child(s, {wrong})")
            assert found == (atom.error, problem)
            # OTP says the same.
            theirs = await run(f":supervisor.check_childspecs([{wrong}])")
            assert theirs == (atom.error, problem)

        # As other processes are looked at, and as release handling looks at supervisors.
        assert await run(":supervisor.get_callback_module(t)") == elixir("Supervisor.Default")
        initial = await run(
            ':sys.get_status(t) |> elem(3) |> hd() |> Keyword.get(:"$initial_call")'
        )
        assert initial == (atom.supervisor, elixir("Supervisor.Default"), 1)
        assert await run("Supervisor.stop(s)") == atom.ok
        assert node.whereis("one") is None


async def test_elixir_asks_a_python_dynamic_supervisor(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        expose_counter(node)
        await node.start(DynamicSupervisor, name="many", max_children=2)
        await node.start(
            Supervisor,
            [ChildSpec.mfa("Elixir.Counter", "start_link")],
            strategy="simple_one_for_one",
            name="simple",
        )

        async def run(code: str) -> Any:
            return await ex.aeval(
                "s = {:many, n}; simple = {:simple, n}; "
                "c = fn x -> %{id: :any, start: {Counter, :start_link, [x]}} end; " + code,
                n=node.name,
            )

        _ok, pid = await run("DynamicSupervisor.start_child(s, c.(5))")
        assert await run("DynamicSupervisor.which_children(s)") == [
            (atom.undefined, pid, atom.worker, [COUNTER])
        ]
        assert await run("DynamicSupervisor.start_child(s, c.(:refuse))") == (
            atom.error,
            atom.refused,
        )
        _, other = await run("DynamicSupervisor.start_child(s, c.(6))")
        assert await run("DynamicSupervisor.start_child(s, c.(7))") == (
            atom.error,
            atom.max_children,
        )
        assert await run("DynamicSupervisor.count_children(s)") == {
            atom.specs: 2,
            atom.active: 2,
            atom.supervisors: 0,
            atom.workers: 2,
        }
        pids = "[{_, a, _, _}, _] = DynamicSupervisor.which_children(s); "
        assert await run(f"{pids} DynamicSupervisor.terminate_child(s, a)") == atom.ok
        assert await run("DynamicSupervisor.terminate_child(s, self())") == (
            atom.error,
            atom.not_found,
        )
        node.exit(other, atom.kill)
        ((_, third, _, _),) = await run("DynamicSupervisor.which_children(s)")
        assert third != other
        assert node.runtime.is_alive(third)
        assert await run("DynamicSupervisor.stop(s)") == atom.ok

        _, pid = await run(":supervisor.start_child(simple, [8])")
        assert await run(":supervisor.which_children(simple)") == [
            (atom.undefined, pid, atom.worker, [COUNTER])
        ]
        only = (atom.error, atom.simple_one_for_one)
        assert await run(":supervisor.restart_child(simple, :x)") == only
        assert await run(":supervisor.delete_child(simple, :x)") == only
        assert await run(":supervisor.terminate_child(simple, :x)") == only
        assert await run(
            "[{_, p, _, _}] = :supervisor.which_children(simple); "
            "{:supervisor.terminate_child(simple, p), :supervisor.terminate_child(simple, p), "
            ":supervisor.count_children(simple)}"
        ) == (
            atom.ok,
            atom.ok,
            [(atom.specs, 1), (atom.active, 0), (atom.supervisors, 0), (atom.workers, 0)],
        )


async def test_policy_is_asked_about_children_of_another_node(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node(policy=deny(Action.SPAWN)) as node:
        await node.connect(ex.name)
        expose_counter(node)
        await node.start(Supervisor, [], name="top")
        await node.start(DynamicSupervisor, name="many")
        await node.start(TaskSupervisor, name="tasks")
        node.runtime.resolver.expose(lambda: 1, module="Elixir.Work", name="one")

        async def run(code: str) -> Any:
            child = "%{id: :any, start: {Counter, :start_link, [1]}}"
            return await ex.aeval(f"c = {child}; {code}", n=node.name)

        refused = (atom.error, atom.notsup)
        assert await run("Supervisor.start_child({:top, n}, c)") == refused
        assert await run("DynamicSupervisor.start_child({:many, n}, c)") == refused
        assert (
            await run(
                "Task.Supervisor.start_child({:tasks, n}, Work, :one, [], restart: :permanent)"
            )
            == refused
        )
        code = "t = Task.Supervisor.async_nolink({:tasks, n}, Work, :one, []); Task.yield(t, 9000)"
        assert await run(code) == (atom.exit, atom.notsup)
        assert await node.supervisor.count_children("top") == (0, 0, 0, 0)


# --------------------------------------------------------------------------- tasks


async def test_elixir_uses_a_python_task_supervisor(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    seen: list[Any] = []

    async def double(x: Any) -> Any:
        seen.append(dict(current().dictionary))
        return x * 2

    def blocking(x: Any) -> Any:
        return (x, self_())

    async def fail() -> None:
        raise Exit(atom.failed)

    async with py_node() as node:
        await node.connect(ex.name)
        for function, blocks in ((double, False), (blocking, True), (fail, False)):
            node.runtime.resolver.expose(function, module="Elixir.Work", blocking=blocks)
        await node.start(TaskSupervisor, name="tasks")

        async def run(code: str) -> Any:
            return await ex.aeval(f"s = {{:tasks, n}}; {code}", n=node.name)

        code = "t = Task.Supervisor.async(s, Work, :double, [21]); {Task.await(t), self()}"
        answer, asker = await run(code)
        assert answer == 42
        (dictionary,) = seen
        assert dictionary[atom("$callers")][0] == asker
        assert dictionary[atom("$ancestors")] == [atom.tasks]
        assert dictionary[atom("$initial_call")] == (elixir("Work"), atom.double, 1)
        value, pid = await run("Task.await(Task.Supervisor.async(s, Work, :blocking, [7]))")
        assert value == 7
        assert pid.node == node.name
        captured = "Task.Supervisor.async(s, :erlang, :apply, [&Work.double/1, [4]])"
        assert await run(f"Task.await({captured})") == 8
        code = "t = Task.Supervisor.async_nolink(s, %s); Task.yield(t, 9000)"
        assert await run(code % "Work, :fail, []") == (atom.exit, atom.failed)
        exit_, reason = await run(code % "Work, :absent, [1]")
        assert reason == (atom.undef, [(elixir("Work"), atom.absent, [1], [])])
        exit_, ((reason, _), _) = await run(code % "fn -> 1 end")
        assert (exit_, reason) == (atom.exit, atom.closure_refused)
        streamed = "Task.Supervisor.async_stream_nolink(s, %s) |> Enum.to_list()"
        assert await run(streamed % "1..5, Work, :double, [], max_concurrency: 2") == [
            (atom.ok, 2 * number) for number in range(1, 6)
        ]
        assert await run(streamed % "[1, 2], &Work.double/1") == [(atom.ok, 2), (atom.ok, 4)]
        # Children: for their effects, again and again if that is asked for.
        seen.clear()
        ok, pid = await run("Task.Supervisor.start_child(s, Work, :double, [1])")
        assert ok == atom.ok
        await eventually(lambda: len(seen) == 1)
        ok, pid = await run(
            "Task.Supervisor.start_child(s, Work, :double, [1], restart: :permanent)"
        )
        await eventually(lambda: len(seen) >= 4)  # until it is too often
        await eventually(lambda: node.whereis("tasks") is None)


async def test_an_owner_that_goes_takes_its_waiting_task_along(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        await node.start(TaskSupervisor, name="tasks")
        pid = await ex.aeval(
            "owner = spawn(fn -> receive do :go -> :ok end end); "
            "{:ok, pid} = GenServer.call({:tasks, n}, "
            "{:start_task, [{node(), owner, owner}, :monitor], :temporary, 5000}); "
            "send(owner, :go); pid",
            n=node.name,
        )
        await eventually(lambda: not node.runtime.is_alive(pid))
        assert await node.task_supervisor.children("tasks") == []


async def test_python_uses_supervisors_of_elixir(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    await ex.aeval(
        """
        {:ok, _} = Task.start(fn ->
          {:ok, _} = Task.Supervisor.start_link(name: Tasks)
          {:ok, _} = DynamicSupervisor.start_link(name: Many)
          {:ok, _} = Supervisor.start_link([{Agent, fn -> 1 end}], strategy: :one_for_one,
            name: Top)
          Process.sleep(:infinity)
        end)
        for name <- [Tasks, Many, Top], do: (fn f -> f.(f) end).(fn f ->
          Process.whereis(name) || f.(f) end)
        """
    )
    async with py_node() as node:
        await node.connect(ex.name)
        top, many = ("Elixir.Top", ex.name), ("Elixir.Many", ex.name)
        tasks = ("Elixir.Tasks", ex.name)
        asked = node.supervisor
        (agent,) = await asked.which_children(top)
        assert (agent.id, agent.type, agent.modules) == (
            elixir("Agent"),
            atom.worker,
            [elixir("Agent")],
        )
        assert await asked.count_children(top) == (1, 1, 0, 1)
        spec = ChildSpec.mfa(
            "Elixir.Agent", "start_link", [elixir("Map"), atom.new, []], id="more",
            restart="temporary",
        )  # fmt: skip
        more = await asked.start_child(top, spec)
        assert more.node == ex.name
        assert (await asked.get_childspec(top, "more"))[atom.restart] == atom.temporary
        await asked.terminate_child(top, "more")
        with pytest.raises(ChildError) as refused:
            await asked.restart_child(top, "more")
        assert refused.value.reason == atom.not_found
        await asked.terminate_child(top, elixir("Agent"))
        assert (await asked.which_children(top))[0].pid is None
        with pytest.raises(TypeError, match="cannot be sent"):
            await asked.start_child(top, (Counter, 1))
        with pytest.raises(StartError):
            await asked.start_child(top, spec.replace(id="x").with_arguments(atom.a, atom.b))

        pid = await asked.start_dynamic_child(many, spec)
        assert [child.pid for child in await asked.which_children(many)] == [pid]
        await asked.terminate_child(many, pid)
        assert (await asked.count_children(many)).specs == 0

        there = node.task_supervisor
        task = await there.async_(tasks, ("Elixir.Enum", "sum"), [1, 2, 3])
        assert await task == 6
        task = await there.async_nolink(tasks, ExportFun("erlang", "error", 1), atom.bad)
        outcome = await task.yield_()
        assert isinstance(outcome, TaskExit)
        assert outcome.reason[0] == atom.bad
        names = ("Elixir.Integer", "to_string")
        found = [each async for each in there.async_stream(tasks, names, [1, 22])]
        assert found == [TaskOk(b"1"), TaskOk(b"22")]
        pid = await there.start_child(tasks, ("timer", "sleep"), atom.infinity)
        assert await there.children(tasks) == [pid]
        await there.terminate_child(tasks, pid)


# --------------------------------------------------------------------------- proc_lib


async def test_a_supervisor_of_a_beam_has_a_child_here(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    await ex.aeval(
        """
        defmodule Remote do
          def start_link(node, args) do
            pid = :proc_lib.spawn_link(node, Counter, :start_link, args)
            receive do
              {:ack, ^pid, answer} -> answer
              {:nack, ^pid, answer} -> answer
            end
          end
        end
        """
    )
    async with py_node() as node:
        await node.connect(ex.name)
        expose_counter(node)
        code = """
        me = self()
        spawn(fn ->
          child = %{id: :py, start: {Remote, :start_link, [n, [1]]}}
          {:ok, top} = Supervisor.start_link([child], strategy: :one_for_one)
          Process.register(top, Top)
          send(me, {:top, top, Supervisor.which_children(top)})
          Process.sleep(:infinity)
        end)
        receive do {:top, top, [{:py, pid, _, _}]} -> {top, pid} end
        """
        top, pid = await ex.aeval(code, n=node.name)
        assert pid.node == node.name
        assert await node.call(pid, atom.bump) == 2
        dictionary = await node.call(pid, atom.dictionary)
        assert dictionary[atom("$ancestors")][0] == top
        assert dictionary[atom("$initial_call")] == (COUNTER, atom.init, 1)
        await node.call(pid, (atom.stop, atom.crash))

        new = pid
        while type(new) is not Pid or new == pid:
            ((_, new, _, _),) = await node.call((elixir("Top"), ex.name), atom.which_children)
        assert await node.call(new, atom.bump) == 2
        # Its supervisor's end is its parent's.
        await ex.aeval("Supervisor.stop(Top)")
        await eventually(lambda: not node.runtime.is_alive(new))
        answer = await ex.aeval("Process.flag(:trap_exit, true); Remote.start_link(n, [:refuse])",
                                n=node.name)  # fmt: skip
        assert answer == (atom.error, atom.refused)
        # By erpc it is on its own.
        ok, pid = await ex.aeval(":erpc.call(n, Counter, :start_link, [5])", n=node.name)
        assert (ok, await node.call(pid, atom.bump)) == (atom.ok, 6)


async def test_init_ack_and_init_fail(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    seen: list[Any] = []

    async def begin(kind: Any) -> None:
        seen.append(dict(current().dictionary))
        if kind == atom.fail:
            init_fail((atom.error, atom.no), atom.normal)
        init_ack((atom.ok, self_()))
        await current().receive()

    async with py_node() as node:
        await node.connect(ex.name)
        node.runtime.resolver.expose(begin, module="my_server", name="begin")
        code = """
        pid = :proc_lib.spawn_link(n, :my_server, :begin, [kind])
        receive do {word, ^pid, answer} -> {word, answer, pid, self()} end
        """
        word, answer, pid, asker = await ex.aeval(code, n=node.name, kind=atom.good)
        assert (word, answer) == (atom.ack, (atom.ok, pid))
        assert seen[0][atom("$ancestors")][0] == asker
        assert seen[0][atom("$initial_call")] == (atom.my_server, atom.begin, 1)
        # The asker's name stands for it among the ancestors.
        named = "Process.register(self(), :asker); " + code
        word, answer, pid, _ = await ex.aeval(named, n=node.name, kind=atom.good)
        assert (word, answer) == (atom.ack, (atom.ok, pid))
        assert seen[1][atom("$ancestors")][0] == atom.asker
        word, answer, pid, asker = await ex.aeval(code, n=node.name, kind=atom.fail)
        assert (word, answer) == (atom.nack, (atom.error, atom.no))
        await eventually(lambda: not node.runtime.is_alive(pid))

        # And the other way round.
        await ex.aeval(
            """
            defmodule Slow do
              def begin(parent, :good) do
                :proc_lib.init_ack(parent, {:ok, self(), Process.get(:"$ancestors")})
                Process.sleep(:infinity)
              end
              def begin(_, :mute), do: Process.sleep(:infinity)
              def begin(_, :dead), do: exit(:dead)
            end
            """
        )
        me = node.main.pid

        async def start(kind: Any, **options: Any) -> Any:
            there = node.proc_lib.start
            return await there(ex.name, "Elixir.Slow", "begin", [me, kind], **options)

        ok, pid, ancestors = await start(atom.good)
        assert (ok, pid.node, ancestors) == (atom.ok, ex.name, [me])
        with pytest.raises(StartError) as failed:
            await start(atom.dead)
        assert failed.value.reason == atom.dead
        with pytest.raises(StartError) as failed:
            await start(atom.mute, timeout=0.05)
        assert failed.value.reason == atom.timeout


async def test_partitions_seen_from_elixir(beam: Any, py_node: Any) -> None:
    ex: Beam = beam()
    async with py_node() as node:
        await node.connect(ex.name)
        await node.start(PartitionSupervisor, (Counter, 1), name="parts", partitions=3)
        code = """
        pids = for {id, pid, :worker, _} <- Supervisor.which_children({:parts, n}), into: %{},
          do: {id, pid}
        GenServer.call(pids[rem(7, 3)], :bump)
        """
        assert await ex.aeval(code, n=node.name) == 2
        name = ("via", PartitionSupervisor, ("parts", 7))
        assert await node.call(name, atom.bump) == 3
        with pytest.raises(NoProcess):
            await node.call(("via", PartitionSupervisor, ("absent", 1)), atom.bump)
