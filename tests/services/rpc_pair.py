"""Two nodes with all their services, joined in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from pynode.config import NodeConfig
from pynode.errors import Exit, NoSuchNode, RemoteError
from pynode.net.ticker import Ticker
from pynode.process import Runtime
from pynode.process.current import exit_signal, self_
from pynode.services import Services
from pynode.terms import Atom
from tests.process.wire import Wire

HERE, THERE = Atom("here@test"), Atom("there@test")
NOWHERE = Atom("nowhere@test")
DEADLINE = 20.0


class NoNet:
    """A net that knows its peers and does nothing with them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.ticker = Ticker(60.0, lambda: None, lambda: None)

    def peers(self) -> list[Any]:
        return []

    def peer(self, node: Any) -> None:
        return None

    def disconnect(self, node: Any) -> bool:
        return False

    async def connect(self, node: Any, *, automatic: bool = False) -> None:
        raise NoSuchNode(str(node), "EPMD does not know it")


class RpcPair:
    """``here`` and ``there``; the functions of module ``t`` are exposed on both."""

    def __init__(self, *, hidden: bool = False) -> None:
        self.running: list[Any] = []
        self.here = self._services(HERE, 101)
        self.there = self._services(THERE, 102)
        self.wire = Wire(self.here._runtime, self.there._runtime, hidden=hidden)
        self.wire.connect()

    def _services(self, name: Atom, creation: int) -> Services:
        runtime = Runtime(name, creation)
        config = NodeConfig(name=str(name), cookie=b"c")
        services = Services(runtime, NoNet(runtime), config)  # type: ignore[arg-type]
        services.start()
        for function in (echo, fail, throw, leave, where, self.stay, die):
            runtime.resolver.expose(function, module="t")
        return services

    async def stay(self) -> None:
        """Never return; note who it is that waits."""
        self.running.append(self_())
        await asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        for services in (self.here, self.there):
            await services.stop()
            await services._runtime.stop(1)


@contextlib.asynccontextmanager
async def rpc_pair(*, hidden: bool = False) -> AsyncIterator[RpcPair]:
    pair = RpcPair(hidden=hidden)
    try:
        yield pair
    finally:
        await pair.stop()


def echo(*args: Any) -> list[Any]:
    return list(args)


def fail(text: bytes) -> None:
    raise ValueError(text.decode())


def throw(term: Any) -> None:
    raise RemoteError("throw", term)


def leave(term: Any) -> None:
    raise Exit(term)


def where() -> Any:
    return self_().node, self_()


async def die(reason: Any) -> None:
    """End by a signal from outside of the call."""
    exit_signal(self_(), reason)
    await asyncio.get_running_loop().create_future()
