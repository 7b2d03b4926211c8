"""A BEAM application that nobody wrote for this: a RabbitMQ broker, joined as a hidden node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pynode import CookieError, Node, atom
from pynode.testing import Epmd, receives

from .amqp import AmqpClient
from .rabbit import Rabbit, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture
def epmd() -> Iterator[Epmd]:
    with Epmd() as epmd:
        yield epmd


@pytest.fixture
def rabbit(tmp_path: Path, epmd: Epmd) -> Iterator[Rabbit]:
    with Rabbit(tmp_path, epmd) as rabbit:
        yield rabbit


@pytest.fixture
def jobs(rabbit: Rabbit) -> Iterator[int]:
    """A client with a queue ``jobs`` and two messages in it; the port that it comes from."""
    with AmqpClient(rabbit.port) as client:
        client.declare("jobs")
        for number in range(2):
            client.publish("jobs", str(number).encode())
        yield client.port


async def test_a_hidden_node_at_a_broker(rabbit: Rabbit, epmd: Epmd, jobs: int) -> None:
    settings: dict[str, Any] = {"hidden": True, "epmd_port": epmd.port}
    async with Node("py@localhost", cookie="another", **settings) as node:
        with pytest.raises(CookieError):
            await node.connect(rabbit.name)
    async with Node("py@localhost", cookie=rabbit.cookie, **settings) as node:
        await node.connect(rabbit.name)
        assert node.nodes("hidden") == [rabbit.name]

        async def ask(module: str, function: str, *arguments: Any) -> Any:
            return await node.rpc.call(rabbit.name, module, function, arguments, text=True)

        # no part of its cluster
        assert await ask("erlang", "nodes") == []
        # queues and connections, as rabbitmqctl lists them
        wanted = [atom.name, atom.messages, atom.state]
        (queue,) = await ask("rabbit_amqqueue", "info_all", "/", wanted)
        assert dict(queue) == {
            atom.name: (atom.resource, "/", atom.queue, "jobs"),
            atom.messages: 2,
            atom.state: atom.running,
        }
        wanted = [atom.user, atom.peer_port, atom.state]
        (connection,) = await ask("rabbit_networking", "connection_info_all", wanted)
        assert dict(connection) == {
            atom.user: "guest",
            atom.peer_port: jobs,
            atom.state: atom.running,
        }
        # the application stops, and its node stays
        ref = node.monitor(("rabbit", rabbit.name))
        assert await ask("rabbit", "stop") == atom.ok
        target = (atom.rabbit, rabbit.name)
        message = await receives(node.main, lambda message: message[:2] == (atom.DOWN, ref))
        assert message[2:4] == (atom.process, target)
        assert message[4] != atom.noconnection
        assert node.nodes("hidden") == [rabbit.name]
        # it starts again; then the broker dies
        assert await ask("rabbit", "start") == atom.ok
        ref = node.monitor(("rabbit", rabbit.name))
        node.monitor_nodes(node_type="hidden")
        rabbit.kill()
        await receives(node.main, (atom.DOWN, ref, atom.process, target, atom.noconnection))
        kind = [(atom.node_type, atom.hidden)]
        await receives(node.main, (atom.nodedown, rabbit.name, kind))


def test_the_example(rabbit: Rabbit, epmd: Epmd, jobs: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pynode.examples.rabbitmq", str(rabbit.name)],
        env=os.environ
        | {
            "ERL_EPMD_PORT": str(epmd.port),
            "PYNODE_COOKIE": rabbit.cookie,
            "PYTHONWARNINGS": "error",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = [process.stdout.readline().rstrip("\n") for _ in range(4)]
        assert said[0].startswith(f"{rabbit.name} runs RabbitMQ ")
        assert said[1:] == [
            "queue jobs: 2 messages",
            "connection of guest from 127.0.0.1",
            f"watching {rabbit.name}",
        ]
        rabbit.kill()
        rest, _ = process.communicate(timeout=30)
        assert rest == f"{rabbit.name} is down: noconnection\n"
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
