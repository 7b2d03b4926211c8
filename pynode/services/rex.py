"""``rex``: what is left of rpc's server now that erpc spawns.

Every BEAM asks ``features_request`` when it connects.  ``rpc:block_call`` still comes here, as do
the broadcasts of ``rpc:sbcast`` and the calls of nodes that cannot spawn.

Not served: ``stop``, by which any node could stop it, and ``send_stdout_to_caller``, by which a C
node wants the output for itself: such a call is run, and its output goes where this node's goes.

Source: rpc.erl.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from pynode.errors import NameError_
from pynode.policy import Action
from pynode.process.spawned import name_of_mfa
from pynode.process.words import DOWN
from pynode.terms import Atom, Pid, Reference, atom

from .entry import report
from .evaluate import ERROR, RETURN, THROW, Outcome, applied, evaluate
from .service import NO_ANSWER, Service

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Rex"]

_REX: Final = atom.rex
_BADRPC: Final = atom.badrpc
_EXIT: Final = atom("EXIT")
_GEN_CALL: Final = atom("$gen_call")
_NORMAL: Final = atom.normal
_DENIED: Final = Outcome(ERROR, atom.notsup)


class Rex(Service):
    """The process ``rex``."""

    name: ClassVar[str] = "rex"

    def __init__(self, runtime: Runtime) -> None:
        #: How the caller of each process that runs a call is answered, by our monitor of it.
        self._calls: dict[Reference, Callable[[Any], None]] = {}
        self._running = 0
        super().__init__(runtime)

    def message(self, process: Process, message: Any) -> Coroutine[Any, Any, object] | None:
        """Body: a block_call holds up what comes after it, which is its point."""
        match message:
            case (tag, (Pid(), _) as caller, (what, module, function, args, leader)) if (
                tag == _GEN_CALL and what == atom.block_call
            ):
                running: Any = self._block_call(caller, module, function, args, leader)
                running.__qualname__ = _name(module, function, args)
                return cast("Coroutine[Any, Any, object]", running)
        return super().message(process, message)

    async def _block_call(
        self, caller: Any, module: Any, function: Any, args: Any, leader: Any
    ) -> None:
        own, self.process.group_leader = self.process.group_leader, self._leader(leader)
        try:
            outcome = await self._evaluate(self.process, module, function, args)
        finally:
            self.process.group_leader = own
        self.reply(caller, _rpc_result(outcome))

    def call(self, caller: tuple[Any, Any], request: Any) -> Any:
        """``{call, M, F, A, GroupLeader}``: in a process of its own."""
        match request:
            case (atom.call, _, _, _, _):
                self._spawn_call(lambda result: self.reply(caller, result), request)
        return NO_ANSWER

    def cast(self, request: Any) -> None:
        """``{cast, M, F, A, GroupLeader}``."""
        match request:
            case (atom.cast, module, function, args, leader):

                async def run(process: Process) -> None:
                    report(await self._evaluate(process, module, function, args), module, function)

                run.__qualname__ = _name(module, function, args)
                self._spawn(run, leader)

    def info(self, message: Any) -> None:
        """Requests that carry the sender's pid beside them; the ends of calls."""
        match message:
            case (Pid() as sender, atom.features_request):
                self.send(sender, (atom.features_reply, self.runtime.node_name, [atom.erpc]))
            case (Pid() as sender, (atom.sbcast, name, sent)):
                self.send(sender, (_REX, self.runtime.node_name, self._broadcast(name, sent)))
            case (Pid() as sender, (atom.send, name, sent)):
                answer = self._broadcast(name, (sender, sent))
                if isinstance(answer, tuple):
                    self.send(sender, (_REX, self.runtime.node_name, answer))
            case (Pid() as sender, (atom.call, _, _, _, _) as request):
                self._spawn_call(lambda result: self.send(sender, (_REX, result)), request)
            case (word, Reference() as ref, _, _, reason) if word == DOWN:
                answered = self._calls.pop(ref, None)
                if answered is not None and reason != _NORMAL:
                    answered((_BADRPC, (_EXIT, reason)))

    def _broadcast(self, name: Any, message: Any) -> Any:
        """Send to a registered process if policy lets everybody; return what ``sbcast`` answers."""
        if isinstance(name, Atom) and self.runtime.inbound.allowed_to_all(Action.SEND, name):
            try:
                self.send(name, message)
            except NameError_:
                pass
            else:
                return self.runtime.node_name
        return atom.nonexisting_name, name

    async def _evaluate(self, process: Process, module: Any, function: Any, args: Any) -> Outcome:
        """Run a function if policy lets everybody run it."""
        called = applied(module, function, args)
        if isinstance(called, Outcome):
            return called
        if not self.runtime.inbound.allowed_to_all(Action.SPAWN, (*called[:2], len(called[2]))):
            return _DENIED
        return await evaluate(process, module, function, args)

    def _spawn_call(self, answer: Callable[[Any], None], request: Any) -> None:
        """Run a call; the caller is told of its end, also where the process is killed."""
        _, module, function, args, leader = request

        async def run(process: Process) -> None:
            result = _rpc_result(await self._evaluate(process, module, function, args))
            if self._calls.pop(ref, None) is not None:
                self.runtime.demonitor(self.process, ref, flush=True)
                answer(result)

        run.__qualname__ = _name(module, function, args)
        process = self._spawn(run, leader)
        if process is None:
            answer((_BADRPC, (_EXIT, atom.system_limit)))
            return
        ref = self.runtime.monitor(self.process, process.pid)
        self._calls[ref] = answer

    def _spawn(self, run: Callable[[Process], Coroutine[Any, Any, None]], leader: Any) -> Any:
        """Start a process for another node; None if there are too many of them."""
        if self._running >= self.runtime.limits.spawned_processes:
            return None
        process = self.runtime.spawn(run, group_leader=self._leader(leader))
        process.extra.on_death["rex"] = self._ended
        self._running += 1
        return process

    def _ended(self, process: Process) -> None:
        self._running -= 1

    def _leader(self, leader: Any) -> Pid:
        return leader if isinstance(leader, Pid) else self.process.group_leader


def _name(module: Any, function: Any, args: Any) -> str:
    """Name what a request has run, for records."""
    return name_of_mfa(module, function, len(args) if type(args) is list else 0)


def _rpc_result(outcome: Outcome) -> Any:
    """What rpc makes of an outcome: a throw is a value, the rest is ``{badrpc, {'EXIT', _}}``."""
    if outcome is _DENIED:  # as rpc:call has it
        return _BADRPC, atom.notsup
    kind, value, stack = outcome
    if kind in (RETURN, THROW):
        return value
    if kind == ERROR:
        value = (value, list(stack))
    return _BADRPC, (_EXIT, value)
