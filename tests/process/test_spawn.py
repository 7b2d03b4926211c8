from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.dist import control as c
from pynode.dist.flags import OUR_FLAGS, Flag
from pynode.dist.seam import Peer
from pynode.errors import CallExit, Exit, FrameError, NoConnection, PeerBusy
from pynode.process import Runtime
from pynode.process.current import process as current, self_
from pynode.process.resolver import Resolver
from pynode.terms import Atom, ExportFun, Pid, atom
from tests.process.test_inbound import FAR, IN, LEADER, PEER, REF, THERE, control
from tests.process.test_process import DEADLINE, gone
from tests.process.wire import Recorder, until

M, F = Atom("m"), Atom("f")
FUN = ExportFun(M, F, 0)
APPLY = (Atom("erlang"), Atom("apply"))


async def request(runtime: Runtime, out: Recorder, mfa: Any, args: Any, *options: Any) -> Any:
    control(runtime, c.SpawnRequest(REF, THERE, LEADER, mfa, list(options)), args)
    [reply] = out.take()
    return reply


# --------------------------------------------------------------------------- requests of peers


async def test_runs_what_is_exposed(runtime: Runtime, out: Recorder) -> None:
    async def f(one: Any, two: Any) -> None:
        ran.append((one, two, self_(), current().group_leader))

    ran: list[Any] = []
    runtime.resolver.expose(f, module="m")
    reply = await request(runtime, out, (M, F, 2), [b"x", 2])
    pid = reply.result
    assert reply == c.SpawnReply(REF, THERE, 0, pid)
    assert ran == []
    await gone(runtime)
    await asyncio.sleep(0)
    assert ran == [(b"x", 2, pid, LEADER)]


async def test_reply_then_exit_then_down(
    runtime: Runtime, out: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    options: Any = (atom.link, atom.monitor, (atom.monitor, []), (atom.link, []))
    reply = await request(runtime, out, (M, F, 1), [7], *options)
    assert reply.flags == 3
    pid = reply.result
    await asyncio.sleep(0)
    reason: Any = (atom.undef, [(M, F, [7], [])])
    assert out.take() == [
        (c.Exit(pid, THERE, IN), reason),
        (c.MonitorExit(pid, THERE, REF, IN), reason),
    ]


async def test_plain_and_blocking_functions(runtime: Runtime, out: Recorder) -> None:
    def plain() -> None:
        raise Exit(atom.plain)

    def blocking() -> None:
        raise Exit((atom.blocking, self_()))

    runtime.resolver.expose(plain, module=M)
    runtime.resolver.expose(blocking, module=M, blocking=True)
    reasons: list[Any] = []
    reply: Any = None
    for name in ("plain", "blocking"):
        reply = await request(runtime, out, (M, Atom(name), 0), [], atom.monitor)
        pid = reply.result
        await until(lambda pid=pid: runtime.local(pid) is None)  # type: ignore[misc]
        reasons.append(out.take()[0][1])
    assert reasons == [atom.plain, (atom.blocking, reply.result)]


@pytest.mark.parametrize(
    "options",
    [
        [(atom.priority, atom.max), (atom.fullsweep_after, 10), (atom.async_dist, True)],
        [(atom.message_queue_data, atom.off_heap), (atom.max_heap_size, {atom.size: 1000})],
    ],
)
async def test_options_that_mean_nothing_here(
    runtime: Runtime, out: Recorder, options: Any
) -> None:
    assert type((await request(runtime, out, (M, F, 0), [], *options)).result) is Pid


@pytest.mark.parametrize(
    "option",
    [
        atom.other,
        (atom.other, 1),
        (atom.priority, atom.other),
        (atom.priority, 1),
        (atom.min_heap_size, -1),
        (atom.min_heap_size, True),
        (atom.link, 1),
        (1, 2),
        (atom.priority, atom.low, 1),
        [],
    ],
)
async def test_badopt(runtime: Runtime, out: Recorder, option: Any) -> None:
    reply = await request(runtime, out, (M, F, 0), [], option)
    assert reply == c.SpawnReply(REF, THERE, 0, atom.badopt)


async def test_apply_and_proc_lib_are_taken_apart(runtime: Runtime, out: Recorder) -> None:
    async def f(value: Any) -> None:
        ran.append((value, current().dictionary.get(Atom("$ancestors"))))

    ran: list[Any] = []
    runtime.resolver.expose(f, module=M)
    fun = ExportFun(M, F, 1)
    apply, init_p = (Atom("erlang"), Atom("apply")), (Atom("proc_lib"), Atom("init_p"))
    await request(runtime, out, (*apply, 2), [fun, [1]])
    await request(runtime, out, (*apply, 3), [M, F, [2]])
    await request(runtime, out, (*init_p, 5), [THERE, [LEADER], M, F, [3]])
    await request(runtime, out, (*init_p, 5), [THERE, atom.none, *apply, [fun, [4]]])
    await asyncio.sleep(0)
    assert ran == [(1, None), (2, None), (3, [THERE, LEADER]), (4, [THERE])]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ([1, []], ((atom.badfun, 1), [(*APPLY, 2, [])])),
        ([(M, F), []], ((atom.badfun, (M, F)), [(*APPLY, 2, [])])),
        ([FUN, atom.no_list], (atom.badarg, [(*APPLY, [FUN, atom.no_list], [])])),
        ([FUN, [1]], ((atom.badarity, (FUN, [1])), [(*APPLY, 2, [])])),
        ([1, F, []], (atom.badarg, [(*APPLY, [1, F, []], [])])),
        ([M, F, atom.no_list], (atom.badarg, [(*APPLY, [M, F, atom.no_list], [])])),
    ],
)
async def test_apply_of_nonsense_ends_the_process(
    runtime: Runtime, out: Recorder, args: Any, reason: Any, caplog: pytest.LogCaptureFixture
) -> None:
    mfa = (*APPLY, len(args))
    await request(runtime, out, mfa, args, atom.monitor)
    await asyncio.sleep(0)
    assert out.take()[0][1] == reason


# --------------------------------------------------------------------------- requests of ours


async def test_what_goes_out(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    ref = runtime.spawn_request(
        main, FAR, "m", "f", [1], link=True, monitor=True, options=[(atom.priority, atom.low)]
    )
    options = [atom.monitor, atom.link, (atom.priority, atom.low)]
    sent = c.SpawnRequest(ref, main.pid, main.group_leader, (M, F, 1), options)
    assert out.take() == [(sent, [1])]
    control(runtime, c.SpawnReply(ref, main.pid, 3, THERE))
    assert await main.receive(timeout=0) == (atom.spawn_reply, ref, atom.ok, THERE)
    assert main.links == {THERE: 0}
    control(runtime, c.SpawnReply(ref, main.pid, 3, THERE))  # twice: nothing
    runtime.unlink(main, THERE)
    control(runtime, c.MonitorExit(THERE, main.pid, ref, IN), atom.bye)
    down = (atom.DOWN, ref, atom.process, THERE, atom.bye)
    assert await main.receive(timeout=0) == down


async def test_a_tag_and_an_error(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    ref = runtime.spawn_request(main, FAR, M, F, [], tag=(atom.my, 1))
    control(runtime, c.SpawnReply(ref, main.pid, 0, atom.system_limit))
    assert await main.receive(timeout=0) == ((atom.my, 1), ref, atom.error, atom.system_limit)


async def test_a_reply_with_a_pid_of_a_third_node(runtime: Runtime, out: Recorder) -> None:
    ref = runtime.spawn_request(runtime.main, FAR, M, F, [])
    with pytest.raises(FrameError):
        control(runtime, c.SpawnReply(ref, runtime.main.pid, 0, Pid(Atom("x@y"), 1, 0, 1)))


async def test_a_peer_that_cannot_spawn(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    out.flags = 0
    ref = runtime.spawn_request(main, FAR, M, F, [])
    runtime.peer_up(Peer(FAR, 9, OUR_FLAGS & ~Flag.SPAWN, hidden=False))
    answer = (atom.spawn_reply, ref, atom.error, atom.notsup)
    assert await main.receive(timeout=0) == answer
    out.flags = OUR_FLAGS & ~Flag.SPAWN
    ref = runtime.spawn_request(main, FAR, M, F, [])
    answer = (atom.spawn_reply, ref, atom.error, atom.notsup)
    assert await main.receive(timeout=0) == answer


async def test_who_asked_is_gone(runtime: Runtime, out: Recorder) -> None:
    asker = runtime.spawn(None)
    ref = runtime.spawn_request(asker, FAR, M, F, [], link=True, monitor=True)
    runtime.exit(runtime.main, asker.pid, atom.bye)
    out.take()
    control(runtime, c.SpawnReply(ref, asker.pid, 3, THERE))
    assert out.take() == [
        c.Demonitor(asker.pid, THERE, ref),
        (c.Exit(asker.pid, THERE, IN), atom.bye),
    ]


async def test_abandoned(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    linked = runtime.spawn_request(main, FAR, M, F, [], link=True)
    free = runtime.spawn_request(main, FAR, M, F, [])
    assert not runtime.spawn_request_abandon(runtime.spawn(None), linked)
    for ref in (linked, free):
        assert runtime.spawn_request_abandon(main, ref)
        assert not runtime.spawn_request_abandon(main, ref)
    out.take()
    control(runtime, c.SpawnReply(linked, main.pid, 1, THERE))
    control(runtime, c.SpawnReply(free, main.pid, 0, THERE))
    assert out.take() == [(c.Exit(main.pid, THERE, IN), atom.abandoned)]
    with pytest.raises(TimeoutError):
        await main.receive(timeout=0)
    refused = runtime.spawn_request(main, FAR, M, F, [])
    runtime.spawn_request_abandon(main, refused)
    control(runtime, c.SpawnReply(refused, main.pid, 0, atom.system_limit))
    with pytest.raises(TimeoutError):
        await main.receive(timeout=0)


async def test_waiting_for_the_pid(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    task = asyncio.create_task(runtime.spawn_remote(main, FAR, M, F, [], monitor=True))
    await asyncio.sleep(0)
    ref = out.take()[0][0].request
    control(runtime, c.SpawnReply(ref, main.pid, 2, THERE))
    assert await task == (THERE, ref)
    assert runtime.demonitor(main, ref, info=True)
    for outcome, kind in ((atom.badopt, CallExit), (atom.noconnection, NoConnection)):
        task = asyncio.create_task(runtime.spawn_remote(main, FAR, M, F, []))
        await asyncio.sleep(0)
        ref = out.take()[-1][0].request
        control(runtime, c.SpawnReply(ref, main.pid, 0, outcome))
        with pytest.raises(kind):
            await task
    task = asyncio.create_task(runtime.spawn_remote(main, FAR, M, F, [], link=True))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ref = out.take()[-1][0].request
    control(runtime, c.SpawnReply(ref, main.pid, 1, THERE))
    assert out.take() == [(c.Exit(main.pid, THERE, IN), atom.abandoned)]


async def test_waiting_for_a_pid_of_this_node(runtime: Runtime) -> None:
    runtime.resolver.expose(lambda: None, module=M, name=F)
    pid, _ = await runtime.spawn_remote(runtime.main, runtime.node_name, M, F, [])
    assert runtime.is_alive(pid)


async def test_the_reason_as_the_answer(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    for text, answer in ((False, b"x"), (True, "x")):
        with runtime.open_spawn(main, FAR, M, F, [], text=text) as slot:
            control(runtime, c.SpawnReply(slot.ref, main.pid, 2, THERE))
            control(runtime, c.MonitorExit(THERE, main.pid, slot.ref, IN), (1, b"x"))
            assert await slot.wait(DEADLINE) == (1, answer)
    assert out.take()[0][0].options == [atom.monitor]


async def test_the_reason_that_never_comes(runtime: Runtime, out: Recorder) -> None:
    main = runtime.main
    slot = runtime.open_spawn(main, FAR, M, F, [])
    control(runtime, c.SpawnReply(slot.ref, main.pid, 0, atom.system_limit))
    with pytest.raises(CallExit):
        await slot
    slot = runtime.open_spawn(main, FAR, M, F, [])
    control(runtime, c.SpawnReply(slot.ref, main.pid, 2, THERE))
    runtime.peer_down(FAR, PEER, atom.bye)
    with pytest.raises(NoConnection):
        await slot
    slot = runtime.open_spawn(main, FAR, M, F, [])
    slot.close()
    out.take()
    control(runtime, c.SpawnReply(slot.ref, main.pid, 2, THERE))
    assert out.take() == [c.Demonitor(main.pid, THERE, slot.ref)]
    slot = runtime.open_spawn(main, FAR, M, F, [])
    control(runtime, c.SpawnReply(slot.ref, main.pid, 2, THERE))
    slot.close()
    assert out.take()[-1] == c.Demonitor(main.pid, THERE, slot.ref)
    slot.fired(atom.late)
    out.full = True
    with pytest.raises(PeerBusy):
        _ = runtime.open_spawn(main, FAR, M, F, [])
    assert main.rare is not None
    assert main.rare.calls == {}


async def test_the_reason_from_this_very_node(runtime: Runtime) -> None:
    async def f() -> None:
        raise Exit((atom.result, 42))

    runtime.resolver.expose(f, module=M)
    with runtime.open_spawn(runtime.main, runtime.node_name, M, F, []) as slot:
        assert await slot.wait(DEADLINE) == (atom.result, 42)


# --------------------------------------------------------------------------- the resolver


def test_arities_of_a_signature() -> None:
    resolver = Resolver()

    def function(one: Any, two: Any = 2, *, option: Any = 3) -> None: ...
    def variadic(*args: Any) -> None: ...

    resolver.expose(function, module="m")
    resolver.expose(variadic, module="m", name="any")
    name = Atom("function")
    found = [resolver.resolve(M, name, arity) for arity in range(4)]
    assert found == [None, function, function, None]
    assert resolver.resolve(M, Atom("any"), 17) is variadic
    for module, name_, arity in ((Atom("x"), name, 1), (M, Atom("x"), 1), ("m", name, 1)):
        assert resolver.resolve(module, name_, arity) is None


def test_arities_that_are_given() -> None:
    resolver = Resolver()

    def variadic(*args: Any) -> None: ...

    resolver.expose(variadic, module=M, name="one", arity=1, blocking=True)
    resolver.expose(variadic, module=M, name="some", arity=[0, 2])
    entry = resolver.entry(M, Atom("one"), 1)
    assert entry is not None
    assert entry.blocking
    assert resolver.entry(M, Atom("one"), 2) is None
    assert [resolver.resolve(M, Atom("some"), n) is not None for n in range(3)] == [
        True,
        False,
        True,
    ]
    resolver.withdraw("m", "some")
    resolver.withdraw("m", "nothing")
    assert resolver.resolve(M, Atom("some"), 0) is None
    assert resolver.resolve(M, Atom("one"), 1) is variadic
