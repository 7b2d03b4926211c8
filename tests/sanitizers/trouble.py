"""What a callback may do to those who called it: kill, send, close, spawn, at the worst moment."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from typing import Any, Final

from pynode import errors, etf
from pynode.process import Process, Runtime
from pynode.terms import ImproperList, Pid, Reference, atom

#: What a signal may raise in a program.
REFUSALS: Final = (errors.PynodeError, ValueError, TypeError, RuntimeError)
#: Trouble in the midst of trouble, so deep.
_DEEPEST: Final = 3


class Trouble:
    """One of its actions, by chance; callable with anything, so that it can be any callback."""

    def __init__(self, chance: random.Random, runtime: Runtime, often: float = 0.4) -> None:
        self.chance = chance
        self.runtime = runtime
        self.often = often
        self.made = 0
        #: Further ones, as closing a connection.
        self.more: list[Callable[[], object]] = []
        #: Whom it may kill: one that is needed is not among them.
        self.victims: list[Process] = []
        self.pids: list[Pid] = []
        self._depth = 0

    def __call__(self, *_: Any) -> None:
        chance = self.chance
        if self._depth >= _DEEPEST or chance.random() > self.often:
            return
        self._depth += 1
        self.made += 1
        try:
            chance.choice([*_ACTIONS, *(lambda _, done=done: done() for done in self.more)])(self)
        except REFUSALS:
            pass
        finally:
            self._depth -= 1

    def target(self) -> Pid:
        """Return a pid, of a process of this node mostly, which may have ended."""
        living = [process.pid for process in self.victims[-20:]]
        return self.chance.choice([*living, *self.pids, self.runtime.main.pid])

    def kill(self) -> None:
        reason = self.chance.choice((atom.kill, atom.kill, atom.normal, atom.boom))
        self.runtime.exit(self.runtime.main, self.target(), reason)

    def send(self) -> None:
        self.runtime.send(self.runtime.main, self.target(), self.chance.choice(_MESSAGES))

    def flood(self) -> None:
        target = self.target()
        for number in range(30):
            self.runtime.send(self.runtime.main, target, (atom.flood, number))

    def spawn(self) -> None:
        async def body(process: Process) -> None:
            process.dictionary[self] = Finalizer(self)
            await process.receive(match=self.accepts, timeout=0.001)

        self.victims.append(self.runtime.spawn(body, trap_exit=self.chance.random() < 0.5))

    def accepts(self, message: Any) -> bool:
        """A match function."""
        self()
        return self.chance.random() < 0.3

    def call(self) -> None:
        slot = self.runtime.open_call(self.runtime.main, self.target())
        slot.add_done_callback(self)
        if self.chance.random() < 0.5:
            slot.close()
        else:
            self.more.append(slot.close)

    def relations(self) -> None:
        runtime, target = self.runtime, self.target()
        one = self.chance.choice(self.victims or [runtime.main])
        self.chance.choice((runtime.link, runtime.unlink, runtime.monitor))(one, target)

    def timers(self) -> None:
        delay = self.chance.choice((0.0, 0.0005, 5.0))
        ref = self.runtime.send_after(self.runtime.main, delay, self.target(), atom.late)
        if self.chance.random() < 0.5:
            self.runtime.cancel_timer(ref)

    def collect(self) -> None:
        loop: list[Any] = [Finalizer(self)]
        loop.append(loop)
        del loop
        gc.collect()

    def codec(self) -> None:
        for message in _MESSAGES:
            assert etf.decode(etf.encode(message)) == message

    def rename(self) -> None:
        name = self.chance.choice(("one", "two", "three"))
        if self.runtime.whereis(name) is None:
            self.runtime.register(name, self.target())
        else:
            self.runtime.unregister(name)


class Finalizer:
    """Makes trouble when it is forgotten."""

    def __init__(self, trouble: Callable[[], object]) -> None:
        self._trouble = trouble

    def __del__(self) -> None:
        self._trouble()


_ACTIONS: Final = (
    *(Trouble.kill, Trouble.send, Trouble.flood, Trouble.spawn, Trouble.call, Trouble.relations),
    *(Trouble.timers, Trouble.collect, Trouble.codec, Trouble.rename),
)
_REF = Reference(atom("n@h"), 1, (1, 2, 3))
_MESSAGES: Final[tuple[Any, ...]] = (
    atom.hello,
    (atom("$gen_cast"), [1, 2.5, b"bytes", {b"key": None, 2: [True]}]),
    (atom("$gen_call"), (Pid(atom("n@h"), 1, 2, 3), [ImproperList((atom.alias,), _REF)]), atom.x),
    (atom.EXIT, Pid(atom("n@h"), 1, 2, 3), atom.kill),
    {(number, b"k"): [number, 2**80] for number in range(40)},
    [b"x" * 3000] * 3,
)
