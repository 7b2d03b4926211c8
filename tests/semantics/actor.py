"""A process that does what it is told, on either side of a pair.

It takes ``{do, From, Ref, Op, Args}`` and answers ``{done, Ref, Result}``, or
``{failed, Ref, Class}`` where Erlang would raise; every other message it keeps, in order.  Since
all it is told and all it tells are terms, the same actor written in Erlang serves on a BEAM.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from pynode.behaviours import gen
from pynode.errors import CallExit, DeviceError, Exit, NameError_, RemoteError, TermError
from pynode.process import Process, Runtime
from pynode.process.current import process, receive, self_, send
from pynode.process.elsewhere import spawn_opt_there
from pynode.services.entry import execute_call, execute_cast
from pynode.services.erpc import Erpc
from pynode.services.io import client
from pynode.services.io.stdin import Stdin
from pynode.services.io.user import User
from pynode.services.service import acting
from pynode.terms import Atom, Pid, atom

DO = Atom("do")


class Actor:
    """The body: one per process."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.waiting: list[Any] = []

    def start(self, process: Process) -> None:
        return None

    def terminated(self, process: Process, reason: Any) -> None:
        return None

    def message(self, process: Process, message: Any) -> Coroutine[Any, Any, None] | None:
        match message:
            case (atom.do, asker, ref, atom.call, [dest, request, timeout]):
                return self.call(process, asker, ref, dest, request, timeout)
            case (atom.do, asker, ref, (atom.erpc | atom.erpc_multicall) as operation, args):
                return self.erpc(process, asker, ref, operation, args)
            case (atom.do, asker, ref, atom.spawn_opt, [node, *mfa, options]):
                return self.spawn_opt(process, asker, ref, node, mfa, options)
            case (atom.do, asker, ref, atom.io_request, [device, request]):
                return self.io_request(process, asker, ref, device, request)
            case (atom.do, asker, ref, operation, args) if type(args) is list:
                self.do(process, asker, ref, str(operation), args)
            case _:
                self.kept.append(message)
                self.serve(process)
        return None

    async def call(
        self, process: Process, asker: Any, ref: Any, dest: Any, request: Any, timeout: Any
    ) -> None:
        """Call, and wait: as on a BEAM, nothing else is done until that is over."""
        seconds = None if timeout == atom.infinity else timeout / 1000
        try:
            result = (atom.ok, await gen.call(process, dest, request, seconds))
        except CallExit as error:
            result = (atom.exited, error.reason)
        process.runtime.send(process, asker, (atom.done, ref, result))

    async def erpc(
        self, process: Process, asker: Any, ref: Any, operation: Any, args: list[Any]
    ) -> None:
        """Call a function, on one node or several, and tell how that ended, as Erlang has it."""
        *call, timeout = args
        seconds = None if timeout == atom.infinity else timeout / 1000
        erpc = Erpc(process.runtime)
        result: Any
        if operation == atom.erpc_multicall:
            results = await erpc.multicall(*call, timeout=seconds)
            result = [
                (atom.ok, one.value) if one.error is None else _class_of(one.error)
                for one in results
            ]
        else:
            try:
                result = (atom.ok, await erpc.call(*call, timeout=seconds))
            except (CallExit, RemoteError) as error:
                result = _class_of(error)
        process.runtime.send(process, asker, (atom.done, ref, result))

    async def spawn_opt(
        self, process: Process, asker: Any, ref: Any, node: Any, mfa: Any, options: Any
    ) -> None:
        """Spawn, and wait for the pid."""
        try:
            result: Any = await spawn_opt_there(process, node, (*mfa, options))
        except ValueError:
            process.runtime.send(process, asker, (atom.failed, ref, atom.badarg))
        else:
            process.runtime.send(process, asker, (atom.done, ref, result))

    async def io_request(
        self, process: Process, asker: Any, ref: Any, device: Any, request: Any
    ) -> None:
        """Ask a device, and wait."""
        try:
            answer = await client.request(process, device, request).wait()
        except DeviceError as error:
            answer = (atom.error, error.reason)
        process.runtime.send(process, asker, (atom.done, ref, answer))

    def do(self, process: Process, asker: Any, ref: Any, operation: str, args: list[Any]) -> None:
        if operation == "next":
            self.waiting.append((asker, ref))
            self.serve(process)
            return
        runtime = process.runtime
        try:
            result = OPERATIONS[operation](self, process, *args)
        except (NameError_, ValueError, TypeError, TermError):
            runtime.send(process, asker, (atom.failed, ref, atom.badarg))
        else:
            runtime.send(process, asker, (atom.done, ref, result))

    def serve(self, process: Process) -> None:
        while self.waiting and self.kept:
            asker, ref = self.waiting.pop(0)
            process.runtime.send(process, asker, (atom.done, ref, self.kept.pop(0)))


def expose(runtime: Runtime) -> None:
    """Let ``spawn_request`` run ``semantics:tell(Pid, Term)`` and ``semantics:wait()``."""

    def tell(to: Any, term: Any) -> None:
        send(to, (self_(), term))

    async def wait() -> None:
        raise Exit((await receive())[1])

    def fail(kind: Atom, reason: Any) -> None:
        raise RemoteError(str(kind), reason)

    async def stay(to: Any) -> None:
        send(to, (atom.staying, self_()))
        await receive(lambda message: False)

    def lead(to: Any) -> None:
        send(to, (atom.leader, process().group_leader))

    runtime.resolver.expose(lead, module="semantics")
    runtime.resolver.expose(fail, module="semantics")
    runtime.resolver.expose(stay, module="semantics")
    runtime.resolver.expose(tell, module="semantics")
    runtime.resolver.expose(wait, module="semantics")


def expose_erpc(runtime: Runtime) -> None:
    """Expose what the services of a node have: the functions that erpc calls."""

    async def call(*args: Any) -> None:
        await execute_call(acting(runtime), *args)

    async def cast(*args: Any) -> None:
        await execute_cast(acting(runtime), *args)

    runtime.resolver.expose(call, module="erpc", name="execute_call", arity=4)
    runtime.resolver.expose(cast, module="erpc", name="execute_cast", arity=3)


def _class_of(error: Any) -> Any:
    """Write an error of erpc as Erlang catches it."""
    if isinstance(error, RemoteError):
        kind = Atom(error.kind)
        return (kind, error.reason if error.kind == "throw" else (atom.exception, error.reason))
    match error.reason:
        case (atom.signal, _):
            return (atom.exit, error.reason)
    return (atom.error, (atom.erpc, error.reason))


class _Given(Stdin):
    """Input that ends."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.text = text

    async def read(self) -> bytes:
        text, self.text = self.text, b""
        return text


_devices: dict[Pid, list[str]] = {}


def _device(actor: Actor, process: Process, text: bytes) -> Any:
    """Start a device with ``text`` for input."""
    written: list[str] = []
    kind = type("Device", (User,), {"name": f"device{next(_numbers)}"})
    device: Pid = kind(process.runtime, written.append, stdin=_Given(text)).process.pid
    _devices[device] = written
    return device


_numbers = itertools.count()


def _written(actor: Actor, process: Process, device: Pid) -> Any:
    return "".join(_devices.pop(device)).encode()


def _stop(actor: Actor, process: Process, reason: Any) -> Any:
    raise Exit(reason)


def _trap(actor: Actor, process: Process, flag: bool) -> Any:
    process.trap_exit = flag
    return atom.ok


def _monitor_alias(actor: Actor, process: Process, target: Any, mode: Atom) -> Any:
    return process.runtime.monitor(process, target, alias=str(mode))


def _alias(actor: Actor, process: Process, options: list[Atom]) -> Any:
    return process.runtime.alias(
        process, reply=atom.reply in options, priority=atom.priority in options
    )


def _demonitor(actor: Actor, process: Process, ref: Any, options: list[Atom]) -> Any:
    return process.runtime.demonitor(
        process, ref, flush=atom.flush in options, info=atom.info in options
    )


def _spawn_request(
    actor: Actor, process: Process, node: Any, m: Any, f: Any, args: Any, options: list[Any]
) -> Any:
    return process.runtime.spawn_request(process, node, m, f, args, options=options)


def _links(actor: Actor, process: Process) -> Any:
    info = process.runtime.process_info(process.pid)
    assert info is not None
    return info["links"]


def _cancel(actor: Actor, process: Process, ref: Any) -> Any:
    left = process.runtime.cancel_timer(ref)
    return False if left is None else round(left * 1000)


def _read(actor: Actor, process: Process, ref: Any) -> Any:
    left = process.runtime.read_timer(ref)
    return False if left is None else round(left * 1000)


def _ok(call: Callable[..., Any]) -> Callable[..., Any]:
    def act(actor: Actor, process: Process, *args: Any) -> Any:
        call(process.runtime, process, *args)
        return atom.ok

    return act


OPERATIONS: dict[str, Callable[..., Any]] = {
    "alias": _alias,
    "cancel_timer": _cancel,
    "cast": _ok(lambda runtime, process, dest, request: gen.cast(process, dest, request)),
    "demonitor": _demonitor,
    "erpc_cast": _ok(lambda runtime, process, *call: Erpc(runtime).cast(*call)),
    "device": _device,
    "exit": _ok(lambda runtime, process, to, reason: runtime.exit(process, to, reason)),
    "kept": lambda actor, process: list(actor.kept),
    "leader": lambda actor, process: process.group_leader,
    "link": _ok(lambda runtime, process, to: runtime.link(process, to)),
    "links": _links,
    "monitor": lambda actor, process, target: process.runtime.monitor(process, target),
    "monitor_alias": _monitor_alias,
    "monitor_node": _ok(
        lambda runtime, process, node, flag: runtime.monitor_node(process, node, flag)
    ),
    "ping": lambda actor, process: atom.pong,
    "read_timer": _read,
    "register": _ok(lambda runtime, process, name: runtime.register(name, process.pid)),
    "reply": _ok(lambda runtime, process, caller, term: gen.reply(process, caller, term)),
    "send": _ok(lambda runtime, process, to, message: runtime.send(process, to, message)),
    "send_after": lambda actor, process, milliseconds, to, message: process.runtime.send_after(
        process, milliseconds / 1000, to, message
    ),
    "send_many": _ok(
        lambda runtime, process, to, count: [runtime.send(process, to, n) for n in range(count)]
    ),
    "send_priority": _ok(
        lambda runtime, process, to, message: runtime.send(process, to, message, priority=True)
    ),
    "set_leader": _ok(
        lambda runtime, process, to, leader: runtime.group_leader(process, to, leader)
    ),
    "spawn_request": _spawn_request,
    "spawn_request_abandon": lambda actor, process, ref: process.runtime.spawn_request_abandon(
        process, ref
    ),
    "start_timer": lambda actor, process, milliseconds, to, message: process.runtime.start_timer(
        process, milliseconds / 1000, to, message
    ),
    "stop": _stop,
    "trap_exit": _trap,
    "unalias": lambda actor, process, ref: process.runtime.unalias(process, ref),
    "unlink": _ok(lambda runtime, process, to: runtime.unlink(process, to)),
    "unregister": _ok(lambda runtime, process, name: runtime.unregister(name)),
    "written": _written,
    "whereis": lambda actor, process, name: process.runtime.whereis(name) or atom.undefined,
}
