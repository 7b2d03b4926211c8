"""What another node may see of this one, once the program lets it: between two nodes in memory."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pynode import GenServer, Supervisor
from pynode.behaviours.starting import start
from pynode.errors import CallExit, CallTimeout, RemoteError
from pynode.policy import Action, Deny, default_policy, is_introspection
from pynode.process import Process
from pynode.process.current import self_
from pynode.services.introspection.facts import ITEMS, atoms
from pynode.terms import Atom, Pid, Port, atom, charlist, charlist_text
from pynode.testing import eventually

from .rpc_pair import DEADLINE, HERE, THERE, RpcPair, rpc_pair

BADARG = [atom.badarg]
HERE_PID = Pid(HERE, 1, 0, 101)


class Counter(GenServer):
    def init(self, count: int) -> None:
        self.count = count

    async def handle_call(self, request: Any, caller: Any) -> Any:
        if request == atom.stay:
            await asyncio.get_running_loop().create_future()
        return self.count

    def format_status(self, status: Any) -> Any:
        return status


class Slow(GenServer, blocking=True):
    def init(self, go_on: threading.Event) -> None:
        self.go_on = go_on

    def handle_cast(self, message: Any) -> None:
        self.go_on.wait(DEADLINE)


async def idle(process: Process) -> None:
    await inner(process)


async def inner(process: Process) -> None:
    await process.receive(match=lambda message: message == atom.stop)


@pytest.fixture
async def pair() -> AsyncIterator[RpcPair]:
    async with rpc_pair() as made:
        net: Any = made.there._net
        net.counters = lambda: {"bytes_in": 7, "bytes_out": 9}
        net.known = lambda: [HERE]
        made.there.introspect()
        yield made


async def ask(pair: RpcPair, module: str, function: str, *args: Any) -> Any:
    return await pair.here.erpc.call(THERE, module, function, list(args), timeout=DEADLINE)


async def info(pair: RpcPair, pid: Any, *items: Any) -> Any:
    return await ask(pair, "erlang", "process_info", pid, *items)


async def item(pair: RpcPair, process: Any, name: str) -> Any:
    pid = process if type(process) is Pid else process.pid
    key, value = await info(pair, pid, atom(name))
    assert key == atom(name)
    return value


async def failure(pair: RpcPair, module: str, function: str, *args: Any) -> Any:
    with pytest.raises(RemoteError) as caught:
        await ask(pair, module, function, *args)
    assert caught.value.kind == "error"
    return caught.value.reason


async def start_counter(pair: RpcPair, name: str | None = None) -> Pid:
    pid: Pid = await start(pair.there._runtime, Counter, 3, name=name)
    return pid


def spawn_there(pair: RpcPair, body: Any = idle, *args: Any, **options: Any) -> Process:
    return pair.there._runtime.spawn(body, *args, **options)


# --------------------------------------------------------------------------- who may


async def test_off_there_is_nothing() -> None:
    async with rpc_pair() as pair:
        target = pair.there._runtime.main.pid
        for call in (
            ("erlang", "processes"),
            ("erlang", "process_info", target),
            ("erlang", "system_info", atom.otp_release),
            ("observer_backend", "sys_info"),
            ("sys", "get_state", target),
            ("t", "module_info"),
        ):
            assert await failure(pair, *call) == atom.undef


async def test_policy_tells_peers_apart(pair: RpcPair) -> None:
    pair.there._runtime.policy = lambda peer, action, target: (
        Deny("introspection")
        if action is Action.SPAWN and is_introspection(target)
        else default_policy(peer, action, target)
    )
    resolver = pair.there._runtime.resolver
    looks = [key for key in resolver.exported() if is_introspection(key)]
    assert len(looks) > 60
    for module, function, arity in [*looks, (atom.t, atom.module_info, 0)]:
        with pytest.raises(CallExit) as caught:
            await ask(pair, str(module), str(function), *[1] * arity)
        assert caught.value.reason == atom.notsup
    assert await ask(pair, "t", "echo", 1) == [1]
    assert await ask(pair, "erlang", "node") == THERE


async def test_policy_knows_every_function(pair: RpcPair) -> None:
    on = set(pair.there._runtime.resolver.exported())
    off = set(pair.here._runtime.resolver.exported())
    assert len(on - off) > 60
    assert [key for key in on - off if not is_introspection(key)] == []
    assert [key for key in off if is_introspection(key)] == [(atom.code, atom.ensure_loaded, 1)]


# --------------------------------------------------------------------------- processes


async def test_processes_and_names(pair: RpcPair) -> None:
    runtime = pair.there._runtime
    process = spawn_there(pair, name="idler")
    told = await ask(pair, "erlang", "processes")
    assert set(told) >= {each.pid for each in runtime.processes()}
    assert process.pid in told
    assert set(await ask(pair, "erlang", "registered")) == set(runtime.registered())
    assert await ask(pair, "erlang", "whereis", atom.idler) == process.pid
    assert await ask(pair, "erlang", "whereis", atom.nobody) == atom.undefined
    assert await ask(pair, "erlang", "whereis", None) == atom.undefined
    assert await ask(pair, "erlang", "is_process_alive", process.pid) is True
    runtime.exit(runtime.main, process.pid, atom.kill)
    assert await ask(pair, "erlang", "is_process_alive", process.pid) is False
    assert await info(pair, process.pid) == atom.undefined
    assert await info(pair, process.pid, atom.status) == atom.undefined
    assert await info(pair, process.pid, []) == atom.undefined
    assert await ask(pair, "erlang", "ports") == []


async def test_process_info_without_items(pair: RpcPair) -> None:
    names = atoms(
        "current_function initial_call status message_queue_len links dictionary trap_exit "
        "error_handler priority group_leader total_heap_size heap_size stack_size reductions "
        "garbage_collection suspending"
    )
    process = spawn_there(pair)
    assert [name for name, _ in await info(pair, process.pid)] == names
    pair.there._runtime.register("idler", process.pid)
    told = await info(pair, process.pid)
    assert told[0] == (atom.registered_name, atom.idler)
    assert [name for name, _ in told[1:]] == names


async def test_every_item_in_one_list(pair: RpcPair) -> None:
    pid = await start_counter(pair)
    items = [*ITEMS, (atom.dictionary, atom("$ancestors")), atom.status]
    told = await info(pair, pid, items)
    assert [name for name, _ in told] == items
    assert dict(told)[atom.dictionary, atom("$ancestors")] == []
    assert await info(pair, pid, []) == []
    assert await info(pair, pid, [atom.registered_name]) == [(atom.registered_name, [])]
    assert await info(pair, pid, atom.registered_name) == []


async def test_what_a_process_has(pair: RpcPair) -> None:
    runtime = pair.there._runtime
    process, other = spawn_there(pair, trap_exit=True), spawn_there(pair)
    far = pair.here._runtime.main
    runtime.link(process, other.pid)
    runtime.monitor(process, other.pid)
    runtime.monitor(process, ("rex", HERE))
    pair.here._runtime.monitor(far, process.pid)
    runtime.send(runtime.main, process.pid, (atom.hello, "text", 1.0))
    process.dictionary[atom.key] = atom.value
    process.dictionary[atom.odd] = object
    process.dictionary[atom("$process_label")] = "worker 7"
    assert await item(pair, process, "links") == [other.pid]
    assert await item(pair, other, "links") == [process.pid]
    assert await item(pair, process, "monitors") == [
        (atom.process, other.pid),
        (atom.process, (atom.rex, HERE)),
    ]
    assert await item(pair, process, "monitored_by") == [far.pid]
    assert await item(pair, other, "monitored_by") == [process.pid]
    assert await item(pair, process, "messages") == [(atom.hello, b"text", 1.0)]
    assert await item(pair, process, "message_queue_len") == 1
    assert (atom.key, atom.value) in await item(pair, process, "dictionary")
    assert (atom.odd, b"<class 'object'>") in await item(pair, process, "dictionary")
    assert await info(pair, process.pid, (atom.dictionary, atom.key)) == (
        (atom.dictionary, atom.key),
        atom.value,
    )
    assert (await info(pair, process.pid, (atom.dictionary, [1])))[1] == atom.undefined
    assert await item(pair, process, "label") == b"worker 7"
    assert await ask(pair, "proc_lib", "get_label", process.pid) == b"worker 7"
    assert await item(pair, other, "label") == atom.undefined
    assert await item(pair, process, "trap_exit") is True
    assert await item(pair, process, "group_leader") == process.group_leader
    assert await item(pair, process, "memory") > 100
    assert await item(pair, process, "heap_size") > 10
    assert await item(pair, process, "priority_messages") is False
    runtime.add_alias(process, runtime.make_ref(), "explicit_unalias", priority=True)
    assert await item(pair, process, "priority_messages") is True


async def test_where_a_process_is(pair: RpcPair) -> None:
    process = spawn_there(pair)
    here = Atom(__name__)
    assert await item(pair, process, "status") == atom.waiting
    assert await item(pair, process, "initial_call") == (here, atom.idle, 1)
    assert await item(pair, process, "current_function") == (here, atom.inner, 1)
    stack = await item(pair, process, "current_stacktrace")
    assert [frame[:3] for frame in stack] == [(here, atom.inner, 1), (here, atom.idle, 1)]
    (_, path), (_, line) = stack[0][3]
    assert charlist_text(path) == __file__
    assert line == inner.__code__.co_firstlineno + 1
    assert await item(pair, process, "current_location") == stack[0]
    assert b":inner/1 (" in await item(pair, process, "backtrace")


async def test_a_server_at_rest_and_at_work(pair: RpcPair) -> None:
    pid = await start_counter(pair)
    assert await item(pair, pid, "initial_call") == (atom.proc_lib, atom.init_p, 5)
    name = (await info(pair, pid, (atom.dictionary, atom("$initial_call"))))[1]
    assert name[1:] == (atom.init, 1)
    assert await ask(pair, "proc_lib", "translate_initial_call", pid) == name
    assert (await ask(pair, "proc_lib", "initial_call", pid))[2] == [atom.Argument__1]
    assert await item(pair, pid, "status") == atom.waiting
    assert await item(pair, pid, "parent") == atom.undefined
    assert str((await item(pair, pid, "current_function"))[1]).endswith(".message")
    pair.here._runtime.send(
        pair.here._runtime.main, pid, (atom("$gen_call"), (HERE_PID, 1), atom.stay)
    )
    expected = (Atom(__name__), atom("Counter.handle_call"), 3)
    assert expected in [frame[:3] for frame in await item(pair, pid, "current_stacktrace")]
    assert await item(pair, pid, "current_function") == expected


async def test_a_callback_in_a_thread(pair: RpcPair) -> None:
    go_on = threading.Event()
    pid = await start(pair.there._runtime, Slow, go_on)
    try:

        async def at(status: Atom) -> bool:
            return bool(await item(pair, pid, "status") == status)

        await eventually(lambda: at(atom.waiting))
        pair.here._runtime.send(pair.here._runtime.main, pid, (atom("$gen_cast"), 1))
        await eventually(lambda: at(atom.running))
        names = [frame[1] for frame in await item(pair, pid, "current_stacktrace")]
        assert names[0] == atom("Slow.handle_cast")
    finally:
        go_on.set()


async def test_other_states(pair: RpcPair) -> None:
    held, ready = spawn_there(pair), spawn_there(pair)
    await asyncio.sleep(0)
    process: Any = held
    process.held_by = {HERE}
    assert await item(pair, held, "status") == atom.suspended
    process.held_by = None
    ready.ready = True
    assert await item(pair, ready, "status") == atom.runnable
    ready.ready = False

    async def me() -> Any:
        told = pair.there._runtime.resolver.resolve(atom.erlang, atom.process_info, 2)
        assert told is not None
        return told(self_(), [atom.status, atom.initial_call])

    pair.there._runtime.resolver.expose(me, module="t")
    assert await ask(pair, "t", "me") == [
        (atom.status, atom.running),
        (atom.initial_call, (atom.erpc, atom.execute_call, 4)),
    ]


async def test_a_child_names_its_parent(pair: RpcPair) -> None:
    top = await start(pair.there._runtime, Supervisor, [(Counter, 1)])
    [child] = [pid for pid in await item(pair, top, "links") if pid != top]
    assert await item(pair, child, "parent") == top


HOSTILE: list[Any] = [
    atom.foo,
    1,
    -1,
    1.5,
    b"pid",
    [],
    [atom.a],
    {},
    (),
    None,
    True,
    (atom.a, atom.b),
    HERE_PID,
    Port(THERE, 1, 102),
    charlist("x") * 1000,
]


async def test_hostile_arguments_are_errors(pair: RpcPair) -> None:
    pid = spawn_there(pair).pid
    for bad in HOSTILE:
        for function in ("process_info", "is_process_alive"):
            assert await failure(pair, "erlang", function, bad) == atom.badarg
    assert await failure(pair, "erlang", "process_info", HERE_PID, atom.status) == atom.badarg
    for bad in (*(each for each in HOSTILE if each != []), (atom.dictionary,), [atom.status, 1]):
        assert await failure(pair, "erlang", "process_info", pid, bad) == atom.badarg
    for bad in [each for each in HOSTILE if type(each) is not Atom and each not in (None, True)]:
        assert await failure(pair, "erlang", "whereis", bad) == atom.badarg
        assert await failure(pair, "erlang", "statistics", bad) == atom.badarg
        assert await failure(pair, "erlang", "system_info", bad) == atom.badarg
        assert await failure(pair, "sys", "get_state", bad) in BADARG
        assert await failure(pair, "c", "pid", bad, bad, bad) == atom.badarg


async def test_no_argument_breaks_a_function(pair: RpcPair) -> None:
    """Whatever they are given, they answer or raise one of Erlang's errors, and the node lives."""
    known = {atom.badarg, atom.function_clause}
    on = [key for key in pair.there._runtime.resolver.exported() if is_introspection(key)]
    for module, function, arity in on:
        if arity == 0 or function in (atom.get_status, atom.get_state):
            continue
        for bad in HOSTILE:
            with contextlib.suppress(RemoteError):
                await ask(pair, str(module), str(function), *[bad] * arity)
                continue
            call = (module, function, [bad] * arity)
            [outcome] = await pair.here.erpc.multicall([THERE], *call, timeout=DEADLINE)
            error = outcome.error
            assert isinstance(error, RemoteError), call
            if error.kind == "error" and error.reason not in known:
                assert error.reason[0] == atom.tracer_refused, call
    assert await ask(pair, "t", "echo", 1) == [1]


# --------------------------------------------------------------------------- the node


async def test_the_system(pair: RpcPair) -> None:
    async def system(what: Any) -> Any:
        return await ask(pair, "erlang", "system_info", what)

    assert int(charlist_text(await system(atom.otp_release))) >= 26
    assert charlist_text(await system(atom.system_version)).startswith("Python 3")
    assert charlist_text(await system(atom.machine)) == "Python"
    assert await system(atom.process_count) >= len(pair.there._runtime.processes())
    assert await system((atom.wordsize, atom.internal)) == 8
    assert await system((atom.allocator_sizes, [])) == []
    assert await system(atom.creation) == 102
    told = dict(await ask(pair, "observer_backend", "sys_info"))
    assert (told[atom.io_input], told[atom.io_output]) == (7, 9)
    for limit in (atom.atom_limit, atom.port_limit, atom.ets_limit, atom.process_limit):
        assert told[limit] > 0  # observer divides by them
    assert told[atom.total] > told[atom.processes] > 0


async def test_statistics(pair: RpcPair) -> None:
    async def statistics(what: str) -> Any:
        return await ask(pair, "erlang", "statistics", atom(what))

    total, since = await statistics("wall_clock")
    assert total == since
    later, since = await statistics("wall_clock")
    assert later >= total
    assert since == later - total
    assert (await statistics("runtime"))[0] > 0
    assert await statistics("io") == ((atom.input, 7), (atom.output, 9))
    [(number, active, passed)] = await statistics("scheduler_wall_time")
    assert number == 1
    assert active >= 0
    assert passed > 0
    assert type(await statistics("run_queue")) is int
    for name in ("reductions", "exact_reductions", "context_switches"):
        assert await statistics(name) == (0, 0)
    assert len(await statistics("garbage_collection")) == 3


async def test_memory(pair: RpcPair) -> None:
    told = dict(await ask(pair, "erlang", "memory"))
    assert told[atom.total] == told[atom.processes] + told[atom.system]
    assert await ask(pair, "erlang", "memory", atom.ets) == 0
    assert await ask(pair, "c", "memory", [atom.ets, atom.ets]) == [(atom.ets, 0)] * 2
    for bad in (atom.foo, [atom.foo], 1):
        assert await failure(pair, "erlang", "memory", bad) == atom.badarg


async def test_nodes(pair: RpcPair) -> None:
    assert await ask(pair, "erlang", "nodes") == []
    assert await ask(pair, "erlang", "nodes", atom.this) == [THERE]
    assert await ask(pair, "erlang", "nodes", [atom.this, atom.known]) == [THERE, HERE]
    assert await failure(pair, "erlang", "nodes", atom.all) == atom.badarg
    assert await ask(pair, "Elixir.Node", "self") == THERE


async def test_modules(pair: RpcPair) -> None:
    pid = await start_counter(pair)
    (module, _, _) = await ask(pair, "proc_lib", "translate_initial_call", pid)
    name = str(module)
    assert await ask(pair, name, "module_info", atom.attributes) == [
        (atom.behaviour, [atom.gen_server])
    ]
    assert (atom.format_status, 1) in await ask(pair, name, "module_info", atom.exports)
    assert dict(await ask(pair, "t", "module_info"))[atom.attributes] == []
    assert (atom.leave, 1) in await ask(pair, "t", "module_info", atom.exports)
    assert await failure(pair, "t", "module_info", atom.foo) == atom.badarg
    assert await failure(pair, "nobody_s", "module_info") == atom.undef
    assert await ask(pair, "code", "ensure_loaded", atom.t) == (atom("module"), atom.t)
    assert await ask(pair, "code", "ensure_loaded", atom.rb) == (atom.error, atom.nofile)
    assert await ask(pair, "code", "which", atom.rb) == atom.non_existing
    exported = ("erlang", "function_exported", atom.observer_backend)
    assert await ask(pair, *exported, atom.procs_info, 1) is True
    assert await ask(pair, *exported, atom.procs_info, 2) is False
    [(application, _, version)] = await ask(pair, "application", "which_applications")
    assert application == atom.pynode
    assert await ask(pair, "observer_backend", "vsn") == (atom.ok, version)


async def test_states_of_servers(pair: RpcPair) -> None:
    pid = await start_counter(pair, "counter")
    assert await ask(pair, "sys", "get_state", atom.counter) == {atom.count: 3}
    status = await ask(pair, "sys", "get_status", pid, 5000)
    assert status[:3] == (atom.status, pid, (atom("module"), atom.gen_server))
    assert await failure(pair, "sys", "get_status", pair.here._runtime.main.pid) == atom.badarg
    with pytest.raises(RemoteError) as caught:
        await ask(pair, "sys", "get_status", spawn_there(pair).pid, 1)
    assert (caught.value.kind, caught.value.reason[0]) == ("exit", atom.timeout)


# --------------------------------------------------------------------------- tools


async def received(process: Process) -> Any:
    return await process.receive(timeout=DEADLINE)


async def test_etop_collect(pair: RpcPair) -> None:
    pid = await start_counter(pair, "counter")
    me = pair.here._runtime.main
    asked, _ = await pair.here._runtime.spawn_remote(
        me, THERE, "observer_backend", "etop_collect", [me.pid]
    )
    sender, told = await received(me)
    assert sender == asked
    assert (told[0], len(told)) == (atom.etop_info, 9)
    rows = {row[1]: row for row in told[8]}
    assert told[2] == len(rows) == len(told[8])
    assert asked not in rows
    assert rows[pid][4] == atom.counter
    assert rows[pid][0] == atom.etop_proc_info


async def test_a_long_list_comes_in_parts_and_holds_nobody_up(pair: RpcPair) -> None:
    for _ in range(4_500):
        spawn_there(pair, None)
    me, turns = pair.here._runtime.main, 0
    await pair.here._runtime.spawn_remote(me, THERE, "observer_backend", "procs_info", [me.pid])
    lists: list[Any] = []
    while not lists or len(lists[-1]) >= 2_000:
        while not me.mailbox:
            turns += 1
            await asyncio.sleep(0)
        _, _, part = await received(me)
        lists.append(part)
    assert sum(map(len, lists)) >= 4_500
    assert len(lists) > 1
    assert turns > 20  # others had their turns meanwhile


async def test_samples_for_the_charts(pair: RpcPair) -> None:
    me = pair.here._runtime.main
    fetcher, ref = await pair.here._runtime.spawn_remote(
        me, THERE, "observer_backend", "fetch_stats", [me.pid, 0], monitor=True
    )
    for _ in range(2):
        word, one, _, io, memory = await received(me)
        assert (word, one, io[0][0]) == (atom.stats, 1, atom.input)
        assert memory[0][0] == atom.total
    pair.here._runtime.send(me, fetcher, atom("exit"))
    while (message := await received(me))[0] == atom.stats:
        pass
    assert message[1] == ref
    assert message[4] == atom.normal


async def test_the_page_of_applications(pair: RpcPair) -> None:
    top = await start(pair.there._runtime, Supervisor, [(Counter, 1)], name="top")
    me = pair.here._runtime.main
    me.trap_exit = True
    result, server = await ask(pair, "appmon_info", "start_link2", me.pid, me.pid, [])
    assert result == atom.ok
    for word, of in ((atom.app_ctrl, THERE), (atom.app, atom.pynode), (atom.app, atom.other)):
        cast: Any = (atom("$gen_cast"), (me.pid, word, of, True, []))
        pair.here._runtime.send(me, server, cast)
    told = {}
    for _ in range(3):
        word, sender, _, of, found = await received(me)
        assert (word, sender) == (atom.delivery, server)
        told[of] = found
    assert [app for _, app, _ in told[THERE]] == [atom.pynode]
    root, names, links, extra = told[atom.pynode]
    assert charlist_text(root) == "user"
    assert (top, charlist("top")) in names
    assert (charlist("user"), charlist("top")) in links
    assert len([child for parent, child in links if parent == charlist("top")]) == 1
    assert extra == []
    assert told[atom.other] == ([], [], [], [])
    pair.here._runtime.send(me, server, (atom("$gen_cast"), ({}, [], 1)))  # no harm
    pair.here._runtime.exit(me, server, atom.normal)
    assert await received(me) == (atom("EXIT"), server, atom.normal)


async def test_pages_of_applications_are_few(pair: RpcPair) -> None:
    me = pair.here._runtime.main
    me.trap_exit = True
    for _ in range(16):
        assert (await ask(pair, "appmon_info", "start_link2", me.pid, me.pid, []))[0] == atom.ok
    refused = await ask(pair, "appmon_info", "start_link2", me.pid, me.pid, [])
    assert refused == (atom.error, atom.system_limit)


async def test_tables_there_are_none(pair: RpcPair) -> None:
    assert await ask(pair, "observer_backend", "get_table_list", atom.ets, []) == []
    with pytest.raises(RemoteError) as caught:
        await ask(pair, "observer_backend", "get_table_list", atom.mnesia, [])
    assert (caught.value.kind, caught.value.reason[0]) == ("throw", atom.error)
    for name in ("get_port_list", "get_socket_list", "socket_info"):
        assert await ask(pair, "observer_backend", name) == []


async def test_lists_are_printed_where_the_caller_reads(
    pair: RpcPair, capsys: pytest.CaptureFixture[str]
) -> None:
    pid = await start_counter(pair, "counter")
    assert await ask(pair, "c", "i") == atom.ok
    assert await ask(pair, "c", "regs") == atom.ok

    parts: list[str] = []

    async def shown() -> bool:
        parts.append(capsys.readouterr().out)
        text = "".join(parts)
        return f"Registered procs on node {THERE}" in text and "rex" in text.split("**")[-1]

    await eventually(shown)
    text = "".join(parts)
    assert f"<0.{pid.id}.0>" in text
    assert "Counter:init/1" in text


async def test_looking_leaves_nothing_behind(pair: RpcPair) -> None:
    before = {process.pid for process in pair.there._runtime.processes()}
    for _ in range(3):
        await info(pair, pair.there._runtime.whereis("rex"))
        await ask(pair, "observer_backend", "sys_info")

    async def gone() -> bool:
        return {process.pid for process in pair.there._runtime.processes()} == before

    await eventually(gone)


async def test_a_timeout_of_the_asker_is_one(pair: RpcPair) -> None:
    with pytest.raises(CallTimeout):
        await pair.here.erpc.call(
            THERE, "sys", "get_status", [spawn_there(pair).pid, atom.infinity], timeout=0.05
        )


async def test_beside_the_shell(pair: RpcPair) -> None:
    shell = Atom("shell")
    assert await ask(pair, "code", "ensure_loaded", shell) == (atom.error, atom.nofile)
    pair.there.shell.enable({})
    assert await ask(pair, "code", "ensure_loaded", shell) == (atom("module"), shell)
    slogan = await ask(pair, "application", "get_env", atom.stdlib, atom.shell_slogan, [1])
    assert slogan == [1]
    assert await ask(pair, "erlang", "system_info", atom.wordsize) == 8
