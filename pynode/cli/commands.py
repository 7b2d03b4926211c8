"""What each command does, as a coroutine that returns the exit code.

A command that is cancelled leaves the cluster before it ends.  What fails raises: an error of
:mod:`pynode.errors`, or :class:`Failure`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from pynode.config import find_dist_port, find_epmd_port, full_name, has_long_host
from pynode.errors import CallExit, ConnectError, PynodeError

if TYPE_CHECKING:  # imported where it is needed, so that the short commands stay quick
    from pynode.cli.parser import Options
    from pynode.node import Node
    from pynode.terms import Pid, Reference

__all__ = ["COMMANDS", "SHORT", "Failure", "own_name"]

_log: Final = logging.getLogger("pynode.cli")
#: Between two looks for a new publisher, in seconds.
LOOK_SECONDS: Final = 1.0
#: How long a node may take to answer a ping, in seconds; setting up has its own deadlines.
ANSWER_SECONDS: Final = 10.0
#: How long joining :global may take, in seconds; it is 0.2 to 3 in a healthy cluster.
SYNC_SECONDS: Final = 30.0


class Failure(Exception):
    """A command did not do what it is for; the message says why."""


# --------------------------------------------------------------------------- roles


async def publisher(options: Options) -> int:
    """Run a Publisher under its name in ``:global``, until it or this command is ended."""
    from pynode.pubsub import Publisher
    from pynode.terms import charlist

    async with _node(options, hidden=options.hidden) as node:
        peers = await _join(node, options.connect)
        name = charlist(options.manager)
        pid = await node.start(Publisher)
        own = node.monitor(pid)
        registrar = peers[0] if options.hidden else None
        if not await node.global_.register_name(name, pid, node=registrar):
            holder = await node.global_.whereis_name(name, node=registrar)
            raise Failure(f"the global name {options.manager!r} is taken, by {holder}")
        print("ready", node.name, pid)
        return _ended("publisher", (await _down(node, own))[1])


async def subscriber(options: Options) -> int:
    """Run a Subscriber, and keep it subscribed, until it or this command is ended."""
    from pynode.pubsub import Publisher, Subscriber
    from pynode.terms import charlist

    ready = asyncio.Event()

    class Printer(Subscriber, module="Elixir.Subscriber"):
        async def handle_event(self, event: Any) -> None:  # type: ignore[override]
            await ready.wait()  # nothing is printed before the line "ready"
            super().handle_event(event)

    async with _node(options, hidden=options.hidden) as node:
        peers = await _join(node, options.connect)
        manager = await _find(node, options.manager, peers)
        pid = await node.start(Printer)
        own = node.monitor(pid)
        name = charlist(options.as_name or f"subs_{str(node.name).partition('@')[0]}")
        while True:
            watched = node.monitor(manager)
            Publisher.subscribe(manager, name, pid, node=node)
            if ready.is_set():
                _log.warning("subscribed again, to %s", manager)
            else:
                await _read(node, manager, watched)
                print("ready", node.name, pid)
                ready.set()
            ended, reason = await _down(node, own, watched)
            if ended == own:
                return _ended("subscriber", reason)
            _log.warning("the publisher is gone (%s); waiting for a new one", _erlang(reason))
            found = await _find_again(node, options, own)
            if isinstance(found, int):
                return found
            manager = found


async def _find_again(node: Node, options: Options, own: Reference) -> Pid | int:
    """Look for a publisher until there is one, or until the subscriber of ``own`` has ended."""
    while True:
        try:
            return _ended("subscriber", (await _down(node, own, timeout=LOOK_SECONDS))[1])
        except TimeoutError:
            pass
        peers = [name for name in options.connect if await _connected(node, name)]
        try:
            return await _find(node, options.manager, peers)
        except (Failure, PynodeError):
            continue


# --------------------------------------------------------------------------- short commands


async def publish(options: Options) -> int:
    """Have the publisher pass a message on; return when its node has read it."""
    from pynode.pubsub import Publisher

    await _check_epmd(options.connect)
    async with _node(options, hidden=True) as node:
        peers = await _join(node, options.connect)
        manager = await _find(node, options.manager, peers)
        await node.connect(manager.node)
        watched = node.monitor(manager)
        # A command line is bytes; what is no text goes as it was typed.
        Publisher.notify(manager, os.fsencode(options.message), node=node)
        await _read(node, manager, watched)
    return 0


async def ping(options: Options) -> int:
    """Print pong or pang."""
    try:
        await _check_epmd([options.node])
        async with _node(options, hidden=True) as node:
            await node.connect(options.node)
            async with asyncio.timeout(ANSWER_SECONDS):
                answered = await node.ping(options.node)
    except (ConnectError, TimeoutError) as error:
        print("pang")
        if isinstance(error, ConnectError):
            raise
        raise Failure(f"{options.node}: no answer within {ANSWER_SECONDS:g} s") from error
    print("pong" if answered else "pang")
    return 0 if answered else 1


async def names(options: Options) -> int:
    """Print what EPMD knows."""
    for name, port in await _epmd_names(options.host):
        print(name, port)
    return 0


#: Those that end by themselves.
SHORT: Final = frozenset({"publish", "ping", "names"})

COMMANDS: Final[dict[str, Callable[[Options], Coroutine[Any, Any, int]]]] = {
    "publisher": publisher,
    "subscriber": subscriber,
    "publish": publish,
    "ping": ping,
    "names": names,
}


# --------------------------------------------------------------------------- the node


@asynccontextmanager
async def _node(options: Options, *, hidden: bool) -> AsyncGenerator[Node]:
    """Run the command's node; leaving is not cut short by a cancellation."""
    from pynode.node import Node

    short = options.command in SHORT
    peers = [options.node] if options.node else options.connect
    node = await Node.start(
        own_name(options.name, options.command, peers, short=short),
        cookie=options.cookie,
        cookie_file=options.cookie_file,
        hidden=hidden,
        shell=options.shell,
        # Nobody is to dial a node that only asks; the agreed port is that of those that serve.
        listen="127.0.0.1" if short else None,
        port=0 if short else None,
    )
    try:
        yield node
    finally:
        leave = asyncio.ensure_future(node.stop())
        cancelled = None
        while not leave.done():
            try:
                await asyncio.shield(leave)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        leave.result()


def own_name(name: str | None, command: str, peers: Sequence[str], *, short: bool) -> str:
    """Return the full name of this node, which can connect to the first of ``peers``.

    Without a ``name`` one is made up.  Its host is this one's short name, or where the peer has a
    long name a long one; ``localhost`` where the peer's is that and nothing else was asked for.  A
    node that nobody is to dial, for ``short``, needs no better host than the address it speaks
    from.

    Raises:
        ConfigError: this host has no long name.
    """
    alive = name or f"{command}-{secrets.token_hex(4)}"
    host = peers[0].rpartition("@")[2] if peers else ""
    if "@" in alive:
        return full_name(alive)
    if host == "localhost" and (short or name is None):
        return f"{alive}@localhost"
    if has_long_host(host) and short:
        return f"{alive}@{_address_towards(host)}"
    return full_name(alive, long_names=has_long_host(host))


def _address_towards(host: str) -> str:
    """Return the address that packets from here to ``host`` bear; nothing is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"  # connecting will tell what is wrong with the host


async def _check_epmd(nodes: Sequence[str]) -> None:
    """Raise if EPMD answers on none of the hosts of ``nodes``.

    Asked before a node is started, for that would start an EPMD here, which would answer.  Where
    ``ERL_DIST_PORT`` says that there is none, nobody is asked.
    """
    if find_dist_port() is not None:
        return
    problems = []
    for node in nodes:
        try:
            await _epmd_names(node.rpartition("@")[2])
            return
        except ConnectError as error:
            problems.append(type(error)(node, error.problem))
    raise _all_of(problems)


async def _epmd_names(host: str) -> list[tuple[str, int]]:
    from pynode.net.epmd_client import epmd_names

    return await epmd_names(host, find_epmd_port())


async def _join(node: Node, names: Sequence[str]) -> list[str]:
    """Connect to ``names`` and return those that answer; a visible node then shares their names.

    Raises:
        ConnectError: none of them answers.
        Failure: the cluster's names are not to be had.
    """
    connected: list[str] = []
    problems: list[ConnectError] = []
    for name in names:
        try:
            await node.connect(name)
            connected.append(name)
        except ConnectError as error:
            problems.append(error)
    if problems and not connected:
        raise _all_of(problems)
    for problem in problems:
        _log.warning("%s", problem)
    if connected and not node.config.hidden:
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await node.global_.sync()
        except TimeoutError:
            raise Failure(f"{', '.join(connected)}: :global did not let this node in") from None
    return connected


async def _connected(node: Node, name: str) -> bool:
    try:
        await node.connect(name)
    except ConnectError:
        return False
    return True


def _all_of(problems: Sequence[ConnectError]) -> ConnectError:
    """Return the one error, or one that says all."""
    if len(problems) == 1:
        return problems[0]
    return ConnectError("", "; ".join(map(str, problems)))


# --------------------------------------------------------------------------- the publisher


async def _find(node: Node, manager: str, peers: Sequence[str]) -> Pid:
    """Return the process of a global name, from this node's own table or by asking ``peers``.

    Raises:
        Failure: nobody bears it.
    """
    from pynode.terms import charlist

    for peer in (None, *peers):
        found = await node.global_.whereis_name(charlist(manager), node=peer)
        if found is not None:
            return found
    raise Failure(f"no process has the global name {manager!r}")


async def _read(node: Node, manager: Pid, watched: Reference) -> None:
    """Return when the node of ``manager`` has read what was sent to it before.

    It answers a ping by the same sender.  Signals of one sender to one node travel in order, on
    one connection; had that been lost and made again in between, the monitor would say so.

    Raises:
        Failure: ``manager`` is gone, or its node does not answer.
    """
    from pynode.terms import atom

    try:
        await node.call(
            (atom.net_kernel, manager.node), (atom.is_auth, node.name), timeout=ANSWER_SECONDS
        )
    except CallExit as error:
        raise Failure(f"{manager.node} did not read it: {_erlang(error.reason)}") from error
    try:
        _, reason = await _down(node, watched, timeout=0)
    except TimeoutError:
        return
    raise Failure(f"the publisher {manager} is gone: {_erlang(reason)}")


async def _down(
    node: Node, *refs: Reference, timeout: float | None = None
) -> tuple[Reference, Any]:
    """Wait for the end of a monitored process; return which monitor told, and the reason.

    Raises:
        TimeoutError: none within ``timeout`` seconds.
    """
    from pynode.terms import atom

    def wanted(message: Any) -> bool:
        return isinstance(message, tuple) and message[:1] == (atom.DOWN,) and message[1] in refs

    message = await node.main.receive(wanted, timeout=timeout)
    return message[1], message[4]


def _ended(role: str, reason: Any) -> int:
    """Return the exit code for a role whose process was ended by somebody else."""
    from pynode.terms import atom

    if reason in (atom.normal, atom.shutdown):
        return 0
    raise Failure(f"the {role} has ended: {_erlang(reason)}")


def _erlang(term: Any) -> str:
    from pynode.terms import format_erlang

    return format_erlang(term)
