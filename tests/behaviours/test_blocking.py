"""blocking=True: callbacks in a thread, one at a time, while the loop goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pynode.behaviours import GenServer, gen, start
from pynode.errors import NO_REPLY, CallExit, Ignore, StartError, Stop
from pynode.process.current import self_, send, wait
from pynode.process.runtime import Runtime
from pynode.terms import Pid, atom

from .helpers import DEADLINE, Echo, receive


class Model(GenServer, blocking=True):
    threads: set[int]
    gate: threading.Event

    def init(self, gate: threading.Event, *, first: Any = None) -> None:
        if first is Ignore:
            raise Ignore
        self.gate = gate
        self.threads = {threading.get_ident()}
        self.log: list[Any] = [first]

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        self.threads.add(threading.get_ident())
        match request:
            case atom.compute:
                assert self.gate.wait(DEADLINE)
                return atom.computed
            case atom.log:
                return self.log
            case atom.later:
                caller.reply(atom.replied_in_the_thread)
                return NO_REPLY
            case atom.crash:
                raise ValueError("in the thread")
            case atom.stop:
                raise Stop(atom.normal, reply=atom.bye)
            case (atom.ask, pid):
                return wait(gen.call(self.process, pid, atom.asked))
            case (atom.send, pid):
                send(pid, (atom.from_, self_()))
                return atom.ok
        return request

    def handle_cast(self, request: Any) -> None:
        self.threads.add(threading.get_ident())
        self.log.append(request)


async def test_the_loop_goes_on_while_a_callback_computes(runtime: Runtime) -> None:
    gate = threading.Event()
    pid = await start(runtime, Model, gate, first=atom.first)
    main = runtime.main
    computing = asyncio.create_task(gen.call(main, pid, atom.compute))
    for number in range(3):
        gen.cast(main, pid, number)
    echo = await start(runtime, Echo)
    assert await gen.call(main, echo, 1) == 1  # others are served meanwhile
    assert not computing.done()
    gate.set()
    assert await computing == atom.computed
    assert await gen.call(main, pid, atom.log) == [atom.first, 0, 1, 2]
    server = runtime.local(pid)
    assert server is not None
    threads = server.body.instance.threads  # type: ignore[union-attr]
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    await gen.stop(main, pid)


async def test_what_a_thread_may_do(runtime: Runtime) -> None:
    gate = threading.Event()
    pid = await start(runtime, Model, gate)
    main = runtime.main
    echo = await start(runtime, Echo)
    assert await gen.call(main, pid, atom.later) == atom.replied_in_the_thread
    assert await gen.call(main, pid, (atom.ask, echo)) == atom.asked
    assert await gen.call(main, pid, (atom.send, main.pid)) == atom.ok
    assert await receive(main) == (atom.from_, pid)
    assert await gen.call(main, pid, atom.stop) == atom.bye


async def test_a_crash_in_the_thread(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    pid = await start(runtime, Model, threading.Event())
    with pytest.raises(CallExit) as caught:
        await gen.call(runtime.main, pid, atom.crash)
    assert caught.value.reason[0] == (atom.python_error, atom.ValueError, b"in the thread")
    names = [frame[1].name for frame in caught.value.reason[1]]
    assert names == ["Model.handle_call"]
    assert caplog.text.count('  File "') == 1


async def test_init_declines_in_the_thread(runtime: Runtime) -> None:
    with pytest.raises(StartError):
        await start(runtime, Model, threading.Event(), first=Ignore)


async def test_killed_while_it_computes(runtime: Runtime) -> None:
    gate = threading.Event()
    pid: Pid = await start(runtime, Model, gate)
    computing = asyncio.create_task(gen.call(runtime.main, pid, atom.compute))
    await asyncio.sleep(0.001)
    runtime.exit(runtime.main, pid, atom.kill)
    with pytest.raises(CallExit) as caught:
        await computing
    assert caught.value.reason == atom.killed
    gate.set()


def test_async_callbacks_are_refused_at_the_class() -> None:
    with pytest.raises(TypeError, match="handle_call is async"):

        class Wrong(GenServer, blocking=True):
            async def handle_call(self, request: Any, caller: gen.Caller) -> Any:
                return request
