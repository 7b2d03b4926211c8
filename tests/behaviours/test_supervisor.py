"""Supervisor: children of every kind, strategies, restarts, ends, requests, reports."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from pynode.behaviours import (
    Agent,
    ChildSpec,
    DynamicSupervisor,
    GenEventHandler,
    GenEventManager,
    GenServer,
    GenStatem,
    ServerStart,
    Supervisor,
    Task,
    gen,
    start,
    sys,
)
from pynode.errors import (
    AlreadyStarted,
    CallExit,
    ChildError,
    Exit,
    Ignore,
    NoProcess,
    RemoteError,
    StartError,
    StartIgnored,
    Stop,
)
from pynode.process.current import spawn_link
from pynode.process.process import Process
from pynode.process.runtime import Runtime
from pynode.terms import Atom, ExportFun, Pid, Reference, atom, elixir
from pynode.testing import eventually

from .helpers import DEADLINE, Echo, is_clean, reason_of_death
from .supervised import Clients, Noted, reports, waiting
from .test_gen_client import Table

Notes = list[Any]


@pytest.fixture
def clients(runtime: Runtime) -> Clients:
    return Clients(runtime)


def noted(notes: Notes, *names: str, **options: Any) -> list[ChildSpec]:
    return [ChildSpec(Noted, notes, name, id=name, **options) for name in names]


def alive(runtime: Runtime) -> list[Process]:
    return [process for process in runtime.processes() if process is not runtime.main]


# --------------------------------------------------------------------------- what a child can be


class Blocking(GenServer, blocking=True):
    def init(self, *args: Any) -> None:
        self.args = args

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return threading.current_thread() is not threading.main_thread()


class Events(GenEventHandler):
    pass


class Machine(GenStatem):
    def init(self) -> Any:
        return atom.idle


class Inner(Supervisor, strategy="one_for_all"):
    def init(self) -> Any:  # type: ignore[override]
        return [Echo]


class Own(Echo, module="Elixir.Own"):
    @classmethod
    def child_spec(cls, number: int) -> ChildSpec:
        return ChildSpec(cls, id=(atom.own, number), restart="transient")


KINDS: dict[str, tuple[Any, Any, str, Any]] = {
    "class": (Echo, atom.Echo, "worker", [atom.Echo]),
    "class and arguments": ((Blocking, 1, 2), atom.Blocking, "worker", [atom.Blocking]),
    "agent": ((Agent, dict), elixir("Agent.Server"), "worker", [elixir("Agent.Server")]),
    "manager": (ChildSpec(GenEventManager, id="m"), atom.m, "worker", atom.dynamic),
    "handler": (ChildSpec(Events, id="h"), atom.h, "worker", atom.dynamic),
    "state machine": (Machine, atom.Machine, "worker", [atom.Machine]),
    "function": (waiting, atom.waiting, "worker", [atom(waiting.__module__)]),
    "function and arguments": (
        ChildSpec(waiting, 1, key=2),
        atom.waiting,
        "worker",
        [atom(waiting.__module__)],
    ),
    "supervisor": (Inner, atom.Inner, "supervisor", [atom.Inner]),
    "dynamic supervisor": (
        DynamicSupervisor,
        elixir("DynamicSupervisor"),
        "supervisor",
        [elixir("DynamicSupervisor")],
    ),
    "task": ((Task, asyncio.sleep, 60), elixir("Task"), "worker", [elixir("Task")]),
    "class with a spec": ((Own, 7), (atom.own, 7), "worker", [elixir("Own")]),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_kinds_of_children(runtime: Runtime, clients: Clients, kind: str) -> None:
    child, name, type_, modules = KINDS[kind]
    top = await start(runtime, Supervisor, [child])
    (found,) = await clients.supervisor.which_children(top)
    assert found.id == name
    assert (found.type, found.modules) == (Atom(type_), modules)
    assert found.pid is not None
    process = runtime.local(found.pid)
    assert process is not None
    assert process.links is not None
    assert top in process.links
    assert await clients.supervisor.count_children(top) == (
        1, 1, type_ == "supervisor", type_ == "worker",
    )  # fmt: skip
    await gen.stop(runtime.main, top)
    assert not runtime.is_alive(found.pid)
    assert is_clean(runtime.main)


async def test_children_by_a_function_and_by_name(runtime: Runtime, clients: Clients) -> None:
    async def linked() -> Pid:
        await asyncio.sleep(0)
        return spawn_link(waiting)

    async def unlinked(*args: Any, **kwargs: Any) -> Any:
        assert (args, kwargs) == ((1,), {"key": 2})
        return (atom.ok, await start(runtime, Echo), atom.info)

    runtime.resolver.expose(Echo, module="Elixir.Echo", name="start_link", arity=0)
    runtime.resolver.expose(unlinked, module="m", name="f", arity=1)
    runtime.resolver.expose(
        lambda: runtime.spawn(waiting).pid, module="m", name="in_thread", arity=0, blocking=True
    )
    runtime.resolver.expose(lambda: atom.ignore, module="m", name="ignore")
    runtime.resolver.expose(ServerStart(Echo, name="served"), module="m", name="served", arity=0)
    top = await start(
        runtime,
        Supervisor,
        [
            ChildSpec.calling(linked),
            ChildSpec.calling(unlinked, 1, key=2, id="unlinked"),
            ChildSpec.mfa("Elixir.Echo", "start_link"),
            ChildSpec.mfa("m", "ignore", id="none"),
            ChildSpec.mfa("m", "served", id="served"),
        ],
    )
    before = await clients.pids(top)
    assert before[atom.none] == atom.undefined
    assert before[atom.served] == runtime.whereis("served")
    for name in (atom.linked, atom.unlinked, elixir("Echo"), atom.served):
        # All are linked, also one whose function did not care to.
        runtime.exit(runtime.main, before[name], atom.kill)
    # Four restarts in no time are one too many.
    assert await reason_of_death(runtime, top) in (atom.shutdown, atom.noproc)


class Kinds:
    """Start functions that fail, each in its way."""

    @staticmethod
    def error() -> Any:
        return (atom.error, atom.no)

    @staticmethod
    def odd() -> Any:
        return 17

    @staticmethod
    def raises() -> Any:
        raise ValueError("no")

    @staticmethod
    def exits() -> Any:
        raise Exit(atom.no)

    @staticmethod
    def start_error() -> Any:
        raise StartError(atom.no)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("error", atom.no),
        ("odd", 17),
        ("raises", (atom.EXIT, ((atom.python_error, atom.ValueError, b"no"), None))),
        ("exits", (atom.EXIT, atom.no)),
        ("start_error", atom.no),
    ],
)
async def test_start_functions_that_fail(runtime: Runtime, name: str, reason: Any) -> None:
    spec = ChildSpec.calling(getattr(Kinds, name), id="x")
    with pytest.raises(StartError) as failed:
        await start(runtime, Supervisor, [spec])
    shutdown, (why, child, found) = failed.value.reason
    assert (shutdown, why, child) == (atom.shutdown, atom.failed_to_start_child, atom.x)
    if name == "raises":
        assert found[1][0] == reason[1][0]
    else:
        assert found == reason


# --------------------------------------------------------------------------- order


async def test_started_in_order_ended_in_reverse(runtime: Runtime) -> None:
    notes: Notes = []
    top = await start(runtime, Supervisor, noted(notes, "a", "b", "c"))
    assert notes == [("started", "a"), ("started", "b"), ("started", "c")]
    del notes[:]
    await gen.stop(runtime.main, top)
    assert notes == [("ended", name, atom.shutdown) for name in ("c", "b", "a")]


async def test_the_stop_of_the_node_ends_trees_in_their_order(runtime: Runtime) -> None:
    notes: Notes = []

    class Slow(Noted):
        async def terminate(self, reason: Any) -> None:  # type: ignore[override]
            await asyncio.sleep(0.01)
            super().terminate(reason)

    slow = ChildSpec(Slow, notes, "slow")
    inner = ChildSpec(Supervisor, noted(notes, "c", "d"), id="inner")
    await start(runtime, Supervisor, [*noted(notes, "a"), inner, slow, *noted(notes, "e")])
    orphans = await start(runtime, Supervisor, noted(notes, "orphan"))
    boss = runtime.local(orphans)
    assert boss is not None
    for child in list(boss.links or ()):
        runtime.unlink(boss, child)
    boss.body.instance.terminate = _die  # type: ignore[union-attr]
    del notes[:]
    await runtime.stop(DEADLINE)
    names = [name for word, name, *_ in notes if word == "ended"]
    assert [name for name in names if name != "orphan"] == ["e", "slow", "d", "c", "a"]
    # Whose supervisor does not do its duty is told all the same.
    assert "orphan" in names
    assert all(note[2] == atom.shutdown for note in notes)


async def _die(reason: Any) -> None:
    raise Exit(atom.lazy)


async def test_a_tree_that_hangs_is_killed_in_the_end(runtime: Runtime) -> None:
    async def deaf(process: Process) -> None:
        process.trap_exit = True
        while True:
            await process.receive()

    top = await start(runtime, Supervisor, [ChildSpec(deaf, shutdown=None)])
    process = runtime.local(top)
    assert process is not None
    await runtime.stop(0.05)
    assert process.exit_reason == atom.killed


async def test_the_parents_exit_ends_the_tree(runtime: Runtime) -> None:
    notes: Notes = []
    parent = runtime.spawn(None)
    top = await start(runtime, Supervisor, noted(notes, "a"), link_to=parent.pid)
    runtime.exit(runtime.main, parent.pid, atom.over)
    assert await reason_of_death(runtime, top) in (atom.over, atom.noproc)
    assert notes[-1] == ("ended", "a", atom.shutdown)


async def test_a_killed_supervisor_takes_its_children_along(
    runtime: Runtime, clients: Clients
) -> None:
    top = await start(runtime, Supervisor, [waiting, Echo])
    pids = await clients.pids(top)
    runtime.exit(runtime.main, top, atom.kill)
    assert not any(runtime.is_alive(pid) for pid in pids.values())


# --------------------------------------------------------------------------- strategies


@pytest.mark.parametrize(
    ("strategy", "restarted", "ended"),
    [
        ("one_for_one", "b", ""),
        ("rest_for_one", "bcd", "dc"),
        ("one_for_all", "abcd", "dca"),
    ],
)
async def test_who_is_restarted_with_whom(
    runtime: Runtime, clients: Clients, strategy: str, restarted: str, ended: str
) -> None:
    notes: Notes = []
    top = await start(runtime, Supervisor, noted(notes, *"abcd"), strategy=strategy)
    before = await clients.pids(top)
    del notes[:]
    clients.gen.cast(before[atom.b], atom.crash)
    new = await clients.restarted(top, before)
    assert list(new) == [Atom(name) for name in restarted]
    assert notes == [
        ("ended", "b", atom.crash),
        *(("ended", name, atom.shutdown) for name in ended),
        *(("started", name) for name in restarted),
    ]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize(
    "reason", [atom.normal, atom.shutdown, (atom.shutdown, 1), atom.crash], ids=repr
)
async def test_which_ends_are_followed_by_a_restart(
    runtime: Runtime, clients: Clients, restart: str, reason: Any
) -> None:
    top = await start(runtime, Supervisor, [ChildSpec(waiting, restart=restart), Echo])
    before = await clients.pids(top)
    runtime.send(runtime.main, before[atom.waiting], reason)
    if restart == "permanent" or (restart == "transient" and reason == atom.crash):
        assert list(await clients.restarted(top, before)) == [atom.waiting]
        return
    assert await reason_of_death(runtime, before[atom.waiting]) in (reason, atom.noproc)
    after = await clients.pids(top)
    if restart == "transient":
        assert after == {**before, atom.waiting: atom.undefined}
        counts = await clients.supervisor.count_children(top)
        assert (counts.specs, counts.active) == (2, 1)
    else:
        assert after == {atom.Echo: before[atom.Echo]}


async def test_too_many_restarts(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    notes: Notes = []
    top = await start(runtime, Supervisor, noted(notes, "a", "b"), max_restarts=2, max_seconds=60)
    for _ in range(2):
        before = await clients.pids(top)
        clients.gen.cast(before[atom.a], atom.crash)
        await clients.restarted(top, before)
    with runtime.open_call(runtime.main, top) as slot:
        clients.gen.cast((await clients.pids(top))[atom.a], atom.crash)
        with pytest.raises(CallExit) as ended:
            await slot.wait(DEADLINE)
    assert ended.value.reason == atom.shutdown
    assert notes[-1] == ("ended", "b", atom.shutdown)
    last = reports(caplog)[-1]
    assert (last["errorContext"], last["reason"]) == (
        atom.shutdown,
        atom.reached_max_restart_intensity,
    )


async def test_restarts_of_long_ago_do_not_count(
    runtime: Runtime, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("pynode.behaviours.supervised.monotonic", lambda: now)
    top = await start(runtime, Supervisor, [waiting], max_restarts=1, max_seconds=5)
    for _ in range(4):
        before = await clients.pids(top)
        runtime.send(runtime.main, before[atom.waiting], atom.crash)
        await clients.restarted(top, before)
        now += 5.1


class Flaky(GenServer):
    """Starts when it is allowed to."""

    def init(self, allowed: asyncio.Event, tries: Notes) -> None:
        tries.append(None)
        if not allowed.is_set():
            raise Stop(atom.not_yet)

    def handle_cast(self, request: Any) -> None:
        raise Exit(request)


async def test_a_restart_that_fails_is_tried_again_and_counts(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    allowed = asyncio.Event()
    tries: Notes = []
    allowed.set()
    top = await start(
        runtime, Supervisor, [(Flaky, allowed, tries)], max_restarts=50, max_seconds=60
    )
    before = await clients.pids(top)
    allowed.clear()
    clients.gen.cast(before[atom.Flaky], atom.crash)
    child = await clients.supervisor.which_child(top, "Flaky")
    async with asyncio.timeout(DEADLINE):
        while len(tries) < 5:  # it can be asked meanwhile
            child = await clients.supervisor.which_child(top, "Flaky")
    assert child.child == atom.restarting
    assert child.pid is None
    assert (await clients.supervisor.count_children(top)).active == 0
    for refused in (clients.supervisor.restart_child, clients.supervisor.delete_child):
        with pytest.raises(ChildError) as error:
            await refused(top, "Flaky")
        assert error.value.reason == atom.restarting
    allowed.set()
    await clients.restarted(top, before)
    contexts = [report["errorContext"] for report in reports(caplog)]
    assert contexts[0] == atom.child_terminated
    assert set(contexts[1:]) == {atom.start_error}
    assert 3 <= len(contexts[1:]) <= len(tries)
    # And in the end it is too often.
    allowed.clear()
    with runtime.open_call(runtime.main, top) as slot:
        clients.gen.cast((await clients.pids(top))[atom.Flaky], atom.crash)
        with pytest.raises(CallExit) as ended:
            await slot.wait(DEADLINE)
    assert ended.value.reason == atom.shutdown
    assert 50 <= len(tries) <= 53


async def test_a_child_that_is_restarting_can_be_given_up(
    runtime: Runtime, clients: Clients
) -> None:
    allowed = asyncio.Event()
    tries: Notes = []
    allowed.set()
    top = await start(runtime, Supervisor, [(Flaky, allowed, tries)], max_restarts=10**6)
    allowed.clear()
    clients.gen.cast((await clients.pids(top))[atom.Flaky], atom.crash)
    async with asyncio.timeout(DEADLINE):
        while (await clients.pids(top))[atom.Flaky] != atom.restarting:
            pass  # each question is a turn of the supervisor's
    await clients.supervisor.terminate_child(top, "Flaky")
    before = len(tries)
    assert (await clients.pids(top))[atom.Flaky] == atom.undefined
    assert len(tries) == before


# --------------------------------------------------------------------------- starts that fail


async def test_a_child_that_does_not_start_ends_those_before_it(runtime: Runtime) -> None:
    notes: Notes = []

    class Refusing(GenServer):
        def init(self) -> None:
            raise Stop(atom.no)

    children = [*noted(notes, "a", "b"), Refusing, *noted(notes, "never")]
    with pytest.raises(StartError) as failed:
        await start(runtime, Supervisor, children, name="top")
    why = (atom.failed_to_start_child, atom.Refusing, atom.no)
    assert failed.value.reason == (atom.shutdown, why)
    assert [note[:2] for note in notes] == [
        ("started", "a"), ("started", "b"), ("ended", "b"), ("ended", "a"),
    ]  # fmt: skip
    assert runtime.whereis("top") is None
    assert alive(runtime) == []


class Endless(GenServer):
    async def init(self) -> None:
        await asyncio.sleep(3600)


async def test_a_child_whose_init_hangs(runtime: Runtime, clients: Clients) -> None:
    with pytest.raises(StartError) as failed:
        await start(runtime, Supervisor, [waiting, Endless], timeout=0.05)
    assert failed.value.reason == atom.timeout
    assert alive(runtime) == []
    with pytest.raises(StartError) as failed:
        await start(runtime, Supervisor, [ChildSpec(Endless, start_timeout=0.01)])
    assert failed.value.reason[1] == (atom.failed_to_start_child, atom.Endless, atom.timeout)
    # Under a supervisor that has to wait for it, it is killed when that one's time is over.
    inner = ChildSpec(Supervisor, [], id="inner", shutdown=0.05)
    top = await start(runtime, Supervisor, [inner])
    pid = (await clients.pids(top))[atom.inner]
    asking = asyncio.create_task(clients.supervisor.start_child(pid, Endless))
    await asyncio.sleep(0)
    await gen.stop(runtime.main, top)
    with pytest.raises(CallExit):
        await asking
    assert alive(runtime) == []


class Declining(GenServer):
    def init(self) -> None:
        raise Ignore


async def test_children_that_decline(runtime: Runtime, clients: Clients) -> None:
    temporary = ChildSpec(Declining, id="gone", restart="temporary")
    top = await start(runtime, Supervisor, [Declining, temporary, Echo])
    pids = await clients.pids(top)
    assert (list(pids), pids[atom.Declining]) == ([atom.Declining, atom.Echo], atom.undefined)
    for spec in (temporary, ChildSpec(Declining, id="kept")):
        with pytest.raises(StartIgnored):
            await clients.supervisor.start_child(top, spec)
    assert list(await clients.pids(top)) == [atom.Declining, atom.Echo, atom.kept]
    with pytest.raises(StartIgnored):
        await clients.supervisor.restart_child(top, "kept")


@pytest.mark.parametrize(
    ("children", "options", "reason"),
    [
        ([], {"strategy": "all"}, (atom.supervisor_data, (atom.invalid_strategy, atom.all))),
        ([], {"max_restarts": -1}, (atom.supervisor_data, (atom.invalid_intensity, -1))),
        ([], {"max_seconds": 0}, (atom.supervisor_data, (atom.invalid_period, 0))),
        (
            [],
            {"auto_shutdown": "x"},
            (atom.supervisor_data, (atom.invalid_auto_shutdown, atom.x)),
        ),
        (
            [Echo],
            {"auto_shutdown": "any_significant", "strategy": "simple_one_for_one"},
            (
                atom.supervisor_data,
                (
                    atom.bad_combination,
                    [
                        (atom.auto_shutdown, atom.any_significant),
                        (atom.strategy, atom.simple_one_for_one),
                    ],
                ),
            ),
        ),
        ([Echo, Echo], {}, (atom.start_spec, (atom.duplicate_child_name, atom.Echo))),
        ([17], {}, (atom.start_spec, (atom.invalid_child_spec, 17))),
        (
            [ChildSpec(Echo, significant=True, restart="transient")],
            {},
            (
                atom.start_spec,
                (
                    atom.bad_combination,
                    [(atom.auto_shutdown, atom.never), (atom.significant, True)],
                ),
            ),
        ),
        (17, {}, (atom.bad_return, (elixir("Supervisor.Default"), atom.init, 17))),
        ([], {"strategy": "simple_one_for_one"}, (atom.start_spec, None)),
    ],
)
async def test_supervisors_that_cannot_be(
    runtime: Runtime, children: Any, options: Any, reason: Any
) -> None:
    with pytest.raises(StartError) as failed:
        await start(runtime, Supervisor, children, **options)
    if reason[1] is None:
        assert failed.value.reason[0] == atom.bad_start_spec
    else:
        assert failed.value.reason == reason


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"restart": "often"}, "invalid_restart_type"),
        ({"shutdown": -1}, "invalid_shutdown"),
        ({"shutdown": "kill"}, "invalid_shutdown"),
        ({"shutdown": True}, "invalid_shutdown"),
        ({"type": "thing"}, "invalid_child_type"),
        ({"significant": 1}, "invalid_significant"),
        ({"significant": True}, "bad_combination"),
    ],
)
def test_specs_that_cannot_be(options: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ChildSpec(Echo, **options)
    with pytest.raises(TypeError, match=r"ChildSpec\.calling"):
        ChildSpec(print)
    with pytest.raises(ValueError, match="no Erlang term"):
        ChildSpec(Echo, id=object())


def test_specs_are_changed_into_others() -> None:
    spec = ChildSpec(Noted, [], "a", id="a", shutdown="brutal_kill", restart="transient")
    other = spec.replace(id=7, shutdown=None).with_arguments(1)
    assert (other.id, other.shutdown, other.restart, other.args) == (7, None, "transient", (1,))
    assert other.to_term() == {
        atom.id: 7,
        atom.start: (atom.Noted, atom.start_link, [1]),
        atom.restart: atom.transient,
        atom.significant: False,
        atom.shutdown: atom.infinity,
        atom.type: atom.worker,
        atom.modules: [atom.Noted],
    }
    assert spec.to_term()[atom.shutdown] == atom.brutal_kill


# --------------------------------------------------------------------------- significant


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
@pytest.mark.parametrize("auto", ["any_significant", "all_significant"])
async def test_significant_children(
    runtime: Runtime, clients: Clients, strategy: str, auto: str
) -> None:
    important = [
        ChildSpec(waiting, id=name, restart="transient", significant=True) for name in "ab"
    ]
    top = await start(
        runtime, Supervisor, [*important, Echo], strategy=strategy, auto_shutdown=auto
    )
    before = await clients.pids(top)
    runtime.send(runtime.main, before[atom.a], atom.crash)  # that is a restart, and no more
    before |= await clients.restarted(top, before)
    with runtime.open_call(runtime.main, top) as slot:
        runtime.send(runtime.main, before[atom.a], atom.normal)
        if auto == "all_significant":
            await reason_of_death(runtime, before[atom.a])
            assert (await clients.pids(top))[atom.a] == atom.undefined
            runtime.send(runtime.main, before[atom.b], atom.shutdown)
        with pytest.raises(CallExit) as ended:
            await slot.wait(DEADLINE)
    assert ended.value.reason == atom.shutdown


# --------------------------------------------------------------------------- ends of children


async def stubborn(process: Process) -> None:
    process.trap_exit = True
    while True:
        await process.receive()


@pytest.mark.parametrize(
    ("child", "options", "reported"),
    [
        (waiting, {}, None),
        (waiting, {"shutdown": "brutal_kill"}, None),
        (stubborn, {"shutdown": "brutal_kill"}, None),
        (stubborn, {"shutdown": 0.02}, atom.killed),
        (stubborn, {"shutdown": 0.02, "restart": "transient"}, atom.killed),
    ],
)
async def test_how_children_are_ended(
    runtime: Runtime,
    clients: Clients,
    caplog: pytest.LogCaptureFixture,
    child: Any,
    options: Any,
    reported: Any,
) -> None:
    top = await start(runtime, Supervisor, [ChildSpec(child, id="x", **options)])
    pid = (await clients.pids(top))[atom.x]
    await asyncio.sleep(0)
    await clients.supervisor.terminate_child(top, "x")
    assert not runtime.is_alive(pid)
    assert (await clients.pids(top))[atom.x] == atom.undefined
    found = [report["reason"] for report in reports(caplog)]
    assert found == ([] if reported is None else [reported])
    assert is_clean(runtime.local(top))  # type: ignore[arg-type]


@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_an_end_of_its_own_at_the_same_time_is_told(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture, restart: str
) -> None:
    """The reason is that of its own end, whatever the monitor says of a process long gone."""
    top = await start(runtime, Supervisor, [ChildSpec(waiting, id="x", restart=restart)])
    process = runtime.local(top)
    assert process is not None
    pid = (await clients.pids(top))[atom.x]
    asking = asyncio.create_task(clients.supervisor.terminate_child(top, "x"))
    runtime.exit(runtime.main, pid, atom.crash)  # its EXIT comes before the request, or after
    await asking
    reasons = [report["reason"] for report in reports(caplog)]
    assert reasons == [atom.crash]


async def test_two_that_end_at_once(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    """The second one is dead when it is told to end: its EXIT says with which reason."""
    children = [ChildSpec(waiting, id=name) for name in "ab"]
    top = await start(runtime, Supervisor, children, strategy="one_for_all")
    before = await clients.pids(top)
    for pid in before.values():
        runtime.exit(runtime.main, pid, atom.crash)
    assert list(await clients.restarted(top, before)) == [atom.a, atom.b]
    found = [(report["errorContext"], report["reason"]) for report in reports(caplog)]
    assert found == [(atom.child_terminated, atom.crash), (atom.shutdown_error, atom.crash)]
    assert is_clean(runtime.local(top))  # type: ignore[arg-type]


# --------------------------------------------------------------------------- classes, names


class Tree(Supervisor, strategy="rest_for_one", max_restarts=7, module="Elixir.Tree"):
    async def init(self, notes: Notes, *, last: str) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        if last == "ignore":
            raise Ignore
        self.max_seconds = 60
        return noted(notes, "a", last)


async def test_a_class_of_supervisors(runtime: Runtime, clients: Clients) -> None:
    notes: Notes = []
    pid = await start(runtime, Tree, notes, last="z", name="tree")
    assert list(await clients.pids("tree")) == [atom.a, atom.z]
    state = await sys.get_state(runtime.main, pid)
    assert (state[atom.strategy], state[atom.intensity], state[atom.period]) == (
        atom.rest_for_one, 7, 60,
    )  # fmt: skip
    assert state[atom.module] == elixir("Tree")
    with pytest.raises(StartIgnored):
        await start(runtime, Tree, notes, last="ignore")
    with pytest.raises(AlreadyStarted):
        await start(runtime, Tree, notes, last="z", name="tree")
    with pytest.raises(TypeError, match="blocking"):
        type("Bad", (Supervisor,), {}, blocking=True)


@pytest.mark.parametrize("name", ["child", ("global", b"child"), ("via", "table", b"child")])
@pytest.mark.parametrize("target", [Echo, waiting])
async def test_names_of_children(
    runtime: Runtime, clients: Clients, name: Any, target: Any
) -> None:
    table = Table()
    runtime.via["global"] = runtime.via["table"] = table
    top = await start(runtime, Supervisor, [ChildSpec(target, name=name, id="x")], name="top")

    def holder() -> Any:
        return runtime.whereis("child") if name == "child" else table.lookup(b"child")

    before = await clients.pids("top")
    assert holder() == before[atom.x]
    with pytest.raises(AlreadyStarted) as taken:
        await clients.supervisor.start_child(top, ChildSpec(target, name=name, id="y"))
    assert taken.value.pid == holder()
    runtime.exit(runtime.main, before[atom.x], atom.kill)
    if name != "child":
        await table.unregister_name(b"child")  # as the registry does that sees the end
    new = await clients.restarted(top, before)
    assert holder() == new[atom.x]


# --------------------------------------------------------------------------- requests


async def test_children_come_and_go(runtime: Runtime, clients: Clients) -> None:
    ask = clients.supervisor
    top = await start(runtime, Supervisor, [], name="top")
    pid = await ask.start_child("top", (Echo,))
    assert await gen.call(runtime.main, pid, 1) == 1
    for same in (Echo, ChildSpec(waiting, id="Echo")):
        with pytest.raises(AlreadyStarted) as taken:
            await ask.start_child(top, same)
        assert taken.value.pid == pid
    with pytest.raises(ChildError) as refused:
        await ask.delete_child(top, "Echo")
    assert refused.value.reason == atom.running
    with pytest.raises(ChildError) as refused:
        await ask.restart_child(top, "Echo")
    assert refused.value.reason == atom.running
    await ask.terminate_child(top, "Echo")
    with pytest.raises(StartError) as present:
        await ask.start_child(top, Echo)
    assert present.value.reason == atom.already_present
    again = await ask.restart_child(top, "Echo")
    assert again != pid
    await ask.terminate_child(top, "Echo")
    await ask.delete_child(top, "Echo")
    assert await ask.which_children(top) == []
    for request in (ask.delete_child, ask.restart_child, ask.terminate_child, ask.get_childspec,
                    ask.which_child):  # fmt: skip
        with pytest.raises(ChildError) as refused:
            await request(top, "Echo")
        assert refused.value.reason == atom.not_found
    with pytest.raises(StartError) as wrong:
        await ask.start_child(top, {atom.id: 1})
    assert wrong.value.reason == atom.missing_start
    with pytest.raises(StartError) as wrong:
        await ask.start_child(top, ChildSpec.mfa("no", "such", [1]))
    (reason, record) = wrong.value.reason
    assert reason == (atom.EXIT, (atom.undef, [(atom.no, atom.such, [1], [])]))
    assert record[0] == atom.child
    await gen.stop(runtime.main, top)
    for late in (top, "top"):
        with pytest.raises(NoProcess):
            await ask.start_child(late, Echo)
    assert is_clean(runtime.main)


async def test_a_temporary_child_is_forgotten(runtime: Runtime, clients: Clients) -> None:
    top = await start(runtime, Supervisor, [])
    spec = ChildSpec(Echo, restart="temporary")
    pid = await clients.supervisor.start_child(top, spec)
    await clients.supervisor.terminate_child(top, "Echo")
    assert await clients.supervisor.which_children(top) == []
    assert await clients.supervisor.start_child(top, spec) != pid


async def test_a_start_that_is_cancelled_leaves_nothing_lent(
    runtime: Runtime, clients: Clients
) -> None:
    top = await start(runtime, Supervisor, [])
    process = runtime.local(top)
    assert process is not None
    body: Any = process.body
    asking = asyncio.create_task(clients.supervisor.start_child(top, Endless))
    await eventually(lambda: len(runtime.processes()) == 3)  # it is being started
    second = asyncio.create_task(clients.supervisor.start_child(top, Echo))
    await eventually(lambda: body.lent)
    for task in (asking, second):
        task.cancel()
    await asyncio.gather(asking, second, return_exceptions=True)
    assert body.lent == {}
    assert is_clean(runtime.main)


@pytest.mark.parametrize(
    "request_", [atom.nonsense, (atom.start_child,), (atom.nonsense, 1), 7, (1, 2)], ids=repr
)
async def test_requests_that_are_none_end_it_as_in_otp(runtime: Runtime, request_: Any) -> None:
    notes: Notes = []
    top = await start(runtime, Supervisor, noted(notes, "a"))
    with pytest.raises(CallExit) as failed:
        await gen.call(runtime.main, top, request_)
    assert failed.value.reason[0] == atom.function_clause
    assert notes[-1][:2] == ("ended", "a")


async def test_what_means_nothing_is_told_and_no_more(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    top = await start(runtime, Supervisor, [Echo])
    process = runtime.local(top)
    assert process is not None
    runtime.send(runtime.main, top, atom.hello)
    runtime.send(runtime.main, top, (atom.EXIT, runtime.main.pid, atom.hello))
    runtime.send(runtime.main, top, (atom.EXIT, 17, atom.hello))
    bogus = Reference(runtime.node_name, runtime.creation, (1, 2, 3))
    answer = await gen.call(runtime.main, top, (atom.start_child, bogus))
    assert answer == (atom.error, (atom.invalid_child_spec, bogus))
    assert len(await clients.pids(top)) == 1
    assert [r.getMessage() for r in caplog.records if "unexpected" in r.getMessage()] != []
    # A reminder that is not its own is no reminder.
    with runtime.open_call(runtime.main, top) as slot:
        gen.cast(runtime.main, top, (atom.try_again_restart, bogus, atom.Echo))
        with pytest.raises(CallExit) as ended:
            await slot.wait(DEADLINE)
    assert ended.value.reason[0] == atom.function_clause


async def test_simple_one_for_one(runtime: Runtime, clients: Clients) -> None:
    notes: Notes = []
    ask = clients.supervisor
    top = await start(
        runtime,
        Supervisor,
        [ChildSpec(Noted, notes, restart="transient")],
        strategy="simple_one_for_one",
    )
    pids = [await ask.start_child_with(top, [name]) for name in "abc"]
    assert [child.pid for child in await ask.which_children(top)] == pids
    assert {child.id for child in await ask.which_children(top)} == {atom.undefined}
    assert await ask.count_children(top) == (1, 3, 0, 3)
    assert (await ask.which_child(top, pids[0])).pid == pids[0]
    assert (await ask.get_childspec(top, pids[0]))[atom.id] == atom.Noted
    assert (await ask.get_childspec(top, "Noted"))[atom.restart] == atom.transient
    with pytest.raises(ChildError):
        await ask.which_child(top, runtime.main.pid)
    with pytest.raises(StartError) as wrong:
        await ask.start_child_with(top, ["d", "e", "f"])
    assert wrong.value.reason[0][1] == atom.TypeError
    gen.cast(runtime.main, pids[1], atom.crash)  # starts again, with its arguments
    await eventually(lambda: notes[-1] == ("started", "b"))
    gen.cast(runtime.main, pids[2], atom.normal)
    await reason_of_death(runtime, pids[2])
    assert len(await ask.which_children(top)) == 2
    await ask.terminate_child(top, pids[0])
    await ask.terminate_child(top, pids[0])  # gone already: as OTP has it
    with pytest.raises(ChildError) as refused:
        await ask.terminate_child(top, runtime.main.pid)
    assert refused.value.reason == atom.not_found
    del notes[:]
    await gen.stop(runtime.main, top)
    assert notes == [("ended", "b", atom.shutdown)]


# --------------------------------------------------------------------------- reports, sys


async def test_reports_are_otps(
    runtime: Runtime, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="pynode.process")
    top = await start(runtime, Supervisor, [ChildSpec(waiting, 1, id="x")], name="top")
    pid = (await clients.pids(top))[atom.x]
    name = (atom.local, atom.top)
    offender = {
        "pid": pid,
        "id": atom.x,
        "mfargs": (atom(waiting.__module__), atom.waiting, [1]),
        "restart_type": atom.permanent,
        "significant": False,
        "shutdown": 5000,
        "child_type": atom.worker,
    }
    (progress,) = reports(caplog)
    label = (atom.supervisor, atom.progress)
    assert progress == {"label": label, "supervisor": name, "started": offender}
    assert caplog.records[-1].levelno == logging.INFO
    caplog.clear()
    before = await clients.pids(top)
    runtime.send(runtime.main, pid, atom.crash)
    await clients.restarted(top, before)
    error, _ = reports(caplog)
    assert error == {
        "label": (atom.supervisor, atom.child_terminated),
        "supervisor": name,
        "errorContext": atom.child_terminated,
        "reason": atom.crash,
        "offender": offender,
    }
    (record,) = [r for r in caplog.records if getattr(r, "report", None) is error]
    assert record.levelno == logging.ERROR
    assert "child_terminated: atom.crash" in record.getMessage()
    await clients.supervisor.start_child(top, Echo)
    assert caplog.records[-1].levelno == logging.DEBUG
    nameless = await start(runtime, Supervisor, [Echo])
    assert reports(caplog)[-1]["supervisor"] == (nameless, elixir("Supervisor.Default"))


async def test_sys_of_a_supervisor(runtime: Runtime, clients: Clients) -> None:
    notes: Notes = []
    given = noted(notes, "a", "b")

    class Changing(Supervisor, module="Elixir.Changing"):
        def init(self) -> Any:  # type: ignore[override]
            self.max_restarts = len(given)
            return list(given)

    top = await start(runtime, Changing)
    before = await clients.pids(top)
    status = await sys.get_status(runtime.main, top)
    dictionary, _, _, _, misc = status[3]
    assert dict(dictionary)[atom("$initial_call")] == (atom.supervisor, elixir("Changing"), 1)
    assert dict(entry for entry in misc if entry[0] == atom.supervisor) == {
        atom.supervisor: [([*b"Callback"], elixir("Changing"))]
    }
    given[1:] = noted(notes, "b", "c", shutdown=1)
    await sys.suspend(runtime.main, top)
    await sys.change_code(runtime.main, top, elixir("Changing"), atom.undefined, [])
    await sys.resume(runtime.main, top)
    after = await clients.pids(top)
    assert after == {**before, atom.c: atom.undefined}
    assert (await clients.supervisor.get_childspec(top, "b"))[atom.shutdown] == 1000
    assert (await sys.get_state(runtime.main, top))[atom.intensity] == 3
    pid = await clients.supervisor.restart_child(top, "c")
    assert pid is not None
    runtime.resolver.expose(lambda state: state, module="m", name="same")
    with pytest.raises(RemoteError, match="cannot be replaced"):
        await sys.replace_state(runtime.main, top, ExportFun("m", "same", 1))
    assert len(await clients.pids(top)) == 3


async def test_node_starts_supervisors(py_node: Any) -> None:
    async with py_node() as node:
        top = await node.start(Supervisor, [(Blocking, 1)], strategy="one_for_all", name="top")
        (child,) = await node.supervisor.which_children("top")
        assert await node.call(child.pid, atom.thread) is True
        other = await Supervisor.start(node, [Echo], strategy="one_for_one")
        linked = await Tree.start_link(node, [], last="z")
        assert len({top, other, linked}) == 3
        assert linked in node.main.links
        process = node.runtime.local(child.pid)
    assert process.exit_reason == atom.shutdown
