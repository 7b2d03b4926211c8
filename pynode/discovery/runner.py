"""Asks strategies again and again, and connects to what they find."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from pynode.discovery.strategies import Found, Strategy
from pynode.errors import ConnectError, DiscoveryError, NodeDown, PynodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pynode.net import Net
    from pynode.terms import Atom

__all__ = ["Discovery"]

_log = logging.getLogger("pynode.discovery")
#: How many nodes are connected to at a time.
MOST_AT_ONCE: Final = 32


class Discovery:
    """Strategies at work; made by :meth:`pynode.Node.discover`, ended by :meth:`stop`.

    Nodes that are found and not connected are connected to.  Nodes that are found no more are
    left alone: that one is gone is for its connection to say.

    A problem is one WARNING on ``pynode.discovery`` when it begins or changes, an event
    ``discovery_failed`` (``source``, ``error``) each time, and stays in :attr:`errors`.
    """

    def __init__(
        self, net: Net, strategies: Sequence[Strategy], *, interval: float | None = 5.0
    ) -> None:
        """Begin, on the running loop; the arguments are those of :meth:`pynode.Node.discover`."""
        self._net = net
        self._strategies = list(strategies)
        self._interval = interval
        #: What was found last, this node excepted.
        self.found: list[Atom] = []
        #: What the last round could not look at, or connect to, by the name of either.
        self.errors: dict[str, Exception] = {}
        #: How many rounds are over.
        self.rounds = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._dialling = asyncio.Semaphore(MOST_AT_ONCE)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name=f"pynode-discovery {net.config.name}")

    def __repr__(self) -> str:
        sources = ", ".join(map(str, self._strategies))
        return f"<Discovery: {sources}: {len(self.found)} nodes, {len(self.errors)} problems>"

    # ------------------------------------------------------------------ the owner's words

    async def round(self) -> None:
        """Wait for the end of the round under way, or of the next: nodes found, connects tried.

        Raises:
            NodeDown: it ended before, or meanwhile.
        """
        if self._task.done():
            raise NodeDown("the discovery has ended")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    async def stop(self) -> None:
        """End it, and wait for the end; what is connected stays.  May be called again."""
        self._task.cancel()
        await asyncio.wait([self._task])

    # ------------------------------------------------------------------ rounds

    async def _run(self) -> None:
        try:
            while True:
                await self._round()
                self.rounds += 1
                self._release(None)
                if self._interval is None:
                    return
                await asyncio.sleep(self._interval)
        finally:
            self._release(NodeDown("the discovery has ended"))

    def _release(self, error: Exception | None) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    async def _round(self) -> None:
        problems: dict[str, Exception] = {}
        answers = await asyncio.gather(*(self._ask(strategy) for strategy in self._strategies))
        for answer in answers:
            problems.update((problem.source, problem) for problem in answer.problems)
        own = self._net.local.name
        found = dict.fromkeys(node for answer in answers for node in answer.nodes)
        self.found = [node for node in found if node.name != own]
        absent = [node for node in self.found if self._net.peer(node) is None]
        for node, error in zip(absent, await self._connect_all(absent), strict=True):
            if error is not None:
                problems[str(node)] = error
        self._tell(problems)

    async def _ask(self, strategy: Strategy) -> Found:
        try:
            return await strategy.find(self._net)
        except DiscoveryError as error:
            return Found([], [error])
        except Exception as error:
            # A fault of the strategy, whoever wrote it; the others, and its next time, go on.
            problem = DiscoveryError(str(strategy), f"{type(error).__name__}: {error}")
            problem.__cause__ = error
            return Found([], [problem])

    async def _connect_all(self, nodes: list[Atom]) -> list[Exception | None]:
        return list(await asyncio.gather(*map(self._connect, nodes)))

    async def _connect(self, node: Atom) -> Exception | None:
        try:
            async with self._dialling:
                await self._net.connect(node)
        except (ConnectError, NodeDown) as error:
            return error
        return None

    def _tell(self, problems: dict[str, Exception]) -> None:
        former, self.errors = self.errors, problems
        telemetry = self._net.telemetry
        for source, error in problems.items():
            if source not in former or str(former[source]) != str(error):
                fault = error.__cause__
                known = not isinstance(error, DiscoveryError) or isinstance(
                    fault, PynodeError | OSError | None
                )
                _log.warning("discovery: %s", error, exc_info=None if known else fault)
            if telemetry.hooks:
                telemetry.emit("discovery_failed", source=source, error=error)
