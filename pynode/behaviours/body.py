"""What every behaviour has in common: start, system messages, a parent's exit, the end.

A :class:`BehaviourBody` is the :class:`pynode.process.body.Body` of a server.  The runtime hands
it one message at a time; it returns None when it is done with it, or a coroutine that is stepped
to its end before the next message.  A plain callback therefore costs no coroutine, and no
callback ever runs beside another of the same server.

What is rarely there (suspension, debugging, a running timeout) sits in :class:`Extra`, which
exists only while one of them is in use; the message path has one test for it.

Source: ``gen:init_it``, ``gen_server:loop``, ``sys:handle_system_msg``.
"""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.behaviours._choice import QuickBody
from pynode.behaviours.names import ServerName, give_name, plain_name, take_name
from pynode.behaviours.status import Failure, report
from pynode.behaviours.trace import generic_text
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import ACK, ANCESTORS, ERROR, IGNORE, INITIAL_CALL, NORMAL, OK
from pynode.errors import (
    NO_REPLY,
    AlreadyStarted,
    Exit,
    Ignore,
    StartError,
    StartIgnored,
    Stop,
)
from pynode.process.process import current_process
from pynode.process.reasons import reason_of
from pynode.shown import shown
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from pynode.behaviours.extra import Extra
    from pynode.process.process import Process

__all__ = ["BehaviourBody", "Step", "nothing_from_init"]

Step = "Coroutine[Any, Any, None] | None"


class BehaviourBody(QuickBody):
    """One server: its process, and the callbacks of its subclass.

    Subclasses implement :meth:`init_callbacks`, :meth:`step`, :meth:`finish` and the ``system_``
    methods.
    """

    __slots__ = (
        "ack_to",
        "ancestors",
        "failure",
        "name",
        "parent",
        "process",
        "starting",
    )

    MODULE: ClassVar[Atom]
    """The behaviour as ``sys:get_status`` names it."""

    #: What is said of a callback that holds the loop.
    cure: ClassVar[str] = "a server that computes for long says blocking=True"

    process: Process

    def __init__(self) -> None:
        self.extra: Extra | None = None
        self.name: ServerName | None = None
        self.parent: Pid | None = None
        #: Who waits for the start: resolved by the end of ``init``, one way or the other.
        self.starting: asyncio.Future[None] | None = None
        #: A process that expects proc_lib's ``{ack, Pid, Result}``.
        self.ack_to: Pid | None = None
        #: ``'$ancestors'``: names or pids of the parent (or who started it), its parent, ...
        self.ancestors: tuple[Any, ...] = _line_of(current_process())
        #: What it was at when it began to end.
        self.failure: Failure | None = None

    # ----------------------------------------------------------------- for subclasses

    def callback_module(self) -> Atom:
        """Return the atom that stands for the user's class."""
        raise NotImplementedError

    def init_callbacks(self) -> Any:
        """Run ``init``; a coroutine it returns is awaited."""
        raise NotImplementedError

    def after_init(self) -> Coroutine[Any, Any, None] | None:
        """Act on what ``init`` asked for, after the starter was told."""
        return None

    def step(self, message: Any) -> Coroutine[Any, Any, None] | None:
        """Handle one message that is not held back."""
        raise NotImplementedError

    async def finish(self, reason: Any) -> None:
        """Run the ``terminate`` callbacks; what they raise replaces ``reason``."""

    def system_state(self) -> Any:
        """Return the state as a term, for ``sys:get_state``."""
        raise NotImplementedError

    def system_replace(self, function: Any) -> Any:
        """Replace the state by ``function(state)``; return the new one."""
        raise NotImplementedError

    def system_status(self, suspended: bool) -> Any:
        """Return the last element of ``sys:get_status``: header and data, as the behaviour does."""
        raise NotImplementedError

    async def system_change_code(self, module: Any, old_version: Any, extra: Any) -> None:
        """Run the ``code_change`` callbacks."""

    def crash_status(self, reason: Any, failure: Failure) -> dict[str, Any]:
        """Return ``last_message``, ``state`` and more, for the record of a crash."""
        return {"last_message": failure.message, "state": self.system_state()}

    def event_in(self, message: Any) -> Any:
        """Return the system event for a message that has arrived, None if it is made later."""
        return (_IN, message)

    def event_text(self, event: Any, name: str) -> str:
        """Return a system event as ``sys:trace`` prints it."""
        return generic_text(event, name)

    # ----------------------------------------------------------------- Body

    @property
    def label(self) -> str:
        """What log records call this body."""
        return str(self.callback_module())

    def start(self, process: Process) -> Coroutine[Any, Any, None]:
        """Begin: register, ``init``, tell the starter."""
        self.process = process
        return self._begin()

    def message(self, process: Process, message: Any) -> Coroutine[Any, Any, None] | None:
        """Handle a message, or hold it back while suspended."""
        if self.extra is None:
            return self.step(message)
        return self.extra.message(self, message)

    def crash_report(self, reason: Any) -> tuple[str, dict[str, Any]]:
        """Return what the record of a crash adds."""
        return report(self, reason)

    def terminated(self, process: Process, reason: Any) -> None:
        """Clean up after death; a starter that still waits learns that there is no server."""
        self.extra = None
        self._tell_start(StartError(reason))

    def adopt(self, process: Process, parent: Pid | None) -> None:
        """Take over a process whose coroutine runs already (``enter_loop``)."""
        self.process = process
        self.name = process.name
        self.parent = process.pid if parent is None else parent
        self._remember_ancestors()

    # ----------------------------------------------------------------- start

    async def _begin(self) -> None:
        process = self.process
        if self.parent is None:
            self.parent = process.pid
        try:
            if self.name is not None:
                await give_name(process, self.name)
            self._remember_ancestors()
            result = self.init_callbacks()
            if type(result) is CoroutineType:
                result = await result
            if result is not None:
                nothing_from_init(result)
        except Ignore:
            await self._give_up(StartIgnored(IGNORE))
            raise Exit(NORMAL) from None
        except AlreadyStarted as error:
            self._started(error)
            raise Exit(NORMAL) from None
        except (Exception, Exit) as error:
            reason = reason_of(error)
            problem = StartError(reason)
            # Of an Exit, what it was raised from: the exit itself is the reason.
            problem.__cause__ = error.__cause__ if isinstance(error, Exit) else error
            await self._give_up(problem)
            if isinstance(error, Stop):
                raise Exit(reason) from None
            raise
        self._started(None)
        following = self.after_init()
        if following is not None:
            await following

    async def _give_up(self, error: StartError) -> None:
        if self.name is not None:
            await take_name(self.process, self.name)
        self._started(error)

    def _tell_start(self, error: StartError | None) -> None:
        future, self.starting = self.starting, None
        if future is not None and not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    def _started(self, error: StartError | None) -> None:
        """Tell both kinds of starter how it went."""
        self._tell_start(error)
        starter, self.ack_to = self.ack_to, None
        if starter is not None:
            process = self.process
            process.runtime.send(process, starter, (ACK, process.pid, self._ack(error)))

    def _ack(self, error: StartError | None) -> Any:
        if error is None:
            return (OK, self.process.pid)
        if isinstance(error, StartIgnored):
            return IGNORE
        return (ERROR, error.reason)

    def _remember_ancestors(self) -> None:
        process = self.process
        if self.parent is None or self.parent == process.pid:
            return
        parent = process.runtime.local(self.parent)
        self.ancestors = (self.parent,) if parent is None else _line_of(parent)

    def initial_call(self) -> tuple[Atom, Atom, int]:
        """Return ``{Module, init, 1}``."""
        return (self.callback_module(), _INIT, 1)

    def shown_name(self) -> Any:
        """Return what reports and debug output call this server: its name, or its pid."""
        return self.process.pid if self.name is None else plain_name(self.name)

    def dictionary(self) -> dict[Any, Any]:
        """Return the process dictionary with what proc_lib puts into it.

        Made when somebody looks: 100,000 servers that nobody asks need not hold it.
        """
        origin = {ANCESTORS: list(self.ancestors), INITIAL_CALL: self.initial_call()}
        process = self.process
        return origin if process.rare is None else origin | process.dictionary

    # ----------------------------------------------------------------- end

    def is_parent(self, pid: Any) -> bool:
        """Return whether an exit message from ``pid`` tells this server to end.

        Its parent's does; so does the runtime's, which speaks as ``main``, once it stops.
        """
        if pid == self.parent:
            return True
        runtime = self.process.runtime
        return runtime.stopping and bool(pid == runtime.main.pid)

    async def end(self, reason: Any, message: Any = ()) -> None:
        """End with ``reason`` after the ``terminate`` callbacks; ``message`` is what told it to."""
        self.fails(message)
        await self.conclude(reason, None)
        raise Exit(reason)

    async def crash(
        self, error: BaseException, message: Any = (), client: Pid | None = None, **more: Any
    ) -> None:
        """End as ``error``, which a callback raised, after the ``terminate`` callbacks."""
        reason = reason_of(error)
        self.fails(message, client, more)
        await self.conclude(reason, error)
        if isinstance(error, Stop):  # asked for, not failed: there is nothing to trace back
            raise Exit(reason) from None
        raise error

    async def conclude(
        self, reason: Any, error: BaseException | None, told: Any = NO_REPLY
    ) -> None:
        """Run :meth:`finish`; what it raises is the end, and shows what it came from.

        Args:
            reason: with which it was going to end.
            error: the exception that led here, None where there was none.
            told: what ``finish`` is given, if that is not the reason.
        """
        try:
            await self.finish(reason if told is NO_REPLY else told)
        except (Exception, Exit) as later:
            if self.failure is not None:
                self.failure = self.failure._replace(ending=reason)
            if error is not None:
                _chain(later, error)
            raise

    def fails(
        self, message: Any, client: Pid | None = None, more: dict[str, Any] | None = None
    ) -> None:
        """Remember what the server was at when it began to end, for the record of the crash."""
        if self.failure is None:
            self.failure = Failure(message, client, more or {})


def nothing_from_init(result: Any) -> None:
    """Refuse what an ``init`` returned that is to return nothing, as ``{bad_return_value, It}``."""
    if result is not None:
        raise Stop((_BAD_RETURN_VALUE, term_or_repr(result))) from TypeError(
            f"init returns nothing, not {shown(result)!r}: it keeps the state in attributes, and "
            "to start no server it raises Stop(reason) or Ignore"
        )


def _chain(later: BaseException, error: BaseException) -> None:
    """Make ``error`` the context of what was raised while it was being dealt with."""
    known = {id(later)}
    last = later
    while last.__context__ is not None and id(last.__context__) not in known:
        last = last.__context__
        known.add(id(last))
    if id(error) not in known:
        last.__context__ = error


def _line_of(process: Process | None) -> tuple[Any, ...]:
    """Return a process of this node, by name if it has one, and its ancestors."""
    if process is None:
        return ()
    body = process.body
    further = body.ancestors if isinstance(body, BehaviourBody) else ()
    return (process.pid if process.name is None else process.name, *further)


_BAD_RETURN_VALUE: Final = Atom("bad_return_value")
_IN: Final = Atom("in")
_INIT: Final = Atom("init")
