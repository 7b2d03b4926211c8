"""PartitionSupervisor: keys and their partitions."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from pynode.behaviours import ChildSpec, GenServer, PartitionSupervisor, gen, start
from pynode.errors import NameError_, NoProcess, StartError
from pynode.process.runtime import Runtime
from pynode.terms import atom, charlist, elixir

from .helpers import Echo, reason_of_death
from .supervised import Clients


class Worker(GenServer, blocking=True):
    """Says which it is, and in which thread it computes."""

    def init(self, number: int = -1) -> None:
        self.number = number

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return self.number, threading.current_thread().name.encode()


@pytest.fixture
def clients(runtime: Runtime) -> Clients:
    return Clients(runtime)


def numbered(args: tuple[Any, ...], number: int) -> tuple[Any, ...]:
    return (*args, number)


async def test_a_key_goes_to_its_partition(runtime: Runtime, clients: Clients) -> None:
    top = await start(
        runtime, PartitionSupervisor, Worker, name="workers", partitions=3, with_arguments=numbered
    )

    async def ask(key: Any, name: Any = "workers", via: Any = PartitionSupervisor) -> Any:
        return await clients.gen.call(("via", via, (name, key)), atom.who)

    assert [(await ask(key))[0] for key in (0, 1, 2, 3, 10**30, -4)] == [0, 1, 2, 0, 1, 1]
    threads = {(await ask(key))[1] for key in range(3)}
    assert len(threads) == 3
    for key in (b"a", "a", atom.a, charlist("a"), 1.0, (1, [2]), {b"x": [1]}, runtime.main.pid):
        assert (await ask(key)) == (await ask(key))
    assert (await ask(b"a")) == (await ask("a"))  # one term
    spread = {(await ask(b"key %d" % number))[0] for number in range(100)}
    assert spread == {0, 1, 2}
    # The via module by its name, the supervisor by its pid.
    assert await ask(2, via="PartitionSupervisor") == await ask(
        2, top, elixir("PartitionSupervisor")
    )
    clients.gen.cast(("via", PartitionSupervisor, ("workers", 1)), atom.hello)
    assert clients.partitions.partitions("workers") == 3
    ids = [child.id for child in await clients.partitions.which_children("workers")]
    assert ids == [2, 1, 0]


async def test_what_is_no_partition(runtime: Runtime, clients: Clients) -> None:
    await start(runtime, PartitionSupervisor, Echo, name="echoes", partitions=1)
    await start(runtime, Echo, name="echo")
    for name in ("absent", "echo"):
        with pytest.raises(NoProcess):
            await clients.gen.call(("via", PartitionSupervisor, (name, 1)), atom.x)
        with pytest.raises(NoProcess):
            clients.partitions.partitions(name)
        with pytest.raises(NoProcess):
            await clients.partitions.resize(name, 1)
    with pytest.raises(NameError_, match="key"):
        await clients.gen.call(("via", PartitionSupervisor, "echoes"), atom.x)
    with pytest.raises(StartError):
        await start(runtime, Echo, name=("via", PartitionSupervisor, ("echoes", 1)))


async def test_partitions_are_restarted_one_by_one(runtime: Runtime, clients: Clients) -> None:
    await start(runtime, PartitionSupervisor, ChildSpec(Echo), name="echoes", partitions=2)
    before = await clients.pids("echoes")
    runtime.exit(runtime.main, before[0], atom.kill)
    new = await clients.restarted("echoes", before)
    assert list(new) == [0]
    assert await clients.gen.call(("via", PartitionSupervisor, ("echoes", 0)), 1) == 1


async def test_resizing(runtime: Runtime, clients: Clients) -> None:
    await start(
        runtime, PartitionSupervisor, Worker, name="workers", partitions=4, with_arguments=numbered
    )
    before = await clients.pids("workers")
    assert await clients.partitions.resize("workers", 2) == 4
    assert not runtime.is_alive(before[3])
    answer = await clients.gen.call(("via", PartitionSupervisor, ("workers", 3)), atom.who)
    assert answer[0] == 1
    assert (await clients.partitions.count_children("workers")).active == 2
    assert await clients.partitions.resize("workers", 3) == 2
    assert await clients.partitions.resize("workers", 3) == 3
    assert clients.partitions.partitions("workers") == 3
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match="between 0 and 4"):
            await clients.partitions.resize("workers", wrong)
    assert await clients.partitions.resize("workers", 0) == 3
    with pytest.raises(NoProcess):
        await clients.gen.call(("via", PartitionSupervisor, ("workers", 3)), atom.who)


@pytest.mark.parametrize(
    ("args", "options", "reason"),
    [
        ((Echo,), {"name": None}, (atom.supervisor_data, atom.missing_name)),
        ((Echo,), {"partitions": 0}, (atom.supervisor_data, (atom.invalid_partitions, 0))),
        ((Echo,), {"strategy": "x"}, (atom.supervisor_data, (atom.invalid_strategy, atom.x))),
        ((17,), {}, (atom.start_spec, (atom.invalid_child_spec, 17))),
    ],
)
async def test_options(runtime: Runtime, args: Any, options: Any, reason: Any) -> None:
    with pytest.raises(StartError) as wrong:
        await start(runtime, PartitionSupervisor, *args, **({"name": "x"} | options))
    assert wrong.value.reason == reason


async def test_as_many_as_there_are_processors(runtime: Runtime, clients: Clients) -> None:
    pid = await start(runtime, PartitionSupervisor, Echo, name=atom.echoes)
    assert clients.partitions.partitions("echoes") == (os.cpu_count() or 1)
    await clients.partitions.stop(pid)
    assert await reason_of_death(runtime, pid) == atom.noproc
