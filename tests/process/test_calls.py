from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.errors import CallExit, CallTimeout, NoConnection, NoProcess, ProcessDead
from pynode.process import CallSlot, Process, Runtime
from pynode.terms import Atom, ImproperList, Pid, atom
from tests.process.test_process import DEADLINE, gone
from tests.process.wire import Recorder, until


class Server:
    """Answers ``(tag, pid, how)`` as it is told."""

    def start(self, process: Process) -> None:
        return None

    def message(self, process: Process, message: Any) -> None:
        runtime = process.runtime
        match message:
            case (tag, _, atom.alias):
                runtime.send(process, tag.tail, (tag, [b"alias"]))
            case (tag, pid, atom.pid):
                runtime.send(process, pid, (tag, b"pid"))
            case (tag, _, atom.twice):
                runtime.send(process, tag.tail, (tag, 1))
                runtime.send(process, tag.tail, (tag, 2))
            case (tag, _, atom.other):
                runtime.send(process, tag.tail, atom.other)
                runtime.send(process, tag.tail, (tag, 3))
            case (_, _, atom.silent):
                pass
            case (_, _, reason):
                runtime.exit(process, process.pid, reason)

    def terminated(self, process: Process, reason: Any) -> None:
        return None


async def call(runtime: Runtime, target: Any, how: Any, *, text: bool = False) -> Any:
    main = runtime.main
    with runtime.open_call(main, target, text=text) as slot:
        runtime.send(main, target, (slot.tag, main.pid, how))
        return await slot.wait(DEADLINE)


def clean(process: Process) -> bool:
    rare = process.rare
    return (rare is None or not rare.calls) and not process.monitors and not process.runtime.aliases


async def test_replies(runtime: Runtime) -> None:
    server = runtime.spawn(Server(), name="server")
    for target in (server.pid, "server", Atom("server"), ("server", runtime.node_name)):
        assert await call(runtime, target, atom.alias) == [b"alias"]
    assert await call(runtime, server.pid, atom.alias, text=True) == ["alias"]
    assert await call(runtime, server.pid, atom.pid) == b"pid"
    assert clean(runtime.main)
    assert server.watchers == {}


async def test_what_is_no_reply_goes_to_the_mailbox(runtime: Runtime) -> None:
    server = runtime.spawn(Server())
    main = runtime.main
    assert await call(runtime, server.pid, atom.other) == 3
    assert await main.receive(timeout=0) == atom.other
    with runtime.open_call(main, server.pid) as slot:
        for message in (
            1,
            (1,),
            (1, 2),
            (ImproperList([1], 2), 3),
            (ImproperList([atom.alias], runtime.make_ref()), 3),
            (ImproperList([atom.other], slot.ref), 3),
        ):
            runtime.send(main, main.pid, message)
            assert await main.receive(timeout=0) == message
        assert not slot.done


async def test_late_replies_reach_nobody(runtime: Runtime) -> None:
    server = runtime.spawn(Server())
    main = runtime.main
    assert await call(runtime, server.pid, atom.twice) == 1
    with runtime.open_call(main, server.pid) as slot:
        runtime.send(main, server.pid, (slot.tag, main.pid, atom.alias))
    await asyncio.sleep(0)
    slot.replied(1)
    with pytest.raises(TimeoutError):
        await main.receive(timeout=0)
    assert clean(main)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (atom.noproc, NoProcess),
        (atom.noconnection, NoConnection),
        (atom.bye, CallExit),
        ((atom.shutdown, [1]), CallExit),
    ],
)
async def test_downs(runtime: Runtime, reason: Any, kind: type[CallExit]) -> None:
    server = runtime.spawn(Server())
    with pytest.raises(kind) as caught:
        await call(runtime, server.pid, reason)
    assert caught.value.reason == reason
    assert clean(runtime.main)


async def test_nobody_there(runtime: Runtime) -> None:
    gone = Pid(runtime.node_name, 99, 0, 7)
    for target in (gone, ("nobody", runtime.node_name), "nobody"):
        with runtime.open_call(runtime.main, target) as slot, pytest.raises(NoProcess):
            await slot
    with pytest.raises(NoConnection):
        await call(runtime, Pid(Atom("far@host"), 1, 0, 1), 1)


async def test_timeout_closes(runtime: Runtime) -> None:
    server = runtime.spawn(Server())
    slot = runtime.open_call(runtime.main, server.pid)
    with pytest.raises(CallTimeout):
        await slot.wait(0.001)
    assert clean(runtime.main)
    with pytest.raises(CallTimeout):
        await slot.wait()
    slot._timed_out()
    slot.fired(atom.late)
    slot.process_ended()


async def test_a_cancelled_wait_can_be_waited_again(runtime: Runtime) -> None:
    server = runtime.spawn(Server())
    main = runtime.main
    with runtime.open_call(main, server.pid) as slot:
        task = asyncio.create_task(slot.wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        runtime.send(main, server.pid, (slot.tag, main.pid, atom.alias))
        assert await slot.wait(DEADLINE) == [b"alias"]
    assert len(runtime.timers) == 0


async def test_from_a_stepped_process_and_several_waiters(runtime: Runtime) -> None:
    async def body(process: Process) -> None:
        with runtime.open_call(process, server.pid) as slot:
            child = asyncio.create_task(slot.wait(DEADLINE))
            await asyncio.sleep(0)
            runtime.send(process, server.pid, (slot.tag, process.pid, atom.alias))
            results.append(await slot.wait(DEADLINE))
            results.append(await child)

    results: list[Any] = []
    server = runtime.spawn(Server())
    await gone(runtime, runtime.spawn(body))
    assert results == [[b"alias"]] * 2


async def test_the_end_of_the_caller(runtime: Runtime) -> None:
    server, caller = runtime.spawn(Server()), runtime.spawn(None)
    slot = runtime.open_call(caller, server.pid)
    task = asyncio.create_task(slot.wait())
    await asyncio.sleep(0)
    runtime.exit(runtime.main, caller.pid, atom.bye)
    with pytest.raises(ProcessDead):
        await task
    runtime.send(runtime.main, slot.ref, (slot.tag, 1))
    assert server.watchers == {}


async def test_callbacks_and_result(runtime: Runtime) -> None:
    server = runtime.spawn(Server())
    main = runtime.main
    done: list[CallSlot] = []
    slot = runtime.open_call(main, server.pid)
    with pytest.raises(RuntimeError, match="not decided"):
        slot.result()
    slot.add_done_callback(done.append)
    slot.add_done_callback(done.append)
    runtime.send(main, server.pid, (slot.tag, main.pid, atom.pid))
    await until(lambda: slot.done)
    assert slot.result() == b"pid"
    slot.add_done_callback(done.append)
    assert done == [slot] * 3
    slot = runtime.open_call(main, server.pid)
    slot.close()
    slot.close()
    with pytest.raises(RuntimeError, match="closed"):
        await slot


async def test_unalias_does_not_close_a_call(runtime: Runtime, out: Recorder) -> None:
    server = runtime.spawn(Server())
    with runtime.open_call(runtime.main, server.pid) as slot:
        assert not runtime.unalias(runtime.main, slot.ref)
        assert slot.ref in runtime.aliases


async def test_demonitor_leaves_a_call_its_alias(runtime: Runtime) -> None:
    server = runtime.spawn(Server())
    main = runtime.main
    with runtime.open_call(main, server.pid) as slot:
        assert runtime.demonitor(main, slot.ref, info=True)
        runtime.send(main, server.pid, (slot.tag, main.pid, atom.alias))
        assert await slot.wait(DEADLINE) == [b"alias"]
    with pytest.raises(ValueError, match="no monitor"):
        runtime.demonitor(main, type(slot.ref)(Atom("far@host"), 1, (1, 2, 3)))


async def test_alias_modes_are_checked(runtime: Runtime) -> None:
    with pytest.raises(ValueError, match="alias is one of"):
        runtime.monitor(runtime.main, runtime.main.pid, alias="other")


async def test_flush(runtime: Runtime) -> None:
    main = runtime.main
    server = runtime.spawn(Server())
    fired, kept = runtime.monitor(main, server.pid), runtime.monitor(main, server.pid)
    runtime.exit(main, server.pid, atom.bye)
    assert runtime.demonitor(main, fired, flush=True, info=True) is False
    assert (await main.receive(timeout=0))[1] == kept
    assert runtime.demonitor(main, fired, flush=True)
    runtime.send(main, main.pid, (1, 2))
    assert runtime.demonitor(main, fired, flush=True)
    assert await main.receive(timeout=0) == (1, 2)


async def test_a_callback_that_fails_harms_nobody(runtime: Runtime) -> None:
    def fails(slot: CallSlot) -> None:
        raise ValueError("callback")

    contexts: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    slot = runtime.open_call(runtime.main, runtime.spawn(None).pid)
    slot.add_done_callback(fails)
    slot.close()
    slot.add_done_callback(fails)
    loop.set_exception_handler(None)
    assert len(contexts) == 2
