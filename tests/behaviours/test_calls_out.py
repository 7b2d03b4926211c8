"""Calls and casts to another node: whatever becomes of one, nothing of it is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pynode import (
    NO_REPLY,
    CallExit,
    CallingSelf,
    CallTimeout,
    EncodeError,
    GenServer,
    NoConnection,
    Node,
    NoProcess,
    Pid,
    ProcessDead,
    atom,
    call,
    cast,
    send,
)
from pynode.behaviours import gen
from pynode.config import Limits
from pynode.errors import CookieError, NoSuchNode, PeerBusy
from pynode.process import Process
from pynode.terms import Atom
from pynode.testing import eventually

DEADLINE = 10.0


class Server(GenServer):
    def init(self) -> None:
        self.heard: list[Any] = []
        self.callers: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        self.heard.append(request)
        match request:
            case atom.later:
                self.callers.append(caller)
                return NO_REPLY
            case atom.heard:
                return list(self.heard)
            case atom.at_the_pid:
                send(caller.pid, (caller.tag, request))
                return NO_REPLY
            case atom.twice:
                caller.reply(1)
                return 2
            case atom.crash:
                raise ValueError("crash")
            case (atom.reply, value):
                return value
            case bytes():
                return len(request)
        return request

    def handle_cast(self, request: Any) -> None:
        self.heard.append(request)

    def handle_info(self, message: Any) -> None:
        self.heard.append(message)
        if message == atom.answer:
            for caller in self.callers:
                caller.reply(atom.late)
            self.callers.clear()


class Pair:
    """Two nodes, and a server on the second."""

    def __init__(self, node: Node, other: Node, server: Pid) -> None:
        self.node = node
        self.other = other
        self.server = server

    @property
    def left(self) -> dict[str, int]:
        """What is left of calls on the node that made them."""
        runtime = self.node.runtime
        remote = runtime.nodes.find(self.other.name)
        main = runtime.main
        return {
            "aliases": len(runtime.aliases),
            "timers": len(runtime.timers),
            "calls": 0 if main.rare is None else len(main.rare.calls),
            "monitors": len(main.monitors or ()),
            "monitors there": 0 if remote is None else len(remote.monitors),
        }

    @property
    def watched(self) -> bool:
        """Whether the server is still watched by anybody."""
        remote = self.other.runtime.nodes.find(self.node.name)
        process = self.other.runtime.local(self.server)
        watchers = None if process is None else process.watchers
        return bool(watchers) or bool(remote is not None and remote.watchers)

    async def clean(self, before: dict[str, int]) -> None:
        """Wait until nothing is left, on both sides."""
        assert self.left == before
        await eventually(lambda: not self.watched)


@contextlib.asynccontextmanager
async def two(py_node: Any, **options: Any) -> AsyncIterator[Pair]:
    async with py_node(hidden=True, **options) as node, py_node(hidden=True) as other:
        await node.connect(other.name)
        pair = Pair(node, other, await other.start(Server, name="server"))
        yield pair


async def test_replies(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, other, server = pair.node, pair.other, pair.server
        before = pair.left
        for target in (server, ("server", other.name)):
            for value in (None, 1, "text", (1, 2), (), [b"list"], {b"a": 1}, atom.a, 2.5):
                found = await node.call(target, (atom.reply, value))
                assert found == (b"text" if value == "text" else value)
            assert await node.call(target, atom.at_the_pid) == atom.at_the_pid
            assert await node.call(target, atom.twice) == 1
            assert await node.call(target, (atom.reply, [b"text", b"\xff"]), text=True) == [
                "text",
                b"\xff",
            ]
            assert await node.call(target, b"x" * 20_000) == 20_000
            assert await node.call(target, bytes(200_000), timeout=None) == 200_000
        await pair.clean(before)
        with pytest.raises(TimeoutError):
            await node.main.receive(timeout=0)


async def test_in_the_order_of_the_sends(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, server = pair.node, pair.server
        node.send(server, 1)
        node.cast(server, 2)
        first = asyncio.create_task(node.call(server, 3))
        await asyncio.sleep(0)
        node.cast(server, bytes(100_000))  # in fragments: what follows waits for the last
        node.cast(server, 4)
        node.send(server, 5)
        heard = await node.call(server, atom.heard)
        assert await first == 3
        assert heard == [1, 2, 3, bytes(100_000), 4, 5, atom.heard]


async def test_refusals(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, server = pair.node, pair.server
        before = pair.left
        with pytest.raises(EncodeError):
            await node.call(server, float("nan"))
        with pytest.raises(EncodeError):
            await node.call(("server", pair.other.name), {1: object()})
        with pytest.raises(CallingSelf):
            await node.call(node.main.pid, 1)
        assert await node.call(server, atom.heard) == [atom.heard]
        with pytest.raises(TypeError):
            await node.call(server, 1, timeout="soon")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await node.call(1, 1)  # type: ignore[arg-type]
        with pytest.raises(NoProcess) as none:
            await node.call(("nobody", pair.other.name), 1)
        assert none.value.call == (
            atom.gen_server,
            atom.call,
            [("nobody", pair.other.name), 1, 5000],
        )
        gone = Pid(pair.other.name, 99_999, 0, server.creation)
        with pytest.raises(NoProcess) as none:
            await node.call(gone, 1, timeout=None)
        assert none.value.call == (atom.gen_server, atom.call, [gone, 1, atom.infinity])
        await pair.clean(before)


async def test_a_crash_is_the_reason(py_node: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with two(py_node) as pair:
        before = pair.left
        with pytest.raises(CallExit) as crash:
            await pair.node.call(pair.server, atom.crash)
        assert crash.value.reason[0][:2] == (atom.python_error, atom.ValueError)
        assert crash.value.call == (atom.gen_server, atom.call, [pair.server, atom.crash, 5000])
        await pair.clean(before)


async def test_time_runs_out(py_node: Any) -> None:
    async with two(py_node) as pair:
        before = pair.left
        for timeout in (0, 0.001):
            with pytest.raises(CallTimeout) as late:
                await pair.node.call(pair.server, atom.later, timeout=timeout)
            assert late.value.reason == atom.timeout
            assert late.value.call == (
                atom.gen_server,
                atom.call,
                [pair.server, atom.later, round(timeout * 1000)],
            )
            await pair.clean(before)
        pair.node.send(pair.server, atom.answer)
        assert await pair.node.call(pair.server, 1) == 1
        with pytest.raises(TimeoutError):
            await pair.node.main.receive(timeout=0)


async def test_cancelled(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, before = pair.node, pair.left
        task = asyncio.create_task(node.call(pair.server, atom.later))
        await asyncio.sleep(0)
        assert pair.left != before
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        await pair.clean(before)
        task = asyncio.create_task(node.call(pair.server, atom.later))
        task.cancel()  # before it has begun
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await node.call(pair.server, atom.later)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(node.call(pair.server, atom.later), 0.01)
        await pair.clean(before)
        coroutine = node.call(pair.server, atom.later)
        coroutine.send(None)
        assert pair.left != before
        coroutine.close()
        await pair.clean(before)
        assert await node.call(pair.server, 1) == 1


async def test_a_reply_and_a_cancellation_in_one_turn(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, before = pair.node, pair.left
        task = asyncio.create_task(node.call(pair.server, atom.later))
        await asyncio.sleep(0)
        slot = next(iter(node.main.extra.calls.values()))
        slot.replied(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        task = asyncio.create_task(node.call(pair.server, atom.later))
        await asyncio.sleep(0)
        slot = next(iter(node.main.extra.calls.values()))
        task.cancel()
        slot.replied(1)
        slot.close()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pair.clean(before)


async def test_many_at_once(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, before = pair.node, pair.left
        found = await asyncio.gather(
            *(node.call(pair.server, number, timeout=DEADLINE) for number in range(300))
        )
        assert found == list(range(300))
        tasks = [asyncio.create_task(node.call(pair.server, atom.later)) for _ in range(50)]
        await eventually(lambda: pair.left["calls"] == before["calls"] + 50)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks[::2])
        node.send(pair.server, atom.answer)
        assert await asyncio.gather(*tasks[1::2]) == [atom.late] * 25
        await pair.clean(before)


async def test_the_link_is_lost(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, other, before = pair.node, pair.other, pair.left
        for target in (pair.server, ("server", other.name)):
            task = asyncio.create_task(node.call(target, atom.later))
            await asyncio.sleep(0)
            node.disconnect(other.name)
            with pytest.raises(NoConnection) as lost:
                await task
            assert lost.value.reason == (atom.nodedown, other.name)
            assert lost.value.call == (atom.gen_server, atom.call, [target, atom.later, 5000])
            await eventually(lambda: not pair.watched)
            assert pair.left == before
            assert await node.call(target, 1, timeout=DEADLINE) == 1  # connects by itself
            await pair.clean(before)


class Losing(dict[Any, Any]):
    """Does something while it is written."""

    def __init__(self, act: Any) -> None:
        super().__init__({atom.a: 1})
        self.act = act

    def items(self) -> Any:
        act, self.act = self.act, lambda: None
        act()
        return super().items()


async def test_the_link_is_lost_while_the_request_is_written(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, other, before = pair.node, pair.other, pair.left
        request = Losing(lambda: node.disconnect(other.name))
        with contextlib.suppress(NoConnection):  # else it connects by itself
            assert await node.call(pair.server, request, timeout=DEADLINE) == {atom.a: 1}
        request = Losing(lambda: node.cast(pair.server, 7))
        assert await node.call(pair.server, request, timeout=DEADLINE) == {atom.a: 1}
        assert (await node.call(pair.server, atom.heard))[-3:] == [7, {atom.a: 1}, atom.heard]
        await pair.clean(before)


async def test_the_caller_ends(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, before = pair.node, pair.left
        seen: list[str] = []

        async def body(process: Process) -> None:
            try:
                await call(pair.server, atom.later)
            except asyncio.CancelledError:
                seen.append("cancelled")
                with pytest.raises(ProcessDead):
                    await gen.call(process, pair.server, 1)
                raise

        pid = node.spawn(body)
        await eventually(lambda: pair.watched)
        node.exit(pid, atom.bye)
        await eventually(lambda: seen == ["cancelled"])
        await pair.clean(before)
        dead = node.runtime.spawn(None)
        task = asyncio.create_task(gen.call(dead, pair.server, atom.later))
        await eventually(lambda: pair.watched)
        node.exit(dead.pid, atom.bye)
        with pytest.raises(ProcessDead):
            await task
        await pair.clean(before)


async def test_as_a_process_with_a_task_of_asyncio(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, before = pair.node, pair.left
        done: list[Any] = []

        async def body(process: Process) -> None:
            done.append(await call(pair.server, 1))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(call(pair.server, number)) for number in range(5)]
            done.append([task.result() for task in tasks])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await call(pair.server, atom.later)
            with pytest.raises(CallTimeout):
                await call(pair.server, atom.later, timeout=0.01)
            cast(pair.server, 9)
            send(pair.server, 10)
            done.append((await call(pair.server, atom.heard))[-3:])

        node.spawn(body)
        await eventually(lambda: len(done) == 3)
        assert done == [1, [0, 1, 2, 3, 4], [9, 10, atom.heard]]
        await pair.clean(before)


async def test_from_another_thread(py_node: Any) -> None:
    async with two(py_node) as pair:
        node = pair.node

        def talk() -> None:
            for number in range(20):
                node.send(pair.server, number)
                node.cast(pair.server, number)

        thread = threading.Thread(target=talk)
        thread.start()
        await eventually(lambda: not thread.is_alive())
        heard = await node.call(pair.server, atom.heard)
        assert heard == [number for number in range(20) for _ in range(2)] + [atom.heard]


async def test_a_busy_peer_holds_the_caller_and_then_refuses(py_node: Any) -> None:
    limits = Limits(
        peer_high_water_bytes=100_000, peer_low_water_bytes=50_000, peer_queue_bytes=30_000_000
    )
    async with two(py_node, limits=limits) as pair:
        node, other, before = pair.node, pair.other, pair.left
        other.net.pause_reading(node.name)
        task = asyncio.create_task(node.call(pair.server, bytes(20_000_000), timeout=None))
        await asyncio.sleep(0)
        assert node.runtime.router.is_busy(other.name)
        with pytest.raises(PeerBusy):
            await node.call(pair.server, bytes(20_000_000))
        with pytest.raises(PeerBusy):
            node.cast(pair.server, bytes(20_000_000))
        second = asyncio.create_task(node.call(pair.server, 1, timeout=None))
        await asyncio.sleep(0)
        other.net.resume_reading(node.name)
        assert await task == 20_000_000
        assert await second == 1
        await pair.clean(before)


async def test_a_busy_peer_stops_nothing_that_has_to_do_with_others(py_node: Any) -> None:
    limits = Limits(peer_high_water_bytes=100_000, peer_low_water_bytes=50_000)
    async with two(py_node, limits=limits) as pair, py_node(hidden=True) as third:
        node, stuck = pair.node, pair.other
        await node.connect(third.name)
        healthy, here = await third.start(Server), await node.start(Server)
        stuck.net.pause_reading(node.name)
        async with asyncio.timeout(DEADLINE):
            while not node.runtime.router.is_busy(stuck.name):
                node.cast(pair.server, bytes(1_000_000))
                await asyncio.sleep(0)
        for target in (healthy, here):
            assert await node.call(target, 1, timeout=DEADLINE) == 1
            assert await asyncio.to_thread(in_thread, node, target) == 2
        assert await node.rpc.call(third.name, "erlang", "node", timeout=DEADLINE) == third.name
        node.send(node.main.pid, atom.mine)
        assert await node.main.receive(timeout=DEADLINE) == atom.mine
        with pytest.raises(TimeoutError):
            await node.main.receive(timeout=0.001)
        for target in (pair.server, ("server", stuck.name)):
            with pytest.raises(CallTimeout):
                await node.call(target, 1, timeout=0.001)
        with pytest.raises(CallTimeout):
            await node.rpc.call(stuck.name, "erlang", "node", timeout=0.001)

        async def body(process: Process) -> None:
            send(pair.server, bytes(1_000_000))
            assert process.held_by
            with pytest.raises(CallTimeout):
                await call(pair.server, 1, timeout=0.001)
            with pytest.raises(TimeoutError):
                await process.receive(timeout=0.001)

        _, ref = node.spawn_monitor(body)
        down = await node.main.receive(lambda message: message[1] == ref, timeout=DEADLINE)
        assert down[-1] == atom.normal
        thread = asyncio.create_task(asyncio.to_thread(node.send, pair.server, bytes(1_000_000)))
        last = asyncio.create_task(node.call(pair.server, atom.last, timeout=None))
        assert not (await asyncio.wait([thread, last], timeout=0.05))[0]
        stuck.net.resume_reading(node.name)
        assert await last == atom.last
        await thread
        assert await node.call(pair.server, 2) == 2


async def test_a_failed_call_says_what_the_server_raised(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, other = pair.node, pair.other
        here = await node.start(Server)
        for target in (("server", other.name), here):
            with pytest.raises(CallExit) as caught:
                await node.call(target, atom.crash)
            error = caught.value
            where = node.name if target == here else other.name
            said = f"ValueError on {where}: crash, in gen_server:call("
            assert str(error).startswith(said)
            assert str(error).endswith(", atom.crash, 5000)")
            assert error.reason[0] == (atom.python_error, atom.ValueError, b"crash")
            assert error.raised is not None
            assert (error.raised.exception, error.raised.message) == ("ValueError", "crash")
            [note] = error.__notes__
            assert note.startswith(f"stack on {where}:\n  ")
            assert "Server.handle_call/3" in note
            assert "test_calls_out.py:" in note
        with pytest.raises(NoProcess, match=r"^noproc: no such process, .* in gen_server:call\("):
            await node.call(("none", other.name), 1)
        with pytest.raises(CallTimeout, match=r"^timeout: no reply in time, in gen_server:call\("):
            await node.call(await other.start(Server), atom.later, timeout=0.001)
        with pytest.raises(NoConnection, match=r"^nodedown: no connection to none@localhost"):
            await node.call(("none", "none@localhost"), 1)


async def test_no_connection_says_why(py_node: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with two(py_node) as pair, py_node(hidden=True, cookie="another") as stranger:
        node = pair.node
        for name, kind in (("none@localhost", NoSuchNode), (stranger.name.name, CookieError)):
            node.disconnect(name)
            calls: list[Callable[[], Any]] = [
                lambda: node.call(("x", name), 1),  # noqa: B023
                lambda: node.rpc.call(name, "m", "f"),  # noqa: B023
                lambda: node.erpc.send_request(name, "m", "f").receive_response(),  # noqa: B023
                lambda: node.gen_server.send_request(("x", name), 1).receive_response(),  # noqa: B023
                lambda: node.runtime.spawn_remote(node.main, name, "m", "f", []),  # noqa: B023
            ]
            for made in calls:
                with pytest.raises(NoConnection) as caught:
                    await made()
                cause = caught.value.__cause__
                assert type(cause) is kind
                assert cause.node == name
                assert f"({cause.problem})" in str(caught.value)
            caplog.clear()
            assert not await node.ping(name)
            assert ("no answer to a ping" in caplog.text) == (kind is CookieError)
        slot = node.runtime.open_call(node.main, pair.server)
        node.disconnect(pair.other.name)
        with pytest.raises(NoConnection) as caught:
            await slot.wait(DEADLINE)
        assert caught.value.__cause__ is None  # of no attempt at all
        assert node.runtime.down_cause is None


async def test_calls_under_way_when_the_node_stops(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, remote = pair.node, pair.server
        here = await node.start(Server)
        pair.other.runtime.resolver.expose(asyncio.sleep, module="m", name="sleep", arity=1)
        begun = [
            node.call(here, atom.later),
            node.call(remote, atom.later),
            node.call(("server", pair.other.name), atom.later),
            node.gen_statem.call(remote, atom.later),
            node.rpc.call(pair.other.name, "m", "sleep", [60]),
            node.erpc.send_request(pair.other.name, "m", "sleep", [60]).receive_response(),
            node.gen_server.send_request(remote, atom.later).receive_response(),
        ]
        calls = [asyncio.create_task(each) for each in begun]
        await eventually(lambda: len(node.main.extra.calls) >= len(calls) - 1)
        await node.stop()
        for task in calls:
            with pytest.raises(CallExit) as caught:
                await task
            assert task is calls[0] or isinstance(caught.value, ProcessDead)
            assert "has ended" in str(caught.value) or task is calls[0]


def test_which_reasons_are_read() -> None:
    frame = (atom.m, atom.f, 1, [(atom.file, list(b"m.erl")), (atom.line, 3)])
    struct = {atom("__struct__"): Atom("Elixir.KeyError"), atom.message: b"no key"}
    called = (atom.gen_server, atom.call, [("s", Atom("x@h")), 1, 5000])
    texts = {
        "error on x@h: atom.badarith in": (atom.badarith, [frame]),
        "KeyError on x@h: no key, in gen_server:call(": (struct, [frame]),
        "exit: (atom.a, [])": (atom.a, []),
        "exit: (atom.a, [1, (2,)])": (atom.a, [1, (2,)]),
        "exit: atom.bye": atom.bye,
    }
    for text, reason in texts.items():
        error = gen.call_exit(reason, called)
        assert str(error).startswith(text)
        assert (error.raised is None) == text.startswith("exit")
        assert error.reason is reason
        stack = ["stack on x@h:\n  m:f/1 (m.erl:3)"]
        assert getattr(error, "__notes__", []) == ([] if error.raised is None else stack)
    assert str(gen.call_exit((atom.badarith, [frame]))).startswith("error: atom.badarith")


def in_thread(node: Node, target: Pid) -> Any:
    node.send(target, 1)
    return 2


async def test_small_messages_press_as_large_ones_do(py_node: Any) -> None:
    limits = Limits(
        peer_high_water_bytes=200_000, peer_low_water_bytes=50_000, peer_queue_bytes=400_000
    )
    async with two(py_node, limits=limits) as pair:
        node, other = pair.node, pair.other
        other.net.pause_reading(node.name)
        sent = 0

        def flood(until: Callable[[], object]) -> None:
            nonlocal sent
            while not until():
                node.send(pair.server, (sent, b"x" * 1000))
                sent += 1

        busy = node.runtime.router.is_busy
        while not busy(other.name):
            enough = sent + 50
            flood(lambda: busy(other.name) or sent == enough)  # noqa: B023
            await asyncio.sleep(0)
        assert 200_000 < node.net.queued_bytes(other.name) < 202_000
        with pytest.raises(PeerBusy):
            flood(lambda: False)
        assert 398_000 < node.net.queued_bytes(other.name) < 402_000
        with pytest.raises(PeerBusy):
            node.cast(pair.server, b"x" * 3000)
        with pytest.raises(PeerBusy):
            await node.call(pair.server, b"x" * 3000)
        other.net.resume_reading(node.name)
        await node.drain(other.name)
        assert not busy(other.name)
        heard = await node.call(pair.server, atom.heard, timeout=None)
        assert [message[0] for message in heard[:-1]] == list(range(sent))


async def test_calls_leave_no_object_behind(py_node: Any) -> None:
    async with two(py_node) as pair:
        node, server, before = pair.node, pair.server, pair.left

        async def some(count: int) -> None:
            for number in range(count):
                assert await node.call(server, number) == number
                if number % 10 == 0:
                    with pytest.raises(CallTimeout):
                        await node.call(server, NO_REPLY_WANTED, timeout=0)

        await some(300)
        gc.collect()
        objects = len(gc.get_objects())
        await some(1000)
        gc.collect()
        assert len(gc.get_objects()) - objects < 500
        await pair.clean(before)


NO_REPLY_WANTED = Atom("later")


async def test_who_acts(py_node: Any) -> None:
    async with two(py_node) as pair, py_node(hidden=True) as third:
        node = pair.node
        senders: list[Any] = []

        class Who(GenServer):
            def handle_call(self, request: Any, caller: Any) -> Any:
                senders.append(caller.pid)

        who = await pair.other.start(Who)
        await third.connect(pair.other.name)

        async def body(process: Process) -> None:
            senders.append(process.pid)
            await node.call(who, 1)
            await third.call(who, 1)  # another node's: as its main process
            senders.append(None)

        await node.call(who, 1)
        node.spawn(body)
        await eventually(lambda: None in senders)
        main, pid, called, other, _ = senders
        assert (main, called, other) == (node.main.pid, pid, third.main.pid)


async def test_after_the_end_of_the_node(py_node: Any) -> None:
    from pynode import NodeDown

    async with two(py_node) as pair:
        node = pair.node
        await node.stop()
        for act in (node.send, node.cast):
            with pytest.raises(NodeDown):
                act(pair.server, 1)
        with pytest.raises(NodeDown):
            await node.call(pair.server, 1)


async def test_main_that_was_killed_is_made_again(py_node: Any) -> None:
    async with two(py_node) as pair:
        node = pair.node
        first = node.main.pid
        node.exit(first, atom.kill)
        node.cast(pair.server, 1)
        assert await node.call(pair.server, atom.heard) == [1, atom.heard]
        assert node.main.pid != first
