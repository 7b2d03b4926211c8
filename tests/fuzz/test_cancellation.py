"""Cancelled after any number of turns of the loop: nothing lost, nothing left, nothing wedged."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from pynode import GenServer, Node, atom, charlist
from pynode.behaviours import gen
from pynode.errors import NodeDown
from pynode.process import Process
from pynode.terms import Pid
from pynode.testing import eventually

#: More turns than any of these operations takes on a machine that is not busy.
MOST_TURNS = 400


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Node, Node]]:
    options: dict[str, Any] = {"cookie": "test", "epmd_port": free_port()}
    async with Node("one@localhost", **options) as one, Node("two@localhost", **options) as two:
        yield one, two


async def cut(
    operation: Callable[[], Coroutine[Any, Any, Any]],
    after: Callable[[asyncio.Task[Any]], Awaitable[None]],
    *,
    step: int = 1,
) -> None:
    """Run ``operation``, cancel it after 0, 1, 2, ... turns, until it ends before that.

    What waits for the network takes as many turns as it takes; the cuts lie anywhere in it.
    """
    for turns in range(0, MOST_TURNS, step):
        task = asyncio.create_task(operation(), name=f"test-operation-{turns}")
        for _ in range(turns):
            await asyncio.sleep(0)
        whole = task.done()
        task.cancel()
        await asyncio.wait([task])
        await after(task)
        if whole:
            return
    # Never whole in that many turns: it was cut at all of them, which will do.


class Echo(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request

    def handle_cast(self, request: Any) -> None:
        pass


def result_of(task: asyncio.Task[Any]) -> Any:
    return None if task.cancelled() else task.result()


def clean(process: Process) -> bool:
    extra = process.rare
    return not process.monitors and (extra is None or not extra.calls)


async def test_receive(pair: tuple[Node, Node]) -> None:
    """A message is returned or still there, in its place."""
    process = pair[0].runtime.spawn(None)

    async def receive() -> Any:
        pair[0].send(process.pid, atom.first)
        await asyncio.sleep(0)
        pair[0].send(process.pid, atom.second)
        return await process.receive(lambda message: message == atom.second, timeout=60)

    async def after(task: asyncio.Task[Any]) -> None:
        got = [result_of(task)] if result_of(task) is not None else []
        left = [] if process.mailbox is None else process.mailbox.messages()
        assert [*left, *got] in ([], [atom.first], [atom.first, atom.second])
        assert process.receivers is None
        process.mailbox = None

    await cut(receive, after)


async def test_calls(pair: tuple[Node, Node]) -> None:
    """A cancelled call leaves no monitor, no alias, and no reply in the mailbox."""
    one, two = pair
    near, far = await one.start(Echo), await two.start(Echo)
    caller = one.runtime.spawn(None)
    await one.connect(two.name)
    for server in (near, far):

        async def ask(server: Pid = server) -> Any:
            return await gen.call(caller, server, atom.hello)

        async def after(task: asyncio.Task[Any]) -> None:
            assert result_of(task) in (None, atom.hello)
            assert clean(caller)

        await cut(ask, after)
        assert await gen.call(caller, server, atom.again, 30) == atom.again
        assert not caller.mailbox
    assert not one.runtime.aliases
    there = two.runtime.local(far)
    await eventually(lambda: there is not None and not there.watchers)


async def test_connect(pair: tuple[Node, Node]) -> None:
    """A cancelled connect is joined by the next one, or made again by it."""
    one, two = pair

    async def after(task: asyncio.Task[Any]) -> None:
        await one.connect(two.name)
        one.disconnect(two.name)
        await eventually(lambda: not two.nodes())

    await cut(lambda: one.connect(two.name), after, step=3)
    assert one._net is not None
    assert not one._net._entries


async def test_names(pair: tuple[Node, Node]) -> None:
    """After a cancelled change the name is on all nodes or on none, and the next one goes on."""
    one, two = pair
    await one.connect(two.name)
    await one.global_.sync()
    name, pid = charlist("name"), one.runtime.spawn(None).pid

    async def after(task: asyncio.Task[Any]) -> None:
        # Behind whatever the registrar still has to do.
        async with asyncio.timeout(30):
            await one.global_.unregister_name(name)
            assert await one.global_.register_name(charlist("other"), one.runtime.main.pid)
            await one.global_.unregister_name(charlist("other"))
            await one.global_.unregister_name(name)
        for node in pair:
            await eventually(lambda node=node: node.global_.lookup(name) is None)

    await cut(lambda: one.global_.register_name(name, pid), after, step=7)


async def test_locks(pair: tuple[Node, Node]) -> None:
    """A cancelled trans holds no lock; after a cancelled set_lock a del_lock is enough."""
    one, two = pair
    await one.connect(two.name)
    await one.global_.sync()
    lock, other = (atom.resource, atom.one), (atom.resource, atom.two)

    async def after_trans(task: asyncio.Task[Any]) -> None:
        async with asyncio.timeout(30):
            assert await two.global_.set_lock(other)
            await two.global_.del_lock(other)

    async def after_set(task: asyncio.Task[Any]) -> None:
        await one.global_.del_lock(lock)
        await after_trans(task)

    await cut(lambda: one.global_.trans(lock, lambda: asyncio.sleep(0)), after_trans, step=5)
    await cut(lambda: one.global_.set_lock(lock), after_set, step=5)


async def test_starts_of_servers(pair: tuple[Node, Node]) -> None:
    """A cancelled start leaves no process and no name behind."""
    one = pair[0]
    one.runtime.main  # noqa: B018  made now, for it stays
    for name in (None, "local", ("global", charlist("server"))):
        before = {process.pid for process in one.runtime.processes()}

        async def after(
            task: asyncio.Task[Any], before: set[Pid] = before, name: Any = name
        ) -> None:
            pid = result_of(task)
            if pid is not None:
                await one.stop_server(pid)
            await eventually(
                lambda: not [p for p in one.runtime.processes() if p.pid not in before]
            )
            if isinstance(name, tuple):
                await eventually(lambda: one.global_.lookup(name[1]) is None)

        await cut(partial(one.start, Echo, name=name), after)


async def test_starts_of_nodes() -> None:
    """A cancelled start closes all it had opened: the name and the ports are free again."""
    port = free_port()
    options: dict[str, Any] = {"cookie": "test", "epmd_port": port}

    async def after(task: asyncio.Task[Any]) -> None:
        node = result_of(task)
        if node is not None:
            await node.stop()
            with pytest.raises(NodeDown):
                node.spawn(None)

    await cut(lambda: Node.start("one@localhost", **options), after, step=2)
    async with Node("one@localhost", **options):
        pass
